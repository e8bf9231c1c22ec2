//! Pictures of the toybox for pretraining: a pure function of (seed, index), rendered ahead on another thread.

use std::sync::mpsc::{Receiver, sync_channel};

use image::RgbImage;
use mudi_domain::rng;
use mudi_toybox::{Options, Scene};

use super::architecture::RESOLUTION;

/// Picture `index` of a run.
pub(super) fn scene(seed: u64, index: u64) -> Scene {
    let options = Options { size: RESOLUTION as u32, ..Options::default() };
    Scene::random(&mut rng::stream(seed, "picture", index), &options)
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
