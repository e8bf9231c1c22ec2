//! One vision transformer under timm's names: DINO's own, and CLIP's as DreamSim's authors have converted them.

use mudi_diffusion::nn::{Builder, LayerNorm};
use mudi_diffusion::{Engine, Error, ParameterKind, Parameters, Result};

use super::config::{DreamSimConfig, TowerConfig};
use super::merged::{Adapter, Merged};
use crate::preprocess::Normalization;
use crate::vit::{Block, FeedForward, Patches, Positions, Projections, prepend};

/// What CLIP has and DINO has not.
struct Clip<E: Engine> {
    norm_before: LayerNorm<E>,
    norm_after: LayerNorm<E>,
    /// `[outputs, width]`.
    projection: E::Tensor,
}

/// One of the ensemble's networks.
pub struct Tower<E: Engine> {
    normalization: Normalization,
    class_token: E::Tensor,
    patches: Patches<E>,
    positions: Positions<E>,
    blocks: Vec<Block<E>>,
    clip: Option<Clip<E>>,
}

impl<E: Engine> Tower<E> {
    /// Builds tower `index` of [`TOWERS`](super::TOWERS) from its weights, into which the LoRA of the ensemble is merged.
    ///
    /// # Errors
    /// A configuration that no network can have; no such tower; weights that are missing or misshapen.
    pub fn new(
        engine: &E,
        config: &DreamSimConfig,
        index: usize,
        weights: &mut dyn Parameters<E>,
        adapter: Option<(Adapter, &mut dyn Parameters<E>)>,
    ) -> Result<Self> {
        config.check()?;
        let towers = config.towers();
        let tower =
            towers.get(index).ok_or_else(|| Error::Config(format!("the ensemble has no tower {index}")))?;
        let prefix = format!("base_model.model.extractor_list.{index}.model.");
        Self::build(engine, tower, &mut Merged { engine, base: weights, adapter, prefix })
    }

    fn build(engine: &E, config: &TowerConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        if config.projection.is_none() {
            // The token is taken before it.
            parameters.pass_over("norm.weight");
            parameters.pass_over("norm.bias");
        }
        let width = config.width;
        let mut root = Builder::new(parameters, "");
        let class_token = root.parameter("cls_token", &[1, 1, width], ParameterKind::Embedding)?;
        let patches = Patches::new(&mut root, "patch_embed.proj", config.patch_size, width, true)?;
        let side = config.image_size / config.patch_size;
        let positions = Positions::new(&mut root, "pos_embed", side, width, true)?;
        let blocks = (0..config.depth)
            .map(|index| block(config, root.at(format!("blocks.{index}"))))
            .collect::<Result<_>>()?;
        let clip = match config.projection {
            None => None,
            Some(outputs) => {
                let projection = root.parameter("proj", &[width, outputs], ParameterKind::Embedding)?;
                Some(Clip {
                    // The authors put it in the place of a dropout.
                    norm_before: root.layer_norm("pos_drop", width, config.eps)?,
                    norm_after: root.layer_norm("norm", width, config.eps)?,
                    projection: engine.permute(&projection, &[1, 0])?,
                })
            }
        };
        let normalization = config.normalization;
        Ok(Self { normalization, class_token, patches, positions, blocks, clip })
    }

    /// What its input is normalized by.
    pub(super) fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    /// Normalized pixels `[B, H, W, 3]` to features `[B, D]`.
    pub(super) fn forward(&self, engine: &E, pixels: &E::Tensor) -> Result<E::Tensor> {
        let (tokens, grid) = self.patches.forward(engine, pixels)?;
        let tokens = prepend(engine, &self.class_token, &tokens)?;
        let mut x = self.positions.add(engine, &tokens, grid)?;
        if let Some(clip) = &self.clip {
            x = clip.norm_before.forward(engine, &x)?;
        }
        for block in &self.blocks {
            x = block.forward(engine, &x)?;
        }
        let class = engine.select_positions(&x, &vec![0; engine.shape(&x)[0]])?;
        match &self.clip {
            None => Ok(class),
            Some(clip) => engine.linear(&clip.norm_after.forward(engine, &class)?, &clip.projection, None),
        }
    }
}

fn block<E: Engine>(config: &TowerConfig, mut at: Builder<'_, E>) -> Result<Block<E>> {
    let (width, eps) = (config.width, config.eps);
    let inner = width.saturating_mul(4);
    let first = at.linear("mlp.fc1", width, inner)?;
    Ok(Block {
        norm_attention: at.layer_norm("norm1", width, eps)?,
        projections: Projections::Joint(at.linear("attn.qkv", width, 3 * width)?),
        out: at.linear("attn.proj", width, width)?,
        heads: config.heads,
        norm_feed_forward: at.layer_norm("norm2", width, eps)?,
        feed_forward: FeedForward::Plain(first, config.activation, at.linear("mlp.fc2", inner, width)?),
        scales: None,
    })
}
