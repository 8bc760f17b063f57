//! A service that executes each request once, whatever the network repeats: to try a client on, or to see what duplicates do.
//!
//! ```text
//! udp-retry serve counter --listen 127.0.0.1:1060
//! udp-retry serve echo --listen [::]:7 --threads 4 --for 10s --json
//! udp-retry serve time --listen 0.0.0.0:1060 --lifetime 30s --work 5ms
//! ```
//!
//! | service | request | reply |
//! |---|---|---|
//! | `echo` | any bytes | the same |
//! | `counter` | an id of 8 bytes, then `+1` | the id, then the new number in decimal: a request that was executed twice shows |
//! | `time` | an id of 8 bytes, then anything | the id, then the seconds since 1970 (UTC) in decimal, as in 1780000000.000000 |
//!
//! The first line of standard output is `listening on ADDR`. SIGINT, SIGTERM or `--for` end it; then it reports what came and what
//! became of it, with `--json` as one line:
//!
//! ```text
//! {"service":"counter","listen":"127.0.0.1:1060","seconds":10.0,"requests":161,"executed":100,"replayed":58,"in_progress":3,
//!  "refused":0,"unanswered":0,"evicted_early":0,"foreign":0,"truncated":0,"without_envelope":0,"expired":0,"unknown":0,
//!  "unnamed":0,"unsent":0,"counter":100}
//! ```
//!
//! `requests` are all copies: those that were executed, and those that were answered by a reply that was kept (`replayed`), met
//! their first copy `in_progress`, were `refused` for lack of space, or were `unanswered` as their reply was not kept any longer.
//! While `evicted_early` is 0 nothing was executed twice within the lifetime. With `--envelope`, `expired` are requests that no one
//! waited for any more, and `unknown` those that a server before this one may have executed at its address; neither was executed.
//! Most of these are no sign of a restart but `unnamed`: what clients asked that had no answer yet, and so could not name the server
//! that they meant, while this one was younger than `--lifetime`. The answer says which it is, and their clients ask once more at once.
//!
//! Without arguments it shows itself on loopback: the counter behind a network that loses a fifth and duplicates a fifth in each
//! direction, and a client that adds one a hundred times; with `--envelope` both ends have it, and the client adds the first one
//! before the others, so that those name the server.
#![expect(clippy::disallowed_methods, reason = "threads that serve, work that takes time, and how long it has run")]

mod demonstration;
mod report;
mod services;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use udp_retry::envelope::Incarnation;
use udp_retry::net::UnconnectedUdp;
use udp_retry::replies::{DuplicateKey, ReplyLimits, Responder};
use udp_retry::serving::SharedResponder;
use udp_retry::transport::Transport;

use self::report::Report;
use self::services::Service;
use crate::interrupt::Interrupt;
use crate::terminal::{Misuse, Outcome, say};
use crate::values::{address, duration};

/// Serves requests, each of them executed once; without --listen, shows itself on loopback
#[derive(Args)]
pub(crate) struct Arguments {
    /// What it does [default: echo]
    #[arg(value_enum, requires = "listen")]
    service: Option<Service>,
    /// Where it listens: a wildcard such as 0.0.0.0:1060 or [::]:1060 answers from the address that was asked, and port 0 lets the
    /// system pick one
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// How long a request is remembered: as long as a copy of it may arrive [default: 130s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lifetime: Option<Duration>,
    /// How long it works on each request
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    work: Option<Duration>,
    /// How many threads serve, all of them by one socket
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Ends after this time [default: when it is told to]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasting: Option<Duration>,
    /// Takes only requests with the header of the envelope, as clients send that ask for it: a copy of before a restart is not
    /// executed. What a client asks before it has an answer costs one more round trip while the server is younger than --lifetime
    #[arg(long)]
    envelope: bool,
    /// Reports as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Some(listen) = arguments.listen else { return demonstration::show(arguments) };
    let interrupt = Interrupt::new()?;
    let server = Server::bind(arguments, arguments.service.unwrap_or(Service::Echo), listen)?;
    say(format_args!("listening on {}", server.address))?;
    let report = server.run(|| interrupt.is_set())?;
    say(report.shown(arguments.json))?;
    Ok(())
}

/// A service at an address.
struct Server<'a, K> {
    arguments: &'a Arguments,
    service: Service,
    address: SocketAddr,
    socket: UnconnectedUdp,
    responder: SharedResponder<K>,
    counter: AtomicU64,
}

impl<'a> Server<'a, ()> {
    fn bind(
        arguments: &'a Arguments,
        service: Service,
        listen: SocketAddr,
    ) -> Outcome<Server<'a, impl DuplicateKey + Send>> {
        let limits = arguments.limits(service)?;
        let mut socket = UnconnectedUdp::bind(listen)?;
        // Bursts of more requests than the default holds are this tool's daily bread.
        let _ = socket.set_receive_buffer(RECEIVE_BUFFER);
        let mut responder = Responder::over(&mut socket, limits, service.duplicates())?;
        if arguments.envelope {
            responder = responder.envelope(Incarnation::over(&mut socket)?);
        }
        let responder = SharedResponder::from(responder);
        Ok(Server { arguments, service, address: socket.local_addr(), socket, responder, counter: AtomicU64::new(0) })
    }
}

impl<K: DuplicateKey + Send> Server<'_, K> {
    /// Until it is told to end, or its time is over.
    fn run(self, is_ended: impl Fn() -> bool + Sync) -> Outcome<Report> {
        let Self { arguments, service, address, socket, responder, counter } = self;
        let began = Instant::now();
        let end = arguments.lasting.map(|lasting| socket.now().after(lasting));
        let more = (1..arguments.threads.get()).map(|_| socket.try_clone()).collect::<Result<Vec<_>, _>>()?;
        thread::scope(|scope| {
            for mut socket in more.into_iter().chain([socket]) {
                let (responder, counter, is_ended) = (responder.clone(), &counter, &is_ended);
                scope.spawn(move || {
                    while !is_ended() {
                        let now = socket.now();
                        let until = end.map_or(now.after(TURN), |end| end.min(now.after(TURN)));
                        responder.serve_until(&mut socket, until, |request, reply| {
                            if let Some(work) = arguments.work {
                                thread::sleep(work);
                            }
                            service.handle(request, reply, counter)
                        });
                        if end.is_some_and(|end| end <= socket.now()) {
                            break;
                        }
                    }
                });
            }
        });
        Ok(Report {
            service,
            address,
            took: began.elapsed(),
            stats: responder.stats(),
            unsent: responder.unsent(),
            counter: counter.into_inner(),
        })
    }
}

impl Arguments {
    fn limits(&self, service: Service) -> Outcome<ReplyLimits> {
        let limits = service.limits();
        Ok(match self.lifetime {
            Some(lifetime) => limits.with_lifetime(lifetime).map_err(|error| Misuse(error.to_string()))?,
            None => limits,
        })
    }
}

/// A signal is noticed within this time, should it not interrupt the wait.
const TURN: Duration = Duration::from_millis(100);
/// Bytes, as the system counts them; it may grant fewer.
const RECEIVE_BUFFER: usize = 4 << 20;
