//! The whole state of a pretraining stage: weights, their running average, the optimizer, the step.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor as Value};
use mudi_diffusion::ParameterKind;
use mudi_domain::rng;
use mudi_engine_candle::weights::{
    NamedTensors, Trainable, named_for_file, read_safetensors, to_safetensors, values_from_file,
};
use mudi_engine_candle::{
    AdamW, AdamWConfig, Gradients, Moments, Muon, MuonConfig, Tensor, follow, gradient_norm,
};
use rand::Rng;

use super::PretrainError;
use crate::allocator::LongKept;
use crate::files::write_atomically;

/// Decay of the running average of weights; starts lower, so that early weights are forgotten.
const AVERAGE_DECAY: f64 = 0.999;

/// Log variance of the encoder's Gaussians before training.
const INITIAL_LOGVAR: f32 = -5.0;

/// The state of one stage.
pub(crate) struct State {
    pub(super) weights: Vec<Trainable>,
    average: Vec<Vec<f32>>,
    /// For weights that are matrices inside of a network.
    muon: Muon,
    /// For all others.
    adamw: AdamW,
    /// Loss of each step so far.
    pub(super) losses: Vec<f32>,
    _memory: LongKept,
}

/// Values of a new weight: PyTorch's defaults, but a network starts as the line of its residual connections.
pub(super) fn initial(seed: u64, name: &str, shape: &[usize], kind: ParameterKind) -> Vec<f32> {
    let count = shape.iter().product();
    let mut stream = rng::stream(seed, name, 0);
    let mut uniform =
        |bound: f32| (0..count).map(|_| stream.random_range(-bound..=bound)).collect::<Vec<f32>>();
    let ends = |names: &[&str]| names.iter().any(|end| name.ends_with(end));
    // Residual branches, and the denoiser's output, start at nothing.
    let silent = ends(&["conv2.weight", "proj_out.weight", "attentions.0.to_out.0.weight"])
        || name == "unet.conv_out.weight";
    // What is left is then a line of convolutions; they keep the variance of what goes through, colours included, where
    // PyTorch's default would divide it by three at each of them.
    let gain = if kind == ParameterKind::Convolution { 3f32.sqrt() } else { 1.0 };
    match kind {
        ParameterKind::Linear | ParameterKind::Convolution if silent => vec![0.0; count],
        ParameterKind::Linear | ParameterKind::Convolution => {
            let fan_in: usize = shape[1..].iter().product();
            uniform(gain / (fan_in as f32).sqrt())
        }
        // As long as its stride is its kernel, each value sums over the inputs of one position.
        ParameterKind::TransposedConvolution => uniform(gain / (shape[3] as f32).sqrt()),
        // The encoder starts sure of itself: with unit noise on its latents the decoder would learn nothing for long.
        ParameterKind::Bias { .. } if name == "quant_conv.bias" => {
            (0..count).map(|at| if at < count / 2 { 0.0 } else { INITIAL_LOGVAR }).collect()
        }
        ParameterKind::Bias { fan_in } => uniform(1.0 / (fan_in as f32).sqrt()),
        ParameterKind::NormScale => vec![1.0; count],
        ParameterKind::NormShift => vec![0.0; count],
        ParameterKind::Embedding => {
            rng::normal(&mut rng::stream(seed, name, 1), count).into_iter().map(|v| 0.05 * v).collect()
        }
    }
}

impl State {
    pub(crate) fn new(weights: Vec<Trainable>) -> Result<Self, PretrainError> {
        let average = weights.iter().map(|weight| values(&weight.leaf)).collect::<Result<_, _>>()?;
        let config = AdamWConfig { beta2: 0.99, weight_decay: 1e-2, ..AdamWConfig::default() };
        Ok(Self {
            weights,
            average,
            muon: Muon::new(MuonConfig::default()),
            adamw: AdamW::new(config),
            losses: Vec::new(),
            _memory: LongKept::new(),
        })
    }

    /// Steps made so far.
    pub(super) fn step(&self) -> u64 {
        self.adamw.step
    }

    /// One step of the optimizer, with gradients clipped at norm 1.
    pub(crate) fn update(
        &mut self,
        gradients: &Gradients,
        rate: f64,
        loss: f64,
    ) -> Result<(), PretrainError> {
        if !loss.is_finite() {
            return Err(PretrainError::Diverged { step: self.step() });
        }
        let leaves = || self.weights.iter().map(|weight| &weight.leaf);
        let norm = gradient_norm(leaves(), gradients)?;
        let clip = if norm > 1.0 { 1.0 / norm } else { 1.0 };
        let rated = |of_muon: bool| {
            let weights = self.weights.iter().filter(move |weight| by_muon(weight) == of_muon);
            weights.map(|weight| (&weight.leaf, rate))
        };
        self.muon.update(rated(true), gradients, clip)?;
        self.adamw.update(rated(false), gradients, clip)?;
        self.losses.push(loss as f32);
        let step = self.step() as f64;
        let decay = AVERAGE_DECAY.min((1.0 + step) / (10.0 + step)) as f32;
        for (weight, average) in self.weights.iter().zip(&mut self.average) {
            follow(average, &weight.leaf, 1.0 - decay)?;
        }
        Ok(())
    }

