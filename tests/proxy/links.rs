//! Its links are those of a sink.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self};
use std::time::{Duration, Instant};

use udp_retry::fault::{
    Bottleneck, Capacity, Corrupt, DelayLaw, DelayModel, Delivery, Direction, DirectionStats, Duplicate, Fate, Link,
    LossySink, MtuClamp, Oversize, Profile, QueueLimit, Record, Reorder, Rule, Script, Trace, Truncate,
};
use udp_retry::proxy::{Proxy, ProxyBuilder};
use udp_retry::size::Pmtu;
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ConnectedUdp, Impairments, Probability, Seed};

use crate::offers::Offers;
use crate::tools::{
    LARGEST, MS, PATIENCE, Running, Service, ask, balanced, client, delayed, hear, hear_from, is_silent, loss, p,
    socket, to_server,
};
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

#[test]
fn its_fates_are_those_of_a_bare_link_by_session_and_direction() {
    within(MINUTE, || {
        const SEED: Seed = Seed::new(11);
        // A queue depends on the moments, which the records tell.
        let queue = Bottleneck::new(4_000_000, QueueLimit::Time(50 * MS)).unwrap();
        let profile = Profile { to_server: rough().with_bottleneck(queue), to_client: rough().with_loss(loss(0.3)) };
        let (records, observer) = recording();
        let service = Service::new("127.0.0.1:0", |_| vec![vec![9; 40]]);
        let proxy =
            Running::start(Proxy::builder().profile(profile.clone()).seed(SEED).observer(observer), service.address);
        let clients = [client(proxy.address), client(proxy.address)];
        for n in 0..400_usize {
            let client = &clients[n % 2];
            client.send(&vec![n as u8; 20 + n % 300]).unwrap();
            if n < 2 {
                // The first datagrams decide who is who.
                proxy.until(|stats| stats.opened == n as u64 + 1);
            }
        }
        proxy.answered(400);
        let stats = proxy.stop();
        let records = records.lock().unwrap();
        assert_eq!(records.len() as u64, stats.to_server.fates.received + stats.to_client.fates.received);
        let mut seen = BTreeMap::new();
        for link in [0, 1] {
            for direction in [Direction::ToServer, Direction::ToClient] {
                let mut bare = Link::new(profile.direction(direction).clone(), direction.link_seed(SEED, link));
                let own = records.iter().filter(|(_, it)| (it.link, it.direction) == (link, direction));
                let mut count = 0_u64;
                for (address, record) in own {
                    count += 1;
                    // The moment and the length are all that it may depend on.
                    let fate = bare.transmit(record.at, &vec![0; record.len]);
                    assert_eq!((record.fate, record.n), (fate, count), "link {link}, {direction:?}");
                    assert_eq!(*address, clients[link as usize].local_addr().unwrap());
                }
                seen.insert((link, direction), count);
            }
        }
        assert_eq!((seen[&(0, Direction::ToServer)], seen[&(1, Direction::ToServer)]), (200, 200));
        assert!(seen.values().all(|&count| count > 50), "{seen:?}");
        let DirectionStats { fates, .. } = stats.to_server;
        assert!(fates.dropped.loss > 5 && fates.duplicates > 5 && fates.truncated > 5, "{fates:?}");
    });
}

