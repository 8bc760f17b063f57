//! Runs an example until it ends, as people run it.
#![expect(clippy::disallowed_methods, reason = "processes take real time")]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::built::built;

/// What is left of an example.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Fails if it takes longer than `patience`.
pub(crate) fn run(example: &str, arguments: &[&str], patience: Duration) -> Ended {
    ended(&mut piped(example, arguments), &format!("{example} {arguments:?}"), patience)
}

/// As [`run`], of a command that runs an example in its own way.
#[cfg(target_os = "linux")]
pub(crate) fn end(command: &mut Command, patience: Duration) -> Ended {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ended(&mut child, &format!("{command:?}"), patience)
}

fn ended(child: &mut Child, what: &str, patience: Duration) -> Ended {
    let (stdout, stderr) = (reader(child.stdout.take().unwrap()), reader(child.stderr.take().unwrap()));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > patience {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what} still runs after {patience:?}");
        }
        thread::sleep(Duration::from_millis(1));
    };
    Ended { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Started, without input.
pub(crate) fn piped(example: &str, arguments: &[&str]) -> Child {
    Command::new(built(example))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// In a thread of its own, because a pipe that is full would stop the example.
pub(crate) fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}
