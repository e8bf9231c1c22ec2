//! Layouts: where each subject goes on the canvas that seeds the mean-shifted noise (MuDI, section 4.2).
//!
//! A layout is drawn at random, dragged together by a person or proposed by a language model; in each case it is this
//! JSON, and [`Layout::render`] makes of it the collage that is encoded:
//!
//! ```json
//! {"version": 1, "subjects": [{"subject": "a", "photo": 2, "x": 0.1, "y": 0.3, "width": 0.4, "z": 1}]}
//! ```
//!
//! Its canvas is a square, or has the proportions of `"aspect": "3:2"`. Lengths are fractions of the canvas's height, across as well, so
//! that a turned subject keeps its shape: at 3:2 the right edge is at 1.5.

use serde::{Deserialize, Serialize};

use crate::aspect::Aspect;
use crate::collage::{self, Collage, CollageError, MAX_SUBJECTS, Piece};
use crate::cutout::{Cutout, Turn, turned_extent};
use crate::geometry::UnitBox;
use crate::rng::Stream;
use crate::segmix::{self, Options, Shape};
use crate::subject::SubjectId;

#[cfg(test)]
mod tests;

/// The version of the format that this crate reads and writes.
pub const VERSION: u32 = 1;
/// Where the corners of what is on a square canvas may lie, in canvases; on a wider one as far as its right edge.
pub const CORNER: std::ops::RangeInclusive<f64> = -2.0..=1.0;
/// The smallest and the largest extent of a subject, in heights of the canvas.
pub const EXTENT: std::ops::RangeInclusive<f64> = 0.0005..=2.0;
/// How far a subject may be turned, in degrees.
pub const ROTATION: std::ops::RangeInclusive<f64> = -360.0..=360.0;

/// An arrangement of subjects on a canvas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Layout {
    /// The format's version, which is 1.
    pub version: u32,
    /// The canvas's proportions; absent: a square.
    #[serde(default, skip_serializing_if = "Aspect::is_square")]
    pub aspect: Aspect,
    /// The subjects, 1 to 8.
    pub subjects: Vec<Placement>,
}

/// Where one subject goes. Lengths are fractions of the canvas's height.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Placement {
    /// Which subject.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub subject: SubjectId,
    /// Which of its photos is cut out, by its number: in data folders they are counted from 0; absent: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photo: Option<usize>,
    /// The left edge of its bounding box, -2 to the canvas's right edge, which is at 1 where it is a square: it may begin left of the canvas.
    pub x: f64,
    /// The upper edge of its bounding box, -2..=1.
    pub y: f64,
    /// The box's width, 0.0005..=2.
    pub width: f64,
    /// The box's height, 0.0005..=2; absent: as the cutout's proportions have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<f64>,
    /// The stacking order: larger lies on top; of equals the later one does.
    #[serde(default)]
    pub z: i32,
    /// Whether it is mirrored, left to right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flip: bool,
    /// How far it is turned about the middle of its box after that, in degrees clockwise, -360..=360.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rotation: f64,
}

// By reference, as serde passes fields.
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// Why a layout was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LayoutError {
    /// The text is not a layout's JSON.
    #[error("the layout cannot be read: {0}")]
    Json(String),
    /// The format is of another version.
    #[error("the layout is of version {0}, and this program reads version {VERSION}; save it anew")]
    Version(u32),
    /// A number is out of its range (or not a number).
    #[error("subject {position} of the layout (`{subject}`): `{field}` is {value}; write {least} to {most}")]
    Range {
        /// The placement's place in the list, counted from 1.
        position: usize,
        /// Whose placement it is.
        subject: SubjectId,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: f64,
        /// The smallest value.
        least: f64,
        /// The largest value.
        most: f64,
    },
    /// A subject lies wholly outside of the canvas.
    #[error("subject {position} of the layout (`{subject}`) lies outside of the canvas; move it onto it")]
    Outside {
        /// The placement's place in the list, counted from 1.
        position: usize,
        /// Whose placement it is.
        subject: SubjectId,
    },
    /// The project has no such subject, or no such photo of it.
    #[error("the layout asks for {} of `{subject}`, which there is not; choose another", name_photo(*photo))]
    Missing {
        /// Which subject.
        subject: SubjectId,
        /// Which of its photos, counted from 0; `None` for the first.
        photo: Option<usize>,
    },
    /// The collage cannot be made.
    #[error(transparent)]
    Collage(#[from] CollageError),
}

fn name_photo(photo: Option<usize>) -> String {
    photo.map_or_else(|| "a photo".to_owned(), |index| format!("photo {index} (counted from 0)"))
}

/// The strength (gamma) of a layout that suits so many subjects: 2 for two or three, 3 for more (MuDI, section 4.2).
#[must_use]
pub const fn suited_gamma(subjects: usize) -> f32 {
    if subjects > 3 { 3.0 } else { 2.0 }
}

impl Layout {
    /// A layout of these placements on a canvas of those proportions.
    #[must_use]
    pub fn new(aspect: Aspect, subjects: Vec<Placement>) -> Self {
        Self { version: VERSION, aspect, subjects }
    }

    /// A layout of subjects side by side on a canvas of those proportions, each by one of its photos (none: its first), as many as there may be.
    #[must_use]
    pub fn side_by_side(aspect: Aspect, subjects: &[(SubjectId, Option<usize>)]) -> Self {
        let subjects = &subjects[..subjects.len().min(MAX_SUBJECTS)];
        let across = aspect.ratio();
        let slot = 0.9 * across / subjects.len().max(1) as f64;
        // No wider than what is as high as wide and still ends on the canvas.
        let width = (slot - 0.04).min(0.65);
        let placements = subjects.iter().enumerate().map(|(place, (subject, photo))| Placement {
            subject: subject.clone(),
            photo: *photo,
            x: 0.05 * across + slot * place as f64 + (slot - width) / 2.0,
            y: 0.3,
            width,
            height: None,
            z: 0,
            flip: false,
            rotation: 0.0,
        });
        Self::new(aspect, placements.collect())
    }

