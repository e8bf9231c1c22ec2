//! `unet/config.json`, and what follows from it.

use serde::{Deserialize, Serialize};

use crate::config::{MAX_LAYERS, MAX_WIDTH, OneOrMany, any, at_most, check_sizes, nullable, side};
use crate::error::{Error, Result};

/// The fields of `UNet2DConditionModel`'s configuration that SD 1.5, SD 2.1 and SDXL use. Those that a file lacks are diffusers' defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
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
    /// `UNetMidBlock2DCrossAttn`, also where a file says nothing; `UNetMidBlock2D`, which is its first ResNet block alone; null: there is no
    /// middle block, as in distilled models.
    pub mid_block_type: Option<String>,
    /// ResNet blocks for each level on the way down; one more on the way up.
    pub layers_per_block: OneOrMany,
    /// The number of attention heads of each level (the field's name is a mistake that diffusers keeps).
    pub attention_head_dim: OneOrMany,
    /// The number of attention heads, where a file names it rightly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_attention_heads: Option<OneOrMany>,
    /// Transformer blocks in each attention of each level; a list in the list for layers that differ.
    pub transformer_layers_per_block: OneOrMany,
    /// The same on the way up, from the coarsest level, where it is not the way down reversed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse_transformer_layers_per_block: Option<OneOrMany>,
    /// Width of the text states.
    pub cross_attention_dim: OneOrMany,
    /// Linear rather than 1x1 convolution projections around the transformer blocks.
    pub use_linear_projection: bool,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Added to the group norms' variances.
    pub norm_eps: f32,
    /// Cosines before sines in the timestep embedding.
    pub flip_sin_to_cos: bool,
    /// Shift of the timestep embedding's frequencies.
    pub freq_shift: f32,
    /// `text_time` for SDXL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addition_embed_type: Option<String>,
    /// Width of the embedding of each of SDXL's six sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addition_time_embed_dim: Option<usize>,
    /// Width of pooled text and embedded sizes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection_class_embeddings_input_dim: Option<usize>,
    /// Height and width of the latents that the model was trained at, or the smaller of both.
    #[serde(deserialize_with = "side", skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<usize>,
    /// `silu`.
    pub act_fn: String,
    /// `default`.
    pub resnet_time_scale_shift: String,
    /// Self-attention left out; not supported.
    #[serde(deserialize_with = "any")]
    pub only_cross_attention: bool,
    /// Two cross-attentions; not supported.
    pub dual_cross_attention: bool,
    /// Class conditioning; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_embed_type: Option<String>,
    /// Classes by number; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_class_embeds: Option<usize>,
    /// The strength of guidance as an input, as of models of latent consistency (LCM); not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_cond_proj_dim: Option<usize>,
    /// Further conditioning through the text states; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_hid_dim_type: Option<String>,
    /// Latents moved from 0..=1 to -1..=1; not supported.
    pub center_input_sample: bool,
    /// Zeros around what is halved in size: 1.
    pub downsample_padding: usize,
    /// What the middle block's results are divided by: 1.
    pub mid_block_scale_factor: f32,
    /// What ResNet blocks' results are divided by: 1.
    pub resnet_out_scale_factor: f32,
    /// ResNet blocks without a function of the timestep; not supported.
    #[serde(deserialize_with = "nullable")]
    pub resnet_skip_time_act: bool,
    /// `positional`.
    pub time_embedding_type: String,
    /// `default`.
    pub attention_type: String,
    /// Width of the timestep's embedding: four times the finest level's channels, also where a file says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_embedding_dim: Option<usize>,
    /// A function of the timestep's embedding; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_embedding_act_fn: Option<String>,
    /// Another; not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep_post_act: Option<String>,
    /// `UNet2DConditionModel`, for diffusers.
    #[serde(rename = "_class_name")]
    pub class_name: String,
}

impl Default for UNetConfig {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        let usual = || "default".to_owned();
        let cross = "CrossAttnDownBlock2D";
        let up = "CrossAttnUpBlock2D";
        Self {
            in_channels: 4,
            out_channels: 4,
            block_out_channels: vec![320, 640, 1280, 1280],
            down_block_types: names([cross, cross, cross, "DownBlock2D"]),
            up_block_types: names(["UpBlock2D", up, up, up]),
            mid_block_type: Some(MIDDLE.to_owned()),
            layers_per_block: OneOrMany::One(2),
            attention_head_dim: OneOrMany::One(8),
            num_attention_heads: None,
            transformer_layers_per_block: OneOrMany::One(1),
            reverse_transformer_layers_per_block: None,
            cross_attention_dim: OneOrMany::One(1280),
            use_linear_projection: false,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
            sample_size: None,
            act_fn: "silu".to_owned(),
            resnet_time_scale_shift: usual(),
            only_cross_attention: false,
            dual_cross_attention: false,
            class_embed_type: None,
            num_class_embeds: None,
            time_cond_proj_dim: None,
            encoder_hid_dim_type: None,
            center_input_sample: false,
            downsample_padding: 1,
            mid_block_scale_factor: 1.0,
            resnet_out_scale_factor: 1.0,
            resnet_skip_time_act: false,
            time_embedding_type: "positional".to_owned(),
            attention_type: usual(),
            time_embedding_dim: None,
            time_embedding_act_fn: None,
            timestep_post_act: None,
            class_name: "UNet2DConditionModel".to_owned(),
        }
    }
}

