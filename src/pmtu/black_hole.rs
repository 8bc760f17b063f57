use core::fmt;

use super::few::Few;
use super::losses::PathLoss;
use super::odds::{LossProbability, Odds};
use super::settings::payload;
use crate::size::Plpmtu;
use crate::time::Timestamp;

/// Whether a path that carried a size still does, from what becomes of ordinary requests (RFC 8899 §4.3, the third indicator): no
/// probe is sent for it, as RFC 8899 §5.1.1 has it where a protocol acknowledges.
///
/// Report each request's payload, when it was sent, and whether it was answered. Losses of large ones, without a success in
/// between, count in pairs with small ones: up to four with the first small one that was sent after them and arrived. When
/// so many are lost that chance does that once in 10⁵ times at the measured loss of the path, and at 20 % at least, no
/// datagram of their size gets through. An outage loses the small ones, too, and is no black hole (RFC 4821 §7.6.4); of one
/// that arrives when it has ended, four losses are believed.
///
/// Where large and small requests alternate, and a large one is lost with every other one by this probability:
///
/// | loss of requests | large requests lost until it is found, median and 99th percentile |
/// |---|---|
/// | none | 8, 8 |
/// | 10 % | 8, 10 |
/// | 36 % | 12, 16 |
/// | 51 % | 18, 26 |
///
/// Where the small ones are few it takes longer; without any, nothing is found. A driver that has none sends one, once large
/// ones are lost.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::pmtu::BlackHole;
/// use udp_retry::size::Plpmtu;
/// use udp_retry::time::Timestamp;
///
/// let (small, large) = (Plpmtu::new(100), Plpmtu::new(1472));
/// let mut hole = BlackHole::new(Plpmtu::new(1200));
/// let mut now = Timestamp::ZERO;
/// for request in 1.. {
///     now = now.after(Duration::from_secs(1));
///     hole.on_lost(large, now);
///     if let Some(size) = hole.on_acked(small, now) {
///         assert_eq!((request, size), (8, large)); // PlpmtuSearch::on_black_hole
///         break;
///     }
/// }
/// ```
#[derive(Clone)]
pub struct BlackHole {
    small: u16,
    odds: Odds,
    path_loss: PathLoss,
    vouchers: Vouchers,
    /// The latest losses of large datagrams that no small one was sent after and arrived.
    open: Few<Loss, CREDIT>,
    /// Sizes that were lost while a small datagram arrived, and have not arrived since.
    counted: Few<u16, MOST_COUNTED>,
    /// When the first of them was sent.
    since: Timestamp,
    /// Losses of large datagrams that do not count.
    uncounted: u32,
}

#[derive(Clone, Copy)]
struct Loss {
    len: u16,
    sent: Timestamp,
}

impl BlackHole {
    /// Every path carries datagrams of up to `small` bytes of payload: the search's `base`, say. Those are never missed, and
    /// larger ones are.
    #[must_use]
    pub const fn new(small: Plpmtu) -> Self {
        Self {
            small: payload(small),
            odds: Odds::HUNDRED_THOUSANDTH,
            path_loss: PathLoss::new(),
            vouchers: Vouchers::new(),
            open: Few::new(Loss { len: 0, sent: Timestamp::ZERO }),
            counted: Few::new(0),
            since: Timestamp::ZERO,
            uncounted: 0,
        }
    }

    /// How rarely chance may be taken for a black hole. 10⁻⁵ by default.
    #[must_use]
    pub const fn with_odds(self, odds: Odds) -> Self {
        Self { odds, ..self }
    }

    /// A datagram with a payload of `len`, sent at `sent`, was answered. Returns the smallest size that no longer gets
    /// through, if that is clear now; it is reported once.
    pub fn on_acked(&mut self, len: Plpmtu, sent: Timestamp) -> Option<Plpmtu> {
        let len = payload(len);
        self.path_loss.on_acked();
        if len <= self.small {
            self.vouch(sent);
        } else {
            self.clear(len, sent);
        }
        self.verdict()
    }

    /// As [`on_acked`](Self::on_acked), of a datagram that was not answered in time.
    pub fn on_lost(&mut self, len: Plpmtu, sent: Timestamp) -> Option<Plpmtu> {
        let loss = Loss { len: payload(len), sent };
        if loss.len <= self.small {
            self.path_loss.on_lost(1);
            return self.verdict();
        }
        match self.vouchers.spend(sent) {
            Voucher::Valid => self.count(loss),
            Voucher::Spent => self.uncounted = self.uncounted.saturating_add(1),
            Voucher::None => self.open(loss),
        }
        self.verdict()
    }

