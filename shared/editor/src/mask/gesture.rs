//! From pointers to strokes: who draws, who moves the photo, what two fingers do.

use std::collections::BTreeMap;

use image::GrayImage;

use super::MaskEditor;
use super::brush::{self, Dab};
use super::message::{Button, Effects, Pointer, PointerKind, Request};
use super::operation::{Ink, Operation};
use super::tiles::Patch;
use super::tool::Tool;
use crate::Phase;

/// A brush at no pressure is this share of its size.
const LIGHTEST: f32 = 0.2;
/// A brush's next place is this share of its radius away at least: what lies between is not seen, and large brushes cost much.
const SPACING: f32 = 1.0 / 32.0;
/// A line that ends within so many pixels of the screen of where it began is a dot, or a box that was not meant.
const STILL: f64 = 3.0;
/// A finger that has drawn so far away from where it began is no half of a pinch, in pixels of the screen.
const MEANT: f64 = 32.0;

/// What is going on.
#[derive(Debug, Clone, Default)]
pub(super) enum Gesture {
    #[default]
    Idle,
    /// The photo follows a pointer.
    Pan { id: i32, last: (f64, f64) },
    /// The photo follows two fingers.
    Pinch { ids: [i32; 2], last: [(f64, f64); 2] },
    /// The brush draws; `before` is what was there.
    Stroke { id: i32, ink: Ink, hardness: f32, dabs: Vec<Dab>, before: Patch },
    /// A line around a part.
    Lasso { id: i32, ink: Ink, corners: Vec<[f32; 2]> },
    /// The magic wand, which takes what lies where it was pressed once it is let go: a second finger makes a pinch of it.
    Wand { id: i32, ink: Ink, at: (f64, f64) },
    /// A box.
    Frame { id: i32, start: [f32; 2], end: [f32; 2] },
    /// A line on the subject or beside it.
    Mark { id: i32, on_subject: bool, places: Vec<[f32; 2]> },
}

impl Gesture {
    fn id(&self) -> Option<i32> {
        match self {
            Self::Idle | Self::Pinch { .. } => None,
            Self::Pan { id, .. }
            | Self::Stroke { id, .. }
            | Self::Lasso { id, .. }
            | Self::Wand { id, .. }
            | Self::Frame { id, .. }
            | Self::Mark { id, .. } => Some(*id),
        }
    }

    pub(super) fn is_stroke(&self) -> bool {
        matches!(self, Self::Stroke { .. })
    }

    /// The stroke so far, as an operation.
    pub(super) fn stroke(&self) -> Option<Operation> {
        match self {
            Self::Stroke { ink, hardness, dabs, .. } => {
                Some(Operation::Stroke { ink: *ink, hardness: *hardness, dabs: dabs.clone() })
            }
            _ => None,
        }
    }
}

/// The pointers that are pressed.
#[derive(Debug, Clone, Default)]
pub(super) struct Pressed {
    pointers: BTreeMap<i32, (PointerKind, (f64, f64))>,
    /// Once a pen has drawn, fingers move the photo: a hand rests on the screen.
    pen: bool,
}

impl Pressed {
    fn fingers(&self) -> Vec<(i32, (f64, f64))> {
        let touches = self.pointers.iter().filter(|(_, (kind, _))| *kind == PointerKind::Touch);
        touches.map(|(&id, &(_, at))| (id, at)).collect()
    }
}

impl MaskEditor {
    pub(super) fn pointer(&mut self, pointer: Pointer) -> Effects {
        match pointer.phase {
            Phase::Down => self.down(pointer),
            Phase::Move => self.moved(pointer),
            Phase::Up => self.moved(pointer).merged(self.up(pointer)),
            Phase::Cancel => self.cancelled(pointer),
        }
    }

