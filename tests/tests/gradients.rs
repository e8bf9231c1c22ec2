//! LoRA gradients of a whole UNet against PyTorch and PEFT, dense and checkpointed.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::path::Path;

use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_diffusion::{Component, ParameterKind};
use mudi_engine_candle::lora::{Attachment, LoraFile};
use mudi_engine_candle::weights::{NamedTensors, Trainable, values_from_file};
use mudi_engine_candle::{CandleEngine, Gradients, Tensor, backward, checkpoint, lora, nchw};
use mudi_tests::golden::{engines, network, tensors, values};

struct Setup {
    engine: CandleEngine,
    unet: UNet<CandleEngine>,
    trainable: Vec<Trainable>,
    golden: NamedTensors,
}

/// The UNet with its attentions adapted, on every path of the engine.
fn setups() -> [Setup; 2] {
    engines().map(|engine| setup(engine, "lora", 4, &lora::DEFAULT_TARGETS))
}

/// The same with every layer adapted that can be.
fn setups_of_all_layers() -> [Setup; 2] {
    const OTHERS: [&str; 6] =
        ["conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv", "conv_in", "conv_out"];
    let targets = [&lora::DEFAULT_TARGETS[..], &lora::FURTHER_TARGETS, &OTHERS].concat();
    engines().map(|engine| setup(engine, "lora_all", 2, &targets))
}

fn setup(engine: CandleEngine, name: &str, rank: usize, targets: &[&str]) -> Setup {
    let golden = tensors(&format!("sdxl-tiny/golden/{name}.safetensors"));
    let mut unet = network(&engine, "sdxl-tiny/unet", "diffusion_pytorch_model.safetensors", true, UNet::new);
    let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
    let trainable = lora::attach_trainable(&mut unet, &targets, rank, 8.0, |name, shape| {
        let kind = if shape.len() == 4 { ParameterKind::Convolution } else { ParameterKind::Linear };
        values_from_file(&golden[name], kind).unwrap()
    });
    Setup { engine, unet, trainable: trainable.unwrap(), golden }
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
            added: Some(AddedConditioning {
                text_embeds: Tensor::constant(golden["text_embeds"].clone()),
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
fn lora_gradients_equal_pytorch_and_peft() {
    setups().iter().chain(&setups_of_all_layers()).for_each(equal_pytorch);
}

fn equal_pytorch(setup: &Setup) {
    let gradients = setup.dense();
    assert_eq!(gradients.len(), setup.trainable.len(), "a gradient for every factor and for nothing else");
    let mut errors: BTreeMap<&str, f64> = BTreeMap::new();
    let norm = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
    let references: Vec<Vec<f32>> = (setup.trainable.iter())
        .map(|weight| values_from_file(&setup.golden[&format!("grad.{}", weight.name)], weight.kind).unwrap())
        .collect();
    let largest = references.iter().map(|values| norm(values)).fold(0.0, f64::max);
    let mut nothing = Vec::new();
    for (weight, expected) in setup.trainable.iter().zip(&references) {
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
    // The finest level has as many groups as channels, so that its norms take away what the timestep adds.
    let finest = |name: &&str| {
        let blocks = ["unet.down_blocks.0.resnets", "unet.up_blocks.2.resnets"];
        blocks.iter().any(|block| name.starts_with(block)) && name.contains("time_emb_proj")
    };
    assert!(nothing.iter().all(finest), "{nothing:?}");
    let worst = errors.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    println!("{} factors, worst relative error {:.2e} ({})", errors.len(), worst.1, worst.0);
    assert!(*worst.1 <= 1e-3, "{worst:?}");
    let expected = setup.golden.keys().filter(|name| name.starts_with("grad.unet.")).count();
    assert_eq!(errors.len(), expected);
}

#[test]
fn checkpointed_gradients_equal_dense_ones() {
    setups().iter().chain(&setups_of_all_layers()).for_each(checkpointed_equal_dense);
}

fn checkpointed_equal_dense(setup: &Setup) {
    let dense = setup.dense();
    let pass = checkpoint::forward(&setup.engine, &setup.unet, &setup.input()).unwrap();
    let seed = setup.seed(&pass.output);
    let checkpointed = pass.backward(&setup.engine, seed).unwrap();
    assert_eq!(checkpointed.len(), dense.len());
    for weight in &setup.trainable {
        let (a, b) =
            (values(checkpointed.get(&weight.leaf).unwrap()), values(dense.get(&weight.leaf).unwrap()));
        assert_eq!(a, b, "{}", weight.name);
    }
}

#[test]
fn a_lora_scaled_to_zero_is_the_base_model() {
    setups().iter().chain(&setups_of_all_layers()).for_each(scaled_to_zero);
}

fn scaled_to_zero(setup: &Setup) {
    let input = UNetInput { lora_scale: 0.0, ..setup.input() };
    let adapted = setup.unet.forward(&setup.engine, &input).unwrap();
    assert!(!adapted.is_tracked(), "nothing to learn, so nothing is recorded");
    let base: UNet<CandleEngine> =
        network(&setup.engine, "sdxl-tiny/unet", "diffusion_pytorch_model.safetensors", true, UNet::new);
    let base = base.forward(&setup.engine, &setup.input()).unwrap();
    assert_eq!(values(adapted.value()), values(base.value()));
}

#[test]
fn a_file_of_what_was_trained_is_the_same_model() {
    for setup in setups().into_iter().chain(setups_of_all_layers()) {
        let expected = values(setup.unet.forward(&setup.engine, &setup.input()).unwrap().value());
        let error = mudi_tests::golden::error_of_range(
            &expected,
            &values(nchw::to_channels_last(&setup.golden["out.sample"]).unwrap().value()),
        );
        assert!(error < 1e-5, "{error:e}");
        let tensors = lora::to_file(&setup.trainable, &setup.unet.config).unwrap();
        for (name, value) in &tensors {
            assert_eq!(values(value), values(&setup.golden[name]), "{name}: as PEFT has it");
        }
        let file = LoraFile::from_tensors(Path::new("ours"), tensors, Some(8.0)).unwrap();
        let mut unet =
            network(&setup.engine, "sdxl-tiny/unet", "diffusion_pytorch_model.safetensors", true, UNet::new);
        assert_eq!(2 * attach(&mut unet, file), setup.trainable.len());
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
        let mut unet =
            network(&setup.engine, "sdxl-tiny/unet", "diffusion_pytorch_model.safetensors", true, UNet::new);
        let file = LoraFile::from_tensors(Path::new(name), file, alpha).unwrap();
        let adapted = attach(&mut unet, file);
        assert_eq!(2 * adapted, setup.trainable.len());
        let found = values(unet.forward(&setup.engine, &setup.input()).unwrap().value());
        let error = mudi_tests::golden::error_of_range(&found, &expected);
        assert!(error < 1e-6, "{name}: {error:e}");
    }
}
