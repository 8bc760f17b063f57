//! The oracle of the machine: whatever is reported, in whatever order, at whatever time, some things always hold.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use udp_retry::policy::{Backoff, Jitter, RttEstimator};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, GiveUp, Hold, Match, Next, OnUnreachable, Request, Transaction, matching};
use udp_retry::transport::{PathError, PathIndex, Renewed};
use udp_retry::{RetryBudget, RetryPolicy, Seed};

/// One thing that a driver, or the world, does.
#[derive(Clone, Debug)]
enum Step {
    /// Does what was asked for, if it is an act; else lets the time pass that was named, and this much more.
    Obey {
        late: u64,
    },
    Fact(Fact),
    Advance(u64),
    Start {
        deadline: Option<u64>,
        own_policy: bool,
        rebuilt: bool,
    },
}

#[derive(Clone, Debug)]
enum Fact {
    Transmitted,
    NotTransmitted(PathError),
    Reply,
    Provisional(Hold),
    Stray,
    PathError(PathError),
    TimeUp,
    Cancelled,
    Renewed(Result<Renewed, PathError>),
    Built { missing: bool },
    EndBy(u64),
}

#[derive(Clone, Debug)]
struct Settings {
    policy: RetryPolicy,
    own: RetryPolicy,
    budget: Option<(u32, u32)>,
    estimator: bool,
    on_unreachable: OnUnreachable,
    fails_over_budget: bool,
    keeps_port: bool,
    start: u64,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_reported_the_machine_keeps_its_contract(
        settings in settings(), steps in vec(steps(), 1..60), seed: u64
    ) {
        let mut world = World::new(settings, seed);
        for step in steps {
            world.take(step)?;
            world.check()?;
        }
    }
}

/// A transaction, and what must be true of it.
struct World {
    transaction: Transaction<Judge>,
    settings: Settings,
    budget: RetryBudget,
    now: Timestamp,
    seed: u64,
    requests: u64,
    /// Of the request under way: when transmissions left, and by which policy.
    sent: Vec<Timestamp>,
    policy: RetryPolicy,
    /// The end that the caller or the policy set; nothing is sent at it or later.
    end: Timestamp,
    /// What `next` said, once it had said how the request ended.
    verdict: Option<Next>,
    /// A reply that had to count was reported.
    replied: bool,
    successes: u32,
    retransmissions: u32,
    started: bool,
    /// The end of the wait that `next` named last, and up to when the queue was reported empty.
    named: Timestamp,
    looked: Timestamp,
}

type Judge = udp_retry::transaction::Matching<fn(&[u8], &[u8]) -> Match>;

fn judge(_request: &[u8], datagram: &[u8]) -> Match {
    match datagram {
        b"reply" => Match::Reply,
        b"stop" => Match::Provisional(Hold::Stop),
        b"slow" => Match::Provisional(Hold::Slow),
        _ => Match::Foreign,
    }
}

impl World {
    fn new(settings: Settings, seed: u64) -> Self {
        let budget = match settings.budget {
            None => RetryBudget::unlimited(),
            Some((burst, start)) => RetryBudget::new(0.5, burst, start).unwrap(),
        };
        let mut transaction = Transaction::new(settings.policy, matching(judge as fn(&[u8], &[u8]) -> Match))
            .with_budget(budget.clone())
            .with_on_unreachable(settings.on_unreachable);
        if settings.estimator {
            let ms = Duration::from_millis;
            transaction = transaction.with_estimator(RttEstimator::new(ms(50), ms(5), ms(2000)).unwrap());
        }
        if settings.fails_over_budget {
            transaction = transaction.failing_over_budget();
        }
        if settings.keeps_port {
            transaction = transaction.keeping_port();
        }
        let (now, policy) = (Timestamp::from_nanos(settings.start), settings.policy);
        Self {
            transaction,
            settings,
            budget,
            now,
            seed,
            requests: 0,
            sent: Vec::new(),
            policy,
            end: Timestamp::MAX,
            verdict: None,
            replied: false,
            successes: 0,
            retransmissions: 0,
            started: false,
            named: Timestamp::ZERO,
            looked: Timestamp::ZERO,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Advance(by) => self.now = self.now.after(Duration::from_nanos(by)),
            Step::Fact(fact) => self.report(fact),
            Step::Start { deadline, own_policy, rebuilt } => self.start(deadline, own_policy, rebuilt),
            Step::Obey { late } => match self.transaction.next(self.now) {
                Next::Idle | Next::Done | Next::Failed(_) => self.start(None, false, false),
                Next::Build(..) => self.report(Fact::Built { missing: false }),
                Next::Renew(_, _) => self.report(Fact::Renewed(Ok(Renewed::FreshPort))),
                Next::Transmit(_) => {
                    self.may_transmit()?;
                    self.report(Fact::Transmitted);
                }
                Next::WaitUntil(until) => {
                    self.now = self.now.max(until).after(Duration::from_nanos(late));
                    self.report(Fact::TimeUp);
                }
            },
        }
        Ok(())
    }

