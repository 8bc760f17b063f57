//! How late waits end, beside bare ones of the same length in the same thread: the machine is as busy for both.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are used")]

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::ConnectedUdp;
use udp_retry::transport::{Incoming, Transport};

use crate::watchdog::{MINUTE, within};

#[test]
fn waits_end_hardly_later_than_bare_ones_and_never_early() {
    const PAIRS: usize = 200;
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut own = ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap();
        let mut lent = ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap();
        let _ = lent.as_socket();
        let lateness: Vec<_> = (0..PAIRS).map(|_| (late(&mut own), late(&mut lent), bare())).collect();
        let [own, lent, bare] = [
            median(lateness.iter().map(|late| late.0)),
            median(lateness.iter().map(|late| late.1)),
            median(lateness.iter().map(|late| late.2)),
        ];
        println!("late, in the median of {PAIRS}: own {own:?}, lent {lent:?}, bare {bare:?}");
        for late in [own, lent] {
            assert!(late <= bare + Duration::from_micros(300), "late by {late:?}, bare waits by {bare:?}");
        }
    });
}

const WAIT: Duration = Duration::from_millis(5);

fn late(transport: &mut ConnectedUdp) -> Duration {
    let now = transport.now();
    let Incoming::TimeUp(at) = transport.recv(&mut [0; 16], now, now.after(WAIT)) else {
        panic!("no one sent anything")
    };
    let waited = at.since(now);
    waited.checked_sub(WAIT).unwrap_or_else(|| panic!("{WAIT:?} ended after {waited:?}"))
}

fn bare() -> Duration {
    let start = Instant::now();
    thread::sleep(WAIT);
    start.elapsed() - WAIT
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}
