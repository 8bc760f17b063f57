//! Hundreds of requests at a time to groups that share members, with small windows: what must hold whatever happens.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use udp_retry::entropy::IdSource;
use udp_retry::policy::Backoff;
use udp_retry::servers::{Health, ServerSet, ServerSettings, Spread};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Arrived, Finished, GroupId, Handle, InFlight, Limits, PeerId};
use udp_retry::transport::{PathError, PathIndex};
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::dice::Dice;
use super::matcher::{Kinds, REPLY, SLOW, STOP, answer};
use super::watchdog::{MINUTE, within};
use super::{CURRENT, Replay, START, ms};

#[test]
fn in_any_world_of_groups_nothing_is_exceeded_and_nothing_is_left() {
    within(2 * MINUTE, || {
        let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
        let (first, worlds) = match number("UDP_RETRY_WORLD") {
            Some(world) => (world, 1),
            None => (0, number("UDP_RETRY_WORLDS").unwrap_or(1_000)),
        };
        let (mut met, _replay) = (Met::default(), Replay("worlds"));
        for world in first..first + worlds {
            CURRENT.store(world, Ordering::Relaxed);
            World::new(world).run(&mut met);
        }
        println!("{met:?}");
        let Met { replies, failures, queued, copies, parked, full } = met;
        let least = [replies, failures, queued, copies, parked, full].into_iter().min();
        assert!(worlds < 1_000 || least > Some(500), "too little happens to prove anything: {met:?}");
    });
}

#[derive(Clone, Copy, Default, Debug)]
struct Met {
    replies: u64,
    failures: u64,
    /// Waited for a place.
    queued: u64,
    /// Went to a further member.
    copies: u64,
    parked: u64,
    full: u64,
}

struct World {
    engine: InFlight<u32, Kinds>,
    members: Vec<PeerId>,
    groups: Vec<Group>,
    window: usize,
    most: usize,
    open: BTreeMap<u64, Open>,
    /// Of whom someone may still answer: by address, what it received.
    received: Vec<(u32, Vec<u8>)>,
    is_stamped: bool,
    tokens: u64,
    /// Servers that answer.
    up: Vec<bool>,
    dice: Dice,
    now: Timestamp,
}

struct Group {
    id: GroupId,
    /// Addresses by path.
    members: Vec<u32>,
    budget: RetryBudget,
    started: u64,
    sent: u64,
    tokens: u32,
}

struct Open {
    handle: Handle,
    group: Option<usize>,
    /// Addresses asked, and with which bytes.
    asked: Vec<(u32, Vec<u8>)>,
    peer: Option<u32>,
    /// A server is working on it: that one is asked again, whatever it is taken for.
    is_held: bool,
}

impl World {
    fn new(number: u64) -> Self {
        let mut dice = Dice::new(number);
        let is_stamped = dice.one_in(2);
        let width = dice.pick(&[2, 4, 8]);
        let matcher = if is_stamped { Kinds::stamped(width) } else { Kinds::own(width) };
        let (window, most) = (dice.within(1..=6) as u32, dice.pick(&[20, 60, 1_000]));
        let limits = Limits::default().window(window.try_into().unwrap()).requests(most.try_into().unwrap());
        let limits = limits.rest(ms(0), ms(0));
        let policy = Backoff::constant(ms(dice.within(50..=400))).unwrap();
        let policy = RetryPolicy::new(policy).with_max_transmissions(dice.within(1..=4) as u32).unwrap();
        let ids = is_stamped.then(|| IdSource::from_seed(Seed::new(number)));
        let mut engine = InFlight::new(policy, matcher, limits, Seed::new(number), ids);
        let count = dice.within(2..=5) as u32;
        let members: Vec<PeerId> = (0..count).map(|n| engine.add_peer(n, RetryBudget::unlimited(), None)).collect();
        let mut groups = Vec::new();
        for group in 0..dice.within(1..=2) {
            let of: Vec<u32> = (0..count).filter(|_| group == 0 || dice.one_in(2)).collect();
            let of = if of.is_empty() { vec![0] } else { of };
            let tokens = dice.pick(&[0, 3, 1_000]);
            let budget = RetryBudget::new(0.0, tokens, tokens).unwrap();
            let set = ServerSet::new(of.len(), settings(&mut dice), Seed::new(number + group)).unwrap();
            let peers: Vec<PeerId> = of.iter().map(|&n| members[n as usize]).collect();
            let id = engine.add_group(&peers, set, budget.clone()).unwrap();
            groups.push(Group { id, members: of, budget, started: 0, sent: 0, tokens });
        }
        let up = (0..count).map(|_| !dice.one_in(3)).collect();
        let (window, most) = (window as usize, most as usize);
        let (open, received) = (BTreeMap::new(), Vec::new());
        Self { engine, members, groups, window, most, open, received, is_stamped, tokens: 0, up, dice, now: START }
    }

