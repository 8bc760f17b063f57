//! What it takes for the reply.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use udp_retry::transaction::{BuildFor, Execution, Failure};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, any_reply, transaction_id};

use super::{PING, by_id, forgetful, only, without_ids};
use crate::scripted::{Back, Heard, Scripted, ms, refused, reply};
use crate::seen::{Seen, seen};

#[test]
fn replies_to_ten_thousand_requests_without_ids_are_never_mixed_up_by_a_late_first_one() {
    let mut requester = without_ids(late_first());
    assert_eq!(wrong_of(&mut requester, 10_000), 0);
    assert_eq!(requester.transport().port(), 10_000);
}

#[test]
fn replies_to_ten_thousand_requests_without_ids_are_never_mixed_up_by_repetitions_and_delays() {
    assert_eq!(wrong_of(&mut without_ids(repeated()), 10_000), 0);
    assert_eq!(wrong_of(&mut without_ids(repeated_and_delayed()), 10_000), 0);
}

#[test]
fn the_same_worlds_do_mix_up_replies_on_a_path_wrongly_called_faithful() {
    for world in [late_first(), repeated(), repeated_and_delayed()] {
        let mut requester = ReliableRequester::builder(any_reply().on_a_faithful_path())
            .policy(RetryPolicy::LAN)
            .over(forgetful(world))
            .unwrap();
        let wrong = wrong_of(&mut requester, 10_000);
        assert!(wrong > 9000, "only {wrong} of 10,000: the world above proves little");
    }
}

#[test]
fn replies_to_ten_thousand_requests_with_ids_are_never_mixed_up() {
    for world in [late_first(), repeated(), repeated_and_delayed()] {
        let mut requester = by_id(forgetful(world));
        assert_eq!(wrong_of(&mut requester, 10_000), 0);
    }
}

#[test]
fn every_request_without_an_id_leaves_from_a_port_of_its_own_and_its_repetitions_do_not() {
    let mut requester =
        ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(Scripted::silent()).unwrap();
    for _ in 0..2 {
        requester.request(b"time?").unwrap_err();
    }
    let ports: Vec<_> = requester.transport().sent.iter().map(|sent| sent.port).collect();
    assert_eq!(ports, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
}

#[test]
fn the_time_that_a_fresh_port_takes_shortens_no_wait_and_counts_towards_the_deadline() {
    let builder = || ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN);
    let mut requester = builder().over(Scripted::silent().with_renewal(ms(20))).unwrap();
    assert_eq!(requester.request(b"time?").unwrap_err().elapsed(), ms(3120));
    assert_eq!(requester.transport().sent_ms(), [20.0, 120.0, 320.0, 720.0, 1520.0]);
    let mut requester = builder().deadline(ms(300)).over(Scripted::silent().with_renewal(ms(20))).unwrap();
    assert_eq!(requester.request(b"time?").unwrap_err().elapsed(), ms(300));
    assert_eq!(requester.transport().sent_ms(), [20.0, 120.0]);
}

#[test]
fn a_transport_that_cannot_change_its_port_cannot_serve_requests_without_ids() {
    let network = Scripted::echo(ms(1)).not_renewable();
    let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(network).unwrap();
    let error = requester.request(b"time?").unwrap_err();
    assert_eq!((error.failure(), error.execution()), (Failure::NoFreshPort, Execution::NotSent));
    assert_eq!((requester.transport().left, error.elapsed()), (0, ms(0)));
    assert_eq!(
        error.to_string(),
        "requests without ids need fresh source ports, and this one cannot change (0 transmissions, 0.0 ms)"
    );
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Unsupported);
}

#[test]
fn an_empty_datagram_is_a_reply() {
    let network = Scripted::new(|_| vec![reply(ms(1), b"")]);
    let mut requester = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(network).unwrap();
    let answer = requester.request(b"").unwrap();
    assert_eq!((answer.payload(), answer.transmissions(), answer.round_trip()), (&b""[..], 1, Some(ms(1))));
}

#[test]
fn a_reply_longer_than_the_buffer_is_an_error_that_tells_both_sizes() {
    for (buffer, received) in [(9, Ok(9)), (8, Err((8, 9))), (4, Err((4, 9)))] {
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(RetryPolicy::LAN)
            .buffer(buffer)
            .over(Scripted::echo(ms(2)))
            .unwrap();
        match (requester.request(PING).map(|answer| answer.payload().len()), received) {
            (Ok(len), Ok(expected)) => assert_eq!(len, expected),
            (Err(error), Err((received, actual))) => {
                let both = (received, actual);
                let told = |failure| match failure {
                    Failure::Truncated { received, actual, .. } => Some((received, actual)),
                    _ => None,
                };
                assert_eq!(told(error.failure()), Some(both));
                assert_eq!((error.execution(), error.elapsed()), (Execution::Unknown, ms(2)));
                let text = format!("the reply of 9 bytes exceeds the buffer of {buffer} (1 transmission, 2.0 ms)");
                assert_eq!(error.to_string(), text);
                assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
            }
            (result, expected) => panic!("{result:?}, not {expected:?}"),
        }
    }
}

