//! `AutoencoderKL`: between pixels and latents.

use serde::{Deserialize, Serialize};

use crate::config::{MAX_LAYERS, MAX_WIDTH, at_most, check_sizes, side};
use crate::engine::{ConvGeometry, Engine, Parameters};
use crate::error::{Error, Result};
use crate::nn::{Builder, Conv2d, GroupNorm, Linear};
use crate::unet::{ResNet, ResNetShape};

/// `vae/config.json`. Fields that a file lacks are diffusers' defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    /// Colour channels in.
    pub in_channels: usize,
    /// Colour channels out.
    pub out_channels: usize,
    /// Channels of each level, from the finest; each further level halves the size.
    pub block_out_channels: Vec<usize>,
    /// ResNet blocks for each level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Latent channels.
    pub latent_channels: usize,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Latents are multiplied by this before the UNet sees them: 0.13025 for SDXL, 0.18215 for SD 1.5 and 2.1.
    pub scaling_factor: f64,
    /// Means and deviations of the latents' channels, by which some models' latents are normalized; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents_mean: Option<Vec<f64>>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents_std: Option<Vec<f64>>,
    /// A 1x1 convolution after the encoder.
    pub use_quant_conv: bool,
    /// A 1x1 convolution before the decoder.
    pub use_post_quant_conv: bool,
    /// Self-attention at the coarsest level.
    pub mid_block_add_attention: bool,
    /// `silu`.
    pub act_fn: String,
    /// `DownEncoderBlock2D` for each level.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub down_block_types: Vec<String>,
    /// `UpDecoderBlock2D` for each level.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub up_block_types: Vec<String>,
    /// Height and width of the images that it was trained at.
    #[serde(deserialize_with = "side", skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<usize>,
    /// `AutoencoderKL`, for diffusers.
    #[serde(rename = "_class_name")]
    pub class_name: String,
}

/// The kind that is supported.
const CLASS: &str = "AutoencoderKL";

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            block_out_channels: vec![64],
            layers_per_block: 1,
            latent_channels: 4,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            latents_mean: None,
            latents_std: None,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
            act_fn: "silu".to_owned(),
            down_block_types: Vec::new(),
            up_block_types: Vec::new(),
            sample_size: None,
            class_name: CLASS.to_owned(),
        }
    }
}

const EPS: f32 = 1e-6;

impl VaeConfig {
    /// How many pixels, in each direction, one latent stands for.
    #[must_use]
    pub fn reduction(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// Refuses what this implementation does not do, by name of the field.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<()> {
        if self.class_name != CLASS {
            return Err(Error::Config(format!(
                "this is an autoencoder of the kind `{}`, and `{CLASS}` alone is supported; take the base's usual one",
                self.class_name,
            )));
        }
        check_sizes(&self.block_out_channels, self.sample_size)?;
        at_most("layers_per_block", self.layers_per_block, MAX_LAYERS)?;
        at_most("latent_channels", self.latent_channels, MAX_WIDTH)?;
        for (field, values, neutral) in
            [("latents_mean", &self.latents_mean, 0.0), ("latents_std", &self.latents_std, 1.0)]
        {
            if values.iter().flatten().any(|value| *value != neutral) {
                return Err(Error::Config(format!(
                    "`{field}` says that each channel of the latents is normalized by itself, which is not supported; take a base without it"
                )));
            }
        }
        let known = |types: &[String], name: &str| types.iter().all(|kind| kind == name);
        if self.block_out_channels.is_empty() || self.latent_channels == 0 || self.norm_num_groups == 0 {
            return Err(Error::Config(
                "`block_out_channels` and `latent_channels` must not be empty".to_owned(),
            ));
        }
        if !known(&self.down_block_types, "DownEncoderBlock2D")
            || !known(&self.up_block_types, "UpDecoderBlock2D")
        {
            return Err(Error::Config(
                "only DownEncoderBlock2D and UpDecoderBlock2D are supported".to_owned(),
            ));
        }
        if self.act_fn != "silu" {
            return Err(Error::Config(format!("`act_fn` {:?} is not supported", self.act_fn)));
        }
        Ok(())
    }

    fn resnet(&self, inputs: usize, outputs: usize) -> ResNetShape {
        ResNetShape { inputs, outputs, time: None, groups: self.norm_num_groups, eps: EPS }
    }
}

/// Attention with one head over all positions of a feature map.
struct MidAttention<E: Engine> {
    norm: GroupNorm<E>,
    q: Linear<E>,
    k: Linear<E>,
    v: Linear<E>,
    out: Linear<E>,
}

struct Mid<E: Engine> {
    first: ResNet<E>,
    attention: Option<MidAttention<E>>,
    second: ResNet<E>,
}