    fn run(mut self, met: &mut Met) {
        for turn in 0.. {
            assert!(turn < 20_000, "some are forgotten: {:?}", self.open.keys());
            if self.tokens < 150 {
                for _ in 0..self.dice.within(0..=8) {
                    self.submit(met);
                }
            } else if self.open.is_empty() {
                break;
            }
            self.transmit(met);
            self.check();
            match self.dice.within(0..=5) {
                0..=2 => (0..self.dice.within(0..=6)).for_each(|_| self.receive(met)),
                3 => self.report_an_error(),
                4 if self.dice.one_in(5) => self.cancel(),
                _ => {}
            }
            self.check();
            self.let_time_pass(met);
            if self.dice.one_in(30) {
                let server = self.dice.index(self.up.len());
                self.up[server] = !self.up[server];
            }
        }
        self.check();
        for &member in &self.members {
            assert_eq!(self.engine.on_wire(member), 0, "places that are left");
        }
        for group in &self.groups {
            let states: Vec<_> = self.engine.servers(group.id).unwrap().states(self.now).collect();
            assert!(states.iter().all(|state| state.outstanding == 0), "{states:?}");
        }
        assert_eq!((self.engine.len(), self.engine.available()), (0, self.most), "slots that are left");
        assert_eq!((self.engine.next_deadline(), self.engine.transmits().count()), (None, 0));
    }

    fn submit(&mut self, met: &mut Met) {
        let token = self.tokens;
        let bytes = [&(token as u16).to_be_bytes()[..], &[0; 6], &token.to_be_bytes()].concat();
        let group = (!self.dice.one_in(4)).then(|| self.dice.index(self.groups.len()));
        let peer = group.is_none().then(|| self.dice.index(self.members.len()));
        let available = self.engine.available();
        let submitted = match (group, peer) {
            (Some(group), _) => self.engine.submit(self.now, self.groups[group].id, &bytes, token),
            (None, peer) => self.engine.submit(self.now, self.members[peer.unwrap_or_default()], &bytes, token),
        };
        let Ok(handle) = submitted else {
            assert_eq!(available, 0, "{submitted:?}");
            met.full += 1;
            return;
        };
        assert!(available > 0);
        self.tokens += 1;
        if let Some(group) = group {
            self.groups[group].started += 1;
            let group = &self.groups[group];
            let is_full = |&member: &u32| self.engine.on_wire(self.members[member as usize]) >= self.window;
            met.queued += u64::from(group.members.iter().all(is_full));
            met.parked += u64::from(self.engine.servers(group.id).unwrap().is_all_dead());
        }
        let peer = peer.map(|peer| peer as u32);
        self.open.insert(token, Open { handle, group, asked: Vec::new(), peer, is_held: false });
    }

    fn transmit(&mut self, met: &mut Met) {
        for _ in 0..500 {
            let Some(next) = self.engine.transmits().next() else { return };
            let (handle, to, datagram) = (next.handle, next.to, next.datagram.to_vec());
            if self.dice.one_in(60) {
                self.engine.on_not_transmitted(self.now, PathError::Other(5));
                continue;
            }
            let token = u64::from_be_bytes(datagram[8..16].try_into().unwrap());
            let open = self.open.get_mut(&token).expect("a request that has ended is not sent");
            assert_eq!(open.handle, handle);
            if let Some(peer) = open.peer {
                assert_eq!(peer, to);
            }
            let id = |bytes: &[u8]| bytes[..8].to_vec();
            match open.asked.iter().find(|(address, _)| *address == to) {
                Some((_, bytes)) => assert_eq!(bytes, &datagram, "the same peer gets the same bytes"),
                None => {
                    let is_other = open.asked.iter().all(|(_, bytes)| id(bytes) != id(&datagram));
                    assert!(open.asked.is_empty() || is_other == self.is_stamped, "an id of its own at each");
                    met.copies += u64::from(!open.asked.is_empty());
                    open.asked.push((to, datagram.clone()));
                }
            }
            let probes = open.group.map(|group| self.probes(group, to));
            let open = &self.open[&token];
            let was_dead = !open.is_held && open.group.is_some_and(|group| self.is_dead(group, to));
            let group = open.group;
            self.engine.on_transmitted(self.now, 1);
            if let Some(group) = group {
                let is_probe = probes.is_some_and(|before| self.probes(group, to) > before);
                assert!(is_probe || !was_dead, "a dead server is asked");
                self.groups[group].sent += u64::from(!is_probe);
            }
            if self.up[to as usize] && !self.dice.one_in(10) {
                self.received.push((to, datagram));
            }
        }
        panic!("it is never done with sending");
    }

    fn path_of(&self, group: usize, address: u32) -> PathIndex {
        let path = self.groups[group].members.iter().position(|&member| member == address).unwrap();
        PathIndex::new(path as u32)
    }

