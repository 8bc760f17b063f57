//! The seed comes first, then the search for the faults that matter, in bounded time and memory; what it finds is few and
//! round.
#![expect(clippy::disallowed_methods, reason = "real time is what a search may take")]

use std::cell::Cell;
use std::time::{Duration, Instant};
#[cfg(unix)]
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use udp_retry::fault::{Direction, Rule};
use udp_retry::sim::{Counterexample, SimNet, exhaust, explore};
use udp_retry::transport::{PathIndex, Transport};

use super::panics::{alone_with, texts};
use super::{found, lost};
use crate::watchdog::{MINUTE, within};
use crate::world::{SERVER, World, ms};

#[test]
fn the_seed_is_reported_before_the_first_run_that_shrinks() {
    within(MINUTE, || {
        let body = || {
            let runs = Cell::new(0);
            let _ = explore(0x31..99, |_| -> Result<(), &str> {
                runs.set(runs.get() + 1);
                if runs.get() == 2 {
                    // As a runner kills what takes too long.
                    std::process::abort();
                }
                Err("what is wrong\nand more of it")
            });
        };
        let test = "the_seed_is_reported_before_the_first_run_that_shrinks";
        let Some(output) = alone_with::<&str>("budget", test, &[], body) else { return };
        let (stdout, stderr) = texts(&output);
        assert!(!output.status.success(), "{stdout}");
        assert!(stderr.contains("seed 49 failed: what is wrong; shrinking\n"), "{stdout}{stderr}");
    });
}

#[test]
fn a_search_ends_when_its_time_is_over_and_reports_what_it_has() {
    within(MINUTE, || {
        let body = || {
            let start = Instant::now();
            let failure = explore(0..1_000, |net| fails_slowly(net, Duration::from_millis(5))).unwrap_err();
            println!("\n{:?} {} faults\n{failure}", start.elapsed(), failure.faults.as_ref().map_or(0, Vec::len));
        };
        let test = "a_search_ends_when_its_time_is_over_and_reports_what_it_has";
        let Some(output) = alone_with("budget", test, &[("UDP_RETRY_SHRINK", "200ms")], body) else { return };
        let (stdout, stderr) = texts(&output);
        assert!(stdout.contains("fewer may be: the time for shrinking was over"), "{stdout}{stderr}");
        let faults: usize = stdout.split(" faults\n").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!((1..200).contains(&faults), "{stdout}");
        // Besides it there are the first run, the same again, and one with what is left.
        let took = stdout.lines().find(|line| line.ends_with(" faults")).unwrap().split(' ').next().unwrap();
        assert!(took.ends_with("ms") || took.starts_with("1.") || took.starts_with("2."), "{took}");
    });
}

#[test]
fn a_run_that_lasts_is_left_when_the_time_is_over() {
    within(MINUTE, || {
        let body = || {
            let (start, runs) = (Instant::now(), Cell::new(0));
            let scenario = |net: &SimNet| -> Result<(), &str> {
                runs.set(runs.get() + 1);
                if runs.get() > 2 {
                    // Only now it has no end.
                    net.limit(udp_retry::sim::Limits::NONE);
                    loop {
                        net.run_until(net.now().after(ms(1)));
                    }
                }
                Err("at once")
            };
            let failure = explore(0..9, scenario).unwrap_err();
            println!("\n{} s, {} runs\n{failure}", start.elapsed().as_secs(), runs.get());
        };
        // The last run, for the story, is not made if there are no few faults.
        let test = "a_run_that_lasts_is_left_when_the_time_is_over";
        let Some(output) = alone_with("budget", test, &[("UDP_RETRY_SHRINK", "100ms")], body) else { return };
        let (stdout, stderr) = texts(&output);
        assert!(
            stdout.contains(" s, 3 runs\n") && stdout.contains("there was no time to shrink its faults"),
            "{stdout}{stderr}"
        );
    });
}

#[test]
fn without_time_nothing_is_shrunk() {
    within(MINUTE, || {
        let body = || {
            let failure = explore(0..1_000, |net| fails_slowly(net, Duration::ZERO)).unwrap_err();
            println!("\n{failure}");
        };
        let Some(output) = alone_with("budget", "without_time_nothing_is_shrunk", &[("UDP_RETRY_SHRINK", "0s")], body)
        else {
            return;
        };
        let (stdout, stderr) = texts(&output);
        assert!(stdout.contains("no time to shrink") && stdout.contains("UDP_RETRY_SEED=0\n"), "{stdout}{stderr}");
    });
}

