use core::time::Duration;

use crate::entropy::Seed;
use crate::policy::RetryPolicy;
use crate::time::{Ns, Timestamp, saturating_ns};

/// When to transmit, until when to listen: one request's schedule as it unfolds.
///
/// Ask [`poll`](Self::poll) what to do, do it, and report what happened through `on_…`. Nothing here knows a
/// datagram, a socket or a clock; 40 bytes, `Copy`, so millions can be kept. The policy stays outside and is
/// passed in.
///
/// - A policy of n transmissions has n *slots*. A slot is used up by a transmission, by a send that failed, or by
///   passing while nobody polled; only transmissions count as such. After the last slot the timer keeps
///   listening for the last wait.
/// - Due times count from the previous due time, so lateness never adds up. A late poll asks for one transmission,
///   never for a burst, and the next slot lies at least half its own wait after it; a machine that slept through
///   more than 64 slots starts a new grid.
/// - No order of calls is wrong, and nothing spins: after any fact, `poll` asks for one transmission or names a
///   later time.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::time::Timestamp;
/// use udp_retry::transaction::{Action, RetryTimer};
/// use udp_retry::{RetryPolicy, Seed};
///
/// let policy = RetryPolicy::LAN;
/// let start = Timestamp::ZERO;
/// let mut timer = RetryTimer::start(&policy, start, Seed::new(42));
/// assert_eq!(timer.poll(start), Action::Transmit);
/// timer.on_transmitted(&policy, start);
///
/// let retransmission = start.after(Duration::from_millis(100));
/// assert_eq!(timer.poll(start), Action::WaitUntil(retransmission));
/// assert_eq!(timer.poll(retransmission), Action::Transmit);
///
/// timer.on_reply(retransmission);
/// assert_eq!(timer.poll(retransmission), Action::Done);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryTimer {
    /// When the phase ends: the next slot, or the end of the last wait or of the patience.
    due: Timestamp,
    /// Nothing is sent at or after it, nothing accepted after it; `MAX` for none.
    deadline: Timestamp,
    /// Keys every draw of this request.
    seed: Seed,
    /// The slot that is due next, and the number of the interval after it.
    slot: u32,
    transmissions: u32,
    phase: Phase,
    /// A provisional answer slowed the retransmissions: every further wait is the policy's longest.
    slowed: bool,
    /// The budget withheld a transmission.
    withheld: bool,
}

/// What a driver does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every answer")]
pub enum Action {
    /// Send the request now, then report how that went.
    Transmit,
    /// Listen until then, and ask again.
    WaitUntil(Timestamp),
    /// The reply came; nothing is left to do.
    Done,
    /// It is over without a reply.
    GiveUp(GiveUp),
}

/// Why a request ended without a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GiveUp {
    /// The wait after the last transmission ended.
    Unanswered,
    /// As `Unanswered`, but the budget withheld at least one transmission.
    OverBudget,
    /// The deadline, the policy's or the request's own, has come.
    Deadline,
    /// A provisional answer came, and no reply within the policy's patience after it.
    PatienceEnded,
    /// [`RetryTimer::on_cancelled`] was called.
    Cancelled,
}

/// Why a transmission that was asked for did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NotTransmitted {
    /// The system refused to send.
    SendFailed,
    /// The retry budget was empty.
    OverBudget,
}

/// What a provisional answer does to the retransmissions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "what the RFCs cited know")]
pub enum Hold {
    /// Ends them: wait for the reply as long as the policy's patience lasts (CoAP's empty acknowledgement,
    /// RFC 7252 §5.2.2; SIP's 1xx to an INVITE, RFC 3261 §17.1.1.2).
    Stop,
    /// Slows them to the policy's longest interval (SIP's 1xx to a non-INVITE, RFC 3261 §17.1.2.2).
    Slow,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// `due` is a slot.
    Sending,
    /// Every slot is used; `due` ends the last wait.
    Listening,
    /// A provisional answer ended the retransmissions; `due` ends the patience.
    Held,
    Done,
    Cancelled,
}

