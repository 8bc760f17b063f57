//! What is sent to all of a segment.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Happened, HostId, Outbox, SimError, SimNet, SimUnconnected, check_determinism};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, PathIndex, Route, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{at, balanced, hear, ip, ms, recording, spec};
use crate::waits::Waits;

#[test]
fn a_broadcast_reaches_every_socket_of_the_segment_that_is_bound_to_the_wildcard() {
    for to in ["255.255.255.255:7", "10.0.0.255:7"] {
        let (net, hosts) = segment(3);
        let beyond = net.host(ip("10.0.1.1")).unwrap();
        let mut asking = net.bind_broadcast(hosts[0], at("0.0.0.0:0")).unwrap();
        let mut hearing: Vec<_> = hosts[..2].iter().map(|&host| net.bind(host, at("0.0.0.0:7")).unwrap()).collect();
        let mut deaf = [
            net.bind(hosts[2], at("10.0.0.3:7")).unwrap(),
            net.bind(hosts[2], at("0.0.0.0:8")).unwrap(),
            net.bind(beyond, at("0.0.0.0:7")).unwrap(),
        ];
        asking.send(asking.route_to(at(to)), b"all").unwrap();
        let asker = SocketAddr::new(ip("10.0.0.1"), asking.local_addr().port());
        for (end, own) in hearing.iter_mut().zip(["10.0.0.1:7", "10.0.0.2:7"]) {
            let heard = end.wait(&mut [0; 8], net.now()).unwrap().expect("the sender's own host, too");
            assert_eq!(heard.from, Route::new(asker, at(own)), "an answer leaves from there");
            end.send(heard.from, b"here").unwrap();
            let answer = asking.wait(&mut [0; 8], net.now()).unwrap().unwrap();
            assert_eq!(answer.from.remote, at(own));
        }
        for end in &mut deaf {
            assert_eq!(end.wait(&mut [0; 8], net.now()), Ok(None), "{to} {}", end.local_addr());
        }
        let ignored: Vec<_> = net.events().into_iter().filter(|event| event.what == Happened::Ignored).collect();
        assert_eq!((ignored.len(), ignored[0].to), (1, at(to)), "by the third host, without a refusal");
        balanced(&net);
    }
}

#[test]
fn each_copy_meets_the_fate_of_its_own_path() {
    let (net, hosts) = segment(4);
    let paths = ["delay 5ms", "loss 100%", "delay 1ms; duplicate 100% late 1ms"];
    for (&host, path) in hosts[1..].iter().zip(paths) {
        net.path(hosts[0], host, Profile { to_server: spec(path), to_client: spec("none") }).unwrap();
    }
    for n in 2..=4 {
        net.serve(SocketAddr::new(ip(&format!("10.0.0.{n}")), 7), |_, from, _, out| out.send(from, b"here")).unwrap();
    }
    let mut asking = net.bind_broadcast(hosts[0], at("0.0.0.0:0")).unwrap();
    asking.send(asking.route_to(at("255.255.255.255:7")), b"all").unwrap();
    let mut buffer = [0; 8];
    let answers: Vec<_> = std::iter::from_fn(|| asking.wait(&mut buffer, ms(100)).unwrap())
        .map(|answer| (answer.from.remote.ip(), answer.at))
        .collect();
    let (second, fourth) = (ip("10.0.0.2"), ip("10.0.0.4"));
    assert_eq!(answers, [(fourth, ms(1)), (fourth, ms(2)), (second, ms(5))]);
    assert_eq!((net.stats().dropped, net.stats().duplicates), (1, 1));
    net.partition(hosts[0], hosts[1]).unwrap();
    net.take_down(hosts[3]).unwrap();
    asking.send(asking.route_to(at("255.255.255.255:7")), b"all").unwrap();
    assert_eq!(asking.wait(&mut buffer, ms(200)), Ok(None));
    let (partitioned, vanished) = (Happened::Partitioned, Happened::Vanished);
    let later: Vec<_> = net.events().into_iter().filter(|event| event.at >= ms(100)).map(|event| event.what).collect();
    assert!(later.contains(&partitioned) && later.contains(&vanished), "{later:?}");
    assert!(!later.contains(&Happened::Arrived), "{later:?}");
    balanced(&net);
}

