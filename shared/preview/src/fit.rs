//! Whether a model fits a visitor's device: found out before any of it is loaded.

use mudi_domain::api::{PreviewFile, PreviewModel, PreviewNeeds};

use crate::FILES;

/// Whoever would load more bytes than that is asked before.
pub const ASKED: u64 = 100_000_000;

/// Bytes that a program in a browser can have: WebAssembly counts them with 32 bits.
const PROGRAM: u64 = 1 << 32;
/// Bytes that it can have in one piece.
const PIECE: u64 = (1 << 31) - 1;
/// Bytes of a value while it is on its way to a GPU: as it is read, with its axes moved, and as it is sent.
const ON_ITS_WAY: u64 = 12;
/// What a GPU holds for each byte of activations, measured: buffers are kept for what comes next, which is of other sizes.
const POOLED: u64 = 4;
/// The part by which weights' buffers are larger than they, in the mean: they are of few sizes.
const ROUNDED: u64 = 8;

/// What a device can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a value.
    pub value: u64,
    /// The largest tensor that can be computed with, in bytes; none where only memory bounds it.
    pub largest: Option<u64>,
    /// All memory for tensors, in bytes, where it is known.
    pub memory: Option<u64>,
    /// Whether tensors are in the program's own memory.
    pub own: bool,
}

/// Why a model cannot be had on a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The host's folder lacks a file.
    #[error("it has no `{0}`; whoever hosts this server has to put it into the model's folder")]
    Missing(String),
    /// A tensor is larger than kernels can read.
    #[error(
        "its largest tensor takes {} and this GPU computes with {} at once; {CURE}",
        megabytes(*.tensor), megabytes(*.limit)
    )]
    Tensor {
        /// Bytes of the largest tensor.
        tensor: u64,
        /// Bytes that kernels can read.
        limit: u64,
    },
    /// A file is larger than a program's largest piece of memory.
    #[error("its file `{name}` has {} and a page holds {} in one piece; {CURE}", megabytes(*.bytes), megabytes(PIECE))]
    Piece {
        /// The file.
        name: String,
        /// Its size.
        bytes: u64,
    },
    /// A program in a browser cannot have that much memory.
    #[error("it takes {} of the page's memory and no page has more than {}; {CURE}", megabytes(*.0), megabytes(PROGRAM))]
    Program(u64),
    /// The machine has less memory.
    #[error("it takes {} of memory and this machine has about {}; {CURE}", megabytes(*.needed), megabytes(*.known))]
    Memory {
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that there are.
        known: u64,
    },
}

const CURE: &str =
    "try a machine with a larger GPU, or ask whoever hosts this server for a smaller model for previews";

