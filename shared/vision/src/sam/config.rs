//! The configuration, as transformers' `SamModel` writes it, and the published ones.

use mudi_diffusion::{Activation, Error, Result};
use serde::{Deserialize, Serialize};

/// `config.json` of a SAM. Fields that are missing have the values of transformers' defaults, which are ViT-B's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SamConfig {
    /// The image encoder, where it is a ViT.
    pub vision_config: VitConfig,
    /// The image encoder of MobileSAM, in place of the ViT. Transformers has no such model; the field is this program's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiny_vit_config: Option<TinyVitConfig>,
    /// The prompt encoder.
    pub prompt_encoder_config: PromptConfig,
    /// The mask decoder.
    pub mask_decoder_config: DecoderConfig,
}

/// `vision_config`: the image encoder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct VitConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Channels of the image's embedding.
    pub output_channels: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Channels of the image: 3.
    pub num_channels: usize,
    /// Side of the square that images are padded to, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels; divides `image_size`.
    pub patch_size: usize,
    /// Non-linearity of the feed-forward layers.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f32,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Width inside the feed-forward layers, as a multiple of `hidden_size`, where `mlp_dim` does not say it.
    pub mlp_ratio: f32,
    /// Width inside the feed-forward layers.
    pub mlp_dim: Option<usize>,
    /// Whether a table of absolute positions is added to the patches.
    pub use_abs_pos: bool,
    /// Whether attention sees relative positions.
    pub use_rel_pos: bool,
    /// Side of the windows of local layers, in patches.
    pub window_size: usize,
    /// The layers that see the whole image.
    pub global_attn_indexes: Vec<usize>,
    /// Frequencies of the prompts' positions: half the width of the prompt encoder.
    pub num_pos_feats: usize,
}

impl Default for VitConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            output_channels: 256,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 1024,
            patch_size: 16,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            mlp_ratio: 4.0,
            mlp_dim: None,
            use_abs_pos: true,
            use_rel_pos: true,
            window_size: 14,
            global_attn_indexes: vec![2, 5, 8, 11],
            num_pos_feats: 128,
        }
    }
}

impl VitConfig {
    /// Patches along a side.
    #[must_use]
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Width inside the feed-forward layers.
    #[must_use]
    pub fn mlp_width(&self) -> usize {
        self.mlp_dim.unwrap_or((self.hidden_size as f32 * self.mlp_ratio) as usize)
    }
}

/// `tiny_vit_config`: MobileSAM's image encoder, of four stages; the first is convolutional.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TinyVitConfig {
    /// Side of the square that images are padded to, in pixels; a multiple of 16.
    pub image_size: usize,
    /// Width of each stage.
    pub embed_dims: Vec<usize>,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Attention heads of each stage; the first stage has no attention.
    pub num_heads: Vec<usize>,
    /// Side of the windows of each stage, in positions.
    pub window_sizes: Vec<usize>,
    /// Width inside the feed-forward layers, as a multiple of the stage's.
    pub mlp_ratio: f32,
    /// Width inside the convolutional blocks, as a multiple of the stage's.
    pub mbconv_expand_ratio: f32,
    /// Channels of the image's embedding.
    pub output_channels: usize,
}

impl Default for TinyVitConfig {
    fn default() -> Self {
        Self {
            image_size: 1024,
            embed_dims: vec![64, 128, 160, 320],
            depths: vec![2, 2, 6, 2],
            num_heads: vec![2, 4, 5, 10],
            window_sizes: vec![7, 7, 14, 7],
            mlp_ratio: 4.0,
            mbconv_expand_ratio: 4.0,
            output_channels: 256,
        }
    }
}

/// `prompt_encoder_config`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptConfig {
    /// Width of the prompts' tokens: the channels of the image's embedding.
    pub hidden_size: usize,
    /// Side of the square that images are padded to, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Channels of an earlier mask on its way in; a multiple of 4.
    pub mask_input_channels: usize,
    /// Non-linearity on the way of an earlier mask.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f32,
}

impl Default for PromptConfig {
    fn default() -> Self {
        Self {
            hidden_size: 256,
            image_size: 1024,
            patch_size: 16,
            mask_input_channels: 16,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-6,
        }
    }
}

impl PromptConfig {
    /// Positions along a side of the image's embedding.
    #[must_use]
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }
}

