//! Every operation and every network on the GPU, held against candle on the CPU.
//!
//! Natively this needs an adapter, which may be emulated (lavapipe, in Debian's `mesa-vulkan-drivers`). `cargo xtask test-browser` runs
//! the same in Chromium, compiled for browsers: both engines are then as the page has them.
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use mudi_diffusion::{Engine, Readable};
use mudi_engine_candle::{CandleEngine, Tensor as CandleTensor};
use mudi_engine_cases::{Case, cases, inputs, large, networks};
use mudi_engine_wgpu::{Gpu, Settings, Sharing, Storage, WgpuEngine};

/// Each way to share work, with dispatches and command buffers cut short.
const WAYS: [(Sharing, f64); 2] = [(Sharing::Together, 1e7), (Sharing::Alone, 1e5)];

/// Largest error, relative to the largest value of the result.
#[derive(Clone, Copy)]
struct Bound(f32);

impl Bound {
    /// Both engines sum in `f32`, in other orders.
    const SINGLE: Self = Self(1e-4);
    /// Inputs and results have 11 bits; sums have more.
    const HALF: Self = Self(4e-3);
    /// Each of some fifty layers rounds.
    const HALF_NETWORK: Self = Self(2e-2);
}

/// A GPU, or an emulated one.
async fn gpu() -> Gpu {
    Gpu::start().await.expect("a GPU, or an emulated one (on Debian: mesa-vulkan-drivers)")
}

fn engine(gpu: Gpu, storage: Storage, sharing: Sharing, budget: f64) -> WgpuEngine {
    WgpuEngine::new(gpu, Settings { storage, sharing, budget }).expect("the adapter stores both")
}

fn error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3, |a: f32, b| a.max(b.abs()));
    let furthest = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // A value that is no number is as far as can be.
    furthest.fold(0.0, |a: f32, b| if b.is_nan() { f32::INFINITY } else { a.max(b) }) / largest
}

/// Fails with every case that is wrong.
fn report(wrong: &[String], tried: usize) {
    assert!(tried > 10, "only {tried} cases were tried");
    assert!(wrong.is_empty(), "{} of {tried} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every operation, and those that are large enough for the kernels of real models.
fn operations<E: Engine>() -> impl Iterator<Item = Case<E>> {
    cases().into_iter().chain(large())
}

async fn operations_against_candle(engine: &WgpuEngine, Bound(bound): Bound) {
    let candle = CandleEngine::cpu();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (ours, theirs) in operations::<WgpuEngine>().zip(operations::<CandleEngine>()) {
        let values = inputs(&ours);
        let given = values.iter().zip(&ours.inputs);
        let on_gpu: Vec<_> =
            given.clone().map(|(values, shape)| engine.from_slice(values, shape).unwrap()).collect();
        let on_cpu: Vec<CandleTensor> =
            given.map(|(values, shape)| candle.from_slice(values, shape).unwrap()).collect();
        let expected = (theirs.run)(&candle, &on_cpu).unwrap();
        tried += 1;
        let found = match (ours.run)(engine, &on_gpu) {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{}: {error}", ours.name));
                continue;
            }
        };
        assert_eq!(found.shape(), candle.shape(&expected), "{}", ours.name);
        match engine.read(&found).await {
            Ok(values) => {
                let error = error(&values, &candle.to_vec(&expected).unwrap());
                if error > bound {
                    wrong.push(format!("{}: error {error:.1e}", ours.name));
                }
            }
            Err(error) => wrong.push(format!("{}: {error}", ours.name)),
        }
    }
    report(&wrong, tried);
}

async fn networks_against_candle(engine: &WgpuEngine, Bound(bound): Bound) {
    let candle = CandleEngine::cpu();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (ours, theirs) in networks::networks::<WgpuEngine>().into_iter().zip(networks::networks()) {
        let theirs: networks::Network<CandleEngine> = theirs;
        tried += 1;
        let expected = (theirs.run)(&candle).and_then(|y| candle.to_vec(&y)).unwrap();
        let found = match (ours.run)(engine) {
            Ok(found) => engine.read(&found).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => {
                let error = error(&found, &expected);
                if error > bound {
                    wrong.push(format!("{}: error {error:.1e}", ours.name));
                }
            }
            Err(error) => wrong.push(format!("{}: {error}", ours.name)),
        }
    }
    report(&wrong, tried);
}

async fn operations_in(storage: Storage, bound: Bound) {
    for (sharing, budget) in WAYS {
        operations_against_candle(&engine(gpu().await, storage, sharing, budget), bound).await;
    }
}

async fn networks_in(storage: Storage, bound: Bound) {
    for (sharing, budget) in WAYS {
        networks_against_candle(&engine(gpu().await, storage, sharing, budget), bound).await;
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::*;

    /// Runs a future whose engine waits by itself.
    fn wait(future: impl Future<Output = ()>) {
        use std::task::{Context, Poll, Waker};
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        while future.as_mut().poll(&mut context) == Poll::Pending {
            std::thread::yield_now();
        }
    }

    #[test]
    fn operations_in_single_precision() {
        wait(operations_in(Storage::Single, Bound::SINGLE));
    }

    #[test]
    fn networks_in_single_precision() {
        wait(networks_in(Storage::Single, Bound::SINGLE));
    }

    #[test]
    fn operations_in_half_precision() {
        wait(operations_in(Storage::Half, Bound::HALF));
    }

    #[test]
    fn networks_in_half_precision() {
        wait(networks_in(Storage::Half, Bound::HALF_NETWORK));
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;

    wasm_bindgen_test_configure!(run_in_browser);

    #[wasm_bindgen_test]
    async fn operations_in_single_precision() {
        operations_in(Storage::Single, Bound::SINGLE).await;
    }

    #[wasm_bindgen_test]
    async fn networks_in_single_precision() {
        networks_in(Storage::Single, Bound::SINGLE).await;
    }

    /// Not every adapter computes in half precision; one that does not says so.
    #[wasm_bindgen_test]
    async fn half_precision_or_a_reason() {
        let gpu = gpu().await;
        if gpu.adapter.half {
            operations_in(Storage::Half, Bound::HALF).await;
            networks_in(Storage::Half, Bound::HALF_NETWORK).await;
        } else {
            let settings = Settings { storage: Storage::Half, sharing: Sharing::Alone, budget: 1e9 };
            let refusal = WgpuEngine::new(gpu, settings).err().expect("half precision is refused");
            assert!(refusal.to_string().contains("16-bit"), "{refusal}");
        }
    }
}
