//! One request at a time to a group, beside a transaction with the same servers under the same facts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use udp_retry::entropy::IdSource;
use udp_retry::envelope::{HEADER_LEN, Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::policy::Backoff;
use udp_retry::servers::{ServerSet, ServerSettings, Spread};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Arrived, Event, Failure, Finished, GroupId, Handle, InFlight, Limits, Match, Next, OnUnreachable, PeerId, Request,
    Stray, Timeline, Transaction,
};
use udp_retry::transport::{PathError, PathIndex};
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::dice::Dice;
use super::matcher::{Kinds, REPLY, SLOW, STOP, answer};
use super::watchdog::{MINUTE, within};
use super::{CURRENT, Replay, START, ms};

#[test]
fn a_request_to_a_group_does_what_a_transaction_with_its_servers_does() {
    within(MINUTE, || {
        let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
        let _replay = Replay("twins");
        if let Some(world) = number("UDP_RETRY_WORLD") {
            World::new(world, true).run();
            return;
        }
        let (worlds, mut met) = (number("UDP_RETRY_WORLDS").unwrap_or(4_000), Met::default());
        (0..worlds).for_each(|world| met.add(World::new(world, false).run()));
        println!("{met:?}");
        let Met {
            replies,
            failures,
            failovers,
            probes,
            hedges,
            provisional,
            parked,
            refused,
            withheld,
            unsent,
            stale,
            forgotten,
            unknown,
            restarted,
            wrong,
        } = met;
        assert!(forgotten * 50 <= stale, "ids of requests that ended lately are forgotten: {met:?}");
        let all = [replies, failures, failovers, probes, hedges, provisional, parked, refused, withheld, unsent, stale];
        // A third of the worlds have envelopes.
        let all = all.into_iter().chain([unknown, restarted, wrong]);
        assert!(all.min() > Some(worlds / 40), "too little happens to prove anything: {met:?}");
    });
}

/// What has happened.
#[derive(Clone, Copy, Default, Debug)]
struct Met {
    replies: u64,
    failures: u64,
    failovers: u64,
    probes: u64,
    hedges: u64,
    provisional: u64,
    parked: u64,
    refused: u64,
    withheld: u64,
    unsent: u64,
    stale: u64,
    /// Stale ones that the engine knows no more.
    forgotten: u64,
    /// Requests that a server did not know.
    unknown: u64,
    restarted: u64,
    /// Answers in wrong envelopes.
    wrong: u64,
}

impl Met {
    fn add(&mut self, other: Self) {
        self.replies += other.replies;
        self.failures += other.failures;
        self.failovers += other.failovers;
        self.probes += other.probes;
        self.hedges += other.hedges;
        self.provisional += other.provisional;
        self.parked += other.parked;
        self.refused += other.refused;
        self.withheld += other.withheld;
        self.unsent += other.unsent;
        self.stale += other.stale;
        self.forgotten += other.forgotten;
        self.unknown += other.unknown;
        self.restarted += other.restarted;
        self.wrong += other.wrong;
    }
}

struct World {
    engine: InFlight<u32, Kinds>,
    model: Transaction<Kinds>,
    group: GroupId,
    members: Vec<PeerId>,
    budgets: [RetryBudget; 2],
    handle: Option<Handle>,
    /// What the model asked for last.
    next: Next,
    began: Timestamp,
    /// What left: on which path, as the engine has it and as the model has it.
    sent: Vec<(PathIndex, Vec<u8>, Vec<u8>)>,
    before: Vec<(PathIndex, Vec<u8>, Vec<u8>)>,
    has_envelope: bool,
    /// The incarnation that each server has.
    lives: [u64; 4],
    answering: u64,
    failing: u64,
    requests: u64,
    dice: Dice,
    now: Timestamp,
    /// When nothing was queued last.
    looked: Timestamp,
    told: bool,
    met: Met,
}

