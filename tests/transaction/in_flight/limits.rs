//! What is refused, and what ends while it waits.

use std::num::NonZeroU32;

use udp_retry::RetryPolicy;
use udp_retry::transaction::{Arrived, Execution, Failure, GiveUp, Limits, Request, SubmitError, transaction_id};

use super::settings::ms;
use super::{START, engine, stamped, submitted, transmitted};

#[test]
fn a_waiting_request_is_ended_by_its_own_deadline_and_was_not_sent() {
    let mut requests = stamped(8, Limits::default().window(NonZeroU32::MIN));
    let peer = requests.peer(1).unwrap();
    let first = submitted(&mut requests, START, 1, 1);
    requests.submit(START, peer, Request::new(b"........").deadline(ms(30)), 2).unwrap();
    submitted(&mut requests, START, 1, 3);
    assert_eq!(transmitted(&mut requests, START), 1);
    assert!(requests.next_deadline().unwrap() <= START.after(ms(31)));
    requests.on_time_up(START.after(ms(29)));
    assert_eq!(requests.next_finished(), None);
    requests.on_time_up(START.after(ms(31)));
    let ended = requests.next_finished().unwrap();
    assert_eq!((ended.token, ended.failure), (2, Some(Failure::TimedOut(GiveUp::Deadline))));
    assert_eq!((ended.execution, ended.transmissions), (Execution::NotSent, 0));
    assert_eq!((requests.next_finished(), requests.transmits().count(), requests.on_wire(peer)), (None, 0, 1));
    // The next one in line is the third.
    let reply = requests.request(first).unwrap().to_vec();
    assert!(matches!(requests.on_datagram(START.after(ms(32)), 1, &reply, reply.len()), Arrived::Reply(_)));
    let third = requests.transmits().next().unwrap().handle;
    assert_eq!(requests.cancel(START.after(ms(32)), third).unwrap().token, 3);
    assert!(requests.is_empty());
}

#[test]
fn an_engine_s_deadline_counts_from_the_submission_as_well() {
    let limits = Limits::default().window(NonZeroU32::MIN);
    let mut requests = stamped(8, limits).with_deadline(ms(50));
    let peer = requests.peer(1).unwrap();
    submitted(&mut requests, START, 1, 1);
    requests.submit(START, peer, Request::new(b"........").deadline(ms(80)), 2).unwrap();
    transmitted(&mut requests, START);
    requests.on_time_up(START.after(ms(51)));
    let mut ended = [requests.next_finished(), requests.next_finished()].map(|ended| ended.unwrap());
    ended.sort_by_key(|ended| ended.token);
    assert_eq!(ended.clone().map(|ended| ended.failure), [Some(Failure::TimedOut(GiveUp::Deadline)); 2]);
    assert_eq!(ended.map(|ended| ended.execution), [Execution::Unknown, Execution::NotSent]);
}

#[test]
fn a_full_engine_says_so_until_one_has_ended() {
    let mut requests = stamped(8, Limits::default().requests(NonZeroU32::new(3).unwrap()));
    let peer = requests.peer(1).unwrap();
    let handles = [0, 1, 2].map(|token| submitted(&mut requests, START, 1, token));
    assert_eq!((requests.available(), requests.len()), (0, 3));
    assert_eq!(requests.submit(START, peer, b"........", 3), Err(SubmitError::Full));
    requests.cancel(START, handles[1]).unwrap();
    assert_eq!((requests.available(), requests.len()), (1, 2));
    submitted(&mut requests, START, 1, 3);
    assert_eq!(requests.submit(START, peer, b"........", 4), Err(SubmitError::Full));
}

#[test]
fn so_does_one_whose_bytes_are_spent() {
    let mut requests = stamped(8, Limits::default().bytes(1 << 17));
    let peer = requests.peer(1).unwrap();
    let large = vec![0; 60_000];
    let handles: Vec<_> = (0..2).map(|token| requests.submit(START, peer, &large, token).unwrap()).collect();
    assert_eq!(requests.submit(START, peer, &large, 2), Err(SubmitError::Full));
    requests.cancel(START, handles[0]).unwrap();
    requests.submit(START, peer, &large, 2).unwrap();
    let refused = requests.submit(START, peer, vec![0; 65_508], 3);
    assert!(matches!(refused, Err(SubmitError::TooLarge { len: 65_508, .. })), "{refused:?}");
}

#[test]
fn an_id_of_the_caller_s_is_in_use_at_one_peer_and_free_at_another() {
    let mut requests = engine(transaction_id(0..4), Limits::default());
    let [here, there] = [1, 2].map(|address| requests.peer(address).unwrap());
    requests.submit(START, here, b"id 7 here", 1).unwrap();
    assert_eq!(requests.submit(START, here, b"id 7 again", 2), Err(SubmitError::IdInUse));
    requests.submit(START, here, b"id 8", 2).unwrap();
    requests.submit(START, there, b"id 7 there", 3).unwrap();
    assert_eq!(transmitted(&mut requests, START), 3);
    let Arrived::Reply(ended) = requests.on_datagram(START, 2, b"id 7", 4) else { panic!("no reply") };
    assert_eq!(ended.token, 3);
    assert_eq!(requests.submit(START, here, b"id 7 again", 4), Err(SubmitError::IdInUse));
    let Arrived::Reply(ended) = requests.on_datagram(START, 1, b"id 7", 4) else { panic!("no reply") };
    assert_eq!(ended.token, 1);
    requests.submit(START, here, b"id 7 again", 4).unwrap();
    assert_eq!(requests.submit(START, here, b"id", 5), Err(SubmitError::Unmatchable));
}

#[test]
fn two_hundred_and_fifty_six_policies_are_taken_and_no_more() {
    let mut requests = stamped(8, Limits::default());
    let peer = requests.peer(1).unwrap();
    let policy = |n: u64| RetryPolicy::LAN.with_patience(ms(1 + n)).unwrap();
    for n in 0..255 {
        requests.submit(START, peer, Request::new(b"........").policy(&policy(n)), n).unwrap();
    }
    let refused = requests.submit(START, peer, Request::new(b"........").policy(&policy(255)), 255);
    assert_eq!(refused, Err(SubmitError::TooManyPolicies));
    requests.submit(START, peer, Request::new(b"........").policy(&policy(254)), 256).unwrap();
    submitted(&mut requests, START, 1, 257);
}
