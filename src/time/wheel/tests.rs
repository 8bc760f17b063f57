//! The wheel against a list of all that waits, and its promises one by one.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::*;

const HOUR: Ns = 3_600_000_000_000;
/// What the top level spans, less its present bucket.
const REACH: Ns = 63 << 47;

impl Links for Vec<Link> {
    fn link(&mut self, item: u32) -> Option<&mut Link> {
        self.get_mut(usize::try_from(item).ok()?)
    }
}

fn at(ns: Ns) -> Timestamp {
    Timestamp::from_nanos(ns)
}

/// A wheel and its items, and when each is due: what an owner keeps.
struct Owner {
    wheel: Wheel,
    links: Vec<Link>,
    due: Vec<Ns>,
}

impl Owner {
    fn new(items: usize, now: Ns) -> Self {
        let mut owner = Self { wheel: Wheel::new(), links: vec![Link::FREE; items], due: vec![0; items] };
        assert_eq!(owner.wheel.pop(&mut owner.links, at(now)), None);
        owner
    }

    fn insert(&mut self, item: u32, due: Ns) {
        self.due[item as usize] = due;
        self.wheel.insert(&mut self.links, item, at(due));
    }

    /// As an owner does who has an item stay where it may; whether it stayed.
    fn put_in(&mut self, item: u32, due: Ns) -> bool {
        self.due[item as usize] = due;
        let (list, Link { next, prev, list: before }) = (self.wheel.list_of(at(due)), self.links[item as usize]);
        self.wheel.put_in(&mut self.links, item, list);
        let link = self.links[item as usize];
        assert_eq!({ link.list }, list);
        let stays = before == list;
        assert!(!stays || ({ link.next }, { link.prev }) == (next, prev), "{item} was moved for nothing");
        stays
    }

    fn remove(&mut self, item: u32) {
        self.wheel.remove(&mut self.links, item);
    }

    /// The next that is due, with how many came out before they were.
    fn pop_due(&mut self, now: Ns) -> (Option<u32>, u32) {
        let mut early = 0;
        while let Some(item) = self.wheel.pop(&mut self.links, at(now)) {
            assert!(!self.links[item as usize].is_linked());
            let due = self.due[item as usize];
            if due <= now {
                return (Some(item), early);
            }
            early += 1;
            assert!(early < 100_000, "{item}, due at {due}, comes again and again at {now}");
            self.insert(item, due);
        }
        (None, early)
    }

    fn drain(&mut self, now: Ns) -> Vec<u32> {
        std::iter::from_fn(|| self.pop_due(now).0).take(100_000).collect()
    }

    fn next_deadline(&self) -> Option<Ns> {
        self.wheel.next_deadline().map(Timestamp::as_nanos)
    }
}

#[test]
fn what_is_due_within_a_tick_comes_with_the_next_one_and_not_a_nanosecond_before() {
    for (due, comes) in [(1, TICK), (TICK - 1, TICK), (TICK, TICK), (TICK + 1, 2 * TICK), (63 * TICK, 63 * TICK)] {
        let mut owner = Owner::new(1, 0);
        owner.insert(0, due);
        assert_eq!(owner.next_deadline(), Some(comes), "due at {due}");
        assert_eq!(owner.wheel.pop(&mut owner.links, at(comes - 1)), None, "due at {due}");
        assert_eq!(owner.wheel.pop(&mut owner.links, at(comes)), Some(0), "due at {due}");
        assert!(owner.wheel.is_empty());
    }
}

#[test]
fn what_is_due_in_the_past_or_at_the_present_tick_comes_at_once() {
    for now in [0, TICK, 100 * TICK + 5, HOUR, Ns::MAX - 1, Ns::MAX] {
        for due in [0, now / 2, now / TICK * TICK] {
            let mut owner = Owner::new(1, now);
            owner.insert(0, due);
            assert!(owner.next_deadline().is_some_and(|deadline| deadline <= now));
            assert_eq!(owner.wheel.pop(&mut owner.links, at(now)), Some(0), "{due} at {now}");
            assert_eq!(owner.wheel.pop(&mut owner.links, at(now)), None);
        }
    }
}