#[test]
fn a_group_reaches_those_who_have_joined_until_they_leave() {
    for (group, wildcard, own) in [("224.0.0.251:7", "0.0.0.0:7", "10.0.0.2:7"), ("[ff02::fb]:7", "[::]:7", "[::]:7")] {
        let (net, hosts) = segment(3);
        let group = at(group);
        let mut asking = net.bind(hosts[0], SocketAddr::new(at(wildcard).ip(), 0)).unwrap();
        let mut hearing: Vec<_> = hosts[1..].iter().map(|&host| net.bind(host, at(wildcard)).unwrap()).collect();
        let mut reached = |hearing: &mut [SimUnconnected]| {
            asking.send(asking.route_to(group), b"all").unwrap();
            let heard = hearing.iter_mut().map(|end| end.wait(&mut [0; 8], net.now()).unwrap());
            heard.map(|heard| heard.map(|it| it.from.local)).collect::<Vec<_>>()
        };
        assert_eq!(reached(&mut hearing), [None, None]);
        assert_eq!(net.stats().sent, 0, "no one has joined");
        hearing[0].join(group.ip()).unwrap();
        hearing[0].join(group.ip()).unwrap();
        assert_eq!(reached(&mut hearing), [Some(at(own)), None]);
        // Once more on the same host, and on another.
        net.join(hosts[1], group.ip()).unwrap();
        net.join(hosts[2], group.ip()).unwrap();
        assert!(reached(&mut hearing).iter().all(Option::is_some));
        // It has joined once, however often it asked.
        hearing[0].leave(group.ip());
        net.leave(hosts[2], group.ip()).unwrap();
        assert_eq!(reached(&mut hearing), [Some(at(own)), None], "another program there has joined");
        net.leave(hosts[1], group.ip()).unwrap();
        assert_eq!(reached(&mut hearing), [None, None]);
        // A socket that is dropped has left.
        let mut joined = net.bind(hosts[1], SocketAddr::new(at(wildcard).ip(), 9)).unwrap();
        joined.join(group.ip()).unwrap();
        assert!(reached(&mut hearing)[0].is_some(), "Linux: any socket of the host");
        drop(joined);
        assert_eq!(reached(&mut hearing), [None, None]);
        balanced(&net);
    }
    let (net, hosts) = segment(2);
    let not_a_group = SimError::NotAGroup(ip("10.0.0.9"));
    assert_eq!(net.join(hosts[0], ip("10.0.0.9")), Err(not_a_group));
    assert_eq!(net.bind(hosts[0], at("0.0.0.0:7")).unwrap().join(ip("10.0.0.9")), Err(not_a_group));
}

#[test]
fn every_host_is_in_the_group_of_all_hosts() {
    for (group, wildcard) in [("224.0.0.1:7", "0.0.0.0:7"), ("[ff02::1]:7", "[::]:7")] {
        let (net, hosts) = segment(3);
        let mut hearing: Vec<_> = hosts.iter().map(|&host| net.bind(host, at(wildcard)).unwrap()).collect();
        let route = hearing[0].route_to(at(group));
        hearing[0].send(route, b"all").unwrap();
        assert!(hearing.iter_mut().all(|end| end.wait(&mut [0; 8], net.now()).unwrap().is_some()), "{group}");
        balanced(&net);
    }
}

