//! A bad network in front of any UDP service, for clients in any language. Needs no privilege, changes nothing on
//! the host, and is gone when it ends.
//!
//! ```text
//! udp-retry proxy --listen 127.0.0.1:5353 --upstream 9.9.9.9:53 --loss 30%
//! udp-retry proxy --listen [::1]:5683 --upstream 127.0.0.1:5683 --profile lte --for 60
//! udp-retry proxy --listen 127.0.0.1:0 --upstream 127.0.0.1:123 --to-server "loss 5% burst 3; delay 50ms ~10ms"
//! ```
//!
//! The first line of standard output is `listening on ADDR`, as soon as clients can come (of standard error with
//! `--report -` or `--record -`). SIGINT, SIGTERM or `--for` end it; then it prints one line of JSON: what was asked for
//! and what was observed, stage by stage and direction by direction. A knob's `ok` is null where nothing had to be seen
//! of it, `unmet` names the stages that no datagram has met, and `capacity` is what the proxy itself could not keep.
//! While it runs, a terminal shows counters. Without `--listen`, it shows itself: a service, the proxy and a client on
//! loopback.
#![expect(clippy::disallowed_methods, reason = "a thread for the service and one for the client of the demonstration")]

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use udp_retry::fault::{Capacity, DirectionStats, LossModel, Profile, Record, Trace};
use udp_retry::net::{UnconnectedUdp, system_seed};
use udp_retry::proxy::{Proxy, ProxyStats};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, Transport};
use udp_retry::{Impairments, Probability, ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::audit;
use crate::grammar::GRAMMAR;
use crate::output::{OutputFile, output_file};
use crate::terminal::{Misuse, Outcome, say};
use crate::values::address;

/// Forwards UDP datagrams, and does to them what a bad network would; without --listen, shows itself on loopback
#[derive(Args)]
#[command(after_help = GRAMMAR)]
pub(crate) struct Arguments {
    /// Where clients send to; port 0 lets the system pick one
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "upstream")]
    listen: Option<SocketAddr>,
    /// The service
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "listen")]
    upstream: Option<SocketAddr>,
    #[command(flatten)]
    network: Network,
    /// Which datagrams it hits: the same seed hits the same [default: any, and told]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Ends after so long [default: when it is told to]
    #[arg(long = "for", value_name = "SECS", value_parser = seconds)]
    lasting: Option<Duration>,
    /// Writes the report there too; with "-" it stands alone on standard output
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    report: Option<OutputFile>,
    /// Writes the fate of every datagram there, as lines of JSON; with "-" they stand alone on standard output
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    record: Option<OutputFile>,
    /// Forgets a client when nothing has come for so long, either way
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "120")]
    idle: Duration,
    /// Knows so many clients at once; the one idle for longest makes room
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "1024")]
    max_sessions: NonZeroUsize,
    /// Keeps so many delayed datagrams of a client each way; of all clients twice as many, in fair shares
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "65536")]
    capacity: NonZeroUsize,
    /// Keeps so many bytes of delayed datagrams, by the same rule [default: 1024 for each datagram of --capacity]
    #[arg(long, value_name = "BYTES", value_parser = at_least_one)]
    capacity_bytes: Option<NonZeroUsize>,
}

impl Arguments {
    /// Whether what is written there stands alone on standard output.
    fn take_stdout(&self) -> bool {
        [&self.report, &self.record].contains(&&Some(OutputFile::Stdout))
    }

    /// Large enough for a single datagram, whatever was asked for.
    fn capacity(&self) -> Outcome<Capacity> {
        let datagrams = self.capacity.get();
        let usual = datagrams.saturating_mul(1024).max(65_535);
        Ok(Capacity::new(datagrams, self.capacity_bytes.map_or(usual, NonZeroUsize::get))
            .map_err(|error| Misuse(error.to_string()))?)
    }
}

#[derive(Args)]
struct Network {
    /// One of: book_half, lan, lte, wifi_lossy, geo_satellite, evil
    #[arg(long, value_name = "NAME", value_parser = profile)]
    profile: Option<Profile>,
    /// What happens to requests, instead of what the profile says
    #[arg(long, value_name = "SPEC")]
    to_server: Option<Impairments>,
    /// What happens to replies, instead of what the profile says
    #[arg(long, value_name = "SPEC")]
    to_client: Option<Impairments>,
    /// What happens to both
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["profile", "to_server", "to_client"])]
    both: Option<Impairments>,
    /// Loses so many each way, from 0 to 1 or a percentage, instead of what else says of loss
    #[arg(long, value_name = "P")]
    loss: Option<Probability>,
    /// Repeats a recording: the n-th client meets what the n-th one met
    #[arg(long, value_name = "FILE", value_parser = recording, conflicts_with_all = ["profile", "to_server", "to_client", "both", "loss"])]
    replay: Option<Recording>,
}

