use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::calls::drain;
use super::cancel::{CancelHandle, Cancellable};
use super::classify::classify_received;
use super::clock::Clock;
use super::pauses::Pauses;
use super::poll::{Woken, poll, rest};
use super::segments::{Divided, Segments};
use super::swallowed;
use super::sys::{self, Receiver};
use super::trouble::Trouble;
use crate::time::{Ns, Timestamp};

mod looking;
mod waited;

pub(super) use looking::Looked;
pub(super) use waited::{Arrival, Ask, Origin, Waited};

/// A socket, and what waiting on it takes.
///
/// One that is ours alone waits in `recv` by its own timeout. One that others may use as well waits in `poll`, which no
/// option and no clone can stretch; so does one whose waits can be cancelled. While each finds a datagram queued, it polls
/// for none of them.
#[derive(Debug)]
pub(super) struct Endpoint {
    socket: UdpSocket,
    /// The socket's own; no other has it.
    #[cfg(feature = "tokio")]
    number: u64,
    clock: Clock,
    receiver: Receiver,
    cancellable: Cancellable,
    trouble: Trouble,
    /// Of looking before a poll.
    pauses: Pauses,
    segments: Segments,
    /// Others may use it as well.
    lent: AtomicBool,
    /// Ends of ours among them.
    has_clones: AtomicBool,
}

impl Endpoint {
    /// A socket that no one else has.
    pub(super) fn own(socket: UdpSocket) -> io::Result<Self> {
        sys::prepare(&socket)?;
        Ok(Self {
            socket,
            #[cfg(feature = "tokio")]
            number: looking::next_number(),
            clock: Clock::new(),
            receiver: Receiver::new(),
            cancellable: Cancellable::default(),
            trouble: Trouble::default(),
            pauses: Pauses::between(0, LONGEST_PAUSE),
            segments: Segments::default(),
            lent: AtomicBool::new(false),
            has_clones: AtomicBool::new(false),
        })
    }

    /// A socket of the caller's, with settings and perhaps clones that stay his.
    pub(super) fn given(socket: UdpSocket) -> io::Result<Self> {
        Ok(Self { lent: AtomicBool::new(true), ..Self::own(socket)? })
    }

