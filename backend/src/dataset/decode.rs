//! Image files to pixels: JPEG, PNG and WebP, from bytes that nobody vouches for.

use std::io::Cursor;
use std::path::Path;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage};

use super::color;
use super::error::DatasetError;

/// The most pixels that an image may have.
pub const MAX_PIXELS: u64 = 100_000_000;
/// The largest image file, in bytes.
pub const MAX_BYTES: u64 = 256 << 20;
/// What a decoder may allocate, in bytes: the largest image at eight bytes a pixel (16 bit, with alpha).
const MAX_ALLOCATION: u64 = 8 * MAX_PIXELS + (64 << 20);

/// An image as its file stores it.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The stored pixels.
    pub stored: DynamicImage,
    /// How they are to be turned or mirrored to be upright (EXIF).
    pub orientation: Orientation,
    /// What their numbers mean (ICC), where the file says so. It concerns the colors of photos: a mask's numbers are what they are.
    pub profile: Option<Vec<u8>>,
}

impl Decoded {
    /// Width and height of the stored pixels.
    #[must_use]
    pub fn stored_size(&self) -> (u32, u32) {
        (self.stored.width(), self.stored.height())
    }

    /// Width and height of the upright image.
    #[must_use]
    pub fn upright_size(&self) -> (u32, u32) {
        let (width, height) = self.stored_size();
        match self.orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
            _ => (width, height),
        }
    }

    /// The upright image. (A copy may take some hundred megabytes, so none is made.)
    #[must_use]
    pub fn upright(mut self) -> DynamicImage {
        self.stored.apply_orientation(self.orientation);
        self.stored
    }

    /// The upright image in sRGB, 8 bit a channel, over white where it is transparent.
    #[must_use]
    pub fn rgb(mut self) -> RgbImage {
        let profile = self.profile.take();
        let to_srgb = |pixels: &mut [u8], channels| {
            if let Some(profile) = &profile {
                color::to_srgb(pixels, channels, profile);
            }
        };
        let upright = self.upright();
        if !upright.color().has_alpha() {
            let mut rgb = upright.into_rgb8();
            to_srgb(&mut rgb, 3);
            return rgb;
        }
        let mut rgba = upright.into_rgba8();
        to_srgb(&mut rgba, 4);
        RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
            let [r, g, b, alpha] = rgba.get_pixel(x, y).0.map(u32::from);
            Rgb([r, g, b].map(|channel| ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
        })
    }
}

/// Decodes the image in `bytes`; `file` is what an error calls it. The kind is told from the bytes, not the name.
///
/// Size and memory are checked against the header, before any pixel is allocated.
///
/// # Errors
/// Where the bytes are no JPEG, PNG or WebP image, break off, are damaged, or hold more than [`MAX_PIXELS`].
pub fn decode(file: &Path, bytes: &[u8]) -> Result<Decoded, DatasetError> {
    let truncated = || DatasetError::Truncated { file: file.to_owned() };
    let fail = |error: ImageError| match error {
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => truncated(),
        error => {
            let fault: String = error.to_string().chars().take(300).collect();
            DatasetError::Decode { file: file.to_owned(), fault }
        }
    };
    if bytes.is_empty() {
        return Err(DatasetError::EmptyFile { file: file.to_owned() });
    }
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        _ => return Err(DatasetError::Format { file: file.to_owned(), kind: other_kind(bytes) }),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fail)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_ALLOCATION {
        return Err(DatasetError::LargeImage { file: file.to_owned(), width, height });
    }
    // These two decoders fill what is missing with gray or black and say nothing.
    let whole = match format {
        ImageFormat::Jpeg => jpeg_is_whole(bytes),
        ImageFormat::WebP => webp_is_whole(bytes),
        _ => true,
    };
    if !whole {
        return Err(truncated());
    }
    // A damaged block of the camera's notes must not cost the photo.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or(None);
    let stored = DynamicImage::from_decoder(decoder).map_err(fail)?;
    Ok(Decoded { stored, orientation, profile })
}

/// The kind of a file of pictures that is not read, by what it starts with.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    // Boxes of the family of MP4: a length, `ftyp`, and the brand.
    if let Some([b'f', b't', b'y', b'p', brand @ ..]) = bytes.get(4..12) {
        return Some(match brand {
            b"avif" | b"avis" => "AVIF",
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => "HEIC",
            b"crx " => "raw photo (CR3)",
            _ => "video (MP4)",
        });
    }
    let kinds: [(&[u8], &str); 8] = [
        (b"GIF8", "GIF"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF or raw photo"),
        (b"MM\0*", "TIFF or raw photo"),
        (b"8BPS", "PSD"),
        (b"%PDF", "PDF"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
    ];
    kinds.into_iter().find_map(|(start, kind)| bytes.starts_with(start).then_some(kind))
}

/// Whether a JPEG's segments lead to its end marker. (A thumbnail's end marker, inside a segment, does not count.)
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    // Behind the start marker.
    let mut at = 2;
    // A byte 0xff begins a marker; 0xff00 is data, 0xffd0 to 0xffd7 mark restarts within it.
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
        at += found + 1;
        match bytes.get(at) {
            Some(0xd9) => return true,
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            // Fill bytes: the next one is looked at as the marker's first.
            Some(0xff) => {}
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
            None => return false,
        }
    }
    false
}

/// Whether a WebP file is as long as its header says.
fn webp_is_whole(bytes: &[u8]) -> bool {
    match bytes.get(4..8) {
        Some(&[a, b, c, d]) => bytes.len() as u64 >= u64::from(u32::from_le_bytes([a, b, c, d])) + 8,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_and_other_programs_own_kinds_are_called_by_their_names() {
        for (bytes, words) in [
            (&b"\0\0\0\x24ftypheic\0\0\0\0mif1heic"[..], &["HEIC", "iPhones", "as JPEG"][..]),
            (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", &["AVIF", "convert"]),
            (b"\0\0\0\x20ftypisom\0\0\0\0isommp41", &["MP4", "convert"]),
            (b"BM\x36\0\0\0", &["BMP"]),
            (b"MM\0*\0\0\0\x08", &["TIFF"]),
            (b"\xff\x0a\0\0", &["JPEG XL"]),
        ] {
            let error = decode(Path::new("a.jpg"), bytes).unwrap_err().to_string();
            let found = words
                .iter()
                .chain(&["a.jpg", "not a JPEG, PNG or WebP image; "])
                .all(|word| error.contains(word));
            assert!(found, "{error}");
        }
    }
}
