//! Stamped ids: no one foretells the next from those seen, and none comes round while a late reply may repeat it.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use udp_retry::entropy::IdSource;
use udp_retry::fault::Profile;
use udp_retry::requester::Builder;
use udp_retry::sim::{Outbox, SimNet, SimTransport, echo};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, Next, Transaction};
use udp_retry::transport::{NoEntropy, PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::scripted::Scripted;
use crate::unmixed::{GAMMA, unfinalized};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 1);

#[test]
fn one_id_seen_foretells_none_of_the_next_thousand() {
    let (mut requester, seen) = watched(builder(8), 1);
    // Three that no one watched, then the one that was, then those to be foretold.
    for _ in 0..1_004 {
        requester.request(b"........").unwrap();
    }
    let ids: Vec<u64> =
        seen.borrow().iter().map(|(_, request)| u64::from_be_bytes(request[..8].try_into().unwrap())).collect();
    // id <- seed of ids <- seed of the request <- seed of the requester: each step is a bijection that can be undone.
    assert_eq!(unkeyed(Seed::new(5).draw(3), 3, DRAW), 5);
    assert_eq!(unkeyed(Seed::new(5).derive(3).number(), 3, DERIVE), 5);
    for ids_label in 0..16 {
        let request = unkeyed(unkeyed(ids[3], 0, DRAW), ids_label, DERIVE);
        let requester = unkeyed(request, 3, DRAW);
        let next = |n: u64| Seed::new(Seed::new(requester).draw(n)).derive(ids_label).draw(0);
        let foretold = (4..1_004).filter(|&n| next(n) == ids[n as usize]).count();
        assert_eq!(foretold, 0, "of the next 1000 ids, with label {ids_label}");
    }
}

#[test]
fn the_time_of_the_first_transmission_tells_nothing_of_the_id() {
    const SEEDS: u64 = 10_000;
    let second = Duration::from_secs(1);
    let policy = RetryPolicy::LAN.with_start_delay(Duration::ZERO, second).unwrap();
    let close = |seed: &u64| {
        let (mut requester, seen) = watched(builder(4).policy(policy).seed(Seed::new(*seed)), *seed);
        requester.request(b"....").unwrap();
        let (at, request) = seen.borrow()[0].clone();
        // Known to the microsecond, as from a capture.
        let delay = u128::from(at.as_nanos() / 1_000 * 1_000);
        let guess = (delay << 32) / (second.as_nanos() + 1);
        guess.abs_diff(u32::from_be_bytes(request[..4].try_into().unwrap()).into()) <= 4_300
    };
    // By chance 0.02 are as close.
    assert_eq!((0..SEEDS).filter(close).count(), 0, "ids of {SEEDS} known to 12 bits");
}

#[test]
fn a_late_reply_to_an_earlier_request_never_answers_a_later_one_however_short_the_id() {
    for width in [1, 2, 4] {
        let (mut wrong, mut replies) = (0, 0);
        for seed in (0..200).map(Seed::new) {
            let path = "delay 150ms ~140ms unordered; duplicate 50% late 300ms ~ 300ms";
            let (net, transport) = world(seed, path);
            net.serve(SERVER, echo()).unwrap();
            let mut requester = builder(width).seed(seed).over(transport).unwrap();
            let (right, ended) = ask(&mut requester, width, 500);
            (wrong, replies) = (wrong + ended - right, replies + ended);
        }
        assert!(replies > 99_000, "{replies} replies");
        assert_eq!(wrong, 0, "wrong replies of {replies} to requests with an id of {width} bytes");
    }
}

#[test]
fn ids_of_one_byte_survive_a_server_whose_every_reply_comes_twice() {
    let (net, transport) = world(Seed::new(7), "delay 5ms; duplicate 100% late 30ms");
    net.serve(SERVER, echo()).unwrap();
    let mut requester = builder(1).seed(Seed::new(7)).over(transport).unwrap();
    assert_eq!(ask(&mut requester, 1, 20_000), (20_000, 20_000), "right replies, replies");
}

#[test]
fn when_all_ids_rest_the_next_request_leaves_from_a_fresh_port_and_all_are_free_again() {
    let mut requester = builder(1).over(Scripted::echo(Duration::from_millis(1))).unwrap();
    for n in 0..3 * 256 {
        requester.request(b".").unwrap();
        assert_eq!(requester.transport().port(), n / 256, "after request {n}");
    }
}

