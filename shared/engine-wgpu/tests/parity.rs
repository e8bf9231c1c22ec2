//! Every operation and every network on the GPU, held against candle on the CPU.
//!
//! Natively this needs an adapter, which may be emulated (lavapipe, in Debian's `mesa-vulkan-drivers`).
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use mudi_diffusion::{Engine, Readable};
use mudi_engine_candle::{CandleEngine, Tensor as CandleTensor};
use mudi_engine_cases::{cases, inputs, networks};
use mudi_engine_wgpu::{Gpu, Settings, Sharing, Storage, WgpuEngine};

/// Each way to share work, the second with dispatches and command buffers cut short.
const WAYS: [(Sharing, f64); 2] = [(Sharing::Together, 1e9), (Sharing::Alone, 1e5)];

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

async fn start(storage: Storage, sharing: Sharing, budget: f64) -> WgpuEngine {
    let gpu = Gpu::start().await.expect("a GPU, or an emulated one (on Debian: mesa-vulkan-drivers)");
    WgpuEngine::new(gpu, Settings { storage, sharing, budget }).expect("the adapter stores both")
}

/// Runs a future whose engine waits by itself.
fn wait(future: impl Future<Output = ()>) {
    use std::task::{Context, Poll, Waker};
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context) == Poll::Pending {
        std::thread::yield_now();
    }
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

async fn operations_against_candle(engine: &WgpuEngine, Bound(bound): Bound) {
    let candle = CandleEngine::cpu();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (ours, theirs) in cases::<WgpuEngine>().into_iter().zip(cases::<CandleEngine>()) {
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