/// `mask_decoder_config`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct DecoderConfig {
    /// Width of the tokens: the channels of the image's embedding; a multiple of 8.
    pub hidden_size: usize,
    /// Non-linearity of the feed-forward layers.
    pub hidden_act: String,
    /// Width inside the feed-forward layers.
    pub mlp_dim: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// By how much attention between tokens and image is narrower.
    pub attention_downsample_rate: usize,
    /// Masks for an ambiguous prompt.
    pub num_multimask_outputs: usize,
    /// Layers of the head that estimates how good a mask is.
    pub iou_head_depth: usize,
    /// Its width.
    pub iou_head_hidden_dim: usize,
    /// Added to the variances of the layers' norms. The authors' code has 1e-5, transformers' configurations 1e-6.
    pub layer_norm_eps: f32,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            hidden_size: 256,
            hidden_act: "relu".to_owned(),
            mlp_dim: 2048,
            num_hidden_layers: 2,
            num_attention_heads: 8,
            attention_downsample_rate: 2,
            num_multimask_outputs: 3,
            iou_head_depth: 3,
            iou_head_hidden_dim: 256,
            layer_norm_eps: 1e-6,
        }
    }
}

/// The models that their authors publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// SAM with ViT-B: `sam_vit_b_01ec64.pth`.
    VitB,
    /// SAM with ViT-L: `sam_vit_l_0b3195.pth`.
    VitL,
    /// SAM with ViT-H: `sam_vit_h_4b8939.pth`.
    VitH,
    /// MobileSAM: `mobile_sam.pt`.
    Mobile,
}

impl SamConfig {
    /// The configuration of a published model, as its authors' code has it.
    #[must_use]
    pub fn published(model: Published) -> Self {
        let mut config = Self::default();
        config.mask_decoder_config.layer_norm_eps = 1e-5;
        let (hidden_size, layers, heads) = match model {
            Published::VitB => (768, 12, 12),
            Published::VitL => (1024, 24, 16),
            Published::VitH => (1280, 32, 16),
            Published::Mobile => {
                config.tiny_vit_config = Some(TinyVitConfig::default());
                return config;
            }
        };
        let each = layers / 4;
        let vision = &mut config.vision_config;
        (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads) =
            (hidden_size, layers, heads);
        vision.global_attn_indexes = (1..=4).map(|index| index * each - 1).collect();
        config
    }

    /// Side of the square that images are padded to, in pixels.
    #[must_use]
    pub fn image_size(&self) -> usize {
        self.prompt_encoder_config.image_size
    }

    /// Positions along a side of the image's embedding.
    #[must_use]
    pub fn grid(&self) -> usize {
        self.prompt_encoder_config.grid()
    }

    /// Side of the masks that come out, and of an earlier mask that goes in.
    #[must_use]
    pub fn mask_size(&self) -> usize {
        4 * self.grid()
    }

    /// Whether the parts fit each other.
    ///
    /// # Errors
    /// [`Error::Config`] with the fields.
    pub(super) fn check(&self) -> Result<()> {
        let (prompt, decoder) = (&self.prompt_encoder_config, &self.mask_decoder_config);
        let width = prompt.hidden_size;
        let (channels, grid, image) = match &self.tiny_vit_config {
            Some(tiny) => (tiny.output_channels, tiny.image_size / 16, tiny.image_size),
            None => {
                (self.vision_config.output_channels, self.vision_config.grid(), self.vision_config.image_size)
            }
        };
        let narrow = width / decoder.attention_downsample_rate.max(1);
        let heads = decoder.num_attention_heads.max(1);
        let wrong = if channels != width || decoder.hidden_size != width {
            format!(
                "the image's embedding has {channels} channels, the prompts {width} and the decoder {}; all three \
                 have to be the same",
                decoder.hidden_size
            )
        } else if grid != prompt.grid() || image != prompt.image_size || grid == 0 {
            format!(
                "the image encoder reads {image} pixels into {grid} positions, the prompt encoder {} into {}",
                prompt.image_size,
                prompt.grid()
            )
        } else if !width.is_multiple_of(8) || !width.is_multiple_of(heads) || !narrow.is_multiple_of(heads) {
            format!(
                "`hidden_size` {width} of the decoder cannot be shared by {heads} heads and halved three times"
            )
        } else if self.tiny_vit_config.is_none() && 2 * self.vision_config.num_pos_feats != width {
            format!(
                "`num_pos_feats` {} is not half of `hidden_size` {width}",
                self.vision_config.num_pos_feats
            )
        } else if prompt.mask_input_channels == 0 || !prompt.mask_input_channels.is_multiple_of(4) {
            format!("`mask_input_channels` {} is no multiple of 4", prompt.mask_input_channels)
        } else if decoder.iou_head_depth < 2 || decoder.num_multimask_outputs == 0 {
            "`iou_head_depth` has to be at least 2 and `num_multimask_outputs` at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Config(wrong))
    }
}

/// The non-linearity that a configuration names.
pub(super) fn activation(name: &str) -> Result<Activation> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "relu" => Ok(Activation::Relu),
        "silu" => Ok(Activation::Silu),
        "quick_gelu" => Ok(Activation::QuickGelu),
        other => {
            Err(Error::Config(format!("`hidden_act` is {other:?}; known are gelu, relu, silu, quick_gelu")))
        }
    }
}
