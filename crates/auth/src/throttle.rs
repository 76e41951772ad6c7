//! Failed attempts, counted per client address in bounded memory.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{Attempt, Authenticator, Denied, Verdict};

/// Lets a client address fail a number of times at once and then one time an interval.
///
/// Only failures count, and only those that may be guesses: a key that was regenerated or a token that has expired costs
/// nothing, so a client that is late with its rotation is not locked out. An IPv6 client is its /64. Keys and endpoints are
/// never throttled: an outsider could lock their owners out.
///
/// Memory is fixed at construction: addresses fall into sets of eight, and a full set forgets the address that has the least to
/// answer for.
///
/// # Examples
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
/// use std::time::Duration;
/// use portway_auth::FailureThrottle;
///
/// let throttle = FailureThrottle::new(2, Duration::from_secs(10), 1024, 0x5eed);
/// let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// throttle.record_failure(Duration::ZERO, client);
/// assert_eq!(throttle.blocked_for(Duration::ZERO, client), None);
/// throttle.record_failure(Duration::ZERO, client);
/// assert_eq!(throttle.blocked_for(Duration::ZERO, client), Some(Duration::from_secs(10)));
/// assert_eq!(throttle.blocked_for(Duration::from_secs(10), client), None);
/// ```
pub struct FailureThrottle {
    sets: Box<[Mutex<[Debtor; WAYS]>]>,
    /// What one failure costs, in nanoseconds.
    interval: u64,
    /// What an address may owe before it is blocked.
    allowance: u64,
    seed: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Debtor {
    address: u128,
    /// When the last failure is paid off: nanoseconds since the caller's origin.
    paid_at: u64,
}

impl FailureThrottle {
    /// Allows `burst` failures at once and one an `interval` after that, for about `capacity` addresses (24 bytes each).
    ///
    /// `seed` is chance that clients do not know, so that nobody can aim at the set of somebody else.
    #[must_use]
    pub fn new(burst: u32, interval: Duration, capacity: usize, seed: u64) -> Self {
        let interval = nanoseconds(interval).max(1);
        let sets = capacity.div_ceil(WAYS).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            interval,
            allowance: interval.saturating_mul(u64::from(burst.max(1)) - 1),
            seed,
        }
    }

    /// For how long attempts from an address are refused; `None` if they are looked at.
    #[must_use]
    pub fn blocked_for(&self, now: Duration, client: IpAddr) -> Option<Duration> {
        let address = network(client);
        let set = self.set(address).lock().unwrap_or_else(PoisonError::into_inner);
        let debtor = set.iter().find(|debtor| debtor.address == address)?;
        let owed = debtor.paid_at.saturating_sub(nanoseconds(now));
        owed.checked_sub(self.allowance).filter(|over| *over > 0).map(Duration::from_nanos)
    }

    /// Counts one failure.
    pub fn record_failure(&self, now: Duration, client: IpAddr) {
        let (now, address) = (nanoseconds(now), network(client));
        let mut set = self.set(address).lock().unwrap_or_else(PoisonError::into_inner);
        let at = set.iter().position(|debtor| debtor.address == address);
        let at = at.or_else(|| (0..WAYS).min_by_key(|at| set[*at].paid_at)).unwrap_or_default();
        let debtor = &mut set[at];
        if debtor.address != address {
            *debtor = Debtor { address, paid_at: 0 };
        }
        // Past the block nothing adds up: however long an attack lasts, it ends with the same wait.
        let limit = now.saturating_add(self.allowance).saturating_add(self.interval);
        debtor.paid_at = debtor.paid_at.max(now).saturating_add(self.interval).min(limit);
    }

    /// Asks `inner`, unless the client's address is blocked, and counts what may have been a guess.
    ///
    /// For those who share one throttle among many authenticators; [`Throttled`] is this for one.
    pub fn authenticate(&self, inner: &(impl Authenticator + ?Sized), attempt: &Attempt<'_>) -> Verdict {
        let Some(client) = attempt.client else { return inner.authenticate(attempt) };
        if let Some(retry_after) = self.blocked_for(attempt.now, client) {
            return Verdict::Deny(Denied::Throttled { retry_after });
        }
        let verdict = inner.authenticate(attempt);
        if matches!(&verdict, Verdict::Deny(denied) if denied.may_be_a_guess()) {
            self.record_failure(attempt.now, client);
        }
        verdict
    }

    fn set(&self, address: u128) -> &Mutex<[Debtor; WAYS]> {
        // A folded multiply: cheap, and unpredictable without the seed.
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let (high, low) = ((address >> 64) as u64 ^ self.seed, address as u64 ^ self.seed.rotate_left(32));
        let product = (u128::from(high | 1) * u128::from(low ^ MIX)) ^ (u128::from(low) * u128::from(MIX));
        #[expect(clippy::cast_possible_truncation, reason = "folding")]
        let hash = (product >> 64) as usize ^ product as usize;
        &self.sets[hash & (self.sets.len() - 1)]
    }
}

impl fmt::Debug for FailureThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureThrottle").field("capacity", &(self.sets.len() * WAYS)).finish_non_exhaustive()
    }
}

/// Refuses attempts from addresses that failed too often, without asking the authenticator inside.
///
/// Use it where [`Attempt::client`] is the client's own address. Behind a load balancer that hides it, one attacker would
/// throttle everybody: leave the address `None` there.
#[derive(Debug)]
pub struct Throttled<A> {
    inner: A,
    throttle: FailureThrottle,
}

impl<A> Throttled<A> {
    /// Puts `throttle` in front of `inner`.
    pub const fn new(inner: A, throttle: FailureThrottle) -> Self {
        Self { inner, throttle }
    }
}

impl<A: Authenticator> Authenticator for Throttled<A> {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        self.throttle.authenticate(&self.inner, attempt)
    }
}

/// Who is behind an address: an IPv4 address is one client, of IPv6 anybody has a whole /64.
fn network(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => network(IpAddr::V4(address)),
            None => address.to_bits() >> 64 << 64,
        },
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

const WAYS: usize = 8;
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
