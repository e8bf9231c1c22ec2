//! Layers: weights together with the operation that uses them.
//!
//! # Errors
//! A [`Builder`] fails where the source has no weight of a name, or one of another shape; a layer where its input has not the shape that is
//! said, or the engine fails.

use crate::engine::{Activation, ConvGeometry, Engine, ParameterKind, Parameters};
use crate::error::Result;
use crate::lora::LoraFactors;

/// Builds layers from a source of weights, below a dotted path of names.
pub struct Builder<'a, E: Engine> {
    parameters: &'a mut dyn Parameters<E>,
    path: String,
}

impl<'a, E: Engine> Builder<'a, E> {
    /// A builder whose names start with `path`; empty for none.
    pub fn new(parameters: &'a mut dyn Parameters<E>, path: &str) -> Self {
        Self { parameters, path: path.to_owned() }
    }

    /// The builder for the part called `name`.
    pub fn at(&mut self, name: impl std::fmt::Display) -> Builder<'_, E> {
        let path = self.name(name);
        Builder { parameters: self.parameters, path }
    }

    /// The full name of the part called `name`.
    pub fn name(&self, name: impl std::fmt::Display) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the source has a weight of that name below this path.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.parameters.contains(&self.name(name))
    }

    /// One weight below this path.
    pub fn parameter(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<E::Tensor> {
        let name = self.name(name);
        self.parameters.get(&name, shape, kind)
    }

    /// The values of one weight below this path, in row-major order of `shape`.
    pub fn values(
        &mut self,
        engine: &E,
        name: &str,
        shape: &[usize],
        kind: ParameterKind,
    ) -> Result<Vec<f32>> {
        let name = self.name(name);
        self.parameters.values(engine, &name, shape, kind)
    }

    /// A linear layer with bias.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear<E>> {
        self.linear_with(name, inputs, outputs, true)
    }

    /// A linear layer without bias.
    pub fn linear_no_bias(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear<E>> {
        self.linear_with(name, inputs, outputs, false)
    }

    fn linear_with(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear<E>> {
        let mut at = self.at(name);
        let weight = at.parameter("weight", &[outputs, inputs], ParameterKind::Linear)?;
        let bias = bias
            .then(|| at.parameter("bias", &[outputs], ParameterKind::Bias { fan_in: inputs }))
            .transpose()?;
        Ok(Linear { path: at.path, inputs, outputs, weight, bias, lora: None })
    }

    /// A square convolution with bias.
    pub fn conv(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        geometry: ConvGeometry,
    ) -> Result<Conv2d<E>> {
        let mut conv = self.conv_no_bias(name, inputs, outputs, kernel, geometry)?;
        let fan_in = inputs * kernel * kernel;
        conv.bias = Some(self.at(name).parameter("bias", &[outputs], ParameterKind::Bias { fan_in })?);
        Ok(conv)
    }

    /// A square convolution without bias.
    pub fn conv_no_bias(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        geometry: ConvGeometry,
    ) -> Result<Conv2d<E>> {
        let shape = [outputs, kernel, kernel, inputs];
        let mut at = self.at(name);
        let weight = at.parameter("weight", &shape, ParameterKind::Convolution)?;
        Ok(Conv2d { path: at.path, inputs, outputs, kernel, weight, bias: None, geometry, lora: None })
    }

    /// A 3x3 convolution that keeps the size.
    pub fn conv3x3(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Conv2d<E>> {
        self.conv(name, inputs, outputs, 3, ConvGeometry::same(3))
    }

    /// A group normalization.
    pub fn group_norm(
        &mut self,
        name: &str,
        channels: usize,
        groups: usize,
        eps: f32,
    ) -> Result<GroupNorm<E>> {
        let (weight, bias) = self.norm(name, channels)?;
        Ok(GroupNorm { weight, bias, groups, eps })
    }

    /// A layer normalization.
    pub fn layer_norm(&mut self, name: &str, channels: usize, eps: f32) -> Result<LayerNorm<E>> {
        let (weight, bias) = self.norm(name, channels)?;
        Ok(LayerNorm { weight, bias, eps })
    }

    fn norm(&mut self, name: &str, channels: usize) -> Result<(E::Tensor, E::Tensor)> {
        let mut at = self.at(name);
        let weight = at.parameter("weight", &[channels], ParameterKind::NormScale)?;
        Ok((weight, at.parameter("bias", &[channels], ParameterKind::NormShift)?))
    }
}

/// `y = x W^T + b`, and where a LoRA is attached `+ scale (x A^T) B^T`; DoRA changes the lengths of the rows of `W` too.
pub struct Linear<E: Engine> {
    /// Dotted name, as diffusers writes it.
    pub path: String,
    /// Length of the input vectors.
    inputs: usize,
    /// Length of the output vectors.
    pub outputs: usize,
    weight: E::Tensor,
    bias: Option<E::Tensor>,
    lora: Option<LoraFactors<E>>,
}

impl<E: Engine> Linear<E> {
    /// `x [.., I]` to `[.., O]`, with the low-rank update multiplied by `lora_scale` on top of its own scale; at 0 it is
    /// not computed.
    pub fn forward_with(&self, engine: &E, x: &E::Tensor, lora_scale: f32) -> Result<E::Tensor> {
        let (weight, bias) = (&self.weight, self.bias.as_ref());
        let Some(lora) = self.lora.as_ref().filter(|_| lora_scale != 0.0) else {
            return engine.linear(x, weight, bias);
        };
        if let Some(magnitude) = &lora.magnitude {
            let (base, update) = (engine.linear(x, weight, None)?, lora.update(engine, x, 1.0)?);
            return magnitude.applied(engine, &base, &update, bias, lora_scale);
        }
        engine.add(&engine.linear(x, weight, bias)?, &lora.update(engine, x, lora_scale)?)
    }

    /// `x [.., I]` to `[.., O]`.
    pub fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        self.forward_with(engine, x, 1.0)
    }
}

/// A square convolution, perhaps with bias, and where a LoRA is attached with its update: a convolution of the same geometry to
/// `rank` channels, and one of 1x1 from there.
pub struct Conv2d<E: Engine> {
    /// Dotted name, as diffusers writes it.
    pub path: String,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    weight: E::Tensor,
    bias: Option<E::Tensor>,
    geometry: ConvGeometry,
    lora: Option<LoraFactors<E>>,
}

impl<E: Engine> Conv2d<E> {
    /// `x [B, H, W, I]` to `[B, H', W', O]`, with the low-rank update as in [`Linear::forward_with`].
    pub fn forward_with(&self, engine: &E, x: &E::Tensor, lora_scale: f32) -> Result<E::Tensor> {
        let (weight, bias, geometry) = (&self.weight, self.bias.as_ref(), self.geometry);
        let Some(lora) = self.lora.as_ref().filter(|_| lora_scale != 0.0) else {
            return engine.conv2d(x, weight, bias, geometry);
        };
        if let Some(magnitude) = &lora.magnitude {
            let base = engine.conv2d(x, weight, None, geometry)?;
            let update = lora.update_convolution(engine, x, geometry, 1.0)?;
            return magnitude.applied(engine, &base, &update, bias, lora_scale);
        }
        let y = engine.conv2d(x, weight, bias, geometry)?;
        engine.add(&y, &lora.update_convolution(engine, x, geometry, lora_scale)?)
    }

    /// `x [B, H, W, I]` to `[B, H', W', O]`.
    pub fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        self.forward_with(engine, x, 1.0)
    }
}