    /// Another end of the same socket. What wakes one may be gone when it looks.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let clone = Self::given(self.lend().try_clone()?)?;
        self.has_clones.store(true, Ordering::SeqCst);
        clone.has_clones.store(true, Ordering::SeqCst);
        Ok(clone)
    }

    /// The socket, for calls of ours.
    #[inline]
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The socket, for others: from now on it may be cloned, and its options changed.
    pub(super) fn lend(&self) -> &UdpSocket {
        if !self.lent.swap(true, Ordering::SeqCst) {
            sys::forget_settings(&self.socket);
        }
        &self.socket
    }

    /// Sends several datagrams in one call, if that can be.
    pub(super) fn transmit_segments(&mut self, to: Option<SocketAddr>, datagrams: &[&[u8]]) -> Divided {
        let is_lent = self.is_lent();
        let divided = self.segments.transmit(&self.socket, is_lent, to, datagrams);
        if matches!(divided, Divided::Sent(_)) {
            self.on_sent();
        }
        divided
    }

    #[inline]
    pub(super) fn is_lent(&mut self) -> bool {
        *self.lent.get_mut()
    }

    pub(super) fn into_socket(self) -> UdpSocket {
        self.lend();
        self.socket
    }

    /// Takes another socket in its place.
    pub(super) fn replace(&mut self, socket: UdpSocket) {
        self.socket = socket;
        #[cfg(feature = "tokio")]
        {
            self.number = looking::next_number();
        }
        self.receiver = Receiver::new();
    }

    pub(super) fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.cancellable.handle()
    }

    /// Has its waits ended by handles that others share.
    pub(super) fn share_cancellation(&mut self, cancellable: &Cancellable) {
        self.cancellable = cancellable.clone();
    }

    pub(super) fn cancellation(&self) -> &Cancellable {
        &self.cancellable
    }

    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancellable.is_cancelled()
    }

    /// A datagram has left.
    #[inline]
    pub(super) fn on_sent(&mut self) {
        self.trouble.may_be_over();
    }

    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a wait may begin in `recv` itself: no one else can stretch it, nor has to end it.
    #[inline]
    fn may_block(&mut self) -> bool {
        !(self.is_lent() || self.cancellable.is_possible() || self.clock.counts_sleep())
    }

    /// As [`receive_until`](Self::receive_until), where no more is asked than this call of the receiver's tells: most waits end
    /// where they begin, and then this is all. `Err` is what became of any other.
    #[inline]
    pub(super) fn receive_by<R>(
        &mut self,
        block: impl FnOnce(&mut Receiver, &UdpSocket, &mut [u8], Ns) -> io::Result<Option<R>>,
        buffer: &mut [u8],
        ask: Ask,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(R, Timestamp), Waited> {
        if !self.may_block() {
            return Err(self.poll_until(buffer, ask, now, until));
        }
        match block(&mut self.receiver, &self.socket, buffer, until.since_ns(now)) {
            Ok(Some(received)) => {
                self.trouble.is_over();
                Ok((received, self.clock.now()))
            }
            Ok(None) => Err(self.poll_until(buffer, ask, self.clock.now(), until)),
            Err(error) => Err(self.failed(&error, buffer, until)),
        }
    }

    /// Waits for a datagram; the queue is looked at once more when the time is up.
    #[inline]
    pub(super) fn receive_until(&mut self, buffer: &mut [u8], ask: Ask, now: Timestamp, until: Timestamp) -> Waited {
        if !self.may_block() {
            return self.poll_until(buffer, ask, now, until);
        }
        match self.receiver.block(&self.socket, buffer, ask, until.since_ns(now)) {
            Ok(Some(arrival)) => self.arrived(arrival, now),
            Ok(None) => self.poll_until(buffer, ask, self.clock.now(), until),
            Err(error) => self.failed(&error, buffer, until),
        }
    }

    /// The loop that every wait needs: the remaining time is computed anew each turn, so neither signals nor spurious
    /// wake-ups nor coarse timers shorten or stretch it.
    #[inline(never)]
    fn poll_until(&mut self, buffer: &mut [u8], ask: Ask, now: Timestamp, until: Timestamp) -> Waited {
        if self.cancellable.is_cancelled() {
            self.cancellable.take();
            return Waited::Cancelled;
        }
        // Where many are queued, a poll for each would cost as much as the rest.
        if now < until && !self.pauses.passes() {
            match self.receiver.look(&self.socket, buffer, ask) {
                Ok(None) => self.pauses.on_miss(),
                Ok(Some(arrival)) => {
                    self.pauses.on_hit();
                    return self.arrived(arrival, now);
                }
                Err(error) => return self.failed(&error, buffer, until),
            }
        }
        let mut time = now;
        loop {
            let remaining = until.since(time);
            let woken = if remaining.is_zero() {
                Woken::LAST_LOOK
            } else {
                // Where it fails, such as under a limit of no descriptors, all there is is to look, and to rest.
                poll(&self.socket, self.cancellable.bell(), self.clock.step(remaining)).unwrap_or(Woken::BY_ALL)
            };
            if woken.bell && self.cancellable.take() {
                return Waited::Cancelled;
            }
            if woken.socket {
                match self.receiver.look(&self.socket, buffer, ask) {
                    Ok(Some(arrival)) => return self.arrived(arrival, now),
                    Err(error) => return self.failed(&error, buffer, until),
                    Ok(None) if remaining.is_zero() => return Waited::TimeUp(time),
                    // For an entry of the error queue, a datagram with a bad checksum, or one that a clone has taken.
                    Ok(None) if sys::queued_error(&self.socket, buffer).is_some() => {}
                    Ok(None) => self.pause(until),
                }
            }
            time = self.clock.now();
        }
    }

    /// A datagram was read in a wait that began at this moment.
    fn arrived(&mut self, arrival: Arrival, began: Timestamp) -> Waited {
        self.trouble.is_over();
        let read = self.clock.now();
        // A wall clock that was set meanwhile gives nonsense, which goes beyond the wait.
        let waited = Some(arrival.waited).filter(|&waited| waited <= read.since_ns(began)).unwrap_or_default();
        Waited::Arrival(arrival, Timestamp::from_nanos(read.as_nanos() - waited))
    }

    /// An error that the queue of errors explains was met by a datagram; any other may be the socket's own, and last.
    #[cold]
    fn failed(&mut self, error: &io::Error, buffer: &mut [u8], until: Timestamp) -> Waited {
        let queued = swallowed::queued(&self.socket, buffer);
        if queued.is_none() {
            self.pause(until);
        }
        let (error, quoted) = queued.unwrap_or_else(|| (classify_received(error), 0));
        Waited::Failed(error, quoted)
    }

    /// Lets a socket rest that has reported nothing but errors, or woken this thread for nothing, too often in a row.
    #[cold]
    fn pause(&mut self, until: Timestamp) {
        if let Some(pause) = self.trouble.again() {
            // What a clone took is no trouble, and the clone may be busy with it when the next one comes.
            let pause = if *self.has_clones.get_mut() { pause.min(AMONG_CLONES) } else { pause };
            let left = until.since(self.clock.now());
            rest(self.cancellable.bell(), pause.min(left));
        }
    }

    /// Waits without the socket, which has no peer.
    #[cold]
    pub(super) fn wait_apart(&mut self, until: Timestamp) -> Waited {
        loop {
            if self.cancellable.is_cancelled() {
                self.cancellable.take();
                return Waited::Cancelled;
            }
            let now = self.clock.now();
            let remaining = until.since(now);
            if remaining.is_zero() {
                return Waited::TimeUp(now);
            }
            if rest(self.cancellable.bell(), self.clock.step(remaining)) && self.cancellable.take() {
                return Waited::Cancelled;
            }
        }
    }

    /// Empties the receive queue, errors included.
    pub(super) fn drain(&mut self) {
        let Self { socket, receiver, .. } = self;
        drain(|| match receiver.look(socket, &mut [], Ask::Nothing) {
            Ok(taken) => taken.is_none(),
            Err(_) => {
                sys::queued_error(socket, &mut []);
                false
            }
        });
    }
}

