use std::time::Duration;

use super::UdpPaths;
use super::play::PLAYS;
use crate::net::ConnectedUdp;
use crate::net::poll::poll_paths;
use crate::servers::Paths;
use crate::time::{Timestamp, saturating_ns};
use crate::transport::{Incoming, PathIndex};

/// One wait for several sockets, by the rules that a wait for one has: the remaining time is computed anew each turn, the
/// end of a long wait is asked for apart, all are looked at once more when the time is up, and a socket that fails or wakes
/// for nothing is left alone, while the others are waited for.
impl UdpPaths {
    /// A wait for one path, as far as it can be in `recv` of its socket, while others are open and at rest.
    pub(super) fn begin_alone(
        &mut self,
        path: PathIndex,
        buffer: &mut [u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Incoming<PathIndex>> {
        if self.play.looks_at_others(now) {
            let others = self.open.without(path);
            if let Some(incoming) = self.look_at(others, buffer, now, until, now, false) {
                return Some(incoming);
            }
        }
        let most = until.since_ns(now).min(saturating_ns(PLAYS));
        self.look_with(path, |socket| socket.begin(buffer, now, most, until))
    }

    /// The wait for all that are open, which began at `began`.
    pub(super) fn wait_for_all(
        &mut self,
        buffer: &mut [u8],
        began: Timestamp,
        mut time: Timestamp,
        until: Timestamp,
    ) -> Incoming<PathIndex> {
        if let Some(kept) = self.kept_error(buffer) {
            return kept;
        }
        if self.cancellable.is_cancelled() {
            self.cancellable.take();
            return Incoming::Cancelled;
        }
        loop {
            let remaining = until.since(time);
            if remaining.is_zero() {
                let queued = self.look_at(self.open, buffer, began, until, time, false);
                return queued.unwrap_or_else(|| self.time_up(time));
            }
            let (woken, rung) = self.poll(time, remaining);
            if rung && self.cancellable.take() {
                return Incoming::Cancelled;
            }
            if let Some(incoming) = self.look_at(woken, buffer, began, until, time, true) {
                return incoming;
            }
            time = self.clock.now();
        }
    }

    /// An error that a send met.
    pub(super) fn kept_error(&mut self, buffer: &mut [u8]) -> Option<Incoming<PathIndex>> {
        self.open.iter().find_map(|path| self.look_with(path, |socket| socket.kept_error(buffer)))
    }

    /// Waits for those that are not at rest.
    fn poll(&self, now: Timestamp, remaining: Duration) -> (Paths, bool) {
        let mut step = self.clock.step(remaining);
        let mut watched = Paths::NONE;
        for path in self.open.iter() {
            let rests = self.rests_until(path).since(now);
            if rests.is_zero() {
                watched = watched.with(path);
            } else {
                step = step.min(rests);
            }
        }
        let socket = |path| self.socket(path).and_then(|socket| socket.watched());
        // Where it fails, such as under a limit of no descriptors, all there is is to look, and to rest.
        poll_paths(watched, socket, self.cancellable.bell(), step).unwrap_or((watched, true))
    }

    /// The first thing that one of these paths has, by turns, so that none that has much keeps the others from being seen.
    /// If no poll has `woken` this, what one says once more that is at rest now is no news.
    pub(super) fn look_at(
        &mut self,
        paths: Paths,
        buffer: &mut [u8],
        began: Timestamp,
        until: Timestamp,
        now: Timestamp,
        woken: bool,
    ) -> Option<Incoming<PathIndex>> {
        let later = paths.except(Paths::first(self.turn));
        for path in later.iter().chain(paths.except(later).iter()) {
            let was_at_rest = !woken && self.rests_until(path) > now;
            let mut rest = None;
            let found = self.look_with(path, |socket| {
                let (found, pause) = socket.look(buffer, began, until, woken);
                rest = pause;
                found
            });
            if let Some(rest) = rest {
                let rests_until = self.clock.now().after(rest);
                if let Some(path) = self.paths.get_mut(path.number() as usize) {
                    path.rests_until = rests_until;
                }
            }
            if found.is_some() && !(was_at_rest && rest.is_some()) {
                self.turn = path.number() as usize + 1;
                return found;
            }
        }
        None
    }

    /// What a socket gives, as its path's.
    fn look_with(
        &mut self,
        number: PathIndex,
        look: impl FnOnce(&mut ConnectedUdp) -> Option<Incoming<PathIndex>>,
    ) -> Option<Incoming<PathIndex>> {
        let path = self.paths.get_mut(number.number() as usize)?;
        let found = look(path.socket.as_mut()?)?;
        Some(path.label(found))
    }

    fn time_up(&mut self, at: Timestamp) -> Incoming<PathIndex> {
        self.on_unanswered();
        Incoming::TimeUp(at)
    }

    /// A wait was in vain.
    pub(super) fn on_unanswered(&mut self) {
        for socket in self.paths.iter_mut().filter_map(|path| path.socket.as_mut()) {
            socket.on_unanswered();
        }
    }

    fn rests_until(&self, path: PathIndex) -> Timestamp {
        self.paths.get(path.number() as usize).map_or(Timestamp::ZERO, |path| path.rests_until)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Shutdown, UdpSocket};

    use socket2::SockRef;

    use super::*;
    use crate::processor::{spends, spent};
    use crate::transport::Transport;

    const A: PathIndex = PathIndex::FIRST;
    const B: PathIndex = PathIndex::new(1);

    /// A socket that is shut stays readable for good, and has nothing to read.
    #[test]
    fn a_path_that_wakes_for_nothing_neither_spins_nor_delays_another() {
        spends(..=Duration::from_millis(5), "a path that wakes for nothing", || ((), a_path_that_wakes_for_nothing()));
    }

    /// Returns what 1 s of waiting spent.
    fn a_path_that_wakes_for_nothing() -> Duration {
        let servers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut paths = UdpPaths::connect(&servers.each_ref().map(|server| server.local_addr().unwrap())).unwrap();
        for path in [A, B] {
            paths.send(path, b"ping").unwrap();
        }
        SockRef::from(paths.socket(A).unwrap().watched().unwrap()).shutdown(Shutdown::Read).unwrap();
        let now = paths.now();
        let (waited, spent) = spent(|| paths.recv(&mut [0; 8], now, now.after(Duration::from_secs(1))));
        let Incoming::TimeUp(at) = waited else { panic!() };
        assert!(at.since(now) >= Duration::from_secs(1));
        assert!(paths.rests_until(A) > now, "it wakes for nothing");
        // While it is at rest for a long time, and is not looked at, the other one is.
        paths.paths[0].rests_until = Timestamp::MAX;
        let (_, from) = servers[1].recv_from(&mut [0; 8]).unwrap();
        servers[1].send_to(b"pong", from).unwrap();
        let now = paths.now();
        let Incoming::Datagram(received) = paths.recv(&mut [0; 8], now, now.after(Duration::from_secs(20))) else {
            panic!("the reply is there")
        };
        assert_eq!(received.from, B);
        assert!(received.at.since(now) < Duration::from_secs(1));
        // A send ends it.
        paths.send(A, b"ping").unwrap();
        assert_eq!(paths.rests_until(A), Timestamp::ZERO);
        spent
    }

    #[test]
    fn looks_that_no_poll_asked_for_and_entries_of_the_error_queue_leave_no_path_alone() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addresses = [server.local_addr().unwrap(), other.local_addr().unwrap()];
        let looked_at = || {
            let mut paths = UdpPaths::connect(&addresses).unwrap();
            paths.send(A, b"ping").unwrap();
            paths.send(B, b"ping").unwrap();
            for _ in 0..100 {
                assert!(matches!(paths.recv(&mut [0; 8], paths.now(), Timestamp::ZERO), Incoming::TimeUp(_)));
            }
            assert_eq!([A, B].map(|path| paths.rests_until(path)), [Timestamp::ZERO; 2]);
            paths
        };
        looked_at();
        #[cfg(not(udp_retry_portable))]
        spends(..=Duration::from_millis(5), "entries of the error queue", || {
            use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt};
            let stamps = TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
            let mut paths = looked_at();
            setsockopt(paths.socket(A).unwrap().watched().unwrap(), sockopt::Timestamping, &stamps).unwrap();
            for _ in 0..40 {
                paths.send(A, b"ping").unwrap();
            }
            let now = paths.now();
            let until = now.after(Duration::from_millis(300));
            let (waited, spent) = spent(|| paths.recv(&mut [0; 8], now, until));
            assert!(matches!(waited, Incoming::TimeUp(_)));
            assert_eq!(paths.rests_until(A), Timestamp::ZERO, "each is taken off");
            ((), spent)
        });
    }

