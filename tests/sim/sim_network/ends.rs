//! The end of time, which never comes, and the end of a network.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Choice, Outbox, SimNet, check_determinism, echo, exhaust, explore};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Hold, Match, matching};
use udp_retry::transport::{Incoming, PathIndex, Transport};
use udp_retry::{Impairments, LossySink, ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use super::{SERVER, hear, ms, spec, two};

#[test]
fn a_wait_for_what_never_comes_moves_no_clock_and_spoils_no_request_after_it() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap().late_by(Duration::from_millis(3));
    transport.send(PathIndex::FIRST, b"x").unwrap();
    net.at(Duration::from_millis(70), |_| {});
    let never = Timestamp::MAX;
    assert_eq!(hear(&mut transport, never), Some((b"x".to_vec(), ms(10))), "what comes is there when it comes");
    let now = transport.now();
    assert_eq!(transport.recv(&mut [0; 9], now, never), Incoming::TimeUp(never), "the time that was waited for");
    assert_eq!(net.now(), ms(70), "the last thing that could happen");
    assert_eq!(transport.recv(&mut [0; 9], ms(70), never), Incoming::TimeUp(never));
    net.run_until(never);
    net.run_to_the_end(never);
    assert_eq!(net.now(), ms(70));

    let builder = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN);
    let mut requester = builder.over(transport).unwrap();
    assert_eq!(requester.request(b"and now?").map(|reply| reply.transmissions()).ok(), Some(1));
    // The same through a sink, which waits for its own datagrams too.
    let late: Impairments = "delay 7ms".parse().unwrap();
    let mut sink = LossySink::new(requester.into_transport(), late, Seed::new(1));
    sink.send(PathIndex::FIRST, b"x").unwrap();
    let (now, mut answers) = (sink.now(), 0);
    while let Incoming::Datagram(_) = sink.recv(&mut [0; 9], now, never) {
        answers += 1;
    }
    assert_eq!((answers, sink.now()), (1, now.after(Duration::from_millis(30))), "7 ms each way, 3 ms late");
}

#[test]
fn a_wait_just_before_the_end_of_time_is_a_wait_like_any_other() {
    let net = SimNet::new(Seed::new(1));
    let (client, _) = two(&net);
    let mut transport = net.connect(client, SERVER).unwrap().late_by(Duration::from_secs(1));
    let last = Timestamp::from_nanos(u64::MAX - 1);
    for until in [Timestamp::from_nanos(u64::MAX - 9_000_000_000), last] {
        let Incoming::TimeUp(at) = transport.recv(&mut [], ms(0), until) else { panic!("not up") };
        assert!(at >= until && net.now() == at && at < Timestamp::MAX);
    }
}

#[test]
fn a_request_that_waits_for_its_server_without_end_ends_when_nothing_can_come_any_more() {
    let net = SimNet::new(Seed::new(1));
    let (client, _) = two(&net);
    net.serve(SERVER, |_, from, _, out| out.send(from, b"working on it")).unwrap();
    let provisional = matching(|_, _| Match::Provisional(Hold::Stop));
    let builder = ReliableRequester::builder(provisional).policy(RetryPolicy::LAN).seed(Seed::new(1));
    let mut requester = builder.over(net.connect(client, SERVER).unwrap()).unwrap();
    for _ in 0..3 {
        assert_eq!(requester.request(b"do it").unwrap_err().transmissions(), 1);
    }
    assert!(net.now() < Timestamp::MAX);
}

/// A scenario that leaves behind whatever can keep a network in memory, each with a token.
fn litters(net: &SimNet, token: &Rc<()>) {
    let (client, _) = two(net);
    let (held, kept) = (net.clone(), token.clone());
    net.at(Duration::from_secs(3_600), move |_| drop((held, kept)));
    let (held, kept) = (net.connect(client, SERVER).unwrap(), token.clone());
    net.serve(SERVER, move |_, _, _, _: &mut Outbox<'_>| {
        let _ = (&held, &kept);
    })
    .unwrap();
    let (held, kept) = (net.clone(), token.clone());
    let tidy = Tidy(RefCell::new(Some(held)), kept);
    net.at(Duration::from_secs(7_200), move |_| drop(tidy));
}

/// Uses the network when it is dropped.
struct Tidy(RefCell<Option<SimNet>>, #[expect(dead_code, reason = "counted")] Rc<()>);

impl Drop for Tidy {
    fn drop(&mut self) {
        let net = self.0.take().unwrap();
        net.stop(SERVER);
        assert!(net.now() < Timestamp::MAX);
    }
}

#[test]
fn a_run_leaves_no_network_behind_though_its_own_actions_and_endpoints_hold_it() {
    let token = Rc::new(());
    explore(0..10, |net| -> Result<(), String> {
        litters(net, &token);
        Ok(())
    })
    .unwrap();
    assert_eq!(Rc::strong_count(&token), 1);
    let failing = explore(0..10, |net| {
        litters(net, &token);
        Err::<(), _>("fails")
    });
    assert!(failing.is_err());
    exhaust(2, &[Choice::Deliver, Choice::Drop], |net| -> Result<(), String> {
        litters(net, &token);
        Ok(())
    })
    .unwrap();
    check_determinism(Seed::new(1), |net| litters(net, &token)).unwrap();
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn a_network_that_is_ended_lets_go_of_everything_and_keeps_its_books() {
    let token = Rc::new(());
    let net = SimNet::new(Seed::new(1));
    litters(&net, &token);
    let mut transport = net.connect(net.host("10.0.0.9".parse().unwrap()).unwrap(), SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    net.run_until(ms(5));
    assert_eq!(Rc::strong_count(&token), 4);
    net.end();
    assert_eq!((Rc::strong_count(&token), net.next_due(), net.stats().arrived), (1, None, 1));
    // It goes on without them.
    assert!(!net.stop(SERVER));
    net.serve(SERVER, echo()).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
    assert!(builder.over(transport).unwrap().request(b"y").is_ok());
}
