//! `config.json` of DINOv2.

use mudi_diffusion::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::vit::{activation, check_heads};

/// `config.json`; what a file leaves out is as in the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dinov2Config {
    /// `dinov2`, for transformers.
    pub model_type: String,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward layers, in widths.
    pub mlp_ratio: usize,
    /// `gelu`, `quick_gelu` or `silu`.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f32,
    /// Side in pixels of the images that the positions were learnt on: 518 in the published files.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Channels of an image: 3.
    pub num_channels: usize,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Gated feed-forward layers, as in the giant model.
    pub use_swiglu_ffn: bool,
    /// Whether the file holds the token that stood for hidden patches in pretraining.
    pub use_mask_token: bool,
}

impl Default for Dinov2Config {
    fn default() -> Self {
        Self {
            model_type: "dinov2".to_owned(),
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            mlp_ratio: 4,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-6,
            image_size: 224,
            patch_size: 14,
            num_channels: 3,
            qkv_bias: true,
            use_swiglu_ffn: false,
            use_mask_token: true,
        }
    }
}

impl Dinov2Config {
    /// The configuration of a file of the authors, by its name: `dinov2_vits14_pretrain.pth`, and so for `b`, `l` and `g`.
    #[must_use]
    pub fn published(name: &str) -> Option<Self> {
        let letter = name.strip_prefix("dinov2_vit")?.strip_suffix("14_pretrain.pth")?;
        let (hidden_size, num_hidden_layers, num_attention_heads) = match letter {
            "s" => (384, 12, 6),
            "b" => (768, 12, 12),
            "l" => (1024, 24, 16),
            "g" => (1536, 40, 24),
            _ => return None,
        };
        let image_size = 518;
        let use_swiglu_ffn = letter == "g";
        Some(Self {
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            image_size,
            use_swiglu_ffn,
            ..Self::default()
        })
    }

    /// Width between the feed-forward layers; of gated ones two thirds, rounded up to a multiple of 8.
    pub(super) fn inner_width(&self) -> usize {
        let inner = self.hidden_size.saturating_mul(self.mlp_ratio);
        if self.use_swiglu_ffn { (inner / 3 * 2 + inner % 3 * 2 / 3).next_multiple_of(8) } else { inner }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_heads(self.hidden_size, self.num_attention_heads)?;
        activation(&self.hidden_act)?;
        if self.num_channels != 3 {
            return Err(Error::Config(format!(
                "`num_channels` is {}; only 3 is supported",
                self.num_channels
            )));
        }
        if self.patch_size == 0 || self.image_size < self.patch_size {
            return Err(Error::Config(format!(
                "`patch_size` is {}; it must be at least 1 and at most `image_size`, {}",
                self.patch_size, self.image_size
            )));
        }
        if self.mlp_ratio == 0 {
            return Err(Error::Config("`mlp_ratio` is 0; it must be at least 1".to_owned()));
        }
        Ok(())
    }
}
