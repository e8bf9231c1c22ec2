//! Seg-Mix: random collages of segmented subjects (MuDI, section 4.1).
//!
//! Every length of the paper is for a canvas of 1024 pixels and scales with the canvas. The law, for two subjects:
//! the largest factor at which a cutout of w x h pixels fits its half of the canvas (`max_width` gives more room) is
//! `f_max = min((S/2 - 32)/w, (S - 32)/h)`; the factor is uniform in `[0.75 f_max, f_max]`; the left one's left margin
//! and the right one's right margin are uniform in `[1, 256]` pixels, the height on the canvas is uniform, and so is who
//! lies on top. Margins that large let subjects overlap, and they must: without overlap, neighbours mix or vanish
//! (MuDI, appendix B.2).
//!
//! More than two (the paper draws layouts of up to five and leaves their law open) stand in as many slots: the outer
//! two as above, with margins shrunk to `512/n`, the inner ones at even steps between them with a jitter of a quarter
//! slot. A cutout may be 1.4 slots wide, which makes neighbours overlap.
//!
//! On a canvas that is not square lengths across scale with its width, lengths down with its height, and the border of
//! 32 pixels with the shorter of both.

use rand::Rng;
use rand::seq::SliceRandom;

use crate::collage::{self, Collage, CollageError, Piece, check};
use crate::cutout::{Cutout, Turn};
use crate::geometry::Rect;
use crate::recipe::{Recipe, RelativeSizes};
use crate::rng::Stream;
use crate::subject::SubjectId;

#[cfg(test)]
mod tests;

/// The canvas for which the paper gives its lengths, in pixels.
pub const REFERENCE: f64 = 1024.0;
/// What a cutout leaves free of its slot, in pixels of the reference canvas.
const BORDER: f64 = 32.0;
/// The widest cutout, in slots, where there are three or more, within `max_width`.
const SLOT_SHARE: f64 = 1.4;

/// How the sizes of a collage's subjects relate.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Sizes {
    /// Each subject's factor is drawn by itself.
    #[default]
    Free,
    /// Each subject has its largest factor times its relative size (the largest of the collage counting as 1).
    Relative(RelativeSizes),
}

/// The free numbers of the Seg-Mix law.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The smallest factor, as a fraction of the largest one that fits, in (0, 1].
    pub min_scale: f64,
    /// The room for the width of one of two subjects, as a fraction of the canvas's, in (0, 1]; half of it in the paper.
    pub max_width: f64,
    /// The largest outer margin, in pixels of the 1024 canvas, 1..=512. Larger margins overlap more.
    pub margin: u32,
    /// How the sizes relate.
    pub sizes: Sizes,
}

impl Default for Options {
    fn default() -> Self {
        Self { min_scale: 0.75, max_width: 0.5, margin: 256, sizes: Sizes::Free }
    }
}

impl From<&Recipe> for Options {
    fn from(recipe: &Recipe) -> Self {
        let sizes = if recipe.relative_sizes.is_empty() {
            Sizes::Free
        } else {
            Sizes::Relative(recipe.relative_sizes.clone())
        };
        Self { min_scale: recipe.min_scale, max_width: recipe.max_width, margin: recipe.margin, sizes }
    }
}

/// A cutout's size before it is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Whose it is.
    pub subject: SubjectId,
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
}

/// Where a cutout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The cutout's box, in pixels of the canvas, wholly on it.
    pub rect: Rect,
    /// The stacking order: larger lies on top; no two are equal.
    pub z: i32,
}

/// A random Seg-Mix collage of `items` on a canvas of `size` pixels (width and height); a pair for training.
///
/// # Errors
/// Where the canvas is out of range, or there are no or too many items.
pub fn compose(
    rng: &mut Stream,
    size: (u32, u32),
    items: &[(SubjectId, &Cutout)],
    options: &Options,
) -> Result<Collage, CollageError> {
    let shapes: Vec<Shape> = items
        .iter()
        .map(|(subject, cutout)| Shape {
            subject: subject.clone(),
            width: cutout.width(),
            height: cutout.height(),
        })
        .collect();
    let slots = arrange(rng, size, &shapes, options)?;
    let pieces: Vec<Piece<'_>> = items
        .iter()
        .zip(slots)
        .map(|((subject, cutout), slot)| Piece {
            subject: subject.clone(),
            cutout,
            rect: slot.rect,
            turn: Turn::default(),
            z: slot.z,
        })
        .collect();
    collage::render(size, &pieces)
}

