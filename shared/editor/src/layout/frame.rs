//! Where a placement is on the canvas: its turned box, its handles, what lies under a finger.

use mudi_domain::cutout::turned_extent;
use mudi_domain::layout::{CORNER, EXTENT, Placement};

/// A point, in heights of the canvas from the left and the top.
pub type Point = (f64, f64);

/// How much of a subject stays on the canvas at least, in its heights.
const KEPT: f64 = 0.02;
/// How far above its box a subject's handle for turning is, in heights of the canvas.
pub const STALK: f64 = 0.06;

/// A placement's box with every number known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Its middle.
    pub center: Point,
    /// Its width before it is turned, in heights of the canvas.
    pub width: f64,
    /// Its height before it is turned.
    pub height: f64,
    /// Degrees clockwise.
    pub rotation: f64,
}

/// A part of a subject that can be taken hold of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// A corner, clockwise from the upper left one: scales about the opposite corner.
    Corner(usize),
    /// The handle above: turns about the middle.
    Turn,
}

/// Left, top, right and bottom of an upright box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The smallest place in each axis.
    pub least: [f64; 2],
    /// The largest.
    pub most: [f64; 2],
}

impl Bounds {
    /// The smallest box around both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            least: [0, 1].map(|axis| self.least[axis].min(other.least[axis])),
            most: [0, 1].map(|axis| self.most[axis].max(other.most[axis])),
        }
    }

    /// Start, middle and end along an axis (0 across, 1 down).
    #[must_use]
    pub fn lines(&self, axis: usize) -> [f64; 3] {
        [self.least[axis], (self.least[axis] + self.most[axis]) / 2.0, self.most[axis]]
    }
}

impl Frame {
    /// Of a placement of a cutout whose height is `proportion` times its width.
    #[must_use]
    pub fn of(placement: &Placement, proportion: f64) -> Self {
        let width = placement.width;
        let height = placement.height.unwrap_or(width * proportion);
        let center = (placement.x + width / 2.0, placement.y + height / 2.0);
        Self { center, width, height, rotation: placement.rotation }
    }

    /// Puts a placement here. One whose height follows its cutout goes on doing so.
    pub(super) fn write(&self, placement: &mut Placement) {
        (placement.x, placement.y) = (self.center.0 - self.width / 2.0, self.center.1 - self.height / 2.0);
        placement.width = self.width;
        placement.height = placement.height.map(|_| self.height);
        placement.rotation = self.rotation;
    }

    /// A place in the box, from its middle in its own directions, as a place on the canvas.
    fn turned(&self, (x, y): Point) -> Point {
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        (self.center.0 + x * cos - y * sin, self.center.1 + x * sin + y * cos)
    }

    /// A place on the canvas, from the box's middle in its own directions.
    #[must_use]
    pub fn within(&self, at: Point) -> Point {
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let (x, y) = (at.0 - self.center.0, at.1 - self.center.1);
        (x * cos + y * sin, y * cos - x * sin)
    }

    /// The corners, clockwise from the upper left one.
    #[must_use]
    pub fn corners(&self) -> [Point; 4] {
        let (w, h) = (self.width / 2.0, self.height / 2.0);
        [(-w, -h), (w, -h), (w, h), (-w, h)].map(|corner| self.turned(corner))
    }

    /// The handle for turning.
    #[must_use]
    pub fn stalk(&self) -> Point {
        self.turned((0.0, -self.height / 2.0 - STALK))
    }

    /// The upright box around it.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let (width, height) = turned_extent(self.width, self.height, self.rotation);
        let (x, y) = self.center;
        Bounds { least: [x - width / 2.0, y - height / 2.0], most: [x + width / 2.0, y + height / 2.0] }
    }

    /// Whether a place on the canvas is inside.
    #[must_use]
    pub fn contains(&self, at: Point) -> bool {
        let (x, y) = self.within(at);
        x.abs() <= self.width / 2.0 && y.abs() <= self.height / 2.0
    }

    /// The handle within `reach` of a place, in heights of the canvas.
    #[must_use]
    pub fn handle(&self, at: Point, reach: f64) -> Option<Handle> {
        let apart = |point: Point| (point.0 - at.0).hypot(point.1 - at.1);
        let corners = self.corners().into_iter().enumerate();
        let handles = corners
            .map(|(corner, place)| (Handle::Corner(corner), apart(place)))
            .chain([(Handle::Turn, apart(self.stalk()))]);
        handles
            .filter(|(_, apart)| *apart <= reach)
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(handle, _)| handle)
    }

    /// The same, brought into the ranges of layouts, with a part of it on a canvas that is so many times as wide as high.
    #[must_use]
    pub fn kept(mut self, ratio: f64) -> Self {
        let least = EXTENT.start() / self.width.min(self.height).max(f64::MIN_POSITIVE);
        let most = EXTENT.end() / self.width.max(self.height).max(f64::MIN_POSITIVE);
        let factor = 1.0_f64.min(most).max(least.min(most));
        self.width = (self.width * factor).clamp(*EXTENT.start(), *EXTENT.end());
        self.height = (self.height * factor).clamp(*EXTENT.start(), *EXTENT.end());
        // Rounded, so that files are short; a millionth of a canvas is no pixel.
        // Half a turn either way is the same, and stays what it was called.
        if self.rotation.abs() > 180.0 {
            self.rotation = (self.rotation + 180.0).rem_euclid(360.0) - 180.0;
        }
        self.rotation = round(self.rotation, 1e3);
        let (across, down) = turned_extent(self.width, self.height, self.rotation);
        let keep = |center: f64, around: f64, extent: f64, end: f64| {
            let (kept, half) = (KEPT.min(around), around / 2.0);
            let corner = (*CORNER.start() + extent / 2.0, end.max(*CORNER.end()) + extent / 2.0);
            center.clamp((kept - half).max(corner.0), (end - kept + half).min(corner.1))
        };
        let (x, y) = self.center;
        self.center = (keep(x, across, self.width, ratio), keep(y, down, self.height, 1.0));
        self
    }
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
