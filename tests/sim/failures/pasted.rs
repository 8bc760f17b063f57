//! The test that a failure prints, as a user would paste it: it compiles, and fails for the same reason.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use udp_retry::sim::{Choice, Counterexample, exhaust, replay};

use super::found;
use super::scenarios::{changes_its_path, needs_no_retransmission, reports_a_retransmission};
use crate::watchdog::{MINUTE, within};

#[test]
fn the_test_that_a_failure_prints_compiles_and_fails_for_the_same_reason() {
    within(5 * MINUTE, || {
        let choices = [Choice::Deliver, Choice::Drop, Choice::Late { by: Duration::from_millis(150) }];
        let failures = [
            found(needs_no_retransmission),
            found(reports_a_retransmission),
            found(changes_its_path),
            exhaust(4, &choices, reports_a_retransmission).unwrap_err(),
        ];
        let program = Program::of(&failures);
        for failure in &failures {
            let test = failure.as_test().unwrap();
            let name = test.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            let output = Command::new(&program.path).args(["--exact", name]).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(!output.status.success() && said.contains("1 failed"), "{test}{said}");
            let why = failure.shrunk_error.as_ref().unwrap_or(&failure.error);
            // There a path of this crate is an absolute one.
            let first_line = why.lines().next().unwrap().trim_start_matches("panicked at ");
            assert!(said.contains(first_line), "{first_line}\n{test}{said}");
            // To the last event.
            let log = log_of(&failure.to_string());
            assert!(!log.is_empty() && log_of(&said) == log, "{failure}\n{said}");
        }
    });
}

/// The listings of README and of the front page of `sim` as they stand, but for what they expect.
#[test]
fn the_listings_of_the_documentation_report_a_failure_with_all_that_is_promised() {
    within(5 * MINUTE, || {
        let page = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let front = page("src/sim/mod.rs").replace("//! ", "").replace("//!", "");
        let mut source = String::new();
        for (page, function) in [(page("README.md"), "answers_are_ours"), (front, "asks_three_times")] {
            let (_, listing) = page.split_once(&format!("fn {function}(")).unwrap();
            let (listing, _) = listing.split_once("\n}\n").unwrap();
            let (right, wrong) = ("assert_eq!(reply.payload(), [id, b'?'])", "assert_eq!(reply.transmissions(), 1)");
            assert!(listing.contains(right), "{listing}");
            source += &format!("fn {function}({}\n}}\n", listing.replace(right, wrong));
        }
        source += "use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};
            use udp_retry::{fault::Profile, sim::{SimNet, echo, explore}};
            use std::time::Duration;
            #[test] fn readme() { explore(0..1_000, answers_are_ours).unwrap_or_else(|failure| panic!(\"{failure}\")); }
            #[test] fn front() { explore(0..1_000, asks_three_times).unwrap_or_else(|failure| panic!(\"{failure}\")); }
        ";
        let program = Program::from(&source);
        for (test, function) in [("readme", "answers_are_ours"), ("front", "asks_three_times")] {
            let output = Command::new(&program.path).args(["--exact", test]).output().unwrap();
            let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
            let seed = said.split("  repeat with UDP_RETRY_SEED=").nth(1).unwrap_or_else(|| panic!("{said}"));
            let seed = seed.split('\n').next().unwrap();
            for promised in [
                &format!("seed {seed} failed: panicked at "),
                "assertion `left == right` failed",
                ".parse::<Script>()?\n",
                " of 2 bytes [",
                &format!("fn {function}_with_the_faults_of_seed_{seed}() {{"),
                &format!("udp_retry::sim::replay({seed}, &paths, crate::{function})"),
            ] {
                assert!(said.contains(promised), "{promised}: {said}");
            }
        }
    });
}

/// The lines of the events.
fn log_of(told: &str) -> Vec<String> {
    told.lines().filter(|line| line.contains(" ms  10.0.0.")).map(ToString::to_string).collect()
}

/// A program of tests.
struct Program {
    folder: PathBuf,
    path: PathBuf,
}

impl Program {
    /// The tests that these failures print, where they are to be pasted.
    fn of(failures: &[Counterexample]) -> Self {
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/failures/scenarios.rs");
        let tests: String = failures.iter().map(|failure| failure.as_test().unwrap()).collect();
        let module = format!("mod failures {{\n    #[path = {scenarios:?}]\n    pub(crate) mod scenarios;\n}}\n\n");
        Self::from(&(module + &tests))
    }

    fn from(source: &str) -> Self {
        static BUILT: AtomicU32 = AtomicU32::new(0);
        let name = format!("udp-retry-pasted-{}-{}", std::process::id(), BUILT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("pasted{}", env::consts::EXE_SUFFIX));
        let program = Self { folder, path };
        let written = program.folder.join("pasted.rs");
        fs::write(&written, source).unwrap();
        // Several builds of the library may lie there, with other features or of other days: the newest comes first.
        let mut said = String::new();
        for library in libraries() {
            let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
            rustc.args(["--test", "--edition", "2024", "-o"]).args([&program.path, &written]);
            rustc.arg("--extern").arg(format!("udp_retry={}", library.display()));
            rustc.arg("-L").arg(format!("dependency={}", library.parent().unwrap().display()));
            let output = rustc.output().unwrap();
            if output.status.success() {
                return program;
            }
            said = String::from_utf8(output.stderr).unwrap();
        }
        panic!("{source}\n{said}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The builds of the library that lie beside this program.
fn libraries() -> Vec<PathBuf> {
    let test = env::current_exe().unwrap();
    let beside = fs::read_dir(test.parent().unwrap()).unwrap().map(|entry| entry.unwrap());
    let mut found: Vec<_> = beside
        .filter(|entry| {
            let name = entry.file_name().into_string().unwrap_or_default();
            name.starts_with("libudp_retry-") && name.ends_with(".rlib")
        })
        .map(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.path()))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

#[test]
fn a_replay_has_the_faults_and_the_delays_that_it_is_given_and_no_others() {
    // Without faults the path that loses 30 % loses nothing.
    for seed in 0..100 {
        assert_eq!(replay(seed, &[(0, "delay 1ms", "delay 2ms")], needs_no_retransmission), Ok(()), "seed {seed}");
        assert_eq!(replay(seed, &[], needs_no_retransmission), Ok(()), "seed {seed}");
    }
    let told = replay(1, &[(0, "script { drop 2 }; delay 1ms", "delay 2ms")], needs_no_retransmission).unwrap_err();
    let told = told.to_string();
    assert!(told.contains("arrives at 1.000 ms") && told.contains("arrives at 3.000 ms"), "{told}");
    // It is the test already.
    assert!(!told.contains("#[test]") && told.contains("path 0, to_server: \"drop 2\""), "{told}");
}

#[test]
fn a_replay_that_cannot_be_read_fails_with_the_place() {
    let refused = |paths: &[(u64, &str, &str)]| replay(1, paths, needs_no_retransmission).unwrap_err().to_string();
    let told = refused(&[(0, "none", "none"), (3, "none", "loss 101%")]);
    assert!(told.starts_with("path 3, to_client, \"loss 101%\": "), "{told}");
    assert_eq!(refused(&[(0, "none", "none"), (0, "none", "none")]), "path 0 is given twice");
}
