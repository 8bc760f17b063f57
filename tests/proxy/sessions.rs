//! How long sessions live.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::{self};
use std::time::{Duration, Instant};

use udp_retry::fault::Profile;
use udp_retry::proxy::Proxy;

use crate::tools::{
    MS, PATIENCE, Running, Service, ask, balanced, client, delayed, hear, hear_from, is_silent, socket, to_server,
};
use crate::watchdog::{MINUTE, within};

#[test]
fn the_session_idle_for_the_longest_time_makes_room() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let proxy =
            Running::start(Proxy::builder().max_sessions(NonZeroUsize::new(2).unwrap()), service.local_addr().unwrap());
        let clients = [(); 3].map(|()| client(proxy.address));
        let reach = |n: usize| {
            clients[n].send(&[n as u8]).unwrap();
            let (heard, session) = hear_from(&service);
            assert_eq!(heard, [n as u8]);
            session
        };
        let (first, second) = (reach(0), reach(1));
        // A reply is a use, too.
        service.send_to(b"still there?", first).unwrap();
        hear(&clients[0]);
        let third = reach(2);
        assert_eq!(BTreeSet::from([first, second, third]).len(), 3);
        // The first and the third are there, the second is not.
        service.send_to(b"a", first).unwrap();
        service.send_to(b"b", second).unwrap();
        service.send_to(b"c", third).unwrap();
        assert_eq!((hear(&clients[0]), hear(&clients[2])), (b"a".to_vec(), b"c".to_vec()));
        assert!(is_silent(&clients[1]));
        // It gets a new one, in place of the first, which now was used before the third.
        reach(1);
        service.send_to(b"d", first).unwrap();
        assert!(is_silent(&clients[0]));
        let stats = proxy.stop();
        assert_eq!((stats.sessions, stats.opened, stats.evicted, stats.expired), (2, 4, 2, 0));
    });
}

#[test]
fn a_port_given_up_lately_serves_no_other_client() {
    within(MINUTE, || {
        // A reply to the client that had it may still be on its way. By chance alone, a thousand ports are never distinct.
        let service = socket("127.0.0.1:0");
        let mut proxy = Proxy::builder()
            .max_sessions(NonZeroUsize::MIN)
            .bind("127.0.0.1:0", service.local_addr().unwrap())
            .unwrap();
        let clients = [client(proxy.local_addr()), client(proxy.local_addr())];
        for _ in 0..500 {
            for client in &clients {
                client.send(b"mine").unwrap();
            }
            proxy.run_for(Duration::ZERO).unwrap();
        }
        let sessions: BTreeSet<SocketAddr> = (0..1000).map(|_| hear_from(&service).1).collect();
        assert_eq!((sessions.len(), proxy.stats().evicted), (1000, 999));
    });
}

#[test]
fn at_least_one_session_is_allowed() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let proxy = Running::start(Proxy::builder().max_sessions(NonZeroUsize::MIN), service.address);
        let (one, other) = (client(proxy.address), client(proxy.address));
        for _ in 0..3 {
            assert_eq!((ask(&one, b"a"), ask(&other, b"b")), (b"a".to_vec(), b"b".to_vec()));
        }
        let stats = proxy.stop();
        assert_eq!((stats.sessions, stats.evicted), (1, 5));
    });
}

#[test]
fn a_session_ends_when_nothing_has_come_for_the_idle_time_either_way() {
    within(MINUTE, || {
        const IDLE: Duration = Duration::from_millis(600);
        let service = socket("127.0.0.1:0");
        let mut proxy = Proxy::builder().idle(IDLE).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let (asking, hearing) = (client(proxy.local_addr()), client(proxy.local_addr()));
        asking.send(b"0").unwrap();
        hearing.send(b"1").unwrap();
        proxy.run_for(10 * MS).unwrap();
        let (asker, hearer) = (hear_from(&service).1, hear_from(&service).1);
        // For longer than the idle time, and often enough that a busy system does not pass for a silence.
        for _ in 0..7 {
            asking.send(b"2").unwrap();
            service.send_to(b"3", hearer).unwrap();
            proxy.run_for(IDLE / 6).unwrap();
            assert_eq!((hear_from(&service).1, hear(&hearing)), (asker, b"3".to_vec()));
        }
        let used = Instant::now();
        assert_eq!((proxy.stats().sessions, proxy.stats().expired), (2, 0));
        while proxy.stats().sessions > 0 {
            assert!(used.elapsed() < PATIENCE);
            proxy.run_for(5 * MS).unwrap();
        }
        assert!(used.elapsed() >= IDLE / 2, "after {:?}", used.elapsed());
        asking.send(b"4").unwrap();
        proxy.run_for(10 * MS).unwrap();
        hear(&service);
        let stats = balanced(proxy.stats());
        assert_eq!((stats.sessions, stats.opened, stats.expired, stats.evicted), (1, 3, 2, 0));
        assert_eq!((stats.to_server.passed, stats.to_client.passed), (10, 7));
    });
}

