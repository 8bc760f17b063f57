//! An engine and its model under the same facts, compared after each.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::entropy::IdSource;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Arrived, Failure, Finished, Handle, InFlight, KeyedMatcher, Limits, Request, Stray, SubmitError,
};
use udp_retry::transport::PathError;

use super::dice::Dice;
use super::messages::{Format, REPLY, SLOW, STOP};
use super::model::{Arrival, Asked, End, Model, Peer, Stage, start_delay};
use super::settings::{Settings, ms};

pub(super) struct World<M: KeyedMatcher> {
    pub(super) engine: InFlight<u32, Arc<M>>,
    pub(super) model: Model<M>,
    pub(super) format: Format,
    pub(super) dice: Dice,
    pub(super) now: Timestamp,
    /// Up to when nothing was queued, as far as the engine knows.
    looked: Timestamp,
    /// A send buffer is full until then.
    paused: Option<Timestamp>,
    strays: u32,
    pub(super) tally: Tally,
}

/// What has happened in a world, so that worlds in which nothing happens prove nothing unseen.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) transmissions: u64,
    pub(super) replies: u64,
    pub(super) failures: u64,
    pub(super) withheld: u64,
    pub(super) provisional: u64,
    pub(super) strays: u64,
    pub(super) refused: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.transmissions += other.transmissions;
        self.replies += other.replies;
        self.failures += other.failures;
        self.withheld += other.withheld;
        self.provisional += other.provisional;
        self.strays += other.strays;
        self.refused += other.refused;
    }
}

impl<M: KeyedMatcher> World<M> {
    pub(super) fn new(settings: Settings, matcher: M, mut dice: Dice) -> Self {
        let matcher = Arc::new(matcher);
        let some = |n: u32| NonZeroU32::new(n).unwrap();
        let limits = Limits::default().requests(some(settings.requests)).window(some(settings.window));
        let limits = limits.rest(settings.rest.0, settings.rest.1).bytes(1 << 17);
        let ids = matcher.stamps().then(|| IdSource::from_seed(Seed::new(dice.draw())));
        let seed = Seed::new(dice.draw());
        let mut engine = InFlight::new(settings.policies[0], matcher.clone(), limits, seed, ids)
            .with_on_unreachable(settings.on_unreachable);
        if settings.fails_over_budget {
            engine = engine.failing_over_budget();
        }
        if let Some(deadline) = settings.deadline {
            engine = engine.with_deadline(deadline);
        }
        let (now, format) = (Timestamp::from_nanos(dice.within(1..=1 << 40) * TICK), settings.format);
        let model = Model { settings, matcher, peers: Vec::new(), asked: Vec::new(), open: Vec::new() };
        let tally = Tally::default();
        let mut world = Self { engine, model, format, dice, now, looked: now, paused: None, strays: 0, tally };
        (0..world.model.settings.peers).for_each(|number| world.add_peer(100 + 7 * number as u32));
        world.engine.on_time_up(now);
        world
    }

    fn add_peer(&mut self, address: u32) {
        let settings = &self.model.settings;
        let budgets = [settings.budget(), settings.budget()];
        let estimators = [0, 1].map(|_| settings.estimator.as_ref().map(|it| it.unmeasured()));
        let id = self.engine.add_peer(address, budgets[0].clone(), estimators[0].clone());
        assert_eq!((self.engine.peer(address), self.engine.address(id)), (Some(id), Some(address)));
        self.model.peers.push(Peer {
            id,
            address,
            budgets,
            estimators,
            waiting: Default::default(),
            places: 0,
            errors: Vec::new(),
            heard: None,
            unsettled: 0,
            is_removed: false,
        });
    }

    /// Runs it to its end.
    pub(super) fn run(mut self) -> Tally {
        for _ in 0..self.model.settings.turns {
            self.turn();
        }
        self.drain();
        self.tally
    }

