//! The segmenter that answers clicks, kept from one to the next, and the part of it that browsers run.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use image::RgbImage;
use mudi_domain::api::PreviewFile;
use mudi_domain::mask::Mask;
use mudi_vision::sam::Prompt;

use super::settings::Settings;
use super::stamps::Stamp;
use crate::digest::sha256;
use crate::models;
use crate::segment::{DecoderFiles, Embedded, SegmentError, Segmenter, decoder_files, files};

/// Photos whose embeddings are kept; one of a published model takes 4 MB.
const KEPT: usize = 16;

/// The segmenter, once something was asked of it.
#[derive(Default)]
pub(crate) struct Sight {
    seer: Mutex<Option<Arc<Seer>>>,
}

/// A segmenter as its files were when it was loaded, and the photos that it has seen last.
pub(crate) struct Seer {
    segmenter: Segmenter,
    /// Tells it from every other one.
    pub(crate) id: String,
    pub(crate) side: usize,
    /// What browsers run, each file with its content.
    pub(crate) decoder: [(PreviewFile, Bytes); 2],
    stamps: Vec<Stamp>,
    seen: Mutex<VecDeque<(String, Cell)>>,
}

/// An embedding that is there or is being made: whoever comes second waits for the first.
type Cell = Arc<Mutex<Option<Arc<Embedded>>>>;

impl Sight {
    /// The segmenter of `folder`. It is loaded where it has not been yet, or where its files have changed.
    ///
    /// # Errors
    /// Weights that are not there or are no SAM's.
    pub(crate) fn look(&self, folder: &Path) -> Result<Arc<Seer>, SegmentError> {
        let stamps = stamps(folder)?;
        let mut kept = self.seer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seer) = kept.as_ref().filter(|seer| seer.stamps == stamps) {
            return Ok(seer.clone());
        }
        // The old one's memory first.
        *kept = None;
        let seer = Arc::new(Seer::load(folder, stamps)?);
        *kept = Some(seer.clone());
        Ok(seer)
    }
}

fn stamps(folder: &Path) -> Result<Vec<Stamp>, SegmentError> {
    let stamp = |path: PathBuf| {
        Stamp::of(&path).map_err(|source| SegmentError::Folder { path: folder.to_owned(), source })
    };
    let found: Vec<_> = files(folder)?.into_iter().map(stamp).collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

impl Seer {
    fn load(folder: &Path, stamps: Vec<Stamp>) -> Result<Self, SegmentError> {
        let mut id = String::new();
        for stamp in &stamps {
            id.push_str(&models::digest(&stamp.path)?);
        }
        let DecoderFiles { config, weights, image_size } = decoder_files(folder)?;
        let file = |name: &str, content: Vec<u8>| {
            let (bytes, sha256) = (content.len() as u64, sha256(&content));
            (PreviewFile { name: name.to_owned(), bytes, sha256 }, Bytes::from(content))
        };
        Ok(Self {
            segmenter: Segmenter::load(folder)?,
            id: sha256(id.as_bytes()),
            side: image_size,
            decoder: [file("config.json", config.into_bytes()), file("model.safetensors", weights)],
            stamps,
            seen: Mutex::default(),
        })
    }

    /// The embedding of the photo whose file is called `name`; `read` decodes it.
    fn embedded<E: From<SegmentError>>(
        &self,
        name: &str,
        read: impl FnOnce() -> Result<RgbImage, E>,
    ) -> Result<Arc<Embedded>, E> {
        let cell = self.cell(name);
        let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedded) = cell.as_ref() {
            return Ok(embedded.clone());
        }
        let embedded = Arc::new(self.segmenter.embed(&read()?)?);
        *cell = Some(embedded.clone());
        Ok(embedded)
    }

    /// The place of a photo's embedding among those that are kept.
    fn cell(&self, name: &str) -> Cell {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.iter().position(|(known, _)| known == name).and_then(|at| seen.remove(at));
        let (name, cell) = known.unwrap_or_else(|| (name.to_owned(), Cell::default()));
        seen.push_back((name, cell.clone()));
        if seen.len() > KEPT {
            seen.pop_front();
        }
        cell
    }

    /// The bytes of a photo's embedding, as [`mudi_vision::sam::embedding`] has them.
    ///
    /// # Errors
    /// A photo that cannot be read.
    pub(crate) fn embedding<E: From<SegmentError>>(
        &self,
        name: &str,
        read: impl FnOnce() -> Result<RgbImage, E>,
    ) -> Result<Vec<u8>, E> {
        Ok(self.embedded(name, read)?.to_bytes(&self.segmenter.engine)?)
    }

    /// The mask of what `prompt` points at in a photo; none where nothing is seen there.
    ///
    /// # Errors
    /// A prompt that points at nothing; a photo that cannot be read.
    pub(crate) fn mask<E: From<SegmentError>>(
        &self,
        name: &str,
        read: impl FnOnce() -> Result<RgbImage, E>,
        prompt: &Prompt,
    ) -> Result<Option<Mask>, E> {
        let embedded = self.embedded(name, read)?;
        let best = self.segmenter.masks(&embedded, prompt, prompt.is_ambiguous())?.into_iter().next();
        Ok(best.map(|found| found.mask).filter(|mask| !mask.is_empty()))
    }
}

impl Settings {
    /// The folder of the detector.
    pub(crate) fn detector_folder(&self) -> PathBuf {
        self.models.join(&self.detector)
    }

    /// The folder of the segmenter.
    pub(crate) fn segmenter_folder(&self) -> PathBuf {
        self.models.join(&self.segmenter)
    }

    /// The folder of the embedder.
    pub(crate) fn embedder_folder(&self) -> PathBuf {
        self.models.join(&self.embedder)
    }
}
