use alloc::collections::VecDeque;
use core::mem;
use core::num::NonZeroUsize;
use core::time::Duration;

use mio::{Interest, Registry, Token};

use super::lane::Lane;
use super::links::Shared;
use super::ports::is_owed;
use super::service_socket::ServiceSocket;
use super::service_sockets::ServiceSockets;
use super::unserved::{NoSession, Reason};
use crate::entropy::Seed;
use crate::fault::{Capacity, Direction, LinkPair, LinkStats, Profile, Recent, Trace};
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::Route;

/// The sessions by client, and by the own address that it asked: a bounded number, in the order in which they were used.
#[derive(Debug)]
pub(super) struct Sessions {
    table: Recent<Route, Session>,
    /// Places of sessions whose sockets may have something to read. A place may belong to another session by now.
    ready: VecDeque<usize>,
    /// Places of sessions that are to ask the service at its next address.
    moving: VecDeque<usize>,
    pub(super) sockets: ServiceSockets,
    shared: Shared,
    pub(super) rules: Rules,
    pub(super) opened: u64,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

/// What every new session is made from.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) profile: Profile,
    /// If set, it is used instead of the profile.
    pub(super) replay: Option<Trace>,
    pub(super) seed: Seed,
    pub(super) idle: Duration,
    pub(super) max_sessions: NonZeroUsize,
    /// For delayed datagrams of each session and direction.
    pub(super) capacity: Capacity,
    /// All clients pass one link in each direction.
    pub(super) shared: bool,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) socket: ServiceSocket,
    /// Unless all share those of all.
    links: Option<LinkPair>,
    ordinal: u64,
    used: Timestamp,
    /// How many datagrams of it the service may still answer, at a reply for each; and when the last one left.
    owed: u32,
    sent: Timestamp,
    /// Whether its place stands among those that are to move.
    moves: bool,
    /// Whether its place stands among those to be read.
    ready: bool,
}

/// A session, to be found only as long as it is the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Ticket {
    pub(super) place: usize,
    ordinal: u64,
}

/// Both directions of all sessions. A reply needs no session any more: its client's address is enough.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) to_server: Lane<Ticket>,
    pub(super) to_client: Lane<Route>,
}

