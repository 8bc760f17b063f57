//! Many requests in flight to groups of servers that lose, stall and die: what they achieve, and what it costs.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::requester::{Completion, Waited};
use udp_retry::servers::{ServerSettings, Spread};
use udp_retry::sim::{HostId, Outbox, SimNet, SimUnconnected, echo};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{GroupId, Limits, SubmitError};
use udp_retry::transport::{PathIndex, PeerAddress};
use udp_retry::{ConcurrentRequester, RetryPolicy, Seed, transaction_id};

use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_dead_a_slow_and_a_lossy_server_answer_all_but_one_in_a_thousand_soon_and_cost_next_to_nothing() {
    within(5 * MINUTE, || {
        let mut world = World::new(&["delay 20ms", "delay 100ms", "loss 30%; delay 20ms"], ServerSettings::new());
        world.stop(0);
        let run = world.run(REQUESTS, 10 * MS, |_, _| ());
        println!("{run}");
        assert!(run.success() >= 0.999, "{run}");
        assert!(run.percentile(0.99) <= 300 * MS, "{run}");
        assert!(run.cost() <= 1.02, "{run}");
    });
}

#[test]
fn one_of_three_dies_midway_and_within_15_s_no_one_waits_for_it() {
    within(5 * MINUTE, || {
        let mut world = World::new(&["delay 20ms"; 3], ServerSettings::new());
        let died = world.start.after(REQUESTS / 2 * 10 * MS);
        let mut run = world.run(REQUESTS, 10 * MS, move |world, now| {
            if now >= died {
                world.stop(1);
            }
        });
        run.keep(died, died.after(15_000 * MS));
        println!("{run}");
        assert!(run.success() >= 0.999 && run.percentile(0.99) <= 350 * MS, "{run}");
    });
}

#[test]
fn an_outage_of_all_for_10_s_fails_what_it_must_and_adds_no_load() {
    within(5 * MINUTE, || {
        let mut world = World::new(&["delay 20ms"; 3], ServerSettings::new());
        let start = world.start;
        let (dead, back) = (start.after(5_000 * MS), start.after(15_000 * MS));
        // Five seconds of them before it, so that all are known, and more after it than in time.
        let mut run = world.run(2_500, 10 * MS, move |world, now| {
            for server in 0..3 {
                if now >= dead && now < back { world.stop(server) } else { world.start(server) }
            }
        });
        run.keep(dead, dead.after(15_000 * MS));
        println!("{run}");
        assert!(run.failures() <= 610, "{run}");
        assert!(run.cost() <= 1.1, "{run}");
    });
}

#[test]
fn three_equal_servers_bear_67_and_87_percent_of_what_they_can_as_in_turn() {
    for percent in [67, 87] {
        within(5 * MINUTE, move || {
            let run = |settings| {
                let mut world = World::new(&["delay 10ms"; 3], settings);
                // Each works 20 ms on a request: 150 a second, all three.
                world.work(20 * MS);
                world.run(REQUESTS, 1_000 * MS * 100 / (150 * percent), |_, _| ())
            };
            let turns = ServerSettings::new().with_spread(Spread::RoundRobin).unwrap();
            let (band, in_turn) = (run(ServerSettings::new()), run(turns));
            println!("{percent} %: {band}; in turn: {in_turn}");
            assert!(band.failures() == 0, "{percent} %: {band}");
            assert!(band.percentile(0.99) <= in_turn.percentile(0.99) * 13 / 10, "{percent} %: {band}; {in_turn}");
        });
    }
}

#[test]
fn a_fleet_of_fifty_bears_67_and_87_percent_and_answers_as_soon_as_in_turn() {
    for percent in [67, 87] {
        within(5 * MINUTE, move || {
            let run = |settings| {
                let mut world = World::of_clients(50, &["delay 10ms"; 3], settings);
                world.work(20 * MS);
                let mut run = world.run(REQUESTS, 1_000 * MS * 100 / (150 * percent), |_, _| ());
                // Without the first 30 s: fifty clients that know nothing yet begin at once.
                run.keep(world.start.after(30_000 * MS), Timestamp::MAX);
                run
            };
            let turns = ServerSettings::new().with_spread(Spread::RoundRobin).unwrap();
            let (band, in_turn) = (run(ServerSettings::new()), run(turns));
            println!("fleet, {percent} %: {band}; in turn: {in_turn}");
            assert!(band.failures() == 0, "{percent} %: {band}");
            let soon = band.percentile(0.99) <= in_turn.percentile(0.99) * 13 / 10;
            assert!(percent > 67 || soon, "{percent} %: {band}; {in_turn}");
        });
    }
}

/// Without the limit a single client would hold more and more in its window's queue, until each request left too late.
#[test]
fn more_than_servers_can_do_fails_a_quarter_at_most_if_no_more_is_held_than_they_do_before_a_deadline() {
    for clients in [1, 50] {
        within(5 * MINUTE, move || {
            // 150 a second, and 5 s.
            let limits = Limits::default().requests(NonZeroU32::new(500).unwrap());
            let mut world = World::within(limits, clients, &["delay 10ms"; 3], ServerSettings::new());
            world.work(20 * MS);
            let run = world.run(REQUESTS, 1_000 * MS * 100 / (150 * 107), |_, _| ());
            println!("{clients} clients, 107 %: {run}");
            assert!(run.success() >= 0.75, "{clients} clients: {run}");
        });
    }
}

