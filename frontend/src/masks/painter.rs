//! Drawing the photo, the mask and what lies above it.

use mudi_domain::geometry::Rect;
use mudi_domain::grabcut::Hints;
use mudi_editor::mask::{Drawn, Effects, MaskEditor, Show, Style};
use mudi_editor::view::View;
use wasm_bindgen::JsValue;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::glimpse::GlimpsePicture;
use super::overlay::Overlay;
use super::photo::PhotoLevels;

/// What is drawn with: the photo, and two canvases of the page.
pub(super) struct Painter {
    photo: PhotoLevels,
    mask: Overlay,
    found: Overlay,
    /// The number of what was found, as it was drawn last.
    shows_found: Option<u64>,
    glimpse: Option<GlimpsePicture>,
    ground: CanvasRenderingContext2d,
    marks: CanvasRenderingContext2d,
    /// Pixels of the screen in one of CSS's.
    density: f64,
}

/// How a mask that was found is tinted, while it is not taken over.
const FOUND: Style = Style { show: Show::Tint, opacity: 0.55, colour: [40, 120, 255] };

impl Painter {
    pub(super) fn new(
        photo: PhotoLevels,
        ground: CanvasRenderingContext2d,
        marks: CanvasRenderingContext2d,
    ) -> Self {
        Self {
            photo,
            mask: Overlay::default(),
            found: Overlay::default(),
            shows_found: None,
            glimpse: None,
            ground,
            marks,
            density: 1.0,
        }
    }

    pub(super) fn photo(&self) -> &PhotoLevels {
        &self.photo
    }

