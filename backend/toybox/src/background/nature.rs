//! Places under the open sky.

use rand::Rng;

use super::{area, ground, rgb, sky};
use crate::draw::{Canvas, Ink, Trace};
use crate::palette::Rgb;

fn cloud(c: &mut Canvas<'_>, x: f32, y: f32, s: f32) {
    for (dx, dy, r) in [(-0.09, 0.015, 0.05), (0.0, -0.01, 0.07), (0.09, 0.015, 0.05)] {
        c.oval(x + s * dx, y + s * dy, s * r * 1.2, s * r, Ink::Flat(Rgb::WHITE));
    }
}

pub(super) fn garden(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    sky(c, h, rgb(120, 196, 250), rgb(206, 236, 255));
    cloud(c, rng.random_range(0.1..0.9), rng.random_range(0.1..0.2), rng.random_range(0.8..1.3));
    let shift: f32 = rng.random_range(0.0..0.3);
    for i in -1i8..4 {
        let x = f32::from(i) * 0.34 + shift;
        c.oval(x, h, 0.22, 0.17, Ink::Fade(rgb(96, 168, 72), rgb(58, 128, 58)));
    }
    for i in 0u8..12 {
        let x = f32::from(i) * 0.09 + 0.3 * shift - 0.04;
        let post = Trace::from(x - 0.026, h + 0.02)
            .line(x - 0.026, h - 0.13)
            .line(x, h - 0.17)
            .line(x + 0.026, h - 0.13);
        c.shape(post.line(x + 0.026, h + 0.02), Ink::Flat(rgb(250, 250, 245)));
    }
    area(c, 0.0, h - 0.09, 1.0, h - 0.06, Ink::Flat(rgb(228, 228, 226)));
    ground(c, h, rgb(134, 204, 82), rgb(84, 164, 60));
    for i in 0..9 {
        let (x, y) = (rng.random_range(0.02..0.98), h + 0.05 + 0.038 * i as f32);
        let r = 0.012 + 0.016 * (y - h);
        let petals = [rgb(255, 110, 150), rgb(255, 240, 250), rgb(255, 214, 60), rgb(190, 120, 240)];
        let color = petals[rng.random_range(0..petals.len())];
        for (dx, dy) in [(-1.2, 0.0), (1.2, 0.0), (0.0, -1.2), (0.0, 1.2)] {
            c.oval(x + dx * r, y + dy * r, r, r, Ink::Flat(color));
        }
        c.oval(x, y, r, r, Ink::Flat(rgb(255, 180, 40)));
    }
}

pub(super) fn beach(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    sky(c, h, rgb(92, 190, 255), rgb(200, 238, 255));
    let flip = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let across = |x: f32| 0.5 + flip * x;
    c.oval(across(-0.3), 0.16, 0.085, 0.085, Ink::Flat(rgb(255, 232, 92)));
    area(c, 0.0, h - 0.2, 1.0, h + 0.02, Ink::Fade(rgb(20, 110, 200), rgb(52, 190, 214)));
    let wave = rng.random_range(-0.015..0.015);
    let shore = Trace::from(0.0, h).bend(0.25, h + 0.05 + wave, 0.5, h).bend(0.75, h - 0.05 + wave, 1.0, h);
    c.shape(shore.line(1.0, 1.0).line(0.0, 1.0), Ink::Fade(rgb(255, 236, 178), rgb(236, 196, 120)));
    let foam = Trace::from(0.0, h).bend(0.25, h + 0.05 + wave, 0.5, h).bend(0.75, h - 0.05 + wave, 1.0, h);
    c.stroke(foam, 0.025, Ink::Flat(Rgb::WHITE));
    let (x, y) = (across(rng.random_range(0.26..0.36)), h - 0.22);
    c.stroke(Trace::from(x, y).line(x + 0.02 * flip, h + 0.16), 0.022, Ink::Flat(rgb(250, 250, 250)));
    for (k, color) in [(1.0, rgb(240, 70, 70)), (0.62, Rgb::WHITE), (0.24, rgb(240, 70, 70))] {
        let top = Trace::from(x - 0.24 * k, y + 0.08).bend(x - 0.2 * k, y - 0.1, x, y - 0.1);
        c.shape(top.bend(x + 0.2 * k, y - 0.1, x + 0.24 * k, y + 0.08), Ink::Flat(color));
    }
    let (x, y) = (rng.random_range(0.1..0.9), rng.random_range(0.86..0.95));
    for i in 0u8..5 {
        let angle = f32::from(i) * std::f32::consts::TAU / 5.0;
        c.stroke(
            Trace::from(x, y).line(x + 0.035 * angle.sin(), y - 0.03 * angle.cos()),
            0.022,
            Ink::Flat(rgb(255, 120, 80)),
        );
    }
}