/// A recording, and its file.
#[derive(Clone, Debug)]
struct Recording {
    file: String,
    trace: Trace,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match (arguments.listen, arguments.upstream) {
        (Some(listen), Some(upstream)) => forward(arguments, listen, upstream),
        _ => show(arguments),
    }
}

/// Until it is told to end.
fn forward(arguments: &Arguments, listen: SocketAddr, upstream: SocketAddr) -> Outcome {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let running = Running::new(arguments, listen, upstream)?;
    running.announce()?;
    running.until(&ended)
}

/// A service that repeats what it hears, and a client with twenty requests.
fn show(arguments: &Arguments) -> Outcome {
    let mut service = UnconnectedUdp::bind("127.0.0.1:0")?;
    let upstream = service.local_addr();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            if let Incoming::Datagram(heard) = service.recv(&mut buffer, service.now(), Timestamp::MAX) {
                let _ = service.send(heard.from, &buffer[..heard.len]);
            }
        }
    });
    let running = Running::new(arguments, SocketAddr::from(([127, 0, 0, 1], 0)), upstream)?;
    let address = running.proxy.local_addr();
    running.announce()?;
    let ended = Arc::new(AtomicBool::new(false));
    let (client, done) = (thread::spawn(move || ask(address)), ended.clone());
    thread::spawn(move || {
        let asked = client.join();
        done.store(true, Ordering::Relaxed);
        asked
    });
    running.until(&ended)
}

fn ask(address: SocketAddr) -> Outcome {
    let mut requester = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).connect(address)?;
    for n in 1..=20_u32 {
        let told = match requester.request(&n.to_be_bytes()) {
            Ok(reply) => format!("request {n}: answered after transmission {}", reply.transmissions()),
            Err(error) => format!("request {n}: {error}"),
        };
        writeln!(io::stderr(), "{told}")?;
    }
    Ok(())
}

/// A proxy, what it was told, and what it notes down.
struct Running<'a> {
    arguments: &'a Arguments,
    seed: Seed,
    proxy: Proxy,
    recorder: Option<Arc<Mutex<Recorder>>>,
    started: Instant,
}

impl<'a> Running<'a> {
    fn new(arguments: &'a Arguments, listen: SocketAddr, upstream: SocketAddr) -> Outcome<Self> {
        let seed = arguments.seed.map_or_else(system_seed, |seed| Ok(Seed::new(seed)))?;
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
            builder = builder.replay(recording.trace.clone());
        }
        if let Some(recorder) = recorder.clone() {
            builder = builder.observer(move |_, record| lock(&recorder).note(record));
        }
        let proxy = builder.bind(listen, upstream)?;
        writeln!(io::stderr(), "seed {seed} (repeat with --seed {seed})")?;
        Ok(Self { arguments, seed, proxy, recorder, started: Instant::now() })
    }

    /// Where clients may come to, on standard output if nothing was to stand alone there.
    fn announce(&self) -> io::Result<()> {
        let line = format!("listening on {}", self.proxy.local_addr());
        if self.arguments.take_stdout() { writeln!(io::stderr(), "{line}") } else { say(line) }
    }

    fn until(mut self, ended: &AtomicBool) -> Outcome {
        let live = io::stderr().is_terminal();
        let time = self.arguments.lasting.unwrap_or(Duration::MAX);
        while !ended.load(Ordering::Relaxed) {
            let left = time.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                break;
            }
            self.proxy.run_for(left.min(TURN))?;
            if live {
                // On one line, over and over; a terminal that is gone is no reason to end.
                let _ = write!(io::stderr(), "\r{}\x1b[K", Counters(&self.proxy.stats()));
            }
        }
        if live {
            let _ = writeln!(io::stderr());
        }
        let report = self.report().to_string();
        if let Some(recorder) = &self.recorder {
            lock(recorder).finish()?;
        }
        if let Some(file) = &self.arguments.report {
            file.write(&format!("{report}\n"))?;
        }
        if !self.arguments.take_stdout() {
            say(report)?;
        }
        Ok(())
    }

    fn report(&self) -> Value {
        let stats = self.proxy.stats();
        let profile = self.proxy.control().profile();
        json!({
            "listen": self.proxy.local_addr().to_string(),
            "upstream": self.proxy.upstream_addr().to_string(),
            "seed": self.seed.number(),
            "replay": self.arguments.network.replay.as_ref().map(|recording| &recording.file),
            "seconds": self.started.elapsed().as_secs_f64(),
            "sessions": {
                "open": stats.sessions,
                "opened": stats.opened,
                "expired": stats.expired,
                "evicted": stats.evicted,
            },
            "unserved": stats.unserved,
            "path_errors": stats.path_errors,
            "to_server": direction(&profile.to_server, &stats.to_server),
            "to_client": direction(&profile.to_client, &stats.to_client),
        })
    }
}

