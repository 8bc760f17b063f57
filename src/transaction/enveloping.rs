use alloc::vec::Vec;

use super::said::{Meaning, Said, header};
use crate::envelope::{Incarnation, ReplyHeader};
use crate::time::Timestamp;
use crate::transport::PathIndex;

/// What headers say: those of the present request's transmissions, and those of answers. Of each path by itself.
#[derive(Clone, Default, Debug)]
pub(super) struct Enveloping {
    /// The transmission that is due: header and request.
    datagram: Vec<u8>,
    /// It is made of what was built last.
    is_sealed: bool,
    paths: Vec<Path>,
}

/// What was said on one path.
#[derive(Clone, Copy, Default, Debug)]
struct Path {
    /// The incarnation that answered last, whatever request.
    known: Option<Incarnation>,
    /// Of the present request.
    said: Said,
}

impl Enveloping {
    /// Another request begins.
    pub(super) fn begin(&mut self) {
        self.paths.iter_mut().for_each(|path| path.said = Said::default());
    }

    /// Puts a transmission into its envelope: it is the `number`th of the request, and ends waiting at `deadline`.
    pub(super) fn seal(&mut self, path: PathIndex, number: u32, now: Timestamp, deadline: Timestamp, request: &[u8]) {
        let Some(Path { known, said }) = self.path_mut(path) else { return };
        let header = header(number, now, deadline, said.name(*known)).encode();
        self.datagram.clear();
        self.datagram.extend_from_slice(&header);
        self.datagram.extend_from_slice(request);
        self.is_sealed = true;
    }

    /// The request has other bytes than before.
    pub(super) fn on_built(&mut self) {
        self.is_sealed = false;
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    pub(super) fn datagram(&self) -> &[u8] {
        &self.datagram
    }

    /// The transmission has left.
    pub(super) fn on_transmitted(&mut self, path: PathIndex, number: u32, now: Timestamp) {
        if let Some(path) = self.path_mut(path) {
            path.said.on_transmitted(number, now);
        }
    }

    /// Whether this can be the header of a reply to the present request.
    pub(super) fn fits(&self, path: PathIndex, header: &ReplyHeader) -> bool {
        self.path(path).is_some_and(|path| path.said.fits(header))
    }

    /// When the transmission left that is answered, as far back as that is known.
    pub(super) fn sent_at(&self, path: PathIndex, header: &ReplyHeader) -> Option<Timestamp> {
        self.path(path)?.said.sent_at(header)
    }

    /// The request was answered.
    pub(super) fn on_answered(&mut self, path: PathIndex, header: &ReplyHeader) {
        if let Some(path) = self.path_mut(path) {
            path.known = Some(header.incarnation());
        }
    }

    /// A server answered a copy of the request that it does not know whether it was executed before. That arrived at `at`, or
    /// later if that `is_bound` is all that is known.
    pub(super) fn on_unknown(
        &mut self,
        at: Timestamp,
        is_bound: bool,
        path: PathIndex,
        header: &ReplyHeader,
    ) -> Meaning {
        let Some(Path { known, said }) = self.path_mut(path) else { return Meaning::Wrong };
        let meaning = said.on_unknown(at, is_bound, header);
        if let Meaning::Taken | Meaning::Lost = meaning {
            *known = Some(header.incarnation());
        }
        meaning
    }

    /// Whether no server is left that was asked and may answer.
    pub(super) fn is_lost(&self) -> bool {
        self.paths.iter().all(|path| path.said.is_hopeless())
    }

    fn path(&self, path: PathIndex) -> Option<&Path> {
        self.paths.get(usize::try_from(path.number()).ok()?)
    }

    /// Made when the path is first asked.
    fn path_mut(&mut self, path: PathIndex) -> Option<&mut Path> {
        let place = usize::try_from(path.number()).ok()?;
        if place >= self.paths.len() && place < MOST_PATHS {
            self.paths.resize(place + 1, Path::default());
        }
        self.paths.get_mut(place)
    }
}

/// A set of servers has no more.
const MOST_PATHS: usize = 64;
