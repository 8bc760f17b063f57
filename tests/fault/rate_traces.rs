//! Recorded rates: what a trace file carries, and what is no trace.

use std::fs;
use std::time::Duration;

use udp_retry::fault::{
    Bottleneck, DropCause, Fate, Infeasible, Link, QueueLimit, RateTrace, RateTraceError, SpecError,
};
use udp_retry::{Impairments, Seed};

use crate::fates::{at, copies, ms, ns, only};

#[test]
fn a_trace_carries_exactly_its_lines_in_every_period() {
    for lines in [vec![1], vec![0, 1], vec![0, 0, 7], vec![3, 3, 3, 10], vec![1, 2, 3, 5, 8, 13], (1..=1000).collect()]
    {
        let trace = RateTrace::new(lines.clone()).unwrap();
        let period = u64::from(*lines.last().unwrap()) * 1_000_000;
        assert_eq!((trace.period(), trace.millis()), (ns(period), &*lines));
        for size in [1504, 752, 376, 47] {
            let mut link = link(trace.clone(), QueueLimit::Bytes(u64::MAX));
            let per_line = 1504 / size;
            // Behind the opportunities of the first moment, so that each round has all of its own.
            let times: Vec<_> = (0..5 * lines.len() * per_line)
                .map(|_| only(&link.transmit(at(1), &[0; 1504][..size])).at.as_nanos())
                .collect();
            for (round, times) in (0..).zip(times.chunks(lines.len() * per_line)) {
                let zeros = lines.iter().filter(|&&line| line == 0).count();
                // Those at the beginning are those of the moment that ends the round.
                let mut expected: Vec<_> = lines[zeros..].iter().map(|&line| line.into()).collect();
                expected.extend(vec![u64::from(*lines.last().unwrap()); zeros]);
                let expected = expected.iter().map(|line: &u64| round * period + line * 1_000_000);
                let expected: Vec<_> = expected.flat_map(|at| vec![at; per_line]).collect();
                assert_eq!(times, expected, "round {round} of {lines:?} by {size}");
            }
        }
    }
}

#[test]
fn the_mean_rate_is_what_an_overloaded_trace_carries() {
    let trace = RateTrace::new([2, 2, 5, 9, 10, 10, 20]).unwrap();
    assert_eq!(trace.mean_rate(), 7 * 1504 * 8 * 50);
    let mut link = link(trace.clone(), QueueLimit::Bytes(10_000));
    let carried = (0..200_000_u64).filter(|n| {
        let fate = link.transmit(at(n * 50_000), &[0; 500]);
        copies(&fate).iter().any(|copy| copy.at <= at(0).after(Duration::from_secs(10)))
    });
    let bits = carried.count() as u64 * 500 * 8;
    assert!(bits.abs_diff(trace.mean_rate() * 10) <= 10_000 * 8, "{bits}");
    let hop = Bottleneck::traced(trace.clone(), QueueLimit::Bytes(0)).unwrap();
    assert_eq!((hop.rate(), hop.trace()), (trace.mean_rate(), Some(&trace)));
}

#[test]
fn what_no_one_uses_is_lost_and_a_datagram_leaves_with_its_last_byte() {
    let mut link = link(RateTrace::new([4, 4, 6, 10]).unwrap(), QueueLimit::Bytes(3000));
    assert_eq!(only(&link.transmit(at(0), &[0; 1000])).at, at(0).after(ms(4)));
    // 504 bytes of the first opportunity, and 996 of the second.
    assert_eq!(only(&link.transmit(at(0), &[0; 1500])).at, at(0).after(ms(4)));
    assert_eq!(only(&link.transmit(at(0), &[0; 509])).at, at(0).after(ms(6)));
    assert_eq!(link.transmit(at(0), &[0; 1]), Fate::Dropped(DropCause::Queue), "3,009 bytes are ahead");
    // At that very moment all but one byte of it has left.
    assert_eq!(only(&link.transmit(at(0).after(ms(4)), &[0; 1503])).at, at(0).after(ms(6)));
    assert_eq!(only(&link.transmit(at(0).after(ms(7)), &[0; 1])).at, at(0).after(ms(10)));
    assert_eq!(only(&link.transmit(at(0).after(ms(10)), &[0; 1503])).at, at(0).after(ms(10)));
    assert_eq!(only(&link.transmit(at(0).after(ms(10)), &[0; 1])).at, at(0).after(ms(14)));
}

