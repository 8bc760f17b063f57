//! Sends that fail, and errors that come back: whose they are, and what they cost.

use std::num::NonZeroU32;

use udp_retry::transaction::{Execution, Failure, Limits, OnUnreachable};
use udp_retry::transport::PathError;

use super::settings::ms;
use super::{START, looked, stamped, submitted, transmitted};

#[test]
fn a_full_send_buffer_costs_no_transmission_and_no_slot() {
    let mut requests = stamped(8, Limits::default());
    let handles = [1, 2].map(|token| submitted(&mut requests, START, 1, token));
    let order = |requests: &super::Stamped| requests.transmits().map(|transmit| transmit.handle).collect::<Vec<_>>();
    let mut now = START;
    for _ in 0..20 {
        assert_eq!(order(&requests), handles);
        requests.on_not_transmitted(now, PathError::NoBuffers);
        assert_eq!(order(&requests), [], "nothing more is to be sent at once");
        let due = requests.next_deadline().unwrap();
        assert!(due > now && due <= now.after(ms(2)), "a pause until {due:?}");
        now = due;
        requests.on_time_up(now);
    }
    assert_eq!(requests.next_finished(), None, "more failures than there are slots");
    assert_eq!(transmitted(&mut requests, now), 2);
    // So it is with a retransmission: it stays due, and the others of the schedule follow it.
    let ended = super::in_silence(&mut requests, now, |requests, now, turn| match turn {
        ..=10 if requests.transmits().next().is_some() => {
            requests.on_not_transmitted(now, PathError::NoBuffers);
            0
        }
        _ => transmitted(requests, now),
    });
    assert_eq!(ended.len(), 2);
    for ended in ended {
        assert_eq!((ended.transmissions, ended.last_error), (5, None));
    }
}

#[test]
fn a_refusal_of_unknown_origin_ends_only_a_request_that_is_alone_at_its_peer() {
    let fail_fast = || stamped(8, Limits::default()).with_on_unreachable(OnUnreachable::FailFast);
    for alone in [true, false] {
        let mut requests = fail_fast();
        submitted(&mut requests, START, 1, 1);
        if !alone {
            submitted(&mut requests, START, 1, 2);
        }
        // Whoever is at another peer has nothing to do with it.
        submitted(&mut requests, START, 2, 3);
        transmitted(&mut requests, START);
        requests.on_path_error(START, Some(1), PathError::Refused, &[]);
        assert_eq!(requests.next_finished(), None, "a reply may be queued behind it");
        let ended = looked(&mut requests, START);
        if alone {
            assert_eq!(ended.len(), 1);
            assert_eq!((ended[0].token, ended[0].failure), (1, Some(Failure::Refused)));
            assert_eq!(ended[0].execution, Execution::Refused);
        } else {
            assert_eq!(ended, []);
        }
    }
}

#[test]
fn a_quoted_refusal_ends_its_own_request_among_many() {
    let mut requests = stamped(8, Limits::default()).with_on_unreachable(OnUnreachable::FailFast);
    let handles = [0, 1, 2].map(|token| submitted(&mut requests, START, 1, token));
    transmitted(&mut requests, START);
    let quoted = requests.request(handles[1]).unwrap().to_vec();
    requests.on_path_error(START, Some(1), PathError::Refused, &quoted);
    let ended = looked(&mut requests, START);
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].token, ended[0].failure), (1, Some(Failure::Refused)));
    assert_eq!(ended[0].execution, Execution::Refused);
    assert_eq!(requests.len(), 2);
}

#[test]
fn each_transmission_is_refused_once_however_often_that_is_reported() {
    let two = OnUnreachable::FailAfter(NonZeroU32::new(2).unwrap());
    let mut requests = stamped(8, Limits::default()).with_on_unreachable(two);
    let handle = submitted(&mut requests, START, 1, 1);
    submitted(&mut requests, START, 1, 2);
    transmitted(&mut requests, START);
    let quoted = requests.request(handle).unwrap().to_vec();
    for _ in 0..5 {
        requests.on_path_error(START, Some(1), PathError::Refused, &quoted);
        assert_eq!(looked(&mut requests, START), []);
    }
    let due = START.after(ms(101));
    assert_eq!(looked(&mut requests, due), []);
    assert_eq!(transmitted(&mut requests, due), 2);
    requests.on_path_error(due, Some(1), PathError::Refused, &quoted);
    assert_eq!(looked(&mut requests, due).len(), 1);
}

#[test]
fn those_that_end_unanswered_at_a_silent_peer_say_what_came_of_it_and_not_that_they_were_refused() {
    for (heard, failure) in [(false, Failure::Refused), (true, TIMED_OUT)] {
        let mut requests = stamped(8, Limits::default());
        for token in [1, 2] {
            submitted(&mut requests, START, 1, token);
        }
        transmitted(&mut requests, START);
        requests.on_path_error(START.after(ms(1)), Some(1), PathError::Refused, &[]);
        if heard {
            requests.on_datagram(START.after(ms(2)), 1, b"anything at all", 15);
        }
        let ended = super::in_silence(&mut requests, START, |requests, now, _| transmitted(requests, now));
        let ended: Vec<_> = ended.iter().map(|it| (it.failure, it.execution)).collect();
        assert_eq!(ended, [(Some(failure), Execution::Unknown); 2]);
    }
}

#[test]
fn a_send_that_is_refused_nine_times_in_a_row_uses_up_its_slot() {
    let mut requests = stamped(8, Limits::default());
    submitted(&mut requests, START, 1, 1);
    for failed in 0..9 {
        assert_eq!(requests.transmits().count(), 1, "after {failed} failures");
        requests.on_not_transmitted(START, PathError::Refused);
    }
    assert_eq!(requests.transmits().count(), 0);
    assert_eq!(looked(&mut requests, START.after(ms(99))), []);
    assert_eq!(requests.transmits().count(), 0, "the next slot is not due");
    assert_eq!(looked(&mut requests, START.after(ms(101))), []);
    assert_eq!(requests.transmits().count(), 1);
}

const TIMED_OUT: Failure = Failure::TimedOut(udp_retry::transaction::GiveUp::Unanswered);
