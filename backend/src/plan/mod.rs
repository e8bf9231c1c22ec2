//! What a job will need of memory, found out before anything is loaded.
//!
//! The networks are built from their configurations on an engine that counts instead of computing, and run as training and
//! generation run them.

mod counting;
mod refusal;
mod system;

use counting::{Counted, CountingEngine};
use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::lora::LoraFactors;
use mudi_diffusion::unet::{AddedConditioning, Conditioning, Skip, UNet, UNetConfig, UNetInput};
use mudi_diffusion::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use mudi_diffusion::{Component, Engine};
use mudi_domain::recipe::{self, Recipe, Regularization};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::shapes::Shapes;
use mudi_engine_candle::weights::Precision;
pub use refusal::{TooLarge, check};
use serde::Serialize;
use system::resident;
pub use system::{available_memory, gigabytes, peak_memory};

use crate::base::{BaseError, Source};
use crate::train::PRIOR_BATCH;

/// Memory in bytes that a job on a base model needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The program itself, with its threads and buffers, without a model.
    pub program: usize,
    /// Weights of autoencoder and UNet, or of the text encoders, which are let go before.
    pub weights: usize,
    /// A LoRA's factors, for training.
    pub lora: usize,
    /// What the optimizer keeps of each factor.
    pub optimizer: usize,
    /// Activations and gradients at the moment when most are held.
    pub activations: usize,
    /// All of these.
    pub total: usize,
}

impl Plan {
    /// Adds up. The counts are of what is in use; the allocator rounds large blocks up, and what it keeps for reuse does
    /// not always fit what comes next: measured, a twenty-fifth of weights and a quarter of activations.
    fn sum(mut self) -> Self {
        self.weights += self.weights / 25;
        self.activations += self.activations / 4;
        self.total = self.program + self.weights + self.lora + self.optimizer + self.activations;
        self
    }
}

/// What is planned.
#[derive(Clone, Copy, Debug)]
pub enum Job<'a> {
    /// Training by a recipe.
    Train(&'a Recipe),
    /// Generating `count` pictures of `size` (height, width; the base's own where none) at a time.
    Generate {
        /// Height and width in pixels.
        size: Option<[usize; 2]>,
        /// Side of the tiles that pictures are decoded in, in pixels.
        tile: Option<usize>,
        /// Pictures at a time.
        count: usize,
        /// The recipe of the LoRA that is attached; none for the base alone.
        lora: Option<&'a Recipe>,
        /// How the base's weights are held; training has this in its recipe.
        precision: Precision,
    },
}

/// What there is in a base model's folder; one that holds a UNet alone can be planned, too.
struct Configs {
    unet: UNetConfig,
    vae: Option<VaeConfig>,
    text: Vec<ClipTextConfig>,
}

impl Configs {
    fn read(base: &Source) -> Result<Self, BaseError> {
        let vae = base.has(Component::Vae).then(|| base.vae_config()).transpose()?;
        Ok(Self { unet: base.unet_config()?, vae, text: base.text_configs()? })
    }

    /// Bytes of the weights of the text encoders, and of the rest.
    fn weights(&self, precision: Precision) -> Result<[usize; 2], BaseError> {
        let bytes = |shapes: &Shapes| -> usize {
            shapes.made.iter().map(|weight| weight.elements() * precision.bytes_of(weight.kind)).sum()
        };
        let mut shapes = Shapes::default();
        UNet::<CandleEngine>::new(self.unet.clone(), &mut shapes)?;
        if let Some(vae) = &self.vae {
            VaeEncoder::<CandleEngine>::new(vae, &mut shapes)?;
            VaeDecoder::<CandleEngine>::new(vae, &mut shapes)?;
        }
        let mut text = Shapes::default();
        for config in &self.text {
            ClipText::<CandleEngine>::new(config.clone(), &mut text)?;
        }
        Ok([bytes(&text), bytes(&shapes)])
    }

    /// Pixels to a latent, in each direction.
    fn reduction(&self) -> usize {
        self.vae.as_ref().map_or(8, VaeConfig::reduction)
    }

    fn side(&self) -> usize {
        self.unet.sample_size.unwrap_or(64) * self.reduction()
    }
}

/// Tokenizers, threads and their buffers, what a job leaves in the allocator: measured with models of a few thousand
/// weights.
const WORKING: usize = 26 << 20;

/// What training has besides: its photos, the batches and collages that are made ahead, the thread that makes them.
const WORKING_TRAINING: usize = 8 << 20;