fn fir(c: &mut Canvas<'_>, x: f32, y: f32, s: f32) {
    area(c, x - 0.02 * s, y - 0.06 * s, x + 0.02 * s, y, Ink::Flat(rgb(110, 76, 56)));
    for (up, half) in [(0.05, 0.15), (0.17, 0.12), (0.28, 0.085)] {
        let (foot, top) = (y - up * s, y - (up + 0.19) * s);
        let tier = Trace::from(x - half * s, foot).line(x, top).line(x + half * s, foot);
        c.shape(tier, Ink::Flat(rgb(36, 112, 92)));
        let snow = Trace::from(x - 0.45 * half * s, foot - 0.105 * s)
            .line(x, top)
            .line(x + 0.45 * half * s, foot - 0.105 * s);
        c.shape(snow, Ink::Flat(Rgb::WHITE));
    }
}

pub(super) fn snow(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    sky(c, h, rgb(148, 178, 214), rgb(222, 232, 244));
    c.oval(0.2, h + 0.1, 0.55, 0.2, Ink::Flat(rgb(226, 236, 250)));
    c.oval(0.85, h + 0.1, 0.5, 0.17, Ink::Flat(rgb(216, 228, 246)));
    let near = rng.random_range(0.1..0.24);
    fir(c, near, h + 0.03, rng.random_range(0.9..1.2));
    fir(c, near + rng.random_range(0.55..0.7), h + 0.03, rng.random_range(0.8..1.2));
    fir(c, near + rng.random_range(0.24..0.4), h, rng.random_range(0.5..0.7));
    ground(c, h, rgb(244, 248, 255), rgb(218, 230, 248));
    for _ in 0..26 {
        let (x, y, r) =
            (rng.random_range(0.0..1.0), rng.random_range(0.0..0.95), rng.random_range(0.007..0.014));
        c.oval(x, y, r, r, Ink::Flat(Rgb::WHITE));
    }
}

pub(super) fn night_sky(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    sky(c, h, rgb(14, 16, 62), rgb(58, 48, 130));
    for _ in 0..22 {
        let (x, y, r) =
            (rng.random_range(0.0..1.0), rng.random_range(0.0..h - 0.06), rng.random_range(0.006..0.014));
        c.oval(x, y, r, r, Ink::Flat(rgb(255, 248, 210)));
    }
    let x = if rng.random_bool(0.5) { rng.random_range(0.12..0.3) } else { rng.random_range(0.7..0.88) };
    c.oval(x, 0.17, 0.11, 0.11, Ink::Flat(rgb(255, 240, 170)));
    c.oval(x + 0.05, 0.145, 0.09, 0.09, Ink::Flat(rgb(22, 21, 74)));
    c.oval(rng.random_range(0.0..0.3), h + 0.12, 0.5, 0.2, Ink::Flat(rgb(34, 44, 92)));
    c.oval(rng.random_range(0.7..1.0), h + 0.12, 0.5, 0.17, Ink::Flat(rgb(28, 38, 84)));
    ground(c, h, rgb(34, 62, 92), rgb(20, 36, 66));
}

