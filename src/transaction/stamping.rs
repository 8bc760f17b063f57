use super::requests::Requests;
use super::resting::{REST, RestingIds};
use super::{Identity, ReplyMatcher};
use crate::entropy::IdSource;
use crate::time::Timestamp;

/// Where the ids of one request after the other come from.
#[derive(Debug, Default)]
pub(super) struct Stamping {
    /// Whether the matcher stamps; it is asked once.
    pub(super) is_asked_for: bool,
    ids: Option<IdSource>,
}

/// The ids of one request after the other on one path: which one the present request has, which rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamped {
    resting: RestingIds,
    /// The id of the present request.
    stamp: Option<Stamp>,
    /// No id was free when it began.
    all_resting: Option<AllResting>,
}

impl Stamping {
    pub(super) fn asked_for(is_asked_for: bool) -> Self {
        Self { is_asked_for, ids: None }
    }

    pub(super) fn from(&mut self, ids: IdSource) {
        self.ids = Some(ids);
    }

    /// Writes the id into the newest request of a path, one that no request of the `others` has; returns what replies are
    /// told by, if that does not follow from its bytes.
    pub(super) fn stamp<'r>(
        &mut self,
        matcher: &impl ReplyMatcher,
        stamped: &mut Stamped,
        requests: &'r mut Requests,
        others: impl Iterator<Item = &'r [u8]> + Clone,
        now: Timestamp,
    ) -> Option<Identity> {
        let Some(ids) = &mut self.ids else { return Some(Identity::Missing) };
        let (request, past) = requests.newest_and_past();
        if let Some(stamp) = stamped.stamp {
            stamp.again(matcher, request, ids);
            return stamped.all_resting.map(|_| Identity::Port);
        }
        let fresh = stamp_fresh(matcher, request, ids, past.chain(others), &stamped.resting, now);
        stamped.stamp = Some(fresh.unwrap_or_else(|_| Stamp::draw(matcher, request, ids)));
        stamped.all_resting = fresh.err();
        // From a fresh port any id will do.
        stamped.all_resting.map(|_| Identity::Port)
    }
}

impl Clone for Stamping {
    /// A clone has no source: it would repeat the ids of the original.
    fn clone(&self) -> Self {
        Self { is_asked_for: self.is_asked_for, ids: None }
    }
}

impl Stamped {
    /// Whether the present request has an id of ours.
    #[inline]
    pub(super) fn is_stamped(&self) -> bool {
        self.stamp.is_some()
    }

    /// Another request begins: the id of the one before rests, if that was sent.
    pub(super) fn retire(&mut self, matcher: &impl ReplyMatcher, sent: Option<&[u8]>, now: Timestamp) {
        let stamped = self.stamp.take();
        if let Some(id) = sent.filter(|_| stamped.is_some()).and_then(|sent| matcher.id(sent)) {
            self.resting.rest(now, id);
        }
        self.all_resting = None;
    }

    /// No reply to an earlier id can arrive any more.
    pub(super) fn on_fresh_port(&mut self) {
        self.resting.clear();
    }

    /// Until when no id is free, if the present request found none.
    pub(super) fn all_resting(&self) -> Option<Timestamp> {
        self.all_resting.map(|all| all.until)
    }
}

/// Has `matcher` stamp a request with an id that no request of `earlier` has and that does not rest.
///
/// Draws a few times, then searches. Where there is no id that could be compared, the first draw is as good as any.
pub(super) fn stamp_fresh<'r>(
    matcher: &impl ReplyMatcher,
    request: &mut [u8],
    ids: &mut IdSource,
    earlier: impl Iterator<Item = &'r [u8]> + Clone,
    resting: &RestingIds,
    now: Timestamp,
) -> Result<Stamp, AllResting> {
    let is_earlier = |id: &[u8]| earlier.clone().any(|request| matcher.id(request) == Some(id));
    let is_fresh = |request: &[u8]| {
        let Some(id) = matcher.id(request) else { return true };
        !resting.is_resting(now, id) && !is_earlier(id)
    };
    for _ in 0..DRAWS {
        let stamp = Stamp::draw(matcher, request, ids);
        if is_fresh(request) {
            return Ok(stamp);
        }
    }
    let width = matcher.id(request).map_or(0, <[u8]>::len);
    if resting.when_free(now, width).is_none() {
        let mut search = Stamp::all(ids);
        let found = search.find(|stamp| {
            stamp.again(matcher, request, ids);
            is_fresh(request)
        });
        if let Some(stamp) = found {
            return Ok(stamp);
        }
    }
    // One that is taken and does not rest will, from the end of its request.
    let until = resting.first_free(now, width, is_earlier).unwrap_or(now.after_ns(REST));
    Err(AllResting { until })
}