/// Plans a job on the base model `base`.
///
/// # Errors
/// A folder without configurations, or with ones that are not supported.
pub fn plan(base: &Source, job: Job<'_>) -> Result<Plan, BaseError> {
    let configs = Configs::read(base)?;
    let precision = match job {
        Job::Train(recipe) => crate::base::precision(recipe.precision),
        Job::Generate { precision, .. } => precision,
    };
    let half = precision == Precision::Half;
    // Text encoders are let go before the rest is loaded.
    let [text, rest] = configs.weights(precision)?;
    let mut plan = Plan { program: resident() + WORKING, weights: text.max(rest), ..Plan::default() };
    match job {
        Job::Generate { size, tile, count, lora, .. } => {
            let [height, width] = size.unwrap_or([configs.side(); 2]);
            let mut unet = unet(&configs, half)?;
            plan.lora = lora.map_or(0, |recipe| attach(&mut unet, recipe, false));
            let latent = [height, width].map(|length| length / configs.reduction());
            plan.activations =
                unet.sampling(&configs, 2 * count, latent)?.max(decoding(&configs, half, latent, tile)?);
        }
        Job::Train(recipe) => {
            plan.program += WORKING_TRAINING;
            let side = if recipe.resolution == 0 { configs.side() } else { recipe.resolution as usize };
            let latent = [side / configs.reduction(); 2];
            let mut unet = unet(&configs, half)?;
            plan.lora = attach(&mut unet, recipe, true);
            // Two moments of four bytes or of one, or Prodigy's four numbers, for each factor of four bytes.
            plan.optimizer = match recipe.optimizer {
                recipe::Optimizer::Adamw => 2 * plan.lora,
                recipe::Optimizer::Adamw8bit => plan.lora / 2 + plan.lora / 128,
                recipe::Optimizer::Prodigy => 4 * plan.lora,
            };
            let prior = recipe.regularization == Regularization::Prior;
            let batch = recipe.batch as usize * if prior { 2 } else { 1 };
            let step = if recipe.gradient_checkpointing {
                unet.checkpointed_step(&configs, batch, latent)?
            } else {
                unet.step(&configs, batch, latent)?
            };
            // Photos are encoded one at a time before the first step; collages while a step goes on.
            let tile = Some(recipe.vae_tile as usize).filter(|&tile| tile > 0);
            let encoding = encoding(&configs, half, tile.map_or(side, |tile| tile.min(side)))?;
            let collages = recipe.collage_probability() > 0.0;
            plan.activations = if collages { step + encoding } else { step.max(encoding) };
            // The base draws the prior images, before all that.
            if prior {
                let count = PRIOR_BATCH.min(recipe.prior_images as usize).max(1);
                let base = self::unet(&configs, half)?;
                plan.activations = plan.activations.max(base.sampling(&configs, 2 * count, latent)?);
            }
        }
    }
    Ok(plan.sum())
}

/// Bytes of all weights of a base model together.
///
/// # Errors
/// Those of [`plan`].
pub fn all_weights(base: &Source, precision: Precision) -> Result<usize, BaseError> {
    Ok(Configs::read(base)?.weights(precision)?.iter().sum())
}

struct Counting {
    engine: CountingEngine,
    unet: UNet<CountingEngine>,
}

fn unet(configs: &Configs, half: bool) -> Result<Counting, BaseError> {
    let mut engine = CountingEngine::new(half);
    let unet = UNet::new(configs.unet.clone(), &mut engine)?;
    Ok(Counting { engine, unet })
}

/// Attaches the factors of a recipe's LoRA; returns their bytes.
fn attach(counting: &mut Counting, recipe: &Recipe, learns: bool) -> usize {
    let mut bytes = 0;
    for mut layer in counting.unet.adaptable() {
        if layer.target(&recipe.targets).is_some() {
            let shapes = layer.factor_shapes(recipe.rank as usize);
            bytes += 4 * shapes.iter().map(|shape| shape.iter().product::<usize>()).sum::<usize>();
            let [down, up] = shapes.map(|shape| counting.engine.weight(&shape, learns));
            layer.attach(Some(LoraFactors { down, up, scale: 1.0 }));
        }
    }
    bytes
}

impl Counting {
    fn input(
        &self,
        configs: &Configs,
        batch: usize,
        [h, w]: [usize; 2],
    ) -> Result<UNetInput<CountingEngine>, BaseError> {
        let of = |shape: &[usize]| self.engine.from_slice(&[], shape);
        let config = &configs.unet;
        let added = match (config.projection_class_embeddings_input_dim, config.addition_time_embed_dim) {
            (Some(all), Some(sizes)) => Some(AddedConditioning {
                text_embeds: of(&[batch, all.saturating_sub(6 * sizes)])?,
                time_ids: vec![0.0; 6 * batch],
            }),
            _ => None,
        };
        let tokens = configs.text.first().map_or(77, |text| text.max_position_embeddings);
        let width = config.cross_attention_dim.at(0, "cross_attention_dim")?;
        Ok(UNetInput {
            sample: of(&[batch, h, w, config.in_channels])?,
            timesteps: vec![0.0; batch],
            encoder_hidden_states: of(&[batch, tokens, width])?,
            added,
            lora_scale: 1.0,
        })
    }

