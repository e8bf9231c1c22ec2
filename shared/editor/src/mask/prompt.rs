//! Finding the subject automatically: what was pointed at, and what was found.

use image::GrayImage;
use mudi_domain::grabcut::{Hints, Stroke};

use super::message::Request;
use super::pyramid::Pyramid;

/// What was pointed at so far, and the answer to it.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// Boxes, places and lines, in pixels of the photo.
    pub hints: Hints,
    /// What was found, to be looked at before it is taken over.
    pub found: Option<Found>,
    /// Why nothing was found, where that is so.
    pub fault: Option<String>,
    /// The number of the last request.
    asked: u64,
    /// Whether its answer is still to come.
    waiting: bool,
    /// How often something was found.
    proposed: u64,
}

/// A mask that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The mask.
    pub mask: GrayImage,
    /// Its reductions, to draw it.
    pub pyramid: Pyramid,
    /// Another number than that of every other mask that was found.
    pub number: u64,
}

impl Prompt {
    /// Whether an answer is to come.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether the answer to the request of that number is to come.
    #[must_use]
    pub fn awaits(&self, number: u64) -> bool {
        self.waiting && number == self.asked
    }

    /// Whether nothing was pointed at or found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hints == Hints::default() && self.found.is_none() && !self.waiting && self.fault.is_none()
    }

    pub(super) fn add_stroke(&mut self, places: Vec<[f32; 2]>, on_subject: bool) -> Request {
        self.hints.strokes.push(Stroke { places, on_subject });
        self.ask()
    }

    pub(super) fn set_box(&mut self, bounds: [f32; 4]) -> Request {
        self.hints.bounds = Some(bounds);
        self.ask()
    }

    fn ask(&mut self) -> Request {
        self.asked += 1;
        self.waiting = true;
        self.fault = None;
        Request::Segment(self.asked, self.hints.clone())
    }

    /// Takes an answer; one to an earlier question is dropped. Whether it was taken.
    pub(super) fn answer(&mut self, number: u64, answer: Result<GrayImage, String>) -> bool {
        if !self.awaits(number) {
            return false;
        }
        self.waiting = false;
        match answer {
            Ok(mask) => self.propose(mask),
            Err(fault) => self.fault = Some(fault),
        }
        true
    }

    pub(super) fn propose(&mut self, mask: GrayImage) {
        let pyramid = Pyramid::of(&mask);
        self.proposed += 1;
        self.found = Some(Found { mask, pyramid, number: self.proposed });
    }

    /// Forgets everything, answers that are still to come included.
    pub(super) fn clear(&mut self) {
        *self = Self { asked: self.asked, proposed: self.proposed, ..Self::default() };
    }
}