#[test]
fn variables_that_cannot_be_read_fail_with_their_value_and_run_nothing() {
    within(MINUTE, || {
        let test = "variables_that_cannot_be_read_fail_with_their_value_and_run_nothing";
        let cases = [
            ("UDP_RETRY_SEED", "18446744073709551615", "1", "1"),
            ("UDP_RETRY_SEED", "0x2a", "1", "1"),
            ("UDP_RETRY_SEED", "abc", "UDP_RETRY_SEED=abc: not a number of 64 bits, such as 42 or 0x2a", "1"),
            ("UDP_RETRY_SEED", "-1", "UDP_RETRY_SEED=-1: not a number of 64 bits, such as 42 or 0x2a", "1"),
            ("UDP_RETRY_SEEDS", "0", "UDP_RETRY_SEEDS=0: no seed to run", "1"),
            ("UDP_RETRY_SEEDS", "0..0", "UDP_RETRY_SEEDS=0..0: no seed to run", "1"),
            ("UDP_RETRY_SEEDS", "7..12", "5", "1"),
            (
                "UDP_RETRY_SHRINK",
                "3",
                "UDP_RETRY_SHRINK=3: not a time such as 10s or 500ms",
                "UDP_RETRY_SHRINK=3: not a time such as 10s or 500ms",
            ),
            ("UDP_RETRY_CHOICES", "drop late(1s)", "3", "1"),
            (
                "UDP_RETRY_CHOICES",
                "lost",
                "3",
                "UDP_RETRY_CHOICES=lost: lost: `deliver`, `drop`, `duplicate(15ms)` and `late(115ms)` are choices",
            ),
        ];
        for (name, value, explored, exhausted) in cases {
            let Some(output) = alone_with("budget", test, &[(name, value)], search_twice) else { return };
            let (stdout, stderr) = texts(&output);
            let ran: u64 = [explored, exhausted].iter().filter_map(|said| said.parse::<u64>().ok()).sum();
            let expected = format!("\nexplored: {explored}\nexhausted: {exhausted}\nruns: {ran}\n");
            assert!(stdout.contains(&expected), "{name}={value}: {stdout}{stderr}");
        }
    });
}

/// Where the system has such values.
#[cfg(unix)]
#[test]
fn variables_that_are_no_text_fail_with_what_is_legible_of_their_value_and_run_nothing() {
    within(MINUTE, || {
        let test = "variables_that_are_no_text_fail_with_what_is_legible_of_their_value_and_run_nothing";
        let value = OsStr::from_bytes(b"7\xff");
        for name in ["UDP_RETRY_SEED", "UDP_RETRY_SEEDS", "UDP_RETRY_SHRINK", "UDP_RETRY_CHOICES"] {
            let Some(output) = alone_with("budget", test, &[(name, value)], search_twice) else { return };
            let (stdout, stderr) = texts(&output);
            let said = format!("{name}=7\u{fffd}: not a text");
            let expected = format!("\nexplored: {said}\nexhausted: {said}\nruns: 0\n");
            assert!(stdout.contains(&expected), "{name}: {stdout}{stderr}");
        }
    });
}

/// By both kinds of search: prints what they return, and how often they ran.
fn search_twice() {
    let runs = Cell::new(0);
    let scenario = |_: &SimNet| {
        runs.set(runs.get() + 1);
        Ok::<_, String>(())
    };
    let said =
        |ended: Result<u64, Counterexample>| ended.map_or_else(|failure| failure.to_string(), |runs| runs.to_string());
    let (explored, exhausted) = (said(explore(100..103, scenario)), said(exhaust(1, &[], scenario)));
    println!("\nexplored: {explored}\nexhausted: {exhausted}\nruns: {}", runs.get());
}

#[test]
fn no_more_datagrams_are_exhausted_than_is_feasible() {
    let nearest = |datagrams, choices: &[_]| {
        let failure = exhaust(datagrams, choices, |_: &SimNet| Err::<(), _>("run")).unwrap_err();
        assert!(
            failure.faults.is_none() && failure.error.starts_with(&format!("exhaust of {datagrams} ")),
            "{failure}"
        );
        let (_, nearest) = failure.error.split_once("the nearest feasible is ").unwrap();
        nearest.strip_suffix(" datagrams").unwrap().parse::<u32>().unwrap()
    };
    use udp_retry::sim::Choice::{Deliver, Drop};
    // 3²⁰ < 2³² < 3²¹. In 64 bits 2⁶⁴ and 4³² are 0. The fewest go first: should the check fail, u32::MAX would take all
    // memory.
    for (choices, most) in [
        (&[Deliver, Drop][..], 32),
        (&[Deliver, Drop, Deliver], 20),
        (&[Deliver, Drop, Drop, Deliver], 16),
        (&[Deliver], 65_536),
        (&[], 65_536),
    ] {
        for datagrams in [most + 1, most * 2, u32::MAX] {
            assert_eq!(nearest(datagrams, choices), most, "{datagrams} datagrams, {choices:?}");
        }
    }
    // What is feasible is begun.
    let begun = |datagrams, choices: &[_]| exhaust(datagrams, choices, |_: &SimNet| Err::<(), _>("run"));
    assert_eq!(begun(32, &[Deliver, Drop]).unwrap_err().error, "run");
    assert_eq!(begun(20, &[Deliver, Drop, Deliver]).unwrap_err().error, "run");
    for alone in [&[Deliver][..], &[]] {
        assert_eq!(exhaust(65_536, alone, |_: &SimNet| Ok::<_, String>(())), Ok(1), "{alone:?}");
    }
}

