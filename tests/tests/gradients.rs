//! Gradients of a LoRA and of DoRA on a whole UNet against PyTorch and PEFT, dense and checkpointed.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mudi_diffusion::schedule::PredictionType;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_diffusion::{Component, ParameterKind};
use mudi_engine_candle::lora::{
    Adaptation, Attachment, Dialect, Learning, LoraFile, Stack, Target, translate,
};
use mudi_engine_candle::weights::{FileWeights, NamedTensors, Trainable, values_from_file};
use mudi_engine_candle::{
    AdamW, AdamWConfig, CandleEngine, Gradients, Tensor, backward, checkpoint, lora, nchw,
};
use mudi_tests::golden::{engines, fixture, network, tensors, values};

/// That of the fixtures.
const ALPHA: f32 = 8.0;

struct Setup {
    base: &'static str,
    engine: CandleEngine,
    unet: UNet<CandleEngine>,
    learning: Learning,
    golden: NamedTensors,
}

/// The UNet with its attentions adapted, on every path of the engine.
fn setups() -> [Setup; 2] {
    engines().map(|engine| setup(engine, "sdxl-tiny", "lora", 4, &lora::DEFAULT_TARGETS))
}

/// The same, and with every layer adapted that can be, by a LoRA or by DoRA; and one with 1x1 convolutions around its transformers.
fn all_setups() -> impl Iterator<Item = Setup> {
    let all_layers = ["lora_all", "dora_all"].into_iter().flat_map(setups_of_all_layers);
    setups().into_iter().chain(all_layers).chain(["lora", "dora"].into_iter().flat_map(setups_of_sd15))
}

/// The attentions of SD 1.5, and the 1x1 convolutions around its transformers, which are linear layers here.
fn setups_of_sd15(name: &str) -> [Setup; 2] {
    let targets = [&lora::DEFAULT_TARGETS[..], &["proj_in", "proj_out"]].concat();
    engines().map(|engine| setup(engine, "sd15-tiny", name, 2, &targets))
}

/// Every layer adapted that can be.
fn setups_of_all_layers(name: &str) -> [Setup; 2] {
    const OTHERS: [&str; 6] =
        ["conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv", "conv_in", "conv_out"];
    let targets = [&lora::DEFAULT_TARGETS[..], &lora::FURTHER_TARGETS, &OTHERS].concat();
    engines().map(|engine| setup(engine, "sdxl-tiny", name, 2, &targets))
}

fn setup(engine: CandleEngine, base: &'static str, name: &str, rank: usize, targets: &[&str]) -> Setup {
    let golden = tensors(&format!("{base}/golden/{name}.safetensors"));
    let mut unet = denoiser(&engine, base);
    let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
    let adaptation = Adaptation { rank, alpha: ALPHA, dora: name.starts_with("dora") };
    let learning = lora::attach_trainable(&mut unet, &targets, adaptation, |name, shape| {
        let kind = if shape.len() == 4 { ParameterKind::Convolution } else { ParameterKind::Linear };
        values_from_file(&golden[name], kind).unwrap()
    });
    let learning = learning.unwrap();
    for weight in learning.weights.iter().filter(|weight| is_magnitude(weight)) {
        weight.set(values(&golden[&weight.name])).unwrap();
    }
    Setup { base, engine, unet, learning, golden }
}

fn denoiser(engine: &CandleEngine, base: &str) -> UNet<CandleEngine> {
    network(engine, &format!("{base}/unet"), "diffusion_pytorch_model.safetensors", true, UNet::new)
}

fn is_magnitude(weight: &Trainable) -> bool {
    weight.name.ends_with(".lora_magnitude_vector")
}

/// Attaches a LoRA of the denoiser; returns how many layers it adapts.
fn attach(unet: &mut UNet<CandleEngine>, file: LoraFile) -> usize {
    let layers = lora::layers(&unet.config, &[]).unwrap();
    Attachment::new(file, &layers).unwrap().attach(Component::Unet, unet.adaptable()).unwrap()
}

impl Setup {
    fn input(&self) -> UNetInput<CandleEngine> {
        let golden = &self.golden;
        UNetInput {
            sample: nchw::to_channels_last(&golden["sample"]).unwrap(),
            timesteps: values(&golden["timestep"]),
            encoder_hidden_states: Tensor::constant(golden["encoder_hidden_states"].clone()),
            added: golden.get("text_embeds").map(|embeds| AddedConditioning {
                text_embeds: Tensor::constant(embeds.clone()),
                time_ids: values(&golden["time_ids"]),
            }),
            lora_scale: 1.0,
        }
    }

