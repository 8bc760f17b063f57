use super::concurrent_settings::SharedKeyedMatcher;
use super::peers::Asked;
use crate::time::Timestamp;
use crate::transaction::InFlight;
use crate::transport::{PathError, PeerAddress, Renewal, Transport};

/// What sending came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transmission {
    /// There was nothing to send.
    Nothing,
    /// All of it has left.
    All,
    /// Some has left, or a port was renewed before it can: there may be more.
    Some,
    /// One has not left, which may have ended its request; there may be more.
    Failed,
    /// The transport was cancelled, which its next receive takes.
    Cancelled,
}

/// Sends what is ready at this moment, a batch of it at most, and tells the machine.
#[inline]
pub(super) fn transmit<T: Transport<Peer: PeerAddress>>(
    engine: &mut InFlight<Asked<T::Peer>, SharedKeyedMatcher>,
    transport: &mut T,
    now: Timestamp,
) -> Transmission {
    let (mut sent, mut result, mut stale) = (0, Ok(()), None);
    engine.seal(now, CLOCK_EACH);
    let mut batch: Batch<'_, T::Peer> = Batch::default();
    for next in engine.transmits().take(CLOCK_EACH) {
        if next.renewal_due {
            stale = Some(next.to);
            break;
        }
        if !batch.takes(next.to.address) {
            (sent, result) = batch.leave(transport, sent);
            if result.is_err() {
                break;
            }
        }
        batch.add(next.to.address, next.datagram);
    }
    if result.is_ok() {
        (sent, result) = batch.leave(transport, sent);
    }
    if sent > 0 {
        engine.on_transmitted(now, sent);
    }
    match (result, stale) {
        // Nothing has become of the datagram.
        (Err(PathError::Cancelled), _) => Transmission::Cancelled,
        (Err(error), _) => {
            engine.on_not_transmitted(now, error);
            Transmission::Failed
        }
        (Ok(()), Some(stale)) => {
            let renewed = transport.renew(stale.address, Renewal::Advised);
            engine.on_renewed(now, stale, renewed);
            Transmission::Some
        }
        (Ok(()), None) if sent == CLOCK_EACH => Transmission::Some,
        (Ok(()), None) if sent > 0 => Transmission::All,
        (Ok(()), None) => Transmission::Nothing,
    }
}

/// What leaves next, to one peer.
struct Batch<'d, P> {
    to: Option<P>,
    datagrams: [&'d [u8]; CLOCK_EACH],
    len: usize,
}

impl<P> Default for Batch<'_, P> {
    fn default() -> Self {
        Self { to: None, datagrams: [&[]; CLOCK_EACH], len: 0 }
    }
}

impl<'d, P: PeerAddress> Batch<'d, P> {
    fn takes(&self, to: P) -> bool {
        self.to.is_none_or(|it| it == to)
    }

    fn add(&mut self, to: P, datagram: &'d [u8]) {
        self.to = Some(to);
        if let Some(place) = self.datagrams.get_mut(self.len) {
            *place = datagram;
            self.len += 1;
        }
    }

    /// Sends it, and returns how many have left, with those before.
    fn leave<T: Transport<Peer = P>>(&mut self, transport: &mut T, before: usize) -> (usize, Result<(), PathError>) {
        let datagrams = self.datagrams.get(..self.len).unwrap_or_default();
        self.len = 0;
        let (sent, result) = match (self.to.take(), datagrams) {
            (Some(to), &[only]) => match transport.send(to, only) {
                Ok(()) => (1, Ok(())),
                Err(error) => (0, Err(error)),
            },
            (Some(to), many) => transport.send_many(to, many),
            (None, _) => (0, Ok(())),
        };
        (before + sent, result)
    }
}

/// Datagrams that leave for one reading of the clock; one by one they take some 30 µs, less than the schedule's tick.
pub(super) const CLOCK_EACH: usize = 16;
