//! A bad network in front of any UDP service, for clients in any language. Needs no privilege, changes nothing on
//! the host, and is gone when it ends.
//!
//! ```text
//! udp-retry proxy --listen 127.0.0.1:5353 --upstream 9.9.9.9:53 --loss 30%
//! udp-retry proxy --listen [::1]:5683 --upstream 127.0.0.1:5683 --profile lte --for 60s
//! udp-retry proxy --listen 127.0.0.1:5353 --upstream 9.9.9.9:53 --loss 30% --pcap - | tshark -r - -T fields -e frame.comment
//! udp-retry proxy --listen 127.0.0.1:0 --upstream 127.0.0.1:123 --to-server "loss 5% burst 3; delay 50ms ~10ms"
//! udp-retry proxy --config listeners.txt --control 127.0.0.1:7070
//! udp-retry proxy ctl 127.0.0.1:7070 @dns set to_client loss 30%
//! ```
//!
//! The first line of standard output is `listening on ADDR`, as soon as clients can come (of standard error with
//! `--report -`, `--record -` or `--pcap -`). SIGINT, SIGTERM, SIGHUP, SIGQUIT or `--for` end it; then it prints a report of what was
//! asked for and what was observed, stage by stage and direction by direction: a table on a terminal, and one line of JSON
//! elsewhere or with `--json`. A knob's `ok` is null where nothing had to be seen of it, `unmet` names the stages that no
//! datagram has met, and `capacity` is what the proxy itself could not keep; `kernel_dropped` is what the system dropped before
//! the proxy could read it, null where that is not known. `seed` is a string from 2^53 on, where many programs that read JSON
//! would change it. `upstream` is the address of the service that was current at last, `unserved_why` says why clients got no
//! session.
//!
//! With `--control` it can be steered while it runs: commands change the network, and show the report as it would be now.
//! What is said of settings and rates is then of the time since the last change. With `--config` there are several
//! listeners, each with a line of the report. While it runs, a terminal shows counters. Without `--listen`, it shows itself:
//! a service, the proxy and a client on loopback.
//!
//! A second signal ends it at once, but for SIGHUP, of which a closed terminal sends several; one that was ignored when the
//! program started, as under `nohup`, stays ignored. Where the service is given by a name and the process has no terminal, as
//! under a service manager, SIGHUP ends nothing but has the name resolved again. Whatever ends it, a recording has whole lines.
//! Where the file of `--report`, `--record` or `--pcap` cannot be written, the report is on standard output nevertheless (on
//! standard error with `--record -` and `--pcap -`), and the program ends with 1.
#![expect(clippy::disallowed_methods, reason = "a thread for the service and one for the client of the demonstration")]

mod captured;
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
mod signals;
mod steering;
mod table;
mod turned_away;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Subcommand};
use udp_retry::fault::Capacity;

use self::control::command::COMMANDS;
use self::demonstration::show;
use self::listeners::{Listeners, check_stdout};
use self::network::Network;
use self::process::Process;
use self::running::Running;
use self::signals::Signals;
use crate::grammar::GRAMMAR;
use crate::output::{OutputFile, output_file};
use crate::seeds::seed;
use crate::terminal::{Misuse, Outcome};
use crate::values::{Host, address, duration, host};

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
    /// The service; a name is resolved again when sessions end or are refused, and all its addresses are tried
    #[arg(long, value_name = "HOST:PORT", value_parser = host, requires = "listen")]
    upstream: Option<Host>,
    /// Takes replies from any port of the service's host, and sends on to the one that answered last, as TFTP needs
    #[arg(long)]
    any_port: bool,
    #[command(flatten)]
    network: Network,
    /// Repeats a run: the same seed hits the same datagrams [default: any below 2^53, which standard error shows]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
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
    /// Writes every datagram there and what became of it, as pcapng for Wireshark; with "-" it stands alone on standard output
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pcap: Option<OutputFile>,
    /// Forgets a client when nothing has come for this time, in either direction
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "120s", allow_hyphen_values = true)]
    idle: Duration,
    /// Serves this many clients at once; a further one ends the session that was idle for longest
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "1024", allow_negative_numbers = true)]
    max_sessions: NonZeroUsize,
    /// Keeps this many delayed datagrams of a client in each direction; of all clients twice as many, in fair shares
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "65536", allow_negative_numbers = true)]
    capacity: NonZeroUsize,
    /// Keeps this many bytes of delayed datagrams, by the same rule [default: 1024 for each datagram of --capacity]
    #[arg(long, value_name = "BYTES", value_parser = at_least_one, allow_negative_numbers = true)]
    capacity_bytes: Option<NonZeroUsize>,
}

impl Listener {
    /// Whether the service is given by a name.
    fn has_named_service(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.literal().is_none())
    }

    /// The options whose files stand alone on standard output.
    fn of_stdout(&self) -> impl Iterator<Item = &'static str> {
        let files = [("--record", &self.record), ("--pcap", &self.pcap)];
        files.into_iter().filter(|(_, file)| **file == Some(OutputFile::Stdout)).map(|(option, _)| option)
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
    match (configured, Listening::of(NAME, listener)) {
        (Some(configured), _) => {
            let listening = configured.iter().filter_map(|it| Listening::of(&it.name, &it.listener));
            forward(&listening.collect::<Vec<_>>(), process)
        }
        (None, Some(listening)) => forward(&[listening], process),
        (None, None) => show(listener, process),
    }
}

/// Shows who gives the addresses bare, as other programs of that kind take them, how they are given here.
pub(crate) fn hint(error: &mut clap::Error) {
    let is_own = matches!(error.get(ContextKind::Usage), Some(ContextValue::StyledStr(usage)) if usage.to_string().contains(" proxy "));
    let is_address =
        matches!(error.get(ContextKind::InvalidSubcommand), Some(ContextValue::String(word)) if word.contains(':'));
    if is_own && is_address {
        let tip = "the addresses have options: udp-retry proxy --listen ADDR --upstream HOST:PORT";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

/// A listener with both its addresses.
struct Listening<'a> {
    name: &'a str,
    listener: &'a Listener,
    listen: SocketAddr,
    upstream: &'a Host,
}

impl<'a> Listening<'a> {
    fn of(name: &'a str, listener: &'a Listener) -> Option<Self> {
        let (listen, upstream) = listener.listen.zip(listener.upstream.as_ref())?;
        Some(Self { name, listener, listen, upstream })
    }
}

/// Until it is told to end.
fn forward(listening: &[Listening<'_>], process: &Process) -> Outcome {
    let running = listening.iter().map(|&Listening { name, listener, listen, upstream }| {
        let running = Running::new(name, listener, listen, upstream);
        running.map_err(|error| if process.config.is_some() { format!("{name}: {error}").into() } else { error })
    });
    let listeners = Listeners::new(running.collect::<Outcome<_>>()?, process)?;
    let signals = Signals::new(listeners.resolving())?;
    listeners.announce();
    listeners.until(|| signals.have_ended_it())
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a number from 1".to_owned())
}

/// What commands and reports call a listener that has no other name.
const NAME: &str = "default";
