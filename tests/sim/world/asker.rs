//! A requester under observation: every promise is checked as soon as a request ends.

use std::time::Duration;

use udp_retry::Seed;
use udp_retry::policy::LastWait;
use udp_retry::sim::SimTransport;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{BuildFor, Event, Execution, Failure, GiveUp, Hold, ReplyMatcher};
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ReliableRequester, RequestError, RetryBudget, RetryPolicy};

use super::{Verdict, World, answer, ensure};

/// A requester under observation: every request is checked as soon as it ends.
pub(crate) struct Asker {
    pub(crate) requester: ReliableRequester<Watched>,
    world: World,
    policy: RetryPolicy,
    timing: Timing,
    asked: u64,
    /// Refusals can be told from one another: none comes twice, and none so late that it meets a later request.
    pub(crate) refusals_are_plain: bool,
    /// What provisional answers do.
    pub(crate) hold: Hold,
}

impl Asker {
    pub(crate) fn new(
        world: &World,
        transport: Watched,
        policy: RetryPolicy,
        matcher: impl ReplyMatcher + Send + Sync + 'static,
        budget: &RetryBudget,
        timing: Timing,
    ) -> Self {
        let requester = ReliableRequester::builder(matcher)
            .policy(policy)
            .budget(budget)
            .seed(world.seed)
            .buffer(256)
            .over(transport)
            .unwrap();
        Self { requester, world: world.clone(), policy, timing, asked: 0, refusals_are_plain: false, hold: Hold::Stop }
    }

    /// Asks, and checks everything but the reply.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Told, String> {
        let first_wait_ends = Slots::of(&self.policy, seed_of_request(self.world.seed, self.asked)).first_wait_ends();
        let told = self.observe(|it| Told::by(it.request(request)), |executed| executed == request)?;
        if told.reply.is_some() && self.timing == Timing::Exact {
            // The first answer, a provisional one included, is the path's; what comes after it is the server's.
            let answered =
                told.times(|event| matches!(event, Event::Provisional { .. })).next().unwrap_or(told.elapsed);
            // Karn: only the one transmission that there was by then. What comes at the very end of the wait may have
            // waited in the queue.
            let sent =
                told.times(|event| matches!(event, Event::Transmitted { .. })).filter(|&at| at <= answered).count();
            let plain = (sent == 1 && answered < first_wait_ends).then_some(answered);
            ensure!(told.round_trip == plain, "a round trip of {:?}, not {plain:?}", told.round_trip);
        }
        Ok(told)
    }

    /// As above, with a request built anew for each transmission; `is_mine` tells what this one may send.
    pub(crate) fn ask_with(
        &mut self,
        build: impl FnMut(BuildFor, &mut Vec<u8>),
        is_mine: impl Fn(&[u8]) -> bool,
    ) -> Result<Told, String> {
        self.observe(|it| Told::by(it.request_with(build)), is_mine)
    }

    fn observe(
        &mut self,
        ask: impl FnOnce(&mut ReliableRequester<Watched>) -> Told,
        is_mine: impl Fn(&[u8]) -> bool,
    ) -> Result<Told, String> {
        let start = self.world.net.now();
        self.requester.transport_mut().forget();
        let told = ask(&mut self.requester);
        let ended = self.world.net.now().since(start);
        let sent: Vec<_> = self.requester.transport().sent.iter().map(|(at, _)| at.since(start)).collect();
        let answers = self.requester.transport().answers().filter(|answers| *answers).count();

        let slots = self.slots(&told, seed_of_request(self.world.seed, self.asked));
        self.asked += 1;
        let executed = self.world.has_executed(is_mine);
        let checked = self.checked(&told, &sent, ended, &slots, executed);
        checked
            .map_err(|wrong| format!("request {}: {wrong}\n{slots:?}\nsent {sent:?}\n{:?}", self.asked, told.events))?;
        ensure!(answers <= usize::from(told.reply.is_some()), "request {}: a reply was overlooked", self.asked);
        self.world.conserves()?;
        Ok(told)
    }

    fn slots(&self, told: &Told, seed: u64) -> Slots {
        let plain = Slots::of(&self.policy, seed);
        let provisional: Vec<_> = told.times(|event| matches!(event, Event::Provisional { .. })).collect();
        match (provisional.first(), provisional.last(), self.hold) {
            (Some(&first), _, Hold::Slow) => Slots::slowed_at(&self.policy, seed, first),
            (Some(&first), Some(&latest), Hold::Stop) => plain.held(first, latest, self.policy.patience()),
            _ => plain,
        }
    }

    fn checked(&self, told: &Told, sent: &[Duration], ended: Duration, slots: &Slots, executed: bool) -> Verdict {
        let count = sent.len() as u32;
        ensure!(told.transmissions == count, "{} transmissions told, {count} made", told.transmissions);
        ensure!(count <= self.policy.max_transmissions(), "{count} transmissions are too many");
        ensure!(told.elapsed <= ended, "{:?} told to have elapsed, {ended:?} did", told.elapsed);
        let noted: Vec<_> = told.times(|event| matches!(event, Event::Transmitted { .. })).collect();
        ensure!(noted == sent || told.omitted > 0, "the record has other transmissions: {noted:?}");
        match self.timing {
            Timing::Exact => exact(told, sent, ended, slots)?,
            Timing::Late(late) => not_early(told, sent, ended, slots, late)?,
        }
        match told.failure {
            None => ensure!(executed, "answered, and never executed"),
            Some(Failure::TimedOut(_) | Failure::Refused) => {}
            Some(failure) => return Err(format!("failed with {failure:?}")),
        }
        match told.execution {
            Some(Execution::NotSent) => return Err("not sent?".into()),
            Some(Execution::Refused) if self.refusals_are_plain => ensure!(!executed, "executed, and called refused"),
            _ => {}
        }
        Ok(())
    }
}

