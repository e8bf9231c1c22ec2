//! The body that most animals share: torso, arms, feet. Units: the toy's height; (0, 0) is the ground between the feet.

use super::{Canvas, Ink, pattern};
use crate::palette::Rgb;
use crate::pose::Pose;
use crate::toy::{Kind, Pattern, Toy};

/// The proportions of a kind.
pub(crate) struct Build {
    /// Torso: middle x, y and half sides.
    pub(crate) torso: [f32; 4],
    /// Middle of the neck, below which scarf and bow hang.
    pub(crate) neck: f32,
    /// Middle of the head.
    pub(crate) head: f32,
    /// Unit of the head's own coordinates: about half its height.
    pub(crate) head_unit: f32,
    /// Half length and half thickness of an arm.
    arm: [f32; 2],
    /// Half width and half height of a foot.
    foot: [f32; 2],
}

impl Build {
    pub(crate) fn of(toy: &Toy) -> Self {
        let wide = toy.traits.body_width;
        let mut build = Self {
            torso: [0.0, -0.285, 0.215 * wide, 0.245],
            neck: -0.475,
            head: -0.69,
            head_unit: 0.24 * toy.traits.head_size,
            arm: [0.135, 0.07],
            foot: [0.115, 0.075],
        };
        match toy.kind {
            Kind::Rabbit => build.foot = [0.12, 0.085],
            Kind::Elephant => {
                build.torso = [0.0, -0.28, 0.25 * wide, 0.25];
                build.foot = [0.115, 0.095];
                build.arm = [0.13, 0.085];
            }
            Kind::Penguin => {
                build.torso = [0.0, -0.36, 0.265 * wide, 0.35];
                build.neck = -0.53;
                build.head = -0.72;
                build.head_unit = 0.225 * toy.traits.head_size;
                build.arm = [0.17, 0.065];
                build.foot = [0.13, 0.055];
            }
            Kind::Dinosaur => {
                build.torso = [0.0, -0.29, 0.225 * wide, 0.27];
                build.arm = [0.095, 0.055];
                build.foot = [0.125, 0.085];
            }
            _ => {}
        }
        build
    }
}

/// Torso with its pattern, or with a belly when plain.
pub(crate) fn torso(canvas: &mut Canvas<'_>, toy: &Toy, build: &Build) {
    let [x, y, rx, ry] = build.torso;
    canvas.oval(x, y, rx, ry, Ink::Plush(toy.coat));
    if toy.pattern == Pattern::Plain {
        let belly = if toy.kind == Kind::Penguin { Rgb::WHITE } else { toy.traits.accent };
        canvas.oval(x, y + 0.12 * ry, 0.66 * rx, 0.72 * ry, Ink::Plush(belly));
    } else {
        canvas.inside_oval(build.torso, |canvas| pattern::cover(canvas, toy, build.torso));
    }
}

/// Both arms, in front of the torso.
pub(crate) fn arms(canvas: &mut Canvas<'_>, toy: &Toy, pose: &Pose, build: &Build) {
    let [half, thick] = build.arm;
    let [_, _, rx, _] = build.torso;
    let shoulder = if toy.kind == Kind::Penguin { build.neck + 0.06 } else { build.neck + 0.075 };
    for (side, raise) in [(-1.0, pose.arms[0]), (1.0, pose.arms[1])] {
        let raise = if toy.kind == Kind::Penguin { 0.25 + 0.55 * raise } else { raise };
        let x = side * (0.8 * rx) + side * half * raise.sin();
        let y = shoulder + half * raise.cos();
        canvas.tilted([x, y, thick, half + 0.02], -side * raise, Ink::Plush(toy.coat.darker(0.08)));
        if toy.traits.socks && toy.kind != Kind::Penguin {
            let (tip_x, tip_y) = (x + side * 0.62 * half * raise.sin(), y + 0.62 * half * raise.cos());
            canvas.oval(tip_x, tip_y, thick * 0.98, thick * 0.98, Ink::Plush(toy.traits.accent));
        }
    }
}

/// Both feet, in front of the torso.
pub(crate) fn feet(canvas: &mut Canvas<'_>, toy: &Toy, build: &Build) {
    let [rx, ry] = build.foot;
    let color = match toy.kind {
        Kind::Penguin => Rgb::BEAK,
        _ if toy.traits.socks => toy.traits.accent,
        _ => toy.coat.darker(0.06),
    };
    for side in [-1.0, 1.0] {
        let x = side * 0.62 * build.torso[2];
        canvas.oval(x, -ry, rx, ry, Ink::Plush(color));
        match toy.kind {
            Kind::Bear | Kind::Rabbit => {
                let pad = if toy.traits.socks { toy.coat } else { toy.traits.accent };
                canvas.oval(x, -0.9 * ry, 0.55 * rx, 0.6 * ry, Ink::Flat(pad));
            }
            Kind::Elephant | Kind::Dinosaur => {
                for toe in [-0.5, 0.0, 0.5] {
                    canvas.oval(x + toe * rx, -0.35 * ry, 0.2 * rx, 0.24 * ry, Ink::Flat(Rgb::CREAM));
                }
            }
            _ => {}
        }
    }
}
