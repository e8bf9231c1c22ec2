//! The names of LoRA files.
//!
//! A tensor's name is that of the layer it adapts and that of its part in the adaptation. Layers are named by at least
//! five conventions: PEFT's and diffusers' (`unet.down_blocks.1...`), kohya's with diffusers' blocks
//! (`lora_unet_down_blocks_1_...`), kohya's with LDM's (`lora_unet_input_blocks_4_1_...`), ComfyUI's
//! (`diffusion_model.input_blocks.4.1...`) and none at all. [`Layers`] knows them all.

use std::collections::{HashMap, HashSet};

use crate::component::Component;
use crate::ldm::unet_module;
use crate::unet::UNetConfig;

/// A part of one layer's adaptation. `r` is the rank, `O` and `I` the layer's outputs and inputs, `k` a convolution's
/// kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What the rank is divided into to get the scale; one number.
    Alpha,
    /// `[r, I]` or `[r, I, k, k]`: `lora_A`, `lora_down`.
    Down,
    /// `[O, r]` or `[O, r, 1, 1]`: `lora_B`, `lora_up`.
    Up,
    /// `[r, r, k, k]`, between the two of a convolution.
    Mid,
    /// DoRA's magnitude of each output, `[O]`, as PEFT saves it.
    Magnitude,
    /// DoRA's magnitudes as LyCORIS and kohya's tools save them: `[O, 1]`, or of each input `[1, I]`.
    DoraScale,
    /// LoHa's first product: `[O, r]`, or with a core `[r, O]`.
    HadaW1A,
    /// `[r, I..]`, or with a core `[r, I]`.
    HadaW1B,
    /// LoHa's second product.
    HadaW2A,
    /// Likewise.
    HadaW2B,
    /// The core of LoHa's first product, `[r, r, k, k]`.
    HadaT1,
    /// The core of the second.
    HadaT2,
    /// LoKr's first factor, whole.
    LokrW1,
    /// LoKr's first factor as a product.
    LokrW1A,
    /// Likewise.
    LokrW1B,
    /// LoKr's second factor, whole.
    LokrW2,
    /// LoKr's second factor as a product.
    LokrW2A,
    /// Likewise.
    LokrW2B,
    /// The core of LoKr's second factor.
    LokrT2,
    /// What is added to the weight as it is, of the weight's shape: LyCORIS' full training.
    Diff,
    /// What is added to the bias, `[O]`.
    DiffBias,
    /// What is added to a norm's scale.
    NormScale,
    /// What is added to a norm's shift.
    NormShift,
}

/// Ends of names.
const SUFFIXES: [(&str, Part); 35] = [
    (".alpha", Part::Alpha),
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_A.default.weight", Part::Down),
    (".lora_B.default.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora_mid.weight", Part::Mid),
    (".lora_magnitude_vector", Part::Magnitude),
    (".lora_magnitude_vector.weight", Part::Magnitude),
    (".lora_magnitude_vector.default", Part::Magnitude),
    (".lora_magnitude_vector.default.weight", Part::Magnitude),
    (".lora.lora_magnitude_vector.weight", Part::Magnitude),
    (".dora_scale", Part::DoraScale),
    (".hada_w1_a", Part::HadaW1A),
    (".hada_w1_b", Part::HadaW1B),
    (".hada_w2_a", Part::HadaW2A),
    (".hada_w2_b", Part::HadaW2B),
    (".hada_t1", Part::HadaT1),
    (".hada_t2", Part::HadaT2),
    (".lokr_w1", Part::LokrW1),
    (".lokr_w1_a", Part::LokrW1A),
    (".lokr_w1_b", Part::LokrW1B),
    (".lokr_w2", Part::LokrW2),
    (".lokr_w2_a", Part::LokrW2A),
    (".lokr_w2_b", Part::LokrW2B),
    (".lokr_t2", Part::LokrT2),
    (".diff", Part::Diff),
    (".diff_b", Part::DiffBias),
    (".w_norm", Part::NormScale),
    (".b_norm", Part::NormShift),
];

/// Splits a tensor's name into that of its layer, as the file has it, and its part; none for names that are not of a
/// LoRA.
///
/// ```
/// use mudi_diffusion::lora::names::{Part, split};
/// let (layer, part) = split("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha").unwrap();
/// assert_eq!((layer.as_str(), part), ("lora_te1_text_model_encoder_layers_0_mlp_fc1", Part::Alpha));
/// assert!(split("model.diffusion_model.out.2.weight").is_none());
/// ```
#[must_use]
pub fn split(name: &str) -> Option<(String, Part)> {
    if let Some((block, rest)) = name.split_once(".processor.") {
        // As diffusers saved attention before version 0.22.
        let (projection, part) = rest.split_once("_lora.")?;
        let projection = if projection == "to_out" { "to_out.0" } else { projection };
        let part = match part {
            "down.weight" => Part::Down,
            "up.weight" => Part::Up,
            _ => return None,
        };
        return Some((format!("{block}.{projection}"), part));
    }
    if let Some((block, rest)) = name.split_once(".self_attn.to_")
        && let Some((projection, part)) = rest.split_once("_lora.")
    {
        // Their text encoders.
        let part = match part {
            "down.weight" => Part::Down,
            "up.weight" => Part::Up,
            _ => return None,
        };
        return Some((format!("{block}.self_attn.{projection}_proj"), part));
    }
    // The longest end counts: `.lora.lora_magnitude_vector.weight` ends in `.lora_magnitude_vector.weight` too.
    SUFFIXES
        .iter()
        .filter_map(|(suffix, part)| name.strip_suffix(suffix).map(|layer| (layer.to_owned(), *part)))
        .min_by_key(|(layer, _)| layer.len())
}

