use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;

use crate::time::{Ns, Timestamp};

/// Which short ids rest: those of one or two bytes that were used, for as long as a late reply may still repeat them.
///
/// Longer ids never rest: by chance alone they differ. Memory is taken when the first short id is used: a bit for each
/// of the 256 or 65,536 ids, and 16 bytes for each that rests.
#[derive(Clone, Default, Debug)]
pub(crate) struct RestingIds {
    one_byte: Resting,
    two_bytes: Resting,
}

impl RestingIds {
    /// Whether `id` was used less than [`REST`] ago.
    pub(crate) fn is_resting(&self, now: Timestamp, id: &[u8]) -> bool {
        self.of_width(id.len()).zip(number(id)).is_some_and(|(resting, id)| resting.holds(now, id))
    }

    /// `id` was used until `now`.
    pub(crate) fn rest(&mut self, now: Timestamp, id: &[u8]) {
        let resting = match id.len() {
            1 => &mut self.one_byte,
            2 => &mut self.two_bytes,
            _ => return,
        };
        if let Some(number) = number(id) {
            resting.add(now, number, ids_of_width(id.len()));
        }
    }

    /// The moment from which an id of `width` bytes is free again; `None` if one is free at `now`.
    pub(crate) fn when_free(&self, now: Timestamp, width: usize) -> Option<Timestamp> {
        let all_rest = self.of_width(width)?.present(now).len() >= ids_of_width(width);
        if all_rest { self.first_free(now, width, |_| false) } else { None }
    }

    /// The moment from which the first of those ids that rest at `now` is free again, but for those taken otherwise.
    pub(crate) fn first_free(&self, now: Timestamp, width: usize, taken: impl Fn(&[u8]) -> bool) -> Option<Timestamp> {
        let is_taken = |id: u16| match id.to_be_bytes() {
            [_, id] if width == 1 => taken(&[id]),
            id => taken(&id),
        };
        self.of_width(width)?.present(now).find(|&(_, id)| !is_taken(id)).map(|(until, _)| until)
    }

    /// The requests leave from a fresh port: what was used before can be met no more.
    pub(crate) fn clear(&mut self) {
        self.one_byte.clear();
        self.two_bytes.clear();
    }

    fn of_width(&self, width: usize) -> Option<&Resting> {
        match width {
            1 => Some(&self.one_byte),
            2 => Some(&self.two_bytes),
            _ => None,
        }
    }
}

/// The ids of one width.
#[derive(Clone, Default, Debug)]
struct Resting {
    /// Until when which id rests: in the order of time, each id once. Some at the front may be free by now.
    queue: VecDeque<(Timestamp, u16)>,
    /// A bit for each id: whether it is in the queue.
    queued: Box<[u64]>,
}

impl Resting {
    fn holds(&self, now: Timestamp, id: u16) -> bool {
        self.is_queued(id) && {
            // Seldom are any free that still stand in the queue: it is tidied whenever one is added.
            let free = self.queue.len() - self.present(now).len();
            !self.queue.iter().take(free).any(|&(_, free)| free == id)
        }
    }

    fn add(&mut self, now: Timestamp, id: u16, ids: usize) {
        if self.queued.is_empty() {
            self.queued = vec![0; ids / 64].into_boxed_slice();
        }
        while let Some(&(_, free)) = self.queue.front().filter(|&&(until, _)| until <= now) {
            self.queue.pop_front();
            self.mark(free, false);
        }
        if self.is_queued(id) {
            // Used again although it rested, as after a move to a fresh port.
            self.queue.retain(|&(_, queued)| queued != id);
        }
        // A clock that ran backwards must not disturb the order.
        let last = self.queue.back().map_or(Timestamp::ZERO, |&(until, _)| until);
        self.queue.push_back((now.after_ns(REST).max(last), id));
        self.mark(id, true);
    }

    /// Those that rest at `now`.
    fn present(&self, now: Timestamp) -> impl ExactSizeIterator<Item = (Timestamp, u16)> {
        let free = self.queue.partition_point(|&(until, _)| until <= now);
        self.queue.range(free..).copied()
    }

    fn clear(&mut self) {
        // Most requests that ask for a fresh port have no ids, and filling nothing may cost 0.1 µs.
        if !self.queue.is_empty() {
            self.queue.clear();
            self.queued.fill(0);
        }
    }

