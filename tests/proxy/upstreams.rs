//! Which of a service's addresses and ports are asked, and when its name is resolved again.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::proxy::Proxy;

use crate::tools::{MS, PATIENCE, Service, ask, balanced, client, dead_service, hear, hear_from, is_silent, socket};
use crate::watchdog::{MINUTE, within};

/// A name whose addresses the test sets, and that counts how often it is resolved.
#[derive(Clone, Default)]
struct Name {
    addresses: Arc<Mutex<Option<Vec<SocketAddr>>>>,
    resolved: Arc<AtomicU64>,
}

impl Name {
    fn of(addresses: &[SocketAddr]) -> Self {
        let name = Self::default();
        name.set(Some(addresses));
        name
    }

    fn set(&self, addresses: Option<&[SocketAddr]>) {
        *self.addresses.lock().unwrap() = addresses.map(<[_]>::to_vec);
    }

    fn resolved(&self) -> u64 {
        self.resolved.load(Ordering::Relaxed)
    }
}

impl ToSocketAddrs for Name {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.resolved.fetch_add(1, Ordering::Relaxed);
        let addresses = self.addresses.lock().unwrap().clone();
        addresses.map(Vec::into_iter).ok_or_else(|| io::Error::other("no answer"))
    }
}

#[track_caller]
fn run_until(proxy: &mut Proxy, is_done: impl Fn(&Proxy) -> bool) {
    let started = Instant::now();
    while !is_done(proxy) {
        assert!(started.elapsed() < PATIENCE, "{proxy:?}");
        proxy.run_for(5 * MS).unwrap();
    }
}

/// One exchange, by a proxy that runs only here. The request is sent again as a client would.
#[track_caller]
fn exchange(proxy: &mut Proxy, client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.set_nonblocking(true).unwrap();
    let started = Instant::now();
    let reply = 'answered: loop {
        client.send(request).unwrap();
        for _ in 0..10 {
            proxy.run_for(10 * MS).unwrap();
            let mut buffer = [0; 64];
            if let Ok(len) = client.recv(&mut buffer) {
                break 'answered buffer[..len].to_vec();
            }
        }
        assert!(started.elapsed() < PATIENCE, "no reply: {proxy:?}");
    };
    client.set_nonblocking(false).unwrap();
    reply
}

fn named(name: &'static str) -> Service {
    Service::new("127.0.0.1:0", move |_| vec![name.as_bytes().to_vec()])
}

#[test]
fn sessions_follow_a_service_that_has_moved_and_keep_one_that_answers() {
    within(MINUTE, || {
        let (old, new) = (named("old"), named("new"));
        let name = Name::of(&[old.address]);
        let mut proxy = Proxy::builder().idle(200 * MS).bind("127.0.0.1:0", name.clone()).unwrap();
        let (first, second) = (client(proxy.local_addr()), client(proxy.local_addr()));
        assert_eq!(exchange(&mut proxy, &first, b"a"), b"old");
        assert_eq!(name.resolved(), 1);

        // It is resolved again when asked, and an open session stays where it is answered.
        name.set(Some(&[new.address]));
        proxy.resolve_handle().resolve();
        let kept_until = Instant::now() + 100 * MS;
        while proxy.upstream_addr() != new.address || Instant::now() < kept_until {
            assert_eq!(exchange(&mut proxy, &first, b"b"), b"old");
        }
        assert_eq!(exchange(&mut proxy, &second, b"c"), b"new");

        // When sessions expire, too; without an answer, and with one that cannot be, the old address stays.
        let asked = name.resolved();
        name.set(Some(&[proxy.local_addr()]));
        run_until(&mut proxy, |proxy| proxy.stats().sessions == 0 && name.resolved() > asked);
        proxy.run_for(100 * MS).unwrap();
        assert_eq!((exchange(&mut proxy, &first, b"d"), proxy.upstream_addr()), (b"new".to_vec(), new.address));
        name.set(None);
        let asked = name.resolved();
        proxy.resolve_handle().resolve();
        run_until(&mut proxy, |_| name.resolved() > asked);
        proxy.run_for(100 * MS).unwrap();
        assert_eq!((exchange(&mut proxy, &first, b"e"), proxy.upstream_addr()), (b"new".to_vec(), new.address));
        balanced(proxy.stats());
    });
}

#[test]
fn a_slow_name_holds_up_no_datagram_and_is_asked_for_once_a_second_at_most() {
    within(MINUTE, || {
        struct Slow(Name);
        impl ToSocketAddrs for Slow {
            type Iter = std::vec::IntoIter<SocketAddr>;
            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                if self.0.resolved() > 0 {
                    thread::sleep(Duration::from_millis(1500));
                }
                self.0.to_socket_addrs()
            }
        }
        let service = Service::echo("127.0.0.1:0");
        let name = Name::of(&[service.address]);
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", Slow(name.clone())).unwrap();
        let (client, handle) = (client(proxy.local_addr()), proxy.resolve_handle());
        let started = Instant::now();
        let mut exchanges = 0;
        while started.elapsed() < 700 * MS {
            handle.resolve();
            assert_eq!(exchange(&mut proxy, &client, b"x"), b"x");
            exchanges += 1;
        }
        assert_eq!(name.resolved(), 1, "still under way after {exchanges} exchanges");
        assert!(exchanges >= 2);
        // Two can have ended by now, and one more is under way.
        run_until(&mut proxy, |_| {
            handle.resolve();
            started.elapsed() > Duration::from_millis(3500)
        });
        assert!((2..=3).contains(&name.resolved()), "{}", name.resolved());
    });
}

