//! What the system says of a datagram, for real and on Linux: which `PathError` it becomes on a send and on a receive,
//! how a request ends that meets nothing else, and that the same request succeeds once the cause is gone.
//!
//! Routes, policies and routers are those of network namespaces (`tests/namespaces/inside.rs`).
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, processes and clocks are the point"
)]

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use crate::again::this_test;
use crate::inside::{Inside, PORT, run, run_at};
use crate::offers::Offers;
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};
use udp_retry::net::{Fragmentation, classify, set_fragmentation};
use udp_retry::policy::Backoff;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Event, Execution, Failure, OnUnreachable, ReplyMatcher};
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RequestError, RetryPolicy, any_reply, transaction_id};

const MS: Duration = Duration::from_millis(1);

/// What breaks the way to the server, what repairs it, and what the system then says of a send.
const LOCAL: [(&str, &str, PathError); 6] = [
    ("ip route add unreachable SERVER", "ip route del unreachable SERVER", PathError::Unreachable), // EHOSTUNREACH
    ("ip route add throw SERVER", "ip route del throw SERVER", PathError::Unreachable),             // ENETUNREACH
    ("ip link set DEVICE down", "ip link set DEVICE up", PathError::Unreachable),                   // ENETUNREACH
    ("ip route add prohibit SERVER", "ip route del prohibit SERVER", PathError::Denied),            // EACCES
    // EPERM, as a firewall says; without a firewall's program.
    ("ip xfrm policy add dir out dst SERVER action block", "ip xfrm policy flush", PathError::Denied),
    ("ip route add blackhole SERVER", "ip route del blackhole SERVER", PathError::Other(22)), // EINVAL
];

#[test]
fn a_send_without_a_way_out_says_why_and_the_socket_outlives_it() {
    within(MINUTE, || {
        each_local_error(this_test!(), |network, error, way| {
            let mut client = ConnectedUdp::connect((network.server4.as_str(), PORT)).unwrap();
            run(&way.block);
            for _ in 0..3 {
                assert_eq!(client.send(PathIndex::FIRST, b"0001"), Err(error));
                assert_eq!(client.offer(PathIndex::FIRST, b"0001"), Err(error));
                assert_eq!(heard(&mut client, Duration::ZERO), Ok(None), "nothing was sent, so nothing comes back");
            }
            let refused = ConnectedUdp::connect((network.server4.as_str(), PORT)).map(drop).unwrap_err();
            assert_eq!(classify(&refused), error);
            run(&way.open);
            // A link that came up takes its time.
            let answered = (0..30).any(|_| {
                assert_eq!(client.offer(PathIndex::FIRST, b"0002"), Ok(None));
                heard(&mut client, 200 * MS) == Ok(Some(b"0002".to_vec()))
            });
            assert!(answered);
        });
    });
}

#[test]
fn a_request_without_a_way_out_keeps_its_schedule_and_says_that_it_was_not_sent() {
    within(MINUTE, || {
        each_local_error(this_test!(), |network, error, way| {
            let mut requester = requester(network, by_id(), OnUnreachable::KeepTrying, constant(40 * MS, 4));
            run(&way.block);
            let expected = if error == PathError::Unreachable { Failure::Unreachable } else { Failure::Local(error) };
            // Other work may make a slot pass, but not in every round.
            let complete = (0..8).any(|_| {
                let failed = requester.request(b"0001 anyone?").unwrap_err();
                assert_eq!((failed.failure(), failed.execution()), (expected, Execution::NotSent));
                assert_eq!((failed.transmissions(), failed.last_path_error()), (0, Some(error)));
                let events = failed.timeline().events();
                let attempts: Vec<_> =
                    events.filter(|(_, event)| not_transmitted(*event).is_some()).map(|(at, _)| at).collect();
                assert!(attempts.iter().zip(0..).all(|(&at, slot)| at >= slot * 40 * MS), "{}", failed.timeline());
                assert!(failed.elapsed() >= 160 * MS && attempts.len() <= 4, "{}", failed.timeline());
                attempts.len() == 4
            });
            assert!(complete, "a slot is missing in every round");
            run(&way.open);
            // A link that came up takes its time.
            assert!((0..30).any(|_| requester.request(b"0002 anyone?").is_ok()));
        });
    });
}

#[test]
fn a_request_gets_its_reply_once_the_way_is_open() {
    within(MINUTE, || {
        replied_once_open(this_test!(), by_id);
    });
}

#[test]
fn a_request_that_needs_a_fresh_port_gets_it_and_its_reply_once_the_way_is_open() {
    within(MINUTE, || {
        replied_once_open(this_test!(), by_port);
    });
}

