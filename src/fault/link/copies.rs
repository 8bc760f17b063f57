use super::fate::{Deliveries, Delivery};
use super::seeds::Seeds;
use crate::fault::impairment::damage::DamageDraws;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::script::Rule;

/// Whether nothing adds to a datagram or takes from it.
#[inline]
pub(super) fn is_alone(impairments: &Impairments, seeds: &Seeds, sequence: u64, rules: &[(u64, Rule)]) -> bool {
    let ([truncating, ..], [corrupting, ..]) = (&seeds.truncate, &seeds.corrupt);
    rules.is_empty()
        && !impairments.duplicate().is_some_and(|it| it.probability().happens(seeds.duplicate.draw(sequence)))
        && !impairments.truncate().is_some_and(|it| it.happens(truncating, sequence))
        && !impairments.corrupt().is_some_and(|it| it.happens(corrupting, sequence))
}

/// Adds the duplicates to the datagram itself, and damages each of them independently.
pub(super) fn add(
    impairments: &Impairments,
    seeds: &Seeds,
    deliveries: &mut Deliveries,
    sequence: u64,
    rules: &[(u64, Rule)],
) {
    let [first, ..] = *deliveries.as_slice() else { return };
    for (_, rule) in rules {
        if let Rule::Duplicate { after } = rule {
            deliveries.push(Delivery { at: first.at.after(*after), ..first });
        }
    }
    if let ([_], Some(duplicate)) = (deliveries.as_slice(), impairments.duplicate()) {
        if duplicate.probability().happens(seeds.duplicate.draw(sequence)) {
            let late = duplicate.lateness().map_or(0, |law| law.draw(seeds.lateness, sequence));
            deliveries.push(Delivery { at: first.at.after_ns(late), ..first });
        }
    }
    if !rules.is_empty() || impairments.truncate().is_some() || impairments.corrupt().is_some() {
        for ((n, copy), draws) in (0..).zip(deliveries.as_mut_slice()).zip(seeds.truncate.iter().zip(&seeds.corrupt)) {
            impair_copy(impairments, draws, copy, n, sequence, rules);
        }
    }
}

/// Truncates before it flips, so that every flip shows.
#[inline]
fn impair_copy(
    impairments: &Impairments,
    (truncating, corrupting): (&DamageDraws, &DamageDraws),
    delivery: &mut Delivery,
    n: u8,
    sequence: u64,
    rules: &[(u64, Rule)],
) {
    let truncated = rules.iter().find_map(|(_, rule)| match rule {
        Rule::Truncate { copy, to } if *copy == n => Some(usize::from(*to)),
        _ => None,
    });
    delivery.len = match (truncated, impairments.truncate()) {
        (Some(to), _) => delivery.len.min(to),
        (None, Some(truncate)) => truncate.left_of(truncating, sequence, delivery.len),
        (None, None) => delivery.len,
    };
    for (_, rule) in rules {
        match rule {
            Rule::Corrupt { copy, bit } if *copy == n && (*bit as usize) < delivery.len.saturating_mul(8) => {
                delivery.flips.push((*bit).into());
            }
            _ => {}
        }
    }
    match impairments.corrupt() {
        Some(corrupt) if corrupt.happens(corrupting, sequence) && delivery.flips.as_slice().is_empty() => {
            delivery.flips = corrupt.flips(corrupting, sequence, delivery.len);
        }
        _ => {}
    }
}