#[test]
fn its_fates_are_those_of_a_sink_with_the_same_seed() {
    within(MINUTE, || {
        const SEED: Seed = Seed::new(5);
        const REQUESTS: u8 = 200;
        let profile = Profile { to_server: rough(), to_client: rough().with_loss(loss(0.3)) };
        let service = Service::new("127.0.0.1:0", |_| vec![vec![9; 40]]);

        let (through_proxy, observer) = recording();
        let proxy =
            Running::start(Proxy::builder().profile(profile.clone()).seed(SEED).observer(observer), service.address);
        let client = client(proxy.address);
        for n in 0..REQUESTS {
            client.send(&[n; 30]).unwrap();
        }
        proxy.answered(REQUESTS.into());
        proxy.stop();

        let (through_sink, mut observer) = recording();
        let observer = move |_: PathIndex, record: &Record| observer(service.address, record);
        let transport = ConnectedUdp::connect(service.address).unwrap();
        let mut sink = LossySink::at_client(transport, profile, SEED).observed(observer);
        for n in 0..REQUESTS {
            sink.offer(PathIndex::FIRST, &[n; 30]).unwrap();
        }
        let (mut buffer, patience) = ([0; 100], Instant::now() + PATIENCE);
        loop {
            let (sent, heard) = (sink.stats(Direction::ToServer), sink.stats(Direction::ToClient));
            if (sent.in_flight, heard.fates.received) == (0, sent.passed) {
                break;
            }
            assert!(Instant::now() < patience, "{sink:?}");
            let soon = sink.now().after(MS);
            sink.wait(&mut buffer, soon).unwrap();
        }

        for direction in [Direction::ToServer, Direction::ToClient] {
            let fates = |records: &Mutex<Vec<(SocketAddr, Record)>>| -> Vec<_> {
                let records = records.lock().unwrap();
                records.iter().filter(|(_, it)| it.direction == direction).map(|(_, it)| relative(it)).collect()
            };
            let (proxied, sunk) = (fates(&through_proxy), fates(&through_sink));
            assert_eq!(proxied, sunk, "{direction:?}");
            assert!(proxied.len() > 100);
        }
    });
}

#[test]
fn a_recorded_run_is_repeated_by_its_trace() {
    within(MINUTE, || {
        let profile = Profile { to_server: rough(), to_client: rough() };
        let run = |builder: ProxyBuilder| {
            let service = Service::new("127.0.0.1:0", |_| vec![vec![9; 40]]);
            let (records, observer) = recording();
            let proxy = Running::start(builder.observer(observer), service.address);
            let clients = [client(proxy.address), client(proxy.address)];
            for n in 0..120_usize {
                clients[n % 2].send(&vec![n as u8; 10 + n]).unwrap();
                if n < 2 {
                    proxy.until(|stats| stats.opened == n as u64 + 1);
                }
            }
            proxy.answered(120);
            let stats = proxy.stop();
            drop(service);
            (Arc::try_unwrap(records).unwrap().into_inner().unwrap(), stats)
        };
        let (recorded, stats) = run(Proxy::builder().profile(profile).seed(Seed::new(3)));
        assert!(stats.to_server.fates.dropped.loss > 5 && stats.to_client.fates.dropped.loss > 5, "{stats:?}");
        let text: String = recorded.iter().map(|(_, record)| format!("{record}\n")).collect();
        let trace: Trace = text.parse().unwrap();
        // Neither the profile nor the seed nor a change of the settings shows.
        let (replayed, stats) = run(Proxy::builder()
            .profile(Profile::both(Impairments::loss(Probability::ONE)))
            .seed(Seed::new(99))
            .replay(trace));
        assert_eq!((stats.to_server.fates.dropped.loss, stats.to_client.fates.dropped.loss), (0, 0));
        for link in [0, 1] {
            for direction in [Direction::ToServer, Direction::ToClient] {
                let of = |records: &[(SocketAddr, Record)]| -> Vec<_> {
                    let own = records.iter().filter(|(_, it)| (it.link, it.direction) == (link, direction));
                    own.map(|(_, it)| {
                        relative(it)
                            .map(|copies| copies.into_iter().map(|(_, len, flips)| (len, flips)).collect::<Vec<_>>())
                    })
                    .collect()
                };
                let (recorded, replayed) = (of(&recorded), of(&replayed));
                assert_eq!(recorded, replayed, "link {link}, {direction:?}");
                assert!(recorded.len() > 30);
            }
        }
    });
}

#[test]
fn a_change_of_the_settings_holds_from_the_next_datagram_on() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let proxy = Running::start(Proxy::builder(), service.address);
        let control = proxy.control.clone();
        let client = client(proxy.address);
        for _ in 0..20 {
            assert_eq!(ask(&client, b"a"), b"a");
            control.set(Direction::ToServer, Impairments::loss(Probability::ONE));
            let lost = proxy.dropped_of(Direction::ToServer);
            client.send(b"lost").unwrap();
            client.send(b"lost").unwrap();
            proxy.until(|stats| stats.to_server.fates.dropped.loss == lost + 2);
            control.set(Direction::ToServer, Impairments::NONE);
        }
        control.set(Direction::ToClient, Impairments::loss(Probability::ONE));
        client.send(b"b").unwrap();
        proxy.until(|stats| stats.to_client.fates.dropped.loss == 1);
        control.set_profile(Profile::default());
        assert_eq!(ask(&client, b"c"), b"c");
        assert_eq!(control.profile(), Profile::default());
        let stats = proxy.stop();
        assert_eq!((stats.opened, stats.to_server.passed, stats.to_client.passed), (1, 22, 21));
    });
}

