//! What a specification of a bad network asks for, beside what it does: no setting is taken on trust.
//!
//! ```text
//! udp-retry faults verify [SPEC] [--seed N] [--datagrams N] [--svg FILE] [--json]
//! udp-retry faults verify PROFILE [--direction to_server|to_client] [...]
//! udp-retry faults profiles                                                      the profiles
//! ```
//!
//! Sends datagrams through bare links in virtual time, and holds every setting against what came of it: chance to what
//! it does in all but one of a billion runs, everything else to the last datagram. Ends with 1 if one of them was not
//! kept; what was too rare to be seen is not due, and no failure. With `--json`,
//! one line for each direction and nothing else on standard output:
//!
//! ```text
//! {"datagrams":200000,"direction":null,"knobs":[{"asked":0.05,"bound":0.0043,"knob":"loss","observed":0.0502,
//!  "of":200000,"ok":true},...],"len":1250,"ok":true,"profile":null,"seed":1,"spec":"loss 5% burst 3"}
//! ```
//!
//! Of a specification that changes over time every state is tried by itself, the first 16 that differ, each with a line
//! and its time as `from`, in seconds.
//!
//! Shares are from 0 to 1; `delay`, `late`, `queue_time` and `outage_time` are in seconds, `rate` is in bits per
//! second, `mtu`, `queue_bytes` and `truncate_to` are in bytes. `delay` and `late` are means, `delay_law` and
//! `late_law` the largest distances from the law; `outage_share` is of every period, `overtaking` of datagrams sent at
//! once, `reordered` of datagrams of which three more are sent during each hold. `dose` is of the most faults in a window.
//! `observed` is null where nothing came to be observed, and `ok` is null with it where nothing had to come.

mod bars;
mod stages;
#[cfg(test)]
mod tests;
mod trial;

use std::time::Duration;

use bars::Picture;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;
use trial::Trial;
use udp_retry::fault::{Direction, Profile, SpecError};
use udp_retry::{Impairments, Seed};

use crate::audit::{Rate, table};
use crate::grammar::GRAMMAR;
use crate::output::{OutputFile, output_file};
use crate::seeds;
use crate::terminal::{Misuse, Outcome, say};

/// Holds a bad network to its specification; without a command, a telling one
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = GRAMMAR)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    verify: Verify,
}

#[derive(Subcommand)]
enum Task {
    /// Runs a specification, and compares every setting with what came of it
    #[command(after_help = GRAMMAR)]
    Verify(Verify),
    /// Names the profiles, and what each does to requests and to replies
    Profiles,
}

#[derive(Args)]
struct Verify {
    /// Clauses such as "loss 5% burst 3; delay 50ms ~10ms; rate 10mbit queue 100ms", or a profile
    #[arg(default_value = TELLING)]
    spec: String,
    /// Which way of a profile [default: both]
    #[arg(long, value_parser = PossibleValuesParser::new(WAYS.map(Direction::as_str)))]
    direction: Option<String>,
    /// Which datagrams it hits: the same seed hits the same
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = seeds::seed, allow_negative_numbers = true)]
    seed: u64,
    /// How many datagrams: four times as many halve the bounds
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    datagrams: u64,
    /// Draw the histograms into a file, too; "-" is standard output, for nothing else then
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    svg: Option<OutputFile>,
    /// Print a line of JSON for each direction, and no picture
    #[arg(long)]
    json: bool,
}

/// One way of one path, as it was asked for, at one time.
struct Way {
    profile: Option<String>,
    direction: Option<Direction>,
    spec: Impairments,
    /// From when on, if that changes.
    from: Option<Duration>,
    /// Of its link.
    seed: Seed,
}

impl Way {
    fn title(&self) -> String {
        let from = self.from.map_or_else(String::new, |from| format!("from {from:?} on: "));
        match (&self.profile, self.direction) {
            (Some(profile), Some(direction)) => format!("{profile} {}: {from}{}", direction.as_str(), self.spec),
            _ => format!("{from}{}", self.spec),
        }
    }

    /// Each state of its settings that differs from those before, with the time of the first one.
    fn by_time(self) -> Vec<Self> {
        if self.spec.changes().next().is_none() {
            return vec![self];
        }
        let times = [Duration::ZERO].into_iter().chain(self.spec.changes().map(|(at, _)| at));
        let mut states: Vec<Self> = Vec::new();
        for from in times {
            let spec = self.spec.at(from);
            if states.len() < MOST_STATES && states.iter().all(|state| state.spec != spec) {
                let profile = self.profile.clone();
                states.push(Self { profile, spec, from: Some(from), ..self });
            }
        }
        states
    }
}

