//! Every operation and every network on the GPU, held against candle on the CPU.
//!
//! Natively this needs an adapter, which may be emulated (lavapipe, in Debian's `mesa-vulkan-drivers`).

mod common;

use common::{Bound, networks_against_candle, operations_against_candle, start, wait};
use mudi_engine_wgpu::{Sharing, Storage};

/// Each way to share work, the second with dispatches and command buffers cut short.
const WAYS: [(Sharing, f64); 2] = [(Sharing::Together, 1e9), (Sharing::Alone, 1e5)];

#[test]
fn operations_in_single_precision() {
    for (sharing, budget) in WAYS {
        wait(async {
            operations_against_candle(&start(Storage::Single, sharing, budget).await, Bound::SINGLE).await;
        });
    }
}

#[test]
fn networks_in_single_precision() {
    for (sharing, budget) in WAYS {
        wait(async {
            networks_against_candle(&start(Storage::Single, sharing, budget).await, Bound::SINGLE).await;
        });
    }
}

#[test]
fn operations_in_half_precision() {
    for (sharing, budget) in WAYS {
        wait(async {
            operations_against_candle(&start(Storage::Half, sharing, budget).await, Bound::HALF).await;
        });
    }
}

#[test]
fn networks_in_half_precision() {
    for (sharing, budget) in WAYS {
        wait(async {
            networks_against_candle(&start(Storage::Half, sharing, budget).await, Bound::HALF_NETWORK).await;
        });
    }
}