/// What was stamped on a request, so that its later builds get the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp(u64);

impl Stamp {
    /// Stamps a request with whatever id comes next.
    pub(super) fn draw(matcher: &impl ReplyMatcher, request: &mut [u8], ids: &mut IdSource) -> Self {
        let stamp = Self(ids.position());
        matcher.stamp(request, ids);
        stamp
    }

    /// Stamps another build of the same request. The source then goes on where it was.
    pub(super) fn again(self, matcher: &impl ReplyMatcher, request: &mut [u8], ids: &mut IdSource) {
        if self.0 & SEARCHED == 0 {
            let present = ids.position();
            ids.rewind(self.0);
            matcher.stamp(request, ids);
            ids.rewind(present);
        } else {
            let [.., first, second] = self.0.to_be_bytes();
            matcher.stamp(request, &mut IdSource::pattern([first, second]));
        }
    }

    /// Every pattern of two bytes once, and of one byte within the first 256, in an order that no one can foretell.
    fn all(ids: &mut IdSource) -> impl Iterator<Item = Self> + use<> {
        let mut drawn = [0; 4];
        ids.fill(&mut drawn);
        let [a, b, c, d] = drawn;
        // An odd step leads through all of them, and through all of its last byte.
        let (start, step) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]) | 1);
        (0..=u16::MAX).map(move |n| {
            let pattern = start.wrapping_add(step.wrapping_mul(n));
            Self(SEARCHED | u64::from(pattern.swap_bytes()))
        })
    }
}

/// No id is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AllResting {
    /// The first is free then.
    pub(super) until: Timestamp,
}

