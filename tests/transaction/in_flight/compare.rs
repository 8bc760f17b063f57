//! What the engine says, against what the model says.

use udp_retry::policy::RttEstimator;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, Finished, KeyedMatcher, Stray};

use super::asked::{Asked, End, Stage};
use super::world::{TICK, World};

impl<M: KeyedMatcher> World<M> {
    pub(super) fn check(&mut self) {
        let Self { engine, model, now, .. } = self;
        assert_eq!(engine.len(), model.open.len());
        assert_eq!((engine.is_empty(), engine.strays().total()), (model.open.is_empty(), self.strays));
        assert_eq!(engine.strays().envelope, model.wrong_envelopes);
        assert_eq!(engine.available(), model.settings.requests as usize - model.open.len());
        for peer in &model.peers {
            assert_eq!(engine.on_wire(peer.id), peer.places as usize, "on the wire at {}", peer.address);
            assert_eq!(peer.budgets[0].balance(), peer.budgets[1].balance(), "left of the budget at {}", peer.address);
            if let [Some(ours), Some(theirs)] = &peer.estimators {
                let seen = |rtt: &RttEstimator| (rtt.rto(*now), rtt.srtt(*now), rtt.rttvar(*now));
                assert_eq!(seen(ours), seen(theirs), "the measure of {}", peer.address);
            }
        }
        self.compare_transmits();
        let due = self.model.first_due(self.now).into_iter().chain(self.paused).min();
        if let Some(due) = due {
            let due = Timestamp::from_nanos(due.as_nanos().div_ceil(TICK) * TICK);
            let next = self.engine.next_deadline();
            assert!(next.is_some_and(|next| next <= due), "{due:?} is due, and {next:?} the next deadline");
        }
    }

    pub(super) fn compare_transmits(&self) {
        let order = self.ready();
        for (transmit, &token) in self.engine.transmits().zip(&order) {
            let asked = &self.model.asked[token];
            let request = &transmit.datagram[self.header_len()..];
            assert_eq!((transmit.to, request), (self.model.peers[asked.peer].address, &asked.bytes[..]));
            assert!(self.model.is_ready(token), "request {token} is not due at {:?}", self.now);
        }
        if self.paused.is_some() {
            assert!(order.is_empty(), "the send buffer is full");
            return;
        }
        for &token in &self.model.open {
            assert!(
                !self.model.must_be_sent(self.now, token) || order.contains(&token),
                "request {token} is due at {:?}",
                self.now
            );
        }
        let mut firsts: Vec<usize> = order.into_iter().filter(|&token| self.is_first(token)).collect();
        firsts.sort_by_key(|&token| self.model.asked[token].peer);
        let pairs = firsts.windows(2).filter(|pair| self.model.asked[pair[0]].peer == self.model.asked[pair[1]].peer);
        pairs.for_each(|pair| assert!(pair[0] < pair[1], "request {} overtakes {}", pair[1], pair[0]));
    }

    /// Neither sent before nor delayed by its policy.
    pub(super) fn is_first(&self, token: usize) -> bool {
        let asked = &self.model.asked[token];
        matches!(asked.stage, Stage::Placed { .. }) && asked.delay.is_zero()
    }

    pub(super) fn failures(&mut self, ends: Vec<End>) {
        let finished = self.finished();
        self.failures_are(&finished, ends);
    }

    pub(super) fn finished(&mut self) -> Vec<Finished> {
        std::iter::from_fn(|| self.engine.next_finished()).collect()
    }

    pub(super) fn failures_are(&mut self, finished: &[Finished], mut ends: Vec<End>) {
        for finished in finished {
            let place = ends.iter().position(|end| end.token as u64 == finished.token);
            let Some(place) = place else { panic!("should not have ended at {:?}: {finished:?}", self.now) };
            let end = ends.swap_remove(place);
            self.ended(finished, &end);
        }
        assert!(ends.is_empty(), "should have ended at {:?}: {ends:?}", self.now);
    }

    pub(super) fn ended(&mut self, finished: &Finished, end: &End) {
        let asked = &self.model.asked[end.token];
        assert_eq!((finished.handle, finished.peer), (asked.handle, self.model.peers[asked.peer].id));
        let reported = End {
            token: finished.token as usize,
            failure: finished.failure,
            or: Vec::new(),
            execution: finished.execution,
            transmissions: finished.transmissions,
            withheld: finished.withheld,
            elapsed: finished.elapsed,
            round_trip: finished.round_trip,
            last_error: vec![finished.last_error],
            sent: end.sent.clone(),
        };
        if let Some(timeline) = &finished.timeline {
            // They count from moments of their own.
            let shown: Vec<_> = timeline.transmissions().collect();
            let waits = |pair: &[Timestamp]| pair[1].since(pair[0]);
            let expected: Vec<_> = end.sent.windows(2).map(waits).collect();
            assert_eq!(shown.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), expected);
            assert_eq!(shown.len(), end.sent.len());
        }
        self.tell(|_| format!("ended {reported:?}"));
        let mut expected = End { or: Vec::new(), ..end.clone() };
        if end.or.contains(&reported.failure) {
            expected.failure = reported.failure;
        }
        if end.last_error.contains(&finished.last_error) {
            expected.last_error = reported.last_error.clone();
        }
        assert_eq!(reported, expected, "reported, and expected at {:?}", self.now);
        self.tally.replies += u64::from(end.failure.is_none());
        self.tally.failures += u64::from(end.failure.is_some());
        self.tally.withheld += u64::from(end.withheld);
        self.tally.restarted += u64::from(end.failure == Some(Failure::ServerRestarted));
        self.tally.clear += u64::from(end.transmissions > 1 && end.round_trip.is_some());
        self.tally.refused += u64::from(matches!(end.failure, Some(Failure::Refused | Failure::Unreachable)));
    }

    pub(super) fn stray(&mut self, kind: Stray, datagram: &[u8], actual: usize) {
        self.strays += 1;
        self.tally.strays += 1;
        let (payload, len) = (datagram.get(self.header_len()..).unwrap_or(&[]), self.header_len());
        // A copy of a request has its id, too.
        let copied = self.format.id_of(payload).filter(|_| len > 0);
        let is_copy = |asked: &Asked<M>| copied.is_some() && self.format.id_of(&asked.bytes) == copied;
        let id = self.format.id_in(payload);
        let known = |asked: &Asked<M>| id.is_some() && self.format.id_of(&asked.bytes) == id;
        let possible = match kind {
            Stray::Stale => self.model.asked.iter().any(|asked| known(asked) || is_copy(asked)),
            Stray::Empty => actual <= len,
            Stray::Truncated => actual > datagram.len(),
            Stray::Envelope => len > 0,
            _ => actual > 0 && (actual == datagram.len() || len > 0),
        };
        assert!(possible, "{kind:?} for {datagram:?} of {actual} bytes");
    }
}
