//! Any settings, and servers that die, revive, lose, refuse and delay: what must hold in every world.

use std::collections::BTreeMap;
use std::time::Duration;

use udp_retry::policy::Backoff;
use udp_retry::servers::{Health, ServerSettings, Spread};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Event, Match, Next, Request, Transaction, TransactionId, transaction_id};
use udp_retry::transport::{PathError, PathIndex, Renewed};
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::set;
use crate::scripted::{START, ms};
use crate::watchdog::{MINUTE, within};

#[test]
fn in_any_world_every_promise_holds() {
    within(10 * MINUTE, || {
        let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
        let worlds = number("UDP_RETRY_WORLDS").unwrap_or(10_000);
        let first = number("UDP_RETRY_WORLD").unwrap_or(0);
        let mut met = Met::default();
        for seed in first..first + worlds {
            let trace = World::new(seed).run(&mut met);
            if seed % 10 == 0 {
                assert_eq!(
                    trace,
                    World::new(seed).run(&mut Met::default()),
                    "UDP_RETRY_WORLD={seed} UDP_RETRY_WORLDS=1"
                );
            }
        }
        let Met { replies, failures, probes, parked, refused, withheld, unsent, strays } = met;
        let least = [replies, failures, probes, parked, refused, withheld, unsent, strays].into_iter().min();
        assert!(worlds < 10_000 || least > Some(100), "too little happened: {met:?}");
    });
}

/// How often what was to be met was met.
#[derive(Clone, Copy, Default, Debug)]
struct Met {
    replies: u64,
    failures: u64,
    probes: u64,
    parked: u64,
    refused: u64,
    withheld: u64,
    unsent: u64,
    strays: u64,
}

struct World {
    seed: u64,
    draws: u64,
    now: Timestamp,
    servers: Vec<Server>,
    transaction: Transaction<TransactionId>,
    budget: RetryBudget,
    interval: Duration,
    deadline: Option<Duration>,
    /// What is on its way, by when and in which order it was sent.
    coming: BTreeMap<(Timestamp, u64), (u32, Back)>,
    trace: Vec<(u64, String)>,
}

enum Back {
    Datagram(Vec<u8>),
    Refusal,
}