impl RetryTimer {
    /// Begins at `now`, or after the policy's start delay; every draw of this request is keyed by `seed`.
    #[must_use]
    #[inline]
    pub fn start(policy: &RetryPolicy, now: Timestamp, seed: Seed) -> Self {
        let due = now.after_ns(policy.start_delay_ns(seed));
        let deadline = policy.deadline_ns().map_or(Timestamp::MAX, |deadline| due.after_ns(deadline));
        Self { due, deadline, seed, slot: 0, transmissions: 0, phase: Phase::Sending, slowed: false, withheld: false }
    }

    /// The same timer, over at `deadline` at the latest.
    #[must_use]
    #[inline]
    pub fn end_by(self, deadline: Timestamp) -> Self {
        Self { deadline: self.deadline.min(deadline), ..self }
    }

    /// What to do at `now`. Asking changes nothing; asking again gives the same answer.
    #[must_use]
    #[inline]
    pub fn poll(&self, now: Timestamp) -> Action {
        match self.phase {
            Phase::Done => Action::Done,
            Phase::Cancelled => Action::GiveUp(GiveUp::Cancelled),
            _ if now >= self.deadline => Action::GiveUp(GiveUp::Deadline),
            _ if now < self.due => Action::WaitUntil(self.due.min(self.deadline)),
            Phase::Sending => Action::Transmit,
            Phase::Held => Action::GiveUp(GiveUp::PatienceEnded),
            Phase::Listening if self.withheld => Action::GiveUp(GiveUp::OverBudget),
            Phase::Listening => Action::GiveUp(GiveUp::Unanswered),
        }
    }

    /// The request was sent at `now`.
    #[inline]
    pub fn on_transmitted(&mut self, policy: &RetryPolicy, now: Timestamp) {
        self.transmissions = self.transmissions.saturating_add(1);
        self.use_slot(policy, now);
    }

    /// The request was not sent at `now`, although that was due: the slot passes, the count does not.
    pub fn on_not_transmitted(&mut self, policy: &RetryPolicy, now: Timestamp, why: NotTransmitted) {
        self.withheld |= why == NotTransmitted::OverBudget;
        self.use_slot(policy, now);
    }

    /// The request was sent at `now`, and another server is to have it after `wait`: the slot is not used up.
    pub fn on_hop(&mut self, wait: Duration, now: Timestamp) {
        self.transmissions = self.transmissions.saturating_add(1);
        self.hop(saturating_ns(wait), now);
    }

    /// No other server is left for this slot: its wait counts from `last`, when the latest of them was asked, and it is
    /// used up by `now`.
    pub fn on_round_over(&mut self, policy: &RetryPolicy, last: Timestamp, now: Timestamp) {
        if self.phase == Phase::Sending {
            self.due = last;
            self.pass(policy);
            self.due = self.due.max(now);
        }
    }

    /// The slot that is due later is due at `now`, as what it waits for cannot come any more.
    pub fn hasten(&mut self, now: Timestamp) {
        if self.phase == Phase::Sending {
            self.due = self.due.min(now);
        }
    }

    /// What kept the slots from being used is gone: one is due at `now`, and that is the last one once more if all had passed.
    pub fn on_released(&mut self, now: Timestamp) {
        if self.phase == Phase::Listening {
            self.phase = Phase::Sending;
            self.slot = self.slot.saturating_sub(1);
        }
        self.hasten(now);
    }

    /// A copy was sent beside the schedule: it counts as a transmission, and moves nothing.
    pub fn on_copied(&mut self) {
        self.transmissions = self.transmissions.saturating_add(1);
    }

    /// A provisional answer arrived at `now`: the reply is being worked on.
    pub fn on_provisional(&mut self, policy: &RetryPolicy, now: Timestamp, hold: Hold) {
        match (self.phase, hold) {
            (Phase::Sending | Phase::Listening | Phase::Held, Hold::Stop) => {
                self.phase = Phase::Held;
                self.due = now.after_ns(policy.patience_ns());
            }
            (_, Hold::Slow) => self.slowed = true,
            (Phase::Done | Phase::Cancelled, Hold::Stop) => {}
        }
    }

    /// The reply arrived at `now`. One after the deadline does not count.
    #[inline]
    pub fn on_reply(&mut self, now: Timestamp) {
        if self.phase != Phase::Cancelled && now <= self.deadline {
            self.phase = Phase::Done;
        }
    }

