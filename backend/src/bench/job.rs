//! What is measured: jobs that our worker and the reference's both understand, as JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::networks::Network;

/// Rank of the LoRA that training steps train.
pub(super) const RANK: usize = 32;

/// One piece of work, described so that both sides do the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(super) enum Job {
    /// A picture in `steps` Euler steps with guidance, from prompt to pixels.
    Sampling { base: PathBuf, steps: usize },
    /// A training step of a LoRA of rank [`RANK`] on the UNet in `base/unet`.
    Lora {
        base: PathBuf,
        batch: usize,
        side: usize,
        tokens: usize,
        precision: Precision,
        checkpointing: bool,
    },
    /// A training step of all weights of text encoders and UNet.
    Pretraining { base: PathBuf, batch: usize },
    /// A forward pass of the UNet in `base/unet`.
    Forward { base: PathBuf, batch: usize, side: usize, tokens: usize, precision: Precision },
    /// The mask of a toy from the name of its kind.
    Mask { detector: PathBuf, segmenter: PathBuf },
    /// Detect-and-Compare of a picture of two toys.
    Compare { detector: PathBuf, embedder: PathBuf },
    /// What OWLv2 base makes of an image of 960 pixels and two texts, with random weights.
    Owlv2,
    /// The embedding that SAM ViT-B makes of an image of 1024 pixels, with random weights.
    Sam,
    /// One operation of the engine, `repeat` times.
    Operation { operation: Operation, gradient: bool, repeat: usize },
}

/// How the frozen weights of a network are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Precision {
    F32,
    Bf16,
}

/// An operation and its sizes; feature maps are square.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "operation")]
pub(super) enum Operation {
    Conv { batch: usize, side: usize, inputs: usize, outputs: usize, kernel: usize },
    Linear { rows: usize, inputs: usize, outputs: usize },
    Attention { batch: usize, queries: usize, keys: usize, channels: usize, heads: usize },
    GroupNormSilu { batch: usize, side: usize, channels: usize },
    LayerNorm { rows: usize, channels: usize },
    Geglu { rows: usize, channels: usize },
    Silu { rows: usize, channels: usize },
    Upsample { batch: usize, side: usize, channels: usize },
    Concat { rows: usize, channels: usize },
}

impl Operation {
    /// Multiplications and additions, or for pointwise operations a number of like cost; decides how often it is repeated.
    pub(super) fn cost(&self) -> usize {
        const POINTWISE: usize = 64;
        match *self {
            Self::Conv { batch, side, inputs, outputs, kernel } => {
                2 * batch * side * side * inputs * outputs * kernel * kernel
            }
            Self::Linear { rows, inputs, outputs } => 2 * rows * inputs * outputs,
            Self::Attention { batch, queries, keys, channels, .. } => 4 * batch * queries * keys * channels,
            Self::GroupNormSilu { batch, side, channels } | Self::Upsample { batch, side, channels } => {
                POINTWISE * batch * side * side * channels
            }
            Self::LayerNorm { rows, channels }
            | Self::Geglu { rows, channels }
            | Self::Silu { rows, channels }
            | Self::Concat { rows, channels } => POINTWISE * rows * channels,
        }
    }

    fn name(&self) -> String {
        match *self {
            Self::Conv { batch, side, inputs, outputs, kernel } => {
                format!("conv {kernel}x{kernel}, {inputs} to {outputs}, {batch} x {side}x{side}")
            }
            Self::Linear { rows, inputs, outputs } => format!("linear {inputs} to {outputs}, {rows} rows"),
            Self::Attention { batch, queries, keys, channels, heads } => {
                format!(
                    "attention {queries} over {keys}, {heads} heads, {channels} channels, {batch} samples"
                )
            }
            Self::GroupNormSilu { batch, side, channels } => {
                format!("group norm + SiLU, {channels} channels, {batch} x {side}x{side}")
            }
            Self::LayerNorm { rows, channels } => format!("layer norm, {rows} x {channels}"),
            Self::Geglu { rows, channels } => format!("GEGLU, {rows} x {channels}"),
            Self::Silu { rows, channels } => format!("SiLU, {rows} x {channels}"),
            Self::Upsample { batch, side, channels } => {
                format!("upsample 2x, {channels} channels, {batch} x {side}x{side}")
            }
            Self::Concat { rows, channels } => format!("concat, {rows} x {channels} twice"),
        }
    }
}

/// Groups of jobs that are asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Set {
    /// The base model: sampling, LoRA steps, a pretraining step.
    Base,
    /// A UNet of 51 million parameters, random weights, 32 x 32 latents.
    Medium,
    /// A UNet of SDXL's size (2.57 billion parameters), random weights; needs 12 GB of memory and 5 GB of disk.
    Sdxl,
    /// Single operations, forward and with gradients.
    Operations,
    /// The networks that see: a mask by a class's name, Detect-and-Compare of an image. There is no reference for these.
    Vision,
    /// OWLv2 base and SAM ViT-B at their size, random weights; needs 4 GB of memory.
    VisionFull,
}

/// A job and how its row is called.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) job: Job,
    /// Whether a row for the peak memory is wanted.
    pub(super) memory: bool,
}