impl World {
    fn new(number: u64, told: bool) -> Self {
        CURRENT.store(number, Ordering::Relaxed);
        let mut dice = Dice::new(number);
        let count = dice.within(1..=4) as usize;
        let (settings, policy) = (settings(&mut dice), policy(&mut dice));
        let (ratio, burst) = (dice.pick(&[0.0, 0.2, 1.0]), dice.pick(&[0, 1, 5, 1_000]));
        let budgets = [(); 2].map(|()| RetryBudget::new(ratio, burst, burst).unwrap());
        let (seed, width) = (Seed::new(dice.draw()), dice.pick(&[2, 4, 8, 12]));
        let on_unreachable = match dice.within(0..=3) {
            0 | 1 => OnUnreachable::KeepTrying,
            2 => OnUnreachable::FailFast,
            _ => OnUnreachable::FailAfter((dice.within(1..=3) as u32).try_into().unwrap()),
        };
        let fails_over_budget = dice.one_in(5);
        let is_stamped = dice.one_in(2);
        let matcher = if is_stamped { Kinds::stamped(width) } else { Kinds::own(width) };
        let ids = is_stamped.then(|| IdSource::from_seed(seed));
        let mut engine =
            InFlight::new(policy, matcher, Limits::default(), seed, ids).with_on_unreachable(on_unreachable);
        let mut model = Transaction::new(policy, Kinds::own(width)).with_on_unreachable(on_unreachable).keeping_port();
        if fails_over_budget {
            engine = engine.failing_over_budget();
            model = model.failing_over_budget();
        }
        let has_envelope = dice.one_in(3);
        if has_envelope {
            engine = engine.with_envelope();
            model = model.with_envelope();
        }
        let set = || ServerSet::new(count, settings, seed).unwrap();
        let model = model.with_budget(budgets[1].clone()).with_servers(set());
        let members: Vec<PeerId> =
            (0..count as u32).map(|n| engine.add_peer(address(n), RetryBudget::unlimited(), None)).collect();
        let group = engine.add_group(&members, set(), budgets[0].clone()).unwrap();
        let (answering, failing) = (dice.pick(&[1, 2, 4, 12]), dice.pick(&[6, 40, 1_000_000]));
        let now = Timestamp::from_nanos(START.as_nanos() / TICK * TICK);
        engine.on_time_up(now);
        Self {
            engine,
            model,
            group,
            members,
            budgets,
            handle: None,
            next: Next::Idle,
            began: now,
            sent: Vec::new(),
            before: Vec::new(),
            has_envelope,
            lives: [1; 4],
            answering,
            failing,
            requests: 0,
            dice,
            now,
            looked: now,
            told,
            met: Met::default(),
        }
    }

    fn tell(&self, what: impl Fn() -> String) {
        if self.told {
            println!("{:>14?} {}", self.now.since(START), what());
        }
    }

    fn run(mut self) -> Met {
        for _ in 0..self.dice.within(5..=25) {
            let pause = self.dice.within(0..=2_000_000_000) / [1, 10, 1000][self.dice.index(3)];
            self.now = later(self.now, Duration::from_nanos(pause));
            self.engine.on_time_up(self.now);
            self.submit();
            for turn in 0.. {
                assert!(turn < 5_000, "forgotten");
                if self.met.forgotten > 0 {
                    // It counts for no sign of life there, so from here on the two differ.
                    return self.met;
                }
                self.compare();
                if self.handle.is_none() {
                    break;
                }
                self.turn();
            }
        }
        self.met
    }

