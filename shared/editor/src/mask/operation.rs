//! What can be done to a mask, as data: an operation gives the same bytes whenever and wherever it is applied.

use image::GrayImage;
use mudi_domain::geometry::Rect;
use serde::{Deserialize, Serialize};

use super::brush::{self, Dab};
use super::tiles::{self, Patch, rewrite};
use super::{morphology, polygon};

/// What a tool does to the coverage where it draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ink {
    /// Adds to the subject.
    #[default]
    Add,
    /// Takes away from it.
    Remove,
}

impl Ink {
    /// The coverage of a pixel that had `old`, after a tool that covers it by `coverage`.
    #[must_use]
    pub fn lay(self, old: u8, coverage: u8) -> u8 {
        match self {
            Self::Add => old.max(coverage),
            Self::Remove => old.min(255 - coverage),
        }
    }

    /// The other one.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Add => Self::Remove,
            Self::Remove => Self::Add,
        }
    }
}

/// How a mask that was found is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// It takes the place of what there is.
    #[default]
    Replace,
    /// It is added.
    Add,
    /// It is taken away.
    Remove,
}

/// One thing done to a mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A line of the brush or the eraser.
    Stroke {
        /// Which of the two.
        ink: Ink,
        /// The share of the radius that is covered wholly, 0 to 1.
        hardness: f32,
        /// The places it goes through; a single one is a dot.
        dabs: Vec<Dab>,
    },
    /// What a closed line runs around.
    Polygon {
        /// Added or taken away.
        ink: Ink,
        /// Its corners, in pixels of the photo.
        corners: Vec<[f32; 2]>,
    },
    /// Growing by a number of pixels.
    Grow(u32),
    /// Shrinking by a number of pixels.
    Shrink(u32),
    /// Softening the edge by a number of pixels.
    Feather(u32),
    /// Subject and background change places.
    Invert,
    /// Nothing is the subject.
    Clear,
    /// Everything is the subject.
    Fill,
    /// Tiles put in place: what was found by looking at the photo, by the server, or in another window.
    Patch(Patch),
}

impl Operation {
    /// What it is called in the history.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stroke { ink: Ink::Add, .. } => "Brush",
            Self::Stroke { ink: Ink::Remove, .. } => "Eraser",
            Self::Polygon { .. } => "Lasso",
            Self::Grow(_) => "Grow",
            Self::Shrink(_) => "Shrink",
            Self::Feather(_) => "Feather",
            Self::Invert => "Invert",
            Self::Clear => "Clear",
            Self::Fill => "Fill",
            Self::Patch(_) => "Selection",
        }
    }

    /// Applies it. What is changed is kept in `before` first; the rectangle returned holds every pixel that has changed.
    pub(super) fn apply(&self, mask: &mut GrayImage, before: &mut Patch) -> Option<Rect> {
        match self {
            Self::Stroke { ink, hardness, dabs } => {
                // As it was drawn: the place where it begins, then line by line.
                let start = dabs.first().map(|&dab| (dab, dab));
                let lines = dabs.windows(2).map(|ends| (ends[0], ends[1]));
                start
                    .into_iter()
                    .chain(lines)
                    .filter_map(|(from, to)| brush::draw(mask, before, from, to, *hardness, *ink))
                    .reduce(|a, b| a.union(&b))
            }
            Self::Polygon { ink, corners } => polygon::fill(mask, before, corners, *ink),
            Self::Grow(radius) => morphology::grow(mask, before, *radius),
            Self::Shrink(radius) => morphology::shrink(mask, before, *radius),
            Self::Feather(radius) => morphology::feather(mask, before, *radius),
            Self::Invert => rewrite(mask, before, |_, pixels| pixels.iter_mut().for_each(|p| *p = 255 - *p)),
            Self::Clear => rewrite(mask, before, |_, pixels| pixels.fill(0)),
            Self::Fill => rewrite(mask, before, |_, pixels| pixels.fill(255)),
            Self::Patch(patch) => {
                *before = patch.exchange(mask);
                before.bounds(mask.width(), mask.height())
            }
        }
    }
}

/// The tiles of `mask` as they are after `found`, a mask of the same size, is taken over.
#[must_use]
pub(super) fn taken_over(mask: &GrayImage, found: &GrayImage, how: Combine) -> Patch {
    let (mut after, mut before) = (mask.clone(), Patch::default());
    if mask.dimensions() == found.dimensions() {
        let mut pixels_found = Vec::new();
        rewrite(&mut after, &mut before, |tile, pixels| {
            tiles::read(found, tile, &mut pixels_found);
            for (pixel, &found) in pixels.iter_mut().zip(&pixels_found) {
                *pixel = match how {
                    Combine::Replace => found,
                    Combine::Add => Ink::Add.lay(*pixel, found),
                    Combine::Remove => Ink::Remove.lay(*pixel, found),
                };
            }
        });
    }
    before.as_now(&after)
}
