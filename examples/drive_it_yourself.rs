//! A front of one's own: two requests under way at once in an event loop, one thread, mio.
//!
//! A [`Transaction`] has neither socket nor clock. Whoever drives it asks what is [`next`](Transaction::next), does that,
//! reports how it went, and asks again: [`Asking::drive`] is a whole front, and knows no rule of when to send, when to
//! stop, what an error means or which datagram is the reply. Two services on loopback answer, one of them only every
//! third datagram.
//!
//! A client's end in one type, an implementation of [`Transport`](udp_retry::transport::Transport), is for fronts that
//! block: there `recv` owns the wait. Here the event loop does, so the answers of the machine meet the socket directly.
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
use udp_retry::entropy::IdSource;
use udp_retry::net::{classify, system_entropy, system_seed};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, Next, Transaction, TransactionId};
use udp_retry::transport::{PathIndex, Renewed};
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
    server: SocketAddr,
    socket: UdpSocket,
    token: Token,
    /// No datagram exceeds it, so none is cut.
    buffer: Vec<u8>,
}

/// What became of driving a request as far as it goes for now.
enum Driven {
    Until(Timestamp),
    Replied,
    Failed(Failure),
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
        .map(|((name, server), n)| {
            let (token, buffer) = (Token(n), vec![0; 65_535]);
            let socket = connected(server, token, &poll)?;
            // Eight bytes of id, written by the transaction.
            let ids = match arguments.seed {
                Some(seed) => IdSource::from_seed(Seed::new(seed).derive(n as u64)),
                None => IdSource::from_key(&system_entropy()?),
            };
            let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..8).stamped()).with_ids(ids);
            transaction.start(b"........hello", clock.now(), Seed::new(seed.wrapping_add(n as u64)));
            Ok(Asking { name, transaction, server, socket, token, buffer })
        })
        .collect::<io::Result<Vec<_>>>()?;

    // Until each has ended: what is due now, and then a wait for the first of what is due next. Which socket woke it does
    // not matter: whoever is asked early says the same again.
    let mut unanswered = 0;
    while !all.is_empty() {
        let mut first = Timestamp::MAX;
        for mut asking in std::mem::take(&mut all) {
            match asking.drive(&clock, &poll) {
                Driven::Until(until) => {
                    first = first.min(until);
                    all.push(asking);
                }
                Driven::Replied => asking.tell(Ok(()), arguments.json)?,
                Driven::Failed(failure) => {
                    unanswered += 1;
                    asking.tell(Err(failure), arguments.json)?;
                }
            }
        }
        if !all.is_empty() {
            poll.poll(&mut events, Some(first.since(clock.now())))?;
        }
    }
    if unanswered == 0 { Ok(()) } else { Err(format!("{unanswered} requests brought no reply").into()) }
}

impl Asking {
    /// Does what the transaction asks for, until it asks to wait or has ended.
    fn drive(&mut self, clock: &Clock, poll: &Poll) -> Driven {
        let Self { transaction, socket, buffer, .. } = self;
        loop {
            let now = clock.now();
            match transaction.next(now) {
                // For a request that is built anew for each transmission; the bytes of these were given.
                Next::Build(..) => transaction.build(|_, _| {}),
                Next::Renew(path, _) => {
                    let renewed = connected(self.server, self.token, poll).map(|fresh| *socket = fresh);
                    let renewed = renewed.map(|()| Renewed::FreshPort).map_err(|error| classify(&error));
                    transaction.on_renewed(clock.now(), path, renewed);
                }
                Next::Transmit(_) => {
                    let sent = socket.send(transaction.datagram());
                    transaction.on_sent(now, sent.map(drop).map_err(|error| classify(&error)));
                }
                // mio speaks once of what arrives, so it is read to the end before each wait.
                Next::WaitUntil(until) => match socket.recv(buffer) {
                    Ok(len) => {
                        transaction.on_datagram(clock.now(), PathIndex::FIRST, &buffer[..len], len);
                    }
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        transaction.on_path_error(now, Some(PathIndex::FIRST), classify(&error));
                    }
                    Err(_) if now < until => return Driven::Until(until),
                    // Nothing was queued although the time has come.
                    Err(_) => transaction.on_time_up(now),
                },
                Next::Done => return Driven::Replied,
                Next::Failed(failure) => return Driven::Failed(failure),
                Next::Idle => unreachable!("it was started"),
            }
        }
    }

    fn tell(&self, ended: Result<(), Failure>, json: bool) -> io::Result<()> {
        let Self { name, transaction, buffer, .. } = self;
        let said = match ended {
            // Without the id.
            Ok(()) => format!("{:?}", String::from_utf8_lossy(&buffer[transaction.reply()][8..])),
            Err(failure) => failure.to_string(),
        };
        let transmissions = transaction.transmissions();
        say(if json {
            serde_json::json!({ "service": name, "said": said, "transmissions": transmissions }).to_string()
        } else {
            format!("{name} said {said} after transmission {transmissions}\n{}", transaction.timeline())
        })
    }
}

/// A socket on a port that the system picks. The one that it replaces leaves the event loop when it is closed.
fn connected(server: SocketAddr, token: Token, poll: &Poll) -> io::Result<UdpSocket> {
    let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.connect(server)?;
    poll.registry().register(&mut socket, token, Interest::READABLE)?;
    Ok(socket)
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