    fn is_dead(&self, group: usize, address: u32) -> bool {
        let set = self.engine.servers(self.groups[group].id).unwrap();
        matches!(set.health(self.now, self.path_of(group, address)), Health::Dead { .. })
    }

    fn probes(&self, group: usize, address: u32) -> u64 {
        let path = self.path_of(group, address);
        let set = self.engine.servers(self.groups[group].id).unwrap();
        set.states(self.now).find(|state| state.path == path).unwrap().probes
    }

    fn receive(&mut self, met: &mut Met) {
        if self.received.is_empty() {
            return;
        }
        let place = self.dice.index(self.received.len());
        let (from, datagram) = self.received.swap_remove(place);
        let token = u64::from_be_bytes(datagram[8..16].try_into().unwrap());
        let is_open = self.open.contains_key(&token);
        let kind = if self.dice.one_in(8) { self.dice.pick(&[STOP, SLOW]) } else { REPLY };
        let reply = answer(&datagram, kind);
        match self.engine.on_datagram(self.now, from, &reply, reply.len()) {
            Arrived::Reply(finished) => {
                assert_eq!((finished.token, kind, finished.peer), (token, REPLY, self.members[from as usize]));
                met.replies += 1;
                self.end(&finished);
            }
            Arrived::Provisional(handle) => {
                let open = self.open.get_mut(&token).unwrap();
                assert_eq!(handle, open.handle);
                open.is_held = true;
            }
            Arrived::Stray(_) => assert!(!is_open, "the answer to request {token} from {from} completes nothing"),
            other => panic!("{other:?}: nothing is missing, and there are no envelopes"),
        }
    }

    fn report_an_error(&mut self) {
        let sent: Vec<_> = self.open.values().flat_map(|open| open.asked.clone()).collect();
        if sent.is_empty() {
            return;
        }
        let (from, datagram) = sent[self.dice.index(sent.len())].clone();
        let quoted = if self.dice.one_in(2) { datagram } else { Vec::new() };
        self.engine.on_path_error(self.now, Some(from), PathError::Refused, &quoted);
    }

    fn cancel(&mut self) {
        let Some(handle) = self.open.values().next().map(|open| open.handle) else { return };
        if let Some(finished) = self.engine.cancel(self.now, handle) {
            self.end(&finished);
        }
    }

    fn let_time_pass(&mut self, met: &mut Met) {
        let due = self.engine.next_deadline().unwrap_or(self.now).max(self.now);
        self.now = match self.dice.within(0..=3) {
            0 => self.now,
            1 => self.now.after(due.since(self.now) / 2),
            _ => due,
        };
        if self.dice.one_in(10) {
            self.now = self.now.after(ms(self.dice.within(0..=500)));
        }
        self.engine.on_time_up(self.now);
        while let Some(finished) = self.engine.next_finished() {
            met.failures += 1;
            self.end(&finished);
        }
    }

    fn end(&mut self, finished: &Finished) {
        let open = self.open.remove(&finished.token).expect("it ends once");
        assert_eq!(finished.handle, open.handle);
        assert!(self.engine.request(open.handle).is_none());
        if open.group.is_some() && finished.failure.is_some() {
            let reported: u32 = finished.paths().iter().map(|report| report.transmissions).sum();
            assert_eq!(reported, finished.transmissions, "{finished:?}");
        }
    }

    fn check(&mut self) {
        let copies: usize = self.open.values().map(|open| open.asked.len().saturating_sub(1)).sum();
        let mut beyond = 0;
        for &member in &self.members {
            beyond += self.engine.on_wire(member).saturating_sub(self.window);
        }
        // One that a parked request has sent its first probe with stands beside the window as well.
        let probing = self.open.values().filter(|open| open.group.is_some()).count();
        assert!(beyond <= copies + probing, "{beyond} beside the windows, and {copies} copies");
        assert!(self.engine.len() >= self.open.len() && self.engine.len() + self.engine.available() <= self.most);
        for group in &self.groups {
            // Each begins for nothing, and leaves for nothing a server that never replied, or that refused it.
            let free = group.started * (2 + group.members.len() as u64);
            let spent = u64::from(group.tokens.saturating_sub(group.budget.balance()));
            assert!(group.sent <= free + spent, "{} of {free} and {spent}", group.sent);
        }
    }
}

fn settings(dice: &mut Dice) -> ServerSettings {
    let spread = dice.pick(&[Spread::BAND, Spread::InOrder, Spread::Sticky, Spread::RoundRobin]);
    let settings = ServerSettings::new().with_spread(spread).unwrap();
    let settings = settings.with_floor(ms(dice.within(10..=200))).unwrap();
    settings.with_dead_after((dice.within(1..=4) as u32).try_into().unwrap())
}
