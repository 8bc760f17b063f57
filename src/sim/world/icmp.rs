use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::World;
use super::arena::Key;
use super::passage::{Carried, Flight};
use super::sockets::Reader;
use crate::fault::{Delivery, Fate, Packets};
use crate::sim::{Happened, SimEvent};
use crate::size::{IpFamily, Pmtu};
use crate::time::Timestamp;
use crate::transport::{Fragmentation, PathError};

/// What the kernels of all hosts have learned of the paths to other addresses, as Linux does it.
#[derive(Default, Debug)]
pub(super) struct PathMtus {
    learned: BTreeMap<(usize, IpAddr), Learned>,
    /// What the interfaces of hosts carry, where that is limited.
    interfaces: BTreeMap<usize, Pmtu>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    pmtu: Pmtu,
    /// It is the least that the kernel believes, and the path may carry less: IPv4 packets may be fragmented then.
    locked: bool,
    until: Timestamp,
}

impl PathMtus {
    /// What is known of the path from a host to an address.
    fn of(&self, host: usize, to: IpAddr, now: Timestamp) -> Option<Learned> {
        let learned = self.learned.get(&(host, to)).filter(|it| now < it.until).copied();
        let interface = self.interfaces.get(&host).map(|&pmtu| Learned { pmtu, locked: false, until: Timestamp::MAX });
        learned.into_iter().chain(interface).min_by_key(|it| it.pmtu)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.learned.is_empty() && self.interfaces.is_empty()
    }

    /// A report never raises an estimate, and lowers it no further than to what the kernel believes.
    fn learn(&mut self, host: usize, to: IpAddr, claimed: Pmtu, now: Timestamp) {
        let least = match IpFamily::of(to) {
            IpFamily::V4 => LEAST_V4,
            // Every IPv6 path carries this much (RFC 8200 section 5).
            IpFamily::V6 if claimed < LEAST_V6 => return,
            IpFamily::V6 => LEAST_V6,
        };
        let pmtu = claimed.max(least);
        if self.of(host, to, now).is_none_or(|known| pmtu <= known.pmtu) {
            let learned = Learned { pmtu, locked: claimed < least, until: now.after(EXPIRES) };
            self.learned.insert((host, to), learned);
        }
    }
}

/// How a datagram leaves its host.
impl<A> World<A> {
    /// The packets that a datagram is sent in.
    ///
    /// # Errors
    ///
    /// [`PathError::TooBig`] if its socket forbids what it would take.
    #[inline]
    pub(super) fn packets(
        &self,
        mode: Fragmentation,
        host: usize,
        to: IpAddr,
        len: usize,
    ) -> Result<Packets, PathError> {
        let family = IpFamily::of(to);
        let whole = Packets::whole(family);
        // Most networks limit and report nothing.
        if self.mtus.is_empty() && mode == Fragmentation::ByEstimate {
            return Ok(whole);
        }
        // Of IPv6 no router fragments anything.
        let v4 = family == IpFamily::V4;
        let learned = self.mtus.of(host, to, self.now);
        let exceeded = learned.filter(|it| len > it.pmtu.plpmtu(family).bytes());
        let interface = self.mtus.interfaces.get(&host).filter(|it| len > it.plpmtu(family).bytes());
        Ok(match (mode, exceeded) {
            (Fragmentation::Probing, _) if interface.is_some() => {
                return Err(PathError::too_big(interface.map(|it| it.plpmtu(family))));
            }
            (Fragmentation::Forbidden, Some(it)) => return Err(PathError::too_big(Some(it.pmtu.plpmtu(family)))),
            (Fragmentation::Forbidden | Fragmentation::Probing, _) => whole,
            // What was split once may be split again.
            (_, Some(it)) => Packets { fragment: Some(it.pmtu), divisible: v4, ..whole },
            (Fragmentation::Allowed, None) => Packets { divisible: v4, ..whole },
            (Fragmentation::ByEstimate, None) => {
                Packets { divisible: v4 && learned.is_some_and(|it| it.locked), ..whole }
            }
        })
    }

    pub(in crate::sim) fn limit_interface(&mut self, host: usize, pmtu: Pmtu) {
        self.mtus.interfaces.insert(host, pmtu);
    }

    pub(in crate::sim) fn set_fragmentation(&mut self, socket: Key, mode: Fragmentation) {
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.fragmentation = mode;
        }
    }

    pub(in crate::sim) fn fragmentation(&self, socket: Key) -> Option<Fragmentation> {
        self.sockets.get(socket).map(|it| it.fragmentation)
    }

    /// What the host of the socket knows of the path to an address.
    pub(in crate::sim) fn kernel_pmtu(&self, socket: Key, to: IpAddr) -> Option<Pmtu> {
        let host = self.sockets.get(socket)?.host;
        self.mtus.of(host, to, self.now).map(|it| it.pmtu)
    }
}

/// ICMP messages: they take the link like a datagram, but no plan spares them, and at most one copy of each
/// arrives.
impl<A> World<A> {
    /// The host of `by` reports to `whom` that nothing listens there.
    pub(super) fn send_refusal(&mut self, by: SocketAddr, whom: SocketAddr) {
        self.send_message(by, whom, Carried::Refusal, &MESSAGE);
    }

    /// A router on the way to `by` reports to `whom` that a datagram is too large for the link behind it.
    pub(super) fn send_report(&mut self, by: SocketAddr, whom: SocketAddr, pmtu: Pmtu, datagram: &[u8]) {
        let most = match IpFamily::of(whom.ip()) {
            IpFamily::V4 => MOST_QUOTED_V4,
            IpFamily::V6 => MOST_QUOTED_V6,
        };
        let quoted = datagram.get(..most).unwrap_or(datagram);
        self.send_message(by, whom, Carried::Report(pmtu), quoted);
    }

