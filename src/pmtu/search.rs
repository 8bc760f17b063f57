mod plan;

use self::plan::Plan;
use super::answers::{Cause, Change, SearchNext, SearchState};
use super::losses::{PathLoss, SetAside};

use super::probes::{Fate, Probe, ProbeId, RecentProbes};
use super::reports::{Known, PtbVerdict};
use super::settings::{SearchSettings, payload};
use super::sizes::largest_usual;
use crate::size::Plpmtu;
use crate::time::Timestamp;

/// A search for the largest datagram that a path carries whole, by datagrams that are acknowledged or not (RFC 8899).
///
/// Ask [`next`](Self::next) what to do, do it, and report what happened through `on_…`. It knows no datagram, no socket and
/// no clock, and allocates nothing. One probe is on the way at a time, and the caller decides when it is lost: after the
/// timeout that its round trips call for ([`RttEstimator`](crate::policy::RttEstimator)), which makes a probe follow another
/// one after a round trip at the earliest (RFC 8899 §3 and §8). A lost probe is no sign of congestion (RFC 8899 §3, RFC 9000 §14.4),
/// so it does not double that timeout.
///
/// # How it searches
///
/// - A first size is confirmed, `base`. If that is lost, `min` is tried (RFC 8899 §5.2).
/// - Then the largest size is probed. A size that is lost once is *set aside*, as is every larger one by that (RFC 4821 §7.3),
///   and the search goes up from below through a table of [usual sizes](super::Granularity::UsualSizes) (RFC 8899 §5.3.2).
/// - Where only sizes that were set aside are left, the smallest of them is probed until it arrives, or is lost
///   [often enough](super::MaxProbes) (RFC 8899 §5.3.1). A path that drops it drops every larger one, so one verdict ends the
///   search.
///
/// Where nothing is lost by chance and no router reports, that takes at most 4 losses and 18 probes, whatever the path. A
/// [report](Self::on_reported) says where to look next, and a [refusal](Self::on_probe_refused) of the own system costs
/// nothing. On six paths from 1280 to 1500 bytes, with a round trip of 40 ms and waits of at least 200 ms:
///
/// | loss each way | right | probes | time, median | right with three losses each |
/// |---|---|---|---|---|
/// | none | 100 % | 11.3 | 1.1 s | 100 % |
/// | 10 % | 99 % | 14.0 | 1.7 s | 96 % |
/// | 30 % | 97 % | 24.3 | 4.2 s | 42 % |
///
/// **It never claims a size above what was acknowledged since the path last changed**, and a search ends, whatever happens.
/// It starts again after ten minutes, as paths become wider, too (RFC 8899 §5.1.1).
///
/// ```
/// use core::time::Duration;
/// use udp_retry::pmtu::{PlpmtuSearch, SearchNext, SearchSettings, SearchState};
/// use udp_retry::size::{IpFamily, Plpmtu, Pmtu};
/// use udp_retry::time::Timestamp;
///
/// // A host on Ethernet, whose path leads through a tunnel that drops what is too large for it and says nothing.
/// let interface = Pmtu::new(1500).plpmtu(IpFamily::V4);
/// let path = Pmtu::new(1420).plpmtu(IpFamily::V4);
/// let (round_trip, timeout) = (Duration::from_millis(40), Duration::from_millis(200));
///
/// let mut now = Timestamp::ZERO;
/// let mut search = PlpmtuSearch::new(SearchSettings::new(IpFamily::V4));
/// while let SearchNext::Send(probe) = search.next(now) {
///     if probe.len > interface {
///         search.on_probe_refused(probe.id, Some(interface)); // PathError::TooBig of a `send`
///     } else if probe.len > path {
///         now = now.after(timeout); // TimeUp of a `recv`
///         search.on_probe_lost(probe.id);
///     } else {
///         now = now.after(round_trip); // a datagram that repeats the id
///         search.on_probe_acked(probe.id);
///     }
/// }
/// assert_eq!(search.state(), SearchState::Complete);
/// assert_eq!(search.plpmtu(), path);
/// assert_eq!(now.since(Timestamp::ZERO), round_trip * 8 + timeout * 4);
/// ```
#[doc(alias = "DPLPMTUD")]
#[derive(Clone, Debug)]
pub struct PlpmtuSearch {
    settings: SearchSettings,
    /// The largest size that arrived since the path last changed, or what is left of it where the system refuses that.
    confirmed: Option<u16>,
    /// Nothing of this size or more is probed: it was refused or reported, or is above `max`.
    ceiling: u16,
    hint: Option<Hint>,
    lost: SetAside,
    path_loss: PathLoss,
    recent: RecentProbes,
    /// The probe that is due, or on the way.
    current: Option<Probe>,
    is_sent: bool,
    reports: u8,
    /// Probes that this search may still send.
    left: u16,
    /// When the next search starts, once this one has ended.
    raise_at: Option<Timestamp>,
    change: Option<Change>,
}

