//! Runs an example until it ends, as people run it.
#![expect(clippy::disallowed_methods, reason = "processes take real time")]

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is left of an example.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Fails if it takes longer than `patience`.
pub(crate) fn run(example: &str, arguments: &[&str], patience: Duration) -> Ended {
    let mut child = Command::new(built(example))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, stderr) = (reader(child.stdout.take().unwrap()), reader(child.stderr.take().unwrap()));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > patience {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{example} {arguments:?} still runs after {patience:?}");
        }
        thread::sleep(Duration::from_millis(1));
    };
    Ended { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// In a thread of its own, because a pipe that is full would stop the example.
fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}

/// `cargo test` builds the examples, but `cargo test --test NAME` alone does not, and an old one proves nothing.
pub(crate) fn built(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(format!("{example}{EXE_SUFFIX}"));
    let written = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = written(&path) else {
        panic!("{} is not built: run `cargo build --examples`, or all of `cargo test`", path.display());
    };
    // What it was made of, as cargo notes it.
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    if let Some(newer) = sources.split_whitespace().find(|source| written(Path::new(source)) > Some(built)) {
        panic!("{} is older than {newer}: run `cargo build --examples`, or all of `cargo test`", path.display());
    }
    path
}
