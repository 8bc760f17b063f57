#![expect(clippy::disallowed_methods, reason = "the clock of a front that owns its sockets, as `net` does")]

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::ProxyStats;
use super::lane::Lane;
use super::sessions::{Lanes, Rules, Sessions, Ticket};
use super::sockets::{self, Read, Sent};
use super::timer::Timer;
use crate::fault::{Control, Direction, Fate, FateObserver};
use crate::size::LARGEST_DATAGRAM;
use crate::time::Timestamp;

/// The event loop: waits, reads fairly, and lets the links decide.
pub(super) struct Forwarder {
    poll: Poll,
    events: Events,
    timer: Timer,
    /// When it was made: the origin of all timestamps.
    origin: Instant,
    listener: UdpSocket,
    pub(super) local: SocketAddr,
    /// Whether the listening socket may have something to read.
    listener_ready: bool,
    /// Whether the sockets had nothing but errors in the last turn, although there was something to read.
    only_errors: bool,
    pub(super) sessions: Sessions,
    lanes: Lanes,
    pub(super) control: Control,
    control_seen: u64,
    observer: Option<FateObserver<SocketAddr>>,
    unserved: u64,
    /// Reported while reading.
    path_errors: u64,
    buffer: Vec<u8>,
}

impl Forwarder {
    pub(super) fn new(
        mut listener: UdpSocket,
        rules: Rules,
        observer: Option<FateObserver<SocketAddr>>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            timer,
            origin: Instant::now(),
            local: listener.local_addr()?,
            listener,
            listener_ready: false,
            only_errors: false,
            lanes: Lanes { to_server: Lane::new(), to_client: Lane::new() },
            control: Control::new(rules.profile.clone()),
            control_seen: 0,
            sessions: Sessions::new(rules),
            observer,
            unserved: 0,
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
            unserved: self.unserved,
            path_errors: self.path_errors + lanes.to_server.path_errors() + lanes.to_client.path_errors(),
        }
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
        // What is due leaves before more is read: it has waited long enough, and makes place in the lanes.
        self.release(now);
        // Not `||`: both have their turn.
        let read = self.read_clients(buffer) | self.read_service(buffer, end);
        self.only_errors = self.is_any_ready() && !read;
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
        if ready && !self.only_errors {
            return Ok(Duration::ZERO);
        }
        let Self { sessions, lanes, .. } = self;
        let due = [lanes.to_server.next_due(), lanes.to_client.next_due()].into_iter().flatten().min();
        // No session expires before all is read.
        let next = if ready { Some(now.after(PAUSE)) } else { sessions.next_expiry() };
        let rough = next.map_or(end, |next| next.min(end));
        self.timer.wait(now, due, rough)
    }

    /// Sends what is due, a slice in each direction.
    fn release(&mut self, now: Timestamp) {
        let Self { listener, sessions, lanes, .. } = self;
        lanes.to_server.release(now, SLICE, |ticket, datagram| send_to_server(sessions, ticket, datagram));
        lanes.to_client.release(now, SLICE, |client, datagram| send_to_client(listener, client, datagram));
    }

    /// Reads a slice of what clients have sent. Returns `false` if there were only errors.
    fn read_clients(&mut self, buffer: &mut [u8]) -> bool {
        let mut read = false;
        for _ in 0..SLICE {
            if !self.listener_ready {
                break;
            }
            match sockets::read(|| self.listener.recv_from(buffer)) {
                Read::Datagram((len, client)) => {
                    read = true;
                    self.on_request(client, buffer.get(..len).unwrap_or_default());
                }
                Read::Empty => {
                    read = true;
                    self.listener_ready = false;
                }
                Read::Error => self.path_errors += 1,
            }
        }
        read
    }

    /// Reads a slice of each session's replies, until a few slices are used up. Returns `false` if there were only
    /// errors.
    fn read_service(&mut self, buffer: &mut [u8], end: Timestamp) -> bool {
        let (mut read, mut left) = (false, SESSIONS_SLICE);
        while let Some(place) = self.sessions.next_ready() {
            let (slice, mut drained) = (left.min(SLICE), false);
            for _ in 0..slice {
                let Some(socket) = self.sessions.socket_at(place) else { break };
                left -= 1;
                match sockets::read(|| socket.recv(buffer)) {
                    Read::Datagram(len) => {
                        read = true;
                        self.on_reply(place, buffer.get(..len).unwrap_or_default());
                    }
                    Read::Empty => {
                        (read, drained) = (true, true);
                        break;
                    }
                    Read::Error => self.path_errors += 1,
                }
            }
            // Back to the end of the queue, so that a flood of replies to one client does not hold up the others.
            if !drained {
                self.sessions.on_event(place);
            }
            if left == 0 || self.now() >= end {
                break;
            }
        }
        read
    }

    /// A client has sent a datagram.
    fn on_request(&mut self, client: SocketAddr, datagram: &[u8]) {
        self.follow_control();
        let now = self.now();
        let Self { poll, sessions, lanes, observer, .. } = self;
        let Some(place) = sessions.of_client(client, now, poll.registry(), lanes) else {
            self.unserved += 1;
            return;
        };
        let Some((_, session)) = sessions.used(place, now) else { return };
        let record = session.links.transmit(Direction::ToServer, now, datagram.len());
        if let Some(observer) = observer {
            observer(client, &record);
        }
        if let Fate::Delivered(deliveries) = &record.fate {
            let ticket = session.ticket(place);
            lanes.to_server.forward(ticket, deliveries, now, datagram, |ticket, datagram| {
                send_to_server(sessions, ticket, datagram)
            });
        }
    }

    /// The service has answered a session.
    fn on_reply(&mut self, place: usize, datagram: &[u8]) {
        self.follow_control();
        let now = self.now();
        let Self { listener, sessions, lanes, observer, .. } = self;
        let Some((client, session)) = sessions.used(place, now) else { return };
        let record = session.links.transmit(Direction::ToClient, now, datagram.len());
        if let Some(observer) = observer {
            observer(client, &record);
        }
        if let Fate::Delivered(deliveries) = &record.fate {
            lanes.to_client.forward(client, deliveries, now, datagram, |client, datagram| {
                send_to_client(listener, client, datagram)
            });
        }
    }

    /// A change holds from the next datagram on.
    fn follow_control(&mut self) {
        if let Some(profile) = self.control.changed(&mut self.control_seen) {
            self.sessions.reconfigure(profile);
        }
    }

    fn is_any_ready(&self) -> bool {
        self.listener_ready || self.sessions.is_any_ready()
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.after(self.origin.elapsed())
    }
}

fn send_to_server(sessions: &mut Sessions, ticket: Ticket, datagram: &[u8]) -> Sent {
    match sessions.socket(ticket) {
        Some(socket) => sockets::send(|| socket.send(datagram)),
        None => Sent::Nowhere,
    }
}

fn send_to_client(listener: &UdpSocket, client: SocketAddr, datagram: &[u8]) -> Sent {
    sockets::send(|| listener.send_to(datagram, client))
}

/// Sessions have their places as tokens, from 0.
const LISTENER: Token = Token(usize::MAX - 1);
const TIMER: Token = Token(usize::MAX - 2);
const EVENTS: usize = 1024;
/// Datagrams of one socket, or of those that were kept, before something else has its turn.
const SLICE: usize = 64;
/// Datagrams of all sessions in one turn.
const SESSIONS_SLICE: usize = 4 * SLICE;
/// A socket that had nothing but errors for a slice is asked again after this time; else it could take all time.
const PAUSE: Duration = Duration::from_millis(5);