#[test]
fn rates_by_turns_carry_their_mean_as_a_schedule_and_as_a_trace() {
    let lines: Vec<_> = (0..2000_u64)
        .filter_map(|tenth| {
            // Bits that may have left by then: 100 kbit in the first 100 ms, 900 kbit in the second.
            let bits = |tenth: u64| if tenth <= 1000 { tenth * 100 } else { 100_000 + (tenth - 1000) * 900 };
            let opportunities = |tenth| bits(tenth) / (1504 * 8);
            (opportunities(tenth + 1) > opportunities(tenth)).then_some(tenth as u32 / 10 + 1)
        })
        .chain([200])
        .collect();
    let inline = lines.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    for (spec, most) in [
        ("rate 1mbit queue 64kB; at 100ms rate 9mbit queue 64kB; repeat every 200ms".to_owned(), 0.1),
        (format!("rate trace {{ {inline} }} queue 64kB"), 0.1),
        ("rate 1mbit queue 100ms; at 100ms rate 9mbit queue 100ms; repeat every 200ms".to_owned(), 0.1),
    ] {
        let mut link = Link::new(spec.parse().unwrap(), Seed::new(1));
        let minute = at(0).after(Duration::from_secs(60));
        let arrived = (0..60_000).filter(|&n| {
            let fate = link.transmit(at(0).after(ms(n)), &[0; 1222]);
            copies(&fate).iter().any(|copy| copy.at <= minute)
        });
        let mbit = arrived.count() as f64 * 10_000.0 / 60.0 / 1e6;
        println!("{mbit} Mbit/s");
        assert!((mbit - 5.0).abs() <= most, "{mbit} Mbit/s");
    }
}

#[test]
fn what_is_no_trace_is_refused_by_its_line() {
    let most = 1 << 20;
    for (text, error) in [
        ("", RateTraceError::Empty),
        ("\n \n", RateTraceError::Empty),
        ("0\n0\n", RateTraceError::NoTime),
        ("1\n2\nx\n", RateTraceError::NotANumber { line: 3 }),
        ("1\n\n-2\n", RateTraceError::NotANumber { line: 3 }),
        ("1\n2.5\n", RateTraceError::NotANumber { line: 2 }),
        ("+1\n", RateTraceError::NotANumber { line: 1 }),
        ("4294967296\n", RateTraceError::NotANumber { line: 1 }),
        ("1 2\n", RateTraceError::NotANumber { line: 1 }),
        ("1\n3\n2\n", RateTraceError::OutOfOrder { line: 3 }),
        (&"1\n".repeat(most + 1), RateTraceError::TooLong { most }),
    ] {
        assert_eq!(text.parse::<RateTrace>(), Err(error), "{}", text.chars().take(20).collect::<String>());
    }
    assert_eq!(RateTrace::new([]), Err(RateTraceError::Empty));
    assert_eq!(RateTrace::new([0]), Err(RateTraceError::NoTime));
    assert_eq!(RateTrace::new([2, 1]), Err(RateTraceError::OutOfOrder { line: 2 }));
    assert_eq!(" 1 \r\n2\r\n\n4294967295".parse(), RateTrace::new([1, 2, u32::MAX]));
    // All at one moment, and the last of them a datagram of its own.
    let crowd = RateTrace::new(vec![1; most]).unwrap();
    let mut link = link(crowd, QueueLimit::Bytes(u64::MAX));
    let late = (0..=most).map(|_| only(&link.transmit(at(0), &[0; 1504])).at).position(|it| it > at(1_000_000));
    assert_eq!(late, Some(most));
    let datagrams = 65_537;
    let refused = Bottleneck::traced(RateTrace::new([1]).unwrap(), QueueLimit::Datagrams(datagrams));
    assert_eq!(refused, Err(Infeasible::QueueTooLong { datagrams, most: 65_536 }));
}