#[test]
fn whoever_cannot_wait_is_told_at_once_that_no_way_leads_there() {
    within(MINUTE, || {
        each_local_error(this_test!(), |network, error, way| {
            let hasty = |matcher| requester(network, matcher, OnUnreachable::FailFast, constant(500 * MS, 2));
            let requesters = [by_id(), by_port()].map(hasty);
            run(&way.block);
            let ask = |mut requester: ReliableRequester| {
                let failed = requester.request(b"0001 anyone?").unwrap_err();
                assert_eq!((failed.execution(), failed.last_path_error()), (Execution::NotSent, Some(error)));
                let (unreachable, elapsed) = (error == PathError::Unreachable, failed.elapsed());
                assert_eq!(failed.failure(), if unreachable { Failure::Unreachable } else { Failure::Local(error) });
                // Anything else is no news of the peer.
                assert!(if unreachable { elapsed < 450 * MS } else { elapsed >= 1000 * MS }, "{}", failed.timeline());
            };
            thread::scope(|scope| requesters.map(|requester| _ = scope.spawn(move || ask(requester))));
            run(&way.open);
        });
    });
}

#[test]
fn a_router_that_prohibits_the_way_is_heard_on_the_receive_or_by_the_next_send() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "chain") else { return };
        // EHOSTUNREACH, and EACCES, which on a send means a rule of this host.
        let servers = [
            ("ip route", &network.server4, PathError::Unreachable),
            ("ip -6 route", &network.server6, PathError::Denied),
        ];
        for (route, server, on_send) in servers {
            let (error, failure) = (PathError::Unreachable, Failure::Unreachable);
            let _server = network.echo(server);
            let mut client = ConnectedUdp::connect((server.as_str(), PORT)).unwrap();
            run_at("PM_ROUTER", &format!("{route} add prohibit {server}"));
            client.send(PathIndex::FIRST, b"0001").unwrap();
            assert_eq!(heard(&mut client, 2000 * MS), Err(error), "on the receive");
            client.send(PathIndex::FIRST, b"0002").unwrap();
            thread::sleep(100 * MS);
            assert_eq!(client.send(PathIndex::FIRST, b"0003"), Ok(()), "issued again by the send itself");
            assert_eq!(reported(&mut client), (error, b"0002".to_vec()), "and then on the receive, as the other's");
            assert_eq!(reported(&mut client), (error, b"0003".to_vec()));

            let builder = |on_unreachable, policy| {
                let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
                builder.on_unreachable(on_unreachable).connect((server.as_str(), PORT)).unwrap()
            };
            let kept = builder(OnUnreachable::KeepTrying, constant(250 * MS, 2)).request(b"0004").unwrap_err();
            assert_eq!((kept.failure(), kept.execution()), (failure, Execution::Refused), "{}", kept.timeline());
            assert_eq!((kept.transmissions(), kept.last_path_error()), (2, Some(error)));
            assert!(kept.elapsed() >= 500 * MS);

            // Five in a row, and then one a second, is what a router says at most.
            thread::sleep(6600 * MS);
            let mut lent = ConnectedUdp::connect((server.as_str(), PORT)).unwrap();
            let _ = lent.as_socket();
            lent.send(PathIndex::FIRST, b"0002").unwrap();
            thread::sleep(100 * MS);
            assert_eq!(
                lent.offer(PathIndex::FIRST, b"0003"),
                Ok(Some(on_send)),
                "on the next send, which is to be repeated"
            );
            let hasty = builder(OnUnreachable::FailFast, constant(250 * MS, 2)).request(b"0005").unwrap_err();
            assert_eq!((hasty.failure(), hasty.transmissions()), (failure, 1), "{}", hasty.timeline());

            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(150 * MS);
                    run_at("PM_ROUTER", &format!("{route} del prohibit {server}"));
                });
                let mut patient = builder(OnUnreachable::KeepTrying, constant(50 * MS, 100));
                let reply = patient.request(b"0006").unwrap();
                assert!(reply.transmissions() >= 3 && reply.payload() == b"0006", "{}", reply.timeline());
            });
        }
    });
}

