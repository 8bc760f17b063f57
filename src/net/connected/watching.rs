use std::net::UdpSocket;
use std::time::Duration;

use super::ConnectedUdp;
use crate::net::cancel::Cancellable;
use crate::net::endpoint::{Arrival, Looked, Origin, Waited};
use crate::time::{Ns, Timestamp};
use crate::transport::{Incoming, PathIndex};

/// One of several, for which someone else waits.
impl ConnectedUdp {
    /// Has its waits, and its sends, ended by handles that others share.
    pub(in crate::net) fn share_cancellation(&mut self, cancellable: &Cancellable) {
        self.endpoint.share_cancellation(cancellable);
    }

    /// What its handles end.
    pub(in crate::net) fn cancellation(&self) -> &Cancellable {
        self.endpoint.cancellation()
    }

    /// What a wait for several watches; nothing while there is no peer.
    pub(in crate::net) fn watched(&self) -> Option<&UdpSocket> {
        (!self.apart).then(|| self.endpoint.socket())
    }

    /// An error that a send met, and that no poll reports.
    pub(in crate::net) fn kept_error(&mut self, buffer: &mut [u8]) -> Option<Incoming<PathIndex>> {
        self.swallowed.next(buffer).map(|(error, quoted)| self.failed(error, quoted))
    }

    /// What a runtime watches: the socket and its number; nothing while there is no peer.
    #[cfg(feature = "tokio")]
    pub(in crate::net) fn registered(&self) -> Option<(u64, &UdpSocket)> {
        (!self.apart).then(|| (self.endpoint.number(), self.endpoint.socket()))
    }

    /// As [`Endpoint::look`](crate::net::endpoint::Endpoint::look), in a wait that lasts until `until`.
    pub(in crate::net) fn look(
        &mut self,
        buffer: &mut [u8],
        began: Timestamp,
        until: Timestamp,
        woken: bool,
    ) -> (Option<Incoming<PathIndex>>, Option<Duration>) {
        if self.apart {
            return (None, None);
        }
        let Looked { found, rest } = self.endpoint.look(buffer, self.ask, began, woken);
        (self.shown(found, until), rest)
    }

    /// As [`Endpoint::begin`](crate::net::endpoint::Endpoint::begin), of a wait that lasts until `until`.
    pub(in crate::net) fn begin(
        &mut self,
        buffer: &mut [u8],
        now: Timestamp,
        most: Ns,
        until: Timestamp,
    ) -> Option<Incoming<PathIndex>> {
        if self.apart {
            return None;
        }
        if let Some(kept) = self.kept_error(buffer) {
            return Some(kept);
        }
        let found = self.endpoint.begin(buffer, self.ask, now, most);
        self.shown(found, until)
    }

    /// Nothing has come since the latest send, as far as the waits for several went: it may come still.
    pub(in crate::net) fn on_unanswered(&mut self) {
        self.in_vain = true;
    }

    fn shown(&mut self, found: Option<Waited>, until: Timestamp) -> Option<Incoming<PathIndex>> {
        match found? {
            // As in a wait of its own: the system was about to queue it when the socket was connected.
            Waited::Arrival(Arrival { from: Some(Origin { remote, .. }), .. }, _)
                if !self.peer.is(self.endpoint.socket(), remote) =>
            {
                None
            }
            waited => Some(self.incoming(waited, until)),
        }
    }
}
