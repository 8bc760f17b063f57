//! What is refused, and where.

use std::fmt::Debug;
use std::str::FromStr;

use udp_retry::Impairments;
use udp_retry::fault::{Infeasible, Script, SpecError};

use super::{ms, ns, percent, secs};

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
        ("dose 1 of 0", 6, Infeasible::DoseWindow { window: 0, nearest: 1 }),
        ("loss 1%; dose 3 of 65", 15, Infeasible::DoseWindow { window: 65, nearest: 64 }),
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

/// What is wrong stands behind the `^`; then what could stand there, and what does.
const REFUSED: [(&str, &str, &str); 142] = [
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
    ("mtu 1400^B", "`error`, `report`, `truncate`, `;` or the end", "B"),
    ("mtu 1400 ^errors", "`error`, `report`, `truncate`, `;` or the end", "errors"),
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
    ("dose ^x", "a whole number, 4294967295 at most", "x"),
    ("dose 6^", "`of`", ""),
    ("dose 6 ^in 10", "`of`", "in"),
    ("dose 6 of ^4294967296", "a whole number, 4294967295 at most", "4294967296"),
    ("dose 6 of 10 ^loss 5%", "`drops`, `;` or the end", "loss"),
    ("dose 6 of 10 drops^", "a whole number, 4294967295 at most", ""),
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
    ("mtu 1400 ^}", "`error`, `report`, `truncate`, `;` or the end", "}"),
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
                          `corrupt`, `delay`, `reorder`, `dose`, `at` or `repeat`";

const KNOB: &str = "`script`, `outage`, `headers`, `mtu`, `rate`, `loss`, `duplicate`, `truncate`, `corrupt`, `delay`, \
                    `reorder`, `dose`, `at` or `repeat`";

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
