use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use udp_retry::Seed;
use udp_retry::net::system_seed;
use udp_retry::proxy::Proxy;

use super::Arguments;
use super::captured::Captured;
use super::ending::finish;
use super::recorder::{Recorder, lock};
use super::report::Counters;
use crate::terminal::{Misuse, Outcome, say};

/// A proxy, what it was told, and what it notes down.
pub(super) struct Running<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) seed: Seed,
    pub(super) proxy: Proxy,
    pub(super) recorder: Option<Arc<Mutex<Recorder>>>,
    pub(super) captured: Option<Captured>,
    pub(super) started: Instant,
}

impl<'a> Running<'a> {
    pub(super) fn new(arguments: &'a Arguments, listen: SocketAddr, upstream: SocketAddr) -> Outcome<Self> {
        let seed = arguments.seed.map_or_else(system_seed, |seed| Ok(Seed::new(seed)))?;
        let mut of_stdout = arguments.of_stdout();
        if let (Some(one), Some(other)) = (of_stdout.next(), of_stdout.next()) {
            return Err(Misuse(format!("'{one} -' cannot be used with '{other} -'")).into());
        }
        let recorder = arguments.record.as_ref().map(Recorder::create).transpose()?;
        let captured = arguments.pcap.as_ref().map(Captured::create).transpose()?;
        let mut builder = Proxy::builder()
            .profile(arguments.network.path(arguments.listen.is_none()))
            .seed(seed)
            .idle(arguments.idle)
            .max_sessions(arguments.max_sessions)
            .capacity(arguments.capacity()?);
        if let Some(recording) = &arguments.network.replay {
            builder = builder.replay(recording.trace.clone());
        }
        if let Some(recorder) = recorder.clone() {
            builder = builder.observer(move |_, record| lock(&recorder).note(record));
        }
        if let Some(captured) = &captured {
            builder = builder.capture(captured.capture.clone());
        }
        let proxy = builder.bind(listen, upstream)?;
        writeln!(io::stderr(), "seed {seed} (repeat with --seed {seed})")?;
        Ok(Self { arguments, seed, proxy, recorder, captured, started: Instant::now() })
    }

    /// Where clients may come to, on standard output if nothing was to stand alone there.
    pub(super) fn announce(&self) -> io::Result<()> {
        let line = format!("listening on {}", self.proxy.local_addr());
        if self.arguments.take_stdout() { writeln!(io::stderr(), "{line}") } else { say(line) }
    }

    pub(super) fn until(mut self, ended: &AtomicBool) -> Outcome {
        let live = io::stderr().is_terminal();
        let time = self.arguments.lasting.unwrap_or(Duration::MAX);
        while !ended.load(Ordering::Relaxed) {
            let left = time.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                break;
            }
            self.proxy.run_for(left.min(TURN))?;
            if let Some(captured) = &self.captured {
                // For who looks on.
                captured.capture.flush();
            }
            if live {
                // On one line, over and over; a terminal that is gone is no reason to end.
                let _ = write!(io::stderr(), "\r{}\x1b[K", Counters(&self.proxy.stats()));
            }
        }
        if live {
            let _ = writeln!(io::stderr());
        }
        finish(&self)
    }
}

/// A signal is noticed within this time, should it not interrupt the wait.
const TURN: Duration = Duration::from_millis(100);