/// All slots that have come are used, and nothing else; it ends when it must.
fn exact(told: &Told, sent: &[Duration], ended: Duration, slots: &Slots) -> Verdict {
    ensure!(told.elapsed == ended, "{:?} told to have elapsed, {ended:?} did", told.elapsed);
    let mut withheld: Vec<_> = told.times(|event| *event == Event::Withheld).collect();
    ensure!(withheld.len() == told.withheld as usize, "{} withheld, {withheld:?}", told.withheld);
    withheld.extend_from_slice(sent);
    withheld.sort_unstable();
    let used = slots.due.get(..withheld.len()).ok_or("more slots used than there are")?;
    ensure!(withheld == used, "not on schedule");
    // What comes at the very time of a slot may come before or after the transmission.
    let (least, most) = (slots.due.partition_point(|&due| due < ended), slots.due.partition_point(|&due| due <= ended));
    ensure!((least..=most).contains(&used.len()), "{} slots used in {ended:?}, not {least}", used.len());
    match told.failure {
        None => ensure!(ended <= slots.end, "a reply after the end"),
        Some(failure) => {
            ensure!(ended == slots.end, "failed after {ended:?}, not {:?}", slots.end);
            let held = told.times(|event| matches!(event, Event::Provisional { .. })).count() > 0;
            let right = match failure {
                Failure::TimedOut(GiveUp::Deadline) => slots.by_deadline,
                Failure::TimedOut(GiveUp::OverBudget) => told.withheld > 0,
                Failure::TimedOut(GiveUp::Unanswered) => told.withheld == 0,
                Failure::TimedOut(GiveUp::PatienceEnded) => held,
                _ => !held,
            };
            ensure!(right, "{failure:?} is not why");
        }
    }
    Ok(())
}

/// Nothing sooner than on schedule, no two transmissions closer than half a wait, and nothing later than the waker.
fn not_early(told: &Told, sent: &[Duration], ended: Duration, slots: &Slots, late: Duration) -> Verdict {
    let first_wait = slots.first_wait_ends();
    for (nth, (&sent, &due)) in sent.iter().zip(&slots.due).enumerate() {
        ensure!(sent >= due, "transmission {nth} is early: {sent:?}, not {due:?}");
        let skips = late * 2 > first_wait;
        ensure!(skips || sent <= due + late, "transmission {nth} is later than the waker: {sent:?}, not {due:?}");
    }
    for pair in sent.windows(2) {
        ensure!((pair[1] - pair[0]) * 2 >= first_wait, "a burst: {pair:?}");
    }
    ensure!(told.failure.is_none() || ended >= slots.end, "failed after {ended:?}, before {:?}", slots.end);
    ensure!(ended <= slots.end + late, "ended after {ended:?}, not {:?}", slots.end);
    Ok(())
}

/// What a client hears and says, noted from outside.
pub(crate) struct Watched {
    socket: SimTransport,
    /// Since the latest request began.
    sent: Vec<(Timestamp, Vec<u8>)>,
    /// How much was sent before each.
    heard: Vec<(usize, Vec<u8>)>,
}

impl Watched {
    pub(super) fn new(socket: SimTransport) -> Self {
        Self { socket, sent: Vec::new(), heard: Vec::new() }
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.heard.clear();
    }

