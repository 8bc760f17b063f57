use std::io;
use std::net::SocketAddr;

use super::UdpPaths;
use super::names::{SharedResolver, asked};
use crate::transport::{PathIndex, Renewal};

/// A name that is to be resolved where that may take its time.
#[derive(Debug)]
#[expect(unnameable_types, reason = "only whoever waits for the sockets asks")]
pub struct Question {
    name: usize,
    /// Only this path follows the answer.
    path: Option<usize>,
    text: String,
    resolver: Resolver,
}

/// What became of a [`Question`].
#[derive(Debug)]
#[expect(unnameable_types, reason = "only whoever waits for the sockets asks")]
pub struct Answer {
    name: usize,
    path: Option<usize>,
    addresses: io::Result<Vec<SocketAddr>>,
}

struct Resolver(SharedResolver);

impl Question {
    /// Takes as long as the resolver does.
    pub(crate) fn ask(self) -> Answer {
        let Self { name, path, text, resolver } = self;
        Answer { name, path, addresses: asked(&resolver.0, &text) }
    }
}

/// Names that are resolved by someone who need not wait for that here.
impl UdpPaths {
    /// No send and no renewal resolves a name from now on.
    pub(super) fn ask_apart(&mut self) {
        self.names.asked_apart = true;
    }

    /// Before a renewal of this path.
    pub(super) fn question_for(&mut self, path: PathIndex) -> Option<Question> {
        let name = self.name_to_ask(path, Renewal::Advised)?;
        self.question(name, Some(path.number() as usize))
    }

    /// Of a name whose answer is [too old](Self::resolve_every).
    pub(super) fn question_of_old(&mut self) -> Option<Question> {
        let (age, now) = (self.names.every?, self.clock.now());
        let name = (0..self.names.count()).find(|&name| self.names.is_older(name, age, now))?;
        self.question(name, None)
    }

    fn question(&mut self, name: usize, path: Option<usize>) -> Option<Question> {
        let (now, resolver) = (self.clock.now(), Resolver(self.names.resolver.clone()));
        let asking = self.names.names.get_mut(name)?;
        asking.asked = now;
        Some(Question { name, path, text: asking.text.clone(), resolver })
    }

    /// Whether any path has moved.
    pub(super) fn follow_answer(&mut self, Answer { name, path, addresses }: Answer) -> bool {
        addresses.and_then(|addresses| self.names.on_answer(name, addresses)).is_ok() && self.follow(name, path)
    }
}

impl core::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}
