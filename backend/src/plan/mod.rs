//! What a job will need of memory, found out before anything is loaded.
//!
//! The networks are built from their configurations on an engine that counts instead of computing, and run as training and
//! generation run them.

mod counting;
mod passes;
mod preview;
mod refusal;
mod system;
mod way;

use counting::CountingEngine;

use mudi_diffusion::Component;
use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_diffusion::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use mudi_domain::recipe::{self, Recipe, Regularization};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::shapes::Shapes;
use mudi_engine_candle::weights::Precision;
use passes::{attach, decoding, encoding, text_factors, unet};
pub use preview::{preview, tiny};
pub use refusal::{Cure, TooLarge, check, check_as_it_is};
use serde::Serialize;
use system::resident;
pub use system::{available_memory, gigabytes, peak_memory};
pub use way::{Way, way};

use crate::base::{BaseError, Sizes, Source};
use crate::train::priors_together;

/// Memory in bytes that a job on a base model needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The program itself, with its threads and buffers, without a model.
    pub program: usize,
    /// Weights of autoencoder and UNet, or of the text encoders, which are let go before; of all of them where text encoders learn.
    pub weights: usize,
    /// A LoRA's factors, for training.
    pub lora: usize,
    /// What the optimizer keeps of each factor.
    pub optimizer: usize,
    /// Activations and gradients at the moment when most are held.
    pub activations: usize,
    /// All of these.
    pub total: usize,
}

impl Plan {
    /// Adds up. The counts are of what is in use; the allocator rounds large blocks up, and what it keeps for reuse does
    /// not always fit what comes next: measured, a twenty-fifth of weights and a quarter of activations.
    fn sum(mut self) -> Self {
        self.weights += self.weights / 25;
        self.activations += self.activations / 4;
        self.total = self.program + self.weights + self.lora + self.optimizer + self.activations;
        self
    }
}

/// What is planned.
#[derive(Clone, Copy, Debug)]
pub enum Job<'a> {
    /// Training by a recipe.
    Train(&'a Recipe),
    /// Generating `count` pictures of `size` (height, width; where none, as the LoRA's recipe has it, or the base's own) at a time.
    Generate {
        /// Height and width in pixels.
        size: Option<[usize; 2]>,
        /// Side of the tiles that pictures are decoded in, in pixels.
        tile: Option<usize>,
        /// Pictures at a time.
        count: usize,
        /// The recipe of the LoRA that is attached; none for the base alone.
        lora: Option<&'a Recipe>,
        /// How the base's weights are held; training has this in its recipe.
        precision: Precision,
    },
}

/// What there is in a base model's folder; one that holds a UNet alone can be planned, too.
struct Configs {
    unet: UNetConfig,
    vae: Option<VaeConfig>,
    text: Vec<ClipTextConfig>,
}

impl Configs {
    fn read(base: &Source) -> Result<Self, BaseError> {
        let vae = base.has(Component::Vae).then(|| base.vae_config()).transpose()?;
        let text = base.text_configs()?;
        if !text.is_empty() {
            base.check_fit(&text)?;
        }
        Ok(Self { unet: base.unet_config()?, vae, text })
    }

    /// The weights of the text encoders, and of the rest.
    fn shapes(&self) -> Result<[Shapes; 2], BaseError> {
        let mut shapes = Shapes::default();
        UNet::<CandleEngine>::new(self.unet.clone(), &mut shapes)?;
        if let Some(vae) = &self.vae {
            VaeEncoder::<CandleEngine>::new(vae, &mut shapes)?;
            VaeDecoder::<CandleEngine>::new(vae, &mut shapes)?;
        }
        let mut text = Shapes::default();
        for config in &self.text {
            ClipText::<CandleEngine>::new(config.clone(), &mut text)?;
        }
        Ok([text, shapes])
    }

    /// Bytes of the weights of the text encoders, and of the rest.
    fn weights(&self, precision: Precision) -> Result<[usize; 2], BaseError> {
        let bytes = |shapes: Shapes| -> usize {
            shapes.made.iter().map(|weight| weight.elements() * precision.bytes_of(weight.kind)).sum()
        };
        Ok(self.shapes()?.map(bytes))
    }

    /// Pixels to a latent, in each direction.
    fn reduction(&self) -> usize {
        self.vae.as_ref().map_or(8, VaeConfig::reduction)
    }

    fn sizes(&self) -> Sizes {
        Sizes::new(&self.unet, self.reduction())
    }
}

/// Tokenizers, threads and their buffers, what a job leaves in the allocator: measured with models of a few thousand
/// weights.
const WORKING: usize = 26 << 20;

/// What training has besides: its samples, the batches and collages that are made ahead, the thread that makes them. The photos
/// are in memory when a run is planned that is about to begin, and count with the program.
const WORKING_TRAINING: usize = 8 << 20;

