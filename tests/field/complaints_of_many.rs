//! What users of request/reply libraries complain of where there are several callers, clients or addresses; the numbers
//! are those of `complaints.rs`.
#![expect(clippy::disallowed_types, reason = "one complaint is about a real socket")]

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

use udp_retry::net::UnconnectedUdp;
use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{Client, Outcome, echo};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{ReplyMatcher, Transaction};
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, Reply, RequestError, RetryPolicy, Seed, any_reply, transaction_id};

use crate::naive::{SERVER, at, connect, ms, path, sent_to_server, world};
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

#[test]
fn complaint_11_two_callers_on_one_session_discard_each_others_replies() {
    // Whoever of the two reads first finds the other's reply, and throws it away.
    let net = world(|net| net.serve(SERVER, echo()).unwrap());
    let mut session = connect(&net);
    session.send(PathIndex::FIRST, b"A").unwrap();
    session.send(PathIndex::FIRST, b"B").unwrap();
    let mut buffer = [0; 10];
    let mut found = |id: u8| {
        let heard = session.wait(&mut buffer, at(1000)).unwrap();
        heard.map(|_| buffer[0] == id)
    };
    assert_eq!((found(b'B'), found(b'A'), found(b'A')), (Some(false), Some(false), None));

    // Two requesters use the same ids at the same time, or none, and every reply finds its own.
    fn two<M: ReplyMatcher + 'static>(matcher: fn() -> M) {
        let net = world(|net| {
            path(net, "delay 20ms ~20ms unordered", "duplicate 100% late 50ms; delay 20ms ~20ms unordered");
            net.serve(SERVER, echo()).unwrap();
        });
        let right = Rc::new(Cell::new(0));
        for caller in 0..2_u64 {
            let (right, mut asked) = (right.clone(), 0_u8);
            let next = move |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
                if let Outcome::Reply { payload, .. } = outcome {
                    assert_eq!(payload, [asked, caller as u8]);
                    right.set(right.get() + 1);
                }
                asked += 1;
                bytes.extend_from_slice(&[asked, caller as u8]);
                (asked <= 200).then_some(now)
            };
            let transaction = Transaction::new(RetryPolicy::LAN, matcher());
            net.serve_connected(net.client, SERVER, Client::new(SERVER, transaction, Seed::new(caller), next)).unwrap();
        }
        net.run_to_the_end(Timestamp::MAX);
        assert_eq!(right.get(), 400);
    }
    two(|| transaction_id(0..1));
    two(any_reply);

    // Not both at once on one: it may move to another thread, and `request` borrows it for as long as the reply lives.
    fn may_move<T: Send>() {}
    may_move::<ReliableRequester>();
    type Request = for<'r, 'b> fn(&'r mut ReliableRequester, &'b [u8]) -> Result<Reply<'r>, RequestError>;
    fn request<'r>(by: &'r mut ReliableRequester, bytes: &[u8]) -> Result<Reply<'r>, RequestError> {
        by.request(bytes)
    }
    let _: Request = request;
}