#[test]
fn refused_sessions_and_new_ones_ask_the_next_address() {
    within(MINUTE, || {
        let (dead, _unforked) = dead_service();
        for other in ["127.0.0.1:0", "[::1]:0"] {
            let service = Service::echo(other);
            let name = Name::of(&[dead, service.address]);
            let mut proxy = Proxy::builder().bind("127.0.0.1:0", name.clone()).unwrap();
            let (refused, fresh) = (client(proxy.local_addr()), client(proxy.local_addr()));
            assert_eq!(exchange(&mut proxy, &refused, b"a"), b"a", "{other}");
            assert_eq!(proxy.upstream_addr(), service.address);
            // It knows by now, so the first datagram gets through.
            fresh.send(b"b").unwrap();
            run_until(&mut proxy, |proxy| proxy.stats().to_client.passed == 2);
            assert_eq!(hear(&fresh), b"b");
            run_until(&mut proxy, |_| name.resolved() == 2);
            let stats = balanced(proxy.stats());
            assert_eq!((stats.opened, stats.sessions, stats.evicted), (2, 2, 0), "{other}");
            assert!(stats.path_errors > 0);
        }
    });
}

#[test]
fn a_service_that_comes_back_is_found_again_among_addresses_that_all_refuse() {
    within(MINUTE, || {
        let [(one, _unforked), (other, _unforked_either)] = [dead_service(), dead_service()];
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", Name::of(&[one, other])).unwrap();
        let client = client(proxy.local_addr());
        for n in 0..7 {
            client.send(&[n]).unwrap();
            proxy.run_for(10 * MS).unwrap();
        }
        for back in [one, other] {
            let service = Service::echo(&back.to_string());
            assert_eq!(exchange(&mut proxy, &client, b"back?"), b"back?");
            assert_eq!(proxy.upstream_addr(), back);
            service.stop();
            // Until its socket is closed.
            while UdpSocket::bind(back).is_err() {
                thread::sleep(MS);
            }
        }
        let stats = balanced(proxy.stats());
        assert_eq!((stats.opened, stats.unserved), (1, 0), "a refused session moves, and none is new");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_cannot_be_reached_is_passed_over_and_alone_is_told() {
    within(MINUTE, || {
        // The broadcast address of loopback, which the system forbids to send to.
        let service = Service::echo("127.0.0.1:0");
        let forbidden: SocketAddr = "127.255.255.255:9".parse().unwrap();
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", Name::of(&[forbidden, service.address])).unwrap();
        let asking = client(proxy.local_addr());
        assert_eq!(exchange(&mut proxy, &asking, b"x"), b"x");
        assert_eq!((proxy.upstream_addr(), proxy.stats().unserved), (service.address, 0));
        assert!(proxy.unserved_error().is_none());

        let mut alone = Proxy::builder().bind("127.0.0.1:0", forbidden).unwrap();
        client(alone.local_addr()).send(b"x").unwrap();
        run_until(&mut alone, |proxy| proxy.stats().unserved == 1);
        let stats = alone.stats();
        assert_eq!((stats.unserved_by.unreachable, stats.unserved_by.total(), stats.opened), (1, 1, 0));
        let error = alone.unserved_error().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    });
}

/// As TFTP: each client is answered from a port of its own.
#[test]
fn any_port_of_the_service_may_answer_and_is_answered() {
    within(MINUTE, || {
        let (service, transfer) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let mut proxy = Proxy::builder().any_port().bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let asking = client(proxy.local_addr());
        asking.send(b"read").unwrap();
        run_until(&mut proxy, |proxy| proxy.stats().to_server.passed == 1);
        let (request, session) = hear_from(&service);
        assert_eq!(request, b"read");
        for n in 0..3_u8 {
            transfer.send_to(&[b'd', n], session).unwrap();
            run_until(&mut proxy, |proxy| proxy.stats().to_client.passed == u64::from(n) + 1);
            assert_eq!(hear(&asking), [b'd', n]);
            asking.send(&[b'a', n]).unwrap();
            run_until(&mut proxy, |proxy| proxy.stats().to_server.passed == u64::from(n) + 2);
            assert_eq!(hear(&transfer), [b'a', n]);
        }
        // Another client begins at the service.
        let other = client(proxy.local_addr());
        other.send(b"read").unwrap();
        run_until(&mut proxy, |proxy| proxy.stats().to_server.passed == 5);
        assert_eq!(hear(&service), b"read");

        // Without it, nothing but the service itself is received.
        let mut proxy = Proxy::builder().bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let asking = client(proxy.local_addr());
        asking.send(b"read").unwrap();
        run_until(&mut proxy, |proxy| proxy.stats().to_server.passed == 1);
        let (_, session) = hear_from(&service);
        transfer.send_to(b"data", session).unwrap();
        proxy.run_for(30 * MS).unwrap();
        assert!(is_silent(&asking));
        assert_eq!((proxy.stats().to_client.fates.received, proxy.stats().strangers), (0, 0));
    });
}

/// All of 127.0.0.0/8 are hosts of their own to a proxy.
#[cfg(target_os = "linux")]
#[test]
fn strangers_and_the_proxy_itself_are_no_port_of_the_service() {
    within(MINUTE, || {
        let (service, stranger) = (socket("127.0.0.1:0"), socket("127.0.0.2:0"));
        let mut proxy = Proxy::builder().any_port().bind("127.0.0.1:0", service.local_addr().unwrap()).unwrap();
        let asking = client(proxy.local_addr());
        asking.send(b"x").unwrap();
        run_until(&mut proxy, |proxy| proxy.stats().to_server.passed == 1);
        let (_, session) = hear_from(&service);
        for n in 1..=3 {
            stranger.send_to(b"forged", session).unwrap();
            run_until(&mut proxy, |proxy| proxy.stats().strangers == n);
        }
        // What the session's socket sends to the proxy would be a client of its own, and come back for ever.
        service.send_to(b"reply", session).unwrap();
        run_until(&mut proxy, |proxy| proxy.stats().to_client.passed == 1);
        assert_eq!(hear(&asking), b"reply");
        assert!(is_silent(&asking));
        let stats = balanced(proxy.stats());
        assert_eq!((stats.to_client.fates.received, stats.strangers, stats.opened), (1, 3, 1));
    });
}

/// A packet of IPv6 holds 20 bytes more than one of IPv4.
#[cfg(target_os = "linux")]
#[test]
fn a_copy_that_no_packet_of_the_other_family_can_hold_is_counted_in_either_direction() {
    within(MINUTE, || {
        let largest_v6 = vec![6; 65_527];
        if UdpSocket::bind("[::1]:0").is_err() {
            return;
        }
        for (listen, service, to_server) in [("[::1]:0", "127.0.0.1:0", true), ("127.0.0.1:0", "[::1]:0", false)] {
            let service = socket(service);
            let mut proxy = Proxy::builder().bind(listen, service.local_addr().unwrap()).unwrap();
            let asking = client(proxy.local_addr());
            asking.send(if to_server { &largest_v6[..] } else { b"?" }).unwrap();
            if !to_server {
                run_until(&mut proxy, |proxy| proxy.stats().to_server.passed == 1);
                let (_, session) = hear_from(&service);
                service.send_to(&largest_v6, session).unwrap();
            }
            run_until(&mut proxy, |proxy| proxy.stats().too_big == 1);
            let stats = balanced(proxy.stats());
            let failed = [stats.to_server.failed, stats.to_client.failed];
            assert_eq!((failed, stats.path_errors), (if to_server { [1, 0] } else { [0, 1] }, 0), "{listen}");
        }
    });
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let (taken, service) = (socket("127.0.0.1:0"), "127.0.0.1:9");
    let taken = taken.local_addr().unwrap();
    let refused = Proxy::builder().bind(taken, service).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "{refused}");
    assert!(refused.to_string().starts_with(&format!("cannot listen on {taken}: ")), "{refused}");
}

#[test]
fn no_setting_and_no_address_is_taken_that_cannot_serve() {
    within(MINUTE, || {
        let refused = |builder: udp_retry::proxy::ProxyBuilder, upstream: &str| {
            let error = builder.bind("127.0.0.1:0", upstream.to_owned()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{upstream}: {error}");
            error.to_string()
        };
        for idle in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(999_999)] {
            let error = refused(Proxy::builder().idle(idle), "127.0.0.1:9");
            assert!(error.contains("before its reply"), "{error}");
        }
        assert!(Proxy::builder().idle(MS).bind("127.0.0.1:0", "127.0.0.1:9").is_ok());
        for any_port in [false, true] {
            let builder = || if any_port { Proxy::builder().any_port() } else { Proxy::builder() };
            assert!(refused(builder(), "127.0.0.1:0").contains("port from 1"));
            for group in ["255.255.255.255:9", "224.0.0.251:9", "[ff02::1]:9"] {
                assert!(refused(builder(), group).contains("broadcast or multicast"), "{group}");
            }
        }
    });
}

#[test]
fn one_exchange_is_all_that_a_short_idle_time_allows() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let proxy = crate::tools::Running::start(Proxy::builder().idle(30 * MS), service.address);
        let client = client(proxy.address);
        for n in 0..5_u8 {
            assert_eq!(ask(&client, &[n]), [n]);
            proxy.until(|stats| stats.expired == u64::from(n) + 1);
        }
        assert_eq!(proxy.stop().opened, 5);
    });
}