    fn turn(&mut self) {
        for _ in 0..self.dice.pick(&[0, 0, 1, 1, 2, 6]) {
            self.submit();
            self.check();
        }
        self.transmit_some();
        let late = self.let_time_pass();
        for _ in 0..self.dice.within(0..=4) {
            self.receive(late);
            self.check();
        }
        if !late || !self.dice.one_in(4) {
            self.look();
            self.check();
        }
        self.transmit_some();
        if self.dice.one_in(6) {
            self.cancel();
            self.check();
        }
        if self.model.settings.prompt {
            self.transmit_some();
        }
    }

    /// Moves on, seldom beyond what is due; returns since when nothing was reported.
    fn let_time_pass(&mut self) -> bool {
        let due = self.engine.next_deadline().unwrap_or(self.now).max(self.now);
        let ticks = match self.dice.within(0..=5) {
            0 => 0,
            1 => self.dice.within(1..=8),
            2 => (due.since(self.now).as_nanos() as u64 / TICK).saturating_sub(1),
            _ => (due.since(self.now).as_nanos() as u64).div_ceil(TICK),
        };
        let settings = &self.model.settings;
        let late = self.dice.one_in(settings.late);
        let more = if late { self.dice.within(1..=1200) } else { 0 };
        self.now = self.now.after(Duration::from_nanos((ticks + more) * TICK));
        late
    }

    // Requests.

    fn submit(&mut self) {
        let peer = self.dice.index(self.model.peers.len());
        let settings = &self.model.settings;
        let policy = self.dice.pick(&settings.policies);
        let deadline = self.dice.one_in(5).then(|| ms(self.dice.within(0..=200)));
        let id: Vec<u8> = match settings.ids.are_stamped() {
            true => vec![b'-'; self.format.width],
            false => vec![self.dice.within(0..=9) as u8; self.format.width],
        };
        let padding = self.dice.pick(&[0, 3, 40, 200]);
        let token = self.model.asked.len();
        let mut bytes = self.format.request(&id, token as u32, padding);
        let is_short = self.dice.one_in(40);
        if is_short {
            bytes.truncate(self.format.range().end - 1);
        }
        let mut request = Request::new(&bytes);
        if policy != settings.policies[0] {
            request = request.policy(&policy);
        }
        if let Some(deadline) = deadline {
            request = request.deadline(deadline);
        }
        let full = self.model.open.len() >= settings.requests as usize;
        let in_use = !settings.ids.are_stamped() && self.is_in_use(peer, &id);
        let to = self.model.peers[peer].id;
        let submitted = self.engine.submit(self.now, to, &request, token as u64);
        let refused = match submitted {
            Ok(_) if full || is_short || in_use || self.model.peers[peer].is_removed => "should have been refused",
            Ok(handle) => return self.admit(handle, peer, bytes, policy, deadline),
            Err(SubmitError::Full) if full => return,
            Err(SubmitError::Unmatchable) if is_short && !full => return,
            Err(SubmitError::IdInUse) if in_use && !full => return,
            Err(SubmitError::UnknownPeer) if self.model.peers[peer].is_removed => return,
            Err(SubmitError::IdsUsedUp { until, .. }) => return self.used_up(until),
            Err(_) => "should have been taken in",
        };
        panic!("{submitted:?}: {refused}; {} are open", self.model.open.len());
    }

    fn is_in_use(&self, peer: usize, id: &[u8]) -> bool {
        let same = |asked: &Asked<M>| asked.peer == peer && self.format.id_of(&asked.bytes) == Some(id);
        self.model.open.iter().any(|&token| same(&self.model.asked[token]))
    }