    /// The caller no longer wants the reply.
    pub fn on_cancelled(&mut self) {
        if self.phase != Phase::Done {
            self.phase = Phase::Cancelled;
        }
    }

    /// Whether a reply that arrived at `at` would be accepted.
    #[inline]
    pub(super) fn accepts(&self, at: Timestamp) -> bool {
        !matches!(self.phase, Phase::Done | Phase::Cancelled) && at <= self.deadline
    }

    /// What the latest slot sent can bring no reply: it is due once more, at `now`.
    pub(super) fn repeat(&mut self, now: Timestamp) {
        if let Phase::Sending | Phase::Listening = self.phase {
            self.phase = Phase::Sending;
            self.slot = self.slot.saturating_sub(1);
            self.due = now;
        }
    }

    /// Until when to listen before the queue is looked at for the last time: the moment that `poll` names.
    #[inline]
    pub(super) fn wait_end(&self) -> Timestamp {
        self.due.min(self.deadline)
    }

    /// Moves the slot that is due to `now`, so that the time it took to get ready shortens no wait. Deadlines stay.
    #[inline]
    pub(super) fn shift_due(&mut self, now: Timestamp) {
        self.due = self.due.max(now);
    }

    /// How often the request was sent, the first time included.
    #[must_use]
    #[inline]
    pub fn transmissions(&self) -> u32 {
        self.transmissions
    }

    /// When it is over at the latest; [`Timestamp::MAX`] if only transmissions and waits limit it.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// The slot whose wait is running or has ended; `None` before the first transmission is due to have left.
    pub(super) fn waited_slot(&self) -> Option<u32> {
        self.slot.checked_sub(1)
    }

    /// The wait that belongs to the slot that is due.
    #[inline]
    pub(super) fn wait_ns(&self, policy: &RetryPolicy) -> Ns {
        policy.wait_ns(self.slot, self.slowed, self.seed)
    }

    /// Moves the slot that is due, without using it.
    pub(super) fn hop(&mut self, wait: Ns, now: Timestamp) {
        if self.phase != Phase::Sending {
            return;
        }
        // As after a slot: lateness does not add up, and what follows lies at least half its wait after it.
        let is_late = now.since_ns(self.due) >= wait / 2;
        self.due = if is_late { now.after_ns(wait) } else { self.due.after_ns(wait) };
    }

    /// How much longer the present wait would last if it were not for the deadline.
    pub(super) fn clipped(&self) -> Duration {
        self.due.since(self.deadline)
    }

    /// Uses up the slot that is due, and every further one that `now` has left behind.
    #[inline]
    fn use_slot(&mut self, policy: &RetryPolicy, now: Timestamp) {
        if self.phase != Phase::Sending {
            return;
        }
        let late = now.since_ns(self.due);
        let wait = self.pass(policy);
        if late >= wait / 2 {
            self.catch_up(policy, now, wait);
        }
    }

    /// Has the next slot lie at least half its own wait after `now`.
    #[cold]
    fn catch_up(&mut self, policy: &RetryPolicy, now: Timestamp, mut wait: Ns) {
        for _ in 0..MISSED_SLOTS {
            if self.due >= now.after_ns(half(wait)) {
                return;
            }
            if self.phase == Phase::Listening {
                break;
            }
            wait = self.pass(policy);
        }
        self.due = now.after_ns(wait);
    }

    /// Moves on by one slot; returns the wait that led from the last one to `due`.
    #[inline]
    fn pass(&mut self, policy: &RetryPolicy) -> Ns {
        let wait = policy.wait_ns(self.slot, self.slowed, self.seed);
        self.due = self.due.after_ns(wait);
        self.slot = self.slot.saturating_add(1);
        if self.slot >= policy.max_transmissions() {
            self.phase = Phase::Listening;
        }
        wait
    }
}

/// At least one nanosecond, so that a slot never follows at the same moment.
#[inline]
fn half(wait: Ns) -> Ns {
    wait.div_ceil(2).max(1)
}

/// After this many slots slept through, a new grid starts: catching up must not take long.
const MISSED_SLOTS: u32 = 64;

const _: () = assert!(size_of::<RetryTimer>() == 40);