/// Plans a job on the base model `base`.
///
/// # Errors
/// A folder without configurations, or with ones that are not supported.
pub fn plan(base: &Source, job: Job<'_>) -> Result<Plan, BaseError> {
    let configs = Configs::read(base)?;
    let precision = match job {
        Job::Train(recipe) => crate::base::precision(recipe.precision),
        Job::Generate { precision, .. } => precision,
    };
    let half = precision != Precision::Single;
    // Text encoders that do not learn are let go before the rest is loaded.
    let [text, rest] = configs.weights(precision)?;
    let learns = matches!(job, Job::Train(recipe) if recipe.trains_text_encoders());
    let weights = if learns { text + rest } else { text.max(rest) };
    // A graphics card does not hold the program.
    let program = if base.engine().device().is_cpu() { resident() } else { 0 };
    let mut plan = Plan { program: program + WORKING, weights, ..Plan::default() };
    match job {
        Job::Generate { size, tile, count, lora, .. } => {
            let [height, width] = size.unwrap_or_else(|| configs.sizes().size_for(lora, None));
            let mut unet = unet(&configs, CountingEngine::new(half))?;
            plan.lora = match lora {
                Some(recipe) => attach(&mut unet, recipe, false) + text_factors(&configs, recipe),
                None => 0,
            };
            let latent = [height, width].map(|length| length / configs.reduction());
            plan.activations = unet.sampling(&configs, 2 * count, latent)?.max(decoding(
                &configs,
                CountingEngine::new(half),
                latent,
                tile,
            )?);
        }
        Job::Train(recipe) => {
            plan.program += WORKING_TRAINING;
            // Collages of other proportions have no more pixels than the square.
            let side = configs.sizes().side_for(Some(recipe));
            let latent = [side / configs.reduction(); 2];
            let mut unet = unet(&configs, CountingEngine::new(half))?;
            if learns {
                unet.load_text(&configs)?;
            }
            plan.lora = attach(&mut unet, recipe, true);
            // Two moments of four bytes or of one, or Prodigy's four numbers, for each factor of four bytes.
            plan.optimizer = match recipe.optimizer {
                recipe::Optimizer::Adamw => 2 * plan.lora,
                recipe::Optimizer::Adamw8bit => plan.lora / 2 + plan.lora / 128,
                recipe::Optimizer::Prodigy => 4 * plan.lora,
            };
            let prior = recipe.regularization == Regularization::Prior;
            let batch = recipe.batch as usize * if prior { 2 } else { 1 };
            let step = if recipe.gradient_checkpointing {
                unet.checkpointed_step(&configs, batch, latent)?
            } else {
                unet.step(&configs, batch, latent)?
            };
            // A pass's own gradients are among that; the other half of a batch has its own, and so has the sum of a step's passes.
            let others = usize::from(batch > 1) + usize::from(recipe.accumulation > 1);
            let step = step + others * plan.lora;
            // Photos are encoded one at a time before the first step; collages while a step goes on.
            let tile = Some(recipe.vae_tile as usize).filter(|&tile| tile > 0);
            // As the autoencoder does it: a tile has one latent at least.
            let whole = |tile: usize| (tile / configs.reduction()).max(1) * configs.reduction();
            let encoded = tile.map_or(side, |tile| whole(tile).min(side));
            let encoding = encoding(&configs, CountingEngine::new(half), encoded)?;
            let collages = recipe.collage_probability() > 0.0;
            plan.activations = if collages { step + encoding } else { step.max(encoding) };
            if recipe.sample_every > 0 && !recipe.sample_prompts.is_empty() {
                let base = passes::unet(&configs, CountingEngine::new(half))?;
                let drawing = base.sampling(&configs, 2, latent)?.max(decoding(
                    &configs,
                    CountingEngine::new(half),
                    latent,
                    tile,
                )?);
                plan.activations = plan.activations.max(drawing);
            }
            // A checkpoint is the factors and what the optimizer keeps, as tensors and then as bytes.
            plan.activations = plan.activations.max(2 * (plan.lora + plan.optimizer));
            // The base draws the prior images, before all that.
            if prior {
                let count = priors_together(recipe).min(recipe.prior_images as usize).max(1);
                let base = passes::unet(&configs, CountingEngine::new(half))?;
                plan.activations = plan.activations.max(base.sampling(&configs, 2 * count, latent)?);
            }
        }
    }
    Ok(plan.sum())
}

/// Bytes of all weights of a base model together.
///
/// # Errors
/// Those of [`plan`].
pub fn all_weights(base: &Source, precision: Precision) -> Result<usize, BaseError> {
    Ok(Configs::read(base)?.weights(precision)?.iter().sum())
}
