//! All listeners of the process, each in a thread of its own, so that none waits for another.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Listener;
use super::control::Control;
use super::ending::finish;
use super::process::Process;
use super::running::Running;
use crate::output::OutputFile;
use crate::terminal::{Misuse, Outcome, say};

pub(super) struct Listeners<'a> {
    pub(super) running: Vec<Running<'a>>,
    pub(super) process: &'a Process,
    control: Option<Control>,
}

impl<'a> Listeners<'a> {
    pub(super) fn new(running: Vec<Running<'a>>, process: &'a Process) -> Outcome<Self> {
        let handles = || running.iter().map(Running::handle).collect();
        let control = process.control.map(|address| Control::listen(address, handles())).transpose()?;
        Ok(Self { running, process, control })
    }

    /// Whether what is written there stands alone on standard output.
    pub(super) fn take_stdout(&self) -> bool {
        let records = self.running.iter().map(|running| running.arguments);
        self.process.report == Some(OutputFile::Stdout) || records.into_iter().any(Listener::records_to_stdout)
    }

    /// Where clients may come to, and commands, on standard output if nothing was to stand alone there.
    pub(super) fn announce(&self) -> io::Result<()> {
        let several = self.process.config.is_some();
        let clients = self.running.iter().map(|running| match running.proxy.local_addr() {
            address if several => format!("listening on {address} as {}", running.name),
            address => format!("listening on {address}"),
        });
        let commands = self.control.iter().map(|control| format!("control on {}", control.address));
        for line in clients.chain(commands) {
            if self.take_stdout() { writeln!(io::stderr(), "{line}")? } else { say(line)? }
        }
        Ok(())
    }

    /// Forwards until then, or until the time is over, and reports. What one of them cannot go on for ends all.
    pub(super) fn until(mut self, ended: &AtomicBool) -> Outcome {
        let live = io::stderr().is_terminal() && self.running.len() == 1;
        let turn = if self.control.is_some() { STEERED_TURN } else { TURN };
        let lasting = self.process.lasting.unwrap_or(Duration::MAX);
        let ran = thread::scope(|scope| {
            let start = |running| {
                scope.spawn(move || {
                    let ran = Running::until(running, ended, lasting, turn, live);
                    if ran.is_err() {
                        ended.store(true, Ordering::Relaxed);
                    }
                    ran
                })
            };
            let threads: Vec<_> = self.running.iter_mut().map(start).collect();
            let panicked = || Err(io::Error::other("a listener has panicked").into());
            let ends = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked()));
            ends.collect::<Vec<Outcome>>().into_iter().collect::<Outcome>()
        });
        if live {
            let _ = writeln!(io::stderr());
        }
        // What was seen until then is reported all the same.
        finish(&self)?;
        ran
    }
}

/// What cannot stand on standard output together.
pub(super) fn check_stdout<'a>(process: &Process, listeners: impl Iterator<Item = &'a Listener>) -> Outcome {
    let records = listeners.filter(|listener| listener.records_to_stdout()).count();
    let misuse = match (process.report == Some(OutputFile::Stdout), records) {
        (_, 0) | (false, 1) => return Ok(()),
        (true, _) => "'--record -' cannot be used with '--report -'",
        (false, _) => "only one listener can have '--record -'",
    };
    Err(Misuse(misuse.to_owned()).into())
}

/// A signal is noticed within this time, should it not interrupt the wait.
const TURN: Duration = Duration::from_millis(100);
/// So is a command.
const STEERED_TURN: Duration = Duration::from_millis(20);
