use alloc::vec::Vec;

use crate::fault::record::Record;

/// The datagram that the system did not take when it was sent last, so that it keeps its fate when it is offered again.
#[derive(Debug)]
pub(super) struct LastOffered<P> {
    kept: Option<Offered<P>>,
    /// The buffer for the next one.
    spare: Vec<u8>,
}

/// Nothing of it has left.
#[derive(Debug)]
struct Offered<P> {
    to: P,
    bytes: Vec<u8>,
    record: Record,
    /// The copy that is to leave next.
    next: usize,
}

impl<P: Copy + PartialEq> LastOffered<P> {
    pub(super) const fn none() -> Self {
        Self { kept: None, spare: Vec::new() }
    }

    #[inline]
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// The fate of this datagram and the copy to go on with, if it is the one that was kept; it is kept no longer.
    #[cold]
    pub(super) fn take(&mut self, to: P, datagram: &[u8]) -> Option<(Record, usize)> {
        let Offered { to: kept_for, bytes, record, next } = self.kept.take()?;
        let again = kept_for == to && bytes == datagram;
        self.spare = bytes;
        again.then_some((record, next))
    }

    /// If the same bytes are offered next, they are the same datagram.
    #[cold]
    pub(super) fn keep(&mut self, to: P, datagram: &[u8], record: Record, next: usize) {
        let mut bytes = core::mem::take(&mut self.spare);
        bytes.clear();
        bytes.extend_from_slice(datagram);
        self.kept = Some(Offered { to, bytes, record, next });
    }

    /// What is sent from now on is another datagram, even if it has the same bytes.
    #[inline]
    pub(super) fn forget(&mut self) {
        if self.is_kept() {
            self.drop_kept();
        }
    }

    #[cold]
    fn drop_kept(&mut self) {
        if let Some(Offered { bytes, .. }) = self.kept.take() {
            self.spare = bytes;
        }
    }
}
