//! From pointers to places: dragging, scaling, turning, pinching.

use std::collections::BTreeMap;

use mudi_domain::layout::Placement;

use super::Designer;
use super::frame::{Frame, Handle, Point};
use super::message::Pointer;
use super::snap::snap;
use crate::Phase;

/// Degrees within which a turn snaps to a quarter.
const QUARTER: f64 = 3.0;
/// Steps of a turn with Shift, in degrees.
const STEP: f64 = 15.0;

/// What is going on.
#[derive(Debug, Clone)]
pub(super) struct Drag {
    /// How everything was placed when it began.
    before: Vec<Placement>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Those chosen follow a pointer.
    Move { id: i32, start: Point },
    /// One is scaled about the corner opposite of the one held.
    Scale { id: i32, index: usize, corner: usize },
    /// One is turned.
    Turn { id: i32, index: usize, start: f64 },
    /// One follows two fingers.
    Pinch { ids: [i32; 2], index: usize, start: [Point; 2] },
}

impl Kind {
    /// Whether it follows that pointer.
    fn follows(&self, pointer: i32) -> bool {
        match self {
            Self::Move { id, .. } | Self::Scale { id, .. } | Self::Turn { id, .. } => *id == pointer,
            Self::Pinch { ids, .. } => ids.contains(&pointer),
        }
    }
}

/// The pointers that are pressed, and where.
pub(super) type Pressed = BTreeMap<i32, Point>;

fn angle(from: Point, to: Point) -> f64 {
    (to.1 - from.1).atan2(to.0 - from.0).to_degrees()
}

fn middle([a, b]: [Point; 2]) -> Point {
    ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0)
}

