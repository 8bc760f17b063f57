use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use udp_retry::Seed;
use udp_retry::proxy::Proxy;

use super::Arguments;
use super::ending::finish;
use super::recorder::{Recorder, lock};
use super::report::Counters;
use crate::output::OutputFile;
use crate::seeds;
use crate::terminal::{Misuse, Outcome, remark, say};

/// A proxy, what it was told, and what it notes down.
pub(super) struct Running<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) seed: Seed,
    pub(super) proxy: Proxy,
    pub(super) recorder: Option<Arc<Mutex<Recorder>>>,
    pub(super) started: Instant,
}

impl<'a> Running<'a> {
    pub(super) fn new(arguments: &'a Arguments, listen: SocketAddr, upstream: SocketAddr) -> Outcome<Self> {
        let seed = arguments.seed.map_or_else(seeds::drawn, |seed| Ok(Seed::new(seed)))?;
        if arguments.record == Some(OutputFile::Stdout) && arguments.report == Some(OutputFile::Stdout) {
            return Err(Misuse("'--record -' cannot be used with '--report -'".to_owned()).into());
        }
        let recorder = arguments.record.as_ref().map(Recorder::create).transpose()?;
        let mut builder = Proxy::builder()
            .profile(arguments.network.path(arguments.listen.is_none()))
            .seed(seed)
            .idle(arguments.idle)
            .max_sessions(arguments.max_sessions)
            .capacity(arguments.capacity()?);
        if let Some(recording) = &arguments.network.replay {
            recording.warn();
            builder = builder.replay(recording.trace.clone());
        }
        if let Some(recorder) = recorder.clone() {
            builder = builder.observer(move |_, record| lock(&recorder).note(record));
        }
        let proxy = builder.bind(listen, upstream)?;
        remark(format_args!("seed {seed} (repeat with --seed {seed})"));
        Ok(Self { arguments, seed, proxy, recorder, started: Instant::now() })
    }

    /// Where clients may come to, on standard output if nothing was to stand alone there. It serves them even if no one
    /// reads it.
    pub(super) fn announce(&self) {
        let line = format!("listening on {}", self.proxy.local_addr());
        if self.arguments.take_stdout() || say(&line).is_err() {
            remark(line);
        }
    }

    pub(super) fn until(mut self, is_ended: impl Fn() -> bool) -> Outcome {
        let live = io::stderr().is_terminal();
        let time = self.arguments.lasting.unwrap_or(Duration::MAX);
        let mut ran = Ok(());
        while ran.is_ok() && !is_ended() {
            let left = time.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                break;
            }
            ran = self.proxy.run_for(left.min(TURN));
            if let Some(recorder) = &self.recorder {
                lock(recorder).write();
            }
            if live {
                // On one line, over and over; a terminal that is gone is no reason to end.
                let _ = write!(io::stderr(), "\r{}\x1b[K", Counters(&self.proxy.stats()));
            }
        }
        if live {
            let _ = writeln!(io::stderr());
        }
        finish(self)?;
        Ok(ran?)
    }
}

/// A signal is noticed within this time, should it not interrupt the wait.
const TURN: Duration = Duration::from_millis(100);
