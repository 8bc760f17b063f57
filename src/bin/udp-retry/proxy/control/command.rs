//! The commands: what a line means, or where it goes wrong.

use std::time::Duration;

use serde_json::{Value, json};
use udp_retry::Impairments;
use udp_retry::fault::{Direction, Outage, SpecError};

use crate::proxy::steering::Order;

/// What a line is, and for `--help`.
pub(in crate::proxy) const COMMANDS: &str = "\
With --control, a line is a command, and a line of JSON answers it; a position counts characters
from 1. \"udp-retry proxy ctl ADDR COMMAND\" sends one:
  set to_client loss 30%       a SPEC from now on, without files; or \"to_server\", or \"both\"
  outage 5s                    nothing passes for this time; \"outage none\" ends it at once
  release                      all that is in flight leaves now; or only \"release to_server\"
  stats                        a report of what was asked for and what was observed so far
  stats prometheus             the counters for Prometheus; the text ends with the line \"# EOF\"
  listeners                    their names and addresses
  help                         these commands
With --config, a command is for all listeners, or for one: \"@NAME set both none\".";

/// A line that was understood.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Command {
    /// Of all of them, if none is named.
    pub(super) listener: Option<String>,
    pub(super) what: What,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum What {
    Order(Order),
    Help,
}

/// Why a line was not carried out.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Refusal {
    error: String,
    /// Characters into the line, from 1, and what could stand there.
    place: Option<(usize, Option<String>)>,
}

impl Refusal {
    pub(super) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), place: None }
    }

    pub(super) fn unexpected(position: usize, expected: &str, found: &str) -> Self {
        let shown: String = found.chars().take(MOST_FOUND).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("{shown:?}") };
        let error = format!("at {position}: expected {expected}, found {found}");
        Self { error, place: Some((position, Some(expected.to_owned()))) }
    }

    fn of(error: &SpecError) -> Self {
        let expected = match error {
            SpecError::Unexpected { expected, .. } => Some((*expected).to_owned()),
            _ => None,
        };
        Self { error: error.to_string(), place: Some((error.position(), expected)) }
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { error, place } = self;
        match place {
            None => json!({ "error": error }),
            Some((position, None)) => json!({ "error": error, "position": position }),
            Some((position, Some(expected))) => json!({ "error": error, "position": position, "expected": expected }),
        }
    }
}

impl Command {
    pub(super) fn read(line: &str) -> Result<Self, Refusal> {
        let mut words = Words { line, at: 0 };
        let mut word = words.next();
        let listener = word.text.strip_prefix('@').map(ToOwned::to_owned);
        if listener.is_some() {
            word = words.next();
        }
        let what = match word.text {
            "set" => {
                let directions = words.next();
                let directions = named(directions.text).ok_or_else(|| directions.refused(DIRECTION))?;
                What::Order(Order::Set(directions, Box::new(words.impairments()?)))
            }
            "outage" => What::Order(Order::Outage(words.duration()?)),
            "release" => {
                let word = words.next();
                let directions = if word.text.is_empty() { named("both") } else { named(word.text) };
                words.end()?;
                What::Order(Order::Release(directions.ok_or_else(|| word.refused(DIRECTION_OR_END))?))
            }
            "stats" => {
                let form = words.next();
                words.end()?;
                match form.text {
                    "" => What::Order(Order::Stats),
                    "prometheus" => What::Order(Order::Metrics),
                    _ => return Err(form.refused("`prometheus` or the end")),
                }
            }
            "listeners" => {
                words.end()?;
                What::Order(Order::Describe)
            }
            "help" => {
                words.end()?;
                What::Help
            }
            _ if listener.is_some() => return Err(word.refused(COMMAND)),
            _ => return Err(word.refused(FIRST)),
        };
        Ok(Self { listener, what })
    }
}

/// The words of a line, one after the other.
struct Words<'l> {
    line: &'l str,
    /// Bytes.
    at: usize,
}

struct Word<'l> {
    text: &'l str,
    /// Characters into the line, from 1.
    position: usize,
}

impl Word<'_> {
    fn refused(&self, expected: &str) -> Refusal {
        Refusal::unexpected(self.position, expected, self.text)
    }
}

impl<'l> Words<'l> {
    fn next(&mut self) -> Word<'l> {
        let word = self.peek();
        self.at = self.line.len() - self.rest().len() + word.text.len();
        word
    }

    fn peek(&self) -> Word<'l> {
        let rest = self.rest();
        let text = rest.split(char::is_whitespace).next().unwrap_or_default();
        let before = self.line.len() - rest.len();
        Word { text, position: self.characters(before) + 1 }
    }

    fn end(&self) -> Result<(), Refusal> {
        let more = self.peek();
        if more.text.is_empty() { Ok(()) } else { Err(more.refused("the end")) }
    }

    /// All that follows.
    fn impairments(&self) -> Result<Impairments, Refusal> {
        let rest = self.rest();
        // Whoever may steer need not be allowed to read what this process may.
        for (at, word) in rest.match_indices("trace") {
            let behind = rest.get(at + word.len()..).unwrap_or_default().trim_start();
            if !behind.starts_with('{') {
                let position = self.characters(self.line.len() - behind.len()) + 1;
                return Err(Refusal::unexpected(position, "`{`, as a command reads no file", behind));
            }
        }
        // As many blanks as there are characters before it: so what is wrong is reported where it stands in the line.
        let before = " ".repeat(self.characters(self.line.len() - rest.len()));
        format!("{before}{rest}").parse().map_err(|error| Refusal::of(&error))
    }

    /// In the units of impairments; `None` for `none`.
    fn duration(&mut self) -> Result<Option<Duration>, Refusal> {
        let rest = self.peek();
        if rest.text == "none" {
            self.next();
            return self.end().map(|()| None);
        }
        let alone = |lasting| {
            let outage = Outage::new(Duration::ZERO, lasting)?;
            Impairments::NONE.with_outage(outage)
        };
        match format!("{OUTAGE}{}", self.rest()).parse::<Impairments>() {
            Ok(read) => match read.outages() {
                [outage] if alone(outage.lasting()).is_ok_and(|alone| alone == read) => Ok(Some(outage.lasting())),
                _ => Err(rest.refused(DURATION)),
            },
            Err(error) => {
                // Where it would stand if only the rest were there.
                let into = error.position().saturating_sub(OUTAGE.len() + 1);
                let position = rest.position + into;
                Err(match error {
                    SpecError::Unexpected { expected, found, .. } if into > 0 => {
                        Refusal::unexpected(position, expected, &found)
                    }
                    SpecError::Infeasible { reason, .. } => {
                        Refusal { error: format!("at {position}: {reason}"), place: Some((position, None)) }
                    }
                    _ => rest.refused(DURATION),
                })
            }
        }
    }

    fn rest(&self) -> &'l str {
        self.line.get(self.at..).unwrap_or_default().trim_start()
    }

    fn characters(&self, bytes: usize) -> usize {
        self.line.get(..bytes).unwrap_or_default().chars().count()
    }
}