/// While one id in sixteen is free, these fail once in three.
const DRAWS: u32 = 16;
/// The lower two bytes are a pattern, else the whole is a position in the stream.
const SEARCHED: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use core::iter;

    use super::*;
    use crate::entropy::Seed;
    use crate::transaction::{Match, transaction_id};

    fn source() -> IdSource {
        IdSource::from_seed(Seed::new(1))
    }

    fn none() -> iter::Empty<&'static [u8]> {
        iter::empty()
    }

    #[test]
    fn all_ids_of_one_byte_and_of_two_are_used_once_before_any_repeats() {
        for (width, count) in [(1, 1 << 8), (2, 1 << 16)] {
            let (matcher, mut ids, mut resting) = (transaction_id(0..width).stamped(), source(), RestingIds::default());
            let used: std::collections::BTreeSet<Vec<u8>> = (0..count)
                .map(|n| {
                    let (now, mut request) = (Timestamp::from_nanos(n), [0; 4]);
                    stamp_fresh(&matcher, &mut request, &mut ids, none(), &resting, now).unwrap();
                    resting.rest(now, &request[..width]);
                    request[..width].to_vec()
                })
                .collect();
            assert_eq!(used.len() as u64, count);
            let mut again = |now| {
                let mut request = [0; 4];
                stamp_fresh(&matcher, &mut request, &mut ids, none(), &resting, now).map(|_| request)
            };
            let until = Timestamp::from_nanos(REST);
            assert_eq!(again(Timestamp::from_nanos(count)), Err(AllResting { until }));
            assert_eq!(again(Timestamp::from_nanos(REST - 1)), Err(AllResting { until }));
            // The first that was used, the only one that is free, is found.
            assert!(again(until).is_ok());
        }
    }

    #[test]
    fn no_two_requests_in_memory_share_an_id_although_none_rests() {
        let (matcher, mut ids, resting) = (transaction_id(1..2).stamped(), source(), RestingIds::default());
        let mut requests: Vec<[u8; 3]> = Vec::new();
        let mut stamp = |requests: &[[u8; 3]]| {
            let mut request = [9; 3];
            let earlier = requests.iter().map(|request| &request[..]);
            stamp_fresh(&matcher, &mut request, &mut ids, earlier, &resting, Timestamp::ZERO).map(|_| request)
        };
        for _ in 0..256 {
            let request = stamp(&requests).unwrap();
            requests.push(request);
        }
        let mut used: Vec<u8> = requests.iter().map(|request| request[1]).collect();
        used.sort_unstable();
        assert_eq!(used, (0..=255).collect::<Vec<u8>>());
        assert_eq!(stamp(&requests), Err(AllResting { until: Timestamp::from_nanos(REST) }));
        // As soon as one is forgotten, its id is found.
        assert_eq!(stamp(&requests[1..]).unwrap()[1], requests[0][1]);
    }

    #[test]
    fn the_end_is_that_of_the_first_rest_whose_id_is_not_taken_otherwise() {
        let (matcher, mut ids, mut resting) = (transaction_id(0..1).stamped(), source(), RestingIds::default());
        for id in 2..=255 {
            resting.rest(Timestamp::from_nanos(id.into()), &[id]);
        }
        let taken = [[0], [1], [2], [3]];
        let earlier = taken.iter().map(|request| &request[..]);
        let now = Timestamp::from_nanos(1_000);
        let stamped = stamp_fresh(&matcher, &mut [0], &mut ids, earlier, &resting, now);
        assert_eq!(stamped, Err(AllResting { until: Timestamp::from_nanos(4 + REST) }));
    }

    #[test]
    fn every_build_of_one_request_gets_the_same_id_and_no_other_request_does() {
        for width in [1, 2, 4, 8, 40] {
            let (matcher, mut ids, mut resting) = (transaction_id(0..width).stamped(), source(), RestingIds::default());
            let mut stamped: Vec<(Stamp, Vec<u8>)> = Vec::new();
            for n in 0..256 {
                let mut request = vec![0; 64];
                let earlier = stamped.iter().map(|(_, request)| &request[..]);
                let now = Timestamp::from_nanos(n);
                let stamp = stamp_fresh(&matcher, &mut request, &mut ids, earlier, &resting, now).unwrap();
                resting.rest(now, &request[..width]);
                stamped.push((stamp, request));
                // As when one of many in flight is built again, while the others draw on.
                let (stamp, request) = &stamped[n as usize * 7 % stamped.len()];
                let mut rebuilt = vec![1; 64];
                let position = ids.position();
                stamp.again(&matcher, &mut rebuilt, &mut ids);
                assert_eq!((&rebuilt[..width], ids.position()), (&request[..width], position));
            }
        }
    }

    #[test]
    fn a_matcher_that_stamps_one_id_only_ends_the_search_and_one_without_ids_needs_none() {
        struct Stubborn(bool);
        impl ReplyMatcher for Stubborn {
            fn judge(&self, _: &[u8], _: &[u8]) -> Match {
                Match::Foreign
            }

            fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
                request.get(..4).filter(|_| self.0)
            }

            fn stamp(&self, request: &mut [u8], _: &mut IdSource) {
                request.fill(7);
            }
        }
        let stamp = |matcher, earlier: &[u8]| {
            let resting = RestingIds::default();
            stamp_fresh(&matcher, &mut [0; 4], &mut source(), iter::once(earlier), &resting, Timestamp::ZERO)
        };
        assert!(stamp(Stubborn(true), &[8; 4]).is_ok());
        assert_eq!(stamp(Stubborn(true), &[7; 4]), Err(AllResting { until: Timestamp::from_nanos(REST) }));
        assert!(stamp(Stubborn(false), &[7; 4]).is_ok());
    }

    #[test]
    fn the_order_of_the_search_is_not_that_of_the_ids() {
        let firsts: std::collections::BTreeSet<u64> = (0..100)
            .map(|seed| {
                let ids = &mut IdSource::from_seed(Seed::new(seed));
                Stamp::all(ids).next().unwrap().0
            })
            .collect();
        assert!(firsts.len() > 95, "{} first patterns of 100 sources", firsts.len());
        let mut all: Vec<u64> = Stamp::all(&mut source()).map(|stamp| stamp.0 & 0xffff).collect();
        let firsts_of_one_byte: std::collections::BTreeSet<u64> =
            all[..256].iter().map(|pattern| pattern >> 8).collect();
        assert_eq!(firsts_of_one_byte.len(), 256);
        all.sort_unstable();
        assert_eq!(all, (0..1 << 16).collect::<Vec<u64>>());
    }
}