#[test]
fn a_connected_client_receives_no_answer_that_comes_from_another_address() {
    let (net, hosts) = segment(3);
    let group = at("224.0.0.251:7");
    for (n, &host) in hosts.iter().enumerate().skip(1) {
        net.join(host, group.ip()).unwrap();
        let server = SocketAddr::new(ip(&format!("10.0.0.{}", n + 1)), 7);
        net.serve(server, |_, from, request, out| out.send(from, request)).unwrap();
    }
    let mut connected = net.connect(hosts[0], group).unwrap();
    connected.send(PathIndex::FIRST, b"who?").unwrap();
    assert_eq!(hear(&mut connected, ms(10)), None);
    assert_eq!(net.events().iter().filter(|event| event.what == Happened::Foreign).count(), 2, "both have answered");
    let builder = ReliableRequester::builder(transaction_id(0..4).stamped()).policy(RetryPolicy::LAN);
    let mut requester = builder.peer(group).over(connected).unwrap();
    let error = requester.request(b"....who?").unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    // Nor does a connected program receive what is sent to all.
    let bound =
        net.serve_connected(hosts[1], at("10.0.0.1:9"), |_: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox<'_>| {
            panic!("it is connected to another");
        });
    let mut asking = net.bind_broadcast(hosts[2], at("0.0.0.0:0")).unwrap();
    let everywhere = SocketAddr::new(ip("255.255.255.255"), bound.unwrap().port());
    asking.send(asking.route_to(everywhere), b"who?").unwrap();
    net.run_until(net.now().after(Duration::from_secs(1)));
    assert!(net.events().iter().any(|event| event.to == everywhere && event.what == Happened::Ignored));
    // To broadcast, it would need a permission that it has not.
    let mut broadcasting = net.connect(hosts[0], at("10.0.0.255:7")).unwrap();
    assert_eq!(broadcasting.send(PathIndex::FIRST, b"who?"), Err(PathError::Denied));
    balanced(&net);
}

#[test]
fn no_one_is_reached_off_the_segment_or_without_permission() {
    let (net, hosts) = segment(2);
    let beyond = net.host(ip("10.0.1.1")).unwrap();
    let mut allowed = net.bind_broadcast(beyond, at("0.0.0.0:7")).unwrap();
    for to in ["255.255.255.255:7", "10.0.0.255:7", "224.0.0.1:7", "10.9.9.255:7"] {
        assert_eq!(allowed.send(allowed.route_to(at(to)), b"x"), Err(PathError::Unreachable), "{to}");
    }
    let mut on_segment = net.bind(hosts[0], at("0.0.0.0:0")).unwrap();
    for to in ["255.255.255.255:7", "10.0.0.255:7"] {
        assert_eq!(on_segment.send(on_segment.route_to(at(to)), b"x"), Err(PathError::Denied), "{to}");
    }
    assert_eq!((on_segment.send(on_segment.route_to(at("224.0.0.1:7")), b"x"), net.stats().sent), (Ok(()), 2));
    let taken = SimError::AddressTaken(ip("10.0.0.2"));
    assert_eq!(net.segment(&hosts, "10.0.0.2".parse().unwrap()), Err(taken));
    let other = SimNet::new(Seed::new(1));
    assert_eq!(other.segment(&hosts, "10.0.0.255".parse().unwrap()), Err(SimError::OtherNetwork));
}

