//! The bugs of the loop that everybody writes (send, wait, double the wait), each shown on it and not on the
//! requester, in the same simulated world.
//!
//! Those of real sockets are in `naive_sockets.rs`: 5 (a datagram queued before connecting), 12 (signals), 13 (the
//! edges of timers), 20 (names, families, broadcast). Two cannot occur: 9, as a client's socket is connected, so that it
//! hears of refusals; 22, as `request` takes the requester by `&mut`, so that no second thread reads its socket.

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::policy::RttEstimator;
use udp_retry::sim::{Endpoint, Outbox, SimTransport, echo};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Execution, Failure, GiveUp};
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::naive::{Pair, SERVER, at, connect, ms, path, requester, sent_to_server, world, worlds};
use crate::waits::Waits;

#[test]
fn bug_1_a_late_reply_shifts_every_later_one() {
    // A server that works on one request after the other, and takes long over the first.
    let late_first = |net: &Pair| {
        let mut free = None;
        net.serve(SERVER, move |now, from, datagram, out| {
            let done = match free {
                None => now.after(ms(150)),
                Some(free) => now.max(free).after(ms(1)),
            };
            free = Some(done);
            out.send_after(done.since(now), from, datagram);
        })
    };
    let (mut naive, mut by_id, mut by_port) = worlds(|net| late_first(net).unwrap());
    let wrong = |replies: Vec<Vec<u8>>| (0..10).zip(replies).filter(|(n, reply)| reply[0] != *n).count();
    assert_eq!(wrong((0..10).map(|n| naive.request(&[n]).unwrap()).collect()), 9, "it never heals");
    assert_eq!(wrong((0..10).map(|n| by_id.request(&[n]).unwrap().payload().to_vec()).collect()), 0);
    assert_eq!(wrong((0..10).map(|n| by_port.request(&[n]).unwrap().payload().to_vec()).collect()), 0);
}

#[test]
fn bug_2_the_second_copy_of_a_reply_is_taken_for_the_next_one() {
    let (mut naive, mut by_id, mut by_port) = worlds(|net| {
        path(net, "none", "duplicate 100% late 1ms");
        net.serve(SERVER, echo()).unwrap();
    });
    assert_eq!(naive.request(b"a").unwrap(), b"a");
    naive.transport.net().run_until(at(50));
    assert_eq!(naive.request(b"b").unwrap(), b"a");
    for n in 0..20_u8 {
        assert_eq!(by_id.request(&[n]).unwrap().payload(), [n]);
        by_id.transport().net().run_until(at(50 * u64::from(n)));
        assert_eq!(by_port.request(&[n]).unwrap().payload(), [n]);
        by_port.transport().net().run_until(at(50 * u64::from(n)));
    }
}

#[test]
fn bug_3_anything_at_all_is_taken_for_the_reply() {
    for nonsense in [&b""[..], b"an error page", b"\xff"] {
        let (mut naive, mut by_id, _) = worlds(|net| {
            net.serve(SERVER, move |_, from, datagram, out| {
                out.send(from, nonsense);
                out.send_after(ms(5), from, datagram);
            })
            .unwrap();
        });
        assert_eq!(naive.request(b"?ask").unwrap(), nonsense);
        assert_eq!(by_id.request(b"?ask").unwrap().payload(), b"?ask");
    }
}

#[test]
fn bug_4_a_reply_is_cut_without_a_word() {
    let (mut naive, _, _) = worlds(|net| net.serve(SERVER, echo()).unwrap());
    assert_eq!(naive.request(&[7; 200]).map(|reply| reply.len()), Ok(100));
    let net = world(|net| net.serve(SERVER, echo()).unwrap());
    let mut small = ReliableRequester::builder(transaction_id(0..1)).buffer(100).over(connect(&net)).unwrap();
    let failure = small.request(&[7; 200]).unwrap_err().failure();
    assert!(matches!(failure, Failure::Truncated { received: 100, actual: 200, .. }), "{failure}");
}

#[test]
fn bug_6_a_server_that_restarts_is_a_crash() {
    let restarting = |net: &Pair| net.at(ms(250), |net| net.serve(SERVER, echo()).unwrap());
    let (mut naive, mut by_id, _) = worlds(restarting);
    assert_eq!(naive.request(b"x"), Err("crashed"));
    assert_eq!(by_id.request(b"x").unwrap().transmissions(), 3, "sent at 0, 100 and 300 ms");
}

