//! The image tower: CLIP's vision transformer.

use mudi_diffusion::nn::{Builder, LayerNorm};
use mudi_diffusion::{Engine, ParameterKind, Result};

use super::config::OwlVisionConfig;
use crate::vit::{Block, FeedForward, Patches, Positions, Projections, activation, prepend};

/// Pixels to tokens.
pub(super) struct ImageTower<E: Engine> {
    class_token: E::Tensor,
    patches: Patches<E>,
    positions: Positions<E>,
    norm_before: LayerNorm<E>,
    blocks: Vec<Block<E>>,
    norm_after: LayerNorm<E>,
}

impl<E: Engine> ImageTower<E> {
    pub(super) fn new(config: &OwlVisionConfig, mut root: Builder<'_, E>) -> Result<Self> {
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let mut at = root.at("embeddings");
        let class_token = at.parameter("class_embedding", &[width], ParameterKind::Embedding)?;
        let patches = Patches::new(&mut at, "patch_embedding", config.patch_size, width, false)?;
        let side = config.image_size / config.patch_size;
        let positions = Positions::new(&mut at, "position_embedding.weight", side, width, false)?;
        let norm_before = root.layer_norm("pre_layernorm", width, eps)?;
        let blocks = (0..config.num_hidden_layers)
            .map(|index| block(config, root.at(format!("encoder.layers.{index}"))))
            .collect::<Result<_>>()?;
        let norm_after = root.layer_norm("post_layernorm", width, eps)?;
        Ok(Self { class_token, patches, positions, norm_before, blocks, norm_after })
    }

    /// `[B, H, W, 3]` to normalized tokens `[B, 1 + h * w, C]`, and the grid `[h, w]`.
    pub(super) fn forward(&self, engine: &E, pixels: &E::Tensor) -> Result<(E::Tensor, [usize; 2])> {
        let (tokens, grid) = self.patches.forward(engine, pixels)?;
        let tokens = prepend(engine, &self.class_token, &tokens)?;
        let mut x = self.norm_before.forward(engine, &self.positions.add(engine, &tokens, grid)?)?;
        for block in &self.blocks {
            x = block.forward(engine, &x)?;
        }
        Ok((self.norm_after.forward(engine, &x)?, grid))
    }
}

fn block<E: Engine>(config: &OwlVisionConfig, mut at: Builder<'_, E>) -> Result<Block<E>> {
    let (width, eps, inner) = (config.hidden_size, config.layer_norm_eps, config.intermediate_size);
    let mut projection = |name: &str| at.linear(&format!("self_attn.{name}"), width, width);
    let projections =
        Projections::Apart(Box::new([projection("q_proj")?, projection("k_proj")?, projection("v_proj")?]));
    let out = projection("out_proj")?;
    let first = at.linear("mlp.fc1", width, inner)?;
    let second = at.linear("mlp.fc2", inner, width)?;
    Ok(Block {
        norm_attention: at.layer_norm("layer_norm1", width, eps)?,
        projections,
        out,
        heads: config.num_attention_heads,
        norm_feed_forward: at.layer_norm("layer_norm2", width, eps)?,
        feed_forward: FeedForward::Plain(first, activation(&config.hidden_act)?, second),
        scales: None,
    })
}
