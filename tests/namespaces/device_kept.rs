//! A socket that is bound to a device leaves by no other, whatever becomes of it or of the device: two devices lead to
//! a server of the same address, and routing prefers the other.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use socket2::SockRef;
use udp_retry::net::UdpPaths;
use udp_retry::policy::Backoff;
use udp_retry::requester::Builder;
use udp_retry::transaction::{Execution, Failure, Request};
use udp_retry::transport::{PathIndex, Renewal, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::again::this_test;
use crate::hosts::{Host, Server, address, may_have_networks, own_network};
use crate::inside::run;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn whatever_happens_to_the_socket_nothing_leaves_by_another_device() {
    each_family(this_test!(), |ways| ways.check_socket(Ways::given, || {}));
}

#[test]
fn nor_does_it_without_privileges() {
    each_family(this_test!(), |ways| ways.check_socket(Ways::given, lose_privileges));
}

/// `SO_BINDTOIFINDEX`.
#[test]
fn a_device_that_was_bound_by_its_number_is_kept_as_one_bound_by_its_name() {
    each_family(this_test!(), |ways| {
        ways.check_socket(Ways::given_by_number, || {});
        ways.check_socket(Ways::given_by_number, lose_privileges);
    });
}

#[test]
fn while_the_device_is_gone_nothing_leaves_and_once_it_is_made_again_it_is_used_again() {
    each_family(this_test!(), |ways| {
        for bound in [Ways::given, Ways::given_by_number, Ways::lent, Ways::lent_by_number] {
            for builder in [by_id(), by_port()] {
                let mut requester = builder.over(UdpPaths::from(bound(ways))).unwrap();
                // A device that was bound while the socket was lent is known from the first request on, answered or not.
                let _ = requester.request(Request::new(b"0001 present").deadline(50 * MS));
                run("ip link del v0");
                ways.is_not_sent(&mut requester);
                ways.lay(&ways.right, "v0", 9, 20);
                ways.is_answered(&mut requester, "back");
                ways.is_answered(&mut requester, "still there");
            }
        }
    });
}

#[test]
fn a_device_that_the_caller_changes_later_is_the_one_that_is_kept() {
    each_family(this_test!(), |ways| {
        let mut requester = by_port().over(UdpPaths::from(ways.given())).unwrap();
        ways.is_answered(&mut requester, "bound");
        let socket = requester.transport().socket(PathIndex::FIRST).unwrap().as_socket();
        SockRef::from(socket).bind_device(None).unwrap();
        assert_eq!(requester.request(b"0001 free").unwrap().payload(), b"0001 free");
        let elsewhere = ways.wrong_server.received();
        assert!(matches!(&elsewhere[..], [(_, text)] if text == b"0001 free"), "{elsewhere:?}");
        SockRef::from(requester.transport().socket(PathIndex::FIRST).unwrap().as_socket())
            .bind_device(Some(b"v0"))
            .unwrap();
        ways.is_answered(&mut requester, "bound again");
        ways.is_answered(&mut requester, "and again");
    });
}

#[test]
fn a_device_that_gets_another_name_is_still_the_one() {
    each_family(this_test!(), |ways| {
        for bound in [Ways::given, Ways::given_by_number] {
            let mut requester = by_port().over(UdpPaths::from(bound(ways))).unwrap();
            ways.is_answered(&mut requester, "before");
            run("ip link set v0 down");
            run("ip link set v0 name v5 up");
            ways.configure(&ways.right, "v5", 9, 20);
            ways.is_answered(&mut requester, "renamed");
            requester.transport_mut().renew(PathIndex::FIRST, Renewal::Required).unwrap();
            ways.is_answered(&mut requester, "renamed and renewed");
            assert_eq!(
                SockRef::from(requester.transport().socket(PathIndex::FIRST).unwrap().as_socket())
                    .device()
                    .unwrap()
                    .as_deref(),
                Some(&b"v5"[..])
            );
            run("ip link set v5 down");
            run("ip link set v5 name v0 up");
            ways.configure(&ways.right, "v0", 9, 20);
        }
    });
}

fn each_family(test: &'static str, check: impl Fn(&Ways) + Send + Copy + 'static) {
    within(MINUTE, move || {
        if !may_have_networks(test) {
            return;
        }
        for family in [Family { v6: false }, Family { v6: true }] {
            // Each in a network of its own, on a thread of its own.
            let checked = thread::spawn(move || {
                own_network();
                check(&Ways::new(family));
            });
            checked.join().unwrap();
        }
    });
}

#[derive(Clone, Copy)]
struct Family {
    v6: bool,
}

/// Two hosts of one address: the right one behind the device `v0`, the wrong one behind `o0`.
struct Ways {
    family: Family,
    right: Host,
    right_server: Server,
    wrong_server: Server,
}

impl Ways {
    fn new(family: Family) -> Self {
        let [right, wrong] = [(); 2].map(|()| Host::new());
        let server = |host: &Host| {
            host.run(&address(if family.v6 { "fd99::1/128" } else { "10.99.0.1/32" }, "lo"));
            host.echo(if family.v6 { "[fd99::1]:1060" } else { "10.99.0.1:1060" })
        };
        let (right_server, wrong_server) = (server(&right), server(&wrong));
        let ways = Self { family, right, right_server, wrong_server };
        ways.lay(&ways.right, "v0", 9, 20);
        ways.lay(&wrong, "o0", 8, 10);
        ways
    }

    /// A device to a host, its addresses and the route over it.
    fn lay(&self, host: &Host, device: &str, net: u8, metric: u32) {
        host.cable(device, "s0");
        self.configure(host, device, net, metric);
    }

    fn configure(&self, host: &Host, device: &str, net: u8, metric: u32) {
        let (here, there) = match self.family.v6 {
            true => (format!("fd0{net}::1/64"), format!("fd0{net}::2")),
            false => (format!("10.{net}.0.1/24"), format!("10.{net}.0.2")),
        };
        run(&address(&here, device));
        host.run(&address(&format!("{there}/{}", if self.family.v6 { 64 } else { 24 }), "s0"));
        run(&format!("ip route replace {} via {there} dev {device} metric {metric}", self.server().ip()));
    }

    fn server(&self) -> SocketAddr {
        self.right_server.address
    }

    fn any(&self) -> &'static str {
        if self.family.v6 { "[::]:0" } else { "0.0.0.0:0" }
    }

    /// A socket of the caller's, bound to `v0`.
    fn given(&self) -> ConnectedUdp {
        let socket = UdpSocket::bind(self.any()).unwrap();
        SockRef::from(&socket).bind_device(Some(b"v0")).unwrap();
        socket.connect(self.server()).unwrap();
        ConnectedUdp::from_socket(socket).unwrap()
    }

    /// A socket of our own, bound to `v0` while it was lent.
    fn lent(&self) -> ConnectedUdp {
        let client = ConnectedUdp::connect(self.server()).unwrap();
        SockRef::from(client.as_socket()).bind_device(Some(b"v0")).unwrap();
        client
    }

    fn given_by_number(&self) -> ConnectedUdp {
        let socket = UdpSocket::bind(self.any()).unwrap();
        self.bind_by_number(&socket);
        socket.connect(self.server()).unwrap();
        ConnectedUdp::from_socket(socket).unwrap()
    }

    fn lent_by_number(&self) -> ConnectedUdp {
        let client = ConnectedUdp::connect(self.server()).unwrap();
        self.bind_by_number(client.as_socket());
        client
    }

    fn bind_by_number(&self, socket: &UdpSocket) {
        let (socket, number) = (SockRef::from(socket), NonZeroU32::new(if_nametoindex("v0").unwrap()));
        let bound = match self.family.v6 {
            true => socket.bind_device_by_index_v6(number),
            false => socket.bind_device_by_index_v4(number),
        };
        bound.unwrap();
    }

    /// `privileges` is done on each thread that uses the socket.
    fn check_socket(&self, bound: fn(&Self) -> ConnectedUdp, privileges: fn()) {
        for builder in [by_id(), by_port()] {
            let mut requester = builder.over(UdpPaths::from(bound(self))).unwrap();
            on_thread(privileges, || {
                for n in 0..20 {
                    self.is_answered(&mut requester, &format!("request {n}"));
                }
                for need in [Renewal::Advised, Renewal::Required, Renewal::Required] {
                    requester.transport_mut().renew(PathIndex::FIRST, need).unwrap();
                    self.is_answered(&mut requester, "renewed");
                }
                for n in 0..3 {
                    cancelled(&mut requester, n);
                    self.is_answered(&mut requester, "after a cancellation");
                }
            });
            run("ip link set v0 down");
            on_thread(privileges, || self.is_not_sent(&mut requester));
            run("ip link set v0 up");
            self.configure(&self.right, "v0", 9, 20);
            on_thread(privileges, || self.is_answered(&mut requester, "up again"));
            run("ip link del v0");
            on_thread(privileges, || self.is_not_sent(&mut requester));
            self.lay(&self.right, "v0", 9, 20);
            on_thread(privileges, || self.is_answered(&mut requester, "repaired"));
            let socket = SockRef::from(requester.transport().socket(PathIndex::FIRST).unwrap().as_socket());
            assert_eq!(socket.device().unwrap().as_deref(), Some(&b"v0"[..]));
            let number = if self.family.v6 { socket.device_index_v6() } else { socket.device_index_v4() };
            assert_eq!(number.unwrap().map(NonZeroU32::get), Some(if_nametoindex("v0").unwrap()));
        }
    }

    fn is_not_sent(&self, requester: &mut ReliableRequester) {
        for n in 0..3 {
            let text = format!("000{n} lost");
            let error = requester.request(Request::new(text.as_bytes()).deadline(120 * MS)).unwrap_err();
            assert_eq!(error.execution(), Execution::NotSent, "{error}");
            let _ = requester.transport_mut().renew(PathIndex::FIRST, Renewal::Required);
            let _ = requester.transport_mut().send(PathIndex::FIRST, b"leak");
        }
    }

    /// By the right server, while the wrong one receives nothing.
    #[track_caller]
    fn is_answered(&self, requester: &mut ReliableRequester, what: &str) {
        // Each has an id of its own, so that a reply that is late is no other's.
        static IDS: AtomicU32 = AtomicU32::new(1000);
        let request = format!("{}: {what}", IDS.fetch_add(1, Ordering::Relaxed));
        let answered = requester.request(request.as_bytes()).map(|reply| reply.payload() == request.as_bytes());
        assert!(answered.as_ref().is_ok_and(|&same| same), "{what}: {answered:?}");
        assert_eq!(self.wrong_server.received(), [], "{what}");
        assert!(!self.right_server.received().is_empty(), "{what}");
    }
}

fn cancelled(requester: &mut ReliableRequester, n: u32) {
    let handle = requester.cancel_handle().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(20 * MS);
            handle.cancel();
        });
        let text = format!("000{n} silent");
        let error = requester.request(Request::new(text.as_bytes()).policy(&RetryPolicy::LAN)).unwrap_err();
        assert_eq!(error.failure(), Failure::Cancelled);
    });
}

fn on_thread(privileges: fn(), act: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(move || {
            privileges();
            act();
        });
    });
}

/// Of this thread alone.
fn lose_privileges() {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(SockRef::from(&socket).set_mark(1).is_err(), "it has privileges");
}

fn by_id() -> Builder {
    ReliableRequester::builder(transaction_id(0..4)).policy(soon())
}

fn by_port() -> Builder {
    ReliableRequester::builder(any_reply()).policy(soon())
}

fn soon() -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(100 * MS).unwrap()).with_max_transmissions(3).unwrap()
}
