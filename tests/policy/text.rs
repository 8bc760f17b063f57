//! Policies as text: every policy has one that reads back equal, and what is no policy is refused, with the place.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::policy::{Backoff, Deviation, Jitter, LastWait, PolicyError, PolicyTextError, Preset};
use udp_retry::{RetryBudget, RetryPolicy, retry_policy};

use crate::exact::Settings;
use crate::generators;

#[test]
fn the_text_of_the_default_policy_is_the_one_of_the_documentation() {
    let text = "1s x2 max 60s jitter 1..1.5 5 transmissions deadline 30s";
    assert_eq!(RetryPolicy::default().to_string(), text);
    assert_eq!(parsed(text), RetryPolicy::default());
}

#[test]
fn every_preset_reads_back_by_its_text_and_by_its_name() {
    let texts: Vec<_> = Preset::ALL.iter().map(|preset| format!("{} = {}", preset.name, preset.policy)).collect();
    assert_eq!(
        texts,
        [
            "default = 1s x2 max 60s jitter 1..1.5 5 transmissions deadline 30s",
            "book = 100ms x2 max 2s 5 transmissions",
            "coap = 2s x2 max 48s jitter once 1..1.5 5 transmissions",
            "stun = 500ms x2 max 16s 7 transmissions last wait x16",
            "sip-invite = 500ms x2 max 32s 7 transmissions deadline 32s",
            "sip-non-invite = 500ms x2 max 4s 11 transmissions deadline 32s",
            "radius = 2s x2 max 17.6s jitter compounding 0.9..1.1 5 transmissions deadline 30s",
            "dhcpv6-solicit = 1s x2 max 3960s floor 1s jitter compounding 0.9..1.1 endless start delay 0s..1s",
            "dhcpv6-request = 1s x2 max 33s jitter compounding 0.9..1.1 10 transmissions",
            "dhcpv6-confirm = 1s x2 max 4.4s jitter compounding 0.9..1.1 endless deadline 10s start delay 0s..1s",
            "dhcpv6-renew = 10s x2 max 660s jitter compounding 0.9..1.1 endless",
            "dhcpv6-information-request = 1s x2 max 3960s jitter compounding 0.9..1.1 endless start delay 0s..1s",
            "dhcpv6-release = 1s x2 max 66s jitter compounding 0.9..1.1 4 transmissions",
            "dhcpv4 = 4s x2 max 65s jitter +-1s 5 transmissions",
            "bittorrent-tracker = 15s x2 max 3840s 9 transmissions",
            "dns = 2s x2 max 8s 3 transmissions",
        ]
    );
    for preset in Preset::ALL {
        assert_eq!(parsed(&preset.policy.to_string()), preset.policy, "{}", preset.name);
        assert_eq!(parsed(preset.name), preset.policy, "{}", preset.name);
    }
}

#[test]
fn the_page_of_the_presets_lists_each_with_its_source_and_its_text() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/policy/presets.rs")).unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("/// | `")).collect();
    let expected = Preset::ALL.iter();
    let expected =
        expected.map(|Preset { name, source, policy, .. }| format!("/// | `{name}` | {source} | `{policy}` |"));
    assert_eq!(rows, expected.collect::<Vec<_>>());
}

#[test]
fn what_a_text_leaves_out_is_as_new_has_it() {
    let year = Duration::from_nanos(u64::MAX);
    let doubling = Backoff::exponential(Duration::from_secs(1), year).unwrap();
    assert_eq!(parsed("1s"), RetryPolicy::new(doubling));
    assert_eq!(parsed("1s").to_string(), "1s x2 5 transmissions");
    // Intervals that do not grow need no maximum: it is what jitter makes of the first one.
    let constant = Backoff::constant(Duration::from_millis(100)).unwrap();
    assert_eq!(parsed("100ms x1"), RetryPolicy::new(constant));
    assert_eq!(RetryPolicy::new(constant).to_string(), "100ms x1 5 transmissions");
    let jittered = Backoff::exponential(Duration::from_millis(100), Duration::from_millis(150)).unwrap();
    let jittered = jittered.with_multiplier(1.0).unwrap().with_jitter(Jitter::UPWARD).unwrap();
    assert_eq!(parsed("100ms x1 jitter 1..1.5"), RetryPolicy::new(jittered));
}

