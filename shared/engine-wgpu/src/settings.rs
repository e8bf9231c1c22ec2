//! How the engine computes.

use crate::gpu::{Adapter, Storage};

/// How invocations of products, norms and attention share their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Workgroups read tiles of their inputs into their own memory and wait for each other: what GPUs are built for.
    Together,
    /// Each invocation reads what it needs: on a GPU emulated by a CPU waiting is dear, and all memory is cached.
    Alone,
}

/// How the engine computes.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What tensors are stored as.
    pub storage: Storage,
    /// How work is shared.
    pub sharing: Sharing,
    /// Floating point operations of one dispatch, and of one command buffer, at most. Drivers stop what takes longer than
    /// about two seconds.
    pub budget: f64,
}

/// The slowest GPUs, of phones, make some 20 GFLOP/s of these kernels: a second. On others that many take a few milliseconds, beside which
/// sending them costs nothing.
const BUDGET: f64 = 2e10;
/// A CPU that emulates one makes 1 GFLOP/s.
const EMULATED_BUDGET: f64 = 1e9;

impl Settings {
    /// What suits an adapter best: 16-bit numbers where it has them.
    #[must_use]
    pub fn for_adapter(adapter: &Adapter) -> Self {
        let (sharing, budget) =
            if adapter.emulated { (Sharing::Alone, EMULATED_BUDGET) } else { (Sharing::Together, BUDGET) };
        Self { storage: if adapter.half { Storage::Half } else { Storage::Single }, sharing, budget }
    }
}
