//! Impairments and scripts as text: what each clause means, what is refused and where, and that nothing is lost on
//! the way to text and back.
//!
//! `UDP_RETRY_CASES` sets the cases of each random property; the default is 256.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Duplicate, GilbertElliott, Infeasible, LossModel, MtuClamp, Outage,
    Oversize, Profile, QueueLimit, Reorder, Rule, Script, SpecError, Truncate,
};
use udp_retry::size::Pmtu;
use udp_retry::{Impairments, Probability, Seed};

// What it means.

#[test]
fn one_line_of_text_sets_every_knob_to_its_value() {
    let text = "loss 5% burst 3; delay 50ms ~10ms; rate 10mbit queue 100ms; duplicate 1%; corrupt 0.1%; mtu 1400; \
                reorder 2% by 30ms";
    let all: Impairments = text.parse().unwrap();
    let chain = GilbertElliott::with_mean_burst(percent(5), 3.0).unwrap();
    assert_eq!(*all.loss_model(), LossModel::GilbertElliott(chain));
    assert!((all.loss_model().stationary_loss() - 0.05).abs() < 1e-12);
    assert!((all.loss_model().mean_burst() - 3.0).abs() < 1e-12);
    let delay = all.delay().unwrap();
    assert_eq!(*delay.law(), DelayLaw::uniform(ms(50), ms(10)).unwrap());
    assert_eq!((delay.correlation(), delay.is_unordered()), (Probability::ZERO, false));
    let hop = all.bottleneck().unwrap();
    assert_eq!((hop.rate(), hop.queue()), (10_000_000, QueueLimit::Time(ms(100))));
    let duplicate = all.duplicate().unwrap();
    assert_eq!((duplicate.probability(), duplicate.lateness()), (percent(1), None));
    let corrupt = all.corrupt().unwrap();
    assert_eq!((corrupt.probability(), corrupt.bit_count()), (Probability::ratio(1, 1000).unwrap(), 1));
    let mtu = all.mtu().unwrap();
    assert_eq!((mtu.pmtu(), mtu.oversize()), (Pmtu::new(1400), Oversize::Drop));
    let reorder = all.reorder().unwrap();
    assert_eq!((reorder.probability(), reorder.by()), (percent(2), ms(30)));
    assert_eq!((all.headers(), all.outages(), all.script(), all.truncate()), (28, &[][..], &Script::EMPTY, None));
    assert_eq!(
        all.to_string(),
        "mtu 1400; rate 10mbit queue 100ms; loss 5% burst 3; duplicate 1%; corrupt 0.1%; delay 50ms ~10ms; \
         reorder 2% by 30ms"
    );
}

#[test]
fn nothing_at_all_is_none() {
    assert_eq!("none".parse(), Ok(Impairments::NONE));
    assert_eq!(" none\n".parse(), Ok(Impairments::NONE));
    assert_eq!(Impairments::NONE.to_string(), "none");
    assert_eq!("none".parse(), Ok(Script::EMPTY));
    assert_eq!(Script::EMPTY.to_string(), "none");
    for nothing in ["loss 0%", "headers 28", "script { none }", "script{none};loss 0%;"] {
        assert_eq!(nothing.parse(), Ok(Impairments::NONE), "{nothing}");
    }
}

#[test]
fn each_loss_is_the_model_that_it_names() {
    let chain = |chain: Result<GilbertElliott, _>| LossModel::GilbertElliott(chain.unwrap());
    let (zero, one, thousandth) = (Probability::ZERO, Probability::ONE, Probability::ratio(1, 1000).unwrap());
    let transitions = |good, bad| chain(GilbertElliott::new(percent(1), percent(20), good, bad));
    for (text, model) in [
        ("5%", LossModel::Bernoulli(percent(5))),
        ("33.333%", LossModel::Bernoulli(Probability::ratio(33_333, 100_000).unwrap())),
        ("100%", LossModel::Bernoulli(one)),
        ("5% burst 3", LossModel::bursts(percent(5), 3.0).unwrap()),
        ("5% burst 1.5", LossModel::bursts(percent(5), 1.5).unwrap()),
        ("5% burst 1000000000", LossModel::bursts(percent(5), 1e9).unwrap()),
        ("5% correlation 25%", chain(GilbertElliott::with_correlation(percent(5), percent(25)))),
        ("5% correlation 0%", chain(GilbertElliott::with_correlation(percent(5), zero))),
        ("p 1% r 20%", transitions(zero, one)),
        ("p 1% r 20% good 0.1%", transitions(thousandth, one)),
        ("p 1% r 20% bad 90%", transitions(zero, percent(90))),
        ("p 1% r 20% good 0.1% bad 90%", transitions(thousandth, percent(90))),
        ("exactly 3 of 10", LossModel::exactly(3, 10).unwrap()),
        ("exactly 0 of 4294967295", LossModel::exactly(0, u32::MAX).unwrap()),
        ("pattern 0100", LossModel::pattern(&[false, true, false, false]).unwrap()),
        ("pattern 1", LossModel::pattern(&[true]).unwrap()),
    ] {
        let text = format!("loss {text}");
        let all: Impairments = text.parse().unwrap();
        assert_eq!(*all.loss_model(), model, "{text}");
        assert_eq!(all, Impairments::NONE.with_loss(model), "{text}: something else too");
        assert_eq!(all.to_string(), text);
    }
    let LossModel::GilbertElliott(chain) = *parsed("loss p 1% r 20% good 0.1% bad 90%").loss_model() else { panic!() };
    assert_eq!((chain.p(), chain.r()), (percent(1), percent(20)));
    assert_eq!((chain.loss_in_good(), chain.loss_in_bad()), (thousandth, percent(90)));
}

