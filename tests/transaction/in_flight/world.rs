//! An engine and its model under the same facts, compared after each.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::entropy::IdSource;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Handle, InFlight, KeyedMatcher, Limits, Request, SubmitError};

use super::asked::{Asked, Peer, Stage, start_delay};
use super::dice::Dice;
use super::messages::Format;
use super::model::Model;
use super::settings::{Settings, ms};

pub(super) struct World<M: KeyedMatcher> {
    pub(super) engine: InFlight<u32, Arc<M>>,
    pub(super) model: Model<M>,
    pub(super) format: Format,
    pub(super) dice: Dice,
    pub(super) now: Timestamp,
    /// When time stood last: nothing arrives before that any more.
    pub(super) looked: Timestamp,
    /// A send buffer is full until then.
    pub(super) paused: Option<Timestamp>,
    pub(super) strays: u32,
    pub(super) tally: Tally,
    start: Timestamp,
    /// Prints what happens.
    pub(super) told: bool,
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
    /// Transmissions that named an incarnation.
    pub(super) named: u64,
    /// Answers of servers that did not know what they had executed.
    pub(super) unknown: u64,
    pub(super) restarted: u64,
    /// Round trips after more than one transmission.
    pub(super) clear: u64,
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
        self.named += other.named;
        self.unknown += other.unknown;
        self.restarted += other.restarted;
        self.clear += other.clear;
    }
}

impl<M: KeyedMatcher> World<M> {
    pub(super) fn new(settings: Settings, matcher: M, mut dice: Dice, told: bool) -> Self {
        let matcher = Arc::new(matcher);
        let some = |n: u32| NonZeroU32::new(n).unwrap();
        let limits = Limits::default().requests(some(settings.requests)).window(some(settings.window));
        let limits = limits.rest(settings.rest.0, settings.rest.1).bytes(1 << 20);
        let ids = matcher.stamps().then(|| IdSource::from_seed(Seed::new(dice.draw())));
        let seed = Seed::new(dice.draw());
        let mut engine = InFlight::new(settings.policies[0], matcher.clone(), limits, seed, ids)
            .with_on_unreachable(settings.on_unreachable);
        if settings.fails_over_budget {
            engine = engine.failing_over_budget();
        }
        if settings.envelope {
            engine = engine.with_envelope();
        }
        if let Some(deadline) = settings.deadline {
            engine = engine.with_deadline(deadline);
        }
        let (now, format) = (Timestamp::from_nanos(dice.within(1..=1 << 40) * TICK), settings.format);
        let model = Model {
            settings,
            matcher,
            peers: Vec::new(),
            asked: Vec::new(),
            open: Vec::new(),
            wrong_envelopes: 0,
            looks: 0,
        };
        let tally = Tally::default();
        let mut world =
            Self { engine, model, format, dice, now, looked: now, paused: None, strays: 0, tally, start: now, told };
        (0..world.model.settings.peers).for_each(|number| world.add_peer(100 + 7 * number as u32));
        world.engine.on_time_up(now);
        world.tell(|world| format!("{:#?}", world.model.settings));
        world
    }

