//! What could not be sent.

use std::io;

use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure};
use udp_retry::transport::PathError;

use super::{PING, by_id, only};
use crate::scripted::{Back, Scripted, ms};

#[test]
fn sends_denied_every_time_say_that_nothing_left() {
    let mut requester = by_id(Scripted::echo(ms(1)));
    requester.transport_mut().fail_sends(u32::MAX, PathError::Denied);
    let error = requester.request(PING).unwrap_err();
    assert_eq!(error.failure(), Failure::Local(PathError::Denied));
    assert_eq!((error.execution(), error.transmissions(), error.elapsed()), (Execution::NotSent, 0, ms(3100)));
    assert_eq!(error.to_string(), "permission denied (0 transmissions, 3100.0 ms)");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_full_local_queue_costs_a_slot_and_no_more() {
    let mut requester = by_id(Scripted::echo(ms(1)));
    requester.transport_mut().fail_sends(2, PathError::NoBuffers);
    let answer = requester.request(PING).unwrap();
    assert_eq!((answer.transmissions(), answer.elapsed()), (1, ms(101)));
    assert_eq!(answer.round_trip(), Some(ms(1)), "sent once only");
}

#[test]
fn a_request_too_large_for_the_path_fails_at_once() {
    let mut requester = by_id(Scripted::echo(ms(1)).with_limit(1232));
    let error = requester.request(&[7; 1233]).unwrap_err();
    let fits = Some(Plpmtu::new(1232));
    assert!(matches!(error.failure(), Failure::TooLarge { len: 1233, limit, .. } if limit == fits), "{error}");
    assert_eq!((error.execution(), error.transmissions(), error.elapsed()), (Execution::NotSent, 0, ms(0)));
    assert_eq!(error.to_string(), "a request of 1233 bytes is too large: 1232 would fit (0 transmissions, 0.0 ms)");
    assert_eq!(requester.transport().left, 0);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    assert_eq!(requester.request(&[7; 1232]).unwrap().payload(), [7; 1232]);
}

#[test]
fn a_size_without_a_known_limit_is_named_too() {
    let mut requester = by_id(Scripted::silent());
    requester.transport_mut().fail_sends(2, PathError::too_big(None));
    let error = requester.request(PING).unwrap_err();
    assert!(matches!(error.failure(), Failure::TooLarge { len: 9, limit: None, .. }), "{error}");
    assert_eq!(error.to_string(), "a request of 9 bytes is too large (0 transmissions, 0.0 ms)");
}

#[test]
fn a_packet_too_big_for_an_earlier_datagram_does_not_end_this_request() {
    let server = only(0, |_| vec![(ms(1), Back::Error(PathError::too_big(Some(Plpmtu::new(8)))))]);
    let mut requester = by_id(Scripted::new(server));
    let error = requester.request(PING).unwrap_err();
    assert_eq!((error.transmissions(), error.elapsed()), (5, ms(3100)));
    assert_eq!(
        error.to_string(),
        "no reply (5 transmissions, 3100.0 ms, last heard: message too long: 8 bytes would fit)"
    );
}

#[test]
fn a_request_without_its_id_is_not_sent() {
    let mut requester = by_id(Scripted::echo(ms(1)));
    let error = requester.request(b"abc").unwrap_err();
    assert_eq!((error.failure(), error.execution()), (Failure::Unmatchable, Execution::NotSent));
    assert_eq!(error.to_string(), "the request lacks the id that its reply would repeat (0 transmissions, 0.0 ms)");
    assert_eq!(requester.transport().left, 0);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_later_build_without_its_id_is_not_sent_either() {
    let mut requester = by_id(Scripted::silent());
    let result = requester.request_with(|it, bytes| {
        bytes.extend_from_slice(if it.transmission == 1 { PING } else { b"abc" });
    });
    let error = result.unwrap_err();
    assert_eq!((error.failure(), error.transmissions()), (Failure::Unmatchable, 1));
    assert_eq!(requester.transport().sent_ms(), [0.0]);
}
