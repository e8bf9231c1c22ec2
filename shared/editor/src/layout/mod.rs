//! The layout designer: subjects on a canvas, moved by hand.
//!
//! [`Designer::update`] takes a [`Message`]. What it works on is the domain's own [`Layout`], and the canvas that a page shows in the end is
//! [`Layout::render`]'s, to the pixel what will be encoded. Lengths are fractions of the canvas's height, across as well.

mod arrange;
mod drag;
mod frame;
mod fresh;
pub mod gamma;
mod message;
mod snap;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use mudi_domain::aspect::Aspect;
use mudi_domain::layout::{Layout, Placement};
use mudi_domain::segmix::Options;
use mudi_domain::subject::SubjectId;

use drag::{Drag, Pressed};

pub use arrange::{Align, Order};
pub use frame::{Bounds, Frame, Handle, Point, STALK};
pub use message::{Message, Pointer, SHEET, key_message};
pub use snap::Guide;

/// Steps that can be undone.
const STEPS_BACK: usize = 200;

/// Width and height of each cutout of each subject, in pixels, by the number of its photo.
pub type Shapes = BTreeMap<SubjectId, BTreeMap<usize, (u32, u32)>>;

/// The canvas's proportions, how everything was placed on it, and what was chosen then.
type Step = (Aspect, Vec<Placement>, BTreeSet<usize>);

/// The designer's state.
#[derive(Debug, Clone)]
pub struct Designer {
    aspect: Aspect,
    placements: Vec<Placement>,
    shapes: Shapes,
    chosen: BTreeSet<usize>,
    done: Vec<Step>,
    undone: Vec<Step>,
    /// What the last entry of `done` was, where more of the same belongs to it.
    last: Option<&'static str>,
    drag: Option<Drag>,
    pressed: Pressed,
    guides: Vec<Guide>,
    snapping: bool,
    /// For layouts at random.
    law: Options,
}

/// The placements of a layout. What names no photo is the subject's first, which need not be number 0: that may be deleted.
fn named(layout: Layout, shapes: &Shapes) -> Vec<Placement> {
    let mut placements = layout.subjects;
    for placement in placements.iter_mut().filter(|placement| placement.photo.is_none()) {
        let first = shapes.get(&placement.subject).and_then(|photos| photos.first_key_value());
        placement.photo = first.map(|(&number, _)| number).filter(|&number| number > 0);
    }
    placements
}

impl Designer {
    /// For a layout (none yet: an empty square) of cutouts of these shapes; random ones follow `law`.
    #[must_use]
    pub fn new(layout: Option<Layout>, shapes: Shapes, law: Options) -> Self {
        let aspect = layout.as_ref().map(|layout| layout.aspect).unwrap_or_default();
        let placements = layout.map(|layout| named(layout, &shapes)).unwrap_or_default();
        Self {
            aspect,
            placements,
            shapes,
            chosen: BTreeSet::new(),
            done: Vec::new(),
            undone: Vec::new(),
            last: None,
            drag: None,
            pressed: Pressed::new(),
            guides: Vec::new(),
            snapping: true,
            law,
        }
    }

    /// The canvas's proportions.
    #[must_use]
    pub fn aspect(&self) -> Aspect {
        self.aspect
    }

    /// The canvas.
    fn canvas(&self) -> Bounds {
        Bounds { least: [0.0; 2], most: [self.aspect.ratio(), 1.0] }
    }

