//! The animals: each kind's tail, ears and face on the shared body.

use tiny_skia::Transform;

use super::body::{self, Build};
use super::face::{Eyes, eyes, nose_and_smile};
use super::{Canvas, Ink, Trace, accessory};
use crate::palette::Rgb;
use crate::pose::Pose;
use crate::toy::{Kind, Pattern, Toy};

const PINK: Rgb = Rgb([255, 120, 140]);

/// Draws an animal; units are its height, (0, 0) is the ground between the feet.
pub(crate) fn draw(canvas: &mut Canvas<'_>, toy: &Toy, pose: &Pose) {
    let build = Build::of(toy);
    tail(canvas, toy, pose, &build);
    body::torso(canvas, toy, &build);
    body::feet(canvas, toy, &build);
    body::arms(canvas, toy, pose, &build);
    let head = Transform::from_translate(0.0, build.neck)
        .pre_concat(Transform::from_rotate(pose.head_tilt.to_degrees()))
        .pre_translate(0.0, build.head - build.neck)
        .pre_scale(build.head_unit, build.head_unit);
    canvas.within(head, |canvas| {
        let look = 0.2 * pose.turn;
        ears_behind(canvas, toy, look);
        skull(canvas, toy);
        face(canvas, toy, look);
    });
    accessory::on_neck(canvas, toy, build.neck, 0.19);
    canvas.within(head, |canvas| accessory::on_head(canvas, toy, 0.2 * pose.turn, crown(toy)));
}

/// The top of the skull, and where the eyes are, in head units.
fn crown(toy: &Toy) -> accessory::Fit {
    let (top, eye_y, apart) = match toy.kind {
        Kind::Dinosaur => (-0.86, -0.3, 0.42),
        Kind::Elephant => (-0.84, -0.16, 0.44),
        _ => (-0.84, -0.12, 0.42),
    };
    accessory::Fit { top, eye_y, apart }
}

/// Tails lie behind, on the side that the toy does not look to.
fn tail(canvas: &mut Canvas<'_>, toy: &Toy, pose: &Pose, build: &Build) {
    let s = if pose.turn > 0.0 { -1.0 } else { 1.0 };
    let rx = build.torso[2];
    let coat = Ink::Plush(toy.coat.darker(0.1));
    match toy.kind {
        Kind::Cat => {
            let curl = Trace::from(s * 0.5 * rx, -0.12).bend(s * 0.42, -0.02, s * 0.38, -0.24).bend(
                s * 0.34,
                -0.4,
                s * 0.44,
                -0.46,
            );
            canvas.stroke(curl, 0.085, coat);
            canvas.oval(s * 0.44, -0.46, 0.05, 0.05, Ink::Plush(toy.traits.accent));
        }
        Kind::Dog => {
            canvas.stroke(
                Trace::from(s * 0.7 * rx, -0.16).bend(s * 0.34, -0.16, s * 0.37, -0.36),
                0.08,
                coat,
            );
        }
        Kind::Rabbit => canvas.oval(s * (rx + 0.04), -0.15, 0.085, 0.085, Ink::Plush(Rgb::WHITE)),
        Kind::Elephant => {
            canvas.stroke(Trace::from(s * 0.8 * rx, -0.2).bend(s * 0.34, -0.24, s * 0.36, -0.1), 0.04, coat);
        }
        Kind::Dinosaur => {
            // Spikes first, so that the tail covers their feet.
            for (x, y) in [(0.25, -0.31), (0.35, -0.26), (0.43, -0.27)] {
                spike(canvas, [s * x, y], 0.075, s * 0.55, toy.traits.trim);
            }
            let tail = Trace::from(0.0, -0.36)
                .bend(s * 0.3, -0.26, s * 0.47, -0.34)
                .bend(s * 0.44, -0.05, s * 0.15, -0.02)
                .line(0.0, -0.03);
            canvas.shape(tail, coat);
        }
        _ => {}
    }
}

/// A triangle with its foot at the middle, leaning by `lean` radians.
fn spike(canvas: &mut Canvas<'_>, [x, y]: [f32; 2], size: f32, lean: f32, color: Rgb) {
    let turn = Transform::from_translate(x, y).pre_concat(Transform::from_rotate(lean.to_degrees()));
    canvas.within(turn, |canvas| {
        let outline = Trace::from(-size, 0.5 * size).bend(-0.5 * size, -0.8 * size, 0.0, -1.3 * size).bend(
            0.5 * size,
            -0.8 * size,
            size,
            0.5 * size,
        );
        canvas.shape(outline, Ink::Plush(color));
    });
}

