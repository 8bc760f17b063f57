//! Each stage of a link does exactly what it says: script, outage, MTU, duplicate, truncate, corrupt.

use std::time::Duration;

use udp_retry::fault::{
    Corrupt, DelayLaw, DelayModel, Delivery, DropCause, Duplicate, Fate, Infeasible, Link, LossModel, MtuClamp, Outage,
    Oversize, Reorder, Rule, Script, Setting, Truncate,
};
use udp_retry::size::{Plpmtu, Pmtu};
use udp_retry::{Impairments, Probability, Seed};

use crate::delay_laws::Law;
use crate::fates::{
    SEEDS, assert_binomial, assert_law, assert_uncorrelated, at, copies, count, losses, ms, ns, only, probability,
};

const N: usize = 100_000;
const RATES: [f64; 5] = [0.0, 0.01, 0.3, 0.9, 1.0];

// Duplicate.

#[test]
fn as_many_are_duplicated_as_asked_and_both_copies_arrive_together() {
    for seed in SEEDS {
        for p in RATES {
            let duplicate = Duplicate::new(probability(p));
            assert_eq!((duplicate.probability(), duplicate.lateness()), (probability(p), None));
            let mut link = Link::new(Impairments::NONE.with_duplicate(duplicate), Seed::new(seed));
            let twice: Vec<_> = (0..N as u64)
                .map(|n| match copies(&link.transmit(at(n), b"datagram")) {
                    [_] => false,
                    [one, two] => {
                        assert_eq!((one, one.at, one.len), (two, at(n), 8));
                        true
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_rate(&twice, p, &format!("duplicates, {p}, seed {seed}"));
            let (stats, again) = (link.stats(), count(&twice) as u64);
            assert_eq!((stats.delivered, stats.duplicates), (N as u64 + again, again));
        }
    }
}

#[test]
fn second_copies_are_as_late_as_the_law_says() {
    const MS: u64 = 1_000_000;
    let laws = [Law::Uniform(2500 * MS, 2500 * MS), Law::Exponential(MS, 10 * MS), Law::Normal(5 * MS, 10 * MS)];
    for seed in SEEDS {
        for law in &laws {
            let duplicate = Duplicate::new(Probability::ONE).late(law.built());
            assert_eq!(duplicate.lateness(), Some(&law.built()));
            // Neither jitter nor a hold makes a copy later than that.
            let jitter = DelayModel::new(DelayLaw::uniform(ms(20), ms(10)).unwrap());
            let reorder = Reorder::new(Probability::HALF, ms(7)).unwrap();
            let plain = Impairments::NONE.with_delay(jitter).with_reorder(reorder);
            let mut alone = Link::new(plain.clone(), Seed::new(seed));
            let mut link = Link::new(plain.with_duplicate(duplicate), Seed::new(seed));
            let late = (0..N as u64).map(|n| match copies(&link.transmit(at(n), b"x")) {
                [one, two] => {
                    assert_eq!(*one, only(&alone.transmit(at(n), b"x")));
                    two.at.as_nanos() - one.at.as_nanos()
                }
                other => panic!("{other:?}"),
            });
            assert_law(late.collect(), |x| law.cdf(x), &format!("{law:?}, seed {seed}"));
        }
    }
}

#[test]
fn what_is_lost_has_no_copies() {
    let duplicate = Duplicate::new(Probability::HALF);
    for seed in SEEDS {
        let lossy = Impairments::loss(probability(0.3));
        let lost = losses(lossy.clone(), seed, N);
        let mut link = Link::new(lossy.with_duplicate(duplicate.clone()), Seed::new(seed));
        let made: Vec<_> = (0..N).map(|_| copies(&link.transmit(at(0), b"x")).len()).collect();
        assert!(made.iter().zip(&lost).all(|(&made, &lost)| (made == 0) == lost));
        let kept = made.iter().filter(|&&made| made > 0).count();
        assert_binomial(made.iter().filter(|&&made| made == 2).count(), kept, 0.5, &format!("seed {seed}"));
    }
}

// Truncate.

#[test]
fn as_many_are_cut_as_asked_to_any_shorter_length_alike() {
    for seed in SEEDS {
        for p in RATES {
            let truncate = Truncate::new(probability(p));
            assert_eq!((truncate.probability(), truncate.length()), (probability(p), None));
            let mut link = Link::new(Impairments::NONE.with_truncate(truncate), Seed::new(seed));
            let lengths: Vec<_> = (0..N).map(|_| only(&link.transmit(at(0), &[0; 10])).len).collect();
            let cut: Vec<_> = lengths.iter().map(|&len| len < 10).collect();
            assert_rate(&cut, p, &format!("cuts, {p}, seed {seed}"));
            assert_eq!(link.stats().truncated, count(&cut) as u64);
            for len in 0..10 {
                let so_long = lengths.iter().filter(|&&it| it == len).count();
                assert_binomial(so_long, count(&cut), 0.1, &format!("length {len}, seed {seed}"));
            }
        }
        let mut link = Link::new(Impairments::NONE.with_truncate(Truncate::new(Probability::ONE)), Seed::new(seed));
        let lengths = (0..N).map(|_| only(&link.transmit(at(0), &[0; 65_507])).len as u64);
        assert_law(lengths.collect(), |x| ((x + 1.0) / 65_507.0).clamp(0.0, 1.0), &format!("lengths, seed {seed}"));
    }
}

#[test]
fn a_cut_to_a_length_spares_what_is_not_longer() {
    let truncate = Truncate::new(Probability::ONE).to(100);
    assert_eq!(truncate.length(), Some(100));
    let mut link = Link::new(Impairments::NONE.with_truncate(truncate), Seed::new(1));
    let left = [0, 1, 99, 100, 101, 65_507].map(|len| only(&link.transmit(at(0), &vec![0; len])).len);
    assert_eq!((left, link.stats().truncated), ([0, 1, 99, 100, 100, 100], 2));
    for seed in SEEDS {
        let half = Impairments::NONE.with_truncate(Truncate::new(Probability::HALF).to(1));
        let mut link = Link::new(half, Seed::new(seed));
        let cut: Vec<_> = (0..N).map(|_| only(&link.transmit(at(0), b"long")).len == 1).collect();
        assert_rate(&cut, 0.5, &format!("cuts to 1, seed {seed}"));
    }
    let mut link = Link::new(Impairments::NONE.with_truncate(Truncate::new(Probability::ONE)), Seed::new(1));
    assert_eq!((only(&link.transmit(at(0), b"")).len, link.stats().truncated), (0, 0), "nothing to cut");
    assert_eq!((only(&link.transmit(at(0), b"x")).len, link.stats().truncated), (0, 1));
}

// Corrupt.

#[test]
fn a_corrupted_datagram_differs_in_exactly_so_many_bits() {
    for seed in SEEDS {
        for bits in 1..=8 {
            let corrupt = Corrupt::new(probability(0.9)).bits(bits).unwrap();
            assert_eq!((corrupt.probability(), corrupt.bit_count()), (probability(0.9), bits));
            let mut link = Link::new(Impairments::NONE.with_corrupt(corrupt), Seed::new(seed));
            let mut corrupted = 0;
            for n in 0..10_000 {
                let original: Vec<_> = (0..n % 70).map(|byte| (byte * n) as u8).collect();
                let copy = only(&link.transmit(at(0), &original));
                let (flips, differ) = (copy.flips.as_slice().len(), differing(&copy, &original));
                assert_eq!(differ.len(), flips, "each bit once: {copy:?}");
                assert!(flips == 0 || flips == usize::from(bits).min(8 * original.len()), "{copy:?}");
                assert_eq!(copy.flips.as_slice(), differ, "bit 0 is the highest of the first byte; they ascend");
                corrupted += u64::from(flips > 0);
            }
            assert_eq!(link.stats().corrupted, corrupted);
        }
    }
}

#[test]
fn as_many_are_corrupted_as_asked_and_each_bit_alike() {
    for seed in SEEDS {
        for (p, bits) in [(0.0, 1), (0.01, 1), (0.5, 3), (1.0, 1), (1.0, 2), (1.0, 8)] {
            let corrupt = Corrupt::new(probability(p)).bits(bits).unwrap();
            let mut link = Link::new(Impairments::NONE.with_corrupt(corrupt), Seed::new(seed));
            let fates: Vec<_> = (0..N).map(|_| only(&link.transmit(at(0), &[0; 3])).flips).collect();
            let hit: Vec<_> = fates.iter().map(|flips| !flips.as_slice().is_empty()).collect();
            let what = format!("{bits} bits, {p}, seed {seed}");
            assert_rate(&hit, p, &what);
            for bit in 0..24 {
                let flipped = fates.iter().filter(|flips| flips.as_slice().contains(&bit)).count();
                assert_binomial(flipped, count(&hit), f64::from(bits) / 24.0, &format!("bit {bit}: {what}"));
            }
            // Pairs as well, so that sets of bits are alike.
            for (one, other) in [(0, 1), (0, 23), (22, 23), (7, 8)] {
                let both = |flips: &&udp_retry::fault::Flips| {
                    flips.as_slice().contains(&one) && flips.as_slice().contains(&other)
                };
                let pairs = f64::from(bits) * (f64::from(bits) - 1.0) / (24.0 * 23.0);
                let flipped = fates.iter().filter(both).count();
                assert_binomial(flipped, count(&hit), pairs, &format!("bits {one} and {other}: {what}"));
            }
        }
    }
    assert_eq!(Corrupt::new(Probability::ONE).bits(0), Err(Infeasible::BitCount { bits: 0, nearest: 1 }));
    assert_eq!(Corrupt::new(Probability::ONE).bits(9), Err(Infeasible::BitCount { bits: 9, nearest: 8 }));
}

#[test]
fn datagrams_with_fewer_bits_than_asked_are_all_flipped() {
    let corrupt = Corrupt::new(Probability::ONE);
    let mut link = Link::new(Impairments::NONE.with_corrupt(corrupt.bits(8).unwrap()), Seed::new(1));
    assert!(only(&link.transmit(at(0), b"")).flips.as_slice().is_empty());
    assert_eq!(link.stats().corrupted, 0);
    let copy = only(&link.transmit(at(0), b"\x5a"));
    assert_eq!(copy.apply_to(&mut [0x5a]), &[0xa5]);
    // What is cut cannot be flipped; every flip shows in what is left.
    let cut = Impairments::NONE.with_corrupt(corrupt.bits(3).unwrap()).with_truncate(Truncate::new(Probability::ONE));
    let mut link = Link::new(cut, Seed::new(2));
    for _ in 0..N {
        let copy = only(&link.transmit(at(0), b"abc"));
        assert_eq!(differing(&copy, b"abc").len(), if copy.len == 0 { 0 } else { 3 });
    }
}

#[test]
fn the_copies_of_a_datagram_are_damaged_each_for_itself() {
    let impairments = Impairments::NONE
        .with_duplicate(Duplicate::new(Probability::ONE))
        .with_corrupt(Corrupt::new(Probability::HALF))
        .with_truncate(Truncate::new(probability(0.3)));
    for seed in SEEDS {
        let mut link = Link::new(impairments.clone(), Seed::new(seed));
        let [mut flipped, mut cut, mut same_bit] = [(); 3].map(|()| [Vec::new(), Vec::new()]);
        for _ in 0..N {
            let Fate::Delivered(copies) = link.transmit(at(0), &[0; 1000]) else { panic!("lost") };
            for (n, copy) in copies.iter().enumerate() {
                flipped[n].push(!copy.flips.as_slice().is_empty());
                cut[n].push(copy.len < 1000);
                same_bit[n].push(copy.flips.as_slice().first().is_some_and(|bit| bit % 2 == 0));
            }
        }
        assert_uncorrelated(&cut[0], &cut[1], 0.3, "cuts of two copies");
        // Those that are cut to nothing have no bits to flip: one in 3333.
        let hit = count(&flipped[0]) as f64 / N as f64;
        assert_uncorrelated(&flipped[0], &flipped[1], hit, "flips of two copies");
        let even = count(&same_bit[0]) as f64 / N as f64;
        assert_uncorrelated(&same_bit[0], &same_bit[1], even, "places in two copies");
        let stats = link.stats();
        assert_eq!(stats.corrupted, flipped.iter().map(|it| count(it) as u64).sum::<u64>());
        assert_eq!(stats.truncated, cut.iter().map(|it| count(it) as u64).sum::<u64>());
    }
}

// MTU.

#[test]
fn what_fits_into_the_mtu_with_its_headers_passes_and_one_byte_more_does_not() {
    for (pmtu, headers) in [(1500, 28), (1280, 48), (28, 28), (100, 0), (65_535, 28), (u32::MAX, 28)] {
        let limit = u16::try_from(pmtu - headers).unwrap_or(u16::MAX);
        for oversize in [Oversize::Drop, Oversize::Error, Oversize::Report, Oversize::Truncate] {
            let clamp = MtuClamp::new(Pmtu::new(pmtu), oversize);
            assert_eq!((clamp.pmtu(), clamp.oversize()), (Pmtu::new(pmtu), oversize));
            let mut link =
                Link::new(Impairments::NONE.with_headers(headers).unwrap().with_mtu(clamp).unwrap(), Seed::new(1));
            let fits = vec![0; limit.into()];
            assert_eq!(only(&link.transmit(at(0), &fits)).len, fits.len());
            let fate = link.transmit(at(0), &[&fits[..], &[0]].concat());
            let stats = link.stats();
            let counted = (stats.dropped.mtu, stats.clamped, stats.truncated);
            match oversize {
                // No link leads back from here.
                Oversize::Drop | Oversize::Report => {
                    assert_eq!((fate, counted), (Fate::Dropped(DropCause::Mtu), (1, 0, 0)));
                }
                Oversize::Error => assert_eq!((fate, counted), (Fate::TooBig { limit: Plpmtu::new(limit) }, (1, 0, 0))),
                _ => assert_eq!((only(&fate).len, counted), (limit.into(), (0, 1, 0))),
            }
        }
    }
    // Where the headers alone are too large, not even an empty datagram would pass.
    for oversize in [Oversize::Drop, Oversize::Error, Oversize::Report, Oversize::Truncate] {
        let clamp = |pmtu| MtuClamp::new(Pmtu::new(pmtu), oversize);
        for (headers, mtu, least) in
            [(Some(28), 27, 28), (Some(48), 20, 48), (Some(1), 0, 1), (None, 47, 48), (None, 0, 48)]
        {
            let refused = Err(Infeasible::MtuBelowHeaders { mtu, least });
            let first = Impairments::NONE.with(Setting::Headers(headers)).unwrap();
            assert_eq!(first.clone().with_mtu(clamp(mtu)), refused);
            assert!(first.with_mtu(clamp(least)).is_ok());
            // In the other order, and at any later time.
            if let Some(headers) = headers {
                let other = Impairments::NONE.with_headers(0).unwrap().with_mtu(clamp(mtu)).unwrap();
                assert_eq!(other.clone().with_headers(headers), refused);
                assert_eq!(other.with_change(ms(5), Setting::Headers(Some(headers))), refused);
            }
        }
    }
    let most = 65_535;
    assert_eq!(Impairments::NONE.with_headers(65_536), Err(Infeasible::HeadersTooLong { headers: 65_536, most }));
    assert_eq!(Oversize::default(), Oversize::Drop);
}

#[test]
fn what_is_cut_to_the_mtu_is_sent_and_damaged_as_short_as_it_is() {
    let clamp = MtuClamp::new(Pmtu::new(100), Oversize::Truncate);
    let hop = udp_retry::fault::Bottleneck::new(8, udp_retry::fault::QueueLimit::Bytes(0)).unwrap();
    let corrupt = Corrupt::new(Probability::ONE).bits(8).unwrap();
    let impairments = Impairments::NONE.with_mtu(clamp).unwrap().with_bottleneck(hop).with_corrupt(corrupt);
    let mut link = Link::new(impairments, Seed::new(1));
    for n in 0..1000 {
        let now = at(n * 100_000_000_000);
        let copy = only(&link.transmit(now, &[0; 1472]));
        assert_eq!((copy.len, copy.at), (72, now.after(Duration::from_secs(100))));
        assert!(copy.flips.as_slice().iter().all(|&bit| bit < 72 * 8));
    }
    assert_eq!((link.stats().clamped, link.stats().truncated), (1000, 0));
}

// Outages.

#[test]
fn an_outage_begins_and_ends_to_the_nanosecond() {
    let once = Outage::new(ns(1000), ns(10)).unwrap();
    assert_eq!((once.from(), once.lasting(), once.period(), once.share()), (ns(1000), ns(10), None, 0.0));
    assert_eq!(outages(&[once], 2000), (1000..1010).collect::<Vec<_>>());
    let again = once.every(ns(300)).unwrap();
    assert_eq!((again.period(), again.share()), (Some(ns(300)), 10.0 / 300.0));
    let expected: Vec<_> = [1000, 1300, 1600, 1900].into_iter().flat_map(|from| from..from + 10).collect();
    assert_eq!(outages(&[again], 2000), expected);
    let narrow = Outage::new(ns(0), ns(1)).unwrap().every(ns(2)).unwrap();
    assert_eq!(outages(&[narrow], 10), [0, 2, 4, 6, 8]);
    let all = outages(&[again, once, Outage::new(ns(1995), ns(100)).unwrap()], 2000);
    assert_eq!(all, expected.iter().copied().chain(1995..2000).collect::<Vec<_>>());
    let end = Outage::new(ns(u64::MAX), ns(u64::MAX)).unwrap();
    let mut link = Link::new(Impairments::NONE.with_outage(end).unwrap(), Seed::new(1));
    only(&link.transmit(at(u64::MAX - 1), b"x"));
    assert_eq!(link.transmit(at(u64::MAX), b"x"), Fate::Dropped(DropCause::Outage));
}

#[test]
fn outages_that_cannot_be_are_refused_with_what_can() {
    assert_eq!(Outage::new(ms(1), ms(0)), Err(Infeasible::EmptyOutage));
    assert!(matches!(Outage::new(Duration::MAX, ms(1)), Err(Infeasible::DurationTooLong { .. })));
    assert!(matches!(Outage::new(ms(1), Duration::MAX), Err(Infeasible::DurationTooLong { .. })));
    let (once, lasting, every) = (Outage::new(ms(1), ms(5)).unwrap(), ms(5), ms(5));
    let most = ms(5) - ns(1);
    assert_eq!(once.every(every), Err(Infeasible::EndlessOutage { lasting, every, most }));
    assert!(Outage::new(ms(1), most).unwrap().every(every).is_ok() && once.every(ms(0)).is_err());
    let full = (0..64).try_fold(Impairments::NONE, |path, _| path.with_outage(once)).unwrap();
    assert_eq!(full.outages().len(), 64);
    assert_eq!(full.with_outage(once), Err(Infeasible::TooManyOutages { most: 64 }));
}

// Script.

#[test]
fn a_script_does_what_it_says_to_whom_it_says() {
    let rules = [
        (9, Rule::Truncate { copy: 1, to: 2 }),
        (1, Rule::Drop),
        (3, Rule::Refuse { limit: 5 }),
        (5, Rule::Delay { by: ms(200) }),
        (7, Rule::Duplicate { after: ms(2) }),
        (7, Rule::Duplicate { after: ms(9) }),
        (9, Rule::Duplicate { after: ms(0) }),
        (9, Rule::Corrupt { copy: 0, bit: 9 }),
        (9, Rule::Corrupt { copy: 1, bit: 15 }),
        (9, Rule::Corrupt { copy: 1, bit: 16 }),
        (10, Rule::Truncate { copy: 0, to: 100 }),
        (10, Rule::Corrupt { copy: 0, bit: 0 }),
        (10, Rule::Corrupt { copy: 0, bit: 63 }),
        (10, Rule::Corrupt { copy: 0, bit: 64 }),
        (u64::MAX, Rule::Drop),
    ];
    for seed in SEEDS {
        let script = Script::new(rules).unwrap();
        assert!(script.rules().is_sorted() && script.rules().len() == rules.len());
        let mut link = Link::new(Impairments::NONE.with_script(script), Seed::new(seed));
        let fates: Vec<_> = (0..12).map(|_| link.transmit(at(1), b"datagram")).collect();
        let seen = |n: usize| -> Vec<_> {
            let seen = |copy: &Delivery| (copy.at.since(at(1)), copy.len, copy.flips.as_slice().to_vec());
            copies(&fates[n - 1]).iter().map(seen).collect()
        };
        let whole = |after| (after, 8, vec![]);
        assert_eq!((fates[0], fates[2]), (Fate::Dropped(DropCause::Script), Fate::TooBig { limit: Plpmtu::new(5) }));
        assert_eq!(seen(5), [whole(ms(200))]);
        assert_eq!(seen(7), [whole(ms(0)), whole(ms(2)), whole(ms(9))]);
        assert_eq!(seen(9), [(ms(0), 8, vec![9]), (ms(0), 2, vec![15])]);
        assert_eq!(seen(10), [(ms(0), 8, vec![0, 63])]);
        for untouched in [2, 4, 6, 8, 11, 12] {
            assert_eq!(seen(untouched), [whole(ms(0))], "those behind the delayed one overtake it");
        }
        let stats = link.stats();
        assert_eq!((stats.dropped.script, stats.dropped.mtu, stats.delivered, stats.duplicates), (1, 1, 13, 3));
        assert_eq!((stats.corrupted, stats.truncated, stats.clamped, stats.held), (3, 1, 0, 0));
    }
}

#[test]
fn scripts_at_odds_with_themselves_are_refused() {
    let two = |one, other| Script::new([(1, Rule::Drop), (4, one), (4, other)]);
    let (after, delay) = (Rule::Duplicate { after: ms(1) }, Rule::Delay { by: ms(1) });
    let cut = |copy| Rule::Truncate { copy, to: 1 };
    for (one, other) in [
        (Rule::Drop, delay),
        (Rule::Drop, Rule::Refuse { limit: 1 }),
        (Rule::Refuse { limit: 1 }, after),
        (delay, delay),
        (cut(0), Rule::Truncate { copy: 0, to: 2 }),
        (cut(1), delay),
        (after, cut(2)),
        (after, Rule::Corrupt { copy: 2, bit: 0 }),
        (delay, Rule::Corrupt { copy: u8::MAX, bit: 0 }),
    ] {
        assert_eq!(two(one, other), Err(Infeasible::RulesAtOdds { number: 4 }), "{one:?}, {other:?}");
    }
    assert!(two(after, cut(1)).is_ok() && two(after, after).is_ok() && two(Rule::Drop, Rule::Drop).is_ok());
    assert_eq!(Script::new([(2, after); 3]), Err(Infeasible::RulesAtOdds { number: 2 }));
    let flips = |n| Script::new((0..n).map(|bit| (2, Rule::Corrupt { copy: 0, bit })));
    assert!(flips(8).is_ok() && flips(9).is_err());
    assert_eq!(Script::new([(0, Rule::Drop)]), Err(Infeasible::NoDatagramZero));
    let long = Rule::Delay { by: Duration::MAX };
    assert!(matches!(Script::new([(1, long)]), Err(Infeasible::DurationTooLong { .. })));
    assert_eq!(Script::new([]), Ok(Script::EMPTY));
}

#[test]
fn what_the_script_does_chance_does_not_do_again() {
    let certain = Impairments::NONE
        .with_duplicate(Duplicate::new(Probability::ONE).late(DelayLaw::fixed(ms(50)).unwrap()))
        .with_truncate(Truncate::new(Probability::ONE).to(3))
        .with_corrupt(Corrupt::new(Probability::ONE))
        .with_delay(DelayModel::new(DelayLaw::fixed(ms(10)).unwrap()))
        .with_loss(LossModel::pattern(&[false, false, true]).unwrap());
    let script = Script::new([
        (1, Rule::Duplicate { after: ms(1) }),
        (1, Rule::Truncate { copy: 0, to: 5 }),
        (1, Rule::Corrupt { copy: 1, bit: 2 }),
        (2, Rule::Delay { by: ms(4) }),
        (3, Rule::Duplicate { after: ms(1) }),
    ]);
    let mut link = Link::new(certain.with_script(script.unwrap()), Seed::new(1));
    let first = link.transmit(at(0), b"datagram");
    let [one, two] = copies(&first) else { panic!("{first:?}") };
    assert_eq!((one.at, one.len, one.flips.as_slice().len()), (at(0).after(ms(10)), 5, 1), "its bit by chance");
    assert_eq!((two.at, two.len, two.flips.as_slice()), (at(0).after(ms(11)), 3, &[2][..]), "its length by chance");
    let second = link.transmit(at(0), b"datagram");
    let [one, two] = copies(&second) else { panic!("{second:?}") };
    assert_eq!((one.at, two.at), (at(0).after(ms(14)), at(0).after(ms(64))), "on top of the delay of the link");
    assert_eq!(link.transmit(at(0), b"datagram"), Fate::Dropped(DropCause::Loss), "a script for what chance took");
}

/// The numbers of the bits in which a damaged copy differs from what is left of the original.
fn differing(copy: &Delivery, original: &[u8]) -> Vec<u32> {
    let mut bytes = original.to_vec();
    let damaged = copy.apply_to(&mut bytes);
    assert_eq!(damaged.len(), copy.len);
    let bit = |bytes: &[u8], bit: u32| bytes[bit as usize / 8] >> (7 - bit % 8) & 1;
    (0..8 * copy.len as u32).filter(|&n| bit(damaged, n) != bit(original, n)).collect()
}

/// The moments at which nothing passes.
fn outages(outages: &[Outage], until: u64) -> Vec<u64> {
    let path = outages.iter().try_fold(Impairments::NONE, |path, &outage| path.with_outage(outage)).unwrap();
    let mut link = Link::new(path, Seed::new(1));
    let dark: Vec<_> =
        (0..until).filter(|&now| link.transmit(at(now), b"x") == Fate::Dropped(DropCause::Outage)).collect();
    assert_eq!(link.stats().dropped.outage, dark.len() as u64);
    dark
}

#[track_caller]
fn assert_rate(decisions: &[bool], p: f64, what: &str) {
    assert_binomial(count(decisions), decisions.len(), p, what);
    if p > 0.0 && p < 1.0 {
        assert_uncorrelated(&decisions[1..], decisions, p, what);
    }
}
