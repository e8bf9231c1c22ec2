//! A LoRA of denoiser and text encoders: gradients against PyTorch and PEFT, through text states and pooled text, and its files.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::Path;

use mudi::base::{Source, TextEncoders, TextStates, Tokens};
use mudi_diffusion::schedule::PredictionType;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_diffusion::{Component, ParameterKind};
use mudi_engine_candle::lora::{self, Attachment, DEFAULT_TARGETS, Dialect, LoraFile, Target, translate};
use mudi_engine_candle::weights::{NamedTensors, Precision, Trainable, values_from_file};
use mudi_engine_candle::{CandleEngine, Gradients, Tensor, backward, checkpoint, nchw};
use mudi_tests::golden::{engines, error_of_range, fixture, tensors, values};

/// Those of the fixture's generator.
const PROMPTS: [&str; 2] = [
    "a photo of a olis brown teddy bear",
    "a photo of a hta blue robot and a olis brown teddy bear, in the snow",
];
const RANK: usize = 2;
const ALPHA: f32 = 8.0;

struct Networks {
    source: Source,
    engine: CandleEngine,
    unet: UNet<CandleEngine>,
    text: TextEncoders,
    golden: NamedTensors,
}

struct Setup {
    networks: Networks,
    trainable: Vec<Trainable>,
}

impl Networks {
    fn new(engine: CandleEngine) -> Self {
        let source = Source::open(&fixture("sdxl-tiny")).unwrap().on(engine.clone());
        let config = source.unet_config().unwrap();
        let unet = source
            .load(&engine, Component::Unet, Precision::Single, |weights| UNet::new(config, weights))
            .unwrap();
        let text = TextEncoders::load(&engine, &source, Precision::Single).unwrap();
        Self { source, engine, unet, text, golden: tensors("sdxl-tiny/golden/lora_text.safetensors") }
    }

    fn encoded(&self) -> TextStates {
        let tokens = self.text.tokens(&PROMPTS).unwrap();
        self.text.encode_tokens(&self.engine, &tokens.iter().collect::<Vec<&Tokens>>()).unwrap()
    }

    fn input(&self) -> UNetInput<CandleEngine> {
        let TextStates { context, pooled } = self.encoded();
        UNetInput {
            sample: nchw::to_channels_last(&self.golden["sample"]).unwrap(),
            timesteps: values(&self.golden["timestep"]),
            encoder_hidden_states: context,
            added: Some(AddedConditioning {
                text_embeds: pooled.unwrap(),
                time_ids: values(&self.golden["time_ids"]),
            }),
            lora_scale: 1.0,
        }
    }

    /// Text states, pooled text and the denoiser's answer.
    fn answers(&self) -> [Vec<f32>; 3] {
        let input = self.input();
        let output = self.unet.forward(&self.engine, &input).unwrap();
        let pooled = input.added.unwrap().text_embeds;
        [input.encoder_hidden_states, pooled, output].map(|tensor| values(tensor.value()))
    }

    fn attach(&mut self, file: LoraFile) -> usize {
        let found = Attachment::new(file, &self.source.layers().unwrap()).unwrap();
        self.text.attach(&found).unwrap();
        found.attach(Component::Unet, self.unet.adaptable()).unwrap()
    }

    fn detach(&mut self) {
        self.text.detach();
        lora::detach(self.unet.adaptable());
    }
}

impl Setup {
    fn new(engine: CandleEngine) -> Self {
        let mut networks = Networks::new(engine);
        let Networks { unet, text, golden, .. } = &mut networks;
        let factor =
            |name: &str, _: &[usize]| values_from_file(&golden[name], ParameterKind::Linear).unwrap();
        let targets = DEFAULT_TARGETS.map(String::from);
        let mut trainable = lora::attach_trainable(unet, &targets, RANK, ALPHA, factor).unwrap();
        trainable.extend(text.attach_trainable(RANK, ALPHA, factor).unwrap());
        Self { networks, trainable }
    }

    fn seed(&self, output: &Tensor) -> candle_core::Tensor {
        let target = nchw::to_channels_last(&self.networks.golden["target"]).unwrap();
        let count = output.value().elem_count() as f64;
        ((output.value() - target.value()).unwrap() * (2.0 / count)).unwrap()
    }

    fn dense(&self) -> Gradients {
        let Networks { engine, unet, .. } = &self.networks;
        let output = unet.forward(engine, &self.networks.input()).unwrap();
        backward(&[(&output, self.seed(&output))]).unwrap()
    }

    fn file(&self) -> LoraFile {
        let tensors = lora::to_file(&self.trainable, &self.networks.unet.config).unwrap();
        LoraFile::from_tensors(Path::new("ours"), tensors, Some(ALPHA)).unwrap()
    }
}

/// What the last layer of the first encoder does is not in the states before it.
fn has_no_effect(name: &str) -> bool {
    name.starts_with("text_encoder.text_model.encoder.layers.2.")
}

