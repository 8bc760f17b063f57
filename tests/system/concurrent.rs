//! Many requests in flight over real sockets: one thread, one socket, and none of them harms another.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and threads are the point")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use udp_retry::net::UnconnectedUdp;
use udp_retry::policy::Backoff;
use udp_retry::requester::{Completion, Waited};
use udp_retry::transaction::{Execution, Failure, Limits, OnUnreachable, TransactionId};
use udp_retry::transport::{PathError, PathIndex, PeerAddress, Transport};
use udp_retry::{ConcurrentRequester, ConnectedUdp, Impairments, LossySink, RetryPolicy, Seed, transaction_id};

use crate::closed::closed_port;
use crate::echoes::{Echo, Manner};
use crate::ports::free_port;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_reply_reaches_its_own_request_over_any_socket() {
    within(MINUTE, || {
        for host in ["127.0.0.1", "::1"] {
            let servers = [(); 3].map(|()| Echo::start(host, Manner::Prompt));
            let mut connected = builder().connect(servers[0].address).unwrap();
            answered(&mut connected, 500, |_| PathIndex::FIRST);
            let mut unconnected = builder().over(UnconnectedUdp::bind((host, 0)).unwrap()).unwrap();
            answered(&mut unconnected, 1500, |n| servers[n as usize % 3].address);
        }
        // Replies from IPv4 look like IPv6 there.
        let server = Echo::start("127.0.0.1", Manner::Prompt);
        let mut mapped = builder().over(UnconnectedUdp::bind("[::]:0").unwrap()).unwrap();
        answered(&mut mapped, 100, |_| server.address);
    });
}

/// Each once, by its token and its bytes, and at the first go.
#[track_caller]
fn answered<T: Transport<Peer: PeerAddress>, A: Into<T::Peer>>(
    requester: &mut ConcurrentRequester<T>,
    requests: u64,
    server: impl Fn(u64) -> A,
) {
    for n in 0..requests {
        requester.submit_to(server(n), request(n), n).unwrap();
    }
    assert_eq!(requester.in_flight() as u64, requests);
    let mut open: BTreeSet<u64> = (0..requests).collect();
    while let Some(done) = requester.wait() {
        assert_eq!(done.reply().unwrap()[8..], request(done.token())[8..]);
        assert_eq!(done.peer().identity(), server(done.token()).into().identity());
        assert!(done.round_trip() <= Some(done.elapsed()));
        assert!(open.remove(&done.token()), "{} ended twice", done.token());
    }
    assert!(open.is_empty() && requester.in_flight() == 0, "{open:?}");
}

#[test]
fn twenty_thousand_at_once_overflow_no_buffer() {
    within(MINUTE, || {
        let server = Echo::start("127.0.0.1", Manner::Prompt);
        let mut requester = builder().connect(server.address).unwrap();
        for n in 0..20_000 {
            requester.submit(request(n), n).unwrap();
        }
        assert_eq!((requester.in_flight(), requester.available()), (20_000, 65_536 - 20_000));
        let (mut ended, mut again) = (0, 0);
        while let Some(done) = requester.wait() {
            assert_eq!(done.reply().unwrap()[8..], request(done.token())[8..]);
            ended += 1;
            again += u32::from(done.transmissions() > 1);
        }
        assert_eq!(ended, 20_000);
        // A machine that stalls for a tenth of a second makes it a window or two.
        assert!(again <= 1000, "{again} had to be sent again");
    });
}

#[test]
fn a_server_that_says_nothing_delays_no_other() {
    within(MINUTE, || {
        let (good, deaf) = (Echo::start("127.0.0.1", Manner::Prompt), UdpSocket::bind("127.0.0.1:0").unwrap());
        let deaf = deaf.local_addr().unwrap();
        let policy = constant(200 * MS, 3);
        let mut requester = builder().policy(policy).over(UnconnectedUdp::bind("127.0.0.1:0").unwrap()).unwrap();
        let start = requester.now();
        for n in 0..200 {
            requester.submit_to(if n % 2 == 0 { deaf } else { good.address }, request(n), n).unwrap();
        }
        let mut answers = Vec::new();
        let mut failures = Vec::new();
        while let Some(done) = requester.wait() {
            match done.reply() {
                Ok(_) => answers.push(done.token()),
                Err(error) => {
                    assert!(matches!(error.failure(), Failure::TimedOut(_)), "{error}");
                    assert_eq!((error.transmissions(), error.execution()), (3, Execution::Unknown), "{error}");
                    assert_eq!((error.peer(), error.hint()), (Some(deaf), None), "nothing says that it was silent");
                    assert!(error.elapsed() >= 600 * MS, "{error}");
                    assert_eq!(answers.len(), 100, "the others did not wait for it");
                    failures.push(done.token());
                }
            }
        }
        let took = requester.now().since(start);
        // 64 at a time, so the last of 100 begin when the first ones have ended.
        assert!(took >= 1200 * MS && took < 3000 * MS, "{took:?}");
        assert_eq!((answers.len(), failures.len()), (100, 100));
        assert!(failures.is_sorted(), "in the order in which they were submitted");
    });
}

