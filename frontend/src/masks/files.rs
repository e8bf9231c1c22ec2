//! Photos and masks as files. The browser packs and unpacks them, aside of the page: nothing stands still meanwhile, and no
//! decoder has to be downloaded.

use image::{GrayImage, RgbImage};
use js_sys::{Array, Function, Reflect, Uint8Array};
use mudi_domain::geometry::Rect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, ColorSpaceConversion, ImageBitmap, ImageBitmapOptions, PremultiplyAlpha, ReadableWritablePair,
    Response,
};

use super::photo::pixels;
use crate::api::ApiError;
use crate::browser;

fn unreadable(_: JsValue) -> ApiError {
    ApiError::Unreadable("the browser cannot read this image".to_owned())
}

/// An image whose pixels are the file's numbers: no profile changes them.
async fn decode(file: &Blob) -> Result<ImageBitmap, JsValue> {
    let options = ImageBitmapOptions::new();
    options.set_color_space_conversion(ColorSpaceConversion::None);
    options.set_premultiply_alpha(PremultiplyAlpha::None);
    let promise = browser::window().create_image_bitmap_with_blob_and_image_bitmap_options(file, &options)?;
    JsFuture::from(promise).await?.dyn_into()
}

/// The mask in a file of the server, which is gray.
pub(crate) async fn decode_mask(file: &Blob) -> Result<GrayImage, ApiError> {
    let bitmap = decode(file).await.map_err(unreadable)?;
    let (width, height) = (bitmap.width(), bitmap.height());
    let coverage = pixels::<1>(&bitmap, Rect::whole(width, height));
    bitmap.close();
    let mask = GrayImage::from_raw(width, height, coverage.map_err(unreadable)?);
    mask.ok_or_else(|| unreadable(JsValue::NULL))
}

/// What lies in `area` of the photo, of that size, in a file of the server.
pub(crate) async fn decode_photo(file: &Blob, size: (u32, u32), area: Rect) -> Result<RgbImage, ApiError> {
    let bitmap = decode(file).await.map_err(unreadable)?;
    let fits = (bitmap.width(), bitmap.height()) == size;
    let colours = pixels::<3>(&bitmap, area);
    bitmap.close();
    let photo = RgbImage::from_raw(area.width, area.height, colours.map_err(unreadable)?);
    photo.filter(|_| fits).ok_or_else(|| unreadable(JsValue::NULL))
}

/// A mask as a PNG file.
pub(super) async fn encode_mask(mask: &GrayImage) -> Result<Vec<u8>, ApiError> {
    let fault = |_| ApiError::Unreadable("this browser cannot pack a mask; a newer one can".to_owned());
    let packed = packed(mask).await.map_err(fault)?;
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [mask.width().to_be_bytes(), mask.height().to_be_bytes()].concat();
    // 8 bits, gray, packed by deflate, filters of the standard, not interlaced.
    header.extend([8, 0, 0, 0, 0]);
    for (name, data) in [(b"IHDR", &header), (b"IDAT", &packed), (b"IEND", &Vec::new())] {
        file.extend((data.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(name);
        file.extend(data);
        let check = crc(&file[start..]);
        file.extend(check.to_be_bytes());
    }
    Ok(file)
}

/// The rows, each behind a zero (no filter), packed as zlib does.
async fn packed(mask: &GrayImage) -> Result<Vec<u8>, JsValue> {
    let width = mask.width().max(1) as usize;
    let mut rows = Vec::with_capacity(mask.as_raw().len() + mask.height() as usize);
    for row in mask.as_raw().chunks_exact(width) {
        rows.push(0);
        rows.extend_from_slice(row);
    }
    let blob = Blob::new_with_u8_array_sequence(&Array::of1(&Uint8Array::from(&rows[..])))?;
    drop(rows);
    let constructor: Function = Reflect::get(&js_sys::global(), &"CompressionStream".into())?.dyn_into()?;
    let packer = Reflect::construct(&constructor, &Array::of1(&"deflate".into()))?;
    let stream = blob.stream().pipe_through(&packer.unchecked_into::<ReadableWritablePair>());
    let response = Response::new_with_opt_readable_stream(Some(&stream))?;
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// The check of a PNG's parts (annex D of the standard), bit by bit: packed masks are small.
fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum)))
}
