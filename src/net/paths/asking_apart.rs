use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::UdpPaths;
use super::names::{SharedResolver, asked};
use crate::transport::PathIndex;

/// A name that is to be resolved where that may take its time.
#[expect(unnameable_types, reason = "only whoever waits for the sockets asks")]
pub struct Question {
    name: usize,
    /// Only this path follows the answer.
    path: Option<PathIndex>,
    text: String,
    resolver: SharedResolver,
}

/// What became of a [`Question`].
#[derive(Debug)]
#[expect(unnameable_types, reason = "only whoever waits for the sockets asks")]
pub struct Answer {
    name: usize,
    path: Option<PathIndex>,
    addresses: io::Result<Vec<SocketAddr>>,
}

impl Question {
    /// Takes as long as the resolver does. One that panics knows nothing.
    pub(crate) fn ask(self) -> Answer {
        let Self { name, path, text, resolver } = self;
        let addresses = catch_unwind(AssertUnwindSafe(|| asked(&resolver, &text)));
        Answer { name, path, addresses: addresses.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("name", &self.text).field("path", &self.path).finish_non_exhaustive()
    }
}

/// Names that are resolved by someone who need not wait for that here.
impl UdpPaths {
    /// No send and no renewal resolves a name from now on.
    pub(super) fn ask_apart(&mut self) {
        self.names.apart = Some(Vec::new());
    }

    /// A name that is to be resolved by now. It is not asked for again before there is an answer, and that is old.
    pub(super) fn question(&mut self) -> Option<Question> {
        let now = self.clock.now();
        let names = &mut self.names;
        let (name, path) = match names.apart.as_mut()?.pop() {
            Some(asked) => asked,
            None => {
                let age = names.every?;
                ((0..names.count()).find(|&name| names.is_older(name, age, now))?, None)
            }
        };
        let resolver = self.names.resolver.clone();
        let asking = self.names.names.get_mut(name)?;
        (asking.asked, asking.is_asked) = (now, true);
        Some(Question { name, path, text: asking.text.clone(), resolver })
    }

    /// Whether any path has moved.
    pub(super) fn follow_answer(&mut self, Answer { name, path, addresses }: Answer) -> bool {
        if let Some(asked) = self.names.names.get_mut(name) {
            asked.is_asked = false;
        }
        addresses.and_then(|addresses| self.names.on_answer(name, addresses)).is_ok() && self.follow(name, path)
    }
}
