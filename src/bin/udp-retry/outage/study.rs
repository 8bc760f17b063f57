//! One run of one policy, and the figures of several.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::sim::{Limits, SimError, SimNet};
use udp_retry::time::Timestamp;

use super::client::Client;
use super::ledger::{Ledger, Second, share};
use super::rows::Row;
use super::server::{CAPACITY, Cause, Server, Trouble};

/// What befalls which fleet.
#[derive(Clone, Copy)]
pub(crate) struct Study {
    pub(crate) clients: u32,
    pub(crate) cause: Cause,
    pub(crate) stall: Duration,
    pub(crate) seed: u64,
    pub(crate) extent: Extent,
}

/// How much is simulated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Of the outage, of which the medians are taken: an odd number.
    runs: u64,
    /// Seconds of arrivals after the trouble.
    after: usize,
    /// Seconds with losses, of which the first do not count: in those, budgets spend what they began with.
    lossy: usize,
    warm_up: usize,
    /// Seconds without losses.
    lossless: usize,
}

impl Extent {
    pub(crate) const FULL: Self = Self { runs: 3, after: 100, lossy: 700, warm_up: 100, lossless: 30 };
    pub(crate) const QUICK: Self = Self { runs: 1, after: 40, lossy: 60, warm_up: 20, lossless: 10 };

    /// The seconds with losses that count.
    pub(crate) fn losses(self) -> usize {
        self.lossy - self.warm_up
    }
}

/// What one run is for.
#[derive(Clone, Copy)]
pub(crate) enum Scene {
    /// The trouble itself, with one datagram in a hundred lost each way.
    Outage,
    /// A calm server, with one datagram in ten lost each way: an attempt fails with 19 %.
    Lossy,
    /// A calm server and no loss: what is sent again is sent in vain.
    Lossless,
}

/// A row of the table: the medians of the runs.
pub(crate) struct Figures {
    pub(crate) policy: &'static str,
    /// Seconds after the end of the trouble from which five in a row reach 95 % of the success before it.
    pub(crate) recovery: Option<u32>,
    /// Transmissions for each request, in the trouble and in the 30 s after it.
    pub(crate) amplification_during: f64,
    pub(crate) amplification_after: f64,
    /// What reached the server in the worst second, as a multiple of its capacity.
    pub(crate) peak_load: f64,
    /// Of the requests that began in those 30 s.
    pub(crate) success_30s_after: f64,
    /// Of the server's answers in those 30 s, those that ended no request: it was over, or the answer was lost.
    pub(crate) wasted_work: f64,
    pub(crate) success_at_19_percent_loss: f64,
    /// Retransmissions for each request.
    pub(crate) spurious_without_loss: f64,
    /// Of the calm before, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Requests that were answered in each second, for each that began in it.
    pub(crate) goodput: Vec<f64>,
}

pub(crate) const BEGIN: usize = 20;
const REQUESTS_A_SECOND: f64 = 600.0;

impl Study {
    /// What is run for each row, each with a seed of its own.
    pub(crate) fn runs(&self) -> Vec<(Scene, u64)> {
        let outages = (0..self.extent.runs).map(|run| (Scene::Outage, run));
        outages.chain([(Scene::Lossy, 1000), (Scene::Lossless, 1001)]).collect()
    }

    /// The figures of a row, from the ledgers of its [`runs`](Self::runs).
    pub(crate) fn figures(&self, policy: &'static str, ledgers: &[Ledger]) -> Figures {
        let (outages, [lossy, lossless]) = ledgers.split_last_chunk().unwrap_or((&[], const { &[EMPTY; 2] }));
        let end = self.end();
        let of = |figure: &dyn Fn(&Ledger) -> f64| median(outages.iter().map(figure).collect());
        let amplification = |from, to| {
            move |ledger: &Ledger| share(ledger.sum(from, to, |at| at.sent), ledger.sum(from, to, |at| at.requests))
        };
        let never = f64::from(u32::MAX);
        let recovery = of(&|ledger| self.recovery(ledger).map_or(never, f64::from));
        Figures {
            policy,
            recovery: (recovery < never).then_some(recovery as u32),
            amplification_during: of(&amplification(BEGIN, end)),
            amplification_after: of(&amplification(end, end + 30)),
            peak_load: of(&|ledger| {
                let peak = ledger.seconds.iter().map(|at| at.heard).max().unwrap_or(0);
                share(peak.into(), CAPACITY)
            }),
            success_30s_after: of(&|ledger| success(ledger, end, end + 30)),
            wasted_work: of(&|ledger| {
                let useful = ledger.sum(end, end + 30, |at| at.useful);
                let served = ledger.sum(end, end + 30, |at| at.served);
                1.0 - share(useful.min(served), served)
            }),
            success_at_19_percent_loss: success(lossy, self.extent.warm_up, self.extent.lossy),
            spurious_without_loss: share(
                lossless.sum(0, self.extent.lossless, |at| at.sent_again),
                lossless.sum(0, self.extent.lossless, |at| at.requests),
            ),
            p50: of(&|ledger| percentile(ledger, 50)),
            p99: of(&|ledger| percentile(ledger, 99)),
            goodput: (0..self.arrivals())
                .map(|second| {
                    of(&|ledger| {
                        let of = |count: fn(&Second) -> u32| ledger.sum(second, second + 1, count);
                        share(of(|at| at.useful), of(|at| at.requests))
                    })
                })
                .collect(),
        }
    }

