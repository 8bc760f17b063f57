//! What it survives.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self};
use std::time::{Duration, Instant};

use udp_retry::proxy::Proxy;

use crate::tools::{
    MS, Running, Service, ask, balanced, client, dead_service, delayed, hear, hear_from, is_silent, socket, to_server,
};
use crate::watchdog::{MINUTE, within};

#[test]
fn a_service_that_comes_back_on_its_port_misses_nothing() {
    within(MINUTE, || {
        let (address, _unforked) = dead_service();
        let proxy = Running::start(Proxy::builder(), address);
        let client = client(proxy.address);
        for round in 0..5 {
            for n in 0..20 {
                client.send(&[round, n]).unwrap();
            }
            // Sent while dead, all of them.
            proxy.until(|stats| stats.to_server.passed + stats.to_server.failed == u64::from(round) * 40 + 20);
            let service = socket(&address.to_string());
            for n in 0..20 {
                client.send(&[round, n]).unwrap();
                let (heard, session) = hear_from(&service);
                assert_eq!(heard, [round, n]);
                service.send_to(&heard, session).unwrap();
                assert_eq!(hear(&client), [round, n]);
            }
        }
        let stats = proxy.stop();
        assert!(stats.path_errors >= 5, "{stats:?}");
        assert_eq!((stats.opened, stats.to_server.failed, stats.to_client.passed), (1, 0, 100));
    });
}

#[test]
fn an_observer_that_panics_leaves_the_books_balanced() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let mut seen = 0;
        let builder = Proxy::builder().observer(move |_, _| {
            seen += 1;
            assert_eq!(seen % 2, 0);
        });
        let mut proxy = builder.bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let client = client(proxy.local_addr());
        let mut panics = 0;
        while panics < 5 {
            client.send(b"x").unwrap();
            let ran = AssertUnwindSafe(|| proxy.run_for(Duration::from_millis(1)));
            panics += u32::from(catch_unwind(ran).is_err());
        }
        let it = proxy.stats().to_server;
        assert_eq!(it.fates.delivered, it.passed + it.in_flight + it.discarded + it.failed, "{it:?}");
        assert_eq!(it.discarded, 5);
    });
}

#[test]
fn a_send_swallowed_by_news_of_an_earlier_datagram_is_reissued() {
    within(MINUTE, || {
        let (address, _unforked) = dead_service();
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", address).unwrap();
        let client = client(proxy.local_addr());
        for n in 0..10 {
            // The refusal of the first is still unread when the service is back and the second leaves.
            client.send(&[n, 1]).unwrap();
            proxy.run_for(Duration::ZERO).unwrap();
            let service = socket(&address.to_string());
            client.send(&[n, 2]).unwrap();
            proxy.run_for(Duration::ZERO).unwrap();
            assert_eq!(hear(&service), [n, 2]);
        }
        // A burst to nobody: every one but the first is swallowed once.
        for n in 0..10 {
            client.send(&[n, 3]).unwrap();
        }
        proxy.run_for(20 * MS).unwrap();
        let stats = balanced(proxy.stats());
        assert_eq!((stats.to_server.passed, stats.to_server.failed), (30, 0));
        assert!(stats.path_errors >= 10 + 9, "{stats:?}");
    });
}

#[test]
fn replies_queued_behind_an_error_are_read() {
    within(MINUTE, || {
        let (address, _unforked) = dead_service();
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", address).unwrap();
        let client = client(proxy.local_addr());
        client.send(b"to nobody").unwrap();
        proxy.run_for(Duration::ZERO).unwrap();
        let session = {
            // Whose refusal is unread, and known by what it sends next.
            let service = socket(&address.to_string());
            client.send(b"to somebody").unwrap();
            proxy.run_for(Duration::ZERO).unwrap();
            hear_from(&service).1
        };
        for round in 0..10 {
            client.send(b"to nobody").unwrap();
            proxy.run_for(Duration::ZERO).unwrap();
            let service = socket(&address.to_string());
            for n in 0..3 {
                service.send_to(&[round, n], session).unwrap();
            }
            proxy.run_for(20 * MS).unwrap();
            for n in 0..3 {
                assert_eq!(hear(&client), [round, n]);
            }
        }
        let stats = balanced(proxy.stats());
        assert_eq!((stats.to_client.passed, stats.to_server.failed), (30, 0));
        assert!(stats.path_errors >= 10, "{stats:?}");
    });
}