#[test]
fn clauses_stand_in_any_order_between_any_blanks() {
    let all = "1s x3 max 90s floor 500ms jitter once 0.8..1.5 6 transmissions last wait x2 deadline 2min \
               start delay 1ms..2ms patience 1h";
    let shuffled = "  1s patience 3600s\tstart delay 1ms..2ms\nlast wait x2 6 transmissions deadline 120s jitter once \
                    0.8..1.5 floor 0.5s max 1.5min x3.0 ";
    assert_eq!(parsed(all), parsed(shuffled));
    let jitter = Jitter::once(0.8, 1.5).unwrap();
    let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(90))
        .and_then(|backoff| backoff.with_multiplier(3.0)?.with_jitter(jitter)?.with_floor(Duration::from_millis(500)))
        .unwrap();
    let policy = RetryPolicy::new(backoff)
        .with_max_transmissions(6)
        .and_then(|policy| policy.with_last_wait(LastWait::Initial(2)))
        .and_then(|policy| policy.with_deadline(Duration::from_secs(120)))
        .and_then(|policy| policy.with_start_delay(Duration::from_millis(1), Duration::from_millis(2)))
        .and_then(|policy| policy.with_patience(Duration::from_secs(3600)))
        .unwrap();
    assert_eq!(parsed(all), policy);
}

#[test]
fn a_preset_is_changed_by_the_clauses_behind_it() {
    let stun = Preset::named("stun").unwrap().policy;
    assert_eq!(parsed("stun deadline 10s"), stun.with_deadline(Duration::from_secs(10)).unwrap());
    assert_eq!(parsed("stun last wait next"), stun.with_last_wait(LastWait::Next).unwrap());
    assert_eq!(parsed("book jitter 0.5..1").backoff().jitter(), Jitter::EQUAL);
    assert_eq!(parsed("dhcpv6-renew 3 transmission").max_transmissions(), 3);
    assert_eq!(parsed("dns endless").max_transmissions(), u32::MAX);
}

#[test]
fn every_unit_of_time_is_read() {
    for (text, ns) in [
        ("1ns", 1),
        ("1.5us", 1500),
        ("2\u{b5}s", 2000),
        ("2\u{3bc}s", 2000),
        ("0.25ms", 250_000),
        ("1min", 60_000_000_000),
    ] {
        assert_eq!(parsed(text).backoff().initial(), Duration::from_nanos(ns), "{text}");
    }
    assert_eq!(parsed("1h").backoff().initial(), Duration::from_secs(3600));
}