#[test]
fn a_failure_has_its_record_while_there_are_few_of_them() {
    within(MINUTE, || {
        let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
        let limits = Limits::default().window(NonZeroU32::new(100).unwrap());
        let builder = builder().limits(limits).policy(constant(20 * MS, 2));
        let mut requester = builder.connect(deaf.local_addr().unwrap()).unwrap();
        for n in 0..100 {
            requester.submit(request(n), n).unwrap();
        }
        let (mut recorded, mut empty) = (0, 0);
        while let Some(done) = requester.wait() {
            let error = done.reply().unwrap_err();
            assert_eq!(error.peer(), Some(deaf.local_addr().unwrap()));
            match error.timeline().events().count() {
                0 => {
                    assert_eq!(error.timeline().omitted(), 2, "{error}");
                    empty += 1;
                }
                _ => {
                    assert_eq!(error.timeline().transmissions().count(), 2, "{}", error.timeline());
                    recorded += 1;
                }
            }
        }
        assert_eq!((recorded, empty), (64, 36));
    });
}

#[test]
fn a_closed_port_neither_delays_nor_loses_what_goes_to_others() {
    within(MINUTE, || {
        let good = Echo::start("127.0.0.1", Manner::Prompt);
        let closed = closed_port();
        let policy = constant(200 * MS, 2);
        let mut requester = builder().policy(policy).over(UnconnectedUdp::bind("127.0.0.1:0").unwrap()).unwrap();
        for n in 0..200 {
            requester.submit_to(if n % 2 == 0 { closed } else { good.address }, request(n), n).unwrap();
        }
        let (mut well, mut again) = (0, 0);
        while let Some(done) = requester.wait() {
            assert_eq!(done.reply().is_ok(), done.token() % 2 == 1);
            if done.reply().is_ok() {
                well += 1;
                again += u32::from(done.transmissions() > 1);
            }
        }
        assert_eq!(well, 100);
        assert!(again <= 64, "a machine may stall, {again} times");
    });
}

#[test]
#[cfg(all(target_os = "linux", not(udp_retry_portable)))]
fn each_of_many_requests_to_a_closed_port_is_refused_for_itself() {
    within(MINUTE, || {
        let policy = constant(50 * MS, 3);
        for (on_unreachable, transmissions) in [(OnUnreachable::KeepTrying, 3), (OnUnreachable::FailFast, 1)] {
            let builder = builder().policy(policy).on_unreachable(on_unreachable);
            let mut requester = builder.connect(closed_port()).unwrap();
            for n in 0..50 {
                requester.submit(request(n), n).unwrap();
            }
            let mut ended = 0;
            while let Some(done) = requester.wait() {
                let error = done.reply().unwrap_err();
                assert_eq!((error.failure(), error.execution()), (Failure::Refused, Execution::Refused), "{error}");
                assert_eq!(error.transmissions(), transmissions, "{}", error.timeline());
                assert_eq!(error.last_path_error(), Some(PathError::Refused));
                ended += 1;
            }
            assert_eq!(ended, 50);
        }
    });
}

#[test]
fn a_wait_is_ended_from_another_thread_and_its_requests_go_on() {
    within(MINUTE, || {
        let server = Echo::start("127.0.0.1", Manner::After(150 * MS));
        let mut requester = builder().connect(server.address).unwrap();
        let handle = requester.cancel_handle().unwrap();
        requester.submit(request(7), 7).unwrap();
        let start = requester.now();
        let canceller = thread::spawn({
            let handle = handle.clone();
            move || {
                thread::sleep(30 * MS);
                handle.cancel();
            }
        });
        assert!(requester.wait().is_none(), "cancelled");
        assert!(requester.now().since(start) < 140 * MS);
        assert_eq!(requester.in_flight(), 1);
        canceller.join().unwrap();

        // One that comes first ends the next wait, before anything else is sent.
        requester.submit(request(8), 8).unwrap();
        handle.cancel();
        handle.cancel();
        assert!(matches!(requester.wait_until(requester.now().after(MINUTE)), Waited::Cancelled));
        let mut done = BTreeSet::new();
        while let Some(completion) = requester.wait() {
            assert_eq!((completion.reply().unwrap().len(), completion.transmissions()), (16, 1));
            done.insert(completion.token());
        }
        assert_eq!(done, BTreeSet::from([7, 8]), "neither was harmed");
    });
}

