//! `AutoencoderTiny` (TAESD, TAESDXL): a coder for the latents of a base's own autoencoder, of a thirtieth of its size. Its pictures are less
//! exact, and made in a moment.

use serde::Deserialize;

use crate::config::{MAX_LAYERS, MAX_WIDTH, at_most, check_sizes};
use crate::engine::{Activation, ConvGeometry, Engine, Parameters};
use crate::error::{Error, Result};
use crate::nn::{Builder, Conv2d};

const CLASS: &str = "AutoencoderTiny";

/// Its `config.json`; what is missing there is as in diffusers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct TaesdConfig {
    /// Latent channels.
    pub latent_channels: usize,
    /// Channels of the encoder's levels, from the finest; each further level halves the size.
    pub encoder_block_out_channels: Vec<usize>,
    /// Channels of the decoder's levels, from the coarsest.
    pub decoder_block_out_channels: Vec<usize>,
    /// Residual blocks of the encoder's levels.
    pub num_encoder_blocks: Vec<usize>,
    /// Residual blocks of the decoder's levels.
    pub num_decoder_blocks: Vec<usize>,
    /// The UNet's latents are those of this coder times this: 1 for all that are published.
    pub scaling_factor: f64,
    /// Colour channels in.
    pub in_channels: usize,
    /// Colour channels out.
    pub out_channels: usize,
    /// `relu`.
    pub act_fn: String,
    /// `nearest`.
    pub upsample_fn: String,
    /// By how much a level of the decoder enlarges.
    pub upsampling_scaling_factor: usize,
    /// `AutoencoderTiny`, for diffusers.
    #[serde(rename = "_class_name")]
    pub class_name: String,
}

impl Default for TaesdConfig {
    fn default() -> Self {
        Self {
            latent_channels: 4,
            encoder_block_out_channels: vec![64; 4],
            decoder_block_out_channels: vec![64; 4],
            num_encoder_blocks: vec![1, 3, 3, 3],
            num_decoder_blocks: vec![3, 3, 3, 1],
            scaling_factor: 1.0,
            in_channels: 3,
            out_channels: 3,
            act_fn: "relu".to_owned(),
            upsample_fn: "nearest".to_owned(),
            upsampling_scaling_factor: 2,
            class_name: CLASS.to_owned(),
        }
    }
}

impl TaesdConfig {
    /// How many pixels, in each direction, one latent stands for.
    #[must_use]
    pub fn reduction(&self) -> usize {
        1 << self.num_decoder_blocks.len().saturating_sub(1)
    }

    /// Refuses what this implementation does not do.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<()> {
        if self.class_name != CLASS {
            return Err(Error::Config(format!(
                "this is an autoencoder of the kind `{}`, and `{CLASS}` alone is supported here",
                self.class_name
            )));
        }
        let (encoder, decoder) = (&self.encoder_block_out_channels, &self.decoder_block_out_channels);
        for (widths, blocks) in [(encoder, &self.num_encoder_blocks), (decoder, &self.num_decoder_blocks)] {
            check_sizes(widths, None)?;
            at_most("blocks of a level", blocks.iter().copied().max().unwrap_or(0), MAX_LAYERS)?;
            let one_width =
                widths.first().is_some_and(|first| *first > 0 && widths.iter().all(|w| w == first));
            if !one_width || widths.len() != blocks.len() || widths.len() != encoder.len() {
                return Err(Error::Config(
                    "all levels of an `AutoencoderTiny` must have as many channels, and encoder and decoder as many levels"
                        .to_owned(),
                ));
            }
        }
        at_most("latent_channels", self.latent_channels, MAX_WIDTH)?;
        let usual = self.latent_channels > 0
            && [self.in_channels, self.out_channels] == [3; 2]
            && (self.act_fn.as_str(), self.upsample_fn.as_str()) == ("relu", "nearest")
            && self.upsampling_scaling_factor == 2;
        if usual {
            return Ok(());
        }
        Err(Error::Config(format!(
            "of `{CLASS}` those alone are supported that have colours in and out, `relu`, and levels that double the size to the `nearest`"
        )))
    }
}