#[test]
fn complaint_14_retries_are_synchronised() {
    const CLIENTS: u64 = 1_000;
    // The most transmissions in any 50 ms, as a multiple of the mean, from the time when the first retransmission may
    // leave to the last one's: a fleet that is powered up together, with nobody to answer it.
    let peak = |policy: RetryPolicy, from: usize| {
        let net = world(|net| path(net, "loss 100%", "none"));
        net.record();
        for client in 0..CLIENTS {
            let next = |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
                bytes.push(b'x');
                matches!(outcome, Outcome::First).then_some(now)
            };
            let transaction = Transaction::new(policy, transaction_id(0..1));
            let client = Client::new(SERVER, transaction, Seed::new(client), next);
            net.serve_connected(net.client, SERVER, client).unwrap();
        }
        net.run_to_the_end(Timestamp::MAX);
        let mut sent = sent_to_server(&net);
        assert_eq!(sent.len() as u64, CLIENTS * u64::from(policy.max_transmissions()));
        sent.sort_unstable();
        let each = sent.split_off(from * CLIENTS as usize);
        let bin = |at: &Timestamp| at.as_nanos() / 50_000_000;
        let bins = bin(each.last().unwrap()) - bin(&each[0]) + 1;
        let fullest = each.chunk_by(|a, b| bin(a) == bin(b)).map(<[_]>::len).max().unwrap();
        (fullest as f64, fullest as f64 * bins as f64 / each.len() as f64)
    };
    // The first wait of the default is spread over half a second, ten of the bins.
    let (fullest, ratio) = peak(RetryPolicy::default(), 1);
    assert!(fullest < 150.0 && ratio < 20.0, "{fullest} in 50 ms, {ratio} times the mean");
    let in_step = Backoff::exponential(ms(1_000), ms(60_000)).unwrap().with_jitter(Jitter::NONE).unwrap();
    let (fullest, ratio) = peak(RetryPolicy::new(in_step), 1);
    assert!(fullest == CLIENTS as f64 && ratio > 50.0, "{fullest} in 50 ms, {ratio} times the mean");
    // Their first transmissions are spread by a start delay, if the policy has one.
    let apart = RetryPolicy::default().with_max_transmissions(1).unwrap();
    assert_eq!(peak(apart, 0).0, CLIENTS as f64);
    let (fullest, ratio) = peak(apart.with_start_delay(ms(0), ms(1_000)).unwrap(), 0);
    assert!(fullest < 100.0 && ratio < 2.0, "{fullest} in 50 ms, {ratio} times the mean");

    // Without a seed of the caller's, each has one of its own, by what its transport has for it.
    let net = world(|net| path(net, "loss 100%", "none"));
    net.record();
    for _ in 0..100 {
        let _ = ReliableRequester::builder(transaction_id(0..1)).over(connect(&net)).unwrap().request(b"x");
    }
    let sent = sent_to_server(&net);
    let each = sent.chunks_exact(RetryPolicy::default().max_transmissions() as usize);
    let mut second: Vec<_> = each.map(|own| own[1].since(own[0])).collect();
    assert_eq!(second.len(), 100);
    second.sort_unstable();
    second.dedup();
    assert!(second.len() >= 99, "{} different times of 100", second.len());
}

#[test]
fn complaint_15_a_server_of_many_addresses_answers_from_another_and_is_not_heard() {
    let net = world(|_| {});
    // What the server is asked its other address answers.
    let other = SocketAddr::from(([10, 0, 0, 3], SERVER.port()));
    net.host(other.ip()).unwrap();
    net.serve(SERVER, move |_, _, datagram, out| out.send(other, datagram)).unwrap();
    let transport = connect(&net);
    let client = transport.local_addr().unwrap();
    net.serve(other, move |_, _, datagram, out| out.send(client, datagram)).unwrap();
    // A connected socket never shows it, whatever it says: whoever forges must forge the address too.
    let anything = any_reply().on_a_faithful_path();
    let mut requester = ReliableRequester::builder(anything).policy(RetryPolicy::LAN).over(transport).unwrap();
    let error = requester.request(b"x").unwrap_err();
    assert_eq!((error.is_timeout(), error.transmissions(), error.strays().total()), (true, 5, 0));
    assert_eq!(net.stats().lost_on_arrival, 5, "five answers met a socket that is connected to another address");
}

#[test]
#[cfg(target_os = "linux")]
fn complaint_15_a_server_answers_from_the_address_that_was_asked() {
    within(MINUTE, || {
        let asked = |mut server: UnconnectedUdp| {
            let second = SocketAddr::from(([127, 0, 0, 2], server.local_addr().port()));
            let mut client = ConnectedUdp::connect(second).unwrap();
            client.send(PathIndex::FIRST, b"hello").unwrap();
            let mut buffer = [0; 10];
            let heard = server.wait(&mut buffer, server.now().after(ms(5_000))).unwrap().unwrap();
            server.send(heard.from, b"hi").unwrap();
            // Loopback delivers before `send` returns.
            let answer = client.wait(&mut buffer, client.now()).unwrap();
            (answer.map(|answer| answer.len), heard.from.local.ip().to_string())
        };
        let (told, untold) = ((Some(2), "127.0.0.2".to_owned()), (None, "0.0.0.0".to_owned()));
        assert_eq!(asked(UnconnectedUdp::bind("127.0.0.2:0").unwrap()), told);
        // One that listens everywhere and does not ask which of its addresses was meant answers from another one.
        let plain = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(asked(UnconnectedUdp::from_socket(plain).unwrap()), untold);
        let everywhere = if cfg!(udp_retry_portable) { untold } else { told };
        assert_eq!(asked(UnconnectedUdp::bind("0.0.0.0:0").unwrap()), everywhere);
    });
}
