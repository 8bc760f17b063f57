//! The requester and fleets of clients through everything that a network does, with the same promises kept each time:
//! no wrong reply, no transmission early, none past its count or the budget, the end exact, every datagram accounted
//! for, nothing left.
//!
//! `UDP_RETRY_SEEDS` is the number of seeds for each scenario, `UDP_RETRY_SEED` the only one.

use std::cell::RefCell;
use std::time::Duration;

use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{SimNet, SimTransport, check_determinism, explore};
use udp_retry::transaction::{BuildFor, Event, Hold, Match, matching};
use udp_retry::{RetryBudget, RetryPolicy, Seed, any_reply, transaction_id};

use crate::world::{
    self, Asker, Manners, SERVER, Timing, Verdict, World, answer, ensure, is_whole_answer, mark, ms, request,
};

/// Each line: what the network does (to the server; back), and what else is special.
macro_rules! scenarios {
    ($($name:ident: $scenario:expr;)+) => { $(
        #[test]
        fn $name() {
            $scenario.holds();
        }
    )+ };
}

scenarios! {
    half_is_lost_each_way: on("loss 50%; delay 20ms").biting(|it| it.failures * it.retransmissions > 0);
    half_is_lost_each_way_without_ids: on("loss 50%; delay 20ms").by(Port).biting(|it| it.failures > 0);
    half_is_lost_each_way_on_the_internet: on("loss 50%; delay 20ms ~10ms").policy(RetryPolicy::default());
    losses_come_in_bursts: on("loss 30% burst 5; delay 20ms").biting(|it| it.failures * it.retransmissions > 0);
    datagrams_overtake_each_other: on("delay 90ms ~90ms unordered; reorder 30% by 200ms").biting(|it| it.strays > 0);
    datagrams_overtake_each_other_without_ids: on("delay 90ms ~90ms unordered; reorder 30% by 200ms").by(Port);
    everything_comes_twice: on("duplicate 100% late 150ms ~150ms; delay 5ms").biting(|it| it.strays > 0);
    everything_comes_twice_without_ids: on("duplicate 100% late 150ms ~150ms; delay 5ms").by(Port);
    replies_come_after_the_caller_gave_up: on(LOSS).server(taking(0, 9_000)).biting(|it| it.failures * it.strays > 0);
    replies_come_after_the_port_was_left: on(LOSS).server(taking(0, 9_000)).by(Port).biting(|it| it.nobody > 0);
    replies_come_after_their_id_came_again: on(LOSS).server(taking(0, 900)).by(Content).biting(|it| it.strays > 0);
    nobody_listens: on("delay 30ms ~30ms").dead().plain_refusals().biting(|it| it.news > 0 && it.replies == 0);
    nobody_listens_without_ids: on("delay 30ms ~30ms").dead().by(Port).biting(|it| it.news > 0 && it.replies == 0);
    refusals_come_late_and_often: on("loss 20%; duplicate 60% late 1s ~1s; delay 60ms ~60ms unordered").dead();
    refusals_come_after_the_port_was_left: on(UNORDERED).doing(restarts).by(Port).plain_refusals();
    the_server_restarts_now_and_then: on(DELAY).doing(restarts).plain_refusals().biting(|it| it.news > 0);
    the_server_restarts_and_forgets: on("loss 20%; delay 20ms").server(taking(0, 200)).doing(restarts).by(Port);
    the_path_is_cut_and_heals: on(DELAY).doing(|it| cuts(it, both_ways)).biting(|it| it.retransmissions > 0);
    requests_alone_are_cut: on(DELAY).doing(|it| cuts(it, |it| it.net.partition_one_way(it.client, it.server).unwrap()));
    replies_alone_are_cut: on(DELAY).doing(|it| cuts(it, |it| it.net.partition_one_way(it.server, it.client).unwrap()));
    the_server_is_silent_for_a_while: on(DELAY).doing(|it| cuts(it, |it| it.net.take_down(it.server).unwrap()));
    a_round_trip_takes_a_week: on("loss 30%; delay 84h").policy(for_weeks()).biting(|it| it.replies * it.failures > 0);
    a_round_trip_takes_a_week_and_nobody_waits: on("delay 84h").biting(|it| it.replies == 0);
    the_server_is_slower_than_every_interval: on("delay 5ms").server(taking(1_650, 1_650)).biting(|it| it.replies > 0);
    the_server_is_slower_than_the_schedule: on(DELAY).server(taking(3_200, 9_000)).biting(|it| it.replies == 0);
    the_server_says_that_it_works: on(LOSSY).server(working(b'w')).by(Working(Hold::Stop));
    the_server_says_so_and_never_ends: on(LOSSY).server(stuck(b'w')).by(Working(Hold::Stop));
    the_server_slows_its_clients: on(LOSSY).server(working(b's')).by(Working(Hold::Slow));
    the_server_slows_its_clients_and_never_ends: on(LOSSY).server(stuck(b's')).by(Working(Hold::Slow));
    requests_change_from_one_to_the_next: on("loss 40%; delay 120ms ~90ms").by(Changing).biting(|it| it.strays > 0);
    more_versions_are_sent_than_kept: on("loss 60%; delay 500ms ~450ms unordered").by(Changing).policy(insistent()).requests(2);
    the_nat_forgets: on(SLOW).doing(rebinds).biting(|it| it.retransmissions > 0);
    the_nat_forgets_without_ids: on(SLOW).doing(rebinds).by(Port).biting(|it| it.retransmissions > 0);
    the_receive_buffer_overflows: on(DELAY).server(babbling()).socket(tiny).biting(|it| it.nobody * it.strays > 0);
    polls_are_late: on(LOSSY).polled_late(40).biting(|it| it.retransmissions * it.failures > 0);
    polls_are_later_than_several_slots: on(LOSSY).polled_late(700);
    polls_are_late_and_refusals_swallow_sends: on("delay 60ms ~60ms").polled_late(40).doing(restarts);
    everything_is_damaged_and_sums_tell: on(DAMAGE).server(checking()).by(Sums).biting(|it| it.strays * it.replies > 0);
    everything_is_damaged_and_ids_alone_tell: on(DAMAGE).by(Damaged).biting(|it| it.strays * it.damaged > 0);
    the_budget_is_spent: on("loss 50%; delay 20ms").budget(0.25).requests(10).biting(|it| it.withheld > 0);
    the_budget_is_spent_on_a_dead_server: on(DELAY).dead().budget(0.25).requests(10).biting(|it| it.withheld > 0);
    evil_does_its_worst: on(EVIL).server(checking()).by(Sums).biting(|it| it.strays * it.failures > 0);
}

