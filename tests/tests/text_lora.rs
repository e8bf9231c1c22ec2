//! A LoRA, and DoRA, of denoiser and text encoders: gradients against PyTorch and PEFT, through text states and pooled text; its files; and
//! the program that trains it.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::path::Path;

use mudi::base::{Source, TextEncoders, TextStates, Tokens};
use mudi_diffusion::schedule::PredictionType;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_diffusion::{Component, ParameterKind};
use mudi_engine_candle::lora::{
    self, Adaptation, Attachment, DEFAULT_TARGETS, Dialect, Learning, LoraFile, Target, translate,
};
use mudi_engine_candle::weights::{
    NamedTensors, Precision, read_safetensors, read_safetensors_metadata, to_safetensors, values_from_file,
};
use mudi_engine_candle::{CandleEngine, Gradients, Tensor, backward, checkpoint, nchw};
use mudi_tests::golden::{engines, error_of_range, fixture, tensors, values};
use mudi_tests::workshop::{Workshop, json, ok, refs, refused};

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
    learning: Learning,
}

impl Networks {
    /// With the golden tensors of the file `golden`.
    fn new(engine: CandleEngine, golden: &str) -> Self {
        let source = Source::open(&fixture("sdxl-tiny")).unwrap().on(engine.clone());
        let config = source.unet_config().unwrap();
        let unet = source
            .load(&engine, Component::Unet, Precision::Single, |weights| UNet::new(config, weights))
            .unwrap();
        let text = TextEncoders::load(&engine, &source, Precision::Single).unwrap();
        Self {
            source,
            engine,
            unet,
            text,
            golden: tensors(&format!("sdxl-tiny/golden/{golden}.safetensors")),
        }
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
    fn new(engine: CandleEngine, golden: &str) -> Self {
        let mut networks = Networks::new(engine, golden);
        let Networks { unet, text, golden: tensors, .. } = &mut networks;
        let factor =
            |name: &str, _: &[usize]| values_from_file(&tensors[name], ParameterKind::Linear).unwrap();
        let targets = DEFAULT_TARGETS.map(String::from);
        let adaptation = Adaptation { rank: RANK, alpha: ALPHA, dora: golden.starts_with("dora") };
        let mut learning = lora::attach_trainable(unet, &targets, adaptation, factor).unwrap();
        learning.extend(text.attach_trainable(adaptation, factor).unwrap());
        for weight in learning.weights.iter().filter(|weight| weight.name.contains("magnitude")) {
            weight.set(values(&tensors[&weight.name])).unwrap();
        }
        Self { networks, learning }
    }

    /// By a LoRA and by DoRA, on every path of the engine.
    fn all() -> impl Iterator<Item = Self> {
        ["lora_text", "dora_text"]
            .into_iter()
            .flat_map(|golden| engines().map(|engine| Self::new(engine, golden)))
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
        let tensors = lora::to_file(&self.learning.weights, &self.networks.unet.config).unwrap();
        LoraFile::from_tensors(Path::new("ours"), tensors, Some(ALPHA)).unwrap()
    }
}

/// What the last layer of the first encoder does is not in the states before it.
fn has_no_effect(name: &str) -> bool {
    name.starts_with("text_encoder.text_model.encoder.layers.2.")
}

#[test]
fn gradients_of_denoiser_and_text_encoders_equal_pytorch_and_peft() {
    for setup in Setup::all() {
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
        for weight in &setup.learning.weights {
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
    for setup in Setup::all() {
        let dense = setup.dense();
        let Networks { engine, unet, .. } = &setup.networks;
        let pass = checkpoint::forward(engine, unet, &setup.networks.input()).unwrap();
        let seed = setup.seed(&pass.output);
        let checkpointed = pass.backward(engine, seed).unwrap();
        assert_eq!(checkpointed.len(), dense.len());
        for weight in &setup.learning.weights {
            let of = |gradients: &Gradients| gradients.get(&weight.leaf).map(values);
            assert_eq!(of(&checkpointed), of(&dense), "{}", weight.name);
        }
    }
}

#[test]
fn a_file_of_what_was_trained_is_the_same_model_until_it_is_taken_away() {
    for setup in Setup::all() {
        let expected = setup.networks.answers();
        let mut networks = Networks::new(setup.networks.engine.clone(), "lora_text");
        let base = networks.answers();
        let layers = networks.source.layers().unwrap();
        let target = Target {
            layers: &layers,
            unet: &networks.unet.config.clone(),
            prediction: PredictionType::Epsilon,
            resolution: 64,
        };
        let (peft, metadata) = translate(setup.file(), Dialect::Peft, target, "ours").unwrap();
        assert!(peft.contains_key("text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"));
        // With transformers of today the first encoder's modules are called without `text_model`.
        let modules = r#""text_encoder.target_modules":["encoder.layers.0.self_attn.k_proj""#;
        assert!(metadata["lora_adapter_metadata"].contains(modules), "{metadata:?}");
        assert!(metadata["ss_base_model_version"].starts_with("sdxl_"), "{metadata:?}");
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
    let setup = Setup::new(CandleEngine::cpu(), "lora_text");
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

/// A run that learns so much in a few steps that it shows.
const LEARNING: [&str; 8] = [
    "--learning-rate",
    "0.01",
    "--text-encoder-learning-rate",
    "0.01",
    "--alpha",
    "7",
    "--regularization",
    "none",
];

#[test]
fn a_run_teaches_text_encoders_and_generates_with_them() {
    teaches_and_generates(false);
}

#[test]
fn a_run_by_dora_teaches_them_and_generates_with_them() {
    teaches_and_generates(true);
}

fn teaches_and_generates(dora: bool) {
    let shop = Workshop::new();
    shop.toys();
    ok(&refs(
        &shop.train("run", &[&LEARNING[..], &["--dora", if dora { "true" } else { "false" }]].concat()),
    ));
    let (run, file) = (shop.path("run"), shop.path("run/pytorch_lora_weights.safetensors"));
    let tensors = read_safetensors(Path::new(&file)).unwrap();
    for (name, value) in &tensors {
        let zero = values(value).iter().all(|&value| value == 0.0);
        assert_eq!(zero, name.contains("lora_B") && has_no_effect(name), "{name}");
    }
    let count = |start: &str| tensors.keys().filter(|name| name.starts_with(start)).count();
    let parts = if dora { 3 } else { 2 };
    assert_eq!((count("text_encoder."), count("text_encoder_2.")), (12 * parts, 12 * parts));
    let of_dora = |name: &&String| name.contains(".lora_magnitude_vector");
    assert_eq!(tensors.keys().filter(of_dora).count(), if dora { tensors.len() / 3 } else { 0 });
    // As diffusers reads them, which loads text encoders' with transformers.
    for name in tensors.keys().filter(of_dora) {
        assert_eq!(name.starts_with("text_encoder"), name.ends_with(".weight"), "{name}");
    }

    let picture = |name: &str, arguments: &[&str]| {
        let out = shop.path(name);
        let common =
            ["generate", "--prompt", "olis", "--steps", "2", "--count", "1", "--no-metadata", "--quiet"];
        ok(&[&common[..], &["--out", &out], arguments].concat());
        image::open(format!("{out}/0000.png")).unwrap().to_rgb8().into_raw()
    };
    let own = picture("own", &["--run", &run]);
    let plain = picture("plain", &["--base", &shop.base]);
    assert!(own != plain, "it has learnt something");
    assert_eq!(picture("zero", &["--run", &run, "--lora-scale", "0"]), plain);

    // Other programs get all of it: what is added to the weights gives the same picture, and half of it is half of both.
    let half = picture("half", &["--run", &run, "--lora-scale", "0.5"]);
    for format in ["peft", "kohya"] {
        let exported = shop.path(&format!("{format}.safetensors"));
        ok(&["export", "--run", &run, "--format", format, "--out", &exported]);
        for (weight, expected) in [("1", &own), ("0.5", &half)] {
            let lora = format!("{exported}:{weight}");
            let found = picture(&format!("{format}-{weight}"), &["--base", &shop.base, "--lora", &lora]);
            let most = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most <= Some(2), "{format} at {weight}: {most:?}");
        }
    }

    // Without the text encoders' part it is another picture.
    let unet: NamedTensors = tensors.into_iter().filter(|(name, _)| name.starts_with("unet.")).collect();
    let metadata: BTreeMap<String, String> = read_safetensors_metadata(Path::new(&file)).unwrap();
    assert!(metadata["lora_adapter_metadata"].contains(r#""text_encoder_2.lora_alpha":7.0"#), "{metadata:?}");
    std::fs::write(&file, to_safetensors(&unet, Some(&metadata)).unwrap()).unwrap();
    assert!(picture("denoiser", &["--run", &run]) != own);
}

#[test]
fn every_layer_of_a_lone_encoder_learns() {
    let mut shop = Workshop::new();
    shop.base = fixture("sd15-tiny").display().to_string();
    shop.toys();
    ok(&refs(&shop.train("run", &LEARNING)));
    let tensors = read_safetensors(Path::new(&shop.path("run/pytorch_lora_weights.safetensors"))).unwrap();
    assert!(tensors.iter().all(|(_, value)| values(value).iter().any(|&value| value != 0.0)));
    assert!(tensors.keys().any(|name| name.starts_with("text_encoder.")));
    assert!(!tensors.keys().any(|name| name.starts_with("text_encoder_2.")));
    let (run, out) = (shop.path("run"), shop.path("kohya.safetensors"));
    ok(&["export", "--run", &run, "--format", "kohya", "--out", &out]);
    let names = read_safetensors(Path::new(&out)).unwrap();
    assert!(names.contains_key("lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight"));
    ok(&[
        "generate",
        "--run",
        &run,
        "--prompt",
        "olis",
        "--steps",
        "2",
        "--count",
        "1",
        "--out",
        &shop.path("out"),
    ]);
}

#[test]
fn learning_text_encoders_are_planned_and_prodigy_has_one_rate() {
    let shop = Workshop::new();
    let photos = shop.toys();
    let planned = |further: &[&str]| {
        let plan = json(&[&["plan", "--base", &shop.base, "--rank", "4"], further].concat());
        let rows = plan["rows"].as_array().unwrap().clone();
        rows.into_iter()
            .map(|row| ["weights", "lora", "activations"].map(|key| row[key].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let (frozen, learning) = (planned(&[]), planned(&["--text-encoder-learning-rate", "5e-5"]));
    let dora = planned(&["--dora", "true"]);
    for (index, (dora, plain)) in dora.iter().zip(&frozen).enumerate() {
        assert!(dora[1] > plain[1], "{index}: magnitudes");
        // With checkpointing the peak is elsewhere.
        assert!(dora[2] > plain[2] || index % 3 == 1, "{index}: norms, and what magnitudes' gradient needs");
    }
    let both = planned(&["--dora", "true", "--text-encoder-learning-rate", "5e-5"]);
    // The projections of three layers each, of 24 and 32 channels.
    let factors = 4 * 4 * 4 * 2 * 3 * (24 + 32);
    for (index, (frozen, learning)) in frozen.iter().zip(&learning).enumerate() {
        let trains = index % 3 < 2;
        assert_eq!(learning[1] - frozen[1], factors, "{index}");
        assert_eq!(both[index][1] - dora[index][1], factors + 4 * 4 * 3 * (24 + 32), "{index}");
        assert_eq!(learning[0] > frozen[0], trains, "{index}: encoders stay where they learn");
        assert_eq!(learning[2] > frozen[2], trains, "{index}: their activations, too");
    }
    let out = shop.path("run");
    let train = ["train", "--photos", &photos, "--base", &shop.base, "--out", &out];
    let rates = ["--optimizer", "prodigy", "--learning-rate", "1", "--text-encoder-learning-rate", "0.5"];
    refused(&[&train[..], &rates].concat(), &["prodigy", "text-encoder-learning-rate"]);
}