/// A layer of a base model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer {
    /// The network.
    pub component: Component,
    /// Its dotted name in it, as diffusers and transformers write it.
    pub path: String,
}

impl Layer {
    /// What PEFT's and diffusers' files call it: `unet.down_blocks.1.attentions.0...`.
    #[must_use]
    pub fn peft(&self) -> String {
        format!("{}.{}", self.component, self.path)
    }

    /// What kohya's tools call it. Those for SDXL (`unet` has its pooled text) use LDM's blocks and tell two text encoders
    /// apart; those for SD 1.5 and 2 use diffusers' blocks.
    #[must_use]
    pub fn kohya(&self, unet: &UNetConfig) -> String {
        let flat = self.path.replace('.', "_");
        match (self.component, unet.has_text_time()) {
            (Component::Unet, true) => {
                let ldm = unet_module(unet, &self.path).unwrap_or_else(|| self.path.clone());
                format!("lora_unet_{}", ldm.replace('.', "_"))
            }
            (Component::TextEncoder, true) => format!("lora_te1_{flat}"),
            (Component::TextEncoder2, _) => format!("lora_te2_{flat}"),
            (Component::TextEncoder, false) => format!("lora_te_{flat}"),
            (Component::Unet | Component::Vae, _) => format!("lora_{}_{flat}", self.component),
        }
    }
}

/// The layers of a base model that a LoRA can adapt, found by any of their names.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    by_key: HashMap<String, Layer>,
    /// Those that have a bias, or a shift.
    biased: HashSet<Layer>,
    /// Width of the UNet's text states, which tells families of models apart.
    context: Option<usize>,
}

impl Layers {
    /// Of the layers of a base model whose UNet has the configuration `unet`.
    pub fn new(layers: impl IntoIterator<Item = Layer>, unet: &UNetConfig) -> Self {
        let mut by_key = HashMap::new();
        for layer in layers {
            for name in names(&layer, unet) {
                by_key.insert(key(&name), layer.clone());
            }
        }
        let context = unet.cross_attention_dim.at(0, "cross_attention_dim").ok();
        Self { by_key, biased: HashSet::new(), context }
    }

    /// Of which these have a bias, or a shift.
    #[must_use]
    pub fn with_biases(mut self, biased: impl IntoIterator<Item = Layer>) -> Self {
        self.biased = biased.into_iter().collect();
        self
    }

    /// Whether a layer has a bias, or a shift.
    #[must_use]
    pub fn has_bias(&self, layer: &Layer) -> bool {
        self.biased.contains(layer)
    }

    /// The layer of that name, by whichever convention.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Layer> {
        self.by_key.get(&key(name))
    }

    /// Width of the text states that the base model's attention reads.
    #[must_use]
    pub fn context(&self) -> Option<usize> {
        self.context
    }
}

/// The models whose text states are so wide.
#[must_use]
pub fn family(context: usize) -> &'static str {
    match context {
        768 => "SD 1.5",
        1024 => "SD 2",
        2048 => "SDXL",
        _ => "a model of another size",
    }
}

/// The separators of names differ between tools.
fn key(name: &str) -> String {
    name.replace('.', "_")
}

/// Every name of a layer.
fn names(layer: &Layer, unet: &UNetConfig) -> Vec<String> {
    let path = &layer.path;
    // Some versions of transformers leave this out.
    let short = path.strip_prefix("text_model.").unwrap_or(path);
    let prefixed = |prefixes: &[&str], path: &str| -> Vec<String> {
        prefixes.iter().map(|prefix| format!("{prefix}{path}")).collect()
    };
    match layer.component {
        Component::Unet => {
            let mut names = prefixed(&["", "unet.", "lora_unet_", "lycoris_", "base_model.model."], path);
            if let Some(ldm) = unet_module(unet, path) {
                names.extend(prefixed(&["lora_unet_", "diffusion_model."], &ldm));
            }
            names
        }
        Component::TextEncoder => {
            // PEFT's folder of a text encoder does not say of which; one of SDXL's is taken for its first's.
            let prefixes = [
                "text_encoder.",
                "lora_te_",
                "lora_te1_",
                "text_encoders.clip_l.transformer.",
                "text_encoders.clip_h.transformer.",
                "base_model.model.",
            ];
            [prefixed(&prefixes, path), prefixed(&prefixes, short)].concat()
        }
        Component::TextEncoder2 => {
            let prefixes = ["text_encoder_2.", "lora_te2_", "text_encoders.clip_g.transformer."];
            [prefixed(&prefixes, path), prefixed(&prefixes, short)].concat()
        }
        Component::Vae => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
