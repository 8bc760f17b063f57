//! Conditions that change: by themselves, with the same fates everywhere, and by a control, in both directions.

use std::thread;
use std::time::{Duration, Instant};

use udp_retry::fault::{Direction, Fate, Flips, Link, LossySink, Profile, Record};
use udp_retry::proxy::Proxy;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};
use udp_retry::{Impairments, Seed};

use crate::links::recording;
use crate::tools::{MS, Running, Service, ask, client, hear, is_silent, to_server};
use crate::watchdog::{MINUTE, within};

/// Everything changes within half a second, again and again.
const CHANGING: &str = "outage from 130ms for 20ms every 150ms; rate 3mbit queue 20ms; loss 20%; duplicate 10% late 5ms; \
                        at 50ms rate trace { 1,1,2,5,9,10 } queue 3kB; at 70ms delay 3ms ~3ms; at 90ms truncate 30%; \
                        at 100ms rate none; at 110ms loss exactly 1 of 3; at 120ms mtu 200; at 125ms headers 48; \
                        at 140ms corrupt 20% bits 3; at 160ms delay 4ms exponential 2ms correlation 50% unordered; \
                        at 170ms rate 200kbit queue 7 datagrams; at 180ms reorder 10% by 5ms; at 200ms loss p 10% r 30%; \
                        repeat from 40ms every 170ms";

#[test]
fn link_sink_proxy_and_simulated_network_deal_the_same_fates_at_the_same_times() {
    within(MINUTE, || {
        const SEED: Seed = Seed::new(77);
        let profile = Profile::both(spec(CHANGING));
        let (records, observer) = recording();
        let service = Service::echo("127.0.0.1:0");
        let proxy =
            Running::start(Proxy::builder().profile(profile.clone()).seed(SEED).observer(observer), service.address);
        let client = client(proxy.address);
        for n in 0..600_usize {
            client.send(&vec![n as u8; n * 7 % 250]).unwrap();
            thread::sleep(MS / 2);
        }
        proxy.quiet();
        proxy.stop();
        let records: Vec<Record> = records.lock().unwrap().iter().map(|(_, record)| *record).collect();
        for direction in [Direction::ToServer, Direction::ToClient] {
            let own: Vec<_> = records.iter().filter(|record| record.direction == direction).collect();
            assert!(own.len() > 150, "{}", own.len());
            let mut bare = Link::new(profile.direction(direction).clone(), direction.link_seed(SEED, 0));
            let bare: Vec<_> = own.iter().map(|it| bare.transmit(it.at, &vec![0; it.len])).collect();
            assert_eq!(own.iter().map(|record| record.fate).collect::<Vec<_>>(), bare, "{direction:?}");
            let expected: Vec<_> = own.iter().map(|record| relative(&record.fate, record.at)).collect();
            assert_eq!(through_a_sink(&profile, SEED, &own), expected, "{direction:?}");
            #[cfg(feature = "sim")]
            assert_eq!(through_a_network(&profile, SEED, &own), bare, "{direction:?}");
            let stats = bare.iter().filter(|fate| matches!(fate, Fate::Dropped(_))).count();
            assert!(stats > 30 && stats < own.len() - 30, "{stats}");
        }
    });
}

/// What a sink decides whose clock is far from zero when it is made.
fn through_a_sink(profile: &Profile, seed: Seed, records: &[&Record]) -> Vec<Relative> {
    let origin = Timestamp::from_nanos(123_456_789_012);
    let fates = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = fates.clone();
    let clock = Clock { now: origin, arrived: None };
    let mut sink = LossySink::at_client(clock, profile.clone(), seed)
        .observed(move |_, record: &Record| seen.lock().unwrap().push(*record));
    for record in records {
        let now = origin.after(record.at.since(Timestamp::ZERO));
        sink.get_mut().now = now;
        match record.direction {
            Direction::ToServer => drop(sink.send(PathIndex::FIRST, &vec![0; record.len])),
            Direction::ToClient => {
                sink.get_mut().arrived = Some(record.len);
                while matches!(sink.recv(&mut [0; 300], now, now), Incoming::Datagram(_)) {}
            }
        }
    }
    let fates = fates.lock().unwrap();
    fates.iter().map(|record| relative(&record.fate, record.at)).collect()
}

/// The copies, with their delays instead of their times, or why there are none.
type Relative = (Option<Fate>, Vec<(Duration, usize, Flips)>);

fn relative(fate: &Fate, at: Timestamp) -> Relative {
    match fate {
        Fate::Delivered(copies) => {
            (None, copies.iter().map(|copy| (copy.at.since(at), copy.len, copy.flips)).collect())
        }
        other => (Some(*other), Vec::new()),
    }
}

