//! Many requests in flight in virtual time: what a bad network does to a million of them, and that all of it repeats.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::policy::{Backoff, RttEstimator};
use udp_retry::requester::{Builder, Concurrent, Waited};
use udp_retry::sim::{HostId, SimNet, echo};
use udp_retry::transaction::{Execution, Failure, SubmitError};
use udp_retry::transport::{PathIndex, PeerAddress, Route, Transport};
use udp_retry::{ConcurrentRequester, RetryBudget, RetryPolicy, Seed, transaction_id};

const MS: Duration = Duration::from_millis(1);

#[test]
fn of_a_million_requests_in_a_bad_network_none_is_mixed_up_or_forgotten_and_all_repeats() {
    let runs = [(); 2].map(|()| {
        let (net, host, servers) = bad_network();
        let client = net.bind(host, at("0.0.0.0:0")).unwrap();
        let ended = many(&net, builder().over(client).unwrap(), 1_000_000, |n| servers[n as usize % 16]);
        (ended, net.trace_hash())
    });
    assert_eq!(runs[0], runs[1], "not a bit differs");
}

#[test]
fn one_connected_end_has_many_servers_by_their_paths() {
    let (net, host, servers) = bad_network();
    let client = net.connect_all(host, &servers).unwrap();
    many(&net, builder().over(client).unwrap(), 20_000, |n| PathIndex::new((n % 16) as u32));
}

/// Keeps 1,000 of them in flight. Returns how many failed, and how many were sent more than once.
fn many<T: Transport<Peer: PeerAddress>, A: Into<T::Peer>>(
    net: &SimNet,
    mut requester: ConcurrentRequester<T>,
    requests: u64,
    server: impl Fn(u64) -> A,
) -> (u64, u64) {
    let (mut next, mut failed, mut again) = (0, 0, 0);
    let mut ended = vec![false; requests as usize];
    loop {
        while next < requests && requester.in_flight() < 1000 {
            requester.submit_to(server(next), request(next), next).unwrap();
            next += 1;
        }
        let Some(done) = requester.wait() else { break };
        let token = done.token();
        assert!(!std::mem::replace(&mut ended[token as usize], true), "{token} ended twice");
        assert_eq!(done.peer().identity(), server(token).into().identity());
        again += u64::from(done.transmissions() > 1);
        match done.reply() {
            Ok(reply) => assert_eq!(reply[8..], request(token)[8..]),
            Err(error) => {
                assert!(matches!(error.failure(), Failure::TimedOut(_)), "{error}");
                assert_eq!((error.transmissions(), error.execution()), (5, Execution::Unknown));
                assert!(error.elapsed() >= 3100 * MS, "{error}");
                failed += 1;
            }
        }
    }
    assert!(ended.iter().all(|ended| *ended), "none is forgotten");
    assert_eq!(requester.in_flight(), 0);
    // An attempt fails by 51 %, and all five by 3.5 %.
    let share = |count| count as f64 / requests as f64;
    assert!((0.028..0.042).contains(&share(failed)), "{failed} failed");
    assert!((0.48..0.54).contains(&share(again)), "{again} were sent again");
    // Of ids in the past not all are known for ever.
    let strays = requester.strays();
    assert!(u64::from(strays.stale) > requests / 20 && strays.foreign <= strays.stale / 100, "{strays:?}");
    assert!(net.now().as_nanos() > 3_100_000_000);
    (failed, again)
}

/// Each path loses 30 % in each direction, repeats and reorders.
fn bad_network() -> (SimNet, HostId, Vec<SocketAddr>) {
    network("loss 30%; duplicate 10%; delay 20ms ~5ms; reorder 5% by 30ms")
}

/// A client, and 16 servers that answer.
fn network(paths: &str) -> (SimNet, HostId, Vec<SocketAddr>) {
    let net = SimNet::new(Seed::new(16));
    let client = net.host(ip("10.1.0.1")).unwrap();
    let servers: Vec<SocketAddr> = (1..=16).map(|n| SocketAddr::from(([10, 0, 0, n], 1060))).collect();
    for server in &servers {
        let host = net.host(server.ip()).unwrap();
        net.path(client, host, Profile::both(paths.parse().unwrap())).unwrap();
        net.serve(*server, echo()).unwrap();
    }
    (net, client, servers)
}

