//! MobileSAM's image encoder: TinyViT (Wu et al., 2022), whose last stage keeps its resolution, so that a position is 16 pixels
//! wide as in SAM's own encoder.
//!
//! The first stage is convolutional; the others attend within windows. Every stage but the last ends with a merging of
//! positions. Batch normalizations are folded into their convolutions when the weights are read, so that this network
//! computes, but does not learn.

mod block;
mod conv_norm;

use mudi_diffusion::nn::Builder;
use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, Result};

use super::config::TinyVitConfig;
use super::neck::Neck;
use block::Block;
use conv_norm::ConvNorm;

/// 1x1, then each channel by itself, then 1x1, with GELU between: the convolutional block, and the merging of positions.
struct Separable<E: Engine> {
    expand: ConvNorm<E>,
    each_channel: ConvNorm<E>,
    project: ConvNorm<E>,
}

impl<E: Engine> Separable<E> {
    fn new(
        engine: &E,
        mut at: Builder<'_, E>,
        [inputs, hidden, outputs]: [usize; 3],
        stride: usize,
    ) -> Result<Self> {
        let geometry = ConvGeometry { stride, before: 1, after: 1 };
        Ok(Self {
            expand: ConvNorm::pointwise(engine, at.at("conv1"), inputs, hidden)?,
            each_channel: ConvNorm::each_channel(engine, at.at("conv2"), hidden, 3, geometry)?,
            project: ConvNorm::pointwise(engine, at.at("conv3"), hidden, outputs)?,
        })
    }

    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let x = engine.activation(&self.expand.forward(engine, x)?, Activation::Gelu)?;
        let x = engine.activation(&self.each_channel.forward(engine, &x)?, Activation::Gelu)?;
        self.project.forward(engine, &x)
    }
}

enum Blocks<E: Engine> {
    Convolutional(Vec<Separable<E>>),
    Attention(Vec<Block<E>>),
}

struct Stage<E: Engine> {
    blocks: Blocks<E>,
    merging: Option<Separable<E>>,
}

/// The image encoder.
pub(super) struct TinyViT<E: Engine> {
    stem: [ConvNorm<E>; 2],
    stages: Vec<Stage<E>>,
    neck: Neck<E>,
}

/// Stages, and the merging that keeps the resolution.
const STAGES: usize = 4;
const KEEPING: usize = 2;

fn check(config: &TinyVitConfig) -> Result<()> {
    for (field, length) in [
        ("embed_dims", config.embed_dims.len()),
        ("depths", config.depths.len()),
        ("num_heads", config.num_heads.len()),
        ("window_sizes", config.window_sizes.len()),
    ] {
        if length != STAGES {
            return Err(Error::Config(format!(
                "`{field}` has {length} entries, but there are {STAGES} stages"
            )));
        }
    }
    if !config.image_size.is_multiple_of(16) || config.image_size == 0 {
        return Err(Error::Config(format!("`image_size` {} is no multiple of 16", config.image_size)));
    }
    for (&width, &heads) in config.embed_dims.iter().zip(&config.num_heads) {
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Config(format!("`embed_dims` {width} is no multiple of `num_heads` {heads}")));
        }
    }
    if config.window_sizes.contains(&0) {
        return Err(Error::Config("`window_sizes` has a 0".to_owned()));
    }
    Ok(())
}

impl<E: Engine> TinyViT<E> {
    pub(super) fn new(engine: &E, config: &TinyVitConfig, mut root: Builder<'_, E>) -> Result<Self> {
        check(config)?;
        let widths = &config.embed_dims;
        let half = ConvGeometry { stride: 2, before: 1, after: 1 };
        let stem = [
            ConvNorm::new(engine, root.at("patch_embed.seq.0"), [3, widths[0] / 2], 3, half)?,
            ConvNorm::new(engine, root.at("patch_embed.seq.2"), [widths[0] / 2, widths[0]], 3, half)?,
        ];
        let stages = (0..STAGES)
            .map(|index| {
                let mut at = root.at(format!("layers.{index}"));
                let (width, depth) = (widths[index], config.depths[index]);
                let blocks = if index == 0 {
                    let hidden = (width as f32 * config.mbconv_expand_ratio) as usize;
                    let block = |block: usize| {
                        let at = at.at(format!("blocks.{block}"));
                        Separable::new(engine, at, [width, hidden, width], 1)
                    };
                    Blocks::Convolutional((0..depth).map(block).collect::<Result<_>>()?)
                } else {
                    let block =
                        |block: usize| Block::new(engine, at.at(format!("blocks.{block}")), config, index);
                    Blocks::Attention((0..depth).map(block).collect::<Result<_>>()?)
                };
                let merging = match widths.get(index + 1) {
                    Some(&next) => {
                        let stride = if index == KEEPING { 1 } else { 2 };
                        Some(Separable::new(engine, at.at("downsample"), [width, next, next], stride)?)
                    }
                    None => None,
                };
                Ok(Stage { blocks, merging })
            })
            .collect::<Result<_>>()?;
        let neck = Neck::new(root.at("neck"), widths[STAGES - 1], config.output_channels)?;
        Ok(Self { stem, stages, neck })
    }

    /// `pixels [B, S, S, 3]` to `[B, S / 16, S / 16, channels]`.
    pub(super) fn forward(&self, engine: &E, pixels: &E::Tensor) -> Result<E::Tensor> {
        let x = engine.activation(&self.stem[0].forward(engine, pixels)?, Activation::Gelu)?;
        let mut x = self.stem[1].forward(engine, &x)?;
        for stage in &self.stages {
            match &stage.blocks {
                Blocks::Convolutional(blocks) => {
                    for block in blocks {
                        let y = engine.add(&block.forward(engine, &x)?, &x)?;
                        x = engine.activation(&y, Activation::Gelu)?;
                    }
                }
                Blocks::Attention(blocks) => {
                    for block in blocks {
                        x = block.forward(engine, &x)?;
                    }
                }
            }
            if let Some(merging) = &stage.merging {
                x = merging.forward(engine, &x)?;
            }
        }
        self.neck.forward(engine, &x)
    }
}
