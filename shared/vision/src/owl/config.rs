//! `config.json` of OWLv2. Published files name only what differs from the base model, so every field has its default.

use mudi_diffusion::clip::ClipTextConfig;
use mudi_diffusion::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::vit::{activation, check_heads};

/// `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwlConfig {
    /// `owlv2`, for transformers.
    pub model_type: String,
    /// The text tower.
    pub text_config: OwlTextConfig,
    /// The image tower.
    pub vision_config: OwlVisionConfig,
    /// Width of the texts' vectors; the heads need `text_config.hidden_size`.
    pub projection_dim: usize,
}

/// The text tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwlTextConfig {
    /// `owlv2_text_model`, for transformers.
    pub model_type: String,
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Longest text in tokens, start and end token included.
    pub max_position_embeddings: usize,
    /// `quick_gelu`, `gelu` or `silu`.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f32,
}

/// The image tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwlVisionConfig {
    /// `owlv2_vision_model`, for transformers.
    pub model_type: String,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Channels of an image: 3.
    pub num_channels: usize,
    /// Side in pixels of the images that the positions were learnt on: 960 in the published base model, 1008 in the large.
    pub image_size: usize,
    /// Side of a patch in pixels: 16 in the base model, 14 in the large.
    pub patch_size: usize,
    /// `quick_gelu`, `gelu` or `silu`.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f32,
}

impl Default for OwlConfig {
    fn default() -> Self {
        Self {
            model_type: "owlv2".to_owned(),
            text_config: OwlTextConfig::default(),
            vision_config: OwlVisionConfig::default(),
            projection_dim: 512,
        }
    }
}

impl Default for OwlTextConfig {
    fn default() -> Self {
        Self {
            model_type: "owlv2_text_model".to_owned(),
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 16,
            hidden_act: "quick_gelu".to_owned(),
            layer_norm_eps: 1e-5,
        }
    }
}

impl Default for OwlVisionConfig {
    fn default() -> Self {
        Self {
            model_type: "owlv2_vision_model".to_owned(),
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 768,
            patch_size: 16,
            hidden_act: "quick_gelu".to_owned(),
            layer_norm_eps: 1e-5,
        }
    }
}

impl OwlConfig {
    pub(super) fn check(&self) -> Result<()> {
        let (text, vision) = (&self.text_config, &self.vision_config);
        check_heads(text.hidden_size, text.num_attention_heads)?;
        check_heads(vision.hidden_size, vision.num_attention_heads)?;
        activation(&vision.hidden_act)?;
        if self.projection_dim != text.hidden_size {
            let (a, b) = (self.projection_dim, text.hidden_size);
            return Err(Error::Config(format!(
                "`projection_dim` is {a}, but `text_config.hidden_size` {b}; detection needs both equal"
            )));
        }
        if vision.num_channels != 3 {
            let reason = format!("`num_channels` is {}; only 3 is supported", vision.num_channels);
            return Err(Error::Config(reason));
        }
        if vision.patch_size == 0 || vision.image_size < vision.patch_size {
            return Err(Error::Config(format!(
                "`patch_size` is {}; it must be at least 1 and at most `image_size`, {}",
                vision.patch_size, vision.image_size
            )));
        }
        Ok(())
    }

    /// The text tower as the CLIP text encoder that it is.
    pub(super) fn as_clip(&self) -> ClipTextConfig {
        let text = &self.text_config;
        ClipTextConfig {
            architectures: vec!["CLIPTextModelWithProjection".to_owned()],
            vocab_size: text.vocab_size,
            hidden_size: text.hidden_size,
            intermediate_size: text.intermediate_size,
            num_hidden_layers: text.num_hidden_layers,
            num_attention_heads: text.num_attention_heads,
            max_position_embeddings: text.max_position_embeddings,
            hidden_act: text.hidden_act.clone(),
            layer_norm_eps: text.layer_norm_eps,
            projection_dim: self.projection_dim,
            // Old CLIP's way to say: the largest id, which is how OWLv2 finds the end of a text.
            eos_token_id: 2,
            model_type: "clip_text_model".to_owned(),
        }
    }
}