    pub(super) fn add_peer(&mut self, address: u32) {
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
            lives: 1,
            known: None,
        });
    }

    /// Says what happens, of a world that is run again.
    pub(super) fn tell(&self, what: impl Fn(&Self) -> String) {
        if self.told {
            println!("{:>12?} {}", self.now.since(self.start), what(self));
        }
    }

    /// Runs it to its end.
    pub(super) fn run(mut self) -> Tally {
        for _ in 0..self.model.settings.turns {
            self.turn();
        }
        self.drain();
        self.tally
    }

    pub(super) fn turn(&mut self) {
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
        if self.dice.one_in(100) {
            self.remove_peer();
            self.check();
        }
        if self.model.settings.prompt {
            self.transmit_some();
        }
    }

    /// Moves on, seldom beyond what is due; returns since when nothing was reported.
    pub(super) fn let_time_pass(&mut self) -> bool {
        self.looked = self.now;
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

    fn remove_peer(&mut self) {
        let peer = self.dice.index(self.model.peers.len());
        self.tell(|_| format!("remove {peer}"));
        let Peer { id, address, .. } = self.model.peers[peer];
        self.engine.remove_peer(self.now, id);
        assert_eq!(self.engine.peer(address), None);
        let ends = self.model.remove(self.now, peer);
        self.failures(ends);
    }

    // Requests.

    pub(super) fn submit(&mut self) {
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

    pub(super) fn is_in_use(&self, peer: usize, id: &[u8]) -> bool {
        let same = |asked: &Asked<M>| asked.peer == peer && self.format.id_of(&asked.bytes) == Some(id);
        self.model.open.iter().any(|&token| same(&self.model.asked[token]))
    }

    pub(super) fn admit(
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
        let (delay, token) = (start_delay(&policy, seed), self.model.asked.len());
        let asked = Asked { handle, peer, bytes, policy, seed, end_by, delay, stage: Stage::Waiting, ended: None };
        self.tell(|_| format!("submit {token} to {peer}, end by {end_by:?}, delay {delay:?}"));
        self.model.admit(self.now, asked);
        self.tally.requests += 1;
    }

    /// No open request has this id, and it has rested.
    pub(super) fn id_is_fresh(&self, id: &[u8]) {
        for (token, asked) in self.model.asked.iter().enumerate() {
            if self.format.id_of(&asked.bytes) == Some(id) {
                assert!(self.rested(asked).is_some_and(|until| until <= self.now), "the id of request {token} again");
            }
        }
    }

    /// Until when the id of a request rests; `None` while it is in use.
    pub(super) fn rested(&self, asked: &Asked<M>) -> Option<Timestamp> {
        let (clean, other) = self.model.settings.rest;
        match asked.ended {
            _ if self.format.width > 2 => None,
            None => None,
            Some((at, true)) => Some(at.after(clean)),
            Some((at, false)) => Some(at.after(other)),
        }
    }

    pub(super) fn used_up(&self, until: Option<Timestamp>) {
        let ids = 1_usize << (8 * self.format.width);
        let rested: Vec<_> = self.model.asked.iter().map(|asked| self.rested(asked)).collect();
        let taken = rested.iter().filter(|until| until.is_none_or(|until| until > self.now)).count();
        assert!(self.format.width <= 2 && taken >= ids, "{taken} of {ids} ids are in use or rest");
        // One that was answered at its first transmission may have been in trouble all the same.
        let (first, last) = (rested.iter().flatten().min(), self.model.settings.rest.1);
        let latest = first.map(|first| first.after(last));
        assert!(until >= first.copied().filter(|&first| first > self.now) && until <= latest, "{until:?} is told");
    }

    pub(super) fn cancel(&mut self) {
        let asked = self.model.asked.len();
        if asked == 0 {
            return;
        }
        let recent = asked.saturating_sub(50);
        let token = recent + self.dice.index(asked - recent);
        let handle = self.model.asked[token].handle;
        self.tell(|_| format!("cancel {token}"));
        let finished = self.engine.cancel(self.now, handle);
        if self.model.asked[token].ended.is_some() {
            assert_eq!(finished, None, "request {token} had ended");
            assert_eq!((self.engine.request(handle), self.engine.seed(handle)), (None, None));
        } else {
            let end = self.model.cancel(self.now, token);
            self.ended(&finished.unwrap_or_else(|| panic!("request {token} was open")), &end);
        }
    }

    pub(super) fn look(&mut self) {
        self.tell(|_| "time up".into());
        self.engine.on_time_up(self.now);
        self.paused = self.paused.filter(|&until| self.now < until);
        let (first, finished) = (self.ready(), self.finished());
        let ended: Vec<usize> = finished.iter().map(|finished| finished.token as usize).collect();
        let ends = self.model.on_time_up(self.now, &first, &ended);
        self.failures_are(&finished, ends);
    }

    /// In silence every request ends, in a bounded number of turns, and the engine alone says when to look.
    pub(super) fn drain(&mut self) {
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
        if let Some(paused) = self.paused {
            self.now = Timestamp::from_nanos(paused.as_nanos().div_ceil(TICK) * TICK);
            self.look();
        }
        assert_eq!(self.engine.next_deadline(), None);
    }
}

/// Of the engine's clock.
pub(super) const TICK: u64 = 1 << 17;