#[test]
fn what_does_not_belong_is_refused_with_its_place() {
    let first = "a first wait such as 1s, or the name of a preset";
    let (time, unit) = ("a time such as 500ms", "a unit of time: h, min, s, ms, us or ns");
    let whole = "a whole number of nanoseconds, 584 years at most";
    let factors = "factors such as 1..1.5, nine decimals each";
    for (text, position, expected) in [
        ("", 1, first),
        ("  ", 3, first),
        ("nonesuch", 1, first),
        ("Dns", 1, first),
        ("x2 1s", 1, first),
        ("1", 2, unit),
        ("1 s", 2, unit),
        ("1sec", 2, unit),
        ("1s max", 7, time),
        ("1s max 60", 10, unit),
        ("1s max s", 8, time),
        ("1s max 0.0000000001s", 8, whole),
        ("600000000000000h", 1, whole),
        ("1.s", 1, whole),
        ("\u{b5}\u{b5} 1s", 1, first),
        ("1\u{b5}s max 2\u{b5}s floor 1\u{b5}", 20, unit),
        ("1s x", 5, "a factor such as 1.5, nine decimals"),
        ("1s x1.0000000001", 5, "a factor such as 1.5, nine decimals"),
        ("1s x-2", 5, "a factor such as 1.5, nine decimals"),
        ("1s jitter", 10, factors),
        ("1s jitter 1.5", 11, factors),
        ("1s jitter once", 15, factors),
        ("1s jitter ..1", 11, factors),
        ("1s jitter 1...5", 11, factors),
        ("1s jitter +-1", 14, unit),
        ("1s 5", 5, "`transmissions`"),
        ("1s 5 times", 6, "`transmissions`"),
        ("1s 1.5 transmissions", 4, "a number of transmissions, 4294967295 at most"),
        ("1s 4294967296 transmissions", 4, "a number of transmissions, 4294967295 at most"),
        ("1s last 5", 9, "`wait`"),
        ("1s last wait 5", 14, "`next`, or first waits such as x16"),
        ("1s last wait x4294967296", 14, "`next`, or first waits such as x16"),
        ("1s start 0s..1s", 10, "`delay`"),
        ("1s start delay 1s", 16, "times such as 0s..1s"),
        ("1s start delay 0..1s", 17, unit),
        ("1s x2 x2", 7, "each clause once"),
        ("1s endless 5 transmissions", 12, "each clause once"),
    ] {
        assert_eq!(text.parse::<RetryPolicy>(), Err(PolicyTextError::Unexpected { position, expected }), "{text}");
        assert_eq!(RetryPolicy::from_text(text).unwrap_err().expected(), expected);
    }
    let error = "1s deadlin 3s".parse::<RetryPolicy>().unwrap_err().to_string();
    assert!(error.starts_with("at 4: expected a clause such as x2, max 60s"), "{error}");
    assert!(error.ends_with("start delay 0s..1s or patience 60s"), "{error}");
}

#[test]
fn settings_that_break_a_rule_are_refused_with_the_rule_and_the_place() {
    let secs = Duration::from_secs;
    for (text, position, reason) in [
        ("0s", 1, PolicyError::ZeroInitial),
        ("2s max 1s", 8, PolicyError::MaxBelowInitial { initial: secs(2), max: secs(1) }),
        ("book x2 max 0s", 13, PolicyError::MaxBelowInitial { initial: secs(1) / 10, max: secs(0) }),
        ("1s x0.5", 5, PolicyError::MultiplierOutOfRange { multiplier: 0.5 }),
        ("1s x1000000001", 5, PolicyError::MultiplierOutOfRange { multiplier: 1_000_000_001.0 }),
        ("1s jitter 0..0", 11, PolicyError::JitterOutOfRange { lo: 0.0, hi: 0.0 }),
        ("1s jitter once 2..1", 16, PolicyError::JitterInverted { lo: 2.0, hi: 1.0 }),
        // 53 bits take these two for one.
        ("1s jitter 999999999.999999999..999999999.999999998", 11, PolicyError::JitterInverted { lo: 1e9, hi: 1e9 }),
        ("1s jitter 1..1000000000.000000001", 11, PolicyError::JitterOutOfRange { lo: 1.0, hi: 1e9 }),
        ("1s jitter 1..1.5 max 1s", 11, PolicyError::JitterTooWide { reaches: secs(3) / 2, max: secs(1) }),
        ("1s jitter compounding 1.1..2", 23, PolicyError::CompoundingOneSided { lo: 1.1, hi: 2.0 }),
        ("1s x1 jitter compounding 0.9..1.1", 14, PolicyError::CompoundingTooSlow { multiplier: 1.0, lo: 0.9 }),
        ("1s floor 2s", 10, PolicyError::FloorAboveInitial { floor: secs(2), initial: secs(1) }),
        ("1s 0 transmissions", 4, PolicyError::ZeroTransmissions),
        ("1s last wait x0", 14, PolicyError::ZeroLastWait),
        ("1s deadline 0s", 13, PolicyError::ZeroDeadline),
        ("1s patience 0s", 13, PolicyError::ZeroPatience),
        ("1s start delay 2s..1s", 16, PolicyError::StartDelayInverted { from: secs(2), to: secs(1) }),
    ] {
        let error = text.parse::<RetryPolicy>().unwrap_err();
        assert_eq!(error, PolicyTextError::Infeasible { position, reason }, "{text}");
        assert_eq!(error.to_string(), format!("at {position}: {reason}"));
        assert_ne!(error.expected(), "settings that break no rule", "{text}");
    }
}

