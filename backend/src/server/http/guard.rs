//! Limits on how often somebody may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use mudi_domain::api::Time;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gate::Rules;
use super::problem::ApiError;

/// Passwords that one address may try in a minute, and links that are wrong.
const GUESSES: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
/// Links that one address may open in a minute: a whole class may be behind it, and nobody guesses a link.
const LINKS: NonZeroU32 = NonZeroU32::new(120).expect("it is not zero");
/// Images that are decoded at once; each may take a gigabyte.
const DECODERS: usize = 2;
/// Passwords that are tried at once; each takes 19 MiB, and a core.
const TRIALS: usize = 2;

/// The rules of the routes, and the limits of their use.
pub(crate) struct Guard {
    rules: Rules,
    requests: OnceLock<DefaultKeyedRateLimiter<IpAddr>>,
    guesses: DefaultKeyedRateLimiter<IpAddr>,
    links: DefaultKeyedRateLimiter<IpAddr>,
    decoders: Arc<Semaphore>,
    trials: Arc<Semaphore>,
    /// When addresses that have been quiet were forgotten last.
    forgotten: std::sync::atomic::AtomicI64,
}

impl Guard {
    /// Full buckets.
    pub(crate) fn new() -> Self {
        Self {
            rules: Rules::new(&super::openapi::document()),
            requests: OnceLock::new(),
            guesses: RateLimiter::keyed(Quota::per_minute(GUESSES)),
            links: RateLimiter::keyed(Quota::per_minute(LINKS)),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            trials: Arc::new(Semaphore::new(TRIALS)),
            forgotten: std::sync::atomic::AtomicI64::new(0),
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether `address` may ask now: `rate` times a second in the mean, four times as often for a moment.
    pub(super) fn allows(&self, address: IpAddr, rate: u64) -> bool {
        let limiter = self.requests.get_or_init(|| {
            let each = NonZeroU32::new(u32::try_from(rate).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
            let burst = each.saturating_mul(NonZeroU32::MIN.saturating_add(3));
            RateLimiter::keyed(Quota::per_second(each).allow_burst(burst))
        });
        self.forget(limiter);
        limiter.check_key(&address).is_ok()
    }

    /// Whether `address` may try a password now, or hear that a link is wrong.
    pub(super) fn allows_guess(&self, address: IpAddr) -> bool {
        self.guesses.check_key(&address).is_ok()
    }

    /// Whether `address` may open a link now.
    pub(super) fn allows_link(&self, address: IpAddr) -> bool {
        self.links.check_key(&address).is_ok()
    }

    /// Forgets addresses whose buckets are full again, so that memory is bounded.
    fn forget(&self, requests: &DefaultKeyedRateLimiter<IpAddr>) {
        const EVERY: Time = 60_000;
        let now = crate::server::store::now();
        let last = self.forgotten.load(std::sync::atomic::Ordering::Relaxed);
        if now - last > EVERY {
            self.forgotten.store(now, std::sync::atomic::Ordering::Relaxed);
            requests.retain_recent();
            self.guesses.retain_recent();
            self.links.retain_recent();
        }
    }

    /// Waits until an image may be decoded: a few are at a time. The permit goes along to the thread that decodes, which goes on
    /// where whoever asked has gone.
    pub(crate) async fn decoder(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        permit(&self.decoders).await
    }

    /// Waits until a password may be tried, whose permit goes along likewise.
    pub(super) async fn trial(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        permit(&self.trials).await
    }
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    of.clone().acquire_owned().await.map_err(|error| ApiError::internal(error.to_string()))
}
