//! Runs a test once more in a process of its own, where it plays another part.
#![cfg(target_os = "linux")]

use std::env;
use std::process::{Child, Command};

/// The name of the test around it, as the test program is asked for it.
macro_rules! this_test {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here).trim_end_matches("::here").trim_end_matches("::{{closure}}");
        path.split_once("::").unwrap().1
    }};
}
pub(crate) use this_test;

/// What this process does instead of the test, if anything.
pub(crate) fn part() -> Option<String> {
    env::var(PART).ok()
}

/// The test in another part; `around` is what comes before it on the command line.
pub(crate) fn again(test: &str, part: &str, around: &[&str]) -> Command {
    let program = env::current_exe().unwrap();
    let mut command = match around {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(PART, part);
    command
}

/// A process that ends with its owner.
pub(crate) struct Ending(pub(crate) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PART: &str = "UDP_RETRY_TEST_PART";
