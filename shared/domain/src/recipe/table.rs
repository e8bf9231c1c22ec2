//! The table of training parameters, and the struct that it spells out.

use serde_json::Value as Json;

use crate::aspect::Aspect;
use crate::collage::MAX_SUBJECTS;

use super::parameter::{Kind, Parameter};
use super::value::{LearningSchedule, Method, Optimizer, Precision, Regularization, RelativeSizes, Value};

/// Makes of one table the struct, its defaults, the list of parameters and the access by name.
macro_rules! recipe {
    ($($group:literal { $($field:ident: $type:ty = $name:literal, $default:literal, $kind:expr, $help:literal;)* })*) => {
        /// Every parameter of a training run. A run is a pure function of (base, data, recipe).
        ///
        /// The fields are those of [`PARAMETERS`]; as JSON, a recipe is an object of its names.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Recipe {
            $($(#[doc = $help] pub $field: $type,)*)*
        }

        /// The one table of training parameters.
        pub const PARAMETERS: &[Parameter] = &[
            $($(Parameter { name: $name, group: $group, help: $help, default: $default, kind: $kind },)*)*
        ];

        impl Default for Recipe {
            fn default() -> Self {
                Self { $($($field: default::<$type>($default, &$kind),)*)* }
            }
        }

        impl Recipe {
            /// Sets the field of `parameter` to a text that has passed its kind's check.
            pub(super) fn assign(&mut self, parameter: &Parameter, text: &str) -> Result<(), String> {
                match parameter.name {
                    $($($name => self.$field = Value::parse(text, &parameter.kind)?,)*)*
                    _ => {}
                }
                Ok(())
            }

            /// The field of `parameter` as text.
            pub(super) fn text(&self, parameter: &Parameter) -> String {
                match parameter.name {
                    $($($name => self.$field.text(&parameter.kind),)*)*
                    _ => String::new(),
                }
            }

            /// The field of `parameter` as JSON.
            pub(super) fn json(&self, parameter: &Parameter) -> Json {
                match parameter.name {
                    $($($name => self.$field.json(&parameter.kind),)*)*
                    _ => Json::Null,
                }
            }
        }
    };
}

/// The value of a default of the table.
fn default<T: Value>(text: &str, kind: &Kind) -> T {
    match T::parse(text, kind) {
        Ok(value) => value,
        // Nothing that a user does leads here: the table is a constant, and a test reads all of it.
        Err(fault) => unreachable!("the table's default {text:?} is wrong: {fault}"),
    }
}

const fn integer(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

const fn number(min: f64, max: f64) -> Kind {
    Kind::Number { min, max }
}

recipe! {
    "Run" {
        method: Method = "method", "mudi", Kind::Choice(Method::WORDS),
            "How samples are made: mudi (photos and Seg-Mix collages), or a baseline: dreambooth (photos), cutmix (photos side by side).";
        steps: u32 = "steps", "400", integer(1, 1_000_000),
            "Optimizer steps. The paper takes 1200 for easy subjects and 1400 to 1600 for detailed ones.";
        seed: u64 = "seed", "0", integer(0, 9_007_199_254_740_991),
            "The seed of every random choice, up to 2^53 - 1. The same seed gives the same LoRA.";
        resolution: u32 = "resolution", "0", integer(0, 2048),
            "Side of the square training images in pixels, a multiple of 8 from 32 on. 0: the base's own.";
        aspect: Aspect = "aspect", "1:1", Kind::Choice(Aspect::WORDS),
            "Width to height of collages, in about as many pixels as the square has, and so of the pictures that are drawn with the run where no other size is asked for.";
        aspect_buckets: bool = "aspect-buckets", "false", Kind::Flag,
            "Train on photos with their own aspect ratio, in sizes of the square's area, instead of on squares.";
        batch: u32 = "batch", "2", integer(1, 64),
            "Samples that go through the model together.";
        accumulation: u32 = "accumulation", "1", integer(1, 256),
            "Batches whose gradients are averaged into one step. 2 with batch 1 takes less memory than batch 2.";
        gradient_checkpointing: bool = "gradient-checkpointing", "true", Kind::Flag,
            "Recompute activations in the backward pass: about a third slower, and far less memory.";
        vae_tile: u32 = "vae-tile", "0", integer(0, 8192),
            "Side of the tiles in which pictures are encoded, in pixels: less memory, and latents that differ a little. 512 suits 1024. 0: whole pictures.";
        precision: Precision = "precision", "single", Kind::Choice(Precision::WORDS),
            "How the base's frozen weights are held: single (4 bytes each), half (2 bytes), or bf16 (2 bytes, and the fastest on processors that multiply bf16, though what they multiply is rounded, too).";
        checkpoint_every: u32 = "checkpoint-every", "200", integer(0, 1_000_000),
            "Steps between checkpoints from which a run can resume. 0: only at the end.";
        sample_every: u32 = "sample-every", "0", integer(0, 1_000_000),
            "Steps between sample images. 0: none.";
        sample_prompts: Vec<String> = "sample-prompts", "", Kind::List('|'),
            "The prompts of the sample images, separated by `|` (a list in JSON).";
    }
    "Optimizer" {
        optimizer: Optimizer = "optimizer", "adamw", Kind::Choice(Optimizer::WORDS),
            "What moves the weights: adamw; adamw8bit, which keeps a byte where adamw keeps four; prodigy, which finds its learning rate by itself.";
        learning_rate: f64 = "learning-rate", "0.0001", number(1e-9, 10.0),
            "The learning rate after the warm-up. prodigy multiplies its own by it, and wants 1.";
        learning_schedule: LearningSchedule = "learning-schedule", "constant", Kind::Choice(LearningSchedule::WORDS),
            "How the learning rate goes on after the warm-up: constant, or linear or cosine down to zero at the last step.";
        warmup_steps: u32 = "warmup-steps", "0", integer(0, 1_000_000),
            "Steps in which the learning rate grows from zero.";
        min_snr_gamma: f64 = "min-snr-gamma", "0.0", number(0.0, 100.0),
            "Min-SNR weighting (Hang et al., 2023): steps with little noise count less. 5 is usual. 0: all count the same.";
        debiased_loss: bool = "debiased-loss", "false", Kind::Flag,
            "Debiased estimation (Yu et al., 2024): noisier steps, which decide what a subject is, count more. Instead of min-snr-gamma. false: all count the same.";
        weight_decay: f64 = "weight-decay", "0.0001", number(0.0, 1.0),
            "AdamW's decoupled weight decay.";
        beta1: f64 = "beta1", "0.9", number(0.0, 0.9999),
            "AdamW's decay of the mean gradient.";
        beta2: f64 = "beta2", "0.999", number(0.0, 0.999999),
            "AdamW's decay of the mean squared gradient.";
        epsilon: f64 = "epsilon", "1e-8", number(1e-16, 0.01),
            "What AdamW adds to its denominator.";
        clip_norm: f64 = "clip-norm", "1.0", number(0.0, 1000.0),
            "The largest norm of the whole gradient; a larger one is scaled down to it. 0: never.";
    }
    "LoRA" {
        rank: u32 = "rank", "32", integer(1, 512),
            "Rank of the LoRA factors.";
        alpha: f64 = "alpha", "32.0", number(0.001, 4096.0),
            "The factors' product is scaled by alpha / rank.";
        targets: Vec<String> = "targets", "to_q,to_k,to_v,to_out.0", Kind::List(','),
            "The layers that learn, by the ends of their names, separated by commas (a list in JSON). Besides the attentions' there are ff.net.0.proj, ff.net.2, proj_in, proj_out, and conv1 and conv2 of the ResNet blocks.";
        dora: bool = "dora", "false", Kind::Flag,
            "Learn the length of each output's weights apart from their direction (DoRA: Liu et al., 2024). Nearer to training all weights, above all at low ranks; a step takes longer and more memory.";
        text_encoder_learning_rate: f64 = "text-encoder-learning-rate", "0.0", number(0.0, 10.0),
            "The learning rate of a LoRA on the attentions of the text encoders, of the same rank and alpha; it warms up and ends as learning-rate does. A half or a tenth of that is usual. 0: text encoders stay as they are, as in the paper.";
    }
    "Collages" {
        segmix_probability: f64 = "segmix-probability", "0.3", number(0.0, 1.0),
            "Share of the samples that are collages (Seg-Mix, or Cut-Mix by that method). More than three subjects need more.";
        collage_subjects: u32 = "collage-subjects", "2", integer(2, MAX_SUBJECTS as u64),
            "How many subjects a Seg-Mix collage shows at most; each number from two on is as likely. Two suffice for large models, also for many subjects; small ones need to see them all.";
        min_scale: f64 = "min-scale", "0.75", number(0.1, 1.0),
            "The smallest size of a subject in a collage, as a fraction of the largest that fits.";
        max_width: f64 = "max-width", "0.5", number(0.1, 1.0),
            "The room for a subject's width in a collage of two, as a fraction of the canvas's. More makes subjects larger, and overlap more.";
        margin: u32 = "margin", "256", integer(1, 512),
            "The largest outer margin of a collage, in pixels of a canvas of 1024. Larger margins make subjects overlap more.";
        relative_sizes: RelativeSizes = "relative-sizes", "", Kind::Sizes,
            "Fixed sizes of the subjects relative to each other, as `a=1,b=0.6`. Empty: drawn freely.";
        articles: f64 = "articles", "0.0", number(0.0, 1.0),
            "Share of the collages' captions that say `a` before each name, as prompts mostly do; the paper's do not, its released code's do. A small text encoder takes a name with and without it for different ones.";
        loss_mask_floor: f64 = "loss-mask-floor", "1.0", number(0.0, 1.0),
            "Weight of the loss outside of a collage's subjects. 1: the whole image counts; 0: only the subjects.";
    }
    "Regularization" {
        regularization: Regularization = "regularization", "prior", Kind::Choice(Regularization::WORDS),
            "What keeps the base's knowledge of the classes: prior (its own images of each class), dco (its own loss), kl (its own predictions), none.";
        prior_images: u32 = "prior-images", "50", integer(0, 10_000),
            "Images that the base makes of each class, for `prior`.";
        prior_weight: f64 = "prior-weight", "1.0", number(0.0, 100.0),
            "Weight of the prior images' loss beside the photos'.";
        dco_beta: f64 = "dco-beta", "1000.0", number(0.001, 1_000_000.0),
            "Beta of `dco`: how sharply the loss is compared with the base's.";
        kl_weight: f64 = "kl-weight", "1.0", number(0.0, 100.0),
            "Weight of `kl`: of the squared difference from what is predicted without what is being learnt.";
    }
}
