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
        let found = read();
        net.leave_if_over();
        if let Some(incoming) = found {
            return incoming;
        }
        if net.now() >= until {
            return Incoming::TimeUp(net.now());
        }
        if !net.step(until) {
            if until == Timestamp::MAX {
                // Nothing will ever come. A driver must not wait for it again, and the clock must not go there: for
                // whatever is asked next, it would be too late.
                return Incoming::TimeUp(until);
            }
            // Nothing can come any more in time: the whole wait passes at once.
            net.run_until(until.after(late).min(LATEST));
            // A wait that ends late finds what has come meanwhile.
            return read().unwrap_or_else(|| Incoming::TimeUp(net.now()));
        }
    }
}

/// Lets happen what is due by now, before an end does anything.
pub(super) fn catch_up(net: &SimNet) {
    while net.step(net.now()) {}
}

/// Before the end of time, which no clock reaches.
const LATEST: Timestamp = Timestamp::from_nanos(u64::MAX - 1);
