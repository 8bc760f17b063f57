//! What must happen: a `Transaction` for each request that has begun, and plain lists for all that is around them.

use std::sync::Arc;

use udp_retry::envelope::{HEADER_LEN, ReplyHeader};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, GiveUp, KeyedMatcher, Match, Next};
use udp_retry::transport::PathError;
use udp_retry::transport::PathIndex;

use super::asked::{Arrival, Asked, BEFORE, Begun, End, Peer, Stage};
use super::settings::Settings;

pub(super) struct Model<M> {
    pub(super) settings: Settings,
    pub(super) matcher: Arc<M>,
    pub(super) peers: Vec<Peer>,
    /// All that were ever submitted; a request's place is its token.
    pub(super) asked: Vec<Asked<M>>,
    /// Those that have not ended.
    pub(super) open: Vec<usize>,
    /// Datagrams whose envelope was missing or wrong.
    pub(super) wrong_envelopes: u32,
    /// How often nothing was queued.
    pub(super) looks: u64,
}

impl<M: KeyedMatcher> Model<M> {
    pub(super) fn admit(&mut self, now: Timestamp, asked: Asked<M>) {
        let (token, peer) = (self.asked.len(), asked.peer);
        self.asked.push(asked);
        self.open.push(token);
        self.peers[peer].waiting.push_back(token);
        self.fill(now, peer);
    }

    /// Gives free places to those that wait, in order.
    fn fill(&mut self, now: Timestamp, peer: usize) {
        while self.peers[peer].places < self.settings.window {
            let Some(token) = self.peers[peer].waiting.pop_front() else { return };
            self.peers[peer].places += 1;
            let asked = &mut self.asked[token];
            let due = now.after(asked.delay);
            asked.stage = Stage::Placed { due, ready: asked.delay.is_zero() };
        }
    }

    /// Nothing was queued at `now`. Whoever is `first` draws from the budget first, and who has `ended` gives back to it in this
    /// order: before, where one that is first needs that. Returns the failures.
    pub(super) fn on_time_up(&mut self, now: Timestamp, first: &[usize], ended: &[usize]) -> Vec<End> {
        self.looks += 1;
        let (mut ends, mut ended) = (Vec::new(), ended.to_vec());
        for &token in first {
            let gives = |other: &usize| self.asked[*other].peer == self.asked[token].peer && self.is_ready(*other);
            if self.budget_of(token) == 0 && !self.is_ready(token) {
                if let Some(place) = ended.iter().position(gives) {
                    ends.extend(self.look_at(now, ended.remove(place)));
                }
            }
            ends.extend(self.look_at(now, token));
        }
        ended.extend(self.open.iter().copied().filter(|token| !first.contains(token)));
        ends.extend(ended.into_iter().filter_map(|token| self.look_at(now, token)));
        ends
    }

    fn budget_of(&self, token: usize) -> u32 {
        self.peers[self.asked[token].peer].budgets[1].balance()
    }

    fn look_at(&mut self, now: Timestamp, token: usize) -> Option<End> {
        let asked = &mut self.asked[token];
        match &mut asked.stage {
            Stage::Begun(begun) => {
                begun.transaction.on_time_up(now);
                return self.settle(now, token);
            }
            Stage::Ended => {}
            _ if asked.end_by <= now => return Some(self.end(now, token, Some(Failure::TimedOut(GiveUp::Deadline)))),
            Stage::Placed { due, ready } => *ready |= *due <= now,
            Stage::Waiting => {}
        }
        None
    }

    /// Asks what is next, and takes note.
    fn settle(&mut self, now: Timestamp, token: usize) -> Option<End> {
        let Self { asked, peers, .. } = self;
        let Asked { stage: Stage::Begun(begun), peer, .. } = &mut asked[token] else { return None };
        begun.take_note(now, &peers[*peer]);
        let next = begun.transaction.next(now);
        begun.unsure = begun.ready && matches!(next, Next::WaitUntil(until) if until <= now);
        begun.ready = begun.unsure || matches!(next, Next::Transmit(_));
        match next {
            Next::Transmit(_) | Next::WaitUntil(_) => None,
            Next::Done => Some(self.end(now, token, None)),
            Next::Failed(failure) => Some(self.end(now, token, Some(failure))),
            other => panic!("request {token}: {other:?}"),
        }
    }

