use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::report::{Evidence, PathReport, ProbeError};
use super::search::{Search, Way, way_back};
use super::{ProbeFate, ProbeFormat, ProbeRecord, ProbeTransport, Token};
use crate::entropy::IdSource;
use crate::pmtu::{Probe, ProbeId, SearchNext, SearchSettings};
use crate::policy::RttEstimator;
use crate::size::{LARGEST_DATAGRAM, Plpmtu};
use crate::time::Timestamp;
use crate::transport::{Fragmentation, Incoming, PathError, PathIndex};

/// Measures which size of datagram a path carries whole, and returns when that is known: a few round trips, and about a second
/// where larger ones vanish without a report.
///
/// The end has to be in mode [`Probing`](Fragmentation::Probing) or [`Forbidden`](Fragmentation::Forbidden): in any other, what is
/// too large goes in fragments and is answered all the same. `Probing` is right for most: `Forbidden` believes what routers
/// report, which anyone can forge, and finds no more than that for ten minutes. The largest size that is tried is what a datagram
/// can be; what this host knows of the path is no limit, as it may be old.
///
/// A probe is lost after the wait that the measured round trips call for, 1 s before the first and 200 ms at least. The PROBE_TIMER
/// of RFC 8899 §5.1.1 is never below 1 s, for protocols that do not measure; this does, as RFC 8085 §3.1.1 would have it. Where nothing answers, that takes up to 16 s, unless the far end says that no one listens there.
///
/// Where the far end is a [responder](ProbeFormat::has_responder), the way back is searched next, by answers of the size in
/// question to requests of a third of it.
///
/// What is queued when it begins is dropped. Do not probe on an end whose replies are still needed, and expect that late answers
/// to probes arrive there afterwards; nothing else is changed about the end.
///
/// ```no_run
/// use udp_retry::ConnectedUdp;
/// use udp_retry::net::Fragmentation;
/// use udp_retry::path_mtu::{Evidence, StunPadding, probe_path};
/// use udp_retry::transport::PathIndex;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut transport = ConnectedUdp::connect("stun.example.org:3478")?;
/// transport.set_fragmentation(Fragmentation::Probing)?;
/// let found = probe_path(&mut transport, PathIndex::FIRST, &StunPadding::new())?;
/// match (found.forward, found.evidence) {
///     (Some(size), Evidence::Confirmed) => println!("{size} get there, and no more"),
///     (Some(size), _) => println!("{size} get there, and maybe more"),
///     (None, _) => println!("no answer"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ProbeError::Fragmenting`] in another mode, [`ProbeError::Unsupported`] where the system has none (all but Linux and
/// Android), [`ProbeError::NotSent`] if this host sends nothing there, [`ProbeError::Cancelled`].
pub fn probe_path<T: ProbeTransport>(
    transport: &mut T,
    path: PathIndex,
    format: &impl ProbeFormat,
) -> Result<PathReport, ProbeError> {
    let family = transport.family(path).ok_or(ProbeError::NoSuchPath)?;
    probe_path_with(transport, path, format, SearchSettings::new(family), |_| {})
}

/// As [`probe_path`], with sizes and a precision of the caller's, and `observe` is called with each probe once it is known what
/// became of it: for progress, a log or a picture.
///
/// ```no_run
/// use udp_retry::ConnectedUdp;
/// use udp_retry::net::Fragmentation;
/// use udp_retry::path_mtu::{EchoFormat, probe_path_with};
/// use udp_retry::pmtu::SearchSettings;
/// use udp_retry::size::{IpFamily, Plpmtu};
/// use udp_retry::transport::PathIndex;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut transport = ConnectedUdp::connect("192.0.2.7:1060")?;
/// transport.set_fragmentation(Fragmentation::Probing)?;
/// // The program sends no more than 4096 bytes.
/// let settings = SearchSettings::new(IpFamily::V4);
/// let settings = settings.with_sizes(settings.min(), settings.base(), Plpmtu::new(4096))?;
/// let found = probe_path_with(&mut transport, PathIndex::FIRST, &EchoFormat::new(), settings, |it| {
///     println!("{:?} {:?}, {}: {:?}", it.ended, it.direction, it.probe.len, it.fate);
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`probe_path`], [`ProbeError::OtherFamily`], and [`ProbeError::TooShort`] if a size of the settings has no room for
/// the header of the format.
pub fn probe_path_with<T: ProbeTransport>(
    transport: &mut T,
    path: PathIndex,
    format: &impl ProbeFormat,
    settings: SearchSettings,
    observe: impl FnMut(ProbeRecord),
) -> Result<PathReport, ProbeError> {
    let family = transport.family(path).ok_or(ProbeError::NoSuchPath)?;
    match transport.fragmentation(path) {
        Some(Fragmentation::Probing | Fragmentation::Forbidden) => {}
        Some(mode) => return Err(ProbeError::Fragmenting { mode }),
        None => return Err(ProbeError::Unsupported),
    }
    if settings.family() != family {
        return Err(ProbeError::OtherFamily { family });
    }
    Prober::new(transport, path, format, observe)?.run(settings)
}

