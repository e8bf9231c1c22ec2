//! Random numbers that are a pure function of (seed, purpose, index).
//!
//! Every random choice of the program draws from a stream named after what it is for and the step that it is for. No
//! generator state has to be saved: a run that resumes at step *n* asks for the streams of step *n*.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// The generator behind every stream: portable, and the same on each platform.
pub type Stream = ChaCha8Rng;

/// The stream of `seed` for one `purpose` (for example `"segmix"`) and one `index` (for example the step).
///
/// Streams that differ in any of the three are independent.
#[must_use]
pub fn stream(seed: u64, purpose: &str, index: u64) -> Stream {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    // FNV-1a, twice with different offsets: 128 bits that tell purposes apart.
    for (half, offset) in [0xcbf2_9ce4_8422_2325_u64, 0x6c62_272e_07bb_0142].into_iter().enumerate() {
        let hash =
            purpose.bytes().fold(offset, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        key[16 + 8 * half..24 + 8 * half].copy_from_slice(&hash.to_le_bytes());
    }
    Stream::from_seed(key)
}

/// `len` samples of the standard normal distribution.
#[must_use]
pub fn normal(stream: &mut Stream, len: usize) -> Vec<f32> {
    (0..len).map(|_| StandardNormal.sample(stream)).collect()
}
