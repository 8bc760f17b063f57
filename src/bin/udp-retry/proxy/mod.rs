//! A bad network in front of any UDP service, for clients in any language. Needs no privilege, changes nothing on
//! the host, and is gone when it ends.
//!
//! ```text
//! udp-retry proxy --listen 127.0.0.1:5353 --upstream 9.9.9.9:53 --loss 30%
//! udp-retry proxy --listen [::1]:5683 --upstream 127.0.0.1:5683 --profile lte --for 60
//! udp-retry proxy --listen 127.0.0.1:0 --upstream 127.0.0.1:123 --to-server "loss 5% burst 3; delay 50ms ~10ms"
//! udp-retry proxy --config listeners.txt --control 127.0.0.1:7070
//! udp-retry proxy ctl 127.0.0.1:7070 @dns set to_client loss 30%
//! ```
//!
//! The first line of standard output is `listening on ADDR`, as soon as clients can come (of standard error with
//! `--report -` or `--record -`). SIGINT, SIGTERM or `--for` end it; then it prints one line of JSON: what was asked for
//! and what was observed, stage by stage and direction by direction. A knob's `ok` is null where nothing had to be seen
//! of it, `unmet` names the stages that no datagram has met, and `capacity` is what the proxy itself could not keep;
//! `kernel_dropped` is what the system dropped before the proxy could read it, null where that is not known.
//! With `--control` it can be steered while it runs: commands change the network, and show the report as it would be now.
//! What is said of settings and rates is then of the time since the last change. With `--config` there are several
//! listeners, each with a line of the report. While it runs, a terminal shows counters. Without `--listen`, it shows itself: a service, the proxy and a client on
//! loopback.
#![expect(clippy::disallowed_methods, reason = "a thread for the service and one for the client of the demonstration")]

mod config;
mod control;
mod ctl;
mod demonstration;
mod ending;
mod listeners;
mod metrics;
mod network;
mod process;
mod recorder;
mod report;
mod running;
mod steering;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, Subcommand};
use udp_retry::fault::Capacity;

use self::config::Named;
use self::control::command::COMMANDS;
use self::demonstration::show;
use self::listeners::{Listeners, check_stdout};
use self::network::Network;
use self::process::Process;
use self::running::Running;
use crate::grammar::GRAMMAR;
use crate::output::{OutputFile, output_file};
use crate::terminal::{Misuse, Outcome};
use crate::values::address;

/// Forwards UDP datagrams, and does to them what a bad network would; without --listen, shows itself on loopback
#[derive(Args)]
#[command(after_help = format!("{GRAMMAR}\n\n{COMMANDS}"), args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    listener: Listener,
    #[command(flatten)]
    process: Process,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Ctl(ctl::Arguments),
}

/// What one listener does.
#[derive(Args)]
pub(crate) struct Listener {
    /// Where clients send to; port 0 lets the system pick one
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "upstream")]
    listen: Option<SocketAddr>,
    /// The service
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "listen")]
    upstream: Option<SocketAddr>,
    #[command(flatten)]
    network: Network,
    /// Which datagrams it hits: the same seed hits the same [default: any, and told]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// All clients share one link in each direction, as one wire: its rate is that of all together [default: links, and a rate,
    /// of each client's own]
    #[arg(long)]
    shared: bool,
    /// Forbids that datagrams to the service are fragmented: then a client can find the MTU of the path behind the proxy
    #[arg(long)]
    df: bool,
    /// Writes the fate of every datagram there, as lines of JSON; with "-" they stand alone on standard output
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    record: Option<OutputFile>,
    /// Forgets a client when nothing has come for so long, either way
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "120")]
    idle: Duration,
    /// Knows so many clients at once; the one idle for longest makes room
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "1024")]
    max_sessions: NonZeroUsize,
    /// Keeps so many delayed datagrams of a client each way; of all clients twice as many, in fair shares
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "65536")]
    capacity: NonZeroUsize,
    /// Keeps so many bytes of delayed datagrams, by the same rule [default: 1024 for each datagram of --capacity]
    #[arg(long, value_name = "BYTES", value_parser = at_least_one)]
    capacity_bytes: Option<NonZeroUsize>,
}

impl Listener {
    /// Whether its recording stands alone on standard output.
    fn records_to_stdout(&self) -> bool {
        self.record == Some(OutputFile::Stdout)
    }

    /// Large enough for a single datagram, whatever was asked for.
    fn capacity(&self) -> Outcome<Capacity> {
        let datagrams = self.capacity.get();
        let usual = datagrams.saturating_mul(1024).max(65_535);
        Ok(Capacity::new(datagrams, self.capacity_bytes.map_or(usual, NonZeroUsize::get))
            .map_err(|error| Misuse(error.to_string()))?)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { listener, process, command } = arguments;
    if let Some(Command::Ctl(arguments)) = command {
        return ctl::run(arguments);
    }
    let configured = process.config.as_deref().map(config::read).transpose()?;
    check_stdout(process, configured.iter().flatten().map(|named| &named.listener).chain([listener]))?;
    match (configured, listener.listen.zip(listener.upstream)) {
        (Some(configured), _) => {
            let listening = configured.iter().filter_map(Listening::of).collect::<Vec<_>>();
            forward(&listening, process)
        }
        (None, Some((listen, upstream))) => forward(&[Listening { name: NAME, listener, listen, upstream }], process),
        (None, None) => show(listener, process),
    }
}

/// A listener with both its addresses.
struct Listening<'a> {
    name: &'a str,
    listener: &'a Listener,
    listen: SocketAddr,
    upstream: SocketAddr,
}

impl<'a> Listening<'a> {
    fn of(Named { name, listener }: &'a Named) -> Option<Self> {
        let (listen, upstream) = listener.listen.zip(listener.upstream)?;
        Some(Self { name, listener, listen, upstream })
    }
}

/// Until it is told to end.
fn forward(listening: &[Listening<'_>], process: &Process) -> Outcome {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let running = listening.iter().map(|&Listening { name, listener, listen, upstream }| {
        let running = Running::new(name, listener, listen, upstream);
        running.map_err(|error| if process.config.is_some() { format!("{name}: {error}").into() } else { error })
    });
    let listeners = Listeners::new(running.collect::<Outcome<_>>()?, process)?;
    listeners.announce()?;
    listeners.until(&ended)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds, such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a number from 1".to_owned())
}

/// What commands and reports call a listener that has no other name.
const NAME: &str = "default";
