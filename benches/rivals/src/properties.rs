//! The properties, each a plain function over a library; the numbers are those of the project's list of known bugs.

use std::collections::{HashMap, HashSet};
use std::hint::{black_box, spin_loop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::library::{Budget, Config, Delays, Jitter, Library, No};

pub struct Property {
    pub number: &'static str,
    pub sentence: &'static str,
    pub check: fn(&'static dyn Library) -> Outcome,
}

/// A counter-example is the error.
pub type Outcome = Result<Held, String>;

#[derive(PartialEq, Eq)]
pub enum Held {
    Yes,
    /// The library has nothing that the property speaks of.
    Inapplicable,
}

pub const ALL: [Property; 22] = [
    property("P1", "no wait exceeds the maximum", stays_below_max),
    property("P2", "waits still spread at the maximum", spreads_at_max),
    property("P3", "no wait is below the documented minimum, none is zero", stays_above_min),
    property("P4", "no wait number panics", never_panics),
    property("P5", "waits without jitter never shrink: no wrap, no restart", never_shrinks),
    property("P6", "waits without jitter end at the maximum, exactly", saturates_at_max),
    property("P7", "doubling and constancy are exact to the nanosecond", is_exact),
    property("P8", "growth by a fraction does not stall", never_stalls),
    property("P9", "whole seconds keep their jitter", whole_seconds_keep_jitter),
    property("P10", "NaN, zero and negative factors are refused", refuses_bad_factors),
    property("P11", "a maximum below the initial wait is refused", refuses_max_below_initial),
    property("P12", "a tiny jitter works", tiny_jitter_works),
    property("P14", "the first retry waits the initial wait", first_waits_initial),
    property("P15", "no try starts at or after the time limit", keeps_the_limit),
    property("P16", "the last wait is clipped to the time limit, not dropped", uses_the_limit),
    property("P18", "sessions of one client wait differently", sessions_differ),
    property("P20", "jitter has no hole and no bias", is_uniform),
    property("P21", "a budget pays its ratio exactly", budget_pays_exactly),
    property("P22", "two threads cannot spend one token twice", token_is_spent_once),
    property("P23", "a budget is quick after a week of idleness", budget_wakes_quickly),
    property("P27", "every constructor returns", constructors_return),
    property("P29", "a step of the wall clock changes no decision", ignores_the_wall_clock),
];

const fn property(
    number: &'static str,
    sentence: &'static str,
    check: fn(&'static dyn Library) -> Outcome,
) -> Property {
    Property { number, sentence, check }
}

const NANOSECOND: Duration = Duration::from_nanos(1);
const MICROSECOND: Duration = Duration::from_micros(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const CENTURIES: Duration = Duration::from_nanos(1 << 63);

const USUAL: Config = Config::new(Duration::from_millis(100), Duration::from_secs(60), 2.0);
const SHORT: Config = Config::new(SECOND, Duration::from_secs(4), 2.0);

fn stays_below_max(library: &dyn Library) -> Outcome {
    let mut longest = (Duration::ZERO, 0);
    for config in [USUAL.jittered(), SHORT.jittered()] {
        for _ in 0..500 {
            for (n, wait) in opened(library, &config)?.first(25).into_iter().enumerate() {
                longest = longest.max((wait, n));
            }
        }
        let (wait, n) = longest;
        if wait > config.max {
            return Err(format!("{config}: wait {n} was {wait:?}"));
        }
        longest = (Duration::ZERO, 0);
    }
    Ok(Held::Yes)
}

fn spreads_at_max(library: &dyn Library) -> Outcome {
    let config = USUAL.jittered();
    let capped = waits(library, &config, 20, 2_000)?;
    let mut shares: HashMap<u128, usize> = HashMap::new();
    for wait in &capped {
        *shares.entry(wait.as_micros()).or_default() += 1;
    }
    let (&micros, &share) = shares.iter().max_by_key(|(_, share)| **share).expect("waits");
    if share > 40 {
        let wait = Duration::from_micros(micros as u64);
        return Err(format!("{config}: wait 20 was {wait:?} in {share} of 2000 independent clients"));
    }
    let (before, at) = (relative_width(&waits(library, &config, 3, 2_000)?), relative_width(&capped));
    if at < 0.9 * before {
        return Err(format!(
            "{config}: jitter spans {before:.2} of the longest wait 3, {at:.2} of the longest wait 20"
        ));
    }
    Ok(Held::Yes)
}

fn stays_above_min(library: &dyn Library) -> Outcome {
    let micro = Config::new(MICROSECOND, SECOND, 2.0).jittered();
    let mut applies = false;
    for config in [USUAL.jittered(), SHORT.jittered(), micro] {
        for _ in 0..500 {
            let Some(delays) = open(library, &config)? else { break };
            applies = true;
            for (n, wait) in delays.first(25).into_iter().enumerate() {
                let shortest = library.shortest(&config, n as u32);
                // Floats may fall short by their own precision, which is P7's affair.
                if wait.is_zero() || wait + 2 * NANOSECOND < shortest.mul_f64(0.999_999) {
                    return Err(format!("{config}: wait {n} was {wait:?}, the minimum is {shortest:?}"));
                }
            }
        }
    }
    applies_if(applies)
}

fn never_panics(library: &dyn Library) -> Outcome {
    let ages = Duration::from_secs(1 << 33);
    let configs = [
        USUAL,
        Config::new(NANOSECOND, CENTURIES, 2.0),
        Config::new(SECOND, CENTURIES, 1e9),
        Config::new(ages, Duration::from_nanos(u64::MAX), 2.0),
        Config::new(SECOND, Duration::MAX, 2.0),
        Config { limit: Some(Duration::MAX), ..Config::new(SECOND, Duration::MAX, 2.0) },
    ];
    for config in configs.map(Config::jittered) {
        // Whoever refuses such lengths promises nothing about them.
        let Ok(delays) = library.session(&config) else { continue };
        match delays {
            Delays::Numbered(delay) => {
                for n in (0..10_000).chain([i32::MAX as u32, 1 << 31, u32::MAX - 1, u32::MAX]) {
                    catch(|| delay(n)).map_err(|panic| format!("{config}: wait {n} panicked: {panic}"))?;
                }
            }
            Delays::InOrder(mut delays) => {
                for n in 0..100_000 {
                    catch(|| delays.next()).map_err(|panic| format!("{config}: wait {n} panicked: {panic}"))?;
                }
            }
        }
    }
    Ok(Held::Yes)
}

fn never_shrinks(library: &dyn Library) -> Outcome {
    each_possible(library, &[USUAL, SHORT, Config::new(MILLISECOND, HOUR, 1.5)], |config, delays| {
        let waits = delays.first(10_000);
        let shrinks = waits.windows(2).position(|pair| pair[1] + library.resolution() < pair[0]);
        match shrinks {
            Some(n) => Err(format!("{config}: wait {n} is {:?}, wait {} is {:?}", waits[n], n + 1, waits[n + 1])),
            None => Ok(()),
        }
    })
}

fn saturates_at_max(library: &dyn Library) -> Outcome {
    let wide = Config::new(MICROSECOND, 2 * HOUR, 2.0);
    each_possible(library, &[USUAL, SHORT, Config::new(MILLISECOND, HOUR, 1.5), wide], |config, delays| {
        match delays.nth(200) {
            Some(wait) if wait.abs_diff(config.max) <= library.resolution() => Ok(()),
            wait => Err(format!("{config}: wait 200 is {}", shown(wait))),
        }
    })
}

fn is_exact(library: &dyn Library) -> Outcome {
    let odd = Duration::from_nanos(1_000_000_001);
    let configs = [
        Config::new(Duration::from_millis(100), 1_000 * HOUR, 2.0),
        Config::new(odd, 1_000 * HOUR, 2.0),
        Config::new(Duration::from_millis(100), HOUR, 1.0),
        Config::new(odd, HOUR, 1.0),
    ];
    each_possible(library, &configs, |config, delays| {
        for (n, wait) in delays.first(13).into_iter().enumerate() {
            let exact = config.initial * (config.multiplier as u32).pow(n as u32);
            if wait.abs_diff(exact) > library.resolution() {
                return Err(format!("{config}: wait {n} is {wait:?}, exact is {exact:?}"));
            }
        }
        Ok(())
    })
}

fn never_stalls(library: &dyn Library) -> Outcome {
    let configs = [
        Config::new(MILLISECOND, Duration::from_secs(10), 1.5),
        Config::new(9 * MILLISECOND, Duration::from_secs(10), 1.1),
    ];
    each_possible(library, &configs, |config, delays| {
        let growth = config.max.as_secs_f64() / config.initial.as_secs_f64();
        let n = (growth.ln() / config.multiplier.ln()).ceil() as u32 + 2;
        match delays.nth(n) {
            Some(wait) if wait.abs_diff(config.max) <= library.resolution() => Ok(()),
            wait => Err(format!("{config}: wait {n} is {}", shown(wait))),
        }
    })
}

fn whole_seconds_keep_jitter(library: &dyn Library) -> Outcome {
    let starting_at = |initial| Config::new(initial, HOUR, 2.0).jittered();
    let below = starting_at(Duration::from_millis(900));
    let usual = distinct(&waits(library, &below, 0, 2_000)?);
    for seconds in [1, 2, 60] {
        let config = starting_at(Duration::from_secs(seconds));
        let kept = distinct(&waits(library, &config, 0, 2_000)?);
        if kept < usual / 2 {
            return Err(format!(
                "{config}: {kept} different first waits in 2000 clients, {usual} for {:?}",
                below.initial
            ));
        }
    }
    Ok(Held::Yes)
}

fn refuses_bad_factors(library: &dyn Library) -> Outcome {
    let grown = [f64::NAN, 0.0, -1.0].map(|multiplier| Config { multiplier, ..USUAL });
    let varied = [f64::NAN, -0.5].map(|share| Config { jitter: Jitter::Share(share), ..USUAL });
    refuses(library, grown.iter().chain(&varied))
}

fn refuses_max_below_initial(library: &dyn Library) -> Outcome {
    refuses(library, &[Config::new(10 * SECOND, 5 * SECOND, 2.0)])
}

fn tiny_jitter_works(library: &dyn Library) -> Outcome {
    let configs = [0.005, 1e-9].map(|share| Config { jitter: Jitter::Share(share), ..USUAL });
    each_possible(library, &configs, |config, delays| {
        let Jitter::Share(share) = config.jitter else { return Ok(()) };
        let waits = catch(|| delays.first(4)).map_err(|panic| format!("{config}: wait 0 panicked: {panic}"))?;
        for (n, wait) in waits.into_iter().enumerate() {
            let nominal = config.nominal(n as u32);
            if wait.abs_diff(nominal) > nominal.mul_f64(share) + MICROSECOND {
                return Err(format!("{config}: wait {n} was {wait:?}"));
            }
        }
        Ok(())
    })
}

fn first_waits_initial(library: &dyn Library) -> Outcome {
    each_possible(library, &[USUAL, SHORT], |config, delays| match delays.nth(0) {
        Some(wait) if wait.abs_diff(config.initial) <= library.resolution() => Ok(()),
        wait => Err(format!("{config}: wait 0 is {}", shown(wait))),
    })
}

const LIMITED: Config = Config::new(Duration::from_millis(50), Duration::from_secs(60), 2.0);
const LIMIT: Duration = Duration::from_millis(100);

fn keeps_the_limit(library: &dyn Library) -> Outcome {
    for operation in [0, 5, 60].map(Duration::from_millis) {
        let run = match library.unanswered(&LIMITED, LIMIT, operation) {
            Ok(run) => run,
            Err(no) => return impossible(no, &LIMITED),
        };
        if let Some(late) = run.tries.iter().find(|start| **start >= LIMIT) {
            return Err(format!("{LIMITED}, time limit {LIMIT:?}, tries of {operation:?}: a try starts at {late:.0?}"));
        }
    }
    Ok(Held::Yes)
}

fn uses_the_limit(library: &dyn Library) -> Outcome {
    let operation = Duration::from_millis(5);
    match library.unanswered(&LIMITED, LIMIT, operation) {
        Ok(run) if run.end.abs_diff(LIMIT) <= MILLISECOND => Ok(Held::Yes),
        Ok(run) => {
            Err(format!("{LIMITED}, time limit {LIMIT:?}, tries of {operation:?}: it gives up at {:.0?}", run.end))
        }
        Err(no) => impossible(no, &LIMITED),
    }
}

fn sessions_differ(library: &dyn Library) -> Outcome {
    let config = USUAL.jittered();
    let sessions = library.sessions(&config, 64).map_err(|_| "refused")?;
    let sequences: Vec<_> = sessions.into_iter().map(|delays| delays.first(8)).collect();
    let different = sequences.iter().collect::<HashSet<_>>().len();
    if different < 64 {
        let example = &sequences[0][..3];
        return Err(format!("{config}: 64 sessions made {different} different sequence(s), the first {example:?} ..."));
    }
    Ok(Held::Yes)
}

fn is_uniform(library: &dyn Library) -> Outcome {
    const DRAWS: usize = 100_000;
    const N: u32 = 3;
    let config = USUAL.jittered();
    let mut waits = waits(library, &config, N, DRAWS)?;
    let (lo, hi) = library.spread();
    let (lo, hi) = (config.nominal(N).mul_f64(lo), config.nominal(N).mul_f64(hi));
    let width = (hi - lo).as_secs_f64();

    waits.extend([lo, hi]);
    waits.sort();
    let widest = waits.windows(2).max_by_key(|pair| pair[1].saturating_sub(pair[0])).expect("waits");
    let draws = DRAWS as f64;
    if (widest[1] - widest[0]).as_secs_f64() > 20.0 * width / draws * draws.ln() {
        let (from, to) = (widest[0], widest[1]);
        return Err(format!(
            "{config}: wait {N} lies between {lo:?} and {hi:?}, but none of {DRAWS} between {from:?} and {to:?}"
        ));
    }
    let mean = waits.iter().map(Duration::as_secs_f64).sum::<f64>() / waits.len() as f64;
    let middle = lo.as_secs_f64() + width / 2.0;
    let sigma = width / (12.0 * draws).sqrt();
    if (mean - middle).abs() > 5.0 * sigma {
        return Err(format!("{config}: wait {N} has mean {mean:.6} s, the middle is {middle:.6} s"));
    }
    Ok(Held::Yes)
}

fn budget_pays_exactly(library: &dyn Library) -> Outcome {
    for ratio in [1.0, 0.1, 0.2, 0.3, 0.34, 0.51, 0.6, 0.75, 0.9, 3.0] {
        let budget = match library.budget(ratio) {
            Ok(budget) => budget,
            Err(no) => return impossible(no, &USUAL),
        };
        while budget.withdraw() {}
        for _ in 0..1_000 {
            budget.deposit();
        }
        let granted = (0..10_000).take_while(|_| budget.withdraw()).count();
        let exact = (ratio * 1_000.0).round() as usize;
        if granted.abs_diff(exact) > 1 {
            return Err(format!("ratio {ratio}: 1000 deposits paid {granted} withdrawals, exact is {exact}"));
        }
    }
    Ok(Held::Yes)
}

/// Many short heats, because the system places every heat's threads anew: on one core they never meet.
fn token_is_spent_once(library: &dyn Library) -> Outcome {
    const HEATS: u32 = 20;
    const PATIENCE: Duration = Duration::from_secs(40);
    let start = Instant::now();
    let mut total = Heat::default();
    for _ in 0..HEATS {
        let budget = match library.budget(1.0) {
            Ok(budget) => budget,
            Err(no) => return impossible(no, &USUAL),
        };
        let heat = race(&*budget, start + PATIENCE);
        total.rounds += heat.rounds;
        if heat.doubled + heat.lost > 0 {
            return Err(format!(
                "one token, two threads: both withdrew it in {} of {} rounds, nobody in {}",
                heat.doubled, total.rounds, heat.lost
            ));
        }
    }
    Ok(Held::Yes)
}

#[derive(Default)]
struct Heat {
    rounds: u32,
    /// Rounds in which both threads withdrew the one token.
    doubled: u32,
    /// Rounds in which neither did.
    lost: u32,
}

/// A deposit in every round, then both threads withdraw at about the same time.
fn race(budget: &dyn Budget, end: Instant) -> Heat {
    const ROUNDS: u32 = 50_000;
    const STOP: u32 = u32::MAX;
    // A round is announced by its number and answered by twice its number, plus one for a win.
    let (announced, answered) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut heat = Heat::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1.. {
                if wait_until(&announced, round) == STOP {
                    return;
                }
                let won = budget.withdraw();
                answered.store(2 * round + u32::from(won), Ordering::Release);
            }
        });
        while heat.rounds < ROUNDS && Instant::now() < end {
            heat.rounds += 1;
            budget.deposit();
            announced.store(heat.rounds, Ordering::Release);
            // The other thread hears of it a little later; meet it sooner or later in its work.
            (0..heat.rounds % 512).for_each(|step| {
                black_box(step);
            });
            let mine = budget.withdraw();
            let other = wait_until(&answered, 2 * heat.rounds) % 2 == 1;
            if mine && other {
                heat.doubled += 1;
                budget.deposit(); // what was overdrawn
            }
            heat.lost += u32::from(!mine && !other);
        }
        announced.store(STOP, Ordering::Release);
    });
    heat
}

