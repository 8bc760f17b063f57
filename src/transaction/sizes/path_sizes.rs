use super::{Answered, Sent, SuspectedPathMtu};
use crate::pmtu::BlackHole;
use crate::size::Plpmtu;
use crate::time::{Ns, Timestamp};

/// Which sizes get through on a path that has lost a large transmission.
#[derive(Clone, Debug)]
pub(super) struct PathSizes {
    base: Plpmtu,
    hole: BlackHole,
    /// The largest that has arrived since one of that size, or a smaller one, or one within the base was lost.
    confirmed: Option<Plpmtu>,
    /// More than this gets lost, and until when that is believed.
    at_most: Option<(Plpmtu, Timestamp)>,
    /// The smallest transmission of the present request.
    tried: Option<Plpmtu>,
    /// One that counts as lost, although the latest reply may as well have been its own.
    doubtful: Option<Sent>,
}

impl PathSizes {
    pub(super) fn new(base: Plpmtu) -> Self {
        let hole = BlackHole::new(base);
        Self { base, hole, confirmed: None, at_most: None, tried: None, doubtful: None }
    }

    /// Another request begins. RFC 8899 §5.1.1: from time to time (PMTU_RAISE_TIMER) a larger size is tried again.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.tried = None;
        self.at_most = self.at_most.filter(|&(_, until)| now < until);
    }

    pub(super) fn at_most(&self) -> Option<Plpmtu> {
        self.at_most.map(|it| it.0)
    }

    pub(super) fn confirmed(&self) -> Option<Plpmtu> {
        self.confirmed
    }

    pub(super) fn on_tried(&mut self, len: Plpmtu) {
        self.tried = Some(self.tried.map_or(len, |it| it.min(len)));
    }

    pub(super) fn on_lost(&mut self, lost: Sent, now: Timestamp) {
        self.on_tried(lost.len);
        // In an outage nothing is confirmed, and one that is as good as any small one stands for all.
        self.confirmed = self.confirmed.filter(|&it| it < lost.len && lost.len > self.base);
        let hole = self.hole.on_lost(lost.len, lost.at);
        self.on_verdict(hole, now);
    }

    pub(super) fn on_answered(&mut self, answered: Answered, now: Timestamp) {
        let Answered { smallest, largest } = answered;
        self.doubtful = Some(largest).filter(|it| it.len > smallest.len);
        self.on_arrived(smallest, now);
    }

    /// What was taken for lost may have been slow: a hole lets no second reply pass.
    pub(super) fn on_late_reply(&mut self, now: Timestamp) {
        if let Some(doubtful) = self.doubtful.take() {
            self.on_arrived(doubtful, now);
        }
    }

    /// Large ones that all were lost, and smaller ones that were not.
    pub(super) fn suspected(&self) -> Option<SuspectedPathMtu> {
        let (tried, confirmed) = self.tried.zip(self.confirmed)?;
        (tried > confirmed).then_some(SuspectedPathMtu { tried, confirmed })
    }

    fn on_arrived(&mut self, sent: Sent, now: Timestamp) {
        self.confirmed = self.confirmed.max(Some(sent.len));
        self.at_most = self.at_most.filter(|it| sent.len <= it.0);
        let hole = self.hole.on_acked(sent.len, sent.at);
        self.on_verdict(hole, now);
    }

    fn on_verdict(&mut self, hole: Option<Plpmtu>, now: Timestamp) {
        let Some(hole) = hole else { return };
        let below = self.confirmed.filter(|&it| it < hole);
        let at_most = below.map_or(self.base, |it| it.max(self.base));
        self.at_most = Some((at_most, now.after_ns(RAISE_AFTER)));
    }
}

/// RFC 8899 §5.1.1: 600 s by default.
const RAISE_AFTER: Ns = 600_000_000_000;
