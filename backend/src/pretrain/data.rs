//! Pictures of the toybox for pretraining: a pure function of (seed, index), rendered ahead on another thread.

use std::sync::mpsc::{Receiver, sync_channel};

use image::RgbImage;
use mudi_domain::rng;
use mudi_toybox::{MAX_TOYS, Options, Scene};

use super::architecture::RESOLUTION;

/// A size of the pictures that the denoiser learns, and how it learns them.
pub(super) struct Size {
    /// Width in pixels.
    pub(super) width: usize,
    /// Height in pixels.
    pub(super) height: usize,
    /// Pictures of a step.
    pub(super) batch: usize,
    /// How many of the steps of a round it has.
    pub(super) steps: u64,
    /// How likely one, two, ... five toys are.
    counts: [f32; MAX_TOYS],
}

/// The pictures that most prompts ask for, and others in which as many toys as a scene may have keep their faces: wide ones, in which each has the room that
/// it has beside one other, and a larger square. The last two are what is drawn where somebody asks for a landscape or a portrait. Without having seen them
/// the denoiser would show each toy several times. A batch of any takes about as long.
pub(super) const SIZES: [Size; 7] = [
    Size { width: RESOLUTION, height: RESOLUTION, batch: 32, steps: 4, counts: [35.0, 35.0, 15.0, 8.0, 7.0] },
    Size { width: 144, height: 96, batch: 21, steps: 3, counts: [12.0, 28.0, 40.0, 12.0, 8.0] },
    Size { width: 192, height: 96, batch: 16, steps: 3, counts: [6.0, 14.0, 24.0, 44.0, 12.0] },
    Size { width: 240, height: 96, batch: 13, steps: 3, counts: [5.0, 10.0, 17.0, 26.0, 42.0] },
    Size { width: 144, height: 144, batch: 14, steps: 1, counts: [15.0, 20.0, 25.0, 22.0, 18.0] },
    Size { width: 112, height: 80, batch: 32, steps: 1, counts: [35.0, 40.0, 15.0, 6.0, 4.0] },
    Size { width: 80, height: 112, batch: 32, steps: 1, counts: [45.0, 40.0, 15.0, 0.0, 0.0] },
];

impl Size {
    /// The size of step `step`, its place in [`SIZES`]: they take turns within each round.
    pub(super) fn index_at(step: u64) -> usize {
        let round: u64 = SIZES.iter().map(|size| size.steps).sum();
        // A stride that shares no factor with 16, so that steps of one size are spread over the round.
        let mut at = step * 5 % round;
        for (index, size) in SIZES.iter().enumerate() {
            if at < size.steps {
                return index;
            }
            at -= size.steps;
        }
        0
    }

    /// The size of step `step`.
    pub(super) fn at(step: u64) -> &'static Self {
        &SIZES[Self::index_at(step)]
    }

    /// The wide size that has the most pictures of so many toys, from three on.
    pub(super) fn of_crowd(count: usize) -> &'static Self {
        &SIZES[count.clamp(3, MAX_TOYS) - 2]
    }

    /// Width and height in pixels, as scenes are told them.
    pub(super) const fn sides(&self) -> [u32; 2] {
        [self.width as u32, self.height as u32]
    }

    /// Pixels of a picture.
    pub(super) const fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// Picture `index` of a run.
    pub(super) fn scene(&self, seed: u64, index: u64) -> Scene {
        let size = self.sides();
        let options = Options { size, counts: self.counts, ..Options::default() };
        let name =
            if size == [RESOLUTION as u32; 2] { "picture".to_owned() } else { format!("{self} picture") };
        Scene::random(&mut rng::stream(seed, &name, index), &options)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Picture `index` of a run, of the first size.
pub(super) fn scene(seed: u64, index: u64) -> Scene {
    SIZES[0].scene(seed, index)
}

/// Pixels to -1..=1, `[H, W, 3]`.
pub(crate) fn to_unit(image: &RgbImage) -> Vec<f32> {
    image.as_raw().iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect()
}

/// Calls `make(index)` for `first, first + 1, ...` on a thread of its own, a few ahead of the reader.
pub(super) fn ahead<T: Send + 'static>(first: u64, make: impl Fn(u64) -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = sync_channel(2);
    std::thread::spawn(move || {
        for index in first.. {
            // The reader has gone: the stage is over.
            if sender.send(make(index)).is_err() {
                return;
            }
        }
    });
    receiver
}
