use super::transmission::CLOCK_EACH;
use crate::net::Pauses;
use crate::time::{Ns, Timestamp};

/// Requests that wait for others to leave with. A caller who submits one upon each reply would have each take a system call of
/// its own, though more replies are queued: these are read first, for a short time.
#[derive(Debug)]
pub(super) struct Held {
    state: State,
    /// Of looking, as nothing was queued before, or the caller took long.
    pauses: Pauses,
}

#[derive(Debug)]
enum State {
    None,
    /// The first of them could have left at this moment.
    Since(Timestamp),
    /// Nothing is queued, so they leave.
    Leave,
}

impl Held {
    pub(super) const fn new() -> Self {
        Self { state: State::None, pauses: Pauses::between(1, LONGEST_PAUSE) }
    }

    /// Whether to look for more before any of these `ready` requests leaves; `others` are on their way.
    #[inline]
    pub(super) fn holds(&mut self, now: Timestamp, ready: usize, others: usize) -> bool {
        let may_hold = (1..CLOCK_EACH).contains(&ready) && others > SHARE * ready;
        match self.state {
            State::None if may_hold && !self.pauses.passes() => {
                self.state = State::Since(now);
                true
            }
            State::None => false,
            State::Since(since) if may_hold && now.since_ns(since) < LONGEST => true,
            State::Since(since) => {
                // A caller who does much with each reply must not have requests leave that much later.
                match now.since_ns(since) < LONGEST {
                    true => self.pauses.on_hit(),
                    false => self.pauses.on_miss(),
                }
                self.state = State::None;
                false
            }
            State::Leave => {
                self.state = State::None;
                false
            }
        }
    }

    /// Nothing is queued any more, so these `ready` requests leave together.
    #[inline]
    pub(super) fn on_nothing_queued(&mut self, ready: usize) {
        if let State::Since(_) = self.state {
            self.state = State::Leave;
            // To look has taken a system call, and each but the first saves one.
            match ready > 1 {
                true => self.pauses.on_hit(),
                false => self.pauses.on_miss(),
            }
        }
    }
}

/// So many times as many are on their way as are held. A server that has answered all that it was sent goes to sleep, and so does
/// the caller then, and to wake either takes longer than a system call.
const SHARE: usize = 4;
/// No request leaves later by more than this, and what the caller takes for one reply.
const LONGEST: Ns = 50_000;
const LONGEST_PAUSE: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Timestamp {
        Timestamp::from_nanos(us * 1000)
    }

    #[test]
    fn what_is_ready_waits_for_more_until_there_is_enough_or_nothing_queued_or_it_has_taken_too_long() {
        let mut held = Held::new();
        assert!(!held.holds(at(0), 0, 500) && !held.holds(at(0), 1, 0) && !held.holds(at(0), CLOCK_EACH, 500));
        assert!((1..CLOCK_EACH).all(|ready| held.holds(at(1), ready, 500)));
        assert!(!held.holds(at(2), CLOCK_EACH, 500), "a full batch leaves");
        assert!(held.holds(at(3), 1, 500));
        held.on_nothing_queued(2);
        assert!(!held.holds(at(4), 2, 500), "nothing is queued");
        assert!(held.holds(at(5), 1, 500) && held.holds(at(54), 2, 500));
        assert!(!held.holds(at(55), 3, 500), "50 us have passed");
    }

    /// How many leave together at most, with so many in flight of which each reply is followed by a request.
    #[test]
    fn most_of_a_small_window_stays_on_its_way() {
        let together = [1, 5, 6, 10, 11, 16, 64, 160, 1000].map(|window| {
            let mut held = Held::new();
            (1..).find(|&ready| !held.holds(at(0), ready, window - ready)).unwrap()
        });
        assert_eq!(together, [1, 1, 2, 2, 3, 4, 13, CLOCK_EACH, CLOCK_EACH]);
    }

    #[test]
    fn looking_in_vain_pauses_it_longer_and_longer() {
        let (mut held, mut transmissions) = (Held::new(), 0);
        let looks = [0; 8].map(|_| {
            while !held.holds(at(0), 1, 5) {
                transmissions += 1;
            }
            held.on_nothing_queued(1);
            transmissions
        });
        // After each look one leaves at once, and then those of the pause.
        assert_eq!(looks, [0, 2, 5, 10, 19, 36, 69, 134]);
        while !held.holds(at(0), 1, 5) {}
        held.on_nothing_queued(2);
        assert_eq!((0..).take_while(|_| !held.holds(at(0), 1, 5)).count(), 1, "more than one left together");
    }

    #[test]
    fn a_caller_who_takes_long_with_each_reply_is_not_waited_for() {
        let mut held = Held::new();
        let held_ones = (0..1000).filter(|turn| held.holds(at(turn * 1000), 1, 5)).count();
        assert!((1..30).contains(&held_ones), "{held_ones}");
    }
}
