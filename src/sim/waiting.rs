use core::time::Duration;

use super::SimNet;
use crate::time::Timestamp;
use crate::transport::Incoming;

/// The wait of an end until something can be read there: the time of the whole network moves in it. A wait in vain ends
/// `late`.
pub(super) fn wait<P>(
    net: &SimNet,
    until: Timestamp,
    late: Duration,
    mut read: impl FnMut() -> Option<Incoming<P>>,
) -> Incoming<P> {
    loop {
        catch_up(net);
        if let Some(incoming) = read() {
            return incoming;
        }
        if net.now() >= until {
            return Incoming::TimeUp(net.now());
        }
        if !net.step(until) {
            // Nothing can come any more in time: the whole wait passes at once.
            net.run_until(until.after(late));
            // A wait that ends late finds what has come meanwhile.
            return read().unwrap_or_else(|| Incoming::TimeUp(net.now()));
        }
    }
}

/// Lets happen what is due by now, before an end does anything.
pub(super) fn catch_up(net: &SimNet) {
    while net.step(net.now()) {}
}