fn relu<E: Engine>(engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
    engine.activation(x, Activation::Relu)
}

/// Three convolutions around which the input goes.
struct Block<E: Engine> {
    convs: [Conv2d<E>; 3],
}

impl<E: Engine> Block<E> {
    fn new(at: &mut Builder<'_, E>, width: usize) -> Result<Self> {
        let mut at = at.at("conv");
        // Their activations have numbers, too.
        let mut conv = |number: &str| at.conv3x3(number, width, width);
        Ok(Self { convs: [conv("0")?, conv("2")?, conv("4")?] })
    }

    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let [first, second, third] = &self.convs;
        let y = relu(engine, &first.forward(engine, x)?)?;
        let y = relu(engine, &second.forward(engine, &y)?)?;
        relu(engine, &engine.add(&third.forward(engine, &y)?, x)?)
    }
}

/// `count` blocks, of which the first is module `place`.
fn blocks<E: Engine>(
    at: &mut Builder<'_, E>,
    place: usize,
    count: usize,
    width: usize,
) -> Result<Vec<Block<E>>> {
    (place..place + count).map(|place| Block::new(&mut at.at(place), width)).collect()
}

/// Pixels `[B, H, W, 3]` times `factor`, plus `shift`.
fn shifted<E: Engine>(engine: &E, pixels: &E::Tensor, factor: f32, shift: f32) -> Result<E::Tensor> {
    let shape = engine.shape(pixels);
    let count = shape.iter().product::<usize>() / 3;
    let scaled = engine.reshape(&engine.scale(pixels, factor)?, &[count, 1, 3])?;
    let shift = engine.from_slice(&[shift; 3], &[1, 3])?;
    engine.reshape(&engine.add_positions(&scaled, &shift)?, &shape)
}

/// `3 tanh(x / 3)`: attention over two keys, 1 and -1, with themselves as values is the hyperbolic tangent of the query.
fn clamped<E: Engine>(engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
    const MOST: f32 = 3.0;
    let shape = engine.shape(x);
    let queries = engine.reshape(&engine.scale(x, 1.0 / MOST)?, &[1, shape.iter().product(), 1])?;
    let ends = engine.from_slice(&[1.0, -1.0], &[1, 2, 1])?;
    let within = engine.attention(&queries, &ends, &ends, 1, false)?;
    engine.reshape(&engine.scale(&within, MOST)?, &shape)
}

/// Pixels to latents.
pub struct TaesdEncoder<E: Engine> {
    /// The convolution that begins each level, and the level's blocks.
    levels: Vec<(Conv2d<E>, Vec<Block<E>>)>,
    conv_out: Conv2d<E>,
}

impl<E: Engine> TaesdEncoder<E> {
    /// Builds the encoder.
    ///
    /// # Errors
    /// A configuration that is not supported; weights that are missing or misshapen.
    pub fn new(config: &TaesdConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let width = config.encoder_block_out_channels[0];
        let mut at = Builder::new(parameters, "encoder.layers");
        let mut levels = Vec::new();
        let mut place = 0;
        for (level, &count) in config.num_encoder_blocks.iter().enumerate() {
            let conv = if level == 0 {
                at.conv3x3("0", config.in_channels, width)?
            } else {
                let halving = ConvGeometry { stride: 2, before: 1, after: 1 };
                at.conv_no_bias(&place.to_string(), width, width, 3, halving)?
            };
            levels.push((conv, blocks(&mut at, place + 1, count, width)?));
            place += 1 + count;
        }
        Ok(Self { levels, conv_out: at.conv3x3(&place.to_string(), width, config.latent_channels)? })
    }