fn budget_wakes_quickly(library: &dyn Library) -> Outcome {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    match (library.deposit_after(SECOND), library.deposit_after(WEEK)) {
        (Ok(soon), Ok(late)) if late > 20 * soon + MILLISECOND => {
            Err(format!("a deposit takes {soon:.0?} after a second, {late:.0?} after a week"))
        }
        (Ok(_), Ok(_)) => Ok(Held::Yes),
        (Err(no), _) | (_, Err(no)) => impossible(no, &USUAL),
    }
}

/// Runs in threads of their own; one that never ends is left behind.
fn constructors_return(library: &'static dyn Library) -> Outcome {
    const PATIENCE: Duration = Duration::from_secs(3);
    let configs = [
        USUAL,
        Config::new(Duration::ZERO, SECOND, 2.0),
        Config::new(Duration::ZERO, Duration::ZERO, 2.0),
        Config { multiplier: 0.0, ..USUAL },
        Config { multiplier: f64::NAN, ..USUAL },
        Config::new(MILLISECOND, HOUR, 1.0),
    ];
    for config in configs.into_iter().flat_map(|config| [config, config.jittered()]) {
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let _ = catch(|| library.construct(&config));
            let _ = done.send(());
        });
        if ended.recv_timeout(PATIENCE).is_err() {
            return Err(format!("{config}: a constructor has not returned after {PATIENCE:?}"));
        }
    }
    Ok(Held::Yes)
}

