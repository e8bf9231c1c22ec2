//! The segmenter that answers clicks, kept from one to the next.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;
use mudi_domain::mask::Mask;
use mudi_vision::sam::Prompt;

use super::settings::Settings;
use crate::segment::{Embedded, SegmentError, Segmenter};

/// The network, and the photo that was clicked on last: further clicks on it need no embedding.
#[derive(Default)]
pub(crate) struct Sight {
    segmenter: Mutex<Option<Arc<Segmenter>>>,
    last: Mutex<Option<(String, Arc<Embedded>)>>,
}

impl Sight {
    /// The mask of what `prompt` points at in the photo whose file is called `name`; `read` decodes it.
    ///
    /// # Errors
    /// Weights that are not there; a prompt that points at nothing; a photo that cannot be read.
    pub(crate) fn mask<E: From<SegmentError>>(
        &self,
        folder: &Path,
        name: &str,
        read: impl FnOnce() -> Result<RgbImage, E>,
        prompt: &Prompt,
    ) -> Result<Option<Mask>, E> {
        let segmenter = self.segmenter(folder)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let embedded = match last.as_ref().filter(|(known, _)| known == name) {
            Some((_, embedded)) => embedded.clone(),
            None => {
                let embedded = Arc::new(segmenter.embed(&read()?)?);
                *last = Some((name.to_owned(), embedded.clone()));
                embedded
            }
        };
        drop(last);
        // A single click may mean a part or the whole: the best of three.
        let several = prompt.points.len() == 1 && prompt.bounds.is_none();
        let best = segmenter.masks(&embedded, prompt, several)?.into_iter().next();
        Ok(best.map(|found| found.mask).filter(|mask| !mask.is_empty()))
    }

    fn segmenter(&self, folder: &Path) -> Result<Arc<Segmenter>, SegmentError> {
        let mut kept = self.segmenter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(segmenter) = kept.as_ref() {
            return Ok(segmenter.clone());
        }
        let segmenter = Arc::new(Segmenter::load(folder)?);
        *kept = Some(segmenter.clone());
        Ok(segmenter)
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
