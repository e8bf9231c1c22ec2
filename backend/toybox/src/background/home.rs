//! Rooms and streets.

use rand::Rng;

use super::{area, ground, rgb, sky};
use crate::draw::{Canvas, Ink, Trace};
use crate::palette::Rgb;

pub(super) fn bedroom(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    area(c, 0.0, 0.0, 1.0, h, Ink::Flat(rgb(250, 208, 220)));
    for i in 0u8..7 {
        let x = 0.15 * f32::from(i);
        area(c, x, 0.0, x + 0.07, h, Ink::Flat(rgb(246, 190, 206)));
    }
    let flip = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let at = |x: f32| 0.5 + flip * (x - 0.5);
    let x = at(rng.random_range(0.2..0.28));
    c.block([x, 0.24, 0.15, 0.16], 0.01, Ink::Flat(Rgb::WHITE));
    c.block([x, 0.24, 0.125, 0.135], 0.0, Ink::Fade(rgb(120, 200, 252), rgb(210, 240, 255)));
    area(c, x - 0.012, 0.1, x + 0.012, 0.38, Ink::Flat(Rgb::WHITE));
    area(c, x - 0.13, 0.228, x + 0.13, 0.252, Ink::Flat(Rgb::WHITE));
    ground(c, h, rgb(206, 150, 98), rgb(182, 124, 76));
    area(c, 0.0, h - 0.02, 1.0, h + 0.012, Ink::Flat(Rgb::WHITE));
    for y in [0.12, 0.24] {
        area(c, 0.0, h + y, 1.0, h + y + 0.012, Ink::Flat(rgb(162, 108, 64)));
    }
    // The bed stands against the wall.
    let b = at(0.8);
    c.block([b, h - 0.13, 0.25, 0.19], 0.06, Ink::Fade(rgb(164, 104, 60), rgb(130, 78, 44)));
    c.block([b, h - 0.1, 0.2, 0.07], 0.05, Ink::Flat(Rgb::WHITE));
    c.block([b, h + 0.03, 0.25, 0.11], 0.04, Ink::Fade(rgb(126, 140, 232), rgb(92, 100, 200)));
    c.oval(rng.random_range(0.35..0.6), 0.9, 0.36, 0.075, Ink::Flat(rgb(244, 226, 240)));
}

pub(super) fn kitchen(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    area(c, 0.0, 0.0, 1.0, h, Ink::Flat(rgb(252, 246, 224)));
    for i in 0u8..8 {
        let at = 0.125 * f32::from(i) + 0.06;
        area(c, at - 0.006, 0.0, at + 0.006, h, Ink::Flat(rgb(226, 216, 188)));
        area(c, 0.0, at - 0.006, 1.0, (at + 0.006).min(h), Ink::Flat(rgb(226, 216, 188)));
    }
    // Wall cupboards, the counter with a pot on it, and doors below.
    for i in 0u8..4 {
        let x = 0.26 * f32::from(i) + 0.11;
        c.block([x, 0.06, 0.12, 0.1], 0.015, Ink::Flat(rgb(176, 196, 214)));
        c.block([x, h - 0.11, 0.12, 0.12], 0.015, Ink::Flat(rgb(176, 196, 214)));
        c.oval(x + 0.07, 0.1, 0.014, 0.014, Ink::Flat(Rgb::WHITE));
        c.oval(x + 0.07, h - 0.16, 0.014, 0.014, Ink::Flat(Rgb::WHITE));
    }
    let x = rng.random_range(0.15..0.85);
    c.block([x, h - 0.32, 0.1, 0.07], 0.025, Ink::Fade(rgb(240, 96, 80), rgb(196, 56, 50)));
    area(c, x - 0.12, h - 0.41, x + 0.12, h - 0.38, Ink::Flat(rgb(150, 40, 40)));
    area(c, 0.0, h - 0.26, 1.0, h - 0.21, Ink::Flat(rgb(150, 106, 74)));
    // A chequered floor whose rows grow towards the viewer.
    ground(c, h, rgb(248, 248, 248), rgb(248, 248, 248));
    let shift: f32 = rng.random_range(-0.05..0.05);
    let rows = [h, h + 0.07, h + 0.17, h + 0.31, h + 0.5];
    for (row, edge) in rows.windows(2).enumerate() {
        for column in -7i8..7 {
            if (i32::from(column) + row as i32) % 2 == 0 {
                let x = |i: i8, y: f32| 0.5 + shift + (f32::from(i) * 0.12) * (1.0 + 2.2 * (y - h));
                let tile = Trace::from(x(column, edge[0]), edge[0])
                    .line(x(column + 1, edge[0]), edge[0])
                    .line(x(column + 1, edge[1]), edge[1])
                    .line(x(column, edge[1]), edge[1]);
                c.shape(tile, Ink::Flat(rgb(70, 84, 110)));
            }
        }
    }
}

pub(super) fn city(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    sky(c, h, rgb(150, 190, 226), rgb(226, 234, 240));
    let walls = [rgb(112, 126, 152), rgb(150, 112, 110), rgb(92, 104, 136), rgb(170, 150, 130)];
    for i in 0u8..5 {
        let x = f32::from(i) * 0.21 - 0.02;
        let top = rng.random_range(0.1..0.36);
        let wall = walls[(usize::from(i) + rng.random_range(0..2)) % walls.len()];
        area(c, x, top, x + 0.2, h, Ink::Flat(wall));
        for row in 0u8..6 {
            let y = top + 0.05 + 0.09 * f32::from(row);
            if y < h - 0.06 {
                for w in [0.035, 0.115] {
                    let lit = rng.random_bool(0.7);
                    let glass = if lit { rgb(255, 232, 150) } else { rgb(70, 84, 112) };
                    area(c, x + w, y, x + w + 0.05, y + 0.05, Ink::Flat(glass));
                }
            }
        }
    }
    ground(c, h, rgb(98, 100, 110), rgb(74, 76, 86));
    area(c, 0.0, h - 0.015, 1.0, h + 0.045, Ink::Flat(rgb(190, 190, 194)));
    let shift: f32 = rng.random_range(0.0..0.2);
    for i in -1i8..5 {
        let x = f32::from(i) * 0.26 + shift;
        area(c, x, h + 0.17, x + 0.14, h + 0.2, Ink::Flat(rgb(250, 246, 230)));
    }
}
