use crate::servers::Paths;
use crate::time::Timestamp;
use crate::transport::PathIndex;

/// How far one request to several servers has got. What its server set and its paths know is of all requests; this is its
/// own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// Asked, but for probes: it is outstanding there.
    pub(super) asked: Paths,
    /// Sent a copy that nothing waits for.
    pub(super) probed: Paths,
    /// Asked in this round, or found impossible to ask.
    pub(super) tried: Paths,
    /// Of which a refusal of this request has come.
    pub(super) refused: Paths,
    /// When the latest slot was transmitted.
    pub(super) last_at: Timestamp,
    /// When a hedge is due, or has left.
    pub(super) hedge_at: Timestamp,
    /// Where the slot goes that is due.
    pub(super) target: Place,
    /// Where a probe or a hedge goes that is due.
    pub(super) extra: Place,
    /// Where the latest slot went.
    pub(super) last: Place,
    /// Where the hedge went.
    pub(super) hedged: Place,
    /// The server that has answered provisionally: it is working on the request.
    pub(super) worker: Place,
    flags: u8,
}

/// A path of a server set, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(u8);

/// Something that holds for a request or does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag(u8);

impl Course {
    /// Nothing has been sent yet.
    pub(super) fn new(is_repeatable: bool) -> Self {
        let mut course = Self {
            asked: Paths::NONE,
            probed: Paths::NONE,
            tried: Paths::NONE,
            refused: Paths::NONE,
            last_at: Timestamp::ZERO,
            hedge_at: Timestamp::MAX,
            target: Place::NONE,
            extra: Place::NONE,
            last: Place::NONE,
            hedged: Place::NONE,
            worker: Place::NONE,
            flags: 0,
        };
        course.set(Flag::REPEATABLE, is_repeatable);
        course
    }

    /// The first slot was transmitted to this server, and its reply is waited for; or until another one is asked.
    pub(super) fn sent(path: PathIndex, at: Timestamp, is_hopping: bool) -> Self {
        let mut course = Self::new(false);
        let asked = Paths::NONE.with(path);
        (course.asked, course.tried, course.last, course.last_at) = (asked, asked, path.into(), at);
        for (flag, holds) in [(Flag::BEGUN, true), (Flag::WAITING, true), (Flag::HOPPING, is_hopping)] {
            course.set(flag, holds);
        }
        course
    }

    /// Where what is due goes, beside the slots before them; else where the latest went.
    pub(super) fn named(&self) -> PathIndex {
        let Self { extra, target, last, .. } = *self;
        extra.path().or(target.path()).or(last.path()).unwrap_or_default()
    }

    /// When a copy is to go to a second server, if that is planned.
    pub(super) fn next_hedge(&self) -> Option<Timestamp> {
        (self.hedged == Place::NONE && self.hedge_at != Timestamp::MAX).then_some(self.hedge_at)
    }

    #[inline]
    pub(super) fn is(&self, flag: Flag) -> bool {
        self.flags & flag.0 != 0
    }

    pub(super) fn set(&mut self, flag: Flag, holds: bool) {
        self.flags = if holds { self.flags | flag.0 } else { self.flags & !flag.0 };
    }
}

impl Flag {
    /// It may be hedged.
    pub(super) const REPEATABLE: Self = Self(1);
    /// Its first slot has come.
    pub(super) const BEGUN: Self = Self(2);
    /// The reply to the latest slot is waited for.
    pub(super) const WAITING: Self = Self(4);
    /// The wait that is running ends with another server.
    pub(super) const HOPPING: Self = Self(8);
    /// The transmission that is due needs no leave of the budget.
    pub(super) const FREE: Self = Self(16);
    /// A refusal, or a send that failed, has made the transmission due.
    pub(super) const HASTENED: Self = Self(32);
    /// It has left a server for another.
    pub(super) const FAILED_OVER: Self = Self(64);
    /// All servers were dead when its latest slot came.
    pub(super) const PARKED: Self = Self(128);
}

impl Place {
    pub(super) const NONE: Self = Self(u8::MAX);

    pub(super) fn path(self) -> Option<PathIndex> {
        (self != Self::NONE).then(|| PathIndex::new(self.0.into()))
    }
}

impl From<PathIndex> for Place {
    /// Sets hold the first 64 paths only.
    fn from(path: PathIndex) -> Self {
        u8::try_from(path.number()).map_or(Self::NONE, Self)
    }
}

const _: () = assert!(size_of::<Course>() <= 64);
