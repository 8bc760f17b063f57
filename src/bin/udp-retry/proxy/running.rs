use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use udp_retry::Seed;
use udp_retry::proxy::Proxy;

use super::Listener;
use super::captured::Captured;
use super::recorder::{Recorder, lock};
use super::report::Counters;
use super::steering::{Handle, Steering};
use super::turned_away::TurnedAway;
use crate::seeds;
use crate::terminal::{Outcome, remark};
use crate::values::Host;

/// A proxy, what it was told, and what it notes down.
pub(super) struct Running<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a Listener,
    pub(super) seed: Seed,
    pub(super) proxy: Proxy,
    pub(super) recorder: Option<Arc<Mutex<Recorder>>>,
    pub(super) captured: Option<Captured>,
    pub(super) started: Instant,
    pub(super) steering: Steering,
    turned_away: TurnedAway,
}

impl<'a> Running<'a> {
    pub(super) fn new(name: &'a str, arguments: &'a Listener, listen: SocketAddr, upstream: &Host) -> Outcome<Self> {
        let seed = arguments.seed.map_or_else(seeds::drawn, |seed| Ok(Seed::new(seed)))?;
        let recorder = arguments.record.as_ref().map(Recorder::create).transpose()?;
        let captured = arguments.pcap.as_ref().map(Captured::create).transpose()?;
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
        if arguments.shared {
            builder = builder.shared();
        }
        if arguments.df {
            builder = builder.do_not_fragment();
        }
        if let Some(recorder) = recorder.clone() {
            builder = builder.observer(move |_, record| lock(&recorder).note(record));
        }
        if let Some(captured) = &captured {
            builder = builder.capture(captured.capture.clone());
        }
        if arguments.any_port {
            builder = builder.any_port();
        }
        // An address is none that has to be resolved again.
        let proxy = match upstream.literal() {
            Some(address) => builder.bind(listen, address),
            None => builder.bind(listen, upstream.clone()),
        }?;
        remark(format_args!("seed {seed} (repeat with --seed {seed})"));
        let (steering, turned_away) = (Steering::new(proxy.control().profile()), TurnedAway::default());
        Ok(Self { name, arguments, seed, proxy, recorder, captured, started: Instant::now(), steering, turned_away })
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
            self.turned_away.look(&self.proxy);
            if let Some(captured) = &self.captured {
                // For who looks on.
                captured.capture.flush();
            }
            if let Some(recorder) = &self.recorder {
                lock(recorder).write();
            }
            if live {
                // On one line, over and over; a terminal that is gone is no reason to end.
                let _ = write!(io::stderr(), "\r{}\x1b[K", Counters(&self.proxy.stats()));
            }
        }
        Ok(())
    }
}
