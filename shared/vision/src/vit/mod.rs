//! What all vision transformers here are made of: patches, a class token, positions, and blocks of attention and
//! feed-forward layers with a norm before each.

mod positions;

use mudi_diffusion::nn::{Builder, LayerNorm, Linear};
use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, ParameterKind, Result};

pub(crate) use positions::Positions;

/// The side of square patches, and the projection of each to one token.
pub(crate) struct Patches<E: Engine> {
    weight: E::Tensor,
    bias: Option<E::Tensor>,
    side: usize,
}

impl<E: Engine> Patches<E> {
    /// The projection called `name`, from `side * side * 3` values to `width`.
    pub(crate) fn new(
        root: &mut Builder<'_, E>,
        name: &str,
        side: usize,
        width: usize,
        bias: bool,
    ) -> Result<Self> {
        let mut at = root.at(name);
        let weight = at.parameter("weight", &[width, side, side, 3], ParameterKind::Convolution)?;
        let fan_in = side * side * 3;
        let bias =
            bias.then(|| at.parameter("bias", &[width], ParameterKind::Bias { fan_in })).transpose()?;
        Ok(Self { weight, bias, side })
    }

    /// `[B, H, W, 3]` to tokens `[B, h * w, C]`, and the grid `[h, w]`; what is left of the last patches is not seen.
    pub(crate) fn forward(&self, engine: &E, pixels: &E::Tensor) -> Result<(E::Tensor, [usize; 2])> {
        let shape = engine.shape(pixels);
        let &[batch, height, width, 3] = shape.as_slice() else {
            return Err(input(format!("shape {shape:?} is not [batch, height, width, 3]")));
        };
        if batch == 0 || height < self.side || width < self.side {
            let side = self.side;
            return Err(input(format!(
                "{height} x {width} pixels are less than one patch of {side} x {side}"
            )));
        }
        let geometry = ConvGeometry { stride: self.side, before: 0, after: 0 };
        let tokens = engine.conv2d(pixels, &self.weight, self.bias.as_ref(), geometry)?;
        let grid = [height / self.side, width / self.side];
        let channels = engine.shape(&tokens)[3];
        Ok((engine.reshape(&tokens, &[batch, grid[0] * grid[1], channels])?, grid))
    }
}

fn input(reason: String) -> Error {
    Error::Input { name: "pixel_values", reason }
}

/// `token [C]` (or `[1, C]`, `[1, 1, C]`) before the tokens of each sample of `x [B, N, C]`: `[B, 1 + N, C]`.
pub(crate) fn prepend<E: Engine>(engine: &E, token: &E::Tensor, x: &E::Tensor) -> Result<E::Tensor> {
    let shape = engine.shape(x);
    let table = engine.reshape(token, &[1, shape[2]])?;
    let tokens = engine.embedding(&table, &vec![0; shape[0]], shape[0])?;
    engine.concat(&tokens, x, 1)
}

/// Queries, keys and values, by a layer for each or by one for all three.
pub(crate) enum Projections<E: Engine> {
    /// In this order.
    Apart(Box<[Linear<E>; 3]>),
    /// One after the other in the last axis of one layer's result.
    Joint(Linear<E>),
}

impl<E: Engine> Projections<E> {
    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<[E::Tensor; 3]> {
        match self {
            Self::Apart(layers) => {
                let [q, k, v] = &**layers;
                Ok([q.forward(engine, x)?, k.forward(engine, x)?, v.forward(engine, x)?])
            }
            Self::Joint(layer) => {
                let all = layer.forward(engine, x)?;
                let width = layer.outputs / 3;
                let part = |index: usize| engine.slice(&all, 2, index * width, width);
                Ok([part(0)?, part(1)?, part(2)?])
            }
        }
    }
}

/// The feed-forward part of a block.
pub(crate) enum FeedForward<E: Engine> {
    /// Two layers with an activation between.
    Plain(Linear<E>, Activation, Linear<E>),
    /// The first layer's halves `a`, `b` become `silu(a) * b`.
    SwiGlu(Linear<E>, Linear<E>),
}

impl<E: Engine> FeedForward<E> {
    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        match self {
            Self::Plain(first, activation, second) => {
                second.forward(engine, &engine.activation(&first.forward(engine, x)?, *activation)?)
            }
            Self::SwiGlu(first, second) => {
                let both = first.forward(engine, x)?;
                let half = first.outputs / 2;
                let gate = engine.activation(&engine.slice(&both, 2, 0, half)?, Activation::Silu)?;
                second.forward(engine, &engine.mul(&gate, &engine.slice(&both, 2, half, half)?)?)
            }
        }
    }
}

/// One block; each part is added to what went into it.
pub(crate) struct Block<E: Engine> {
    pub(crate) norm_attention: LayerNorm<E>,
    pub(crate) projections: Projections<E>,
    pub(crate) out: Linear<E>,
    pub(crate) heads: usize,
    pub(crate) norm_feed_forward: LayerNorm<E>,
    pub(crate) feed_forward: FeedForward<E>,
    /// Factors `[C]` of what the two parts add (LayerScale), where there are any.
    pub(crate) scales: Option<[E::Tensor; 2]>,
}

impl<E: Engine> Block<E> {
    /// `x [B, T, C]` to the same shape.
    pub(crate) fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let [q, k, v] = self.projections.forward(engine, &self.norm_attention.forward(engine, x)?)?;
        let y = self.out.forward(engine, &engine.attention(&q, &k, &v, self.heads, false)?)?;
        let x = engine.add(x, &self.scaled(engine, y, 0)?)?;
        let y = self.feed_forward.forward(engine, &self.norm_feed_forward.forward(engine, &x)?)?;
        engine.add(&x, &self.scaled(engine, y, 1)?)
    }

    fn scaled(&self, engine: &E, y: E::Tensor, part: usize) -> Result<E::Tensor> {
        match &self.scales {
            None => Ok(y),
            Some(scales) => engine.mul(&y, &scales[part]),
        }
    }
}

/// Fails where `heads` does not divide `width`, or there is nothing to attend to.
pub(crate) fn check_heads(width: usize, heads: usize) -> Result<()> {
    if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
        let reason = format!("`hidden_size` {width} is not a multiple of `num_attention_heads` {heads}");
        return Err(Error::Config(reason));
    }
    Ok(())
}

/// The activation that transformers calls `name`.
pub(crate) fn activation(name: &str) -> Result<Activation> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "quick_gelu" => Ok(Activation::QuickGelu),
        "silu" => Ok(Activation::Silu),
        other => Err(Error::Config(format!("`hidden_act` is {other:?}; known are gelu, quick_gelu, silu"))),
    }
}
