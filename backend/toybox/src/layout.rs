//! Where toys stand: sizes and places such that each stays mostly visible and none leaves the picture.

use rand::Rng;

use crate::background::Background;
use crate::pose::Pose;
use crate::toy::{AccessoryKind, Kind, Toy};

/// A toy's reach to either side of its feet, in shares of its height.
const HALF_WIDTH: f32 = 0.40;
/// The largest share of one toy's box that the boxes before it may cover.
const COVERED: f32 = 0.32;

/// How far above its feet a toy reaches, in shares of its height.
fn reach(toy: &Toy) -> f32 {
    let hat = toy.accessory.as_ref().is_some_and(|worn| worn.kind == AccessoryKind::Hat);
    match (toy.kind, hat) {
        (_, true) => 1.25,
        (Kind::Rabbit | Kind::Robot, false) => 1.22,
        (_, false) => 1.06,
    }
}

/// How far to either side a toy reaches with its arms out, leaning: what must fit into the picture.
fn span(toy: &Toy) -> f32 {
    if toy.kind == Kind::Elephant { 0.54 } else { 0.47 }
}

/// One pose for each toy, in the order of the toys, which is from left to right, in a picture `width` times as wide as high.
pub(crate) fn place(rng: &mut impl Rng, background: Background, toys: &[Toy], width: f32) -> Vec<Pose> {
    let heights = match (toys.len() as f32 / width).ceil() as usize {
        0 | 1 => 0.45..0.82,
        2 => 0.42..0.62,
        3 => 0.36..0.52,
        4 => 0.32..0.43,
        _ => 0.29..0.37,
    };
    for _ in 0..200 {
        let mut spots: Vec<[f32; 3]> = toys
            .iter()
            .enumerate()
            .map(|(i, toy)| {
                let height = rng.random_range(heights.clone());
                let half = span(toy) * height;
                let free = rng.random_range(half..width - half);
                // Many toys find room only if each keeps near its own part of the width.
                let slot = (i as f32 + rng.random_range(0.2..0.8)) / toys.len() as f32 * width;
                let x = if toys.len() < 3 { free } else { slot.clamp(half, width - half) };
                let needed = reach(toy) * height;
                let far = if background == Background::Simple { needed } else { background.horizon() + 0.08 };
                let y = rng.random_range(needed.max(far).min(0.96)..0.98);
                [x, y, height]
            })
            .collect();
        spots.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let fits = spots.iter().zip(toys).all(|([_, y, height], toy)| reach(toy) * height <= *y);
        if fits && mostly_visible(&spots) {
            return spots.iter().map(|&[x, y, height]| Pose::random_at(rng, x, y, height)).collect();
        }
    }
    in_a_row(rng, toys.len(), width)
}

/// Toys side by side, when no freer arrangement was found.
fn in_a_row(rng: &mut impl Rng, count: usize, width: f32) -> Vec<Pose> {
    let width = width / count.max(1) as f32;
    (0..count)
        .map(|i| {
            let height = (width / (2.0 * HALF_WIDTH)).min(0.65) * rng.random_range(0.9..1.1);
            let y = rng.random_range(0.9..0.97);
            Pose::random_at(rng, (i as f32 + 0.5) * width, y, height)
        })
        .collect()
}

fn mostly_visible(spots: &[[f32; 3]]) -> bool {
    spots.iter().enumerate().all(|(i, behind)| {
        let covered: f32 = spots
            .iter()
            .enumerate()
            .filter(|(j, front)| *j != i && front[1] >= behind[1])
            .map(|(_, front)| overlap(*behind, *front))
            .sum();
        let [_, _, height] = *behind;
        covered <= COVERED * 2.0 * HALF_WIDTH * height * height
    })
}

/// The area that the boxes of two spots share.
fn overlap([ax, ay, ah]: [f32; 3], [bx, by, bh]: [f32; 3]) -> f32 {
    let width =
        (ax + HALF_WIDTH * ah).min(bx + HALF_WIDTH * bh) - (ax - HALF_WIDTH * ah).max(bx - HALF_WIDTH * bh);
    let height = ay.min(by) - (ay - ah).max(by - bh);
    width.max(0.0) * height.max(0.0)
}
