//! Waiting for what comes sooner or later, on a machine of any speed.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long anything may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Looks again and again, until there is something to be seen; `missing` says what is not.
///
/// # Panics
/// Where nothing comes.
pub fn until<T>(missing: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", missing());
        std::thread::sleep(Duration::from_millis(40));
    }
}

/// Runs a future whose engine waits by itself.
pub fn finished<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}
