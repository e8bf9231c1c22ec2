//! Where networks run.

/// Runs `work` on one of the engine's threads. An operation that is started there splits its work with the others at
/// once; started elsewhere, each operation would have to be handed over and waited for.
///
/// `work` must not wait for another thread that uses the engine: with one thread in the pool it would wait forever.
pub fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}