    fn submit(&mut self) {
        self.requests += 1;
        let mut bytes = vec![0; 12];
        bytes[..2].copy_from_slice(&(self.requests as u16).to_be_bytes());
        let mut request = Request::new(&bytes);
        let deadline = ms(self.dice.within(1..=3_000));
        if self.dice.one_in(4) {
            request = request.deadline(deadline);
        }
        if self.dice.one_in(2) {
            request = request.repeatable();
        }
        let all_dead = self.engine.servers(self.group).unwrap().is_all_dead();
        self.met.parked += u64::from(all_dead);
        self.before = std::mem::take(&mut self.sent);
        self.began = self.now;
        let handle = self.engine.submit(self.now, self.group, &request, self.requests).unwrap();
        let seed = self.engine.seed(handle);
        self.tell(|| format!("submit {request:?}, {handle:?}"));
        self.handle = Some(handle);
        let Some(seed) = seed else { panic!("it ends as soon as it begins") };
        self.model.start(&request, self.now, seed);
        self.obey();
    }

    /// Does what both ask for until there is nothing but to wait.
    fn obey(&mut self) {
        for _ in 0..200 {
            self.next = self.model.next(self.now);
            self.tell(|| {
                let healths = self.model.servers().unwrap().states(self.now);
                format!("{:?}, {:?}", self.next, healths.map(|it| (it.health, it.outstanding)).collect::<Vec<_>>())
            });
            let mut transmits = self.transmits();
            let is_due = !matches!(self.next, Next::WaitUntil(_));
            if is_due && transmits.is_empty() && self.looked == self.now {
                // Of a look that came before a fact at the same moment only the transaction knows.
                self.engine.on_time_up(self.now);
                transmits = self.transmits();
            }
            match self.next {
                Next::Transmit(path) => {
                    let [(to, datagram)] = &transmits[..] else { self.differs("one is to be sent") };
                    assert_eq!(*to, address(path.number()));
                    let header = self.header_len();
                    assert_eq!(datagram[..header], self.model.datagram()[..header], "what it says of itself");
                    assert_eq!(datagram.len(), self.model.datagram().len());
                    self.transmit(path, datagram.clone());
                }
                Next::WaitUntil(until) => {
                    assert_eq!(transmits, [], "nothing is due before {:?}", until.since(START));
                    if until > self.now {
                        let latest = ceil(until);
                        let deadline = self.engine.next_deadline();
                        assert!(deadline.is_some_and(|it| it <= latest), "{deadline:?} is later than {latest:?}");
                        return;
                    }
                    self.look();
                }
                Next::Failed(failure) => {
                    let Some(finished) = self.engine.next_finished() else { self.differs("it has failed") };
                    assert_eq!(finished.failure, Some(failure));
                    self.end(finished);
                    return;
                }
                next => panic!("{next:?}"),
            }
        }
        panic!("spins");
    }

    /// What the engine has to send at this moment.
    fn transmits(&mut self) -> Vec<(u32, Vec<u8>)> {
        self.engine.seal(self.now, 16);
        self.engine.transmits().map(|it| (it.to, it.datagram.to_vec())).collect()
    }

    fn differs(&mut self, what: &str) -> ! {
        let sends: Vec<u32> = self.engine.transmits().map(|it| it.to).collect();
        let ours = self.engine.cancel(self.now, self.handle.unwrap()).and_then(|ended| ended.timeline);
        let ours = ours.map(|timeline| timeline.to_string()).unwrap_or_default();
        panic!("{what}: {:?}, {sends:?}, {ours} instead of {}", self.next, self.model.timeline());
    }

    fn look(&mut self) {
        self.looked = self.now;
        self.engine.on_time_up(self.now);
        self.model.on_time_up(self.now);
    }

