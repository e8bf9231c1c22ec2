//! Data sets: a folder of photos, their masks, and the `metadata.jsonl` that says whose they are.
//!
//! The format of the text is in [`mudi_domain::metadata`]. Photos and masks are JPEG, PNG or WebP files of any size;
//! everything that a file can have wrong is a variant of [`DatasetError`] that names the file, the fault and the cure.

mod automatic;
mod color;
pub mod decode;
mod digest;
mod error;
mod photo;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use indexmap::IndexMap;
use mudi_domain::cutout::Cutout;
use mudi_domain::mask::Mask;
use mudi_domain::metadata::{FILE_NAME, Metadata, PhotoEntry};
use mudi_domain::subject::{Subject, SubjectId};

pub use automatic::{AUTOMATIC_MASKS, Masker};
use decode::Decoded;
pub use digest::Digests;
pub use error::DatasetError;
pub use photo::{Framed, Photo};

use crate::files::check_folder;

/// Photos with a longer side, in pixels, are scaled down to it when they are read, and their masks with them.
///
/// No training image is larger, and a folder of phone photos stays within a few hundred megabytes.
pub const LONGEST_SIDE: u32 = 2048;
/// The largest `metadata.jsonl`, in bytes.
const MAX_TEXT: u64 = 16 << 20;

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder that it was read from.
    pub folder: PathBuf,
    /// The subjects, in the order of the metadata. Each has at least one photo.
    pub subjects: Vec<SubjectData>,
    /// What its files hold: the text, the photos and the masks.
    pub digests: Digests,
}

/// A subject and its photos.
#[derive(Debug, Clone)]
pub struct SubjectData {
    /// Its id and name.
    pub subject: Subject,
    /// Its photos, in the order of the metadata.
    pub photos: Vec<Photo>,
}

impl Dataset {
    /// Reads the folder `dir`. Photos for which the text names no mask have those that were made for them earlier.
    ///
    /// # Errors
    /// The first thing that is wrong with the folder, its text or one of its files.
    pub fn load(dir: &Path) -> Result<Self, DatasetError> {
        Self::load_with(dir, None)
    }

    /// Reads the folder `dir`; `masker` makes the masks of photos that have none, which are kept in
    /// [`AUTOMATIC_MASKS`].
    ///
    /// # Errors
    /// The first thing that is wrong with the folder, its text or one of its files; a photo for which no mask can be made.
    pub fn load_masking(dir: &Path, masker: &mut Masker<'_>) -> Result<Self, DatasetError> {
        Self::load_with(dir, Some(masker))
    }

    fn load_with(dir: &Path, mut masker: Option<&mut Masker<'_>>) -> Result<Self, DatasetError> {
        let mut digests = Digests::default();
        let metadata = read_metadata(dir, &mut digests)?;
        let mut load = |subject: &Subject, entry: &PhotoEntry, masker: Option<&mut Masker<'_>>| {
            let same = metadata.photos.iter().filter(|other| other.file_name == entry.file_name);
            load_photo(dir, entry, subject, same.count() == 1, masker, &mut digests)
        };
        let mut found = Vec::new();
        for subject in metadata.subjects.values() {
            let mut photos = Vec::new();
            for entry in metadata.photos_of(subject.id()) {
                let photo = match load(subject, entry, None) {
                    Err(DatasetError::NoMask { .. }) if masker.is_some() => None,
                    loaded => Some(loaded?),
                };
                photos.push((entry, photo));
            }
            found.push((subject, photos));
        }
        // Masks take long: they are made once nothing else is wrong with the folder, and there is a place for them.
        if found.iter().any(|(_, photos)| photos.iter().any(|(_, photo)| photo.is_none())) {
            check_folder(&dir.join(AUTOMATIC_MASKS))?;
        }
        let mut subjects = Vec::new();
        for (subject, photos) in found {
            let mut masked = Vec::new();
            for (entry, photo) in photos {
                masked.push(match photo {
                    Some(photo) => photo,
                    None => load(subject, entry, masker.as_deref_mut())?,
                });
            }
            subjects.push(SubjectData { subject: subject.clone(), photos: masked });
        }
        Ok(Self { folder: dir.to_owned(), subjects, digests })
    }

    /// Every photo's cutout, by subject, in the order of the photos.
    ///
    /// # Errors
    /// Where a mask has been emptied or resized since the data set was read.
    pub fn cutouts(&self) -> Result<IndexMap<SubjectId, Vec<Cutout>>, DatasetError> {
        self.cutouts_where(|_| true)
    }

    /// The same of the subjects that `prompt` names, which a random layout for it shall place; of all where it names none.
    ///
    /// # Errors
    /// As [`Self::cutouts`].
    pub fn cutouts_for(&self, prompt: &str) -> Result<IndexMap<SubjectId, Vec<Cutout>>, DatasetError> {
        let is_named = |data: &SubjectData| data.subject.is_named_in(prompt);
        let names_none = !self.subjects.iter().any(is_named);
        self.cutouts_where(|data| names_none || is_named(data))
    }

    fn cutouts_where(
        &self,
        is_wanted: impl Fn(&SubjectData) -> bool,
    ) -> Result<IndexMap<SubjectId, Vec<Cutout>>, DatasetError> {
        let wanted = self.subjects.iter().filter(|data| is_wanted(data));
        wanted
            .map(|data| {
                let cutouts = data.photos.iter().map(Photo::cutout).collect::<Result<Vec<_>, _>>()?;
                Ok((data.subject.id().clone(), cutouts))
            })
            .collect()
    }
}

