use std::io;
use std::time::Duration;

use super::cancel::{Cancel, CancelHandle};
use super::pauses::Pauses;
use crate::size::Plpmtu;
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transport::{Incoming, NoEntropy, PathError, Renewal, Renewed, Transport};

/// Looks for a datagram for up to 50 µs before it lets the transport inside block: a transport around any other, for
/// replies that come at once.
///
/// A thread that blocks is taken off its core and has to be woken, which can cost more than all else in a request to a
/// server nearby. To look costs a system call each time and the processor all the time. So:
///
/// - **Use it** where the server answers within some 20 µs (the same host, the same rack) and there is a core to spare for
///   each of the two, also if this thread is bound to its own.
/// - **It is of no use** where the server takes longer, or shares the core with this thread, which it cannot have
///   meanwhile. After each miss in a row 1, 2, 4 … up to 2048 waits pass without looking, until a datagram comes while it
///   looks, so that misses cost little. A miss costs the whole time of looking.
/// - **A late hit counts as a miss**: what comes in the last third of the time of looking has cost more processor time than
///   the wake-up that it spared. If a shorter round trip is worth that, [look for more time](Self::looking_for): half as
///   long again as replies take.
///
/// Round trip and processor time of the client beside the same requester without it, as ratios: `cargo bench --bench
/// busy_poll`, medians of runs of 40 rounds in a real-time class, in a virtual machine with two idle cores. The gain is as
/// large as a wake-up is dear, which differed between runs.
///
/// | server | round trip, processor |
/// |---|---|
/// | other core, at once | 0.48 to 0.60, 0.69 to 0.84 |
/// | other core, after 30 µs | 1.00, 1.01 |
/// | the same, looking for 25 µs | 1.00, 1.01 |
/// | other core, after 200 µs | 1.00, 1.01 |
/// | same core, at once | 1.00, 1.01 |
///
/// Nothing else changes. What is met while looking (a datagram, an error, a cancellation) is returned at once; no look
/// begins at `until` or later; a wait that passes is the inner transport's own. An error counts as a miss, so that
/// one that stays is left to the transport inside, which lets time pass between errors; so does a datagram that was found
/// late, perhaps as the thread was off its core. What is there at the first look counts as neither hit nor
/// miss, since a wait would have returned it at once too.
///
/// The time for looking is that of [`Transport::now`]. A clock that stands still meanwhile, as in a simulated network, ends it
/// after 100 looks.
///
/// ```
/// use udp_retry::net::BusyPoll;
/// use udp_retry::{ConnectedUdp, ReliableRequester, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// # let answering = std::thread::spawn(move || {
/// #     let mut buffer = [0; 64];
/// #     let (len, from) = server.recv_from(&mut buffer).unwrap();
/// #     server.send_to(&buffer[..len], from).unwrap();
/// # });
/// let transport = BusyPoll::new(ConnectedUdp::connect(address)?);
/// let mut requester = ReliableRequester::builder(transaction_id(0..4).stamped()).over(transport)?;
/// let reply = requester.request(b"....ping")?;
/// # assert_eq!(&reply.payload()[4..], b"ping");
/// # answering.join().unwrap();
/// # Ok(())
/// # }
/// ```
#[doc(alias = "spin")]
#[doc(alias = "SO_BUSY_POLL")]
#[derive(Debug)]
pub struct BusyPoll<T> {
    inner: T,
    looking_for: Ns,
    pauses: Pauses,
}

impl<T: Transport> BusyPoll<T> {
    /// Looks for up to 50 µs before a wait blocks.
    #[must_use]
    pub const fn new(transport: T) -> Self {
        Self { inner: transport, looking_for: LOOKING_FOR, pauses: Pauses::between(1, LONGEST_PAUSE) }
    }

    /// Sets how long to look before a wait blocks; 50 µs by default. It is what a miss costs; a reply within two thirds of it is
    /// a hit: half as long again as most replies take is enough. Zero never looks; a time that is longer than a wait looks for all of it.
    #[must_use]
    pub const fn looking_for(mut self, time: Duration) -> Self {
        self.looking_for = saturating_ns(time);
        self
    }

    /// The transport inside.
    #[must_use]
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The transport inside; what is received on it directly is lost to the one who holds this.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The transport inside, without the looking.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// What came while it looked, or the time when it stopped.
    fn look(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Incoming<T::Peer>, Timestamp> {
        // Read anew: the caller's may be when the last datagram arrived, and what arrived with it must keep its time below.
        let began = self.inner.now();
        let (mut time, mut first, mut still) = (began, true, 0);
        while time < until && time.since_ns(began) < self.looking_for && still < MOST_STILL {
            match self.inner.recv(buffer, time, time) {
                Incoming::TimeUp(at) => {
                    still = if at > time { 0 } else { still + 1 };
                    time = time.max(at);
                }
                Incoming::Datagram(mut received) => {
                    let read = self.inner.now();
                    if received.at == time {
                        // A transport that cannot know when it arrived named the end of this look; the wait itself goes on.
                        received.at = read.min(until);
                    }
                    match first {
                        true => {}
                        // Later than a wake-up would have cost; or off its core meanwhile, which a thread that looks loses
                        // to others. This did not pay.
                        false if read.since_ns(began) > self.looking_for / 3 * 2 => self.pauses.on_miss(),
                        false => self.pauses.on_hit(),
                    }
                    return Ok(Incoming::Datagram(received));
                }
                error @ Incoming::PathError { .. } => {
                    self.pauses.on_miss();
                    return Ok(error);
                }
                Incoming::Cancelled => return Ok(Incoming::Cancelled),
            }
            first = false;
        }
        if !first {
            self.pauses.on_miss();
        }
        // Even at `until`: a look that ended then need not have found what arrived after it began, a real wait does.
        Err(time)
    }
}

impl<T: Transport> Transport for BusyPoll<T> {
    type Peer = T::Peer;

    #[inline]
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    #[inline]
    fn send(&mut self, to: T::Peer, datagram: &[u8]) -> Result<(), PathError> {
        self.inner.send(to, datagram)
    }

    #[inline]
    fn send_many(&mut self, to: T::Peer, datagrams: &[&[u8]]) -> (usize, Result<(), PathError>) {
        self.inner.send_many(to, datagrams)
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<T::Peer> {
        // One that does not wait is a look itself.
        if until <= now || self.pauses.passes() {
            return self.inner.recv(buffer, now, until);
        }
        self.look(buffer, until).unwrap_or_else(|stopped| self.inner.recv(buffer, stopped, until))
    }

    fn renew(&mut self, path: T::Peer, need: Renewal) -> Result<Renewed, PathError> {
        self.inner.renew(path, need)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.inner.entropy(key)
    }

    fn max_plpmtu(&self, to: T::Peer) -> Option<Plpmtu> {
        self.inner.max_plpmtu(to)
    }
}

impl<T: Transport + Cancel> Cancel for BusyPoll<T> {
    fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.inner.cancel_handle()
    }
}

/// Longer than a reply over loopback takes, with the wake-up of a server that blocks.
const LOOKING_FOR: Ns = 50_000;
/// Waits: what misses cost is then lost in the cost of the waits.
const LONGEST_PAUSE: u32 = 2048;
/// Looks, each a system call, between two readings of a clock that differ; none that is real is as coarse.
const MOST_STILL: u32 = 100;
