//! A thin layer over `tiny-skia`: shapes in local units, plush shading, clipping.

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Mask, Paint, Path, PathBuilder, Pixmap,
    Point, RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

use crate::palette::Rgb;

/// What a shape is filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ink {
    /// One colour.
    Flat(Rgb),
    /// Rounded by light: brighter towards it, darker at the rim.
    Plush(Rgb),
    /// From the first colour at the shape's top to the second at its bottom.
    Fade(Rgb, Rgb),
    /// A translucent dark, of this opacity.
    Shadow(f32),
}

/// Builds an outline in local units.
#[derive(Default)]
pub(crate) struct Trace(PathBuilder);

impl Trace {
    pub(crate) fn from(x: f32, y: f32) -> Self {
        let mut trace = Self::default();
        trace.0.move_to(x, y);
        trace
    }

    pub(crate) fn line(mut self, x: f32, y: f32) -> Self {
        self.0.line_to(x, y);
        self
    }

    /// A curve to (x, y), bent towards (cx, cy).
    pub(crate) fn bend(mut self, cx: f32, cy: f32, x: f32, y: f32) -> Self {
        self.0.quad_to(cx, cy, x, y);
        self
    }

    fn finish(self, close: bool) -> Option<Path> {
        let mut builder = self.0;
        if close {
            builder.close();
        }
        builder.finish()
    }
}

/// A place to draw on, with the local units of what is being drawn.
pub(crate) struct Canvas<'a> {
    pixmap: &'a mut Pixmap,
    transform: Transform,
    clip: Option<Mask>,
    light: f32,
}

impl<'a> Canvas<'a> {
    /// `light` as in `Light::from`.
    pub(crate) fn new(pixmap: &'a mut Pixmap, transform: Transform, light: f32) -> Self {
        Self { pixmap, transform, clip: None, light }
    }

    /// Draws in units that are `inner` within the present ones.
    pub(crate) fn within(&mut self, inner: Transform, draw: impl FnOnce(&mut Self)) {
        let outer = self.transform;
        self.transform = outer.pre_concat(inner);
        draw(self);
        self.transform = outer;
    }

    /// Draws only inside the oval.
    pub(crate) fn inside_oval(&mut self, [x, y, rx, ry]: [f32; 4], draw: impl FnOnce(&mut Self)) {
        self.inside(oval(x, y, rx, ry), draw);
    }

    /// Draws only inside the rounded box.
    pub(crate) fn inside_block(
        &mut self,
        [x, y, rx, ry]: [f32; 4],
        round: f32,
        draw: impl FnOnce(&mut Self),
    ) {
        self.inside(block(x, y, rx, ry, round), draw);
    }

    fn inside(&mut self, path: Option<Path>, draw: impl FnOnce(&mut Self)) {
        let Some((path, mut mask)) = path.zip(Mask::new(self.pixmap.width(), self.pixmap.height())) else {
            return;
        };
        mask.fill_path(&path, FillRule::Winding, true, self.transform);
        let outer = self.clip.replace(mask);
        draw(self);
        self.clip = outer;
    }

    /// An ellipse around (x, y).
    pub(crate) fn oval(&mut self, x: f32, y: f32, rx: f32, ry: f32, ink: Ink) {
        self.fill(oval(x, y, rx, ry), ink);
    }

    /// An ellipse, turned clockwise by `angle` radians about its middle.
    pub(crate) fn tilted(&mut self, [x, y, rx, ry]: [f32; 4], angle: f32, ink: Ink) {
        let turn = Transform::from_translate(x, y).pre_concat(Transform::from_rotate(angle.to_degrees()));
        self.within(turn, |canvas| canvas.oval(0.0, 0.0, rx, ry, ink));
    }

    /// A box around (x, y) with half sides `rx`, `ry` and corners of radius `round`.
    pub(crate) fn block(&mut self, [x, y, rx, ry]: [f32; 4], round: f32, ink: Ink) {
        self.fill(block(x, y, rx, ry, round), ink);
    }

    /// A closed outline.
    pub(crate) fn shape(&mut self, trace: Trace, ink: Ink) {
        self.fill(trace.finish(true), ink);
    }

    /// A line with round ends.
    pub(crate) fn stroke(&mut self, trace: Trace, width: f32, ink: Ink) {
        let Some(path) = trace.finish(false) else { return };
        let paint = self.paint(&path, ink);
        let stroke =
            Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        self.pixmap.stroke_path(&path, &paint, &stroke, self.transform, self.clip.as_ref());
    }

    fn fill(&mut self, path: Option<Path>, ink: Ink) {
        let Some(path) = path else { return };
        let paint = self.paint(&path, ink);
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.transform, self.clip.as_ref());
    }

    fn paint(&self, path: &Path, ink: Ink) -> Paint<'static> {
        let shader = match ink {
            Ink::Flat(color) => Shader::SolidColor(opaque(color)),
            Ink::Plush(color) => plush(path.bounds(), color, self.light),
            Ink::Fade(top, bottom) => fade(path.bounds(), top, bottom),
            Ink::Shadow(alpha) => {
                Shader::SolidColor(Color::from_rgba(0.08, 0.03, 0.16, alpha).unwrap_or(Color::BLACK))
            }
        };
        Paint { shader, anti_alias: true, ..Paint::default() }
    }
}

fn opaque(Rgb([r, g, b]): Rgb) -> Color {
    Color::from_rgba8(r, g, b, 255)
}

fn oval(x: f32, y: f32, rx: f32, ry: f32) -> Option<Path> {
    PathBuilder::from_oval(Rect::from_ltrb(x - rx, y - ry, x + rx, y + ry)?)
}

fn block(x: f32, y: f32, rx: f32, ry: f32, round: f32) -> Option<Path> {
    let r = round.min(rx).min(ry);
    let (left, top, right, bottom) = (x - rx, y - ry, x + rx, y + ry);
    Trace::from(left + r, top)
        .line(right - r, top)
        .bend(right, top, right, top + r)
        .line(right, bottom - r)
        .bend(right, bottom, right - r, bottom)
        .line(left + r, bottom)
        .bend(left, bottom, left, bottom - r)
        .line(left, top + r)
        .bend(left, top, left + r, top)
        .finish(true)
}

/// Light from above and from the light's side, fitted to the shape's bounds.
fn plush(bounds: Rect, color: Rgb, light: f32) -> Shader<'static> {
    let (rx, ry) = (bounds.width() / 2.0, bounds.height() / 2.0);
    let fit = Transform::from_row(rx, 0.0, 0.0, ry, bounds.left() + rx, bounds.top() + ry);
    let bright = Point::from_xy(0.4 * light, -0.45);
    let stops = vec![
        GradientStop::new(0.0, opaque(color.lighter(0.2))),
        GradientStop::new(0.5, opaque(color)),
        GradientStop::new(1.0, opaque(color.darker(0.34))),
    ];
    RadialGradient::new(bright, bright, 1.6, stops, SpreadMode::Pad, fit)
        .unwrap_or(Shader::SolidColor(opaque(color)))
}

fn fade(bounds: Rect, top: Rgb, bottom: Rgb) -> Shader<'static> {
    let (start, end) = (Point::from_xy(0.0, bounds.top()), Point::from_xy(0.0, bounds.bottom()));
    let stops = vec![GradientStop::new(0.0, opaque(top)), GradientStop::new(1.0, opaque(bottom))];
    LinearGradient::new(start, end, stops, SpreadMode::Pad, Transform::identity())
        .unwrap_or(Shader::SolidColor(opaque(top)))
}
