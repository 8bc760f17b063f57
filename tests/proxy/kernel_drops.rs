//! What the system drops while the proxy has no time.

use std::net::UdpSocket;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;

use udp_retry::proxy::Proxy;

use crate::tools::{MS, client, hear_from, socket};
use crate::watchdog::{MINUTE, within};

/// More than any socket keeps here.
const MANY: u64 = 20_000;
const PAYLOAD: [u8; 1200] = [1; 1200];

#[test]
fn datagrams_that_found_a_socket_full_are_counted_on_either_side_and_by_either_family() {
    for (listen, service) in
        [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0"), ("127.0.0.1:0", "[::1]:0"), ("[::1]:0", "127.0.0.1:0")]
    {
        if [listen, service].iter().all(|address| UdpSocket::bind(address).is_ok()) {
            within(MINUTE, move || flooded(listen, service));
        }
    }
}

fn flooded(listen: &str, service: &str) {
    let service = socket(service);
    let mut proxy = Proxy::builder().bind(listen, service.local_addr().unwrap()).unwrap();
    let client = client(proxy.local_addr());
    client.send(b"first").unwrap();
    while proxy.stats().to_server.passed == 0 {
        proxy.run_for(MS).unwrap();
    }
    let (_, session) = hear_from(&service);
    if !is_known() {
        assert_eq!(proxy.kernel_drops(), None);
        return;
    }
    let dropped = proxy.kernel_drops().unwrap();
    assert_eq!((dropped.listener, dropped.sessions), (0, 0));
    // No one runs the proxy meanwhile.
    for _ in 0..MANY {
        client.send(&PAYLOAD).unwrap();
        service.send_to(&PAYLOAD, session).unwrap();
    }
    let dropped = proxy.kernel_drops().unwrap();
    assert!(dropped.listener > 0 && dropped.sessions > 0, "{dropped:?}");
    let kept = [MANY + 1 - dropped.listener, MANY - dropped.sessions];
    let received = |proxy: &Proxy| {
        let stats = proxy.stats();
        [stats.to_server.fates.received, stats.to_client.fates.received]
    };
    while received(&proxy).iter().zip(&kept).any(|(received, kept)| received < kept) {
        proxy.run_for(MS).unwrap();
    }
    proxy.run_for(50 * MS).unwrap();
    assert_eq!(received(&proxy), kept, "sent is received and dropped");
    assert_eq!(proxy.kernel_drops(), Some(dropped));
}

#[test]
fn what_other_sockets_have_dropped_before_it_started_is_not_the_proxys() {
    within(MINUTE, || {
        let (other, service) = (UdpSocket::bind("127.0.0.1:0").unwrap(), socket("127.0.0.1:0"));
        let sender = client(other.local_addr().unwrap());
        for _ in 0..MANY {
            sender.send(&PAYLOAD).unwrap();
        }
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        client(proxy.local_addr()).send(b"first").unwrap();
        while proxy.stats().sessions == 0 {
            proxy.run_for(MS).unwrap();
        }
        let dropped = proxy.kernel_drops().map(|dropped| (dropped.listener, dropped.sessions));
        assert_eq!(dropped, is_known().then_some((0, 0)));
        // What was dropped is still in the count of the other one, which holds less than was sent.
        other.set_nonblocking(true).unwrap();
        let kept = std::iter::from_fn(|| other.recv(&mut [0; 8]).ok()).take(MANY as usize).count();
        assert!(kept < MANY as usize, "nothing was proved");
    });
}

#[test]
fn the_count_stands_still_while_sockets_of_others_come_and_go_and_outlives_its_session() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let mut proxy = Proxy::builder().idle(100 * MS).bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let client = client(proxy.local_addr());
        client.send(b"first").unwrap();
        while proxy.stats().to_server.passed == 0 {
            proxy.run_for(MS).unwrap();
        }
        let (_, session) = hear_from(&service);
        for _ in 0..MANY {
            client.send(&PAYLOAD).unwrap();
            service.send_to(&PAYLOAD, session).unwrap();
        }
        let dropped = proxy.kernel_drops();
        let (ended, lasts) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Relaxed) {
                    let others: Vec<_> = (0..100).filter_map(|_| UdpSocket::bind("127.0.0.1:0").ok()).collect();
                    lasts.fetch_add(others.len() as u64, Relaxed);
                }
            });
            let mut counts = (0..500).map(|_| proxy.kernel_drops());
            let other = counts.find(|&count| count != dropped);
            while lasts.load(Relaxed) < 1_000 {
                thread::yield_now();
            }
            ended.store(true, Relaxed);
            assert_eq!(other, None, "instead of {dropped:?}");
        });
        // Nobody is heard any more, so that the session ends.
        while proxy.stats().sessions > 0 {
            proxy.run_for(10 * MS).unwrap();
        }
        assert_eq!(proxy.kernel_drops(), dropped);
        assert_eq!(dropped.map(|dropped| dropped.listener > 0 && dropped.sessions > 0), is_known().then_some(true));
    });
}

/// Where the system tells.
fn is_known() -> bool {
    cfg!(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable)))
}