fn cactus(c: &mut Canvas<'_>, x: f32, y: f32, s: f32) {
    let green = Ink::Flat(rgb(60, 140, 74));
    c.stroke(Trace::from(x, y).line(x, y - 0.36 * s), 0.085 * s, green);
    for (side, up) in [(-1.0, 0.14), (1.0, 0.2)] {
        let arm = Trace::from(x, y - up * s)
            .line(x + side * 0.11 * s, y - up * s)
            .line(x + side * 0.11 * s, y - (up + 0.12) * s);
        c.stroke(arm, 0.06 * s, green);
    }
}

pub(super) fn desert(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    sky(c, h, rgb(255, 170, 92), rgb(255, 226, 160));
    c.oval(rng.random_range(0.3..0.7), 0.2, 0.11, 0.11, Ink::Flat(rgb(255, 246, 190)));
    c.oval(rng.random_range(0.1..0.3), h + 0.1, 0.5, 0.2, Ink::Flat(rgb(222, 138, 76)));
    c.oval(rng.random_range(0.7..1.0), h + 0.1, 0.45, 0.25, Ink::Flat(rgb(206, 120, 66)));
    ground(c, h, rgb(244, 180, 104), rgb(224, 148, 78));
    cactus(c, rng.random_range(0.08..0.2), h + 0.08, rng.random_range(0.9..1.25));
    cactus(c, rng.random_range(0.78..0.92), h + 0.04, rng.random_range(0.8..1.1));
    for y in [0.12, 0.22, 0.33] {
        let x = rng.random_range(0.0..0.6);
        c.stroke(
            Trace::from(x, h + y).bend(x + 0.2, h + y - 0.04, x + 0.4, h + y),
            0.014,
            Ink::Flat(rgb(206, 130, 66)),
        );
    }
}

pub(super) fn forest(c: &mut Canvas<'_>, rng: &mut impl Rng, h: f32) {
    sky(c, h, rgb(34, 92, 58), rgb(120, 170, 92));
    for i in 0u8..6 {
        let x = f32::from(i) * 0.2 + rng.random_range(-0.06..0.06);
        area(c, x - 0.025, 0.0, x + 0.025, h + 0.02, Ink::Flat(rgb(70, 92, 60)));
    }
    ground(c, h, rgb(74, 122, 56), rgb(44, 84, 42));
    for i in 0u8..4 {
        let x = f32::from(i) * 0.3 + rng.random_range(0.0..0.12);
        let foot = h + 0.06;
        let trunk =
            Trace::from(x - 0.05, 0.0).line(x - 0.05, foot - 0.08).bend(x - 0.05, foot, x - 0.1, foot);
        let trunk = trunk.line(x + 0.1, foot).bend(x + 0.05, foot, x + 0.05, foot - 0.08).line(x + 0.05, 0.0);
        c.shape(trunk, Ink::Flat(rgb(106, 70, 44)));
    }
    for i in 0u8..7 {
        let x = f32::from(i) * 0.17 + rng.random_range(-0.05..0.05);
        let (rx, ry) = (rng.random_range(0.12..0.17), rng.random_range(0.1..0.17));
        c.oval(x, 0.0, rx, ry, Ink::Flat(rgb(34, 104, 50)));
    }
    for _ in 0..4 {
        let (x, y) = (rng.random_range(0.05..0.95), rng.random_range(h + 0.08..0.97));
        area(c, x - 0.014, y - 0.035, x + 0.014, y, Ink::Flat(Rgb::CREAM));
        let cap = Trace::from(x - 0.05, y - 0.03).bend(x - 0.04, y - 0.085, x, y - 0.085);
        c.shape(cap.bend(x + 0.04, y - 0.085, x + 0.05, y - 0.03), Ink::Flat(rgb(222, 52, 44)));
    }
}