impl<E: Engine> Mid<E> {
    fn new(at: &mut Builder<'_, E>, config: &VaeConfig, width: usize) -> Result<Self> {
        let attention = if config.mid_block_add_attention {
            let mut at = at.at("attentions.0");
            // Files written before diffusers 0.18 use the first name of each pair.
            let old = at.contains("query.weight");
            let mut linear =
                |before: &str, now: &str| at.linear(if old { before } else { now }, width, width);
            let (q, k) = (linear("query", "to_q")?, linear("key", "to_k")?);
            let (v, out) = (linear("value", "to_v")?, linear("proj_attn", "to_out.0")?);
            let norm = at.group_norm("group_norm", width, config.norm_num_groups, EPS)?;
            Some(MidAttention { norm, q, k, v, out })
        } else {
            None
        };
        Ok(Self {
            first: ResNet::new(&mut at.at("resnets.0"), &config.resnet(width, width))?,
            attention,
            second: ResNet::new(&mut at.at("resnets.1"), &config.resnet(width, width))?,
        })
    }

    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let mut x = self.first.forward(engine, x, None, 0.0)?;
        if let Some(attention) = &self.attention {
            let shape = engine.shape(&x);
            let tokens = [shape[0], shape[1] * shape[2], shape[3]];
            let y = engine.reshape(&attention.norm.forward(engine, &x)?, &tokens)?;
            let (q, k) = (attention.q.forward(engine, &y)?, attention.k.forward(engine, &y)?);
            let v = attention.v.forward(engine, &y)?;
            let y = attention.out.forward(engine, &engine.attention(&q, &k, &v, 1, false)?)?;
            x = engine.add(&x, &engine.reshape(&y, &shape)?)?;
        }
        self.second.forward(engine, &x, None, 0.0)
    }
}

/// ResNet blocks of one level, and the convolution that changes the size after them.
struct Level<E: Engine> {
    resnets: Vec<ResNet<E>>,
    resample: Option<Conv2d<E>>,
}

/// Pixels to the mean and log variance of latents.
pub struct VaeEncoder<E: Engine> {
    conv_in: Conv2d<E>,
    levels: Vec<Level<E>>,
    mid: Mid<E>,
    norm_out: GroupNorm<E>,
    conv_out: Conv2d<E>,
    quant: Option<Conv2d<E>>,
}

/// Latents to pixels.
pub struct VaeDecoder<E: Engine> {
    post_quant: Option<Conv2d<E>>,
    conv_in: Conv2d<E>,
    mid: Mid<E>,
    levels: Vec<Level<E>>,
    norm_out: GroupNorm<E>,
    conv_out: Conv2d<E>,
}

impl<E: Engine> VaeEncoder<E> {
    /// Builds the encoder.
    ///
    /// # Errors
    /// A configuration that is not supported; weights that are missing or misshapen.
    pub fn new(config: &VaeConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let moments = 2 * config.latent_channels;
        let mut root = Builder::new(parameters, "");
        let quant = config
            .use_quant_conv
            .then(|| root.conv("quant_conv", moments, moments, 1, ConvGeometry::same(1)))
            .transpose()?;
        let mut at = root.at("encoder");
        let mut channels = config.block_out_channels[0];
        let conv_in = at.conv3x3("conv_in", config.in_channels, channels)?;
        let mut levels = Vec::new();
        for (index, &width) in config.block_out_channels.iter().enumerate() {
            let mut at = at.at(format!("down_blocks.{index}"));
            let mut resnets = Vec::new();
            for j in 0..config.layers_per_block {
                resnets
                    .push(ResNet::new(&mut at.at(format!("resnets.{j}")), &config.resnet(channels, width))?);
                channels = width;
            }
            let resample = (index + 1 < config.block_out_channels.len())
                .then(|| {
                    let geometry = ConvGeometry { stride: 2, before: 0, after: 1 };
                    at.conv("downsamplers.0.conv", width, width, 3, geometry)
                })
                .transpose()?;
            levels.push(Level { resnets, resample });
        }
        let mid = Mid::new(&mut at.at("mid_block"), config, channels)?;
        let norm_out = at.group_norm("conv_norm_out", channels, config.norm_num_groups, EPS)?;
        let conv_out = at.conv3x3("conv_out", channels, moments)?;
        Ok(Self { conv_in, levels, mid, norm_out, conv_out, quant })
    }