#[test]
fn where_the_port_cannot_change_the_failure_says_when_the_first_id_is_free_and_then_it_is() {
    let mut requester = builder(1).over(Scripted::echo(Duration::from_millis(1)).not_renewable()).unwrap();
    let start = requester.transport().now();
    for _ in 0..256 {
        requester.request(b".").unwrap();
    }
    // An id rests from the start of the next request: that of the second came after 1 ms.
    let free = start.after(Duration::from_millis(120_001));
    let failure =
        |requester: &mut ReliableRequester<Scripted>| requester.request(b".").map(|_| ()).map_err(|it| it.failure());
    let until = |failed| matches!(failed, Err(Failure::IdsResting { until, .. }) if until == free);
    let failed = failure(&mut requester);
    assert!(until(failed), "{failed:?}");
    let left = free.since(requester.transport().now());
    requester.transport_mut().advance(left - Duration::from_nanos(1));
    assert!(until(failure(&mut requester)));
    requester.transport_mut().advance(Duration::from_nanos(1));
    assert_eq!(failure(&mut requester), Ok(()));
    assert_eq!(requester.transport().port(), 0);
}

#[test]
fn without_entropy_only_a_matcher_that_stamps_is_refused_unless_a_seed_is_given() {
    let transport = || Scripted::echo(Duration::from_millis(1)).without_entropy();
    assert_eq!(builder(8).over(transport()).map(drop), Err(NoEntropy::new()));
    builder(8).seed(Seed::new(1)).over(transport()).unwrap().request(b"........").unwrap();
    ReliableRequester::builder(transaction_id(0..8)).over(transport()).unwrap().request(b"........").unwrap();
}

#[test]
fn without_a_source_of_ids_no_request_is_sent_and_a_clone_has_none() {
    let started = |mut transaction: Transaction<_>| {
        transaction.start(b"....", Timestamp::ZERO, Seed::new(1));
        transaction.next(Timestamp::ZERO)
    };
    let unable = Transaction::new(RetryPolicy::LAN, transaction_id(0..4).stamped());
    let able = unable.clone().with_ids(IdSource::from_seed(Seed::new(1)));
    assert_eq!(started(unable), Next::Failed(Failure::Unmatchable));
    assert_eq!(started(able.clone()), Next::Failed(Failure::Unmatchable));
    assert_eq!(started(able), Next::Transmit(PathIndex::FIRST));
}

#[test]
fn no_seed_is_shown() {
    let builder = builder(4).seed(Seed::new(7_777_777));
    assert!(!format!("{builder:?}").contains("7777777"));
    assert!(!format!("{:?}", builder.over(Scripted::silent()).unwrap()).contains("7777777"));
}

fn builder(width: usize) -> Builder {
    ReliableRequester::builder(transaction_id(0..width).stamped()).policy(RetryPolicy::LAN)
}

/// How many of so many numbered requests got their own reply, and how many got any.
fn ask(requester: &mut ReliableRequester<SimTransport>, width: usize, requests: u32) -> (u32, u32) {
    let (mut right, mut replies) = (0, 0);
    for n in 0..requests {
        let request = [&vec![0; width][..], &n.to_be_bytes()].concat();
        if let Ok(reply) = requester.request(&request) {
            replies += 1;
            right += u32::from(reply.payload()[width..] == n.to_be_bytes());
        }
    }
    (right, replies)
}

fn world(seed: Seed, path: &str) -> (SimNet, SimTransport) {
    let net = SimNet::new(seed);
    let (client, server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
    net.path(client, server, Profile::both(path.parse().unwrap())).unwrap();
    let transport = net.connect(client, SERVER).unwrap();
    (net, transport)
}

type Seen = Rc<RefCell<Vec<(Timestamp, Vec<u8>)>>>;

/// A requester on a path that takes no time, and what its server receives.
fn watched(builder: Builder, seed: u64) -> (ReliableRequester<SimTransport>, Seen) {
    let (net, transport) = world(Seed::new(seed), "none");
    let seen = Seen::default();
    let log = seen.clone();
    let note = move |now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox| {
        log.borrow_mut().push((now, datagram.to_vec()));
        out.send(from, datagram);
    };
    net.serve(SERVER, note).unwrap();
    (builder.over(transport).unwrap(), seen)
}

/// The seed of which this is the value at `counter`.
fn unkeyed(value: u64, counter: u64, purpose: u64) -> u64 {
    unfinalized(unfinalized(value).wrapping_sub(counter.wrapping_mul(GAMMA))).wrapping_sub(purpose)
}

const DERIVE: u64 = 0xd1b5_4a32_d192_ed03;
const DRAW: u64 = GAMMA;
