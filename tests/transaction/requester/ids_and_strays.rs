//! Ids that nobody has to write, and what answers nothing.

use udp_retry::transaction::Failure;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{by_id, only};
use crate::scripted::{Heard, Scripted, ms, reply};

#[test]
fn a_stamped_id_is_the_same_in_every_transmission_and_another_in_every_request() {
    let matcher = transaction_id(1..5).stamped();
    let lost_twice = |heard: Heard<'_>| if heard.ordinal % 3 == 2 { vec![reply(ms(1), heard.payload)] } else { vec![] };
    let run = |seed| {
        let builder = ReliableRequester::builder(matcher.clone()).policy(RetryPolicy::LAN).seed(Seed::new(seed));
        let mut requester = builder.over(Scripted::new(lost_twice)).unwrap();
        for n in 0..40_u8 {
            let answer = requester.request(&[n, 0, 0, 0, 0, n]).unwrap();
            assert_eq!((answer.payload()[0], answer.payload()[5], answer.transmissions()), (n, n, 3));
        }
        let sent: Vec<_> = requester.into_transport().sent.into_iter().map(|sent| sent.payload).collect();
        assert!(sent.chunks(3).all(|of_one| of_one[0] == of_one[1] && of_one[1] == of_one[2]));
        let mut ids: Vec<_> = sent.iter().step_by(3).map(|payload| payload[1..5].to_vec()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 40);
        sent
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_request_that_changes_keeps_its_stamped_id() {
    let mut requester = ReliableRequester::builder(transaction_id(0..8).stamped())
        .policy(RetryPolicy::LAN)
        .over(Scripted::new(only(2, |heard| vec![reply(ms(1), heard.payload)])))
        .unwrap();
    let answer = requester.request_with(|it, bytes| {
        bytes.extend_from_slice(&[0; 8]);
        bytes.push(u8::try_from(it.transmission).unwrap());
    });
    assert_eq!(answer.unwrap().payload()[8], 3);
    let sent = &requester.transport().sent;
    assert!(sent.iter().all(|it| it.payload[..8] == sent[0].payload[..8] && it.payload[..8] != [0; 8]), "{sent:?}");
    // Without room for the id there is nothing to send.
    assert_eq!(requester.request(b"short").unwrap_err().failure(), Failure::Unmatchable);
}

#[test]
fn strays_are_told_by_what_they_are() {
    let mut earlier: Vec<Vec<u8>> = Vec::new();
    let world = Scripted::new(move |heard| {
        let mut answers = vec![
            reply(ms(1), b""),
            reply(ms(1), b"forged"),
            reply(ms(1), &[0xff; 40]),
            reply(ms(1), heard.payload.split_at(2).0),
        ];
        answers.extend(earlier.iter().map(|request| reply(ms(2), request)));
        answers.push(reply(ms(3), heard.payload));
        earlier.push(heard.payload.to_vec());
        answers
    });
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).buffer(32);
    let mut requester = builder.over(world).unwrap();
    for n in 0..12_u32 {
        let strays = requester.request(&n.to_be_bytes()).unwrap().strays();
        let remembered = n.min(8);
        assert_eq!((strays.stale, strays.empty, strays.truncated), (remembered, 1, 1), "request {n}");
        assert_eq!(strays.foreign, 2 + (n - remembered), "forged, too short, and older than is remembered");
        assert_eq!(strays.total(), 4 + n);
    }
}

#[test]
fn an_error_tells_its_strays_too_and_a_late_reply_is_one() {
    let late = || {
        Scripted::new(|heard| match heard.payload[0] {
            b'1' => vec![reply(ms(4000), heard.payload)],
            _ => vec![reply(ms(10), b"junk")],
        })
    };
    // On a fresh port nothing late is heard.
    for (world, stale) in [(late().with_a_chosen_port(), 5), (late(), 0)] {
        let mut requester = by_id(world);
        assert_eq!(requester.request(b"1 late").unwrap_err().strays().total(), 0);
        let strays = requester.request(b"2 nobody").unwrap_err().strays();
        assert_eq!((strays.stale, strays.foreign, strays.total()), (stale, 5, 5 + stale));
    }
}
