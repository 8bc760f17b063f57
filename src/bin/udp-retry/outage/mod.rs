//! What comes after an outage: fleets of clients whose server stalls for a while, with many ways to retry.
//!
//! ```text
//! udp-retry outage [--clients N] [--stall 10s] [--cause stall|crash|slow|loss] [--seed N] [--json] [--svg FILE]
//! udp-retry outage --rows exponential,recommended --quick                        less of it, sooner
//! udp-retry outage --servers [...]                                  which of several servers to ask: the module `servers`
//! ```
//!
//! Drives `Transaction` on `SimNet`, in virtual time. 600 requests a second (Poisson, an open loop) over N clients; a
//! server that answers 1,000 a second, first come, first served, with a queue of 2,000; 10 ms there and back, 1 % lost
//! each way. All rows but `default` wait 200 ms, twice as long each time, send 4 times at most and give up after 1 s;
//! they differ in what keeps them from retransmitting. After 20 s comes the trouble; the arrivals end 100 s after it.
//! Every figure of the outage is the median of 3 runs. With `--json`, one line and nothing else on standard output:
//!
//! ```text
//! {"policies":[{"policy":"recommended","recovery_s":3.0,"amplification_during":1.5977,"amplification_after":1.0224,
//!  "peak_load":1.503,"success_30s_after":0.9082,"wasted_work":0.1902,"success_at_19_percent_loss":0.9913,
//!  "spurious_without_loss":0.0,"p50_ms":11.401,"p99_ms":261.952},...]}
//! ```
//!
//! Rates are fractions. `recovery_s` is the first second after the trouble from which 5 in a row answer 95 % of what
//! was answered before it, or null; a request counts in the second in which it began. `amplification_…` are
//! transmissions for each request, in the trouble and in the 30 s after it, in which `wasted_work` is the share of
//! answers that ended no request. `peak_load` is what reached the server in the worst second, of what it can do.
//! `success_at_19_percent_loss`: a calm server for 600 s, 10 % lost each way, after 100 s that do not count because
//! budgets spend in them what they began with (100,000 clients need longer). `spurious_without_loss`: retransmissions
//! for each request to a calm server. `p50_ms` and `p99_ms`: times to the reply in the calm before the trouble.

mod client;
mod guard;
mod ledger;
mod message;
mod picture;
mod rows;
mod server;
mod servers;
mod study;
mod table;
mod work;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use picture::Picture;
use rows::Row;
use server::Cause;
use study::{Extent, Study};

use crate::output::{OutputFile, output_file};
use crate::seeds::seed;
use crate::terminal::{Misuse, Outcome, say};
use crate::values;

/// Compares what retry policies do to a server that stalls for a while, or ways to choose among servers
#[derive(Args)]
pub(crate) struct Arguments {
    /// Compare ways to choose among three servers that die, are slow or lossy, or have as much to do as they can
    #[arg(long)]
    servers: bool,
    /// Over how many clients the requests are spread; with --servers, those of a fleet [default: 1000; 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: Option<u32>,
    /// How long the trouble lasts: whole seconds, up to 60s
    #[arg(long, default_value = "10s", value_name = "D", value_parser = stall, allow_hyphen_values = true)]
    #[arg(conflicts_with = "servers")]
    stall: Duration,
    /// What the trouble is
    #[arg(long, default_value = "stall", conflicts_with = "servers")]
    cause: Cause,
    /// With --servers, how many requests each situation is simulated for [default: 100000; 5000 if quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000), requires = "servers")]
    requests: Option<u64>,
    /// With --servers, only these situations, such as mixed,load-67 [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "servers")]
    situations: Vec<String>,
    /// The same seed gives the same figures
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Only these policies, such as exponential,recommended [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    rows: Vec<String>,
    /// One run instead of three, 40 s after the trouble instead of 100, 40 s with losses instead of 600; fewer requests
    #[arg(long)]
    quick: bool,
    /// Print one line of JSON, and no table
    #[arg(long)]
    json: bool,
    /// Draw the goodput, or the success under load, into a file, too; "-" is standard output, for nothing else then
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    svg: Option<OutputFile>,
}

pub(crate) fn run(told: &Arguments) -> Outcome {
    let drawn_alone = OutputFile::takes_stdout(told.svg.as_ref(), told.json)?;
    if told.servers {
        return compare_servers(told, drawn_alone);
    }
    let extent = if told.quick { Extent::QUICK } else { Extent::FULL };
    let clients = told.clients.unwrap_or(CLIENTS);
    let study = Study { clients, cause: told.cause, stall: told.stall, seed: told.seed, extent };
    let mut rows = rows::all()?;
    check(&rows, &told.rows)?;
    rows.retain(|row| told.rows.is_empty() || told.rows.iter().any(|name| name == row.name));
    // Before all the work: a file that cannot be written is known at once.
    let svg = match &told.svg {
        Some(file) => Some((file, file.create()?)),
        None => None,
    };
    let figures = work::figures(&study, &rows, progress())?;
    if !drawn_alone {
        match told.json {
            true => say(table::json(&figures))?,
            false => say(table::text(&study, &figures).trim_end())?,
        }
    }
    let picture = || Picture::new(&study, &figures).to_string();
    Ok(svg.map_or(Ok(()), |(file, mut opened)| file.fill(&mut *opened, &picture()))?)
}

/// One line that is written again and again, if anybody looks.
fn progress() -> impl Fn(usize, usize) + Sync {
    let watched = io::stderr().is_terminal();
    move |done, all| {
        if watched {
            let line = if done < all { format!("\r{done} of {all} runs") } else { "\r\x1b[K".to_owned() };
            // Whoever cannot be told how far it is still wants to know what comes of it.
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}

fn stall(text: &str) -> Result<Duration, String> {
    let stall = values::duration(text)?;
    if stall > Duration::from_secs(60) || stall.subsec_nanos() > 0 {
        return Err("whole seconds are needed, from 1s to 60s".to_owned());
    }
    Ok(stall)
}

fn check(rows: &[Row], names: &[String]) -> Outcome {
    let Some(unknown) = names.iter().find(|name| rows.iter().all(|row| row.name != **name)) else { return Ok(()) };
    let known: Vec<_> = rows.iter().map(|row| row.name).collect();
    let known = known.join(", ");
    Err(Misuse(format!("invalid value '{unknown}' for '--rows <NAMES>': the policies are {known}")).into())
}

fn compare_servers(told: &Arguments, drawn_alone: bool) -> Outcome {
    use servers::Study;
    let requests = if told.quick { Study::QUICK_REQUESTS } else { Study::REQUESTS };
    let study = Study {
        requests: told.requests.unwrap_or(requests),
        clients: told.clients.unwrap_or(Study::CLIENTS),
        seed: told.seed,
        is_quick: told.quick,
    };
    let selected = study.of(&told.rows, &told.situations)?;
    // Before all the work: a file that cannot be written is known at once.
    let svg = match &told.svg {
        Some(file) => Some((file, file.create()?)),
        None => None,
    };
    let results = selected.run(progress())?;
    if !drawn_alone {
        match told.json {
            true => say(results.json())?,
            false => say(results.text().trim_end())?,
        }
    }
    Ok(svg.map_or(Ok(()), |(file, mut opened)| file.fill(&mut *opened, &results.picture()))?)
}

const CLIENTS: u32 = 1000;
