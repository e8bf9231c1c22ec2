//! The configurations of a checkpoint, from the shapes of its tensors.
//!
//! Shapes do not tell the number of attention heads: SD 1.5 has eight at every level; SD 2 and SDXL have one for every 64
//! channels, as have all text encoders.

use serde_json::Value;

use super::{Checkpoint, ShapeOf, TextEncoder, TextNames, UNET, VAE, VaeNames};
use crate::clip::{ClipTextConfig, LEGACY_EOS, WITH_PROJECTION};
use crate::config::{OneOrMany, parse};
use crate::error::{Error, Result};
use crate::unet::{UNetConfig, purpose};
use crate::vae::VaeConfig;

/// Channels of an attention head where a model does not have eight heads at every level.
const HEAD: usize = 64;
/// Heads at every level of SD 1.5.
const SD15_HEADS: usize = 8;
/// Width of SD 2's text encoder, and its layers that are used.
const SD2_WIDTH: usize = 1024;
const SD2_LAYERS: usize = 23;
/// Width of the embedding of each of SDXL's six sizes.
const SIZE_EMBEDDING: usize = 256;
/// SDXL multiplies its latents by this.
const SDXL_SCALING: f64 = 0.130_25;

/// Tensors by which a file says that it was trained with EDM's noise levels.
const EDM: [&str; 3] = ["edm_mean", "edm_std", "edm_vpred.sigma_max"];

/// Shapes below a prefix.
fn below<'a>(shape: &'a ShapeOf<'_>, prefix: &'static str) -> impl Fn(&str) -> Option<Vec<usize>> + 'a {
    move |name| shape(&format!("{prefix}{name}"))
}

/// Outputs of the layer called `name`.
fn outputs(shape: &ShapeOf<'_>, name: &str) -> Option<usize> {
    shape(&format!("{name}.weight"))?.first().copied()
}

/// Inputs of the layer called `name`.
fn inputs(shape: &ShapeOf<'_>, name: &str) -> Option<usize> {
    shape(&format!("{name}.weight"))?.get(1).copied()
}

fn no(what: &str) -> Error {
    Error::Config(format!("{what}; known are checkpoints of SD 1.5, SD 2 and SDXL"))
}

impl Checkpoint {
    /// Whether the file has a UNet by these names, of whatever kind.
    #[must_use]
    pub fn is_one(shape: &ShapeOf<'_>) -> bool {
        shape(&format!("{UNET}input_blocks.0.0.weight")).is_some()
    }

    /// Reads the sizes of all networks off a file's tensors.
    ///
    /// # Errors
    /// A file that is no checkpoint of SD 1.5, SD 2 or SDXL; the message says what is not there.
    pub fn detect(shape: &ShapeOf<'_>) -> Result<Self> {
        if !Self::is_one(shape) {
            return Err(no(other_kind(shape)));
        }
        if EDM.iter().any(|mark| shape(mark).is_some()) {
            return Err(no(
                "it was trained with EDM's noise levels, as Playground v2.5, which are not supported",
            ));
        }
        let text = text_encoders(shape)?;
        let mut unet = unet(&below(shape, UNET)).ok_or_else(|| no("its denoiser has unknown blocks"))?;
        let held = vae(&below(shape, VAE));
        let holds_vae = held.is_some();
        let mut vae = held.map_or_else(usual_vae, Ok)?;
        if unet.has_text_time() {
            vae.scaling_factor = SDXL_SCALING;
        }
        let open_clip = text.iter().any(|encoder| matches!(encoder.names, TextNames::OpenClip { .. }));
        unet.attention_head_dim = if open_clip {
            OneOrMany::Many(unet.block_out_channels.iter().map(|width| (width / HEAD).max(1)).collect())
        } else {
            OneOrMany::One(SD15_HEADS)
        };
        unet.sample_size = Some(match (unet.has_text_time(), open_clip) {
            (true, _) => 128,
            (false, true) => 96,
            (false, false) => 64,
        });
        if unet.in_channels != vae.latent_channels {
            return Err(no(&format!(
                "its denoiser reads {} channels where its latents have {}, as models for {} do",
                unet.in_channels,
                vae.latent_channels,
                purpose(unet.in_channels)
            )));
        }
        let attention_of_diffusers = has_attention_of_diffusers(&below(shape, VAE));
        let vae_names = VaeNames { prefixed: true, attention_of_diffusers };
        Ok(Self { unet, vae, holds_vae, vae_names, text })
    }
}