    /// Without a queue of errors, none of them is known to be a datagram's: it could be the socket's own, and last.
    #[test]
    fn a_path_that_only_fails_is_reported_with_rests_and_hides_no_other() {
        use nix::sys::socket::{setsockopt, sockopt};
        let servers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let addresses = servers.each_ref().map(|server| server.local_addr().unwrap());
        let [refusing, server] = servers;
        drop(refusing);
        let mut paths = UdpPaths::connect(&addresses).unwrap();
        paths.send(B, b"ping").unwrap();
        let failing = paths.socket(A).unwrap().watched().unwrap().try_clone().unwrap();
        setsockopt(&failing, sockopt::Ipv4RecvErr, &false).unwrap();
        let look = |paths: &mut UdpPaths| {
            // An error that is still there keeps it from leaving.
            while failing.send(b"refused").is_err() {}
            paths.recv(&mut [0; 8], paths.now(), Timestamp::ZERO)
        };
        for n in 0..17 {
            assert!(matches!(look(&mut paths), Incoming::PathError { path: Some(A), .. }), "{n}");
            assert_eq!(paths.rests_until(A) == Timestamp::ZERO, n < 16, "{n}");
        }
        // However long it rests.
        paths.paths[0].rests_until = Timestamp::MAX;
        assert!(matches!(look(&mut paths), Incoming::TimeUp(_)));
        paths.paths[0].rests_until = Timestamp::MAX;
        let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
        server.send_to(b"pong", from).unwrap();
        assert!(matches!(look(&mut paths), Incoming::Datagram(received) if received.from == B));
        paths.paths[0].rests_until = Timestamp::ZERO;
        assert!(matches!(look(&mut paths), Incoming::PathError { path: Some(A), .. }), "after its rest");
    }
}
