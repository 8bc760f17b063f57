mod path_sizes;

use alloc::vec::Vec;

use self::path_sizes::PathSizes;
use super::SuspectedPathMtu;
use crate::pmtu::SearchSettings;
use crate::size::{IpFamily, Plpmtu};
use crate::time::Timestamp;
use crate::transport::PathIndex;

/// Which sizes of datagrams get through on each path, as far as a transaction's own requests show it.
///
/// As long as no large transmission is lost it knows nothing and keeps nothing: that one is larger than what every path carries
/// is all that is asked.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// What every path carries: BASE_PLPMTU of RFC 8899 §5.1.2.
    base: Plpmtu,
    /// Transmissions of more bytes are looked at: those above the base; all, while there is anything to keep up to date.
    threshold: usize,
    /// The latest transmission, which may still be answered, if anything depends on it.
    awaited: Option<Sent>,
    /// What the system would have sent of the present request, where it refused more.
    limit: Option<(PathIndex, Plpmtu)>,
    /// The paths that have lost a large transmission.
    known: Vec<(PathIndex, PathSizes)>,
}

/// A transmission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) path: PathIndex,
    pub(super) len: Plpmtu,
    pub(super) at: Timestamp,
}

/// The transmissions that a reply may answer, where a matcher cannot tell them apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    /// The smallest got through in any case: a path that carries more carries less.
    pub(super) smallest: Sent,
    pub(super) largest: Sent,
}

/// How far a request has got that is to be built for a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) transmissions: u32,
    /// Those of them on this path.
    pub(super) on_path: u32,
    /// A provisional answer came.
    pub(super) is_answered: bool,
}

impl Sizes {
    /// Where the family is not known, the smaller base.
    pub(super) fn new() -> Self {
        let base = SearchSettings::new(IpFamily::V4).base();
        Self { base, threshold: base.bytes(), awaited: None, limit: None, known: Vec::new() }
    }

    pub(super) fn in_family(&mut self, family: IpFamily) {
        self.base = SearchSettings::new(family).base();
        self.rest();
    }

    /// Whether a transmission of this length is to be [reported](Self::on_transmitted).
    #[inline]
    pub(super) fn concern(&self, len: usize) -> bool {
        len > self.threshold
    }

    /// Whether answers and ends are to be reported, too.
    #[inline]
    pub(super) fn is_watching(&self) -> bool {
        self.threshold == 0
    }

    /// What the next transmission should not exceed.
    ///
    /// A hole that no one knows of loses the first two, which is no reason to think of one yet: the third may do without it. Then
    /// large and small ones take turns. So a request gets through a hole, an outage does not make all requests after it small,
    /// and what becomes of either size can be compared.
    pub(super) fn at_most(&self, path: PathIndex, progress: Progress) -> Option<Plpmtu> {
        let Progress { transmissions, on_path, is_answered } = progress;
        let is_in_vain = transmissions >= LARGE_ONES_FIRST && on_path % 2 == 0 && !is_answered;
        let known = self.of(path).and_then(PathSizes::at_most);
        [is_in_vain.then_some(self.base), known, self.limit_on(path)].into_iter().flatten().min()
    }

    /// What to ask a builder for, of whose bytes the system said that they are too many; `None` if it has no smaller ones.
    ///
    /// A report that was forged can make it say so. So at first no less is asked for than what gets through anyway.
    pub(super) fn smaller_than(&self, refused: Sent, limit: Option<Plpmtu>) -> Option<Plpmtu> {
        let Sent { path, len, .. } = refused;
        if self.limit_on(path).is_some_and(|asked| len > asked) {
            return None;
        }
        let proven = self.of(path).and_then(PathSizes::confirmed).map_or(self.base, |it| it.max(self.base));
        let first = limit.map_or(proven, |limit| limit.max(proven));
        [Some(first), limit].into_iter().flatten().find(|&it| it < len)
    }

    /// The builder is asked for no more than that, for the rest of the request.
    pub(super) fn on_refused(&mut self, path: PathIndex, at_most: Plpmtu) {
        self.limit = Some((path, at_most));
        self.threshold = 0;
    }

    /// The request was transmitted, as its slot says: what became of the transmission before is known now.
    pub(super) fn on_transmitted(&mut self, sent: Sent, is_answered: bool) {
        self.on_time_over(sent.at);
        let base = self.base;
        let known = self.of_mut(sent.path).map(|known| known.on_tried(sent.len));
        // What a server is at work on may be answered late.
        if !is_answered && (known.is_some() || sent.len > base) {
            self.awaited = Some(sent);
            self.threshold = 0;
        }
    }

    /// A copy left beside the slots.
    pub(super) fn on_copied(&mut self, path: PathIndex, len: Plpmtu) {
        if let Some(known) = self.of_mut(path) {
            known.on_tried(len);
        }
    }

    /// The wait for the latest transmission has brought nothing.
    pub(super) fn on_time_over(&mut self, now: Timestamp) {
        let Some(lost) = self.awaited.take() else { return };
        if self.of(lost.path).is_none() && lost.len > self.base {
            self.known.push((lost.path, PathSizes::new(self.base)));
        }
        if let Some(known) = self.of_mut(lost.path) {
            known.on_lost(lost, now);
        }
    }

    /// Since when an answer to the latest transmission is awaited, if anything depends on it.
    pub(super) fn awaited_since(&self) -> Option<Timestamp> {
        self.awaited.map(|it| it.at)
    }

    /// Nothing is known of the latest transmission on this path but that silence was not its end.
    pub(super) fn on_refusal(&mut self, path: PathIndex) {
        self.awaited = self.awaited.filter(|it| it.path != path);
    }

    /// The request was answered at `now`.
    pub(super) fn on_answered(&mut self, answered: Answered, now: Timestamp) {
        self.awaited = None;
        if let Some(known) = self.of_mut(answered.smallest.path) {
            known.on_answered(answered, now);
        }
    }

    /// One more reply came to a request that had one, or whose time was over.
    pub(super) fn on_late_reply(&mut self, path: PathIndex, now: Timestamp) {
        if let Some(known) = self.of_mut(path) {
            known.on_late_reply(now);
        }
    }

    /// Another request begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        (self.awaited, self.limit) = (None, None);
        self.known.iter_mut().for_each(|(_, known)| known.begin(now));
        self.rest();
    }

    /// What the present request suspects of the paths that it took: of the first for which there is reason.
    pub(super) fn suspected(&self) -> Option<SuspectedPathMtu> {
        self.known.iter().find_map(|(_, known)| known.suspected())
    }

    fn rest(&mut self) {
        self.threshold = if self.known.is_empty() { self.base.bytes() } else { 0 };
    }

    fn limit_on(&self, path: PathIndex) -> Option<Plpmtu> {
        self.limit.filter(|it| it.0 == path).map(|it| it.1)
    }

    fn of(&self, path: PathIndex) -> Option<&PathSizes> {
        self.known.iter().find(|it| it.0 == path).map(|it| &it.1)
    }

    fn of_mut(&mut self, path: PathIndex) -> Option<&mut PathSizes> {
        self.known.iter_mut().find(|it| it.0 == path).map(|it| &mut it.1)
    }
}

/// One may be lost by chance on any path, two in a row on a bad one.
const LARGE_ONES_FIRST: u32 = 2;
