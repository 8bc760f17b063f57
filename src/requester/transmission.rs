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

/// Sends what is ready at this moment, so much of it at most, and tells the machine.
#[inline]
pub(super) fn transmit<T: Transport<Peer: PeerAddress>>(
    engine: &mut InFlight<Asked<T::Peer>, SharedKeyedMatcher>,
    transport: &mut T,
    now: Timestamp,
    most: usize,
) -> Transmission {
    let (mut sent, mut failed, mut stale) = (0, None, None);
    for next in engine.transmits().take(most) {
        if next.renewal_due {
            stale = Some(next.to);
            break;
        }
        match transport.send(next.to.address, next.datagram) {
            Ok(()) => sent += 1,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if sent > 0 {
        engine.on_transmitted(now, sent);
    }
    if let Some(stale) = stale {
        let renewed = transport.renew(stale.address, Renewal::Advised);
        engine.on_renewed(now, stale, renewed);
        return Transmission::Some;
    }
    match failed {
        // Nothing has become of the datagram.
        Some(PathError::Cancelled) => Transmission::Cancelled,
        Some(error) => {
            engine.on_not_transmitted(now, error);
            Transmission::Failed
        }
        None if sent == most => Transmission::Some,
        None if sent > 0 => Transmission::All,
        None => Transmission::Nothing,
    }
}
