//! Masks of photos that have none: made when they are first needed, and kept beside the photos, where they can be looked at and
//! mended.

use std::io::Cursor;
use std::path::Path;

use image::ImageFormat;
use sha2::{Digest, Sha256};

use super::decode::Decoded;
use super::error::DatasetError;
use crate::digest::hex;
use crate::files::{WriteError, create_folder, write_atomically};
use crate::segment::{AutoSegmenter, AutomaticError, Networks, THRESHOLD};

/// The folder, in that of the data set, of masks that were made automatically. A file there that is mended is used as it is,
/// one that is removed is made anew.
pub const AUTOMATIC_MASKS: &str = "automatic_masks";

/// How many bytes of a photo's name are left in that of its mask: with the digest, and the end that it has while it is written, it is a name
/// that file systems take.
const LONGEST_STEM: usize = 228;

/// What makes masks: its networks are loaded when the first photo without a mask is met.
pub struct Masker<'a> {
    networks: Networks,
    loaded: Option<AutoSegmenter>,
    /// Hears of each mask that is made, in a sentence.
    tell: &'a mut dyn FnMut(&str),
}

impl<'a> Masker<'a> {
    /// A masker with those networks; `tell` hears of each mask.
    pub fn new(networks: Networks, tell: &'a mut dyn FnMut(&str)) -> Self {
        Self { networks, loaded: None, tell }
    }

    fn segmenter(&mut self) -> Result<&AutoSegmenter, AutomaticError> {
        let loaded = match self.loaded.take() {
            Some(loaded) => loaded,
            None => AutoSegmenter::load(&self.networks, THRESHOLD)?,
        };
        Ok(self.loaded.insert(loaded))
    }
}

/// The name, in the folder `dir`, of the mask of a photo that has none: an earlier one, or where there is a masker a new one. `is_only` where
/// the photo is of one subject only.
pub(super) fn file_of(
    dir: &Path,
    path: &Path,
    bytes: &[u8],
    photo: &Decoded,
    class: &str,
    is_only: bool,
    masker: Option<&mut Masker<'_>>,
) -> Result<String, DatasetError> {
    // With what the photo holds and who is looked for, so that another photo of that name gets another mask, and so does another class.
    let named = |digest: &[u8]| {
        let digest = hex(&digest[..4]);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let stem = &stem[..stem.floor_char_boundary(LONGEST_STEM)];
        format!("{AUTOMATIC_MASKS}/{stem}-{digest}.png")
    };
    let name = named(&Sha256::new().chain_update(bytes).chain_update(class).finalize());
    let file = dir.join(&name);
    if file.is_file() {
        return Ok(name);
    }
    // Earlier versions named masks by what the photo holds alone; somebody may have mended them since, or run with them.
    let earlier = named(&Sha256::digest(bytes));
    if is_only && dir.join(&earlier).is_file() {
        return Ok(earlier);
    }
    let Some(masker) = masker else { return Err(DatasetError::NoMask { photo: path.to_owned() }) };
    let made = masker
        .segmenter()
        .and_then(|segmenter| segmenter.mask(path, &photo.clone().rgb(), class))
        .map_err(|error| DatasetError::Automatic(Box::new(error)))?;
    let mut png = Cursor::new(Vec::new());
    made.mask.as_gray().write_to(&mut png, ImageFormat::Png).map_err(|error| {
        DatasetError::Write(WriteError { path: file.clone(), source: std::io::Error::other(error) })
    })?;
    create_folder(&dir.join(AUTOMATIC_MASKS))?;
    write_atomically(&file, &png.into_inner())?;
    (masker.tell)(&format!("{}: mask made from `{class}`, found at {}", path.display(), made.found));
    Ok(name)
}
