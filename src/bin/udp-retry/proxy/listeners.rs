//! All listeners of the process, each in a thread of its own, so that none waits for another.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use udp_retry::proxy::ResolveHandle;

use super::Listener;
use super::control::Control;
use super::ending::finish;
use super::process::Process;
use super::running::Running;
use crate::output::OutputFile;
use crate::terminal::{Misuse, Outcome, remark, say};

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

    /// Has the names of services resolved again, if any is given by one.
    pub(super) fn resolving(&self) -> Option<Box<dyn Fn()>> {
        let named = self.running.iter().filter(|running| running.arguments.has_named_service());
        let handles: Vec<_> = named.map(|running| running.proxy.resolve_handle()).collect();
        (!handles.is_empty())
            .then(|| Box::new(move || handles.iter().for_each(ResolveHandle::resolve)) as Box<dyn Fn()>)
    }

    /// Whether the report stands alone on standard output.
    pub(super) fn reports_to_stdout(&self) -> bool {
        self.process.report == Some(OutputFile::Stdout)
    }

    /// Whether a recording or a capture does.
    pub(super) fn records_to_stdout(&self) -> bool {
        self.running.iter().any(|running| running.arguments.of_stdout().next().is_some())
    }

    /// Where clients may come to, and commands, on standard output if nothing was to stand alone there. They are served even
    /// if no one reads it.
    pub(super) fn announce(&self) {
        let several = self.process.config.is_some();
        let clients = self.running.iter().map(|running| match running.proxy.local_addr() {
            address if several => format!("listening on {address} as {}", running.name),
            address => format!("listening on {address}"),
        });
        let commands = self.control.iter().map(|control| format!("control on {}", control.address));
        let is_taken = self.reports_to_stdout() || self.records_to_stdout();
        for line in clients.chain(commands) {
            if is_taken || say(&line).is_err() {
                remark(line);
            }
        }
    }

    /// Forwards until then, or until the time is over, and reports. What one of them cannot go on for ends all.
    pub(super) fn until(mut self, is_ended: impl Fn() -> bool) -> Outcome {
        let live = io::stderr().is_terminal() && self.running.len() == 1;
        let turn = if self.control.is_some() { STEERED_TURN } else { TURN };
        let lasting = self.process.lasting.unwrap_or(Duration::MAX);
        let ended = &AtomicBool::new(false);
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
            while !threads.iter().all(ScopedJoinHandle::is_finished) {
                if is_ended() {
                    ended.store(true, Ordering::Relaxed);
                }
                thread::sleep(STEERED_TURN);
            }
            let panicked = || Err(io::Error::other("a listener has panicked").into());
            let ends = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked()));
            ends.collect::<Vec<Outcome>>().into_iter().collect::<Outcome>()
        });
        if live {
            let _ = writeln!(io::stderr());
        }
        // What was seen until then is reported all the same.
        finish(self)?;
        ran
    }
}

/// What cannot stand on standard output together.
pub(super) fn check_stdout<'a>(process: &Process, listeners: impl Iterator<Item = &'a Listener>) -> Outcome {
    let reports = (process.report == Some(OutputFile::Stdout)).then_some("--report");
    let mut of_stdout: Vec<_> = listeners.flat_map(Listener::of_stdout).chain(reports).collect();
    of_stdout.sort_by_key(|option| ["--record", "--report", "--pcap"].iter().position(|it| it == option));
    match of_stdout.as_slice() {
        [one, other, ..] if one == other => Err(Misuse(format!("only one listener can have '{one} -'")).into()),
        [one, other, ..] => Err(Misuse(format!("'{one} -' cannot be used with '{other} -'")).into()),
        _ => Ok(()),
    }
}

/// The end is noticed within this time.
const TURN: Duration = Duration::from_millis(100);
/// So is a command, and a signal.
const STEERED_TURN: Duration = Duration::from_millis(20);
