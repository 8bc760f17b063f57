#![expect(clippy::disallowed_methods, reason = "the clock of a front that owns its sockets, as `net` does")]

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::kernel_drops::kernel_drops;
use super::lane::Lane;
use super::pause::pause;
use super::sessions::{Lanes, Rules, Sessions, Ticket};
use super::sockets::{self, Read, Receive, SOUND, Sent};
use super::timer::Timer;
use super::{KernelDrops, ProxyStats};
use crate::fault::{Changed, Control, Direction, Fate, FateObserver, Seen};
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
    receive: Receive,
    /// Turns in a row in which the sockets had nothing but errors, although there was something to read.
    only_errors: u32,
    pub(super) sessions: Sessions,
    lanes: Lanes,
    pub(super) control: Control,
    control_seen: Seen,
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
            receive: SOUND,
            only_errors: 0,
            lanes: Lanes { to_server: Lane::new(rules.capacity), to_client: Lane::new(rules.capacity) },
            control: Control::new(rules.profile.clone()),
            control_seen: Seen::default(),
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
            too_big: lanes.to_server.too_big() + lanes.to_client.too_big(),
        }
    }

    pub(super) fn kernel_drops(&self) -> Option<KernelDrops> {
        kernel_drops(&self.listener, self.sessions.sockets())
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
                Read::Error => errors += 1,
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
                    Read::Datagram(len) => {
                        read = true;
                        self.on_reply(place, buffer.get(..len).unwrap_or_default());
                    }
                    Read::Empty => {
                        (read, drained) = (true, true);
                        break;
                    }
                    Read::Error => errors += 1,
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
    fn on_request(&mut self, client: SocketAddr, datagram: &[u8]) {
        self.follow_control();
        let now = self.now();
        let Self { poll, sessions, lanes, observer, .. } = self;
        let Some(place) = sessions.of_client(client, now, poll.registry(), lanes) else {
            self.unserved += 1;
            return;
        };
        let Some((_, session)) = sessions.used(place, now) else { return };
        let ticket = session.ticket(place);
        let capacity = lanes.to_server.admission(ticket, now);
        let Some(links) = sessions.links_at(place) else { return };
        let record = links.transmit(Direction::ToServer, now, datagram.len(), capacity);
        if let Some(observer) = observer {
            lanes.to_server.observed(&record.fate, || observer(client, &record));
        }
        if let Fate::Delivered(deliveries) = &record.fate {
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
        let Some((client, _)) = sessions.used(place, now) else { return };
        let capacity = lanes.to_client.admission(client, now);
        let Some(links) = sessions.links_at(place) else { return };
        let record = links.transmit(Direction::ToClient, now, datagram.len(), capacity);
        if let Some(observer) = observer {
            lanes.to_client.observed(&record.fate, || observer(client, &record));
        }
        if let Fate::Delivered(deliveries) = &record.fate {
            lanes.to_client.forward(client, deliveries, now, datagram, |client, datagram| {
                send_to_client(listener, client, datagram)
            });
        }
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
/// Errors in one turn, in each direction: more say nothing more.
const MOST_ERRORS: u64 = 16;
/// Datagrams of all sessions in one turn.
const SESSIONS_SLICE: usize = 4 * SLICE;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;
    use crate::fault::{Capacity, Profile};
    use crate::processor::{at_most, spent, undisturbed};
    use crate::proxy::pause::LONGEST_PAUSE;
    use crate::{Impairments, Seed};

    #[test]
    fn sockets_that_report_nothing_but_errors_cost_no_processor_time_and_are_asked_again() {
        let listener_fails = Receive { from_client: fails_to_hear_clients, from_service: UdpSocket::recv };
        let sessions_fail = Receive { from_client: UdpSocket::recv_from, from_service: fails_to_hear_the_service };
        let all_fail = Receive { from_client: fails_to_hear_clients, from_service: fails_to_hear_the_service };
        thread::scope(|scope| {
            for (what, failing) in
                [("listener fails", listener_fails), ("sessions fail", sessions_fail), ("all fail", all_fail)]
            {
                scope.spawn(move || undisturbed(what, || proxy_that_fails(&failing)));
            }
        });
    }

    fn proxy_that_fails(failing: &Receive) -> Result<(), String> {
        let (client, service) = (bound(), bound());
        let mut proxy = forwarder(service.local_addr().unwrap());
        let turn = Duration::from_millis(20);
        client.send_to(b"first", proxy.local).unwrap();
        proxy.run_for(turn).unwrap();
        let (_, session) = service.recv_from(&mut [0; 8]).unwrap();

        proxy.receive = Receive { ..*failing };
        service.send_to(b"reply", session).unwrap();
        client.send_to(b"request", proxy.local).unwrap();
        let (ran, spent) = spent(|| proxy.run_for(Duration::from_secs(3)));
        ran.unwrap();
        let errors = proxy.stats().path_errors;

        proxy.receive = SOUND;
        client.send_to(b"last", proxy.local).unwrap();
        proxy.run_for(2 * LONGEST_PAUSE).unwrap();
        let stats = proxy.stats();
        assert_eq!((stats.to_server.passed, stats.to_client.passed), (3, 1), "what waited meanwhile is passed on");
        (errors > 400).then_some(()).ok_or_else(|| format!("nothing was proved: {errors} errors"))?;
        at_most(&(..=Duration::from_millis(5)), spent)
    }

    // The call is made all the same, and costs what it costs.
    fn fails_to_hear_clients(socket: &UdpSocket, _buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let _ = socket.peek_from(&mut []);
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    fn fails_to_hear_the_service(socket: &UdpSocket, _buffer: &mut [u8]) -> io::Result<usize> {
        let _ = socket.peek(&mut []);
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn forwarder(upstream: SocketAddr) -> Forwarder {
        let rules = Rules {
            upstream,
            profile: Profile::both(Impairments::NONE),
            replay: None,
            seed: Seed::new(7),
            idle: Duration::from_secs(60),
            max_sessions: core::num::NonZeroUsize::MIN,
            receive_buffer: None,
            capacity: Capacity::DEFAULT,
            shared: None,
            do_not_fragment: false,
        };
        Forwarder::new(sockets::listening("127.0.0.1:0".parse().unwrap()).unwrap(), rules, None).unwrap()
    }

    #[expect(clippy::disallowed_types, reason = "the ends of a proxy block")]
    fn bound() -> std::net::UdpSocket {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }
}