    fn is_queued(&self, id: u16) -> bool {
        self.queued.get(usize::from(id / 64)).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn mark(&mut self, id: u16, queued: bool) {
        if let Some(word) = self.queued.get_mut(usize::from(id / 64)) {
            *word = *word & !(1 << (id % 64)) | u64::from(queued) << (id % 64);
        }
    }
}

fn number(id: &[u8]) -> Option<u16> {
    match *id {
        [id] => Some(id.into()),
        [high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

const fn ids_of_width(bytes: usize) -> usize {
    if bytes == 1 { 1 << 8 } else { 1 << 16 }
}

/// 2 minutes, the maximum segment lifetime of RFC 9293, section 3.4.2: so long may a datagram be on its way.
pub(crate) const REST: Ns = 120_000_000_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn an_id_rests_for_two_minutes_to_the_nanosecond() {
        for id in [&[7][..], &[7, 9]] {
            let mut ids = RestingIds::default();
            assert!(!ids.is_resting(at(5), id));
            ids.rest(at(5), id);
            assert!(ids.is_resting(at(5), id) && ids.is_resting(at(4 + REST), id));
            assert!(!ids.is_resting(at(5 + REST), id));
            // Its neighbours never did, nor the ids of the other width.
            for other in [&[6][..], &[8], &[0], &[7, 8], &[7, 10], &[0, 7], &[9, 7], &[7, 9, 0], &[]] {
                assert!(!ids.is_resting(at(5), other), "{other:?}");
            }
        }
    }

    #[test]
    fn when_all_rest_the_first_is_free_two_minutes_after_it_was_used_to_the_nanosecond() {
        for (width, count) in [(1, 1 << 8), (2, 1 << 16)] {
            let id = |n: u64| (n as u16).wrapping_mul(77).to_be_bytes();
            let used = |ids: &mut RestingIds, n: u64| ids.rest(at(n), &id(n)[2 - width..]);
            let mut ids = RestingIds::default();
            (0..count - 1).for_each(|n| used(&mut ids, n));
            assert_eq!(ids.when_free(at(count), width), None, "one is left");
            used(&mut ids, count - 1);
            assert_eq!(ids.when_free(at(count), width), Some(at(REST)));
            assert_eq!(ids.when_free(at(REST - 1), width), Some(at(REST)));
            assert_eq!(ids.when_free(at(REST), width), None);
            assert_eq!(ids.when_free(at(count), 3 - width), None, "the other width");
            // Unless that one is taken.
            let first = id(0);
            assert_eq!(ids.first_free(at(count), width, |id| id == &first[2 - width..]), Some(at(REST + 1)));
            ids.clear();
            assert_eq!(
                (ids.when_free(at(count), width), ids.is_resting(at(count), &id(3)[2 - width..])),
                (None, false)
            );
        }
    }

    #[test]
    fn long_ids_and_none_never_rest_and_take_no_memory() {
        let mut ids = RestingIds::default();
        for id in [&[][..], &[1, 2, 3], &[0; 16]] {
            ids.rest(at(0), id);
            assert!(!ids.is_resting(at(0), id));
            assert_eq!(ids.when_free(at(0), id.len()), None);
        }
        assert_eq!((ids.one_byte.queued.len(), ids.two_bytes.queued.len()), (0, 0));
    }

    #[test]
    fn a_clock_that_runs_backwards_makes_no_rest_shorter_than_it_was() {
        let mut ids = RestingIds::default();
        ids.rest(at(100), &[1]);
        ids.rest(at(50), &[2]);
        assert!(ids.is_resting(at(99 + REST), &[1]) && ids.is_resting(at(49 + REST), &[2]));
        assert!(!ids.is_resting(at(100 + REST), &[1]) && !ids.is_resting(at(100 + REST), &[2]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
        #[test]
        fn the_ids_that_rest_are_those_of_a_plain_map(
            wide in any::<bool>(),
            // Pauses of up to a quarter of the rest, or of exactly as much as leads to a boundary; few ids or many.
            steps in proptest::collection::vec((0..REST / 4, 0_u8..4, any::<u16>(), 0_u8..12), 1..400),
            few in any::<bool>(),
        ) {
            let (mut now, mut ids, mut naive) = (at(1_000_007), RestingIds::default(), BTreeMap::<Vec<u8>, u64>::new());
            let width = if wide { 2 } else { 1 };
            let id_of = |n: u16| (if few { n % 20 } else { n }).to_be_bytes()[2 - width..].to_vec();
            for (pause, scale, n, act) in steps {
                let boundary = naive.values().map(|used| used + REST).filter(|&until| until > now.as_nanos()).min();
                now = match (scale, boundary) {
                    (0, _) => now,
                    (1, Some(until)) => at(until - u64::from(act % 2)),
                    (2, _) => now.after_ns(pause / 1_000),
                    _ => now.after_ns(pause),
                };
                match act {
                    0 => { ids.clear(); naive.clear(); }
                    1..=3 => {}
                    _ => { ids.rest(now, &id_of(n)); naive.insert(id_of(n), now.as_nanos()); }
                }
                let rests = |used: &u64| now.as_nanos() < used + REST;
                for probe in (0..40).map(|k| id_of(n.wrapping_add(k * 7))) {
                    prop_assert_eq!(ids.is_resting(now, &probe), naive.get(&probe).is_some_and(rests), "{:?}", probe);
                }
                let present: Vec<u64> = naive.values().copied().filter(|used| rests(used)).collect();
                let first = present.iter().min().map(|used| at(used + REST));
                prop_assert_eq!(ids.first_free(now, width, |_| false), first);
                let all_rest = present.len() == ids_of_width(width);
                prop_assert_eq!(ids.when_free(now, width), first.filter(|_| all_rest));
            }
        }
    }
}
