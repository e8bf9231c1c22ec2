//! What toys wear.

use tiny_skia::Transform;

use super::{Canvas, Ink, Trace};
use crate::palette::Rgb;
use crate::toy::{AccessoryKind, HatStyle, Toy};

/// Where things sit on a head, in head units.
#[derive(Clone, Copy)]
pub(crate) struct Fit {
    /// The top of the skull.
    pub(crate) top: f32,
    /// Height of the eyes.
    pub(crate) eye_y: f32,
    /// Distance of each eye from the middle.
    pub(crate) apart: f32,
}

/// Scarf or bow at the neck, in units of the toy's height; `half` is half the neck's width.
pub(crate) fn on_neck(canvas: &mut Canvas<'_>, toy: &Toy, y: f32, half: f32) {
    let Some(worn) = &toy.accessory else { return };
    let (cloth, fold) = (Ink::Plush(worn.shade), Ink::Flat(worn.shade.darker(0.3)));
    match worn.kind {
        AccessoryKind::Scarf => {
            canvas.block([0.13, y + 0.13, 0.058, 0.125], 0.02, cloth);
            for x in [0.1, 0.13, 0.16] {
                canvas.stroke(Trace::from(x, y + 0.25).line(x, y + 0.28), 0.018, fold);
            }
            let ring = Trace::from(-half - 0.02, y - 0.02).bend(0.0, y + 0.1, half + 0.02, y - 0.02);
            canvas.stroke(ring, 0.105, cloth);
            canvas.oval(0.13, y + 0.03, 0.062, 0.062, fold);
            canvas.oval(0.13, y + 0.025, 0.054, 0.054, cloth);
        }
        AccessoryKind::Bow => {
            for s in [-1.0, 1.0] {
                let wing = Trace::from(0.0, y + 0.03)
                    .bend(s * 0.09, y - 0.08, s * 0.19, y - 0.07)
                    .bend(s * 0.22, y + 0.03, s * 0.19, y + 0.14)
                    .bend(s * 0.09, y + 0.14, 0.0, y + 0.03);
                canvas.shape(wing, cloth);
            }
            canvas.oval(0.0, y + 0.033, 0.055, 0.06, fold);
            canvas.oval(0.0, y + 0.03, 0.045, 0.05, cloth);
        }
        AccessoryKind::Hat | AccessoryKind::Glasses => {}
    }
}

/// Hat or glasses, in head units; `look` shifts the face.
pub(crate) fn on_head(canvas: &mut Canvas<'_>, toy: &Toy, look: f32, fit: Fit) {
    let Some(worn) = &toy.accessory else { return };
    match worn.kind {
        AccessoryKind::Glasses => glasses(canvas, worn.shade, look, fit),
        AccessoryKind::Hat => {
            let seat = Transform::from_translate(0.3 * look, fit.top + 0.12);
            canvas.within(seat, |canvas| hat(canvas, toy.traits.hat, worn.shade));
        }
        AccessoryKind::Scarf | AccessoryKind::Bow => {}
    }
}

fn glasses(canvas: &mut Canvas<'_>, shade: Rgb, look: f32, fit: Fit) {
    let frame = Ink::Flat(shade);
    let (x, y) = (look, fit.eye_y + 0.02);
    canvas.stroke(Trace::from(x - 0.14, y - 0.04).bend(x, y - 0.14, x + 0.14, y - 0.04), 0.14, frame);
    for s in [-1.0, 1.0] {
        let middle = x + s * 1.05 * fit.apart;
        canvas.stroke(Trace::from(middle + s * 0.3, y).line(s * 1.0, y - 0.06), 0.12, frame);
        let (r, k) = (0.35, 0.35);
        let ring = Trace::from(middle - r, y)
            .bend(middle - k, y - k, middle, y - r)
            .bend(middle + k, y - k, middle + r, y)
            .bend(middle + k, y + k, middle, y + r)
            .bend(middle - k, y + k, middle - r, y);
        canvas.stroke(ring, 0.15, frame);
    }
}

/// A hat that sits on (0, 0).
fn hat(canvas: &mut Canvas<'_>, style: HatStyle, shade: Rgb) {
    let (cloth, band) = (Ink::Plush(shade), Ink::Flat(shade.darker(0.42)));
    match style {
        HatStyle::Top => {
            canvas.oval(0.0, 0.0, 0.92, 0.17, Ink::Plush(shade.darker(0.12)));
            let crown = Trace::from(-0.5, 0.02)
                .line(-0.58, -0.72)
                .bend(0.0, -0.86, 0.58, -0.72)
                .line(0.5, 0.02)
                .bend(0.0, 0.16, -0.5, 0.02);
            canvas.shape(crown, cloth);
            let ribbon = Trace::from(-0.5, -0.08).bend(0.0, 0.04, 0.5, -0.08);
            canvas.stroke(ribbon, 0.17, band);
        }
        HatStyle::Party => {
            let cone = Trace::from(-0.6, 0.02).line(0.0, -1.05).line(0.6, 0.02).bend(0.0, 0.26, -0.6, 0.02);
            canvas.shape(cone, cloth);
            canvas.stroke(Trace::from(-0.36, -0.3).bend(0.0, -0.14, 0.36, -0.3), 0.13, Ink::Flat(Rgb::WHITE));
            canvas.oval(0.0, -1.02, 0.2, 0.2, Ink::Plush(Rgb::WHITE));
        }
        HatStyle::Beanie => {
            let dome = Trace::from(-0.8, 0.1).bend(-0.8, -0.66, 0.0, -0.68).bend(0.8, -0.66, 0.8, 0.1);
            canvas.shape(dome, cloth);
            canvas.stroke(
                Trace::from(-0.72, 0.06).bend(0.0, -0.06, 0.72, 0.06),
                0.25,
                Ink::Plush(shade.lighter(0.35)),
            );
            canvas.oval(0.0, -0.7, 0.2, 0.2, Ink::Plush(shade.lighter(0.35)));
        }
    }
}