    /// No small datagram that was sent later has arrived yet. Only the latest losses are kept: those before may be an outage's.
    fn open(&mut self, loss: Loss) {
        if self.open.is_full() {
            let earliest = self.open.iter().map(|it| it.sent).min();
            let dropped = self.open.retain(|it| Some(it.sent) > earliest);
            self.uncounted = self.uncounted.saturating_add(dropped);
        }
        self.open.push(loss);
    }

    /// A small datagram arrived: the path was not down when the large ones just before it were lost (RFC 4821 §7.6.2).
    fn vouch(&mut self, sent: Timestamp) {
        let open = self.open;
        let before = open.iter().filter(|it| it.sent <= sent);
        let credit = CREDIT - before.clone().count();
        before.for_each(|&loss| self.count(loss));
        self.open.retain(|it| it.sent > sent);
        self.vouchers.add(sent, credit);
    }

    /// A large datagram arrived: of its size and below, losses before that were chance (RFC 4821 §7.6.1).
    fn clear(&mut self, len: u16, sent: Timestamp) {
        let mut by_chance = self.open.retain(|it| it.sent > sent || it.len > len);
        if self.since <= sent {
            by_chance += self.counted.retain(|&it| it > len);
        }
        self.path_loss.on_lost(by_chance.saturating_add(self.uncounted));
        self.uncounted = 0;
    }

    fn count(&mut self, loss: Loss) {
        if self.counted.len() == 0 || loss.sent < self.since {
            self.since = loss.sent;
        }
        self.counted.push(loss.len);
    }

    fn verdict(&mut self) -> Option<Plpmtu> {
        self.path_loss.forget_beyond(REMEMBERED_TRIALS);
        let loss = self.path_loss.probability().max(LEAST_LOSS);
        if !self.odds.exclude(self.counted.len(), loss) {
            return None;
        }
        let smallest = self.counted.iter().min().copied()?;
        self.counted.clear();
        self.open.clear();
        self.uncounted = 0;
        Some(Plpmtu::new(smallest))
    }
}

impl fmt::Debug for BlackHole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.counted.len();
        f.debug_struct("BlackHole").field("small", &self.small).field("lost", &lost).finish_non_exhaustive()
    }
}

/// The latest small datagrams that arrived, in the order in which they were sent.
#[derive(Clone)]
struct Vouchers {
    /// When each was sent, and for how many losses it may still vouch.
    valid: [(Timestamp, usize); REMEMBERED],
    len: usize,
    /// What was sent before is not judged: a datagram that would vouch for it may have been forgotten.
    horizon: Option<Timestamp>,
}

enum Voucher {
    Valid,
    /// It has vouched for as many as it may, or is forgotten.
    Spent,
    /// There is none.
    None,
}

impl Vouchers {
    const fn new() -> Self {
        Self { valid: [(Timestamp::ZERO, 0); REMEMBERED], len: 0, horizon: None }
    }

    fn add(&mut self, sent: Timestamp, credit: usize) {
        if self.horizon.is_some_and(|horizon| sent <= horizon) {
            return;
        }
        if self.len == REMEMBERED {
            let oldest = self.valid.first().map(|it| it.0).filter(|&it| it < sent);
            self.horizon = oldest.or(Some(sent));
            if oldest.is_none() {
                return;
            }
            self.valid.rotate_left(1);
            self.len -= 1;
        }
        let place = self.valid.iter().take(self.len).filter(|it| it.0 <= sent).count();
        if let Some(from_here) = self.valid.get_mut(place..=self.len) {
            from_here.rotate_right(1);
            self.len += 1;
        }
        if let Some(new) = self.valid.get_mut(place) {
            *new = (sent, credit);
        }
    }

    /// Only the first that was sent after the loss vouches for it. A later one says nothing: an outage may have ended.
    fn spend(&mut self, lost: Timestamp) -> Voucher {
        if self.horizon.is_some_and(|horizon| lost <= horizon) {
            return Voucher::Spent;
        }
        match self.valid.iter_mut().take(self.len).find(|it| it.0 >= lost) {
            None => Voucher::None,
            Some((_, 0)) => Voucher::Spent,
            Some((_, credit)) => {
                *credit -= 1;
                Voucher::Valid
            }
        }
    }
}

/// How many losses a small datagram vouches for. Of an outage that many count, and more losses must follow it.
const CREDIT: usize = 4;

/// 32 losses are 1 in 10⁵ at a loss of 70 %; where more is lost nothing is found.
const MOST_COUNTED: usize = 32;

/// So many small datagrams may arrive in the time after which a large one is taken for lost.
const REMEMBERED: usize = 16;

/// The loss of the path is that of the last 256 to 512 datagrams.
const REMEMBERED_TRIALS: u32 = 512;

/// Losses come in bursts, and fewer than eight are no proof whatever was measured.
const LEAST_LOSS: LossProbability = LossProbability::percent(20);