#[test]
fn each_delay_is_the_law_that_it_names() {
    let law = |law: Result<DelayLaw, _>| DelayModel::new(law.unwrap());
    let table = [ms(10), ms(12), ms(80)];
    for (text, model) in [
        ("50ms", law(DelayLaw::fixed(ms(50)))),
        ("0ms", law(DelayLaw::fixed(ms(0)))),
        ("50ms unordered", law(DelayLaw::fixed(ms(50))).unordered()),
        ("50ms ~10ms", law(DelayLaw::uniform(ms(50), ms(10)))),
        ("50ms ~0ms", law(DelayLaw::uniform(ms(50), ms(0)))),
        ("50ms normal 10ms", law(DelayLaw::normal(ms(50), ms(10)))),
        ("50ms exponential 20ms", law(DelayLaw::exponential(ms(50), ms(20)))),
        ("quantiles 10ms,12ms,80ms", law(DelayLaw::measured(&table))),
        ("50ms ~10ms correlation 25%", law(DelayLaw::uniform(ms(50), ms(10))).correlated(percent(25)).unwrap()),
        ("50ms normal 10ms unordered", law(DelayLaw::normal(ms(50), ms(10))).unordered()),
        (
            "quantiles 10ms,12ms,80ms correlation 99% unordered",
            law(DelayLaw::measured(&table)).correlated(percent(99)).unwrap().unordered(),
        ),
    ] {
        let text = format!("delay {text}");
        let all = parsed(&text);
        assert_eq!(all, Impairments::NONE.with_delay(model), "{text}");
        assert_eq!(all.to_string(), text);
    }
    assert_eq!(parsed("delay 1s ~1s unordered correlation 5%"), parsed("delay 1s ~1s correlation 5% unordered"));
    assert_eq!(parsed("delay 1s correlation 0%").to_string(), "delay 1s");
    assert_eq!(parsed("delay quantiles 3s , 1s,2s").to_string(), "delay quantiles 1s,2s,3s");
}

#[test]
fn each_other_clause_is_the_value_that_it_names() {
    let none = || Impairments::NONE;
    let hop = |rate, queue| none().with_bottleneck(Bottleneck::new(rate, queue).unwrap());
    let mtu = |oversize| none().with_mtu(MtuClamp::new(Pmtu::new(1400), oversize));
    let late = |law: Result<DelayLaw, _>| none().with_duplicate(Duplicate::new(percent(1)).late(law.unwrap()));
    let outage = Outage::new(secs(10), ms(200)).unwrap();
    for (text, all) in [
        ("rate 10mbit queue 100ms", hop(10_000_000, QueueLimit::Time(ms(100)))),
        ("rate 56kbit queue 64kB", hop(56_000, QueueLimit::Bytes(64_000))),
        ("rate 1gbit queue 1.5kB", hop(1_000_000_000, QueueLimit::Bytes(1500))),
        ("rate 1bit queue 25 datagrams", hop(1, QueueLimit::Datagrams(25))),
        ("rate 1.5mbit queue 0 datagrams", hop(1_500_000, QueueLimit::Datagrams(0))),
        ("rate 9.6kbit queue 0B", hop(9600, QueueLimit::Bytes(0))),
        ("rate 9.6kbit queue 0ms", hop(9600, QueueLimit::Time(ms(0)))),
        ("headers 48", none().with_headers(48)),
        ("headers 0", none().with_headers(0)),
        ("mtu 1400", mtu(Oversize::Drop)),
        ("mtu 1400 error", mtu(Oversize::Error)),
        ("mtu 1400 truncate", mtu(Oversize::Truncate)),
        ("duplicate 1%", none().with_duplicate(Duplicate::new(percent(1)))),
        ("duplicate 1% late 2s", late(DelayLaw::fixed(secs(2)))),
        ("duplicate 1% late 2s ~1s", late(DelayLaw::uniform(secs(2), secs(1)))),
        ("duplicate 1% late 2s exponential 1s", late(DelayLaw::exponential(secs(2), secs(1)))),
        ("duplicate 1% late quantiles 1s,2s", late(DelayLaw::measured(&[secs(1), secs(2)]))),
        ("truncate 0.5%", none().with_truncate(Truncate::new(Probability::ratio(5, 1000).unwrap()))),
        ("truncate 1% to 100", none().with_truncate(Truncate::new(percent(1)).to(100))),
        ("truncate 0%", none().with_truncate(Truncate::new(percent(0)))),
        ("corrupt 1%", none().with_corrupt(Corrupt::new(percent(1)))),
        ("corrupt 1% bits 3", none().with_corrupt(Corrupt::new(percent(1)).bits(3).unwrap())),
        ("reorder 2% by 30ms", none().with_reorder(Reorder::new(percent(2), ms(30)).unwrap())),
        ("outage from 10s for 200ms", none().with_outage(outage).unwrap()),
        ("outage from 10s for 200ms every 15s", none().with_outage(outage.every(secs(15)).unwrap()).unwrap()),
        (
            "outage from 10s for 200ms; outage from 0ms for 1ns",
            none().with_outage(outage).unwrap().with_outage(Outage::new(ms(0), ns(1)).unwrap()).unwrap(),
        ),
        ("script { drop 1,3 }", none().with_script(Script::new([(1, Rule::Drop), (3, Rule::Drop)]).unwrap())),
    ] {
        assert_eq!(parsed(text), all, "{text}");
        assert_eq!(all.to_string(), text);
    }
    assert_eq!(parsed("rate 10mbit"), parsed("rate 10mbit queue 100ms"));
    assert_eq!(parsed("corrupt 1% bits 1"), parsed("corrupt 1%"));
}