#[test]
fn bug_7_an_error_swallows_the_next_transmission() {
    // Refused once; then the server is there.
    let (mut naive, mut by_id, _) = worlds(|net| {
        path(net, "delay 1ms", "delay 1ms");
        net.at(ms(50), |net| net.serve(SERVER, echo()).unwrap());
    });
    let sent = |transport: &SimTransport| transport.net().stats().sent;
    naive.transport.send(PathIndex::FIRST, b"x").unwrap();
    naive.transport.net().run_until(at(100));
    assert!(naive.transport.send(PathIndex::FIRST, b"x").is_err());
    assert_eq!(sent(&naive.transport), 1, "the second one never left");
    assert_eq!(by_id.request(b"x").unwrap().transmissions(), 2);
    assert_eq!(sent(by_id.transport()), 3, "two requests and a reply");
}

#[test]
fn bug_8_an_error_hides_the_answer() {
    // Answered, and then told that nobody listens.
    let answered_then_gone = |net: &Pair| {
        path(net, "duplicate 100% late 1ms; delay 1ms", "delay 5ms");
        net.serve(SERVER, echo()).unwrap();
        net.at(Duration::from_micros(1500), |net| assert!(net.stop(SERVER)));
    };
    let (mut naive, mut by_id, _) = worlds(answered_then_gone);
    for transport in [&mut naive.transport, by_id.transport_mut()] {
        transport.send(PathIndex::FIRST, b"id").unwrap();
        transport.net().run_until(at(20));
    }
    let mut buffer = [0; 10];
    assert!(naive.transport.wait(&mut buffer, at(20)).is_err());
    assert!(naive.transport.wait(&mut buffer, at(20)).unwrap().is_some(), "it was there all the time");
    // The requester reads on: the same request again finds the reply to the one before it.
    let mut fresh = requester(&world(answered_then_gone));
    let reply = fresh.request(b"id").unwrap();
    assert_eq!((reply.payload(), reply.transmissions()), (&b"id"[..], 1));
}

#[test]
fn bug_10_retrying_at_once_on_errors_burns_all_attempts() {
    let (mut naive, mut by_id, _) = worlds(|net| path(net, "none", "none"));
    let burnt = (0..10).take_while(|_| naive.request(b"x").is_err()).count();
    assert_eq!((burnt, naive.transport.now()), (10, at(0)), "ten attempts, no time");
    let error = by_id.request(b"x").unwrap_err();
    assert_eq!((error.transmissions(), error.elapsed()), (5, ms(3100)));
}

#[test]
fn bug_11_strays_postpone_or_hasten_the_retransmission() {
    // A forger who knows the port, every 20 ms.
    let forging = |net: &Pair| {
        path(net, "loss 100%", "none");
        net.serve(SERVER, echo()).unwrap();
    };
    let times = |spray: bool| {
        let mut requester = requester(&world(forging));
        let address = requester.transport().local_addr().unwrap();
        let net = requester.transport().net().clone();
        net.record();
        for n in 0..if spray { 100 } else { 0 } {
            net.at(ms(20 * n), move |net| {
                // From the server's own address, as a forger would.
                net.stop(SERVER);
                let shot = move |_: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox| {};
                net.serve_endpoint(SERVER, Shot { at: Some(net.now()), to: address, inner: shot }).unwrap();
            });
        }
        let error = requester.request(b"x").unwrap_err();
        (error.transmissions(), error.elapsed(), sent_to_server(&net))
    };
    assert_eq!(times(true), times(false));
    assert_eq!(times(true).2, [0, 100, 300, 700, 1500].map(at));
}

#[test]
fn bug_14_a_fleet_that_starts_together_stays_in_step() {
    let together = |policy: RetryPolicy| {
        let mut second: Vec<Timestamp> = (0..100)
            .map(|client| {
                let net = world(|net| path(net, "loss 100%", "none"));
                net.record();
                let builder = ReliableRequester::builder(transaction_id(0..1)).policy(policy).seed(Seed::new(client));
                let _ = builder.over(connect(&net)).unwrap().request(b"x");
                net.events()[1].at
            })
            .collect();
        second.sort_unstable();
        second.dedup();
        second.len()
    };
    assert_eq!(together(RetryPolicy::LAN), 1, "the book's schedule");
    assert_eq!(together(RetryPolicy::default()), 100);
}

#[test]
fn bugs_15_and_16_a_slow_path_is_sent_every_request_twice_for_ever() {
    let slow = |net: &Pair| {
        path(net, "delay 75ms", "delay 75ms");
        net.serve(SERVER, echo()).unwrap();
    };
    let (mut naive, _, _) = worlds(slow);
    // Each with its own reply, as if that came alone.
    for n in 0..20_u64 {
        naive.request(&[0]).unwrap();
        while naive.transport.wait(&mut [0; 10], at(1000 * (n + 1))).unwrap().is_some() {}
    }
    assert_eq!(naive.transport.net().stats().sent, 80, "every request twice, every reply twice");
    // With a memory of round trips the first wait fits the path from the second request on.
    let net = world(slow);
    let estimator = RttEstimator::new(ms(100), ms(100), Duration::from_secs(60)).unwrap();
    let mut transport = connect(&net);
    let mut transmissions = Vec::new();
    for n in 0..20_u8 {
        let policy = RetryPolicy::LAN.starting_at(estimator.rto(transport.now()));
        let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(policy).over(transport).unwrap();
        let reply = requester.request(&[n]).unwrap();
        let (sent, round_trip) = (reply.transmissions(), reply.round_trip());
        transport = requester.into_transport();
        let now = transport.now();
        if sent > 1 {
            estimator.on_expiry(now, policy.backoff().initial());
        }
        estimator.on_reply(now, round_trip);
        transmissions.push(sent);
    }
    assert!(transmissions[2..].iter().all(|&sent| sent == 1), "{transmissions:?}");
}

