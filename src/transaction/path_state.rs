use crate::policy::RttEstimator;
use crate::time::{Ns, Timestamp};
use crate::transport::PathIndex;

/// What all requests over one path share: its round trips, and what those before may still bring.
#[derive(Clone, Debug, Default)]
pub(super) struct PathState {
    pub(super) estimator: Option<RttEstimator>,
    /// Transmissions of ended requests that neither a reply nor a refusal has settled.
    open: u32,
    /// When anything was sent last: what is open may be answered or refused for a datagram's lifetime after it.
    sent_at: Timestamp,
    /// A request ended without an answer: the next one should leave from a fresh port, where nothing late reaches it
    /// and a mapping that a NAT has lost is made anew.
    renewal_due: bool,
    /// Its server was taken for dead, and it is as it was then.
    buried: bool,
}

/// What requests share that take a path of a group.
pub(super) trait States {
    fn state(&mut self, path: PathIndex) -> Option<&mut PathState>;

    /// What measures the round trips of all paths, if that is one.
    fn estimator(&mut self) -> Option<&RttEstimator>;
}

/// What is left of a request that has ended.
pub(super) struct Remains {
    pub(super) transmissions: u32,
    /// Those of them that a reply or a refusal has accounted for.
    pub(super) settled: u32,
    /// It waited in vain.
    pub(super) unanswered: bool,
}

impl PathState {
    /// A path on which nothing was sent yet.
    pub(super) fn measured_by(estimator: Option<RttEstimator>) -> Self {
        Self { estimator, ..Self::default() }
    }

    /// A request begins: what could still come of those before by then?
    #[inline]
    pub(super) fn on_start(&mut self, now: Timestamp) {
        if self.open > 0 && now >= self.sent_at.after_ns(LIFETIME) {
            self.open = 0;
        }
    }

    #[inline]
    pub(super) fn on_transmitted(&mut self, now: Timestamp) {
        self.sent_at = now;
    }

    #[inline]
    pub(super) fn on_end(&mut self, remains: &Remains) {
        let Remains { transmissions, settled, unanswered } = *remains;
        self.open = self.open.saturating_add(transmissions.saturating_sub(settled));
        self.renewal_due |= unanswered && transmissions > 0;
    }

    /// A refusal came that is of something sent before; `false` if nothing of that is open.
    pub(super) fn on_earlier_refused(&mut self) -> bool {
        let any = self.open > 0;
        self.open = self.open.saturating_sub(1);
        any
    }

    /// Its server is taken for dead.
    pub(super) fn on_dead(&mut self) {
        (self.renewal_due, self.buried) = (true, true);
    }

    /// Something came, which does not mend what was sent in vain before.
    #[inline]
    pub(super) fn on_heard(&mut self) {
        self.buried = false;
    }

    /// Nothing that was sent before can be heard of on the new port.
    pub(super) fn on_fresh_port(&mut self) {
        self.open = 0;
        self.on_same_port();
    }

    /// The port stays, whoever asks for another.
    pub(super) fn on_same_port(&mut self) {
        (self.renewal_due, self.buried) = (false, false);
    }

    #[inline]
    pub(super) fn is_renewal_due(&self) -> bool {
        self.renewal_due
    }

    #[inline]
    pub(super) fn is_buried(&self) -> bool {
        self.buried
    }
}

impl States for &mut [PathState] {
    fn state(&mut self, path: PathIndex) -> Option<&mut PathState> {
        self.get_mut(usize::try_from(path.number()).ok()?)
    }

    fn estimator(&mut self) -> Option<&RttEstimator> {
        self.first()?.estimator.as_ref()
    }
}

/// How long a datagram may be on its way: the maximum segment lifetime of RFC 9293 §3.4.1.
const LIFETIME: Ns = 120_000_000_000;
