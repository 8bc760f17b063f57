//! The same loop in virtual time, over a network that loses, repeats and reorders.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::replies::{ReplyLimits, Responder, same_id};
use udp_retry::serving::{Ended, Handled, SharedResponder};
use udp_retry::sim::{SimNet, SimUnconnected, explore};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{LossySink, ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::watchdog::{MINUTE, within};
use crate::{count, over};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const NETWORK: &str = "loss 30%; duplicate 30% late 300ms ~300ms; delay 50ms ~45ms unordered";

#[test]
fn every_request_that_arrives_is_executed_once_whatever_the_network_repeats() {
    within(MINUTE, || {
        explore(0..200, |net| increments(net, ReplyLimits::for_policy(&RetryPolicy::LAN, Duration::from_secs(2))?))
            .unwrap_or_else(|failure| panic!("{failure}"));
    });
}

#[test]
fn a_lifetime_shorter_than_copies_are_late_is_found_by_one_fault() {
    within(MINUTE, || {
        let short = ReplyLimits::default().with_lifetime(Duration::from_millis(200)).unwrap();
        let failure = explore(0..200, move |net| increments(net, short)).unwrap_err();
        assert!(failure.to_string().contains("duplicate"), "{failure}");
    });
}

/// Ten increments; each that was answered was executed once, and no other more than once.
fn increments(net: &SimNet, limits: ReplyLimits) -> Outcome {
    let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    net.path(client, server, Profile::both(NETWORK.parse()?))?;
    let executions = Rc::new(RefCell::new(BTreeMap::<Vec<u8>, u32>::new()));
    let mut end = net.bind(server, "0.0.0.0:1060".parse()?)?;
    let responder = SharedResponder::from(Responder::over(&mut end, limits, same_id(0..8))?);
    let executed = executions.clone();
    net.run_in_turns(end, move |end: &mut SimUnconnected| {
        let now = end.now();
        responder.serve_until(end, now, |request, reply| {
            *executed.borrow_mut().entry(request.bytes().to_vec()).or_default() += 1;
            reply.extend_from_slice(request.bytes());
            Handled::Reply
        });
        None
    });
    let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
    let mut requester =
        ReliableRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN).over(transport)?;
    for _ in 0..10 {
        if let Ok(reply) = requester.request(b"........+1") {
            assert_eq!(executions.borrow().get(reply.payload()), Some(&1), "an answer without an execution");
        }
    }
    // Whatever is late has come by then.
    net.run_until(net.now().after(Duration::from_secs(5)));
    let executions = executions.borrow();
    assert!(executions.values().all(|&times| times == 1), "executed twice: {executions:?}");
    Ok(())
}

#[test]
fn a_loop_ends_where_nothing_will_ever_come_and_serves_on_what_the_network_delays() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) =
        (net.host("10.0.0.1".parse().unwrap()).unwrap(), net.host("10.0.0.2".parse().unwrap()).unwrap());
    net.path(client, server, Profile::both("delay 5ms".parse().unwrap())).unwrap();
    let end = net.bind(server, "10.0.0.2:1060".parse().unwrap()).unwrap();
    // A bad network of its own, in which answers leave late.
    let late = Profile { to_client: "delay 20ms".parse().unwrap(), ..Profile::default() };
    let mut sink = LossySink::at_server(end, late, Seed::new(1));
    let responder = over(&mut sink);
    let mut client = net.connect(client, "10.0.0.2:1060".parse().unwrap()).unwrap();
    for request in [b"0001", b"0001", b"0002"] {
        client.send(PathIndex::FIRST, request).unwrap();
    }
    let mut executed = 0;
    let ended = responder.serve(&mut sink, |request, reply| count(&mut executed, request, reply));
    assert_eq!((ended, executed, net.now()), (Ended::TimeUp, 2, Timestamp::ZERO.after(Duration::from_millis(30))));
    assert_eq!((responder.stats().replies.replayed, responder.unsent()), (1, 0));
}