#[test]
fn a_change_holds_for_datagrams_that_wait_already() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let controls = Arc::new(Mutex::new(None::<udp_retry::fault::Control>));
        let theirs = controls.clone();
        // The earliest moment after a datagram: while its fate is shown.
        let cut = move |_: SocketAddr, record: &Record| {
            if let (2, Some(control)) = (record.n, &*theirs.lock().unwrap()) {
                control.set(record.direction, Impairments::loss(Probability::ONE));
            }
        };
        let mut proxy = Proxy::builder().observer(cut).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        *controls.lock().unwrap() = Some(proxy.control());
        let client = client(proxy.local_addr());
        for n in 0..5 {
            client.send(&[n]).unwrap();
        }
        proxy.run_for(Duration::ZERO).unwrap();
        let (_, session) = hear_from(&service);
        for n in 0..5 {
            service.send_to(&[n], session).unwrap();
        }
        proxy.run_for(Duration::ZERO).unwrap();
        let stats = balanced(proxy.stats());
        assert_eq!((stats.to_server.fates.dropped.loss, stats.to_server.passed), (3, 2));
        assert_eq!((stats.to_client.fates.dropped.loss, stats.to_client.passed), (3, 2));
    });
}

#[test]
fn what_is_overdue_is_not_overtaken() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let profile = to_server(delayed(10 * MS));
        let mut proxy = Proxy::builder().profile(profile).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let client = client(proxy.local_addr());
        for n in 0..200 {
            client.send(&[n]).unwrap();
        }
        while proxy.stats().to_server.fates.received < 200 {
            proxy.run_for(Duration::ZERO).unwrap();
        }
        // Nobody runs the proxy meanwhile.
        thread::sleep(20 * MS);
        proxy.control().set_profile(Profile::default());
        client.send(&[200]).unwrap();
        proxy.run_for(20 * MS).unwrap();
        for n in 0..=200 {
            assert_eq!(hear(&service), [n]);
        }
    });
}

#[test]
fn a_replay_knows_no_settings() {
    within(MINUTE, || {
        let trace: Trace =
            r#"{"link":0,"direction":"to_server","n":2,"at_ns":0,"len":1,"dropped":"loss"}"#.parse().unwrap();
        let service = Service::echo("127.0.0.1:0");
        let proxy = Running::start(Proxy::builder().replay(trace), service.address);
        let client = client(proxy.address);
        assert_eq!(ask(&client, b"1"), b"1");
        proxy.control.set_profile(Profile::both(Impairments::loss(Probability::ONE)));
        client.send(b"2").unwrap();
        assert_eq!(ask(&client, b"3"), b"3");
        let stats = proxy.stop();
        assert_eq!((stats.to_server.fates.dropped.script, stats.to_server.fates.dropped.total()), (1, 1));
    });
}

#[test]
fn what_exceeds_the_mtu_is_dropped_and_counted_whether_the_sender_would_be_told_or_not() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        for oversize in [Oversize::Drop, Oversize::Error] {
            let mtu = MtuClamp::new(Pmtu::new(1280), oversize);
            let proxy = Running::start(
                Proxy::builder().profile(to_server(Impairments::NONE.with_mtu(mtu).unwrap())),
                service.address,
            );
            let client = client(proxy.address);
            client.send(&[7; 1253]).unwrap();
            assert_eq!(ask(&client, &[8; 1252]), [8; 1252]);
            assert!(is_silent(&client));
            let stats = proxy.stop();
            assert_eq!((stats.to_server.fates.dropped.mtu, stats.to_server.passed), (1, 1));
        }
    });
}

