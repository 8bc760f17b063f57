use std::io;
use std::time::Duration;

use super::UdpPaths;
use crate::transport::{PathIndex, Renewal};

/// How paths follow names whose addresses change.
impl UdpPaths {
    /// Has the names resolved again when the answer is older than this, on the first send after that time, before it leaves;
    /// off by default. That send then takes as long as the system's resolver does, which may be many seconds; whoever cannot
    /// have that calls [`resolve_again`](Self::resolve_again) when there is time. A resolver that fails, or knows no address,
    /// changes nothing, and is asked again after the same time.
    ///
    /// Without it, only a [renewal](crate::transport::Transport::renew) asks again.
    #[must_use]
    pub fn resolve_every(mut self, age: Duration) -> Self {
        self.names.every = Some(age);
        self
    }

    /// Resolves all names again, now: a path whose address is no longer among those of its name moves to a new one, with a
    /// new socket, and keeps its number. Returns whether any moved. Takes as long as the resolver does.
    ///
    /// The number of paths never changes: a new address takes the place of one that is gone, else it is left out; where there
    /// is no new one, the old one stays.
    ///
    /// # Errors
    ///
    /// That of the last name that could not be resolved, or has no address now: its old addresses stay. The others are
    /// followed all the same.
    pub fn resolve_again(&mut self) -> io::Result<bool> {
        let (mut moved, mut failed) = (false, None);
        for name in 0..self.names.count() {
            match self.names.ask(name, || self.clock.now()) {
                Ok(()) => moved |= self.follow(name, None),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(moved), Err)
    }

    /// Before a send: as [`resolve_every`](Self::resolve_every) says.
    #[cold]
    pub(super) fn resolve_what_is_old(&mut self, age: Duration) {
        for name in 0..self.names.count() {
            if self.names.is_older(name, age, self.clock.now()) && self.names.ask(name, || self.clock.now()).is_ok() {
                self.follow(name, None);
            }
        }
    }

    /// Before a renewal: where a request was not answered, the name may lead elsewhere now. This path alone follows it, as the
    /// others do well: a name that has more addresses than one answer holds gives others each time.
    pub(super) fn resolve_for(&mut self, path: PathIndex, need: Renewal) {
        let Some(renewed) = self.paths.get(path.number() as usize) else { return };
        // Without ids, each request needs a fresh port, also after one that was answered.
        let was_answered = need == Renewal::Required && !renewed.unanswered;
        let Some(name) = renewed.name.filter(|_| !was_answered) else { return };
        if !self.names.is_older(name, YOUNG, self.clock.now()) {
            return;
        }
        if let Some(apart) = &mut self.names.apart {
            apart.push((name, Some(path)));
        } else if self.names.ask(name, || self.clock.now()).is_ok() {
            self.follow(name, Some(path));
        }
    }

    pub(super) fn follow(&mut self, name: usize, only: Option<PathIndex>) -> bool {
        let present: Vec<_> = self.paths.iter().map(|path| (path.address, path.name)).collect();
        let only = only.map(|path| path.number() as usize);
        let moves = self.names.moves(name, &present, only);
        for &(number, address) in &moves {
            if let Some(path) = self.paths.get_mut(number) {
                path.move_to(address);
            }
        }
        self.count_open();
        !moves.is_empty()
    }
}

/// An answer that is not asked for again: requests that fail one after the other must not fall upon the resolver.
const YOUNG: Duration = Duration::from_secs(1);
