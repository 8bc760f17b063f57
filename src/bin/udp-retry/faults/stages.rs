//! What depends on load, on time or on numbers, each judged on a link that has the one stage: there it is exact.

use std::collections::VecDeque;
use std::time::Duration;

use udp_retry::fault::{
    Bottleneck, DelayModel, Dose, DropCause, Fate, Link, MtuClamp, Outage, QueueLimit, RateTrace, Reorder, Rule,
    Script, Setting,
};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Seed};

use crate::audit::{Rate, chance};

/// Of all such stages that are set.
pub(crate) fn rates(spec: &Impairments, seed: Seed, datagrams: u64) -> Vec<Rate> {
    let bare = Impairments::NONE.with(Setting::Headers(Some(spec.headers()))).unwrap_or(Impairments::NONE);
    let link = |impairments: Impairments| Link::new(impairments, seed);
    let mut rates = Vec::new();
    if !spec.script().rules().is_empty() {
        rates.push(script(link(bare.clone().with_script(spec.script().clone())), spec.script()));
    }
    for outage in spec.outages() {
        if let Ok(alone) = bare.clone().with_outage(*outage) {
            rates.push(outage_rate(link(alone), outage, datagrams));
        }
    }
    if let (Some(clamp), Ok(alone)) = (spec.mtu(), spec.mtu().map_or(Ok(bare.clone()), |it| bare.clone().with_mtu(*it)))
    {
        rates.push(mtu(link(alone), clamp, spec.headers()));
    }
    if let Some(hop) = spec.bottleneck() {
        // What is lost behind it has used it.
        let lossy = bare.clone().with_bottleneck(hop.clone()).with_loss(*spec.loss_model());
        match hop.trace() {
            Some(trace) => rates.push(recorded(link, &bare, trace, spec.headers())),
            None => rates.extend(bottleneck(link(lossy), hop, length(spec), spec.headers(), datagrams)),
        }
    }
    if let Some(model) = spec.delay() {
        rates.push(overtaking(link(bare.clone().with_delay(model.clone())), model, datagrams));
    }
    if let Some(reorder) = spec.reorder() {
        rates.push(reordered(link(bare.with_reorder(*reorder)), reorder, datagrams));
    }
    if let Some(dose) = spec.dose() {
        rates.push(dosed(link(spec.clone()), dose, length(spec), datagrams));
    }
    rates
}

/// Bytes of a datagram that every stage can act on, where there is such a length.
pub(crate) fn length(spec: &Impairments) -> usize {
    let cut = spec.truncate().and_then(|it| it.length()).map_or(0, |to| usize::from(to) + 1);
    let most = spec.mtu().map_or(LARGEST, |mtu| mtu.pmtu().bytes().saturating_sub(spec.headers()) as usize);
    USUAL.max(cut).min(most)
}

/// How many rules were kept.
fn script(mut link: Link, script: &Script) -> Rate {
    let rules = script.rules();
    let last = rules.last().map_or(0, |&(number, _)| number).min(MOST_NUMBERS);
    let (datagram, mut kept) = (vec![0; USUAL], 0);
    for number in 1..=last {
        let fate = link.transmit(Timestamp::ZERO, &datagram);
        let from = rules.partition_point(|&(other, _)| other < number);
        let here = rules[from..].iter().take_while(|&&(other, _)| other == number);
        kept += here.filter(|(_, rule)| keeps(rule, &fate)).count();
    }
    Rate::new("script", rules.len() as f64, Some(kept as f64), 0.0, last)
}

fn keeps(rule: &Rule, fate: &Fate) -> bool {
    let copies = match fate {
        Fate::Delivered(copies) => copies.as_slice(),
        _ => &[],
    };
    let first = copies.first().map(|copy| copy.at);
    match *rule {
        Rule::Drop => *fate == Fate::Dropped(DropCause::Script),
        Rule::Refuse { limit } => matches!(fate, Fate::TooBig { limit: told } if told.bytes() == usize::from(limit)),
        Rule::Delay { by } => first == Some(Timestamp::ZERO.after(by)),
        Rule::Duplicate { after } => copies.iter().skip(1).any(|copy| first.map(|at| at.after(after)) == Some(copy.at)),
        Rule::Truncate { copy, to } => copies.get(usize::from(copy)).is_some_and(|it| it.len == USUAL.min(to.into())),
        Rule::Corrupt { copy, bit } => copies
            .get(usize::from(copy))
            .is_some_and(|it| it.flips.as_slice().contains(&bit) || bit as usize >= it.len * 8),
    }
}