#[test]
fn damaged_and_duplicated_copies_leave_at_once_and_in_order() {
    within(MINUTE, || {
        let script = [
            (1, Rule::Truncate { copy: 0, to: 2 }),
            (2, Rule::Corrupt { copy: 0, bit: 0 }),
            (3, Rule::Duplicate { after: Duration::ZERO }),
        ];
        let script = Impairments::NONE.with_script(Script::new(script).unwrap());
        let service = socket("127.0.0.1:0");
        let mut proxy =
            Proxy::builder().profile(to_server(script)).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let client = client(proxy.local_addr());
        for n in 1..=4 {
            client.send(&[n; 3]).unwrap();
        }
        proxy.run_for(Duration::ZERO).unwrap();
        for expected in [&[1, 1][..], &[0x82, 2, 2], &[3; 3], &[3; 3], &[4; 3]] {
            assert_eq!(hear(&service), expected);
        }
        assert_eq!(balanced(proxy.stats()).to_server.passed, 5);
    });
}

#[test]
fn a_full_delay_line_drops_for_want_of_capacity_and_says_so() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let profile = to_server(delayed(Duration::from_secs(600)));
        let mut proxy = Proxy::builder().profile(profile).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let client = client(proxy.local_addr());
        let large = vec![7; LARGEST];
        // 64 MiB hold 1,024 of them.
        for _ in 0..1030 {
            client.send(&large).unwrap();
            proxy.run_for(Duration::ZERO).unwrap();
        }
        let stats = balanced(proxy.stats());
        let DirectionStats { fates, in_flight, discarded, .. } = stats.to_server;
        assert_eq!((in_flight, fates.dropped.capacity, discarded), (1024, 6, 0));
    });
}

#[test]
fn one_clients_flood_takes_no_others_share_of_the_capacity() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let builder = Proxy::builder().profile(to_server(delayed(Duration::from_secs(600))));
        let builder = builder.capacity(Capacity::new(100, 1 << 20).unwrap());
        let mut proxy = builder.bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let clients = [client(proxy.local_addr()), client(proxy.local_addr())];
        for (client, datagrams) in clients.iter().zip([300, 50]) {
            for _ in 0..datagrams {
                client.send(b"x").unwrap();
                proxy.run_for(Duration::ZERO).unwrap();
            }
        }
        let stats = balanced(proxy.stats()).to_server;
        assert_eq!((stats.in_flight, stats.fates.dropped.capacity), (100 + 50, 200));
    });
}

#[test]
fn a_proxy_is_within_its_dose_for_each_client() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let spec = "loss 100%; dose 2 of 3".parse().unwrap();
        let mut proxy =
            Proxy::builder().profile(to_server(spec)).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let clients = [client(proxy.local_addr()), client(proxy.local_addr())];
        for n in 0..6 {
            for client in &clients {
                client.send(&[n]).unwrap();
                proxy.run_for(Duration::ZERO).unwrap();
            }
        }
        let heard: Vec<_> = (0..4).map(|_| hear(&service)[0]).collect();
        assert_eq!(heard, [2, 2, 5, 5]);
        assert_eq!(balanced(proxy.stats()).to_server.fates.spared, 4);
    });
}

/// Everything that does not depend on the time.
fn rough() -> Impairments {
    let delay = DelayLaw::uniform(3 * MS, 3 * MS).unwrap();
    Impairments::NONE
        .with_loss(loss(0.2))
        .with_duplicate(Duplicate::new(p(0.1)).late(DelayLaw::uniform(2 * MS, MS).unwrap()))
        .with_truncate(Truncate::new(p(0.1)))
        .with_corrupt(Corrupt::new(p(0.1)))
        .with_delay(DelayModel::new(delay).unordered())
        .with_reorder(Reorder::new(p(0.1), 5 * MS).unwrap())
}

pub(crate) type Records = Arc<Mutex<Vec<(SocketAddr, Record)>>>;

pub(crate) fn recording() -> (Records, impl FnMut(SocketAddr, &Record) + Send + 'static) {
    let records = Records::default();
    let kept = records.clone();
    (records, move |client, record: &Record| kept.lock().unwrap().push((client, *record)))
}

/// The copies, with their delays instead of their times; `None` if there are none.
fn relative(record: &Record) -> Option<Vec<(Duration, usize, Vec<u32>)>> {
    let copy = |it: &Delivery| (it.at.since(record.at), it.len, it.flips.as_slice().to_vec());
    match &record.fate {
        Fate::Delivered(deliveries) => Some(deliveries.iter().map(copy).collect()),
        _ => None,
    }
}