pub(crate) fn run(Arguments { task, verify: told }: Arguments) -> Outcome {
    match task {
        Some(Task::Profiles) => profiles(),
        Some(Task::Verify(told)) => verify(&told),
        None => verify(&told),
    }
}

fn profiles() -> Outcome {
    let lines = Profile::NAMES.iter().filter_map(|&name| Profile::named(name).map(|profile| (name, profile)));
    let lines = lines.flat_map(|(name, profile)| {
        [(name, Direction::ToServer), ("", Direction::ToClient)]
            .map(|(name, way)| format!("{name:<15}{}  {}", way.as_str(), profile.direction(way)))
    });
    Ok(say(lines.collect::<Vec<_>>().join("\n"))?)
}

fn verify(told: &Verify) -> Outcome {
    let drawn_alone = OutputFile::takes_stdout(told.svg.as_ref(), told.json)?;
    let ways = ways(told).map_err(Misuse)?;
    let ways = ways.into_iter().flat_map(Way::by_time);
    let trials: Vec<_> = ways.map(|way| (Trial::run(&way.spec, way.seed, told.datagrams), way)).collect();
    for (trial, way) in trials.iter().filter(|_| !drawn_alone) {
        say(if told.json { json(trial, way, told.seed) } else { text(trial, way, told.seed) })?;
    }
    if let Some(file) = &told.svg {
        let panels = trials.iter().flat_map(|(trial, way)| trial.pictures.iter().map(|it| (way.title(), it)));
        let picture = Picture { title: format!("What came of {}", told.spec), panels: panels.collect() };
        file.write(&picture.to_string())?;
    }
    let broken: Vec<_> = trials.iter().flat_map(|(trial, _)| trial.broken()).collect();
    match broken.len() {
        0 => Ok(()),
        _ => Err(format!("not as asked: {}", broken.join(", ")).into()),
    }
}

fn ways(told: &Verify) -> Result<Vec<Way>, String> {
    let Some(profile) = Profile::named(&told.spec) else {
        if told.direction.is_some() {
            return Err("only a profile has directions".to_owned());
        }
        let spec = told.spec.parse().map_err(|error| refusal(&told.spec, &error))?;
        return Ok(vec![Way { profile: None, direction: None, spec, from: None, seed: Seed::new(told.seed) }]);
    };
    let asked = WAYS.into_iter().filter(|way| told.direction.as_deref().is_none_or(|asked| asked == way.as_str()));
    let way = |direction: Direction| Way {
        profile: Some(told.spec.clone()),
        direction: Some(direction),
        spec: profile.direction(direction).clone(),
        from: None,
        // What the first client of a proxy meets.
        seed: direction.link_seed(Seed::new(told.seed), 0),
    };
    Ok(asked.map(way).collect())
}

/// What is wrong, and where, under the text.
fn refusal(text: &str, error: &SpecError) -> String {
    let position = error.position();
    // A line that is as long as the text, whatever stands in it.
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    let mut refusal = format!("{error}\n\n  {line}\n  {:>position$}", "^");
    if !text.contains(char::is_whitespace) {
        refusal.push_str(&format!("\n\nProfiles are {}", Profile::NAMES.join(", ")));
    }
    refusal
}

fn text(trial: &Trial, way: &Way, seed: u64) -> String {
    let Trial { rates, pictures, datagrams, len } = trial;
    let mut text = format!("{}\n{datagrams} datagrams of {len} bytes, --seed {seed}\n", way.title());
    text.push_str(&table(rates));
    if rates.is_empty() {
        text.push_str("\n\n  Nothing is asked for, and nothing happened.");
    }
    for picture in pictures {
        text.push_str(&format!("\n\n{picture}"));
    }
    text.push('\n');
    text
}

fn json(trial: &Trial, way: &Way, seed: u64) -> String {
    let mut line = json!({
        "spec": way.spec.to_string(),
        "profile": way.profile,
        "direction": way.direction.map(Direction::as_str),
        "seed": seeds::json(seed),
        "datagrams": trial.datagrams,
        "len": trial.len,
        "knobs": trial.rates.iter().map(Rate::to_json).collect::<Vec<_>>(),
        "ok": trial.broken().is_empty(),
    });
    if let Some(from) = way.from {
        line["from"] = from.as_secs_f64().into();
    }
    line.to_string()
}

/// Every stage but the script.
const TELLING: &str = "outage from 10s for 200ms every 15s; mtu 1400; rate 10mbit queue 100ms; loss 5% burst 3; \
                       duplicate 1% late 2s ~1s; truncate 0.5% to 100; corrupt 0.1%; delay 50ms ~10ms; \
                       reorder 2% by 30ms";

const WAYS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// States of one specification that are tried.
const MOST_STATES: usize = 16;