#[cfg(feature = "sim")]
fn through_a_network(profile: &Profile, seed: Seed, records: &[&Record]) -> Vec<Fate> {
    use udp_retry::sim::{Happened, SimNet};

    let net = SimNet::new(seed);
    net.record();
    let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|address| net.host(address.parse().unwrap()).unwrap());
    net.path(one, other, profile.clone()).unwrap();
    let direction = records[0].direction;
    let (from, to) = if direction == Direction::ToServer { (one, "10.0.0.2:7") } else { (other, "10.0.0.1:7") };
    // It takes what comes, so that nothing is refused.
    net.serve(to.parse().unwrap(), |_: Timestamp, _, _: &[u8], _: &mut udp_retry::sim::Outbox| {}).unwrap();
    let mut transport = net.connect(from, to.parse().unwrap()).unwrap();
    for record in records {
        net.run_until(record.at);
        let _ = transport.send(PathIndex::FIRST, &vec![0; record.len]);
    }
    let sent = net.events().into_iter().filter_map(|event| match event.what {
        Happened::Sent { fate, direction: way, .. } if way == direction => Some(fate),
        _ => None,
    });
    sent.collect()
}

#[test]
fn a_rate_that_a_control_raises_leaves_in_the_queue_what_is_really_there() {
    within(MINUTE, || {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let of = |text| {
                let mut profile = Profile::default();
                *profile.direction_mut(direction) = spec(text);
                profile
            };
            let service = Service::echo("127.0.0.1:0");
            let proxy = Running::start(Proxy::builder().profile(of("rate 8kbit queue 64kB")), service.address);
            let client = client(proxy.address);
            let received = |count: u64| {
                proxy.until(|stats| {
                    let stats = if direction == Direction::ToServer { stats.to_server } else { stats.to_client };
                    stats.fates.received == count
                });
            };
            for n in 0..10 {
                client.send(&[n; 972]).unwrap();
            }
            received(10);
            proxy.control.set_profile(of("rate 10gbit queue 64kB"));
            for n in 10..50 {
                client.send(&[n; 972]).unwrap();
            }
            if direction == Direction::ToClient {
                received(50);
            } else {
                proxy.until(|stats| stats.to_server.fates.received == 50);
            }
            // Well at once.
            proxy.control.set_profile(Profile::default());
            let released = Instant::now();
            proxy.control.release(direction);
            let last: Vec<_> = (0..50).map(|_| hear(&client)[0]).collect();
            // At the rate that they were taken on at they would need ten.
            assert!(released.elapsed() < Duration::from_secs(5), "{:?}", released.elapsed());
            assert_eq!(last, (0..50).collect::<Vec<_>>(), "{direction:?}");
            assert_eq!(ask(&client, b"x"), b"x");
            let stats = proxy.stop();
            let stats = if direction == Direction::ToServer { stats.to_server } else { stats.to_client };
            assert_eq!((stats.fates.dropped.total(), stats.passed), (0, 51), "{direction:?}");
        }
    });
}

#[test]
fn the_mtu_counts_the_headers_of_the_family_by_which_a_datagram_leaves() {
    within(MINUTE, || {
        for (listen, upstream, requests, replies) in [
            ("127.0.0.1:0", "127.0.0.1:0", 1252, 1252),
            ("[::1]:0", "127.0.0.1:0", 1252, 1232),
            ("127.0.0.1:0", "[::1]:0", 1232, 1252),
            ("[::1]:0", "[::1]:0", 1232, 1232),
        ] {
            let of =
                |to_server: &str, to_client: &str| Profile { to_server: spec(to_server), to_client: spec(to_client) };
            let service = Service::echo(upstream);
            for (profile, limit) in [(of("mtu 1280", "none"), requests), (of("none", "mtu 1280"), replies)] {
                let proxy = Running::listen(Proxy::builder().profile(profile), listen, service.address);
                let client = client(proxy.address);
                client.send(&vec![7; limit + 1]).unwrap();
                assert_eq!(ask(&client, &vec![8; limit]), vec![8; limit], "{listen} before {upstream}");
                assert!(is_silent(&client));
                let stats = proxy.stop();
                assert_eq!(stats.to_server.fates.dropped.mtu + stats.to_client.fates.dropped.mtu, 1);
            }
        }
    });
}

#[test]
fn times_count_from_when_the_proxy_was_bound_for_a_client_that_comes_late_too() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let builder = Proxy::builder().profile(to_server(spec("loss 100%; at 300ms none")));
        let proxy = Running::start(builder, service.address);
        let early = client(proxy.address);
        early.send(b"lost").unwrap();
        thread::sleep(400 * MS);
        assert_eq!(ask(&client(proxy.address), b"x"), b"x");
        assert_eq!(ask(&early, b"y"), b"y");
        assert_eq!(proxy.stop().to_server.fates.dropped.loss, 1);
    });
}

/// Shows the time that it is given, and one datagram.
#[derive(Debug)]
struct Clock {
    now: Timestamp,
    arrived: Option<usize>,
}

impl Transport for Clock {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, _: PathIndex, _: &[u8]) -> Result<(), PathError> {
        Ok(())
    }

    fn recv(&mut self, _: &mut [u8], _: Timestamp, _: Timestamp) -> Incoming<PathIndex> {
        match self.arrived.take() {
            Some(len) => Incoming::Datagram(Received::new(PathIndex::FIRST, len, len, self.now)),
            None => Incoming::TimeUp(self.now),
        }
    }

    fn renew(&mut self, _: PathIndex, _: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Unsupported)
    }

    fn entropy(&mut self, _: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}

fn spec(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
