use crate::fault::link::transit::Transit;
use crate::time::Timestamp;
use crate::transport::Received;

/// Where a datagram came from, and how many of its bytes the caller's buffer did not hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<P> {
    pub(super) from: P,
    pub(super) missing: usize,
}

impl<P: Copy> Transit<Arrived<P>> {
    /// The next datagram that has arrived by `now`.
    pub(super) fn hand_out(&mut self, buffer: &mut [u8], now: Timestamp) -> Option<Received<P>> {
        let out = self.line.pop_due(now, |Arrived { from, missing }, at, datagram| {
            let len = datagram.len().min(buffer.len());
            if let (Some(to), Some(datagram)) = (buffer.get_mut(..len), datagram.get(..len)) {
                to.copy_from_slice(datagram);
            }
            Received::new(from, len, datagram.len() + missing, at)
        })?;
        self.passed += 1;
        Some(out)
    }
}
