//! Any facts in any order: what is claimed is what arrived, and every search ends.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::time::Duration;

use udp_retry::pmtu::{
    Granularity, MaxProbes, Odds, PlpmtuSearch, Probe, ProbeId, PtbVerdict, SearchNext, SearchSettings, SearchState,
};
use udp_retry::size::{IpFamily, Plpmtu};
use udp_retry::time::Timestamp;

use crate::dice::Dice;

/// Each of 16 usual sizes may be lost almost often enough and then arrive.
const MOST_BY_DEFAULT: u32 = 300;
/// Whatever the settings.
const MOST_PROBES: u32 = 1_000;

#[test]
fn what_is_claimed_has_arrived_and_every_search_ends_whatever_happens() {
    if let Some(world) = number("UDP_RETRY_WORLD") {
        println!("{:?}", World::new(world).run());
        return;
    }
    let worlds = number("UDP_RETRY_WORLDS").unwrap_or(100_000);
    let mut sum = Tally::default();
    for world in 0..worlds {
        let replay = Replay(world);
        let tally = World::new(world).run();
        std::mem::forget(replay);
        sum.add(tally);
    }
    println!("{sum:?}");
    let rarest = [sum.late, sum.refused, sum.taken, sum.ignored, sum.changes, sum.dones, sum.errors, sum.completes];
    assert!(rarest.into_iter().min() > Some(worlds / 10), "too little happens to prove anything: {sum:?}");
}

struct World {
    dice: Dice,
    settings: SearchSettings,
    /// Whether it searches as by default, or as the RFC does.
    usual: bool,
    search: PlpmtuSearch,
    /// Per cent that each fact happens instead of the others.
    odds: [u64; 4],
    /// Nothing larger leaves the host.
    interface: u16,
    /// Those that were sent since the path last changed, and whether they may arrive still.
    sent: Vec<(ProbeId, Plpmtu)>,
    arrived: Option<Plpmtu>,
    /// Of this search.
    probes: u32,
    tally: Tally,
}

#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    probes: u32,
    longest: u32,
    late: u64,
    refused: u64,
    taken: u64,
    ignored: u64,
    changes: u64,
    dones: u64,
    errors: u64,
    completes: u64,
}