    fn start(&mut self, deadline: Option<u64>, own_policy: bool, rebuilt: bool) {
        self.requests += 1;
        let (now, seed) = (self.now, Seed::new(self.seed).derive(self.requests));
        self.policy = if own_policy && !rebuilt { self.settings.own } else { self.settings.policy };
        if rebuilt {
            self.transaction.start_building(now, seed);
        } else {
            let mut request = Request::new(b"request");
            if let Some(deadline) = deadline {
                request = request.deadline(Duration::from_nanos(deadline));
            }
            self.transaction.start(if own_policy { request.policy(&self.settings.own) } else { request }, now, seed);
        }
        let own = deadline.filter(|_| !rebuilt).map_or(Timestamp::MAX, |ns| now.after(Duration::from_nanos(ns)));
        // The policy's own end counts from the first slot; at the latest this is it.
        let policys = self
            .policy
            .deadline()
            .map_or(Timestamp::MAX, |deadline| now.after(self.policy.start_delay().1).after(deadline));
        self.end = own.min(policys);
        (self.verdict, self.replied, self.started) = (None, false, true);
        (self.named, self.looked) = (now, now);
        self.sent.clear();
    }

    /// Facts that nothing asked for are reported too: no order of calls is wrong.
    fn report(&mut self, fact: Fact) {
        let (now, transaction) = (self.now, &mut self.transaction);
        let open = self.started && self.verdict.is_none();
        match fact {
            Fact::Transmitted => {
                let before = transaction.transmissions();
                transaction.on_transmitted(now);
                if transaction.transmissions() > before {
                    self.sent.push(now);
                }
            }
            Fact::NotTransmitted(error) => transaction.on_not_transmitted(now, error),
            Fact::Reply => {
                let counts = transaction.on_datagram(now, PathIndex::FIRST, b"reply", 5) == Match::Reply;
                self.replied |= counts && open;
                self.successes += u32::from(counts);
            }
            Fact::Provisional(Hold::Stop) => drop(transaction.on_datagram(now, PathIndex::FIRST, b"stop", 4)),
            Fact::Provisional(Hold::Slow) => drop(transaction.on_datagram(now, PathIndex::FIRST, b"slow", 4)),
            Fact::Stray => drop(transaction.on_datagram(now, PathIndex::FIRST, b"stray", 5)),
            Fact::PathError(error) => transaction.on_path_error(now, Some(PathIndex::FIRST), error),
            Fact::TimeUp => {
                transaction.on_time_up(now);
                self.looked = self.looked.max(now);
            }
            Fact::Cancelled => transaction.on_cancelled(),
            Fact::Renewed(renewed) => transaction.on_renewed(now, PathIndex::FIRST, renewed),
            Fact::Built { missing } => transaction.build(|it, bytes| {
                bytes.extend_from_slice(if missing { b"" } else { b"request" });
                bytes.extend_from_slice(&it.transmission.to_be_bytes());
            }),
            Fact::EndBy(ns) => {
                let end = now.after(Duration::from_nanos(ns));
                transaction.end_by(end);
                self.end = self.end.min(end);
            }
        }
    }

