//! Going on from an earlier LoRA with pictures that it has made (MuDI, iterative training).

use std::path::{Component, Path, PathBuf};

use candle_core::{Device, Tensor as Value};
use image::RgbImage;
use mudi_engine_candle::lora::LoraFile;
use mudi_engine_candle::weights::{NamedTensors, read_safetensors, to_safetensors};
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::dataset::Digests;
use crate::dataset::decode::decode;
use crate::files::write_atomically;

/// The list of the pictures that are learnt from, in their folder.
pub(crate) const KEPT_FILE: &str = "kept.jsonl";

/// What a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Further {
    /// The LoRA's file. It is added to the base's weights before the new one learns, and is part of what comes of it.
    pub lora: PathBuf,
    /// Folder of the pictures that are learnt from in place of photos and collages, with their list.
    pub pictures: PathBuf,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptPicture {
    /// The picture's name in the folder.
    pub(crate) file_name: String,
    /// What it was asked for with.
    pub(crate) text: String,
    /// How it was judged.
    pub(crate) score: f64,
}

/// A picture that is learnt from, as a whole.
#[derive(Debug)]
pub(super) struct OwnPicture {
    pub(super) path: PathBuf,
    pub(super) image: RgbImage,
    pub(super) caption: String,
    /// What the sampler made, `[h, w, C]` row by row. The autoencoder would lose something for the second time.
    pub(super) latent: Vec<f32>,
}

/// The name of the latents in their file.
const LATENT: &str = "latent";

/// The file of the latents of a picture that is in the file `picture`.
fn latent_file(picture: &Path) -> PathBuf {
    picture.with_extension("safetensors")
}

/// Writes the latents of a picture beside it.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write_latent(picture: &Path, latent: &[f32]) -> Result<(), TrainError> {
    let value = Value::new(latent, &Device::Cpu)?;
    let tensors = NamedTensors::from([(LATENT.to_owned(), value)]);
    let bytes = to_safetensors(&tensors, None).map_err(TrainError::Serialize)?;
    Ok(write_atomically(&latent_file(picture), &bytes)?)
}

/// Reads them.
fn read_latent(picture: &Path, digests: &mut Digests) -> Result<Vec<f32>, TrainError> {
    let path = latent_file(picture);
    let fault = |reason: String| TrainError::Read { path: path.clone(), reason };
    digests.add(&path.display().to_string(), &read(&path)?);
    let tensors = read_safetensors(&path)?;
    let value = tensors.get(LATENT).ok_or_else(|| fault(format!("it has no tensor `{LATENT}`")))?;
    let latent = value.to_vec1::<f32>().map_err(|error| fault(error.to_string()))?;
    if latent.iter().any(|value| !value.is_finite()) {
        return Err(fault("it has values that are no numbers".to_owned()));
    }
    Ok(latent)
}

fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    std::fs::read(path).map_err(|error| TrainError::Read { path: path.to_owned(), reason: error.to_string() })
}

impl Further {
    /// Reads the pictures, and notes what all files hold in `digests`.
    ///
    /// # Errors
    /// A file that cannot be read; a LoRA that nothing can be added to; a list that has no pictures, or names files outside of its folder.
    pub(super) fn load(&self, digests: &mut Digests) -> Result<Vec<OwnPicture>, TrainError> {
        let list = self.pictures.join(KEPT_FILE);
        let fault = |reason: String| TrainError::Read { path: list.clone(), reason };
        digests.add(&self.lora.display().to_string(), &read(&self.lora)?);
        // Not after hours of training.
        LoraFile::read(&self.lora)?.check_joinable()?;
        let bytes = read(&list)?;
        digests.add(&list.display().to_string(), &bytes);
        let text = String::from_utf8(bytes).map_err(|error| fault(error.to_string()))?;
        let mut pictures = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let kept: KeptPicture =
                serde_json::from_str(line).map_err(|error| fault(format!("line {}: {error}", at + 1)))?;
            let plain =
                Path::new(&kept.file_name).components().all(|part| matches!(part, Component::Normal(_)));
            if !plain {
                return Err(fault(format!("line {}: {:?} leaves the folder", at + 1, kept.file_name)));
            }
            let path = self.pictures.join(&kept.file_name);
            let bytes = read(&path)?;
            digests.add(&path.display().to_string(), &bytes);
            pictures.push(OwnPicture {
                image: decode(&path, &bytes)?.rgb(),
                caption: kept.text,
                latent: read_latent(&path, digests)?,
                path,
            });
        }
        if pictures.is_empty() {
            return Err(fault("it names no picture".to_owned()));
        }
        Ok(pictures)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    fn load(list: &str) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("0.png", 0.5), ("2.png", f32::NAN)] {
            RgbImage::new(4, 4).save(folder.path().join(name)).unwrap();
            write_latent(&folder.path().join(name), &[value; 4]).unwrap();
        }
        let value = |shape: [usize; 2]| Value::zeros(&shape, DType::F32, &Device::Cpu).unwrap();
        let tensors = [("a.lora_A.weight", value([2, 3])), ("a.lora_B.weight", value([4, 2]))];
        let tensors = tensors.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        std::fs::write(folder.path().join("lora"), to_safetensors(&tensors, None).unwrap()).unwrap();
        std::fs::write(folder.path().join(KEPT_FILE), list).unwrap();
        let further = Further { lora: folder.path().join("lora"), pictures: folder.path().to_owned() };
        let loaded = further.load(&mut Digests::default());
        loaded.map(|pictures| pictures.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_name_pictures_of_their_folder() {
        let line = r#"{"file_name": "0.png", "text": "both", "score": 0.5}"#;
        assert_eq!(load(&format!("{line}\n{line}\n")), Ok(2));
        assert!(load("").unwrap_err().contains("names no picture"));
        assert!(load(&line.replace("0.png", "../0.png")).unwrap_err().contains("leaves the folder"));
        assert!(load(&line.replace("0.png", "1.png")).unwrap_err().contains("1.png"));
        assert!(load(&line.replace("0.png", "2.png")).unwrap_err().contains("no numbers"));
        assert!(load(&format!("{line}\n{{\n")).unwrap_err().contains("line 2"));
    }
}
