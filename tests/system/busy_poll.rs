//! `BusyPoll` over sockets: replies, cancellations and silence come through it as without.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::{BusyPoll, UnconnectedUdp};
use udp_retry::transaction::{Execution, Failure};
use udp_retry::transport::{Incoming, Transport};
use udp_retry::{ConnectedUdp, Impairments, LossySink, ReliableRequester, RetryPolicy, Seed, transaction_id};

#[cfg(target_os = "linux")]
use crate::processor::{at_most, spent, undisturbed};
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn over_busy_poll_every_request_gets_its_own_reply_within_its_time() {
    within(MINUTE, || {
        // At once, and later than it looks, so that hits, misses and pauses take turns.
        let server = echo(|n| if n % 8 < 4 { Duration::ZERO } else { MS / 5 });
        let transport = BusyPoll::new(ConnectedUdp::connect(server).unwrap());
        let mut requester = ReliableRequester::builder(transaction_id(0..4)).over(transport).unwrap();
        for n in 0..400_u32 {
            let start = Instant::now();
            let reply = requester.request(&n.to_be_bytes()).unwrap();
            let (elapsed, round_trip) = (reply.elapsed(), reply.round_trip());
            assert_eq!(reply.payload(), n.to_be_bytes());
            // A round trip that begins before the clock was read, or ends after, is none.
            assert!(elapsed > Duration::ZERO && elapsed <= start.elapsed(), "{elapsed:?}");
            let slow = if n % 8 < 4 { Duration::ZERO } else { MS / 5 };
            assert!(reply.transmissions() > 1 || round_trip.is_some_and(|it| it > slow && it <= elapsed));
        }
    });
}

#[test]
fn over_busy_poll_a_handle_ends_the_wait_under_way_or_the_next_request_and_no_other() {
    within(MINUTE, || {
        let server = echo(|_| Duration::ZERO);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Looking for all of a wait, and for none of it, and as usual.
        for looking_for in [Duration::MAX, Duration::ZERO, Duration::from_micros(50)] {
            let over = |server| {
                let transport = BusyPoll::new(ConnectedUdp::connect(server).unwrap()).looking_for(looking_for);
                ReliableRequester::builder(transaction_id(0..4)).over(transport).unwrap()
            };
            let mut waiting = over(silent.local_addr().unwrap());
            let handle = waiting.cancel_handle().unwrap();
            let cancelling = thread::spawn(move || {
                thread::sleep(50 * MS);
                handle.cancel();
            });
            let error = waiting.request(b"0001 anyone?").unwrap_err();
            cancelling.join().unwrap();
            // The first wait of the default policy is a second at least.
            assert_eq!((error.failure(), error.transmissions()), (Failure::Cancelled, 1), "{looking_for:?}");
            assert!((50 * MS..500 * MS).contains(&error.elapsed()), "{looking_for:?}: {error}");

            let mut answered = over(server);
            let handle = answered.cancel_handle().unwrap();
            for n in 0..50_u32 {
                handle.cancel();
                let error = answered.request(b"0000 not to be sent").unwrap_err();
                assert_eq!((error.failure(), error.execution()), (Failure::Cancelled, Execution::NotSent));
                assert_eq!(answered.request(&n.to_be_bytes()).unwrap().payload(), n.to_be_bytes());
            }
        }
    });
}

#[test]
fn a_handle_is_to_be_had_through_busy_poll_and_a_sink_either_way_round() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connect = || ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap();
        let builder = || ReliableRequester::builder(transaction_id(0..4));
        let sink = BusyPoll::new(LossySink::new(connect(), Impairments::NONE, Seed::new(1)));
        let mut outside = builder().over(sink).unwrap();
        outside.cancel_handle().unwrap().cancel();
        assert_eq!(outside.request(b"0001").unwrap_err().failure(), Failure::Cancelled);
        let sink = LossySink::new(BusyPoll::new(connect()), Impairments::NONE, Seed::new(1));
        let mut inside = builder().over(sink).unwrap();
        inside.cancel_handle().unwrap().cancel();
        assert_eq!(inside.request(b"0001").unwrap_err().failure(), Failure::Cancelled);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn over_busy_poll_silence_costs_nothing_and_retransmissions_leave_on_time() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        undisturbed("silence over busy poll", || {
            let transport = BusyPoll::new(ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap());
            let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).deadline(3000 * MS);
            let mut requester = builder.over(transport).unwrap();
            let (error, spent) = spent(|| requester.request(b"0001 anyone?").unwrap_err());
            assert!(error.elapsed() >= 3000 * MS, "{error}");
            let sent = error.timeline().transmissions();
            assert!(sent.zip([0, 100, 300, 700, 1500]).all(|(sent, due)| sent >= due * MS), "{}", error.timeline());
            (error.elapsed() < 3200 * MS).then_some(()).ok_or_else(|| format!("late: {error}"))?;
            at_most(&(..=5 * MS), spent)
        });
    });
}

#[test]
fn a_server_may_busy_poll_too() {
    within(MINUTE, || {
        let mut server = BusyPoll::new(UnconnectedUdp::bind("127.0.0.1:0").unwrap());
        let address = server.get_ref().local_addr();
        let serving = thread::spawn(move || {
            let mut buffer = [0; 64];
            for _ in 0..100 {
                let now = server.now();
                let incoming = server.recv(&mut buffer, now, now.after(10_000 * MS));
                let Incoming::Datagram(received) = incoming else { panic!("{incoming:?}") };
                server.send(received.from, &buffer[..received.len]).unwrap();
            }
        });
        let mut requester = ReliableRequester::connect(address, transaction_id(0..4)).unwrap();
        for n in 0..100_u32 {
            assert_eq!(requester.request(&n.to_be_bytes()).unwrap().payload(), n.to_be_bytes());
        }
        serving.join().unwrap();
    });
}

/// Answers each datagram with itself, this much later; the number in its first four bytes says which it is.
fn echo(later: impl Fn(u32) -> Duration + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let number = buffer.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
            let later = later(number);
            if !later.is_zero() {
                thread::sleep(later);
            }
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    address
}
