use alloc::vec::Vec;
use core::time::Duration;

use super::SpecError;
use super::cursor::Cursor;
use super::quantity::{BYTES, RATE, TIME};
use super::{rules, traces};
use crate::fault::impairment::bottleneck::{Bottleneck, QueueLimit};
use crate::fault::impairment::damage::{Corrupt, Truncate};
use crate::fault::impairment::delay::{DelayLaw, DelayModel};
use crate::fault::impairment::dose::Dose;
use crate::fault::impairment::duplicate::Duplicate;
use crate::fault::impairment::gilbert::GilbertElliott;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::loss::LossModel;
use crate::fault::impairment::mtu::{MtuClamp, Oversize};
use crate::fault::impairment::outage::Outage;
use crate::fault::impairment::probability::Probability;
use crate::fault::impairment::reorder::Reorder;
use crate::fault::impairment::script::Script;
use crate::fault::impairment::timeline::Setting;
use crate::size::Pmtu;

/// The setting of a clause whose first word this is; `None` if there is no such clause.
pub(super) fn setting(cursor: &mut Cursor<'_>, knob: &str) -> Result<Option<Setting>, SpecError> {
    Ok(Some(match knob {
        "script" => Setting::Script(cursor.braced(rules::script)?),
        "headers" => Setting::Headers(Some(headers(cursor)?)),
        "mtu" => Setting::Mtu(Some(mtu(cursor)?)),
        "rate" => Setting::Bottleneck(Some(bottleneck(cursor)?)),
        "loss" => Setting::Loss(loss(cursor)?),
        "duplicate" => Setting::Duplicate(Some(duplicate(cursor)?)),
        "truncate" => Setting::Truncate(Some(truncate(cursor)?)),
        "corrupt" => Setting::Corrupt(Some(corrupt(cursor)?)),
        "delay" => Setting::Delay(Some(delay(cursor)?)),
        "reorder" => Setting::Reorder(Some(reorder(cursor)?)),
        "dose" => Setting::Dose(Some(dose(cursor)?)),
        _ => return Ok(None),
    }))
}

/// The same where it is taken away.
pub(super) fn taken_away(knob: &str) -> Option<Setting> {
    Some(match knob {
        "script" => Setting::Script(Script::EMPTY),
        "headers" => Setting::Headers(None),
        "mtu" => Setting::Mtu(None),
        "rate" => Setting::Bottleneck(None),
        "loss" => Setting::Loss(LossModel::NONE),
        "duplicate" => Setting::Duplicate(None),
        "truncate" => Setting::Truncate(None),
        "corrupt" => Setting::Corrupt(None),
        "delay" => Setting::Delay(None),
        "reorder" => Setting::Reorder(None),
        "dose" => Setting::Dose(None),
        _ => return None,
    })
}

pub(super) fn outage(cursor: &mut Cursor<'_>) -> Result<Outage, SpecError> {
    let at = cursor.at();
    cursor.expect("`from`")?;
    let from = cursor.time()?;
    cursor.expect("`for`")?;
    let lasting = cursor.time()?;
    let once = cursor.feasible(at, Outage::new(from, lasting))?;
    if !cursor.may("every", "`every`, `;` or the end") {
        return Ok(once);
    }
    let every = cursor.time()?;
    cursor.feasible(at, once.every(every))
}

fn headers(cursor: &mut Cursor<'_>) -> Result<u32, SpecError> {
    let at = cursor.at();
    let bytes = cursor.value(UP_TO_32_BITS)?;
    cursor.feasible(at, Impairments::NONE.with_headers(bytes))?;
    Ok(bytes)
}

fn mtu(cursor: &mut Cursor<'_>) -> Result<MtuClamp, SpecError> {
    let pmtu = Pmtu::new(cursor.value(UP_TO_32_BITS)?);
    let oversize = if cursor.may("error", AFTER_MTU) {
        Oversize::Error
    } else if cursor.may("report", AFTER_MTU) {
        Oversize::Report
    } else if cursor.may("truncate", AFTER_MTU) {
        Oversize::Truncate
    } else {
        Oversize::Drop
    };
    Ok(MtuClamp::new(pmtu, oversize))
}

