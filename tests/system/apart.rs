//! One clock for all sockets of a process, what a time of arrival says, and a socket that reports nothing but errors.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::ConnectedUdp;
use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};

#[cfg(target_os = "linux")]
use crate::ports::free_port;
use crate::processor::{at_most, spent, undisturbed};

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_moments_of_all_sockets_of_a_process_compare() {
    let (first, server) = pair();
    let before = first.now();
    thread::sleep(30 * MS);
    // Made later, in another thread, and of another kind.
    let second = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
    let third = thread::spawn(|| ConnectedUdp::connect("127.0.0.1:9").unwrap()).join().unwrap();
    let fourth = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
    let moments = [first.now(), second.now(), third.now(), fourth.now(), first.now()];
    assert!(moments.is_sorted(), "{moments:?}");
    assert!(moments[0].since(before) >= 30 * MS, "{before:?} {moments:?}");
}

#[test]
fn a_datagram_arrived_when_it_was_read_or_at_the_end_of_the_wait_if_that_was_earlier() {
    let (mut client, server) = pair();
    let mut buffer = [0; 8];
    let mut arrival = |client: &mut ConnectedUdp, until: Timestamp| {
        let now = client.now();
        match client.recv(&mut buffer, now, until) {
            Incoming::Datagram(received) => received.at,
            other => panic!("{other:?}"),
        }
    };
    server.send_to(b"waits", client.local_addr()).unwrap();
    thread::sleep(5 * MS);
    let (before, until) = (client.now(), client.now().after(1000 * MS));
    let at = arrival(&mut client, until);
    assert!(before <= at && at <= client.now(), "{before:?} {at:?}");

    // Whoever comes late cannot know when it arrived: not after the end of the wait.
    for late in [Duration::ZERO, 3 * MS] {
        server.send_to(b"waits", client.local_addr()).unwrap();
        let until = client.now();
        thread::sleep(late);
        assert_eq!(arrival(&mut client, until), until);
    }
    // The same at an end that is not connected.
    let mut server = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"waits", server.local_addr()).unwrap();
    let until = server.now();
    thread::sleep(3 * MS);
    let now = server.now();
    let Incoming::Datagram(received) = server.recv(&mut buffer, now, until) else { panic!("nothing came") };
    assert_eq!(received.at, until);
}

/// Linux shows a connected socket each refusal of what was sent on it; here another thread sends all the time.
#[test]
#[cfg(target_os = "linux")]
fn a_socket_that_reports_nothing_but_errors_is_read_ever_more_rarely_until_the_wait_ends() {
    undisturbed("errors without end", reads_errors_without_end);
}

#[cfg(target_os = "linux")]
fn reads_errors_without_end() -> Result<(), String> {
    let (mut client, flood) = flooded();
    let start = client.now();
    let until = start.after(1000 * MS);
    let mut errors = Vec::new();
    let (looked, spent) = spent(|| {
        loop {
            let now = client.now();
            match client.recv(&mut [0; 8], now, until) {
                Incoming::PathError { error, .. } => {
                    assert_eq!(error, PathError::Refused);
                    errors.push(client.now().since(start));
                }
                Incoming::TimeUp(at) => break at,
                other => panic!("{other:?}"),
            }
        }
    });
    println!("{} errors in {:?}", errors.len(), looked.since(start));
    assert!(looked >= until);
    // 16 at once, 9 after rests that double, and then one each 100 ms; but for those that the other thread's sends meet,
    // some half of them, which wake for nothing and count as well.
    assert!((1..=16 + 9 + 10).contains(&errors.len()), "more, and it spins; none, and nothing was proved: {errors:?}");
    let late: Vec<_> = errors.iter().filter(|at| (300 * MS..990 * MS).contains(*at)).collect();

    // And it is looked at again.
    let now = client.now();
    let again =
        (0..50).any(|_| matches!(client.recv(&mut [0; 8], now, now.after(5000 * MS)), Incoming::PathError { .. }));
    assert!(again, "no error is found any more");
    drop(flood);
    (looked.since(until) < 200 * MS).then_some(()).ok_or_else(|| format!("late by {:?}", looked.since(until)))?;
    // One that is read late and one in time are nearer to each other.
    let rests = late.is_sorted_by(|one, next| **one + 95 * MS <= **next);
    rests.then_some(()).ok_or_else(|| format!("it rests for 100 ms by then: {errors:?}"))?;
    at_most(&(..=5 * MS), spent)
}

#[test]
#[cfg(target_os = "linux")]
fn a_socket_that_rests_can_be_cancelled_at_once() {
    let (mut client, flood) = flooded();
    let handle = client.cancel_handle().unwrap();
    let until = client.now().after(10_000 * MS);
    let mut took: Vec<Duration> = (0..5)
        .map(|_| {
            let handle = handle.clone();
            let canceller = thread::spawn(move || {
                thread::sleep(200 * MS);
                let called = Instant::now();
                handle.cancel();
                called
            });
            while !matches!(cancelled_or_failed(&mut client, until), Incoming::Cancelled) {}
            let ended = Instant::now();
            ended.saturating_duration_since(canceller.join().unwrap())
        })
        .collect();
    took.sort_unstable();
    assert!(took[2] < 10 * MS, "a rest of 100 ms is ended, not sat out: {took:?}");
    assert!(took[4] < 2000 * MS, "{took:?}");
    drop(flood);
}

#[cfg(target_os = "linux")]
fn cancelled_or_failed(client: &mut ConnectedUdp, until: Timestamp) -> Incoming<PathIndex> {
    let now = client.now();
    let incoming = client.recv(&mut [0; 8], now, until);
    assert!(matches!(incoming, Incoming::Cancelled | Incoming::PathError { .. }), "{incoming:?}");
    incoming
}

/// A client on whose socket another thread sends without a pause to where no program listens.
#[cfg(target_os = "linux")]
fn flooded() -> (ConnectedUdp, Flood) {
    use std::sync::Arc;

    let (client, server) = pair();
    let clone = client.as_socket().try_clone().unwrap();
    drop(server);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = thread::spawn(move || {
        while !stopped.load(Relaxed) {
            let _ = clone.send(b"refused");
        }
    });
    (client, Flood { stop, thread: Some(thread) })
}

#[cfg(target_os = "linux")]
struct Flood {
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

#[cfg(target_os = "linux")]
impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn pair() -> (ConnectedUdp, UdpSocket) {
    // No one else gets it when the server is gone.
    let server = UdpSocket::bind(("127.0.0.1", free_port())).unwrap();
    (ConnectedUdp::connect(server.local_addr().unwrap()).unwrap(), server)
}
