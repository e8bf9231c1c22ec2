//! A block of TinyViT: attention within windows, a convolution of each channel, a feed-forward network.

use mudi_diffusion::nn::{Builder, LayerNorm, Linear};
use mudi_diffusion::{Activation, ConvGeometry, Engine, ParameterKind, Result, ScoreBias};

use super::super::config::TinyVitConfig;
use super::conv_norm::ConvNorm;
use crate::windows::Windows;

/// Added to the variances of layer norms.
const EPS: f32 = 1e-5;

/// The block.
pub(super) struct Block<E: Engine> {
    norm_attention: LayerNorm<E>,
    /// Head by head: its queries, keys and values.
    qkv: Linear<E>,
    out: Linear<E>,
    /// For each distance in rows and columns, `[heads, side * side]`.
    biases: E::Tensor,
    local: ConvNorm<E>,
    norm_mlp: LayerNorm<E>,
    fc1: Linear<E>,
    fc2: Linear<E>,
    heads: usize,
    side: usize,
}

impl<E: Engine> Block<E> {
    pub(super) fn new(
        engine: &E,
        mut at: Builder<'_, E>,
        config: &TinyVitConfig,
        stage: usize,
    ) -> Result<Self> {
        let (width, heads) = (config.embed_dims[stage], config.num_heads[stage]);
        let side = config.window_sizes[stage];
        let mlp = (width as f32 * config.mlp_ratio) as usize;
        let shape = [heads, side * side];
        Ok(Self {
            norm_attention: at.layer_norm("attn.norm", width, EPS)?,
            qkv: at.linear("attn.qkv", width, 3 * width)?,
            out: at.linear("attn.proj", width, width)?,
            biases: at.parameter("attn.attention_biases", &shape, ParameterKind::Embedding)?,
            local: ConvNorm::each_channel(engine, at.at("local_conv"), width, 3, ConvGeometry::same(3))?,
            norm_mlp: at.layer_norm("mlp.norm", width, EPS)?,
            fc1: at.linear("mlp.fc1", width, mlp)?,
            fc2: at.linear("mlp.fc2", mlp, width)?,
            heads,
            side,
        })
    }

    /// `x [B, H, W, C]`, of the same shape.
    pub(super) fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let shape = engine.shape(x);
        let windows = Windows::new([shape[1], shape[2]], self.side);
        // The norm comes after the cutting, so that what lies over the edge takes part with the norm's shift.
        let y = self.norm_attention.forward(engine, &windows.cut(engine, x)?)?;
        let x = engine.add(x, &windows.join(engine, &self.attention(engine, &y)?)?)?;
        let x = self.local.forward(engine, &x)?;
        let y = self.fc1.forward(engine, &self.norm_mlp.forward(engine, &x)?)?;
        let y = self.fc2.forward(engine, &engine.activation(&y, Activation::Gelu)?)?;
        engine.add(&x, &y)
    }

    fn attention(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let shape = engine.shape(x);
        let each = shape[2] / self.heads;
        let qkv = self.qkv.forward(engine, x)?;
        let qkv = engine.reshape(&qkv, &[shape[0], shape[1], self.heads, 3 * each])?;
        let part = |index: usize| engine.reshape(&engine.slice(&qkv, 3, index * each, each)?, &shape);
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let bias = self.bias(engine)?;
        let y = engine.biased_attention(&q, &k, &v, self.heads, ScoreBias::Full(&bias))?;
        self.out.forward(engine, &y)
    }

    /// The bias of each pair of positions, `[heads, side^2, side^2]`.
    fn bias(&self, engine: &E) -> Result<E::Tensor> {
        let (side, tokens) = (self.side, self.side * self.side);
        let distance = |a: usize, b: usize| {
            let down = (a / side).abs_diff(b / side);
            (down * side + (a % side).abs_diff(b % side)) as u32
        };
        let ids: Vec<u32> = (0..tokens * tokens).map(|pair| distance(pair / tokens, pair % tokens)).collect();
        let table = engine.permute(&self.biases, &[1, 0])?;
        let pairs = engine.reshape(&engine.embedding(&table, &ids, 1)?, &[tokens * tokens, self.heads])?;
        engine.reshape(&engine.permute(&pairs, &[1, 0])?, &[self.heads, tokens, tokens])
    }
}