    /// `sample [B, H, W, 3]` in -1..=1 to moments `[B, H / r, W / r, 2 C]`: the means, then the log variances (to be
    /// clamped to -30..=20 before use).
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, engine: &E, sample: &E::Tensor) -> Result<E::Tensor> {
        let mut x = self.conv_in.forward(engine, sample)?;
        for level in &self.levels {
            for resnet in &level.resnets {
                x = resnet.forward(engine, &x, None, 0.0)?;
            }
            if let Some(conv) = &level.resample {
                x = conv.forward(engine, &x)?;
            }
        }
        let x = self.mid.forward(engine, &x)?;
        let x = self.conv_out.forward(engine, &self.norm_out.forward_silu(engine, &x)?)?;
        self.quant.as_ref().map_or_else(|| Ok(x.clone()), |quant| quant.forward(engine, &x))
    }
}

impl<E: Engine> VaeDecoder<E> {
    /// Builds the decoder.
    ///
    /// # Errors
    /// A configuration that is not supported; weights that are missing or misshapen.
    pub fn new(config: &VaeConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let latents = config.latent_channels;
        let mut root = Builder::new(parameters, "");
        let post_quant = config
            .use_post_quant_conv
            .then(|| root.conv("post_quant_conv", latents, latents, 1, ConvGeometry::same(1)))
            .transpose()?;
        let mut at = root.at("decoder");
        let count = config.block_out_channels.len();
        let mut channels = config.block_out_channels[count - 1];
        let conv_in = at.conv3x3("conv_in", latents, channels)?;
        let mid = Mid::new(&mut at.at("mid_block"), config, channels)?;
        let mut levels = Vec::new();
        for (index, &width) in config.block_out_channels.iter().rev().enumerate() {
            let mut at = at.at(format!("up_blocks.{index}"));
            let mut resnets = Vec::new();
            for j in 0..=config.layers_per_block {
                resnets
                    .push(ResNet::new(&mut at.at(format!("resnets.{j}")), &config.resnet(channels, width))?);
                channels = width;
            }
            let resample =
                (index + 1 < count).then(|| at.conv3x3("upsamplers.0.conv", width, width)).transpose()?;
            levels.push(Level { resnets, resample });
        }
        let norm_out = at.group_norm("conv_norm_out", channels, config.norm_num_groups, EPS)?;
        let conv_out = at.conv3x3("conv_out", channels, config.out_channels)?;
        Ok(Self { post_quant, conv_in, mid, levels, norm_out, conv_out })
    }

    /// Latents `[B, h, w, C]`, already divided by the scaling factor, to `sample [B, h r, w r, 3]`, about -1..=1.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, engine: &E, latents: &E::Tensor) -> Result<E::Tensor> {
        let mut x = match &self.post_quant {
            Some(conv) => conv.forward(engine, latents)?,
            None => latents.clone(),
        };
        x = self.mid.forward(engine, &self.conv_in.forward(engine, &x)?)?;
        for level in &self.levels {
            for resnet in &level.resnets {
                x = resnet.forward(engine, &x, None, 0.0)?;
            }
            if let Some(conv) = &level.resample {
                let shape = engine.shape(&x);
                x = conv.forward(engine, &engine.upsample_nearest(&x, 2 * shape[1], 2 * shape[2])?)?;
            }
        }
        self.conv_out.forward(engine, &self.norm_out.forward_silu(engine, &x)?)
    }
}

#[cfg(test)]
mod tests {
    use super::VaeConfig;
    use crate::config::parse;

    #[test]
    fn autoencoders_that_cannot_be_used_are_refused_by_field() {
        let check = |fields: &str| {
            let json = format!(r#"{{"block_out_channels": [8, 16], "latent_channels": 4{fields}}}"#);
            parse::<VaeConfig>(&json).and_then(|config| config.check()).map_err(|error| error.to_string())
        };
        // As most of today's files say, and what says the same in numbers.
        for fields in [
            "",
            r#", "latents_mean": null, "latents_std": null, "sample_size": [64, 96]"#,
            r#", "latents_mean": [0.0, 0, 0, 0], "latents_std": [1, 1, 1, 1]"#,
        ] {
            assert_eq!(check(fields), Ok(()), "{fields}");
        }
        // The first two are those of Playground v2.5.
        for (field, value) in [
            ("latents_mean", "[-1.6574, 1.886, -1.383, 2.5155]"),
            ("latents_std", "[8.4927, 5.9022, 6.5498, 5.2299]"),
            ("layers_per_block", "1000000000"),
            ("act_fn", r#""gelu""#),
        ] {
            let error = check(&format!(r#", "{field}": {value}"#)).unwrap_err();
            assert!(error.contains(field), "{field}: {error}");
        }
        let tiny = r#"{"_class_name": "AutoencoderTiny", "encoder_block_out_channels": [64, 64], "latent_channels": 4}"#;
        let error = parse::<VaeConfig>(tiny).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("`AutoencoderTiny`") && error.contains("`AutoencoderKL`"), "{error}");
    }
}
