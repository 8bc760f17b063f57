use super::delay_line::DelayLine;
use super::fate::Fate;
use super::stats::{DirectionStats, LinkStats};

/// One direction of a bad network: the copies in flight, and the counts of the others.
#[derive(Debug)]
pub(crate) struct Transit<K> {
    pub(crate) line: DelayLine<K>,
    pub(crate) passed: u64,
    pub(crate) discarded: u64,
    pub(crate) failed: u64,
    /// The counts of links that are no more.
    retired: LinkStats,
}

impl<K: Copy> Transit<K> {
    pub(crate) const fn new() -> Self {
        Self { line: DelayLine::new(), passed: 0, discarded: 0, failed: 0, retired: LinkStats::NONE }
    }

    /// Shows a fate to an observer. If that panics, its copies are discarded, as nothing else happens to them.
    pub(crate) fn observed(&mut self, fate: &Fate, observe: impl FnOnce()) {
        let copies = fate.copies_from(0);
        self.discarded += copies;
        observe();
        self.discarded -= copies;
    }

    /// Keeps the counts of a link that will be no more.
    #[cfg(feature = "proxy")]
    pub(crate) fn retire(&mut self, link: &LinkStats) {
        self.retired += *link;
    }

    /// The counts of all links, of which `links` are those that still are.
    pub(crate) fn stats<'l>(&self, links: impl IntoIterator<Item = &'l LinkStats>) -> DirectionStats {
        let mut fates = self.retired;
        for link in links {
            fates += *link;
        }
        let Self { line, passed, discarded, failed, .. } = self;
        DirectionStats { fates, passed: *passed, in_flight: line.len() as u64, discarded: *discarded, failed: *failed }
    }
}
