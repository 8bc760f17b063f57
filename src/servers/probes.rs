use super::ServerSettings;
use crate::time::{Ns, Timestamp, saturating_ns};

/// When a dead server is probed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probes {
    pub(super) next: Timestamp,
    /// The wait that ends then.
    wait: Ns,
}

impl Probes {
    /// Of a server that is dead from now on.
    pub(super) fn begin(now: Timestamp, settings: &ServerSettings) -> Self {
        let wait = saturating_ns(settings.first_probe);
        Self { next: now.after_ns(wait), wait }
    }

    /// One has left.
    pub(super) fn sent(&mut self, now: Timestamp, all_dead: bool, settings: &ServerSettings) {
        let longest = if all_dead { settings.longest_parked_probe } else { settings.longest_probe };
        self.wait = self.wait.saturating_mul(2).min(saturating_ns(longest));
        self.next = now.after_ns(self.wait);
    }

    /// One that was due could not leave. It counts as none, but whoever asks again at once must not be given it again at
    /// once: nothing spins.
    pub(super) fn failed(&mut self, now: Timestamp) {
        if self.next <= now {
            self.next = now.after_ns(self.wait);
        }
    }

    /// All are dead from now on: requests wait for the next one.
    pub(super) fn hasten(&mut self, now: Timestamp, settings: &ServerSettings) {
        let longest = saturating_ns(settings.longest_parked_probe);
        self.wait = self.wait.min(longest);
        self.next = self.next.min(now.after_ns(longest));
    }
}