    fn transmit(&mut self, path: PathIndex, datagram: Vec<u8>) {
        let count = |world: &Self| {
            let states: Vec<_> = world.model.servers().unwrap().states(world.now).collect();
            let probes = states.iter().map(|state| state.probes).sum::<u64>();
            let outstanding = states.iter().map(|state| state.outstanding).sum::<u32>();
            (probes, outstanding)
        };
        if self.dice.one_in(self.failing) {
            let error = self.dice.pick(&[PathError::Unreachable, PathError::Refused, PathError::Other(5)]);
            self.tell(|| format!("{error:?}"));
            self.met.unsent += 1;
            self.engine.on_not_transmitted(self.now, error);
            self.model.on_not_transmitted(self.now, error);
            return;
        }
        let before = count(self);
        self.engine.on_transmitted(self.now, 1);
        let model = self.model.datagram().to_vec();
        self.model.on_transmitted(self.now);
        let after = count(self);
        self.met.probes += after.0 - before.0;
        self.met.failovers += u64::from(after.1 > 1);
        self.met.hedges += u64::from(after.1 > 1 && matches!(self.next, Next::Transmit(_)));
        self.sent.push((path, datagram, model));
    }

    fn turn(&mut self) {
        let Next::WaitUntil(until) = self.next else { panic!("{:?}", self.next) };
        let left = until.since(self.now);
        let step = match self.dice.within(0..=4) {
            0 => left / 2,
            1 => left / 16,
            2 => Duration::from_nanos(self.dice.within(0..=8) * TICK).min(left),
            _ => left,
        };
        self.now = later(self.now, step);
        if self.dice.one_in(12) {
            self.now = later(self.now, Duration::from_nanos(self.dice.within(0..=2_000) * TICK));
        }
        if self.dice.one_in(self.answering) {
            self.receive();
        } else if self.dice.one_in(6) {
            self.report_an_error();
        } else if self.dice.one_in(40) {
            self.cancel();
        }
        if self.handle.is_none() || self.met.forgotten > 0 || !self.dice.one_in(1) {
            return;
        }
        self.look();
        if matches!(self.next, Next::WaitUntil(until) if until <= self.now) {
            self.obey();
        }
    }

    fn receive(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let (path, own, models) = self.sent[self.dice.index(self.sent.len())].clone();
        if self.dice.one_in(6) {
            let stale = self.before.iter().find(|sent| sent.0 == path).cloned();
            if let Some((_, own, models)) = stale {
                return self.receive_stale(path, &own, &models);
            }
        }
        let kind = if self.dice.one_in(3) { self.dice.pick(&[STOP, SLOW]) } else { REPLY };
        let more = usize::from(kind == REPLY && self.dice.one_in(12));
        let is_unknown = self.has_envelope && self.dice.one_in(4);
        let more = if is_unknown { 0 } else { more };
        let [own, models] = self.answers(path, [&own, &models], if is_unknown { None } else { Some(kind) });
        self.tell(|| format!("{} from {path:?}, {more} missing, unknown {is_unknown}", char::from(kind)));
        let before = self.model.strays();
        let arrived = self.engine.on_datagram(self.now, address(path.number()), &own, own.len() + more);
        let verdict = self.model.on_datagram(self.now, path, &models, models.len() + more);
        match (arrived, verdict) {
            (Arrived::Reply(finished), Match::Reply) => {
                self.next = self.model.next(self.now);
                assert_eq!(self.next, Next::Done);
                assert_eq!(finished.peer, self.members[path.number() as usize]);
                self.end(finished);
            }
            (Arrived::Truncated(handle), Match::Reply) => {
                assert_eq!(Some(handle), self.handle);
                self.obey();
            }
            (Arrived::Provisional(handle), Match::Provisional(_)) => {
                assert_eq!(Some(handle), self.handle);
                self.met.provisional += 1;
                self.obey();
            }
            (Arrived::Unknown(handle), Match::Foreign) => {
                assert_eq!((Some(handle), self.model.strays()), (self.handle, before));
                self.met.unknown += 1;
                self.obey();
            }
            (Arrived::Stray(kind), Match::Foreign) => {
                let wrong = self.model.strays().envelope - before.envelope;
                assert_eq!((kind == Stray::Envelope, self.model.strays().total()), (wrong > 0, before.total() + 1));
                self.met.wrong += u64::from(wrong);
            }
            other => panic!("{other:?}"),
        }
    }