#[test]
fn a_closed_port_is_told_on_the_receive_or_by_the_next_send() {
    within(MINUTE, || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let mut client = ConnectedUdp::connect(address).unwrap();
        client.send(PathIndex::FIRST, b"0001").unwrap();
        assert_eq!(heard(&mut client, 1000 * MS), Err(PathError::Refused));
        assert_eq!(heard(&mut client, Duration::ZERO), Ok(None), "once");
        client.send(PathIndex::FIRST, b"0002").unwrap();
        assert_eq!(client.send(PathIndex::FIRST, b"0003"), Ok(()), "issued again by the send itself");
        assert_eq!(
            reported(&mut client),
            (PathError::Refused, b"0002".to_vec()),
            "and then on the receive, as the other's"
        );
        assert_eq!(reported(&mut client), (PathError::Refused, b"0003".to_vec()));
        assert_eq!(heard(&mut client, Duration::ZERO), Ok(None), "once");
        // Whose it was, a socket that others have too does not learn.
        let _ = client.as_socket();
        client.send(PathIndex::FIRST, b"0002").unwrap();
        assert_eq!(client.send(PathIndex::FIRST, b"0003"), Err(PathError::Refused));
        assert_eq!(client.offer(PathIndex::FIRST, b"0004"), Ok(None));

        let ask = |on_unreachable, policy: RetryPolicy| {
            let builder =
                ReliableRequester::builder(transaction_id(0..4)).policy(policy).on_unreachable(on_unreachable);
            builder.connect(address).unwrap()
        };
        let kept = ask(OnUnreachable::KeepTrying, constant(200 * MS, 3)).request(b"0005").unwrap_err();
        assert_eq!((kept.failure(), kept.execution()), (Failure::Refused, Execution::Refused));
        assert_eq!((kept.transmissions(), kept.last_path_error()), (3, Some(PathError::Refused)));
        assert!(kept.elapsed() >= 600 * MS);
        let hasty = ask(OnUnreachable::FailFast, constant(2000 * MS, 3)).request(b"0006").unwrap_err();
        assert_eq!((hasty.failure(), hasty.transmissions()), (Failure::Refused, 1));
        assert!(hasty.elapsed() < 1000 * MS, "{:?}", hasty.elapsed());

        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(130 * MS);
                let server = UdpSocket::bind(address).unwrap();
                server.set_read_timeout(Some(5000 * MS)).unwrap();
                let (len, from) = server.recv_from(&mut [0; 64]).unwrap();
                server.send_to(&b"0007"[..len], from).unwrap();
            });
            let mut patient = ask(OnUnreachable::KeepTrying, constant(50 * MS, 100));
            let reply = patient.request(b"0007").unwrap();
            assert!(reply.transmissions() >= 3, "{}", reply.timeline());
        });
    });
}

#[test]
fn what_no_datagram_or_no_interface_can_hold_fails_at_once() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut client = ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap();
        assert_eq!(client.send(PathIndex::FIRST, &[0; 65_508]), Err(too_big(65_507)));
        too_large(
            ReliableRequester::builder(transaction_id(0..4)).over(client).unwrap().request(&[0; 65_508]),
            65_508,
            65_507,
        );

        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        let _server = network.echo(&network.server4);
        let mut requester = requester(&network, by_id(), OnUnreachable::KeepTrying, constant(500 * MS, 5));
        set_fragmentation(
            requester.transport().socket(PathIndex::FIRST).unwrap().as_socket(),
            Fragmentation::Forbidden,
        )
        .unwrap();
        assert_eq!(requester.request(request(1000)).unwrap().transmissions(), 1);
        run(&format!("ip link set {} mtu 600", network.device));
        too_large(requester.request(request(573)), 573, 572);
        assert_eq!(requester.transport_mut().send(PathIndex::FIRST, &request(573)), Err(too_big(572)));
        assert_eq!(requester.request(request(572)).unwrap().payload(), request(572));
        run(&format!("ip link set {} mtu 1500", network.device));
        assert_eq!(requester.request(request(1472)).unwrap().transmissions(), 1, "the socket is none the worse");
    });
}

#[test]
fn an_earlier_datagram_that_was_too_big_costs_the_next_request_no_transmission() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "chain") else { return };
        for server in [&network.server4, &network.server6] {
            let (_server, overhead) = (network.echo(server), if server.contains(':') { 48 } else { 28 });
            let policy = constant(1000 * MS, 3);
            let mut requester = ReliableRequester::builder(transaction_id(0..4))
                .policy(policy)
                .connect((server.as_str(), PORT))
                .unwrap();
            set_fragmentation(
                requester.transport().socket(PathIndex::FIRST).unwrap().as_socket(),
                Fragmentation::Forbidden,
            )
            .unwrap();
            // It leaves the interface; the router, whose next link holds 1400 bytes, reports it.
            requester.transport_mut().send(PathIndex::FIRST, &request(1500 - overhead)).unwrap();
            thread::sleep(100 * MS);
            let reply = requester.request(b"0001 small").unwrap();
            assert_eq!((reply.payload(), reply.transmissions()), (&b"0001 small"[..], 1), "{}", reply.timeline());
            assert!(reply.elapsed() < 900 * MS, "not by waiting: {}", reply.timeline());
            let told = |&(_, event): &(Duration, Event)| {
                matches!(event, Event::PathError { error: PathError::TooBig { .. }, .. })
            };
            assert_eq!(reply.timeline().events().filter(told).count(), 1, "{}", reply.timeline());
            too_large(requester.request(request(1401 - overhead)), 1401 - overhead, (1400 - overhead) as u16);
        }
    });
}

