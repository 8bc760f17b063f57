//! A bad network in front of any UDP service, for clients in any language. Needs no privilege, changes nothing on
//! the host, and is gone when it ends.
//!
//! ```text
//! udp-retry proxy --listen 127.0.0.1:5353 --upstream 9.9.9.9:53 --loss 30%
//! udp-retry proxy --listen [::1]:5683 --upstream 127.0.0.1:5683 --profile lte --for 60s
//! udp-retry proxy --listen 127.0.0.1:0 --upstream 127.0.0.1:123 --to-server "loss 5% burst 3; delay 50ms ~10ms"
//! ```
//!
//! The first line of standard output is `listening on ADDR`, as soon as clients can come (of standard error with
//! `--report -` or `--record -`). SIGINT, SIGTERM, SIGHUP, SIGQUIT or `--for` end it; then it prints a report of what was
//! asked for and what was observed, stage by stage and direction by direction: a table on a terminal, and one line of JSON
//! elsewhere or with `--json`. A knob's `ok` is null where nothing had to be seen of it, `unmet` names the stages that no
//! datagram has met, and `capacity` is what the proxy itself could not keep. `seed` is a string from 2^53 on, where many
//! programs that read JSON would change it. While it runs, a terminal shows counters. Without `--listen`, it shows itself:
//! a service, the proxy and a client on loopback.
//!
//! A second signal ends it at once, but for SIGHUP, of which a closed terminal sends several; one that was ignored when the
//! program started, as under `nohup`, stays ignored. Whatever ends it, a recording has whole lines. Where the file of
//! `--report` or `--record` cannot be written, the report is on standard output nevertheless (on standard error with
//! `--record -`), and the program ends with 1.
#![expect(clippy::disallowed_methods, reason = "a thread for the service and one for the client of the demonstration")]

mod demonstration;
mod ending;
mod network;
mod recorder;
mod report;
mod running;
mod signals;
mod table;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use udp_retry::fault::Capacity;

use self::demonstration::show;
use self::network::Network;
use self::running::Running;
use self::signals::Signals;
use crate::grammar::GRAMMAR;
use crate::output::{OutputFile, output_file};
use crate::terminal::{Misuse, Outcome};
use crate::values::{address, duration};

/// Forwards UDP datagrams, and does to them what a bad network would; without --listen, shows itself on loopback
#[derive(Args)]
#[command(after_help = GRAMMAR)]
pub(crate) struct Arguments {
    /// Where clients send to; port 0 lets the system pick one
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "upstream")]
    listen: Option<SocketAddr>,
    /// The service
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "listen")]
    upstream: Option<SocketAddr>,
    #[command(flatten)]
    network: Network,
    /// Which datagrams it hits: the same seed hits the same [default: any below 2^53, which standard error shows]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Ends after this time, such as 90s or 5min [default: when it is told to]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasting: Option<Duration>,
    /// Writes the report there too, as JSON; with "-" it stands alone on standard output
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    report: Option<OutputFile>,
    /// Writes the fate of every datagram there, as lines of JSON; with "-" they stand alone on standard output
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    record: Option<OutputFile>,
    /// Reports as one line of JSON on a terminal, too
    #[arg(long)]
    json: bool,
    /// Forgets a client when nothing has come for this time, in either direction
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "120s")]
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

impl Arguments {
    /// Whether what is written there stands alone on standard output.
    fn take_stdout(&self) -> bool {
        [&self.report, &self.record].contains(&&Some(OutputFile::Stdout))
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
    match (arguments.listen, arguments.upstream) {
        (Some(listen), Some(upstream)) => forward(arguments, listen, upstream),
        _ => show(arguments),
    }
}

/// Until it is told to end.
fn forward(arguments: &Arguments, listen: SocketAddr, upstream: SocketAddr) -> Outcome {
    let running = Running::new(arguments, listen, upstream)?;
    // An address is none that could be resolved again.
    let signals = Signals::new(None)?;
    running.announce();
    running.until(|| signals.have_ended_it())
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a number from 1".to_owned())
}