#[test]
fn a_host_on_two_segments_sends_over_one_of_them_by_its_source_address() {
    let (net, hosts) = segment(2);
    let side = net.host(ip("10.0.1.9")).unwrap();
    net.address(hosts[0], ip("10.0.1.1")).unwrap();
    net.segment(&[hosts[0], side], "10.0.1.255".parse().unwrap()).unwrap();
    let mut hearing = [net.bind(hosts[1], at("0.0.0.0:7")).unwrap(), net.bind(side, at("0.0.0.0:7")).unwrap()];
    let mut asking = net.bind_broadcast(hosts[0], at("0.0.0.0:0")).unwrap();
    let port = asking.local_addr().port();
    // (from, to, which of them hears it, and from where)
    let cases = [
        ("0.0.0.0", "255.255.255.255:7", 0, "10.0.0.1"),
        ("10.0.0.1", "255.255.255.255:7", 0, "10.0.0.1"),
        ("10.0.1.1", "255.255.255.255:7", 1, "10.0.1.1"),
        ("0.0.0.0", "10.0.1.255:7", 1, "10.0.1.1"),
        ("10.0.1.1", "224.0.0.1:7", 1, "10.0.1.1"),
    ];
    for (from, to, which, source) in cases {
        asking.send(Route::new(at(to), SocketAddr::new(ip(from), port)), b"x").unwrap();
        let heard = hearing.each_mut().map(|end| end.wait(&mut [0; 8], net.now()).unwrap());
        assert_eq!(heard.map(|it| it.is_some()), [which == 0, which == 1], "{from} {to}");
        let heard = heard[which].unwrap().from;
        assert_eq!(heard.remote, SocketAddr::new(ip(source), port), "{from} {to}");
        let own: IpAddr = ip(if which == 0 { "10.0.0.2" } else { "10.0.1.9" });
        assert_eq!(heard.local.ip(), own);
    }
    // What comes from either is answered from the address there.
    let mut both = net.bind(hosts[0], at("0.0.0.0:7")).unwrap();
    for (host, own) in [(hosts[1], "10.0.0.1:7"), (side, "10.0.1.1:7")] {
        let mut asking = net.bind_broadcast(host, at("0.0.0.0:0")).unwrap();
        asking.send(asking.route_to(at("255.255.255.255:7")), b"x").unwrap();
        assert_eq!(both.wait(&mut [0; 8], net.now()).unwrap().map(|it| it.from.local), Some(at(own)));
    }
    balanced(&net);
}

#[test]
fn further_sockets_of_a_host_have_copies_of_their_own_and_the_books_balance() {
    let (net, hosts) = segment(2);
    net.address(hosts[1], ip("10.0.0.22")).unwrap();
    for address in ["10.0.0.2:7", "10.0.0.22:7"] {
        net.serve(at(address), |_, from, _, out| out.send(from, b"here")).unwrap();
    }
    let mut asking = net.bind_broadcast(hosts[0], at("0.0.0.0:0")).unwrap();
    asking.send(asking.route_to(at("255.255.255.255:7")), b"all").unwrap();
    let answers: Vec<_> =
        std::iter::from_fn(|| asking.wait(&mut [0; 8], net.now()).unwrap()).map(|it| it.from.remote).collect();
    assert_eq!(answers, [at("10.0.0.2:7"), at("10.0.0.22:7")]);
    assert_eq!((net.stats().sent, net.stats().duplicates), (4, 1), "two copies, two answers");
    balanced(&net);
    check_determinism(Seed::new(1), |net| {
        let hosts = segment_in(net, 4);
        for &host in &hosts[1..] {
            net.path(hosts[0], host, Profile::both(spec("loss 30%; delay 5ms ~4ms"))).unwrap();
        }
        let mut asking = net.bind_broadcast(hosts[0], at("0.0.0.0:0")).unwrap();
        asking.send(asking.route_to(at("255.255.255.255:7")), b"all").unwrap();
        net.run_until(ms(100));
    })
    .unwrap();
}

/// Hosts with addresses of both families on one segment.
fn segment(hosts: u8) -> (SimNet, Vec<HostId>) {
    let net = recording(Seed::new(1));
    let hosts = segment_in(&net, hosts);
    (net, hosts)
}

fn segment_in(net: &SimNet, hosts: u8) -> Vec<HostId> {
    let hosts: Vec<_> = (1..=hosts)
        .map(|n| {
            let host = net.host(ip(&format!("10.0.0.{n}"))).unwrap();
            net.address(host, ip(&format!("fd00::{n}"))).unwrap();
            host
        })
        .collect();
    net.segment(&hosts, "10.0.0.255".parse().unwrap()).unwrap();
    hosts
}