    /// The mean squared error's gradient with respect to the output.
    fn seed(&self, output: &Tensor) -> candle_core::Tensor {
        let target = nchw::to_channels_last(&self.golden["target"]).unwrap();
        let count = output.value().elem_count() as f64;
        ((output.value() - target.value()).unwrap() * (2.0 / count)).unwrap()
    }

    fn dense(&self) -> Gradients {
        let output = self.unet.forward(&self.engine, &self.input()).unwrap();
        backward(&[(&output, self.seed(&output))]).unwrap()
    }
}

#[test]
fn gradients_equal_pytorch_and_peft() {
    all_setups().for_each(|setup| equal_pytorch(&setup));
}

fn equal_pytorch(setup: &Setup) {
    let gradients = setup.dense();
    assert_eq!(
        gradients.len(),
        setup.learning.weights.len(),
        "a gradient for every factor and for nothing else"
    );
    let mut errors: BTreeMap<&str, f64> = BTreeMap::new();
    let norm = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
    let references: Vec<Vec<f32>> = (setup.learning.weights.iter())
        .map(|weight| values_from_file(&setup.golden[&format!("grad.{}", weight.name)], weight.kind).unwrap())
        .collect();
    let largest = references.iter().map(|values| norm(values)).fold(0.0, f64::max);
    let mut nothing = Vec::new();
    for (weight, expected) in setup.learning.weights.iter().zip(&references) {
        let found = values(gradients.get(&weight.leaf).unwrap());
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        if norm(expected) < 1e-6 * largest {
            // What is left of a gradient of 0 by rounding.
            assert!(norm(&found) < 1e-6 * largest, "{}", weight.name);
            nothing.push(weight.name.as_str());
            errors.insert(&weight.name, 0.0);
        } else {
            errors.insert(&weight.name, norm(&difference) / norm(expected));
        }
    }
    // The finest level has as many groups as channels, so that its norms take away what the timestep adds, and how long a channel's
    // weights are.
    let finest = |name: &&str| {
        let blocks = ["unet.down_blocks.0.resnets", "unet.up_blocks.2.resnets"];
        blocks.iter().any(|block| name.starts_with(block))
            && (name.contains("time_emb_proj") || name.ends_with("conv1.lora_magnitude_vector"))
    };
    assert!(nothing.iter().all(finest), "{nothing:?}");
    let worst = errors.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    println!("{} factors, worst relative error {:.2e} ({})", errors.len(), worst.1, worst.0);
    assert!(*worst.1 <= 1e-3, "{worst:?}");
    let expected = setup.golden.keys().filter(|name| name.starts_with("grad.unet.")).count();
    assert_eq!(errors.len(), expected);
}

