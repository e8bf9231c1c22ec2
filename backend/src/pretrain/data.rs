//! Pictures of the toybox for pretraining: a pure function of (seed, index), rendered ahead on another thread.

use std::sync::mpsc::{Receiver, sync_channel};

use image::RgbImage;
use mudi_domain::rng;
use mudi_toybox::{MAX_TOYS, Options, Scene};

use super::architecture::RESOLUTION;

/// A size of the pictures that the denoiser learns, and how it learns them.
pub(super) struct Size {
    /// Side of the square pictures, in pixels.
    pub(super) side: usize,
    /// Pictures of a step.
    pub(super) batch: usize,
    /// How likely one, two, ... five toys are.
    counts: [f32; MAX_TOYS],
}

/// The pictures that most prompts ask for, and larger ones in which as many toys as a scene may have keep their faces. Without the second, pictures of
/// that size would show each toy several times. A batch of either takes about as long.
pub(super) const SIZES: [Size; 2] = [
    Size { side: RESOLUTION, batch: 32, counts: [35.0, 35.0, 15.0, 8.0, 7.0] },
    Size { side: RESOLUTION * 3 / 2, batch: 16, counts: [15.0, 20.0, 25.0, 22.0, 18.0] },
];

impl Size {
    /// The size of step `step`: the larger one, which gets half as many pictures, two times of three.
    pub(super) fn at(step: u64) -> &'static Self {
        &SIZES[usize::from(!step.is_multiple_of(3))]
    }

    /// Picture `index` of a run.
    pub(super) fn scene(&self, seed: u64, index: u64) -> Scene {
        let options = Options { size: self.side as u32, counts: self.counts, ..Options::default() };
        let name = if self.side == RESOLUTION { "picture" } else { "larger picture" };
        Scene::random(&mut rng::stream(seed, name, index), &options)
    }
}

/// Picture `index` of a run, of the smallest size.
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