/// Waits: what one look in vain costs is then lost in their polls, and many that are queued are soon noticed.
const LONGEST_PAUSE: u32 = 256;
const AMONG_CLONES: Duration = Duration::from_millis(1);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;
    use crate::processor::{spends, spent};
    use crate::transaction::Failure;
    use crate::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};
    use crate::{ReliableRequester, RetryPolicy, transaction_id};

    /// A receive that fails for good, as under a security module or a filter of system calls.
    struct Failing {
        endpoint: Endpoint,
        code: i32,
        errors: u32,
    }

    impl Transport for Failing {
        type Peer = PathIndex;

        fn now(&self) -> Timestamp {
            self.endpoint.now()
        }

        fn send(&mut self, _to: PathIndex, _datagram: &[u8]) -> Result<(), PathError> {
            Ok(())
        }

        fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
            if until.since(now).is_zero() {
                return Incoming::TimeUp(now);
            }
            let error = io::Error::from_raw_os_error(self.code);
            let Waited::Failed(error, quoted) = self.endpoint.failed(&error, buffer, until) else { unreachable!() };
            self.errors += 1;
            Incoming::PathError { path: None, error, quoted }
        }

        fn renew(&mut self, _path: PathIndex, _need: Renewal) -> Result<Renewed, PathError> {
            Ok(Renewed::SamePort)
        }

        fn entropy(&mut self, _key: &mut [u8; 32]) -> Result<(), NoEntropy> {
            Err(NoEntropy::new())
        }
    }

    #[test]
    fn what_clones_take_holds_none_of_them_up() {
        let mut endpoint = Endpoint::own(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let _clone = endpoint.try_clone().unwrap();
        (0..40).for_each(|_| _ = endpoint.trouble.again());
        let rests = (0..20).map(|_| {
            let began = endpoint.now();
            endpoint.pause(Timestamp::MAX);
            endpoint.now().since(began)
        });
        assert!(rests.min().unwrap() < Duration::from_millis(50), "alone it rests for 100 ms");
    }

    #[test]
    fn a_receive_that_fails_for_good_with_any_number_spins_no_request_and_ends_none() {
        const LAST_ERRNO: i32 = 133;
        let complete = thread::scope(|scope| {
            let asking: Vec<_> = (1..=LAST_ERRNO).map(|code| scope.spawn(move || spins_no_request(code))).collect();
            asking.into_iter().map(|asks| asks.join().unwrap()).filter(|&sent| sent == 5).count()
        });
        // A machine that stalls delays some of them.
        assert!(complete >= 20, "{complete} of {LAST_ERRNO} requests were sent in all their slots");
    }

    /// Returns how often it was sent.
    fn spins_no_request(code: i32) -> u32 {
        spends(..=Duration::from_millis(5), &format!("errno {code}"), || request_over_failing(code))
    }

    /// Returns how often it was sent, and what that spent.
    fn request_over_failing(code: i32) -> (u32, Duration) {
        let endpoint = Endpoint::own(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let failing = Failing { endpoint, code, errors: 0 };
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
        let mut requester = builder.deadline(Duration::from_secs(3)).over(failing).unwrap();
        let (error, spent) = spent(|| requester.request(b"0001 anyone?").unwrap_err());
        let errors = requester.transport().errors;
        assert!((30..100).contains(&errors), "errno {code}: {errors} errors");
        assert!(matches!(error.failure(), Failure::TimedOut(_) | Failure::Refused | Failure::Unreachable), "{error}");
        assert!((2..=5).contains(&error.transmissions()), "errno {code}: {}", error.timeline());
        let dues = [0, 100, 300, 700, 1500].map(Duration::from_millis);
        assert!(error.timeline().transmissions().zip(dues).all(|(sent, due)| sent >= due), "{}", error.timeline());
        assert!(error.elapsed() >= Duration::from_secs(3), "{error}");
        (error.transmissions(), spent)
    }
}