/// The share of its periods, or, if it comes once, how long it lasts.
fn outage_rate(mut link: Link, outage: &Outage, datagrams: u64) -> Rate {
    let once = outage.period().is_none();
    // All that is before and as much behind it again, or some whole periods.
    let early = if once { outage.lasting().min(outage.from()) } else { Duration::ZERO };
    let window = outage.period().map_or(early + outage.lasting() * 2, |every| every * PERIODS);
    let begin = outage.from() - early;
    for n in 0..datagrams {
        let since = window.as_nanos() * u128::from(n) / u128::from(datagrams);
        let now = begin.as_nanos().saturating_add(since).try_into().unwrap_or(u64::MAX);
        link.transmit(Timestamp::from_nanos(now), b"");
    }
    let share = link.stats().dropped.outage as f64 / datagrams as f64;
    // One datagram for each beginning.
    let step = 1.0 / datagrams as f64;
    if once {
        let window = window.as_secs_f64();
        let bound = step * window + 1e-9;
        Rate::new("outage_time", outage.lasting().as_secs_f64(), Some(share * window), bound, datagrams)
    } else {
        Rate::new("outage_share", outage.share(), Some(share), f64::from(PERIODS) * step, datagrams)
    }
}

/// The largest packet that passes as it is.
fn mtu(mut link: Link, clamp: &MtuClamp, headers: u32) -> Rate {
    let mut passes = |len: usize| {
        let before = *link.stats();
        link.transmit(Timestamp::ZERO, &vec![0; len]);
        let after = link.stats();
        after.delivered > before.delivered && after.clamped == before.clamped
    };
    let (mut fits, mut fails) = (0, LARGEST + 1);
    while fails - fits > 1 {
        let middle = (fits + fails) / 2;
        *(if passes(middle) { &mut fits } else { &mut fails }) = middle;
    }
    let packet = u32::try_from(fits).unwrap_or(u32::MAX).saturating_add(headers);
    // No datagram tells an MTU above the largest from one that is larger still.
    let observed = if fits == LARGEST { packet.max(clamp.pmtu().bytes()) } else { packet };
    Rate::new("mtu", clamp.pmtu().bytes().into(), Some(observed.into()), 0.0, 1)
}

/// What it carries while more comes than it can, and what waited when the first one found no room.
fn bottleneck(mut link: Link, hop: &Bottleneck, len: usize, headers: u32, datagrams: u64) -> [Rate; 2] {
    let (datagram, bits) = (vec![0; len], (len as u128 + u128::from(headers)) * 8);
    // In steps of 1/rate ns, so that nothing is rounded.
    let (service, rate) = (bits * 1_000_000_000, u128::from(hop.rate()));
    let accepted = |link: &mut Link, now: u64| match link.transmit(Timestamp::from_nanos(now), &datagram) {
        Fate::Delivered(copies) => (true, copies.as_slice().first().map(|copy| copy.at.as_nanos())),
        Fate::Dropped(cause) => (cause != DropCause::Queue, None),
        _ => (false, None),
    };

    let (mut passed, mut arrived) = (0_u64, (0, 0));
    let mut room = true;
    while room && passed < MOST_WAITING {
        let (fits, at) = accepted(&mut link, 0);
        room = fits;
        passed += u64::from(fits);
        arrived = at.map_or(arrived, |at| (passed, at));
    }
    let waiting = passed.saturating_sub(1);
    let queue = queue(hop.queue(), waiting, service, rate, bits / 8, room);

    // As long as it lasts, and not past the end of time.
    let ages = u128::from(u64::MAX / 2) * rate / service.max(1);
    let most = u128::from(datagrams).min(ages).try_into().unwrap_or(u64::MAX);
    for n in 1..=most {
        // Twice as many as it can carry.
        let now = (service * u128::from(n) / 2 / rate).try_into().unwrap_or(u64::MAX);
        let (fits, at) = accepted(&mut link, now);
        passed += u64::from(fits);
        arrived = at.map_or(arrived, |at| (passed, at));
    }
    let (carried, last) = arrived;
    let carried_bits = (u128::from(carried) * bits) as f64;
    let observed = (last > 0).then(|| carried_bits / (last as f64 / 1e9));
    // The last one leaves within the nanosecond before, and a float has 53 bits.
    let asked = hop.rate() as f64;
    let bound = if last > 1 { asked / (last - 1) as f64 + asked * 1e-12 } else { asked };
    [Rate::new("rate", asked, observed, bound, carried), queue]
}

