use core::fmt;

use crate::requester::{Builder, Concurrent};
use crate::servers::ServerSettings;
use crate::transaction::{KeyedMatcher, Limits};

/// What a [`Builder`] of an [`AsyncRequester`](super::AsyncRequester) has besides.
///
/// | setting | default |
/// |---|---|
/// | [`envelope`](Builder::envelope) | off: nothing beside the request |
/// | [`limits`](Builder::limits) | 65,536 requests, 64 of them on the wire at a peer: [`Limits`] |
/// | [`servers`](Builder::servers) | [`ServerSettings::new`], where it connects to several |
///
/// The settings of all fronts mean what they mean to a [`Concurrent`](crate::requester::Concurrent) one; a
/// [`deadline`](Builder::deadline) counts from the first poll of the future, and ends one that waits for capacity, too.
#[derive(Clone)]
pub struct Asynchronous {
    many: Concurrent,
}

impl Asynchronous {
    pub(super) fn new(matcher: impl KeyedMatcher + Send + Sync + 'static) -> Self {
        Self { many: Concurrent::new(matcher) }
    }
}

impl Builder<Asynchronous> {
    /// How much may be in flight, and how much of it on the wire at one peer. Requests beyond it wait.
    pub fn limits(self, limits: Limits) -> Self {
        self.with(|many| many.limits(limits))
    }

    /// Puts an [envelope](crate::envelope) of 16 bytes around every request, and expects one around every reply: for servers that
    /// do the same, as for a [`Concurrent`] requester.
    pub fn envelope(self) -> Self {
        self.with(Builder::<Concurrent>::envelope)
    }

    /// How one of several servers is chosen, and when another one is asked: for names with several addresses, and for
    /// [`connect_any`](Self::connect_any).
    pub fn servers(self, servers: ServerSettings) -> Self {
        self.with(|many| many.servers(servers))
    }

    fn with(self, set: impl FnOnce(Builder<Concurrent>) -> Builder<Concurrent>) -> Self {
        let set = set(self.many());
        let many = set.front.clone();
        set.of(Asynchronous { many })
    }

    /// As settings of the blocking front, which makes the same machine of them.
    pub(super) fn many(self) -> Builder<Concurrent> {
        let many = self.front.many.clone();
        self.of(many)
    }
}

impl fmt::Debug for Asynchronous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asynchronous").field("limits", &self.many.limits).finish_non_exhaustive()
    }
}