fn bottleneck(cursor: &mut Cursor<'_>) -> Result<Bottleneck, SpecError> {
    let at = cursor.at();
    if cursor.take("trace") {
        let trace = traces::trace(cursor)?;
        let queue = if cursor.may("queue", "`queue`, `;` or the end") { queue(cursor)? } else { USUAL_QUEUE };
        return cursor.feasible(at, Bottleneck::traced(trace, queue));
    }
    let rate = cursor.quantity(&RATE)?;
    let queue = if cursor.may("queue", "`queue`, `;` or the end") { queue(cursor)? } else { USUAL_QUEUE };
    cursor.feasible(at, Bottleneck::new(rate, queue))
}

fn queue(cursor: &mut Cursor<'_>) -> Result<QueueLimit, SpecError> {
    let number = cursor.number("a queue such as 100ms, 64kB or 25 datagrams")?;
    let unit = cursor.peek();
    if TIME.scale(unit.text).is_some() {
        return cursor.in_units(number, &TIME).map(Duration::from_nanos).map(QueueLimit::Time);
    }
    if BYTES.scale(unit.text).is_some() {
        return cursor.in_units(number, &BYTES).map(QueueLimit::Bytes);
    }
    if cursor.take("datagrams") {
        return cursor.value_of(number, UP_TO_32_BITS).map(QueueLimit::Datagrams);
    }
    Err(cursor.unexpected(unit, "a unit of time such as ms, one of bytes such as kB, or `datagrams`"))
}

fn loss(cursor: &mut Cursor<'_>) -> Result<LossModel, SpecError> {
    let at = cursor.at();
    if cursor.take("exactly") {
        let drops = cursor.value(UP_TO_32_BITS)?;
        cursor.expect("`of`")?;
        let of = cursor.value(UP_TO_32_BITS)?;
        return cursor.feasible(at, LossModel::exactly(drops, of));
    }
    if cursor.take("pattern") {
        return pattern(cursor, at);
    }
    let chain = if cursor.take("p") {
        let p = cursor.percentage()?;
        cursor.expect("`r`")?;
        let r = cursor.percentage()?;
        let good = cursor.may("good", "`good`, `bad`, `;` or the end").then(|| cursor.percentage()).transpose()?;
        let bad = cursor.may("bad", "`bad`, `;` or the end").then(|| cursor.percentage()).transpose()?;
        GilbertElliott::new(p, r, good.unwrap_or(Probability::ZERO), bad.unwrap_or(Probability::ONE))
    } else {
        let loss = cursor.percentage_or("a percentage such as 5%, `p`, `exactly` or `pattern`")?;
        if cursor.may("burst", AFTER_LOSS) {
            GilbertElliott::with_mean_burst(loss, cursor.value("a number of datagrams such as 3")?)
        } else if cursor.may("correlation", AFTER_LOSS) {
            GilbertElliott::with_correlation(loss, cursor.percentage()?)
        } else {
            return Ok(LossModel::Bernoulli(loss));
        }
    };
    cursor.feasible(at, chain.map(LossModel::GilbertElliott))
}

fn pattern(cursor: &mut Cursor<'_>, at: usize) -> Result<LossModel, SpecError> {
    let expected = "a pattern such as 0100";
    let places = cursor.number(expected)?;
    if !places.text.bytes().all(|place| matches!(place, b'0' | b'1')) {
        return Err(cursor.unexpected(places, expected));
    }
    let lost: Vec<_> = places.text.bytes().map(|place| place == b'1').collect();
    cursor.feasible(at, LossModel::pattern(&lost))
}

fn duplicate(cursor: &mut Cursor<'_>) -> Result<Duplicate, SpecError> {
    let at = cursor.at();
    let duplicate = Duplicate::new(cursor.percentage()?);
    if !cursor.may("late", "`late`, `;` or the end") {
        return Ok(duplicate);
    }
    law(cursor, at, &AFTER_LATENESS).map(|law| duplicate.late(law))
}

fn truncate(cursor: &mut Cursor<'_>) -> Result<Truncate, SpecError> {
    let truncate = Truncate::new(cursor.percentage()?);
    if !cursor.may("to", "`to`, `;` or the end") {
        return Ok(truncate);
    }
    cursor.value(UP_TO_16_BITS).map(|len| truncate.to(len))
}

