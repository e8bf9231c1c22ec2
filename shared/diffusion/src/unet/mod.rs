//! `UNet2DConditionModel`: the denoiser of SD 1.5, SD 2.1, SDXL and the pocket models.
//!
//! The network is a list of [stages](UNet::stage_count). Each takes the running feature map, some push their result on a
//! stack of skip connections, some pop from it. Running them in order is the forward pass; running them one at a time is
//! what gradient checkpointing needs.

mod blocks;
mod config;
mod time;

pub use blocks::Conditioning;
use blocks::Transformer;
pub(crate) use blocks::{ResNet, ResNetShape};
pub use config::UNetConfig;
pub(crate) use config::purpose;
pub use time::AddedConditioning;
use time::TimeEmbedding;

use crate::engine::{ConvGeometry, Engine, Parameters};
use crate::error::{Error, Result};
use crate::nn::{Adaptable, Builder, Conv2d, GroupNorm};

#[allow(clippy::large_enum_variant)] // A network holds a few dozen of them.
enum Operation<E: Engine> {
    Convolution(Conv2d<E>),
    Layer { resnet: ResNet<E>, transformer: Option<Transformer<E>> },
    Upsample(Conv2d<E>),
    Out { norm: GroupNorm<E>, conv: Conv2d<E> },
}

/// What a stage does with the stack of skip connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Nothing.
    None,
    /// Its output is pushed.
    Push,
    /// The top is popped and concatenated to its input.
    Pop,
}

struct Stage<E: Engine> {
    operation: Operation<E>,
    skip: Skip,
}

/// The denoiser.
pub struct UNet<E: Engine> {
    /// Its configuration.
    pub config: UNetConfig,
    time: TimeEmbedding<E>,
    stages: Vec<Stage<E>>,
}

/// The inputs of one forward pass, named as diffusers names them.
pub struct UNetInput<E: Engine> {
    /// Noisy latents, `[B, H, W, in_channels]`.
    pub sample: E::Tensor,
    /// A timestep for each sample, 0 to 999.
    pub timesteps: Vec<f32>,
    /// Text states, `[B, T, cross_attention_dim]`.
    pub encoder_hidden_states: E::Tensor,
    /// SDXL's pooled text and sizes.
    pub added: Option<AddedConditioning<E>>,
    /// Multiplies every LoRA's own scale; 0 gives the base model.
    pub lora_scale: f32,
}

impl<E: Engine> UNet<E> {
    /// Builds the network.
    ///
    /// # Errors
    /// A configuration that is not supported (the message names the field); weights that are missing or misshapen.
    pub fn new(config: UNetConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let mut root = Builder::new(parameters, "");
        let time = TimeEmbedding::new(&mut root, &config)?;
        let mut stages = Vec::new();
        let first = config.block_out_channels[0];
        stages.push(Stage {
            operation: Operation::Convolution(root.conv3x3("conv_in", config.in_channels, first)?),
            skip: Skip::Push,
        });
        let mut skips = vec![first];
        let mut channels = first;
        let levels = config.block_out_channels.len();
        let layer = |at: &mut Builder<'_, E>,
                     j: usize,
                     inputs,
                     outputs,
                     attention: Option<config::AttentionShape>| {
            let shape = ResNetShape {
                inputs,
                outputs,
                time: Some(config.time_embed_dim()),
                groups: config.norm_num_groups,
                eps: config.norm_eps,
            };
            let resnet = ResNet::new(&mut at.at(format!("resnets.{j}")), &shape)?;
            let transformer = attention
                .map(|shape| {
                    let mut at = at.at(format!("attentions.{j}"));
                    Transformer::new(&mut at, outputs, config.norm_num_groups, shape)
                })
                .transpose()?;
            Ok::<_, Error>(Operation::Layer { resnet, transformer })
        };

        for index in 0..levels {
            let level = config.level(index, false)?;
            let mut at = root.at(format!("down_blocks.{index}"));
            for (j, attention) in level.layers.into_iter().enumerate() {
                let operation = layer(&mut at, j, channels, level.channels, attention)?;
                channels = level.channels;
                stages.push(Stage { operation, skip: Skip::Push });
                skips.push(channels);
            }
            if index + 1 < levels {
                let geometry = ConvGeometry { stride: 2, before: 1, after: 1 };
                let conv = at.conv("downsamplers.0.conv", channels, channels, 3, geometry)?;
                stages.push(Stage { operation: Operation::Convolution(conv), skip: Skip::Push });
                skips.push(channels);
            }
        }

        let mut at = root.at("mid_block");
        for (j, attention) in config.middle()?.into_iter().enumerate() {
            let operation = layer(&mut at, j, channels, channels, attention)?;
            stages.push(Stage { operation, skip: Skip::None });
        }

        for (block, index) in (0..levels).rev().enumerate() {
            let level = config.level(index, true)?;
            let mut at = root.at(format!("up_blocks.{block}"));
            for (j, attention) in level.layers.into_iter().enumerate() {
                let skip = skips.pop().ok_or_else(|| {
                    Error::Config("`layers_per_block` gives more layers up than skip connections".to_owned())
                })?;
                let operation = layer(&mut at, j, channels + skip, level.channels, attention)?;
                channels = level.channels;
                stages.push(Stage { operation, skip: Skip::Pop });
            }
            if index > 0 {
                let conv = at.conv3x3("upsamplers.0.conv", channels, channels)?;
                stages.push(Stage { operation: Operation::Upsample(conv), skip: Skip::None });
            }
        }

        let norm = root.group_norm("conv_norm_out", channels, config.norm_num_groups, config.norm_eps)?;
        let conv = root.conv3x3("conv_out", channels, config.out_channels)?;
        stages.push(Stage { operation: Operation::Out { norm, conv }, skip: Skip::None });
        Ok(Self { config, time, stages })
    }

