//! The robot: boxes, bolts, lamps and an antenna.

use tiny_skia::Transform;

use super::{Canvas, Ink, Trace, accessory, pattern};
use crate::palette::Rgb;
use crate::pose::Pose;
use crate::toy::{AccessoryKind, EyeStyle, Pattern, Toy};

const STEEL: Rgb = Rgb([178, 186, 202]);
const NECK: f32 = -0.49;

/// Draws a robot; units are its height, (0, 0) is the ground between the feet.
pub(crate) fn draw(canvas: &mut Canvas<'_>, toy: &Toy, pose: &Pose) {
    let wide = 0.225 * toy.traits.body_width;
    legs(canvas, toy);
    canvas.block([0.0, NECK + 0.02, 0.08, 0.06], 0.01, Ink::Flat(STEEL.darker(0.25)));
    let torso = [0.0, -0.295, wide, 0.185];
    canvas.block(torso, 0.05, Ink::Plush(toy.coat));
    if toy.pattern == Pattern::Plain {
        panel(canvas, toy, wide);
    } else {
        canvas.inside_block(torso, 0.05, |canvas| pattern::cover(canvas, toy, torso));
    }
    arms(canvas, pose, wide);
    let head = Transform::from_translate(0.0, NECK)
        .pre_concat(Transform::from_rotate(pose.head_tilt.to_degrees()))
        .pre_translate(0.0, -0.2)
        .pre_scale(0.23 * toy.traits.head_size, 0.23 * toy.traits.head_size);
    let look = 0.2 * pose.turn;
    canvas.within(head, |canvas| self::head(canvas, toy, look));
    accessory::on_neck(canvas, toy, NECK + 0.015, 0.17);
    let fit = accessory::Fit { top: -0.8, eye_y: -0.1, apart: 0.42 };
    canvas.within(head, |canvas| accessory::on_head(canvas, toy, look, fit));
}

fn legs(canvas: &mut Canvas<'_>, toy: &Toy) {
    for s in [-1.0, 1.0] {
        canvas.block([s * 0.12, -0.1, 0.045, 0.09], 0.01, Ink::Flat(STEEL.darker(0.15)));
        canvas.block([s * 0.135, -0.04, 0.1, 0.042], 0.035, Ink::Plush(toy.traits.trim));
    }
}

/// A panel with a dial and two lamps on the chest.
fn panel(canvas: &mut Canvas<'_>, toy: &Toy, wide: f32) {
    canvas.block([0.0, -0.3, 0.68 * wide, 0.115], 0.025, Ink::Flat(toy.traits.accent.darker(0.1)));
    canvas.oval(-0.055, -0.3, 0.055, 0.055, Ink::Plush(toy.traits.trim));
    for (y, color) in [(-0.345, Rgb([255, 74, 66])), (-0.255, Rgb([70, 205, 100]))] {
        canvas.oval(0.075, y, 0.03, 0.03, Ink::Flat(color));
    }
}

fn arms(canvas: &mut Canvas<'_>, pose: &Pose, wide: f32) {
    for (s, raise) in [(-1.0, pose.arms[0]), (1.0, pose.arms[1])] {
        let (x, y) = (s * (wide + 0.02), -0.4);
        let (dx, dy) = (s * raise.sin(), raise.cos());
        canvas.stroke(
            Trace::from(x, y).line(x + 0.17 * dx, y + 0.17 * dy),
            0.065,
            Ink::Flat(STEEL.darker(0.15)),
        );
        canvas.oval(x, y, 0.055, 0.055, Ink::Plush(STEEL));
        // A claw: two fingers beyond a round hand.
        let (hx, hy) = (x + 0.2 * dx, y + 0.2 * dy);
        for side in [-1.0, 1.0] {
            let finger = Trace::from(hx + side * 0.04 * dy, hy - side * 0.04 * dx)
                .line(hx + 0.07 * dx + side * 0.045 * dy, hy + 0.07 * dy - side * 0.045 * dx);
            canvas.stroke(finger, 0.04, Ink::Flat(STEEL.darker(0.3)));
        }
        canvas.oval(hx, hy, 0.06, 0.06, Ink::Plush(STEEL));
    }
}

/// The head in its own units, where 1 is half its height.
fn head(canvas: &mut Canvas<'_>, toy: &Toy, look: f32) {
    let hat = toy.accessory.as_ref().is_some_and(|worn| worn.kind == AccessoryKind::Hat);
    if !hat {
        let top = -0.85 - 0.45 * toy.traits.ear_size;
        canvas.stroke(Trace::from(0.0, -0.7).line(0.0, top), 0.11, Ink::Flat(STEEL.darker(0.25)));
        canvas.oval(0.0, top, 0.19, 0.19, Ink::Plush(toy.traits.trim));
    }
    for s in [-1.0, 1.0] {
        canvas.block([s * 1.12, 0.0, 0.16, 0.3], 0.08, Ink::Plush(STEEL));
    }
    canvas.block([0.0, 0.0, 1.08, 0.82], 0.22, Ink::Plush(toy.coat));
    canvas.block([0.7 * look, -0.08, 0.84, 0.4], 0.18, Ink::Flat(Rgb([44, 46, 66])));
    let lamp = match toy.traits.iris {
        Rgb([40, ..]) => Rgb([110, 220, 255]),
        Rgb([50, ..]) => Rgb([140, 255, 130]),
        Rgb([120, ..]) => Rgb([255, 150, 240]),
        _ => Rgb([255, 232, 110]),
    };
    for s in [-1.0, 1.0] {
        let (x, y) = (look + s * 0.4, -0.1);
        match toy.traits.eyes {
            EyeStyle::Round => canvas.oval(x, y, 0.25, 0.25, Ink::Flat(lamp)),
            EyeStyle::Button => canvas.block([x, y, 0.21, 0.21], 0.05, Ink::Flat(lamp)),
            EyeStyle::Sleepy => {
                let arc = Trace::from(x - 0.22, y + 0.1).bend(x, y - 0.36, x + 0.22, y + 0.1);
                canvas.stroke(arc, 0.13, Ink::Flat(lamp));
            }
        }
    }
    canvas.block([look, 0.55, 0.48, 0.13], 0.06, Ink::Flat(Rgb::WHITE));
    for x in [-0.24, 0.0, 0.24] {
        canvas.stroke(Trace::from(look + x, 0.47).line(look + x, 0.63), 0.07, Ink::Flat(Rgb::INK));
    }
}