/// Where to look next.
#[derive(Clone, Copy, Debug)]
struct Hint {
    len: u16,
    /// By a router. One loss of what it says the path carries is a chance; it is no boundary.
    reported: bool,
}

impl PlpmtuSearch {
    /// A search of a path that nothing is known of.
    #[must_use]
    pub const fn new(settings: SearchSettings) -> Self {
        Self {
            settings,
            confirmed: None,
            ceiling: settings.max + 1,
            hint: None,
            lost: SetAside::new(),
            path_loss: PathLoss::new(),
            recent: RecentProbes::new(),
            current: None,
            is_sent: false,
            reports: 0,
            left: MOST_PROBES,
            raise_at: None,
            change: None,
        }
    }

    /// What to do at `now`. Asking again gives the same answer until something is reported, or it is time for the next search.
    pub fn next(&mut self, now: Timestamp) -> SearchNext {
        // RFC 8899 §5.1.3: PROBED_SIZE is the size of the one probe that is outstanding; asked again, it is the same.
        if let Some(probe) = self.current {
            return if self.is_sent { SearchNext::Await(probe.id) } else { SearchNext::Send(probe) };
        }
        // RFC 8899 §5.2: PMTU_RAISE_TIMER ends SEARCH_COMPLETE. At the end of time none starts any more.
        if self.raise_at.is_some_and(|at| at <= now && at < Timestamp::MAX) {
            self.changing(Cause::Raise, Self::start_again);
        }
        match self.plan() {
            Plan::Probe(len) => SearchNext::Send(self.begin(len)),
            Plan::Unusable => SearchNext::Done,
            Plan::Rest => {
                let at = now.after(self.settings.raise_after);
                SearchNext::WaitUntil(*self.raise_at.get_or_insert(at))
            }
        }
    }

    /// What to send at most (RFC 8899 §3): the largest size that is confirmed, or before that `base`, or `min` where `base` is
    /// lost (RFC 8899 §5.2). Never above what was acknowledged since the path last changed, once anything was.
    #[must_use]
    pub fn plpmtu(&self) -> Plpmtu {
        let (min, base) = (self.settings.min, self.settings.base);
        let base_lost = base >= self.ceiling || self.lost.smallest().is_some_and(|it| it.losses >= self.tries(it.len));
        Plpmtu::new(self.confirmed.unwrap_or(if base_lost { min } else { base }))
    }