    /// What a server sends that has received one of these: a reply of this kind, or that it does not know the request.
    fn answers(&mut self, path: PathIndex, datagrams: [&[u8]; 2], kind: Option<u8>) -> [Vec<u8>; 2] {
        let header = self.header_len();
        let payloads = datagrams.map(|it| kind.map_or(it[header..].to_vec(), |kind| answer(&it[header..], kind)));
        if !self.has_envelope {
            return payloads;
        }
        let lives = &mut self.lives[path.number() as usize];
        if self.dice.one_in(12) {
            *lives = self.dice.within(1..=3);
        }
        let incarnation = if self.dice.one_in(20) { self.dice.within(1..=3) } else { *lives };
        let sent = RequestHeader::decode(datagrams[0]).unwrap().0.transmission();
        let other = RequestHeader::new(self.dice.within(1..=5) as u32, None, None).transmission();
        let number = if self.dice.one_in(12) { other } else { sent };
        let uptime = match self.dice.within(0..=2) {
            0 => Duration::ZERO,
            1 => Duration::from_secs(3_600),
            _ => Duration::from_nanos(self.dice.within(0..=self.now.since(self.began).as_nanos() as u64 * 2)),
        };
        let kind = if kind.is_some() { ReplyKind::Reply } else { ReplyKind::Unknown };
        let header = ReplyHeader::new(kind, number, uptime, Incarnation::new(incarnation).unwrap()).encode();
        payloads.map(|payload| [&header[..], &payload].concat())
    }

    /// Bytes before each payload.
    fn header_len(&self) -> usize {
        if self.has_envelope { HEADER_LEN } else { 0 }
    }

    fn receive_stale(&mut self, path: PathIndex, own: &[u8], models: &[u8]) {
        let were_dead = self.engine.servers(self.group).unwrap().is_all_dead();
        let [own, models] = self.answers(path, [own, models], Some(REPLY));
        self.tell(|| format!("stale from {path:?}"));
        let arrived = self.engine.on_datagram(self.now, address(path.number()), &own, own.len());
        if arrived == Arrived::Stray(Stray::Foreign) {
            // A newer id has taken its place in the table of those that ended lately.
            self.met.forgotten += 1;
            return;
        }
        let before = self.model.strays();
        assert_eq!(self.model.on_datagram(self.now, path, &models, models.len()), Match::Foreign);
        assert_eq!(arrived, Arrived::Stray(Stray::Stale));
        assert_eq!(self.model.strays().stale, before.stale + 1);
        self.met.stale += 1;
        // Asked without need the model would look for probes.
        if were_dead && self.was_parked() {
            self.obey();
        }
    }

    /// Whether the latest slot of the request has passed because no server lived.
    fn was_parked(&self) -> bool {
        let slots = self.model.timeline().events().map(|(_, event)| event);
        slots.filter(|event| matches!(event, Event::Parked | Event::Withheld)).last() == Some(Event::Parked)
    }

    fn report_an_error(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let (path, own, models) = self.sent[self.dice.index(self.sent.len())].clone();
        let error = self.dice.pick(&[PathError::Refused, PathError::Unreachable, PathError::Other(7)]);
        let (own, models) = if self.dice.one_in(2) { (own, models) } else { (Vec::new(), Vec::new()) };
        self.tell(|| format!("{error:?} from {path:?}, quoting {} bytes", own.len()));
        self.engine.on_path_error(self.now, Some(address(path.number())), error, &own);
        self.model.on_quoted_error(self.now, Some(path), error, &models);
        self.met.refused += 1;
        self.obey();
    }

    fn cancel(&mut self) {
        self.tell(|| "cancel".into());
        let finished = self.engine.cancel(self.now, self.handle.unwrap()).unwrap();
        self.model.on_cancelled();
        self.next = self.model.next(self.now);
        self.end(finished);
    }

