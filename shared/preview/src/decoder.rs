//! Latents that came from elsewhere, as pictures.

use mudi_diffusion::{Engine, Readable};

use crate::coder::{self, Decoder};
use crate::error::PreviewError;
use crate::model::Files;
use crate::painting::{Picture, are_numbers, pixels};

/// A base's decoder without the rest of it.
pub struct LatentDecoder<E: Engine> {
    engine: E,
    decoder: Decoder<E>,
}

impl<E: Readable> LatentDecoder<E> {
    /// Whether it needs the file of that name.
    #[must_use]
    pub fn needs(name: &str) -> bool {
        coder::needs(name)
    }

    /// Builds it of a base's files; those that it does not [need](Self::needs) may be missing.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn load(engine: E, mut files: Files) -> Result<Self, PreviewError> {
        let decoder = coder::decoder(&engine, &mut files)?;
        Ok(Self { engine, decoder })
    }

    /// What it runs on.
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The pictures of latents `[B, h, w, C]`, as a denoiser has them.
    ///
    /// # Errors
    /// Latents of other channels; [`PreviewError::NoPicture`]; engine errors.
    pub async fn decode(&self, latents: &[f32], shape: [usize; 4]) -> Result<Vec<Picture>, PreviewError> {
        let engine = &self.engine;
        let each = shape[1] * shape[2] * shape[3];
        if shape[3] != self.decoder.channels || latents.len() != shape[0] * each {
            let reason = format!("{} latents of shape {shape:?} are not this decoder's", latents.len());
            return Err(PreviewError::Wish(reason));
        }
        let mut pictures = Vec::new();
        // One at a time: there is no use in as much memory as all of them take.
        for latents in latents.chunks_exact(each.max(1)) {
            let latents = engine.from_slice(latents, &[1, shape[1], shape[2], shape[3]])?;
            let decoded = self.decoder.pixels(engine, &latents)?;
            let values = engine.read(&decoded).await?;
            if !are_numbers(&values) {
                return Err(PreviewError::NoPicture);
            }
            pictures.push(pixels(&values, &engine.shape(&decoded)));
        }
        Ok(pictures)
    }
}