fn ignores_the_wall_clock(library: &dyn Library) -> Outcome {
    if let Err(no) = library.unanswered(&LIMITED, LIMIT, Duration::ZERO) {
        return impossible(no, &LIMITED);
    }
    let now = SystemTime::now();
    let limit = 60 * SECOND;
    let decides = |started| library.retries_by_wall_clock(limit, started);
    // A clock set forward by an hour just after the start, and one set back by an hour when the limit was long over.
    match (decides(now - HOUR), decides(now + HOUR)) {
        (None, _) | (_, None) | (Some(true), Some(false)) => Ok(Held::Yes),
        (forward, back) => Err(format!(
            "time limit {limit:?}; retries at once after the clock went an hour forward: {}; retries for another hour \
             after it went an hour back: {}",
            forward == Some(true),
            back == Some(true)
        )),
    }
}

/// A session, or `None` if the library cannot express what is asked for. None of it is wrong, so a refusal fails.
fn open(library: &dyn Library, config: &Config) -> Result<Option<Delays>, String> {
    match library.session(config) {
        Ok(delays) => Ok(Some(delays)),
        Err(No::Absent) => Ok(None),
        Err(No::Refused(error)) => Err(format!("{config}: refused: {error}")),
    }
}

/// A session that every library can make.
fn opened(library: &dyn Library, config: &Config) -> Result<Delays, String> {
    open(library, config)?.ok_or_else(|| format!("{config}: cannot be expressed"))
}