struct Prober<'a, T, F, O> {
    transport: &'a mut T,
    path: PathIndex,
    format: &'a F,
    observe: O,
    start: Timestamp,
    ids: IdSource,
    rtt: RttEstimator,
    datagram: Vec<u8>,
    buffer: Vec<u8>,
    report: PathReport,
}

/// What became of a send.
enum Sent {
    Whole,
    TooBig(Option<Plpmtu>),
    NoOneListens,
}

impl<'a, T: ProbeTransport, F: ProbeFormat, O: FnMut(ProbeRecord)> Prober<'a, T, F, O> {
    fn new(transport: &'a mut T, path: PathIndex, format: &'a F, observe: O) -> Result<Self, ProbeError> {
        let mut key = [0; 32];
        transport.entropy(&mut key)?;
        let (start, ids) = (transport.now(), IdSource::from_key(&key));
        let rtt = RttEstimator::new(FIRST_WAIT, LEAST_WAIT, MOST_WAIT).unwrap_or_default();
        let (datagram, buffer) = (Vec::new(), vec![0; LARGEST_DATAGRAM]);
        Ok(Self { transport, path, format, observe, start, ids, rtt, datagram, buffer, report: NOTHING })
    }

    fn run(mut self, settings: SearchSettings) -> Result<PathReport, ProbeError> {
        self.drop_what_is_queued(self.start)?;
        let forward = self.search(settings, Way::There)?;
        self.report.forward = forward.confirmed();
        self.report.evidence = forward.evidence(self.format.has_responder());
        if let Some(carries) = forward.confirmed().filter(|_| self.format.has_responder()) {
            let way = Way::Back { carries };
            self.report.reverse = self.search(way_back(settings, carries), way)?.confirmed();
        }
        Ok(PathReport { took: self.transport.now().since(self.start), ..self.report })
    }

    /// An error of something sent before, such as a refusal, says nothing of the probes.
    fn drop_what_is_queued(&mut self, now: Timestamp) -> Result<(), ProbeError> {
        for _ in 0..MOST_QUEUED {
            match self.transport.recv(&mut self.buffer, now, now) {
                Incoming::TimeUp(_) => break,
                Incoming::Cancelled => return Err(ProbeError::Cancelled),
                Incoming::Datagram(_) | Incoming::PathError { .. } => {}
            }
        }
        Ok(())
    }

    /// Until the machine rests.
    fn search(&mut self, settings: SearchSettings, way: Way) -> Result<Search, ProbeError> {
        // Late answers to one direction are none to the other.
        let mut token = Token::default();
        self.ids.fill(&mut token);
        let mut search = Search::new(settings, token, way);
        while let SearchNext::Send(probe) = search.machine.next(self.transport.now()) {
            self.write(&search, probe)?;
            // An answer may be there before a send returns.
            let now = self.transport.now();
            search.begin(probe, now, self.datagram.len());
            match self.send()? {
                Sent::Whole => {}
                Sent::TooBig(limit) => {
                    search.on_not_sent(probe, limit);
                    self.note(&search, probe.id, ProbeFate::Refused, now);
                    continue;
                }
                Sent::NoOneListens if search.confirmed().is_none() => {
                    self.note(&search, probe.id, ProbeFate::NoListener, now);
                    break;
                }
                // An error of an earlier probe, and one more: as if it were lost.
                Sent::NoOneListens => {}
            }
            search.machine.on_probe_sent(probe.id);
            self.report.probes += 1;
            if !self.wait(&mut search, probe, now)? {
                break;
            }
        }
        Ok(search)
    }

    fn write(&mut self, search: &Search, probe: Probe) -> Result<(), ProbeError> {
        self.datagram.resize(search.request_len(probe), 0);
        self.ids.fill(&mut self.datagram);
        if !self.format.write(&search.asked(probe), &mut self.datagram) {
            return Err(ProbeError::TooShort { len: probe.len });
        }
        Ok(())
    }

