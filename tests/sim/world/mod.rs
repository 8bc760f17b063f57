//! Two hosts of a simulated network, and what must hold between them whatever the network does.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Endpoint, HostId, Outbox, SimNet};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Seed};

mod asker;

pub(crate) use asker::{Asker, Slots, Timing, Told, Watched, seed_of_request};

pub(crate) type Verdict = Result<(), String>;

/// Says what is wrong, unless it is right.
macro_rules! ensure {
    ($holds:expr, $($told:tt)+) => {
        if !$holds {
            return Err(format!($($told)+));
        }
    };
}
pub(crate) use ensure;

/// A client's host, a server's host, and what the server was asked.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) net: SimNet,
    pub(crate) client: HostId,
    pub(crate) server: HostId,
    pub(crate) seed: Seed,
    executed: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl World {
    pub(crate) fn new(net: &SimNet, to_server: &str, to_client: &str) -> Self {
        let (client, server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
        let impairments = |text: &str| text.parse::<Impairments>().unwrap();
        net.path(client, server, Profile { to_server: impairments(to_server), to_client: impairments(to_client) })
            .unwrap();
        let seed = net.seed();
        Self { net: net.clone(), client, server, seed, executed: Rc::default() }
    }

    pub(crate) fn serve(&self, manners: Manners) {
        let server =
            Server { manners, seed: self.seed.derive(SERVER_DRAWS), heard: 0, executed: self.executed.clone() };
        self.net.serve_endpoint(SERVER, server).unwrap();
    }

    pub(crate) fn connect(&self) -> Watched {
        Watched::new(self.net.connect(self.client, SERVER).unwrap())
    }

    pub(crate) fn has_executed(&self, request: impl Fn(&[u8]) -> bool) -> bool {
        self.executed.borrow().iter().any(|executed| request(executed))
    }

    /// How often the server executed anything.
    pub(crate) fn executions(&self) -> u64 {
        self.executed.borrow().len() as u64
    }

    /// Lets the server forget what it was asked.
    pub(crate) fn forget(&self) {
        self.executed.borrow_mut().clear();
    }

    /// A perfect network from now on, with nothing on its way and a server that answers.
    pub(crate) fn recover(&self) {
        self.net.run_to_the_end(Timestamp::MAX);
        self.net.heal(self.client, self.server).unwrap();
        self.net.bring_up(self.server).unwrap();
        self.net.path(self.client, self.server, Profile::default()).unwrap();
        self.net.stop(SERVER);
        self.serve(Manners::default());
    }

    /// Every datagram is accounted for, also while some are on their way.
    pub(crate) fn conserves(&self) -> Verdict {
        let stats = self.net.stats();
        let (entered, left) = (stats.sent + stats.duplicates, stats.partitioned + stats.dropped + stats.delivered);
        ensure!(entered == left, "datagrams appear or vanish on the links: {stats:?}");
        let found = stats.arrived + stats.lost_on_arrival + stats.discarded;
        // Refusals are on their way too.
        let possible = found..=found + stats.in_flight;
        ensure!(possible.contains(&stats.delivered), "datagrams appear or vanish at the hosts: {stats:?}");
        Ok(())
    }

    /// Nothing is left of anything, once everybody is gone.
    pub(crate) fn ends_empty(&self) -> Verdict {
        self.net.run_to_the_end(Timestamp::MAX);
        self.conserves()?;
        let stats = self.net.stats();
        ensure!(stats.in_flight == 0, "still on their way: {stats:?}");
        ensure!(self.net.next_due().is_none(), "something is still to happen, at {:?}", self.net.next_due());
        Ok(())
    }
}

/// How the server answers. Its answer to a request is always the same.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manners {
    /// Takes from and to so long over an answer, by chance.
    pub(crate) takes: (Duration, Duration),
    /// Says at once that it works on it, with this mark.
    pub(crate) provisional: Option<u8>,
    /// Says that again so much later.
    pub(crate) reminds: Option<Duration>,
    /// Never gets further than that.
    pub(crate) never_done: bool,
    /// Sends up to so many datagrams of nonsense before an answer, by chance.
    pub(crate) babbles: u64,
    /// Does not answer what was damaged.
    pub(crate) checks: bool,
}

struct Server {
    manners: Manners,
    seed: Seed,
    heard: u64,
    executed: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Endpoint for Server {
    fn on_datagram(&mut self, _now: Timestamp, from: SocketAddr, request: &[u8], out: &mut Outbox) {
        let Manners { takes: (least, most), provisional, reminds, never_done, babbles, checks } = self.manners;
        if checks && !is_whole(request) {
            return;
        }
        self.executed.borrow_mut().push(request.to_vec());
        let draw = self.seed.draw(self.heard);
        self.heard += 1;
        if let Some(mark) = provisional {
            out.send(from, &marked(request, mark));
            if let Some(after) = reminds {
                out.send_after(after, from, &marked(request, mark));
            }
        }
        for _ in 0..(draw >> 40) % (babbles + 1) {
            out.send(from, b"nonsense");
        }
        if !never_done {
            let takes = least + fraction(draw, most - least);
            out.send_after(takes, from, &answer(request));
        }
    }
}

/// Request number `n`, in its version for this transmission: id, number, version and a sum.
pub(crate) fn request(id: [u8; 8], n: u64, version: u8) -> Vec<u8> {
    let mut bytes = id.to_vec();
    bytes.extend_from_slice(&n.to_be_bytes());
    bytes.push(version);
    summed(bytes)
}

pub(crate) fn answer(request: &[u8]) -> Vec<u8> {
    marked(request, ANSWER)
}

/// The request, a mark and a sum over both.
fn marked(request: &[u8], mark: u8) -> Vec<u8> {
    let mut bytes = request.to_vec();
    bytes.push(mark);
    summed(bytes)
}

fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&sum(&bytes).to_be_bytes());
    bytes
}

pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    bytes.split_last_chunk().is_some_and(|(body, found)| sum(body) == u64::from_be_bytes(*found))
}

/// A request is no answer, although an answer cut short may be one.
pub(crate) fn is_whole_answer(bytes: &[u8]) -> bool {
    mark(bytes) == Some(ANSWER) && bytes.len() == request([0; 8], 0, 0).len() + 9 && is_whole(bytes)
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| Seed::new(sum).draw(byte.into()))
}

/// The mark of an answer or a provisional answer.
pub(crate) fn mark(datagram: &[u8]) -> Option<u8> {
    datagram.len().checked_sub(9).and_then(|place| datagram.get(place)).copied()
}

/// `most` times the fraction draw/2⁶⁴, to the microsecond.
fn fraction(draw: u64, most: Duration) -> Duration {
    Duration::from_micros(((draw & 0xffff_ffff) * most.as_micros() as u64) >> 32)
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 1060);
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const ANSWER: u8 = b'!';
/// Keeps the server's draws apart from the requester's, which are keyed by the number of the request.
const SERVER_DRAWS: u64 = 1;