#[test]
fn a_server_has_its_window_and_no_more_whatever_the_others_do() {
    let net = SimNet::new(Seed::new(1));
    let client = net.host(ip("10.1.0.1")).unwrap();
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    for server in [FIRST, SECOND] {
        net.path(client, net.host(server.ip()).unwrap(), Profile::both("delay 10ms".parse().unwrap())).unwrap();
    }
    // The first is deaf, and counts.
    let count = asked.clone();
    net.serve(FIRST, move |_, _, _, _| count.set(count.get() + 1)).unwrap();
    net.serve(SECOND, echo()).unwrap();
    let policy = RetryPolicy::new(Backoff::constant(1000 * MS).unwrap()).with_max_transmissions(1).unwrap();
    let mut requester = builder().policy(policy).over(net.bind(client, at("0.0.0.0:0")).unwrap()).unwrap();
    for n in 0..400 {
        requester.submit_to(if n < 200 { FIRST } else { SECOND }, request(n), n).unwrap();
    }
    let mut well = 0;
    while let Waited::Completion(done) = requester.wait_until(net.now().after(900 * MS)) {
        assert!(done.token() >= 200 && done.reply().is_ok());
        well += 1;
        if well == 200 {
            break;
        }
    }
    // Four windows of round trips of 20 ms.
    assert_eq!((well, net.now().as_nanos() / 1_000_000), (200, 80));
    assert_eq!(asked.get(), 64);
    let mut tokens = Vec::new();
    while let Some(done) = requester.wait() {
        tokens.push(done.token());
    }
    assert!(tokens.iter().copied().eq(0..200), "failures come in order: {tokens:?}");
    assert_eq!(asked.get(), 200);
}

#[test]
fn a_thousand_at_once_to_many_servers_overflow_no_buffer() {
    let (net, host, servers) = network("loss 0%");
    let mut requester = builder().over(net.bind(host, at("0.0.0.0:0")).unwrap()).unwrap();
    for n in 0..1024 {
        requester.submit_to(servers[n as usize % 16], request(n), n).unwrap();
    }
    // While a batch leaves, the replies to the one before come in.
    let mut ended = 0;
    while let Some(done) = requester.wait() {
        assert_eq!(done.transmissions(), 1, "its reply was lost");
        ended += 1;
    }
    assert_eq!((ended, net.stats().lost_on_arrival), (1024, 0));
}

#[test]
fn a_reply_with_the_right_id_from_another_server_is_a_stray() {
    let net = SimNet::new(Seed::new(1));
    let client = net.host(ip("10.1.0.1")).unwrap();
    for server in [FIRST, SECOND] {
        net.host(server.ip()).unwrap();
    }
    // The first server is deaf, and the second one answers in its place as well.
    net.serve(FIRST, |_, _, _, _| ()).unwrap();
    net.serve(SECOND, move |_, from, datagram: &[u8], out| {
        out.send(from, &[&0_u64.to_be_bytes()[..], b"forged"].concat());
        out.send(from, datagram);
    })
    .unwrap();
    let by_own_id = ConcurrentRequester::builder(transaction_id(0..8)).policy(short());
    let mut requester = by_own_id.over(net.bind(client, at("0.0.0.0:0")).unwrap()).unwrap();
    for (server, id) in [(FIRST, 0_u64), (SECOND, 1)] {
        requester.submit_to(server, &id.to_be_bytes(), id).unwrap();
    }
    let done = requester.wait().unwrap();
    assert_eq!((done.token(), done.reply().unwrap()), (1, &1_u64.to_be_bytes()[..]));
    let done = requester.wait().unwrap();
    assert_eq!(done.token(), 0);
    assert!(done.reply().unwrap_err().is_timeout());
    assert_eq!(requester.strays().foreign, 1);
}

#[test]
fn each_peer_is_measured_for_itself_and_the_first_by_the_callers_estimator() {
    let net = SimNet::new(Seed::new(1));
    let client = net.host(ip("10.1.0.1")).unwrap();
    for (server, path) in [(FIRST, "delay 10ms"), (SECOND, "delay 40ms")] {
        net.path(client, net.host(server.ip()).unwrap(), Profile::both(path.parse().unwrap())).unwrap();
        net.serve(server, echo()).unwrap();
    }
    let shared = RttEstimator::new(1000 * MS, 10 * MS, 60_000 * MS).unwrap();
    let builder = builder().estimator(shared.clone());
    let mut requester = builder.over(net.bind(client, at("0.0.0.0:0")).unwrap()).unwrap();
    assert!(requester.estimator(FIRST).is_none(), "not asked yet");
    for n in 0..2 {
        requester.submit_to(if n == 0 { FIRST } else { SECOND }, request(n), n).unwrap();
    }
    while let Some(done) = requester.wait() {
        let expected = if done.token() == 0 { 20 } else { 80 };
        assert_eq!(done.round_trip(), Some(expected * MS));
    }
    let now = net.now();
    assert_eq!(shared.srtt(now), Some(20 * MS));
    assert_eq!(requester.estimator(FIRST).unwrap().srtt(now), Some(20 * MS));
    assert_eq!(requester.estimator(SECOND).unwrap().srtt(now), Some(80 * MS));
}