const DELAY: &str = "delay 20ms";
const LOSS: &str = "loss 10%";
const LOSSY: &str = "loss 30%; delay 20ms";
const SLOW: &str = "loss 10%; delay 60ms";
const UNORDERED: &str = "loss 20%; delay 600ms ~600ms unordered";
const DAMAGE: &str = "corrupt 60% bits 2; truncate 25%; delay 20ms ~10ms";
const EVIL: &str = "loss 20% burst 4; duplicate 10% late 2500ms ~2500ms; truncate 5%; corrupt 10%; \
                    delay 0ms exponential 50ms; reorder 10% by 100ms";

struct Scenario {
    both_ways: &'static str,
    policy: RetryPolicy,
    by: By,
    /// `None`: nobody listens.
    server: Option<Manners>,
    doing: fn(&World),
    socket: fn(SimTransport) -> SimTransport,
    late: Duration,
    plain_refusals: bool,
    /// The ratio of a budget.
    ratio: Option<f64>,
    requests: u64,
    biting: fn(&Tally) -> bool,
}

/// How replies are told.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Id,
    Port,
    /// The ids are used again, the matcher compares everything.
    Content,
    /// It compares everything, and every transmission is another.
    Changing,
    /// By id, and the reply must be whole.
    Sums,
    /// By id; what was damaged behind it passes.
    Damaged,
    /// By id; a mark tells the provisional ones.
    Working(Hold),
}
use By::{Changing, Content, Damaged, Port, Sums, Working};

/// The book's schedule, ids of eight bytes, four requests.
fn on(both_ways: &'static str) -> Scenario {
    Scenario {
        both_ways,
        policy: RetryPolicy::LAN,
        by: By::Id,
        server: Some(Manners::default()),
        doing: |_| {},
        socket: |socket| socket,
        late: Duration::ZERO,
        plain_refusals: false,
        ratio: None,
        requests: 4,
        biting: |_| true,
    }
}