#[test]
fn each_rule_of_a_script_is_the_one_that_it_names() {
    let text = "drop 1,3; duplicate 5 after 2s; delay 7 by 200ms; truncate 4 to 100; corrupt 9 bit 13; \
                refuse 6 above 1372; duplicate 8,8 after 1ms; corrupt 8.1,8.2,10.0 bit 0; truncate 8.2 to 0";
    let rules = [
        (1, Rule::Drop),
        (3, Rule::Drop),
        (4, Rule::Truncate { copy: 0, to: 100 }),
        (5, Rule::Duplicate { after: secs(2) }),
        (6, Rule::Refuse { limit: 1372 }),
        (7, Rule::Delay { by: ms(200) }),
        (8, Rule::Duplicate { after: ms(1) }),
        (8, Rule::Duplicate { after: ms(1) }),
        (8, Rule::Truncate { copy: 2, to: 0 }),
        (8, Rule::Corrupt { copy: 1, bit: 0 }),
        (8, Rule::Corrupt { copy: 2, bit: 0 }),
        (9, Rule::Corrupt { copy: 0, bit: 13 }),
        (10, Rule::Corrupt { copy: 0, bit: 0 }),
    ];
    let script: Script = text.parse().unwrap();
    assert_eq!(script.rules(), rules);
    let shown = "drop 1,3; truncate 4 to 100; duplicate 5 after 2s; refuse 6 above 1372; delay 7 by 200ms; \
                 duplicate 8,8 after 1ms; truncate 8.2 to 0; corrupt 8.1,8.2 bit 0; corrupt 9 bit 13; corrupt 10 bit 0";
    assert_eq!(script.to_string(), shown);
    let all = parsed(&format!("loss 1%; script {{ {text} }}; mtu 1400"));
    assert_eq!(*all.script(), script);
    assert_eq!(all.to_string(), format!("script {{ {shown} }}; mtu 1400; loss 1%"));
}

#[test]
fn units_are_those_of_the_trade() {
    for (text, time) in [
        ("7ns", ns(7)),
        ("7us", ns(7_000)),
        ("7\u{b5}s", ns(7_000)),
        ("7\u{3bc}s", ns(7_000)),
        ("7ms", ms(7)),
        ("7s", secs(7)),
        ("7min", secs(420)),
        ("7h", secs(25_200)),
        ("0.25us", ns(250)),
        ("1.000000001s", ns(1_000_000_001)),
        ("1.5 min", secs(90)),
        ("0000.50s", ms(500)),
        ("18446744073.709551615s", ns(u64::MAX)),
    ] {
        let law = DelayLaw::fixed(time).unwrap();
        assert_eq!(parsed(&format!("delay {text}")), Impairments::NONE.with_delay(DelayModel::new(law)), "{text}");
    }
    for (text, rate) in [
        ("7bit", 7),
        ("7kbit", 7_000),
        ("7mbit", 7_000_000),
        ("7gbit", 7_000_000_000),
        ("0.5kbit", 500),
        ("18446744073709551615bit", u64::MAX),
    ] {
        assert_eq!(parsed(&format!("rate {text}")).bottleneck().unwrap().rate(), rate, "{text}");
    }
    for (text, bytes) in [
        ("7B", 7),
        ("7kB", 7_000),
        ("7MB", 7_000_000),
        ("7GB", 7_000_000_000),
        ("7KiB", 7 << 10),
        ("7MiB", 7 << 20),
        ("7GiB", 7 << 30),
        ("0.5KiB", 512),
        ("18446744073709551615B", u64::MAX),
    ] {
        let hop = parsed(&format!("rate 1mbit queue {text}"));
        assert_eq!(hop.bottleneck().unwrap().queue(), QueueLimit::Bytes(bytes), "{text}");
    }
}

#[test]
fn quantities_are_shown_in_the_largest_unit_of_which_there_is_one() {
    for (text, shown) in [
        ("delay 0h", "delay 0ms"),
        ("delay 999ns", "delay 999ns"),
        ("delay 1000ns", "delay 1us"),
        ("delay 100us", "delay 100us"),
        ("delay 2500ms ~2500ms", "delay 2.5s ~2.5s"),
        ("delay 1h", "delay 3600s"),
        ("delay 1.000001ms", "delay 1.000001ms"),
        ("rate 999999bit", "rate 999.999kbit queue 100ms"),
        ("rate 1000000kbit", "rate 1gbit queue 100ms"),
        ("rate 1bit queue 64KiB", "rate 1bit queue 65.536kB"),
        ("rate 1bit queue 2GiB", "rate 1bit queue 2.147483648GB"),
    ] {
        assert_eq!(parsed(text).to_string(), shown);
    }
}

#[test]
fn neither_order_nor_blanks_nor_a_last_semicolon_matter() {
    let plain =
        parsed("script { drop 1,2; delay 3 by 5ms }; mtu 1400 error; rate 1mbit queue 5ms; loss 5%; delay 50ms ~10ms");
    for text in [
        "delay 50ms ~10ms; loss 5%; rate 1mbit queue 5ms; mtu 1400 error; script { delay 3 by 5ms; drop 2,1 }",
        "script{drop 1,2;delay 3 by 5ms};mtu 1400 error;rate 1mbit queue 5ms;loss 5%;delay 50ms~10ms;",
        "\n script {\n\tdrop 1 , 2 ;\n\tdelay 3 by 5 ms ;\n}\n;\nmtu 1400\terror;rate 1 mbit queue 5 ms;\r\nloss 5 % ; \
         delay 50 ms ~ 10 ms ;\n",
    ] {
        assert_eq!(parsed(text), plain, "{text}");
    }
}

#[test]
fn the_named_profiles_are_shown_as_they_are_written() {
    for name in Profile::NAMES {
        let profile = Profile::named(name).unwrap_or_else(|| panic!("{name}"));
        for all in [&profile.to_server, &profile.to_client] {
            assert_eq!(parsed(&all.to_string()), *all, "{name}");
        }
    }
    assert_eq!(
        Profile::named("evil").unwrap().to_server.to_string(),
        "loss 20% burst 4; duplicate 10% late 2.5s ~2.5s; truncate 0.5%; corrupt 1%; delay 0ms exponential 50ms; \
         reorder 10% by 100ms"
    );
}

// What is refused.

#[test]
fn what_is_no_specification_is_refused_where_it_goes_wrong() {
    assert_refused::<Impairments>(&REFUSED);
}

#[test]
fn what_is_no_script_is_refused_where_it_goes_wrong() {
    assert_refused::<Script>(&REFUSED_SCRIPTS);
}

