use core::time::Duration;

use super::SimEvent;

/// Who sees what happens in a network, while it happens.
///
/// There is one only where a search asks for it: a run that passes pays for none.
pub(super) trait Observer {
    fn on_event(&mut self, seen: &Seen);
}

/// An event, and what a search wants to know besides.
pub(super) struct Seen {
    pub(super) event: SimEvent,
    /// Of the link that the datagram was sent into, at that time.
    pub(super) least_delay: Duration,
    /// Whether the plan says what happens to it.
    pub(super) planned: bool,
}