#[test]
fn bug_17_the_longest_wait_is_no_deadline() {
    let (mut naive, _, _) = worlds(|net| path(net, "loss 100%", "none"));
    assert_eq!(naive.request(b"x"), Err("the server is down"));
    assert_eq!(naive.transport.now(), at(3100), "and not at 2 s");
    let net = world(|net| path(net, "loss 100%", "none"));
    let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
    let error = builder.deadline(ms(2000)).over(connect(&net)).unwrap().request(b"x").unwrap_err();
    assert_eq!((error.elapsed(), error.failure()), (ms(2000), Failure::TimedOut(GiveUp::Deadline)));
}

#[test]
fn bug_18_nobody_knows_whether_the_request_was_executed() {
    for (to_server, to_client, execution) in
        [("loss 100%", "none", Execution::Unknown), ("none", "loss 100%", Execution::Unknown)]
    {
        let mut silent = requester(&world(|net| {
            path(net, to_server, to_client);
            net.serve(SERVER, echo()).unwrap();
        }));
        assert_eq!(silent.request(b"x").unwrap_err().execution(), execution);
    }
    let mut refused = requester(&world(|net| path(net, "delay 1ms", "delay 1ms")));
    assert_eq!(refused.request(b"x").unwrap_err().execution(), Execution::Refused);
    let mut too_large = requester(&world(|net| path(net, "mtu 1400 error", "none")));
    assert_eq!(too_large.request(&[0; 2000]).unwrap_err().execution(), Execution::NotSent);
}

#[test]
fn bug_19_after_a_long_sleep_everything_is_sent_at_once() {
    let sleepy = |late| {
        let net = world(|net| path(net, "loss 100%", "none"));
        net.record();
        let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
        let _ = builder.over(connect(&net).late_by(late)).unwrap().request(b"x");
        net.events().iter().map(|event| event.at).collect::<Vec<_>>()
    };
    // Each wait ends a second late: one transmission for those that were missed, and then a wait again.
    let sent = sleepy(Duration::from_secs(1));
    let gaps: Vec<Duration> = sent.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(sent.len() <= 5 && gaps.iter().all(|&gap| gap >= ms(1000)), "{gaps:?}");
}

#[test]
fn bug_21_what_the_path_cannot_carry_is_sent_five_times() {
    let narrow = |net: &Pair| path(net, "mtu 1400 error", "none");
    let mut ours = requester(&world(narrow));
    let error = ours.request(&[0; 2000]).unwrap_err();
    assert!(
        matches!(error.failure(), Failure::TooLarge { len: 2000, limit: Some(limit), .. } if limit.bytes() == 1372)
    );
    assert_eq!((error.transmissions(), error.elapsed()), (0, ms(0)));
}

#[test]
fn bug_23_one_forged_datagram_is_enough() {
    // Whoever forges without seeing the path guesses the port, and with an id the id too.
    let stamped = |seed| {
        let net = world(|net| net.serve(SERVER, echo()).unwrap());
        let builder = ReliableRequester::builder(transaction_id(0..8).stamped()).seed(Seed::new(seed));
        let reply = builder.over(connect(&net)).unwrap().request(&[0; 8]).unwrap().payload().to_vec();
        u64::from_be_bytes(reply.try_into().unwrap())
    };
    let mut ids: Vec<u64> = (0..1000).map(stamped).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1000);
    // All over the range, not counted up.
    let in_upper_half = ids.iter().filter(|&&id| id > u64::MAX / 2).count();
    assert!((400..600).contains(&in_upper_half), "{in_upper_half}");
}

/// Sends one forged datagram when it is put there.
struct Shot<F> {
    at: Option<Timestamp>,
    to: SocketAddr,
    inner: F,
}

impl<F: Endpoint> Endpoint for Shot<F> {
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        self.inner.on_datagram(now, from, datagram, out);
    }

    fn on_wake(&mut self, _: Timestamp, out: &mut Outbox) {
        self.at = None;
        out.send(self.to, b"junk");
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.at
    }
}