    /// When something is due next; `None` if nothing waits for time.
    pub(super) fn first_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let Self { asked, open, .. } = self;
        let dues = open.iter().filter_map(|&token| {
            let asked = &mut asked[token];
            match &mut asked.stage {
                Stage::Begun(begun) => match begun.transaction.next(now) {
                    Next::WaitUntil(until) => Some(until),
                    _ => None,
                },
                Stage::Placed { due, ready: false } => Some(asked.end_by.min(*due)),
                _ => Some(asked.end_by).filter(|&end_by| end_by != Timestamp::MAX),
            }
        });
        dues.min()
    }

    pub(super) fn is_ready(&self, token: usize) -> bool {
        match &self.asked[token].stage {
            Stage::Begun(begun) => begun.ready,
            Stage::Placed { ready, .. } => *ready,
            Stage::Waiting | Stage::Ended => false,
        }
    }

    /// Whether it is ready, and nothing puts that in doubt.
    pub(super) fn must_be_sent(&self, now: Timestamp, token: usize) -> bool {
        // What is sent once more may wait for a look, whatever was seen at the same moment before.
        let unsure = matches!(&self.asked[token].stage, Stage::Begun(begun) if begun.unsure || begun.repeated == Some(self.looks));
        self.is_ready(token) && !unsure && !self.has_expired(token, now)
    }

    /// Whether it has its place, was not sent, and its own deadline has come.
    pub(super) fn has_expired(&self, token: usize, now: Timestamp) -> bool {
        let asked = &self.asked[token];
        asked.end_by <= now && matches!(asked.stage, Stage::Placed { .. })
    }

    /// Has the request begin, if it has not.
    pub(super) fn begin(&mut self, now: Timestamp, token: usize) -> &mut Begun<M> {
        let Self { asked, peers, matcher, settings, .. } = self;
        let asked = &mut asked[token];
        if let Stage::Placed { .. } = asked.stage {
            let begun = Begun::start(now, asked, &peers[asked.peer], matcher.clone(), settings);
            asked.stage = Stage::Begun(Box::new(begun));
        }
        match &mut asked.stage {
            Stage::Begun(begun) => begun,
            _ => panic!("request {token} was not to be sent"),
        }
    }

    pub(super) fn on_transmitted(&mut self, now: Timestamp, token: usize) {
        if let Some(earlier) = self.begin(now, token).swallowed.take() {
            self.on_unknown_error(now, self.asked[token].peer, earlier);
        }
        let begun = self.begin(now, token);
        (begun.failed_sends, begun.ready) = (0, false);
        begun.sent.push(now);
        begun.transaction.on_transmitted(now);
        assert_eq!(self.settle(now, token), None);
        assert!(!self.must_be_sent(now, token), "request {token} is due again at once");
    }

    pub(super) fn on_not_transmitted(&mut self, now: Timestamp, token: usize, error: PathError) -> Option<End> {
        let begun = self.begin(now, token);
        begun.failed_sends += 1;
        assert!(begun.failed_sends <= 8, "more than the model knows of");
        if error == PathError::Refused || begun.swallowed != Some(error) {
            if let Some(earlier) = begun.swallowed.replace(error) {
                self.on_unknown_error(now, self.asked[token].peer, earlier);
            }
            return self.settle(now, token);
        }
        (begun.swallowed, begun.failed_sends, begun.ready) = (None, 0, false);
        begun.transaction.on_not_transmitted(now, error);
        begun.transaction.on_not_transmitted(now, error);
        self.settle(now, token)
    }

    /// What a datagram from this peer must be taken for.
    pub(super) fn on_datagram(&mut self, at: Timestamp, peer: usize, datagram: &[u8], actual: usize) -> Arrival {
        if self.peers[peer].is_removed {
            return Arrival::Stray;
        }
        self.peers[peer].heard = self.peers[peer].heard.max(Some(at));
        let header = ReplyHeader::decode(datagram).ok().map(|(header, _)| header);
        let mut is_wrong = self.settings.envelope && header.is_none() && actual > 0;
        let mut arrival = Arrival::Stray;
        for token in self.open.clone() {
            let asked = &mut self.asked[token];
            let Stage::Begun(begun) = &mut asked.stage else { continue };
            if asked.peer != peer {
                continue;
            }
            let before = begun.transaction.strays();
            let verdict = begun.transaction.on_datagram(at, PathIndex::FIRST, datagram, actual);
            let strays = begun.transaction.strays();
            is_wrong |= strays.envelope > before.envelope;
            if verdict == Match::Foreign {
                if strays == before {
                    assert_eq!(arrival, Arrival::Stray, "two requests have the same bytes");
                    assert_eq!(self.settle(at, token), None, "no restart ends a request before a look");
                    if let Stage::Begun(begun) = &mut self.asked[token].stage {
                        begun.repeated = Some(self.looks);
                    }
                    arrival = Arrival::Unknown(token);
                }
                continue;
            }
            begun.answered = true;
            assert_eq!(arrival, Arrival::Stray, "two requests have one id");
            arrival = match self.settle(at, token) {
                None => Arrival::Provisional(token),
                Some(end) if end.failure.is_none() => Arrival::Reply(end),
                Some(end) => Arrival::Truncated(end),
            };
        }
        self.wrong_envelopes += u32::from(is_wrong);
        if let Some(header) = header.filter(|_| self.settings.envelope && arrival != Arrival::Stray) {
            self.peers[peer].known = Some(header.incarnation());
        }
        arrival
    }

    /// An error that quotes a datagram to this peer, or its beginning: of a request that is open, if it is one of those.
    pub(super) fn on_quoted_error(&mut self, now: Timestamp, peer: Option<usize>, error: PathError, quoted: &[u8]) {
        let Self { asked, open, .. } = self;
        let is_it = |token: &usize| {
            let asked = &asked[*token];
            peer.is_none_or(|peer| asked.peer == peer) && asked.bytes.starts_with(quoted)
        };
        let Some(token) = open.iter().copied().find(is_it) else { return };
        if let Stage::Begun(begun) = &mut asked[token].stage {
            let most = begun.transaction.transmissions();
            begun.refusals = (begun.refusals + u32::from(is_refusal(error))).min(most);
            let header = if self.settings.envelope { HEADER_LEN } else { 0 };
            // Any of its transmissions may have met it: what their headers say differs.
            let quoted = [&vec![0; header], quoted].concat();
            begun.transaction.on_quoted_error(now, Some(PathIndex::FIRST), error, &quoted);
            assert_eq!(self.settle(now, token), None, "no error ends a request before a look");
        }
    }

    /// An error of something that was sent to this peer: of the only request there, if an earlier one's is not as likely.
    pub(super) fn on_unknown_error(&mut self, now: Timestamp, peer: usize, error: PathError) {
        let Some(only) = self.only_one(peer) else {
            self.peers[peer].errors.push((now, error));
            return;
        };
        let asked = &mut self.asked[only];
        let Stage::Begun(begun) = &mut asked.stage else { return };
        let unsettled = &mut self.peers[peer].unsettled;
        if is_refusal(error) && *unsettled == 0 {
            let bytes = asked.bytes.clone();
            return self.on_quoted_error(now, Some(peer), error, &bytes);
        }
        if is_refusal(error) {
            *unsettled -= 1;
            begun.guessed += 1;
            assert!(begun.guessed <= BEFORE);
        }
        begun.transaction.on_path_error(now, Some(PathIndex::FIRST), error);
        assert_eq!(self.settle(now, only), None, "no error ends a request before a look");
    }

    /// Whether nothing that is open at a peer has left, so that no error can be of it.
    pub(super) fn alone_and_unsent(&self, peer: usize) -> bool {
        match self.only_one(peer).map(|only| &self.asked[only].stage) {
            Some(Stage::Begun(begun)) => begun.transaction.transmissions() == 0,
            other => other.is_some(),
        }
    }

    /// The request that is alone on the wire at a peer.
    fn only_one(&self, peer: usize) -> Option<usize> {
        let has_place = |token: &usize| {
            let asked = &self.asked[*token];
            asked.peer == peer && !matches!(asked.stage, Stage::Waiting)
        };
        let mut placed = self.open.iter().copied().filter(has_place);
        placed.next().filter(|_| placed.next().is_none())
    }

    pub(super) fn cancel(&mut self, now: Timestamp, token: usize) -> End {
        if let Stage::Begun(begun) = &mut self.asked[token].stage {
            begun.transaction.on_cancelled();
            return self.settle(now, token).unwrap();
        }
        self.end(now, token, Some(Failure::Cancelled))
    }

    /// Cancels all requests to a peer, for good.
    pub(super) fn remove(&mut self, now: Timestamp, peer: usize) -> Vec<End> {
        self.peers[peer].is_removed = true;
        let its: Vec<usize> = self.open.iter().copied().filter(|&token| self.asked[token].peer == peer).collect();
        its.into_iter().map(|token| self.cancel(now, token)).collect()
    }

    fn end(&mut self, now: Timestamp, token: usize, failure: Option<Failure>) -> End {
        let asked = &mut self.asked[token];
        let stage = std::mem::replace(&mut asked.stage, Stage::Ended);
        let peer = &mut self.peers[asked.peer];
        let end = match &stage {
            Stage::Begun(begun) => {
                peer.unsettled += begun.unsettled();
                begun.end(now, token, failure, peer)
            }
            _ => End::unsent(token, failure),
        };
        match stage {
            Stage::Waiting => peer.waiting.retain(|&waiting| waiting != token),
            _ => peer.places -= 1,
        }
        asked.ended = Some((now, end.failure.is_none() && end.transmissions == 1));
        self.open.retain(|&open| open != token);
        let peer = self.asked[token].peer;
        self.fill(now, peer);
        end
    }
}

fn is_refusal(error: PathError) -> bool {
    matches!(error, PathError::Refused | PathError::Unreachable)
}
