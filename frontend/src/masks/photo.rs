//! The photo, as the browser draws it.

use image::RgbImage;
use mudi_domain::geometry::Rect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, CanvasRenderingContext2d, HtmlCanvasElement, ImageBitmap, ImageBitmapOptions, ResizeQuality,
};

use crate::browser;

/// Rows of the photo whose colours are read at once.
const ROWS: u32 = 256;

/// The photo at 1, 1/2, 1/4, ... of its size.
pub(super) struct PhotoLevels(Vec<ImageBitmap>);

impl PhotoLevels {
    /// Decodes a file.
    ///
    /// # Errors
    /// Where the browser cannot.
    pub(super) async fn decode(file: &Blob) -> Result<Self, JsValue> {
        let window = browser::window();
        let bitmap = JsFuture::from(window.create_image_bitmap_with_blob(file)?).await?;
        let mut levels = Self(vec![bitmap.dyn_into()?]);
        while let Some(last) = levels.0.last() {
            let (width, height) = (last.width().div_ceil(2), last.height().div_ceil(2));
            if width.max(height) < 256 {
                break;
            }
            let options = ImageBitmapOptions::new();
            options.set_resize_width(width);
            options.set_resize_height(height);
            options.set_resize_quality(ResizeQuality::Medium);
            let smaller =
                window.create_image_bitmap_with_image_bitmap_and_image_bitmap_options(last, &options)?;
            let smaller = JsFuture::from(smaller).await?.dyn_into()?;
            levels.0.push(smaller);
        }
        Ok(levels)
    }

    /// The photo at a level, or at the smallest there is.
    pub(super) fn level(&self, level: u32) -> &ImageBitmap {
        // There is always the first one.
        self.0.get(level as usize).unwrap_or(&self.0[self.0.len() - 1])
    }

    /// The colours of every pixel at a level.
    ///
    /// # Errors
    /// Where the browser does not let them be read.
    pub(super) fn colours(&self, level: u32) -> Result<RgbImage, JsValue> {
        let bitmap = self.level(level);
        let (width, height) = (bitmap.width(), bitmap.height());
        let colours = pixels::<3>(bitmap, Rect::whole(width, height))?;
        RgbImage::from_raw(width, height, colours).ok_or(JsValue::NULL)
    }
}

impl Drop for PhotoLevels {
    fn drop(&mut self) {
        // Else they stay in memory until the browser happens to collect them.
        self.0.iter().for_each(ImageBitmap::close);
    }
}

/// So many of red, green and blue of every pixel of `area`, row by row. They are read in strips, and only what is wanted: a page's
/// program never gives memory back.
///
/// # Errors
/// Where the browser does not let them be read.
pub(super) fn pixels<const CHANNELS: usize>(bitmap: &ImageBitmap, area: Rect) -> Result<Vec<u8>, JsValue> {
    let Rect { x, y, width, height } = area;
    let canvas = canvas(width, ROWS.min(height))?;
    let context = context(&canvas, true)?;
    let mut values = Vec::with_capacity(CHANNELS * width as usize * height as usize);
    for top in (0..height).step_by(ROWS as usize) {
        let rows = ROWS.min(height - top);
        context.draw_image_with_image_bitmap(bitmap, -f64::from(x), -f64::from(y) - f64::from(top))?;
        let strip = context.get_image_data(0.0, 0.0, f64::from(width), f64::from(rows))?.data();
        for pixel in strip.as_chunks::<4>().0 {
            values.extend_from_slice(&pixel[..CHANNELS]);
        }
    }
    Ok(values)
}

/// A canvas that is not on the page.
///
/// # Errors
/// Where the browser has no room for it.
pub(crate) fn canvas(width: u32, height: u32) -> Result<HtmlCanvasElement, JsValue> {
    let canvas: HtmlCanvasElement = browser::document().create_element("canvas")?.dyn_into()?;
    canvas.set_width(width);
    canvas.set_height(height);
    Ok(canvas)
}

/// What draws on a canvas; `read` where its pixels will be read.
///
/// # Errors
/// Where the browser has none.
pub(crate) fn context(canvas: &HtmlCanvasElement, read: bool) -> Result<CanvasRenderingContext2d, JsValue> {
    let options = js_sys::Object::new();
    js_sys::Reflect::set(&options, &"willReadFrequently".into(), &read.into())?;
    let context = canvas.get_context_with_context_options("2d", &options)?;
    context.ok_or(JsValue::NULL)?.dyn_into().map_err(JsValue::from)
}
