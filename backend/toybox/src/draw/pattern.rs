//! Stripes and spots on a part of the coat.

use tiny_skia::Transform;

use super::{Canvas, Ink, Trace};
use crate::toy::{Pattern, Toy};

/// Thickness of a stripe and of the gap to the next, in heights of the toy.
const STRIPE: f32 = 0.068;

/// Covers the area within half sides `rx`, `ry` of (x, y), in units of the toy's height. The caller clips.
pub(crate) fn cover(canvas: &mut Canvas<'_>, toy: &Toy, [x, y, rx, ry]: [f32; 4]) {
    match toy.pattern {
        Pattern::Plain => {}
        Pattern::Striped => {
            let turn = Transform::from_translate(x, y)
                .pre_concat(Transform::from_rotate(toy.traits.pattern_tilt.to_degrees()));
            canvas.within(turn, |canvas| stripes(canvas, toy, rx + ry));
        }
        Pattern::Spotted => {
            // Rows of spots, every other row shifted: few and large.
            let step = 0.155;
            let shift = (toy.traits.pattern_phase - 0.5) * step;
            for row in -3i8..=3 {
                let offset = if row % 2 == 0 { 0.0 } else { step / 2.0 };
                for column in -3i8..=3 {
                    let (dx, dy) = (f32::from(column) * step + offset + shift, f32::from(row) * step * 0.8);
                    if dx.abs() < rx + 0.04 && dy.abs() < ry + 0.04 {
                        canvas.oval(x + dx, y + dy, 0.05, 0.05, Ink::Flat(toy.traits.pattern_shade));
                    }
                }
            }
        }
    }
}

fn stripes(canvas: &mut Canvas<'_>, toy: &Toy, reach: f32) {
    let start = (toy.traits.pattern_phase - 0.5) * STRIPE;
    for row in -4i8..=4 {
        let y = start + f32::from(row) * 2.0 * STRIPE;
        if y.abs() < reach {
            // Bent downwards, as on something round.
            let line = Trace::from(-reach, y - 0.05).bend(0.0, y + 0.06, reach, y - 0.05);
            canvas.stroke(line, STRIPE, Ink::Flat(toy.traits.pattern_shade));
        }
    }
}
