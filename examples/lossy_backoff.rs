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
#![expect(clippy::disallowed_methods, reason = "a thread for the server")]

#[path = "support/chart.rs"]
mod chart;
#[path = "support/json.rs"]
mod json;
#[path = "support/narrator.rs"]
mod narrator;
mod support;

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chart::Chart;
use clap::{Args, Parser, Subcommand};
use narrator::Narrator;
use support::{Endpoint, Outcome, exit_code, say};
use udp_retry::fault::{Fate, Profile};
use udp_retry::net::{UnconnectedUdp, system_seed};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, Timeline};
use udp_retry::transport::{PathError, Transport};
use udp_retry::{
    ConnectedUdp, Impairments, LossySink, Probability, ReliableRequester, Reply, RequestError, RetryPolicy, Seed,
    any_reply,
};

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
            there.addresses().map_err(Into::into).and_then(|there| client(&*there, &task, &mut || Vec::new()))
        }
        None => both(&chance, &task),
    })
}

fn both(chance: &Chance, task: &Task) -> Outcome {
    let (tell, told) = mpsc::channel();
    let (tell_dropped, silent) = (tell.clone(), task.json);
    let server = lossy("127.0.0.1:0", chance.loss, chance.seed.map_or(TELLING, Seed::new), move |_| {
        // Nobody listens any more once the client is done, and then the process ends.
        let _ = tell_dropped.send(true);
        if !silent {
            let _ = writeln!(io::stderr(), "{:>13}the server drops it", "");
        }
    })?;
    let address = server.get_ref().local_addr();
    thread::spawn(move || {
        serve(server, |_| {
            let _ = tell.send(false);
            Ok(())
        })
    });
    client(address, task, &mut || told.try_iter().collect())
}

/// The seed of the run without arguments: its first request gets through at the fourth attempt.
const TELLING: Seed = Seed::new(12);

fn server(here: &Endpoint, chance: &Chance) -> Outcome {
    let seed = chance.seed.map_or_else(system_seed, |seed| Ok(Seed::new(seed)))?;
    let server = lossy(&*here.addresses()?, chance.loss, seed, |from| {
        let _ = say(format_args!("Pretending to drop a packet from {from}"));
    })?;
    say(format_args!("Listening at {}", server.get_ref().local_addr()))?;
    serve(server, |heard| match heard {
        Heard::Request { from, text } => say(format_args!("The client at {from} says {text:?}")),
        Heard::Unreachable { from, error } => say(format_args!("No reply to {from}: {error}")),
    })
}

/// A server on a bad network: what it hears is lost by chance, what it says never is.
fn lossy(
    address: impl ToSocketAddrs,
    loss: Probability,
    seed: Seed,
    mut dropped: impl FnMut(SocketAddr) + Send + 'static,
) -> io::Result<LossySink<UnconnectedUdp>> {
    let _ = writeln!(io::stderr(), "loss {loss}, seed {seed} (repeat with --seed {seed})");
    let requests_only = Profile { to_server: Impairments::loss(loss), to_client: Impairments::NONE };
    let server = LossySink::at_server(UnconnectedUdp::bind(address)?, requests_only, seed);
    Ok(server.observed(move |client, record| {
        if let Fate::Dropped(_) = record.fate {
            dropped(client.remote);
        }
    }))
}

/// What a server heard.
enum Heard<'a> {
    Request { from: SocketAddr, text: &'a str },
    Unreachable { from: SocketAddr, error: PathError },
}

fn serve(mut server: LossySink<UnconnectedUdp>, mut tell: impl FnMut(Heard<'_>) -> io::Result<()>) -> Outcome {
    let mut buffer = [0; 65_535];
    loop {
        match server.recv_until(&mut buffer, Timestamp::MAX) {
            Ok(Some(heard)) => {
                let from = heard.from.remote;
                tell(Heard::Request { from, text: &String::from_utf8_lossy(&buffer[..heard.len]) })?;
                let reply = format!("Your data was {} bytes long", heard.actual);
                if let Err(error) = server.send(heard.from, reply.as_bytes()) {
                    tell(Heard::Unreachable { from, error })?;
                }
            }
            // Some systems tell a server that a client has gone; that is no reason to leave the others.
            Ok(None) | Err(PathError::Refused | PathError::Unreachable) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `losses` tells what became of the transmissions since it was asked last, where anybody knows.
fn client(server: impl ToSocketAddrs, task: &Task, losses: &mut dyn FnMut() -> Vec<bool>) -> Outcome {
    let story: Box<dyn Write> = if task.json { Box::new(io::sink()) } else { Box::new(io::stderr()) };
    let transport = Narrator::new(ConnectedUdp::connect(server)?, story);
    let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(transport);

    let mut failed = 0;
    for _ in 0..task.requests {
        let outcome = requester.request(task.message.as_bytes());
        failed += u32::from(outcome.is_err());
        say(if task.json { json(&outcome) } else { picture(&outcome, &losses()) })?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {} requests brought no reply", task.requests).into()),
    }
}

fn picture(outcome: &Result<Reply<'_>, RequestError>, lost: &[bool]) -> String {
    let (timeline, elapsed) = facts(outcome);
    let said = match outcome {
        Ok(reply) => format!("The server says {:?}", String::from_utf8_lossy(reply.payload())),
        Err(error) => format!("No reply: {error}"),
    };
    format!("\n{}\n\n{said}", Chart::new(timeline, elapsed, lost))
}

fn json(outcome: &Result<Reply<'_>, RequestError>) -> String {
    let ms = |time: Duration| time.as_micros() as f64 / 1e3;
    let (result, transmissions) = match outcome {
        Ok(reply) => (format!("\"reply\":{}", json::string(reply.payload())), reply.transmissions()),
        Err(error) => (format!("\"error\":\"{}\"", kind(error.failure())), error.transmissions()),
    };
    let (timeline, elapsed) = facts(outcome);
    // A float prints as JSON has it: never without a digit behind the point.
    let (sent, elapsed): (Vec<_>, _) = (timeline.transmissions().map(ms).collect(), ms(elapsed));
    let sent = sent.iter().map(|ms| format!("{ms:?}")).collect::<Vec<_>>().join(",");
    format!("{{{result},\"transmissions\":{transmissions},\"sent_ms\":[{sent}],\"elapsed_ms\":{elapsed:?}}}")
}

fn facts<'a>(outcome: &'a Result<Reply<'_>, RequestError>) -> (&'a Timeline, Duration) {
    match outcome {
        Ok(reply) => (reply.timeline(), reply.elapsed()),
        Err(error) => (error.timeline(), error.elapsed()),
    }
}

fn kind(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "refused",
        Failure::TimedOut(_) => "timed_out",
        Failure::TooLarge { .. } => "too_large",
        Failure::Truncated { .. } => "truncated",
        Failure::Unreachable => "unreachable",
        _ => "io",
    }
}