/// One of them, as it is at present, and what the present request has done to it.
#[derive(Clone, Default)]
struct Server {
    is_up: bool,
    loss: u64,
    delay: u64,
    asked: Vec<Timestamp>,
    attempts: u32,
    refusals: u32,
    /// It was taken for dead at some time in this request.
    was_dead: bool,
    was_sent_anything: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            draws: 0,
            now: START,
            servers: Vec::new(),
            transaction: Transaction::new(RetryPolicy::LAN, transaction_id(0..4)),
            budget: RetryBudget::unlimited(),
            interval: ms(0),
            deadline: None,
            coming: BTreeMap::new(),
            trace: Vec::new(),
        };
        let count = 1 + world.draw(4);
        world.servers = vec![Server::default(); count as usize];
        world.interval = ms(50 + world.draw(1_000));
        world.deadline = (world.draw(3) == 0).then(|| ms(20 + world.draw(4_000)));
        let tokens = [0, 1, 10, 1_000][world.draw(4) as usize];
        world.budget = RetryBudget::new([0.0, 0.5][world.draw(2) as usize], tokens, tokens).unwrap();
        let policy = RetryPolicy::new(Backoff::constant(world.interval).unwrap());
        let policy = policy.with_max_transmissions(1 + world.draw(4) as u32).unwrap();
        let policy = world.deadline.map_or(policy, |deadline| policy.with_deadline(deadline).unwrap());
        let settings = world.settings();
        world.transaction = Transaction::new(policy, transaction_id(0..4))
            .with_budget(world.budget.clone())
            .with_servers(set(count as usize, settings));
        world
    }

    fn settings(&mut self) -> ServerSettings {
        let spread = [Spread::BAND, Spread::InOrder, Spread::Sticky, Spread::RoundRobin][self.draw(4) as usize];
        let dead_after = (1 + self.draw(4) as u32).try_into().unwrap();
        let first = 20 + self.draw(400);
        let parked = first + self.draw(500);
        let settings = ServerSettings::new()
            .with_spread(spread)
            .and_then(|it| it.with_floor(ms(10 + self.draw(400))))
            .and_then(|it| it.with_probes(ms(first), ms(parked + self.draw(5_000)), ms(parked)));
        let settings = settings.unwrap().with_dead_after(dead_after);
        if self.draw(3) == 0 { settings.with_hedging(0.05).unwrap() } else { settings }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.draws += 1;
        Seed::new(self.seed).derive(77).draw(self.draws) % below
    }

    fn run(mut self, met: &mut Met) -> Vec<(u64, String)> {
        for number in 0..12 {
            for path in 0..self.servers.len() {
                let (is_up, loss, delay) =
                    (self.draw(3) > 0, [0, 0, 30, 90][self.draw(4) as usize], 1 + self.draw(300));
                let delay = if self.draw(2) == 0 { 1 + delay / 20 } else { delay };
                self.servers[path] = Server { is_up, loss, delay, ..Server::default() };
            }
            self.request(number, met);
            self.now = self.now.after(ms(self.draw(800)));
        }
        self.trace
    }

    fn request(&mut self, number: u32, met: &mut Met) {
        let bytes = [&number.to_be_bytes()[..], b" ping"].concat();
        let request = Request::new(&bytes);
        let repeatable = self.draw(2) == 0;
        let (began, tokens) = (self.now, self.budget.balance());
        let request = if repeatable { request.repeatable() } else { request };
        self.transaction.start(&request, self.now, Seed::new(self.seed + u64::from(number)));
        let (mut own, mut unsent) = (0, 0);
        for step in 0.. {
            assert!(step < 20_000, "spins: {}", self.context());
            let next = self.transaction.next(self.now);
            assert_eq!(self.transaction.next(self.now), next, "asking again changes nothing: {}", self.context());
            self.note(format!("{next:?}"));
            self.see_the_dead();
            match next {
                Next::Transmit(path) => {
                    if self.draw(30) == 0 {
                        unsent += 1;
                        met.unsent += 1;
                        let error = [PathError::Unreachable, PathError::Other(97)][self.draw(2) as usize];
                        self.transaction.on_not_transmitted(self.now, error);
                        self.servers[path.number() as usize].attempts += 1;
                        continue;
                    }
                    own += u32::from(self.transmit(path, met));
                }
                Next::WaitUntil(until) => self.wait(until, met),
                Next::Renew(path, _) => self.transaction.on_renewed(self.now, path, Ok(Renewed::FreshPort)),
                Next::Done => {
                    met.replies += 1;
                    break;
                }
                Next::Failed(_) => {
                    met.failures += 1;
                    break;
                }
                Next::Build(..) | Next::Idle => panic!("{next:?}: {}", self.context()),
            }
        }
        assert_eq!(self.transaction.next(self.now), self.transaction.next(self.now));
        self.check_the_end(began, met);
        let spent = if self.budget.balance() <= tokens { tokens - self.budget.balance() } else { 0 };
        let paid_in = 1;
        let refused = self.servers.iter().filter(|server| server.refusals > 0).count() as u32;
        let most = 1 + spent + paid_in + 1 + refused + unsent;
        assert!(own <= most, "{own} of {most} transmissions: {}", self.context());
    }

    /// Returns whether it was not a probe.
    fn transmit(&mut self, path: PathIndex, met: &mut Met) -> bool {
        let at = path.number() as usize;
        let is_dead = self.is_dead(path);
        let before = self.state(path);
        let bytes = self.transaction.datagram().to_vec();
        self.transaction.on_transmitted(self.now);
        let is_probe = self.state(path).probes > before.probes;
        assert!(is_probe || !is_dead, "a slot went to a dead server: {}", self.context());
        if is_probe {
            met.probes += 1;
        } else {
            self.check_the_round(at);
            self.servers[at].asked.push(self.now);
            self.servers[at].attempts += 1;
        }
        self.servers[at].was_sent_anything = true;
        self.answer(path, bytes);
        !is_probe
    }

    /// What the server does with a copy of a request.
    fn answer(&mut self, path: PathIndex, bytes: Vec<u8>) {
        let Server { is_up, loss, delay, .. } = self.servers[path.number() as usize];
        let after = ms(delay + self.draw(10));
        let back = match is_up {
            true if self.draw(100) < loss => return,
            true => Back::Datagram(bytes),
            false if self.draw(3) == 0 => Back::Refusal,
            false => return,
        };
        self.draws += 1;
        self.coming.insert((self.now.after(after), self.draws), (path.number(), back));
    }

    fn wait(&mut self, until: Timestamp, met: &mut Met) {
        if self.draw(20) == 0 {
            self.forge();
        }
        let next = self.coming.first_key_value().map(|(&(at, _), _)| at);
        if let Some(at) = next.filter(|&at| at <= until.max(self.now)) {
            self.now = self.now.max(at);
            let (_, (path, back)) = self.coming.pop_first().unwrap();
            let index = PathIndex::new(path);
            match back {
                Back::Datagram(bytes) => {
                    let verdict = self.transaction.on_datagram(self.now, index, &bytes, bytes.len());
                    met.strays += u64::from(verdict == Match::Foreign);
                    self.note(format!("{verdict:?} from {path}"));
                }
                Back::Refusal => {
                    met.refused += 1;
                    self.servers[path as usize].refusals += 1;
                    self.transaction.on_path_error(self.now, Some(index), PathError::Refused);
                }
            }
            return;
        }
        self.now = self.now.max(until);
        self.transaction.on_time_up(self.now);
    }

    /// A reply from a path on which nothing was sent completes nothing.
    fn forge(&mut self) {
        let bytes = self.transaction.datagram().to_vec();
        let silent: Vec<u32> =
            (0..6).filter(|&path| self.servers.get(path as usize).is_none_or(|it| !it.was_sent_anything)).collect();
        for path in silent {
            let verdict = self.transaction.on_datagram(self.now, PathIndex::new(path), &bytes, bytes.len());
            assert_eq!(verdict, Match::Foreign, "from path {path}: {}", self.context());
        }
    }

    /// Each that lives is asked once before any is twice, and no sooner than the policy would.
    fn check_the_round(&self, path: usize) {
        let server = &self.servers[path];
        for (other, it) in self.servers.iter().enumerate().filter(|&(other, it)| other != path && !it.was_dead) {
            assert!(it.attempts >= server.asked.len() as u32, "{path} before {other}: {}", self.context());
        }
        let parked = self.transaction.timeline().events().any(|(_, event)| event == Event::Parked);
        if let Some(&last) = server.asked.last().filter(|_| !parked) {
            assert!(self.now.since(last) >= self.interval, "{path} too soon: {}", self.context());
        }
    }

    fn check_the_end(&self, began: Timestamp, met: &mut Met) {
        let timeline = self.transaction.timeline();
        met.parked += u64::from(timeline.events().any(|(_, event)| event == Event::Parked));
        met.withheld += u64::from(self.transaction.withheld() > 0);
        if let Some(deadline) = self.deadline {
            assert!(self.now.since(began) <= deadline, "later than {deadline:?}: {}", self.context());
        }
        for path in 0..self.servers.len() {
            let state = self.state(PathIndex::new(path as u32));
            assert_eq!(state.outstanding, 0, "of path {path}: {}", self.context());
        }
    }

    fn see_the_dead(&mut self) {
        for path in 0..self.servers.len() {
            self.servers[path].was_dead |= self.is_dead(PathIndex::new(path as u32));
        }
    }

    fn is_dead(&self, path: PathIndex) -> bool {
        let servers = self.transaction.servers().unwrap();
        matches!(servers.health(self.now, path), Health::Dead { .. })
    }

    fn state(&self, path: PathIndex) -> udp_retry::servers::ServerState {
        self.transaction.servers().unwrap().states(self.now).nth(path.number() as usize).unwrap()
    }

    fn note(&mut self, what: String) {
        self.trace.push((self.now.since(START).as_nanos() as u64, what));
    }

    fn context(&self) -> String {
        let latest: Vec<_> =
            self.trace.iter().rev().take(40).rev().map(|(at, what)| format!("{} {what}", at / 1_000_000)).collect();
        let seed = self.seed;
        format!("UDP_RETRY_WORLD={seed} UDP_RETRY_WORLDS=1\n{}\n{}", self.transaction.timeline(), latest.join("\n"))
    }
}