impl Scenario {
    fn policy(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    fn by(self, by: By) -> Self {
        Self { by, ..self }
    }

    fn server(self, manners: Manners) -> Self {
        Self { server: Some(manners), ..self }
    }

    fn dead(self) -> Self {
        Self { server: None, ..self }
    }

    fn doing(self, doing: fn(&World)) -> Self {
        Self { doing, ..self }
    }

    fn socket(self, socket: fn(SimTransport) -> SimTransport) -> Self {
        Self { socket, ..self }
    }

    /// Waits end so many milliseconds too late.
    fn polled_late(self, late: u64) -> Self {
        Self { late: ms(late), ..self }
    }

    fn plain_refusals(self) -> Self {
        Self { plain_refusals: true, ..self }
    }

    fn budget(self, ratio: f64) -> Self {
        Self { ratio: Some(ratio), ..self }
    }

    fn requests(self, requests: u64) -> Self {
        Self { requests, ..self }
    }

    /// What must have happened at some seed, or the scenario proves little.
    fn biting(self, biting: fn(&Tally) -> bool) -> Self {
        Self { biting, ..self }
    }

    fn holds(&self) {
        let tally = RefCell::default();
        let runs = explore(0..1000, |net| self.run(net, &tally)).unwrap_or_else(|failure| panic!("{failure}"));
        let tally = tally.into_inner();
        assert!(runs < 1000 || (self.biting)(&tally), "it does not bite: {tally:?}");
        for seed in (0..4).map(Seed::new) {
            let again = |net: &SimNet| self.run(net, &RefCell::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
            check_determinism(seed, again).unwrap_or_else(|divergence| panic!("seed {seed}: {divergence}"));
        }
    }

    fn run(&self, net: &SimNet, tally: &RefCell<Tally>) -> Verdict {
        let world = World::new(net, self.both_ways, self.both_ways);
        if let Some(manners) = self.server {
            world.serve(manners);
        }
        (self.doing)(&world);
        let budget = self.ratio.map(|ratio| RetryBudget::new(ratio, 10, START).unwrap());
        let budget = budget.unwrap_or(RetryBudget::unlimited());
        let mut asker = self.asker(&world, &budget);
        let mut mine = Tally::default();
        for n in 0..self.requests {
            self.ask(&mut asker, &world, n, &mut mine)?;
            let spent = mine.replies + mine.failures + mine.retransmissions;
            let granted = (mine.replies + mine.failures + u64::from(START)) as f64;
            let granted = granted + self.ratio.unwrap_or(f64::INFINITY) * mine.replies.max(1) as f64;
            let kept = spent as f64 <= granted;
            ensure!(kept, "{spent} transmissions, {granted} granted");
            if n % 2 == 1 {
                net.run_until(net.now().after(Duration::from_micros(world.seed.derive(PAUSES).draw(n) % 300_000)));
            }
        }

        // As good as new; a run of recorded faults may lose something even now.
        world.recover();
        let (clean, lost) = (request(id(&world, u64::MAX), u64::MAX, 0), net.stats().dropped);
        let told = asker.ask(&clean)?;
        let lost = net.stats().dropped - lost;
        let right = told.reply == Some(answer(&clean)) && u64::from(told.transmissions) <= 1 + lost;
        ensure!(right || lost > 4, "not as good as new: {:?}", told.events);
        mine.nobody += net.stats().lost_on_arrival;
        tally.borrow_mut().add(&mine);
        drop(asker);
        world.ends_empty()
    }

    fn asker(&self, world: &World, budget: &RetryBudget) -> Asker {
        let transport = world.connect().with(self.socket).with(|socket| socket.late_by(self.late));
        let timing = if self.late.is_zero() { Timing::Exact } else { Timing::Late(self.late) };
        let mut asker = match self.by {
            By::Id | Damaged => Asker::new(world, transport, self.policy, transaction_id(0..8), budget, timing),
            Port => Asker::new(world, transport, self.policy, any_reply(), budget, timing),
            Content | Changing => {
                let repeats = matching(|request, datagram| datagram.starts_with(request));
                Asker::new(world, transport, self.policy, repeats, budget, timing)
            }
            Sums => {
                let whole = matching(|request, datagram| same_id(request, datagram) && is_whole_answer(datagram));
                Asker::new(world, transport, self.policy, whole, budget, timing)
            }
            Working(_) => {
                let works = matching(|request, datagram| match mark(datagram) {
                    _ if !same_id(request, datagram) => Match::Foreign,
                    Some(b'w') => Match::Provisional(Hold::Stop),
                    Some(b's') => Match::Provisional(Hold::Slow),
                    _ => Match::Reply,
                });
                Asker::new(world, transport, self.policy, works, budget, timing)
            }
        };
        asker.refusals_are_plain = self.plain_refusals;
        if let Working(hold) = self.by {
            asker.hold = hold;
        }
        asker
    }

    fn ask(&self, asker: &mut Asker, world: &World, n: u64, tally: &mut Tally) -> Verdict {
        let id = if self.by == Content { [7; 8] } else { id(world, n) };
        let asked = request(id, n, 0);
        let told = match self.by {
            Changing => {
                let build = |purpose: BuildFor, bytes: &mut Vec<u8>| {
                    bytes.extend_from_slice(&request(id, n, purpose.transmission as u8));
                };
                asker.ask_with(build, |executed| executed.starts_with(&id))?
            }
            // What was executed and answered may be damaged too.
            Damaged => asker.ask_with(|_, bytes| bytes.extend_from_slice(&asked), |_| true)?,
            _ => asker.ask(&asked)?,
        };
        tally.note(&told);
        let Some(reply) = told.reply else { return Ok(()) };
        let right = match self.by {
            Changing => {
                let latest = told.transmissions as u8;
                // No more than these are kept.
                (latest.saturating_sub(15).max(1)..=latest).any(|version| reply == answer(&request(id, n, version)))
            }
            Damaged => same_id(&asked, &reply),
            _ => reply == answer(&asked),
        };
        tally.damaged += u64::from(reply != answer(&asked));
        ensure!(right, "request {n}: a wrong reply: {reply:?}");
        Ok(())
    }
}

/// What happened in all runs of a scenario.
#[derive(Default, Debug)]
struct Tally {
    replies: u64,
    damaged: u64,
    failures: u64,
    retransmissions: u64,
    strays: u64,
    news: u64,
    withheld: u64,
    nobody: u64,
}

impl Tally {
    fn note(&mut self, told: &world::Told) {
        self.replies += u64::from(told.reply.is_some());
        self.failures += u64::from(told.failure.is_some());
        self.retransmissions += u64::from(told.transmissions - 1);
        self.strays += told.strays();
        self.news += told.times(|event| matches!(event, Event::PathError { .. })).count() as u64;
        self.withheld += u64::from(told.withheld);
    }

    fn add(&mut self, other: &Self) {
        self.replies += other.replies;
        self.damaged += other.damaged;
        self.failures += other.failures;
        self.retransmissions += other.retransmissions;
        self.strays += other.strays;
        self.news += other.news;
        self.withheld += other.withheld;
        self.nobody += other.nobody;
    }
}

fn id(world: &World, n: u64) -> [u8; 8] {
    world.seed.derive(IDS).draw(n).to_be_bytes()
}

fn same_id(request: &[u8], datagram: &[u8]) -> bool {
    datagram.get(..8).is_some_and(|id| request.starts_with(id))
}

// Servers.

fn taking(least: u64, most: u64) -> Manners {
    Manners { takes: (ms(least), ms(most)), ..Manners::default() }
}

fn working(mark: u8) -> Manners {
    Manners { takes: (ms(50), ms(4_000)), provisional: Some(mark), ..Manners::default() }
}

fn stuck(mark: u8) -> Manners {
    Manners { reminds: Some(ms(250)), never_done: true, ..working(mark) }
}

fn babbling() -> Manners {
    Manners { babbles: 6, ..Manners::default() }
}

fn checking() -> Manners {
    Manners { checks: true, ..Manners::default() }
}

// Sockets and policies.

/// Room for three answers.
fn tiny(socket: SimTransport) -> SimTransport {
    socket.with_receive_buffer(3 * 800)
}

fn for_weeks() -> RetryPolicy {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let backoff = Backoff::exponential(days(2), days(60)).unwrap().with_jitter(Jitter::UPWARD).unwrap();
    RetryPolicy::new(backoff).with_max_transmissions(3).unwrap()
}

fn insistent() -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(ms(50)).unwrap()).with_max_transmissions(30).unwrap()
}

// Events.

fn restarts(world: &World) {
    for n in 0..20 {
        world.net.at(ms(30 + 700 * n), |net| assert!(net.stop(SERVER)));
        let server = world.clone();
        world.net.at(ms(400 + 700 * n), move |_| server.serve(taking(0, 200)));
    }
}

fn both_ways(world: &World) {
    world.net.partition(world.client, world.server).unwrap();
}

fn cuts(world: &World, cut: fn(&World)) {
    for n in 0..20 {
        let (cutting, healing) = (world.clone(), world.clone());
        world.net.at(ms(30 + 900 * n), move |_| cut(&cutting));
        world.net.at(ms(500 + 900 * n), move |net| {
            net.heal(healing.client, healing.server).unwrap();
            net.bring_up(healing.server).unwrap();
        });
    }
}

fn rebinds(world: &World) {
    for n in 0..100 {
        let client = world.client;
        world.net.at(ms(50 + 70 * n), move |net| net.rebind(client).unwrap());
    }
}

const START: u32 = 3;
/// Keep their draws apart.
const IDS: u64 = 2;
const PAUSES: u64 = 3;
