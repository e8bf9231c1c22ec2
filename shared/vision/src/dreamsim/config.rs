//! What the ensemble is made of.

use mudi_diffusion::{Activation, Error, Result};
use serde::{Deserialize, Serialize};

use crate::preprocess::{CLIP, IMAGENET, Normalization};
use crate::vit::check_heads;

/// The towers, as the authors' package names them, in the order in which their features are laid end to end.
pub const TOWERS: [&str; 3] = ["dino_vitb16", "clip_vitb16", "open_clip_vitb16"];

/// The shape that all three towers have. The published ensemble comes without a `config.json`; what such a file leaves out is
/// as there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DreamSimConfig {
    /// `dreamsim`.
    pub model_type: String,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Side in pixels of the images that the towers take.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Width of CLIP's and OpenCLIP's projections.
    pub projection_dim: usize,
}

/// One vision transformer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TowerConfig {
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
    pub(super) image_size: usize,
    pub(super) patch_size: usize,
    /// Added to variances.
    pub(super) eps: f32,
    /// Between the feed-forward layers.
    pub(super) activation: Activation,
    /// Width of CLIP's projection, and with it a norm before the first block and after the last; `None` for DINO, whose class
    /// token is taken as it is.
    pub(super) projection: Option<usize>,
    /// What its input is normalized by.
    pub(super) normalization: Normalization,
}

impl Default for DreamSimConfig {
    fn default() -> Self {
        Self {
            model_type: "dreamsim".to_owned(),
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 16,
            projection_dim: 512,
        }
    }
}

impl DreamSimConfig {
    /// In the order of [`TOWERS`].
    pub(super) fn towers(&self) -> [TowerConfig; 3] {
        let dino = TowerConfig {
            width: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            image_size: self.image_size,
            patch_size: self.patch_size,
            eps: 1e-6,
            activation: Activation::Gelu,
            projection: None,
            normalization: IMAGENET,
        };
        let projection = Some(self.projection_dim);
        let open_clip = TowerConfig { eps: 1e-5, projection, normalization: CLIP, ..dino.clone() };
        let clip = TowerConfig { activation: Activation::QuickGelu, ..open_clip.clone() };
        [dino, clip, open_clip]
    }

    pub(super) fn check(&self) -> Result<()> {
        check_heads(self.hidden_size, self.num_attention_heads)?;
        if self.patch_size == 0 || self.image_size < self.patch_size {
            return Err(Error::Config(format!(
                "`patch_size` is {}; it must be at least 1 and at most `image_size`, {}",
                self.patch_size, self.image_size
            )));
        }
        if self.projection_dim == 0 {
            return Err(Error::Config("`projection_dim` is 0; it must be at least 1".to_owned()));
        }
        Ok(())
    }
}
