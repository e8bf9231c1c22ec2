//! What can be wrong with weights.

use std::path::PathBuf;

use mudi_diffusion::Error as NetworkError;

/// What is wrong with a weights file. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}; check that the file exists and is readable", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file does not begin as a safetensors file.
    #[error("{}: {}", path.display(), what.message())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: OtherFormat,
    },
    /// The file is damaged or cut short.
    #[error("{}: not a whole safetensors file ({reason}); download or copy it again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A tensor is of a type that is not read.
    #[error("{}: `{name}`: {dtype} is not read; take f16 or bf16", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A weight in fp8 has a scale of a kind that is not read.
    #[error(
        "{}: `{name}` has shape {shape:?}, and only weights in fp8 with one scale are read; take the model in f16 or bf16",
        path.display()
    )]
    Scale {
        /// The file.
        path: PathBuf,
        /// The scale.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The file is not one of `torch.save`, or one that is damaged or made to do harm.
    #[error(
        "{}: not a PyTorch file that can be read ({reason}); download or copy it again, or save it again as safetensors",
        path.display()
    )]
    Pth {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is missing or misshapen, or the configuration is impossible.
    #[error("{}: {source}; the weights and config.json beside them must belong together", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// Which tensor.
        #[source]
        source: NetworkError,
    },
    /// Tensors that the network has no use for.
    #[error(
        "{}: {} that this network does not have, such as `{}`; the weights and config.json beside them must belong together",
        path.display(), count_of(names), names.first().map_or("", String::as_str)
    )]
    Extra {
        /// The file.
        path: PathBuf,
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// A checkpoint's network has parts that are not known.
    #[error(
        "{}: its denoiser {} that those of SD 1.5, SD 2 and SDXL do not have, such as `{}`; take a checkpoint of these families",
        path.display(), count_of(names), names.first().map_or("", String::as_str)
    )]
    Parts {
        /// The file.
        path: PathBuf,
        /// The tensors' names, sorted.
        names: Vec<String>,
    },
    /// A shard of a network that lies in several files is missing, or their index is damaged.
    #[error("{}: {reason}; download or copy the folder again, with every file that the index names", path.display())]
    Index {
        /// The index, or the shard.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A weight is not made of numbers.
    #[error(
        "{}: `{name}` holds values that are not numbers; the file is damaged, or was saved after a training that went wrong: take another one",
        path.display()
    )]
    NotNumbers {
        /// The file.
        path: PathBuf,
        /// The weight.
        name: String,
    },
    /// A LoRA does not fit.
    #[error(transparent)]
    Lora(Box<crate::lora::LoraError>),
    /// The file cannot be written.
    #[error("{}: cannot be written: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
}

/// What a file is that should be a safetensors file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherFormat {
    /// Quantized weights, as llama.cpp's tools have them.
    Gguf,
    /// What a checkout of git holds in place of a large file.
    LfsPointer,
    /// What PyTorch writes unless it is told otherwise.
    Pickle,
    /// A page, as a site answers where it has no file or wants to know who asks.
    Page,
    /// Something else.
    Unknown,
}

impl OtherFormat {
    /// By what the file starts with.
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            [b'G', b'G', b'U', b'F', ..] => Self::Gguf,
            [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Self::Pickle,
            _ if start.starts_with(b"version ") => Self::LfsPointer,
            [b'<', ..] => Self::Page,
            _ => Self::Unknown,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Gguf => {
                "this is a GGUF file, whose weights are quantized; take the model as .safetensors, in f16 or bf16"
            }
            Self::LfsPointer => {
                "this is not the model but a pointer of Git LFS to it; download the file itself (`git lfs pull`)"
            }
            Self::Pickle => {
                "this is a pickle of PyTorch's, which can run any code when it is read; take the file as .safetensors, or convert it with a tool and a source that you trust"
            }
            Self::Page => {
                "this is a web page and not the model; download it again, where needed with your account"
            }
            Self::Unknown => "this is no safetensors file; name one, or download or copy it again",
        }
    }
}

fn count_of(names: &[String]) -> String {
    if names.len() == 1 { "holds a tensor".to_owned() } else { format!("holds {} tensors", names.len()) }
}