    /// The averaged weights whose names start with `prefix`, without it, as files hold them.
    pub(super) fn averaged(
        &self,
        prefix: &str,
        dtype: candle_core::DType,
    ) -> Result<NamedTensors, PretrainError> {
        let mut weights = Vec::new();
        for (weight, average) in self.weights.iter().zip(&self.average) {
            if let Some(name) = weight.name.strip_prefix(prefix) {
                let value = Value::from_vec(average.clone(), weight.leaf.value().dims(), &Device::Cpu)?;
                weights.push(Trainable {
                    name: name.to_owned(),
                    kind: weight.kind,
                    leaf: Tensor::constant(value),
                });
            }
        }
        Ok(named_for_file(&weights, dtype)?)
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), PretrainError> {
        let mut tensors = NamedTensors::new();
        let mut put = |name: String, values: Vec<f32>| -> Result<(), PretrainError> {
            let count = values.len();
            tensors.insert(name, Value::from_vec(values, count, &Device::Cpu)?);
            Ok(())
        };
        let (mut momenta, mut moments) = (self.muon.momenta.iter(), self.adamw.moments.iter());
        for (weight, average) in self.weights.iter().zip(&self.average) {
            put(format!("weight.{}", weight.name), values(&weight.leaf)?)?;
            put(format!("average.{}", weight.name), average.clone())?;
            if by_muon(weight) {
                if let Some(momentum) = momenta.next() {
                    put(format!("momentum.{}", weight.name), momentum.clone())?;
                }
            } else if let Some(moments) = moments.next() {
                put(format!("first.{}", weight.name), moments.first.clone())?;
                put(format!("second.{}", weight.name), moments.second.clone())?;
            }
        }
        put("losses".to_owned(), self.losses.clone())?;
        let metadata = BTreeMap::from([("step".to_owned(), self.step().to_string())]);
        let bytes = to_safetensors(&tensors, Some(&metadata)).map_err(PretrainError::Serialize)?;
        Ok(write_atomically(path, &bytes)?)
    }

    /// Takes a saved state over.
    pub(super) fn restore(&mut self, path: &Path) -> Result<(), PretrainError> {
        let tensors = read_safetensors(path)?;
        let mismatch = || PretrainError::Checkpoint { path: path.to_owned() };
        let read = |name: String, length: Option<usize>| -> Result<Vec<f32>, PretrainError> {
            let value = tensors.get(&name).ok_or_else(mismatch)?;
            let values = values_from_file(value, ParameterKind::NormScale)?;
            if length.is_some_and(|length| length != values.len()) { Err(mismatch()) } else { Ok(values) }
        };
        let losses = read("losses".to_owned(), None)?;
        let (mut momenta, mut moments) = (Vec::new(), Vec::new());
        for (index, weight) in self.weights.iter().enumerate() {
            let length = Some(weight.leaf.value().elem_count());
            let values = read(format!("weight.{}", weight.name), length)?;
            let value = Value::from_vec(values, weight.leaf.value().dims(), &Device::Cpu)?;
            overwrite(&weight.leaf, &value)?;
            self.average[index] = read(format!("average.{}", weight.name), length)?;
            if by_muon(weight) {
                momenta.push(read(format!("momentum.{}", weight.name), length)?);
            } else {
                moments.push(Moments {
                    first: read(format!("first.{}", weight.name), length)?,
                    second: read(format!("second.{}", weight.name), length)?,
                });
            }
        }
        self.adamw.step = losses.len() as u64;
        self.adamw.moments = moments;
        self.muon.momenta = momenta;
        self.losses = losses;
        Ok(())
    }
}

/// Whether Muon moves a weight: a matrix or a convolution, but none that leads into a network or out of it.
fn by_muon(weight: &Trainable) -> bool {
    let inner = !["conv_in.weight", "conv_out.weight"].iter().any(|end| weight.name.ends_with(end));
    inner && matches!(weight.kind, ParameterKind::Linear | ParameterKind::Convolution)
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, PretrainError> {
    Ok(values_from_file(tensor.value(), ParameterKind::NormScale)?)
}

/// Sets a leaf's values; networks that hold it see the new ones.
fn overwrite(leaf: &Tensor, value: &Value) -> Result<(), PretrainError> {
    leaf.value().slice_set(value, 0, 0)?;
    leaf.changed();
    Ok(())
}