    fn admit(
        &mut self,
        handle: Handle,
        peer: usize,
        given: Vec<u8>,
        policy: udp_retry::RetryPolicy,
        deadline: Option<Duration>,
    ) {
        let settings = &self.model.settings;
        let bytes = self.engine.request(handle).unwrap().to_vec();
        let mut unstamped = bytes.clone();
        let id = bytes[self.format.range()].to_vec();
        if settings.ids.are_stamped() {
            unstamped[self.format.range()].fill(b'-');
            self.id_is_fresh(&id);
        }
        assert_eq!(unstamped, given);
        assert!(self.model.asked.iter().all(|asked| asked.handle != handle), "{handle:?} is given twice");
        let seed = self.engine.seed(handle).unwrap();
        let settings = &self.model.settings;
        let end_by = [deadline, settings.deadline].into_iter().flatten().min();
        let end_by = end_by.map_or(Timestamp::MAX, |deadline| self.now.after(deadline));
        let delay = start_delay(&policy, seed);
        let asked = Asked { handle, peer, bytes, policy, seed, end_by, delay, stage: Stage::Waiting, ended: None };
        self.model.admit(self.now, asked);
        self.tally.requests += 1;
    }

    /// No open request has this id, and it has rested.
    fn id_is_fresh(&self, id: &[u8]) {
        for (token, asked) in self.model.asked.iter().enumerate() {
            if self.format.id_of(&asked.bytes) == Some(id) {
                assert!(self.rested(asked).is_some_and(|until| until <= self.now), "the id of request {token} again");
            }
        }
    }

    /// Until when the id of a request rests; `None` while it is in use.
    fn rested(&self, asked: &Asked<M>) -> Option<Timestamp> {
        let (clean, other) = self.model.settings.rest;
        match asked.ended {
            _ if self.format.width > 2 => None,
            None => None,
            Some((at, true)) => Some(at.after(clean)),
            Some((at, false)) => Some(at.after(other)),
        }
    }

    fn used_up(&self, until: Option<Timestamp>) {
        let ids = 1_usize << (8 * self.format.width);
        let rested: Vec<_> = self.model.asked.iter().map(|asked| self.rested(asked)).collect();
        let taken = rested.iter().filter(|until| until.is_none_or(|until| until > self.now)).count();
        assert!(self.format.width <= 2 && taken >= ids, "{taken} of {ids} ids are in use or rest");
        assert_eq!(until, rested.into_iter().flatten().filter(|&until| until > self.now).min());
    }

    fn cancel(&mut self) {
        let asked = self.model.asked.len();
        if asked == 0 {
            return;
        }
        let recent = asked.saturating_sub(50);
        let token = recent + self.dice.index(asked - recent);
        let handle = self.model.asked[token].handle;
        let finished = self.engine.cancel(self.now, handle);
        if self.model.asked[token].ended.is_some() {
            assert_eq!(finished, None, "request {token} had ended");
            assert_eq!((self.engine.request(handle), self.engine.seed(handle)), (None, None));
        } else {
            let end = self.model.cancel(self.now, token);
            self.ended(&finished.unwrap_or_else(|| panic!("request {token} was open")), &end);
        }
    }

    // Transmissions.

    fn transmit_some(&mut self) {
        let expired = |token: &usize| {
            let asked = &self.model.asked[*token];
            asked.end_by <= self.now && matches!(asked.stage, Stage::Placed { .. })
        };
        if self.model.open.iter().any(expired) || self.paused_for_certain() {
            return;
        }
        let prompt = self.model.settings.prompt;
        while prompt || !self.dice.one_in(4) {
            let ready = self.engine.transmits().count();
            if ready == 0 {
                return;
            }
            let fails = self.dice.one_in(self.model.settings.failing);
            let leave = if fails { self.dice.index(ready) } else { ready.min(self.dice.within(1..=8) as usize) };
            self.transmit(leave);
            self.check();
            if fails && self.paused.is_none() {
                self.fail();
                self.check();
            }
        }
    }

    fn paused_for_certain(&self) -> bool {
        self.paused.is_some()
    }

    fn transmit(&mut self, count: usize) {
        let tokens: Vec<usize> = self.ready().into_iter().take(count).collect();
        self.engine.on_transmitted(self.now, count);
        for token in tokens {
            self.model.on_transmitted(self.now, token);
            self.tally.transmissions += 1;
        }
    }

