//! Masks by Segment Anything: weights in a folder, a photo, and what is pointed at in it, or with a detector the name of what
//! is in it ([`AutoSegmenter`]). Without weights there is [`mudi_domain::grabcut`].

mod automatic;
mod decoder;
mod error;

use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
use mudi_diffusion::{Engine, Parameters};
use mudi_domain::mask::Mask;
use mudi_engine_candle::weights::FileWeights;
use mudi_engine_candle::{CandleEngine, Tensor, on_pool};
use mudi_vision::sam::names::FromTransformers;
use mudi_vision::sam::{Fit, Prompt, Published, Sam, SamConfig, embedding, mask};
use serde::Deserialize;

pub use automatic::{AutoSegmenter, Automatic, AutomaticError, FoundBox, Networks, THRESHOLD};
pub use decoder::{DecoderFiles, decoder_files};
pub use error::SegmentError;

use crate::base::{self, BaseError, read_config};

/// Tensors that files hold and no network of ours needs: the head of MobileSAM's classifier, counters of batch normalizations, buffers
/// that some versions of the authors' code saved, and transformers' second copy of the frequencies.
fn is_no_weight(name: &str) -> bool {
    name.starts_with("image_encoder.head.")
        || name.starts_with("image_encoder.norm_head.")
        || [".num_batches_tracked", ".attention_bias_idxs", ".attn.ab"].iter().any(|end| name.ends_with(end))
        || ["pixel_mean", "pixel_std", "prompt_encoder.shared_embedding.positional_embedding"].contains(&name)
}

/// The files of the SAM in `folder`: its weights, and its configuration where there is one.
///
/// # Errors
/// A folder without weights, or with several files of them.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, SegmentError> {
    let weights = weights_file(folder)?;
    let index = weights.extension().is_some_and(|end| end == "json");
    let shards = if index { ending(folder, &["safetensors"])? } else { Vec::new() };
    let mut files = vec![weights];
    files.extend(shards);
    files.push(folder.join("config.json"));
    files.retain(|path| path.is_file());
    Ok(files)
}

/// The file of weights in `folder`: `model.safetensors` or what transformers calls shards and half precision, or else the only `.pth`,
/// `.pt` or `.safetensors` file.
fn weights_file(folder: &Path) -> Result<PathBuf, SegmentError> {
    if let Ok(usual) = base::weights_file(folder) {
        return Ok(usual);
    }
    let mut found = ending(folder, &["pth", "pt", "safetensors"])?;
    match (found.pop(), found.is_empty()) {
        (Some(path), true) => Ok(path),
        (Some(_), false) => Err(SegmentError::SeveralFiles { path: folder.to_owned() }),
        (None, _) => Err(SegmentError::NoWeights { path: folder.to_owned() }),
    }
}

/// The files in `folder` whose names have one of these ends, in order.
fn ending(folder: &Path, ends: &[&str]) -> Result<Vec<PathBuf>, SegmentError> {
    let list = std::fs::read_dir(folder)
        .map_err(|source| SegmentError::Folder { path: folder.to_owned(), source })?;
    let mut found: Vec<PathBuf> = list
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| ends.iter().any(|known| end == *known)))
        .collect();
    found.sort();
    Ok(found)
}

/// The published model that a file of the authors holds, told by its width.
fn published(weights: &FileWeights) -> Option<Published> {
    if weights.shape("image_encoder.patch_embed.seq.0.c.weight").is_some() {
        return Some(Published::Mobile);
    }
    match weights.shape("image_encoder.patch_embed.proj.weight")?.first()? {
        768 => Some(Published::VitB),
        1024 => Some(Published::VitL),
        1280 => Some(Published::VitH),
        _ => None,
    }
}

/// What `config.json` says of itself; those that were written for the authors' files need not.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    model_type: Option<String>,
}

/// Opens the weights in `folder`, whose configuration is `config.json` or, without one, that of a published model.
fn open(engine: &CandleEngine, folder: &Path) -> Result<(FileWeights, SamConfig), SegmentError> {
    let path = weights_file(folder)?;
    let weights = FileWeights::open(engine, &path)?;
    let config: SamConfig = if folder.join("config.json").is_file() {
        let Said { model_type } = read_config(folder)?;
        if let Some(found) = model_type.filter(|found| found != "sam") {
            return Err(SegmentError::OtherNetwork { path: folder.join("config.json"), found });
        }
        read_config(folder)?
    } else {
        let model = published(&weights).ok_or(SegmentError::Unknown { path })?;
        SamConfig::published(model)
    };
    let path = folder.join("preprocessor_config.json");
    if path.is_file() {
        mudi_vision::preprocess::check_sam(&base::read_text(&path)?, config.image_size())
            .map_err(|source| BaseError::Config { path, source })?;
    }
    Ok((weights, config))
}

