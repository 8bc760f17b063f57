#![expect(clippy::disallowed_methods, reason = "the clock of a front that owns its sockets, as `net` does")]

use core::time::Duration;
use std::io;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};

use super::lane::Lane;
use super::listener::Listener;
use super::pause::pause;
use super::service_socket::Reply;
use super::service_sockets::ServiceSockets;
use super::sessions::{Lanes, Rules, Sessions, Ticket};
use super::sockets::{self, Read, Receive, SOUND, Sent};
use super::timer::Timer;
use super::unserved::{NoSession, Unserved};
use super::watch::Watch;
use super::{KernelDrops, ProxyStats};
use crate::fault::{Changed, Control, Direction, Seen, Tag};
use crate::net::kernel_dropped;
use crate::size::{IpFamily, LARGEST_DATAGRAM};
use crate::time::Timestamp;
use crate::transport::Route;

/// The event loop: waits, reads fairly, and lets the links decide.
pub(super) struct Forwarder {
    poll: Poll,
    events: Events,
    timer: Timer,
    /// When it was made: the origin of all timestamps.
    origin: Instant,
    pub(super) listener: Listener,
    /// Whether the listening socket may have something to read.
    listener_ready: bool,
    receive: Receive,
    /// Turns in a row in which the sockets had nothing but errors, although there was something to read.
    only_errors: u32,
    pub(super) sessions: Sessions,
    lanes: Lanes,
    pub(super) control: Control,
    control_seen: Seen,
    watch: Watch,
    unserved: Unserved,
    /// The last reason, in the system's words.
    pub(super) unserved_error: Option<io::Error>,
    /// Datagrams that came to sessions from others than the service.
    strangers: u64,
    /// Reported while reading.
    path_errors: u64,
    buffer: Vec<u8>,
}

