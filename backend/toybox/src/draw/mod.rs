//! Drawing toys: from identity and pose to pixels.

mod accessory;
mod animals;
mod body;
mod canvas;
mod face;
mod pattern;
mod robot;

use tiny_skia::{Pixmap, Transform};

use crate::pose::{Light, Pose};
use crate::toy::{Kind, Toy};

pub(crate) use canvas::{Canvas, Ink, Trace};

/// A transparent picture of so many pixels across and down.
pub(crate) fn blank([width, height]: [u32; 2]) -> Pixmap {
    // Fails only for a side of 0 or one beyond what an allocation can hold; one pixel then stands in.
    Pixmap::new(width, height).unwrap_or_else(|| blank([1; 2]))
}

/// Draws one toy on a transparent layer.
pub(crate) fn toy(layer: &mut Pixmap, toy: &Toy, pose: &Pose, light: &Light) {
    let side = layer.height() as f32;
    let stand = Transform::from_translate(pose.x * side, pose.y * side)
        .pre_concat(Transform::from_rotate(pose.lean.to_degrees()))
        .pre_scale(pose.height * side, pose.height * side);
    let mut canvas = Canvas::new(layer, stand, light.from);
    match toy.kind {
        Kind::Robot => robot::draw(&mut canvas, toy, pose),
        _ => animals::draw(&mut canvas, toy, pose),
    }
}

/// The soft shadow that a toy throws on the ground, away from the light.
pub(crate) fn shadow(picture: &mut Pixmap, pose: &Pose, light: &Light) {
    let side = picture.height() as f32;
    let mut canvas = Canvas::new(picture, Transform::from_scale(side, side), light.from);
    let x = pose.x - 0.06 * light.from * pose.height;
    for (reach, alpha) in [(0.36, 0.10), (0.30, 0.12), (0.24, 0.14)] {
        canvas.oval(
            x,
            pose.y - 0.015 * pose.height,
            reach * pose.height,
            0.22 * reach * pose.height,
            Ink::Shadow(alpha),
        );
    }
}