    /// `sample [B, H, W, 3]` in -1..=1 to latents `[B, H / r, W / r, C]`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, engine: &E, sample: &E::Tensor) -> Result<E::Tensor> {
        let mut x = shifted(engine, sample, 0.5, 0.5)?;
        for (conv, blocks) in &self.levels {
            x = conv.forward(engine, &x)?;
            for block in blocks {
                x = block.forward(engine, &x)?;
            }
        }
        self.conv_out.forward(engine, &x)
    }
}

/// Latents to pixels.
pub struct TaesdDecoder<E: Engine> {
    conv_in: Conv2d<E>,
    /// Each level's blocks, and the convolution that ends it.
    levels: Vec<(Vec<Block<E>>, Conv2d<E>)>,
}

impl<E: Engine> TaesdDecoder<E> {
    /// Builds the decoder.
    ///
    /// # Errors
    /// A configuration that is not supported; weights that are missing or misshapen.
    pub fn new(config: &TaesdConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let width = config.decoder_block_out_channels[0];
        let mut at = Builder::new(parameters, "decoder.layers");
        let conv_in = at.conv3x3("0", config.latent_channels, width)?;
        let mut levels = Vec::new();
        // The first convolution has an activation behind it.
        let mut place = 2;
        for (level, &count) in config.num_decoder_blocks.iter().enumerate() {
            let blocks = blocks(&mut at, place, count, width)?;
            place += count;
            let conv = if level + 1 == config.num_decoder_blocks.len() {
                at.conv3x3(&place.to_string(), width, config.out_channels)?
            } else {
                // What enlarges has a number and no weights.
                place += 1;
                at.conv_no_bias(&place.to_string(), width, width, 3, ConvGeometry::same(3))?
            };
            place += 1;
            levels.push((blocks, conv));
        }
        Ok(Self { conv_in, levels })
    }

    /// Latents `[B, h, w, C]`, already divided by the scaling factor, to `sample [B, h r, w r, 3]`, about -1..=1.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, engine: &E, latents: &E::Tensor) -> Result<E::Tensor> {
        let mut x = relu(engine, &self.conv_in.forward(engine, &clamped(engine, latents)?)?)?;
        for (level, (blocks, conv)) in self.levels.iter().enumerate() {
            for block in blocks {
                x = block.forward(engine, &x)?;
            }
            if level + 1 < self.levels.len() {
                let shape = engine.shape(&x);
                x = engine.upsample_nearest(&x, 2 * shape[1], 2 * shape[2])?;
            }
            x = conv.forward(engine, &x)?;
        }
        shifted(engine, &x, 2.0, -1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn what_is_published_is_read_and_other_kinds_are_named() {
        let published = r#"{"_class_name": "AutoencoderTiny", "act_fn": "relu", "block_out_channels": [64, 64, 64, 64],
            "decoder_block_out_channels": [64, 64, 64, 64], "encoder_block_out_channels": [64, 64, 64, 64], "force_upcast": false,
            "in_channels": 3, "latent_channels": 4, "latent_magnitude": 3, "latent_shift": 0.5, "num_decoder_blocks": [3, 3, 3, 1],
            "num_encoder_blocks": [1, 3, 3, 3], "out_channels": 3, "scaling_factor": 1.0, "upsampling_scaling_factor": 2}"#;
        let config: TaesdConfig = parse(published).expect("a configuration");
        assert_eq!(config, TaesdConfig::default());
        assert_eq!(config.reduction(), 8);
        config.check().expect("it is supported");
        let refused = |text: &str| {
            let config: TaesdConfig = parse(text).expect("a configuration");
            config.check().expect_err("it is not supported").to_string()
        };
        assert!(refused(r#"{"_class_name": "AutoencoderKL"}"#).contains("`AutoencoderKL`"));
        assert!(refused(r#"{"num_decoder_blocks": [3, 3, 1]}"#).contains("as many levels"));
        assert!(refused(r#"{"decoder_block_out_channels": [64, 64, 32, 64]}"#).contains("as many channels"));
        assert!(refused(r#"{"act_fn": "silu"}"#).contains("`relu`"));
    }
}
