//! `unet/config.json`, and what follows from it.

use serde::{Deserialize, Serialize};

use crate::config::{MAX_LAYERS, MAX_WIDTH, OneOrMany, any, at_most, check_sizes, side};
use crate::error::{Error, Result};

/// The fields of `UNet2DConditionModel`'s configuration that SD 1.5, SD 2.1 and SDXL use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UNetConfig {
    /// Latent channels in.
    pub in_channels: usize,
    /// Latent channels out.
    pub out_channels: usize,
    /// Channels of each level, from the finest.
    pub block_out_channels: Vec<usize>,
    /// `DownBlock2D` or `CrossAttnDownBlock2D` for each level.
    pub down_block_types: Vec<String>,
    /// `UpBlock2D` or `CrossAttnUpBlock2D` for each level, from the coarsest.
    pub up_block_types: Vec<String>,
    /// `UNetMidBlock2DCrossAttn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid_block_type: Option<String>,
    /// ResNet blocks for each level on the way down; one more on the way up.
    pub layers_per_block: OneOrMany,
    /// The number of attention heads of each level (the field's name is a mistake that diffusers keeps).
    pub attention_head_dim: OneOrMany,
    /// The number of attention heads, where a file names it rightly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_attention_heads: Option<OneOrMany>,
    /// Transformer blocks in each attention of each level.
    #[serde(default = "one")]
    pub transformer_layers_per_block: OneOrMany,
    /// Width of the text states.
    pub cross_attention_dim: OneOrMany,
    /// Linear rather than 1x1 convolution projections around the transformer blocks.
    #[serde(default)]
    pub use_linear_projection: bool,
    /// Groups of the group norms.
    #[serde(default = "default_groups")]
    pub norm_num_groups: usize,
    /// Added to the group norms' variances.
    #[serde(default = "default_eps")]
    pub norm_eps: f32,
    /// Cosines before sines in the timestep embedding.
    #[serde(default = "yes")]
    pub flip_sin_to_cos: bool,
    /// Shift of the timestep embedding's frequencies.
    #[serde(default)]
    pub freq_shift: f32,
    /// `text_time` for SDXL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addition_embed_type: Option<String>,
    /// Width of the embedding of each of SDXL's six sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addition_time_embed_dim: Option<usize>,
    /// Width of pooled text and embedded sizes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection_class_embeddings_input_dim: Option<usize>,
    /// Height and width of the latents that the model was trained at, or the smaller of both.
    #[serde(default, deserialize_with = "side", skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<usize>,
    /// `silu`.
    #[serde(default = "default_act")]
    pub act_fn: String,
    /// `default`.
    #[serde(default = "default_time_scale_shift")]
    pub resnet_time_scale_shift: String,
    /// Self-attention left out; not supported.
    #[serde(default, deserialize_with = "any")]
    pub only_cross_attention: bool,
    /// Two cross-attentions; not supported.
    #[serde(default)]
    pub dual_cross_attention: bool,
    /// Class conditioning; not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_embed_type: Option<String>,
    /// Further conditioning through the text states; not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_hid_dim_type: Option<String>,
    /// Latents moved from 0..=1 to -1..=1; not supported.
    #[serde(default)]
    pub center_input_sample: bool,
    /// Zeros around what is halved in size: 1.
    #[serde(default = "default_padding")]
    pub downsample_padding: usize,
    /// What the middle block's results are divided by: 1.
    #[serde(default = "default_scale")]
    pub mid_block_scale_factor: f32,
    /// A function of the timestep's embedding; not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_embedding_act_fn: Option<String>,
    /// Another; not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestep_post_act: Option<String>,
    /// `UNet2DConditionModel`, for diffusers.
    #[serde(rename = "_class_name", default = "class_name")]
    pub class_name: String,
}

fn one() -> OneOrMany {
    OneOrMany::One(1)
}
fn default_groups() -> usize {
    32
}
fn default_eps() -> f32 {
    1e-5
}
fn default_padding() -> usize {
    1
}
fn default_scale() -> f32 {
    1.0
}
fn yes() -> bool {
    true
}
fn default_act() -> String {
    "silu".to_owned()
}
fn default_time_scale_shift() -> String {
    "default".to_owned()
}
fn class_name() -> String {
    "UNet2DConditionModel".to_owned()
}