#[test]
fn what_no_network_can_do_is_refused_with_the_reason() {
    let mean_burst = 0.5;
    for (text, at, why) in [
        ("loss 5% burst 0.5", 6, Infeasible::BurstTooShort { loss: percent(5), mean_burst, least: 1.0 }),
        ("loss 5% burst 1000000001", 6, Infeasible::BurstTooLong { mean_burst: 1_000_000_001.0, most: 1e9 }),
        ("mtu 1;  loss 100% burst 0.5", 14, Infeasible::CertainLossInBursts { mean_burst }),
        ("loss p 0% r 0%", 6, Infeasible::FrozenChain),
        ("loss 5% correlation 100%", 6, Infeasible::CertainCorrelation),
        ("loss exactly 11 of 10", 6, Infeasible::MoreThanTheBlock { drops: 11, of: 10 }),
        ("loss exactly 0 of 0", 6, Infeasible::EmptyBlock),
        (&format!("loss pattern {}", "01".repeat(33)), 6, Infeasible::PatternLength { places: 66, nearest: 64 }),
        ("delay 10ms ~11ms", 7, Infeasible::JitterAboveDelay { mean: ms(10), jitter: ms(11) }),
        ("duplicate 1% late 10ms ~11ms", 11, Infeasible::JitterAboveDelay { mean: ms(10), jitter: ms(11) }),
        (
            "delay 10000000000s exponential 10000000000s",
            7,
            Infeasible::DurationTooLong { duration: secs(20_000_000_000), most: ns(u64::MAX) },
        ),
        ("delay quantiles 1ms", 7, Infeasible::TableLength { quantiles: 1, nearest: 2 }),
        ("delay 10ms correlation 5%", 7, Infeasible::CorrelationOfAConstant),
        ("delay 10ms ~1ms correlation 100%", 7, Infeasible::CertainCorrelation),
        ("rate 0mbit", 6, Infeasible::ZeroRate),
        ("rate 1bit queue 65537 datagrams", 6, Infeasible::QueueTooLong { datagrams: 65_537, most: 65_536 }),
        ("corrupt 1% bits 0", 9, Infeasible::BitCount { bits: 0, nearest: 1 }),
        ("corrupt 1% bits 9", 9, Infeasible::BitCount { bits: 9, nearest: 8 }),
        ("reorder 1% by 0s", 9, Infeasible::HoldOfNothing),
        ("outage from 1s for 0s", 8, Infeasible::EmptyOutage),
        (
            "outage from 1s for 2s every 2s",
            8,
            Infeasible::EndlessOutage { lasting: secs(2), every: secs(2), most: ns(1_999_999_999) },
        ),
        (&"outage from 1s for 1s;".repeat(65), 1416, Infeasible::TooManyOutages { most: 64 }),
        ("script { drop 1,0 }", 17, Infeasible::NoDatagramZero),
        ("script { corrupt 0.1 bit 7 }", 18, Infeasible::NoDatagramZero),
        ("script { drop 1,2; drop 3; delay 2 by 1s; drop 2,9 }", 48, Infeasible::RulesAtOdds { number: 2 }),
        ("script { corrupt 7.1 bit 1 }", 18, Infeasible::RulesAtOdds { number: 7 }),
        ("loss 1%; mtu 9; script { delay 5 by 1\u{b5}s; delay 5 by 1s }", 48, Infeasible::RulesAtOdds { number: 5 }),
    ] {
        let error = text.parse::<Impairments>().unwrap_err();
        assert_eq!(error, SpecError::Infeasible { position: at, reason: why }, "{text}");
        assert_eq!(error.to_string(), format!("at {at}: {why}"));
    }
    let error = "drop 5; drop 5; delay 5 by 0s".parse::<Script>().unwrap_err();
    assert_eq!(error, SpecError::Infeasible { position: 23, reason: Infeasible::RulesAtOdds { number: 5 } });
}

#[test]
fn a_long_strange_word_is_told_by_its_beginning() {
    let error = "\u{fc}".repeat(100).parse::<Impairments>().unwrap_err();
    let SpecError::Unexpected { position: 1, found, .. } = error else { panic!("{error}") };
    assert_eq!(found, "\u{fc}".repeat(40));
}

// Nothing is lost, and nothing breaks.

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

