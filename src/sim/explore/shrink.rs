use alloc::vec::Vec;
use core::time::Duration;

use crate::fault::Rule;
use crate::sim::Fault;
use crate::time::saturating_ns;

/// Whether a run with only these faults fails; `None` if that may not be tried any more.
pub(super) type Fails<'f> = dyn FnMut(&[Fault]) -> Option<bool> + 'f;

/// The smallest set of faults found that still fails, and whether the search came to its end.
///
/// Delta debugging (Zeller 1999): ever smaller parts are left out, until none of the faults that are left can be.
pub(super) fn fewest(mut faults: Vec<Fault>, fails: &mut Fails<'_>) -> (Vec<Fault>, bool) {
    let mut parts = 1;
    while !faults.is_empty() {
        let size = faults.len().div_ceil(parts).max(1);
        let mut smaller = None;
        for start in (0..faults.len()).step_by(size) {
            let without = without(&faults, start, size);
            match fails(&without) {
                None => return (faults, false),
                Some(false) => {}
                Some(true) => {
                    smaller = Some(without);
                    break;
                }
            }
        }
        match smaller {
            Some(smaller) => {
                faults = smaller;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(faults.len()),
        }
    }
    (faults, true)
}

/// As few times as possible, and those the smallest that still fail, in round numbers. Returns whether the search came
/// to its end.
pub(super) fn roundest(faults: &mut Vec<Fault>, fails: &mut Fails<'_>) -> bool {
    merged(faults, fails).and_then(|()| rounded(faults, fails)).is_some()
}

/// Two delays may be what one as long as both would do.
fn merged(faults: &mut Vec<Fault>, fails: &mut Fails<'_>) -> Option<()> {
    if faults.len() > MOST_MERGED {
        return Some(());
    }
    let mut kept = 0;
    while kept < faults.len() {
        let mut merged = None;
        for left_out in (0..faults.len()).filter(|&it| it != kept) {
            let times = (faults.get(kept).and_then(time), faults.get(left_out).and_then(time));
            let (Some(one), Some(other)) = times else { continue };
            let mut fewer = faults.clone();
            if let Some(fault) = fewer.get_mut(kept) {
                *fault = with_time(*fault, round_up(saturating_ns(one.saturating_add(other)), 1));
            }
            fewer.remove(left_out);
            if fails(&fewer)? {
                merged = Some(fewer);
                break;
            }
        }
        match merged {
            Some(fewer) => (*faults, kept) = (fewer, 0),
            None => kept += 1,
        }
    }
    Some(())
}

/// Each time becomes a number of one digit, or of two or three if it must, and the smallest such.
fn rounded(faults: &mut [Fault], fails: &mut Fails<'_>) -> Option<()> {
    for place in 0..faults.len() {
        let Some(given) = faults.get(place).and_then(time).map(saturating_ns) else { continue };
        for digits in 1..=3 {
            let mut fails_at = |faults: &mut [Fault], ns: u64| {
                let before = faults.get(place).copied()?;
                *faults.get_mut(place)? = with_time(before, ns);
                let failed = fails(faults);
                if failed != Some(true) {
                    *faults.get_mut(place)? = before;
                }
                failed
            };
            let mut high = round_up(given, digits);
            if !fails_at(faults, high)? {
                continue;
            }
            // Halving, as most thresholds have one side that fails. The least of all stands for "at all".
            let mut low = 0;
            while let Some(middle) = between(low, high, digits) {
                if fails_at(faults, middle)? {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            break;
        }
    }
    Some(())
}

/// A number of so many digits between two others, about halfway from one decade or digit to the other; `None` if there
/// is none.
fn between(low: u64, high: u64, digits: u32) -> Option<u64> {
    let (from, to) = (rank(low, digits), rank(high, digits));
    (to > from + 1).then(|| of_rank((from + to) / 2, digits))
}

/// The place of a round number among all of its number of digits, from the least: 1 us.
fn rank(ns: u64, digits: u32) -> u64 {
    if ns < LEAST {
        return 0;
    }
    let (start, many) = (10_u64.pow(digits - 1), 9 * 10_u64.pow(digits - 1));
    // Both have four digits at least.
    let scale = ns.ilog10() + 1 - digits;
    u64::from(ns.ilog10() - LEAST.ilog10()) * many + ns / 10_u64.pow(scale) - start + 1
}

/// The number at this place, from 1.
fn of_rank(rank: u64, digits: u32) -> u64 {
    let (start, many) = (10_u64.pow(digits - 1), 9 * 10_u64.pow(digits - 1));
    let (decade, place) = ((rank - 1) / many, (rank - 1) % many);
    let mut value = LEAST / start * (start + place);
    for _ in 0..decade {
        value = value.saturating_mul(10);
    }
    value
}

/// The least number of so many digits that is not less.
fn round_up(ns: u64, digits: u32) -> u64 {
    let ns = ns.max(LEAST);
    let unit = 10_u64.pow(ns.ilog10() + 1 - digits);
    ns.div_ceil(unit).saturating_mul(unit)
}

fn without(faults: &[Fault], start: usize, many: usize) -> Vec<Fault> {
    let left_out = start..start + many;
    faults.iter().enumerate().filter(|(n, _)| !left_out.contains(n)).map(|(_, fault)| *fault).collect()
}

fn time(fault: &Fault) -> Option<Duration> {
    match fault.rule {
        Rule::Delay { by: time } | Rule::Duplicate { after: time } => Some(time),
        _ => None,
    }
}

fn with_time(fault: Fault, ns: u64) -> Fault {
    let time = Duration::from_nanos(ns);
    let rule = match fault.rule {
        Rule::Delay { .. } => Rule::Delay { by: time },
        Rule::Duplicate { .. } => Rule::Duplicate { after: time },
        other => other,
    };
    Fault { rule, ..fault }
}

/// The shortest time that is tried, in nanoseconds: a power of ten with as many digits as any rounding has.
const LEAST: u64 = 1_000;
/// More are not merged: every pair is a run.
const MOST_MERGED: usize = 12;
