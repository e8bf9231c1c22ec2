//! The weights of an earlier model, to go on from.

use std::path::{Path, PathBuf};

use mudi_diffusion::{Engine, Error, ParameterKind, Parameters};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::FileWeights;

use super::PretrainError;
use crate::base::{BaseError, weights_file};

/// Weights of some networks of a folder in diffusers' layout.
pub(crate) struct EarlierWeights {
    model: PathBuf,
    engine: CandleEngine,
    /// What names of a state start with, and the file that has them without it.
    files: Vec<(String, FileWeights)>,
    failed: Option<Error>,
}

impl EarlierWeights {
    /// Opens the networks `folders` of `model`; each with what its weights' names start with in a state.
    pub(crate) fn open(model: &Path, folders: &[(&str, &str)]) -> Result<Self, BaseError> {
        let engine = CandleEngine::cpu();
        let mut files = Vec::new();
        for (folder, prefix) in folders {
            let file = FileWeights::open(&engine, &weights_file(&model.join(folder))?)?;
            files.push(((*prefix).to_owned(), file));
        }
        Ok(Self { model: model.to_owned(), engine, files, failed: None })
    }

    /// The values of a weight; zeros where there is none, which [`Self::finish`] then tells.
    pub(crate) fn values(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Vec<f32> {
        let found = self
            .files
            .iter_mut()
            .find_map(|(prefix, file)| Some((name.strip_prefix(prefix.as_str())?, file)))
            .ok_or_else(|| Error::MissingTensor { name: name.to_owned(), expected: shape.to_vec() })
            .and_then(|(name, file)| self.engine.to_vec(&file.get(name, shape, kind)?));
        found.unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            vec![0.0; shape.iter().product()]
        })
    }

    /// Fails where a weight was missing or misshapen.
    pub(crate) fn finish(self) -> Result<(), PretrainError> {
        let Self { model: path, failed, .. } = self;
        failed.map_or(Ok(()), |source| Err(PretrainError::Earlier { path, source }))
    }
}