fn points_into(text: &str, error: &SpecError) -> Result<(), TestCaseError> {
    let chars = text.chars().count();
    match error {
        SpecError::Unexpected { position, expected, found } => {
            prop_assert!((1..=chars + 1).contains(position), "{text:?}: {error}");
            let rest: String = text.chars().skip(position - 1).collect();
            prop_assert!(rest.starts_with(found), "{text:?}: {error}");
            prop_assert_eq!(found.is_empty(), rest.is_empty(), "{:?}: {}", text, error);
            prop_assert!(!expected.is_empty());
        }
        SpecError::Infeasible { position, .. } => prop_assert!((1..=chars).contains(position), "{text:?}: {error}"),
        _ => prop_assert!(false, "{error}"),
    }
    Ok(())
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

#[track_caller]
fn assert_refused<T: FromStr<Err = SpecError> + Debug>(table: &[(&str, &'static str, &str)]) {
    for &(marked, expected, found) in table {
        let (before, behind) = marked.split_once('^').unwrap();
        let (text, position) = (format!("{before}{behind}"), before.chars().count() + 1);
        let error = text.parse::<T>().unwrap_err();
        assert_eq!(error, SpecError::Unexpected { position, expected, found: found.to_owned() }, "{marked}");
        let shown = if found.is_empty() { "the end".to_owned() } else { format!("{found:?}") };
        assert_eq!(error.to_string(), format!("at {position}: expected {expected}, found {shown}"));
    }
}

#[track_caller]
fn parsed(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

// Everything that can be constructed.

fn impairments() -> impl Strategy<Value = Impairments> {
    let maybe_script = prop_oneof![3 => Just(Script::EMPTY), 1 => scripts()];
    let first = (maybe_script, vec(outages(), 0..5), headers(), maybe(mtus()), maybe(bottlenecks()), losses());
    let second = (maybe(duplicates()), maybe(truncates()), maybe(corrupts()), maybe(delays()), maybe(reorders()));
    (first, second).prop_map(|((script, outages, headers, mtu, hop, loss), (twice, cut, flip, delay, hold))| {
        let mut all = Impairments::NONE.with_script(script).with_headers(headers).with_loss(loss);
        all = outages.into_iter().fold(all, |all, outage| all.with_outage(outage).unwrap());
        all = mtu.into_iter().fold(all, Impairments::with_mtu);
        all = hop.into_iter().fold(all, Impairments::with_bottleneck);
        all = twice.into_iter().fold(all, Impairments::with_duplicate);
        all = cut.into_iter().fold(all, Impairments::with_truncate);
        all = flip.into_iter().fold(all, Impairments::with_corrupt);
        all = delay.into_iter().fold(all, Impairments::with_delay);
        hold.into_iter().fold(all, Impairments::with_reorder)
    })
}

fn maybe<S: Strategy>(inner: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    proptest::option::of(inner)
}

fn losses() -> impl Strategy<Value = LossModel> {
    let chain = |chain: Option<GilbertElliott>| chain.map(LossModel::GilbertElliott);
    prop_oneof![
        Just(LossModel::NONE),
        probabilities().prop_map(LossModel::Bernoulli),
        (probabilities(), bursts())
            .prop_filter_map("bursts too short", |(loss, burst)| { LossModel::bursts(loss, burst).ok() }),
        (probabilities(), probabilities()).prop_filter_map("frozen", move |(loss, correlation)| {
            chain(GilbertElliott::with_correlation(loss, correlation).ok())
        }),
        (probabilities(), probabilities(), probabilities(), probabilities())
            .prop_filter_map("frozen", move |(p, r, good, bad)| chain(GilbertElliott::new(p, r, good, bad).ok())),
        (words32(), words32()).prop_filter_map("empty", |(a, b)| LossModel::exactly(a.min(b), a.max(b)).ok()),
        vec(any::<bool>(), 1..=64).prop_map(|lost| LossModel::pattern(&lost).unwrap()),
    ]
}

fn laws() -> impl Strategy<Value = DelayLaw> {
    prop_oneof![
        times().prop_map(|time| DelayLaw::fixed(time).unwrap()),
        (times(), times()).prop_filter_map("too long", |(a, b)| DelayLaw::uniform(a.max(b), a.min(b)).ok()),
        (times(), times()).prop_map(|(mean, sigma)| DelayLaw::normal(mean, sigma).unwrap()),
        (times(), times()).prop_filter_map("too long", |(least, tail)| DelayLaw::exponential(least, tail).ok()),
        vec(times(), 2..20).prop_map(|table| DelayLaw::measured(&table).unwrap()),
    ]
}

fn delays() -> impl Strategy<Value = DelayModel> {
    (laws(), maybe(probabilities()), any::<bool>()).prop_map(|(law, correlation, unordered)| {
        let plain = DelayModel::new(law);
        let model = correlation.and_then(|it| plain.clone().correlated(it).ok()).unwrap_or(plain);
        if unordered { model.unordered() } else { model }
    })
}

fn bottlenecks() -> impl Strategy<Value = Bottleneck> {
    let queues = prop_oneof![
        words64().prop_map(QueueLimit::Bytes),
        times().prop_map(QueueLimit::Time),
        prop_oneof![Just(65_536), 0..100_u32].prop_map(QueueLimit::Datagrams),
    ];
    (words64(), queues).prop_filter_map("infeasible", |(rate, queue)| Bottleneck::new(rate, queue).ok())
}

fn outages() -> impl Strategy<Value = Outage> {
    (times(), times(), maybe(times())).prop_filter_map("infeasible", |(from, lasting, every)| {
        let once = Outage::new(from, lasting).ok()?;
        every.map_or(Some(once), |every| once.every(every).ok())
    })
}

fn duplicates() -> impl Strategy<Value = Duplicate> {
    (probabilities(), maybe(laws())).prop_map(|(probability, law)| {
        law.into_iter().fold(Duplicate::new(probability), |duplicate, law| duplicate.late(law))
    })
}

fn truncates() -> impl Strategy<Value = Truncate> {
    (probabilities(), maybe(any::<u16>()))
        .prop_map(|(probability, to)| to.into_iter().fold(Truncate::new(probability), |truncate, to| truncate.to(to)))
}

fn corrupts() -> impl Strategy<Value = Corrupt> {
    (probabilities(), 1..=8_u8).prop_map(|(probability, bits)| Corrupt::new(probability).bits(bits).unwrap())
}

fn reorders() -> impl Strategy<Value = Reorder> {
    (probabilities(), times()).prop_filter_map("no hold", |(probability, by)| Reorder::new(probability, by).ok())
}

fn mtus() -> impl Strategy<Value = MtuClamp> {
    let oversize = select(&[Oversize::Drop, Oversize::Error, Oversize::Truncate][..]);
    (words32(), oversize).prop_map(|(pmtu, oversize)| MtuClamp::new(Pmtu::new(pmtu), oversize))
}

fn headers() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(28), 1 => words32()]
}

/// Every step of 2⁻⁶³ can come, and the ends often do.
fn probabilities() -> impl Strategy<Value = Probability> {
    let steps = |steps| Probability::ratio(steps, 1 << 63).unwrap();
    prop_oneof![
        select(&[Probability::ZERO, Probability::ONE, Probability::HALF][..]),
        select(&[1, 2, 3, (1 << 63) - 1, (1 << 62) + 1][..]).prop_map(steps),
        (0..=1000_u64).prop_map(|n| Probability::ratio(n, 1000).unwrap()),
        (0..=1_u64 << 63).prop_map(steps),
        (0..=1_u64 << 63, 0..63_u32).prop_map(move |(any, shift)| steps(any >> shift)),
    ]
}

fn bursts() -> impl Strategy<Value = f64> {
    let ends = select(&[1.0, 1.0 + f64::EPSILON, 1e9, 999_999_999.999_999_9, 3.0, 1e7, 1e8, 0.1 + 1.0][..]);
    prop_oneof![ends, 1.0..10.0, (0.0..9.0_f64).prop_map(|exponent| 10_f64.powf(exponent))]
}

fn times() -> impl Strategy<Value = Duration> {
    words64().prop_map(ns)
}

/// Of all magnitudes, round and not.
fn words64() -> impl Strategy<Value = u64> {
    prop_oneof![
        select(&[0, 1, u64::MAX, u64::MAX - 1, 1 << 63][..]),
        (0..20_u32, 0..10_u64).prop_map(|(zeros, digit)| digit.saturating_mul(10_u64.saturating_pow(zeros))),
        (any::<u64>(), 0..64_u32).prop_map(|(any, shift)| any >> shift),
        (0..5000_u64).prop_map(|n| n * 1_000_000),
    ]
}

fn words32() -> impl Strategy<Value = u32> {
    prop_oneof![
        select(&[0, 1, 28, 1400, u32::MAX][..]),
        (any::<u32>(), 0..32_u32).prop_map(|(any, shift)| any >> shift)
    ]
}

fn scripts() -> impl Strategy<Value = Script> {
    let numbers = prop_oneof![1..30_u64, words64().prop_map(|n| n.max(1))];
    btree_map(numbers, rules(), 0..20).prop_map(|all| {
        Script::new(all.into_iter().flat_map(|(n, rules)| rules.into_iter().map(move |rule| (n, rule)))).unwrap()
    })
}

/// All of one datagram.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let times = || prop_oneof![select(vec![ms(0), ms(200), secs(2)]), times()];
    let cuts = vec(maybe(select(&[0, 100, 1400, u16::MAX][..])), 3);
    let flips = vec(vec(prop_oneof![0..16_u32, any::<u32>()], 0..=8), 3);
    prop_oneof![
        3 => Just(vec![Rule::Drop]),
        1 => any::<u16>().prop_map(|limit| vec![Rule::Refuse { limit }]),
        4 => (maybe(times()), vec(times(), 0..=2), cuts, flips).prop_map(|(delay, copies, cuts, flips)| {
            let made = copies.len() + 1;
            let mut rules: Vec<_> = delay.into_iter().map(|by| Rule::Delay { by }).collect();
            rules.extend(copies.into_iter().map(|after| Rule::Duplicate { after }));
            for (copy, (cut, flips)) in (0..).zip(cuts.into_iter().zip(flips)).take(made) {
                rules.extend(cut.map(|to| Rule::Truncate { copy, to }));
                rules.extend(flips.into_iter().map(|bit| Rule::Corrupt { copy, bit }));
            }
            rules
        }),
    ]
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

fn percent(n: u64) -> Probability {
    Probability::ratio(n, 100).unwrap()
}

fn ns(n: u64) -> Duration {
    Duration::from_nanos(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const WORDS: [&str; 62] = [
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

/// What is wrong stands behind the `^`; then what could stand there, and what does.
const REFUSED: [(&str, &str, &str); 136] = [
    ("^", FIRST_KNOB, ""),
    ("   ^", FIRST_KNOB, ""),
    ("^;", FIRST_KNOB, ";"),
    ("loss 5%;^;", KNOB, ";"),
    ("^noise 5%", FIRST_KNOB, "noise"),
    ("none^; loss 5%", "the end", ";"),
    ("none^;", "the end", ";"),
    ("loss 5%; ^none", KNOB, "none"),
    ("loss 5%; ^loss 6%", "a knob that is not set yet", "loss"),
    ("delay 5ms; mtu 9; ^delay 6ms", "a knob that is not set yet", "delay"),
    ("loss 5% ^delay 5ms", "`burst`, `correlation`, `;` or the end", "delay"),
    ("^LOSS 5%", FIRST_KNOB, "LOSS"),
    ("loss^", LOSS, ""),
    ("loss 5^", "`%`", ""),
    ("loss 5 ^burst 3", "`%`", "burst"),
    ("loss 0.05^", "`%`", ""),
    ("loss ^five", LOSS, "five"),
    ("loss ^-5%", LOSS, "-"),
    ("loss ^101%", "100% at most", "101%"),
    ("loss ^100.0000000000001%", "100% at most", "100.0000000000001%"),
    ("loss ^.5%", LOSS, ".5"),
    ("loss ^5.%", LOSS, "5."),
    ("loss ^1.2.3%", LOSS, "1.2.3"),
    ("loss 1^e1%", "`%`", "e"),
    ("loss ^0.00000000000000000001%", "at most 20 digits and 19 decimals", "0.00000000000000000001"),
    ("loss ^123456789012345678901%", "at most 20 digits and 19 decimals", "123456789012345678901"),
    ("loss 5% ^bursts 3", "`burst`, `correlation`, `;` or the end", "bursts"),
    ("loss 5% burst^", "a number of datagrams such as 3", ""),
    ("loss 5% burst ^-3", "a number of datagrams such as 3", "-"),
    ("loss 5% burst 1^e3", END, "e"),
    ("loss 5% burst 3^%", END, "%"),
    ("loss 5% burst 3 ^correlation 2%", END, "correlation"),
    ("loss 5% correlation 25^", "`%`", ""),
    ("loss p 1%^", "`r`", ""),
    ("loss p 1% ^20%", "`r`", "20"),
    ("loss p 1% r 20% ^best 1%", "`good`, `bad`, `;` or the end", "best"),
    ("loss p 1% r 20% bad 9% ^good 1%", END, "good"),
    ("loss p 1% r 20% good 1% ^worse", "`bad`, `;` or the end", "worse"),
    ("loss exactly 3^", "`of`", ""),
    ("loss exactly 3 ^10", "`of`", "10"),
    ("loss exactly ^3.5 of 10", UP_TO_32_BITS, "3.5"),
    ("loss exactly ^4294967296 of 10", UP_TO_32_BITS, "4294967296"),
    ("loss pattern^", "a pattern such as 0100", ""),
    ("loss pattern ^0120", "a pattern such as 0100", "0120"),
    ("loss pattern 0100 ^1", END, "1"),
    ("loss pattern ^01.1", "a pattern such as 0100", "01.1"),
    ("delay^", "a time such as 50ms, or `quantiles`", ""),
    ("delay 50^", UNIT_OF_TIME, ""),
    ("delay 50^;", UNIT_OF_TIME, ";"),
    ("delay 50 ^~10ms", UNIT_OF_TIME, "~"),
    ("delay 50^parsecs", UNIT_OF_TIME, "parsecs"),
    ("delay 50^Ms", UNIT_OF_TIME, "Ms"),
    ("delay ^0.5ns", NANOSECONDS, "0.5ns"),
    ("delay ^0.0000001ms", NANOSECONDS, "0.0000001ms"),
    ("delay ^600000000000s", NANOSECONDS, "600000000000s"),
    ("delay ^99999999999999999999h", NANOSECONDS, "99999999999999999999h"),
    ("delay 50ms ^10ms", AFTER_DELAY, "10"),
    ("delay 50ms ~^", TIME, ""),
    ("delay 50ms ~10ms ^25%", "`correlation`, `unordered`, `;` or the end", "25"),
    ("delay 50ms ~10ms correlation 25% ^correlation 25%", "`unordered`, `;` or the end", "correlation"),
    ("delay 50ms ~10ms correlation 25% unordered ^unordered", END, "unordered"),
    ("delay 50ms unordered ^unordered", "`correlation`, `;` or the end", "unordered"),
    ("delay 50ms ^\u{b1} 10ms", AFTER_DELAY, "\u{b1}"),
    ("delay quantiles^", TIME, ""),
    ("delay quantiles 10ms,^", TIME, ""),
    ("delay quantiles 10ms ^12ms", "`,`, `correlation`, `unordered`, `;` or the end", "12"),
    ("delay quantiles 10ms,12^", UNIT_OF_TIME, ""),
    ("rate^", "a rate such as 10mbit", ""),
    ("rate 10^", "a unit of rate such as mbit", ""),
    ("rate 10^Mbit", "a unit of rate such as mbit", "Mbit"),
    ("rate 10mbit ^100ms", "`queue`, `;` or the end", "100"),
    ("rate ^0.5bit", BITS, "0.5bit"),
    ("rate ^99999999999gbit", BITS, "99999999999gbit"),
    ("rate 10mbit queue^", "a queue such as 100ms, 64kB or 25 datagrams", ""),
    ("rate 10mbit queue 100^", UNIT_OF_QUEUE, ""),
    ("rate 10mbit queue 100^kb", UNIT_OF_QUEUE, "kb"),
    ("rate 10mbit queue ^0.5B", "a whole number of bytes, 18446744073709551615 at most", "0.5B"),
    ("rate 10mbit queue ^25.5 datagrams", UP_TO_32_BITS, "25.5"),
    ("rate 10mbit queue ^5000000000 datagrams", UP_TO_32_BITS, "5000000000"),
    ("rate 10mbit queue 25 datagrams ^5", END, "5"),
    ("headers^", UP_TO_32_BITS, ""),
    ("headers 48^B", END, "B"),
    ("headers ^4294967296", UP_TO_32_BITS, "4294967296"),
    ("headers ^48.0", UP_TO_32_BITS, "48.0"),
    ("mtu 1400^B", "`error`, `truncate`, `;` or the end", "B"),
    ("mtu 1400 ^errors", "`error`, `truncate`, `;` or the end", "errors"),
    ("mtu 1400 error ^truncate", END, "truncate"),
    ("mtu ^-1", UP_TO_32_BITS, "-"),
    ("duplicate 1^", "`%`", ""),
    ("duplicate 1% ^after 2s", "`late`, `;` or the end", "after"),
    ("duplicate 1% late^", "a time such as 50ms, or `quantiles`", ""),
    ("duplicate 1% late 2^", UNIT_OF_TIME, ""),
    ("duplicate 1% late 2s ^1s", "`~`, `normal`, `exponential`, `;` or the end", "1"),
    ("duplicate 1% late 2s ^unordered", "`~`, `normal`, `exponential`, `;` or the end", "unordered"),
    ("duplicate 1% late 2s ~1s ^correlation 5%", END, "correlation"),
    ("truncate 1% ^100", "`to`, `;` or the end", "100"),
    ("truncate 1% to^", UP_TO_16_BITS, ""),
    ("truncate 1% to ^65536", UP_TO_16_BITS, "65536"),
    ("truncate 1% to 100^B", END, "B"),
    ("corrupt 1% ^3", "`bits`, `;` or the end", "3"),
    ("corrupt 1% bits ^256", "a whole number, 255 at most", "256"),
    ("corrupt 1% bits ^3.0", "a whole number, 255 at most", "3.0"),
    ("reorder 2%^", "`by`", ""),
    ("reorder 2% ^30ms", "`by`", "30"),
    ("reorder 2% by 30^", UNIT_OF_TIME, ""),
    ("reorder 2% by 30ms^,", END, ","),
    ("outage^", "`from`", ""),
    ("outage ^10s", "`from`", "10"),
    ("outage from 10s^", "`for`", ""),
    ("outage from 10s ^to 12s", "`for`", "to"),
    ("outage from 10s for 2^", UNIT_OF_TIME, ""),
    ("outage from 10s for 2s ^each 5s", "`every`, `;` or the end", "each"),
    ("outage from 10s for 2s every 5^", UNIT_OF_TIME, ""),
    ("script^", "`{`", ""),
    ("script ^drop 1", "`{`", "drop"),
    ("script {^", FIRST_RULE, ""),
    ("script { ^}", FIRST_RULE, "}"),
    ("script { drop ^}", DATAGRAM, "}"),
    ("script { drop 1^", "`,`, `;` or `}`", ""),
    ("script { drop 1;^", RULE, ""),
    ("script { drop 1; ^none }", RULE, "none"),
    ("script { none^", "`}`", ""),
    ("script { none^; drop 1 }", "`}`", ";"),
    ("script { drop 1 } ^drop 2", END, "drop"),
    ("script { drop 1 }; ^script { drop 2 }", "a knob that is not set yet", "script"),
    ("script { drop 1 } ^}", END, "}"),
    ("script { ^script { drop 1 } }", FIRST_RULE, "script"),
    ("mtu 1400 ^}", "`error`, `truncate`, `;` or the end", "}"),
    ("^drop 1", FIRST_KNOB, "drop"),
    ("delay 1\u{b5}s ~2^\u{b5}", UNIT_OF_TIME, "\u{b5}"),
    ("^\u{fc}rate 5", FIRST_KNOB, "\u{fc}rate"),
    ("loss 5% ^\u{1f980}", "`burst`, `correlation`, `;` or the end", "\u{1f980}"),
    ("delay quantiles 1s,2s ^corelation 5%", "`,`, `correlation`, `unordered`, `;` or the end", "corelation"),
    ("duplicate 1% late quantiles 1s,2s ^unordered", "`,`, `;` or the end", "unordered"),
    ("duplicate 1% late quantiles 1s ^2s", "`,`, `;` or the end", "2"),
    ("script { drop 1 ^3 }", "`,`, `;` or `}`", "3"),
];
const REFUSED_SCRIPTS: [(&str, &str, &str); 39] = [
    ("^", FIRST_RULE, ""),
    ("^;", FIRST_RULE, ";"),
    ("drop^", DATAGRAM, ""),
    ("drop 1 ^3", "`,`, `;` or the end", "3"),
    ("drop 1,^", DATAGRAM, ""),
    ("drop 1,^,3", DATAGRAM, ","),
    ("drop 1;^;", RULE, ";"),
    ("drop 1; ^none", RULE, "none"),
    ("none^; drop 1", "the end", ";"),
    ("drop ^-1", DATAGRAM, "-"),
    ("drop ^1.5", DATAGRAM, "1.5"),
    ("drop 1^-3", "`,`, `;` or the end", "-"),
    ("drop ^18446744073709551616", DATAGRAM, "18446744073709551616"),
    ("drop 1 ^}", "`,`, `;` or the end", "}"),
    ("^loss 5%", FIRST_RULE, "loss"),
    ("refuse 6^", "`,` or `above`", ""),
    ("refuse 6 ^8 above 9", "`,` or `above`", "8"),
    ("refuse 6 above^", UP_TO_16_BITS, ""),
    ("refuse 6 above ^65536", UP_TO_16_BITS, "65536"),
    ("refuse ^6.0 above 9", DATAGRAM, "6.0"),
    ("delay 7^", "`,` or `by`", ""),
    ("delay 7 ^200ms", "`,` or `by`", "200"),
    ("delay 7 by 200^", UNIT_OF_TIME, ""),
    ("delay ^7.1 by 200ms", DATAGRAM, "7.1"),
    ("delay 7 by 200ms^,", END, ","),
    ("delay 7 by ^99999999999s", NANOSECONDS, "99999999999s"),
    ("duplicate 5 ^by 2s", "`,` or `after`", "by"),
    ("duplicate 5 after 2^", UNIT_OF_TIME, ""),
    ("truncate 4^", "`,` or `to`", ""),
    ("truncate 4,5 ^100", "`,` or `to`", "100"),
    ("truncate ^4.256 to 9", COPY, "4.256"),
    ("truncate ^4. to 9", COPY, "4."),
    ("truncate 4 to 100^%", END, "%"),
    ("corrupt 9^", "`,` or `bit`", ""),
    ("corrupt 9 bit^", UP_TO_32_BITS, ""),
    ("corrupt 9 bit ^4294967296", UP_TO_32_BITS, "4294967296"),
    ("corrupt 9 ^bits 3", "`,` or `bit`", "bits"),
    ("corrupt ^x bit 3", COPY, "x"),
    ("delay 7 ^8 by 1s", "`,` or `by`", "8"),
];

const FIRST_KNOB: &str = "`none`, `script`, `outage`, `headers`, `mtu`, `rate`, `loss`, `duplicate`, `truncate`, \
                          `corrupt`, `delay` or `reorder`";
const KNOB: &str =
    "`script`, `outage`, `headers`, `mtu`, `rate`, `loss`, `duplicate`, `truncate`, `corrupt`, `delay` or `reorder`";
const LOSS: &str = "a percentage such as 5%, `p`, `exactly` or `pattern`";
const END: &str = "`;` or the end";
const UP_TO_32_BITS: &str = "a whole number, 4294967295 at most";
const UNIT_OF_TIME: &str = "a unit of time such as ms";
const NANOSECONDS: &str = "a whole number of nanoseconds, 584 years at most";
const AFTER_DELAY: &str = "`~`, `normal`, `exponential`, `correlation`, `unordered`, `;` or the end";
const TIME: &str = "a time such as 50ms";
const BITS: &str = "a whole number of bits per second, 18446744073709551615 at most";
const UNIT_OF_QUEUE: &str = "a unit of time such as ms, one of bytes such as kB, or `datagrams`";
const UP_TO_16_BITS: &str = "a whole number, 65535 at most";
const FIRST_RULE: &str = "`none`, `drop`, `refuse`, `delay`, `duplicate`, `truncate` or `corrupt`";
const DATAGRAM: &str = "the number of a datagram, from 1";
const RULE: &str = "`drop`, `refuse`, `delay`, `duplicate`, `truncate` or `corrupt`";
const COPY: &str = "the number of a datagram such as 5, or of a copy such as 5.1";