#[test]
fn what_is_far_ahead_comes_out_first_at_the_start_of_its_bucket() {
    // Now and due, in ticks; the tick of each time that it comes out.
    let table: [(u64, u64, &[u64]); 11] = [
        (0, 63, &[63]),
        (0, 64, &[64]),
        (0, 65, &[64, 65]),
        (63, 65, &[64, 65]),
        (64, 127, &[127]),
        (0, 4095, &[4032, 4095]),
        (0, 4096 + 64 + 1, &[4096, 4160, 4161]),
        (4095, 4097, &[4096, 4097]),
        ((1 << 36) - 1, (1 << 36) + 1, &[1 << 36, (1 << 36) + 1]),
        (0, (1 << 36) - 1, &[63 << 30, (1 << 36) - (1 << 24), (1 << 36) - (1 << 18), (1 << 36) - 4096, (1 << 36) - 64]),
        // Parked, twice.
        (5, 130 << 30, &[63 << 30, 126 << 30, 130 << 30]),
    ];
    for (now, due, comes) in table {
        let mut owner = Owner::new(1, now * TICK);
        owner.insert(0, due * TICK);
        for &tick in comes {
            assert_eq!(owner.next_deadline(), Some(tick * TICK), "{now} to {due}");
            assert_eq!(owner.wheel.pop(&mut owner.links, at(tick * TICK - 1)), None, "{now} to {due}");
            assert_eq!(owner.wheel.pop(&mut owner.links, at(tick * TICK)), Some(0), "{now} to {due}");
            owner.insert(0, due * TICK);
        }
    }
}

#[test]
fn the_last_moment_of_all_comes_when_it_is_named() {
    let mut owner = Owner::new(2, 0);
    owner.insert(0, Ns::MAX);
    owner.insert(1, Ns::MAX - 1);
    // A jump over all the time there is, with two that are parked at every stop: 2^47 ticks in rounds of 63 * 2^30.
    let (none, early) = owner.pop_due(Ns::MAX - TICK);
    assert_eq!(none, None);
    assert!((2 * 2_000..2 * 2_100).contains(&early), "{early}");
    assert_eq!(owner.next_deadline(), Some(Ns::MAX));
    assert!(owner.drain(Ns::MAX - 1).is_empty());
    assert_eq!(owner.drain(Ns::MAX), [0, 1]);
    assert!(owner.wheel.is_empty());
    // Time does not go back, and what is asked for an earlier moment is what is due then.
    owner.insert(0, Ns::MAX);
    assert!(owner.drain(0).is_empty());
    assert_eq!(owner.next_deadline(), Some(Ns::MAX));
    assert_eq!(owner.drain(Ns::MAX), [0]);
}

#[test]
fn an_empty_wheel_jumps_anywhere_and_is_precise_there() {
    for now in [1, HOUR, 1 << 53, (1 << 53) - 1, u64::MAX / 3, Ns::MAX - HOUR] {
        let mut owner = Owner::new(1, now);
        owner.insert(0, now + 1_000 * TICK);
        while owner.links[0].is_linked() {
            let deadline = owner.next_deadline().unwrap();
            assert_eq!(deadline % TICK, 0);
            let was_due = !owner.drain(deadline).is_empty();
            let due = (now + 1_000 * TICK).next_multiple_of(TICK);
            assert!(if was_due { deadline == due } else { deadline < due }, "{now}: {deadline}");
        }
    }
}

#[test]
fn items_of_one_tick_keep_their_order_down_all_levels() {
    let due = (1 << 53) - HOUR;
    let mut owner = Owner::new(40, 0);
    // Each is inserted when another level is in reach of the due time.
    for item in 0..40 {
        let now = due - (due >> item);
        assert!(owner.drain(now).is_empty());
        owner.insert(item, due);
    }
    assert_eq!(owner.drain(due + TICK), (0..40).collect::<Vec<_>>());
}

#[test]
fn what_is_inserted_at_the_present_tick_waits_behind_what_came_to_it_from_above() {
    let mut owner = Owner::new(3, 0);
    owner.insert(0, 64 * TICK);
    owner.insert(1, 64 * TICK);
    assert_eq!(owner.pop_due(64 * TICK), (Some(0), 0));
    owner.insert(2, 64 * TICK);
    assert_eq!(owner.drain(64 * TICK), [1, 2]);
}

