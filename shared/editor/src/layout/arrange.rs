//! Aligning, distributing and stacking.

use std::collections::BTreeSet;

use mudi_domain::layout::Placement;

use super::frame::{Bounds, Frame};

/// What is brought into line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Left edges.
    Left,
    /// Middles, across.
    Center,
    /// Right edges.
    Right,
    /// Upper edges.
    Top,
    /// Middles, down.
    Middle,
    /// Lower edges.
    Bottom,
}

impl Align {
    /// All of them, in the order of the toolbar, with their names.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Left, "Align left edges"),
        (Self::Center, "Align middles across"),
        (Self::Right, "Align right edges"),
        (Self::Top, "Align upper edges"),
        (Self::Middle, "Align middles down"),
        (Self::Bottom, "Align lower edges"),
    ];

    /// The axis, and which of start, middle and end.
    fn line(self) -> (usize, usize) {
        match self {
            Self::Left => (0, 0),
            Self::Center => (0, 1),
            Self::Right => (0, 2),
            Self::Top => (1, 0),
            Self::Middle => (1, 1),
            Self::Bottom => (1, 2),
        }
    }
}

/// A step in the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Above the next one.
    Forward,
    /// Below the next one.
    Backward,
    /// Above all.
    Front,
    /// Below all.
    Back,
}

fn shift(frame: &mut Frame, axis: usize, by: f64) {
    if axis == 0 { frame.center.0 += by } else { frame.center.1 += by }
}

/// Aligns frames with the box around them; a single one with the `canvas`.
pub(super) fn align(frames: &mut [Frame], align: Align, canvas: Bounds) {
    let (axis, line) = align.line();
    let all: Vec<Bounds> = frames.iter().map(Frame::bounds).collect();
    let around = match &all[..] {
        [] | [_] => canvas,
        [first, rest @ ..] => rest.iter().fold(*first, |around, bounds| around.union(bounds)),
    };
    for (frame, bounds) in frames.iter_mut().zip(&all) {
        shift(frame, axis, around.lines(axis)[line] - bounds.lines(axis)[line]);
    }
}

/// Makes the gaps between three or more frames equal along an axis; the outer two stay.
pub(super) fn distribute(frames: &mut [Frame], axis: usize) {
    let mut order: Vec<usize> = (0..frames.len()).collect();
    let all: Vec<Bounds> = frames.iter().map(Frame::bounds).collect();
    order.sort_by(|&a, &b| all[a].lines(axis)[1].total_cmp(&all[b].lines(axis)[1]));
    let [first, .., last] = order[..] else { return };
    let inner: f64 = order.iter().map(|&index| all[index].most[axis] - all[index].least[axis]).sum();
    let room = all[last].most[axis] - all[first].least[axis];
    let gap = (room - inner) / (order.len() - 1) as f64;
    let mut edge = all[first].least[axis];
    for index in order {
        let bounds = all[index];
        shift(&mut frames[index], axis, edge - bounds.least[axis]);
        edge += bounds.most[axis] - bounds.least[axis] + gap;
    }
}

/// Moves the chosen placements in the stack, and numbers it anew from 0.
pub(super) fn stack(placements: &mut [Placement], chosen: &BTreeSet<usize>, order: Order) {
    let mut stack: Vec<usize> = (0..placements.len()).collect();
    stack.sort_by_key(|&index| placements[index].z);
    let is_chosen = |index: usize| chosen.contains(&index);
    match order {
        Order::Front => stack.sort_by_key(|&index| is_chosen(index)),
        Order::Back => stack.sort_by_key(|&index| !is_chosen(index)),
        Order::Forward => {
            for place in (1..stack.len()).rev() {
                if is_chosen(stack[place - 1]) && !is_chosen(stack[place]) {
                    stack.swap(place - 1, place);
                }
            }
        }
        Order::Backward => {
            for place in 1..stack.len() {
                if is_chosen(stack[place]) && !is_chosen(stack[place - 1]) {
                    stack.swap(place - 1, place);
                }
            }
        }
    }
    for (z, index) in (0..).zip(stack) {
        placements[index].z = z;
    }
}