    fn down(&mut self, pointer: Pointer) -> Effects {
        self.pressed.pointers.insert(pointer.id, (pointer.kind, pointer.at));
        self.pressed.pen |= pointer.kind == PointerKind::Pen;
        let fingers = self.pressed.fingers();
        if let [(first, a), (second, b)] = fingers[..]
            && self.gesture.id().is_none_or(|id| id == first || id == second)
        {
            // The first finger was no stroke but half of a pinch, unless its line is long: that one is not lost.
            let mut effects = if self.is_meant() { self.finish() } else { self.abort() };
            self.gesture = Gesture::Pinch { ids: [first, second], last: [a, b] };
            effects.marks = true;
            return effects;
        }
        if !matches!(self.gesture, Gesture::Idle) {
            return Effects::default();
        }
        self.hover = Some(self.view.to_picture(pointer.at));
        let tool = self.tools.tool;
        let finger_moves = pointer.kind == PointerKind::Touch && self.pressed.pen;
        if tool == Tool::Hand || pointer.keys.space || pointer.button == Button::Middle || finger_moves {
            self.gesture = Gesture::Pan { id: pointer.id, last: pointer.at };
            return Effects::marks();
        }
        let opposite = self.tools.is_opposite(pointer.keys.alt || pointer.button == Button::Secondary);
        let (id, ink, at) = (pointer.id, self.tools.ink(opposite), self.place(pointer.at));
        match tool {
            Tool::Brush | Tool::Eraser => {
                let dab = self.dab(&pointer);
                let start = self.last_dab.filter(|_| pointer.keys.shift).unwrap_or(dab);
                let (hardness, before) = (self.tools.hardness, Patch::default());
                self.gesture = Gesture::Stroke { id, ink, hardness, dabs: vec![start], before };
                self.extend(start, start, true).merged(if start == dab {
                    Effects::default()
                } else {
                    self.extend(start, dab, false)
                })
            }
            Tool::Lasso => {
                self.gesture = Gesture::Lasso { id, ink, corners: vec![at] };
                Effects::marks()
            }
            Tool::Wand => {
                self.gesture = Gesture::Wand { id, ink, at: self.view.to_picture(pointer.at) };
                Effects::marks()
            }
            Tool::Frame => {
                self.gesture = Gesture::Frame { id, start: at, end: at };
                Effects::marks()
            }
            Tool::Point | Tool::Mark => {
                self.gesture = Gesture::Mark { id, on_subject: !opposite, places: vec![at] };
                Effects::marks()
            }
            Tool::Hand => Effects::default(),
        }
    }

    /// Whether a stroke has gone far on the screen.
    fn is_meant(&self) -> bool {
        let Gesture::Stroke { dabs, .. } = &self.gesture else { return false };
        let far = |from: &Dab, to: &Dab| {
            f64::from((to[0] - from[0]).hypot(to[1] - from[1])) * self.view.scale > MEANT
        };
        dabs.first().is_some_and(|first| dabs.iter().any(|dab| far(first, dab)))
    }

    fn moved(&mut self, pointer: Pointer) -> Effects {
        if let Some((_, at)) = self.pressed.pointers.get_mut(&pointer.id) {
            *at = pointer.at;
        }
        self.hover = Some(self.view.to_picture(pointer.at));
        if let Gesture::Pinch { ids, last } = self.gesture {
            let Some(place) = ids.iter().position(|&id| id == pointer.id) else { return Effects::default() };
            let mut now = last;
            now[place] = pointer.at;
            self.view.pinch(last, now);
            self.gesture = Gesture::Pinch { ids, last: now };
            return Effects::all();
        }
        if self.gesture.id() != Some(pointer.id) {
            return self.look(&pointer);
        }
        let (mut dab, at) = (self.dab(&pointer), self.place(pointer.at));
        let apart = |a: [f32; 2], b: [f32; 2]| f64::from(a[0] - b[0]).hypot(f64::from(a[1] - b[1]));
        // Less than half a pixel, of the photo or of the screen, is not seen.
        let least = 0.5_f64.max(0.5 / self.view.scale);
        let ends = pointer.phase == Phase::Up;
        match &mut self.gesture {
            Gesture::Stroke { dabs, .. } => {
                let last = dabs.last().copied().unwrap_or(dab);
                if ends {
                    // A pen that is lifted presses no more, but the line ends where it is lifted.
                    dab[2] = last[2];
                }
                let spacing = last[2] * SPACING;
                let near = if ends { 0.0 } else { least.max(f64::from(spacing)) };
                let same =
                    apart([last[0], last[1]], at) <= near && (last[2] - dab[2]).abs() < spacing.max(0.5);
                if same { Effects::default() } else { self.extend(last, dab, false) }
            }
            Gesture::Lasso { corners: line, .. } | Gesture::Mark { places: line, .. } => {
                if line.last().is_none_or(|&last| apart(last, at) >= least) {
                    line.push(at);
                }
                Effects::marks()
            }
            Gesture::Frame { end, .. } => {
                *end = at;
                Effects::marks()
            }
            Gesture::Pan { last, .. } => {
                let by = (pointer.at.0 - last.0, pointer.at.1 - last.1);
                *last = pointer.at;
                self.view.pan(by);
                Effects::all()
            }
            Gesture::Wand { .. } | Gesture::Idle | Gesture::Pinch { .. } => Effects::default(),
        }
    }