#[test]
fn constants_are_read_by_the_compiler() {
    const OURS: RetryPolicy = retry_policy!("500ms x1.5 max 10s jitter 1..1.5 4 transmissions deadline 20s");
    static TRACKER: RetryPolicy = retry_policy!("bittorrent-tracker deadline 1h");
    assert_eq!(OURS, parsed("500ms x1.5 max 10s jitter 1..1.5 4 transmissions deadline 20s"));
    assert_eq!(TRACKER, parsed("bittorrent-tracker deadline 1h"));
    assert_eq!(retry_policy!("book"), RetryPolicy::LAN);
}

#[test]
fn debug_is_the_text_in_brackets() {
    let policy = RetryPolicy::default();
    assert_eq!(format!("{policy:?}"), "RetryPolicy(1s x2 max 60s jitter 1..1.5 5 transmissions deadline 30s)");
    assert_eq!(format!("{:?}", policy.backoff()), "Backoff(1s x2 max 60s jitter 1..1.5)");
    assert_eq!(format!("{:?} {:?}", Jitter::UPWARD, Jitter::NONE), "Jitter(1..1.5) Jitter(1..1)");
    let deviation = Jitter::plus_minus(Duration::from_micros(1500)).unwrap();
    assert_eq!(format!("{deviation:?} {}", Jitter::compounding(0.0, 1.0).unwrap()), "Jitter(+-1.5ms) compounding 0..1");
}

#[test]
fn a_budget_that_runs_dry_before_the_policy_is_warned_of_and_no_other() {
    let tight = |policy: &str, ratio, burst| {
        let budget = RetryBudget::new(ratio, burst, 0).unwrap();
        let added: Vec<_> = parsed(policy).deviations_with(&budget).skip(parsed(policy).deviations().count()).collect();
        let bearable_loss = budget.bearable_loss();
        assert!(added.is_empty() || added == [Deviation::TightBudget { bearable_loss }], "{added:?}");
        !added.is_empty()
    };
    // What is left of 100 requests if 0.3/1.3 of the attempts fail: 1.2 after three transmissions, 0.3 after four.
    assert_eq!(
        ["1s 3 transmissions", "1s 4 transmissions", "default"].map(|it| tight(it, 0.3, 10)),
        [false, true, true]
    );
    assert_eq!([0.6, 0.7].map(|ratio| tight("default", ratio, 10)), [true, false]);
    assert_eq!([1, 0].map(|burst| tight("default", 1e9, burst)), [false, true]);
    assert!(!tight("1s 1 transmission", 0.0, 10), "nothing is retried");
    let unlimited = RetryBudget::unlimited();
    assert!(parsed("default endless").deviations_with(&unlimited).eq(parsed("default endless").deviations()));

    let bears = [(0.3, 10, 3.0 / 13.0), (1.0, 10, 0.5), (0.0, 10, 0.0), (3.0, 1, 0.75), (3.0, 0, 0.0)];
    for (ratio, burst, expected) in bears {
        let bearable = RetryBudget::new(ratio, burst, 0).unwrap().bearable_loss();
        assert!((bearable - expected).abs() < 1e-9, "{ratio}: {bearable}");
    }
    assert_eq!(unlimited.bearable_loss(), 1.0);

    let (policy, budget) = (RetryPolicy::default(), RetryBudget::default());
    let words = format!("{}\n{}", policy.explain(), policy.deviations_with(&budget).last().unwrap());
    assert_eq!(policy.explain_with(&budget).to_string(), words);
    assert!(
        words.ends_with("only while at most 23% of the attempts fail; the policy alone would bear more"),
        "{words}"
    );
    assert_eq!(policy.explain_with(&unlimited).to_string(), policy.explain().to_string());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn every_policy_has_a_text_that_reads_back_equal(policy in policies()) {
        let text = policy.to_string();
        prop_assert_eq!(text.parse::<RetryPolicy>(), Ok(policy), "{}", text);
        prop_assert!(text.is_ascii() && text.len() < 300, "{}", text);
    }

    #[test]
    fn factors_of_any_precision_read_back_equal(multiplier in 1.0..1e9, lo in 0.0..1e3, width in 0.0..1e3) {
        let backoff = Backoff::exponential(Duration::from_nanos(5), Duration::from_nanos(u64::MAX))?
            .with_multiplier(multiplier)?
            .with_jitter(Jitter::between(lo, lo + width + 1e-9)?)?;
        let policy = RetryPolicy::new(backoff);
        prop_assert_eq!(policy.to_string().parse(), Ok(policy));
    }

    #[test]
    fn what_is_read_of_any_words_is_shown_so_that_it_reads_back(words in prop::collection::vec(prop::sample::select(WORDS), 0..12)) {
        let text = words.concat();
        match text.parse::<RetryPolicy>() {
            Ok(policy) => prop_assert_eq!(policy.to_string().parse(), Ok(policy), "{}", text),
            Err(PolicyTextError::Unexpected { position, .. } | PolicyTextError::Infeasible { position, .. }) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&position), "{} in {}", position, text);
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_characters_at_all_are_read_or_refused(text in "\\PC{0,40}") {
        if let Ok(policy) = text.parse::<RetryPolicy>() {
            prop_assert_eq!(policy.to_string().parse(), Ok(policy));
        }
    }
}

