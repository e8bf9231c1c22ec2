//! A base model: a folder in diffusers' layout, loaded for training and generation.

mod error;

use std::path::{Path, PathBuf};

pub use error::BaseError;

use image::RgbImage;
use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetConfig, UNetInput};
use mudi_diffusion::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use mudi_diffusion::{Engine, Parameters};
use mudi_engine_candle::weights::{FileWeights, Precision};
use mudi_engine_candle::{CandleEngine, Tensor, on_pool};

pub(crate) fn read_text(path: &Path) -> Result<String, BaseError> {
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => BaseError::Missing { path: path.to_owned() },
        _ => BaseError::Read { path: path.to_owned(), source },
    })
}

/// Reads `config.json` of a network.
///
/// # Errors
/// [`BaseError`], naming the file.
pub fn read_config<C: serde::de::DeserializeOwned>(folder: &Path) -> Result<C, BaseError> {
    let path = folder.join("config.json");
    let text = read_text(&path)?;
    mudi_diffusion::parse(&text).map_err(|source| BaseError::Config { path, source })
}

/// The weights file of a network's folder.
pub(crate) fn weights_file(folder: &Path) -> Result<PathBuf, BaseError> {
    const NAMES: [&str; 3] = [
        "diffusion_pytorch_model.safetensors",
        "model.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
    ];
    NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| BaseError::Missing { path: folder.join(NAMES[0]) })
}

/// Loads one network whose every weight must be used.
///
/// # Errors
/// [`BaseError`], naming the file.
pub fn load_network<N>(
    engine: &CandleEngine,
    folder: &Path,
    precision: Precision,
    new: impl FnOnce(&mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
) -> Result<N, BaseError> {
    let mut weights = FileWeights::open_as(engine, &weights_file(folder)?, precision)?;
    let network = weights.build(new)?;
    weights.finish()?;
    Ok(network)
}

/// Both halves of an autoencoder.
pub struct Vae {
    /// Its configuration.
    pub config: VaeConfig,
    /// Pixels to latents.
    pub encoder: VaeEncoder<CandleEngine>,
    /// Latents to pixels.
    pub decoder: VaeDecoder<CandleEngine>,
}

impl Vae {
    /// Loads `folder/config.json` and the weights beside it.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn load(engine: &CandleEngine, folder: &Path, precision: Precision) -> Result<Self, BaseError> {
        let config: VaeConfig = read_config(folder)?;
        let (encoder, decoder) = load_network(engine, folder, precision, |parameters| {
            Ok((VaeEncoder::new(&config, parameters)?, VaeDecoder::new(&config, parameters)?))
        })?;
        Ok(Self { config, encoder, decoder })
    }
}

/// Encoded texts, as the UNet takes them.
#[derive(Clone)]
pub struct EncodedPrompts {
    /// Text states, `[B, T, C]` row by row.
    pub context: Vec<f32>,
    /// Tokens of each text.
    pub tokens: usize,
    /// Width of the states.
    pub width: usize,
    /// Pooled projections, `[B, P]`, where the base has them.
    pub pooled: Option<Vec<f32>>,
    /// How many texts lost their end.
    pub truncated: usize,
}

/// How weights are held under a recipe.
#[must_use]
pub fn precision(chosen: mudi_domain::recipe::Precision) -> Precision {
    match chosen {
        mudi_domain::recipe::Precision::Single => Precision::Single,
        mudi_domain::recipe::Precision::Half => Precision::Half,
    }
}

/// A base model in memory.
pub struct Base {
    /// The engine that runs it.
    pub engine: CandleEngine,
    /// Its folder.
    pub path: PathBuf,
    /// The denoiser.
    pub unet: UNet<CandleEngine>,
    /// The autoencoder.
    pub vae: Vae,
    /// The noise schedule that it was trained with.
    pub schedule: NoiseSchedule,
    /// Whether guidance without a negative prompt is away from nothing (zeros) rather than from the empty text; SDXL's is.
    pub zeros_for_empty_prompt: bool,
    encoders: Vec<(Tokenizer, ClipText<CandleEngine>)>,
}

