//! Snapping: edges and middles that meet those of the canvas and of other subjects.

use super::frame::Bounds;

/// A line that something has snapped to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guide {
    /// 0: it runs down, at a place from the left; 1: it runs across, at a place from the top.
    pub axis: usize,
    /// The place, in heights of the canvas.
    pub at: f64,
}

/// How far `moving` has to be moved so that an edge or its middle meets the nearest one of `canvas` or of `others`
/// that is within `reach`; and the lines that it meets then.
#[must_use]
pub(super) fn snap(
    moving: &Bounds,
    others: &[Bounds],
    canvas: &Bounds,
    reach: f64,
) -> ([f64; 2], Vec<Guide>) {
    let (mut by, mut guides) = ([0.0; 2], Vec::new());
    for axis in 0..2 {
        let targets = others.iter().chain([canvas]).flat_map(|other| other.lines(axis));
        let pairs = targets.flat_map(|target| moving.lines(axis).map(|line| (target, target - line)));
        let nearest =
            pairs.filter(|(_, by)| by.abs() <= reach).min_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        if let Some((at, distance)) = nearest {
            by[axis] = distance;
            guides.push(Guide { axis, at });
        }
    }
    (by, guides)
}