/// What a recorded rate carries in one period, if more comes than it can carry: a datagram with each opportunity.
fn recorded(link: impl Fn(Impairments) -> Link, bare: &Impairments, trace: &RateTrace, headers: u32) -> Rate {
    let endless = Bottleneck::traced(trace.clone(), QueueLimit::Bytes(u64::MAX));
    let mut link = link(endless.map_or_else(|_| bare.clone(), |hop| bare.clone().with_bottleneck(hop)));
    let datagram = vec![0; AT_ONCE.saturating_sub(headers as usize)];
    // From behind the opportunities of the very first moment to those of the same moment one period later.
    let (begin, period) = (Timestamp::from_nanos(1), trace.period());
    let mut carried = 0_u64;
    while let Fate::Delivered(copies) = link.transmit(begin, &datagram) {
        if copies.iter().any(|copy| copy.at.since(begin) >= period) {
            break;
        }
        carried += 1;
    }
    let per_second = |bytes: f64| bytes * 8.0 / period.as_secs_f64();
    let (asked, packet) = ((trace.millis().len() * AT_ONCE) as f64, (datagram.len() + headers as usize) as f64);
    // One that is in part on the wire, where headers alone are longer than an opportunity.
    let bound = if packet == AT_ONCE as f64 { 0.0 } else { per_second(packet) };
    Rate::new("rate", per_second(asked), Some(per_second(carried as f64 * packet)), bound, carried)
}

/// The most that waited before one was dropped: less than one datagram short of what there is room for.
fn queue(limit: QueueLimit, waiting: u64, service: u128, rate: u128, bytes: u128, endless: bool) -> Rate {
    let waited = u128::from(waiting) * service / rate;
    let (knob, asked, observed, one) = match limit {
        QueueLimit::Time(most) => {
            ("queue_time", most.as_secs_f64(), waited as f64 / 1e9, (service / rate) as f64 / 1e9)
        }
        QueueLimit::Bytes(most) => ("queue_bytes", most as f64, (u128::from(waiting) * bytes) as f64, bytes as f64),
        QueueLimit::Datagrams(most) => ("queue_datagrams", f64::from(most), waiting as f64, 0.0),
        _ => ("queue", f64::NAN, f64::NAN, 0.0),
    };
    // Never more than asked, but for the rounding of floats; and it may be longer than anybody could fill it.
    let bound = match () {
        () if observed > asked => 0.0,
        () if endless => asked,
        () => one + 1e-9,
    };
    Rate::new(knob, asked, Some(observed), bound, waiting)
}

/// How many of those that are sent at once overtake the one before: none, or every second one.
fn overtaking(mut link: Link, model: &DelayModel, datagrams: u64) -> Rate {
    let half = model.is_unordered() && !model.law().std_dev().is_zero();
    let mut arrive = || match link.transmit(Timestamp::ZERO, b"") {
        Fate::Delivered(copies) => copies.as_slice().first().map(|copy| copy.at),
        _ => None,
    };
    let (mut before, mut halves) = (arrive(), 0_u64);
    for _ in 0..datagrams {
        let here = arrive();
        halves += match (here < before, here == before) {
            (true, _) => 2,
            // A tie overtakes as much as not; where order is kept it does not.
            (_, true) if half => 1,
            _ => 0,
        };
        before = here;
    }
    let asked = if half { 0.5 } else { 0.0 };
    let observed = halves as f64 / 2.0 / datagrams as f64;
    let bound = chance(datagrams as f64 * asked * (1.0 - asked), 1.0) / datagrams as f64;
    Rate::new("overtaking", asked, Some(observed), bound, datagrams)
}

