//! A request whose reply comes in time reads the clock twice: the requester once when it begins, and the transport
//! once when the reply arrives. A build and a fresh port cost one reading more each; all else brings its time with it.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "the clock that is read is the system's")]

#[path = "common/watchdog.rs"]
mod watchdog;

use std::cell::Cell;
use std::io;
use std::net::UdpSocket;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use udp_retry::net::count_time_asleep;
use udp_retry::policy::{Backoff, RttEstimator};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{
    ConcurrentRequester, ConnectedUdp, ReliableRequester, RetryBudget, RetryPolicy, any_reply, transaction_id,
};
use watchdog::{MINUTE, within};

const REQUESTS: u32 = 300;

#[test]
fn an_answered_request_reads_the_clock_once_and_the_transport_does_so_once_more() {
    within(2 * MINUTE, || {
        let (client, server) = counted(|message, answer| answer(message));
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(patient());
        let mut requester = builder.over(client).unwrap();
        for number in 0..REQUESTS {
            assert_eq!(calls_of(&mut requester, number, false), CLEAN);
        }
        drop(requester);
        server.join().unwrap();
    });
}

#[test]
fn neither_a_deadline_nor_a_budget_nor_an_estimator_nor_an_observer_reads_the_clock() {
    within(2 * MINUTE, || {
        let (mut client, server) = counted(|message, answer| answer(message));
        let _handle = client.inner.cancel_handle().unwrap();
        let builder =
            ReliableRequester::builder(transaction_id(0..4)).policy(patient()).deadline(Duration::from_secs(60));
        let slow =
            RttEstimator::new(Duration::from_secs(30), Duration::from_secs(30), Duration::from_secs(60)).unwrap();
        let builder = builder.budget(&RetryBudget::default()).estimator(slow).observer(|_, _| {});
        let mut requester = builder.over(client).unwrap();
        for number in 0..REQUESTS {
            // A build takes as long as it likes, so what time it is then is looked up.
            let built = number % 2 == 1;
            assert_eq!(calls_of(&mut requester, number, built), Calls { now: 1 + u32::from(built), ..CLEAN });
        }
        drop(requester);
        server.join().unwrap();
    });
}

#[test]
fn the_clock_cannot_be_chosen_once_a_transport_has_one() {
    let nowhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _made = ConnectedUdp::connect(nowhere.local_addr().unwrap()).unwrap();
    let refused = count_time_asleep().unwrap_err().kind();
    let supported = cfg!(all(target_os = "linux", not(udp_retry_portable)));
    assert_eq!(refused, if supported { io::ErrorKind::ResourceBusy } else { io::ErrorKind::Unsupported });
}

#[test]
fn a_fresh_port_costs_one_reading_more() {
    within(2 * MINUTE, || {
        let (client, server) = counted(|message, answer| answer(message));
        let mut requester = ReliableRequester::builder(any_reply()).policy(patient()).over(client).unwrap();
        for number in 0..REQUESTS {
            assert_eq!(calls_of(&mut requester, number, false), Calls { now: 2, renew: 1, ..CLEAN });
        }
        drop(requester);
        server.join().unwrap();
    });
}

#[test]
fn retransmissions_and_strays_bring_their_time_with_them() {
    within(2 * MINUTE, || {
        let mut heard = 0;
        let (client, server) = counted(move |message, answer| {
            heard += 1;
            if heard % 3 == 0 {
                (0..STRAYS).for_each(|_| answer(b"stray"));
                answer(message);
            }
        });
        let policy = RetryPolicy::new(Backoff::constant(Duration::from_millis(50)).unwrap());
        let mut requester = ReliableRequester::builder(transaction_id(0..4)).policy(policy).over(client).unwrap();
        for number in 0..5 {
            let calls = calls_of(&mut requester, number, false);
            let sent = calls.send;
            // A machine that is late may have let a third one leave.
            assert!((3..=5).contains(&sent), "{calls:?}");
            assert_eq!((calls.now, calls.recv), (1, sent + STRAYS), "{calls:?}");
        }
        drop(requester);
        server.join().unwrap();
    });
}