/// Random places for `shapes` on a canvas of `size` pixels (width and height), in the order of `shapes`.
///
/// # Errors
/// Where the canvas is out of range, or there are no or too many shapes.
pub fn arrange(
    rng: &mut Stream,
    size: (u32, u32),
    shapes: &[Shape],
    options: &Options,
) -> Result<Vec<Slot>, CollageError> {
    check(size, shapes.len(), 1)?;
    let sizes = scaled_sizes(rng, size, shapes, options);
    let count = shapes.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(rng);
    let mut stack: Vec<usize> = (0..count).collect();
    stack.shuffle(rng);
    let lefts = left_edges(rng, size.0, &order.iter().map(|&i| sizes[i].0).collect::<Vec<_>>(), options);
    let mut slots = vec![Slot { rect: Rect::whole(1, 1), z: 0 }; count];
    for (&index, left) in order.iter().zip(lefts) {
        let (width, height) = sizes[index];
        let y = rng.random_range(0..=size.1 - height);
        slots[index].rect = Rect::new(left as i32, y as i32, width, height);
    }
    for (z, &index) in (0..).zip(&stack) {
        slots[index].z = z;
    }
    Ok(slots)
}

/// Width and height of each shape on the canvas, in pixels, at least 1 and at most the canvas's.
fn scaled_sizes(rng: &mut Stream, size: (u32, u32), shapes: &[Shape], options: &Options) -> Vec<(u32, u32)> {
    let (across, down) = (f64::from(size.0), f64::from(size.1));
    let border = BORDER * across.min(down) / REFERENCE;
    // Layouts hold nothing that is longer than two heights.
    let room = (across * options.max_width.clamp(0.01, 1.0)).min(2.0 * down);
    let slot = if shapes.len() > 2 { room.min(SLOT_SHARE * across / shapes.len() as f64) } else { room };
    let (max_width, max_height) = ((slot - border).max(1.0), down - border);
    let extent = |shape: &Shape| (f64::from(shape.width.max(1)), f64::from(shape.height.max(1)));
    let largest = |shape: &Shape| {
        let (width, height) = extent(shape);
        (max_width / width).min(max_height / height)
    };
    let least = options.min_scale.clamp(0.01, 1.0);
    let factors: Vec<f64> = match &options.sizes {
        Sizes::Free => shapes.iter().map(|s| largest(s) * rng.random_range(least..=1.0)).collect(),
        Sizes::Relative(relative) => {
            let top = shapes.iter().map(|s| relative.of(&s.subject)).fold(f64::MIN_POSITIVE, f64::max);
            shapes.iter().map(|s| largest(s) * relative.of(&s.subject) / top).collect()
        }
    };
    let fit = |length: f64, limit: f64| (length.round() as u32).clamp(1, limit.floor() as u32);
    shapes
        .iter()
        .zip(factors)
        .map(|(shape, factor)| {
            let (width, height) = extent(shape);
            (fit(width * factor, max_width), fit(height * factor, max_height))
        })
        .collect()
}

/// The left edge of each of `widths`, which are ordered from left to right, on a canvas `size` pixels wide.
fn left_edges(rng: &mut Stream, size: u32, widths: &[u32], options: &Options) -> Vec<u32> {
    let count = widths.len() as f64;
    let side = f64::from(size);
    let margin = f64::from(options.margin) * side / REFERENCE * (2.0 / count).min(1.0);
    let margin = (margin.round() as u32).max(1);
    match widths {
        [] => Vec::new(),
        // Alone, a subject may stand anywhere.
        [width] => vec![rng.random_range(0..=size - width)],
        [first, inner @ .., last] => {
            // A narrow canvas or a huge margin must not push anything over the edge.
            let left = rng.random_range(1..=margin).min(size - first);
            let right = (size - last).saturating_sub(rng.random_range(1..=margin));
            let start = f64::from(left) + f64::from(*first) / 2.0;
            let step = (f64::from(right) + f64::from(*last) / 2.0 - start) / (count - 1.0);
            let jitter = side / count / 4.0;
            let mut edges = vec![left];
            for (position, &width) in (1u32..).zip(inner) {
                let center = start + step * f64::from(position) + rng.random_range(-jitter..=jitter);
                let edge = (center - f64::from(width) / 2.0).round().max(0.0) as u32;
                edges.push(edge.min(size - width));
            }
            edges.push(right);
            edges
        }
    }
}
