//! The mask under the pointer, as a picture.

use image::GrayImage;
use mudi_editor::view::View;
use wasm_bindgen::{Clamped, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use super::photo::{canvas, context};

/// Red, green, blue and how much they hide.
const TINT: [u8; 4] = [255, 150, 30, 120];

/// A tinted mask, at the size that it came in.
pub(super) struct GlimpsePicture(HtmlCanvasElement);

impl GlimpsePicture {
    /// # Errors
    /// Where the browser cannot draw it.
    pub(super) fn of(mask: &GrayImage) -> Result<Self, JsValue> {
        let canvas = canvas(mask.width(), mask.height())?;
        let tint = |&coverage: &u8| if coverage >= 128 { TINT } else { [0; 4] };
        let pixels: Vec<u8> = mask.as_raw().iter().flat_map(tint).collect();
        let data =
            ImageData::new_with_u8_clamped_array_and_sh(Clamped(&pixels), mask.width(), mask.height())?;
        context(&canvas, false)?.put_image_data(&data, 0.0, 0.0)?;
        Ok(Self(canvas))
    }

    /// Draws it where a photo of that size lies; `density` pixels of the screen are one of CSS.
    ///
    /// # Errors
    /// Where the browser cannot.
    pub(super) fn paint(
        &self,
        on: &CanvasRenderingContext2d,
        view: &View,
        (width, height): (u32, u32),
        density: f64,
    ) -> Result<(), JsValue> {
        on.set_transform(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)?;
        let scale = view.scale * density;
        // As the mask's own tiles: on whole pixels of the screen, or it would lie beside them.
        let edge = |length: f64, offset: f64| (length * scale + offset * density).round();
        let (left, top) = (edge(0.0, view.x), edge(0.0, view.y));
        let (right, bottom) = (edge(f64::from(width), view.x), edge(f64::from(height), view.y));
        on.set_image_smoothing_enabled(scale < 2.0);
        on.draw_image_with_html_canvas_element_and_dw_and_dh(&self.0, left, top, right - left, bottom - top)
    }
}
