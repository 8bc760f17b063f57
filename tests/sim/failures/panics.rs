//! A scenario that panics is a failure like any other, and what it prints is printed once.
#![expect(clippy::disallowed_methods, reason = "threads that panic, and searches at the same time")]

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::env;
use std::ffi::OsStr;
use std::panic;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use udp_retry::fault::{Direction, Rule};
use udp_retry::sim::{Choice, SimNet, exhaust, explore, replay};

use super::scenarios::{needs_no_retransmission, reports_a_retransmission};
use super::{found, lost};
use crate::watchdog::{MINUTE, within};

#[test]
fn a_panic_and_an_error_have_the_same_seed_and_the_same_faults() {
    let (panicked, returned) = (found(needs_no_retransmission), found(reports_a_retransmission));
    assert_eq!((panicked.seed, &panicked.faults), (returned.seed, &returned.faults));
    assert!(panicked.faults.is_some_and(|faults| faults.len() == 1));

    let choices = [Choice::Deliver, Choice::Drop, Choice::Late { by: Duration::from_millis(150) }];
    let panicked = exhaust(4, &choices, needs_no_retransmission).unwrap_err();
    let returned = exhaust(4, &choices, reports_a_retransmission).unwrap_err();
    assert_eq!((panicked.seed, &panicked.faults), (returned.seed, &returned.faults));
    assert!(panicked.faults.is_some_and(|faults| faults.len() == 1));
}

#[test]
fn the_text_and_the_place_of_a_panic_are_the_error() {
    let failure = found(needs_no_retransmission);
    let place = format!("panicked at {}:", file!().replace("panics.rs", "scenarios.rs"));
    assert!(failure.error.starts_with(&place), "{failure}");
    assert!(failure.error.contains("assertion `left == right` failed: request "), "{failure}");
    assert_eq!(failure.shrunk_error.as_ref(), Some(&failure.error), "its place is known in quiet runs too");

    let text = |scenario: fn() -> u8| {
        let scenario = move |_: &SimNet| if scenario() == 1 { Ok(()) } else { Err("no panic") };
        explore(3..9, scenario).unwrap_err().error
    };
    let place = |line: u32| format!("panicked at {}:{line}:", file!());
    let error = text(|| panic!("a {} text", "formatted"));
    assert!(error.starts_with(&place(line!() - 1)) && error.ends_with(": a formatted text"), "{error}");
    let error = text(|| [1, 2, 3][env::args().count() + 3]);
    assert!(error.contains("index out of bounds"), "{error}");
    assert_eq!(text(|| panic::resume_unwind(Box::new("passed on"))), "panicked: passed on");
    assert!(text(|| panic::panic_any(7)).ends_with(": a panic without a text"));
}

#[test]
fn a_replay_that_panics_fails() {
    let paths = [(0, "script { drop 1 }; delay 20ms", "delay 20ms")];
    let failure = replay(7, &paths, needs_no_retransmission).unwrap_err();
    assert!(failure.error.contains("request 0") && failure.error.starts_with("panicked at "), "{failure}");
    assert_eq!(replay(7, &[(0, "delay 20ms", "delay 20ms")], needs_no_retransmission), Ok(()));
}

/// It takes two losses, of which one alone breaks the scenario in another way.
#[test]
fn a_run_that_panics_only_while_it_is_shrunk_is_a_failure_too() {
    let scenario = |net: &SimNet| {
        let lost = lost(net, "loss 50%", 4);
        assert_ne!(lost, [0], "the first alone");
        if lost == [0, 1] { Err("the first and the second") } else { Ok(()) }
    };
    // The seeds that panic at once are left out.
    let both = (0..1_000).find(|&seed| {
        let run = |net: &SimNet| scenario(net).map_err(ToString::to_string);
        explore(seed..seed + 1, run).is_err_and(|failure| failure.error == "the first and the second")
    });
    let both = both.unwrap();
    let failure = explore(both..both + 1, scenario).unwrap_err();
    assert_eq!(failure.error, "the first and the second");
    assert!(
        failure.shrunk_error.as_ref().is_some_and(|error| error.ends_with("the first alone\n  left: [0]\n right: [0]")),
        "{failure}"
    );
    let faults: Vec<_> = failure.faults.iter().flatten().map(|it| (it.path, it.direction, it.n, it.rule)).collect();
    assert_eq!(faults, [(0, Direction::ToServer, 1, Rule::Drop)]);
}