/// A layer that a LoRA can be attached to.
pub enum Adaptable<'a, E: Engine> {
    /// A linear layer.
    Linear(&'a mut Linear<E>),
    /// A convolution.
    Convolution(&'a mut Conv2d<E>),
}

impl<E: Engine> Adaptable<'_, E> {
    /// Dotted name, as diffusers writes it.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Linear(layer) => &layer.path,
            Self::Convolution(layer) => &layer.path,
        }
    }

    /// Whether one of `targets` is the layer's name or the end of it, as PEFT's `target_modules`; the first that is.
    #[must_use]
    pub fn target<'t>(&self, targets: &'t [String]) -> Option<&'t str> {
        let path = self.path();
        let is = |target: &&String| {
            path.strip_suffix(target.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        targets.iter().find(is).map(String::as_str)
    }

    /// Shapes of the factors of a LoRA of `rank`, in the engine's layout, first that of the one that the input meets.
    #[must_use]
    pub fn factor_shapes(&self, rank: usize) -> [Vec<usize>; 2] {
        match self {
            Self::Linear(layer) => [vec![rank, layer.inputs], vec![layer.outputs, rank]],
            Self::Convolution(layer) => {
                [vec![rank, layer.kernel, layer.kernel, layer.inputs], vec![layer.outputs, 1, 1, rank]]
            }
        }
    }

    /// The frozen weight, in the engine's layout: a row for each output.
    #[must_use]
    pub fn weight(&self) -> &E::Tensor {
        match self {
            Self::Linear(layer) => &layer.weight,
            Self::Convolution(layer) => &layer.weight,
        }
    }

    /// How many outputs it has.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Self::Linear(layer) => layer.outputs,
            Self::Convolution(layer) => layer.outputs,
        }
    }

    /// How files hold the factors.
    #[must_use]
    pub fn factor_kind(&self) -> ParameterKind {
        match self {
            Self::Linear(_) => ParameterKind::Linear,
            Self::Convolution(_) => ParameterKind::Convolution,
        }
    }

    /// Attaches a LoRA whose factors have these shapes, or takes it away.
    pub fn attach(&mut self, lora: Option<LoraFactors<E>>) {
        match self {
            Self::Linear(layer) => layer.lora = lora,
            Self::Convolution(layer) => layer.lora = lora,
        }
    }
}

/// Group normalization with scale and shift.
pub struct GroupNorm<E: Engine> {
    weight: E::Tensor,
    bias: E::Tensor,
    groups: usize,
    eps: f32,
}

impl<E: Engine> GroupNorm<E> {
    /// Normalizes `x [B, .., C]`.
    pub fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        engine.group_norm(x, &self.weight, &self.bias, self.groups, self.eps, None)
    }

    /// Normalizes `x [B, .., C]`, then applies SiLU.
    pub fn forward_silu(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        engine.group_norm(x, &self.weight, &self.bias, self.groups, self.eps, Some(Activation::Silu))
    }
}

/// Layer normalization with scale and shift.
pub struct LayerNorm<E: Engine> {
    weight: E::Tensor,
    bias: E::Tensor,
    eps: f32,
}

impl<E: Engine> LayerNorm<E> {
    /// Normalizes the last axis of `x [.., C]`.
    pub fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        engine.layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
