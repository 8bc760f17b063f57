//! A recorded run can be repeated: its lines become scripts under which the same datagrams meet the same fates; and
//! what is no recording is refused by its line.
//!
//! `UDP_RETRY_CASES` sets the cases of each random property; the default is 256.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Delivery, Direction, Duplicate, Fate, Infeasible, Link, LossModel,
    LossySink, MtuClamp, Outage, Oversize, Profile, QueueLimit, Record, Reorder, Rule, Script, Trace, TraceError,
    Truncate,
};
use udp_retry::size::Pmtu;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Transport};
use udp_retry::{Impairments, Probability, Seed};

// What a line says.

#[test]
fn each_fate_is_the_rule_that_repeats_it() {
    for (fate, rules) in [
        (r#""dropped":"loss""#, "drop 7"),
        (r#""dropped":"by some cause of later""#, "drop 7"),
        (r#""too_big":1372"#, "refuse 7 above 1372"),
        (r#""too_big":0"#, "refuse 7 above 0"),
        (r#""delivered":[{"after_ns":0,"len":40,"flips":[]}]"#, "none"),
        (r#""delivered":[{"after_ns":25000001,"len":40,"flips":[]}]"#, "delay 7 by 25.000001ms"),
        (r#""delivered":[{"after_ns":0,"len":39,"flips":[]}]"#, "truncate 7 to 39"),
        (r#""delivered":[{"after_ns":0,"len":0,"flips":[]}]"#, "truncate 7 to 0"),
        (r#""delivered":[{"after_ns":0,"len":40,"flips":[319,0]}]"#, "corrupt 7 bit 0; corrupt 7 bit 319"),
        (
            r#""delivered":[{"after_ns":0,"len":40,"flips":[]},{"after_ns":0,"len":40,"flips":[]}]"#,
            "duplicate 7 after 0ms",
        ),
        (
            r#""delivered":[{"after_ns":5,"len":40,"flips":[1]},{"after_ns":7,"len":3,"flips":[23]}]"#,
            "delay 7 by 5ns; duplicate 7 after 2ns; truncate 7.1 to 3; corrupt 7.0 bit 1; corrupt 7.1 bit 23",
        ),
        // A script counts copies by the time that they come.
        (
            concat!(
                r#""delivered":[{"after_ns":5,"len":40,"flips":[]},"#,
                r#"{"after_ns":9,"len":9,"flips":[]},{"after_ns":8,"len":8,"flips":[]}]"#
            ),
            "delay 7 by 5ns; duplicate 7 after 3ns; duplicate 7 after 4ns; truncate 7.1 to 8; truncate 7.2 to 9",
        ),
    ] {
        let line = format!(r#"{{"link":3,"direction":"to_client","n":7,"at_ns":12,"len":40,{fate}}}"#);
        let trace: Trace = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        let script: Script = rules.parse().unwrap();
        assert_eq!(trace.script(3, Direction::ToClient), script, "{line}");
        let profile = trace.profile(3);
        assert_eq!(profile.to_client, Impairments::NONE.with_script(script), "{line}");
        assert_eq!(profile.to_server, Impairments::NONE, "{line}");
        for (link, direction) in [(3, Direction::ToServer), (2, Direction::ToClient), (4, Direction::ToClient)] {
            assert_eq!(trace.script(link, direction), Script::EMPTY, "{line}");
        }
    }
}

#[test]
fn lines_may_come_in_any_order_with_blanks_between_and_more_than_is_asked_for() {
    let trace: Trace = concat!(
        "\n  \t \r\n",
        r#"{"too_big":9,"n":2,"link":0,"direction":"to_server"}"#,
        "\r\n\n",
        r#"  { "spoken" : {"by":["nobody"]}, "dropped" : "queue", "direction" : "to_server", "n" : 1, "link" : 0 }  "#,
        "\n",
        r#"{"link":18446744073709551615,"direction":"to_server","n":18446744073709551615,"dropped":""}"#,
    )
    .parse()
    .unwrap();
    assert_eq!(trace.script(0, Direction::ToServer), "drop 1; refuse 2 above 9".parse().unwrap());
    assert_eq!(trace.script(u64::MAX, Direction::ToServer).rules(), [(u64::MAX, Rule::Drop)]);
}

#[test]
fn no_line_is_an_empty_trace() {
    for text in ["", "\n", " \n\t\r\n"] {
        assert_eq!(text.parse(), Ok(Trace::default()));
    }
    assert_eq!(Trace::default().profile(0), Profile::default());
}

#[test]
fn the_same_number_is_another_datagram_on_another_link_or_the_other_way() {
    let line = |link, direction: Direction| {
        format!(r#"{{"link":{link},"direction":"{}","n":1,"dropped":"loss"}}"#, direction.as_str())
    };
    let both = [Direction::ToServer, Direction::ToClient];
    let text: Vec<_> = (0..3).flat_map(|link| both.map(|direction| line(link, direction))).collect();
    let trace: Trace = text.join("\n").parse().unwrap();
    for (link, direction) in (0..3).flat_map(|link| both.map(|direction| (link, direction))) {
        assert_eq!(trace.script(link, direction).rules(), [(1, Rule::Drop)]);
    }
}

// What is refused.

#[test]
fn what_is_no_record_is_refused_by_its_line() {
    let good = r#"{"link":0,"direction":"to_server","n":1,"len":4,"dropped":"loss"}"#;
    for (line, reason) in [
        ("nonsense", "not JSON at 2: expected ident"),
        (r#"{"link":0"#, "not JSON at 9: EOF while parsing an object"),
        (r#"{"link":0} x"#, "not JSON at 12: trailing characters"),
        ("[]", "a record is an object"),
        ("7", "a record is an object"),
        ("{}", "lacks `link`"),
        (r#"{"link":0,"n":2,"dropped":"loss"}"#, "lacks `direction`"),
        (r#"{"link":0,"direction":"to_server","dropped":"loss"}"#, "lacks `n`"),
        (r#"{"link":-1,"direction":"to_server","n":2,"dropped":"loss"}"#, "`link` is not a whole number"),
        (r#"{"link":"0","direction":"to_server","n":2,"dropped":"loss"}"#, "`link` is not a whole number"),
        (r#"{"link":0,"direction":"to_server","n":2.5,"dropped":"loss"}"#, "`n` is not a whole number"),
        (
            r#"{"link":0,"direction":"to_server","n":18446744073709551616,"dropped":"loss"}"#,
            "`n` is not a whole number",
        ),
        (r#"{"link":0,"direction":"to_server","n":0,"dropped":"loss"}"#, "`n` counts from 1"),
        (r#"{"link":0,"direction":"up","n":2,"dropped":"loss"}"#, "`direction` is neither `to_server` nor `to_client`"),
        (r#"{"link":0,"direction":1,"n":2,"dropped":"loss"}"#, "`direction` is neither `to_server` nor `to_client`"),
        (good, "datagram 1 of link 0 to_server was there before"),
        (
            r#"{"link":0,"direction":"to_server","n":1,"len":4,"delivered":[{"after_ns":0,"len":4,"flips":[]}]}"#,
            "datagram 1 of link 0 to_server was there before",
        ),
        (r#"{"link":0,"direction":"to_server","n":2,"len":4}"#, "lacks `delivered`, `dropped` or `too_big`"),
        (
            r#"{"link":0,"direction":"to_server","n":2,"len":4,"dropped":"loss","too_big":4}"#,
            "has more than one of `delivered`, `dropped` and `too_big`",
        ),
        (r#"{"link":0,"direction":"to_server","n":2,"len":4,"dropped":true}"#, "`dropped` is not a cause"),
        (r#"{"link":0,"direction":"to_server","n":2,"len":4,"too_big":-4}"#, "`too_big` is not a whole number"),
        (r#"{"link":0,"direction":"to_server","n":2,"len":4,"too_big":65536}"#, "`too_big` is 65536, above 65535"),
    ] {
        assert_refused(&format!("{good}\n\n{line}"), 3, reason);
    }
    for (len, delivered, reason) in [
        ("4", "{}", "`delivered` is not a list"),
        ("4", "[]", "`delivered` is empty"),
        ("4", "[4]", "a copy is an object"),
        ("4", r#"[{"after_ns":0,"len":4}]"#, "lacks `flips`"),
        ("4", r#"[{"after_ns":0,"flips":[]}]"#, "lacks `len`"),
        ("4", r#"[{"len":4,"flips":[]}]"#, "lacks `after_ns`"),
        ("4", r#"[{"after_ns":0,"len":4,"flips":7}]"#, "`flips` is not a list"),
        ("4", r#"[{"after_ns":0,"len":4,"flips":["7"]}]"#, "`flips` is not a whole number"),
        ("4", r#"[{"after_ns":-1,"len":4,"flips":[]}]"#, "`after_ns` is not a whole number"),
        ("4", r#"[{"after_ns":0,"len":5,"flips":[]}]"#, "a copy of 5 bytes is longer than the datagram of 4"),
        ("4", r#"[{"after_ns":0,"len":4,"flips":[32]}]"#, "bit 32 is past the end of a copy of 4 bytes"),
        ("4", r#"[{"after_ns":0,"len":3,"flips":[24]}]"#, "bit 24 is past the end of a copy of 3 bytes"),
        ("4", r#"[{"after_ns":0,"len":0,"flips":[0]}]"#, "bit 0 is past the end of a copy of 0 bytes"),
        ("70000", r#"[{"after_ns":0,"len":65536,"flips":[]}]"#, "`len` is 65536, above 65535"),
        (r#""4""#, r#"[{"after_ns":0,"len":4,"flips":[]}]"#, "`len` is not a whole number"),
        (
            "4",
            r#"[{"after_ns":9,"len":4,"flips":[]},{"after_ns":8,"len":4,"flips":[]}]"#,
            "a copy comes before the datagram itself",
        ),
    ] {
        let line = format!(r#"{{"link":0,"direction":"to_client","n":2,"len":{len},"delivered":{delivered}}}"#);
        assert_refused(&format!("{good}\n{line}\n{good}"), 2, reason);
    }
    let line = r#"{"link":0,"direction":"to_client","n":2,"delivered":[{"after_ns":0,"len":4,"flips":[]}]}"#;
    assert_refused(line, 1, "lacks `len`");
}

#[test]
fn a_recording_that_ends_within_its_last_line_is_read_without_it() {
    let profile = Profile::both("loss 30%; duplicate 20%; corrupt 20%".parse().unwrap());
    let text = written(&run(profile, Seed::new(3), &traffic(9, Seed::new(4))));
    let (mut torn, mut whole) = (0, 0);
    for (end, next) in text.bytes().enumerate() {
        let (cut, lines) = (&text[..end], text[..end].lines().count());
        // An end of the last line is all that may be missing.
        let is_whole = next == b'\n' || cut.is_empty() || cut.ends_with('\n');
        let kept = text.lines().take(if is_whole { lines } else { lines - 1 }).map(|line| format!("{line}\n"));
        let read = (kept.collect::<String>().parse().unwrap(), (!is_whole).then_some(lines));
        assert_eq!(Trace::from_torn(cut), Ok(read), "{cut:?}");
        (torn, whole) = (torn + u32::from(!is_whole), whole + u32::from(is_whole));
    }
    assert!(torn > 500 && whole > 10, "{torn} torn, {whole} whole");
}

#[test]
fn a_line_that_is_wrong_otherwise_is_refused_also_where_the_last_one_may_be_torn() {
    let line = r#"{"link":0,"direction":"to_server","n":1,"len":4,"dropped":"loss"}"#;
    for (text, at) in [
        // It has an end.
        (format!("{line}\n{}\n", &line[..20]), 2),
        (format!("{}\n{line}", &line[..20]), 1),
        (format!("{}\n\n", &line[..20]), 1),
        // It is no beginning of a record.
        (format!("{line}\nnonsense"), 2),
        (format!("{line}\n{line}"), 2),
        (format!("{line}\n{line}{{"), 2),
        (format!("{line}\n[]"), 2),
    ] {
        match Trace::from_torn(&text) {
            Err(TraceError::NotARecord { line, .. }) => assert_eq!(line, at, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
    assert_eq!(Trace::from_torn(" \n \t"), Ok((Trace::default(), None)));
}

#[test]
fn what_no_script_can_do_is_refused_by_its_link() {
    let copy = |flips: &str| format!(r#"{{"after_ns":0,"len":40,"flips":[{flips}]}}"#);
    let four_copies = [const { "" }; 4].map(copy).join(",");
    let nine_flips = copy("0,1,2,3,4,5,6,7,8");
    let many_copies = vec![copy(""); 300].join(",");
    for copies in [four_copies, nine_flips, many_copies] {
        let text = format!(r#"{{"link":5,"direction":"to_client","n":9,"len":40,"delivered":[{copies}]}}"#);
        let error = text.parse::<Trace>().unwrap_err();
        let reason = Infeasible::RulesAtOdds { number: 9 };
        assert_eq!(error, TraceError::Infeasible { link: 5, direction: Direction::ToClient, reason });
        assert_eq!(error.to_string(), format!("link 5, to_client: {reason}"));
    }
}

#[test]
fn what_is_no_recording_at_all_breaks_nothing() {
    let deep = "[".repeat(1_000_000);
    let wide =
        format!(r#"{{"link":0,"direction":"to_server","n":1,"len":9,"delivered":[{}0]}}"#, "0,".repeat(1_000_000));
    for text in [&deep, &wide, &"{".repeat(1_000_000), &"\u{1f980}".repeat(100_000), &"9".repeat(1_000_000)] {
        let error = text.parse::<Trace>().unwrap_err();
        assert!(matches!(error, TraceError::NotARecord { line: 1, .. }), "{error}");
    }
    assert_refused(&format!("{}x", "\n".repeat(1_000_000)), 1_000_001, "not JSON at 1: expected value");
}

// What it is for.

#[test]
fn a_million_lines_are_read_in_time_that_grows_with_them() {
    let mut text = String::new();
    for n in 1..=1_000_000 {
        let fate =
            if n % 2 == 0 { r#""dropped":"loss""# } else { r#""delivered":[{"after_ns":9,"len":4,"flips":[]}]"# };
        writeln!(text, r#"{{"link":0,"direction":"to_server","n":{n},"at_ns":{n},"len":4,{fate}}}"#).unwrap();
    }
    let script = text.parse::<Trace>().unwrap().script(0, Direction::ToServer);
    assert_eq!(script.rules().len(), 1_000_000);
    assert_eq!(script.to_string().parse(), Ok(script));
}

#[test]
fn the_recording_of_one_link_repeats_it_alone() {
    let impairments: Impairments = EVERYTHING.parse().unwrap();
    for seed in (0..20).map(Seed::new) {
        let profile = Profile::both(impairments.clone());
        let traffic = traffic(500, seed);
        let records = run(profile, seed, &traffic);
        let fates = [Direction::ToServer, Direction::ToClient].map(|direction| {
            let sent: Vec<_> = traffic.iter().filter(|it| it.direction == direction && it.peer == 0).collect();
            let script = written(&records).parse::<Trace>().unwrap().script(0, direction);
            let mut link = Link::new(Impairments::NONE.with_script(script), Seed::new(99));
            let again: Vec<_> = sent.iter().map(|it| outcome(&link.transmit(it.at, &vec![0; it.len]))).collect();
            let first = records.iter().filter(|it| it.direction == direction && it.link == 0);
            let first: Vec<_> = first.map(|record| outcome(&record.fate)).collect();
            assert_eq!(first, again, "seed {seed}");
            again
        });
        let fates = fates.concat();
        for what in [is_lost, is_refused, is_doubled, is_damaged] {
            assert!(fates.iter().filter(|fate| what(fate)).count() > 5, "seed {seed}: too little of everything");
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn whatever_a_network_did_the_trace_does_again(
        to_server in impairments(), to_client in impairments(), seed: u64, traffic_seed: u64, many in 1..200_u64,
    ) {
        let traffic = traffic(many, Seed::new(traffic_seed));
        let records = run(Profile { to_server, to_client }, Seed::new(seed), &traffic);
        prop_assert_eq!(records.len(), traffic.len());
        let trace: Trace = written(&records).parse()?;
        for link in 0..3_u64 {
            let of_this: Vec<_> = traffic.iter().filter(|it| u64::from(it.peer) == link).copied().collect();
            let again = run(trace.profile(link), Seed::new(!seed), &of_this);
            let first: Vec<_> = records.iter().filter(|it| it.link == link).collect();
            prop_assert_eq!(first.len(), again.len());
            for (first, again) in first.into_iter().zip(&again) {
                prop_assert_eq!(asked(first), asked(again));
                prop_assert_eq!(outcome(&first.fate), outcome(&again.fate), "{}", first);
            }
            // What is repeated is recorded as the same again, but for the cause of what is lost.
            let twice: Trace = written(&again).parse()?;
            for direction in [Direction::ToServer, Direction::ToClient] {
                prop_assert_eq!(twice.script(0, direction), trace.script(link, direction));
            }
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_told_by_its_line(
        all in impairments(), seed: u64, place: proptest::sample::Index, slip: u8,
    ) {
        let traffic = traffic(20, Seed::new(seed));
        let mut text = written(&run(Profile::both(all), Seed::new(seed), &traffic)).into_bytes();
        let place = place.index(text.len());
        text[place] = slip & 0x7f;
        let text = String::from_utf8(text).unwrap();
        let slipped = text[..place].matches('\n').count() + 1;
        match text.parse::<Trace>() {
            // A number that became another may meet its namesake, on an earlier line or on a later one.
            Err(TraceError::NotARecord { line, reason }) => {
                let within = line == slipped || line == slipped + 1 || reason.ends_with("before");
                prop_assert!(within, "line {}, not {}: {}", line, slipped, reason);
            }
            Err(TraceError::Infeasible { .. }) | Ok(_) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn no_text_whatever_breaks_it(text in any::<String>()) {
        let _ = text.parse::<Trace>();
    }
}

fn assert_refused(text: &str, line: usize, reason: &str) {
    let error = text.parse::<Trace>().unwrap_err();
    assert_eq!(error, TraceError::NotARecord { line, reason: reason.to_owned() }, "{text}");
    assert_eq!(error.to_string(), format!("line {line}: {reason}"));
}

// What a fate comes down to.

/// Without the cause of a loss, and without the order of the flips, which changes nothing.
#[derive(Clone, PartialEq, Debug)]
enum Outcome {
    Delivered(Vec<(Timestamp, usize, Vec<u32>)>),
    Lost,
    Refused(usize),
}

fn outcome(fate: &Fate) -> Outcome {
    match fate {
        Fate::Delivered(deliveries) => Outcome::Delivered(deliveries.iter().map(copy).collect()),
        Fate::Dropped(_) => Outcome::Lost,
        Fate::TooBig { limit } => Outcome::Refused(limit.bytes()),
        fate => panic!("{fate:?}"),
    }
}

fn copy(delivery: &Delivery) -> (Timestamp, usize, Vec<u32>) {
    let mut flips = delivery.flips.as_slice().to_vec();
    flips.sort_unstable();
    (delivery.at, delivery.len, flips)
}

fn is_lost(outcome: &Outcome) -> bool {
    *outcome == Outcome::Lost
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(_))
}

fn is_doubled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Delivered(copies) if copies.len() > 1)
}

fn is_damaged(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Delivered(copies) if copies.iter().any(|(_, _, flips)| !flips.is_empty()))
}

fn asked(record: &Record) -> (Direction, u64, Timestamp, usize) {
    (record.direction, record.n, record.at, record.len)
}

fn written(records: &[Record]) -> String {
    records.iter().fold(String::new(), |text, record| text + &record.to_string() + "\n")
}

// A recording.

#[derive(Clone, Copy, Debug)]
struct Datagram {
    peer: u8,
    direction: Direction,
    at: Timestamp,
    len: usize,
}

/// Of three peers, numbered as they come, at times that grow by less than 1 ms on average and often not at all.
fn traffic(many: u64, seed: Seed) -> Vec<Datagram> {
    let (mut at, mut peers) = (0, Vec::new());
    let datagram = |n| {
        let of = |label: u64, most: u64| seed.derive(label).draw(n) % most;
        at += of(1, 3_000_000).saturating_sub(1_000_000);
        let len = [of(2, 1500), of(2, 20), 0, 1400][of(3, 4) as usize];
        let direction = if of(4, 2) == 0 { Direction::ToServer } else { Direction::ToClient };
        let peer = of(5, 3);
        if !peers.contains(&peer) {
            peers.push(peer);
        }
        let peer = peers.iter().position(|&it| it == peer).unwrap() as u8;
        Datagram { peer, direction, at: Timestamp::from_nanos(at), len: len as usize }
    };
    (0..many).map(datagram).collect()
}

/// Everything that a sink at a client shows of this traffic.
fn run(profile: Profile, seed: Seed, traffic: &[Datagram]) -> Vec<Record> {
    let records = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&records);
    let world = World { now: Timestamp::ZERO, arriving: VecDeque::new() };
    let mut sink =
        LossySink::at_client(world, profile, seed).observed(move |_, record| seen.lock().unwrap().push(*record));
    for it in traffic {
        sink.get_mut().now = it.at;
        match it.direction {
            Direction::ToServer => {
                // Without a wait in between, the same bytes after a refusal would be the same datagram.
                let _ = sink.recv(&mut [0; 2000], it.at, it.at);
                let _ = sink.send(it.peer, &vec![0; it.len]);
            }
            Direction::ToClient => {
                sink.get_mut().arriving.push_back((it.peer, it.len));
                while !sink.get_ref().arriving.is_empty() {
                    let _ = sink.recv(&mut [0; 2000], it.at, it.at);
                }
            }
        }
    }
    let records = records.lock().unwrap();
    records.clone()
}

/// Takes what is sent, and hands out what is put there, at the time that it is told.
#[derive(Debug)]
struct World {
    now: Timestamp,
    arriving: VecDeque<(u8, usize)>,
}

impl Transport for World {
    type Peer = u8;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, _: u8, _: &[u8]) -> Result<(), PathError> {
        Ok(())
    }

    fn recv(&mut self, _: &mut [u8], _: Timestamp, _: Timestamp) -> Incoming<u8> {
        match self.arriving.pop_front() {
            Some((from, len)) => Incoming::Datagram(Received::new(from, len, len, self.now)),
            None => Incoming::TimeUp(self.now),
        }
    }

    fn renew(&mut self, _: u8, _: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Unsupported)
    }

    fn entropy(&mut self, _: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}

// Networks that let something through.

fn impairments() -> impl Strategy<Value = Impairments> {
    let percent = || prop_oneof![Just(0), 1..60_u64, Just(100)].prop_map(|n| Probability::ratio(n, 100).unwrap());
    let ms = |most: u64| (0..most * 1000).prop_map(Duration::from_micros);
    let maybe = |percent: u32| proptest::bool::weighted(f64::from(percent) / 100.0);
    let script = select(&["none", SCRIPT][..]).prop_map(|it| it.parse::<Script>().unwrap());
    let oversize = select(&[Oversize::Drop, Oversize::Error, Oversize::Report, Oversize::Truncate][..]);
    let mtu = (maybe(50), 20..1600_u32, oversize);
    let queue = prop_oneof![
        ms(30).prop_map(QueueLimit::Time),
        (0..20_000_u64).prop_map(QueueLimit::Bytes),
        (0..20_u32).prop_map(QueueLimit::Datagrams),
    ];
    let hop = (maybe(50), 1_000_000..50_000_000_u64, queue);
    let loss = prop_oneof![
        (0..60_u64).prop_map(|n| LossModel::Bernoulli(Probability::ratio(n, 100).unwrap())),
        (1..40_u64, 2..9_u32)
            .prop_map(|(n, burst)| { LossModel::bursts(Probability::ratio(n, 100).unwrap(), burst.into()).unwrap() }),
        vec(any::<bool>(), 1..9).prop_map(|lost| LossModel::pattern(&lost).unwrap()),
    ];
    let late = proptest::option::of(ms(50));
    let duplicate = (maybe(70), percent(), late);
    let damage = (maybe(70), percent(), proptest::option::of(0..1500_u16), maybe(70), percent(), 1..=8_u8);
    let delay = (maybe(70), ms(50), ms(50), any::<bool>());
    let reorder = (maybe(50), percent(), ms(50));
    let outage = (maybe(50), ms(50), ms(50));
    (script, outage, mtu, hop, loss, duplicate, damage, delay, reorder).prop_map(
        |(script, outage, mtu, hop, loss, twice, damage, delay, hold)| {
            let mut all = Impairments::NONE.with_script(script).with_loss(loss);
            if let (true, Ok(outage)) = (outage.0, Outage::new(outage.1, outage.2)) {
                all = all.with_outage(outage).unwrap();
            }
            if mtu.0 {
                all = all.with_mtu(MtuClamp::new(Pmtu::new(mtu.1.max(48)), mtu.2)).unwrap();
            }
            if hop.0 {
                all = all.with_bottleneck(Bottleneck::new(hop.1, hop.2).unwrap());
            }
            if twice.0 {
                let plain = Duplicate::new(twice.1);
                let law = twice.2.map(|late| DelayLaw::uniform(late, late).unwrap());
                all = all.with_duplicate(law.into_iter().fold(plain, Duplicate::late));
            }
            let (cuts, cut, to, flips, flip, bits) = damage;
            if cuts {
                all = all.with_truncate(to.into_iter().fold(Truncate::new(cut), |cut, to| cut.to(to)));
            }
            if flips {
                all = all.with_corrupt(Corrupt::new(flip).bits(bits).unwrap());
            }
            let (delays, mean, tail, unordered) = delay;
            if delays {
                let model = DelayModel::new(DelayLaw::exponential(mean, tail).unwrap());
                all = all.with_delay(if unordered { model.unordered() } else { model });
            }
            if let (true, Ok(hold)) = (hold.0, Reorder::new(hold.1, hold.2)) {
                all = all.with_reorder(hold);
            }
            all
        },
    )
}

fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

const EVERYTHING: &str = "script { drop 1,3; duplicate 5,5 after 2s; delay 7 by 200ms; truncate 4 to 100; \
                          corrupt 9 bit 13; refuse 6 above 1372 }; outage from 10ms for 10ms; mtu 1300 error; \
                          rate 10mbit queue 20ms; loss 5% burst 3; duplicate 20% late 2ms ~2ms; truncate 20%; \
                          corrupt 20% bits 8; delay 50ms ~10ms; reorder 20% by 30ms";
const SCRIPT: &str = "drop 1; duplicate 2,2 after 2s; duplicate 3 after 3ms; duplicate 3 after 1ms; \
                      corrupt 3.1,3.2 bit 7; truncate 3.2 to 1; delay 4 by 20ms; refuse 5 above 7; corrupt 6,6 bit 1";
