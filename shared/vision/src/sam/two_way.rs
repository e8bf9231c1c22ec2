//! The transformer of the mask decoder: tokens and image look at each other in turn.
//!
//! Kirillov et al., *Segment Anything*, appendix A, "Lightweight mask decoder".

use mudi_diffusion::nn::{Builder, LayerNorm, Linear};
use mudi_diffusion::{Activation, Engine, Result};

use super::config::{DecoderConfig, activation};

/// Attention with projections to a narrower width.
struct Attention<E: Engine> {
    q: Linear<E>,
    k: Linear<E>,
    v: Linear<E>,
    out: Linear<E>,
    heads: usize,
}

impl<E: Engine> Attention<E> {
    fn new(mut at: Builder<'_, E>, width: usize, inner: usize, heads: usize) -> Result<Self> {
        Ok(Self {
            q: at.linear("q_proj", width, inner)?,
            k: at.linear("k_proj", width, inner)?,
            v: at.linear("v_proj", width, inner)?,
            out: at.linear("out_proj", inner, width)?,
            heads,
        })
    }

    fn forward(&self, engine: &E, q: &E::Tensor, k: &E::Tensor, v: &E::Tensor) -> Result<E::Tensor> {
        let (q, k, v) = (self.q.forward(engine, q)?, self.k.forward(engine, k)?, self.v.forward(engine, v)?);
        self.out.forward(engine, &engine.attention(&q, &k, &v, self.heads, false)?)
    }
}

struct Layer<E: Engine> {
    among_tokens: Attention<E>,
    tokens_to_image: Attention<E>,
    image_to_tokens: Attention<E>,
    norms: [LayerNorm<E>; 4],
    lin1: Linear<E>,
    lin2: Linear<E>,
    activation: Activation,
}

/// The transformer.
pub(super) struct TwoWay<E: Engine> {
    layers: Vec<Layer<E>>,
    last: Attention<E>,
    last_norm: LayerNorm<E>,
}

/// Added to the variances of the last norm; no configuration has a field for it.
const LAST_EPS: f32 = 1e-5;

impl<E: Engine> TwoWay<E> {
    pub(super) fn new(config: &DecoderConfig, mut root: Builder<'_, E>) -> Result<Self> {
        let (width, heads, eps) = (config.hidden_size, config.num_attention_heads, config.layer_norm_eps);
        let narrow = width / config.attention_downsample_rate.max(1);
        let layers = (0..config.num_hidden_layers)
            .map(|index| {
                let mut at = root.at(format!("layers.{index}"));
                Ok(Layer {
                    among_tokens: Attention::new(at.at("self_attn"), width, width, heads)?,
                    tokens_to_image: Attention::new(
                        at.at("cross_attn_token_to_image"),
                        width,
                        narrow,
                        heads,
                    )?,
                    image_to_tokens: Attention::new(
                        at.at("cross_attn_image_to_token"),
                        width,
                        narrow,
                        heads,
                    )?,
                    norms: [
                        at.layer_norm("norm1", width, eps)?,
                        at.layer_norm("norm2", width, eps)?,
                        at.layer_norm("norm3", width, eps)?,
                        at.layer_norm("norm4", width, eps)?,
                    ],
                    lin1: at.linear("mlp.lin1", width, config.mlp_dim)?,
                    lin2: at.linear("mlp.lin2", config.mlp_dim, width)?,
                    activation: activation(&config.hidden_act)?,
                })
            })
            .collect::<Result<_>>()?;
        let last = Attention::new(root.at("final_attn_token_to_image"), width, narrow, heads)?;
        let last_norm = root.layer_norm("norm_final_attn", width, LAST_EPS)?;
        Ok(Self { layers, last, last_norm })
    }

    /// Tokens `[B, T, C]` and image `[B, N, C]`, with the image's positions `[N, C]`; returns both as they come out.
    pub(super) fn forward(
        &self,
        engine: &E,
        tokens: &E::Tensor,
        image: &E::Tensor,
        positions: &E::Tensor,
    ) -> Result<(E::Tensor, E::Tensor)> {
        // What the tokens were is their position from then on.
        let places = tokens;
        let (mut tokens, mut image) = (tokens.clone(), image.clone());
        for (index, layer) in self.layers.iter().enumerate() {
            let [after_tokens, after_image, after_mlp, of_image] = &layer.norms;
            let y = if index == 0 {
                layer.among_tokens.forward(engine, &tokens, &tokens, &tokens)?
            } else {
                let placed = engine.add(&tokens, places)?;
                let y = layer.among_tokens.forward(engine, &placed, &placed, &tokens)?;
                engine.add(&tokens, &y)?
            };
            tokens = after_tokens.forward(engine, &y)?;

            let placed_image = engine.add_positions(&image, positions)?;
            let placed = engine.add(&tokens, places)?;
            let y = layer.tokens_to_image.forward(engine, &placed, &placed_image, &image)?;
            tokens = after_image.forward(engine, &engine.add(&tokens, &y)?)?;

            let y = engine.activation(&layer.lin1.forward(engine, &tokens)?, layer.activation)?;
            let y = layer.lin2.forward(engine, &y)?;
            tokens = after_mlp.forward(engine, &engine.add(&tokens, &y)?)?;

            let placed = engine.add(&tokens, places)?;
            let y = layer.image_to_tokens.forward(engine, &placed_image, &placed, &tokens)?;
            image = of_image.forward(engine, &engine.add(&image, &y)?)?;
        }
        let placed_image = engine.add_positions(&image, positions)?;
        let y = self.last.forward(engine, &engine.add(&tokens, places)?, &placed_image, &image)?;
        tokens = self.last_norm.forward(engine, &engine.add(&tokens, &y)?)?;
        Ok((tokens, image))
    }
}
