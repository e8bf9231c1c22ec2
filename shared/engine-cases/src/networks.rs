//! Small networks with random weights, as every engine builds them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::taesd::{TaesdConfig, TaesdDecoder, TaesdEncoder};
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetConfig, UNetInput};
use mudi_diffusion::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use mudi_diffusion::{Engine, ParameterKind, Parameters, Result, parse};
use mudi_vision::sam::{Point, Prediction, Prompt, Sam, SamConfig, SamDecoder};

use crate::random;

/// Weights that are random, and the same for the same names.
pub struct RandomWeights<'a, E: Engine> {
    engine: &'a E,
}

impl<'a, E: Engine> RandomWeights<'a, E> {
    /// Weights on that engine.
    pub fn new(engine: &'a E) -> Self {
        Self { engine }
    }

    fn draw(&self, name: &str, shape: &[usize], kind: ParameterKind) -> Vec<f32> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let mut values = random(hasher.finish(), shape.iter().product());
        let fan_in = shape[1..].iter().product::<usize>().max(1);
        let (center, spread) = match kind {
            ParameterKind::NormScale => (1.0, 0.2),
            ParameterKind::NormShift | ParameterKind::Bias { .. } => (0.0, 0.2),
            ParameterKind::Embedding => (0.0, 1.0),
            // Values keep their size from layer to layer.
            _ => (0.0, (3.0 / fan_in as f32).sqrt()),
        };
        values.iter_mut().for_each(|value| *value = center + spread * *value);
        values
    }
}

impl<E: Engine> Parameters<E> for RandomWeights<'_, E> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<E::Tensor> {
        let values = self.draw(name, shape, kind);
        self.engine.from_slice(&values, shape)
    }

    fn values(&mut self, _engine: &E, name: &str, shape: &[usize], kind: ParameterKind) -> Result<Vec<f32>> {
        Ok(self.draw(name, shape, kind))
    }

    fn contains(&self, name: &str) -> bool {
        // The names that diffusers and transformers write today.
        !name.contains("query.weight")
    }
}

type Run<E> = Box<dyn Fn(&E) -> Result<<E as Engine>::Tensor>>;

/// A network and an input for it.
pub struct Network<E: Engine> {
    /// What it is.
    pub name: String,
    /// Builds it and runs it once.
    pub run: Run<E>,
}

fn network<E: Engine>(name: String, run: impl Fn(&E) -> Result<E::Tensor> + 'static) -> Network<E> {
    Network { name, run: Box::new(run) }
}

fn input<E: Engine>(engine: &E, seed: u64, shape: &[usize]) -> Result<E::Tensor> {
    engine.from_slice(&random(seed, shape.iter().product()), shape)
}

/// The configurations of a base model's networks.
struct Base {
    name: &'static str,
    unet: &'static str,
    vae: &'static str,
    text: &'static str,
}

macro_rules! base {
    ($name:literal) => {
        Base {
            name: $name,
            unet: include_str!(concat!("../../../tests/fixtures/", $name, "/unet/config.json")),
            vae: include_str!(concat!("../../../tests/fixtures/", $name, "/vae/config.json")),
            text: include_str!(concat!("../../../tests/fixtures/", $name, "/text_encoder/config.json")),
        }
    };
}

const BASES: [Base; 3] = [base!("sdxl-tiny"), base!("sd21-tiny"), base!("sd15-tiny")];

/// SDXL's second text encoder, with a projection.
const TEXT_2: &str = include_str!("../../../tests/fixtures/sdxl-tiny/text_encoder_2/config.json");
/// A tiny autoencoder, smaller than it.
const TAESD: &str = r#"{"_class_name": "AutoencoderTiny", "encoder_block_out_channels": [8, 8, 8], "num_encoder_blocks": [1, 2, 1],
    "decoder_block_out_channels": [12, 12, 12], "num_decoder_blocks": [2, 1, 1]}"#;
const SAM: &str = include_str!("../../../tests/fixtures/sam-tiny/config.json");

/// A configuration that the fixtures are known to have.
fn config<C: serde::de::DeserializeOwned>(text: &str) -> Result<C> {
    parse(text)
}

fn unet<E: Engine>(engine: &E, text: &str) -> Result<E::Tensor> {
    let config: UNetConfig = config(text)?;
    let (channels, pooled) = (config.in_channels, config.projection_class_embeddings_input_dim);
    let width = config.cross_attention_dim.at(0, "cross_attention_dim")?;
    let each = config.addition_time_embed_dim;
    let unet = UNet::new(config, &mut RandomWeights::new(engine))?;
    let added = match (pooled, each) {
        (Some(inputs), Some(each)) => Some(AddedConditioning {
            text_embeds: input(engine, 3, &[2, inputs - 6 * each])?,
            time_ids: vec![96.0, 96.0, 0.0, 0.0, 96.0, 96.0, 64.0, 96.0, 8.0, 0.0, 64.0, 96.0],
        }),
        _ => None,
    };
    let input = UNetInput {
        sample: input(engine, 1, &[2, 8, 12, channels])?,
        timesteps: vec![7.0, 801.0],
        encoder_hidden_states: input(engine, 2, &[2, 7, width])?,
        added,
        lora_scale: 1.0,
    };
    unet.forward(engine, &input)
}

