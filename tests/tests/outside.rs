//! Bytes from outside, damaged in every simple way: each is accepted or refused, and none ends the program.

use mudi_domain::rng;
use mudi_tests::outside::{TARGETS, seeds::seeds};
use rand::Rng;

/// Damaged copies of each seed. `fuzz/` finds more, but needs hours.
const COPIES: u64 = 200;

#[test]
fn seeds_are_accepted_and_damaged_ones_survived() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name}");
        for (index, seed) in seeds.iter().enumerate() {
            assert!(target(seed), "{name}: seed {index} is refused");
            let mut stream = rng::stream(index as u64, name, 0);
            for _ in 0..COPIES {
                let _ = target(&damaged(seed, &mut stream));
            }
        }
        assert!(!target(b"nothing of the kind"), "{name}");
    }
}

/// A copy that is cut short, has bytes changed, or has a piece of itself in another place.
fn damaged(seed: &[u8], stream: &mut rng::Stream) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    match stream.random_range(0..3) {
        0 => bytes.truncate(stream.random_range(0..=seed.len())),
        1 => {
            for _ in 0..stream.random_range(1..=4) {
                if let Some(byte) = bytes.get_mut(stream.random_range(0..seed.len())) {
                    *byte = stream.random();
                }
            }
        }
        _ => {
            let start = stream.random_range(0..seed.len());
            let piece = seed[start..(start + 16).min(seed.len())].to_vec();
            let at = stream.random_range(0..=seed.len());
            bytes.splice(at..at, piece);
        }
    }
    bytes
}