impl Base {
    /// Loads a folder in diffusers' layout: SD 1.5, SD 2.1, SDXL and the pocket models.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn load(path: &Path, precision: Precision) -> Result<Self, BaseError> {
        if !path.is_dir() {
            return Err(BaseError::Missing { path: path.to_owned() });
        }
        let engine = CandleEngine::cpu();
        let unet_config: UNetConfig = read_config(&path.join("unet"))?;
        let mut encoders = Vec::new();
        for suffix in ["", "_2"] {
            let folder = path.join(format!("text_encoder{suffix}"));
            if suffix.is_empty() || folder.is_dir() {
                let config: ClipTextConfig = read_config(&folder)?;
                let encoder = load_network(&engine, &folder, precision, |parameters| {
                    ClipText::new(config, parameters)
                })?;
                encoders.push((load_tokenizer(&path.join(format!("tokenizer{suffix}")))?, encoder));
            }
        }
        let schedule_path = path.join("scheduler").join("scheduler_config.json");
        let schedule = NoiseSchedule::from_json(&read_text(&schedule_path)?)
            .map_err(|source| BaseError::Schedule { path: schedule_path, source })?;
        let vae = Vae::load(&engine, &path.join("vae"), precision)?;
        let unet = load_network(&engine, &path.join("unet"), precision, |parameters| {
            UNet::new(unet_config, parameters)
        })?;
        let zeros_for_empty_prompt = zeros_for_empty_prompt(&path.join("model_index.json"))?;
        crate::allocator::give_back();
        Ok(Self { engine, path: path.to_owned(), unet, vae, schedule, zeros_for_empty_prompt, encoders })
    }

    /// Side of the square pictures that it was trained on, in pixels.
    #[must_use]
    pub fn resolution(&self) -> usize {
        let latent = self.unet.config.sample_size.unwrap_or(64);
        latent * self.vae.config.reduction()
    }

    /// Height and width of latents for a picture.
    ///
    /// # Errors
    /// [`BaseError::Size`].
    pub fn latent_size(&self, height: usize, width: usize) -> Result<[usize; 2], BaseError> {
        let reduction = self.vae.config.reduction();
        if height == 0 || width == 0 || !height.is_multiple_of(reduction) || !width.is_multiple_of(reduction)
        {
            return Err(BaseError::Size { width, height, multiple: reduction });
        }
        Ok([height / reduction, width / reduction])
    }

    /// Encodes texts: SDXL's two encoders side by side, or the only one's last states.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`].
    pub fn encode_prompts(&self, prompts: &[&str]) -> Result<EncodedPrompts, BaseError> {
        let engine = &self.engine;
        let mut context: Option<Tensor> = None;
        let mut pooled = None;
        let mut truncated = 0;
        for (index, (tokenizer, encoder)) in self.encoders.iter().enumerate() {
            let mut ids = Vec::new();
            for prompt in prompts {
                let encoded = tokenizer.encode(prompt)?;
                truncated += usize::from(index == 0 && encoded.truncated);
                ids.extend(encoded.ids);
            }
            let text = on_pool(|| encoder.forward(engine, &ids, prompts.len()))?;
            let states = if self.encoders.len() > 1 { text.penultimate } else { text.last };
            context = Some(match context {
                Some(first) => engine.concat(&first, &states, 2)?,
                None => states,
            });
            pooled = text.pooled;
        }
        let context = context.ok_or_else(|| BaseError::Missing { path: self.path.join("text_encoder") })?;
        let shape = engine.shape(&context);
        let pooled = pooled.filter(|_| self.unet.config.has_text_time());
        Ok(EncodedPrompts {
            context: engine.to_vec(&context)?,
            tokens: shape[1],
            width: shape[2],
            pooled: pooled.map(|pooled| engine.to_vec(&pooled)).transpose()?,
            truncated,
        })
    }

    /// What guidance leads away from.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`].
    pub fn encode_negative(&self, negative: &str) -> Result<EncodedPrompts, BaseError> {
        let mut text = self.encode_prompts(&[negative])?;
        if negative.is_empty() && self.zeros_for_empty_prompt {
            text.context.fill(0.0);
            text.pooled.iter_mut().for_each(|pooled| pooled.fill(0.0));
        }
        Ok(text)
    }

    /// The UNet's input for noisy latents `[B, h, w, C]`, with the sizes of a square or rectangular picture (in pixels)
    /// as SDXL is told them: original and target size the picture's, no crop.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn input(
        &self,
        latents: &[f32],
        [height, width]: [usize; 2],
        timesteps: Vec<f32>,
        text: &EncodedPrompts,
        lora_scale: f32,
    ) -> Result<UNetInput<CandleEngine>, BaseError> {
        let engine = &self.engine;
        let batch = timesteps.len();
        let [h, w] = self.latent_size(height, width)?;
        let sample = engine.from_slice(latents, &[batch, h, w, self.unet.config.in_channels])?;
        let states = engine.from_slice(&text.context, &[batch, text.tokens, text.width])?;
        let added = match &text.pooled {
            Some(pooled) => {
                let (height, width) = (height as f32, width as f32);
                Some(AddedConditioning {
                    text_embeds: engine.from_slice(pooled, &[batch, pooled.len() / batch])?,
                    time_ids: [height, width, 0.0, 0.0, height, width].repeat(batch),
                })
            }
            None => None,
        };
        Ok(UNetInput { sample, timesteps, encoder_hidden_states: states, added, lora_scale })
    }

    /// Means of the latents of pictures of one size, times the scaling factor: `[B, h, w, C]` row by row.
    ///
    /// # Errors
    /// [`BaseError::Size`]; engine errors.
    pub fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<f32>, BaseError> {
        let Some(first) = images.first() else { return Ok(Vec::new()) };
        let (width, height) = (first.width() as usize, first.height() as usize);
        self.latent_size(height, width)?;
        let pixels: Vec<f32> = images
            .iter()
            .flat_map(|image| image.as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0))
            .collect();
        let x = self.engine.from_slice(&pixels, &[images.len(), height, width, 3])?;
        let moments = on_pool(|| self.vae.encoder.forward(&self.engine, &x))?;
        let channels = self.vae.config.latent_channels;
        let scale = self.vae.config.scaling_factor as f32;
        let moments = self.engine.to_vec(&moments)?;
        Ok(moments.chunks_exact(2 * channels).flat_map(|m| m[..channels].iter().map(|v| scale * v)).collect())
    }

    /// Pictures of latents `[B, h, w, C]` that were scaled by the scaling factor.
    ///
    /// # Errors
    /// Engine errors; latents that are not numbers.
    pub fn decode_latents(&self, latents: &[f32], [h, w]: [usize; 2]) -> Result<Vec<RgbImage>, BaseError> {
        let channels = self.vae.config.latent_channels;
        let batch = latents.len() / (h * w * channels);
        let scale = self.vae.config.scaling_factor as f32;
        let unscaled: Vec<f32> = latents.iter().map(|v| v / scale).collect();
        let z = self.engine.from_slice(&unscaled, &[batch, h, w, channels])?;
        let pixels = on_pool(|| self.vae.decoder.forward(&self.engine, &z))?;
        let shape = self.engine.shape(&pixels);
        let pixels = self.engine.to_vec(&pixels)?;
        if pixels.iter().any(|v| !v.is_finite()) {
            return Err(BaseError::Network(mudi_diffusion::Error::Input {
                name: "latents",
                reason: "the decoded picture is not made of numbers; try fewer guidance or another seed"
                    .to_owned(),
            }));
        }
        let (height, width) = (shape[1] as u32, shape[2] as u32);
        Ok(pixels
            .chunks_exact((height * width * 3) as usize)
            .filter_map(|pixels| {
                let bytes =
                    pixels.iter().map(|v| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8).collect();
                RgbImage::from_raw(width, height, bytes)
            })
            .collect())
    }
}

/// `force_zeros_for_empty_prompt` of `model_index.json`, which folders made by hand may lack.
fn zeros_for_empty_prompt(path: &Path) -> Result<bool, BaseError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(BaseError::Missing { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let index: serde_json::Value =
        mudi_diffusion::parse(&text).map_err(|source| BaseError::Config { path: path.to_owned(), source })?;
    Ok(index["force_zeros_for_empty_prompt"].as_bool().unwrap_or(false))
}

/// The tokenizer of a folder with `vocab.json` and `merges.txt`.
pub(crate) fn load_tokenizer(folder: &Path) -> Result<Tokenizer, BaseError> {
    let vocab = read_text(&folder.join("vocab.json"))?;
    let merges = read_text(&folder.join("merges.txt"))?;
    let optional = |name: &str| match read_text(&folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(BaseError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let config = optional("tokenizer_config.json")?;
    let special = optional("special_tokens_map.json")?;
    Tokenizer::from_folder_json(&vocab, &merges, config.as_deref(), special.as_deref())
        .map_err(|source| BaseError::Tokenizer { path: folder.to_owned(), source })
}