#[test]
fn servers_of_unequal_strength_are_used_by_what_they_can_do() {
    for clients in [1, 50] {
        within(5 * MINUTE, move || {
            let mut world = World::of_clients(clients, &["delay 10ms"; 3], ServerSettings::new());
            // 25, 50 and 100 a second: 80 % of all of it are 140.
            world.work_each(&[40 * MS, 20 * MS, 10 * MS]);
            let run = world.run(REQUESTS, 1_000 * MS / 140, |_, _| ());
            println!("{clients} clients, 1:2:4: {run}");
            assert!(clients > 1 || run.success() >= 0.999, "{run}");
        });
    }
}

#[test]
fn a_client_of_one_request_in_ten_seconds_sends_little_more_probes_included() {
    for (dead, most) in [(false, 1.1), (true, 1.4)] {
        within(5 * MINUTE, move || {
            let mut world = World::new(&["delay 20ms"; 3], ServerSettings::new());
            if dead {
                world.stop(0);
            }
            let run = world.run(REQUESTS / 2, 10_000 * MS, |_, _| ());
            let sent = run.heard as f64 / run.ended.len() as f64;
            println!("one request in 10 s, one dead: {dead}: {run}; {sent:.4} sent in all");
            assert!(run.failures() == 0 && sent <= most, "one dead: {dead}: {run}; {sent:.4}");
        });
    }
}

#[test]
fn paths_of_one_connected_end_are_a_group_as_well() {
    let net = SimNet::new(Seed::new(3));
    let client = net.host(ip(0)).unwrap();
    let servers: Vec<SocketAddr> = (1..=3).map(address).collect();
    for server in &servers {
        net.path(client, net.host(server.ip()).unwrap(), Profile::both("delay 5ms".parse().unwrap())).unwrap();
        net.serve(*server, echo()).unwrap();
    }
    net.stop(servers[0]);
    let end = net.connect_all(client, &servers).unwrap();
    let mut requester = ConcurrentRequester::builder(transaction_id(0..2).stamped()).over(end).unwrap();
    let paths = (0..3).map(PathIndex::new);
    let group = requester.add_group(paths, ServerSettings::new()).unwrap();
    for token in 0..1_000 {
        requester.submit_to_group(group, b"..ping", token).unwrap();
    }
    let mut answered = 0;
    while let Some(done) = requester.wait() {
        assert!(done.reply().is_ok(), "{done:?}");
        assert_ne!(done.peer().number(), 0);
        answered += 1;
    }
    assert_eq!((answered, requester.in_flight()), (1_000, 0));
    let states: Vec<_> = requester.server_states(group).collect();
    assert!(states.iter().all(|state| state.outstanding == 0), "{states:?}");
}

/// Requests that wait at a server at most; what comes on top is lost.
const QUEUE: u32 = 100;

/// Fewer would not show what a queue comes to.
const REQUESTS: u32 = 100_000;

/// A client, and servers of which each has a path of its own.
struct World {
    net: SimNet,
    requester: ConcurrentRequester<SimUnconnected>,
    /// One for each client, as each knows of the servers what it has met itself.
    groups: Vec<GroupId>,
    servers: Vec<Server>,
    start: Timestamp,
}

struct Server {
    address: SocketAddr,
    is_up: bool,
    /// On one request.
    work: Duration,
    /// When it has done what it has to do.
    busy: Rc<Cell<Timestamp>>,
    heard: Rc<Cell<u64>>,
}

/// What became of the requests: when each began, how long it took, and what it sent; `None` where it failed.
struct Run {
    ended: Vec<(Timestamp, Option<Duration>, u32)>,
    heard: u64,
}

impl World {
    fn new(paths: &[&str], settings: ServerSettings) -> Self {
        Self::of_clients(1, paths, settings)
    }

    fn of_clients(clients: u32, paths: &[&str], settings: ServerSettings) -> Self {
        Self::within(Limits::default(), clients, paths, settings)
    }

    fn within(limits: Limits, clients: u32, paths: &[&str], settings: ServerSettings) -> Self {
        let net = SimNet::new(Seed::new(17));
        let client: HostId = net.host(ip(0)).unwrap();
        let mut servers = Vec::new();
        for (number, path) in (1..).zip(paths) {
            let address = address(number);
            net.path(client, net.host(address.ip()).unwrap(), Profile::both(path.parse().unwrap())).unwrap();
            let (busy, heard) = (Rc::new(Cell::new(Timestamp::ZERO)), Rc::new(Cell::new(0)));
            servers.push(Server { address, is_up: false, work: Duration::ZERO, busy, heard });
        }
        let socket = net.bind(client, SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).unwrap();
        let builder = ConcurrentRequester::builder(transaction_id(0..8).stamped());
        // What waits inside is the clients' own, who have no window in common.
        let window = limits.window(NonZeroU32::new(if clients > 1 { 10_000 } else { 64 }).unwrap());
        let builder = builder.policy(RetryPolicy::default()).deadline(5_000 * MS).limits(window);
        let mut requester = builder.over(socket).unwrap();
        let addresses = || servers.iter().map(|server| server.address);
        let groups = (0..clients).map(|_| requester.add_group(addresses(), settings).unwrap()).collect();
        let start = net.now();
        let mut world = Self { net, requester, groups, servers, start };
        (0..world.servers.len()).for_each(|server| world.start(server));
        world
    }