/// The way to the server.
struct Way {
    block: String,
    open: String,
}

fn each_local_error(test: &'static str, check: impl Fn(&Inside, PathError, &Way)) {
    let Some(network) = Inside::of(test, "direct") else { return };
    let _server = network.echo(&network.server4);
    for (block, open, error) in LOCAL {
        println!("{block}: {error:?}");
        let [block, open] =
            [block, open].map(|text| text.replace("SERVER", &network.server4).replace("DEVICE", &network.device));
        check(&network, error, &Way { block, open });
    }
}

fn replied_once_open(test: &'static str, matcher: impl Fn() -> Matcher) {
    each_local_error(test, |network, error, way| {
        let mut requester = requester(network, matcher(), OnUnreachable::KeepTrying, constant(50 * MS, 100));
        run(&way.block);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(120 * MS);
                run(&way.open);
            });
            let reply = requester.request(b"0001 anyone?").unwrap();
            assert_eq!(reply.payload(), b"0001 anyone?");
            let vain: Vec<_> = reply.timeline().events().filter_map(|(_, event)| not_transmitted(event)).collect();
            assert!(vain.len() >= 2, "{}", reply.timeline());
            assert!(vain.iter().all(|&why| why == error), "{}", reply.timeline());
            assert!(reply.elapsed() >= 100 * MS, "{}", reply.timeline());
        });
    });
}

type Matcher = Box<dyn ReplyMatcher + Send + Sync>;

fn by_id() -> Matcher {
    Box::new(transaction_id(0..4))
}

fn by_port() -> Matcher {
    Box::new(any_reply())
}

fn requester(network: &Inside, by: Matcher, on_unreachable: OnUnreachable, policy: RetryPolicy) -> ReliableRequester {
    let builder = ReliableRequester::builder(by).policy(policy).on_unreachable(on_unreachable);
    builder.connect((network.server4.as_str(), PORT)).unwrap()
}

/// Why a transmission was not made, if that is what happened.
fn not_transmitted(event: Event) -> Option<PathError> {
    match event {
        Event::NotTransmitted { error, .. } => Some(error),
        _ => None,
    }
}

#[track_caller]
fn too_large(outcome: Result<udp_retry::requester::Reply<'_>, RequestError>, len: usize, limit: u16) {
    let error = outcome.unwrap_err();
    let Failure::TooLarge { len: told, limit: most, .. } = error.failure() else { panic!("{error}") };
    assert_eq!((told as usize, most), (len, Some(Plpmtu::new(limit))));
    assert_eq!((error.transmissions(), error.execution()), (0, Execution::NotSent));
    assert_eq!(error.last_path_error(), Some(too_big(limit)));
    assert!(error.elapsed() < 400 * MS, "{:?}", error.elapsed());
}

fn too_big(limit: u16) -> PathError {
    PathError::too_big(Some(Plpmtu::new(limit)))
}

fn request(len: usize) -> Vec<u8> {
    vec![b'x'; len]
}

fn heard(client: &mut ConnectedUdp, patience: Duration) -> Result<Option<Vec<u8>>, PathError> {
    let mut buffer = [0; 64];
    let until = client.now().after(patience);
    Ok(client.wait(&mut buffer, until)?.map(|heard| buffer[..heard.len].to_vec()))
}

/// An error, and the datagram that met it.
fn reported(client: &mut ConnectedUdp) -> (PathError, Vec<u8>) {
    let (mut buffer, now) = ([0; 64], client.now());
    match client.recv(&mut buffer, now, now.after(2000 * MS)) {
        Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted } => (error, buffer[..quoted].to_vec()),
        other => panic!("{other:?}"),
    }
}

fn constant(interval: Duration, transmissions: u32) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(interval).unwrap()).with_max_transmissions(transmissions).unwrap()
}