/// Builds a network of these weights, which is given them by the authors' names whatever the file's are.
fn build<N>(
    weights: &mut FileWeights,
    config: SamConfig,
    new: impl FnOnce(SamConfig, &mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
) -> Result<N, SegmentError> {
    let depth = config.mask_decoder_config.iou_head_depth;
    let network = weights.build(|source: &mut dyn Parameters<CandleEngine>| {
        if FromTransformers::fits(source) {
            new(config, &mut FromTransformers::new(source, depth))
        } else {
            new(config, source)
        }
    })?;
    Ok(network)
}

/// Whether all of those places, and the corners of the box, lie in a photo of `size` (height and width, in pixels).
///
/// # Errors
/// [`SegmentError::Outside`], with the place.
pub fn check_inside(
    places: impl IntoIterator<Item = [f32; 2]>,
    bounds: Option<[f32; 4]>,
    size: [usize; 2],
) -> Result<(), SegmentError> {
    let [height, width] = size.map(|length| length as f32);
    let corners = bounds.into_iter().flat_map(|[left, top, right, bottom]| [[left, top], [right, bottom]]);
    for [x, y] in places.into_iter().chain(corners) {
        if !(0.0..=width).contains(&x) || !(0.0..=height).contains(&y) {
            return Err(SegmentError::Outside { x, y, width, height });
        }
    }
    Ok(())
}

/// A SAM, loaded.
pub struct Segmenter {
    /// What they run on.
    pub engine: CandleEngine,
    /// The networks.
    pub sam: Sam<CandleEngine>,
}

/// A photo's embedding, which every prompt in it starts from.
pub struct Embedded {
    fit: Fit,
    features: Tensor,
}

impl Embedded {
    /// It as bytes, for a decoder elsewhere: see [`mudi_vision::sam::embedding`].
    ///
    /// # Errors
    /// Engine errors.
    pub fn to_bytes(&self, engine: &CandleEngine) -> Result<Vec<u8>, SegmentError> {
        Ok(embedding::to_bytes(&engine.to_vec(&self.features)?))
    }
}

/// A mask, and how good it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// The mask, of the photo's size.
    pub mask: Mask,
    /// The network's estimate of its intersection over union with the truth.
    pub iou: f32,
    /// How little it depends on the threshold, 0 to 1.
    pub stability: f32,
}

impl Segmenter {
    /// Loads the weights in `folder`, as transformers saves them or as the authors publish them. Without a `config.json`
    /// the authors' models are told apart by their widths.
    ///
    /// # Errors
    /// [`SegmentError`], naming the file.
    pub fn load(folder: &Path) -> Result<Self, SegmentError> {
        let engine = CandleEngine::cpu();
        let (mut weights, config) = open(&engine, folder)?;
        let sam = build(&mut weights, config, |config, source| Sam::new(&engine, config, source))?;
        weights.pass_over_where(is_no_weight);
        weights.finish()?;
        Ok(Self { engine, sam })
    }

    /// Embeds a photo.
    ///
    /// # Errors
    /// Engine errors.
    pub fn embed(&self, photo: &RgbImage) -> Result<Embedded, SegmentError> {
        let side = self.sam.config.image_size();
        let size = [photo.height() as usize, photo.width() as usize];
        let fit = Fit { size, image_size: side };
        let features = on_pool(|| {
            let pixels = self.engine.from_slice(&fit.pixels(photo.as_raw()), &[1, side, side, 3])?;
            self.sam.embed(&self.engine, &pixels)
        })?;
        Ok(Embedded { fit, features })
    }

    /// The masks for a prompt whose points and box are in the photo's pixels: three where `several`, else one; the best
    /// by the network's estimate first.
    ///
    /// # Errors
    /// A prompt that points at nothing, or outside of the photo.
    pub fn masks(
        &self,
        photo: &Embedded,
        prompt: &Prompt,
        several: bool,
    ) -> Result<Vec<Found>, SegmentError> {
        check_inside(prompt.points.iter().map(|point| [point.x, point.y]), prompt.bounds, photo.fit.size)?;
        let (logits, ious) = on_pool(|| {
            let prompts = [photo.fit.prompt(prompt)];
            let found = self.sam.predict(&self.engine, &photo.features, &prompts, several)?;
            Ok::<_, mudi_diffusion::Error>((
                self.engine.to_vec(&found.logits)?,
                self.engine.to_vec(&found.ious)?,
            ))
        })?;
        let side = self.sam.config.mask_size();
        let mut masks: Vec<Found> = logits
            .chunks_exact(side * side)
            .zip(ious)
            .map(|(logits, iou)| {
                let mut stability = mask::Stability::new(1.0);
                let coverage =
                    mask::cover_noting(logits, side, photo.fit.image_size, photo.fit.size, |row| {
                        stability.add(row);
                    });
                let [height, width] = photo.fit.size.map(|length| length as u32);
                let gray = GrayImage::from_raw(width, height, coverage).unwrap_or_default();
                Found { mask: Mask::from_gray(gray), iou, stability: stability.share() }
            })
            .collect();
        masks.sort_by(|a, b| b.iou.total_cmp(&a.iou));
        Ok(masks)
    }
}