impl Forwarder {
    pub(super) fn new(
        mut listener: Listener,
        rules: Rules,
        sockets: ServiceSockets,
        watch: impl FnOnce(Instant) -> Watch,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        poll.registry().register(&mut listener.socket, LISTENER, Interest::READABLE)?;
        let origin = Instant::now();
        let listening = IpFamily::of(listener.local.ip());
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            timer,
            origin,
            watch: watch(origin),
            listener,
            listener_ready: false,
            receive: SOUND,
            only_errors: 0,
            lanes: Lanes { to_server: Lane::new(rules.capacity), to_client: Lane::new(rules.capacity) },
            control: Control::new(rules.profile.clone()),
            control_seen: Seen::default(),
            sessions: Sessions::new(rules, sockets, listening),
            unserved: Unserved::default(),
            unserved_error: None,
            strangers: 0,
            path_errors: 0,
            buffer: Vec::new(),
        })
    }

    pub(super) fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let end = self.now().after(time);
        // Taken out, so that what is in it can go through the rest of the proxy.
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.resize(LARGEST_DATAGRAM, 0);
        let ran = loop {
            match self.turn(&mut buffer, end) {
                Ok(()) if self.now() < end => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break Ok(()),
                ended => break ended,
            }
        };
        self.buffer = buffer;
        ran
    }

    pub(super) fn stats(&self) -> ProxyStats {
        let Self { sessions, lanes, .. } = self;
        ProxyStats {
            to_server: lanes.to_server.stats(sessions.links(Direction::ToServer)),
            to_client: lanes.to_client.stats(sessions.links(Direction::ToClient)),
            sessions: sessions.len(),
            opened: sessions.opened,
            expired: sessions.expired,
            evicted: sessions.evicted,
            unserved: self.unserved.total(),
            unserved_by: self.unserved,
            strangers: self.strangers,
            path_errors: self.path_errors + lanes.to_server.path_errors() + lanes.to_client.path_errors(),
            too_big: lanes.to_server.too_big() + lanes.to_client.too_big(),
        }
    }

    pub(super) fn kernel_drops(&self) -> Option<KernelDrops> {
        let listener = kernel_dropped(&self.listener.socket)?.into();
        Some(KernelDrops { listener, sessions: self.sessions.kernel_dropped() })
    }

    /// Waits for something to do, and does some of each kind, so that none of them holds up the others for long.
    fn turn(&mut self, buffer: &mut [u8], end: Timestamp) -> io::Result<()> {
        let wait = self.wait(end)?;
        self.poll.poll(&mut self.events, Some(wait))?;
        for event in &self.events {
            match event.token() {
                LISTENER => self.listener_ready = true,
                TIMER => self.timer.on_event(),
                Token(place) => self.sessions.on_event(place),
            }
        }
        self.follow_control();
        let now = self.now();
        self.sessions.sockets.upstream.follow(now);
        // What is due leaves before more is read: it has waited long enough, and makes place in the lanes.
        self.release(now);
        // Not `||`: both have their turn.
        let read = self.read_clients(buffer) | self.read_service(buffer, end);
        self.sessions.move_refused(now, self.poll.registry());
        self.only_errors = if self.is_any_ready() && !read { self.only_errors.saturating_add(1) } else { 0 };
        // As long as there is something to read, no session is known to be idle.
        if !self.is_any_ready() {
            let Self { poll, sessions, lanes, .. } = self;
            sessions.expire(now, SLICE, poll.registry(), lanes);
        }
        Ok(())
    }

    /// How long nothing needs to be done, unless something arrives.
    fn wait(&mut self, end: Timestamp) -> io::Result<Duration> {
        let (ready, now) = (self.is_any_ready(), self.now());
        // Events are edges: what was left unread has none coming, so it must not be waited for.
        let pause = self.only_errors.checked_sub(1).map(pause);
        if ready && pause.is_none() {
            return Ok(Duration::ZERO);
        }
        let Self { sessions, lanes, .. } = self;
        let due = [lanes.to_server.next_due(), lanes.to_client.next_due()].into_iter().flatten().min();
        // No session expires before all is read.
        let next = if ready { pause.map(|pause| now.after(pause)) } else { sessions.next_expiry() };
        let look = sessions.sockets.upstream.next_look(now);
        let rough = [next, look].into_iter().flatten().fold(end, Timestamp::min);
        self.timer.wait(now, due, rough)
    }

    /// Sends what is due, a slice in each direction.
    fn release(&mut self, now: Timestamp) {
        let Self { listener, sessions, lanes, watch, .. } = self;
        lanes
            .to_server
            .release(now, SLICE, |ticket, tag, datagram| send_to_server((sessions, watch), now, ticket, tag, datagram));
        lanes.to_client.release(now, SLICE, |client, tag, datagram| {
            sessions.on_reply_sent(client, now);
            send_to_client((listener, watch), client, tag, datagram)
        });
    }

    /// Reads a slice of what clients have sent. Returns `false` if there were only errors.
    fn read_clients(&mut self, buffer: &mut [u8]) -> bool {
        let (mut read, mut errors) = (false, 0);
        for _ in 0..SLICE {
            if !self.listener_ready || errors == MOST_ERRORS {
                break;
            }
            match sockets::read(|| (self.receive.from_client)(&self.listener, buffer)) {
                Read::Datagram((len, client)) => {
                    read = true;
                    self.on_request(client, buffer.get(..len).unwrap_or_default());
                }
                Read::Empty => {
                    read = true;
                    self.listener_ready = false;
                }
                Read::Error(_) => errors += 1,
            }
        }
        self.path_errors += errors;
        read
    }

    /// Reads a slice of each session's replies, until a few slices are used up. Returns `false` if there were only
    /// errors.
    fn read_service(&mut self, buffer: &mut [u8], end: Timestamp) -> bool {
        let (mut read, mut left, mut errors) = (false, SESSIONS_SLICE, 0);
        while let Some(place) = self.sessions.next_ready() {
            let (slice, mut drained) = (left.min(SLICE), false);
            for _ in 0..slice {
                if errors == MOST_ERRORS {
                    break;
                }
                let Some(socket) = self.sessions.socket_at(place) else { break };
                left -= 1;
                match sockets::read(|| (self.receive.from_service)(socket, buffer)) {
                    Read::Datagram(reply) => {
                        read = true;
                        self.on_reply(place, &reply, buffer.get(..reply.len).unwrap_or_default());
                    }
                    Read::Empty => {
                        (read, drained) = (true, true);
                        break;
                    }
                    Read::Error(error) => {
                        errors += 1;
                        if sockets::is_refusal(&error) {
                            self.sessions.on_refusal(place);
                        }
                    }
                }
            }
            // Back to the end of the queue, so that a flood of replies to one client does not hold up the others.
            if !drained {
                self.sessions.on_event(place);
            }
            if left == 0 || errors == MOST_ERRORS || self.now() >= end {
                break;
            }
        }
        self.path_errors += errors;
        read
    }

    /// A client has sent a datagram.
    fn on_request(&mut self, client: Route, datagram: &[u8]) {
        self.follow_control();
        let now = self.now();
        let Self { poll, sessions, lanes, watch, .. } = self;
        let place = match sessions.of_client(client, now, poll.registry(), lanes) {
            Ok(place) => place,
            Err(refused) => return self.on_unserved(refused),
        };
        let Some((_, session)) = sessions.used(place, now) else { return };
        let ticket = session.ticket(place);
        let capacity = lanes.to_server.admission(ticket, now);
        let Some(links) = sessions.links_at(place) else { return };
        let record = links.transmit(Direction::ToServer, now, datagram.len(), capacity);
        watch.entered(&mut lanes.to_server, client.remote, &record, (client.remote, client.local), datagram);
        lanes.to_server.forward(ticket, &record, now, datagram, |ticket, tag, datagram| {
            send_to_server((sessions, watch), now, ticket, tag, datagram)
        });
    }

    /// The service has answered a session.
    fn on_reply(&mut self, place: usize, reply: &Reply, datagram: &[u8]) {
        self.follow_control();
        let now = self.now();
        let Self { listener, sessions, lanes, watch, .. } = self;
        let Some((client, session)) = sessions.used(place, now) else { return };
        if !session.socket.accepts(reply, listener.local) {
            self.strangers += 1;
            return;
        }
        session.on_reply();
        let capacity = lanes.to_client.admission(client, now);
        let ends = (session.socket.peer(), session.socket.own);
        let Some(links) = sessions.links_at(place) else { return };
        let record = links.transmit(Direction::ToClient, now, datagram.len(), capacity);
        watch.entered(&mut lanes.to_client, client.remote, &record, ends, datagram);
        lanes.to_client.forward(client, &record, now, datagram, |to, tag, datagram| {
            // Its own session has just been used.
            if to != client {
                sessions.on_reply_sent(to, now);
            }
            send_to_client((listener, watch), to, tag, datagram)
        });
    }

    #[cold]
    fn on_unserved(&mut self, refused: NoSession) {
        self.unserved.count(refused.reason);
        self.unserved_error = Some(refused.error);
    }

    /// A change holds from the next datagram on.
    fn follow_control(&mut self) {
        if let Some(Changed { profile, released }) = self.control.changed(&mut self.control_seen) {
            self.sessions.reconfigure(profile);
            for direction in released.into_iter().flatten() {
                self.let_go(direction);
            }
        }
    }

    /// What is in flight leaves with the next turn.
    #[cold]
    fn let_go(&mut self, direction: Direction) {
        let now = self.now();
        self.sessions.release(direction);
        match direction {
            Direction::ToServer => self.lanes.to_server.hasten(now),
            Direction::ToClient => self.lanes.to_client.hasten(now),
        }
    }

    fn is_any_ready(&self) -> bool {
        self.listener_ready || self.sessions.is_any_ready()
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.after(self.origin.elapsed())
    }
}