#[test]
fn one_of_many_in_flight_reads_the_clock_when_it_is_submitted_and_when_it_is_waited_for() {
    within(2 * MINUTE, || {
        let (client, server) = counted(|message, answer| answer(message));
        let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(patient());
        let mut requester = builder.over(client).unwrap();
        for number in 0..REQUESTS {
            // Several are sent by one reading, and each reply is a wait of its own.
            let several = 1 + number % 10;
            requester.transport().calls.set(Calls::default());
            for n in 0..several {
                requester.submit(&(100 * number + n).to_be_bytes(), 0).unwrap();
            }
            for _ in 0..several {
                assert!(requester.wait().unwrap().reply().is_ok());
            }
            let expected = Calls { now: 2 * several, send: several, recv: several, renew: 0 };
            assert_eq!(requester.transport().calls.get(), expected, "{several} at once");
            assert!(requester.wait().is_none());
        }
        drop(requester);
        server.join().unwrap();
    });
}

/// Told a time long past, it waits for what was left then; had it read the clock, it would not wait at all.
#[test]
#[cfg(target_os = "linux")]
fn the_transport_takes_the_callers_word_for_the_time() {
    within(2 * MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut client = ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap();
        let past = client.now();
        thread::sleep(Duration::from_millis(250));
        let started = client.now();
        let heard = client.recv(&mut [0; 8], past, past.after(Duration::from_millis(200)));
        assert!(matches!(heard, Incoming::TimeUp(_)), "{heard:?}");
        let waited = client.now().since(started);
        assert!(waited >= Duration::from_millis(40), "{waited:?}");
    });
}

/// How often each was called.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Calls {
    now: u32,
    send: u32,
    /// Given the time by the caller.
    recv: u32,
    renew: u32,
}

/// The least that a request can do.
const CLEAN: Calls = Calls { now: 1, send: 1, recv: 1, renew: 0 };

/// Counts what is asked of a UDP transport.
#[derive(Debug)]
struct Counted {
    inner: ConnectedUdp,
    /// In a cell, because reading the clock changes nothing else.
    calls: Cell<Calls>,
}

impl Counted {
    fn count(&self, count: impl FnOnce(&mut Calls)) {
        let mut calls = self.calls.get();
        count(&mut calls);
        self.calls.set(calls);
    }
}

impl Transport for Counted {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.count(|calls| calls.now += 1);
        self.inner.now()
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        self.count(|calls| calls.send += 1);
        self.inner.send(to, datagram)
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        self.count(|calls| calls.recv += 1);
        self.inner.recv(buffer, now, until)
    }

    fn renew(&mut self, path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        self.count(|calls| calls.renew += 1);
        self.inner.renew(path, need)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.inner.entropy(key)
    }
}

/// What one request calls, also when its reply is asked all it can tell.
fn calls_of(requester: &mut ReliableRequester<Counted>, number: u32, built: bool) -> Calls {
    requester.transport().calls.set(Calls::default());
    let message = number.to_be_bytes();
    let reply = match built {
        true => requester.request_with(|_, bytes| bytes.extend_from_slice(&message)),
        false => requester.request(&message[..]),
    };
    let reply = reply.unwrap();
    assert_eq!(reply.payload(), message);
    let _ = (reply.elapsed(), reply.round_trip(), reply.strays(), reply.timeline(), reply.transmissions());
    requester.transport().calls.get()
}

/// A client, and its server, which ends with the datagram "over" of the client's end.
fn counted(mut serve: impl FnMut(&[u8], &dyn Fn(&[u8])) + Send + 'static) -> (Counted, JoinHandle<()>) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let inner = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
    let thread = thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            match &buffer[..len] {
                b"over" => return,
                message => serve(message, &|answer| _ = server.send_to(answer, from).unwrap()),
            }
        }
    });
    (Counted { inner, calls: Cell::default() }, thread)
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = self.inner.send(PathIndex::FIRST, b"over");
    }
}

/// One wait, longer than any machine is late.
fn patient() -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(Duration::from_secs(30)).unwrap()).with_max_transmissions(1).unwrap()
}

/// Before each reply.
const STRAYS: u32 = 4;