#[test]
fn what_strangers_send_to_a_session_is_not_forwarded() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let proxy = Running::start(Proxy::builder(), service.address);
        let client = client(proxy.address);
        ask(&client, b"ping");
        let session = *service.peers().first().unwrap();
        socket("127.0.0.1:0").send_to(b"forged", session).unwrap();
        assert_eq!(ask(&client, b"pong"), b"pong");
        assert!(is_silent(&client));
        assert_eq!(proxy.stop().to_client.passed, 2);
    });
}

#[test]
fn a_flood_of_replies_to_one_client_holds_up_no_other_and_no_timer() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let proxy = Running::start(Proxy::builder().profile(to_server(delayed(5 * MS))), service.local_addr().unwrap());
        let (flooded, other) = (client(proxy.address), client(proxy.address));
        flooded.send(b"flood me").unwrap();
        let (_, victim) = hear_from(&service);
        let flooding = Arc::new(AtomicBool::new(true));
        let flood = {
            let (flooding, service) = (flooding.clone(), service.try_clone().unwrap());
            thread::spawn(move || {
                while flooding.load(Ordering::Relaxed) {
                    let _ = service.send_to(&[7; 1000], victim);
                }
            })
        };
        let mut waits: Vec<Duration> = (0..40_u8)
            .map(|n| {
                let asked = Instant::now();
                other.send(&[n]).unwrap();
                let (heard, from) = hear_from(&service);
                service.send_to(&heard, from).unwrap();
                assert_eq!(hear(&other), [n]);
                asked.elapsed()
            })
            .collect();
        flooding.store(false, Ordering::Relaxed);
        flood.join().unwrap();
        waits.sort_unstable();
        assert!(waits[0] >= 5 * MS && waits[20] < 100 * MS, "{waits:?}");
        proxy.quiet();
        let stats = proxy.stop();
        assert!(stats.to_client.passed > 1000, "{stats:?}");
    });
}

#[test]
fn sessions_take_turns_however_much_is_queued_for_one_of_them() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let clients = [client(proxy.local_addr()), client(proxy.local_addr())];
        let sessions = clients.each_ref().map(|client| {
            client.send(b"x").unwrap();
            proxy.run_for(Duration::ZERO).unwrap();
            hear_from(&service).1
        });
        for _ in 0..200 {
            service.send_to(b"one of many", sessions[0]).unwrap();
        }
        service.send_to(b"the only one", sessions[1]).unwrap();
        for _ in 0..2 {
            proxy.run_for(Duration::ZERO).unwrap();
        }
        assert_eq!(hear(&clients[1]), b"the only one");
        assert!(balanced(proxy.stats()).to_client.passed < 100);
        // And nothing is forgotten, though no event tells of it any more.
        proxy.run_for(20 * MS).unwrap();
        assert_eq!(balanced(proxy.stats()).to_client.passed, 201);
    });
}

#[test]
fn a_run_ends_on_time_though_the_flood_goes_on() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let (flooding, client) = (Arc::new(AtomicBool::new(true)), client(proxy.local_addr()));
        let flood = {
            let flooding = flooding.clone();
            thread::spawn(move || {
                while flooding.load(Ordering::Relaxed) {
                    let _ = client.send(&[7; 1000]);
                }
            })
        };
        for time in [Duration::ZERO, MS, 20 * MS] {
            let mut shortest = Duration::MAX;
            for _ in 0..5 {
                let started = Instant::now();
                proxy.run_for(time).unwrap();
                assert!(started.elapsed() >= time);
                shortest = shortest.min(started.elapsed());
            }
            assert!(shortest <= time + 10 * MS, "{shortest:?} instead of {time:?}");
        }
        flooding.store(false, Ordering::Relaxed);
        flood.join().unwrap();
        balanced(proxy.stats());
    });
}
