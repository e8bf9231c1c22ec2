use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GrayImage, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use moxcms::ColorProfile;
use mudi_domain::geometry::Rect;
use proptest::prelude::*;
use tempfile::TempDir;

use super::decode::decode;
use super::*;

const HEADER: &str = r#"{"id": {"a": "olis corgi"}}"#;
const LINE: &str =
    r#"{"id": "a", "file_name": "a.png", "mask_path": "m.png", "text": "A photo of a olis corgi."}"#;

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// 40x30 pixels, each side of its own color: red above, green below; the left column is blue.
fn scene() -> RgbImage {
    RgbImage::from_fn(40, 30, |x, y| match (x, y) {
        (0..4, _) => Rgb([0, 0, 250]),
        (_, 0..15) => Rgb([250, 0, 0]),
        _ => Rgb([0, 250, 0]),
    })
}

fn rectangle(width: u32, height: u32, rect: Rect) -> DynamicImage {
    GrayImage::from_fn(width, height, |x, y| Luma([if rect.contains(x.into(), y.into()) { 255 } else { 0 }]))
        .into()
}

/// A folder with one photo; `change` may spoil it.
fn folder(change: impl FnOnce(&Path)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write(FILE_NAME, format!("{HEADER}\n{LINE}\n").as_bytes());
    write("a.png", &encoded(&scene().into(), ImageFormat::Png));
    write("m.png", &encoded(&rectangle(40, 30, Rect::new(10, 5, 12, 20)), ImageFormat::Png));
    change(dir.path());
    dir
}

fn fault(change: impl FnOnce(&Path)) -> DatasetError {
    let error = Dataset::load(folder(change).path()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("; "), "a message says what is wrong; and then what to do: {message}");
    error
}