    fn send_message(&mut self, by: SocketAddr, whom: SocketAddr, what: Carried, carried: &[u8]) {
        let ends = (self.topology.host_at(by.ip()), self.topology.host_at(whom.ip()));
        let (Some(here), Some(there)) = ends else { return };
        let now = self.now;
        let found = self.topology.link_between(here, there).filter(|link| !link.is_closed());
        let Some(entered) = found else { return };
        let (path, direction) = (entered.path, entered.direction);
        let whole = Packets::whole(IpFamily::of(whom.ip()));
        let mut capacity = self.flights.admission((), None);
        let fate =
            entered.link.transmit_packets(now, MESSAGE.len(), whole, &mut None, None::<fn(Fate) -> Fate>, |copy| {
                capacity.admits(copy)
            });
        let n = entered.link.stats().received;
        let happened = match what {
            Carried::Report(_) => Happened::ReportSent { path, direction, n, fate },
            Carried::Datagram | Carried::Refusal => Happened::RefusalSent { path, direction, n, fate },
        };
        self.note(SimEvent {
            at: now,
            from: by,
            to: whom,
            len: MESSAGE.len(),
            digest: 0,
            head: [0; 8],
            what: happened,
        });
        if let Fate::Delivered(copies) = fate {
            for copy in copies.iter().take(1) {
                let arrival = Delivery::whole(copy.at, carried.len());
                self.flights.push((), Flight { from: by, to: whom, host: there, what, tag: None }, &arrival, carried);
            }
        }
    }

    /// A connected socket learns of it, others do not (Linux).
    pub(super) fn refusal_arrives(&mut self, event: SimEvent) {
        let up = self.topology.host_at(event.to.ip()).is_some_and(|host| !self.topology.is_silent(host));
        let told = if up { self.tell_connected(event, PathError::Refused, &[]) } else { None };
        let what = if told.is_some() { Happened::RefusalArrived } else { Happened::RefusalLost };
        self.note(SimEvent { what, ..event });
        self.call_with_error(told, PathError::Refused);
    }

    /// The kernel learns of it if it has a socket from which such a datagram can have come, and a connected socket, too.
    pub(super) fn report_arrives(&mut self, event: SimEvent, claimed: Pmtu, quoted: &[u8]) {
        let SimEvent { from, to, .. } = event;
        let host = self.topology.host_at(to.ip()).filter(|&host| !self.topology.is_silent(host));
        let socket = host.and_then(|host| Some((host, self.sockets.receiving(host, to)?)));
        let socket = socket.and_then(|(host, key)| Some((host, self.sockets.get(key)?)));
        let Some((host, _)) = socket.filter(|(_, socket)| socket.peer.is_none_or(|peer| peer == from)) else {
            self.note(SimEvent { what: Happened::ReportLost, ..event });
            return;
        };
        self.mtus.learn(host, from.ip(), claimed, self.now);
        let learned = self.mtus.of(host, from.ip(), self.now);
        let error = PathError::too_big(learned.map(|it| it.pmtu.plpmtu(IpFamily::of(from.ip()))));
        let told = self.tell_connected(event, error, quoted);
        self.note(SimEvent { what: Happened::ReportArrived, ..event });
        self.call_with_error(told, error);
    }

    /// A report that no router has sent.
    pub(in crate::sim) fn forge_report(&mut self, from: SocketAddr, to: SocketAddr, claimed: Pmtu, quoted: &[u8]) {
        self.report_arrives(self.event(from, to, quoted), claimed, quoted);
    }

    /// Makes an error pending on the socket at `event.to` if it is connected to `event.from`, and returns who reads it.
    fn tell_connected(&mut self, event: SimEvent, error: PathError, quoted: &[u8]) -> Option<Reader> {
        let key = self.sockets.at(event.to)?;
        let reader = self.sockets.get(key).filter(|socket| socket.peer == Some(event.from))?.reader;
        if matches!(reader, Reader::Endpoint(resident) if self.has_panicked(resident)) {
            return None;
        }
        if let Some(socket) = self.sockets.get_mut(key).filter(|_| reader == Reader::Transport) {
            socket.pending = Some(error);
            socket.quoted.clear();
            socket.quoted.extend_from_slice(quoted);
        }
        Some(reader)
    }

    fn call_with_error(&mut self, reader: Option<Reader>, error: PathError) {
        if let Some(Reader::Endpoint(resident)) = reader {
            self.call(resident, |endpoint, now, out| endpoint.on_path_error(now, error, out));
        }
    }
}

/// As long as an ICMP message: its header, and the headers of what it is about.
const MESSAGE: [u8; 36] = [0; 36];
/// What Linux quotes at most of a datagram's payload: a message is to be no larger than 576 or 1,280 bytes.
const MOST_QUOTED_V4: usize = 520;
const MOST_QUOTED_V6: usize = 1184;
/// What Linux believes at least of a path: `net.ipv4.route.min_pmtu`, and IPv6's own minimum.
const LEAST_V4: Pmtu = Pmtu::new(552);
const LEAST_V6: Pmtu = Pmtu::new(1280);
/// How long Linux remembers: `net.ipv4.route.mtu_expires`, `net.ipv6.route.mtu_expires`.
const EXPIRES: Duration = Duration::from_secs(600);
