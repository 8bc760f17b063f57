//! What a retry policy will do: when each transmission may leave, when it fails, which rules it breaks and how often a
//! reply comes at all.
//!
//! ```text
//! udp-retry schedule [PRESET] [--loss P] [--json] [--svg FILE]
//! udp-retry schedule --initial D --multiplier X --max D --transmissions N --deadline D --jitter none|LO..HI [...]
//! udp-retry schedule --list                                                      the presets
//! ```
//!
//! Of the options that make a policy any may be left out. With `--json`, one line and nothing else on standard output:
//!
//! ```text
//! {"name":"radius","source":"RFC 5080 §2.2.1","transmissions":[{"earliest_ms":0,"nominal_ms":0,"latest_ms":0},...],
//!  "fails_ms":{"earliest_ms":30000,"nominal_ms":30000,"latest_ms":30000},"breaks":[]}
//! ```
//!
//! Times count from the first transmission. `nominal_ms` has every draw in the middle, and is null for a transmission
//! that the deadline then prevents; `fails_ms` is null if failure is out of sight.

mod outlook;
mod svg;
mod timeline;

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use outlook::{Outlook, between};
use svg::Picture;
use timeline::Timeline;
use udp_retry::RetryPolicy;
use udp_retry::policy::{Backoff, Jitter, PolicyError, Preset, Window};

use crate::json;
use crate::output::{OutputFile, output_file};
use crate::terminal::{Misuse, Outcome, say};
use crate::values::preset;

/// Shows what a retry policy will do: a published one, or one made of the options given
#[derive(Args)]
#[command(after_help = "Durations D have a unit: ns, us, ms, s, m or min, h; such as 100ms or 1.5s.")]
pub(crate) struct Arguments {
    /// A published policy, as --list names it
    #[arg(default_value = "default", value_parser = preset, conflicts_with = "Custom")]
    preset: Preset,
    /// Probability that a datagram is lost, in either direction: 0.3 or 30% [default: several]
    #[arg(long, value_name = "P", value_parser = loss, allow_hyphen_values = true)]
    loss: Option<f64>,
    /// Print one line of JSON, and no picture
    #[arg(long)]
    json: bool,
    /// Draw it into a file, too; "-" is standard output, for nothing else then
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    svg: Option<OutputFile>,
    /// Name the published policies
    #[arg(long, exclusive = true)]
    list: bool,
    #[command(flatten)]
    custom: Option<Custom>,
}

#[derive(Args)]
#[command(next_help_heading = "Options that make a policy")]
struct Custom {
    /// The wait after the first transmission, before jitter [default: 1s]
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    initial: Option<Duration>,
    /// Growth from one wait to the next [default: 2]
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    multiplier: Option<f64>,
    /// What no wait exceeds, jitter included [default: 60s]
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    max: Option<Duration>,
    /// How often to send, the first included; 4294967295 is without end [default: 5]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    transmissions: Option<u32>,
    /// When to fail, from the first transmission [default: one wait after the last]
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    deadline: Option<Duration>,
    /// Factors between which each wait is drawn, such as 1..1.5, or "none" [default: none]
    #[arg(long, value_name = "LO..HI", value_parser = jitter, allow_hyphen_values = true)]
    jitter: Option<Jitter>,
}

