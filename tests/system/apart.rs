//! One clock for all sockets of a process, what a time of arrival says, and a socket that reports nothing but errors.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use udp_retry::ConnectedUdp;
use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, Transport};

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
fn a_socket_that_reports_nothing_but_errors_is_left_alone_until_the_wait_ends() {
    use rustix::time::{ClockId, clock_gettime};

    let cpu = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let (mut client, flood) = flooded();
    let (before, start) = (cpu(), client.now());
    let until = start.after(300 * MS);
    let mut errors = 0;
    let looked = loop {
        let now = client.now();
        match client.recv(&mut [0; 8], now, until) {
            Incoming::PathError { error, .. } => {
                assert_eq!(error, PathError::Refused);
                errors += 1;
            }
            Incoming::TimeUp(at) => break at,
            other => panic!("{other:?}"),
        }
    };
    let spent = cpu() - before;
    println!("{errors} errors, {spent:?} of processor time in {:?}", looked.since(start));
    assert!(looked >= until && looked.since(until) < 200 * MS, "{:?}", looked.since(until));
    assert_eq!(errors, 16, "more, and it spins; fewer, and nothing was proved");
    assert!(spent <= 5 * MS, "{spent:?}");

    // Then it is looked at again.
    let now = client.now();
    assert!(matches!(client.recv(&mut [0; 8], now, now.after(300 * MS)), Incoming::PathError { .. }));
    drop(flood);
}

#[test]
#[cfg(target_os = "linux")]
fn a_socket_that_is_left_alone_can_be_cancelled() {
    let (mut client, flood) = flooded();
    let handle = client.cancel_handle().unwrap();
    let until = client.now().after(10_000 * MS);
    for _ in 0..16 {
        let now = client.now();
        assert!(matches!(client.recv(&mut [0; 8], now, until), Incoming::PathError { .. }));
    }
    let canceller = thread::spawn(move || {
        thread::sleep(60 * MS);
        handle.cancel();
    });
    let now = client.now();
    assert_eq!(client.recv(&mut [0; 8], now, until), Incoming::Cancelled);
    let took = client.now().since(now);
    assert!((50 * MS..2000 * MS).contains(&took), "{took:?}");
    canceller.join().unwrap();
    drop(flood);
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
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    (ConnectedUdp::connect(server.local_addr().unwrap()).unwrap(), server)
}