    fn work(&mut self, work: Duration) {
        self.work_each(&vec![work; self.servers.len()]);
    }

    fn work_each(&mut self, works: &[Duration]) {
        for (number, work) in works.iter().enumerate() {
            self.stop(number);
            self.servers[number].work = *work;
            self.start(number);
        }
    }

    fn start(&mut self, number: usize) {
        let server = &mut self.servers[number];
        if std::mem::replace(&mut server.is_up, true) {
            return;
        }
        self.net.stop(server.address);
        let (busy, heard, work) = (server.busy.clone(), server.heard.clone(), server.work);
        let answer = move |now: Timestamp, from: SocketAddr, datagram: &[u8], replies: &mut Outbox<'_>| {
            heard.set(heard.get() + 1);
            if busy.get().since(now) > QUEUE * work {
                return;
            }
            busy.set(busy.get().max(now).after(work));
            replies.send_after(busy.get().since(now), from, datagram);
        };
        self.net.serve(server.address, answer).unwrap();
    }

    /// It is deaf from now on.
    fn stop(&mut self, number: usize) {
        let server = &mut self.servers[number];
        if std::mem::replace(&mut server.is_up, false) {
            self.net.stop(server.address);
            let heard = server.heard.clone();
            self.net.serve(server.address, move |_, _, _, _| heard.set(heard.get() + 1)).unwrap();
        }
    }

    /// One request each `interval` on average, at moments that do not depend on each other, and what happens at each to the servers.
    fn run(&mut self, requests: u32, interval: Duration, mut happens: impl FnMut(&mut Self, Timestamp)) -> Run {
        let mut run = Run { ended: Vec::new(), heard: 0 };
        let mut began = Vec::new();
        let (mut at, draws) = (self.start, Seed::new(5));
        for number in 0..requests {
            let uniform = (draws.draw(number.into()) >> 11) as f64 / (1_u64 << 53) as f64;
            at = at.after(interval.mul_f64(-(1.0 - uniform).ln()));
            while let Waited::Completion(done) = self.requester.wait_until(at) {
                run.note(&began, &done);
            }
            happens(self, at);
            began.push(self.net.now());
            let bytes = [&[0; 8][..], &number.to_be_bytes()].concat();
            let client = draws.derive(1).draw(number.into()) % self.groups.len() as u64;
            match self.requester.submit_to_group(self.groups[client as usize], bytes, number.into()) {
                Ok(_handle) => {}
                // It was refused at once, and sent nothing.
                Err(SubmitError::Full) => run.ended.push((self.net.now(), None, 0)),
                Err(error) => panic!("{error}"),
            }
        }
        while let Some(done) = self.requester.wait() {
            run.note(&began, &done);
        }
        assert_eq!(run.ended.len(), requests as usize);
        run.heard = self.servers.iter().map(|server| server.heard.get()).sum();
        let left = |&group: &GroupId| self.requester.server_states(group).map(|state| state.outstanding).sum::<u32>();
        let left: u32 = self.groups.iter().map(left).sum();
        assert_eq!((left, self.requester.in_flight()), (0, 0));
        run
    }
}

impl Run {
    fn note<P: PeerAddress>(&mut self, began: &[Timestamp], done: &Completion<'_, P>) {
        let began = began[usize::try_from(done.token()).unwrap()];
        let took = done.reply().is_ok().then(|| done.elapsed());
        self.ended.push((began, took, done.transmissions()));
    }

    /// Only those that began in this time.
    fn keep(&mut self, from: Timestamp, until: Timestamp) {
        self.ended.retain(|&(began, ..)| began >= from && began < until);
    }

    fn failures(&self) -> usize {
        self.ended.iter().filter(|(_, took, _)| took.is_none()).count()
    }

    fn success(&self) -> f64 {
        1.0 - self.failures() as f64 / self.ended.len() as f64
    }

    /// Transmissions a request.
    fn cost(&self) -> f64 {
        self.ended.iter().map(|&(_, _, sent)| f64::from(sent)).sum::<f64>() / self.ended.len() as f64
    }

    fn percentile(&self, share: f64) -> Duration {
        let mut took: Vec<Duration> = self.ended.iter().filter_map(|&(_, took, _)| took).collect();
        took.sort_unstable();
        took[((took.len() - 1) as f64 * share) as usize]
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, late] = [0.5, 0.99].map(|share| self.percentile(share));
        let (all, failed, cost) = (self.ended.len(), self.failures(), self.cost());
        write!(f, "{failed} of {all} failed, p50 {median:?}, p99 {late:?}, {cost:.4} transmissions a request")
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last + 1))
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::new(ip(number), 1060)
}