fn ears_behind(canvas: &mut Canvas<'_>, toy: &Toy, look: f32) {
    let size = toy.traits.ear_size;
    let (coat, inner) = (Ink::Plush(toy.coat), Ink::Flat(toy.traits.accent.darker(0.08)));
    let drift = -0.4 * look;
    for s in [-1.0, 1.0] {
        match toy.kind {
            Kind::Bear => {
                let (x, y, r) = (s * 0.78 + drift, -0.66, 0.4 * size);
                canvas.oval(x, y, r, r, coat);
                canvas.oval(x, y + 0.03, 0.58 * r, 0.58 * r, inner);
            }
            Kind::Cat => {
                let (x, tall) = (s * 0.62 + drift, 0.72 * size);
                let ear = |k: f32| {
                    Trace::from(x + s * 0.4 * k, -0.25)
                        .bend(x + s * 0.5 * k, -0.5 - 0.5 * tall * k, x + s * 0.3 * k, -0.5 - tall * k)
                        .bend(x - s * 0.2 * k, -0.5 - 0.6 * tall * k, x - s * 0.48 * k, -0.6)
                };
                canvas.shape(ear(1.0), coat);
                canvas.shape(ear(0.6), Ink::Flat(PINK.mix(toy.traits.accent, 0.3)));
            }
            Kind::Rabbit => {
                let place = [s * 0.42 + drift, -1.2, 0.27, 0.78 * size];
                canvas.tilted(place, s * 0.16, coat);
                canvas.tilted(
                    [place[0], place[1], 0.13, 0.6 * size],
                    s * 0.16,
                    Ink::Flat(PINK.mix(toy.traits.accent, 0.3)),
                );
            }
            Kind::Elephant => {
                let (x, rx, ry) = (s * 1.12 + drift, 0.62 * size, 0.78 * size);
                canvas.tilted([x, -0.12, rx, ry], -s * 0.2, Ink::Plush(toy.coat.darker(0.08)));
                canvas.tilted(
                    [x, -0.08, 0.66 * rx, 0.68 * ry],
                    -s * 0.2,
                    Ink::Plush(PINK.mix(toy.traits.accent, 0.5)),
                );
            }
            _ => {}
        }
    }
    if toy.kind == Kind::Dinosaur {
        for (x, y, lean) in [(-0.62, -0.66, -0.75), (0.0, -0.92, 0.0), (0.62, -0.66, 0.75)] {
            spike(canvas, [x + drift, y], 0.34 * size, lean, toy.traits.trim);
        }
    }
}

/// The head itself, with the pattern on its forehead.
fn skull(canvas: &mut Canvas<'_>, toy: &Toy) {
    let (rx, ry) = match toy.kind {
        Kind::Penguin => (1.05, 0.95),
        Kind::Rabbit => (0.98, 0.88),
        Kind::Dinosaur => (0.92, 0.88),
        Kind::Cat => (1.1, 0.88),
        _ => (1.05, 0.9),
    };
    canvas.oval(0.0, 0.0, rx, ry, Ink::Plush(toy.coat));
    if toy.pattern != Pattern::Plain && toy.kind != Kind::Penguin {
        canvas.inside_oval([0.0, 0.0, rx, ry], |canvas| forehead(canvas, toy, ry));
    }
}

/// Three short stripes, or three spots, between the ears.
fn forehead(canvas: &mut Canvas<'_>, toy: &Toy, ry: f32) {
    let ink = Ink::Flat(toy.traits.pattern_shade);
    for (x, length) in [(-0.34, 0.34), (0.0, 0.46), (0.34, 0.34)] {
        if toy.pattern == Pattern::Striped {
            canvas.stroke(Trace::from(x, -ry - 0.1).line(0.85 * x, -ry + length), 0.17, ink);
        } else {
            let (x, y) = (1.5 * x, if x == 0.0 { -0.68 } else { -0.56 });
            canvas.oval(x, y, 0.17, 0.17, ink);
        }
    }
}