fn apart(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

impl Designer {
    pub(super) fn pointer(&mut self, pointer: Pointer) {
        match pointer.phase {
            Phase::Down => self.down(pointer),
            Phase::Move => self.drag_to(pointer),
            Phase::Up => {
                self.drag_to(pointer);
                self.pressed.remove(&pointer.id);
                // Another finger that lies on the canvas is lifted for itself.
                if let Some(drag) = self.drag.take_if(|drag| drag.kind.follows(pointer.id)) {
                    self.guides.clear();
                    let chosen = self.chosen.clone();
                    self.remember((self.aspect, drag.before, chosen), None);
                }
            }
            Phase::Cancel => {
                self.pressed.remove(&pointer.id);
                if self.drag.as_ref().is_some_and(|drag| drag.kind.follows(pointer.id)) {
                    self.drop_drag();
                }
            }
        }
    }

    /// Puts everything back to where it was before the drag. Whether there was one.
    pub(super) fn drop_drag(&mut self) -> bool {
        self.guides.clear();
        let Some(drag) = self.drag.take() else { return false };
        self.placements = drag.before;
        true
    }

    fn down(&mut self, pointer: Pointer) {
        self.pressed.insert(pointer.id, pointer.at);
        let one = self.only_chosen();
        // A second finger takes hold of what the first one drags.
        let fingers: Vec<_> = self.pressed.iter().map(|(&id, &at)| (id, at)).collect();
        if let ([(first, a), (second, b)], Some(index), Some(drag)) = (&fingers[..], one, &mut self.drag) {
            self.placements.clone_from(&drag.before);
            drag.kind = Kind::Pinch { ids: [*first, *second], index, start: [*a, *b] };
            return;
        }
        if self.drag.is_some() {
            return;
        }
        let (id, start) = (pointer.id, pointer.at);
        let held = one.and_then(|index| Some((index, self.frame(index).handle(start, pointer.reach)?)));
        let kind = match held {
            Some((index, Handle::Corner(corner))) => Kind::Scale { id, index, corner },
            Some((index, Handle::Turn)) => {
                let start = angle(self.frame(index).center, start) - self.placements[index].rotation;
                Kind::Turn { id, index, start }
            }
            None => {
                let Some(index) = self.at(start) else {
                    // Two fingers around a subject that is too small for both take hold of it.
                    if let [(first, a), (second, b)] = fingers[..]
                        && let Some(index) = self.at(middle([a, b]))
                    {
                        self.chosen = [index].into();
                        let kind = Kind::Pinch { ids: [first, second], index, start: [a, b] };
                        self.drag = Some(Drag { before: self.placements.clone(), kind });
                        return;
                    }
                    if !pointer.shift {
                        self.chosen.clear();
                    }
                    return;
                };
                if pointer.shift && !self.chosen.insert(index) {
                    self.chosen.remove(&index);
                    return;
                }
                if !self.chosen.contains(&index) {
                    self.chosen = [index].into();
                }
                Kind::Move { id, start }
            }
        };
        self.drag = Some(Drag { before: self.placements.clone(), kind });
    }

    fn drag_to(&mut self, pointer: Pointer) {
        if let Some(at) = self.pressed.get_mut(&pointer.id) {
            *at = pointer.at;
        }
        let Some(Drag { before, kind }) = self.drag.clone() else { return };
        let snapping = self.snapping && !pointer.alt;
        match kind {
            Kind::Move { id, start } if id == pointer.id => {
                self.placements = before;
                self.move_chosen(
                    [pointer.at.0 - start.0, pointer.at.1 - start.1],
                    snapping.then_some(pointer.reach),
                );
            }
            Kind::Scale { id, index, corner } if id == pointer.id => {
                let frame = self.frame_of(&before[index]);
                let fixed = frame.corners()[(corner + 2) % 4];
                let held = frame.corners()[corner];
                let (dx, dy) = (held.0 - fixed.0, held.1 - fixed.1);
                let along = (pointer.at.0 - fixed.0) * dx + (pointer.at.1 - fixed.1) * dy;
                let factor = (along / (dx * dx + dy * dy).max(f64::MIN_POSITIVE)).max(1e-3);
                let (width, height) = (frame.width * factor, frame.height * factor);
                let center = (fixed.0 + dx * factor / 2.0, fixed.1 + dy * factor / 2.0);
                self.put(index, Frame { center, width, height, ..frame });
            }
            Kind::Turn { id, index, start } if id == pointer.id => {
                let frame = self.frame_of(&before[index]);
                let wanted = angle(frame.center, pointer.at) - start;
                let quarter = (wanted / 90.0).round() * 90.0;
                let rotation = if pointer.shift {
                    (wanted / STEP).round() * STEP
                } else if snapping && (wanted - quarter).abs() <= QUARTER {
                    quarter
                } else {
                    wanted
                };
                self.put(index, Frame { rotation, ..frame });
            }
            Kind::Pinch { ids, index, start } => {
                let place = |which: usize| self.pressed.get(&ids[which]).copied().unwrap_or(start[which]);
                let now = [place(0), place(1)];
                let (from, to) = (middle(start), middle(now));
                let factor = apart(now[0], now[1]) / apart(start[0], start[1]).max(1e-3);
                let turn = angle(now[0], now[1]) - angle(start[0], start[1]);
                let frame = self.frame_of(&before[index]);
                let (sin, cos) = turn.to_radians().sin_cos();
                let (x, y) = (frame.center.0 - from.0, frame.center.1 - from.1);
                let center = (to.0 + factor * (x * cos - y * sin), to.1 + factor * (x * sin + y * cos));
                let (width, height) = (frame.width * factor, frame.height * factor);
                self.put(index, Frame { center, width, height, rotation: frame.rotation + turn });
            }
            Kind::Move { .. } | Kind::Scale { .. } | Kind::Turn { .. } => {}
        }
    }

    /// Moves those chosen, by heights of the canvas; with a `reach` they snap.
    pub(super) fn move_chosen(&mut self, by: [f64; 2], reach: Option<f64>) {
        let mut by = by;
        self.guides.clear();
        if let Some(reach) = reach {
            let (moving, others): (Vec<usize>, Vec<usize>) =
                (0..self.placements.len()).partition(|index| self.chosen.contains(index));
            let bounds = |indices: Vec<usize>| -> Vec<_> {
                indices.into_iter().map(|index| self.frame(index).bounds()).collect()
            };
            let others = bounds(others);
            if let Some(mut moving) = bounds(moving).into_iter().reduce(|a, b| a.union(&b)) {
                for edges in [&mut moving.least, &mut moving.most] {
                    edges.iter_mut().zip(by).for_each(|(edge, by)| *edge += by);
                }
                let (further, guides) = snap(&moving, &others, &self.canvas(), reach / 2.0);
                by = [by[0] + further[0], by[1] + further[1]];
                self.guides = guides;
            }
        }
        for index in self.chosen.clone() {
            let mut frame = self.frame(index);
            frame.center = (frame.center.0 + by[0], frame.center.1 + by[1]);
            self.put(index, frame);
        }
    }
}