    /// The first one does not leave, once or more often.
    fn fail(&mut self) {
        let Some(&token) = self.ready().first() else { return };
        let (settings, dice) = (&self.model.settings, &mut self.dice);
        let errors = [
            PathError::Refused,
            PathError::Unreachable,
            PathError::too_big(None),
            PathError::Other(5),
            PathError::NoBuffers,
        ];
        let any = if settings.prompt { &errors[..4] } else { &errors[..] };
        let error = dice.pick(any);
        for _ in 0..dice.within(1..=3) {
            if self.ready().first() != Some(&token) || !self.can_fail(token) {
                return;
            }
            self.engine.on_not_transmitted(self.now, error);
            if error == PathError::NoBuffers {
                self.paused = Some(self.now.after(ms(1)));
                return;
            }
            let end = self.model.on_not_transmitted(self.now, token, error);
            self.failures(end.into_iter().collect());
            self.check();
        }
    }

    /// The model knows of eight failures in a slot.
    fn can_fail(&self, token: usize) -> bool {
        match &self.model.asked[token].stage {
            Stage::Begun(begun) => begun.failed_sends < 7,
            _ => true,
        }
    }

    /// What the engine has to send, as it has the order.
    fn ready(&self) -> Vec<usize> {
        self.engine.transmits().map(|transmit| self.token(transmit.handle)).collect()
    }

    fn token(&self, handle: Handle) -> usize {
        let found = self.model.open.iter().find(|&&token| self.model.asked[token].handle == handle);
        *found.unwrap_or_else(|| panic!("{handle:?} is no open request"))
    }

    // What comes in.

    fn look(&mut self) {
        self.engine.on_time_up(self.now);
        self.looked = self.now;
        self.paused = self.paused.filter(|&until| self.now < until);
        let first = self.ready();
        let ends = self.model.on_time_up(self.now, &first);
        self.failures(ends);
    }

    fn failures(&mut self, mut ends: Vec<End>) {
        while let Some(finished) = self.engine.next_finished() {
            let place = ends.iter().position(|end| end.token as u64 == finished.token);
            let Some(place) = place else { panic!("should not have ended at {:?}: {finished:?}", self.now) };
            let end = ends.swap_remove(place);
            self.ended(&finished, &end);
        }
        assert!(ends.is_empty(), "should have ended at {:?}: {ends:?}", self.now);
    }