impl World {
    fn new(world: u64) -> Self {
        let mut dice = Dice::new(world);
        let family = dice.pick(&[IpFamily::V4, IpFamily::V6]);
        let (settings, usual) = settings(&mut dice, SearchSettings::new(family));
        let odds = [0, 1, 2, 3].map(|_| dice.pick(&[0, 5, 30, 90]));
        let wide = dice.draw() as u16;
        let interface = dice.pick(&[u16::MAX, u16::MAX, u16::MAX, 1472, 600, 500, wide]);
        Self {
            dice,
            settings,
            usual,
            search: PlpmtuSearch::new(settings),
            odds,
            interface,
            sent: Vec::new(),
            arrived: None,
            probes: 0,
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> Tally {
        let mut now = Timestamp::from_nanos(self.dice.within(0..=1 << 40));
        for _ in 0..self.dice.within(1..=3) {
            self.probes = 0;
            loop {
                match self.search.next(now) {
                    SearchNext::Send(probe) => self.on_probe(now, probe),
                    SearchNext::Await(_) => panic!("its fate was reported"),
                    SearchNext::WaitUntil(at) => {
                        assert!(at > now);
                        self.ended(now);
                        now = at;
                        break;
                    }
                    SearchNext::Done => {
                        self.tally.dones += 1;
                        assert_eq!(self.search.state(), SearchState::Error);
                        self.ended(now);
                        break;
                    }
                }
            }
            if self.dice.one_in(2) {
                self.change_path();
            }
        }
        self.tally
    }

    fn on_probe(&mut self, now: Timestamp, probe: Probe) {
        self.probes += 1;
        let Self { settings, search, .. } = self;
        assert!(settings.min() <= probe.len && probe.len <= settings.max());
        assert_eq!(probe.control, search.is_confirmed() && probe.len <= search.plpmtu());
        assert_eq!(search.next(now), SearchNext::Send(probe), "asking again changes nothing");
        if probe.len > Plpmtu::new(self.interface) {
            let any = self.dice.draw() as u16;
            let limit = self.dice.pick(&[None, Some(self.interface), Some(any), Some(probe.len.bytes() as u16 - 1)]);
            self.search.on_probe_refused(probe.id, limit.map(Plpmtu::new));
            self.tally.refused += 1;
            return self.check();
        }
        self.sent.push((probe.id, probe.len));
        self.search.on_probe_sent(probe.id);
        assert_eq!(self.search.next(now), SearchNext::Await(probe.id), "one at a time");
        let happens = self.odds.map(|odds| self.dice.within(1..=100) <= odds);
        let [late, report, refused, lost] = happens;
        if late {
            self.late();
        }
        if report {
            self.report();
        }
        // A report may have settled it.
        match self.search.next(now) {
            SearchNext::Await(id) => assert_eq!(id, probe.id),
            SearchNext::Send(next) => return self.on_probe(now, next),
            _ => return,
        }
        if refused {
            let limit = self.dice.draw() as u16;
            self.search.on_probe_refused(probe.id, self.dice.one_in(2).then_some(Plpmtu::new(limit)));
            self.tally.refused += 1;
        } else if lost {
            self.search.on_probe_lost(probe.id);
        } else {
            self.acknowledge(probe.id, probe.len);
        }
        self.check();
    }

    /// Any of those sent, or one that was not.
    fn any(&mut self) -> (ProbeId, Option<Plpmtu>) {
        if self.dice.one_in(8) {
            let id = ProbeId::new(self.dice.draw() as u32);
            return (id, self.sent.iter().find(|it| it.0 == id).map(|it| it.1));
        }
        let recent = self.sent.len().min(24) as u64;
        let back = self.dice.within(1..=recent) as usize;
        let (id, len) = self.sent[self.sent.len() - back];
        (id, Some(len))
    }

    fn late(&mut self) {
        let (id, len) = self.any();
        let before = (self.search.plpmtu(), self.search.is_confirmed());
        match len {
            Some(len) => self.acknowledge(id, len),
            None => self.search.on_probe_acked(id),
        }
        self.tally.late += u64::from(before != (self.search.plpmtu(), self.search.is_confirmed()));
        self.check();
    }

    fn acknowledge(&mut self, id: ProbeId, len: Plpmtu) {
        let before = self.search.is_confirmed().then(|| self.search.plpmtu());
        self.arrived = self.arrived.max(Some(len));
        self.search.on_probe_acked(id);
        assert!(self.search.is_confirmed() >= before.is_some() && Some(self.search.plpmtu()) >= before);
    }

    fn report(&mut self) {
        let (id, len) = self.any();
        let any = self.dice.draw() as u16;
        let (confirmed, len) = (self.search.plpmtu(), len.unwrap_or(self.settings.max()));
        let between = (confirmed.bytes() as u64).min(len.bytes() as u64)..=len.bytes() as u64;
        let between = self.dice.within(between) as u16;
        let limit = self.dice.pick(&[any, any % 1_600, between, between, confirmed.bytes() as u16, 0]);
        let before = self.search.is_confirmed().then(|| self.search.plpmtu());
        match self.search.on_reported(id, Plpmtu::new(limit)) {
            PtbVerdict::Taken => self.tally.taken += 1,
            _ => self.tally.ignored += 1,
        }
        assert_eq!(self.search.is_confirmed().then(|| self.search.plpmtu()), before, "a report moved it");
        self.check();
    }

    fn change_path(&mut self) {
        if self.dice.one_in(2) {
            self.search.on_path_changed();
        } else {
            self.search.on_black_hole();
        }
        self.tally.changes += 1;
        let old = std::mem::take(&mut self.sent);
        self.arrived = None;
        self.check();
        for (id, _) in old.into_iter().rev().take(20) {
            self.search.on_probe_acked(id);
        }
        assert!(!self.search.is_confirmed(), "by what was sent on the path before");
    }

    fn check(&self) {
        let (search, settings) = (&self.search, &self.settings);
        let size = search.plpmtu();
        assert!(settings.min() <= size && size <= settings.max());
        if search.is_confirmed() {
            assert!(Some(size) <= self.arrived, "{size} of {:?}", self.arrived);
        } else {
            assert!(size <= settings.base());
        }
        let is_below = !search.is_confirmed() || size < settings.base();
        match search.state() {
            SearchState::Base => assert!(!search.is_confirmed()),
            SearchState::Error => assert!(is_below),
            SearchState::Searching | SearchState::Complete => assert!(!is_below),
        }
    }

    fn ended(&mut self, now: Timestamp) {
        let probes = self.probes;
        assert!(probes <= if self.usual { MOST_BY_DEFAULT } else { MOST_PROBES }, "{probes} probes");
        let before = self.search.next(now);
        assert_eq!(self.search.next(now), before);
        match self.search.state() {
            SearchState::Error => self.tally.errors += 1,
            SearchState::Complete => self.tally.completes += 1,
            other => panic!("ended, but is {other:?}"),
        }
        self.tally.probes += probes;
        if self.usual {
            self.tally.longest = self.tally.longest.max(probes);
        }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.probes = self.probes.saturating_add(other.probes);
        self.longest = self.longest.max(other.longest);
        self.late += other.late;
        self.refused += other.refused;
        self.taken += other.taken;
        self.ignored += other.ignored;
        self.changes += other.changes;
        self.dones += other.dones;
        self.errors += other.errors;
        self.completes += other.completes;
    }
}

fn settings(dice: &mut Dice, settings: SearchSettings) -> (SearchSettings, bool) {
    let most = settings.max().bytes() as u64;
    let mut sizes = [0, 1, 2].map(|_| Plpmtu::new(dice.within(1..=most) as u16));
    sizes.sort_unstable();
    let defaults = [settings.min(), settings.base(), settings.max()];
    let [min, base, max] = if dice.one_in(4) { sizes } else { defaults };
    let fixed = NonZeroU8::new(dice.within(1..=255) as u8).unwrap();
    let times = NonZeroU32::new(dice.draw() as u32 | 1).unwrap();
    let step = NonZeroU16::new(dice.pick(&[1, 8, 500])).unwrap();
    let three = MaxProbes::Fixed(NonZeroU8::new(3).unwrap());
    let odds = MaxProbes::Odds(Odds::THOUSANDTH);
    let usual = dice.one_in(2);
    let (granularity, max_probes) = match usual {
        true => (Granularity::UsualSizes, dice.pick(&[odds, three])),
        false => (
            dice.pick(&[Granularity::UsualSizes, Granularity::Bytes(step)]),
            dice.pick(&[odds, three, MaxProbes::Odds(Odds::one_in(times)), MaxProbes::Fixed(fixed)]),
        ),
    };
    let settings = settings.with_sizes(min, base, max).unwrap().with_granularity(granularity);
    let settings = settings.with_raise_after(Duration::from_secs(dice.within(1..=600))).unwrap();
    (settings.with_max_probes(max_probes), usual)
}

/// Says which world failed.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        println!("the world of number {0} failed: UDP_RETRY_WORLD={0} runs it alone", self.0);
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|it| it.parse().unwrap_or_else(|_| panic!("{variable}={it}: a number")))
}
