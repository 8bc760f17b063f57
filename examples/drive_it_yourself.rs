//! The requester's logic in an event loop of one's own: two requests under way at once, one thread, mio.
//!
//! A [`Transaction`] has neither socket nor clock. Whoever drives it asks what is next, does that, and tells it what
//! happened; the loop below is all there is to it. Two services on loopback answer, one of them only every third
//! datagram.
//!
//! [`Transaction`]: udp_retry::transaction::Transaction
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "an event loop has a clock and sockets")]

mod support {
    pub(crate) mod outcome;
}

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use support::outcome::{Outcome, exit_code, say};
use udp_retry::Seed;
use udp_retry::net::{classify, system_seed};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, Next, Transaction, TransactionId};
use udp_retry::{RetryPolicy, transaction_id};

/// Drives two requests at once in an event loop
#[derive(Parser)]
struct Arguments {
    /// Makes ids and jitter repeatable [default: any]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print one line of JSON for each request
    #[arg(long)]
    json: bool,
}

/// A request under way: its logic, and the socket that it uses.
struct Asking {
    name: &'static str,
    transaction: Transaction<TransactionId>,
    socket: UdpSocket,
    outcome: Option<Result<Vec<u8>, Failure>>,
}

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Outcome {
    let seed = arguments.seed.map_or_else(|| system_seed().map(|seed| seed.number()), Ok)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(16));
    let clock = Clock(Instant::now());
    let mut all = [("a good service", service(1)?), ("a bad one", service(3)?)]
        .into_iter()
        .zip(0..)
        .map(|((name, address), n)| {
            let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            socket.connect(address)?;
            poll.registry().register(&mut socket, Token(n), Interest::READABLE)?;
            // Eight bytes of id, written by the transaction.
            let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8).stamped());
            transaction.start(b"........hello", clock.now(), Seed::new(seed.wrapping_add(n as u64)));
            Ok(Asking { name, transaction, socket, outcome: None })
        })
        .collect::<io::Result<Vec<_>>>()?;

    // Until each has its outcome: what is due now, and then a wait for the first of what is due next.
    loop {
        let next = all.iter_mut().filter_map(|asking| asking.drive(&clock)).min();
        let Some(until) = next else { break };
        poll.poll(&mut events, Some(until.since(clock.now())))?;
        for event in &events {
            if let Some(asking) = all.get_mut(event.token().0) {
                asking.read(&clock);
            }
        }
    }

    let mut unanswered = 0;
    for Asking { name, transaction, outcome, .. } in &all {
        let (said, transmissions) = match outcome {
            Some(Ok(reply)) => (format!("{:?}", String::from_utf8_lossy(&reply[8..])), transaction.transmissions()),
            failed => {
                unanswered += 1;
                (format!("{failed:?}"), transaction.transmissions())
            }
        };
        say(if arguments.json {
            serde_json::json!({ "service": name, "said": said, "transmissions": transmissions }).to_string()
        } else {
            format!("{name} said {said} after transmission {transmissions}\n{}", transaction.timeline())
        })?;
    }
    if unanswered == 0 { Ok(()) } else { Err(format!("{unanswered} requests brought no reply").into()) }
}

impl Asking {
    /// Does what is due; tells when to ask again, or nothing if it is over.
    fn drive(&mut self, clock: &Clock) -> Option<Timestamp> {
        loop {
            let now = clock.now();
            match self.transaction.next(now) {
                _ if self.outcome.is_some() => return None,
                Next::Transmit => match self.socket.send(self.transaction.datagram()) {
                    Ok(_) => self.transaction.on_transmitted(now),
                    Err(error) => self.transaction.on_not_transmitted(now, classify(&error)),
                },
                Next::WaitUntil(until) => return Some(until),
                // The reply was kept when it came.
                Next::Done => return None,
                Next::Failed(failure) => self.outcome = Some(Err(failure)),
            }
        }
    }

    /// Everything that the socket has, because it will not speak of it again.
    fn read(&mut self, clock: &Clock) {
        let mut buffer = [0; 2048];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(len) => {
                    self.transaction.on_datagram(clock.now(), &buffer[..len], len);
                    if self.transaction.next(clock.now()) == Next::Done {
                        self.outcome.get_or_insert_with(|| Ok(buffer[..len].to_vec()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // News of something sent before; a reply may be queued behind it.
                Err(error) => self.transaction.on_path_error(clock.now(), classify(&error)),
            }
        }
    }
}

/// Time as transactions count it.
struct Clock(Instant);

impl Clock {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO.after(self.0.elapsed())
    }
}

/// Answers every `nth` datagram.
fn service(nth: usize) -> io::Result<SocketAddr> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        for n in 1.. {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { return };
            if n % nth == 0 {
                let _ = socket.send_to(&buffer[..len], from);
            }
        }
    });
    Ok(address)
}