    /// The canvases have that size now, in CSS pixels.
    pub(super) fn resize(&mut self, (width, height): (f64, f64), density: f64) {
        self.density = density;
        for canvas in [&self.ground, &self.marks].into_iter().filter_map(CanvasRenderingContext2d::canvas) {
            canvas.set_width((width * density).round() as u32);
            canvas.set_height((height * density).round() as u32);
        }
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// Where the browser cannot.
    pub(super) fn paint(&mut self, editor: &MaskEditor, effects: &Effects) -> Result<(), JsValue> {
        if let Some(dirty) = effects.dirty {
            self.mask.changed(dirty);
        }
        let found = editor.prompt().found.as_ref().map(|found| found.number);
        let mut all = effects.all;
        if found != self.shows_found {
            self.found.clear();
            self.shows_found = found;
            all = true;
        }
        let view = editor.view();
        if all {
            self.paint_ground(editor, seen(view, (0.0, 0.0), view.window()), None)?;
        } else if let Some(dirty) = effects.dirty {
            // One pixel of the level around it is drawn anew, too, and where pixels are smoothed one of the screen.
            let margin = (1_i32 << editor.view().level(self.density)) + (2.0 / view.scale).ceil() as i32;
            let (x, y) = (dirty.x - margin, dirty.y - margin);
            let area = Rect::new(x, y, dirty.width + 2 * margin as u32, dirty.height + 2 * margin as u32);
            if let Some(area) = area.intersect(&seen(view, (0.0, 0.0), view.window())) {
                self.paint_ground(editor, area, Some(area))?;
            }
        }
        if effects.glimpse {
            self.glimpse = editor.glimpse().mask.as_ref().map(GlimpsePicture::of).transpose()?;
        }
        if all || effects.marks || effects.glimpse {
            self.paint_marks(editor)?;
        }
        Ok(())
    }

    /// Draws photo and mask where `area` is, in pixels of the photo, and nothing outside of `clip`.
    fn paint_ground(&mut self, editor: &MaskEditor, area: Rect, clip: Option<Rect>) -> Result<(), JsValue> {
        let (view, density, context) = (editor.view(), self.density, &self.ground);
        let (width, height) = editor.mask().dimensions();
        context.set_transform(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)?;
        context.save();
        let scale = view.scale * density;
        if let Some(clip) = clip {
            // Whole pixels of the screen, or the edge of what is drawn anew would be seen.
            let (left, top) = view.to_screen((f64::from(clip.x), f64::from(clip.y)));
            let (right, bottom) = view.to_screen((clip.right() as f64, clip.bottom() as f64));
            let (left, top) = ((left * density).floor(), (top * density).floor());
            context.begin_path();
            context.rect(left, top, (right * density).ceil() - left, (bottom * density).ceil() - top);
            context.clip();
        }
        let canvas: HtmlCanvasElement = context.canvas().ok_or(JsValue::NULL)?;
        context.clear_rect(0.0, 0.0, f64::from(canvas.width()), f64::from(canvas.height()));
        // From two pixels for one of the photo on, pixels are what one wants to see.
        context.set_image_smoothing_enabled(scale < 2.0);
        let (level, style) = (view.level(density), editor.style());
        let offset = (view.x * density, view.y * density);
        if style.show != Show::Mask {
            let bitmap = self.photo.level(level);
            let (width, height) = (f64::from(width) * scale, f64::from(height) * scale);
            context.draw_image_with_image_bitmap_and_dw_and_dh(bitmap, offset.0, offset.1, width, height)?;
        }
        let level = level.min(editor.levels().saturating_sub(1));
        if let Some(area) = area.intersect(&Rect::whole(width, height)) {
            self.mask.paint(context, editor.level(level), level, style, area, (scale, offset))?;
            if let Some(found) = &editor.prompt().found {
                let mask = found.pyramid.level(&found.mask, level);
                self.found.paint(context, mask, level, FOUND, area, (scale, offset))?;
            }
        }
        context.restore();
        Ok(())
    }

    /// Draws the line in hand, and what was pointed at.
    fn paint_marks(&self, editor: &MaskEditor) -> Result<(), JsValue> {
        let (view, context) = (editor.view(), &self.marks);
        let canvas: HtmlCanvasElement = context.canvas().ok_or(JsValue::NULL)?;
        context.set_transform(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)?;
        context.clear_rect(0.0, 0.0, f64::from(canvas.width()), f64::from(canvas.height()));
        if let Some(glimpse) = &self.glimpse {
            glimpse.paint(context, view, editor.mask().dimensions(), self.density)?;
        }
        context.set_transform(self.density, 0.0, 0.0, self.density, 0.0, 0.0)?;
        context.set_line_cap("round");
        context.set_line_join("round");
        self.paint_hints(view, &editor.prompt().hints)?;
        match editor.drawn() {
            Drawn::Nothing => {}
            Drawn::Line(line) => self.line(view, line, "#ffffff", 1.5)?,
            Drawn::Frame(frame) => self.frame(view, frame)?,
        }
        Ok(())
    }

    fn paint_hints(&self, view: &View, hints: &Hints) -> Result<(), JsValue> {
        if let Some(bounds) = hints.bounds {
            self.frame(view, bounds)?;
        }
        for stroke in &hints.strokes {
            let colour = if stroke.on_subject { "#37d67a" } else { "#ff5a4f" };
            match stroke.places[..] {
                [[x, y]] => {
                    let (x, y) = view.to_screen((f64::from(x), f64::from(y)));
                    self.marks.begin_path();
                    self.marks.arc(x, y, 6.0, 0.0, std::f64::consts::TAU)?;
                    self.marks.set_fill_style_str(colour);
                    self.marks.fill();
                    self.marks.set_line_width(2.0);
                    self.marks.set_stroke_style_str("#ffffff");
                    self.marks.stroke();
                }
                _ => self.line(view, &stroke.places, colour, 3.0)?,
            }
        }
        Ok(())
    }

    /// A line, with a dark one below it, so that it is seen on everything.
    fn line(&self, view: &View, line: &[[f32; 2]], colour: &str, width: f64) -> Result<(), JsValue> {
        let context = &self.marks;
        context.begin_path();
        for &[x, y] in line {
            let (x, y) = view.to_screen((f64::from(x), f64::from(y)));
            context.line_to(x, y);
        }
        context.set_line_dash(&js_sys::Array::new())?;
        for (colour, width) in [("#000000a0", width + 2.0), (colour, width)] {
            context.set_stroke_style_str(colour);
            context.set_line_width(width);
            context.stroke();
        }
        Ok(())
    }

    fn frame(&self, view: &View, [left, top, right, bottom]: [f32; 4]) -> Result<(), JsValue> {
        let corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
        self.line(view, &corners, "#ffffff", 1.5)
    }
}

/// What of the photo is seen between two corners of the screen, in its pixels.
fn seen(view: &View, from: (f64, f64), to: (f64, f64)) -> Rect {
    let ((left, top), (right, bottom)) = (view.to_picture(from), view.to_picture(to));
    let (x, y) = (left.floor() as i32, top.floor() as i32);
    Rect::new(x, y, (right.ceil() as i32).abs_diff(x).max(1), (bottom.ceil() as i32).abs_diff(y).max(1))
}