    fn up(&mut self, pointer: Pointer) -> Effects {
        self.pressed.pointers.remove(&pointer.id);
        if let Gesture::Pinch { ids, .. } = self.gesture {
            if ids.contains(&pointer.id) {
                let left = self.pressed.fingers().first().copied();
                self.gesture = left.map_or(Gesture::Idle, |(id, last)| Gesture::Pan { id, last });
            }
            return Effects::marks();
        }
        if self.gesture.id() != Some(pointer.id) {
            return Effects::default();
        }
        let still = STILL / self.view.scale;
        match std::mem::take(&mut self.gesture) {
            Gesture::Stroke { ink, hardness, dabs, before, .. } => self.keep(ink, hardness, dabs, before),
            Gesture::Wand { ink, at, .. } => self.wand(at, ink),
            Gesture::Lasso { ink, corners, .. } => {
                self.perform("Lasso", Operation::Polygon { ink, corners }).merged(Effects::marks())
            }
            Gesture::Frame { start, end, .. } => {
                let size = [self.mask.width() as f32, self.mask.height() as f32];
                let edge = |axis: usize, pick: fn(f32, f32) -> f32| {
                    pick(start[axis], end[axis]).clamp(0.0, size[axis])
                };
                let bounds = [edge(0, f32::min), edge(1, f32::min), edge(0, f32::max), edge(1, f32::max)];
                let large = |least: f32, most: f32| f64::from(most - least) > still.max(1.0);
                if large(bounds[0], bounds[2]) && large(bounds[1], bounds[3]) {
                    let request = self.prompt.set_box(bounds);
                    asking(request)
                } else {
                    Effects::marks()
                }
            }
            Gesture::Mark { on_subject, mut places, .. } => {
                if self.tools.tool == Tool::Point {
                    places.truncate(1);
                }
                let request = self.prompt.add_stroke(places, on_subject);
                asking(request).merged(self.glimpse.end())
            }
            Gesture::Idle | Gesture::Pan { .. } | Gesture::Pinch { .. } => Effects::marks(),
        }
    }

    /// The system has taken a pointer away. Of a pinch nothing is undone: it ends as if the finger were lifted.
    fn cancelled(&mut self, pointer: Pointer) -> Effects {
        if matches!(self.gesture, Gesture::Pinch { ids, .. } if ids.contains(&pointer.id)) {
            return self.up(pointer);
        }
        self.pressed.pointers.remove(&pointer.id);
        if self.gesture.id() == Some(pointer.id) { self.abort() } else { Effects::default() }
    }

    /// Draws a stroke's next line.
    fn extend(&mut self, from: Dab, to: Dab, first: bool) -> Effects {
        let Gesture::Stroke { ink, hardness, dabs, before, .. } = &mut self.gesture else {
            return Effects::default();
        };
        if !first {
            dabs.push(to);
        }
        let area = brush::draw(&mut self.mask, before, from, to, *hardness, *ink);
        self.changed(area)
    }

    /// The mask without the stroke that is being drawn.
    pub(super) fn before_stroke(&self) -> GrayImage {
        let mut mask = self.mask.clone();
        if let Gesture::Stroke { before, .. } = &self.gesture {
            let _drawn = before.exchange(&mut mask);
        }
        mask
    }

    /// A stroke is done.
    fn keep(&mut self, ink: Ink, hardness: f32, dabs: Vec<Dab>, before: Patch) -> Effects {
        self.last_dab = dabs.last().copied();
        let operation = Operation::Stroke { ink, hardness, dabs };
        let name = operation.name();
        self.commit(name, operation, before);
        Effects::marks()
    }

    /// Something else comes: a stroke ends here, and is a step like any other. What has not changed the mask is dropped.
    pub(super) fn finish(&mut self) -> Effects {
        match std::mem::take(&mut self.gesture) {
            Gesture::Stroke { ink, hardness, dabs, before, .. } => self.keep(ink, hardness, dabs, before),
            other => {
                self.gesture = other;
                self.abort()
            }
        }
    }

    /// Drops what is being drawn, as if it had never begun. Fingers that are still down do nothing more.
    pub(super) fn abort(&mut self) -> Effects {
        match std::mem::take(&mut self.gesture) {
            Gesture::Stroke { before, .. } => {
                let area = before.bounds(self.mask.width(), self.mask.height());
                let _drawn = before.exchange(&mut self.mask);
                self.changed(area).merged(Effects::marks())
            }
            Gesture::Idle => Effects::default(),
            _ => Effects::marks(),
        }
    }

    pub(super) fn place(&self, at: (f64, f64)) -> [f32; 2] {
        let (x, y) = self.view.to_picture(at);
        [x as f32, y as f32]
    }

    fn dab(&self, pointer: &Pointer) -> Dab {
        let [x, y] = self.place(pointer.at);
        let size = self.tools.size().unwrap_or(1.0);
        let share = if pointer.kind == PointerKind::Pen && self.tools.pressure {
            LIGHTEST + (1.0 - LIGHTEST) * pointer.pressure.clamp(0.0, 1.0)
        } else {
            1.0
        };
        [x, y, size / 2.0 * share]
    }
}

fn asking(request: Request) -> Effects {
    Effects { requests: vec![request], marks: true, ..Effects::default() }
}