#[test]
fn a_file_is_read_and_named_again_and_what_is_wrong_with_it_names_it() {
    let folder = std::env::temp_dir().join(format!("udp-retry-traces-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("up.trace", "3\n3\n7\n10\n");
    let odd = file("a \"b\"; {c}.trace", "1\n");
    let (wrong, empty) = (file("wrong", "5\n4\n"), file("empty", ""));

    let text = format!("rate trace {plain} queue 64kB; loss 1%");
    let all: Impairments = text.parse().unwrap();
    assert_eq!(all.to_string(), text);
    let trace = all.bottleneck().unwrap().trace().unwrap();
    assert_eq!((trace.millis(), trace.file()), (&[3, 3, 7, 10][..], Some(&*plain)));
    assert_eq!(*trace, RateTrace::new([3, 3, 7, 10]).unwrap().from_file(&plain));
    assert_eq!(format!("rate trace {plain}").parse(), format!("rate trace {plain} queue 100ms").parse::<Impairments>());

    let quoted = format!("at 5s rate trace \"{}\" queue 25 datagrams", odd.replace('"', "\"\""));
    let all: Impairments = quoted.parse().unwrap();
    assert_eq!(all.to_string(), quoted);

    for (text, position, said) in [
        (
            format!("loss 1%; rate trace {wrong} queue 1ms"),
            21,
            format!("{wrong}: line 2: earlier than the line before"),
        ),
        (format!("rate trace {empty}"), 12, format!("{empty}: a trace has one line at least")),
        ("rate trace { 5,4 }".to_owned(), 12, "line 2: earlier than the line before".to_owned()),
        ("rate trace { 0 }".to_owned(), 12, "a trace takes 1 ms at least: its last line is 0".to_owned()),
    ] {
        let error = text.parse::<Impairments>().unwrap_err();
        assert_eq!((error.position(), error.to_string()), (position, format!("at {position}: {said}")));
    }
    let missing = folder.join("missing").to_str().unwrap().to_owned();
    let error = format!("rate trace {missing}; loss 1%").parse::<Impairments>().unwrap_err();
    assert!(matches!(&error, SpecError::Unreadable { position: 12, file, .. } if *file == missing), "{error}");
    assert!(error.to_string().contains(&missing), "{error}");
    for (text, position, expected) in [
        ("rate trace", 11, "the name of a file, or `{`"),
        ("rate trace ; loss 1%", 12, "the name of a file, or `{`"),
        ("rate trace \"\"", 12, "the name of a file, or `{`"),
        ("rate trace \"up", 15, "a closing quote"),
        ("rate trace { 1 2 }", 16, "`,` or `}`"),
        ("rate trace { }", 14, "a whole number of milliseconds, 4294967295 at most"),
        ("rate trace { 1 } quota", 18, "`queue`, `;` or the end"),
    ] {
        let error = text.parse::<Impairments>().unwrap_err();
        assert!(
            matches!(&error, SpecError::Unexpected { position: at, expected: it, .. } if (*at, *it) == (position, expected)),
            "{text}: {error}"
        );
    }
    // What never ends is not read to its end.
    #[cfg(target_os = "linux")]
    assert!(matches!("rate trace /dev/zero".parse::<Impairments>(), Err(SpecError::Unreadable { .. })));
    fs::remove_dir_all(&folder).unwrap();
}

fn link(trace: RateTrace, queue: QueueLimit) -> Link {
    let hop = Bottleneck::traced(trace, queue).unwrap();
    Link::new(Impairments::NONE.with_headers(0).unwrap().with_bottleneck(hop), Seed::new(1))
}