#[test]
fn every_setting_of_all_fronts_has_its_effect() {
    let net = SimNet::new(Seed::new(1));
    let client = net.host(ip("10.1.0.1")).unwrap();
    net.host(FIRST.ip()).unwrap();
    net.serve(FIRST, |_, from, datagram, out| out.send(from, &datagram.repeat(2))).unwrap();
    let connect = |builder: Builder<Concurrent>| builder.over(net.connect(client, FIRST).unwrap()).unwrap();
    let ended = |builder: Builder<Concurrent>| {
        let mut requester = connect(builder);
        requester.submit(request(1), 1).unwrap();
        let error = requester.wait().unwrap().reply().err();
        error.map(|error| (error.failure(), error.transmissions(), error.withheld(), error.elapsed()))
    };
    assert_eq!(ended(builder()), None);
    let Some((Failure::Truncated { received: 31, actual: 32, .. }, 1, ..)) = ended(builder().buffer(31)) else {
        panic!("a reply of 32 bytes fits into 31")
    };
    net.stop(FIRST);
    net.serve(FIRST, |_, _, _, _| ()).unwrap();
    let empty = RetryBudget::new(0.0, 0, 0).unwrap();
    let (_, sent, withheld, took) = ended(builder().budget(&empty)).unwrap();
    assert_eq!((sent, withheld), (1, 4));
    assert!(took >= 3100 * MS, "{took:?}");
    let (_, sent, withheld, took) = ended(builder().budget(&empty).fail_over_budget()).unwrap();
    assert_eq!((sent, withheld), (1, 1));
    assert!(took >= 100 * MS && took < 101 * MS, "{took:?}");
    let (_, sent, _, took) = ended(builder().deadline(250 * MS)).unwrap();
    assert!(sent == 2 && took >= 250 * MS && took < 251 * MS, "{sent}, {took:?}");
    let (_, sent, ..) = ended(builder().policy(short())).unwrap();
    assert_eq!(sent, 1);
    let ids = |seed| {
        let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let noted = heard.clone();
        net.stop(FIRST);
        net.serve(FIRST, move |_, _, datagram: &[u8], _| noted.borrow_mut().push(datagram.to_vec())).unwrap();
        let builder = builder().policy(short());
        let mut requester = connect(if let Some(seed) = seed { builder.seed(Seed::new(seed)) } else { builder });
        requester.submit(request(1), 1).unwrap();
        requester.wait();
        heard.take()
    };
    assert_eq!(ids(Some(7)), ids(Some(7)));
    assert_ne!(ids(Some(7)), ids(Some(8)));
    assert_ne!(ids(None), ids(None), "the network's entropy has others each time");
}

#[test]
fn what_cannot_be_taken_in_is_said_at_once_and_costs_nothing() {
    let net = SimNet::new(Seed::new(1));
    let client = net.host(ip("10.1.0.1")).unwrap();
    net.host(FIRST.ip()).unwrap();
    net.serve(FIRST, echo()).unwrap();
    let few = udp_retry::transaction::Limits::default().requests(2.try_into().unwrap());
    let by_own_id = ConcurrentRequester::builder(transaction_id(0..4)).limits(few);
    let mut requester = by_own_id.over(net.connect(client, FIRST).unwrap()).unwrap();
    assert_eq!(requester.submit(b"id", 0), Err(SubmitError::Unmatchable));
    requester.submit(b"id 1 ping", 1).unwrap();
    assert_eq!(requester.submit(b"id 1 again", 2), Err(SubmitError::IdInUse));
    assert!(matches!(requester.submit(&[7; 65_508], 3), Err(SubmitError::TooLarge { len: 65_508, .. })));
    requester.submit(b"id 2 ping", 4).unwrap();
    assert_eq!((requester.submit(b"id 3 ping", 5), requester.available()), (Err(SubmitError::Full), 0));
    let mut replies = BTreeMap::new();
    while let Some(done) = requester.wait() {
        replies.insert(done.token(), done.reply().unwrap().to_vec());
    }
    assert_eq!(replies, BTreeMap::from([(1, b"id 1 ping".to_vec()), (4, b"id 2 ping".to_vec())]));
    assert_eq!(requester.submit(b"id 3 ping", 5).map(drop), Ok(()));
}

#[test]
fn a_server_that_is_asked_by_another_notation_is_the_same_one() {
    let net = SimNet::new(Seed::new(1));
    let client = net.host(ip("10.1.0.1")).unwrap();
    net.address(client, ip("fd00::1")).unwrap();
    net.host(FIRST.ip()).unwrap();
    net.serve(FIRST, echo()).unwrap();
    let end = net.bind(client, at("[::]:0")).unwrap();
    let any = end.local_addr();
    let mut requester = builder().over(end).unwrap();
    requester.submit_to(FIRST, request(1), 1).unwrap();
    requester.submit_to(at("[::ffff:10.0.0.1]:1060"), request(2), 2).unwrap();
    requester.submit_to(Route::new(FIRST, any), request(3), 3).unwrap();
    let mut ended = 0;
    while let Some(done) = requester.wait() {
        assert!(done.reply().is_ok(), "{done:?}");
        assert_eq!(done.peer(), Route::from(FIRST), "as it was asked first");
        ended += 1;
    }
    assert_eq!(ended, 3);
}

fn builder() -> Builder<Concurrent> {
    ConcurrentRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN)
}

fn short() -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(100 * MS).unwrap()).with_max_transmissions(1).unwrap()
}

/// Space for an id, and a number.
fn request(n: u64) -> Vec<u8> {
    [[0; 8], n.to_be_bytes()].concat()
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn ip(address: &str) -> std::net::IpAddr {
    address.parse().unwrap()
}

const FIRST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 1060);
const SECOND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 1060);
