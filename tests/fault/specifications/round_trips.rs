//! Nothing is lost, and nothing breaks.

use std::fmt::Debug;
use std::str::FromStr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use udp_retry::fault::{Rule, Script, SpecError};
use udp_retry::{Impairments, Seed};

use super::anything::{impairments, scripts};
use super::{ns, parsed, points_into};

#[test]
fn megabytes_of_anything_are_read_or_refused_in_time_that_grows_with_them() {
    const MANY: usize = 10_000_000;
    for unit in ["1", "a", " ", ";", "{", ".", "\u{fc}", "\u{1f600}", "loss 1%;", "outage from 1s for 1s;", "script{"] {
        for prefix in ["", "loss ", "loss 5% burst ", "loss pattern ", "delay quantiles ", "rate ", "script { drop "] {
            let text = format!("{prefix}{}", unit.repeat(MANY / 10 / unit.len()));
            let (all, script) = (text.parse::<Impairments>(), text.parse::<Script>());
            assert!(all.is_err() && script.is_err(), "{prefix}{unit}…");
        }
    }
    assert!("9".repeat(MANY).parse::<Impairments>().is_err());
    assert!(format!("delay quantiles {}1s", "1s,".repeat(MANY / 3)).parse::<Impairments>().is_err());
    let full: Vec<String> = (0..65_536).map(|n| format!("{n}ns")).collect();
    assert_eq!(round_trip(&parsed(&format!("delay quantiles {}", full.join(",")))), Ok(()));
}

#[test]
fn a_script_of_a_million_rules_comes_back_from_its_text() {
    let rules = (1..=1_000_000_u64).map(|n| match n % 5 {
        0 => (n, Rule::Drop),
        1 => (n, Rule::Delay { by: ns(n * 7919) }),
        2 => (n, Rule::Refuse { limit: 1372 }),
        3 => (n, Rule::Truncate { copy: 0, to: (n % 1000) as u16 }),
        _ => (n, Rule::Corrupt { copy: 0, bit: n as u32 }),
    });
    let script = Script::new(rules).unwrap();
    assert_eq!(script.rules().len(), 1_000_000);
    assert_eq!(round_trip(&script), Ok(()));
    assert_eq!(round_trip(&Impairments::NONE.with_script(script)), Ok(()));
    let lost = Script::new((1..=1_000_000).map(|n| (n, Rule::Drop))).unwrap();
    assert_eq!(round_trip(&lost), Ok(()));
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn every_impairment_comes_back_from_its_text(all in impairments()) {
        round_trip(&all).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn every_script_comes_back_from_its_text(script in scripts()) {
        round_trip(&script).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn every_order_of_the_clauses_means_the_same(all in impairments(), mixed: u64) {
        // A script's own semicolons do not part clauses, and outages keep their order.
        let text = all.with_script(Script::EMPTY).to_string();
        let all = parsed(&text);
        // A script within a change is no clause of its own.
        prop_assume!(!text.contains("script"));
        let (outages, mut clauses): (Vec<_>, Vec<_>) = text.split("; ").partition(|it| it.starts_with("outage"));
        clauses.sort_by_key(|clause| Seed::new(mixed).draw(clause.bytes().map(u64::from).sum()));
        let other: Vec<_> = clauses.into_iter().chain(outages).collect();
        prop_assert_eq!(other.join(";").parse(), Ok(all));
    }

    #[test]
    fn no_text_whatever_breaks_it(text in any::<String>()) {
        read(&text)?;
    }

    #[test]
    fn no_heap_of_its_own_words_breaks_it(
        words in vec(select(&WORDS[..]), 0..40), between in vec(select(&["", " "][..]), 40)
    ) {
        let text: String = words.iter().zip(between).flat_map(|(word, blank)| [*word, blank]).collect();
        read(&text)?;
        read(&format!("script {{ {text}"))?;
    }

    #[test]
    fn no_slip_of_the_pen_breaks_it(
        all in impairments(), slips in vec((any::<Index>(), slip()), 1..4)
    ) {
        let mut text: Vec<char> = all.to_string().chars().collect();
        for (place, slip) in slips {
            let place = place.index(text.len() + 1);
            match slip {
                Slip::Insert(c) => text.insert(place, c),
                Slip::Cut => text.truncate(place),
                Slip::Remove if place < text.len() => drop(text.remove(place)),
                Slip::Replace(c) if place < text.len() => text[place] = c,
                Slip::Double if place < text.len() => text.extend_from_within(place..),
                _ => {}
            }
        }
        let text: String = text.into_iter().collect();
        read(&text)?;
        read(text.trim_start_matches("script {"))?;
    }

}

/// Parses, and checks what is said of what was read: a value comes back, an error points at what it found.
fn read(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Impairments>() {
        Ok(all) => round_trip(&all).map_err(TestCaseError::fail)?,
        Err(error) => points_into(text, &error)?,
    }
    match text.parse::<Script>() {
        Ok(script) => round_trip(&script).map_err(TestCaseError::fail),
        Err(error) => points_into(text, &error),
    }
}

fn round_trip<T: ToString + FromStr<Err = SpecError> + PartialEq + Debug>(value: &T) -> Result<(), String> {
    let text = value.to_string();
    let shorter = |text: &str| text.chars().take(2000).collect::<String>();
    match text.parse::<T>() {
        Ok(back) if back == *value && back.to_string() == text => Ok(()),
        Ok(back) => Err(format!("{} came back as {}", shorter(&text), shorter(&back.to_string()))),
        Err(error) => Err(format!("{}: {error}", shorter(&text))),
    }
}

#[derive(Clone, Copy, Debug)]
enum Slip {
    Insert(char),
    Remove,
    Replace(char),
    Cut,
    Double,
}

fn slip() -> impl Strategy<Value = Slip> {
    let chars =
        || prop_oneof![select(&['0', '9', '.', '%', ';', ',', '~', '{', '}', ' ', 's', 'm'][..]), any::<char>()];
    prop_oneof![
        chars().prop_map(Slip::Insert),
        Just(Slip::Remove),
        chars().prop_map(Slip::Replace),
        Just(Slip::Cut),
        Just(Slip::Double),
    ]
}

fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: u32::MAX, ..ProptestConfig::default() }
}

const WORDS: [&str; 68] = [
    "none",
    "script",
    "outage",
    "headers",
    "mtu",
    "rate",
    "loss",
    "duplicate",
    "truncate",
    "corrupt",
    "delay",
    "reorder",
    "dose",
    "drops",
    "burst",
    "correlation",
    "p",
    "r",
    "good",
    "bad",
    "exactly",
    "of",
    "pattern",
    "unordered",
    "normal",
    "exponential",
    "quantiles",
    "queue",
    "datagrams",
    "error",
    "late",
    "to",
    "bits",
    "by",
    "from",
    "for",
    "every",
    "at",
    "repeat",
    "trace",
    "\"",
    "drop",
    "refuse",
    "above",
    "after",
    "bit",
    "{",
    "}",
    ";",
    ",",
    "~",
    "%",
    "0",
    "1",
    "7.1",
    "0100",
    "5%",
    "10ms",
    "2s",
    "10mbit",
    "64kB",
    "\u{b5}s",
    "-",
    "1e9",
    "99999999999999999999",
    "\u{fc}",
    "\u{0}",
    "\n",
];