#[test]
fn a_wait_reaches_through_a_bad_network_to_be_cancelled() {
    within(MINUTE, || {
        let server = Echo::start("127.0.0.1", Manner::Prompt);
        let slow = "delay 10s".parse::<Impairments>().unwrap();
        let sink = LossySink::new(ConnectedUdp::connect(server.address).unwrap(), slow, Seed::new(7));
        let mut requester = builder().over(sink).unwrap();
        requester.cancel_handle().unwrap().cancel();
        requester.submit(request(1), 1).unwrap();
        assert!(requester.wait().is_none() && requester.in_flight() == 1);
    });
}

#[test]
fn a_wait_lasts_until_its_time_and_one_in_the_past_only_looks() {
    within(MINUTE, || {
        let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut requester = builder().connect(deaf.local_addr().unwrap()).unwrap();
        assert!(requester.wait().is_none(), "nothing is in flight");
        for _ in 0..2 {
            // With nothing in flight, and then with one.
            let soon = requester.now().after(30 * MS);
            assert!(matches!(requester.wait_until(soon), Waited::TimeUp));
            assert!(requester.now() >= soon);
            requester.submit(request(1), 1).unwrap();
        }
        let start = requester.now();
        deaf.set_nonblocking(true).unwrap();
        let mut heard = 0;
        while deaf.recv(&mut [0; 64]).is_ok() {
            heard += 1;
        }
        assert_eq!(heard, 1, "the second one was not waited for yet");
        assert!(requester.wait_until(Default::default()).completion().is_none());
        assert!(requester.now().since(start) < 1000 * MS);
        assert_eq!(deaf.recv(&mut [0; 64]).unwrap(), 16, "it has left by now");
        assert_eq!(requester.in_flight(), 2);
    });
}

#[test]
fn a_caller_who_never_waits_measures_as_well() {
    within(MINUTE, || {
        let server = Echo::start("127.0.0.1", Manner::After(20 * MS));
        let mut requester = builder().connect(server.address).unwrap();
        requester.submit(request(1), 1).unwrap();
        loop {
            // A time in the past is not one by which anything has arrived.
            if let Some(done) = requester.wait_until(Default::default()).completion() {
                assert!(done.round_trip() >= Some(20 * MS) && done.elapsed() >= 20 * MS, "{done:?}");
                return;
            }
            thread::sleep(MS);
        }
    });
}

#[test]
fn a_request_that_is_given_up_has_no_end() {
    within(MINUTE, || {
        let server = Echo::start("127.0.0.1", Manner::After(50 * MS));
        let mut requester = builder().connect(server.address).unwrap();
        let handles = [1, 2, 3].map(|n| requester.submit(request(n), n).unwrap());
        assert!(matches!(requester.wait_until(requester.now().after(MS)), Waited::TimeUp));
        assert!(requester.cancel(handles[1]) && !requester.cancel(handles[1]));
        let mut ended = Vec::new();
        while let Some(done) = requester.wait() {
            ended.push((done.token(), done.handle()));
        }
        ended.sort_unstable();
        assert_eq!(ended, [(1, handles[0]), (3, handles[2])]);
        assert!(!requester.cancel(handles[0]), "it has ended");
        let _ = requester.wait_until(requester.now().after(20 * MS));
        assert_eq!((requester.strays().stale, requester.strays().total()), (1, 1), "the reply to the second");
    });
}

#[test]
fn a_window_beyond_the_buffer_is_warned_of_until_the_buffer_is_larger() {
    within(MINUTE, || {
        let deaf = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let limits = Limits::default().window(NonZeroU32::new(1000).unwrap());
        let mut requester = builder().connect(deaf).unwrap();
        requester.transport_mut().set_receive_buffer(100_000).unwrap();
        assert_eq!(requester.buffer_warning(64), None);
        let mut requester = builder().limits(limits).connect(deaf).unwrap();
        let granted = requester.transport_mut().set_receive_buffer(100_000).unwrap();
        let warning = requester.buffer_warning(64).unwrap();
        assert_eq!((warning.on_wire, warning.needed, warning.granted), (1000, 832_000, granted));
        let text =
            format!("the replies to 1000 requests on the wire take 832000 bytes of a receive buffer of {granted}");
        assert_eq!(warning.to_string(), text);

        // Each path has a buffer of its own.
        let mut several = builder().limits(limits).connect(&[deaf, closed_port()][..]).unwrap();
        assert_eq!(several.transport_mut().set_receive_buffer(100_000).unwrap(), granted);
        assert_eq!(several.buffer_warning(64), Some(warning));

        let mut many = builder().over(UnconnectedUdp::bind("127.0.0.1:0").unwrap()).unwrap();
        many.transport().set_receive_buffer(100_000).unwrap();
        assert_eq!(many.buffer_warning(64), None, "no one is asked yet");
        for n in 0..10 {
            many.submit_to(SocketAddr::from(([127, 0, 0, 1], 9 + n)), request(n.into()), 0).unwrap();
        }
        assert_eq!(many.buffer_warning(64).map(|warning| warning.on_wire), Some(640));
    });
}

