use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering;

use super::PolicyError;
use crate::atomic::AtomicU64;

/// What all requests to a destination together may spend on retransmissions: the guard against retry storms.
///
/// A bucket of tokens. Every success pays a share of a token in, every retransmission takes one out; a request
/// whose retransmission finds the bucket empty keeps listening instead. While losses are rare the bucket is full
/// and has no effect. When a server stops answering, nothing is paid in any more, and the retransmissions of all
/// clients together end after a handful, instead of multiplying the load that keeps the server down.
///
/// transmissions ≤ requests + start + ratio·successes, always, on any number of threads.
///
/// Clones share one bucket. A policy has no budget by itself: give the requesters of one destination the same.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `ratio` | 0.3 | tokens paid by a success; [bears](Self::bearable_loss) an attempt loss of ratio/(1 + ratio), here 23 % |
/// | `burst` | 10 | what the bucket holds |
/// | `start` | 3 | what it holds at first: few, or many small clients add up to a storm |
///
/// ```
/// use udp_retry::policy::RetryBudget;
///
/// let budget = RetryBudget::default();
/// let shared = budget.clone();
/// assert!(budget.try_withdraw() && shared.try_withdraw() && budget.try_withdraw());
/// assert!(!shared.try_withdraw());
/// for _ in 0..4 {
///     shared.deposit();
/// }
/// assert!(budget.try_withdraw());
/// ```
#[doc(alias = "throttle")]
#[derive(Clone)]
pub struct RetryBudget {
    /// `None`: unlimited.
    bucket: Option<Arc<Bucket>>,
}

struct Bucket {
    /// In billionths of a token, so that every ratio is paid exactly.
    balance: AtomicU64,
    burst: u64,
    reward: u64,
}

impl RetryBudget {
    /// A bucket of `burst` tokens that holds `start` at first and gains `ratio` by every success. A burst of 0
    /// forbids retransmissions.
    ///
    /// # Errors
    ///
    /// [`BudgetRatioOutOfRange`](PolicyError::BudgetRatioOutOfRange) unless the ratio is a number from 0 to 10⁹,
    /// [`BudgetStartAboveBurst`](PolicyError::BudgetStartAboveBurst).
    pub fn new(ratio: f64, burst: u32, start: u32) -> Result<Self, PolicyError> {
        if !(0.0..=1e9).contains(&ratio) {
            return Err(PolicyError::BudgetRatioOutOfRange { ratio });
        }
        if start > burst {
            return Err(PolicyError::BudgetStartAboveBurst { start, burst });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10¹⁸")]
        let reward = (ratio * TOKEN as f64 + 0.5) as u64;
        Ok(Self::filled(reward, burst, start))
    }

    /// A budget that permits every retransmission.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { bucket: None }
    }

    /// The share of attempts that may fail, in the long run, with every retransmission paid for: ratio/(1 + ratio), which
    /// is 0.23 for the default; 1 if unlimited, 0 for a burst of 0.
    ///
    /// Where more of them fail, retransmissions cost more than successes pay in: the bucket runs dry, and then most
    /// requests are sent once. An attempt fails if its request or its reply is lost, so 23 % are 12 % of the datagrams in
    /// either direction. A path that is known to lose more needs a larger ratio: 1 bears 50 % of the attempts.
    ///
    /// ```
    /// use udp_retry::policy::RetryBudget;
    ///
    /// assert_eq!(RetryBudget::new(1.0, 10, 3)?.bearable_loss(), 0.5);
    /// # Ok::<(), udp_retry::policy::PolicyError>(())
    /// ```
    #[must_use]
    pub fn bearable_loss(&self) -> f64 {
        match &self.bucket {
            None => 1.0,
            Some(bucket) if bucket.burst == 0 => 0.0,
            Some(bucket) => bucket.reward as f64 / (bucket.reward + TOKEN) as f64,
        }
    }

    /// Pays in the ratio for a request that has succeeded, after any number of transmissions.
    #[inline]
    pub fn deposit(&self) {
        if let Some(bucket) = &self.bucket {
            bucket.deposit();
        }
    }

    /// Takes a token for one retransmission, if there is one.
    #[must_use]
    pub fn try_withdraw(&self) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| {
            let taken =
                bucket.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| balance.checked_sub(TOKEN));
            taken.is_ok()
        })
    }

    /// Gives back a token that was not spent after all.
    pub(crate) fn refund(&self) {
        if let Some(bucket) = &self.bucket {
            let _ = bucket.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
                Some(balance.saturating_add(TOKEN).min(bucket.burst))
            });
        }
    }

    /// Whole tokens left; `u32::MAX` for an unlimited budget.
    #[must_use]
    pub fn balance(&self) -> u32 {
        self.bucket.as_ref().map_or(u32::MAX, |bucket| {
            u32::try_from(bucket.balance.load(Ordering::Relaxed) / TOKEN).unwrap_or(u32::MAX)
        })
    }

    /// Whether at least half of what it can hold is there.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket.balance.load(Ordering::Relaxed) >= bucket.burst / 2)
    }

    fn filled(reward: u64, burst: u32, start: u32) -> Self {
        let balance = AtomicU64::new(u64::from(start) * TOKEN);
        Self { bucket: Some(Arc::new(Bucket { balance, burst: u64::from(burst) * TOKEN, reward })) }
    }
}

impl Bucket {
    fn deposit(&self) {
        // Nothing else is published by the balance, so no ordering is needed beyond its own.
        let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
            (balance < self.burst).then(|| balance.saturating_add(self.reward).min(self.burst))
        });
    }
}

impl Default for RetryBudget {
    /// The recommended one: ratio 0.3, burst 10, starting at 3. Its price: where more than 23 % of the attempts fail,
    /// whether by loss or by load, requests are retried less than their policy would.
    fn default() -> Self {
        Self::filled(TOKEN * 3 / 10, 10, 3)
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bucket {
            None => f.write_str("RetryBudget(unlimited)"),
            Some(_) => write!(f, "RetryBudget({} tokens)", self.balance()),
        }
    }
}

const TOKEN: u64 = 1_000_000_000;