/// Wait number `n` of this many independent clients.
fn waits(library: &dyn Library, config: &Config, n: u32, clients: usize) -> Result<Vec<Duration>, String> {
    (0..clients)
        .map(|_| opened(library, config)?.nth(n).ok_or_else(|| format!("{config}: there is no wait {n}")))
        .collect()
}

/// Checks a session of every configuration that the library can express.
fn each_possible(
    library: &dyn Library,
    configs: &[Config],
    check: impl Fn(&Config, Delays) -> Result<(), String>,
) -> Outcome {
    let mut applies = false;
    for config in configs {
        if let Some(delays) = open(library, config)? {
            applies = true;
            check(config, delays)?;
        }
    }
    applies_if(applies)
}

/// Every configuration is either beyond what the types can say, or met with an error value.
fn refuses<'c>(library: &dyn Library, configs: impl IntoIterator<Item = &'c Config>) -> Outcome {
    let mut applies = false;
    for config in configs {
        match catch(|| library.session(config)) {
            Ok(Err(No::Absent)) => {}
            Ok(Err(No::Refused(_))) => applies = true,
            Ok(Ok(delays)) => {
                return Err(match catch(|| delays.first(3)) {
                    Ok(waits) => format!("{config}: accepted, waits {waits:?}"),
                    Err(panic) => format!("{config}: accepted, then a wait panicked: {panic}"),
                });
            }
            Err(panic) => return Err(format!("{config}: the constructor panicked: {panic}")),
        }
    }
    applies_if(applies)
}

fn impossible(no: No, config: &Config) -> Outcome {
    match no {
        No::Absent => Ok(Held::Inapplicable),
        No::Refused(error) => Err(format!("{config}: refused: {error}")),
    }
}

fn applies_if(applies: bool) -> Outcome {
    Ok(if applies { Held::Yes } else { Held::Inapplicable })
}

/// The panic's message is the error.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(String::new, ToString::to_string),
    })
}

fn wait_until(counter: &AtomicU32, at_least: u32) -> u32 {
    for spins in 1_u32.. {
        let reached = counter.load(Ordering::Acquire);
        if reached >= at_least {
            return reached;
        }
        if spins.is_multiple_of(4096) { thread::yield_now() } else { spin_loop() }
    }
    unreachable!("an endless loop")
}

fn distinct(waits: &[Duration]) -> usize {
    waits.iter().map(Duration::as_micros).collect::<HashSet<_>>().len()
}

fn relative_width(waits: &[Duration]) -> f64 {
    let (shortest, longest) = (waits.iter().min().expect("waits"), waits.iter().max().expect("waits"));
    (*longest - *shortest).as_secs_f64() / longest.as_secs_f64()
}

fn shown(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "none".into(), |wait| format!("{wait:?}"))
}