    fn end(&mut self, finished: Finished) {
        let Self { model, now, .. } = self;
        self.met.replies += u64::from(finished.failure.is_none());
        self.met.failures += u64::from(finished.failure.is_some());
        self.met.restarted += u64::from(finished.failure == Some(Failure::ServerRestarted));
        self.met.withheld += u64::from(model.withheld());
        if self.told {
            println!("{finished:?}");
        }
        assert_eq!(Some(finished.handle), self.handle);
        assert_eq!(finished.execution, model.execution());
        assert_eq!((finished.transmissions, finished.withheld), (model.transmissions(), model.withheld()));
        assert_eq!(finished.round_trip, model.round_trip());
        assert_eq!(finished.last_error, model.last_error());
        assert_eq!(finished.elapsed, now.since(self.began));
        if let Some(failure) = finished.failure {
            assert_eq!(self.next, Next::Failed(failure));
            assert_eq!(finished.paths(), model.error(failure, *now).paths());
        }
        let is_whole = |timeline: &&Timeline| timeline.omitted() + model.timeline().omitted() == 0;
        if let Some(timeline) = finished.timeline.as_deref().filter(is_whole) {
            assert_eq!(
                timeline.transmissions().collect::<Vec<_>>(),
                model.timeline().transmissions().collect::<Vec<_>>()
            );
        }
        self.handle = None;
    }

    /// What both know of the servers, and what is left in the engine.
    fn compare(&self) {
        let ours: Vec<_> = self.engine.servers(self.group).unwrap().states(self.now).collect();
        let theirs: Vec<_> = self.model.servers().unwrap().states(self.now).collect();
        assert_eq!(ours, theirs, "the engine's, and the model's");
        assert_eq!(self.budgets[0].balance(), self.budgets[1].balance(), "left of the budget");
        let open = usize::from(self.handle.is_some());
        assert_eq!(self.engine.len(), open);
        if open == 0 {
            let places: usize = self.members.iter().map(|&member| self.engine.on_wire(member)).sum();
            assert_eq!((places, self.engine.available()), (0, 65_536), "what is left of a request that has ended");
            assert_eq!(self.engine.next_deadline(), None);
            assert_eq!(ours.iter().map(|state| state.outstanding).sum::<u32>(), 0);
        }
    }
}

fn settings(dice: &mut Dice) -> ServerSettings {
    let spread = dice.pick(&[Spread::BAND, Spread::InOrder, Spread::Sticky, Spread::RoundRobin]);
    let first = dice.within(20..=400);
    let parked = first + dice.within(0..=500);
    let settings = ServerSettings::new()
        .with_spread(spread)
        .and_then(|it| it.with_floor(ms(dice.within(10..=400))))
        .and_then(|it| it.with_probes(ms(first), ms(parked + dice.within(0..=5_000)), ms(parked)))
        .unwrap()
        .with_dead_after((dice.within(1..=4) as u32).try_into().unwrap());
    if dice.one_in(3) { settings.with_hedging(0.05).unwrap() } else { settings }
}

fn policy(dice: &mut Dice) -> RetryPolicy {
    let initial = ms(dice.within(50..=1_000));
    let backoff = match dice.one_in(3) {
        true => Backoff::exponential(initial, ms(4_000)).unwrap(),
        false => Backoff::constant(initial).unwrap(),
    };
    let policy = RetryPolicy::new(backoff).with_max_transmissions(dice.within(1..=4) as u32).unwrap();
    let policy = policy.with_patience(ms(dice.within(1..=900))).unwrap();
    if dice.one_in(3) { policy.with_deadline(ms(dice.within(20..=4_000))).unwrap() } else { policy }
}

fn address(path: u32) -> u32 {
    100 + 7 * path
}

/// The engine keeps times to this: so the worlds' stand still in between.
const TICK: u64 = 1 << 17;

fn ceil(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.as_nanos().div_ceil(TICK) * TICK)
}

fn later(now: Timestamp, step: Duration) -> Timestamp {
    ceil(now.after(step))
}
