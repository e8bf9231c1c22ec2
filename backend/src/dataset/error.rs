//! What can be wrong with a data set.

use std::path::PathBuf;

use mudi_domain::cutout::CutoutError;
use mudi_domain::metadata::MetadataError;

use super::decode::MAX_PIXELS;
use crate::files::WriteError;
use crate::segment::AutomaticError;

/// Why a data set could not be read. Every message names the file, the fault and the cure.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The folder does not exist, or is a file.
    #[error("{}: there is no such folder; name the one that holds metadata.jsonl", path.display())]
    NoFolder {
        /// The folder as it was asked for.
        path: PathBuf,
    },
    /// The folder has no text that says whose its photos are.
    #[error(
        "{}: there is no metadata.jsonl in this folder, which says whose its photos are; write one whose first line names the subjects, \
         such as {{\"id\": {{\"a\": \"olis Weimaraner\", \"b\": \"hta tabby cat\"}}}}, and each further line a photo",
        folder.display()
    )]
    NoMetadata {
        /// The folder.
        folder: PathBuf,
    },
    /// A file does not exist.
    #[error("{}: there is no such file; add it, or mend its name in metadata.jsonl", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// What should be a file is a folder, a pipe or a device.
    #[error("{}: this is not a file; name a file here", file.display())]
    NotAFile {
        /// What was found.
        file: PathBuf,
    },
    /// A file cannot be read, for want of permission for example.
    #[error("{}: the file cannot be read ({source}); check its permissions and the disk", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file has no bytes.
    #[error("{}: the file is empty; copy it again", file.display())]
    EmptyFile {
        /// The file.
        file: PathBuf,
    },
    /// A file has more bytes than any sensible one.
    #[error("{}: the file has {bytes} bytes; make it smaller than {most}", file.display())]
    LargeFile {
        /// The file.
        file: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The largest size in bytes.
        most: u64,
    },
    /// A text is not UTF-8.
    #[error("{}: byte {offset} is not UTF-8; save the file as UTF-8 text", file.display())]
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// The first bad byte, counted from 0.
        offset: usize,
    },
    /// The text says something wrong.
    #[error("{}: {source}", folder.display())]
    Metadata {
        /// The folder.
        folder: PathBuf,
        /// Line, fault and cure.
        source: MetadataError,
    },
    /// A file is no image of a kind that is read.
    #[error("{}: {}", file.display(), other_format(*kind))]
    Format {
        /// The file.
        file: PathBuf,
        /// The kind that it is, where it is known.
        kind: Option<&'static str>,
    },
    /// An image has too many pixels.
    #[error(
        "{}: the image has {width}x{height} pixels; scale it down to {} megapixels or fewer",
        file.display(), MAX_PIXELS / 1_000_000
    )]
    LargeImage {
        /// The file.
        file: PathBuf,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// An image ends before its last pixel.
    #[error("{}: the image breaks off before its end; copy it again from its source", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
    },
    /// An image is damaged, or of a rare kind.
    #[error("{}: the image cannot be decoded ({fault}); save it again as PNG or JPEG", file.display())]
    Decode {
        /// The file.
        file: PathBuf,
        /// What the decoder says.
        fault: String,
    },
    /// A photo has no mask.
    #[error(
        "{}: the photo has no mask; make one with `mudi segment`, or draw one, and name it as `mask_path` on the photo's line",
        photo.display()
    )]
    NoMask {
        /// The photo.
        photo: PathBuf,
    },
    /// No mask could be made.
    #[error(transparent)]
    Automatic(Box<AutomaticError>),
    /// A mask that was made cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A mask is of another size than its photo.
    #[error(
        "{}: the mask has {}x{} pixels but its photo {} has {}x{}; draw the mask at the photo's size",
        mask.display(), mask_size.0, mask_size.1, photo.display(), photo_size.0, photo_size.1
    )]
    MaskSize {
        /// The mask.
        mask: PathBuf,
        /// Its width and height in pixels.
        mask_size: (u32, u32),
        /// The photo.
        photo: PathBuf,
        /// The upright photo's width and height in pixels.
        photo_size: (u32, u32),
    },
    /// A mask covers nothing.
    #[error("{}: the mask covers nothing (its brightest pixel is {peak} of 255); paint the subject white", mask.display())]
    EmptyMask {
        /// The mask.
        mask: PathBuf,
        /// Its brightest pixel, 0..=255.
        peak: u8,
    },
    /// A mask covers so little that nothing is left of it at the size at which photos are kept.
    #[error(
        "{}: the mask covers nothing once its photo is {side} pixels long; crop the photo around the subject",
        mask.display()
    )]
    TinyMask {
        /// The mask.
        mask: PathBuf,
        /// The longest side in pixels.
        side: u32,
    },
    /// A photo of a data set in memory makes no cutout.
    #[error("{}: {source}", photo.display())]
    Cutout {
        /// The photo.
        photo: PathBuf,
        /// Fault and cure.
        source: CutoutError,
    },
}

/// What to do with a file of a kind that is not read.
fn other_format(kind: Option<&str>) -> String {
    const WANTED: &str = "not a JPEG, PNG or WebP image";
    match kind {
        // What phones take; nothing else needs more than a program for pictures.
        Some("HEIC") => format!(
            "this is a HEIC photo, as iPhones take, and {WANTED}; export it as JPEG, or have the phone take JPEG (Settings, Camera, \
             Formats, Most Compatible)"
        ),
        Some(kind) => format!("this is a file of the kind {kind}, and {WANTED}; convert it to one of them"),
        None => format!("this is {WANTED}; convert it to one of them"),
    }
}