    /// Whether [`plpmtu`](Self::plpmtu) was acknowledged.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed.is_some()
    }

    /// What is left of [`plpmtu`](Self::plpmtu) for the application below a header of its own (RFC 8899 §4.4, MPS).
    #[doc(alias = "MPS")]
    #[must_use]
    pub fn max_payload(&self, header: usize) -> usize {
        self.plpmtu().bytes().saturating_sub(header)
    }

    /// Where the search stands.
    #[must_use]
    pub fn state(&self) -> SearchState {
        let base = self.settings.base;
        match (self.confirmed, self.plan()) {
            (None, Plan::Probe(len)) if len == base => SearchState::Base,
            (None, _) => SearchState::Error,
            // RFC 8899 §5.2: ERROR is left when the base is confirmed.
            (Some(confirmed), _) if confirmed < base => SearchState::Error,
            (Some(_), Plan::Probe(_)) => SearchState::Searching,
            (Some(_), Plan::Rest | Plan::Unusable) => SearchState::Complete,
        }
    }

    /// What has changed since this was asked last, as one change.
    pub fn take_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// The probe was sent. Nothing else is until it is known what became of it (RFC 8899 §5.1.3).
    pub fn on_probe_sent(&mut self, id: ProbeId) {
        self.is_sent |= self.current.is_some_and(|it| it.id == id);
    }

    /// The probe was acknowledged (RFC 8899 §4.2). A late acknowledgement counts, too, a repeated one does not: a size that
    /// arrived, arrived (RFC 8899 §3, datagram delay and duplication).
    pub fn on_probe_acked(&mut self, id: ProbeId) {
        let Some(sent) = self.recent.get_mut(id).filter(|it| it.fate != Fate::Acknowledged) else { return };
        let (len, before) = (sent.len, sent.fate);
        sent.fate = Fate::Acknowledged;
        self.settle(id);
        self.changing(Cause::Acknowledged, |search| search.arrived(len, before));
    }

    /// The probe was not acknowledged in time: the driver's PROBE_TIMER has expired (RFC 8899 §5.1.1 and §5.3.1).
    pub fn on_probe_lost(&mut self, id: ProbeId) {
        if self.settle(id) {
            self.changing(Cause::Lost, |search| search.missed(id));
        }
    }

    /// The own system refused to send the probe, and says what it sends, if it knows: nothing was lost, and MAX_PLPMTU is at
    /// most what the interface sends (RFC 8899 §5.1.2). What it says may be less than that, remembered from a report, so sizes
    /// between both stay candidates.
    ///
    /// **A send may fail for an earlier datagram's error.** Send the probe again, and report a refusal if that is refused, too.
    pub fn on_probe_refused(&mut self, id: ProbeId, limit: Option<Plpmtu>) {
        if !self.settle(id) {
            return;
        }
        if let Some(sent) = self.recent.get_mut(id) {
            sent.fate = Fate::TooBig;
            let (len, limit) = (sent.len, limit.map(payload));
            self.changing(Cause::Refused, |search| search.refused(len, limit));
        }
    }

    /// A router reported that a probe was too big for what comes after it, which carries `limit` (RFC 8899 §4.6.2). `id` is of
    /// the probe that the report quotes (RFC 8899 §4.6.1).
    pub fn on_reported(&mut self, id: ProbeId, limit: Plpmtu) -> PtbVerdict {
        let limit = payload(limit);
        let known = Known { min: self.settings.min, confirmed: self.confirmed, taken: self.reports };
        let quoted = self.recent.get_mut(id);
        let verdict = known.judge(quoted.as_ref().map(|it| it.len), limit);
        if let (PtbVerdict::Taken, Some(sent)) = (verdict, quoted) {
            sent.fate = Fate::TooBig;
            self.settle(id);
            self.changing(Cause::Reported, |search| search.reported(limit));
        }
        verdict
    }

    /// Datagrams of a size that is confirmed no longer get through, as [`BlackHole`](super::BlackHole) finds: nothing is
    /// confirmed any more, and the search starts at `base` (RFC 8899 §4.3 and §5.2, RFC 4821 §7.7).
    pub fn on_black_hole(&mut self) {
        self.changing(Cause::BlackHole, Self::start_over);
    }

    /// The path is another one: another address of the peer or of the own host, or another interface. Nothing that was sent
    /// before counts (RFC 8201 §5.2: an estimate belongs to a path; RFC 8899 §3, path validation).
    pub fn on_path_changed(&mut self) {
        self.changing(Cause::PathChanged, Self::start_over);
    }

    /// False if that is not the current one.
    fn settle(&mut self, id: ProbeId) -> bool {
        let settled = self.current.is_some_and(|it| it.id == id);
        if settled {
            self.current = None;
        }
        settled
    }

    fn begin(&mut self, len: u16) -> Probe {
        let control = self.confirmed.is_some_and(|confirmed| len <= confirmed);
        let probe = Probe { id: self.recent.add(len), len: Plpmtu::new(len), control };
        (self.current, self.is_sent) = (Some(probe), false);
        self.left = self.left.saturating_sub(1);
        self.raise_at = None;
        probe
    }

    fn arrived(&mut self, len: u16, before: Fate) {
        self.path_loss.on_acked();
        if self.confirmed.is_some_and(|confirmed| len <= confirmed) {
            // RFC 8899 §3: datagrams are delayed, too.
            if matches!(before, Fate::Lost | Fate::ControlLost) {
                self.path_loss.forgive();
            }
            return;
        }
        // RFC 8899 §5.3.1: a size that is acknowledged is the PLPMTU.
        self.confirmed = Some(len);
        // RFC 4821 §7.6.1: what a path carries is at least that, so smaller sizes were lost for another reason.
        let by_chance = self.lost.confirm(len);
        self.path_loss.on_lost(by_chance.saturating_sub(u32::from(before == Fate::Lost)));
        if len >= self.ceiling {
            // RFC 8899 §5.2, contradictory information: what was reported or refused was wrong, or is no longer true.
            self.ceiling = self.settings.max + 1;
        }
    }

    fn missed(&mut self, id: ProbeId) {
        let Some(sent) = self.recent.get_mut(id) else { return };
        // RFC 8899 §3: probes are lost for other reasons than their size, too.
        if self.confirmed.is_some_and(|confirmed| sent.len <= confirmed) {
            sent.fate = Fate::ControlLost;
            self.path_loss.on_lost(1);
        } else if sent.len < self.ceiling {
            sent.fate = Fate::Lost;
            self.lost.add(sent.len);
        }
    }

    fn refused(&mut self, len: u16, limit: Option<u16>) {
        let limit = limit.filter(|&it| self.settings.min <= it && it < len);
        self.lower_ceiling(len);
        if self.confirmed.is_some_and(|confirmed| len <= confirmed) {
            // RFC 8899 §5.1.2: the interface, and MAX_PLPMTU by that, has become narrower. What is smaller than a size that
            // arrived arrives (RFC 4821 §7.6.1).
            self.confirmed = limit.or_else(|| self.next_below(len));
        } else if self.hint.is_none_or(|it| it.len != len) {
            // A limit that is refused itself names no other one.
            self.hint = limit.map(|len| Hint { len, reported: false }).or(self.hint);
        }
    }

    fn reported(&mut self, limit: u16) {
        self.reports += 1;
        // RFC 8899 §4.6.2: a PL_PTB_SIZE above the PLPMTU is the next search point; nothing larger passes that hop.
        self.lower_ceiling(limit.saturating_add(1));
        if limit < self.ceiling {
            self.hint = Some(Hint { len: limit, reported: true });
        }
    }

    fn lower_ceiling(&mut self, ceiling: u16) {
        self.ceiling = self.ceiling.min(ceiling);
        self.lost.drop_from(self.ceiling);
    }

    fn next_below(&self, len: u16) -> Option<u16> {
        let SearchSettings { family, min, base, max, .. } = self.settings;
        largest_usual(family, max, min, len).or([base, min].into_iter().find(|&it| it < len))
    }

    /// RFC 8899 §5.2: what is confirmed stays while larger sizes are probed again.
    fn start_again(&mut self) {
        let (confirmed, change, recent) = (self.confirmed, self.change, self.recent.clone());
        *self = Self { confirmed, change, recent, ..Self::new(self.settings) };
    }

    /// RFC 8899 §5.2: BASE.
    fn start_over(&mut self) {
        self.confirmed = None;
        self.recent.forget();
        self.start_again();
    }

    fn changing(&mut self, why: Cause, change: impl FnOnce(&mut Self)) {
        let before = (self.confirmed, self.state());
        change(self);
        self.hint = self.hint.filter(|it| self.confirmed.is_none_or(|confirmed| confirmed < it.len));
        let (to, state) = (self.confirmed, self.state());
        if before != (to, state) {
            let from = self.change.map_or(before.0.map(Plpmtu::new), |earlier| earlier.from);
            self.change = Some(Change { from, to: to.map(Plpmtu::new), why, state });
        }
    }
}

/// No history of losses needs a fourth of that; what needs more is ended by it (RFC 8899 §8: the load of probes has a limit).
const MOST_PROBES: u16 = 1_000;