/// How many arrive behind one that was sent later (RFC 4737), if some are sent during each hold.
fn reordered(mut link: Link, reorder: &Reorder, datagrams: u64) -> Rate {
    let spacing = (reorder.by() / OVERTAKERS).max(Duration::from_nanos(1));
    let datagrams = datagrams.min((u128::from(u64::MAX / 2) / spacing.as_nanos()) as u64).max(1);
    let mut now = Timestamp::ZERO;
    let mut arrivals = Vec::with_capacity(datagrams as usize);
    for n in 0..datagrams {
        if let Fate::Delivered(copies) = link.transmit(now, b"") {
            arrivals.extend(copies.iter().map(|copy| (copy.at, n)));
        }
        now = now.after(spacing);
    }
    arrivals.sort_unstable();
    let (mut newest, mut behind) = (0, 0_u64);
    for (_, n) in arrivals {
        behind += u64::from(n < newest);
        newest = newest.max(n);
    }
    let asked = reorder.reordered_share(spacing);
    let observed = behind as f64 / datagrams as f64;
    // Whether one is overtaken hangs on those sent within its hold.
    let inflation = f64::from(2 * OVERTAKERS + 1);
    let bound = chance(datagrams as f64 * asked * (1.0 - asked), inflation) / datagrams as f64;
    Rate::new("reordered", asked, Some(observed), bound, datagrams)
}

/// The most faults in a window, or more than it if too many in a row were lost.
fn dosed(mut link: Link, dose: &Dose, len: usize, datagrams: u64) -> Rate {
    let datagram = vec![0; len];
    let (mut window, mut most, mut in_a_row) = (VecDeque::new(), 0, 0);
    let mut too_many = false;
    for n in 0..datagrams {
        let fate = link.transmit(Timestamp::from_nanos(n.saturating_mul(1_000_000)), &datagram);
        let (harmed, lost) = match &fate {
            Fate::Delivered(copies) => match copies.as_slice() {
                [copy] => (copy.len < len || !copy.flips.as_slice().is_empty(), false),
                _ => (true, false),
            },
            _ => (true, true),
        };
        window.push_back(harmed);
        if window.len() > dose.window() as usize {
            window.pop_front();
        }
        most = most.max(window.iter().filter(|&&harmed| harmed).count());
        in_a_row = if lost { in_a_row + 1 } else { 0 };
        too_many |= dose.most_in_a_row().is_some_and(|most| in_a_row > most);
    }
    let (asked, most) = (f64::from(dose.faults()), most as f64);
    Rate::new("dose", asked, Some(most), asked, datagrams).judged(most <= asked && !too_many)
}

/// Bytes, unless the specification needs others.
const USUAL: usize = 1250;
/// The largest payload over IPv4.
const LARGEST: usize = 65_507;
/// What a line of a trace lets leave.
const AT_ONCE: usize = 1504;
/// Of an outage that comes back.
const PERIODS: u32 = 10;
/// Datagrams sent within a hold.
const OVERTAKERS: u32 = 4;
const MOST_NUMBERS: u64 = 10_000_000;
const MOST_WAITING: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dose_that_is_not_kept_is_found_whatever_the_fault() {
        for (told, asked, most, kept) in [
            ("loss 90%; dose 6 of 10 drops 3", "dose 6 of 10 drops 3", 6.0, true),
            ("none", "dose 2 of 3", 0.0, true),
            ("loss 100%", "dose 1 of 4", 4.0, false),
            ("duplicate 100%", "dose 1 of 4", 4.0, false),
            ("truncate 100% to 9", "dose 1 of 4", 4.0, false),
            ("corrupt 100%", "dose 1 of 4", 4.0, false),
            // Two of any three are four of five.
            ("loss 100%; dose 2 of 3", "dose 2 of 5", 4.0, false),
            // No more than it may harm, but too many of them in a row lost.
            ("loss 100%; dose 6 of 10", "dose 6 of 10 drops 3", 6.0, false),
            ("duplicate 100%; dose 6 of 10", "dose 6 of 10 drops 3", 6.0, true),
        ] {
            let spec = |text: &str| text.parse::<Impairments>().unwrap_or_else(|error| panic!("{text}: {error}"));
            let dose = spec(asked).dose().copied();
            let rate = dosed(Link::new(spec(told), Seed::new(1)), &dose.unwrap(), USUAL, 1000);
            assert_eq!((rate.observed, rate.is_broken()), (Some(most), !kept), "{told} for {asked}");
        }
    }
}
