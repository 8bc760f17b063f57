use crate::policy::RetryBudget;

/// The budget's leave for the transmission that is due: returns its token when it is dropped unspent, whether by a
/// failed send, a panic, a cancellation or the end of the request.
#[derive(Debug)]
pub(super) struct Grant {
    held: bool,
    /// Where the token goes back to; an unlimited budget has none to give back.
    token: RetryBudget,
}

impl Grant {
    pub(super) const fn none() -> Self {
        Self { held: false, token: RetryBudget::unlimited() }
    }

    /// For a retransmission, if the budget has a token left.
    pub(super) fn of(budget: &RetryBudget) -> Option<Self> {
        budget.try_withdraw().then(|| Self { held: true, token: budget.clone() })
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    /// The transmission has left.
    #[inline]
    pub(super) fn spend(&mut self) {
        if self.held {
            self.held = false;
            *self = Self::none();
        }
    }

    /// It is not needed: the token goes back.
    #[inline]
    pub(super) fn release(&mut self) {
        if self.held {
            *self = Self::none();
        }
    }
}

impl Clone for Grant {
    /// A clone holds none: else two could spend one token, and return it twice.
    fn clone(&self) -> Self {
        Self::none()
    }
}

impl Drop for Grant {
    #[inline]
    fn drop(&mut self) {
        if self.held {
            self.token.refund();
        }
    }
}