    /// Which of the datagrams heard answer one of the 16 latest requests, as they were sent by then.
    fn answers(&self) -> impl Iterator<Item = bool> {
        let latest = |sent: usize| &self.sent[sent.saturating_sub(16)..sent];
        self.heard.iter().map(move |(sent, heard)| latest(*sent).iter().any(|(_, request)| *heard == answer(request)))
    }

    pub(crate) fn with(self, change: impl FnOnce(SimTransport) -> SimTransport) -> Self {
        Self { socket: change(self.socket), ..self }
    }
}

impl Transport for Watched {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.socket.now()
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        self.socket.send(to, datagram)?;
        self.sent.push((self.socket.now(), datagram.to_vec()));
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        let incoming = self.socket.recv(buffer, now, until);
        if let Incoming::Datagram(received) = incoming {
            self.heard.push((self.sent.len(), buffer[..received.len].to_vec()));
        }
        incoming
    }

    fn renew(&mut self, path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        self.socket.renew(path, need)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.socket.entropy(key)
    }
}

/// When a policy sends and ends, for one seed.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    pub(crate) due: Vec<Duration>,
    pub(crate) end: Duration,
    by_deadline: bool,
}

impl Slots {
    /// Added up from the policy's own intervals, and apart from the machine under test.
    pub(crate) fn of(policy: &RetryPolicy, seed: u64) -> Self {
        Self::slowed_at(policy, seed, Duration::MAX)
    }

    /// As above, where a provisional answer slows all waits that begin after this time to the longest.
    pub(crate) fn slowed_at(policy: &RetryPolicy, seed: u64, slowed: Duration) -> Self {
        let most = policy.max_transmissions().min(200);
        let (mut due, mut at) = (Vec::new(), Duration::ZERO);
        for slot in 0..most {
            due.push(at);
            at += match policy.last_wait() {
                _ if at > slowed => policy.backoff().max(),
                LastWait::Initial(count) if slot + 1 == most => policy.backoff().initial() * count,
                _ => policy.backoff().delay(slot, Seed::new(seed)),
            };
        }
        let deadline = policy.deadline().unwrap_or(Duration::MAX);
        due.retain(|&due| due < deadline);
        Self { due, end: at.min(deadline), by_deadline: at >= deadline }
    }

    /// When the wait after the first transmission ends.
    fn first_wait_ends(&self) -> Duration {
        self.due.get(1).copied().unwrap_or(self.end)
    }

    /// A provisional answer ends the transmissions.
    fn held(mut self, first: Duration, latest: Duration, patience: Duration) -> Self {
        self.due.retain(|&due| due < first);
        self.end = latest + patience;
        self
    }
}

/// What time may do to the schedule.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Timing {
    /// To the nanosecond, provisional answers included.
    Exact,
    /// Waits end up to so much too late.
    Late(Duration),
}

/// How one request went.
pub(crate) struct Told {
    pub(crate) reply: Option<Vec<u8>>,
    pub(crate) failure: Option<Failure>,
    pub(crate) transmissions: u32,
    pub(crate) withheld: u32,
    elapsed: Duration,
    execution: Option<Execution>,
    round_trip: Option<Duration>,
    pub(crate) events: Vec<(Duration, Event)>,
    /// Events that the record had no room for.
    omitted: u32,
}

impl Told {
    fn by(ended: Result<udp_retry::Reply<'_>, RequestError>) -> Self {
        let (reply, failure, execution, round_trip) = match &ended {
            Ok(reply) => (Some(reply.payload().to_vec()), None, None, reply.round_trip()),
            Err(error) => (None, Some(error.failure()), Some(error.execution()), None),
        };
        let (transmissions, withheld, elapsed, timeline) = match &ended {
            Ok(it) => (it.transmissions(), it.withheld(), it.elapsed(), it.timeline()),
            Err(it) => (it.transmissions(), it.withheld(), it.elapsed(), it.timeline()),
        };
        let (events, omitted) = (timeline.events().collect(), timeline.omitted());
        Self { reply, failure, transmissions, withheld, elapsed, execution, round_trip, events, omitted }
    }

    pub(crate) fn strays(&self) -> u64 {
        self.times(|event| matches!(event, Event::Stray { .. })).count() as u64
    }

    pub(crate) fn times(&self, what: impl Fn(&Event) -> bool) -> impl Iterator<Item = Duration> {
        self.events.iter().filter(move |(_, event)| what(event)).map(|(at, _)| *at)
    }
}

/// The seed of a requester's request `n`, from 0.
pub(crate) fn seed_of_request(requester: Seed, n: u64) -> u64 {
    const REQUESTS: u64 = 10;
    requester.derive(REQUESTS).draw(n)
}