/// Of all kinds of backoff, with every other setting at its default, at an extreme, or anywhere.
fn policies() -> impl Strategy<Value = RetryPolicy> {
    let span = || prop::option::of(generators::span());
    let delays = prop::option::of((generators::span(), generators::span()));
    let counts = prop::option::of(prop_oneof![Just(1), Just(u32::MAX), 1..=u32::MAX]);
    (generators::settings(), counts.clone(), counts, span(), delays, span()).prop_filter_map(
        "a rule is broken",
        |(settings, transmissions, last_wait, deadline, delay, patience)| {
            build(&settings, transmissions, last_wait, deadline, delay, patience).ok()
        },
    )
}

fn build(
    settings: &Settings,
    transmissions: Option<u32>,
    last_wait: Option<u32>,
    deadline: Option<u64>,
    delay: Option<(u64, u64)>,
    patience: Option<u64>,
) -> Result<RetryPolicy, PolicyError> {
    let mut policy = RetryPolicy::new(settings.build()?);
    if let Some(transmissions) = transmissions {
        policy = policy.with_max_transmissions(transmissions)?;
    }
    if let Some(count) = last_wait {
        policy = policy.with_last_wait(LastWait::Initial(count))?;
    }
    if let Some(deadline) = deadline {
        policy = policy.with_deadline(Duration::from_nanos(deadline))?;
    }
    if let Some((a, b)) = delay {
        policy = policy.with_start_delay(Duration::from_nanos(a.min(b)), Duration::from_nanos(a.max(b)))?;
    }
    patience.map_or(Ok(policy), |patience| policy.with_patience(Duration::from_nanos(patience)))
}

#[track_caller]
fn parsed(text: &str) -> RetryPolicy {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

const WORDS: &[&str] = &[
    "1s",
    "2h",
    "0s",
    "1",
    "5",
    "1.5",
    "x",
    "x2",
    "x1",
    " ",
    " ",
    " ",
    " ",
    " max ",
    "floor",
    " jitter ",
    "once",
    "compounding",
    "0.9..1.1",
    "1..",
    "..",
    "+-",
    "\u{b1}",
    "ms",
    "endless",
    "transmissions",
    " last wait ",
    "next",
    " deadline ",
    " start delay ",
    "0s..1s",
    "patience",
    "dns",
    "book",
    "-",
    "\u{b5}s",
    "\u{fc}",
];

fn cases() -> u32 {
    std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}