fn corrupt(cursor: &mut Cursor<'_>) -> Result<Corrupt, SpecError> {
    let at = cursor.at();
    let corrupt = Corrupt::new(cursor.percentage()?);
    if !cursor.may("bits", "`bits`, `;` or the end") {
        return Ok(corrupt);
    }
    let bits = cursor.value("a whole number, 255 at most")?;
    cursor.feasible(at, corrupt.bits(bits))
}

fn delay(cursor: &mut Cursor<'_>) -> Result<DelayModel, SpecError> {
    let at = cursor.at();
    let law = law(cursor, at, &AFTER_DELAY)?;
    let mut model = DelayModel::new(law);
    let (mut correlated, mut unordered) = (false, false);
    loop {
        let could = match (correlated, unordered) {
            (false, false) => "`correlation`, `unordered`, `;` or the end",
            (true, false) => "`unordered`, `;` or the end",
            (false, true) => "`correlation`, `;` or the end",
            (true, true) => return Ok(model),
        };
        if !correlated && cursor.may("correlation", could) {
            let correlation = cursor.percentage()?;
            model = cursor.feasible(at, model.correlated(correlation))?;
            correlated = true;
        } else if !unordered && cursor.may("unordered", could) {
            model = model.unordered();
            unordered = true;
        } else {
            return Ok(model);
        }
    }
}

/// What may follow the first time of a distribution, and a table.
struct AfterLaw {
    time: &'static str,
    table: &'static str,
}

/// The distribution of the clause whose value began at this byte.
fn law(cursor: &mut Cursor<'_>, at: usize, could: &AfterLaw) -> Result<DelayLaw, SpecError> {
    if cursor.take("quantiles") {
        let times = cursor.list(could.table, Cursor::time)?;
        return cursor.feasible(at, DelayLaw::measured(&times));
    }
    let time = cursor.time_or("a time such as 50ms, or `quantiles`")?;
    let law = if cursor.may("~", could.time) {
        DelayLaw::uniform(time, cursor.time()?)
    } else if cursor.may("normal", could.time) {
        DelayLaw::normal(time, cursor.time()?)
    } else if cursor.may("exponential", could.time) {
        DelayLaw::exponential(time, cursor.time()?)
    } else {
        DelayLaw::fixed(time)
    };
    cursor.feasible(at, law)
}

fn reorder(cursor: &mut Cursor<'_>) -> Result<Reorder, SpecError> {
    let at = cursor.at();
    let probability = cursor.percentage()?;
    cursor.expect("`by`")?;
    let by = cursor.time()?;
    cursor.feasible(at, Reorder::new(probability, by))
}

fn dose(cursor: &mut Cursor<'_>) -> Result<Dose, SpecError> {
    let at = cursor.at();
    let faults = cursor.value(UP_TO_32_BITS)?;
    cursor.expect("`of`")?;
    let window = cursor.value(UP_TO_32_BITS)?;
    let dose = cursor.feasible(at, Dose::at_most(faults, window))?;
    if !cursor.may("drops", "`drops`, `;` or the end") {
        return Ok(dose);
    }
    cursor.value(UP_TO_32_BITS).map(|drops| dose.drops_in_a_row(drops))
}

const USUAL_QUEUE: QueueLimit = QueueLimit::Time(Duration::from_millis(100));

const AFTER_DELAY: AfterLaw = AfterLaw {
    time: "`~`, `normal`, `exponential`, `correlation`, `unordered`, `;` or the end",
    table: "`,`, `correlation`, `unordered`, `;` or the end",
};
const AFTER_LATENESS: AfterLaw =
    AfterLaw { time: "`~`, `normal`, `exponential`, `;` or the end", table: "`,`, `;` or the end" };
const AFTER_MTU: &str = "`error`, `report`, `truncate`, `;` or the end";
const AFTER_LOSS: &str = "`burst`, `correlation`, `;` or the end";
const UP_TO_16_BITS: &str = "a whole number, 65535 at most";
const UP_TO_32_BITS: &str = "a whole number, 4294967295 at most";
