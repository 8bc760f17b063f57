//! Runs the tool, and other programs, as people run them. What hangs is killed, and so is what a failed test leaves.
#![expect(clippy::disallowed_methods, reason = "processes take real time")]

use std::io::Read;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What is left of a program.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command of the tool. Fails if it takes longer than `patience`.
pub(crate) fn run(command: &str, arguments: &[&str], patience: Duration) -> Ended {
    bare(&[&[command], arguments].concat(), patience)
}

/// The tool with nothing but these arguments.
pub(crate) fn bare(arguments: &[&str], patience: Duration) -> Ended {
    Running::start(udp_retry().args(arguments), patience).end()
}

/// A command of the tool, to be given arguments; its output is piped, and it has no input.
pub(crate) fn tool(command: &str) -> Command {
    let mut tool = udp_retry();
    tool.arg(command);
    tool
}

fn udp_retry() -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_udp-retry"));
    tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tool
}

/// A program that runs. It is killed when its time is over, which ends every wait for it, and when this goes.
pub(crate) struct Running {
    child: Arc<Mutex<Child>>,
    what: String,
    stdout: Option<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    killed: JoinHandle<bool>,
    over: Sender<()>,
}

impl Running {
    pub(crate) fn start(command: &mut Command, patience: Duration) -> Self {
        Self::try_start(command, patience).unwrap()
    }

    /// The error is that there is no such program.
    pub(crate) fn try_start(command: &mut Command, patience: Duration) -> std::io::Result<Self> {
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take().map(reader));
        let child = Arc::new(Mutex::new(child));
        let (over, is_over) = mpsc::channel::<()>();
        let watched = child.clone();
        let killed = thread::spawn(move || {
            let late = is_over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if late {
                let _ = lock(&watched).kill();
            }
            late
        });
        Ok(Self { child, what: format!("{command:?}"), stdout, stderr, killed, over })
    }

    pub(crate) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    pub(crate) fn is_running(&self) -> bool {
        lock(&self.child).try_wait().unwrap().is_none()
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        lock(&self.child).stdin.take().unwrap()
    }

    /// To be read, or dropped, by the test itself; [`end`](Self::end) then tells nothing of it.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.stdout.take().unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> Ended {
        let (stdout, stderr) = (self.stdout.take().map(reader), self.stderr.take());
        let code = loop {
            // Polled, because the watchdog needs the child for as long as it runs.
            if let Some(status) = lock(&self.child).try_wait().unwrap() {
                break status.code();
            }
            thread::sleep(Duration::from_millis(1));
        };
        let _ = self.over.send(());
        let killed = std::mem::replace(&mut self.killed, thread::spawn(|| false)).join().unwrap();
        assert!(!killed, "{} ran too long and was killed", self.what);
        let text = |reader: Option<JoinHandle<String>>| reader.map_or_else(String::new, |it| it.join().unwrap());
        Ended { code, stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // It may have ended by itself, which is just as well.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a thread of its own, because a pipe that is full would stop the program.
fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}