    /// One run, from the first arrival until the last request is over.
    pub(crate) fn run(&self, row: &Row, scene: Scene, run: u64) -> Result<Ledger, SimError> {
        let seed = Seed::new(self.seed).derive(run);
        let (clients, net) = (seed.derive(0), SimNet::new(seed.derive(1)));
        // The arrivals end, so the run does, however many clients take part.
        net.limit(Limits::NONE);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let (trouble, loss, seconds) = match scene {
            Scene::Outage => (Some(self.trouble()), "loss 1%; ", self.arrivals()),
            Scene::Lossy => (None, "loss 10%; ", self.extent.lossy),
            Scene::Lossless => (None, "", self.extent.lossless),
        };
        let arrivals = Timestamp::ZERO.after(Duration::from_secs(seconds as u64));
        let server = net.host(SERVER.ip())?;
        net.serve_endpoint(SERVER, Server::new(trouble, row.server_drops_expired, ledger.clone()))?;
        let rate = REQUESTS_A_SECOND / f64::from(self.clients);
        let mut hosts = Vec::new();
        for client in 0..self.clients {
            if client % CLIENTS_A_HOST == 0 {
                let host = net.host(address(client / CLIENTS_A_HOST))?;
                net.path(host, server, path(loss))?;
                hosts.push(host);
            }
            let Some(&host) = hosts.last() else { break };
            let seed = clients.derive(client.into());
            let asking = Client::new(SERVER, row, seed, rate, arrivals, ledger.clone());
            net.serve_connected(host, SERVER, asking)?;
        }
        if let Some(Trouble { cause: Cause::Loss, begin, end }) = trouble {
            for (time, loss) in [(begin, "loss 50%; "), (end, loss)] {
                let hosts = hosts.clone();
                let change = move |net: &SimNet| {
                    for &host in &hosts {
                        // All of them are hosts of this network.
                        let _ = net.path(host, server, path(loss));
                    }
                };
                net.at(time.since(Timestamp::ZERO), change);
            }
        }
        net.run_to_the_end(arrivals.after(row.deadline()).after(Duration::from_secs(1)));
        drop(net);
        Ok(Rc::try_unwrap(ledger).map_or_else(|shared| shared.borrow().clone(), RefCell::into_inner))
    }

    fn trouble(&self) -> Trouble {
        let at = |second: usize| Timestamp::ZERO.after(Duration::from_secs(second as u64));
        Trouble { cause: self.cause, begin: at(BEGIN), end: at(BEGIN).after(self.stall) }
    }

    /// The first second after the trouble.
    pub(crate) fn end(&self) -> usize {
        BEGIN + self.stall.as_secs() as usize
    }

    /// The first second without arrivals.
    pub(crate) fn arrivals(&self) -> usize {
        self.end() + self.extent.after
    }

    fn recovery(&self, ledger: &Ledger) -> Option<u32> {
        const IN_A_ROW: usize = 5;
        let enough = 0.95 * success(ledger, 0, BEGIN);
        let well = |second: usize| success(ledger, second, second + 1) >= enough;
        let from = (self.end()..=self.arrivals() - IN_A_ROW).find(|&from| (from..from + IN_A_ROW).all(well));
        from.map(|from| (from - self.end()) as u32)
    }
}

fn success(ledger: &Ledger, from: usize, to: usize) -> f64 {
    share(ledger.sum(from, to, |at: &Second| at.answered), ledger.sum(from, to, |at| at.requests))
}

fn percentile(ledger: &Ledger, percent: usize) -> f64 {
    let mut latencies = ledger.latencies.clone();
    latencies.sort_unstable();
    latencies.get(latencies.len() * percent / 100).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// There and back in 10 ms.
fn path(loss: &str) -> Profile {
    Profile::both(format!("{loss}delay 5ms").parse().unwrap_or_default())
}

const EMPTY: Ledger = Ledger { seconds: Vec::new(), latencies: Vec::new() };
/// A host has 28,232 ports to give.
const CLIENTS_A_HOST: u32 = 10_000;
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1)), 1060);

fn address(host: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + host).into()
}
