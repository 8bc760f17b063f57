//! Ids of one or two bytes, which come again: never while in use, never before their rest, never in an order.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use udp_retry::Seed;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Arrived, Handle, InFlight, Limits, Stray, SubmitError, TransactionId, transaction_id};

use super::dice::Dice;
use super::settings::ms;
use super::{START, answered, looked, stamped, submitted, transmitted};

#[test]
fn two_byte_ids_are_never_in_use_twice_and_never_used_before_their_rest() {
    let (clean, other) = (ms(2_000), ms(60_000));
    let window = NonZeroU32::new(2_000).unwrap();
    let mut requests = stamped(2, Limits::default().rest(clean, other).window(window));
    let (mut now, mut dice) = (START, Dice::new(1));
    let mut free_from = vec![Timestamp::ZERO; 1 << 16];
    let (mut open, mut again, mut used_up) = (VecDeque::<(Handle, u16)>::new(), 0, 0);
    for token in 0..300_000 {
        now = now.after(dice.pick(&[ms(0), ms(0), ms(0), ms(0), ms(0), ms(0), ms(0), ms(1)]));
        let peer = requests.peer(1).unwrap();
        match requests.submit(now, peer, b"..", token) {
            Ok(handle) => {
                let id = number(requests.request(handle).unwrap());
                assert!(free_from[usize::from(id)] <= now, "{id:#x} is in use until {:?}", free_from[usize::from(id)]);
                again += u32::from(free_from[usize::from(id)] > Timestamp::ZERO);
                free_from[usize::from(id)] = Timestamp::MAX;
                open.push_back((handle, id));
            }
            Err(SubmitError::IdsUsedUp { until, .. }) => {
                assert_eq!(until, free_from.iter().copied().filter(|&until| until != Timestamp::MAX).min());
                used_up += 1;
                now = now.after(ms(20));
            }
            Err(refused) => panic!("{refused}"),
        }
        for ended in looked(&mut requests, now) {
            let place = open.iter().position(|(handle, _)| *handle == ended.handle).unwrap();
            let (_, id) = open.remove(place).unwrap();
            free_from[usize::from(id)] = now.after(other);
        }
        transmitted(&mut requests, now);
        if open.len() > 500 {
            let (handle, id) = open.pop_front().unwrap();
            let is_clean = if dice.one_in(5) {
                requests.cancel(now, handle).unwrap();
                false
            } else {
                let arrived = requests.on_datagram(now, 1, &id.to_be_bytes(), 2);
                let Arrived::Reply(ended) = arrived else { panic!("{arrived:?}") };
                ended.transmissions == 1
            };
            free_from[usize::from(id)] = now.after(if is_clean { clean } else { other });
        }
    }
    println!("{again} ids were used again, {used_up} times none was free");
    assert!(again > 100_000 && used_up > 10, "too few to prove anything");
}

#[test]
fn when_every_id_is_taken_the_time_that_is_told_works_and_none_before() {
    for width in [1, 2] {
        let (clean, other) = (ms(30), ms(70));
        let mut requests = stamped(width, Limits::default().rest(clean, other));
        let peer = requests.peer(1).unwrap();
        let ids = 1_u64 << (8 * width);
        let open: Vec<Handle> = (0..ids).map(|token| submitted(&mut requests, START, 1, token)).collect();
        if width == 1 {
            // One more than 65,536 would be too many requests anyway.
            let refused = requests.submit(START, peer, b"..", ids);
            assert!(matches!(refused, Err(SubmitError::IdsUsedUp { until: None, .. })), "{refused:?}");
        }
        transmitted(&mut requests, START);
        let reply = requests.request(open[0]).unwrap().to_vec();
        requests.cancel(START, open[1]).unwrap();
        assert!(answered(&mut requests, START.after(ms(5)), 1, &reply));
        let later = START.after(ms(6));
        let refused = requests.submit(later, peer, b"..", ids);
        let Err(SubmitError::IdsUsedUp { until: Some(until), .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(until, START.after(ms(5) + clean), "the clean one, which ended later, is free sooner");
        let before = Timestamp::from_nanos(until.as_nanos() - 1);
        assert!(requests.submit(before, peer, b"..", ids).is_err());
        submitted(&mut requests, until, 1, ids);
        let refused = requests.submit(until, peer, b"..", ids + 1);
        let Err(SubmitError::IdsUsedUp { until: Some(until), .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(until, START.after(other));
        submitted(&mut requests, until, 1, ids + 1);
    }
}

#[test]
fn a_second_copy_of_a_reply_is_stale_and_so_is_one_to_a_cancelled_request() {
    for width in [1, 2, 8, 16] {
        let mut requests = stamped(width, Limits::default());
        let handles = [0, 1].map(|token| submitted(&mut requests, START, 1, token));
        let replies = handles.map(|handle| requests.request(handle).unwrap().to_vec());
        transmitted(&mut requests, START);
        assert!(answered(&mut requests, START, 1, &replies[0]));
        requests.cancel(START, handles[1]).unwrap();
        for reply in &replies {
            let len = reply.len();
            assert_eq!(requests.on_datagram(START, 1, reply, len), Arrived::Stray(Stray::Stale), "{width} bytes");
        }
        let mut forged = replies[0].clone();
        while replies.iter().any(|reply| reply[..width] == forged[..width]) {
            forged[width - 1] = forged[width - 1].wrapping_add(1);
        }
        assert_eq!(requests.on_datagram(START, 1, &forged, forged.len()), Arrived::Stray(Stray::Foreign));
        let strays = requests.strays();
        assert_eq!((strays.stale, strays.foreign, strays.total()), (2, 1, 3));
    }
}

#[test]
fn no_draw_follows_from_the_one_before() {
    let drawn = |seed: u64| -> Vec<u16> {
        let mut requests = InFlight::new(
            udp_retry::RetryPolicy::LAN,
            transaction_id(0..2).stamped(),
            Limits::default(),
            Seed::new(7),
            Some(udp_retry::entropy::IdSource::from_seed(Seed::new(seed))),
        );
        requests.add_peer(1, udp_retry::RetryBudget::unlimited(), None);
        (0..20_000).map(|token| number(requests_id(&mut requests, token))).collect()
    };
    let ids = drawn(1);
    // Of 20,000 differences one in 65,536 is the most frequent by chance: 0.3 on the average, six at the very most.
    let mut differences = vec![0_u32; 1 << 16];
    ids.windows(2).for_each(|pair| differences[usize::from(pair[1].wrapping_sub(pair[0]))] += 1);
    assert!(*differences.iter().max().unwrap() <= 8, "one difference comes too often");
    let rising = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((9_700..10_300).contains(&rising), "{rising} of 20,000 are greater than the one before");
    // From another source, others: the same one in 65,536 times.
    let same = ids.iter().zip(drawn(2)).filter(|&(&one, other)| one == other).count();
    assert!(same < 8, "{same} are those of another source");
    assert_eq!(ids, drawn(1));
}

fn requests_id(requests: &mut InFlight<u32, TransactionId>, token: u64) -> &[u8] {
    let handle = submitted(requests, START, 1, token);
    requests.request(handle).unwrap()
}

fn number(request: &[u8]) -> u16 {
    u16::from_be_bytes([request[0], request[1]])
}
