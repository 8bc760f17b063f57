use alloc::collections::VecDeque;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::lane::Lane;
use super::links::Shared;
use super::{fragmentation, sockets};
use crate::entropy::Seed;
use crate::fault::{Capacity, Direction, LinkPair, LinkStats, Profile, Recent, Trace};
use crate::net::RecentPorts;
use crate::size::IpFamily;
use crate::time::Timestamp;

/// The sessions by client address: a bounded number, in the order in which they were used.
#[derive(Debug)]
pub(super) struct Sessions {
    table: Recent<SocketAddr, Session>,
    /// Places of sessions whose sockets may have something to read. A place may belong to another session by now.
    ready: VecDeque<usize>,
    given_up: RecentPorts,
    shared: Shared,
    pub(super) rules: Rules,
    pub(super) opened: u64,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

/// What every new session is made from.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) upstream: SocketAddr,
    pub(super) profile: Profile,
    /// If set, it is used instead of the profile.
    pub(super) replay: Option<Trace>,
    pub(super) seed: Seed,
    pub(super) idle: Duration,
    pub(super) max_sessions: NonZeroUsize,
    /// Capacity for unread replies to ask for, in bytes; `None` if the system gives as much by default.
    pub(super) receive_buffer: Option<usize>,
    /// For delayed datagrams of each session and direction.
    pub(super) capacity: Capacity,
    /// All clients pass one link in each direction; the family that they count the headers of.
    pub(super) shared: Option<IpFamily>,
    /// Towards the service.
    pub(super) do_not_fragment: bool,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) socket: UdpSocket,
    /// Unless all share those of all.
    links: Option<LinkPair>,
    ordinal: u64,
    used: Timestamp,
    /// Whether its place stands among those to be read.
    ready: bool,
}

/// A session, to be found only as long as it is the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Ticket {
    place: usize,
    ordinal: u64,
}

/// Both directions of all sessions. A reply needs no session any more: its client's address is enough.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) to_server: Lane<Ticket>,
    pub(super) to_client: Lane<SocketAddr>,
}

impl Sessions {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            table: Recent::new(),
            ready: VecDeque::new(),
            given_up: RecentPorts::remembering(PORTS_AVOIDED),
            shared: Shared::new(&rules),
            rules,
            opened: 0,
            expired: 0,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Where the session of this client is, a new one if there was none. `None` if the system has no socket for it.
    pub(super) fn of_client(
        &mut self,
        client: SocketAddr,
        now: Timestamp,
        registry: &Registry,
        lanes: &mut Lanes,
    ) -> Option<usize> {
        if let Some(place) = self.table.find(client) {
            return Some(place);
        }
        let socket = match self.connect() {
            // One session fewer frees a descriptor and a port; the other errors it would not cure.
            Err(error) if sockets::exhausted(&error) && self.evict(registry, lanes) => self.connect(),
            opened => opened,
        };
        // Connect first: to end a session for a client that cannot be served would be a loss without a gain.
        let socket = socket.ok()?;
        while self.table.len() >= self.rules.max_sessions.get() && self.evict(registry, lanes) {}
        self.admit(client, socket, now, registry).ok()
    }

    /// The session at a place, which counts as used at `now`.
    pub(super) fn used(&mut self, place: usize, now: Timestamp) -> Option<(SocketAddr, &mut Session)> {
        self.table.touch(place);
        let (client, session) = self.table.entry_mut(place)?;
        session.used = now;
        Some((client, session))
    }

    /// What the datagrams of the session at a place pass.
    pub(super) fn links_at(&mut self, place: usize) -> Option<&mut LinkPair> {
        self.shared.or(self.table.get_mut(place).and_then(|session| session.links.as_mut()))
    }

    /// The socket towards the service, if the session has not ended.
    pub(super) fn socket(&mut self, ticket: Ticket) -> Option<&UdpSocket> {
        let session = self.table.get_mut(ticket.place)?;
        (session.ordinal == ticket.ordinal).then_some(&session.socket)
    }

    /// There may be something to read.
    pub(super) fn on_event(&mut self, place: usize) {
        if let Some(session) = self.table.get_mut(place) {
            if !session.ready {
                session.ready = true;
                self.ready.push_back(place);
            }
        }
    }

    /// Who may read next; to be given back by [`on_event`](Self::on_event) unless there was nothing more.
    pub(super) fn next_ready(&mut self) -> Option<usize> {
        while let Some(place) = self.ready.pop_front() {
            match self.table.get_mut(place) {
                Some(session) if session.ready => {
                    session.ready = false;
                    return Some(place);
                }
                _ => {}
            }
        }
        None
    }

