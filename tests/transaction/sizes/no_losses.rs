//! Transmissions without an answer that show nothing of their size.

use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Hold, Match, Next, ReplyMatcher, Request, Transaction, matching, transaction_id};
use udp_retry::transport::{PathError, PathIndex};
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, Seed};

use super::{Asking, LARGE, SMALL};
use crate::by_hand::{fail_twice, looked};
use crate::scripted::{at_ms, ms};

/// Requests of 1472 bytes that come to something else than silence, with small ones between them that are answered. Returns what
/// the builder of the last is asked for at first.
fn after(mut large: impl FnMut(&mut Transaction<Box<dyn ReplyMatcher>>, u64)) -> Option<Plpmtu> {
    let matcher = matching(|_, datagram| match datagram.first() {
        Some(b'p') => Match::Provisional(Hold::Slow),
        _ => Match::Reply,
    });
    let matcher: Box<dyn ReplyMatcher> = Box::new(matcher);
    let mut transaction = Transaction::new(RetryPolicy::LAN, matcher).keeping_port();
    for number in 0..20 {
        let now = 10_000 * number;
        transaction.start(&[0; LARGE], at_ms(now), Seed::new(0));
        large(&mut transaction, now);
        transaction.start(&[0; SMALL], at_ms(now + 5_000), Seed::new(0));
        transaction.on_transmitted(at_ms(now + 5_000));
        transaction.on_datagram(at_ms(now + 5_001), PathIndex::FIRST, b"r", 1);
        assert_eq!(transaction.next(at_ms(now + 5_001)), Next::Done);
    }
    transaction.start_building(at_ms(500_000), Seed::new(0));
    let mut asked = None;
    transaction.build(|purpose, _| asked = purpose.at_most);
    asked
}

#[test]
fn silence_is_a_loss_and_other_ends_are_not() {
    let silent = after(|transaction, now| {
        for due in [0, 100, 300, 700, 1500] {
            assert!(matches!(looked(transaction, at_ms(now + due)), Next::Transmit(_)));
            transaction.on_transmitted(at_ms(now + due));
        }
        assert!(matches!(looked(transaction, at_ms(now + 3100)), Next::Failed(_)));
    });
    assert_eq!(silent, Some(Plpmtu::new(1200)));
    let refused = after(|transaction, now| {
        for due in [0, 100, 300, 700, 1500] {
            assert!(matches!(looked(transaction, at_ms(now + due)), Next::Transmit(_)));
            transaction.on_transmitted(at_ms(now + due));
            transaction.on_path_error(at_ms(now + due + 1), None, PathError::Refused);
        }
        assert!(matches!(looked(transaction, at_ms(now + 3100)), Next::Failed(_)));
    });
    assert_eq!(refused, None);
    let unsent = after(|transaction, now| {
        for due in [0, 100, 300, 700, 1500] {
            assert!(matches!(looked(transaction, at_ms(now + due)), Next::Transmit(_)));
            fail_twice(transaction, at_ms(now + due), PathError::NoBuffers);
        }
        assert!(matches!(looked(transaction, at_ms(now + 3100)), Next::Failed(_)));
    });
    assert_eq!(unsent, None);
    let cancelled = after(|transaction, now| {
        transaction.on_transmitted(at_ms(now));
        transaction.on_cancelled();
        assert!(matches!(transaction.next(at_ms(now + 50)), Next::Failed(_)));
    });
    assert_eq!(cancelled, None);
    let worked_on = after(|transaction, now| {
        transaction.on_transmitted(at_ms(now));
        transaction.on_datagram(at_ms(now + 1), PathIndex::FIRST, b"p", 1);
        let mut at = now + 1;
        loop {
            transaction.on_time_up(at_ms(at));
            match transaction.next(at_ms(at)) {
                Next::Transmit(_) => transaction.on_transmitted(at_ms(at)),
                Next::Failed(_) => break,
                _ => at += 1,
            }
        }
    });
    assert_eq!(worked_on, None);
}

#[test]
fn a_deadline_that_leaves_no_time_for_an_answer_shows_nothing() {
    for (deadline, is_loss) in [(50, false), (99, false), (100, true), (150, true)] {
        let known = after(|transaction, now| {
            let request = [0; LARGE];
            transaction.start(Request::new(&request).deadline(ms(deadline)), at_ms(now), Seed::new(0));
            transaction.on_transmitted(at_ms(now));
            if deadline > 100 {
                assert!(matches!(looked(transaction, at_ms(now + 100)), Next::Transmit(_)));
                transaction.on_transmitted(at_ms(now + 100));
            }
            assert!(matches!(looked(transaction, at_ms(now + deadline)), Next::Failed(_)));
        });
        assert_eq!(known.is_some(), is_loss, "{deadline} ms");
    }
}

#[test]
fn a_second_reply_to_a_request_takes_back_that_a_large_transmission_of_it_was_lost() {
    for second in [false, true] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        let mut asked = Vec::new();
        for number in 0..12 {
            let now = 10_000 * number;
            transaction.start_building(at_ms(now), Seed::new(0));
            for due in [0, 100, 300] {
                transaction.on_time_up(at_ms(now + due));
                transaction.build(|purpose, bytes| {
                    asked.push(purpose.at_most);
                    bytes.extend_from_slice(&(number as u32).to_be_bytes());
                    bytes.resize(purpose.at_most.map_or(LARGE, Plpmtu::bytes), 0);
                });
                transaction.on_transmitted(at_ms(now + due));
            }
            let reply = (number as u32).to_be_bytes();
            transaction.on_datagram(at_ms(now + 301), PathIndex::FIRST, &reply, 4);
            assert_eq!(transaction.next(at_ms(now + 301)), Next::Done);
            if second {
                transaction.on_datagram(at_ms(now + 400), PathIndex::FIRST, &reply, 4);
            }
        }
        assert_eq!(asked[asked.len() - 3].is_none(), second);
    }
}

#[test]
fn what_the_budget_withholds_is_no_transmission_and_the_last_one_is() {
    let once = RetryPolicy::LAN.with_max_transmissions(1).unwrap();
    for (policy, budget) in [(RetryPolicy::LAN, RetryBudget::new(0.0, 1, 0).unwrap()), (once, RetryBudget::unlimited())]
    {
        let mut asking = Asking::new(1);
        asking.path("mtu 1400", "none");
        let transport = asking.net.connect(asking.hosts[0], "10.0.0.2:7".parse().unwrap()).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
        asking.requester = builder.budget(&budget).over(transport).unwrap();
        let known = (1..20).find(|_| {
            assert_eq!(asking.request(LARGE).unwrap_err().transmissions(), 1);
            asking.request(SMALL).unwrap();
            asking.build(SMALL).asked[0].is_some()
        });
        assert_eq!(known, Some(8), "one loss in each, and eight are needed");
    }
}
