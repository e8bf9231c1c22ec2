//! The latents of the pictures that are being made, for whoever looks on. They are in memory alone, and only while the job runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mudi_domain::api::Latents;
use uuid::Uuid;

/// The shortest time between two that are shown.
const OFTEN: Duration = Duration::from_millis(250);

/// The newest ones of each job.
#[derive(Default)]
pub(crate) struct Newest {
    held: Mutex<HashMap<Uuid, Arc<Held>>>,
}

/// Those of a job.
pub(crate) struct Held {
    /// Tells them from earlier ones.
    pub(crate) tag: String,
    pub(crate) bytes: Bytes,
    since: Instant,
}

impl Newest {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of that job.
    pub(crate) fn of(&self, job: Uuid) -> Option<Arc<Held>> {
        self.lock().get(&job).cloned()
    }

    /// Shows what `latents` makes, unless others of the job have been shown a moment ago.
    pub(crate) fn show(&self, job: Uuid, latents: impl FnOnce() -> Latents) {
        if self.of(job).is_some_and(|held| held.since.elapsed() < OFTEN) {
            return;
        }
        let latents = smaller(latents());
        let tag = format!("{}-{}", latents.first, latents.step);
        if let Some(bytes) = latents.to_bytes() {
            let (bytes, since) = (bytes.into(), Instant::now());
            self.lock().insert(job, Arc::new(Held { tag, bytes, since }));
        }
    }

    /// The job has ended.
    pub(crate) fn clear(&self, job: Uuid) {
        self.lock().remove(&job);
    }
}

/// Averages squares of latents, so that no side is longer than [`Latents::LONGEST`].
fn smaller(latents: Latents) -> Latents {
    let [pictures, height, width, channels] = latents.shape;
    let by = height.max(width).div_ceil(Latents::LONGEST).max(1);
    if by == 1 {
        return latents;
    }
    let (h, w) = ((height / by).max(1), (width / by).max(1));
    let mut values = Vec::with_capacity(pictures * h * w * channels);
    for picture in latents.values.chunks_exact(height * width * channels) {
        for at in 0..h * w * channels {
            let (row, column, channel) = (at / channels / w * by, at / channels % w * by, at % channels);
            let (rows, columns) = (row..(row + by).min(height), column..(column + by).min(width));
            let count = (rows.len() * columns.len()) as f32;
            let of_row = |row: usize| -> f32 {
                columns.clone().map(|column| picture[(row * width + column) * channels + channel]).sum()
            };
            values.push(rows.map(of_row).sum::<f32>() / count);
        }
    }
    Latents { shape: [pictures, h, w, channels], values, ..latents }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latents(shape: [usize; 4], step: u32) -> Latents {
        let values = (0..shape.iter().product()).map(|at: usize| (at % 7) as f32).collect();
        let colours = vec![[0.5; 3]; shape[3] + 1];
        Latents { first: 0, step, steps: 9, shape, colours, preview: false, values }
    }

    #[test]
    fn large_ones_are_averaged() {
        let small = smaller(latents([2, 128, 96, 4], 1));
        assert_eq!(small.shape, [2, 64, 48, 4]);
        let whole = latents([2, 128, 96, 4], 1).values;
        let at = |row: usize, column: usize| whole[(row * 96 + column) * 4 + 3];
        let mean = (at(2, 6) + at(2, 7) + at(3, 6) + at(3, 7)) / 4.0;
        assert_eq!(small.values[(48 + 3) * 4 + 3], mean);
        let odd = smaller(latents([1, 130, 65, 3], 1));
        assert_eq!((odd.shape, odd.values.len()), ([1, 43, 21, 3], 43 * 21 * 3));
        assert_eq!(smaller(latents([3, 24, 64, 4], 1)), latents([3, 24, 64, 4], 1));
    }

    #[test]
    fn each_job_has_its_own_and_not_too_often() {
        let newest = Newest::default();
        let (job, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        newest.show(job, || latents([1, 2, 2, 4], 1));
        newest.show(job, || panic!("too often"));
        assert_eq!(newest.of(job).unwrap().tag, "0-1");
        assert!(newest.of(other).is_none());
        newest.show(other, || latents([1, 2, 2, 4], 5));
        assert_eq!(newest.of(job).unwrap().tag, "0-1");
        assert_eq!(Latents::from_bytes(&newest.of(other).unwrap().bytes).unwrap().step, 5);
        newest.clear(other);
        assert!(newest.of(other).is_none() && newest.of(job).is_some());
    }
}