    /// Predicts noise (or velocity): `[B, H, W, out_channels]`.
    ///
    /// # Errors
    /// Inputs whose shapes do not fit each other or the configuration.
    pub fn forward(&self, engine: &E, input: &UNetInput<E>) -> Result<E::Tensor> {
        let with = self.condition(engine, input)?;
        let mut x = input.sample.clone();
        let mut skips: Vec<E::Tensor> = Vec::new();
        for index in 0..self.stage_count() {
            let skip = if self.skip(index) == Skip::Pop { skips.pop() } else { None };
            let size = skips.last().map(|skip| spatial(&engine.shape(skip)));
            x = self.run_stage(engine, index, &x, skip.as_ref(), size, &with)?;
            if self.skip(index) == Skip::Push {
                // The running map gets a name of its own, so that gradients are added up in the same order whether the
                // stages are run at once or one at a time: by the next stage first, then with the skip connection's.
                let running = engine.reshape(&x, &engine.shape(&x))?;
                skips.push(std::mem::replace(&mut x, running));
            }
        }
        Ok(x)
    }

    /// Checks the input and embeds what every stage is conditioned on.
    ///
    /// # Errors
    /// Inputs whose shapes do not fit each other or the configuration.
    pub fn condition(&self, engine: &E, input: &UNetInput<E>) -> Result<Conditioning<E>> {
        let shape = engine.shape(&input.sample);
        let wrong = |name, reason: String| Err(Error::Input { name, reason });
        if shape.len() != 4 || shape[3] != self.config.in_channels || shape.contains(&0) {
            return wrong(
                "sample",
                format!("shape {shape:?}; this UNet takes {} channels", self.config.in_channels),
            );
        }
        if input.timesteps.len() != shape[0] {
            return wrong("timestep", format!("{} for {} samples", input.timesteps.len(), shape[0]));
        }
        let context = engine.shape(&input.encoder_hidden_states);
        let width = self.config.cross_attention_dim.at(0, "cross_attention_dim")?;
        if context.len() != 3 || context[0] != shape[0] || context[2] != width {
            let reason = format!("shape {context:?}; expected [{}, tokens, {width}]", shape[0]);
            return wrong("encoder_hidden_states", reason);
        }
        let time = self.time.forward(engine, &input.timesteps, input.added.as_ref())?;
        Ok(Conditioning { time, context: input.encoder_hidden_states.clone(), lora_scale: input.lora_scale })
    }

    /// How many stages there are.
    #[must_use]
    pub fn stage_count(&self) -> usize {
        self.stages.len()
    }

    /// What stage `index` does with the stack of skip connections.
    #[must_use]
    pub fn skip(&self, index: usize) -> Skip {
        self.stages[index].skip
    }

    /// Runs one stage. `skip` is the popped tensor of a [`Skip::Pop`] stage; `size` is height and width of the skip
    /// connection that is on top now (an upsampling goes to that size, which for odd sizes is not twice the input's).
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn run_stage(
        &self,
        engine: &E,
        index: usize,
        x: &E::Tensor,
        skip: Option<&E::Tensor>,
        size: Option<[usize; 2]>,
        with: &Conditioning<E>,
    ) -> Result<E::Tensor> {
        let joined = skip.map(|skip| engine.concat(x, skip, 3)).transpose()?;
        let x = joined.as_ref().unwrap_or(x);
        match &self.stages[index].operation {
            Operation::Convolution(conv) => conv.forward_with(engine, x, with.lora_scale),
            Operation::Layer { resnet, transformer } => {
                let y = resnet.forward(engine, x, Some(&with.time), with.lora_scale)?;
                match transformer {
                    Some(transformer) => transformer.forward(engine, &y, with),
                    None => Ok(y),
                }
            }
            Operation::Upsample(conv) => {
                let [height, width] =
                    size.unwrap_or_else(|| spatial(&engine.shape(x)).map(|length| 2 * length));
                let x = engine.upsample_nearest(x, height, width)?;
                conv.forward_with(engine, &x, with.lora_scale)
            }
            Operation::Out { norm, conv } => {
                conv.forward_with(engine, &norm.forward_silu(engine, x)?, with.lora_scale)
            }
        }
    }

    /// The layers that a LoRA can be attached to: every linear layer and convolution of the stages, that is all but the embedding
    /// of timestep, sizes and pooled text.
    pub fn adaptable(&mut self) -> impl Iterator<Item = Adaptable<'_, E>> {
        self.stages.iter_mut().flat_map(|stage| -> Box<dyn Iterator<Item = Adaptable<'_, E>> + '_> {
            match &mut stage.operation {
                Operation::Layer { resnet, transformer } => {
                    let transformer = transformer.iter_mut().flat_map(Transformer::adaptable);
                    Box::new(resnet.adaptable().chain(transformer))
                }
                Operation::Convolution(conv) | Operation::Upsample(conv) | Operation::Out { conv, .. } => {
                    Box::new(std::iter::once(Adaptable::Convolution(conv)))
                }
            }
        })
    }
}

/// Height and width of a `[B, H, W, C]` shape.
fn spatial(shape: &[usize]) -> [usize; 2] {
    [shape.get(1).copied().unwrap_or(0), shape.get(2).copied().unwrap_or(0)]
}