impl Custom {
    fn policy(&self) -> Result<RetryPolicy, PolicyError> {
        let initial = self.initial.unwrap_or(Duration::from_secs(1));
        let max = self.max.unwrap_or(Duration::from_secs(60));
        let backoff = Backoff::exponential(initial, max)?
            .with_multiplier(self.multiplier.unwrap_or(2.0))?
            .with_jitter(self.jitter.unwrap_or(Jitter::NONE))?;
        let policy = RetryPolicy::new(backoff).with_max_transmissions(self.transmissions.unwrap_or(5))?;
        self.deadline.map_or(Ok(policy), |deadline| policy.with_deadline(deadline))
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if arguments.list { list() } else { show(arguments) }
}

fn list() -> Outcome {
    let line = |&Preset { name, source, policy, .. }: &Preset| {
        format!("{name:WIDEST$}{source}\n{:WIDEST$}{}", "", summary(&Outlook::new(name, source, policy)))
    };
    Ok(say(Preset::ALL.iter().map(line).collect::<Vec<_>>().join("\n"))?)
}

fn summary(outlook: &Outlook) -> String {
    let mut summary = outlook.extent();
    if let Some(&second) = outlook.sent.get(1) {
        summary.push_str(&format!(", the second at {}", between(second)));
    }
    match outlook.fails {
        Some(fails) => summary.push_str(&format!("; fails at {}", between(fails))),
        None => summary.push_str("; never fails by itself"),
    }
    let (_, pause) = outlook.policy.start_delay();
    if !pause.is_zero() {
        summary.push_str(&format!("; all that after a random pause of up to {pause:?}"));
    }
    summary
}

fn show(arguments: &Arguments) -> Outcome {
    let drawn_alone = OutputFile::takes_stdout(arguments.svg.as_ref(), arguments.json)?;
    let Preset { name, source, policy, .. } = arguments.preset;
    let outlook = match &arguments.custom {
        Some(custom) => {
            let policy = custom.policy().map_err(|error| Misuse(error.to_string()))?;
            Outlook::new("custom", "command line", policy)
        }
        None => Outlook::new(name, source, policy),
    };
    if let Some(file) = &arguments.svg {
        let picture = Picture::new(&outlook)?.to_string();
        file.write(&picture)?;
    }
    if drawn_alone {
        return Ok(());
    }
    if !arguments.json {
        return Ok(say(text(&outlook, arguments.loss)?)?);
    }
    if let Some(cut) = outlook.cut() {
        // Not worth failing for.
        let _ = writeln!(io::stderr(), "{cut}");
    }
    Ok(say(json(&outlook))?)
}

fn text(outlook: &Outlook, loss: Option<f64>) -> Result<String, PolicyError> {
    let Outlook { name, source, policy, sent, .. } = outlook;
    let explanation = policy.explain().to_string();
    // The other lines are the deviations.
    let words = explanation.lines().next().unwrap_or_default();
    let mut breaks: Vec<_> = policy.deviations().map(|deviation| format!("  - {deviation}")).collect();
    if breaks.is_empty() {
        breaks.push("  nothing that RFC 8085 and RFC 8961 ask for".to_owned());
    }
    // Transmissions that the deadline always prevents bring no reply.
    let policy = if outlook.all { policy.with_max_transmissions(sent.len() as u32)? } else { *policy };
    let losses = loss.map_or(TYPICAL.to_vec(), |loss| vec![loss]);
    let chances: Vec<_> = losses.into_iter().map(|loss| chance(loss, policy.success_probability(loss))).collect();
    Ok(format!(
        "{name} ({source})\n\n{}\n\nIn words: {words}\n\nIt breaks:\n{}\n\n\
         Chance of a reply, if every transmission has the time to be answered:\n{}",
        Timeline(outlook),
        breaks.join("\n"),
        chances.join("\n"),
    ))
}

/// As many digits as it takes to tell the chance from certainty.
fn chance(loss: f64, chance: f64) -> String {
    let failure = (1.0 - chance) * 100.0;
    let digits = (1.0 - failure.log10()).ceil().clamp(2.0, 7.0) as usize;
    let chance = match loss {
        0.0 => "100%".to_owned(),
        _ if failure < 1e-7 => "above 99.9999999%".to_owned(),
        _ => format!("{:.digits$}%", chance * 100.0),
    };
    // 0.29 times 100 would show all its digits.
    let percent = (loss * 1e12).round() / 1e10;
    format!("  {:>6} loss each way: {chance}", format!("{percent}%"))
}

fn json(outlook: &Outlook) -> String {
    let string = |text: &str| json::string(text.as_bytes());
    let sent: Vec<_> = outlook.sent.iter().map(json_window).collect();
    let fails = outlook.fails.as_ref().map_or_else(|| "null".to_owned(), json_window);
    let breaks: Vec<_> = outlook.policy.deviations().map(|deviation| string(&deviation.to_string())).collect();
    format!(
        "{{\"name\":{},\"source\":{},\"transmissions\":[{}],\"fails_ms\":{fails},\"breaks\":[{}]}}",
        string(outlook.name),
        string(outlook.source),
        sent.join(","),
        breaks.join(","),
    )
}

fn json_window(window: &Window) -> String {
    let nominal = window.nominal.map_or_else(|| "null".to_owned(), milliseconds);
    let (earliest, latest) = (milliseconds(window.earliest), milliseconds(window.latest));
    format!("{{\"earliest_ms\":{earliest},\"nominal_ms\":{nominal},\"latest_ms\":{latest}}}")
}

/// Every digit: a float would lose nanoseconds after some months.
fn milliseconds(time: Duration) -> String {
    let (whole, part) = (time.as_nanos() / 1_000_000, time.as_nanos() % 1_000_000);
    format!("{whole}.{part:06}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn loss(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let loss = number.parse::<f64>().ok().map(|number| number / whole).filter(|loss| (0.0..=1.0).contains(loss));
    loss.ok_or_else(|| "a loss is a number from 0 to 1, or from 0% to 100%".to_owned())
}

fn jitter(text: &str) -> Result<Jitter, String> {
    if text == "none" {
        return Ok(Jitter::NONE);
    }
    let factors = text.split_once("..").and_then(|(lo, hi)| Some((lo.parse().ok()?, hi.parse().ok()?)));
    let (lo, hi) = factors.ok_or("jitter is \"none\" or two factors, such as 1..1.5")?;
    Jitter::between(lo, hi).map_err(|error| error.to_string())
}

/// In whole nanoseconds throughout, so that 0.1s is what it says.
fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|char: char| char != '.' && !char.is_ascii_digit());
    let (_, unit) = UNITS
        .into_iter()
        .find(|(name, _)| *name == &text[number.len()..])
        .ok_or("a duration is a number with a unit, ns, us, ms, s, m, min or h, such as 100ms or 1.5s")?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err("a duration is digits, with or without a decimal point, and a unit".to_owned());
    }
    let part = part.trim_end_matches('0');
    let scale = 10_u128.checked_pow(part.len() as u32).unwrap_or(u128::MAX);
    let count = format!("{whole}{part}").parse::<u128>().ok().and_then(|count| count.checked_mul(unit));
    let ns = count.ok_or(TOO_LONG)? / scale;
    if count.is_some_and(|count| count % scale != 0) {
        return Err("no duration is finer than a nanosecond".to_owned());
    }
    let seconds = u64::try_from(ns / SECOND).map_err(|_| TOO_LONG)?;
    Ok(Duration::new(seconds, (ns % SECOND) as u32))
}

/// Columns for the longest name of a preset.
const WIDEST: usize = 28;

const SECOND: u128 = 1_000_000_000;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("min", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

/// What the policy cannot refuse itself, because not even a `Duration` holds it.
const TOO_LONG: &str = "longer than the 584 years that can be counted in nanoseconds";

/// Losses worth a look if none is asked for.
const TYPICAL: [f64; 6] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.5];
