//! Drawing the canvas with its subjects, handles and guides, as they are dragged.

use mudi_editor::layout::{Designer, Frame, Point};
use wasm_bindgen::JsValue;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::cutouts::Cutouts;

/// What is shown around the canvas on each side, in its heights: subjects may reach beyond it.
pub(super) const AROUND: f64 = 0.12;
/// The radius of a handle, in CSS pixels.
const HANDLE: f64 = 7.0;
/// Lines of the frame around what is chosen, on light and dark alike.
const FRAME: &str = "#1a6fe0";
/// Lines that something has snapped to.
const GUIDE: &str = "#e0218a";

/// What draws.
pub(super) struct Drawing {
    context: CanvasRenderingContext2d,
    /// CSS pixels of the canvas's height.
    unit: f64,
    density: f64,
}

/// Width and height of the element, in heights of a canvas that is so many times as wide as high.
pub(super) fn extent(ratio: f64) -> Point {
    (ratio + 2.0 * AROUND, 1.0 + 2.0 * AROUND)
}

impl Drawing {
    pub(super) fn new(context: CanvasRenderingContext2d) -> Self {
        Self { context, unit: 1.0, density: 1.0 }
    }

    /// The element is as large as has a place in so many CSS pixels, for a canvas that is `ratio` times as wide as high.
    pub(super) fn resize(&mut self, (width, height): Point, ratio: f64, density: f64) {
        let (across, down) = extent(ratio);
        (self.unit, self.density) = ((width / across).min(height / down), density);
        if let Some(canvas) = self.context.canvas() {
            let pixels = |length: f64| (length * self.unit * density).round() as u32;
            canvas.set_width(pixels(across));
            canvas.set_height(pixels(down));
        }
    }

    /// CSS pixels of the canvas's height.
    pub(super) fn unit(&self) -> f64 {
        self.unit
    }

    /// The place on the canvas that lies at a place of the element, in CSS pixels.
    pub(super) fn place(&self, (x, y): Point) -> Point {
        (x / self.unit - AROUND, y / self.unit - AROUND)
    }

    fn at(&self, (x, y): Point) -> Point {
        ((x + AROUND) * self.unit, (y + AROUND) * self.unit)
    }

    /// Draws everything.
    ///
    /// # Errors
    /// Where the browser cannot.
    pub(super) fn paint(&self, designer: &Designer, cutouts: Cutouts) -> Result<(), JsValue> {
        let context = &self.context;
        let (width, height) = (designer.aspect().ratio() * self.unit, self.unit);
        let canvas: HtmlCanvasElement = context.canvas().ok_or(JsValue::NULL)?;
        context.set_transform(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)?;
        context.clear_rect(0.0, 0.0, f64::from(canvas.width()), f64::from(canvas.height()));
        context.set_transform(self.density, 0.0, 0.0, self.density, 0.0, 0.0)?;
        let (left, top) = self.at((0.0, 0.0));
        // What reaches beyond the canvas is not encoded, and looks so.
        context.set_global_alpha(0.25);
        self.paint_subjects(designer, cutouts)?;
        context.set_global_alpha(1.0);
        context.set_fill_style_str("#ffffff");
        context.fill_rect(left, top, width, height);
        context.save();
        context.begin_path();
        context.rect(left, top, width, height);
        context.clip();
        self.paint_subjects(designer, cutouts)?;
        context.restore();
        self.paint_guides(designer);
        for &index in designer.chosen() {
            self.paint_frame(&designer.frame(index), designer.chosen().len() == 1)?;
        }
        Ok(())
    }

    fn paint_subjects(&self, designer: &Designer, cutouts: Cutouts) -> Result<(), JsValue> {
        let (context, unit) = (&self.context, self.unit);
        let placements = designer.placements();
        let mut stack: Vec<usize> = (0..placements.len()).collect();
        stack.sort_by_key(|&index| placements[index].z);
        for index in stack {
            let (placement, frame) = (&placements[index], designer.frame(index));
            let (x, y) = self.at(frame.center);
            let (width, height) = (frame.width * unit, frame.height * unit);
            context.save();
            context.translate(x, y)?;
            context.rotate(frame.rotation.to_radians())?;
            context.scale(if placement.flip { -1.0 } else { 1.0 }, 1.0)?;
            let (left, top) = (-width / 2.0, -height / 2.0);
            let drawn = cutouts.picture(&placement.subject, placement.photo.unwrap_or(0), |picture| {
                context.draw_image_with_html_canvas_element_and_dw_and_dh(picture, left, top, width, height)
            });
            match drawn {
                Some(drawn) => drawn?,
                None => {
                    context.set_fill_style_str("#9aa3ad40");
                    context.fill_rect(left, top, width, height);
                }
            }
            context.restore();
        }
        Ok(())
    }

    fn paint_guides(&self, designer: &Designer) {
        let context = &self.context;
        context.set_stroke_style_str(GUIDE);
        context.set_line_width(1.5);
        for guide in designer.guides() {
            let (across, down) = extent(designer.aspect().ratio());
            let [from, to] = [0.0, 1.0].map(|end| match guide.axis {
                0 => self.at((guide.at, end * down - AROUND)),
                _ => self.at((end * across - AROUND, guide.at)),
            });
            context.begin_path();
            context.move_to(from.0, from.1);
            context.line_to(to.0, to.1);
            context.stroke();
        }
    }

    fn paint_frame(&self, frame: &Frame, with_handles: bool) -> Result<(), JsValue> {
        let context = &self.context;
        let corners = frame.corners().map(|corner| self.at(corner));
        context.begin_path();
        for (x, y) in corners {
            context.line_to(x, y);
        }
        context.close_path();
        let stalk = self.at(frame.stalk());
        if with_handles {
            let middle = ((corners[0].0 + corners[1].0) / 2.0, (corners[0].1 + corners[1].1) / 2.0);
            context.move_to(middle.0, middle.1);
            context.line_to(stalk.0, stalk.1);
        }
        for (colour, width) in [("#ffffffc0", 4.0), (FRAME, 1.5)] {
            context.set_stroke_style_str(colour);
            context.set_line_width(width);
            context.stroke();
        }
        if with_handles {
            for (x, y) in corners.into_iter().chain([stalk]) {
                context.begin_path();
                context.arc(x, y, HANDLE, 0.0, std::f64::consts::TAU)?;
                context.set_fill_style_str("#ffffff");
                context.fill();
                context.set_line_width(2.0);
                context.set_stroke_style_str(FRAME);
                context.stroke();
            }
        }
        Ok(())
    }
}
