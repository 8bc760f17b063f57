//! What keeps a client from retransmitting too much: ours, and those of the field with the parameters they ship with.

use std::collections::VecDeque;
use std::time::Duration;

use udp_retry::RetryBudget;
use udp_retry::time::Timestamp;

/// The guard of one client, shared by all its requests.
#[derive(Clone)]
pub(crate) enum Guard {
    None,
    /// [`RetryBudget::default`]; the transactions themselves ask it.
    Ours(RetryBudget),
    /// Of AWS' SDKs, standard mode, specification 2.0: what a retry costs comes back if it helps.
    Aws {
        tokens: u32,
    },
    /// Of Finagle: a share of all requests of the last ten seconds, and ten a second in any case.
    Finagle {
        balance: Leaky,
    },
    /// Of Envoy: a share of the requests under way may be retries, and three in any case.
    Envoy {
        retrying: u32,
    },
    /// Of gRPC (A6): every failure costs a token, and below one half nobody retries.
    Grpc {
        tenths: u32,
    },
}

/// What one request has been granted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Granted {
    retries: u32,
    /// For the guards of the field a request is over then, and does not ask again; here it goes on listening.
    denied: bool,
}

impl Guard {
    pub(crate) fn ours() -> Self {
        Self::Ours(RetryBudget::default())
    }

    pub(crate) const fn aws() -> Self {
        Self::Aws { tokens: AWS_CAPACITY }
    }

    pub(crate) const fn finagle() -> Self {
        Self::Finagle { balance: Leaky { entries: VecDeque::new(), sum: 0 } }
    }

    pub(crate) const fn envoy() -> Self {
        Self::Envoy { retrying: 0 }
    }

    pub(crate) const fn grpc() -> Self {
        Self::Grpc { tenths: GRPC_TENTHS }
    }

    /// For a client of its own.
    pub(crate) fn fresh(&self) -> Self {
        match self {
            Self::Ours(_) => Self::ours(),
            other => other.clone(),
        }
    }

    /// What a transaction is given: ours, or one that holds nothing but what is put in for each retry that is allowed.
    pub(crate) fn budget(&self) -> RetryBudget {
        match self {
            Self::None => RetryBudget::unlimited(),
            Self::Ours(budget) => budget.clone(),
            // A token for a deposit, and none to begin with: no rule is broken.
            _ => RetryBudget::new(1.0, 1, 0).unwrap_or_default(),
        }
    }

    pub(crate) fn on_request(&mut self, now: Timestamp) {
        if let Self::Finagle { balance } = self {
            balance.add(now, 1);
        }
    }

    /// A wait of a request has ended without a reply, with so many requests under way: may it be sent again?
    pub(crate) fn may_retry(&mut self, now: Timestamp, active: usize, granted: &mut Granted) -> bool {
        if granted.denied {
            return false;
        }
        let allowed = match self {
            Self::None | Self::Ours(_) => return false, // the transaction asks by itself
            Self::Aws { tokens } => tokens.checked_sub(AWS_COST).map(|left| *tokens = left).is_some(),
            Self::Finagle { balance } => {
                let allowed = balance.now(now) + FINAGLE_RESERVE >= FINAGLE_COST;
                balance.add(now, if allowed { -FINAGLE_COST } else { 0 });
                allowed
            }
            Self::Envoy { retrying } => {
                // The retry that this one follows has failed, and is none any more.
                *retrying -= u32::from(granted.retries > 0);
                let allowed = *retrying < (active / 5).max(3) as u32;
                *retrying += u32::from(allowed);
                if !allowed {
                    granted.retries = 0;
                }
                allowed
            }
            Self::Grpc { tenths } => {
                *tenths = tenths.saturating_sub(10);
                *tenths > GRPC_TENTHS / 2
            }
        };
        granted.retries += u32::from(allowed);
        granted.denied = !allowed;
        allowed
    }

    /// A request has ended.
    pub(crate) fn on_end(&mut self, success: bool, granted: Granted) {
        match self {
            Self::Aws { tokens } if success => {
                let back = if granted.retries > 0 { AWS_COST } else { 1 };
                *tokens = (*tokens + back).min(AWS_CAPACITY);
            }
            Self::Envoy { retrying } => *retrying -= u32::from(granted.retries > 0),
            Self::Grpc { tenths } if success => *tenths = (*tenths + 1).min(GRPC_TENTHS),
            // Once denied, its last attempt has been paid for.
            Self::Grpc { tenths } if !granted.denied => *tenths = tenths.saturating_sub(10),
            _ => {}
        }
    }
}

/// A sum of which every part is forgotten after ten seconds.
#[derive(Clone)]
pub(crate) struct Leaky {
    entries: VecDeque<(Timestamp, i64)>,
    sum: i64,
}

impl Leaky {
    fn add(&mut self, now: Timestamp, amount: i64) {
        self.now(now);
        self.entries.push_back((now, amount));
        self.sum += amount;
    }

    fn now(&mut self, now: Timestamp) -> i64 {
        while let Some(&(_, amount)) = self.entries.front().filter(|(at, _)| now.since(*at) > FINAGLE_TTL) {
            self.sum -= amount;
            self.entries.pop_front();
        }
        self.sum
    }
}

const AWS_CAPACITY: u32 = 500;
/// Of a retry after a timeout.
const AWS_COST: u32 = 10;
const FINAGLE_TTL: Duration = Duration::from_secs(10);
/// 0.2 retries for each request: a retry costs five of them.
const FINAGLE_COST: i64 = 5;
/// Ten retries a second over the time that anything is remembered.
const FINAGLE_RESERVE: i64 = 10 * 10 * FINAGLE_COST;
/// Ten tokens; a success earns a tenth of one.
const GRPC_TENTHS: u32 = 100;
