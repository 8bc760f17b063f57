//! A counter that no repetition disturbs: the network loses and repeats, the client asks again, and the server adds one once.
//!
//! ```text
//! counter_server                         both ends in this process
//! counter_server server HOST [-p PORT]   counts: a request is an id of 8 bytes and "+1", the reply the id and the number
//! counter_server client HOST [-p PORT]   adds one ten times, over a network that loses a third and repeats a third
//! ```
//!
//! `udp-retry serve counter` is another such server.
#![expect(clippy::disallowed_methods, reason = "a thread for the server")]

mod support {
    pub(crate) mod endpoint;
    pub(crate) mod outcome;
}

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Parser, Subcommand};
use support::endpoint::Endpoint;
use support::outcome::{Outcome, exit_code, say};
use udp_retry::net::{UnconnectedUdp, system_seed};
use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::serving::{Handled, SharedResponder};
use udp_retry::{ConnectedUdp, LossySink, ReliableRequester, RetryPolicy, transaction_id};

/// Counts requests, each of them once, whatever the network repeats; without a role, both ends run in this process
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Counts
    Server(Endpoint),
    /// Adds one ten times
    Client(Endpoint),
}

fn main() -> ExitCode {
    exit_code(match Arguments::parse().role {
        Some(Role::Server(here)) => server(&here),
        Some(Role::Client(there)) => there.addresses().map_err(Into::into).and_then(|there| client(&there)),
        None => both(),
    })
}

fn both() -> Outcome {
    let (socket, responder) = listen(&[SocketAddr::from(([127, 0, 0, 1], 0))])?;
    let (address, stats) = (socket.local_addr(), responder.clone());
    thread::spawn(move || serve(socket, &responder));
    client(&[address])?;
    let replies = stats.stats().replies;
    say(format_args!("{} requests were executed, {} copies of them were not", replies.fresh, replies.replayed))?;
    Ok(())
}

fn server(here: &Endpoint) -> Outcome {
    let (socket, responder) = listen(&here.addresses()?)?;
    serve(socket, &responder);
    Ok(())
}

/// How long a request is remembered follows from the policy of the clients, and from how late a datagram can be.
fn listen(addresses: &[SocketAddr]) -> Outcome<(UnconnectedUdp, SharedResponder<SameId>)> {
    let mut socket = UnconnectedUdp::bind(addresses)?;
    let limits = ReplyLimits::for_policy(&policy()?, Duration::from_secs(2))?;
    let responder = Responder::over(&mut socket, limits, same_id(0..8))?;
    say(format_args!("Listening at {}", socket.local_addr()))?;
    Ok((socket, responder.into()))
}

fn serve(mut socket: UnconnectedUdp, responder: &SharedResponder<SameId>) {
    let mut counter = 0_u64;
    responder.serve(&mut socket, |request, reply| {
        let Some((id, b"+1")) = request.bytes().split_at_checked(8) else { return Handled::NotExecuted };
        counter += 1;
        reply.extend_from_slice(id);
        reply.extend_from_slice(counter.to_string().as_bytes());
        Handled::Reply
    });
}

fn client(addresses: &[SocketAddr]) -> Outcome {
    let network = "loss 33%; duplicate 33%".parse()?;
    let lossy = LossySink::new(ConnectedUdp::connect(addresses)?, network, system_seed()?);
    let id = transaction_id(0..8).stamped();
    let mut requester = ReliableRequester::builder(id).policy(policy()?).over(lossy)?;
    for _ in 0..10 {
        let reply = requester.request(b"........+1")?;
        let number = String::from_utf8_lossy(reply.payload().get(8..).unwrap_or_default()).into_owned();
        say(format_args!("The counter is at {number}, after {} transmissions", reply.transmissions()))?;
    }
    Ok(())
}

fn policy() -> Outcome<RetryPolicy> {
    Ok("50ms x1.5 max 500ms 20 transmissions".parse()?)
}