/// The autoencoder that all of these models have, for a file that leaves it to the program.
fn usual_vae() -> Result<VaeConfig> {
    parse(r#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4}"#)
}

/// What a file seems to be that is no checkpoint.
fn other_kind(shape: &ShapeOf<'_>) -> &'static str {
    let has = |name: &str| shape(name).is_some();
    if has("input_blocks.0.0.weight") {
        "it holds a denoiser alone; take a whole checkpoint, with its text encoders"
    } else if has("conv_in.weight") || has("down_blocks.0.resnets.0.conv1.weight") {
        "it holds one network with diffusers' names; name the folder that holds all of them"
    } else if has("decoder.conv_in.weight") || has("first_stage_model.decoder.conv_in.weight") {
        "it holds an autoencoder only; give it as --vae"
    } else if has("double_blocks.0.img_attn.qkv.weight")
        || has("model.diffusion_model.double_blocks.0.img_attn.qkv.weight")
        || has("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight")
    {
        "it is a transformer (FLUX, SD 3)"
    } else {
        "it holds no denoiser of their kind (which has a tensor `model.diffusion_model.input_blocks.0.0.weight`)"
    }
}

/// Blocks of one level on the way down.
struct LevelShape {
    channels: usize,
    /// Transformer blocks of each layer's attention; none without attention.
    depths: Vec<Option<usize>>,
}

impl LevelShape {
    fn attends(&self) -> bool {
        self.depths.iter().any(Option::is_some)
    }
}

fn unet(shape: &ShapeOf<'_>) -> Option<UNetConfig> {
    let mut levels: Vec<LevelShape> = Vec::new();
    let mut open = true;
    for block in 1.. {
        let at = format!("input_blocks.{block}");
        if let Some(channels) = outputs(shape, &format!("{at}.0.in_layers.2")) {
            let depth = depth(shape, &format!("{at}.1"));
            match levels.last_mut() {
                Some(level) if !open => level.depths.push(depth),
                _ => levels.push(LevelShape { channels, depths: vec![depth] }),
            }
            open = false;
        } else if outputs(shape, &format!("{at}.0.op")).is_some() {
            open = true;
        } else {
            break;
        }
    }
    let first = outputs(shape, "input_blocks.0.0")?;
    // Distilled models have no transformer in the middle, or no middle at all.
    let middle = depth(shape, "middle_block.1");
    let middle_type = match outputs(shape, "middle_block.0.in_layers.2") {
        _ if middle.is_some() => Some("UNetMidBlock2DCrossAttn"),
        Some(_) => Some("UNetMidBlock2D"),
        // Those have one layer a level; others lack what they should have.
        None if levels.iter().all(|level| level.depths.len() == 1) => None,
        None => return None,
    };
    if levels.is_empty() || open {
        return None;
    }
    let with = levels
        .iter()
        .enumerate()
        .find_map(|(index, level)| level.attends().then(|| block_before(&levels, index)))
        .map_or_else(|| "middle_block.1".to_owned(), |block| format!("input_blocks.{block}.1"));
    let context = inputs(shape, &format!("{with}.transformer_blocks.0.attn2.to_k"))?;
    let linear = shape(&format!("{with}.proj_in.weight"))?.len() == 2;
    let added = inputs(shape, "label_emb.0.0");
    let kinds = |cross: &str, plain: &str| -> Vec<String> {
        let kind = |level: &LevelShape| if level.attends() { cross } else { plain }.to_owned();
        levels.iter().map(kind).collect()
    };
    let mut up_block_types = kinds("CrossAttnUpBlock2D", "UpBlock2D");
    up_block_types.reverse();
    let mut first_up = 0;
    let up: Vec<Value> = levels
        .iter()
        .rev()
        .map(|level| {
            let blocks = first_up..=first_up + level.depths.len();
            first_up = blocks.end() + 1;
            blocks.map(|block| depth(shape, &format!("output_blocks.{block}.1"))).collect::<Vec<_>>()
        })
        .map(|depths| one_or_each(&depths, 1))
        .collect();
    // The coarsest level may have its transformers in the middle block only.
    let unsaid = |index: usize| if index + 1 == levels.len() { middle.unwrap_or(1) } else { 1 };
    let down: Vec<Value> =
        levels.iter().enumerate().map(|(index, level)| one_or_each(&level.depths, unsaid(index))).collect();
    let attending = |at: usize| levels[at].attends();
    let mirrored = (0..levels.len()).all(|at| !attending(at) || up[levels.len() - 1 - at] == down[at])
        && down.iter().all(Value::is_number);
    let mut json = serde_json::json!({
        "in_channels": inputs(shape, "input_blocks.0.0")?,
        "out_channels": outputs(shape, "out.2")?,
        "block_out_channels": levels.iter().map(|level| level.channels).collect::<Vec<_>>(),
        "down_block_types": kinds("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": up_block_types,
        "mid_block_type": middle_type,
        "layers_per_block": alike(levels.iter().map(|level| level.depths.len().into()).collect()),
        "attention_head_dim": SD15_HEADS,
        "transformer_layers_per_block": alike(down),
        "cross_attention_dim": context,
        "use_linear_projection": linear,
        "addition_embed_type": added.map(|_| "text_time"),
        "addition_time_embed_dim": added.map(|_| SIZE_EMBEDDING),
        "projection_class_embeddings_input_dim": added,
    });
    if !mirrored {
        json["reverse_transformer_layers_per_block"] = up.into();
    }
    // The first convolution has the channels of the finest level in all of these models.
    (first == levels[0].channels).then(|| parse(&json.to_string()).ok()).flatten()
}

/// One number where all levels have the same: diffusers names the layers of kohya's LoRAs by it.
fn alike(levels: Vec<Value>) -> Value {
    match levels.first() {
        Some(first) if levels.iter().all(|level| level == first) => first.clone(),
        _ => levels.into(),
    }
}

/// The depths of a level's attentions: one number where all are alike, `unsaid` where there is none.
fn one_or_each(depths: &[Option<usize>], unsaid: usize) -> Value {
    let numbers: Vec<Value> = depths.iter().map(|depth| depth.unwrap_or(unsaid).into()).collect();
    alike(numbers)
}

/// The number of the first block of level `index`.
fn block_before(levels: &[LevelShape], index: usize) -> usize {
    1 + levels[..index].iter().map(|level| level.depths.len() + 1).sum::<usize>()
}

/// Transformer blocks of the attention at `at`; none without one.
fn depth(shape: &ShapeOf<'_>, at: &str) -> Option<usize> {
    let block =
        |index: usize| outputs(shape, &format!("{at}.transformer_blocks.{index}.attn1.to_q")).is_some();
    let count = (0..).take_while(|&index| block(index)).count();
    (count > 0).then_some(count)
}

/// The autoencoder below no prefix, with the scaling factor of SD 1.5 and 2.1.
pub(super) fn vae(shape: &ShapeOf<'_>) -> Option<VaeConfig> {
    let channels: Vec<usize> =
        (0..).map_while(|level| outputs(shape, &format!("encoder.down.{level}.block.0.conv1"))).collect();
    if channels.is_empty() {
        return None;
    }
    let layers = (0..)
        .take_while(|layer| outputs(shape, &format!("encoder.down.0.block.{layer}.conv1")).is_some())
        .count();
    let json = serde_json::json!({
        "in_channels": inputs(shape, "encoder.conv_in")?,
        "out_channels": outputs(shape, "decoder.conv_out")?,
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": vec!["DownEncoderBlock2D"; channels.len()],
        "up_block_types": vec!["UpDecoderBlock2D"; channels.len()],
        "latent_channels": inputs(shape, "decoder.conv_in")?,
        "use_quant_conv": outputs(shape, "quant_conv").is_some(),
        "use_post_quant_conv": outputs(shape, "post_quant_conv").is_some(),
        "mid_block_add_attention": shape("encoder.mid.attn_1.norm.weight").is_some(),
    });
    parse(&json.to_string()).ok()
}

/// Whether the attention's layers of the autoencoder below no prefix have diffusers' names.
pub(super) fn has_attention_of_diffusers(shape: &ShapeOf<'_>) -> bool {
    outputs(shape, "encoder.mid.attn_1.to_q").is_some()
}

/// Where checkpoints keep text encoders: SD 1.5's, SDXL's first, SD 2's, SDXL's second.
pub(super) const TRANSFORMERS: [&str; 2] =
    ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer."];
pub(super) const OPEN_CLIP: [&str; 2] = ["cond_stage_model.model.", "conditioner.embedders.1.model."];

fn text_encoders(shape: &ShapeOf<'_>) -> Result<Vec<TextEncoder>> {
    let first = TRANSFORMERS.into_iter().find_map(|prefix| {
        // Some old tools left out the second prefix, as some versions of transformers do.
        ["text_model.", ""].iter().find_map(|inner| transformers(&below(shape, prefix), prefix, inner))
    });
    let second = OPEN_CLIP.into_iter().find_map(|prefix| open_clip(&below(shape, prefix), prefix));
    let text: Vec<TextEncoder> = first.into_iter().chain(second).collect();
    let refiner = "conditioner.embedders.0.model.ln_final.weight";
    match text.is_empty() {
        false => Ok(text),
        true if shape(refiner).is_some() => {
            Err(no("it is SDXL's refiner, which refines pictures of another model"))
        }
        true => Err(no("it holds no text encoder; take a checkpoint with all of its networks")),
    }
}

fn transformers(shape: &ShapeOf<'_>, prefix: &'static str, inner: &str) -> Option<TextEncoder> {
    let layer = |index: usize, name: &str| format!("{inner}encoder.layers.{index}.{name}");
    let count = (0..).take_while(|&index| outputs(shape, &layer(index, "mlp.fc1")).is_some()).count();
    let tokens = format!("{inner}embeddings.token_embedding");
    let config = Sizes {
        vocabulary: outputs(shape, &tokens)?,
        width: inputs(shape, &tokens)?,
        inside: outputs(shape, &layer(0, "mlp.fc1"))?,
        layers: count,
        positions: outputs(shape, &format!("{inner}embeddings.position_embedding"))?,
        projection: None,
    }
    .config("quick_gelu");
    Some(TextEncoder { config, pads_with_zero: false, names: TextNames::Transformers(prefix) })
}

fn open_clip(shape: &ShapeOf<'_>, prefix: &'static str) -> Option<TextEncoder> {
    let layer = |index: usize| format!("transformer.resblocks.{index}.mlp.c_fc");
    let count = (0..).take_while(|&index| outputs(shape, &layer(index)).is_some()).count();
    // SDXL pools the last layer's state. SD 2 is conditioned on the last but one's, and its last one is never used: files that were made of
    // diffusers' folders lack it.
    let pools = prefix.starts_with("conditioner.");
    let width = inputs(shape, "token_embedding")?;
    let used = if width == SD2_WIDTH { count.min(SD2_LAYERS) } else { count.saturating_sub(1) };
    let linear = outputs(shape, "text_projection");
    let projection = || linear.or_else(|| shape("text_projection")?.get(1).copied());
    let config = Sizes {
        vocabulary: outputs(shape, "token_embedding")?,
        width,
        inside: outputs(shape, &layer(0))?,
        layers: if pools { count } else { used },
        positions: shape("positional_embedding")?.first().copied()?,
        projection: if pools { Some(projection()?) } else { None },
    }
    .config("gelu");
    Some(TextEncoder {
        config,
        pads_with_zero: true,
        names: TextNames::OpenClip { prefix, linear: linear.is_some() },
    })
}

/// The sizes of a text encoder.
struct Sizes {
    vocabulary: usize,
    width: usize,
    inside: usize,
    layers: usize,
    positions: usize,
    projection: Option<usize>,
}

impl Sizes {
    fn config(&self, activation: &str) -> ClipTextConfig {
        let class = if self.projection.is_some() { WITH_PROJECTION } else { "CLIPTextModel" };
        ClipTextConfig {
            architectures: vec![class.to_owned()],
            vocab_size: self.vocabulary,
            hidden_size: self.width,
            intermediate_size: self.inside,
            num_hidden_layers: self.layers,
            num_attention_heads: (self.width / HEAD).max(1),
            max_position_embeddings: self.positions,
            hidden_act: activation.to_owned(),
            projection_dim: self.projection.unwrap_or(self.width),
            // Whatever the vocabulary is, its end is its last token.
            eos_token_id: LEGACY_EOS,
            ..ClipTextConfig::default()
        }
    }
}