fn text<E: Engine>(engine: &E, text: &str) -> Result<E::Tensor> {
    let config: ClipTextConfig = config(text)?;
    let end = config.vocab_size as u32 - 1;
    let encoder = ClipText::new(config, &mut RandomWeights::new(engine))?;
    let encoded = encoder.forward(engine, &[3, 5, 8, 13, end, 21, 34, 5, end, end], 2)?;
    let shape = engine.shape(&encoded.penultimate);
    let states = engine.add(&encoded.penultimate, &encoded.last)?;
    let states = engine.reshape(&states, &[shape[0], shape[1] * shape[2]])?;
    encoded.pooled.map_or_else(|| Ok(states.clone()), |pooled| engine.concat(&states, &pooled, 1))
}

/// Masks and their estimates as one row.
fn row<E: Engine>(engine: &E, made: &Prediction<E>) -> Result<E::Tensor> {
    let count = engine.shape(&made.logits).iter().product::<usize>();
    let masks = engine.shape(&made.ious)[1];
    engine.concat(&engine.reshape(&made.logits, &[1, count])?, &engine.reshape(&made.ious, &[1, masks])?, 1)
}

fn sam<E: Engine>(engine: &E) -> Result<E::Tensor> {
    let config: SamConfig = config(SAM)?;
    let side = config.image_size();
    let sam = Sam::new(engine, config, &mut RandomWeights::new(engine))?;
    let embeddings = sam.embed(engine, &input(engine, 1, &[1, side, side, 3])?)?;
    let point = |x, y, on_subject| Point { x, y, on_subject };
    let side = side as f32;
    let prompt = Prompt {
        points: vec![point(0.3 * side, 0.4 * side, true), point(0.8 * side, 0.1 * side, false)],
        bounds: Some([0.1 * side, 0.2 * side, 0.7 * side, 0.9 * side]),
        mask: None,
    };
    row(engine, &sam.predict(engine, &embeddings, &[prompt], true)?)
}

/// What a browser runs of a SAM, for a single click or, where `mask`, for a click that improves an earlier answer.
fn sam_decoder<E: Engine>(engine: &E, mask: bool) -> Result<E::Tensor> {
    let config: SamConfig = config(SAM)?;
    let decoder = SamDecoder::new(engine, &config, &mut RandomWeights::new(engine))?;
    let (middle, side) = (0.5 * config.image_size() as f32, config.mask_size());
    let prompt = Prompt {
        points: vec![Point { x: middle, y: middle, on_subject: true }],
        bounds: None,
        mask: mask.then(|| random(2, side * side)),
    };
    let embedding = input(engine, 1, &decoder.embedding_shape())?;
    let several = prompt.is_ambiguous();
    row(engine, &decoder.predict(engine, &embedding, &[prompt], several)?)
}

/// The networks that run in a browser as well as on a server.
#[must_use]
pub fn networks<E: Engine + 'static>() -> Vec<Network<E>> {
    let mut networks = Vec::new();
    for base in &BASES {
        networks.push(network(format!("{} unet", base.name), |engine| unet(engine, base.unet)));
        networks.push(network(format!("{} text encoder", base.name), |engine| text(engine, base.text)));
        networks.push(network(format!("{} vae encoder", base.name), |engine| {
            let config: VaeConfig = config(base.vae)?;
            let encoder = VaeEncoder::new(&config, &mut RandomWeights::new(engine))?;
            encoder.forward(engine, &input(engine, 1, &[1, 24, 16, 3])?)
        }));
        networks.push(network(format!("{} vae decoder", base.name), |engine| {
            let config: VaeConfig = config(base.vae)?;
            let decoder = VaeDecoder::new(&config, &mut RandomWeights::new(engine))?;
            decoder.forward(engine, &input(engine, 1, &[2, 6, 5, config.latent_channels])?)
        }));
    }
    networks.push(network("taesd encoder".to_owned(), |engine| {
        let encoder = TaesdEncoder::new(&config::<TaesdConfig>(TAESD)?, &mut RandomWeights::new(engine))?;
        encoder.forward(engine, &input(engine, 1, &[1, 24, 16, 3])?)
    }));
    networks.push(network("taesd decoder".to_owned(), |engine| {
        let decoder = TaesdDecoder::new(&config::<TaesdConfig>(TAESD)?, &mut RandomWeights::new(engine))?;
        decoder.forward(engine, &input(engine, 1, &[2, 6, 5, 4])?)
    }));
    networks.push(network("sdxl-tiny second text encoder".to_owned(), |engine| text(engine, TEXT_2)));
    networks.push(network("sam-tiny".to_owned(), sam));
    networks.push(network("sam-tiny decoder, a click".to_owned(), |engine| sam_decoder(engine, false)));
    networks
        .push(network("sam-tiny decoder, an earlier mask".to_owned(), |engine| sam_decoder(engine, true)));
    networks
}