fn direction(asked: &Impairments, stats: &DirectionStats) -> Value {
    let DirectionStats { fates, passed, in_flight, discarded, failed, .. } = stats;
    let dropped = &fates.dropped;
    json!({
        "spec": asked.to_string(),
        "received": fates.received,
        "delivered": fates.delivered,
        "duplicates": fates.duplicates,
        "dropped": {
            "script": dropped.script,
            "outage": dropped.outage,
            "mtu": dropped.mtu,
            "queue": dropped.queue,
            "loss": dropped.loss,
            "capacity": dropped.capacity,
        },
        "passed": passed,
        "in_flight": in_flight,
        "discarded": discarded,
        "failed": failed,
        "knobs": audit::rates(asked, fates).iter().map(audit::Rate::to_json).collect::<Vec<_>>(),
        "spared": fates.spared,
        "unmet": audit::unmet(asked, fates),
    })
}

impl Network {
    fn path(&self, shown: bool) -> Profile {
        let telling = || Profile::both(Impairments::loss(Probability::ratio(3, 10).unwrap_or(Probability::HALF)));
        let untold =
            self.to_server.is_none() && self.to_client.is_none() && self.loss.is_none() && self.replay.is_none();
        let mut path = match (&self.profile, &self.both) {
            (Some(profile), _) => profile.clone(),
            (None, Some(both)) => Profile::both(both.clone()),
            (None, None) if shown && untold => telling(),
            (None, None) => Profile::default(),
        };
        path.to_server = self.to_server.clone().unwrap_or(path.to_server);
        path.to_client = self.to_client.clone().unwrap_or(path.to_client);
        if let Some(loss) = self.loss {
            path.to_server = path.to_server.with_loss(LossModel::Bernoulli(loss));
            path.to_client = path.to_client.with_loss(LossModel::Bernoulli(loss));
        }
        path
    }
}

/// One line of a terminal.
struct Counters<'a>(&'a ProxyStats);

impl std::fmt::Display for Counters<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ProxyStats { to_server, to_client, sessions, .. } = self.0;
        let way = |stats: &DirectionStats| {
            let DirectionStats { fates, passed, in_flight, .. } = stats;
            format!("{} in, {passed} out, {} dropped, {in_flight} on their way", fates.received, fates.dropped.total())
        };
        write!(f, "{sessions} clients | to server: {} | to client: {}", way(to_server), way(to_client))
    }
}

/// The fates, as lines of a file. The first error ends it and is told at the end.
struct Recorder {
    file: io::Result<BufWriter<Box<dyn Write + Send>>>,
    name: OutputFile,
}

impl Recorder {
    fn create(name: &OutputFile) -> Outcome<Arc<Mutex<Self>>> {
        Ok(Arc::new(Mutex::new(Self { file: Ok(BufWriter::new(name.create()?)), name: name.clone() })))
    }

    fn note(&mut self, record: &Record) {
        if let Ok(file) = &mut self.file {
            if let Err(error) = writeln!(file, "{record}") {
                self.file = Err(error);
            }
        }
    }

    fn finish(&mut self) -> Outcome {
        let written = match &mut self.file {
            Ok(file) => file.flush(),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        Ok(written.map_err(|error| self.name.failed(error))?)
    }
}

fn lock(recorder: &Mutex<Recorder>) -> std::sync::MutexGuard<'_, Recorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::named(name).ok_or_else(|| format!("there are {}", Profile::NAMES.join(", ")))
}

fn recording(file: &str) -> Result<Recording, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let trace = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Recording { file: file.to_owned(), trace })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds, such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a number from 1".to_owned())
}

/// A signal is noticed within this time, should it not interrupt the wait.
const TURN: Duration = Duration::from_millis(100);