impl Sessions {
    /// `listening` is the family of the address that clients send to.
    pub(super) fn new(rules: Rules, sockets: ServiceSockets, listening: IpFamily) -> Self {
        let families = (IpFamily::of(sockets.upstream.current().ip()), listening);
        Self {
            table: Recent::new(),
            ready: VecDeque::new(),
            shared: Shared::new(&rules, families),
            moving: VecDeque::new(),
            sockets,
            rules,
            opened: 0,
            expired: 0,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Where the session of this client is, a new one if there was none.
    ///
    /// # Errors
    ///
    /// Why it can have none.
    pub(super) fn of_client(
        &mut self,
        client: Route,
        now: Timestamp,
        registry: &Registry,
        lanes: &mut Lanes,
    ) -> Result<usize, NoSession> {
        if let Some(place) = self.table.find(client) {
            return Ok(place);
        }
        if self.sockets.has(client.remote) {
            return Err(NoSession::own());
        }
        let opened = match self.sockets.open(now) {
            Err(lack) if self.makes_room(lack.reason, now, registry, lanes) => self.sockets.open(now),
            opened => opened,
        };
        // Open first: to end a session for a client that cannot be served would be a loss without a gain.
        let socket = opened?;
        while self.table.len() >= self.rules.max_sessions.get() && self.evict(now, registry, lanes) {}
        self.admit(client, socket, now, registry)
    }

    /// Ends a session if a socket more can be had then: one session fewer frees a descriptor, and a port if it was owed
    /// nothing; an unreachable service it would not cure.
    fn makes_room(&mut self, lack: Reason, now: Timestamp, registry: &Registry, lanes: &mut Lanes) -> bool {
        match lack {
            Reason::NoSocket => self.evict(now, registry, lanes),
            Reason::NoPort => {
                let settled = |session: &Session| session.owed_since(now).is_none();
                let place = self.table.oldest_such(MOST_LOOKED_AT, settled);
                let evicted = place.is_some_and(|place| self.end(place, now, registry, lanes));
                self.evicted += u64::from(evicted);
                evicted
            }
            Reason::Unreachable | Reason::Own => false,
        }
    }

    /// The session at a place, which counts as used at `now`.
    pub(super) fn used(&mut self, place: usize, now: Timestamp) -> Option<(Route, &mut Session)> {
        self.table.touch(place);
        let (client, session) = self.table.entry_mut(place)?;
        session.used = now;
        Some((client, session))
    }

    /// What the datagrams of the session at a place pass.
    pub(super) fn links_at(&mut self, place: usize) -> Option<&mut LinkPair> {
        self.shared.or(self.table.get_mut(place).and_then(|session| session.links.as_mut()))
    }

    /// The session that sends to the service now, if it has not ended.
    pub(super) fn sending(&mut self, ticket: Ticket, now: Timestamp) -> Option<&mut Session> {
        let session = self.table.get_mut(ticket.place).filter(|session| session.ordinal == ticket.ordinal)?;
        // What leaves as it comes has been counted already.
        if session.used < now {
            self.used(ticket.place, now);
        }
        self.table.get_mut(ticket.place)
    }

    /// Something is sent to a client now.
    pub(super) fn on_reply_sent(&mut self, client: Route, now: Timestamp) {
        if let Some(place) = self.table.find(client) {
            self.used(place, now);
        }
    }

    /// The service has refused a datagram of a session: if it has another address, that is asked from now on.
    #[cold]
    pub(super) fn on_refusal(&mut self, place: usize) {
        let Some(session) = self.table.get_mut(place) else { return };
        session.owed = session.owed.saturating_sub(1);
        let (upstream, service) = (&mut self.sockets.upstream, session.socket.service);
        upstream.on_refused(service);
        if upstream.current() != service && !session.moves {
            session.moves = true;
            self.moving.push_back(place);
        }
    }

    /// Gives sessions that were refused a socket to the present address of the service. Those that the system has none for
    /// keep what they have.
    pub(super) fn move_refused(&mut self, now: Timestamp, registry: &Registry) {
        for _ in 0..MOST_MOVES {
            let Some(place) = self.moving.pop_front() else { return };
            let Some(session) = self.table.get_mut(place).filter(|session| session.moves) else { continue };
            session.moves = false;
            if session.socket.service == self.sockets.upstream.current() {
                continue;
            }
            let Ok(mut socket) = self.sockets.open(now) else { continue };
            if registry.register(&mut socket.socket, Token(place), Interest::READABLE).is_err() {
                self.sockets.on_closing(&socket, now, None);
                continue;
            }
            if let Some(links) = self.shared.or(session.links.as_mut()) {
                links.set_server_side(IpFamily::of(socket.service.ip()));
            }
            let mut left = mem::replace(&mut session.socket, socket);
            let _ = registry.deregister(&mut left.socket);
            // Who refuses owes no reply.
            self.sockets.on_closing(&left, now, None);
            session.owed = 0;
        }
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

    pub(super) fn socket_at(&mut self, place: usize) -> Option<&ServiceSocket> {
        Some(&self.table.get_mut(place)?.socket)
    }

    pub(super) fn is_any_ready(&self) -> bool {
        !(self.ready.is_empty() && self.moving.is_empty())
    }

    /// When the next session has been idle for too long, unless something arrives.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let (_, oldest) = self.table.oldest()?;
        Some(oldest.used.after(self.rules.idle))
    }

    /// Ends sessions that have been idle for too long, `most` at most. One that has something in flight is not idle.
    pub(super) fn expire(&mut self, now: Timestamp, most: usize, registry: &Registry, lanes: &mut Lanes) {
        for _ in 0..most {
            // The table is in the order of use: if this one stays, all do.
            let Some(place) = self.next_expiry().filter(|&expiry| expiry <= now).and_then(|_| self.oldest()) else {
                return;
            };
            let Some((client, session)) = self.table.entry_mut(place) else { return };
            if lanes.hold(session.ticket(place), client) {
                self.used(place, now);
            } else if self.end(place, now, registry, lanes) {
                self.expired += 1;
                self.sockets.upstream.on_expired();
            }
        }
    }

    fn oldest(&self) -> Option<usize> {
        self.table.oldest().map(|(place, _)| place)
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

    /// What the system dropped at the sockets of all sessions that there were.
    pub(super) fn kernel_dropped(&self) -> u64 {
        let open = self.table.values().map(|session| session.socket.kernel_dropped());
        self.sockets.kernel_dropped + open.sum::<u64>()
    }

    fn admit(
        &mut self,
        client: Route,
        mut socket: ServiceSocket,
        now: Timestamp,
        registry: &Registry,
    ) -> Result<usize, NoSession> {
        let ordinal = self.opened;
        let families = (IpFamily::of(socket.service.ip()), IpFamily::of(client.remote.ip()));
        let links = self.shared.apart(&self.rules, ordinal, families);
        let place = self.table.next_place();
        if let Err(error) = registry.register(&mut socket.socket, Token(place), Interest::READABLE) {
            self.sockets.on_closing(&socket, now, None);
            return Err(NoSession::of_service(error));
        }
        let session = Session { socket, links, ordinal, used: now, owed: 0, sent: now, moves: false, ready: false };
        self.table.insert(client, session);
        self.opened += 1;
        Ok(place)
    }

    /// Ends the least recently used session for a new one; `false` if there is none.
    fn evict(&mut self, now: Timestamp, registry: &Registry, lanes: &mut Lanes) -> bool {
        let evicted = self.oldest().is_some_and(|oldest| self.end(oldest, now, registry, lanes));
        self.evicted += u64::from(evicted);
        evicted
    }

    fn end(&mut self, place: usize, now: Timestamp, registry: &Registry, lanes: &mut Lanes) -> bool {
        let Some(mut session) = self.table.remove(place) else { return false };
        self.sockets.on_closing(&session.socket, now, session.owed_since(now));
        // Closing the socket, which follows at once, removes it as well.
        let _ = registry.deregister(&mut session.socket.socket);
        if let Some(links) = session.links {
            lanes.to_server.retire(links.stats(Direction::ToServer));
            lanes.to_client.retire(links.stats(Direction::ToClient));
        }
        true
    }
}

impl Lanes {
    /// Whether a session has a datagram in flight, in either direction.
    fn hold(&self, ticket: Ticket, client: Route) -> bool {
        self.to_server.holds(ticket) || self.to_client.holds(client)
    }
}

impl Session {
    pub(super) fn ticket(&self, place: usize) -> Ticket {
        Ticket { place, ordinal: self.ordinal }
    }

    /// A datagram has left for the service.
    pub(super) fn on_sent(&mut self, now: Timestamp) {
        (self.owed, self.sent) = (self.owed.saturating_add(1), now);
    }

    /// The service has answered.
    pub(super) fn on_reply(&mut self) {
        self.owed = self.owed.saturating_sub(1);
    }

    /// When the last datagram left, if a reply may still come.
    fn owed_since(&self, now: Timestamp) -> Option<Timestamp> {
        (self.owed > 0 && is_owed(self.sent, now)).then_some(self.sent)
    }
}

/// Sessions that are looked at for one to which nothing is owed.
const MOST_LOOKED_AT: usize = 256;
/// Sessions that move in one turn.
const MOST_MOVES: usize = 256;
