//! A set and its model under the same facts, compared after each.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::servers::{Choice, Health, Paths, Sent, ServerSet, Spread};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, PathIndex};

use super::model::Model;
use super::settings::{Drawn, ms};
use crate::dice::Dice;

pub(super) struct World {
    dice: Dice,
    now: Timestamp,
    /// Whether the clock is set back now and then.
    turned_back: bool,
    set: ServerSet,
    model: Model,
    open: Vec<Asked>,
    /// Where `Sticky` is.
    stuck: Option<u32>,
    tally: Tally,
    /// All choices, for a comparison of two runs.
    choices: Vec<Choice>,
}

/// One request: where it went, and when it was sent there last.
#[derive(Default)]
struct Asked {
    outstanding: Vec<u32>,
    tried: Paths,
    sent: Vec<(u32, Timestamp)>,
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tally {
    pub(super) choices: u64,
    pub(super) rounds: u64,
    pub(super) parked: u64,
    pub(super) deaths: u64,
    pub(super) revivals: u64,
    pub(super) releases: u64,
    pub(super) probes: u64,
    pub(super) excused: u64,
}

impl World {
    pub(super) fn new(number: u64) -> Self {
        let mut dice = Dice::new(number);
        let drawn = Drawn::draw(&mut dice);
        let seed = Seed::new(dice.draw());
        Self {
            now: Timestamp::from_nanos(dice.within(0..=1 << 50)),
            turned_back: dice.one_in(4),
            set: ServerSet::new(drawn.servers as usize, drawn.settings(), seed).unwrap(),
            model: Model::new(drawn),
            open: Vec::new(),
            stuck: None,
            tally: Tally::default(),
            choices: Vec::new(),
            dice,
        }
    }

    /// What happened, and every choice.
    pub(super) fn run(mut self) -> (Tally, Vec<Choice>) {
        for _ in 0..self.dice.within(20..=120) {
            self.pass_time();
            self.probe();
            self.fact();
            self.compare();
        }
        while !self.open.is_empty() {
            self.end_one();
        }
        assert!(self.set.states(self.now).all(|it| it.outstanding == 0), "requests that never end");
        (self.tally, self.choices)
    }

    fn pass_time(&mut self) {
        if self.turned_back && self.dice.one_in(8) {
            let back = self.dice.within(0..=ms(3_000).as_nanos() as u64);
            self.now = Timestamp::from_nanos(self.now.as_nanos().saturating_sub(back));
        }
        let most = self.dice.pick(&[0, 50, 50, 300, 300, 2_000, 40_000, 10_000_000]);
        self.now = self.now.after(ms(self.dice.within(0..=most)));
    }

    fn fact(&mut self) {
        match self.dice.within(0..=11) {
            0..=2 => self.begin(),
            3 | 4 => self.fail_over(),
            5 => self.repeat(),
            6 => self.answer(),
            7 | 8 => self.expire(),
            9 => self.error(),
            10 => self.end_one(),
            _ => self.wrong_path(),
        }
    }

    fn begin(&mut self) {
        if self.dice.one_in(3) {
            self.whole_round();
        }
        if let Choice::Ask(path) = self.choose(Paths::NONE) {
            self.open.push(Asked::default());
            self.transmit(self.open.len() - 1, path.number(), Sent::Request);
        }
    }

    fn fail_over(&mut self) {
        let Some(which) = self.any_open() else { return };
        if let Choice::Ask(path) = self.choose(self.open[which].tried) {
            let what = self.dice.pick(&[Sent::Failover, Sent::Hedge]);
            self.transmit(which, path.number(), what);
        }
    }

    fn repeat(&mut self) {
        let Some(which) = self.any_open() else { return };
        let path = self.open[which].outstanding[0];
        self.transmit(which, path, Sent::Repeat);
    }

    fn answer(&mut self) {
        let Some((path, sent)) = self.any_sent() else { return };
        let round_trip = self.dice.one_in(2).then(|| self.now.since(sent));
        self.reply(path, round_trip);
    }

    fn reply(&mut self, path: u32, round_trip: Option<Duration>) {
        let was_dead = self.model.is_dead(&self.model.servers[path as usize]);
        let released = self.set.on_reply(self.now, PathIndex::new(path), round_trip);
        assert_eq!(
            released,
            self.model.on_reply(self.now, path, round_trip),
            "what is parked is released once an outage"
        );
        self.tally.revivals += u64::from(was_dead);
        self.tally.releases += u64::from(released);
    }

    fn expire(&mut self) {
        let Some((path, sent)) = self.any_sent() else { return };
        let before = self.model.live().len();
        self.set.on_expired(self.now, PathIndex::new(path), sent);
        let misses = self.model.servers[path as usize].in_a_row();
        self.model.on_expired(self.now, path, sent);
        self.tally.excused += u64::from(misses == self.model.servers[path as usize].in_a_row());
        self.tally.deaths += (before - self.model.live().len()) as u64;
    }