    pub(super) fn socket_at(&mut self, place: usize) -> Option<&UdpSocket> {
        Some(&self.table.get_mut(place)?.socket)
    }

    pub(super) fn is_any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next session has been idle for too long, unless something arrives.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let (_, oldest) = self.table.oldest()?;
        Some(oldest.used.after(self.rules.idle))
    }

    /// Ends sessions that have been idle for too long, `most` at most.
    pub(super) fn expire(&mut self, now: Timestamp, most: usize, registry: &Registry, lanes: &mut Lanes) {
        for _ in 0..most {
            // The table is in the order of use: if this one stays, all do.
            match self.next_expiry() {
                Some(expiry) if expiry <= now && self.end_oldest(registry, lanes) => self.expired += 1,
                _ => return,
            }
        }
    }

    pub(super) fn reconfigure(&mut self, profile: Profile) {
        self.rules.profile = profile;
        if self.rules.replay.is_none() {
            let apart = self.table.values_mut().filter_map(|session| session.links.as_mut());
            for links in self.shared.and(apart) {
                links.reconfigure(&self.rules.profile);
            }
        }
    }

    /// Nothing waits any more on the links of one direction.
    pub(super) fn release(&mut self, direction: Direction) {
        let apart = self.table.values_mut().filter_map(|session| session.links.as_mut());
        for links in self.shared.and(apart) {
            links.release(direction);
        }
    }

    pub(super) fn links(&self, direction: Direction) -> impl Iterator<Item = &LinkStats> {
        let apart = self.table.values().filter_map(|session| session.links.as_ref());
        self.shared.stats(direction).chain(apart.map(move |links| links.stats(direction)))
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.table.values().map(|session| &session.socket)
    }

    /// A socket towards the service, from a port that no session gave up lately.
    fn connect(&self) -> io::Result<UdpSocket> {
        let fresh = || {
            let socket = sockets::connected(self.rules.upstream, self.rules.receive_buffer)?;
            if self.rules.do_not_fragment {
                fragmentation::forbid(&socket)?;
            }
            let port = socket.local_addr()?.port();
            Ok((socket, port))
        };
        let (mut socket, mut port): (UdpSocket, u16) = fresh()?;
        for _ in 0..TRIES {
            if !self.given_up.contains(port) {
                break;
            }
            // The one before is still open, so this is another port.
            match fresh() {
                Ok(other) => (socket, port) = other,
                Err(error) if sockets::exhausted(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(socket)
    }

    fn admit(
        &mut self,
        client: SocketAddr,
        socket: UdpSocket,
        now: Timestamp,
        registry: &Registry,
    ) -> io::Result<usize> {
        let ordinal = self.opened;
        let links = self.shared.apart(&self.rules, ordinal, IpFamily::of(client.ip()));
        let place = self.table.insert(client, Session { socket, links, ordinal, used: now, ready: false });
        if let Some(session) = self.table.get_mut(place) {
            if let Err(error) = registry.register(&mut session.socket, Token(place), Interest::READABLE) {
                self.table.remove(place);
                return Err(error);
            }
        }
        self.opened += 1;
        Ok(place)
    }

    /// Ends the least recently used session for a new one; `false` if there is none.
    fn evict(&mut self, registry: &Registry, lanes: &mut Lanes) -> bool {
        let evicted = self.end_oldest(registry, lanes);
        self.evicted += u64::from(evicted);
        evicted
    }

    fn end_oldest(&mut self, registry: &Registry, lanes: &mut Lanes) -> bool {
        let oldest = self.table.oldest().map(|(place, _)| place);
        let Some(mut session) = oldest.and_then(|place| self.table.remove(place)) else { return false };
        // Not for the next sessions: late replies to this client may still arrive at the port.
        if let Ok(address) = session.socket.local_addr() {
            self.given_up.insert(address.port());
        }
        // Closing the socket, which follows at once, removes it as well.
        let _ = registry.deregister(&mut session.socket);
        if let Some(links) = session.links {
            lanes.to_server.retire(links.stats(Direction::ToServer));
            lanes.to_client.retire(links.stats(Direction::ToClient));
        }
        true
    }
}

impl Session {
    pub(super) fn ticket(&self, place: usize) -> Ticket {
        Ticket { place, ordinal: self.ordinal }
    }
}

/// Each finds a port in use with a chance of one in four at most.
const TRIES: u32 = 16;
/// Few beside the ports that a system hands out, 28,232 on Linux and 16,384 at least elsewhere.
const PORTS_AVOIDED: usize = 4096;