/// The middle block with a transformer, and the one without.
const MIDDLE: &str = "UNetMidBlock2DCrossAttn";
const PLAIN_MIDDLE: &str = "UNetMidBlock2D";

/// One level of the UNet, with every choice made.
pub(super) struct Level {
    pub(super) channels: usize,
    /// The layers, each a ResNet block and in some levels a transformer.
    pub(super) layers: Vec<Option<AttentionShape>>,
}

/// The size of a transformer.
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
        self.transformers()?;
        if self.in_channels != self.out_channels {
            return Err(Error::Config(format!(
                "`in_channels` is {} and `out_channels` {}, as of models for {}, which are not supported; take a base that makes pictures from text alone",
                self.in_channels,
                self.out_channels,
                purpose(self.in_channels)
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
            (self.resnet_out_scale_factor != 1.0, "resnet_out_scale_factor"),
            (self.resnet_skip_time_act, "resnet_skip_time_act"),
            (self.attention_type != "default", "attention_type"),
            (self.time_embedding_type != "positional", "time_embedding_type"),
            (
                self.time_embedding_dim.is_some_and(|width| width != self.time_embed_dim()),
                "time_embedding_dim",
            ),
            (self.time_embedding_act_fn.is_some(), "time_embedding_act_fn"),
            (self.timestep_post_act.is_some(), "timestep_post_act"),
            (self.class_embed_type.is_some(), "class_embed_type"),
            (self.num_class_embeds.is_some(), "num_class_embeds"),
            (self.encoder_hid_dim_type.is_some(), "encoder_hid_dim_type"),
            (self.addition_embed_type.is_some() && !self.has_text_time(), "addition_embed_type"),
            (
                self.mid_block_type.as_deref().is_some_and(|kind| kind != MIDDLE && kind != PLAIN_MIDDLE),
                "mid_block_type",
            ),
        ];
        if let Some((_, field)) = refused.iter().find(|(refused, _)| *refused) {
            return fail(format!(
                "`{field}` has a value that SD 1.5, SD 2.1 and SDXL do not use, which is not supported; take a base of these families"
            ));
        }
        if self.time_cond_proj_dim.is_some() {
            return fail(
                "`time_cond_proj_dim` is set, as of models of latent consistency (LCM), which are not supported; take the model that it was made of, with an LCM LoRA for few steps"
                    .to_owned(),
            );
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

    /// A transformer of level `index`, counted from the finest, of so many blocks.
    fn attention(&self, index: usize, blocks: usize) -> Result<AttentionShape> {
        let heads = match &self.num_attention_heads {
            Some(heads) => heads.at(index, "num_attention_heads")?,
            None => self.attention_head_dim.at(index, "attention_head_dim")?,
        };
        let channels = self.block_out_channels[index];
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(Error::Config(format!("{channels} channels cannot be split in {heads} heads")));
        }
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
        let layers = self.layers_per_block.at(index, "layers_per_block")?;
        at_most("layers_per_block", layers, MAX_LAYERS)?;
        let layers = (0..layers + usize::from(up))
            .map(|layer| cross.then(|| self.attention(index, self.depth(index, up, layer)?)).transpose());
        Ok(Level { channels: self.block_out_channels[index], layers: layers.collect::<Result<_>>()? })
    }

    /// Transformer blocks of the attention of one layer of level `index`.
    fn depth(&self, index: usize, up: bool, layer: usize) -> Result<usize> {
        const DOWN: &str = "transformer_layers_per_block";
        const UP: &str = "reverse_transformer_layers_per_block";
        match &self.reverse_transformer_layers_per_block {
            Some(depths) if up => depths.at_layer(self.block_out_channels.len() - 1 - index, layer, UP),
            None if up && self.transformer_layers_per_block.is_nested() => Err(Error::Config(format!(
                "`{DOWN}` has lists in its list, and there is no `{UP}`, which they need; copy the configuration again"
            ))),
            _ => self.transformer_layers_per_block.at_layer(index, layer, DOWN),
        }
    }

    /// The transformer blocks behind each ResNet block, from the first to the last; none where no transformer is.
    ///
    /// # Errors
    /// [`Error::Config`], naming the field.
    pub fn transformers(&self) -> Result<Vec<Option<usize>>> {
        self.check()?;
        let levels = 0..self.block_out_channels.len();
        let mut layers = Vec::new();
        for index in levels.clone() {
            layers.extend(self.level(index, false)?.layers);
        }
        layers.extend(self.middle()?);
        for index in levels.rev() {
            layers.extend(self.level(index, true)?.layers);
        }
        Ok(layers.into_iter().map(|layer| layer.map(|shape| shape.blocks)).collect())
    }

    /// The ResNet blocks of the middle block, the first of which has a transformer behind it in most models.
    pub(super) fn middle(&self) -> Result<Vec<Option<AttentionShape>>> {
        let last = self.block_out_channels.len() - 1;
        match self.mid_block_type.as_deref() {
            None => Ok(Vec::new()),
            Some(PLAIN_MIDDLE) => Ok(vec![None]),
            Some(_) => Ok(vec![Some(self.attention(last, self.depth(last, false, 0)?)?), None]),
        }
    }
}

/// What a denoiser is for that reads so many channels.
pub(crate) fn purpose(in_channels: usize) -> &'static str {
    match in_channels {
        8 => "editing by instructions",
        7 => "enlarging",
        5 => "pictures with depth",
        _ => "inpainting",
    }
}

#[cfg(test)]
mod tests;
