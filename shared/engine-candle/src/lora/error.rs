//! What can be wrong with a LoRA's file.

use std::path::PathBuf;

use mudi_diffusion::lora::names::family;

use crate::weights::WeightsError;

/// Why a LoRA cannot be used. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// The file cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Nothing in the file is of a LoRA.
    #[error("{}: holds no LoRA (such as `{example}`); name a file of PEFT, diffusers, kohya's tools or LyCORIS", path.display())]
    NoLora {
        /// The file.
        path: PathBuf,
        /// One of its tensors; empty where it has none.
        example: String,
    },
    /// Some of its tensors are of a kind that is not read.
    #[error(
        "{}: holds tensors of a kind that is not read ({} of them, such as `{}`); take a file of LoRA, LoHa, LoKr, DoRA or differences of weights alone",
        path.display(), names.len(), some(names)
    )]
    Strangers {
        /// The file.
        path: PathBuf,
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// What it adds to a weight is not made of numbers.
    #[error(
        "{}: `{layer}` holds values that are not numbers, or too large; the file is damaged, or was saved after a training that went wrong: take another one",
        path.display()
    )]
    NotNumbers {
        /// The file.
        path: PathBuf,
        /// The layer, as the file names it.
        layer: String,
    },
    /// It was made for another kind of base.
    #[error(
        "{}: this LoRA was made for {}, and the base is {}; take one for the base's family, or another base",
        path.display(), states(*lora), states(*base)
    )]
    Family {
        /// The file.
        path: PathBuf,
        /// Width of the text states that the LoRA reads.
        lora: usize,
        /// That of the base.
        base: usize,
    },
    /// Some of its layers are not in the base.
    #[error(
        "{}: {} of its {total} layers are not in this base, such as `{}`; take a LoRA for this base, or the base that it was made for",
        path.display(), names.len(), some(names)
    )]
    Unmatched {
        /// The file.
        path: PathBuf,
        /// Layers in the file.
        total: usize,
        /// Names of those that the base does not have, sorted.
        names: Vec<String>,
    },
    /// A layer's tensors do not make an adaptation of it.
    #[error("{}: `{layer}`: {reason}; take a LoRA for this base, or download or copy the file again", path.display())]
    Layer {
        /// The file.
        path: PathBuf,
        /// The layer, as the file names it.
        layer: String,
        /// What is wrong.
        reason: String,
    },
    /// A pattern of layers' names that cannot be read.
    #[error(
        "{}: the pattern `{pattern}` of layers with an alpha or rank of their own cannot be read ({reason}); write the layers' names in its place",
        path.display()
    )]
    Pattern {
        /// The file that has it.
        path: PathBuf,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Its factors were taken out of the base's weights.
    #[error(
        "{}: began with what was taken out of the base's own weights (`init_lora_weights` is `{start}`), so that it does not fit a base that has them; save it again as plain LoRA (in PEFT with `path_initial_model_for_weight_conversion`)",
        path.display()
    )]
    Start {
        /// The file that says so.
        path: PathBuf,
        /// The start of its training, as PEFT calls it.
        start: String,
    },
    /// A kind of adaptation that has no factors to attach or to write.
    #[error("{}: `{layer}` is adapted by {kind}, which {purpose}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The layer, as the file names it.
        layer: String,
        /// The kind.
        kind: &'static str,
        /// What it is no good for, and what is.
        purpose: &'static str,
    },
}

/// The models whose attention reads states of that width.
fn states(width: usize) -> String {
    format!("{} (text states of {width} values)", family(width))
}

/// The first few names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("`, `")
}
