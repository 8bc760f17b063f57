use std::time::Duration;

use crate::servers::Paths;
use crate::time::Timestamp;
use crate::transport::{Incoming, PathIndex};

/// Which paths a wait is for: one alone, or all that are open.
///
/// A transport does not know which sends are of one request. But a request that has asked a second path has waited in
/// vain for the first, or met an error, or has sent to both within a moment; and one that begins after a reply has asked
/// nothing else yet. So one path is waited for alone if all of these hold:
///
/// - it is the one that was sent to last, and nothing was sent to another for a second;
/// - since a wait last ended without a datagram, or a send failed, a send has followed upon a datagram.
///
/// Where that is wrong, as of many requests at once, a wait of its own lasts a second at most, and the others are looked
/// at every second.
#[derive(Debug)]
pub(super) struct Play {
    /// Sent to last when the latest wait began.
    current: PathIndex,
    /// Sent to last.
    latest: PathIndex,
    /// Sent to since the latest wait began.
    sent: Paths,
    /// Until then something was sent to others not long ago.
    others_until: Timestamp,
    /// A wait has ended without a datagram, or a send failed, and no send has followed upon a datagram since.
    in_vain: bool,
    /// Nothing was sent since the latest wait, which ended with a datagram.
    after_datagram: bool,
    /// When the others were looked at last.
    looked: Timestamp,
}

impl Play {
    pub(super) fn new() -> Self {
        Self {
            current: PathIndex::FIRST,
            latest: PathIndex::FIRST,
            sent: Paths::NONE,
            others_until: Timestamp::ZERO,
            in_vain: false,
            after_datagram: false,
            looked: Timestamp::ZERO,
        }
    }

    /// Another path was opened besides this one, which was the only one so far and had all waits: it may owe a reply.
    pub(super) fn on_another(&mut self, besides: PathIndex) {
        (self.in_vain, self.after_datagram) = (true, false);
        self.sent = self.sent.with(besides);
    }

    /// Something was offered to a path, and has left or not.
    #[inline]
    pub(super) fn on_sent(&mut self, path: PathIndex, has_left: bool) {
        self.in_vain = !has_left || self.in_vain && !self.after_datagram;
        self.after_datagram = false;
        self.latest = path;
        self.sent = self.sent.with(path);
    }

    /// A wait begins; which path it is for, if for one alone.
    #[inline]
    pub(super) fn on_wait(&mut self, now: Timestamp) -> Option<PathIndex> {
        if !self.sent.without(self.current).is_empty() {
            self.others_until = now.after(PLAYS);
            self.current = self.latest;
        }
        self.sent = Paths::NONE;
        (!self.in_vain && now >= self.others_until).then_some(self.current)
    }

    #[inline]
    pub(super) fn on_waited<P>(&mut self, incoming: &Incoming<P>) {
        self.after_datagram = matches!(incoming, Incoming::Datagram(_));
        self.in_vain |= !self.after_datagram;
    }

    /// Whether the others are to be looked at now, in a wait for one alone.
    #[inline]
    pub(super) fn looks_at_others(&mut self, now: Timestamp) -> bool {
        let looks = now.since(self.looked) >= PLAYS;
        if looks {
            self.looked = now;
        }
        looks
    }
}

/// How long a path is waited for after the last send to it, whatever is known of it; and how late at most a datagram is seen
/// on one that is not waited for.
pub(super) const PLAYS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{PathError, Received};

    const A: PathIndex = PathIndex::FIRST;
    const B: PathIndex = PathIndex::new(1);
    const TIME_UP: Incoming<PathIndex> = Incoming::TimeUp(Timestamp::ZERO);

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_millis(millis))
    }

    fn datagram(from: PathIndex) -> Incoming<PathIndex> {
        Incoming::Datagram(Received::new(from, 1, 1, Timestamp::ZERO))
    }

    /// A request that is answered at once; whom its wait was for.
    fn answered(play: &mut Play, path: PathIndex, now: u64) -> Option<PathIndex> {
        play.on_sent(path, true);
        let alone = play.on_wait(at(now));
        play.on_waited(&datagram(path));
        alone
    }

    #[test]
    fn a_failover_is_waited_for_with_both_and_a_second_later_the_new_one_alone() {
        let mut play = Play::new();
        assert_eq!(answered(&mut play, A, 5000), Some(A));
        play.on_sent(A, true);
        assert_eq!(play.on_wait(at(6000)), Some(A));
        play.on_waited(&TIME_UP);
        play.on_sent(B, true);
        assert_eq!(play.on_wait(at(6250)), None);
        play.on_waited(&datagram(B));
        assert_eq!(answered(&mut play, B, 6251), None);
        assert_eq!(answered(&mut play, B, 7249), None);
        assert_eq!(answered(&mut play, B, 7250), Some(B));
    }

    #[test]
    fn after_a_wait_in_vain_all_are_waited_for_however_long_ago_they_were_asked() {
        for end in
            [TIME_UP, Incoming::Cancelled, Incoming::PathError { path: None, error: PathError::Refused, quoted: 0 }]
        {
            let mut play = Play::new();
            play.on_sent(A, true);
            play.on_wait(at(1000));
            play.on_waited(&end);
            for now in [2000, 4000, 8000, 90_000] {
                assert_eq!(play.on_wait(at(now)), None);
                play.on_waited(&end);
                play.on_sent(A, true);
                assert_eq!(play.on_wait(at(now)), None, "the same request, again");
            }
            // A stray: what follows may be the same request still.
            play.on_waited(&datagram(A));
            assert_eq!(play.on_wait(at(90_001)), None);
            play.on_waited(&datagram(A));
            assert_eq!(answered(&mut play, A, 90_002), Some(A), "the next one");
        }
    }

    #[test]
    fn a_send_that_failed_leaves_none_alone() {
        let mut play = Play::new();
        assert_eq!(answered(&mut play, A, 5000), Some(A));
        play.on_sent(A, false);
        assert_eq!(play.on_wait(at(7000)), None);
    }

    #[test]
    fn what_is_sent_beside_a_request_is_waited_for() {
        for pair in [[A, B], [B, A]] {
            let mut play = Play::new();
            assert_eq!(answered(&mut play, A, 5000), Some(A));
            for path in pair {
                play.on_sent(path, true);
            }
            assert_eq!(play.on_wait(at(9000)), None);
            play.on_waited(&datagram(A));
            assert_eq!(answered(&mut play, pair[1], 9999), None);
            assert_eq!(answered(&mut play, pair[1], 10_000), Some(pair[1]));
        }
    }

    #[test]
    fn the_one_that_was_the_only_one_may_owe_a_reply_when_another_is_opened() {
        let mut play = Play::new();
        play.on_another(A);
        assert_eq!(play.on_wait(at(5000)), None, "it was waited for elsewhere");
        let mut play = Play::new();
        play.on_another(B);
        assert_eq!(answered(&mut play, A, 5000), None);
        assert_eq!(answered(&mut play, A, 5999), None);
        assert_eq!(answered(&mut play, A, 6000), Some(A));
    }

    #[test]
    fn the_others_are_looked_at_once_a_second() {
        let mut play = Play::new();
        let looks = [5000, 5001, 5999, 6000, 6999, 9000].map(|now| play.looks_at_others(at(now)));
        assert_eq!(looks, [true, false, false, true, false, true]);
    }
}