    fn error(&mut self) {
        let path = self.dice.index(self.model.servers.len()) as u32;
        let error = self.dice.pick(&[
            PathError::Refused,
            PathError::Unreachable,
            PathError::NoBuffers,
            PathError::too_big(None),
            PathError::Other(5),
        ]);
        let before = self.model.live().len();
        self.set.on_path_error(self.now, PathIndex::new(path), error);
        self.model.on_error(self.now, path, matches!(error, PathError::Refused | PathError::Unreachable));
        self.tally.deaths += (before - self.model.live().len()) as u64;
    }

    /// The end of a request, answered or not; and now and then one settlement too many, which must not be kept as a debt.
    fn end_one(&mut self) {
        let Some(which) = self.any_open() else { return };
        let asked = self.open.swap_remove(which);
        for path in asked.outstanding {
            self.settle(path);
        }
        if self.dice.one_in(16) {
            let path = self.dice.index(self.model.servers.len()) as u32;
            if self.model.servers[path as usize].outstanding == 0 {
                self.settle(path);
            }
        }
    }

    fn settle(&mut self, path: u32) {
        self.set.on_settled(PathIndex::new(path));
        let outstanding = &mut self.model.servers[path as usize].outstanding;
        *outstanding = outstanding.saturating_sub(1);
    }

    fn wrong_path(&mut self) {
        if !self.dice.one_in(4) {
            return;
        }
        let (before, past) = (format!("{:?}", self.set), self.model.drawn.servers);
        let path = PathIndex::new(self.dice.pick(&[past, past.max(63) + 1, u32::MAX]));
        self.set.on_transmitted(self.now, path, self.dice.pick(&[Sent::Request, Sent::Probe]));
        assert!(!self.set.on_reply(self.now, path, Some(ms(1))));
        self.set.on_expired(self.now, path, self.now);
        self.set.on_path_error(self.now, path, PathError::Refused);
        self.set.on_settled(path);
        assert!(!self.set.never_replied(path) && self.set.hedge_after(self.now, path).is_none());
        assert_eq!(self.set.health(self.now, path), Health::Unknown);
        assert_eq!(format!("{:?}", self.set), before, "a path that is none");
    }

    fn transmit(&mut self, which: usize, path: u32, what: Sent) {
        self.set.on_transmitted(self.now, PathIndex::new(path), what);
        let (asked, server) = (&mut self.open[which], &mut self.model.servers[path as usize]);
        server.transmissions += 1;
        asked.tried = asked.tried.with(PathIndex::new(path));
        asked.sent.push((path, self.now));
        if what != Sent::Repeat {
            server.outstanding += 1;
            asked.outstanding.push(path);
        }
    }

    fn probe(&mut self) {
        let due = |it: &super::model::Modelled| it.probe.filter(|(due, _)| *due <= self.now).map(|(due, _)| due);
        let longest_due = self.model.servers.iter().filter_map(due).min();
        match self.set.probe_due(self.now) {
            None => assert_eq!(longest_due, None, "a probe is due and not sent"),
            Some(path) => {
                assert_eq!(self.set.probe_due(self.now), Some(path), "another one at the second asking");
                assert_eq!(due(&self.model.servers[path.number() as usize]), longest_due, "not due, or another longer");
                if self.dice.one_in(8) {
                    self.set.on_path_error(self.now, path, PathError::NoBuffers);
                    self.model.on_error(self.now, path.number(), false);
                } else {
                    self.set.on_transmitted(self.now, path, Sent::Probe);
                    self.model.servers[path.number() as usize].transmissions += 1;
                    self.model.on_probe(self.now, path.number());
                    self.tally.probes += 1;
                }
            }
        }
    }

    /// Every server that lives is asked once, then none.
    fn whole_round(&mut self) {
        let (mut tried, mut order) = (Paths::NONE, Vec::new());
        while let Choice::Ask(path) = self.choose(tried) {
            tried = tried.with(path);
            order.push(path.number());
        }
        let asked: BTreeSet<u32> = order.iter().copied().collect();
        assert_eq!(asked.into_iter().collect::<Vec<_>>(), self.model.live());
        self.tally.rounds += 1;
    }

    /// A choice, held against what the settings promise.
    fn choose(&mut self, tried: Paths) -> Choice {
        let live = self.model.live();
        let left: Vec<u32> = live.iter().copied().filter(|&it| !tried.contains(PathIndex::new(it))).collect();
        let last = self.choices.iter().rev().find_map(|it| if let Choice::Ask(path) = it { Some(*path) } else { None });
        let choice = self.set.choose(self.now, tried);
        self.choices.push(choice);
        self.tally.choices += 1;
        match choice {
            Choice::Park => {
                assert!(live.is_empty(), "parked while {live:?} live");
                self.tally.parked += 1;
            }
            Choice::TriedAll => {
                assert!(!live.is_empty() && left.is_empty(), "{left:?} of {live:?} are left");
                // If that one is dead, it has moved, and where to is seen later.
                self.stuck = self.stuck.filter(|it| live.contains(it));
            }
            Choice::Ask(path) => {
                let path = path.number();
                assert!(left.contains(&path), "{path} is dead or was tried: {left:?} are left");
                match self.model.drawn.spread {
                    Spread::InOrder => assert_eq!(path, left[0]),
                    Spread::Sticky => self.hold_against_sticky(path, &live, &left),
                    Spread::RoundRobin => {
                        let after = |it: &u32| last.is_some_and(|last| *it > last.number());
                        let next = left.iter().copied().find(after).unwrap_or(left[0]);
                        assert!(last.is_none() || path == next, "{path} after {last:?}, of {left:?}");
                    }
                    _ => self.hold_against_band(path, &left),
                }
            }
        }
        choice
    }