/// One level of the UNet, with every choice made.
pub(super) struct Level {
    pub(super) channels: usize,
    pub(super) resnets: usize,
    /// Heads and transformer blocks of each attention; none for plain blocks.
    pub(super) attention: Option<AttentionShape>,
}

/// The size of a level's transformers.
#[derive(Clone, Copy)]
pub(super) struct AttentionShape {
    pub(super) heads: usize,
    pub(super) blocks: usize,
    pub(super) context: usize,
}

impl UNetConfig {
    /// Width of the timestep embedding's hidden layers.
    #[must_use]
    pub fn time_embed_dim(&self) -> usize {
        4 * self.block_out_channels.first().copied().unwrap_or(0)
    }

    /// Whether SDXL's pooled text and sizes are asked for.
    #[must_use]
    pub fn has_text_time(&self) -> bool {
        self.addition_embed_type.as_deref() == Some("text_time")
    }

    /// How many times smaller the coarsest level is than the latents.
    #[must_use]
    pub fn reduction(&self) -> usize {
        1 << (self.block_out_channels.len().saturating_sub(1))
    }

    /// Refuses a denoiser that cannot make pictures here, by name of the field: one whose network is not known, and one that reads more
    /// than noisy latents.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check_base(&self) -> Result<()> {
        self.check()?;
        for index in 0..self.block_out_channels.len() {
            self.level(index, false)?;
            self.level(index, true)?;
        }
        if self.in_channels != self.out_channels {
            return Err(Error::Config(format!(
                "`in_channels` is {} and `out_channels` {}, as of models for inpainting, which are not supported; take a base that makes pictures from text alone",
                self.in_channels, self.out_channels
            )));
        }
        Ok(())
    }

    /// Refuses what this implementation does not do, by name of the field.
    pub(super) fn check(&self) -> Result<()> {
        let levels = self.block_out_channels.len();
        let fail = |text: String| Err(Error::Config(text));
        if levels == 0 || self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return fail(format!(
                "`block_out_channels`, `down_block_types` and `up_block_types` name {levels}, {} and {} levels",
                self.down_block_types.len(),
                self.up_block_types.len()
            ));
        }
        check_sizes(&self.block_out_channels, self.sample_size)?;
        let refused = [
            (self.act_fn != "silu" && self.act_fn != "swish", "act_fn"),
            (self.resnet_time_scale_shift != "default", "resnet_time_scale_shift"),
            (self.only_cross_attention, "only_cross_attention"),
            (self.dual_cross_attention, "dual_cross_attention"),
            (self.center_input_sample, "center_input_sample"),
            (self.downsample_padding != 1, "downsample_padding"),
            (self.mid_block_scale_factor != 1.0, "mid_block_scale_factor"),
            (self.time_embedding_act_fn.is_some(), "time_embedding_act_fn"),
            (self.timestep_post_act.is_some(), "timestep_post_act"),
            (self.class_embed_type.is_some(), "class_embed_type"),
            (self.encoder_hid_dim_type.is_some(), "encoder_hid_dim_type"),
            (self.addition_embed_type.is_some() && !self.has_text_time(), "addition_embed_type"),
            (
                self.mid_block_type.as_deref().is_some_and(|kind| kind != "UNetMidBlock2DCrossAttn"),
                "mid_block_type",
            ),
        ];
        if let Some((_, field)) = refused.iter().find(|(refused, _)| *refused) {
            return fail(format!(
                "`{field}` has a value that SD 1.5, SD 2.1 and SDXL do not use; not supported"
            ));
        }
        if let Some(channels) = self
            .block_out_channels
            .iter()
            .find(|&&c| c == 0 || !c.is_multiple_of(self.norm_num_groups.max(1)))
        {
            return fail(format!("{channels} channels cannot be split in {} groups", self.norm_num_groups));
        }
        Ok(())
    }

    /// The transformers of level `index`, counted from the finest.
    pub(super) fn attention(&self, index: usize) -> Result<AttentionShape> {
        let heads = match &self.num_attention_heads {
            Some(heads) => heads.at(index, "num_attention_heads")?,
            None => self.attention_head_dim.at(index, "attention_head_dim")?,
        };
        let channels = self.block_out_channels[index];
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(Error::Config(format!("{channels} channels cannot be split in {heads} heads")));
        }
        let blocks = self.transformer_layers_per_block.at(index, "transformer_layers_per_block")?;
        at_most("transformer_layers_per_block", blocks, MAX_LAYERS)?;
        let context = self.cross_attention_dim.at(index, "cross_attention_dim")?;
        at_most("cross_attention_dim", context, MAX_WIDTH)?;
        Ok(AttentionShape { heads, blocks, context })
    }

    /// Level `index` from the finest, on the way down or up.
    pub(super) fn level(&self, index: usize, up: bool) -> Result<Level> {
        let levels = self.block_out_channels.len();
        let kind = if up { &self.up_block_types[levels - 1 - index] } else { &self.down_block_types[index] };
        let cross = match (kind.as_str(), up) {
            ("DownBlock2D", false) | ("UpBlock2D", true) => false,
            ("CrossAttnDownBlock2D", false) | ("CrossAttnUpBlock2D", true) => true,
            _ => return Err(Error::Config(format!("block type {kind:?} is not supported"))),
        };
        let attention = cross.then(|| self.attention(index)).transpose()?;
        let layers = self.layers_per_block.at(index, "layers_per_block")?;
        at_most("layers_per_block", layers, MAX_LAYERS)?;
        Ok(Level { channels: self.block_out_channels[index], resnets: layers + usize::from(up), attention })
    }
}