/// Magnitudes begin where PEFT's do, and with them and the factors the norms change from step to step.
#[test]
fn dora_begins_and_goes_on_as_in_peft() {
    const RATE: f64 = 1e-3;
    for setup in setups_of_all_layers("dora_all") {
        let weights = &setup.learning.weights;
        let norm = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let apart = |found: &[f32], expected: &[f32]| {
            let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
            norm(&difference) / norm(expected)
        };
        let mut optimizer = AdamW::new(AdamWConfig::default());
        let mut still = BTreeMap::new();
        for step in 0..10 {
            let gradients = setup.dense();
            if step == 0 {
                let size = |weight: &Trainable| norm(&values(gradients.get(&weight.leaf).unwrap()));
                let largest = weights.iter().map(size).fold(0.0, f64::max);
                still.extend(weights.iter().map(|weight| (&weight.name, size(weight) < 1e-6 * largest)));
            }
            optimizer.update(weights.iter().map(|weight| (&weight.leaf, RATE)), &gradients, 1.0).unwrap();
            setup.learning.renew().unwrap();
        }
        let mut worst = (0.0, "");
        for weight in weights.iter().filter(|weight| !still[&weight.name]) {
            let of = |start: &str| {
                values_from_file(&setup.golden[&format!("{start}{}", weight.name)], weight.kind).unwrap()
            };
            let (found, expected, before) = (values(weight.leaf.value()), of("after."), of(""));
            assert!(apart(&expected, &before) > 1e-3, "{} has moved", weight.name);
            let error = apart(&found, &expected);
            worst = if error > worst.0 { (error, &weight.name) } else { worst };
        }
        println!("after ten steps: worst relative error {:.2e} ({})", worst.0, worst.1);
        assert!(worst.0 <= 1e-3, "{worst:?}");

        // With a second factor of zeros, as PEFT's is when it begins, lengths are those of the base's weights, and it is the base.
        let mut unet = denoiser(&setup.engine, setup.base);
        let base = values(unet.forward(&setup.engine, &setup.input()).unwrap().value());
        let adaptation = Adaptation { rank: 2, alpha: ALPHA, dora: true };
        let factor = |name: &str, shape: &[usize]| {
            let value = if name.contains("lora_B") { 0.0 } else { 0.5 };
            vec![value; shape.iter().product()]
        };
        let targets: Vec<String> = weights
            .iter()
            .filter_map(|weight| weight.name.strip_prefix("unet.")?.strip_suffix(".lora_magnitude_vector"))
            .map(str::to_owned)
            .collect();
        let begun = lora::attach_trainable(&mut unet, &targets, adaptation, factor).unwrap();
        assert_eq!(begun.weights.len(), weights.len());
        for weight in begun.weights.iter().filter(|weight| is_magnitude(weight)) {
            let expected = values(&setup.golden[&format!("start.{}", weight.name)]);
            let error = apart(&values(weight.leaf.value()), &expected);
            assert!(error < 1e-6, "{}: {error:e}", weight.name);
        }
        let found = values(unet.forward(&setup.engine, &setup.input()).unwrap().value());
        let error = mudi_tests::golden::error_of_range(&found, &base);
        assert!(error < 1e-5, "{error:e}");
    }
}

