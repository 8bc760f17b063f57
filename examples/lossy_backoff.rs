//! A request that gets through to a server that drops half of what it hears: each time without a reply the client
//! waits twice as long and sends again. Ends with a picture of what happened.
//!
//! ```text
//! lossy_backoff [--loss 0.5] [--seed N]                          both ends in this process
//! lossy_backoff server HOST [-p PORT] [--loss 0.5] [--seed N]    drops requests, answers the others
//! lossy_backoff client HOST [-p PORT] [--requests N] [--message TEXT] [--json]
//! ```
//!
//! With `--json`, one line for each request and nothing else on standard output:
//!
//! ```text
//! {"reply":"Your data was 23 bytes long","transmissions":3,"sent_ms":[0.0,100.1,300.1],"elapsed_ms":300.4}
//! {"error":"timed_out","transmissions":5,"sent_ms":[0.0,100.1,300.1,700.1,1500.1],"elapsed_ms":3100.1}
//! ```
//!
//! Errors are `refused`, `timed_out`, `too_large`, `truncated`, `unreachable` and `io`.
#![expect(clippy::disallowed_methods, reason = "the server has a thread, and lets the client speak first")]

mod support {
    pub(crate) mod endpoint;
    pub(crate) mod json;
    pub(crate) mod outcome;
}
mod telling;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use support::endpoint::Endpoint;
use support::json::{self, ms};
use support::outcome::{Outcome, exit_code, say};
use telling::{chart, story};
use udp_retry::fault::{Fate, Profile};
use udp_retry::net::{UnconnectedUdp, system_seed};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, Transport};
use udp_retry::{Impairments, LossySink, Probability, ReliableRequester, RetryPolicy, Seed, any_reply};

/// Sends a request, again and again with growing waits, until the reply is there; without a role, both ends run in
/// this process
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    chance: Chance,
    #[command(flatten)]
    task: Task,
}

#[derive(Subcommand)]
enum Role {
    /// Drops requests by chance and answers the others with their length
    Server {
        #[command(flatten)]
        here: Endpoint,
        #[command(flatten)]
        chance: Chance,
    },
    /// Sends requests one after another, each until its reply is there
    Client {
        #[command(flatten)]
        there: Endpoint,
        #[command(flatten)]
        task: Task,
    },
}

#[derive(Args)]
struct Chance {
    /// Probability that the server drops a request it hears
    #[arg(long, default_value = "0.5", value_name = "PROBABILITY")]
    loss: Probability,
    /// Which requests those are: the same seed drops the same [default: any; without a role 12]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Args)]
struct Task {
    /// How many requests
    #[arg(long, default_value_t = 1, value_name = "N")]
    requests: u32,
    /// What to send
    #[arg(long, default_value = "This is another message", value_name = "TEXT")]
    message: String,
    /// Print one line of JSON for each request, and no story
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Arguments { role, chance, task } = Arguments::parse();
    exit_code(match role {
        Some(Role::Server { here, chance }) => server(&here, &chance),
        Some(Role::Client { there, task }) => {
            there.addresses().map_err(Into::into).and_then(|there| client(&there, &task, Vec::new))
        }
        None => both(&chance, &task),
    })
}

fn both(chance: &Chance, task: &Task) -> Outcome {
    // With seed 12 the first request gets through at the fourth attempt.
    let (loss, seed, silent) = (chance.loss, Seed::new(chance.seed.unwrap_or(12)), task.json);
    let socket = UnconnectedUdp::bind("127.0.0.1:0")?;
    let (address, (tell, losses)) = (socket.local_addr(), mpsc::channel());
    let told = move |_: SocketAddr, text: Option<&str>| {
        // No one listens any more once the client is done, and then the process ends.
        let _ = tell.send(text.is_none());
        if text.is_none() && !silent {
            thread::sleep(Duration::from_millis(1)); // the client tells first that it sent it
            let _ = writeln!(io::stderr(), "{:>13}the server drops it", "");
        }
        Ok(())
    };
    thread::spawn(move || serve(socket, loss, seed, told));
    client(&[address], task, || losses.try_iter().collect())
}

fn server(here: &Endpoint, chance: &Chance) -> Outcome {
    let seed = chance.seed.map_or_else(system_seed, |seed| Ok(Seed::new(seed)))?;
    let socket = UnconnectedUdp::bind(&*here.addresses()?)?;
    say(format_args!("Listening at {}", socket.local_addr()))?;
    serve(socket, chance.loss, seed, |from, text| match text {
        Some(text) => say(format_args!("The client at {from} says {text:?}")),
        None => say(format_args!("Pretending to drop a packet from {from}")),
    })
}

/// A server on a bad network: what it hears is lost by chance, what it says never is. `told` of what was lost has no
/// text.
fn serve(
    socket: UnconnectedUdp,
    loss: Probability,
    seed: Seed,
    told: impl Fn(SocketAddr, Option<&str>) -> io::Result<()> + Clone + Send + 'static,
) -> Outcome {
    let _ = writeln!(io::stderr(), "loss {loss}, seed {seed} (repeat with --seed {seed})");
    let requests_only = Profile { to_server: Impairments::loss(loss), to_client: Impairments::NONE };
    let told_drop = told.clone();
    let mut server = LossySink::at_server(socket, requests_only, seed).observed(move |client, record| {
        if let Fate::Dropped(_) = record.fate {
            let _ = told_drop(client.remote, None);
        }
    });
    let mut buffer = [0; 65_535];
    loop {
        match server.recv(&mut buffer, server.now(), Timestamp::MAX) {
            Incoming::Datagram(request) => {
                told(request.from.remote, Some(&String::from_utf8_lossy(&buffer[..request.len])))?;
                // Whoever does not get the reply asks again.
                let _ = server.send(request.from, format!("Your data was {} bytes long", request.actual).as_bytes());
            }
            // Some systems tell a server that a client has gone; that is no reason to leave the others.
            Incoming::PathError { error: PathError::Refused | PathError::Unreachable, .. } => {}
            Incoming::PathError { error, .. } => return Err(error.into()),
            Incoming::TimeUp(_) | Incoming::Cancelled => {}
        }
    }
}

/// `losses` tells what became of the transmissions since it was asked last, where anyone knows.
fn client(server: &[SocketAddr], task: &Task, losses: impl Fn() -> Vec<bool>) -> Outcome {
    let builder = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN);
    let length = task.message.len();
    let builder = if task.json { builder } else { builder.observer(move |at, event| story(at, event, length)) };
    let mut requester = builder.connect(server)?;
    let mut failed = 0;
    for _ in 0..task.requests {
        let outcome = requester.request(task.message.as_bytes());
        failed += u32::from(outcome.is_err());
        let (said, result, timeline, elapsed) = match &outcome {
            Ok(reply) => {
                let said = format!("The server says {:?}", String::from_utf8_lossy(reply.payload()));
                (said, format!("\"reply\":{}", json::string(reply.payload())), reply.timeline(), reply.elapsed())
            }
            Err(error) => {
                let result = format!("\"error\":\"{}\"", json::failure(error.failure()));
                (format!("No reply: {error}"), result, error.timeline(), error.elapsed())
            }
        };
        let (number, sent, ms) =
            (timeline.transmissions().count(), json::sent_ms(timeline.transmissions()), ms(elapsed));
        say(if task.json {
            format!("{{{result},\"transmissions\":{number},\"sent_ms\":{sent},\"elapsed_ms\":{ms:?}}}")
        } else {
            format!("\n{}\n\n{said}", chart(timeline, elapsed, &losses()))
        })?;
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} requests brought no reply", task.requests).into()) }
}