    fn hold_against_sticky(&mut self, path: u32, live: &[u32], left: &[u32]) {
        match self.stuck.filter(|it| live.contains(it)) {
            Some(stuck) => assert!(path == stuck || !left.contains(&stuck), "{path} although {stuck} lives"),
            // It moves at the first choice after that; which one it is shows when none was tried.
            None => self.stuck = (left.len() == live.len()).then_some(path),
        }
    }

    /// With costs from what the set says of its servers; where it keeps silent of a suspect's, there is nothing to compare.
    fn hold_against_band(&self, chosen: u32, left: &[u32]) {
        let floor = self.model.drawn.floor.as_secs_f64();
        let (mut costs, mut best) = (Vec::new(), f64::MAX);
        for &path in left {
            match self.set.health(self.now, PathIndex::new(path)) {
                Health::Good { srtt, rto, loss, .. } => {
                    let wait = floor.max(rto.as_secs_f64()) * loss / (1.0 - loss);
                    let cost = |time: f64| (time + wait) * (1.0 + (loss / 0.2).powi(2));
                    let idle = cost(self.model.servers[path as usize].idle());
                    best = best.min(cost(srtt.as_secs_f64()));
                    costs.push((path, Some(idle)));
                }
                Health::Unknown => costs.push((path, None)),
                _ => return,
            }
        }
        let Spread::Band { factor, slack, .. } = self.model.drawn.spread else { return };
        let limit = (best * factor).max(best + slack.as_secs_f64());
        let outstanding = |path: u32| self.model.servers[path as usize].outstanding;
        for (path, cost) in costs {
            let rounding = 1e-6 + limit * 1e-6;
            let (surely_in, surely_out) =
                cost.map_or((true, false), |it| (it < limit - rounding, it > limit + rounding));
            assert!(path != chosen || !surely_out, "{path} costs {cost:?}, and the best {best}");
            assert!(
                !surely_in || outstanding(path) >= outstanding(chosen),
                "{path} has fewer outstanding than {chosen}"
            );
        }
    }

    fn compare(&self) {
        let (set, model, now) = (&self.set, &self.model, self.now);
        assert_eq!(set.is_all_dead(), model.live().is_empty());
        assert_eq!(set.next_probe(), model.servers.iter().filter_map(|it| it.probe).map(|(due, _)| due).min());
        let mut states = set.states(now);
        for (path, server) in (0..).zip(&model.servers) {
            let state = states.next().unwrap();
            assert_eq!(state.path, PathIndex::new(path));
            assert_eq!(state.health, set.health(now, state.path));
            match (state.health, server.in_a_row()) {
                (Health::Dead { next_probe, .. }, _) => {
                    assert!(model.is_dead(server), "server {path} is taken for dead");
                    assert_eq!(Some(next_probe), server.probe.map(|(due, _)| due), "the probe of server {path}");
                }
                (health, misses) => {
                    assert!(!model.is_dead(server), "server {path} is dead after {misses} misses, not {health:?}");
                    let suspect = if let Health::Suspect { expiries, .. } = health { expiries as usize } else { 0 };
                    assert_eq!(suspect, misses, "server {path}");
                }
            }
            assert_eq!(state.outstanding, server.outstanding, "outstanding at server {path}");
            let counted = (state.transmissions, state.probes, state.replies, state.expiries);
            let replies = server.replies.len() as u64;
            assert_eq!(counted, (server.transmissions, server.probes, replies, server.expiries), "server {path}");
            assert_eq!(set.never_replied(state.path), replies == 0);
            let wait = set.failover_after(now, state.path, ms(700));
            assert!(wait >= model.drawn.floor.min(ms(700)), "another server is asked after {wait:?}");
        }
        assert!(states.next().is_none());
    }

    fn any_open(&mut self) -> Option<usize> {
        (!self.open.is_empty()).then(|| self.dice.index(self.open.len()))
    }

    /// A transmission of a request that is open, or, now and then, one that no one remembers.
    fn any_sent(&mut self) -> Option<(u32, Timestamp)> {
        if self.dice.one_in(6) {
            let path = self.dice.index(self.model.servers.len()) as u32;
            let ago = self.dice.within(0..=ms(2_000).as_nanos() as u64);
            return Some((path, Timestamp::from_nanos(self.now.as_nanos().saturating_sub(ago))));
        }
        let which = self.any_open()?;
        let sent = &self.open[which].sent;
        Some(sent[self.dice.index(sent.len())])
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.choices += other.choices;
        self.rounds += other.rounds;
        self.parked += other.parked;
        self.deaths += other.deaths;
        self.revivals += other.revivals;
        self.releases += other.releases;
        self.probes += other.probes;
        self.excused += other.excused;
    }
}