fn send_to_server(
    (sessions, watch): (&mut Sessions, &Watch),
    now: Timestamp,
    ticket: Ticket,
    tag: Tag,
    datagram: &[u8],
) -> Sent {
    let Some(session) = sessions.sending(ticket, now) else { return Sent::Nowhere };
    let mut refused = false;
    let attempt = || session.socket.send(datagram);
    let sent = sockets::send_reporting(attempt, |error| refused |= sockets::is_refusal(error));
    if sent.has_left() {
        session.on_sent(now);
        watch.left(&tag, (session.socket.own, session.socket.peer()), datagram);
    }
    if refused {
        sessions.on_refusal(ticket.place);
    }
    sent
}

fn send_to_client((listener, watch): (&Listener, &Watch), client: Route, tag: Tag, datagram: &[u8]) -> Sent {
    let sent = sockets::send(|| listener.send(client, datagram));
    if sent.has_left() {
        watch.left(&tag, (client.local, client.remote), datagram);
    }
    sent
}

/// Sessions have their places as tokens, from 0.
const LISTENER: Token = Token(usize::MAX - 1);
const TIMER: Token = Token(usize::MAX - 2);
const EVENTS: usize = 1024;
/// Datagrams of one socket, or of those that were kept, before something else has its turn.
const SLICE: usize = 64;
/// Errors in one turn, in each direction: more say nothing more.
const MOST_ERRORS: u64 = 16;
/// Datagrams of all sessions in one turn.
const SESSIONS_SLICE: usize = 4 * SLICE;

#[cfg(all(test, target_os = "linux"))]
mod failing_sockets;
