//! Limits on how often somebody may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use mudi_domain::api::Time;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gate::Rules;
use super::problem::ApiError;

/// Sign-ins of one address in a minute.
const SIGN_INS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
/// Images that are decoded at once; each may take a gigabyte.
const DECODERS: usize = 2;

/// The rules of the routes, and the limits of their use.
pub(crate) struct Guard {
    rules: Rules,
    requests: OnceLock<DefaultKeyedRateLimiter<IpAddr>>,
    sign_ins: DefaultKeyedRateLimiter<IpAddr>,
    decoders: Arc<Semaphore>,
    /// When addresses that have been quiet were forgotten last.
    forgotten: std::sync::atomic::AtomicI64,
}

impl Guard {
    /// Full buckets.
    pub(crate) fn new() -> Self {
        Self {
            rules: Rules::new(&super::openapi::document()),
            requests: OnceLock::new(),
            sign_ins: RateLimiter::keyed(Quota::per_minute(SIGN_INS)),
            decoders: Arc::new(Semaphore::new(DECODERS)),
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

    /// Whether `address` may try to sign in now.
    pub(super) fn allows_sign_in(&self, address: IpAddr) -> bool {
        self.sign_ins.check_key(&address).is_ok()
    }

    /// Forgets addresses whose buckets are full again, so that memory is bounded.
    fn forget(&self, requests: &DefaultKeyedRateLimiter<IpAddr>) {
        const EVERY: Time = 60_000;
        let now = crate::server::store::now();
        let last = self.forgotten.load(std::sync::atomic::Ordering::Relaxed);
        if now - last > EVERY {
            self.forgotten.store(now, std::sync::atomic::Ordering::Relaxed);
            requests.retain_recent();
            self.sign_ins.retain_recent();
        }
    }

    /// Waits until an image may be decoded: a few are at a time. The permit goes along to the thread that decodes, which goes on
    /// where whoever asked has gone.
    pub(crate) async fn decoder(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.decoders.clone().acquire_owned().await.map_err(|error| ApiError::internal(error.to_string()))
    }
}
