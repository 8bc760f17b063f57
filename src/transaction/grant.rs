use crate::policy::RetryBudget;

/// Whether the transmission that is due has the budget's leave.
///
/// Apart from its [`Token`], because the two then take nine bytes instead of sixteen.
#[derive(Debug)]
pub(super) struct Granted(pub(super) bool);

impl Clone for Granted {
    /// A clone is not granted what the original was: else two could spend one token.
    fn clone(&self) -> Self {
        Self(false)
    }
}

/// What the budget gave for the transmission that is due: returns to it when it is dropped unspent, whether by a failed
/// send, a panic, a cancellation or the end of the request.
#[derive(Debug)]
pub(super) struct Token {
    /// Where it goes back to; an unlimited budget has nothing to get back.
    budget: RetryBudget,
}

impl Token {
    /// For a first transmission, which costs nothing; or none at all.
    pub(super) const fn free() -> Self {
        Self { budget: RetryBudget::unlimited() }
    }

    /// For a retransmission, if the budget has one left.
    pub(super) fn of(budget: &RetryBudget) -> Option<Self> {
        budget.try_withdraw().then(|| Self { budget: budget.clone() })
    }

    /// The transmission has left.
    #[inline]
    pub(super) fn spend(&mut self) {
        self.budget = RetryBudget::unlimited();
    }
}

impl Clone for Token {
    /// A clone holds none: else one token would return twice.
    fn clone(&self) -> Self {
        Self::free()
    }
}

impl Drop for Token {
    #[inline]
    fn drop(&mut self) {
        self.budget.refund();
    }
}
