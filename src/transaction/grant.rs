use core::sync::atomic::{AtomicU32, Ordering};

use crate::policy::RetryBudget;

/// A budget, and how much of what it gave was neither spent nor given back: that returns to it when this is dropped.
///
/// Here and not in the request, which then has nothing to drop and nothing to copy.
#[derive(Debug)]
pub(super) struct Grants {
    budget: RetryBudget,
    open: AtomicU32,
}

impl Grants {
    pub(super) const fn of(budget: RetryBudget) -> Self {
        Self { budget, open: AtomicU32::new(0) }
    }

    /// Grants a retransmission, if the budget has a token left.
    pub(super) fn take(&self) -> bool {
        let granted = self.budget.try_withdraw();
        self.open.fetch_add(u32::from(granted), Ordering::Relaxed);
        granted
    }

    /// The transmission has left.
    pub(super) fn spend(&self) -> bool {
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1)).is_ok()
    }

    /// The transmission does not leave.
    pub(super) fn give_back(&self) {
        if self.spend() {
            self.budget.refund();
        }
    }

    /// Whether there is enough for what need not be sent.
    pub(super) fn is_half_full(&self) -> bool {
        self.budget.is_half_full()
    }

    /// A reply came.
    #[inline]
    pub(super) fn deposit(&self) {
        self.budget.deposit();
    }
}

impl Clone for Grants {
    /// What was granted stays with the original: else one token would return twice.
    fn clone(&self) -> Self {
        Self::of(self.budget.clone())
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        for _ in 0..*self.open.get_mut() {
            self.budget.refund();
        }
    }
}

/// Whether the transmission that is due has the budget's leave.
#[derive(Debug)]
pub(super) struct Granted(pub(super) bool);

impl Clone for Granted {
    /// A clone is not granted what the original was: else two could spend one token.
    fn clone(&self) -> Self {
        Self(false)
    }
}