/// A number of bytes, as people read it.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes < 9.95e6 => format!("{:.1} MB", bytes / 1e6),
        bytes if bytes < 9.995e8 => format!("{:.0} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

/// Whether a whole model fits, with its LoRA; the bytes of the device's memory that it takes, at most about that.
///
/// # Errors
/// [`Misfit`], of which the first is told.
pub fn whole(model: &PreviewModel, limits: &Limits) -> Result<u64, Misfit> {
    let there = |name: &str| model.files.iter().any(|file| file.name == name);
    // A second text encoder is all there or not at all, and one of two autoencoders is.
    let second = there("text_encoder_2/config.json");
    let unused = if there("taesd/config.json") { "vae/" } else { "taesd/" };
    let extra = ["model_index", "tokenizer_config", "special_tokens", "added_tokens", unused];
    let needed =
        |name: &&str| !extra.iter().any(|part| name.contains(part)) && (second || !name.contains("_2/"));
    if let Some(missing) = FILES.into_iter().filter(needed).find(|name| !there(name)) {
        return Err(Misfit::Missing(missing.to_owned()));
    }
    let lora = model.lora.as_ref().map_or(0, |lora| lora.bytes);
    part(&model.files, &model.needs, limits, lora)
}

/// Whether networks fit that are made of these files; the bytes of the device's memory that they take. `lora` is the size of a
/// LoRA's file.
///
/// # Errors
/// [`Misfit`], of which the first is told.
pub fn part(files: &[PreviewFile], needs: &PreviewNeeds, limits: &Limits, lora: u64) -> Result<u64, Misfit> {
    let bytes = |values: u64| values.saturating_mul(limits.value);
    let tensor = bytes(needs.largest_weight.max(needs.largest_activation));
    if let Some(limit) = limits.largest.filter(|limit| tensor > *limit) {
        return Err(Misfit::Tensor { tensor, limit });
    }
    if let Some(file) = files.iter().find(|file| file.bytes > PIECE) {
        return Err(Misfit::Piece { name: file.name.clone(), bytes: file.bytes });
    }
    let files = files.iter().map(|file| file.bytes).sum::<u64>() + lora;
    let activations = bytes(needs.activations);
    // Factors are in their file with four bytes to a value.
    let held = bytes(needs.weights) + lora / 4 * limits.value;
    let (memory, program) = if limits.own {
        (held + activations, files + held + activations)
    } else {
        let on_its_way = needs.largest_weight.saturating_mul(ON_ITS_WAY);
        (held + held / ROUNDED + activations * POOLED, files + on_its_way)
    };
    if program > PROGRAM {
        return Err(Misfit::Program(program));
    }
    if let Some(known) = limits.memory.filter(|known| memory.max(program) > *known) {
        return Err(Misfit::Memory { needed: memory.max(program), known });
    }
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: Limits = Limits { value: 2, largest: Some(1 << 30), memory: None, own: false };
    const PROCESSOR: Limits = Limits { value: 4, largest: None, memory: None, own: true };

    /// A model with all files of SD 1.5's sizes in half precision, and its needs at 512 x 512 pixels.
    fn sd15() -> PreviewModel {
        let file = |name: &str| {
            let bytes = match name {
                "unet/diffusion_pytorch_model.safetensors" => 1_719_000_000,
                "text_encoder/model.safetensors" => 246_000_000,
                "vae/diffusion_pytorch_model.safetensors" => 167_000_000,
                _ => 100_000,
            };
            PreviewFile { name: name.to_owned(), bytes, sha256: String::new() }
        };
        let needs = PreviewNeeds {
            weights: 1_066_000_000,
            largest_weight: 49_408 * 768,
            activations: 200_000_000,
            largest_activation: 512 * 512 * 256,
        };
        let usual = |name: &&str| !name.contains("_2/") && !name.starts_with("taesd/");
        PreviewModel {
            name: "sd15".to_owned(),
            side: 512,
            reduction: 8,
            multiple: 8,
            negative: String::new(),
            guidance: 5.0,
            files: FILES.into_iter().filter(usual).map(file).collect(),
            lora: None,
            needs,
            decoder: PreviewNeeds { weights: 49_000_000, largest_weight: 2_359_296, ..needs },
        }
    }

    #[test]
    fn what_fits_is_told_with_what_it_takes() {
        let memory = whole(&sd15(), &GPU).expect("it fits");
        assert_eq!(memory, 2 * 1_066_000_000 / 8 * 9 + 4 * 2 * 200_000_000);
        // A LoRA takes half of its file.
        let mut with_lora = sd15();
        let lora = mudi_domain::api::PreviewLora {
            run: uuid::Uuid::nil(),
            name: String::new(),
            alpha: 1.0,
            bytes: 4_000,
            subjects: Vec::new(),
        };
        with_lora.lora = Some(lora);
        assert_eq!(whole(&with_lora, &GPU).expect("it fits") - memory, 2_250);
    }

    #[test]
    fn what_does_not_fit_is_told_with_a_cure() {
        let refused = |change: fn(&mut PreviewModel), limits: Limits| {
            let mut model = sd15();
            change(&mut model);
            whole(&model, &limits).expect_err("it does not fit").to_string()
        };
        let as_it_is: fn(&mut PreviewModel) = |_| ();
        let small = Limits { largest: Some(128 << 20), value: 4, ..GPU };
        let words = refused(as_it_is, small);
        assert!(
            words.starts_with("its largest tensor takes 268 MB and this GPU computes with 134 MB"),
            "{words}"
        );
        assert!(words.contains("ask whoever hosts"), "{words}");
        // The same in two bytes does fit.
        assert!(whole(&sd15(), &Limits { largest: Some(128 << 20), ..GPU }).is_ok());

        let words = refused(as_it_is, PROCESSOR);
        assert!(words.contains("7.2 GB of the page's memory"), "{words}");
        let words = refused(as_it_is, Limits { memory: Some(2 << 30), ..GPU });
        assert!(words.contains("this machine has about 2.1 GB"), "{words}");
        let words = refused(|model| model.files[11].bytes = 3_438_000_000, GPU);
        assert!(words.contains("has 3.4 GB"), "{words}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let without = |name: &str| {
            let mut model = sd15();
            model.files.retain(|file| file.name != name);
            whole(&model, &GPU)
        };
        for name in ["unet/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"] {
            assert_eq!(without(name), Err(Misfit::Missing(name.to_owned())));
        }
        assert!(without("model_index.json").is_ok());
        // One of two autoencoders is enough, where it is whole.
        let mut tiny = sd15();
        tiny.files.retain(|file| !file.name.starts_with("vae/"));
        assert_eq!(whole(&tiny, &GPU), Err(Misfit::Missing("vae/config.json".to_owned())));
        tiny.files[0].name = "taesd/config.json".to_owned();
        let weights = "taesd/diffusion_pytorch_model.safetensors".to_owned();
        assert_eq!(whole(&tiny, &GPU), Err(Misfit::Missing(weights.clone())));
        tiny.files.push(PreviewFile { name: weights, bytes: 9_800_000, sha256: String::new() });
        assert!(whole(&tiny, &GPU).is_ok());
        let mut half = sd15();
        half.files[0].name = "text_encoder_2/config.json".to_owned();
        assert_eq!(whole(&half, &GPU), Err(Misfit::Missing("text_encoder_2/model.safetensors".to_owned())));
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let words = [20_000, 1_440_000, 99_400_000, 999_000_000, 2_134_000_000].map(megabytes);
        assert_eq!(words, ["0.0 MB", "1.4 MB", "99 MB", "999 MB", "2.1 GB"]);
    }
}
