use alloc::sync::Arc;
use core::sync::atomic::Ordering;
// `core` has no lock, which is why `std` has to be there. It is taken when settings change only.
use std::sync::{Mutex, PoisonError};

use crate::atomic::AtomicU64;
use crate::fault::direction::Direction;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::profile::Profile;

/// Changes the impairments of a [`LossySink`](super::LossySink) or a proxy while it runs, from any thread.
///
/// A change holds from the next datagram on. The states of the links stay: numbers, bursts, queues, and the datagrams
/// in flight, which keep their times and their order: what comes behind them waits for them, also if nothing else holds it
/// up any more. [`release`](Self::release) is for who wants the network to be well at once. Times within impairments count
/// from the beginning of the sink or the proxy, not from the change. Clones steer the same network.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

/// What one of those who follow a [`Control`] knows of it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Seen {
    version: u64,
    released: [u64; 2],
}

/// What has changed.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) profile: Profile,
    /// Directions in which what is in flight is to leave at once.
    pub(crate) released: [Option<Direction>; 2],
}

#[derive(Debug)]
struct Shared {
    /// How often anything was changed.
    version: AtomicU64,
    /// How often each direction was released.
    released: [AtomicU64; 2],
    profile: Mutex<Profile>,
}

impl Control {
    pub(crate) fn new(profile: Profile) -> Self {
        let (version, released) = (AtomicU64::new(0), [AtomicU64::new(0), AtomicU64::new(0)]);
        Self { shared: Arc::new(Shared { version, released, profile: Mutex::new(profile) }) }
    }

    /// Sets the impairments of one direction from now on.
    pub fn set(&self, direction: Direction, impairments: Impairments) {
        self.change(|profile| *profile.direction_mut(direction) = impairments);
    }

    /// Sets the impairments of both directions from now on.
    pub fn set_profile(&self, profile: Profile) {
        self.change(|present| *present = profile);
    }

    /// Lets everything leave at once that is in flight in one direction, in the order in which it was to leave, and empties
    /// the queues of its links: what comes next waits for nothing that came before.
    ///
    /// It is done when the sink or the proxy does something next: when a datagram comes or was to leave, or with the next
    /// call. Fates that were shown already say when datagrams were to leave. Counters and draws stay as they are.
    pub fn release(&self, direction: Direction) {
        let [to_server, to_client] = &self.shared.released;
        let released = if direction == Direction::ToServer { to_server } else { to_client };
        released.fetch_add(1, Ordering::Relaxed);
        self.shared.version.fetch_add(1, Ordering::Release);
    }

    /// The present settings.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared.profile.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has changed since it was `seen`, which is then brought up to date.
    #[inline]
    pub(crate) fn changed(&self, seen: &mut Seen) -> Option<Changed> {
        // One load where nothing has changed, as this is asked for every datagram.
        let version = self.shared.version.load(Ordering::Acquire);
        if version == seen.version { None } else { Some(self.news(version, seen)) }
    }

    #[cold]
    fn news(&self, version: u64, seen: &mut Seen) -> Changed {
        let [to_server, to_client] = [0, 1].map(|n: usize| {
            let released = self.shared.released.get(n).map_or(0, |count| count.load(Ordering::Relaxed));
            let before = seen.released.get_mut(n).map(|before| core::mem::replace(before, released));
            before.is_some_and(|before| before != released)
        });
        seen.version = version;
        let released = [to_server.then_some(Direction::ToServer), to_client.then_some(Direction::ToClient)];
        Changed { profile: self.profile(), released }
    }

    fn change(&self, change: impl FnOnce(&mut Profile)) {
        // Nothing that could panic runs under the lock.
        change(&mut self.shared.profile.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.version.fetch_add(1, Ordering::Release);
    }
}