fn jpeg_turned(image: &RgbImage, exif_orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([exif_orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(image).unwrap();
    bytes
}

#[test]
fn a_good_folder_loads() {
    let dir = folder(|_| ());
    let dataset = Dataset::load(dir.path()).unwrap();
    let data = &dataset.subjects[0];
    assert_eq!(data.subject.name(), "olis corgi");
    assert_eq!(data.photos[0].image, scene());
    assert_eq!(data.photos[0].caption, "A photo of a olis corgi.");
    let cutouts = dataset.cutouts().unwrap();
    assert_eq!(cutouts[data.subject.id()][0].image().dimensions(), (12, 20));
}

#[test]
fn every_fault_has_its_own_error() {
    use DatasetError as E;
    assert!(matches!(Dataset::load(Path::new("/no/such/folder")), Err(E::NoFolder { .. })));
    let remove = |name: &'static str| move |dir: &Path| fs::remove_file(dir.join(name)).unwrap();
    let write = |name: &'static str, bytes: &'static [u8]| {
        move |dir: &Path| fs::write(dir.join(name), bytes).unwrap()
    };
    assert!(matches!(fault(remove(FILE_NAME)), E::NoMetadata { .. }));
    assert!(matches!(fault(remove("a.png")), E::Missing { .. }));
    assert!(matches!(fault(remove("m.png")), E::Missing { .. }));
    assert!(matches!(fault(write("a.png", b"")), E::EmptyFile { .. }));
    assert!(matches!(fault(write(FILE_NAME, b"")), E::EmptyFile { .. }));
    assert!(matches!(
        fault(write(FILE_NAME, b"{\"id\": {\"a\": \"olis \xff\"}}")),
        E::NotUtf8 { offset: 19, .. }
    ));
    assert!(matches!(fault(write(FILE_NAME, b"nonsense")), E::Metadata { .. }));
    assert!(matches!(fault(write("a.png", b"GIF89a, perhaps")), E::Format { .. }));
    assert!(matches!(fault(write("m.png", b"plain text")), E::Format { kind: None, .. }));
    let as_folder = |dir: &Path| {
        fs::remove_file(dir.join("a.png")).unwrap();
        fs::create_dir(dir.join("a.png")).unwrap();
    };
    assert!(matches!(fault(as_folder), E::NotAFile { .. }));
    let unmasked = format!("{HEADER}\n{{\"id\": \"a\", \"file_name\": \"a.png\"}}");
    assert!(matches!(fault(|dir| fs::write(dir.join(FILE_NAME), unmasked).unwrap()), E::NoMask { .. }));
    let mask = |image: DynamicImage| {
        move |dir: &Path| fs::write(dir.join("m.png"), encoded(&image, ImageFormat::Png)).unwrap()
    };
    let ones = GrayImage::from_pixel(40, 30, Luma([1]));
    assert!(matches!(fault(mask(ones.into())), E::EmptyMask { peak: 1, .. }));
    let other = fault(mask(rectangle(30, 41, Rect::whole(9, 9))));
    assert!(matches!(other, E::MaskSize { mask_size: (30, 41), photo_size: (40, 30), .. }), "{other}");
    // Sides that are swapped are another size, too, where the photo is not turned.
    assert!(matches!(fault(mask(rectangle(30, 40, Rect::whole(9, 9)))), E::MaskSize { .. }));
}

#[test]
fn messages_name_the_file_the_fault_and_the_cure() {
    let error = fault(|dir| fs::remove_file(dir.join("m.png")).unwrap()).to_string();
    assert!(
        error.ends_with("m.png: there is no such file; add it, or mend its name in metadata.jsonl"),
        "{error}"
    );
    let mask = encoded(&rectangle(8, 9, Rect::whole(8, 9)), ImageFormat::Png);
    let error = fault(|dir| fs::write(dir.join("m.png"), mask).unwrap()).to_string();
    assert!(error.contains("m.png: the mask has 8x9 pixels but its photo"), "{error}");
    assert!(error.ends_with("a.png has 40x30; draw the mask at the photo's size"), "{error}");
}

#[test]
fn photos_stand_upright_and_masks_with_them() {
    // Turned a quarter clockwise (6), the blue left column becomes the upper rows.
    let upright_mask = rectangle(30, 40, Rect::new(0, 0, 30, 4));
    let stored_mask = rectangle(40, 30, Rect::new(0, 0, 4, 30));
    for mask in [upright_mask, stored_mask] {
        let dir = folder(|dir| {
            fs::write(dir.join("a.png"), jpeg_turned(&scene(), 6)).unwrap();
            fs::write(dir.join("m.png"), encoded(&mask, ImageFormat::Png)).unwrap();
        });
        let dataset = Dataset::load(dir.path()).unwrap();
        let photo = &dataset.subjects[0].photos[0];
        assert_eq!(photo.image.dimensions(), (30, 40));
        assert_eq!(photo.mask.bounding_box(), Some(Rect::new(0, 0, 30, 4)));
        let Rgb([r, g, b]) = *photo.image.get_pixel(15, 1);
        assert!(b > 200 && r < 60 && g < 60, "blue above: {r} {g} {b}");
        let Rgb([r, g, _]) = *photo.image.get_pixel(25, 30);
        assert!(r > 200 && g < 60, "the former upper half stands on the right: {r} {g}");
    }
}

#[test]
fn a_photo_without_a_swap_keeps_its_mask_as_it_is_drawn() {
    // Half a turn (3) leaves the size: the mask is taken as drawn on the upright photo.
    let dir = folder(|dir| fs::write(dir.join("a.png"), jpeg_turned(&scene(), 3)).unwrap());
    let photo = Dataset::load(dir.path()).unwrap().subjects.remove(0).photos.remove(0);
    assert_eq!(photo.mask.bounding_box(), Some(Rect::new(10, 5, 12, 20)));
    assert!(photo.image.get_pixel(38, 20)[2] > 200, "the blue column is on the right");
}

/// The sides of the blue column and of the red half, by EXIF's table.
#[test]
fn every_orientation_is_undone() {
    for (orientation, sides) in (1..).zip(["lt", "rt", "rb", "lb", "tl", "tr", "br", "bl"]) {
        let rgb = decode(Path::new("x"), &jpeg_turned(&scene(), orientation)).unwrap().rgb();
        let (w, h) = rgb.dimensions();
        for (side, part, channel) in [(&sides[..1], 16, 2), (&sides[1..], 4, 0)] {
            let (x, y) = match side {
                "l" => (w / part, h / 2),
                "r" => (w - 1 - w / part, h / 2),
                "t" => (w / 2, h / part),
                _ => (w / 2, h - 1 - h / part),
            };
            assert!(rgb.get_pixel(x, y)[channel] > 180, "{orientation} {side}: {:?}", rgb.get_pixel(x, y));
        }
    }
}

#[test]
fn every_kind_of_pixel_becomes_rgb() {
    let path = Path::new("x");
    let clear = RgbaImage::from_fn(2, 1, |x, _| Rgba([0, 0, 0, if x == 0 { 0 } else { 51 }]));
    let rgb = decode(path, &encoded(&clear.into(), ImageFormat::Png)).unwrap().rgb();
    assert_eq!(rgb.into_raw(), [255, 255, 255, 204, 204, 204]);
    let wide = image::ImageBuffer::from_pixel(1, 1, Luma([32896u16]));
    let bytes = encoded(&DynamicImage::ImageLuma16(wide), ImageFormat::Png);
    assert_eq!(decode(path, &bytes).unwrap().rgb().into_raw(), [128, 128, 128]);
    let gray = GrayImage::from_pixel(8, 8, Luma([77]));
    let rgb = decode(path, &encoded(&gray.into(), ImageFormat::Jpeg)).unwrap().rgb();
    assert!(rgb.iter().all(|&v| v.abs_diff(77) <= 1));
    // Inks of 0, 90, 90 and 4 percent, as printers' programs store them.
    for inks in [&include_bytes!("testdata/cmyk.jpg")[..], &include_bytes!("testdata/ycck.jpg")[..]] {
        let rgb = decode(path, inks).unwrap().rgb();
        assert!(rgb.pixels().all(|&Rgb([r, g, b])| r > 230 && g < 40 && b < 40));
    }
    let webp = encoded(&scene().into(), ImageFormat::WebP);
    assert_eq!(decode(path, &webp).unwrap().rgb(), scene());
}

/// A PNG whose numbers mean what the profile says.
fn meant(image: &DynamicImage, profile: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(profile).unwrap();
    image.write_with_encoder(encoder).unwrap();
    bytes
}

#[test]
fn colors_become_srgb_whatever_the_file_means_by_its_numbers() {
    let path = Path::new("x");
    let p3 = || ColorProfile::new_display_p3().encode().unwrap();
    let rgb = |bytes: &[u8]| decode(path, bytes).unwrap().rgb();
    let alike = |found: &RgbImage, color: [u8; 3]| {
        found
            .pixels()
            .all(|pixel| pixel.0.iter().zip(color).all(|(&found, wanted)| found.abs_diff(wanted) <= 2))
    };
    // As phones store them; what sRGB has not becomes the nearest that it has.
    for (stored, shown) in [
        ([255, 0, 0], [255, 0, 0]),
        ([234, 51, 35], [255, 0, 0]),
        ([200, 100, 100], [215, 93, 97]),
        ([128; 3], [128; 3]),
        ([0; 3], [0; 3]),
        ([255; 3], [255; 3]),
    ] {
        let image = RgbImage::from_pixel(16, 9, Rgb(stored));
        let found = rgb(&meant(&image.clone().into(), p3()));
        assert!(alike(&found, shown), "{stored:?}: {:?}", found.get_pixel(0, 0));
        let [r, g, b] = stored;
        let clear = RgbaImage::from_pixel(3, 2, Rgba([r, g, b, 255]));
        assert!(alike(&rgb(&meant(&clear.into(), p3())), shown), "{stored:?}");
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 100);
        encoder.set_icc_profile(p3()).unwrap();
        encoder.encode_image(&image).unwrap();
        let found = rgb(&jpeg);
        let near =
            found.get_pixel(8, 4).0.iter().zip(shown).all(|(&found, wanted)| found.abs_diff(wanted) <= 8);
        assert!(near, "{stored:?}: {:?}", found.get_pixel(8, 4));
    }
    let gray: DynamicImage = GrayImage::from_pixel(5, 4, Luma([128])).into();
    let bright = ColorProfile::new_gray_with_gamma(1.8).encode().unwrap();
    assert!(alike(&rgb(&meant(&gray, bright.clone())), [146; 3]));
    // sRGB, however it is written, stays to the bit; so does what nobody can read, and what a mask says.
    let scene = scene();
    let srgb = ColorProfile::new_srgb().encode().unwrap();
    for profile in [srgb, p3()[..140].to_vec(), b"no profile".to_vec()] {
        assert_eq!(rgb(&meant(&scene.clone().into(), profile)), scene);
    }
    let mask = decode(path, &meant(&gray, bright)).unwrap().upright();
    assert_eq!(mask.into_luma8().get_pixel(0, 0).0, [128]);
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    // A good PNG whose header claims 60000 x 60000 pixels.
    let mut bytes = encoded(&scene().into(), ImageFormat::Png);
    bytes[16..20].copy_from_slice(&60000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60000u32.to_be_bytes());
    let sum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    let error = decode(Path::new("bomb.png"), &bytes).unwrap_err();
    assert!(matches!(error, DatasetError::LargeImage { width: 60000, .. }), "{error}");
    assert!(error.to_string().ends_with("scale it down to 100 megapixels or fewer"), "{error}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |s, _| (s >> 1) ^ if s & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[test]
fn no_truncation_is_taken_for_a_photo() {
    let small = DynamicImage::from(imageops::resize(&scene(), 12, 9, FilterType::Triangle));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let bytes = encoded(&small, format);
        let whole = decode(Path::new("x"), &bytes).unwrap();
        for length in 0..bytes.len() {
            // What a PNG has behind its last pixel may be missing; nothing else may.
            if let Ok(decoded) = decode(Path::new("x"), &bytes[..length]) {
                assert_eq!(format, ImageFormat::Png, "{format:?} of {length} bytes");
                assert_eq!(decoded.stored, whole.stored, "{length} bytes");
            }
        }
    }
}

#[test]
fn a_huge_photo_is_scaled_down_with_its_mask() {
    let dir = folder(|dir| {
        let wide = RgbImage::from_pixel(4096, 16, Rgb([9, 9, 9]));
        fs::write(dir.join("a.png"), encoded(&wide.into(), ImageFormat::Png)).unwrap();
        let mask = rectangle(4096, 16, Rect::new(0, 0, 200, 8));
        fs::write(dir.join("m.png"), encoded(&mask, ImageFormat::Png)).unwrap();
    });
    let photo = Dataset::load(dir.path()).unwrap().subjects.remove(0).photos.remove(0);
    assert_eq!(photo.image.dimensions(), (2048, 8));
    assert_eq!(photo.mask.bounding_box(), Some(Rect::new(0, 0, 100, 4)));
}

fn photo(width: u32, height: u32, subject: Rect) -> Photo {
    let image = RgbImage::from_pixel(width, height, Rgb([0, 0, 0]));
    let mask = Mask::from_image(&rectangle(width, height, subject));
    Photo { path: PathBuf::from("a.png"), image, mask, caption: String::new() }
}

#[test]
fn a_square_goes_to_its_subject() {
    let square = photo(100, 50, Rect::new(80, 10, 10, 10)).square(50);
    assert_eq!(square.mask.bounding_box(), Some(Rect::new(30, 10, 10, 10)), "clamped to the right edge");
    let square = photo(100, 50, Rect::new(45, 10, 10, 10)).square(50);
    assert_eq!(square.mask.bounding_box(), Some(Rect::new(20, 10, 10, 10)), "in the middle");
    assert_eq!(square.photo, None, "all of it is photo");
    let square = photo(100, 50, Rect::new(10, 0, 80, 50)).square(80);
    assert_eq!(square.mask.bounding_box(), Some(Rect::new(0, 15, 80, 50)), "padded, and whole");
    assert_eq!(square.image.get_pixel(40, 5).0, [255; 3]);
    assert_eq!(square.image.get_pixel(40, 40).0, [0; 3]);
    let photo = square.photo.expect("bars above and below").bounding_box();
    assert_eq!(photo, Some(Rect::new(0, 15, 80, 50)), "which are not the photo's");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_square_holds_the_whole_subject(
        w in 1u32..60, h in 1u32..60, fx in 0.0..1.0, fy in 0.0..1.0, fw in 0.0..1.0, fh in 0.0..1.0,
    ) {
        let part = |length: u32, at: f64, share: f64| {
            let start = (f64::from(length - 1) * at) as u32;
            (start, 1 + (f64::from(length - start - 1) * share) as u32)
        };
        let ((x, width), (y, height)) = (part(w, fx, fw), part(h, fy, fh));
        let photo = photo(w, h, Rect::new(x as i32, y as i32, width, height));
        let side = w.min(h).max(width).max(height);
        let found = photo.square(side).mask.bounding_box().unwrap();
        prop_assert_eq!((found.width, found.height), (width, height));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..4) {
        let heads: [&[u8]; 4] =
            [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0", b"RIFF\x40\0\0\0WEBPVP8L"];
        let all: Vec<u8> = heads[kind].iter().copied().chain(bytes).collect();
        drop(decode(Path::new("x"), &all));
    }

    #[test]
    fn no_damage_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), kind in 0usize..3) {
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP][kind];
        let small = DynamicImage::from(imageops::resize(&scene(), 12, 9, FilterType::Triangle));
        let mut bytes = encoded(&small, format);
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        drop(decode(Path::new("x"), &bytes));
    }

    #[test]
    fn no_damaged_profile_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9), gray in any::<bool>()) {
        let whole = if gray { ColorProfile::new_gray_with_gamma(1.8) } else { ColorProfile::new_display_p3() };
        let mut profile = whole.encode().unwrap();
        for (index, value) in flips {
            let at = index.index(profile.len());
            profile[at] = value;
        }
        let decoded = decode(Path::new("x"), &meant(&scene().into(), profile)).unwrap();
        prop_assert_eq!(decoded.rgb().dimensions(), (40, 30));
    }
}

#[test]
fn a_mask_that_an_earlier_version_made_is_found() {
    let without = |path: &Path, lines: &str| {
        fs::write(path.join(FILE_NAME), lines).unwrap();
        let masks = path.join(AUTOMATIC_MASKS);
        fs::create_dir(&masks).unwrap();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(fs::read(path.join("a.png")).unwrap());
        let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        fs::rename(path.join("m.png"), masks.join(format!("a-{digest}.png"))).unwrap();
    };
    let line = |id: &str| format!(r#"{{"id": "{id}", "file_name": "a.png", "text": "A photo."}}"#);
    let found = Dataset::load(folder(|path| without(path, &format!("{HEADER}\n{}\n", line("a")))).path());
    assert_eq!(found.unwrap().subjects[0].photos.len(), 1);
    // Of a photo of two nobody knows whose it is.
    let both = r#"{"id": {"a": "olis corgi", "b": "hta cat"}}"#;
    let fault = fault(|path| without(path, &format!("{both}\n{}\n{}\n", line("a"), line("b"))));
    assert!(matches!(fault, DatasetError::NoMask { .. }), "{fault}");
}
