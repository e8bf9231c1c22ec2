//! SAM's image encoder: a ViT whose layers attend within windows, but for four that see the whole image.
//!
//! Kirillov et al., *Segment Anything*, appendix A; the layers are those of Li et al., *Exploring Plain Vision Transformer
//! Backbones for Object Detection*, with the decomposed relative positions of MViTv2 (its equation 4).

use mudi_diffusion::nn::{Builder, Conv2d, LayerNorm, Linear};
use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, ParameterKind, Result, ScoreBias};

use super::config::{VitConfig, activation};
use super::neck::Neck;
use crate::windows::Windows;

struct Layer<E: Engine> {
    norm_attention: LayerNorm<E>,
    /// Queries, keys and values side by side.
    qkv: Linear<E>,
    out: Linear<E>,
    /// For distances in rows and in columns, `[2 side - 1, channels of a head]`.
    relative: Option<[E::Tensor; 2]>,
    norm_mlp: LayerNorm<E>,
    lin1: Linear<E>,
    lin2: Linear<E>,
    /// Side of the square within which positions see each other.
    side: usize,
}

/// The image encoder.
pub(super) struct Vit<E: Engine> {
    config: VitConfig,
    patches: Conv2d<E>,
    positions: Option<E::Tensor>,
    layers: Vec<Layer<E>>,
    neck: Neck<E>,
    activation: Activation,
}

impl<E: Engine> Vit<E> {
    pub(super) fn new(config: VitConfig, mut root: Builder<'_, E>) -> Result<Self> {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Config(format!(
                "`hidden_size` {width} is not a multiple of `num_attention_heads` {heads}"
            )));
        }
        if config.patch_size == 0 || !config.image_size.is_multiple_of(config.patch_size) {
            return Err(Error::Config(format!(
                "`image_size` {} is not a multiple of `patch_size` {}",
                config.image_size, config.patch_size
            )));
        }
        let (grid, eps, mlp) = (config.grid(), config.layer_norm_eps, config.mlp_width());
        let geometry = ConvGeometry { stride: config.patch_size, before: 0, after: 0 };
        let patches =
            root.conv("patch_embed.proj", config.num_channels, width, config.patch_size, geometry)?;
        let positions = config
            .use_abs_pos
            .then(|| root.parameter("pos_embed", &[1, grid, grid, width], ParameterKind::Embedding))
            .transpose()?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| {
                let mut at = root.at(format!("blocks.{index}"));
                let global = config.global_attn_indexes.contains(&index) || config.window_size == 0;
                let side = if global { grid } else { config.window_size };
                let shape = [2 * side - 1, width / heads];
                let mut table = |name| at.parameter(name, &shape, ParameterKind::Embedding);
                let relative = match config.use_rel_pos {
                    true => Some([table("attn.rel_pos_h")?, table("attn.rel_pos_w")?]),
                    false => None,
                };
                let qkv = match config.qkv_bias {
                    true => at.linear("attn.qkv", width, 3 * width)?,
                    false => at.linear_no_bias("attn.qkv", width, 3 * width)?,
                };
                Ok(Layer {
                    norm_attention: at.layer_norm("norm1", width, eps)?,
                    qkv,
                    out: at.linear("attn.proj", width, width)?,
                    relative,
                    norm_mlp: at.layer_norm("norm2", width, eps)?,
                    lin1: at.linear("mlp.lin1", width, mlp)?,
                    lin2: at.linear("mlp.lin2", mlp, width)?,
                    side,
                })
            })
            .collect::<Result<_>>()?;
        let neck = Neck::new(root.at("neck"), width, config.output_channels)?;
        let activation = activation(&config.hidden_act)?;
        Ok(Self { config, patches, positions, layers, neck, activation })
    }

    /// `pixels [B, S, S, 3]` to `[B, S / patch, S / patch, channels]`.
    pub(super) fn forward(&self, engine: &E, pixels: &E::Tensor) -> Result<E::Tensor> {
        let mut x = self.patches.forward(engine, pixels)?;
        if let Some(positions) = &self.positions {
            let shape = engine.shape(&x);
            let (tokens, width) = (shape[1] * shape[2], shape[3]);
            let table = engine.reshape(positions, &[tokens, width])?;
            x = engine.add_positions(&engine.reshape(&x, &[shape[0], tokens, width])?, &table)?;
            x = engine.reshape(&x, &shape)?;
        }
        for layer in &self.layers {
            x = self.layer(engine, layer, &x)?;
        }
        self.neck.forward(engine, &x)
    }

    fn layer(&self, engine: &E, layer: &Layer<E>, x: &E::Tensor) -> Result<E::Tensor> {
        let shape = engine.shape(x);
        let (batch, grid, width) = (shape[0], shape[1], shape[3]);
        let y = layer.norm_attention.forward(engine, x)?;
        let y = if layer.side == grid {
            let y = engine.reshape(&y, &[batch, grid * grid, width])?;
            engine.reshape(&self.attention(engine, layer, &y)?, &shape)?
        } else {
            let windows = Windows::new([shape[1], shape[2]], layer.side);
            windows.join(engine, &self.attention(engine, layer, &windows.cut(engine, &y)?)?)?
        };
        let x = engine.add(x, &y)?;
        let y = layer.lin1.forward(engine, &layer.norm_mlp.forward(engine, &x)?)?;
        let y = layer.lin2.forward(engine, &engine.activation(&y, self.activation)?)?;
        engine.add(&x, &y)
    }

    /// Attention of the positions of squares to each other, `[B, side * side, C]`.
    fn attention(&self, engine: &E, layer: &Layer<E>, x: &E::Tensor) -> Result<E::Tensor> {
        let heads = self.config.num_attention_heads;
        let shape = engine.shape(x);
        let &[batch, tokens, width] = shape.as_slice() else {
            return Err(Error::Input { name: "pixel_values", reason: format!("tokens of shape {shape:?}") });
        };
        let qkv = layer.qkv.forward(engine, x)?;
        let q = engine.slice(&qkv, 2, 0, width)?;
        let k = engine.slice(&qkv, 2, width, width)?;
        let v = engine.slice(&qkv, 2, 2 * width, width)?;
        drop(qkv);
        let y = match &layer.relative {
            None => engine.attention(&q, &k, &v, heads, false)?,
            Some(tables) => {
                // Each query times the vectors of all distances; queries are not scaled here, as in the reference.
                let queries = engine.reshape(&q, &[batch * tokens * heads, width / heads])?;
                let part = |table: &E::Tensor| {
                    let scores = engine.linear(&queries, table, None)?;
                    engine.reshape(&scores, &[batch, tokens, heads * (2 * layer.side - 1)])
                };
                let (rows, columns) = (part(&tables[0])?, part(&tables[1])?);
                let bias = ScoreBias::Relative { grid: [layer.side; 2], rows: &rows, columns: &columns };
                engine.biased_attention(&q, &k, &v, heads, bias)?
            }
        };
        layer.out.forward(engine, &y)
    }
}