/// Attached or added to the weights, at every strength it is the same model; in what other tools read, too.
#[test]
fn dora_beside_the_weights_is_dora_in_them() {
    for setup in setups_of_all_layers("dora_all") {
        let config = &setup.unet.config;
        let layers = lora::layers(config, &[]).unwrap();
        let target =
            Target { layers: &layers, unet: config, prediction: PredictionType::Epsilon, resolution: 64 };
        let tensors = lora::to_file(&setup.learning.weights, config).unwrap();
        let file = || LoraFile::from_tensors(Path::new("ours"), tensors.clone(), Some(ALPHA)).unwrap();
        let (peft, metadata) = translate(file(), Dialect::Peft, target, "ours").unwrap();
        assert!(metadata["lora_adapter_metadata"].contains(r#""unet.use_dora":true"#), "{metadata:?}");
        let (kohya, _) = translate(file(), Dialect::Kohya, target, "ours").unwrap();
        for (name, value) in &tensors {
            assert_eq!(peft[name].dims(), value.dims(), "{name}");
        }
        let scales: Vec<_> = kohya.iter().filter(|(name, _)| name.ends_with(".dora_scale")).collect();
        assert_eq!(3 * scales.len(), setup.learning.weights.len());
        for (name, scale) in scales {
            let up = &kohya[&name.replace("dora_scale", "lora_up.weight")];
            let shape = [&up.dims()[..1], &vec![1; up.rank() - 1]].concat();
            assert_eq!(scale.dims(), shape, "{name}: a column of as many axes as LyCORIS gives it");
        }
        for strength in [1.0, 0.4] {
            let input = UNetInput { lora_scale: strength, ..setup.input() };
            let expected = values(setup.unet.forward(&setup.engine, &input).unwrap().value());
            for (dialect, file) in [("ours", &tensors), ("PEFT", &peft), ("kohya", &kohya)] {
                let alpha = (dialect == "ours").then_some(ALPHA);
                let file = LoraFile::from_tensors(Path::new(dialect), file.clone(), alpha).unwrap();
                let mut stack = Stack::default();
                stack.push(file, strength, &layers).unwrap();
                let path = fixture("sdxl-tiny/unet/diffusion_pytorch_model.safetensors");
                let weights = FileWeights::open(&setup.engine, &path).unwrap();
                let mut weights = weights.adapted(Component::Unet, &Arc::new(stack));
                let unet = weights.build(|weights| UNet::new(config.clone(), weights)).unwrap();
                let found = values(unet.forward(&setup.engine, &setup.input()).unwrap().value());
                let error = mudi_tests::golden::error_of_range(&found, &expected);
                assert!(error < 1e-5, "{dialect} at {strength}: {error:e}");
            }
        }
    }
}

#[test]
fn checkpointed_gradients_equal_dense_ones() {
    all_setups().for_each(|setup| checkpointed_equal_dense(&setup));
}

fn checkpointed_equal_dense(setup: &Setup) {
    let dense = setup.dense();
    let pass = checkpoint::forward(&setup.engine, &setup.unet, &setup.input()).unwrap();
    let seed = setup.seed(&pass.output);
    let checkpointed = pass.backward(&setup.engine, seed).unwrap();
    assert_eq!(checkpointed.len(), dense.len());
    for weight in &setup.learning.weights {
        let (a, b) =
            (values(checkpointed.get(&weight.leaf).unwrap()), values(dense.get(&weight.leaf).unwrap()));
        assert_eq!(a, b, "{}", weight.name);
    }
}

#[test]
fn a_lora_scaled_to_zero_is_the_base_model() {
    all_setups().for_each(|setup| scaled_to_zero(&setup));
}

fn scaled_to_zero(setup: &Setup) {
    let input = UNetInput { lora_scale: 0.0, ..setup.input() };
    let adapted = setup.unet.forward(&setup.engine, &input).unwrap();
    assert!(!adapted.is_tracked(), "nothing to learn, so nothing is recorded");
    let base: UNet<CandleEngine> = denoiser(&setup.engine, setup.base);
    let base = base.forward(&setup.engine, &setup.input()).unwrap();
    assert_eq!(values(adapted.value()), values(base.value()));
}

#[test]
fn a_file_of_what_was_trained_is_the_same_model() {
    for setup in all_setups() {
        let expected = values(setup.unet.forward(&setup.engine, &setup.input()).unwrap().value());
        let error = mudi_tests::golden::error_of_range(
            &expected,
            &values(nchw::to_channels_last(&setup.golden["out.sample"]).unwrap().value()),
        );
        assert!(error < 1e-5, "{error:e}");
        let tensors = lora::to_file(&setup.learning.weights, &setup.unet.config).unwrap();
        for (name, value) in &tensors {
            assert_eq!(value.dims(), setup.golden[name].dims(), "{name}: as PEFT has it");
            assert_eq!(values(value), values(&setup.golden[name]), "{name}");
        }
        let file = LoraFile::from_tensors(Path::new("ours"), tensors, Some(ALPHA)).unwrap();
        let mut unet = denoiser(&setup.engine, setup.base);
        let each = if setup.learning.weights.iter().any(is_magnitude) { 3 } else { 2 };
        assert_eq!(each * attach(&mut unet, file), setup.learning.weights.len());
        let found = values(unet.forward(&setup.engine, &setup.input()).unwrap().value());
        assert_eq!(found, expected);
    }
}

#[test]
fn lora_files_of_diffusers_peft_and_kohya_give_the_same_model() {
    setups().iter().for_each(files_agree);
}

fn files_agree(setup: &Setup) {
    let expected = values(setup.unet.forward(&setup.engine, &setup.input()).unwrap().value());
    let peft: NamedTensors = setup
        .golden
        .iter()
        .filter(|(name, _)| name.starts_with("unet.") && name.contains(".lora_"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let files = [
        ("peft", peft, Some(8.0)),
        ("diffusers", tensors("sdxl-tiny/golden/pytorch_lora_weights.safetensors"), Some(8.0)),
        ("kohya", tensors("sdxl-tiny/golden/kohya_lora.safetensors"), None),
        ("kohya with LDM's blocks", tensors("sdxl-tiny/golden/kohya_sgm_lora.safetensors"), None),
    ];
    for (name, file, alpha) in files {
        let mut unet = denoiser(&setup.engine, setup.base);
        let file = LoraFile::from_tensors(Path::new(name), file, alpha).unwrap();
        let adapted = attach(&mut unet, file);
        assert_eq!(2 * adapted, setup.learning.weights.len());
        let found = values(unet.forward(&setup.engine, &setup.input()).unwrap().value());
        let error = mudi_tests::golden::error_of_range(&found, &expected);
        assert!(error < 1e-6, "{name}: {error:e}");
    }
}
