//! The bugs of the loop that everybody writes that take a real socket, each shown on one of the standard library and
//! not on ours; the others are in `naive_client.rs`.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, threads and clocks are the point"
)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::UnconnectedUdp;
use udp_retry::policy::Backoff;
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn bug_5_what_was_queued_before_connecting_is_taken_for_the_reply() {
    within(MINUTE, || {
        let server = Echo::at("127.0.0.1:0");
        // Bound, and then connected: in between anybody can be heard.
        let forged = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            for _ in 0..3 {
                stranger.send_to(b"forged", socket.local_addr().unwrap()).unwrap();
            }
            socket.connect(server.address).unwrap();
            socket
        };
        let naive = forged();
        let mut buffer = [0; 16];
        naive.set_read_timeout(Some(5000 * MS)).unwrap();
        naive.send(b"true").unwrap();
        assert_eq!(naive.recv(&mut buffer).unwrap(), 6, "the kernel kept it, whoever sent it");

        // One port for all requests, lest a fresh one hide what was queued on the old one.
        let trusting = any_reply().on_a_faithful_path();
        let mut requester =
            ReliableRequester::builder(trusting).over(ConnectedUdp::from_socket(forged()).unwrap()).unwrap();
        assert_eq!(requester.request(b"true").unwrap().payload(), b"true");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn bug_12_a_signal_ends_the_wait() {
    within(MINUTE, || {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        let heard = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, heard.clone()).unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();

        let naive = UdpSocket::bind("127.0.0.1:0").unwrap();
        naive.connect(address).unwrap();
        naive.set_read_timeout(Some(5000 * MS)).unwrap();
        // On a busy machine the first may come before the wait has begun.
        let signals = signals_to_this_thread([50 * MS, 200 * MS, 400 * MS]);
        assert_eq!(naive.recv(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::Interrupted);
        signals.join().unwrap();
        assert!(heard.swap(false, Ordering::SeqCst));

        // One signal for each half of a wait: the first half blocks in `recv`, the second in `ppoll`.
        let mut ours = ConnectedUdp::connect(address).unwrap();
        let signals = signals_to_this_thread([50 * MS, 250 * MS]);
        let until = ours.now().after(300 * MS);
        assert_eq!(ours.wait(&mut [0; 16], until), Ok(None));
        assert!(ours.now() >= until, "shortened to {:?}", ours.now());
        signals.join().unwrap();

        let policy = RetryPolicy::new(Backoff::constant(900 * MS).unwrap()).with_max_transmissions(1).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(policy).connect(address).unwrap();
        let signals = signals_to_this_thread([50 * MS, 700 * MS]);
        let error = requester.request(b"anyone?").unwrap_err();
        signals.join().unwrap();
        assert!(heard.load(Ordering::SeqCst) && error.is_timeout(), "{error}\n{}", error.timeline());
        assert_eq!((error.transmissions(), error.last_path_error()), (1, None), "{}", error.timeline());
        assert!(error.elapsed() >= 900 * MS, "ended after {:?}", error.elapsed());
    });
}

#[test]
fn bug_13_the_edges_of_timers() {
    within(MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let naive = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut ours = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 16];

        // Nothing is left of the wait.
        assert_eq!(naive.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        for past in [ours.now(), Timestamp::ZERO] {
            assert_eq!(ours.wait(&mut buffer, past), Ok(None));
        }

        // Nothing came: an error of one kind or the other, by the system.
        naive.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
        let kind = naive.recv_from(&mut buffer).unwrap_err().kind();
        assert!(matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{kind:?}");
        for nanos in [1, 999, 1_000, 1_001, 999_999, 1_000_001, 25_000_001, 60_000_001] {
            let until = ours.now().after(Duration::from_nanos(nanos));
            assert_eq!(ours.wait(&mut buffer, until), Ok(None));
            assert!(ours.now() >= until, "a wait of {nanos} ns ended early");
        }

        // A wait as long as can be asked for.
        server.send_to(b"hello", ours.local_addr()).unwrap();
        assert_eq!(ours.wait(&mut buffer, Timestamp::MAX).unwrap().map(|heard| heard.len), Some(5));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn bug_13_the_shortest_wait_takes_a_whole_tick() {
    within(MINUTE, || {
        let naive = UdpSocket::bind("127.0.0.1:0").unwrap();
        naive.set_read_timeout(Some(MS / 10)).unwrap();
        let mut ours = ConnectedUdp::connect(naive.local_addr().unwrap()).unwrap();
        // The quickest of many, because other work can only make a wait longer.
        let quickest = |wait: &mut dyn FnMut()| {
            let timed = (0..20).map(|_| {
                let start = Instant::now();
                wait();
                start.elapsed()
            });
            timed.min().unwrap()
        };
        let theirs = quickest(&mut || assert!(naive.recv_from(&mut [0; 16]).is_err()));
        let precise = quickest(&mut || {
            let until = ours.now().after(MS / 10);
            assert_eq!(ours.wait(&mut [0; 16], until), Ok(None));
        });
        assert!(precise * 2 < theirs, "0.1 ms takes {precise:?} with ours, {theirs:?} with a socket's own timeout");
    });
}

#[test]
fn bug_20_only_one_family_can_be_reached() {
    within(MINUTE, || {
        let naive = UdpSocket::bind("0.0.0.0:0").unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = Echo::at(address);
            assert_eq!(naive.connect(server.address).is_ok(), server.address.is_ipv4());
            let mut requester = ReliableRequester::connect(server.address, transaction_id(0..1)).unwrap();
            assert_eq!(requester.request(b"hello").unwrap().payload(), b"hello");
            assert_eq!(requester.transport().local_addr(PathIndex::FIRST).unwrap().is_ipv4(), server.address.is_ipv4());
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn bug_20_only_the_first_address_of_a_name_is_tried() {
    within(MINUTE, || {
        let server = Echo::at("127.0.0.1:0");
        // No socket may connect to the first one without a permission.
        let name = [SocketAddr::from(([255, 255, 255, 255], server.address.port())), server.address];
        let naive = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert!(naive.connect(name[0]).is_err());
        let mut requester = ReliableRequester::connect(&name[..], transaction_id(0..1)).unwrap();
        assert_eq!(requester.transport().address(PathIndex::new(1)), Some(server.address));
        assert_eq!(requester.request(b"hello").unwrap().payload(), b"hello");
        // Where none will do it is the last one's error.
        assert_eq!(ConnectedUdp::connect(&name[..1]).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn bug_20_a_broadcast_needs_its_flag() {
    within(MINUTE, || {
        let listener = UdpSocket::bind("0.0.0.0:0").unwrap();
        listener.set_read_timeout(Some(5000 * MS)).unwrap();
        let everybody = SocketAddr::from(([127, 255, 255, 255], listener.local_addr().unwrap().port()));
        let naive = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(naive.send_to(b"hello", everybody).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let mut plain = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        assert_eq!(plain.send(plain.route_to(everybody), b"hello"), Err(PathError::Denied), "and says so by its name");
        let mut ours = UnconnectedUdp::bind_broadcast("0.0.0.0:0").unwrap();
        ours.send(ours.route_to(everybody), b"hello").unwrap();
        assert_eq!(listener.recv_from(&mut [0; 16]).unwrap().0, 5);
    });
}

/// A server that sends everything back, until it is dropped.
struct Echo {
    address: SocketAddr,
    thread: Option<thread::JoinHandle<()>>,
}

impl Echo {
    fn at(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                if &buffer[..len] == STOP {
                    return;
                }
                // Whoever is gone needs no answer.
                let _ = socket.send_to(&buffer[..len], from);
            }
        });
        Self { address, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let local = if self.address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        UdpSocket::bind(local).unwrap().send_to(STOP, self.address).unwrap();
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))));
    }
}

/// Signals the calling thread so much later. A thread's own number in place of a process's makes Linux choose that
/// thread to interrupt.
#[cfg(target_os = "linux")]
fn signals_to_this_thread<const N: usize>(times: [Duration; N]) -> thread::JoinHandle<()> {
    let this = std::fs::read_link("/proc/thread-self").unwrap();
    let this = this.file_name().unwrap().to_owned();
    let start = Instant::now();
    thread::spawn(move || {
        for time in times {
            thread::sleep(time.saturating_sub(start.elapsed()));
            let killed = std::process::Command::new("sh").args(["-c", "kill -USR1 \"$0\""]).arg(&this).status();
            assert!(killed.unwrap().success());
        }
    })
}

const STOP: &[u8] = b"stop";
