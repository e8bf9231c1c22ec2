//! Embedding of timesteps and, for SDXL, of pooled text and image sizes.

use super::config::UNetConfig;
use crate::engine::{Activation, Engine};
use crate::error::{Error, Result};
use crate::nn::{Builder, Linear};

/// SDXL's further conditioning (`added_cond_kwargs` of diffusers).
pub struct AddedConditioning<E: Engine> {
    /// The second text encoder's pooled projection, `[B, P]`.
    pub text_embeds: E::Tensor,
    /// For each sample: original height and width, crop top and left, target height and width, in pixels; `6 B` values.
    pub time_ids: Vec<f32>,
}

struct Mlp<E: Engine> {
    linear_1: Linear<E>,
    linear_2: Linear<E>,
}

impl<E: Engine> Mlp<E> {
    fn new(at: &mut Builder<'_, E>, inputs: usize, width: usize) -> Result<Self> {
        Ok(Self {
            linear_1: at.linear("linear_1", inputs, width)?,
            linear_2: at.linear("linear_2", width, width)?,
        })
    }

    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let y = engine.activation(&self.linear_1.forward(engine, x)?, Activation::Silu)?;
        self.linear_2.forward(engine, &y)
    }
}

pub(super) struct TimeEmbedding<E: Engine> {
    time: Mlp<E>,
    added: Option<(Mlp<E>, usize)>,
    channels: usize,
    flip_sin_to_cos: bool,
    freq_shift: f32,
}

impl<E: Engine> TimeEmbedding<E> {
    pub(super) fn new(root: &mut Builder<'_, E>, config: &UNetConfig) -> Result<Self> {
        let channels = config.block_out_channels[0];
        let width = config.time_embed_dim();
        let time = Mlp::new(&mut root.at("time_embedding"), channels, width)?;
        let added = if config.has_text_time() {
            let missing =
                |field| Error::Config(format!("`{field}` is needed with addition_embed_type text_time"));
            let each = config.addition_time_embed_dim.ok_or_else(|| missing("addition_time_embed_dim"))?;
            let inputs = config
                .projection_class_embeddings_input_dim
                .ok_or_else(|| missing("projection_class_embeddings_input_dim"))?;
            Some((Mlp::new(&mut root.at("add_embedding"), inputs, width)?, each))
        } else {
            None
        };
        Ok(Self {
            time,
            added,
            channels,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
        })
    }

    /// SiLU of the embedding, `[B, time_embed_dim]`.
    pub(super) fn forward(
        &self,
        engine: &E,
        timesteps: &[f32],
        added: Option<&AddedConditioning<E>>,
    ) -> Result<E::Tensor> {
        let batch = timesteps.len();
        let waves = sinusoids(timesteps, self.channels, self.flip_sin_to_cos, self.freq_shift);
        let mut embedding =
            self.time.forward(engine, &engine.from_slice(&waves, &[batch, self.channels])?)?;
        match (&self.added, added) {
            (None, _) => {}
            (Some(_), None) => {
                return Err(Error::Input {
                    name: "text_embeds",
                    reason: "this UNet needs `text_embeds` and `time_ids`".to_owned(),
                });
            }
            (Some((mlp, each)), Some(added)) => {
                if added.time_ids.len() != 6 * batch {
                    let reason = format!("{} values for {batch} samples of 6", added.time_ids.len());
                    return Err(Error::Input { name: "time_ids", reason });
                }
                let sizes = sinusoids(&added.time_ids, *each, self.flip_sin_to_cos, self.freq_shift);
                let sizes = engine.from_slice(&sizes, &[batch, 6 * each])?;
                let both = engine.concat(&added.text_embeds, &sizes, 1)?;
                embedding = engine.add(&embedding, &mlp.forward(engine, &both)?)?;
            }
        }
        engine.activation(&embedding, Activation::Silu)
    }
}

/// Sines and cosines of each value at `width / 2` frequencies from 1 down to 1/10000, `[values, width]`, as diffusers'
/// `get_timestep_embedding`. In single precision throughout, as there: at timestep 999 the rounding of the frequencies is
/// what a model was trained with.
fn sinusoids(values: &[f32], width: usize, flip_sin_to_cos: bool, freq_shift: f32) -> Vec<f32> {
    let half = width / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|index| (-(10_000f32.ln()) * index as f32 / (half as f32 - freq_shift)).exp())
        .collect();
    let mut out = Vec::with_capacity(values.len() * width);
    for &value in values {
        let sines = frequencies.iter().map(|frequency| (value * frequency).sin());
        let cosines = frequencies.iter().map(|frequency| (value * frequency).cos());
        if flip_sin_to_cos {
            out.extend(cosines.chain(sines));
        } else {
            out.extend(sines.chain(cosines));
        }
        out.extend(std::iter::repeat_n(0.0, width % 2));
    }
    out
}
