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
/// in flight. Clones steer the same network.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How often the profile was changed.
    version: AtomicU64,
    profile: Mutex<Profile>,
}

impl Control {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { shared: Arc::new(Shared { version: AtomicU64::new(0), profile: Mutex::new(profile) }) }
    }

    /// Sets the impairments of one direction from now on.
    pub fn set(&self, direction: Direction, impairments: Impairments) {
        self.change(|profile| *profile.direction_mut(direction) = impairments);
    }

    /// Sets the impairments of both directions from now on.
    pub fn set_profile(&self, profile: Profile) {
        self.change(|present| *present = profile);
    }

    /// The present settings.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared.profile.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The settings, if they have changed since version `seen`, which is then brought up to date.
    pub(crate) fn changed(&self, seen: &mut u64) -> Option<Profile> {
        // One load where nothing has changed, as this is asked for every datagram.
        let version = self.shared.version.load(Ordering::Acquire);
        if version == *seen {
            return None;
        }
        *seen = version;
        Some(self.profile())
    }

    fn change(&self, change: impl FnOnce(&mut Profile)) {
        // Nothing that could panic runs under the lock.
        change(&mut self.shared.profile.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.version.fetch_add(1, Ordering::Release);
    }
}