#[cfg(test)]
mod tests {
    use crate::ldm::tests::sdxl;

    #[test]
    fn bases_that_cannot_be_used_are_refused_by_field() {
        assert!(sdxl().check_base().is_ok());
        let refused = |field: &str, value: &str| {
            let mut config = serde_json::to_value(sdxl()).unwrap();
            config[field] = serde_json::from_str(value).unwrap();
            let error =
                serde_json::from_value::<super::UNetConfig>(config).unwrap().check_base().unwrap_err();
            assert!(error.to_string().contains(field), "{field}: {error}");
        };
        refused("in_channels", "9");
        // As of SSD-1B, whose blocks have transformers of different depths.
        refused("transformer_layers_per_block", "[[0], [2, 2], [4, 4]]");
        refused("layers_per_block", "[2, 2]");
        refused("act_fn", r#""gelu""#);
        refused("center_input_sample", "true");
        refused("downsample_padding", "0");
        refused("mid_block_scale_factor", "1.4142");
        refused("time_embedding_act_fn", r#""silu""#);
        refused("timestep_post_act", r#""silu""#);
        refused("only_cross_attention", "[false, true, false]");
        // Nothing is made of numbers that no network has.
        refused("layers_per_block", "1000000000");
        refused("transformer_layers_per_block", "[1, 2, 1000000000]");
        refused("block_out_channels", "[320, 640, 1280000]");
        refused("cross_attention_dim", "10000000000");
    }

    #[test]
    fn what_diffusers_reads_as_one_value_or_as_several_is_read_as_both() {
        let mut config = serde_json::to_value(sdxl()).unwrap();
        assert!(config.as_object().unwrap().values().all(|value| !value.is_null()), "{config}");
        for (size, side) in [("[64, 96]", Some(64)), ("96", Some(96)), ("null", None)] {
            config["sample_size"] = serde_json::from_str(size).unwrap();
            config["only_cross_attention"] = serde_json::json!([false, false, false]);
            let read: super::UNetConfig = serde_json::from_value(config.clone()).unwrap();
            assert_eq!(read.sample_size, side, "{size}");
            assert!(read.check_base().is_ok(), "{size}");
        }
        config["sample_size"] = "large".into();
        let error = serde_json::from_value::<super::UNetConfig>(config).unwrap_err().to_string();
        assert!(error.contains("sample_size"), "{error}");
    }
}