fn named(name: impl Into<String>, job: Job) -> Named {
    Named { name: name.into(), job, memory: true }
}

/// The jobs of a set. `tokens` and `side` are the base model's; `random` gives the folder of a network with random weights.
pub(super) fn jobs<E>(
    set: Set,
    base: &Path,
    [detector, segmenter, embedder]: [&Path; 3],
    (side, tokens): (usize, usize),
    random: impl Fn(Network) -> Result<PathBuf, E>,
) -> Result<Vec<Named>, E> {
    let base = base.to_owned();
    let lora = |base: &Path, batch, side, tokens, precision, checkpointing| Job::Lora {
        base: base.to_owned(),
        batch,
        side,
        tokens,
        precision,
        checkpointing,
    };
    Ok(match set {
        Set::Base => vec![
            named("sampling, 20 steps with guidance", Job::Sampling { base: base.clone(), steps: 20 }),
            named("LoRA training step, batch 2", lora(&base, 2, side, tokens, Precision::F32, false)),
            named("LoRA training step, batch 6", lora(&base, 6, side, tokens, Precision::F32, false)),
            named("pretraining step, batch 32", Job::Pretraining { base, batch: 32 }),
        ],
        Set::Medium => {
            let base = random(Network::Medium)?;
            let forward = Job::Forward {
                base: base.clone(),
                batch: 1,
                side: 32,
                tokens: 77,
                precision: Precision::F32,
            };
            vec![
                named("51 M UNet, 32x32 latents, forward", forward),
                named("51 M UNet, 32x32 latents, LoRA step", lora(&base, 1, 32, 77, Precision::F32, false)),
            ]
        }
        Set::Sdxl => {
            let base = random(Network::Sdxl)?;
            let forward = |side| Job::Forward {
                base: base.clone(),
                batch: 1,
                side,
                tokens: 77,
                precision: Precision::Bf16,
            };
            vec![
                named("SDXL UNet, 32x32 latents, forward", forward(32)),
                named("SDXL UNet, 64x64 latents, forward", forward(64)),
                named("SDXL UNet, 32x32 latents, LoRA step", lora(&base, 1, 32, 77, Precision::Bf16, true)),
            ]
        }
        Set::Vision => {
            let detector = detector.to_owned();
            let mask = Job::Mask { detector: detector.clone(), segmenter: segmenter.to_owned() };
            let compare = Job::Compare { detector, embedder: embedder.to_owned() };
            vec![
                named("mask of a toy by its class, 96x96", mask),
                named("Detect-and-Compare of an image of two toys, 96x96", compare),
            ]
        }
        Set::VisionFull => vec![
            named("OWLv2 base, 960x960, two texts", Job::Owlv2),
            named("SAM ViT-B, embedding of 1024x1024", Job::Sam),
        ],
        Set::Operations => operations()
            .into_iter()
            .flat_map(|operation| {
                [false, true].map(|gradient| {
                    let repeat = (400_000_000 / operation.cost()).clamp(1, 200);
                    let what = if gradient { "forward + gradients" } else { "forward" };
                    let name = format!("{}, {what}", operation.name());
                    let job = Job::Operation { operation: operation.clone(), gradient, repeat };
                    Named { name, job, memory: false }
                })
            })
            .collect(),
    })
}

/// The operations of the pocket model at batch 6 and of SDXL at 32 x 32 to 64 x 64 latents.
fn operations() -> Vec<Operation> {
    use Operation::{Attention, Concat, Conv, Geglu, GroupNormSilu, LayerNorm, Linear, Silu, Upsample};
    vec![
        Conv { batch: 6, side: 12, inputs: 96, outputs: 96, kernel: 3 },
        Conv { batch: 6, side: 6, inputs: 192, outputs: 192, kernel: 3 },
        Conv { batch: 1, side: 64, inputs: 320, outputs: 320, kernel: 3 },
        Conv { batch: 1, side: 32, inputs: 640, outputs: 640, kernel: 3 },
        Conv { batch: 1, side: 16, inputs: 1280, outputs: 1280, kernel: 3 },
        Conv { batch: 1, side: 32, inputs: 960, outputs: 640, kernel: 1 },
        Linear { rows: 864, inputs: 96, outputs: 768 },
        Linear { rows: 1024, inputs: 640, outputs: 5120 },
        Linear { rows: 256, inputs: 1280, outputs: 1280 },
        Attention { batch: 6, queries: 144, keys: 144, channels: 96, heads: 3 },
        Attention { batch: 6, queries: 144, keys: 64, channels: 96, heads: 3 },
        Attention { batch: 1, queries: 1024, keys: 1024, channels: 640, heads: 10 },
        Attention { batch: 1, queries: 4096, keys: 77, channels: 320, heads: 5 },
        GroupNormSilu { batch: 6, side: 12, channels: 96 },
        GroupNormSilu { batch: 1, side: 64, channels: 320 },
        LayerNorm { rows: 864, channels: 96 },
        LayerNorm { rows: 1024, channels: 640 },
        Geglu { rows: 864, channels: 384 },
        Geglu { rows: 1024, channels: 2560 },
        Silu { rows: 4096, channels: 320 },
        Upsample { batch: 1, side: 32, channels: 320 },
        Concat { rows: 4096, channels: 320 },
    ]
}