#[test]
fn first_middle_and_last_leave_a_list_whole() {
    for gone in
        [&[0][..], &[2], &[4], &[0, 1], &[3, 4], &[1, 3], &[4, 0, 2], &[0, 1, 2, 3], &[4, 3, 2, 1], &[1, 2, 3, 0, 4]]
    {
        let mut owner = Owner::new(6, 0);
        (0..5).for_each(|item| owner.insert(item, 7 * TICK));
        gone.iter().for_each(|&item| owner.remove(item));
        gone.iter().for_each(|&item| owner.remove(item));
        assert_eq!(owner.wheel.is_empty(), gone.len() == 5);
        assert_eq!(owner.next_deadline(), (gone.len() < 5).then_some(7 * TICK));
        owner.insert(5, 7 * TICK);
        let left: Vec<_> = (0..6).filter(|item| !gone.contains(item)).collect();
        assert_eq!(owner.drain(7 * TICK), left, "without {gone:?}");
    }
}

#[test]
fn an_item_that_does_not_exist_is_ignored_and_one_lost_with_its_link_holds_up_no_one() {
    let mut owner = Owner::new(3, 0);
    owner.wheel.insert(&mut owner.links, 3, at(5));
    owner.wheel.remove(&mut owner.links, 3);
    assert!(owner.wheel.is_empty());
    (0..3).for_each(|item| owner.insert(item, u64::from(item) * 100 * TICK));
    // The owner breaks its word.
    owner.links[1] = Link::FREE;
    owner.links.truncate(2);
    assert_eq!(owner.drain(1_000 * TICK), [0]);
    assert!(owner.wheel.is_empty());
}

#[test]
fn a_wheel_and_a_link_are_small() {
    assert_eq!(size_of::<Wheel>(), 1592);
    assert_eq!(size_of::<Link>(), 10);
    assert_eq!(size_of::<(Link, u16, u64)>(), 20 + 4);
}

/// Ten thousand random worlds against a list of all that waits.
#[test]
fn the_wheel_does_what_a_sorted_list_does() {
    let only: Option<u64> = option_env!("UDP_RETRY_WORLD").and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..10_000, |seed| seed..seed + 1) {
        let world = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(world.is_ok(), "again: UDP_RETRY_WORLD={seed} when it is compiled");
    }
}