fn face(canvas: &mut Canvas<'_>, toy: &Toy, look: f32) {
    let accent = toy.traits.accent;
    let accessory::Fit { eye_y, apart, .. } = crown(toy);
    let at = |radius: f32| Eyes { look, y: eye_y, apart, radius };
    let ahead = 1.5 * look;
    match toy.kind {
        Kind::Bear => {
            canvas.oval(ahead, 0.38, 0.46, 0.36, Ink::Plush(accent));
            eyes(canvas, toy, at(0.23));
            nose_and_smile(canvas, [ahead, 0.22, 0.17, 0.12], Rgb::INK);
        }
        Kind::Cat => {
            for s in [-1.0, 1.0] {
                canvas.oval(ahead + s * 0.18, 0.42, 0.25, 0.2, Ink::Plush(accent));
                for rise in [0.3, 0.46] {
                    let whisker = Trace::from(ahead + s * 0.45, 0.4)
                        .line(ahead * 0.5 + s * 1.35, rise + 0.3 * (rise - 0.34));
                    canvas.stroke(whisker, 0.07, Ink::Flat(Rgb::INK));
                }
            }
            eyes(canvas, toy, at(0.25));
            nose_and_smile(canvas, [ahead, 0.28, 0.13, 0.09], PINK);
        }
        Kind::Dog => {
            canvas.oval(ahead, 0.6, 0.17, 0.36, Ink::Plush(Rgb([240, 80, 100])));
            canvas.oval(ahead, 0.36, 0.52, 0.42, Ink::Plush(accent));
            eyes(canvas, toy, at(0.22));
            nose_and_smile(canvas, [ahead, 0.16, 0.24, 0.17], Rgb::INK);
            for s in [-1.0, 1.0] {
                let ear = [s * 1.0 - 0.3 * look, 0.12, 0.3, 0.72 * toy.traits.ear_size];
                canvas.tilted(ear, -s * 0.22, Ink::Plush(toy.coat.darker(0.42)));
            }
        }
        Kind::Rabbit => {
            eyes(canvas, toy, at(0.24));
            canvas.block([ahead, 0.62, 0.13, 0.17], 0.05, Ink::Flat(Rgb::WHITE));
            canvas.stroke(
                Trace::from(ahead, 0.5).line(ahead, 0.76),
                0.035,
                Ink::Flat(Rgb::INK.mix(Rgb::WHITE, 0.5)),
            );
            for s in [-1.0, 1.0] {
                canvas.oval(ahead + s * 0.19, 0.4, 0.24, 0.19, Ink::Plush(accent));
            }
            canvas.oval(ahead, 0.27, 0.14, 0.1, Ink::Flat(PINK));
        }
        Kind::Elephant => {
            eyes(canvas, toy, at(0.22));
            trunk(canvas, toy, look);
        }
        Kind::Penguin => {
            for s in [-1.0, 1.0] {
                canvas.oval(look + s * 0.38, -0.08, 0.46, 0.5, Ink::Flat(Rgb::WHITE));
            }
            canvas.oval(look, 0.32, 0.66, 0.42, Ink::Flat(Rgb::WHITE));
            eyes(canvas, toy, at(0.22));
            let beak = |drop: f32| {
                Trace::from(ahead - 0.36, 0.2)
                    .bend(ahead, 0.02, ahead + 0.36, 0.2)
                    .bend(ahead + 0.1, 0.3 + drop, ahead, 0.32 + drop)
                    .bend(ahead - 0.1, 0.3 + drop, ahead - 0.36, 0.2)
            };
            canvas.shape(beak(0.26), Ink::Flat(Rgb::BEAK.darker(0.3)));
            canvas.shape(beak(0.12), Ink::Plush(Rgb::BEAK));
        }
        Kind::Dinosaur => {
            let snout = [1.7 * look, 0.38, 0.78, 0.46];
            eyes(canvas, toy, at(0.25));
            canvas.oval(snout[0], snout[1], snout[2], snout[3], Ink::Plush(toy.coat.lighter(0.25)));
            for s in [-1.0, 1.0] {
                canvas.oval(snout[0] + s * 0.24, 0.16, 0.09, 0.07, Ink::Flat(Rgb::INK));
                let x = snout[0] + s * 0.36;
                canvas.shape(
                    Trace::from(x - 0.11, 0.52).line(x + 0.11, 0.52).line(x, 0.74),
                    Ink::Flat(Rgb::WHITE),
                );
            }
            let grin = Trace::from(snout[0] - 0.62, 0.44).bend(snout[0], 0.64, snout[0] + 0.62, 0.44);
            canvas.stroke(grin, 0.08, Ink::Flat(Rgb::INK));
        }
        Kind::Robot => {}
    }
}

/// The trunk hangs and curls to the side the toy looks to; the tusks stand beside it.
fn trunk(canvas: &mut Canvas<'_>, toy: &Toy, look: f32) {
    let s = if look > 0.0 { 1.0 } else { -1.0 };
    let long = toy.traits.ear_size;
    for side in [-1.0, 1.0] {
        let x = look + side * 0.36;
        let tusk = Trace::from(x - 0.11, 0.35).line(x + 0.11, 0.35).bend(
            x + side * 0.06,
            0.75,
            x + side * 0.16,
            0.86,
        );
        canvas.shape(tusk, Ink::Plush(Rgb::WHITE));
    }
    let bend = |wide: f32| {
        Trace::from(look, 0.2).bend(look - s * 0.1, 1.15 * long, look + s * 0.3, 1.05 * long).bend(
            look + s * (0.56 + wide),
            0.98 * long,
            look + s * 0.55,
            0.72 * long,
        )
    };
    canvas.stroke(bend(0.02), 0.42, Ink::Flat(toy.coat.darker(0.28)));
    canvas.stroke(bend(0.0), 0.34, Ink::Plush(toy.coat.lighter(0.1)));
    for y in [0.5, 0.72] {
        let ring = Trace::from(look - 0.12, y).bend(look, y + 0.07, look + 0.12, y);
        canvas.stroke(ring, 0.06, Ink::Flat(toy.coat.darker(0.25)));
    }
}
