//! A datagram to a server and back: which addresses the system assigns, and that every datagram is a message.
//!
//! ```text
//! loopback_echo                         both ends in this process
//! loopback_echo server HOST [-p PORT]   answers every datagram with its length
//! loopback_echo client HOST [-p PORT]   sends the time of day, prints the reply
//! ```
//!
//! Either end talks to any program that does the same in ASCII, for one in Python.
#![expect(clippy::disallowed_methods, reason = "a thread for the server, and the time of day as a text to send")]

mod support {
    pub(crate) mod endpoint;
    pub(crate) mod outcome;
}

use std::io;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use support::endpoint::Endpoint;
use support::outcome::{Outcome, exit_code, say};
use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, any_reply};

/// Sends a datagram to a server and prints the reply; without a role, both ends run in this process
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Answers every datagram with its length
    Server(Endpoint),
    /// Sends the time of day and prints the reply
    Client(Endpoint),
}

fn main() -> ExitCode {
    exit_code(match Arguments::parse().role {
        Some(Role::Server(here)) => server(&here),
        Some(Role::Client(there)) => there.addresses().map_err(Into::into).and_then(|there| client(&*there)),
        None => both(),
    })
}

fn both() -> Outcome {
    let server = UnconnectedUdp::bind("127.0.0.1:0")?;
    let address = server.local_addr();
    say(format_args!("Listening at {address}"))?;
    // The client's own lines tell whether anybody still reads.
    thread::spawn(move || serve(server, |line| say(line).or(Ok(()))));
    client(address)
}

fn server(here: &Endpoint) -> Outcome {
    let server = UnconnectedUdp::bind(&*here.addresses()?)?;
    say(format_args!("Listening at {}", server.local_addr()))?;
    serve(server, say)
}

fn serve(mut server: UnconnectedUdp, mut tell: impl FnMut(String) -> io::Result<()>) -> Outcome {
    let mut buffer = [0; 65_535];
    loop {
        match server.recv(&mut buffer, server.now(), Timestamp::MAX) {
            Incoming::Datagram(heard) => {
                let text = String::from_utf8_lossy(&buffer[..heard.len]);
                tell(format!("The client at {} says {text:?}", heard.from.remote))?;
                let reply = format!("Your data was {} bytes long", heard.actual);
                if let Err(error) = server.send(heard.from, reply.as_bytes()) {
                    tell(format!("No reply to {}: {error}", heard.from.remote))?;
                }
            }
            // Some systems tell a server that a client has gone; that is no reason to leave the others.
            Incoming::PathError { error: PathError::Refused | PathError::Unreachable, .. } => {}
            Incoming::PathError { error, .. } => return Err(error.into()),
            Incoming::TimeUp(_) | Incoming::Cancelled => {}
        }
    }
}

fn client(server: impl ToSocketAddrs) -> Outcome {
    let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).connect(server)?;
    let text = format!("The time is {}", utc(SystemTime::now()));
    let reply = requester.request(text.as_bytes())?;
    let reply = String::from_utf8_lossy(reply.payload()).into_owned();

    // Asked only now: replies without an id are told apart by their port, so the request left from a fresh one.
    let (socket, only) = (requester.transport(), PathIndex::FIRST);
    let (Some(local), Some(peer)) = (socket.local_addr(only), socket.address(only)) else { return Ok(()) };
    say(format_args!("The system assigned me the address {local}"))?;
    say(format_args!("I said {text:?}"))?;
    say(format_args!("The server {peer} replied {reply:?}"))?;
    Ok(())
}

/// As `2026-03-01 17:05:09.123456`.
fn utc(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let leap = |year: u64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let length = |month| [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month];
    while days >= length(month) {
        days -= length(month);
        month += 1;
    }
    let (day, hour, minute, micros) = (days + 1, second / 3600, second / 60 % 60, since.subsec_micros());
    format!("{year}-{:02}-{day:02} {hour:02}:{minute:02}:{:02}.{micros:06}", month + 1, second % 60)
}