struct World {
    chance: Chance,
    owner: Owner,
    /// When each item that waits is due, and its number among all insertions.
    waiting: BTreeMap<u32, (Ns, u64)>,
    insertions: u64,
    now: Ns,
    /// Whether the list is always asked until `None`, and nothing is ever parked: only then is there an order.
    is_ordered: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let now = match chance.below(4) {
            0 => 0,
            1 => chance.below(HOUR),
            // Shortly before a bucket of some level, or of the next round of all.
            2 => (chance.below(9) << (17 + 6 * chance.below(7))).saturating_sub(chance.below(100 * TICK)),
            _ => chance.below(Ns::MAX),
        };
        let items = 1 + chance.below(30) as usize;
        let owner = Owner::new(items, now);
        Self { is_ordered: chance.below(2) == 0, chance, owner, waiting: BTreeMap::new(), insertions: 0, now }
    }

    fn run(&mut self) {
        for _ in 0..40 {
            match self.chance.below(8) {
                0..4 => self.insert(),
                4 => self.remove(),
                5 => self.advance(),
                6 => self.wait_for_the_deadline(),
                _ if self.is_ordered => self.advance(),
                _ => self.look_a_few_times(),
            }
            self.check_deadline();
        }
        // Whatever is left comes in the end.
        while let Some(deadline) = self.owner.next_deadline() {
            self.now = self.now.max(deadline);
            self.drain();
        }
        assert_eq!(self.waiting, BTreeMap::new());
    }

    fn item(&mut self) -> u32 {
        self.chance.below(self.owner.links.len() as u64) as u32
    }

    fn insert(&mut self) {
        let item = self.item();
        let farthest = if self.is_ordered { REACH - (1 << 47) } else { Ns::MAX };
        let ahead = match self.chance.below(8) {
            0 => 0,
            1 => self.chance.below(TICK),
            2 => TICK * self.chance.below(200),
            3 => self.chance.below(200 * TICK),
            4 => self.chance.below(1 << 30),
            5 => self.chance.below(48 * HOUR),
            6 => self.chance.below(REACH),
            _ => self.chance.below(Ns::MAX),
        };
        let due = match self.chance.below(6) {
            0 => self.now.saturating_sub(ahead),
            // Together with another.
            1 if !self.waiting.is_empty() => *self.waiting.values().map(|(due, _)| due).max().unwrap(),
            _ => self.now.saturating_add(ahead.min(farthest)),
        };
        let stays = match self.chance.below(2) {
            0 => self.owner.put_in(item, due),
            _ => {
                self.owner.insert(item, due);
                false
            }
        };
        let before = self.waiting.get(&item).filter(|_| stays).map(|&(_, insertion)| insertion);
        assert_eq!(before.is_some(), stays);
        self.waiting.insert(item, (due, before.unwrap_or(self.insertions)));
        self.insertions += 1;
    }

    fn remove(&mut self) {
        let item = self.item();
        self.owner.remove(item);
        self.waiting.remove(&item);
    }

    fn advance(&mut self) {
        let ns = match self.chance.below(6) {
            0 => self.chance.below(2 * TICK),
            1 => TICK * self.chance.below(100),
            2 => self.chance.below(1 << 30),
            3 => self.chance.below(HOUR),
            4 => self.chance.below(1 << 54),
            _ => 0,
        };
        self.now = self.now.saturating_add(ns);
        self.drain();
    }

    fn wait_for_the_deadline(&mut self) {
        let Some(deadline) = self.owner.next_deadline() else { return };
        if deadline > self.now {
            self.now = deadline - 1;
            assert_eq!(self.owner.wheel.pop(&mut self.owner.links, at(self.now)), None, "before {deadline}");
            self.now = deadline;
        }
        let waited = self.waiting.len();
        let early = self.drain();
        assert!(early > 0 || self.waiting.len() < waited, "called in vain at {deadline}");
    }

    /// An owner who does something else before it has seen all that is due.
    fn look_a_few_times(&mut self) {
        self.now = self.now.saturating_add(self.chance.below(HOUR));
        for _ in 0..self.chance.below(4) {
            if let (Some(item), _) = self.owner.pop_due(self.now) {
                self.waiting.remove(&item).expect("what comes out has waited");
            }
        }
    }

    /// How many came out before they were due.
    fn drain(&mut self) -> u32 {
        let mut all_early = 0;
        let mut out: Vec<(u64, u64)> = Vec::new();
        let most = self.waiting.len() as u32;
        loop {
            let (item, early) = self.owner.pop_due(self.now);
            all_early += early;
            let Some(item) = item else { break };
            let (due, insertion) = self.waiting.remove(&item).expect("what comes out has waited");
            assert!(due <= self.now);
            out.push((due.div_ceil(TICK), insertion));
        }
        // Down five levels at most, but for those that are parked, which 2^47 ticks allow 2048 times.
        let most = if self.is_ordered { 5 * most } else { 2_100 * most };
        assert!(all_early <= most, "{all_early} early ones");
        for (item, (due, _)) in &self.waiting {
            let comes = due.div_ceil(TICK).checked_mul(TICK).unwrap_or(Ns::MAX);
            assert!(comes > self.now, "{item}, due at {due}, is still there at {}", self.now);
        }
        if self.is_ordered {
            out.sort_by_key(|&(tick, _)| tick);
            assert!(out.is_sorted(), "the order of insertion: {out:?}");
        }
        all_early
    }

    fn check_deadline(&self) {
        let deadline = self.owner.next_deadline();
        assert_eq!(deadline.is_none(), self.waiting.is_empty());
        assert_eq!(self.owner.wheel.is_empty(), self.waiting.is_empty());
        let Some((first, _)) = self.waiting.values().min() else { return };
        let tick = first.div_ceil(TICK);
        let comes = tick.saturating_mul(TICK);
        let deadline = deadline.unwrap();
        assert!(deadline <= comes.max(self.now), "{deadline} is after {comes}");
        assert!(deadline % TICK == 0 || deadline == Ns::MAX);
        // Under the bucket of the present tick it is exact.
        if self.is_ordered && tick / 64 == self.now / TICK / 64 && comes > self.now {
            assert_eq!(deadline, comes);
        }
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