#[test]
fn a_port_from_which_nothing_came_back_is_left_and_one_that_others_use_is_kept() {
    within(MINUTE, || {
        for is_lent in [false, true] {
            let server = UdpSocket::bind("127.0.0.1:0").unwrap();
            let socket = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
            let clone = is_lent.then(|| socket.as_socket().try_clone().unwrap());
            let policy = RetryPolicy::LAN.with_max_transmissions(2).unwrap();
            let mut requester = builder().policy(policy).over(socket).unwrap();
            let mut from = BTreeSet::new();
            for round in 0..3 {
                for token in 0..10 {
                    requester.submit(request(token), token).unwrap();
                }
                while let Some(done) = requester.wait() {
                    assert!(done.reply().is_err());
                }
                server.set_nonblocking(true).unwrap();
                while let Ok((_, port)) = server.recv_from(&mut [0; 64]) {
                    from.insert(port);
                }
                assert_eq!(from.len(), if is_lent { 1 } else { round + 1 }, "each time one");
            }
            drop(clone);
        }
    });
}

#[test]
fn no_reply_is_a_wrong_one_over_a_network_that_loses_and_repeats() {
    within(MINUTE, || {
        let servers = [(); 4].map(|()| Echo::start("127.0.0.1", Manner::Prompt));
        let bad = "loss 20%; duplicate 20%".parse::<Impairments>().unwrap();
        let backoff = Backoff::exponential(20 * MS, 200 * MS).unwrap();
        let builder = builder().policy(RetryPolicy::new(backoff).with_max_transmissions(9).unwrap());
        let connected = LossySink::new(ConnectedUdp::connect(servers[0].address).unwrap(), bad.clone(), Seed::new(7));
        let mut requester = builder.clone().over(connected).unwrap();
        survives(&mut requester, |_| PathIndex::FIRST, 1000);
        let unconnected = LossySink::new(UnconnectedUdp::bind("127.0.0.1:0").unwrap(), bad, Seed::new(8));
        let mut requester = builder.over(unconnected).unwrap();
        survives(&mut requester, |n| servers[n as usize % 4].address, 4000);
    });
}

/// Each ends once, with its own reply; of 10,000, less than one fails, as 36 % of the attempts do.
#[track_caller]
fn survives<T: Transport<Peer: PeerAddress>, A: Into<T::Peer>>(
    requester: &mut ConcurrentRequester<T>,
    server: impl Fn(u64) -> A,
    requests: u64,
) {
    for n in 0..requests {
        requester.submit_to(server(n), request(n), n).unwrap();
    }
    let mut open: BTreeSet<u64> = (0..requests).collect();
    let (mut failed, mut again) = (0, 0);
    let mut look = |done: &Completion<'_, T::Peer>| {
        assert!(open.remove(&done.token()), "{} ended twice", done.token());
        again += u64::from(done.transmissions() > 1);
        match done.reply() {
            Ok(reply) => assert_eq!(reply[8..], request(done.token())[8..]),
            Err(error) => {
                assert_eq!(error.transmissions(), 9, "{error}");
                failed += 1;
            }
        }
    };
    while let Some(done) = requester.wait() {
        look(&done);
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(failed <= 5, "{failed} of {requests} failed");
    // 36 % of them, give or take five standard deviations.
    let share = again as f64 / requests as f64;
    assert!((0.28..0.46).contains(&share), "{share} had to be sent again");
    assert!(u64::from(requester.strays().stale) > requests / 20, "{:?}", requester.strays());
}

fn builder() -> udp_retry::requester::Builder<udp_retry::requester::Concurrent> {
    ConcurrentRequester::builder(id())
}

fn id() -> TransactionId {
    transaction_id(0..8).stamped()
}

/// Space for an id, and a number.
fn request(n: u64) -> Vec<u8> {
    [[0; 8], n.to_be_bytes()].concat()
}

fn constant(wait: Duration, transmissions: u32) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(wait).unwrap()).with_max_transmissions(transmissions).unwrap()
}
