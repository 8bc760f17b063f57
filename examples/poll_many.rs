//! Asks 500 servers at once, over one socket and from one thread, and says which of them did not answer.
//!
//! Of the servers here, every 50th is deaf and every 7th answers only what it is asked twice. The requester sends again what
//! brought no reply, so the latter cost a tenth of a second, and the deaf ones no other server anything.
#![expect(clippy::disallowed_methods, reason = "the servers have a thread")]

mod support {
    pub(crate) mod outcome;
}

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use support::outcome::{Outcome, exit_code, say};
use udp_retry::net::UnconnectedUdp;
use udp_retry::{ConcurrentRequester, RetryPolicy, transaction_id};

/// Asks many servers at once over one socket
#[derive(Parser)]
struct Arguments {
    /// How many servers there are
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=900))]
    servers: u16,
}

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Outcome {
    let servers = servers(arguments.servers.into())?;
    // Eight bytes of id, written over the dots, which replies repeat.
    let builder = ConcurrentRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
    let mut requester = builder.over(UnconnectedUdp::bind("127.0.0.1:0")?)?;
    let start = requester.now();
    for (server, number) in servers.iter().zip(1..) {
        requester.submit_to(*server, b"........how are you?", number)?;
    }

    let (mut answered, mut again) = (0, 0);
    while let Some(done) = requester.wait() {
        match done.reply() {
            Ok(_well) => {
                answered += 1;
                again += u32::from(done.transmissions() > 1);
            }
            Err(error) => say(format_args!("Server {} at {error}", done.token()))?,
        }
    }
    let took = requester.now().since(start).as_secs_f64();
    say(format_args!(
        "{answered} of {} servers answered, {again} of them not the first time; {took:.1} s",
        servers.len()
    ))?;
    Ok(())
}

/// Servers at ports of their own, all in one thread.
fn servers(count: usize) -> io::Result<Vec<SocketAddr>> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    let mut sockets = Vec::new();
    for n in 0..count {
        let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        poll.registry().register(&mut socket, Token(n), Interest::READABLE)?;
        sockets.push(socket);
    }
    let addresses = sockets.iter().map(UdpSocket::local_addr).collect();
    thread::spawn(move || {
        let (mut buffer, mut asked) = ([0; 2048], vec![0; count]);
        while poll.poll(&mut events, None).is_ok() {
            for n in events.iter().map(|event| event.token().0) {
                while let Ok((len, client)) = sockets[n].recv_from(&mut buffer) {
                    asked[n] += 1;
                    let number = n + 1;
                    if number % 50 != 0 && (number % 7 != 0 || asked[n] == 2) {
                        let _ = sockets[n].send_to(&buffer[..len], client);
                    }
                }
            }
        }
    });
    addresses
}