    fn sampling(&self, configs: &Configs, batch: usize, latent: [usize; 2]) -> Result<usize, BaseError> {
        let input = self.input(configs, batch, latent)?;
        self.unet.forward(&self.engine, &input)?;
        Ok(self.engine.peak())
    }

    fn step(&self, configs: &Configs, batch: usize, latent: [usize; 2]) -> Result<usize, BaseError> {
        let input = self.input(configs, batch, latent)?;
        let output = self.unet.forward(&self.engine, &input)?;
        self.engine.backward(&[(&output, self.engine.seed(&output))]);
        Ok(self.engine.peak())
    }

    /// As `mudi_engine_candle::checkpoint` does it.
    fn checkpointed_step(
        &self,
        configs: &Configs,
        batch: usize,
        latent: [usize; 2],
    ) -> Result<usize, BaseError> {
        let (engine, unet) = (&self.engine, &self.unet);
        let input = self.input(configs, batch, latent)?;
        let with = unet.condition(engine, &input)?;
        let with = Conditioning {
            time: CountingEngine::detached(&with.time),
            context: CountingEngine::detached(&with.context),
            lora_scale: with.lora_scale,
        };
        let mut x = CountingEngine::detached(&input.sample);
        let mut skips: Vec<Counted> = Vec::new();
        let mut kept = Vec::new();
        for index in 0..unet.stage_count() {
            let skip = if unet.skip(index) == Skip::Pop { skips.pop() } else { None };
            let size = skips.last().map(|skip| {
                let shape = engine.shape(skip);
                [shape[1], shape[2]]
            });
            let y = unet.run_stage(engine, index, &x, skip.as_ref(), size, &with)?;
            let y = CountingEngine::detached(&y);
            kept.push((x, skip, size));
            if unet.skip(index) == Skip::Push {
                skips.push(y.clone());
            }
            x = y;
        }
        let mut dx = Some(engine.seed(&x));
        let mut skip_gradients = Vec::new();
        let mut leaves = Vec::new();
        for index in (0..unet.stage_count()).rev() {
            let Some((x, skip, size)) = kept.pop() else { break };
            let x = engine.leaf(&x);
            let skip = skip.map(|skip| engine.leaf(&skip));
            let y = unet.run_stage(engine, index, &x, skip.as_ref(), size, &with)?;
            let mut seeds: Vec<_> = dx.take().map(|dx| (&y, dx)).into_iter().collect();
            if unet.skip(index) == Skip::Push {
                seeds.extend(skip_gradients.pop().map(|gradient| (&y, gradient)));
            }
            let mut gradients = engine.backward(&seeds);
            drop(seeds);
            dx = CountingEngine::take(&mut gradients, &x);
            if let Some(skip) = &skip {
                skip_gradients.extend(CountingEngine::take(&mut gradients, skip));
            }
            leaves.push(gradients);
        }
        Ok(engine.peak())
    }
}

/// Encoding one square picture.
fn encoding(configs: &Configs, half: bool, side: usize) -> Result<usize, BaseError> {
    let Some(vae) = &configs.vae else { return Ok(0) };
    let mut engine = CountingEngine::new(half);
    let encoder = VaeEncoder::new(vae, &mut engine)?;
    let x = engine.from_slice(&[], &[1, side, side, vae.in_channels])?;
    encoder.forward(&engine, &x)?;
    Ok(engine.peak())
}

/// Decoding one picture, whole or in tiles.
fn decoding(
    configs: &Configs,
    half: bool,
    latent: [usize; 2],
    tile: Option<usize>,
) -> Result<usize, BaseError> {
    let Some(vae) = &configs.vae else { return Ok(0) };
    let mut engine = CountingEngine::new(half);
    let decoder = VaeDecoder::new(vae, &mut engine)?;
    let side = |length: usize| tile.map_or(length, |tile| length.min((tile / vae.reduction()).max(1)));
    let [h, w] = latent.map(side);
    let z = engine.from_slice(&[], &[1, h, w, vae.latent_channels])?;
    decoder.forward(&engine, &z)?;
    Ok(engine.peak())
}