    /// What is on the canvas.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// The layout; none where the canvas is empty.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        (!self.placements.is_empty()).then(|| Layout::new(self.aspect, self.placements.clone()))
    }

    /// Those that are chosen.
    #[must_use]
    pub fn chosen(&self) -> &BTreeSet<usize> {
        &self.chosen
    }

    /// The one that is chosen, where it is one.
    #[must_use]
    pub fn only_chosen(&self) -> Option<usize> {
        self.chosen.first().copied().filter(|_| self.chosen.len() == 1)
    }

    /// The lines that what is dragged has snapped to.
    #[must_use]
    pub fn guides(&self) -> &[Guide] {
        &self.guides
    }

    /// Whether edges and middles snap.
    #[must_use]
    pub fn is_snapping(&self) -> bool {
        self.snapping
    }

    /// Whether something is being dragged.
    #[must_use]
    pub fn is_dragging(&self) -> bool {
        self.drag.is_some()
    }

    /// Whether there is something to undo, and something to do again.
    #[must_use]
    pub fn can(&self) -> (bool, bool) {
        (!self.done.is_empty(), !self.undone.is_empty())
    }

    /// Where a placement is.
    ///
    /// # Panics
    /// Where there is none of that index.
    #[must_use]
    pub fn frame(&self, index: usize) -> Frame {
        self.frame_of(&self.placements[index])
    }

    fn frame_of(&self, placement: &Placement) -> Frame {
        let shape = self.shape(&placement.subject, placement.photo.unwrap_or(0));
        let proportion = shape.map_or(1.0, |(width, height)| f64::from(height) / f64::from(width.max(1)));
        Frame::of(placement, proportion)
    }

    fn shape(&self, subject: &SubjectId, photo: usize) -> Option<(u32, u32)> {
        self.shapes.get(subject)?.get(&photo).copied()
    }

    /// The topmost subject at a place.
    #[must_use]
    pub fn at(&self, at: Point) -> Option<usize> {
        let under = (0..self.placements.len()).filter(|&index| self.frame(index).contains(at));
        under.max_by_key(|&index| (self.placements[index].z, index))
    }

    /// Puts a placement into a frame that is kept on the canvas. One with a number that is none changes nothing.
    fn put(&mut self, index: usize, frame: Frame) {
        let sound = [frame.center.0, frame.center.1, frame.width, frame.height, frame.rotation];
        if sound.iter().all(|number| number.is_finite()) {
            frame.kept(self.aspect.ratio()).write(&mut self.placements[index]);
        }
    }

    /// Remembers how everything was `before`, if that has changed. Several in a row of the same `kind` are undone together.
    fn remember(&mut self, before: Step, kind: Option<&'static str>) {
        if (before.0, &before.1) == (self.aspect, &self.placements) {
            return;
        }
        self.undone.clear();
        if kind.is_none() || self.last != kind {
            self.done.push(before);
            // All day long somebody may drag.
            if self.done.len() > STEPS_BACK {
                self.done.remove(0);
            }
        }
        self.last = kind;
    }

    /// Takes a message.
    pub fn update(&mut self, message: Message) {
        if let Message::Pointer(pointer) = message {
            self.last = None;
            return self.pointer(pointer);
        }
        let dropped = self.drop_drag();
        match message {
            // What was being dragged is what is taken back.
            Message::Escape | Message::Undo if dropped => return,
            Message::Undo => return self.step(true),
            Message::Redo => return self.step(false),
            _ => {}
        }
        let before = (self.aspect, self.placements.clone(), self.chosen.clone());
        let kind = match message {
            Message::Nudge(..) => Some("nudge"),
            Message::Scale(_) => Some("scale"),
            Message::Turn(_) | Message::TurnTo(_) => Some("turn"),
            _ => None,
        };
        self.change(message);
        if before.2 != self.chosen {
            self.last = None;
        }
        self.remember(before, kind);
    }

    fn change(&mut self, message: Message) {
        match message {
            Message::Choose(index, more) => {
                let index = index.filter(|&index| index < self.placements.len());
                let chosen_already = index.is_some_and(|index| more && self.chosen.remove(&index));
                if !more {
                    self.chosen.clear();
                }
                self.chosen.extend(index.filter(|_| !chosen_already));
                self.last = None;
            }
            Message::ChooseAll => self.chosen = (0..self.placements.len()).collect(),
            Message::Escape => self.chosen.clear(),
            Message::Snap(snapping) => self.snapping = snapping,
            Message::Add(subject, photo) => self.add(subject, photo),
            Message::Remove => {
                let chosen = std::mem::take(&mut self.chosen);
                let mut index = 0;
                self.placements.retain(|_| {
                    index += 1;
                    !chosen.contains(&(index - 1))
                });
            }
            Message::Duplicate => self.duplicate(),
            Message::Photo(photo) => {
                for index in self.chosen.clone() {
                    let frame = self.frame(index);
                    let Some((width, height)) = self.shape(&self.placements[index].subject, photo) else {
                        continue;
                    };
                    // As much of the canvas as before, with the other photo's proportions.
                    let proportion = f64::from(height) / f64::from(width.max(1));
                    let area = frame.width * frame.height;
                    let width = (area / proportion).sqrt();
                    self.placements[index].photo = Some(photo);
                    self.placements[index].height = None;
                    self.put(index, Frame { width, height: width * proportion, ..frame });
                }
            }
            Message::Nudge(dx, dy) => self.move_chosen([dx, dy], None),
            Message::Scale(factor) => self.each(|frame| {
                (frame.width, frame.height) = (frame.width * factor, frame.height * factor);
            }),
            Message::Turn(degrees) => self.each(|frame| frame.rotation += degrees),
            Message::TurnTo(degrees) => self.each(|frame| frame.rotation = degrees),
            Message::Flip => {
                for &index in &self.chosen {
                    let placement = &mut self.placements[index];
                    placement.flip = !placement.flip;
                }
            }
            Message::Order(order) => arrange::stack(&mut self.placements, &self.chosen, order),
            Message::Align(align) => {
                let canvas = self.canvas();
                self.together(|frames| arrange::align(frames, align, canvas));
            }
            Message::Distribute(axis) => self.together(|frames| arrange::distribute(frames, axis.min(1))),
            Message::Random(seed) => self.random(seed),
            Message::Replace(layout) => {
                self.chosen.clear();
                self.aspect = layout.aspect;
                self.placements = named(layout, &self.shapes);
            }
            Message::Aspect(aspect) => self.reshape(aspect),
            Message::Pointer(_) | Message::Undo | Message::Redo => {}
        }
    }

    fn step(&mut self, back: bool) {
        let (from, to) =
            if back { (&mut self.done, &mut self.undone) } else { (&mut self.undone, &mut self.done) };
        if let Some((aspect, placements, chosen)) = from.pop() {
            // Where one comes or goes the others get other numbers: what was chosen then is chosen again.
            let others = placements.len() != self.placements.len();
            let now = if others { chosen } else { self.chosen.clone() };
            let aspect = std::mem::replace(&mut self.aspect, aspect);
            let placements = std::mem::replace(&mut self.placements, placements);
            to.push((aspect, placements, std::mem::replace(&mut self.chosen, now)));
        }
        self.last = None;
    }

    /// Gives the canvas other proportions. Each subject stays as far from the middle across, unless it would be beside the canvas then.
    fn reshape(&mut self, aspect: Aspect) {
        let by = (aspect.ratio() - self.aspect.ratio()) / 2.0;
        if std::mem::replace(&mut self.aspect, aspect) == aspect {
            return;
        }
        for index in 0..self.placements.len() {
            let mut frame = self.frame(index);
            frame.center.0 += by;
            self.put(index, frame);
        }
    }

    /// Changes the frame of each one chosen.
    fn each(&mut self, change: impl Fn(&mut Frame)) {
        self.together(|frames| frames.iter_mut().for_each(&change));
    }

    /// Changes the frames of those chosen together.
    fn together(&mut self, change: impl FnOnce(&mut [Frame])) {
        let mut frames: Vec<Frame> = self.chosen.iter().map(|&index| self.frame(index)).collect();
        change(&mut frames);
        for (index, frame) in self.chosen.clone().into_iter().zip(frames) {
            self.put(index, frame);
        }
    }
}
