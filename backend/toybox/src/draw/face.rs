//! Eyes, cheeks, mouths. Units: the head's; (0, 0) is its middle and 1 about half its height.

use super::{Canvas, Ink, Trace};
use crate::palette::Rgb;
use crate::toy::{EyeStyle, Toy};

/// Where the eyes are and how large.
#[derive(Clone, Copy)]
pub(crate) struct Eyes {
    /// Shift of the whole face to the side it looks to.
    pub(crate) look: f32,
    /// Height of the eyes.
    pub(crate) y: f32,
    /// Distance of each eye from the middle.
    pub(crate) apart: f32,
    /// Radius of an eye.
    pub(crate) radius: f32,
}

/// Both eyes, with the patch and the cheeks that the toy may have.
pub(crate) fn eyes(canvas: &mut Canvas<'_>, toy: &Toy, eyes: Eyes) {
    let Eyes { look, y, apart, radius } = eyes;
    if let Some(side) = toy.traits.eye_patch {
        let x = look + side.sign() * apart;
        canvas.oval(x, y, 1.65 * radius, 1.85 * radius, Ink::Plush(toy.traits.accent));
    }
    for side in [-1.0, 1.0] {
        let x = look + side * apart;
        match toy.traits.eyes {
            EyeStyle::Button => {
                canvas.oval(x, y, 0.95 * radius, 1.05 * radius, Ink::Flat(Rgb::INK));
                canvas.oval(
                    x - 0.3 * radius,
                    y - 0.35 * radius,
                    0.36 * radius,
                    0.36 * radius,
                    Ink::Flat(Rgb::WHITE),
                );
            }
            style => {
                canvas.oval(x, y, 1.08 * radius, 1.18 * radius, Ink::Flat(Rgb::INK.mix(toy.coat, 0.35)));
                canvas.oval(x, y, radius, 1.1 * radius, Ink::Flat(Rgb::WHITE));
                let (px, py) = (x + 0.5 * look * radius, y + 0.12 * radius);
                canvas.oval(px, py, 0.72 * radius, 0.8 * radius, Ink::Flat(toy.traits.iris));
                canvas.oval(px, py, 0.46 * radius, 0.52 * radius, Ink::Flat(Rgb::INK));
                canvas.oval(
                    px - 0.25 * radius,
                    py - 0.3 * radius,
                    0.25 * radius,
                    0.25 * radius,
                    Ink::Flat(Rgb::WHITE),
                );
                if style == EyeStyle::Sleepy {
                    let lid = Trace::from(x - 1.15 * radius, y + 0.1 * radius)
                        .bend(x - 1.2 * radius, y - 1.3 * radius, x, y - 1.3 * radius)
                        .bend(x + 1.2 * radius, y - 1.3 * radius, x + 1.15 * radius, y + 0.1 * radius)
                        .bend(x, y - 0.4 * radius, x - 1.15 * radius, y + 0.1 * radius);
                    canvas.shape(lid, Ink::Flat(toy.coat.darker(0.3)));
                }
            }
        }
    }
    if toy.traits.cheeks {
        for side in [-1.0, 1.0] {
            let blush = Rgb::BLUSH.mix(toy.coat, 0.15);
            canvas.oval(look + side * 1.75 * apart, y + 2.0 * radius, 0.17, 0.13, Ink::Flat(blush));
        }
    }
}

/// A nose and the smile below it.
pub(crate) fn nose_and_smile(canvas: &mut Canvas<'_>, [x, y, rx, ry]: [f32; 4], color: Rgb) {
    let smile = y + ry + 0.16;
    canvas.stroke(Trace::from(x, y).line(x, smile), 0.07, Ink::Flat(Rgb::INK));
    let line = Trace::from(x - 0.22, smile - 0.04).bend(x - 0.12, smile + 0.13, x, smile).bend(
        x + 0.12,
        smile + 0.13,
        x + 0.22,
        smile - 0.04,
    );
    canvas.stroke(line, 0.07, Ink::Flat(Rgb::INK));
    canvas.oval(x, y, rx, ry, Ink::Flat(color));
    canvas.oval(x - 0.3 * rx, y - 0.4 * ry, 0.3 * rx, 0.25 * ry, Ink::Flat(color.lighter(0.6)));
}
