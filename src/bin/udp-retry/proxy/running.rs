use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use udp_retry::Seed;
use udp_retry::net::system_seed;
use udp_retry::proxy::Proxy;

use super::Listener;
use super::recorder::{Recorder, lock};
use super::report::Counters;
use super::steering::{Handle, Steering};
use crate::terminal::Outcome;

/// A proxy, what it was told, and what it notes down.
pub(super) struct Running<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a Listener,
    pub(super) seed: Seed,
    pub(super) proxy: Proxy,
    pub(super) recorder: Option<Arc<Mutex<Recorder>>>,
    pub(super) started: Instant,
    pub(super) steering: Steering,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        name: &'a str,
        arguments: &'a Listener,
        listen: SocketAddr,
        upstream: SocketAddr,
    ) -> Outcome<Self> {
        let seed = arguments.seed.map_or_else(system_seed, |seed| Ok(Seed::new(seed)))?;
        let recorder = arguments.record.as_ref().map(Recorder::create).transpose()?;
        let mut builder = Proxy::builder()
            .profile(arguments.network.path(arguments.listen.is_none()))
            .seed(seed)
            .idle(arguments.idle)
            .max_sessions(arguments.max_sessions)
            .capacity(arguments.capacity()?);
        if let Some(recording) = &arguments.network.replay {
            builder = builder.replay(recording.trace.clone());
        }
        if arguments.shared {
            builder = builder.shared();
        }
        if arguments.df {
            builder = builder.do_not_fragment();
        }
        if let Some(recorder) = recorder.clone() {
            builder = builder.observer(move |_, record| lock(&recorder).note(record));
        }
        let proxy = builder.bind(listen, upstream)?;
        writeln!(io::stderr(), "seed {seed} (repeat with --seed {seed})")?;
        let steering = Steering::new(proxy.control().profile());
        Ok(Self { name, arguments, seed, proxy, recorder, started: Instant::now(), steering })
    }

    /// What sends it commands.
    pub(super) fn handle(&self) -> Handle {
        self.steering.handle(self.name)
    }

    /// Forwards, a turn at a time, and obeys what has come meanwhile.
    pub(super) fn until(&mut self, ended: &AtomicBool, lasting: Duration, turn: Duration, live: bool) -> Outcome {
        while !ended.load(Ordering::Relaxed) {
            let left = lasting.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                break;
            }
            self.proxy.run_for(left.min(turn))?;
            self.obey();
            if live {
                // On one line, over and over; a terminal that is gone is no reason to end.
                let _ = write!(io::stderr(), "\r{}\x1b[K", Counters(&self.proxy.stats()));
            }
        }
        Ok(())
    }
}