    /// A driver that does what it is told is about to send: is that right?
    fn may_transmit(&mut self) -> Result<(), TestCaseError> {
        prop_assert!(self.now < self.end, "sent at {:?}, at or after the end {:?}", self.now, self.end);
        prop_assert!(self.verdict.is_none(), "sent after {:?}", self.verdict);
        let number = self.sent.len();
        prop_assert!(
            (number as u32) < self.policy.max_transmissions(),
            "transmission {} of {:?}",
            number + 1,
            self.policy
        );
        if let Some(&last) = self.sent.last() {
            self.retransmissions += 1;
            if !self.settings.estimator {
                let (shortest, _) = self.policy.backoff().bounds(number as u32 - 1);
                let least = shortest.as_nanos().div_ceil(2);
                let gap = self.now.since(last).as_nanos();
                prop_assert!(gap >= least, "{gap} ns after the one before, at least {least}");
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let next = self.transaction.next(self.now);
        prop_assert_eq!(self.transaction.next(self.now), next, "asked twice");
        prop_assert_eq!(next == Next::Idle, !self.started);
        if let Some(verdict) = self.verdict {
            prop_assert_eq!(next, verdict, "taken back");
        }
        if self.replied {
            prop_assert_eq!(next, Next::Done, "the reply counts");
        }
        if matches!(next, Next::Transmit(_) | Next::Failed(Failure::TimedOut(_))) && self.verdict.is_none() {
            let (looked, named) = (self.looked, self.named);
            let over_budget = next == Next::Failed(Failure::TimedOut(GiveUp::OverBudget));
            prop_assert!(looked >= named || over_budget, "ended unlooked: {looked:?} < {named:?}");
        }
        match next {
            Next::Done => prop_assert!(self.replied),
            // Whoever looks and finds nothing is told something else: nothing spins.
            Next::WaitUntil(until) if until <= self.now => {
                let mut looked = self.transaction.clone();
                looked.on_time_up(self.now);
                let then = looked.next(self.now);
                prop_assert!(!matches!(then, Next::WaitUntil(again) if again <= self.now), "spins: {:?}", then);
            }
            Next::Transmit(_) => prop_assert!(self.now < self.end, "asked to send at or after the end"),
            Next::Failed(Failure::TimedOut(GiveUp::Deadline)) if self.verdict.is_none() => {
                prop_assert!(self.now >= self.transaction_end(), "gave up before the deadline");
            }
            _ => {}
        }
        match next {
            Next::Done | Next::Failed(_) => self.verdict = Some(next),
            Next::WaitUntil(until) => self.named = until,
            _ => {}
        }
        if let Some((_, start)) = self.settings.budget {
            let earned = f64::from(start) + 0.5 * f64::from(self.successes);
            prop_assert!(f64::from(self.retransmissions) <= earned, "{} of {earned} tokens", self.retransmissions);
            prop_assert!(self.budget.balance() <= self.settings.budget.unwrap().0);
        }
        Ok(())
    }

    /// The earliest that the deadline can be: the policy's counts from the first slot.
    fn transaction_end(&self) -> Timestamp {
        match self.end {
            Timestamp::MAX => Timestamp::MAX,
            end => Timestamp::from_nanos(end.as_nanos().saturating_sub(self.policy.start_delay().1.as_nanos() as u64)),
        }
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let budget = proptest::option::of((0..4_u32).prop_flat_map(|burst| (Just(burst), 0..=burst)));
    let rule = prop_oneof![
        Just(OnUnreachable::KeepTrying),
        Just(OnUnreachable::FailFast),
        (1..4_u32).prop_map(|most| OnUnreachable::FailAfter(NonZeroU32::new(most).unwrap())),
    ];
    (policies(), policies(), budget, any::<(bool, bool, bool)>(), rule, 0..1_u64 << 60).prop_map(
        |(policy, own, budget, (estimator, fails_over_budget, keeps_port), on_unreachable, start)| Settings {
            policy,
            own,
            budget,
            estimator,
            on_unreachable,
            fails_over_budget,
            keeps_port,
            start,
        },
    )
}

fn policies() -> impl Strategy<Value = RetryPolicy> {
    let backoff = (1..200_u64, 1..8_u64, any::<bool>()).prop_map(|(initial, times, jitter)| {
        let ms = Duration::from_millis;
        let backoff = Backoff::exponential(ms(initial), ms(2 * initial * times)).unwrap();
        if jitter { backoff.with_jitter(Jitter::UPWARD).unwrap() } else { backoff }
    });
    (backoff, 1..6_u32, proptest::option::of(1..2000_u64), 0..100_u64).prop_map(|(backoff, most, deadline, delay)| {
        let ms = Duration::from_millis;
        let policy = RetryPolicy::new(backoff).with_max_transmissions(most).unwrap();
        let policy = policy.with_start_delay(Duration::ZERO, ms(delay)).unwrap();
        deadline.map_or(policy, |deadline| policy.with_deadline(ms(deadline)).unwrap())
    })
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![4 => Just(0), 1 => 0..400_000_000_u64].prop_map(|late| Step::Obey { late }),
        3 => facts().prop_map(Step::Fact),
        1 => (0..300_000_000_u64).prop_map(Step::Advance),
        1 => (proptest::option::of(0..1_000_000_000_u64), any::<bool>(), any::<bool>())
            .prop_map(|(deadline, own_policy, rebuilt)| Step::Start { deadline, own_policy, rebuilt }),
    ]
}

fn facts() -> impl Strategy<Value = Fact> {
    let renewed = prop_oneof![Just(Ok(Renewed::FreshPort)), Just(Ok(Renewed::SamePort)), errors().prop_map(Err),];
    prop_oneof![
        2 => Just(Fact::Transmitted),
        3 => errors().prop_map(Fact::NotTransmitted),
        2 => Just(Fact::Reply),
        1 => Just(Fact::Provisional(Hold::Stop)),
        1 => Just(Fact::Provisional(Hold::Slow)),
        2 => Just(Fact::Stray),
        4 => errors().prop_map(Fact::PathError),
        3 => Just(Fact::TimeUp),
        1 => Just(Fact::Cancelled),
        1 => renewed.prop_map(Fact::Renewed),
        1 => any::<bool>().prop_map(|missing| Fact::Built { missing }),
        1 => (0..500_000_000_u64).prop_map(Fact::EndBy),
    ]
}

fn errors() -> impl Strategy<Value = PathError> {
    prop::sample::select(vec![
        PathError::Refused,
        PathError::Unreachable,
        PathError::too_big(None),
        PathError::Denied,
        PathError::NoBuffers,
        PathError::Unsupported,
        PathError::Cancelled,
        PathError::Other(71),
    ])
}
