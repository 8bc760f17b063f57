use crate::size::Plpmtu;

/// A probe to send now: one datagram with this many bytes of payload, unfragmented (RFC 8899 §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// What the datagram and its acknowledgement carry, so that they belong together.
    pub id: ProbeId,
    /// Bytes of UDP payload.
    pub len: Plpmtu,
    /// Of a size that is already confirmed: it measures the loss of the path.
    pub control: bool,
}

/// The number of a probe; a search never uses one twice, until 2³² of them have been sent.
///
/// They count up from zero: where someone off the path might forge an acknowledgement, the datagram carries random bytes
/// besides (RFC 8085 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProbeId(u32);

impl ProbeId {
    /// The id of this number, as an acknowledgement repeats it.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// For the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The latest probes, so that a late acknowledgement (RFC 8899 §3) or report (§4.6.1) finds the size that it is about.
#[derive(Clone, Debug)]
pub(super) struct RecentProbes {
    slots: [Sent; REMEMBERED as usize],
    /// The number of the next probe.
    next: u32,
    /// Of the latest ones, those sent on this path.
    valid: u32,
}

/// A probe that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) len: u16,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Unknown,
    Acknowledged,
    /// Counted against its size.
    Lost,
    /// Counted as the path's own loss.
    ControlLost,
    /// It met a report or a refusal, and counts for nothing.
    TooBig,
}

impl RecentProbes {
    pub(super) const fn new() -> Self {
        Self { slots: [Sent { len: 0, fate: Fate::TooBig }; REMEMBERED as usize], next: 0, valid: 0 }
    }

    pub(super) fn add(&mut self, len: u16) -> ProbeId {
        let id = ProbeId(self.next);
        if let Some(slot) = self.slots.get_mut(index(id)) {
            *slot = Sent { len, fate: Fate::Unknown };
        }
        self.next = self.next.wrapping_add(1);
        self.valid = (self.valid + 1).min(REMEMBERED);
        id
    }

    /// None of a probe that was never sent on this path, or too long ago.
    pub(super) fn get_mut(&mut self, id: ProbeId) -> Option<&mut Sent> {
        let age = self.next.wrapping_sub(id.0);
        if age == 0 || age > self.valid { None } else { self.slots.get_mut(index(id)) }
    }

    /// Another path: what was sent says nothing about it (RFC 8201 §5.2).
    pub(super) fn forget(&mut self) {
        self.valid = 0;
    }
}

fn index(id: ProbeId) -> usize {
    (id.0 % REMEMBERED) as usize
}

/// Sixteen times the longest wait for a probe: what is later still is ignored.
const REMEMBERED: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_sixteen_are_found_also_where_their_numbers_start_again() {
        for first in [0, 5, u32::MAX - 20, u32::MAX - 3] {
            let mut recent = RecentProbes { next: first, ..RecentProbes::new() };
            assert!(recent.get_mut(ProbeId(first)).is_none());
            let ids: Vec<ProbeId> = (0..40).map(|len| recent.add(len)).collect();
            for (len, &id) in (0..).zip(&ids) {
                assert_eq!(recent.get_mut(id).map(|it| it.len), (len >= 24).then_some(len), "{first}");
            }
            assert!(recent.get_mut(ProbeId(recent.next)).is_none(), "the one that comes next");
            recent.forget();
            assert!(ids.iter().all(|&id| recent.get_mut(id).is_none()));
            let id = recent.add(7);
            assert_eq!(recent.get_mut(id).map(|it| it.len), Some(7));
            assert!(ids.iter().all(|&id| recent.get_mut(id).is_none()));
        }
    }
}