    /// A random layout of `items` (the shape of a cutout and the index of its photo) on a canvas of those proportions, by the law of
    /// Seg-Mix.
    ///
    /// # Errors
    /// Where there are no or too many items.
    pub fn random(
        rng: &mut Stream,
        items: &[(Shape, Option<usize>)],
        aspect: Aspect,
        options: &Options,
    ) -> Result<Self, CollageError> {
        let size = segmix::REFERENCE as u32;
        let across = (segmix::REFERENCE * aspect.ratio()).round() as u32;
        let shapes: Vec<Shape> = items.iter().map(|(shape, _)| shape.clone()).collect();
        let slots = segmix::arrange(rng, (across, size), &shapes, options)?;
        let placements = items.iter().zip(slots).map(|((shape, photo), slot)| {
            // Multiples of 1/1024 are exact in binary: the canvas of 1024 gets back the very pixels.
            let place = UnitBox::from_pixels(slot.rect, size, size);
            Placement {
                subject: shape.subject.clone(),
                photo: *photo,
                x: place.x,
                y: place.y,
                width: place.width,
                height: Some(place.height),
                z: slot.z,
                flip: false,
                rotation: 0.0,
            }
        });
        Ok(Self::new(aspect, placements.collect()))
    }

    /// Reads and checks a layout's JSON. A byte order mark is allowed.
    ///
    /// # Errors
    /// Where it is not JSON, has a field that layouts do not have, or fails [`Self::validate`].
    pub fn from_json(text: &str) -> Result<Self, LayoutError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let layout: Self =
            serde_json::from_str(text).map_err(|error| LayoutError::Json(error.to_string()))?;
        layout.validate()?;
        Ok(layout)
    }

    /// The layout as indented JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists always serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Checks the version, the number of subjects and every range.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), LayoutError> {
        if self.version != VERSION {
            return Err(LayoutError::Version(self.version));
        }
        let count = self.subjects.len();
        if !(1..=MAX_SUBJECTS).contains(&count) {
            return Err(CollageError::Count { count, least: 1 }.into());
        }
        for (position, placement) in (1..).zip(&self.subjects) {
            placement.validate(self.aspect, position)?;
        }
        Ok(())
    }

    /// The collage of this layout on a canvas of `size` pixels, width and height. Where that is not of the layout's proportions the layout
    /// fills its height, and lies in the middle across. `lookup` finds the cutout of a subject's photo (`None`: its first).
    ///
    /// # Errors
    /// Where the layout fails [`Self::validate`], `lookup` finds nothing, or the canvas is out of range.
    pub fn render<'a>(
        &self,
        size: (u32, u32),
        lookup: impl Fn(&SubjectId, Option<usize>) -> Option<&'a Cutout>,
    ) -> Result<Collage, LayoutError> {
        self.validate()?;
        collage::check(size, self.subjects.len(), 1)?;
        let unit = size.1;
        let beside = (f64::from(size.0) / f64::from(unit) - self.aspect.ratio()) / 2.0;
        let pieces = (1..)
            .zip(&self.subjects)
            .map(|(position, placement)| {
                let Placement { subject, photo, x, y, width, height, z, flip, rotation } = placement.clone();
                let cutout = lookup(&subject, photo)
                    .ok_or_else(|| LayoutError::Missing { subject: subject.clone(), photo })?;
                let proportion = f64::from(cutout.height()) / f64::from(cutout.width());
                let height = height.unwrap_or(width * proportion);
                if placement.is_outside(self.aspect, height) {
                    return Err(LayoutError::Outside { position, subject });
                }
                let rect = UnitBox { x: x + beside, y, width, height }.to_pixels(unit, unit);
                Ok(Piece { subject, cutout, rect, turn: Turn { flip, degrees: rotation }, z })
            })
            .collect::<Result<Vec<_>, LayoutError>>()?;
        Ok(collage::render(size, &pieces)?)
    }
}

impl Placement {
    fn validate(&self, aspect: Aspect, position: usize) -> Result<(), LayoutError> {
        let right = aspect.ratio();
        let fields = [
            ("x", self.x, *CORNER.start()..=right.max(*CORNER.end())),
            ("y", self.y, CORNER),
            ("width", self.width, EXTENT),
            ("height", self.height.unwrap_or(1.0), EXTENT),
            ("rotation", self.rotation, ROTATION),
        ];
        for (field, value, range) in fields {
            if !range.contains(&value) {
                return Err(LayoutError::Range {
                    position,
                    subject: self.subject.clone(),
                    field,
                    value,
                    least: *range.start(),
                    most: *range.end(),
                });
            }
        }
        let is_outside = match self.height {
            Some(height) => self.is_outside(aspect, height),
            // How far down it reaches is the cutout's business, and how far across, once it is turned: `render` knows.
            None => self.rotation == 0.0 && (self.x >= right || self.x + self.width <= 0.0 || self.y >= 1.0),
        };
        if is_outside {
            return Err(LayoutError::Outside { position, subject: self.subject.clone() });
        }
        Ok(())
    }

    /// Whether all of it, of the given height, lies beside the canvas.
    fn is_outside(&self, aspect: Aspect, height: f64) -> bool {
        let outside = |start: f64, extent: f64, end: f64| start >= end || start + extent <= 0.0;
        let (across, down) = turned_extent(self.width, height, self.rotation);
        outside(self.x + (self.width - across) / 2.0, across, aspect.ratio())
            || outside(self.y + (height - down) / 2.0, down, 1.0)
    }
}