    fn send(&mut self) -> Result<Sent, ProbeError> {
        let mut send = || self.transport.send(self.path, &self.datagram);
        // The first error may be an earlier probe's.
        match send().or_else(|_| send()) {
            Ok(()) => Ok(Sent::Whole),
            Err(PathError::TooBig { limit }) => Ok(Sent::TooBig(limit)),
            Err(PathError::Refused) => Ok(Sent::NoOneListens),
            Err(PathError::Cancelled) => {
                // A receive takes it.
                let now = self.transport.now();
                self.drop_what_is_queued(now)?;
                Err(ProbeError::Cancelled)
            }
            Err(error) => Err(ProbeError::NotSent(error)),
        }
    }

    /// Until it is known what became of the probe. False if no one listens there.
    fn wait(&mut self, search: &mut Search, probe: Probe, sent: Timestamp) -> Result<bool, ProbeError> {
        let until = sent.after(self.rtt.rto(sent));
        let (mut now, mut late) = (sent, 0);
        while search.machine.next(now) == SearchNext::Await(probe.id) {
            match self.transport.recv(&mut self.buffer, now, until) {
                Incoming::Datagram(received) if received.from == self.path => {
                    let datagram = self.buffer.get(..received.len).unwrap_or_default();
                    let answer = self.format.judge(search.token(), datagram);
                    let settled = answer.and_then(|answer| search.on_answer(answer, received.actual, probe));
                    if let Some((id, fate)) = settled {
                        self.measure(search, id, fate, received.at);
                        self.note(search, id, fate, received.at);
                    }
                }
                Incoming::PathError { error: PathError::TooBig { limit: Some(limit) }, quoted, .. } => {
                    let beginning = self.buffer.get(..quoted).unwrap_or_default();
                    let id = self.format.quoted(search.token(), beginning);
                    if let Some(id) = id.filter(|&id| search.on_reported(id, limit)) {
                        self.report.reports += 1;
                        let now = self.transport.now();
                        self.note(search, id, ProbeFate::Reported, now);
                    }
                }
                Incoming::PathError { path, error: PathError::Refused, .. }
                    if path.is_none_or(|it| it == self.path) && search.confirmed().is_none() =>
                {
                    let now = self.transport.now();
                    self.note(search, probe.id, ProbeFate::NoListener, now);
                    return Ok(false);
                }
                Incoming::Datagram(_) | Incoming::PathError { .. } => {}
                Incoming::TimeUp(at) => self.lost(search, probe, at),
                Incoming::Cancelled => return Err(ProbeError::Cancelled),
            }
            now = self.transport.now();
            late += u32::from(now >= until);
            // Whoever floods this end does not hold up the search.
            if late > MOST_QUEUED && search.machine.next(now) == SearchNext::Await(probe.id) {
                self.lost(search, probe, now);
            }
        }
        Ok(true)
    }

    /// Also by a late answer, as each probe has an id of its own: else a path slower than the first wait would have all of
    /// them given up.
    fn measure(&mut self, search: &Search, id: ProbeId, fate: ProbeFate, now: Timestamp) {
        let Some(begun) = search.begun(id).filter(|_| fate == ProbeFate::Acknowledged) else { return };
        let round_trip = now.since(begun.sent);
        self.rtt.on_reply(now, Some(round_trip));
        let shortest = self.report.round_trip.map_or(round_trip, |it| it.min(round_trip));
        self.report.round_trip = Some(shortest);
    }

    /// No sign of congestion, so that no wait is doubled (RFC 8899 §3).
    fn lost(&mut self, search: &mut Search, probe: Probe, now: Timestamp) {
        search.on_lost(probe);
        self.report.lost += 1;
        self.note(search, probe.id, ProbeFate::Lost, now);
    }

    fn note(&mut self, search: &Search, id: ProbeId, fate: ProbeFate, ended: Timestamp) {
        let Some(begun) = search.begun(id) else { return };
        let (sent, ended) = (begun.sent.since(self.start), ended.since(self.start));
        (self.observe)(ProbeRecord { direction: search.direction(), probe: begun.probe, sent, ended, fate });
    }
}

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LEAST_WAIT: Duration = Duration::from_millis(200);
const MOST_WAIT: Duration = Duration::from_secs(60);
/// What is read where nothing is waited for.
const MOST_QUEUED: u32 = 64;

const NOTHING: PathReport = PathReport {
    forward: None,
    reverse: None,
    evidence: Evidence::Unanswered,
    probes: 0,
    lost: 0,
    reports: 0,
    took: Duration::ZERO,
    round_trip: None,
};