#[test]
fn gradients_of_denoiser_and_text_encoders_equal_pytorch_and_peft() {
    for setup in engines().map(Setup::new) {
        let golden = &setup.networks.golden;
        let expected =
            [&golden["out.encoder_hidden_states"], &golden["out.text_embeds"], &golden["out.sample"]];
        let expected = expected.map(|value| match value.rank() {
            4 => values(nchw::to_channels_last(value).unwrap().value()),
            _ => values(value),
        });
        for (found, expected) in setup.networks.answers().iter().zip(&expected) {
            let error = error_of_range(found, expected);
            assert!(error < 1e-5, "{error:e}");
        }
        let gradients = setup.dense();
        let norm = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let mut errors = Vec::new();
        for weight in &setup.trainable {
            let reference = golden.get(&format!("grad.{}", weight.name));
            assert_eq!(reference.is_none(), has_no_effect(&weight.name), "{}", weight.name);
            let found = gradients.get(&weight.leaf);
            assert_eq!(found.is_none(), reference.is_none(), "{}", weight.name);
            let (Some(found), Some(reference)) = (found, reference) else { continue };
            let (found, reference) = (values(found), values_from_file(reference, weight.kind).unwrap());
            let difference: Vec<f32> = found.iter().zip(&reference).map(|(a, b)| a - b).collect();
            errors.push((norm(&difference) / norm(&reference), &weight.name));
        }
        assert_eq!(gradients.len(), errors.len(), "a gradient for nothing else");
        let worst = errors.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("{} factors, worst relative error {:.2e} ({})", errors.len(), worst.0, worst.1);
        assert!(worst.0 <= 1e-3, "{worst:?}");
        let all = golden.keys().filter(|name| name.starts_with("grad.")).count();
        assert_eq!(errors.len(), all, "every gradient of the reference was compared");
    }
}

#[test]
fn checkpointed_gradients_of_text_encoders_equal_dense_ones() {
    for setup in engines().map(Setup::new) {
        let dense = setup.dense();
        let Networks { engine, unet, .. } = &setup.networks;
        let pass = checkpoint::forward(engine, unet, &setup.networks.input()).unwrap();
        let seed = setup.seed(&pass.output);
        let checkpointed = pass.backward(engine, seed).unwrap();
        assert_eq!(checkpointed.len(), dense.len());
        for weight in &setup.trainable {
            let of = |gradients: &Gradients| gradients.get(&weight.leaf).map(values);
            assert_eq!(of(&checkpointed), of(&dense), "{}", weight.name);
        }
    }
}

#[test]
fn a_file_of_what_was_trained_is_the_same_model_until_it_is_taken_away() {
    for setup in engines().map(Setup::new) {
        let expected = setup.networks.answers();
        let mut networks = Networks::new(setup.networks.engine.clone());
        let base = networks.answers();
        let layers = networks.source.layers().unwrap();
        let target = Target {
            layers: &layers,
            unet: &networks.unet.config.clone(),
            prediction: PredictionType::Epsilon,
            resolution: 64,
        };
        let kohya = translate(setup.file(), Dialect::Kohya, target, "ours").unwrap().0;
        let second = "lora_te2_text_model_encoder_layers_2_self_attn_out_proj";
        assert_eq!(values(&kohya[&format!("{second}.alpha")]), [ALPHA]);
        assert!(kohya.contains_key("lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight"));
        let kohya = LoraFile::from_tensors(Path::new("kohya"), kohya, None).unwrap();
        for file in [setup.file(), kohya] {
            networks.attach(file);
            assert_eq!(networks.answers(), expected);
            networks.detach();
            assert_eq!(networks.answers(), base);
        }
        for (base, adapted) in base.iter().zip(&expected) {
            assert_ne!(base, adapted, "text states, pooled text and answer change");
        }
    }
}

#[test]
fn captions_of_several_chunks_are_encoded_as_they_are_one_by_one() {
    let setup = Setup::new(CandleEngine::cpu());
    let Networks { engine, text, .. } = &setup.networks;
    let long = ["a photo of a bear ".repeat(20), "a robot".to_owned()];
    let long = [long[0].as_str(), long[1].as_str()];
    let tokens = text.tokens(&long).unwrap();
    let both = text.encode_tokens(engine, &[&tokens[0], &tokens[1]]).unwrap();
    assert!(both.context.is_tracked() && both.pooled.as_ref().unwrap().is_tracked());
    assert_eq!(both.context.value().dims()[..2], [2, 2 * 77]);
    let each = text.encode_captions(engine, &long).unwrap();
    let context: Vec<f32> = each.iter().flat_map(|text| text.context.clone()).collect();
    let pooled: Vec<f32> = each.iter().flat_map(|text| text.pooled.clone().unwrap()).collect();
    assert!(error_of_range(&values(both.context.value()), &context) < 1e-6);
    assert!(error_of_range(&values(both.pooled.unwrap().value()), &pooled) < 1e-6);
}
