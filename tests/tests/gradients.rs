//! LoRA gradients of a whole UNet against PyTorch and PEFT, dense and checkpointed.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::path::Path;

use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_engine_candle::lora::LoraFile;
use mudi_engine_candle::weights::{NamedTensors, Trainable};
use mudi_engine_candle::{CandleEngine, Gradients, Tensor, backward, checkpoint, lora, nchw};
use mudi_tests::golden::{engines, network, tensors, values};

struct Setup {
    engine: CandleEngine,
    unet: UNet<CandleEngine>,
    trainable: Vec<Trainable>,
    golden: NamedTensors,
}

/// The adapted UNet on every path of the engine.
fn setups() -> [Setup; 2] {
    engines().map(setup)
}

fn setup(engine: CandleEngine) -> Setup {
    let golden = tensors("sdxl-tiny/golden/lora.safetensors");
    let mut unet = network(&engine, "sdxl-tiny/unet", "diffusion_pytorch_model.safetensors", true, UNet::new);
    let targets: Vec<String> = lora::DEFAULT_TARGETS.map(String::from).to_vec();
    let trainable =
        lora::attach_trainable(&mut unet, &targets, 4, 8.0, |name, _| values(&golden[name])).unwrap();
    Setup { engine, unet, trainable, golden }
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
    setups().iter().for_each(equal_pytorch);
}

fn equal_pytorch(setup: &Setup) {
    let gradients = setup.dense();
    assert_eq!(gradients.len(), setup.trainable.len(), "a gradient for every factor and for nothing else");
    let mut errors: BTreeMap<&str, f64> = BTreeMap::new();
    for weight in &setup.trainable {
        let found = values(gradients.get(&weight.leaf).unwrap());
        let expected = values(&setup.golden[&format!("grad.{}", weight.name)]);
        let norm = expected.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let difference =
            found.iter().zip(&expected).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>().sqrt();
        errors.insert(&weight.name, difference / norm);
    }
    let worst = errors.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    println!("{} factors, worst relative error {:.2e} ({})", errors.len(), worst.1, worst.0);
    assert!(*worst.1 <= 1e-3, "{worst:?}");
    let expected = setup.golden.keys().filter(|name| name.starts_with("grad.unet.")).count();
    assert_eq!(errors.len(), expected);
}

#[test]
fn checkpointed_gradients_equal_dense_ones() {
    setups().iter().for_each(checkpointed_equal_dense);
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
    setups().iter().for_each(scaled_to_zero);
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
        let adapted = lora::attach(&mut unet, file).unwrap();
        assert_eq!(2 * adapted, setup.trainable.len());
        let found = values(unet.forward(&setup.engine, &setup.input()).unwrap().value());
        let error = mudi_tests::golden::error_of_range(&found, &expected);
        assert!(error < 1e-6, "{name}: {error:e}");
    }
}