    fn ended(&mut self, finished: &Finished, end: &End) {
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
        };
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
        self.tally.refused += u64::from(matches!(end.failure, Some(Failure::Refused | Failure::Unreachable)));
    }

    fn receive(&mut self, late: bool) {
        let answers = self.dice.one_in(self.model.settings.answering);
        // When it arrived: a late driver reads what came long ago.
        let since = self.now.since(self.looked).as_nanos() as u64;
        let no_delay = self.model.settings.policies.iter().all(|policy| policy.start_delay().1.is_zero());
        let ago = if late && no_delay && self.dice.one_in(2) { self.dice.within(0..=since) } else { 0 };
        let at = Timestamp::from_nanos(self.now.as_nanos() - ago);
        self.looked = at;
        match self.dice.within(0..=9) {
            0 => self.path_error(at),
            1 => self.forgery(at),
            2 => self.late_copy(at),
            _ if answers => self.answer(at),
            _ => {}
        }
    }

    /// A request that is open or ended lately.
    fn some_request(&mut self) -> Option<usize> {
        match self.model.asked.len() {
            0 => None,
            _ if !self.model.open.is_empty() && !self.dice.one_in(8) => Some(self.dice.pick(&self.model.open)),
            len => Some(len - 1 - self.dice.index(len.min(20))),
        }
    }

    fn answer(&mut self, at: Timestamp) {
        let Some(token) = self.some_request() else { return };
        let asked = &self.model.asked[token];
        let kind = self.dice.pick(&[REPLY, REPLY, REPLY, REPLY, STOP, SLOW]);
        let (peer, datagram) = (asked.peer, self.format.answer(&asked.bytes, kind));
        let actual = datagram.len() + if self.dice.one_in(12) { 9 } else { 0 };
        self.deliver(at, peer, &datagram, actual);
        if self.dice.one_in(4) {
            self.check();
            self.deliver(at, peer, &datagram, actual);
        }
    }

    fn late_copy(&mut self, at: Timestamp) {
        let ended: Vec<usize> = (0..self.model.asked.len())
            .rev()
            .filter(|&token| self.model.asked[token].ended.is_some())
            .take(10)
            .collect();
        if !ended.is_empty() {
            let asked = &self.model.asked[self.dice.pick(&ended)];
            let (peer, datagram) = (asked.peer, self.format.answer(&asked.bytes, REPLY));
            self.deliver(at, peer, &datagram, datagram.len());
        }
    }

    /// The right id from the wrong peer, the right id and the wrong question, another id, nothing, noise.
    fn forgery(&mut self, at: Timestamp) {
        let Some(token) = self.some_request() else { return };
        let asked = &self.model.asked[token];
        let (mut peer, mut datagram) = (asked.peer, self.format.answer(&asked.bytes, REPLY));
        let (kind_at, len) = (self.format.found_at + self.format.width, datagram.len());
        match self.dice.within(0..=5) {
            0 => peer = self.dice.index(self.model.peers.len()),
            1 => datagram[kind_at + 2] ^= 0x40,
            2 => datagram[kind_at] = b'?',
            3 => datagram[self.format.found_at + self.dice.index(self.format.width)] ^= 0x10,
            4 => datagram.truncate(self.dice.index(kind_at)),
            _ => datagram.clear(),
        }
        let actual = datagram.len().max(if self.dice.one_in(4) { len } else { 0 });
        self.deliver(at, peer, &datagram, actual);
    }

    fn deliver(&mut self, at: Timestamp, peer: usize, datagram: &[u8], actual: usize) {
        let arrived = self.engine.on_datagram(at, self.model.peers[peer].address, datagram, actual);
        let arrival = self.model.on_datagram(at, peer, datagram, actual);
        match (&arrived, &arrival) {
            (Arrived::Reply(finished), Arrival::Reply(end)) => self.ended(finished, end),
            (Arrived::Truncated(handle), Arrival::Truncated(end)) => {
                assert_eq!(self.model.asked[end.token].handle, *handle);
                self.failures(vec![end.clone()]);
            }
            (Arrived::Provisional(handle), Arrival::Provisional(token)) => {
                assert_eq!(self.model.asked[*token].handle, *handle);
                self.tally.provisional += 1;
            }
            (Arrived::Stray(kind), Arrival::Stray) => self.stray(*kind, datagram, actual),
            other => panic!("{other:?} at {at:?}"),
        }
    }

    fn stray(&mut self, kind: Stray, datagram: &[u8], actual: usize) {
        self.strays += 1;
        self.tally.strays += 1;
        let id = self.format.id_in(datagram);
        let known = |asked: &Asked<M>| id.is_some() && self.format.id_of(&asked.bytes) == id;
        let possible = match kind {
            Stray::Stale => self.model.asked.iter().any(known),
            Stray::Empty => actual == 0,
            Stray::Truncated => actual > datagram.len(),
            _ => actual > 0 && actual == datagram.len(),
        };
        assert!(possible, "{kind:?} for {datagram:?} of {actual} bytes");
    }

    fn path_error(&mut self, at: Timestamp) {
        let error =
            self.dice.pick(&[PathError::Refused, PathError::Unreachable, PathError::Refused, PathError::Denied]);
        let Some(token) = self.some_request() else { return };
        let asked = &self.model.asked[token];
        let (peer, bytes) = (asked.peer, asked.bytes.clone());
        let address = Some(self.model.peers[peer].address);
        let was_sent = match &asked.stage {
            Stage::Begun(begun) if begun.guessed >= 16 => return,
            Stage::Begun(begun) => begun.transaction.transmissions() > 0,
            Stage::Ended => true,
            _ => false,
        };
        if self.dice.one_in(2) || !was_sent {
            if self.model.alone_and_unsent(peer) {
                return;
            }
            self.engine.on_path_error(at, address, error, &[]);
            self.model.on_unknown_error(at, peer, error);
        } else {
            let len = if self.dice.one_in(3) { self.format.range().end } else { bytes.len() };
            self.engine.on_path_error(at, address, error, &bytes[..len]);
            self.model.on_quoted_error(at, token, error, &bytes[..len]);
        }
    }

    // Comparison.

    pub(super) fn check(&mut self) {
        let Self { engine, model, now, .. } = self;
        assert_eq!(engine.len(), model.open.len());
        assert_eq!((engine.is_empty(), engine.strays().total()), (model.open.is_empty(), self.strays));
        assert_eq!(engine.available(), model.settings.requests as usize - model.open.len());
        for peer in &model.peers {
            assert_eq!(engine.on_wire(peer.id), peer.places as usize, "on the wire at {}", peer.address);
            assert_eq!(peer.budgets[0].balance(), peer.budgets[1].balance(), "left of the budget at {}", peer.address);
            if let [Some(ours), Some(theirs)] = &peer.estimators {
                let seen = |rtt: &udp_retry::policy::RttEstimator| (rtt.rto(*now), rtt.srtt(*now), rtt.rttvar(*now));
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

    fn compare_transmits(&self) {
        let mut order: Vec<usize> = Vec::new();
        for transmit in self.engine.transmits() {
            let token = self.token(transmit.handle);
            let asked = &self.model.asked[token];
            assert_eq!((transmit.to, transmit.datagram), (self.model.peers[asked.peer].address, &asked.bytes[..]));
            assert!(self.model.is_ready(token), "request {token} is not due at {:?}", self.now);
            order.push(token);
        }
        if self.paused.is_some() {
            assert_eq!(order, [], "the send buffer is full");
            return;
        }
        for &token in &self.model.open {
            assert!(!self.model.is_ready(token) || order.contains(&token), "request {token} is due at {:?}", self.now);
        }
        let mut firsts: Vec<usize> = order.into_iter().filter(|&token| self.is_first(token)).collect();
        firsts.sort_by_key(|&token| self.model.asked[token].peer);
        let pairs = firsts.windows(2).filter(|pair| self.model.asked[pair[0]].peer == self.model.asked[pair[1]].peer);
        pairs.for_each(|pair| assert!(pair[0] < pair[1], "request {} overtakes {}", pair[1], pair[0]));
    }

    /// Neither sent before nor delayed by its policy.
    fn is_first(&self, token: usize) -> bool {
        let asked = &self.model.asked[token];
        matches!(asked.stage, Stage::Placed { .. }) && asked.delay.is_zero()
    }

    /// In silence every request ends, in a bounded number of turns, and the engine alone says when to look.
    fn drain(&mut self) {
        let most = 100 + 60 * self.model.open.len();
        for _ in 0..most {
            if self.model.open.is_empty() {
                break;
            }
            if self.engine.transmits().next().is_none() {
                let next = self.engine.next_deadline().unwrap_or_else(|| panic!("{} wait", self.model.open.len()));
                let ticks = next.since(self.now).as_nanos() as u64;
                self.now = self.now.after(Duration::from_nanos(ticks.div_ceil(TICK) * TICK));
            }
            self.look();
            self.check();
            let ready = self.ready().len();
            self.transmit(ready);
            self.check();
        }
        assert_eq!(self.model.open.len(), 0, "requests are open after {most} turns");
        assert!(self.engine.is_empty() && self.engine.transmits().next().is_none());
        assert_eq!(self.engine.next_deadline(), None);
    }
}

/// Of the engine's clock.
const TICK: u64 = 1 << 17;