#[test]
fn requests_built_anew_are_numbered_from_one_and_a_reply_to_any_of_them_counts() {
    // Only the first is answered, long after the third has left.
    let numbers = Rc::new(RefCell::new(Vec::new()));
    let mut requester = by_id(Scripted::new(only(0, |heard| vec![reply(ms(500), heard.payload)])));
    let build = |purpose: BuildFor, bytes: &mut Vec<u8>| {
        numbers.borrow_mut().push(purpose.transmission);
        assert!(bytes.is_empty());
        bytes.extend_from_slice(&purpose.transmission.to_be_bytes());
    };
    let answer = requester.request_with(build).unwrap();
    assert_eq!((answer.payload(), answer.transmissions()), (&1_u32.to_be_bytes()[..], 3));
    assert_eq!(answer.round_trip(), Some(ms(500)), "the reply names its transmission");
    assert_eq!(*numbers.borrow(), [1, 2, 3]);
    let payloads: Vec<_> = requester.transport().sent.iter().map(|sent| sent.payload.clone()).collect();
    assert_eq!(payloads, [1_u32, 2, 3].map(|number| number.to_be_bytes().to_vec()));
}

#[test]
fn a_request_whose_send_failed_is_built_again_under_the_same_number() {
    let mut numbers = Vec::new();
    let mut requester = by_id(Scripted::echo(ms(1)));
    requester.transport_mut().fail_sends(2, PathError::NoBuffers);
    let answer = requester.request_with(|it, bytes| {
        numbers.push(it.transmission);
        bytes.extend_from_slice(&it.transmission.to_be_bytes());
    });
    assert_eq!(answer.unwrap().payload(), 1_u32.to_be_bytes());
    assert_eq!(numbers, [1, 1]);
}

#[test]
fn a_requester_is_as_good_as_new_after_every_failure() {
    let server = |heard: Heard<'_>| match heard.payload.get(4..) {
        Some(b" quiet") => Vec::new(),
        Some(b" refuse") => vec![refused(ms(1))],
        Some(b" long") => vec![(ms(1), Back::Datagram([heard.payload, &[0; 100]].concat()))],
        _ => vec![reply(ms(3), heard.payload)],
    };
    let mut requester = ReliableRequester::builder(transaction_id(0..4))
        .policy(RetryPolicy::LAN)
        .buffer(64)
        .over(Scripted::new(server).with_limit(1000))
        .unwrap();
    for bad in [&b"id 1 quiet"[..], b"id 2 refuse", b"id 3 long", b"id", &[b'x'; 2000]] {
        requester.request(bad).unwrap_err();
        let answer = requester.request(PING).unwrap();
        assert_eq!((answer.payload(), answer.transmissions()), (PING, 1));
        assert_eq!((answer.elapsed(), answer.round_trip()), (ms(3), Some(ms(3))));
        assert_eq!(seen(answer.timeline()), [(ms(0), Seen::Transmitted(1)), (ms(3), Seen::Replied)]);
    }
}

/// The first answer takes 150 ms, every other one a millisecond.
fn late_first() -> Scripted {
    Scripted::new(|heard| vec![reply(if heard.ordinal == 0 { ms(150) } else { ms(1) }, heard.payload)])
}

/// Every answer comes twice, the copy 40 ms after the first.
fn repeated() -> Scripted {
    Scripted::new(|heard| vec![reply(ms(30), heard.payload), reply(ms(70), heard.payload)])
}

/// Besides, every third answer is 120 ms late.
fn repeated_and_delayed() -> Scripted {
    Scripted::new(|heard| {
        let late = if heard.ordinal % 3 == 0 { ms(120) } else { ms(0) };
        vec![reply(ms(5) + late, heard.payload), reply(ms(45) + late, heard.payload)]
    })
}

/// How many of so many requests got the reply to another one.
#[track_caller]
fn wrong_of<T: Transport<Peer = PathIndex>>(requester: &mut ReliableRequester<T>, requests: u32) -> u32 {
    let mut wrong = 0;
    for n in 0..requests {
        let answer = requester.request(&n.to_be_bytes()).unwrap_or_else(|error| panic!("request {n}: {error}"));
        wrong += u32::from(answer.payload() != n.to_be_bytes());
    }
    wrong
}
