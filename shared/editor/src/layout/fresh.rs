//! What comes onto the canvas: photos, copies, layouts at random.

use mudi_domain::collage::MAX_SUBJECTS;
use mudi_domain::layout::{Layout, Placement};
use mudi_domain::rng;
use mudi_domain::segmix::Shape;
use mudi_domain::subject::SubjectId;

use super::Designer;
use super::frame::Frame;

/// How large a subject is that is put on the canvas: its longer side, in the canvas's shorter one.
const NEW: f64 = 0.5;
/// How far a copy lies from what it was copied of, in heights of the canvas.
const ASIDE: f64 = 0.04;

impl Designer {
    fn top(&self) -> i32 {
        self.placements.iter().map(|placement| placement.z).max().map_or(0, |z| z.saturating_add(1))
    }

    pub(super) fn add(&mut self, subject: SubjectId, photo: usize) {
        let Some((width, height)) = self.shape(&subject, photo) else { return };
        if self.placements.len() >= MAX_SUBJECTS {
            return;
        }
        let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
        let across = self.aspect.ratio();
        let scale = NEW * across.min(1.0) / w.max(h);
        let (width, height) = (w * scale, h * scale);
        // Side by side: the next place of the canvas's thirds.
        let column = [0.5, 0.28, 0.72][self.placements.len() % 3];
        let frame = Frame { center: (column * across, 0.5), width, height, rotation: 0.0 };
        let (z, photo) = (self.top(), Some(photo));
        self.placements.push(Placement {
            subject,
            photo,
            x: 0.0,
            y: 0.0,
            width,
            height: None,
            z,
            flip: false,
            rotation: 0.0,
        });
        let index = self.placements.len() - 1;
        self.put(index, frame);
        self.chosen = [index].into();
    }

    pub(super) fn duplicate(&mut self) {
        let copies: Vec<usize> = self.chosen.iter().copied().collect();
        let first = self.placements.len();
        for index in copies.into_iter().take(MAX_SUBJECTS.saturating_sub(first)) {
            let mut frame = self.frame(index);
            let z = self.top();
            self.placements.push(Placement { z, ..self.placements[index].clone() });
            frame.center = (frame.center.0 + ASIDE, frame.center.1 + ASIDE);
            self.put(self.placements.len() - 1, frame);
        }
        if self.placements.len() > first {
            self.chosen = (first..self.placements.len()).collect();
        }
    }

    pub(super) fn random(&mut self, seed: u64) {
        let on_canvas: Vec<_> = self
            .placements
            .iter()
            .map(|placement| (placement.subject.clone(), placement.photo.unwrap_or(0)))
            .collect();
        let first_photos = self
            .shapes
            .iter()
            .filter_map(|(subject, photos)| Some((subject.clone(), *photos.first_key_value()?.0)));
        let wanted = if on_canvas.is_empty() { first_photos.take(MAX_SUBJECTS).collect() } else { on_canvas };
        let items: Vec<_> = wanted
            .into_iter()
            .filter_map(|(subject, photo)| {
                let (width, height) = self.shape(&subject, photo)?;
                Some((Shape { subject, width, height }, Some(photo)))
            })
            .collect();
        if let Ok(layout) =
            Layout::random(&mut rng::stream(seed, "layout", 0), &items, self.aspect, &self.law)
        {
            self.placements = layout.subjects;
            self.chosen.clear();
        }
    }
}
