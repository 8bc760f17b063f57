//! What every backoff that can be built must keep at every slot under every seed, checked against the exact model.

use udp_retry::Seed;
use udp_retry::policy::Backoff;

use crate::exact::{Drawn, ONE, Q, Settings, fraction, ns, ratio, unit, whole};

/// P1 to P8 at one slot of one request.
pub(crate) fn assert_kept(settings: &Settings, backoff: &Backoff, n: u32, seed: u64) {
    interval_is_growth_up_to_the_cap(settings, backoff, n);
    delay_is_within_bounds(settings, backoff, n, seed);
    if settings.drawn == Drawn::Compounding {
        delay_compounds(settings, backoff, n, seed);
    } else {
        delay_is_the_fraction_drawn(settings, backoff, n, seed);
    }
}

fn interval_is_growth_up_to_the_cap(settings: &Settings, backoff: &Backoff, n: u32) {
    let interval = ns(backoff.interval(n));
    let (base, slack) = (settings.base(n), settings.slack(n));
    assert!(distance(&whole(interval), &base) <= slack, "{settings:?}: interval {n} is {interval}, not {base:?}");
    assert!(whole(interval) <= settings.cap(), "{settings:?}: interval {n}, {interval}, exceeds the cap");
    assert!(interval >= settings.initial, "{settings:?}: interval {n} shrank to {interval}");
    if let Some(next) = n.checked_add(1) {
        assert!(backoff.interval(next) >= backoff.interval(n), "{settings:?}: interval {next} shrinks");
    }
    match settings.grown(n) {
        Some(grown) if grown < settings.cap() => {}
        _ => assert!(settings.cap() - whole(interval) <= settings.slack(n), "{settings:?}: {interval} at the cap"),
    }
}

fn delay_is_within_bounds(settings: &Settings, backoff: &Backoff, n: u32, seed: u64) {
    let (delay, (lo, hi)) = (backoff.delay(n, Seed::new(seed)), backoff.bounds(n));
    assert!(lo <= delay && delay <= hi, "{settings:?}: delay {n} of {seed} is {delay:?}, not in {lo:?} to {hi:?}");
    assert!(hi <= backoff.max() && ns(hi) <= settings.max, "{settings:?}: delay {n} may exceed the maximum");
    assert!(ns(lo) >= settings.floor.max(1), "{settings:?}: delay {n} may fall below the floor");
}

/// lo + draw/2⁶⁴ of the way to hi, rounded to a nanosecond inside.
fn delay_is_the_fraction_drawn(settings: &Settings, backoff: &Backoff, n: u32, seed: u64) {
    let (lo, hi) = settings.range(n);
    let slot = if settings.drawn == Drawn::Once { 0 } else { n };
    let expected = &lo + (&hi - &lo) * unit(Seed::new(seed).draw(slot.into()));
    // The interval before jitter may be off by its slack; the ends and the draw are rounded.
    let slack = settings.slack(n);
    let tolerance = &slack * fraction(settings.hi.max(ONE)) + whole(2);
    let delay = ns(backoff.delay(n, Seed::new(seed)));
    assert!(distance(&whole(delay), &expected) <= tolerance, "{settings:?}: delay {n} of {seed} is {delay}");
    if slack == whole(0) {
        let (first, last) = (lo.ceil(), hi.floor());
        // No whole nanosecond may lie in a very narrow range; the one above it is taken then.
        let last = if last < first { first.clone() } else { last };
        assert!((first..=last).contains(&whole(delay)), "{settings:?}: delay {n} of {seed} is {delay}, out of its law");
    }
}

/// RT = (multiplier − 1 + factor)·RTprev, and factor·cap where that reaches the cap; never below the floor.
fn delay_compounds(settings: &Settings, backoff: &Backoff, n: u32, seed: u64) {
    let steps = steps_to_the_cap(settings).min(n);
    let grown = settings.compounded((0..=steps).map(|slot| Seed::new(seed).draw(slot.into())));
    let delay = whole(ns(backoff.delay(n, Seed::new(seed))));
    // A last bit of each factor, and the nearest nanosecond.
    let slack = |value: &Q| value * whole(u64::from(steps) + 2) / whole(1 << 62) + ratio(501, 1000);
    let (lo, hi) = settings.range_around(&settings.cap());
    let anew = &lo + (hi - &lo) * unit(Seed::new(seed).draw(n.into()));
    let drawn_anew = distance(&delay, &anew) <= whole(2) + fraction(settings.hi);
    let fits = match &grown {
        None => drawn_anew || distance(&delay, &settings.cap()) <= slack(&settings.cap()),
        // Just below the cap, which is a whole nanosecond, a last bit decides whether it is drawn anew.
        Some(grown) if distance(grown, &settings.cap()) <= slack(grown) + whole(1) => {
            drawn_anew || distance(&delay, grown) <= slack(grown)
        }
        Some(grown) => distance(&delay, grown) <= slack(grown),
    };
    assert!(
        fits,
        "{settings:?}: delay {n} of {seed} is {delay}, not {:?}, or anew {}",
        grown.map(|grown| grown.floor()),
        anew.floor()
    );
}

/// Every compounding interval is at its cap after this many slots, because each is 1.118 times the one before.
fn steps_to_the_cap(settings: &Settings) -> u32 {
    let range = settings.max / settings.initial;
    (range as f64).log(1.118) as u32 + 4
}

fn distance(a: &Q, b: &Q) -> Q {
    if a > b { a - b } else { b - a }
}

/// The slot from which on every interval is the cap, if 64 bits of slots reach it: log(cap/initial)/log(multiplier).
pub(crate) fn saturation(settings: &Settings) -> Option<u32> {
    if settings.multiplier == ONE {
        return None;
    }
    let range = ratio(settings.initial, 1);
    let range = (settings.cap() / range).ceil().numer().to_string().parse::<f64>().expect("digits");
    let steps = range.ln() / ((settings.multiplier - ONE) as f64 / 1e9).ln_1p() * (1.0 + 1e-9) + 2.0;
    (steps < f64::from(u32::MAX)).then_some(steps as u32)
}