#[test]
fn panics_are_printed_in_the_first_run_only_and_those_of_other_threads_always() {
    within(MINUTE, || {
        let output = alone("panics_are_printed_in_the_first_run_only_and_those_of_other_threads_always", || {
            let runs = Cell::new(0);
            let scenario = |_: &SimNet| -> Result<(), String> {
                runs.set(runs.get() + 1);
                let other = thread::spawn(|| panic!("of another thread"));
                assert!(other.join().is_err());
                panic!("of the scenario");
            };
            let failure = explore(3..9, scenario).unwrap_err();
            println!("\n{} runs: {}", runs.get(), failure.error);
            let _ = panic::catch_unwind(|| panic!("afterwards"));
        });
        let Some(output) = output else { return };
        let (stdout, stderr) = texts(&output);
        assert!(stdout.contains("of the scenario"), "{stdout}");
        let times = |text: &str| stderr.matches(text).count();
        // Once by the hook, and once in the line that reports the seed.
        assert_eq!(times("\nof the scenario"), 1, "{stderr}");
        assert_eq!((times("seed 3 failed: panicked at "), times("afterwards")), (1, 1), "{stderr}");
        let runs: usize = stdout.split(" runs: ").next().unwrap().rsplit('\n').next().unwrap().parse().unwrap();
        assert!(runs > 2 && times("of another thread") == runs, "{runs} runs: {stderr}");
    });
}

#[test]
fn the_panic_hook_is_put_back_whatever_happens() {
    within(MINUTE, || {
        let output = alone("the_panic_hook_is_put_back_whatever_happens", || {
            let (calls, depth) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicUsize::new(0)));
            let panics = |how: &str, counts: u32| {
                let before = calls.load(Ordering::SeqCst);
                let _ = panic::catch_unwind(|| panic!("counted"));
                assert_eq!(calls.load(Ordering::SeqCst) - before, counts, "{how}");
            };
            let (counting, measuring) = (calls.clone(), depth.clone());
            panic::set_hook(Box::new(move |_| {
                counting.fetch_add(1, Ordering::SeqCst);
                let frames = Backtrace::force_capture().to_string().lines().count();
                measuring.store(frames, Ordering::SeqCst);
            }));
            panics("before", 1);
            let without_others = depth.load(Ordering::SeqCst);

            let fails = |_: &SimNet| -> Result<(), String> { panic!("always") };
            explore(0..9, fails).unwrap_err();
            explore(0..9, |_| Ok::<_, String>(())).unwrap();
            exhaust(2, &[Choice::Drop], fails).unwrap_err();
            replay(0, &[], fails).unwrap_err();
            panics("after a search", 1);

            // Searches that overlap, of which the first one to begin ends first.
            for _ in 0..50 {
                let threads = [(); 4].map(|()| thread::spawn(move || explore(0..9, fails).unwrap_err()));
                explore(0..9, |_| explore(0..2, fails).map(|_| ()).map_err(|failure| failure.error)).unwrap_err();
                threads.into_iter().for_each(|thread| assert!(thread.join().unwrap().error.contains("always")));
            }
            panics("after searches that overlap", 1);
            assert_eq!(depth.load(Ordering::SeqCst), without_others, "other hooks are left before it");

            // One that a scenario sets stays, and one that it takes away stays away.
            let (runs, twice) = (Cell::new(0), calls.clone());
            explore(0..2, |_| {
                runs.set(runs.get() + 1);
                if runs.get() == 1 {
                    let (before, twice) = (panic::take_hook(), twice.clone());
                    panic::set_hook(Box::new(move |info| {
                        twice.fetch_add(1, Ordering::SeqCst);
                        before(info);
                    }));
                }
                Ok::<_, String>(())
            })
            .unwrap();
            panics("after a hook before the others", 2);
            explore(0..9, fails).unwrap_err();
            panics("and after one more search", 2);
            explore(0..1, |_| {
                drop(panic::take_hook());
                Ok::<_, String>(())
            })
            .unwrap();
            panics("without any hook", 0);
            println!("all is well");
        });
        let Some(output) = output else { return };
        let (stdout, stderr) = texts(&output);
        assert!(stdout.contains("all is well"), "{stdout}\n{stderr}");
    });
}

/// A search in a destructor, while the thread panics already, must not end the process.
#[test]
fn a_search_while_the_thread_panics_is_made_without_the_hook() {
    struct Searches;
    impl Drop for Searches {
        fn drop(&mut self) {
            let failure = explore(0..9, |_| Err::<(), _>("always")).unwrap_err();
            assert_eq!(failure.error, "always");
        }
    }
    let caught = panic::catch_unwind(|| {
        let _searches = Searches;
        panic!("the first");
    });
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"the first"));
}

/// Runs the body in a process of its own, and returns what it printed; inside that process `None`.
pub(super) fn alone(test: &str, body: impl FnOnce()) -> Option<Output> {
    alone_with::<&str>("panics", test, &[], body)
}

/// With these variables for searches, and without any other.
pub(super) fn alone_with<V: AsRef<OsStr>>(
    module: &str,
    test: &str,
    variables: &[(&str, V)],
    body: impl FnOnce(),
) -> Option<Output> {
    if env::var_os(INSIDE).is_some() {
        body();
        return None;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("failures::{module}::{test}"), "--nocapture", "--test-threads=1"]);
    for name in ["UDP_RETRY_SEED", "UDP_RETRY_SEEDS", "UDP_RETRY_CHOICES", "UDP_RETRY_SHRINK", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.env(INSIDE, "1").envs(variables.iter().map(|(name, value)| (name, value)));
    Some(command.output().unwrap())
}

pub(super) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

const INSIDE: &str = "UDP_RETRY_TEST_INSIDE";
