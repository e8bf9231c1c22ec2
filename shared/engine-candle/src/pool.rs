//! Where networks run.

use std::ops::Range;

use rayon::prelude::*;

use crate::engine::CandleEngine;

/// Runs `work` on one of the engine's threads. An operation that is started there splits its work with the others at
/// once; started elsewhere, each operation would have to be handed over and waited for.
///
/// `work` must not wait for another thread that uses the engine: with one thread in the pool it would wait forever.
pub fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// Parts that a batch is cut into, whatever the number of threads: the result must not depend on it.
const PARTS: usize = 2;

impl CandleEngine {
    /// Runs `work` on parts of a batch of `count` samples side by side, and returns what it makes of each, in order.
    ///
    /// The operations of a small network are too short to share each of them well: threads that walk through the network with some of the
    /// samples each wait for one another only at its end, and where one is done early it takes from the other's operations. A graphics
    /// card wants all samples at once.
    ///
    /// `work` must not wait for another thread that uses the engine.
    pub fn on_parts<R: Send>(&self, count: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
        let parts = if self.has_kernels() { PARTS } else { 1 };
        let part = count.div_ceil(parts).max(1);
        let starts: Vec<usize> = (0..count).step_by(part).collect();
        starts.into_par_iter().map(|start| work(start..(start + part).min(count))).collect()
    }
}

/// The values of some samples of a batch of `count`, which has as many values for each.
#[must_use]
pub fn part_of<T: Copy>(all: &[T], part: &Range<usize>, count: usize) -> Vec<T> {
    let each = all.len() / count;
    all[part.start * each..part.end * each].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_batch_in_order() {
        let ends = |count| CandleEngine::cpu().on_parts(count, |part| (part.start, part.end));
        assert!(ends(0).is_empty());
        assert_eq!(ends(1), [(0, 1)]);
        assert_eq!(ends(2), [(0, 1), (1, 2)]);
        assert_eq!(ends(5), [(0, 3), (3, 5)]);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn a_card_gets_the_whole_batch() {
        use candle_core::{DType, Device};
        let composed = CandleEngine::composed(Device::Cpu, DType::F32).unwrap();
        assert_eq!(composed.on_parts(5, |part| part.len()), [5]);
    }
}