#[test]
fn a_session_ends_on_time_though_the_run_goes_on() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let mut proxy = Proxy::builder().idle(50 * MS).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let client = client(proxy.local_addr());
        client.send(b"x").unwrap();
        proxy.run_for(Duration::ZERO).unwrap();
        let (_, session) = hear_from(&service);
        let late = thread::spawn(move || {
            thread::sleep(150 * MS);
            service.send_to(b"too late", session).unwrap();
        });
        proxy.run_for(250 * MS).unwrap();
        late.join().unwrap();
        let stats = balanced(proxy.stats());
        assert_eq!((stats.expired, stats.to_client.fates.received), (1, 0));
    });
}

#[test]
fn a_session_whose_datagrams_wait_to_be_read_is_not_idle() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let mut proxy = Proxy::builder().idle(20 * MS).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let (asking, hearing) = (client(proxy.local_addr()), client(proxy.local_addr()));
        asking.send(b"0").unwrap();
        hearing.send(b"1").unwrap();
        proxy.run_for(Duration::ZERO).unwrap();
        let (asker, hearer) = (hear_from(&service).1, hear_from(&service).1);
        asking.send(b"2").unwrap();
        service.send_to(b"3", hearer).unwrap();
        // Nobody runs the proxy meanwhile.
        thread::sleep(60 * MS);
        proxy.run_for(Duration::ZERO).unwrap();
        assert_eq!((hear_from(&service).1, hear(&hearing)), (asker, b"3".to_vec()));
        assert_eq!((proxy.stats().opened, proxy.stats().expired), (2, 0));
    });
}

#[test]
fn copies_to_the_service_end_with_their_session_and_copies_to_a_client_arrive() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let profile = Profile::both(delayed(200 * MS));
        let mut proxy = Proxy::builder()
            .profile(profile)
            .max_sessions(NonZeroUsize::MIN)
            .bind("127.0.0.1:0", service.local_addr().unwrap())
            .unwrap();
        let (first, second) = (client(proxy.local_addr()), client(proxy.local_addr()));
        first.send(b"1").unwrap();
        proxy.run_for(210 * MS).unwrap();
        let (_, session) = hear_from(&service);
        service.send_to(b"reply", session).unwrap();
        first.send(b"2").unwrap();
        proxy.run_for(10 * MS).unwrap();
        // The second client takes the same place, and must not inherit what is on its way from there.
        second.send(b"3").unwrap();
        proxy.run_for(10 * MS).unwrap();
        let stats = balanced(proxy.stats());
        assert_eq!((stats.evicted, stats.to_server.in_flight, stats.to_client.in_flight), (1, 2, 1));
        proxy.run_for(210 * MS).unwrap();
        assert_eq!((hear(&first), hear(&service)), (b"reply".to_vec(), b"3".to_vec()));
        assert!(is_silent(&service) && is_silent(&second));
        let stats = balanced(proxy.stats());
        assert_eq!((stats.to_server.passed, stats.to_server.discarded, stats.to_client.passed), (2, 1, 1));
        assert_eq!(stats.to_server.fates.received, 3);
    });
}

#[test]
fn a_session_with_a_datagram_in_flight_is_not_idle() {
    within(MINUTE, || {
        const IDLE: Duration = Duration::from_millis(100);
        let service = Service::echo("127.0.0.1:0");
        for profile in [to_server(delayed(5 * IDLE)), Profile { to_client: delayed(5 * IDLE), ..Profile::default() }] {
            let proxy = Running::start(Proxy::builder().idle(IDLE).profile(profile), service.address);
            let client = client(proxy.address);
            let asked = Instant::now();
            assert_eq!(ask(&client, b"late"), b"late");
            let answered = Instant::now();
            assert!(asked.elapsed() >= 5 * IDLE);
            // From then on it is, and counts from the last copy that left.
            proxy.until(|stats| stats.expired == 1);
            assert!(answered.elapsed() >= IDLE / 2, "{:?}", answered.elapsed());
            let stats = proxy.stop();
            assert_eq!((stats.opened, stats.to_server.discarded, stats.to_client.passed), (1, 0, 1));
        }
    });
}