fn named(directions: &str) -> Option<Vec<Direction>> {
    match directions {
        "to_server" => Some(vec![Direction::ToServer]),
        "to_client" => Some(vec![Direction::ToClient]),
        "both" => Some(vec![Direction::ToServer, Direction::ToClient]),
        _ => None,
    }
}

const FIRST: &str = "`set`, `outage`, `release`, `stats`, `listeners`, `help` or @NAME";
const COMMAND: &str = "`set`, `outage`, `release`, `stats`, `listeners` or `help`";
const DIRECTION: &str = "`to_server`, `to_client` or `both`";
const DIRECTION_OR_END: &str = "`to_server`, `to_client`, `both` or the end";
const DURATION: &str = "a duration such as 5s, or `none`";
const OUTAGE: &str = "outage from 0s for ";
const MOST_FOUND: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_help_is_one() {
        let lines = COMMANDS.lines().filter_map(|line| line.strip_prefix("  "));
        let examples: Vec<&str> = lines.filter_map(|line| line.split_once("  ")).map(|(command, _)| command).collect();
        assert_eq!(examples.len(), 7, "{examples:?}");
        let quoted = COMMANDS.split('"').skip(1).step_by(2).filter(|it| it.starts_with(['@', 'o', 'r']));
        for command in examples.into_iter().chain(quoted) {
            assert!(Command::read(command).is_ok(), "{command:?}: {:?}", Command::read(command));
        }
        assert!(COMMANDS.lines().all(|line| line.len() <= 100), "it fits a terminal");
    }

    #[test]
    fn a_command_is_for_all_listeners_or_for_one() {
        let both = vec![Direction::ToServer, Direction::ToClient];
        let none = What::Order(Order::Set(both.clone(), Box::new(Impairments::NONE)));
        for (line, listener, what) in [
            ("set both none", None, none.clone()),
            ("  @dns \t set   both  none ", Some("dns"), none),
            ("outage 1.5s", None, What::Order(Order::Outage(Some(Duration::from_millis(1500))))),
            ("@a outage none", Some("a"), What::Order(Order::Outage(None))),
            ("release", None, What::Order(Order::Release(both))),
            ("release to_client", None, What::Order(Order::Release(vec![Direction::ToClient]))),
            ("stats prometheus", None, What::Order(Order::Metrics)),
        ] {
            let line = line.replace("\\t", "\t");
            assert_eq!(Command::read(&line), Ok(Command { listener: listener.map(ToOwned::to_owned), what }), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_reported_where_it_stands_in_the_line_with_what_was_expected() {
        for (line, position, expected) in [
            ("", 1, FIRST),
            ("sett both none", 1, FIRST),
            ("@dns", 5, COMMAND),
            ("@dns sett", 6, COMMAND),
            ("set", 4, DIRECTION),
            ("set both_ none", 5, DIRECTION),
            ("set to_client loss 30", 22, "`%`"),
            ("  @größe set both  loss 5%; delay 50", 37, "a unit of time such as ms"),
            ("outage", 7, DURATION),
            ("outage soon", 8, DURATION),
            ("outage 5", 9, "a unit of time such as ms"),
            ("outage 5s every 10s", 8, DURATION),
            ("outage 5s; loss 5%", 8, DURATION),
            ("outage none 5s", 13, "the end"),
            ("release now", 9, DIRECTION_OR_END),
            ("release both now", 14, "the end"),
            ("stats please", 7, "`prometheus` or the end"),
            ("stats prometheus 2", 18, "the end"),
            ("listeners all", 11, "the end"),
            ("set both rate trace /etc/passwd", 21, "`{`, as a command reads no file"),
        ] {
            let refusal = Command::read(line).unwrap_err();
            assert_eq!(refusal.place, Some((position, Some(expected.to_owned()))), "{line:?}: {refusal:?}");
            assert!(refusal.error.starts_with(&format!("at {position}: expected {expected}, found ")), "{refusal:?}");
        }
    }

    #[test]
    fn what_no_network_can_do_is_reported_with_its_place_too() {
        for (line, position) in [("set both loss 60% burst 1", 15), ("outage 0s", 8)] {
            let refusal = Command::read(line).unwrap_err();
            assert_eq!(refusal.place, Some((position, None)), "{line:?}: {refusal:?}");
        }
    }
}