/// Two delays of some 55 ms each, where one of 100 ms is enough.
#[test]
fn delays_become_one_and_round() {
    let scenario = |net: &SimNet| {
        let world = World::new(net, "delay 30ms ~30ms", "delay 30ms ~30ms");
        world.net.serve(SERVER, udp_retry::sim::echo()).unwrap();
        let mut transport = net.connect(world.client, SERVER).unwrap();
        transport.send(PathIndex::FIRST, b"one").unwrap();
        let until = net.now().after(ms(1_000));
        transport.recv(&mut [0; 9], net.now(), until);
        if net.now().since(udp_retry::time::Timestamp::ZERO) >= ms(100) { Err("late") } else { Ok(()) }
    };
    let failure = found(scenario);
    let faults: Vec<_> = failure.faults.iter().flatten().map(|fault| (fault.n, fault.rule)).collect();
    assert_eq!(faults, [(1, Rule::Delay { by: ms(100) })], "{failure}");
    assert!(failure.to_string().contains("\"delay 1 by 100ms\""), "{failure}");
}

#[test]
fn a_delay_that_no_round_number_replaces_keeps_its_digits() {
    let scenario = |net: &SimNet| {
        let world = World::new(net, "delay 0ms; reorder 50% by 123456us", "none");
        world.net.serve(SERVER, udp_retry::sim::echo()).unwrap();
        let mut transport = net.connect(world.client, SERVER).unwrap();
        transport.send(PathIndex::FIRST, b"one").unwrap();
        let until = net.now().after(ms(1_000));
        transport.recv(&mut [0; 9], net.now(), until);
        let took = net.now().since(udp_retry::time::Timestamp::ZERO);
        if (Duration::from_micros(123_400)..Duration::from_micros(123_500)).contains(&took) {
            Err("then")
        } else {
            Ok(())
        }
    };
    let failure = found(scenario);
    let faults: Vec<_> = failure.faults.iter().flatten().map(|fault| (fault.n, fault.rule)).collect();
    assert_eq!(faults, [(1, Rule::Delay { by: Duration::from_micros(123_456) })], "{failure}");
}

#[test]
fn a_seed_that_takes_fewer_faults_is_reported_instead_and_the_first_one_named() {
    // Any two of the first eight lost, or the ninth alone.
    let scenario = |net: &SimNet| {
        let lost = lost(net, "loss 20%", 9);
        let early = lost.iter().filter(|n| **n < 8).count();
        if lost.contains(&8) {
            Err("the ninth")
        } else if early >= 2 {
            Err("two of the others")
        } else {
            Ok(())
        }
    };
    let first = (0..1_000)
        .find(|&seed| explore(seed..seed + 1, scenario).is_err_and(|failure| failure.error == "two of the others"));
    let first = first.unwrap();
    let failure = explore(first..1_000, scenario).unwrap_err();
    let faults: Vec<_> = failure.faults.iter().flatten().map(|fault| (fault.direction, fault.n, fault.rule)).collect();
    assert_eq!(faults, [(Direction::ToServer, 9, Rule::Drop)], "{failure}");
    assert_eq!(failure.error, "the ninth");
    let told = failure.to_string();
    let before = format!("  seed {first} failed first, and takes more faults: two of the others\n");
    assert!(told.contains(&before), "{told}");
    assert!(told.contains(&format!("UDP_RETRY_SEED={}\n", failure.seed)), "{told}");
    // A seed that was asked for is not left for another.
    let only = explore(first..first + 1, scenario).unwrap_err();
    assert_eq!(
        (only.seed.number(), only.error.as_str(), only.faults.map(|faults| faults.len())),
        (first, "two of the others", Some(2))
    );
}

/// Of a run with 20,000 hosts some first and last events are shown, and the rest is counted.
#[test]
fn a_failing_run_of_many_events_is_reported_in_some_sixty_lines() {
    let failure = found(|net| {
        lost(net, "loss 30%; delay 5ms ~5ms", 20_000);
        Err::<(), _>("whatever")
    });
    let told = failure.to_string();
    assert!(told.lines().count() < 80, "{told}");
    assert_eq!(told.lines().filter(|line| line.contains(" ms  10.0.0.1")).count(), 60, "{told}");
    // Sent and arrived, each of them.
    assert!(told.contains("     39940 events more"), "{told}");
}

/// Fails if more than half of 200 datagrams take any time, and takes this long to find out.
fn fails_slowly(net: &SimNet, takes: Duration) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < takes {}
    let world = World::new(net, "delay 10ms ~10ms", "none");
    let late = std::rc::Rc::new(Cell::new(0));
    let note = late.clone();
    let server = move |now: udp_retry::time::Timestamp,
                       _: std::net::SocketAddr,
                       _: &[u8],
                       _: &mut udp_retry::sim::Outbox<'_>| {
        note.set(note.get() + u32::from(now > udp_retry::time::Timestamp::ZERO));
    };
    net.serve(SERVER, server).unwrap();
    let mut transport = net.connect(world.client, SERVER).unwrap();
    for _ in 0..200 {
        transport.send(PathIndex::FIRST, b"datagram").unwrap();
    }
    net.run_until(net.now().after(ms(1_000)));
    if late.get() > 100 { Err(format!("{} are late", late.get())) } else { Ok(()) }
}
