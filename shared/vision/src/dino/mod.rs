//! DINOv2 (Oquab et al., 2023): tokens that tell what an image shows, `Dinov2Model` of transformers.

mod config;
mod names;

use mudi_diffusion::nn::{Builder, LayerNorm};
use mudi_diffusion::{Engine, ParameterKind, Parameters, Result};

pub use config::Dinov2Config;

use names::{AUTHORS, Names, ProjectionNames, TRANSFORMERS};

use crate::vit::{Block, FeedForward, Patches, Positions, Projections, activation, prepend};

/// The network.
pub struct Dinov2<E: Engine> {
    /// Its configuration.
    pub config: Dinov2Config,
    class_token: E::Tensor,
    patches: Patches<E>,
    positions: Positions<E>,
    blocks: Vec<Block<E>>,
    norm: LayerNorm<E>,
}

impl<E: Engine> Dinov2<E> {
    /// Builds the network, from transformers' names or, where the weights have none such, the authors'.
    ///
    /// # Errors
    /// A configuration that no network can have; weights that are missing or misshapen.
    pub fn new(config: Dinov2Config, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let names = if parameters.contains(TRANSFORMERS.positions) || !parameters.contains(AUTHORS.positions)
        {
            TRANSFORMERS
        } else {
            AUTHORS
        };
        // What stood for hidden patches in pretraining.
        parameters.pass_over(names.mask_token);
        let (width, side) = (config.hidden_size, config.image_size / config.patch_size);
        let mut root = Builder::new(parameters, "");
        let class_token = root.parameter(names.class_token, &[1, 1, width], ParameterKind::Embedding)?;
        let patches = Patches::new(&mut root, names.patches, config.patch_size, width, true)?;
        let positions = Positions::new(&mut root, names.positions, side, width, true)?;
        let blocks = (0..config.num_hidden_layers)
            .map(|index| block(&config, &names, root.at(format!("{}.{index}", names.blocks))))
            .collect::<Result<_>>()?;
        let norm = root.layer_norm(names.norm, width, config.layer_norm_eps)?;
        Ok(Self { config, class_token, patches, positions, blocks, norm })
    }

    /// The last hidden states of normalized pixels `[B, H, W, 3]`: `[B, 1 + h * w, C]`, the class token first. Any size of at
    /// least one patch will do.
    ///
    /// # Errors
    /// Pixels of another shape; engine errors.
    pub fn forward(&self, engine: &E, pixel_values: &E::Tensor) -> Result<E::Tensor> {
        let (tokens, grid) = self.patches.forward(engine, pixel_values)?;
        let tokens = prepend(engine, &self.class_token, &tokens)?;
        let mut x = self.positions.add(engine, &tokens, grid)?;
        for block in &self.blocks {
            x = block.forward(engine, &x)?;
        }
        self.norm.forward(engine, &x)
    }
}

/// The state of the class token of each sample `[B, T, C]`: `[B, C]`.
///
/// # Errors
/// Engine errors.
pub fn class_state<E: Engine>(engine: &E, states: &E::Tensor) -> Result<E::Tensor> {
    let batch = engine.shape(states)[0];
    engine.select_positions(states, &vec![0; batch])
}

/// The mean over all tokens, the class token among them, of each sample `[B, T, C]`: `[B, C]`. This is the identity that
/// MuDI's evaluation compares (released code).
///
/// # Errors
/// Engine errors.
pub fn mean_state<E: Engine>(engine: &E, states: &E::Tensor) -> Result<E::Tensor> {
    let shape = engine.shape(states);
    let (batch, tokens, width) = (shape[0], shape[1], shape[2]);
    let share = engine.from_slice(&vec![1.0 / tokens as f32; tokens], &[1, tokens])?;
    let means = engine.linear(&engine.permute(states, &[0, 2, 1])?, &share, None)?;
    engine.reshape(&means, &[batch, width])
}

fn block<E: Engine>(config: &Dinov2Config, names: &Names, mut at: Builder<'_, E>) -> Result<Block<E>> {
    let (width, eps, inner) = (config.hidden_size, config.layer_norm_eps, config.inner_width());
    let mut projection = |name: &str, outputs: usize| {
        if config.qkv_bias {
            at.linear(name, width, outputs)
        } else {
            at.linear_no_bias(name, width, outputs)
        }
    };
    let projections = match names.projections {
        ProjectionNames::Joint(name) => Projections::Joint(projection(name, 3 * width)?),
        ProjectionNames::Apart([q, k, v]) => Projections::Apart(Box::new([
            projection(q, width)?,
            projection(k, width)?,
            projection(v, width)?,
        ])),
    };
    let feed_forward = if config.use_swiglu_ffn {
        let [first, second] = names.gated;
        FeedForward::SwiGlu(at.linear(first, width, 2 * inner)?, at.linear(second, inner, width)?)
    } else {
        let first = at.linear("mlp.fc1", width, inner)?;
        FeedForward::Plain(first, activation(&config.hidden_act)?, at.linear("mlp.fc2", inner, width)?)
    };
    let [first, second] = names.scales;
    let mut scale = |name: &str| at.parameter(name, &[width], ParameterKind::NormScale);
    let scales = Some([scale(first)?, scale(second)?]);
    Ok(Block {
        norm_attention: at.layer_norm("norm1", width, eps)?,
        projections,
        out: at.linear(names.out, width, width)?,
        heads: config.num_attention_heads,
        norm_feed_forward: at.layer_norm("norm2", width, eps)?,
        feed_forward,
        scales,
    })
}
