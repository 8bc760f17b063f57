use super::fate::{Deliveries, Delivery};
use super::seeds::Seeds;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::script::Rule;

/// The datagram itself and its duplicates, each damaged independently.
#[inline]
pub(super) fn of(
    impairments: &Impairments,
    seeds: &Seeds,
    first: Delivery,
    sequence: u64,
    rules: &[(u64, Rule)],
) -> Deliveries {
    let mut deliveries = Deliveries::one(first);
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
        for (n, copy) in (0..).zip(deliveries.as_mut_slice()) {
            impair_copy(impairments, seeds, copy, n, sequence, rules);
        }
    }
    deliveries
}

/// Truncates before it flips, so that every flip shows.
fn impair_copy(
    impairments: &Impairments,
    seeds: &Seeds,
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
        (None, Some(truncate)) => truncate.left_of(seeds.truncate.derive(n.into()), sequence, delivery.len),
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
    if let (true, Some(corrupt)) = (delivery.flips.as_slice().is_empty(), impairments.corrupt()) {
        delivery.flips = corrupt.flips(seeds.corrupt.derive(n.into()), sequence, delivery.len);
    }
}
