use core::fmt;
use std::io;

use super::ConcurrentRequester;
use crate::net::{ConnectedUdp, UdpPaths, UnconnectedUdp};
use crate::size::LARGEST_DATAGRAM;
use crate::transaction::Limits;

/// More replies may arrive at once than the receive buffer of the socket holds; what does not fit is lost without a word.
///
/// Requests that lose their replies so are sent again at the same time, and lose them again. Ask for a larger buffer
/// (`set_receive_buffer` of the socket), or set a smaller [window](Limits::window).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BufferWarning {
    /// The most requests on the wire at once: the window of each peer that was asked so far.
    pub on_wire: usize,
    /// Bytes that their replies take, as the system counts them.
    pub needed: usize,
    /// Bytes that the system has granted.
    pub granted: usize,
}

impl BufferWarning {
    fn of(granted: io::Result<usize>, limits: Limits, peers: usize, reply: usize) -> Option<Self> {
        let (granted, on_wire) = (granted.ok()?, limits.on_wire(peers.max(1)));
        let needed = on_wire.saturating_mul(charge(reply));
        (needed > granted).then_some(Self { on_wire, needed, granted })
    }
}

impl fmt::Display for BufferWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { on_wire, needed, granted } = self;
        write!(f, "the replies to {on_wire} requests on the wire take {needed} bytes of a receive buffer of {granted}")
    }
}

macro_rules! warned_over {
    ($($socket:ty: $sharing:expr),+) => {$(
        impl ConcurrentRequester<$socket> {
            /// Whether the receive buffer may overflow if replies have this many bytes of payload. Worth a line in a log, once the
            /// peers have been asked, where [`Limits::window`] is larger than 64 or there are several peers.
            ///
            /// `None` if not, or if the system does not report the size. It counts what Linux does: 832 bytes for a datagram of
            /// 64, and 2,304 for one of 1,200.
            ///
            /// ```
            /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # use core::num::NonZeroU32;
            /// # use udp_retry::transaction::Limits;
            /// # use udp_retry::{ConcurrentRequester, transaction_id};
            /// let wide = Limits::default().window(NonZeroU32::new(10_000).ok_or("zero")?);
            /// let id = transaction_id(0..8).stamped();
            /// let mut requester = ConcurrentRequester::builder(id).limits(wide).connect("127.0.0.1:9")?;
            /// if let Some(warning) = requester.buffer_warning(64) {
            ///     eprintln!("{warning}");
            ///     requester.transport_mut().set_receive_buffer(warning.needed)?;
            /// }
            /// # Ok(())
            /// # }
            /// ```
            #[must_use]
            pub fn buffer_warning(&self, reply: usize) -> Option<BufferWarning> {
                let (peers, reply) = (self.peers.count.min($sharing), reply.saturating_add(self.engine.header_len()));
                BufferWarning::of(self.transport.receive_buffer(), self.limits, peers, reply)
            }
        }
    )+};
}

// How many peers share a buffer at most.
warned_over!(ConnectedUdp: 1, UdpPaths: 1, UnconnectedUdp: usize::MAX);

/// What Linux counts for a datagram with this payload: its own record, and a piece of memory of a power of two that holds
/// headers and bookkeeping as well.
fn charge(payload: usize) -> usize {
    const RECORD: usize = 256;
    const BESIDE: usize = 448;
    const LEAST: usize = 832;
    (RECORD + (payload.min(LARGEST_DATAGRAM) + BESIDE).next_power_of_two()).max(LEAST)
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_datagram_is_charged_as_it_was_measured() {
        assert_eq!([0, 64, 65, 1200, usize::MAX].map(charge), [832, 832, 1280, 2304, 131_328]);
    }

    #[test]
    fn it_warns_exactly_from_where_the_window_exceeds_the_buffer() {
        let warned = |window, peers, granted| {
            let limits = Limits::default().window(NonZeroU32::new(window).unwrap());
            BufferWarning::of(Ok(granted), limits, peers, 32)
        };
        // Linux's default.
        assert_eq!((warned(64, 0, 212_992), warned(256, 1, 212_992)), (None, None));
        let warning = warned(257, 1, 212_992).unwrap();
        assert_eq!((warning.on_wire, warning.needed, warning.granted), (257, 257 * 832, 212_992));
        assert_eq!(warned(64, 500, 212_992).map(|warning| warning.on_wire), Some(32_000));
        assert_eq!(warned(64, 5_000, 212_992).map(|warning| warning.on_wire), Some(65_536), "no more can be in flight");
        let unknown = Err(io::Error::from(io::ErrorKind::Unsupported));
        assert_eq!(BufferWarning::of(unknown, Limits::default(), 500, 32), None);
    }
}