/// The subjects of the folder `dir`, by its text alone.
///
/// # Errors
/// The first thing that is wrong with the folder or its text.
pub fn subjects(dir: &Path) -> Result<Vec<Subject>, DatasetError> {
    let metadata = read_metadata(dir, &mut Digests::default())?;
    Ok(metadata.subjects.into_values().collect())
}

/// Reads and parses the folder's text.
fn read_metadata(dir: &Path, digests: &mut Digests) -> Result<Metadata, DatasetError> {
    if !dir.is_dir() {
        return Err(DatasetError::NoFolder { path: dir.to_owned() });
    }
    let file = dir.join(FILE_NAME);
    let bytes = read(&file, MAX_TEXT).map_err(|error| match error {
        DatasetError::Missing { .. } => DatasetError::NoMetadata { folder: dir.to_owned() },
        error => error,
    })?;
    digests.add(FILE_NAME, &bytes);
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| DatasetError::NotUtf8 { file: file.clone(), offset: error.valid_up_to() })?;
    Metadata::parse(text).map_err(|source| DatasetError::Metadata { folder: dir.to_owned(), source })
}

/// The bytes of `file`, of which there are between 1 and `most`.
fn read(file: &Path, most: u64) -> Result<Vec<u8>, DatasetError> {
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => DatasetError::Missing { file: file.to_owned() },
        _ => DatasetError::Read { file: file.to_owned(), source },
    };
    let found = fs::metadata(file).map_err(fail)?;
    // Opening a pipe or a device could wait for ever.
    if !found.is_file() {
        return Err(DatasetError::NotAFile { file: file.to_owned() });
    }
    if found.len() > most {
        return Err(DatasetError::LargeFile { file: file.to_owned(), bytes: found.len(), most });
    }
    let bytes = fs::read(file).map_err(fail)?;
    if bytes.is_empty() {
        return Err(DatasetError::EmptyFile { file: file.to_owned() });
    }
    Ok(bytes)
}

/// Reads one image file.
///
/// # Errors
/// What [`decode::decode`] says; a file that is missing, empty or too large.
pub fn read_image(file: &Path) -> Result<Decoded, DatasetError> {
    decode::decode(file, &read(file, decode::MAX_BYTES)?)
}

/// Reads the photo and the mask of one line; `is_only` where no other line is of the same photo.
fn load_photo(
    dir: &Path,
    entry: &PhotoEntry,
    subject: &Subject,
    is_only: bool,
    masker: Option<&mut Masker<'_>>,
    digests: &mut Digests,
) -> Result<Photo, DatasetError> {
    let path = dir.join(&entry.file_name);
    let bytes = read(&path, decode::MAX_BYTES)?;
    digests.add(&entry.file_name, &bytes);
    let photo = decode::decode(&path, &bytes)?;
    let name = match &entry.mask_path {
        Some(name) => name.clone(),
        None => automatic::file_of(dir, &path, &bytes, &photo, subject.class(), is_only, masker)?,
    };
    let mask_file = dir.join(&name);
    let bytes = read(&mask_file, decode::MAX_BYTES)?;
    digests.add(&name, &bytes);
    let drawn = decode::decode(&mask_file, &bytes)?;
    let mask = fit_mask(&photo, drawn, &path, &mask_file)?;
    if mask.is_empty() {
        return Err(DatasetError::EmptyMask { mask: mask_file, peak: mask.peak() });
    }
    let (image, mask) = shrink(photo.rgb(), mask);
    if mask.is_empty() {
        // A speck of some pixels in a huge photo: nothing is left of it at the size that training sees.
        return Err(DatasetError::TinyMask { mask: mask_file, side: LONGEST_SIDE });
    }
    Ok(Photo { path, image, mask, caption: entry.text.clone() })
}

/// The mask as it lies on the upright photo.
///
/// Masks are usually drawn on the photo as it is shown, so a mask of that size is taken as it is. One that has the
/// size of the stored pixels, where turning the photo swaps its sides, was drawn on those, and is turned with them.
fn fit_mask(photo: &Decoded, drawn: Decoded, path: &Path, mask_file: &Path) -> Result<Mask, DatasetError> {
    let upright = drawn.upright();
    let found = (upright.width(), upright.height());
    if found == photo.upright_size() {
        return Ok(Mask::from_image(&upright));
    }
    if found == photo.stored_size() {
        let mut turned = upright;
        turned.apply_orientation(photo.orientation);
        return Ok(Mask::from_image(&turned));
    }
    Err(DatasetError::MaskSize {
        mask: mask_file.to_owned(),
        mask_size: found,
        photo: path.to_owned(),
        photo_size: photo.upright_size(),
    })
}

/// Width and height that are left of a photo's at [`LONGEST_SIDE`]; none where it is no longer than that.
fn shrunk((width, height): (u32, u32)) -> Option<(u32, u32)> {
    let longest = width.max(height);
    let scale = f64::from(LONGEST_SIDE) / f64::from(longest);
    let to = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    (longest > LONGEST_SIDE).then(|| (to(width), to(height)))
}

/// Whether [`Photo::mask`] would cover something of the mask of a whole photo.
pub(crate) fn covers_something(mask: &Mask) -> bool {
    let left = shrunk((mask.width(), mask.height())).map(|(width, height)| mask.resize(width, height));
    !mask.is_empty() && left.is_none_or(|left| !left.is_empty())
}

/// Scales photo and mask down to [`LONGEST_SIDE`].
fn shrink(image: image::RgbImage, mask: Mask) -> (image::RgbImage, Mask) {
    let Some((width, height)) = shrunk(image.dimensions()) else { return (image, mask) };
    (imageops::resize(&image, width, height, FilterType::CatmullRom), mask.resize(width, height))
}
