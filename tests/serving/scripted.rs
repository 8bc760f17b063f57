//! Over a transport whose every answer the test chooses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use udp_retry::envelope::{Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::serving::{Ended, Handled, SharedResponder};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Route, Transport};

use crate::{count, over};

/// Shows these, then that the time is up.
#[derive(Default)]
struct Scripted {
    now: Timestamp,
    arrivals: VecDeque<Incoming<Vec<u8>>>,
    /// What sends come to; then they succeed.
    sends: VecDeque<PathError>,
    sent: Vec<Vec<u8>>,
    offered: u32,
    responder: Option<SharedResponder<SameId>>,
    /// Replies that were kept when each send was tried.
    kept: Vec<u64>,
}

impl Scripted {
    fn showing(requests: &[&[u8]]) -> Self {
        let arrivals = requests.iter().map(|request| arrival(request, Timestamp::ZERO)).collect();
        Self { arrivals, ..Self::default() }
    }
}

fn arrival(request: &[u8], at: Timestamp) -> Incoming<Vec<u8>> {
    Incoming::Datagram(Received::new(request.to_vec(), request.len(), request.len(), at))
}

impl Transport for Scripted {
    type Peer = Route;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, to: Route, datagram: &[u8]) -> Result<(), PathError> {
        assert_eq!(to, route());
        self.offered += 1;
        // Neither is the responder locked by the thread that sends.
        self.kept.extend(self.responder.as_ref().map(|responder| responder.stats().replies.kept));
        match self.sends.pop_front() {
            Some(error) => return Err(error),
            None => self.sent.push(datagram.to_vec()),
        }
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<Route> {
        match self.arrivals.pop_front() {
            Some(Incoming::Datagram(Received { from, actual, at, .. })) => {
                self.now = self.now.max(at);
                let len = from.len().min(buffer.len());
                buffer[..len].copy_from_slice(&from[..len]);
                Incoming::Datagram(Received::new(route(), len, actual, at))
            }
            Some(Incoming::PathError { error, quoted, .. }) => Incoming::PathError { path: None, error, quoted },
            Some(Incoming::Cancelled) => Incoming::Cancelled,
            Some(Incoming::TimeUp(at)) => Incoming::TimeUp(at),
            None => Incoming::TimeUp(until),
        }
    }

    fn renew(&mut self, _path: Route, _need: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Unsupported)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        *key = [7; 32];
        Ok(())
    }
}

fn route() -> Route {
    Route::new(SocketAddr::from(([192, 0, 2, 1], 700)), SocketAddr::from(([192, 0, 2, 7], 1060)))
}

#[test]
fn what_a_socket_reports_ends_nothing() {
    let mut transport = Scripted::showing(&[b"0001"]);
    let errors = [PathError::Refused, PathError::Unsupported, PathError::Other(9), PathError::Denied];
    for error in errors.into_iter().cycle().take(1000) {
        transport.arrivals.push_front(Incoming::PathError { path: None, error, quoted: 0 });
    }
    let responder = over(&mut transport);
    let mut executed = 0;
    let ended = responder.serve(&mut transport, |request, reply| count(&mut executed, request, reply));
    assert_eq!((ended, executed), (Ended::TimeUp, 1));
    assert_eq!(transport.sent, [b"00011"]);
}

#[test]
fn a_reply_that_could_not_leave_is_offered_once_more_and_then_answers_the_next_copy() {
    for (errors, sent, unsent) in [(1, 2, 0), (2, 1, 1)] {
        let mut transport = Scripted::showing(&[b"0001", b"0001"]);
        transport.sends = [PathError::NoBuffers; 2].into_iter().take(errors).collect();
        let responder = over(&mut transport);
        let mut executed = 0;
        responder.serve(&mut transport, |request, reply| count(&mut executed, request, reply));
        assert_eq!((executed, responder.unsent()), (1, unsent));
        assert_eq!((transport.sent, transport.offered), (vec![b"00011".to_vec(); sent], 3));
    }
}

#[test]
fn a_reply_is_kept_before_it_is_sent() {
    let mut transport = Scripted::showing(&[b"0001", b"0002", b"0001"]);
    let responder = over(&mut transport);
    transport.responder = Some(responder.clone());
    responder.serve(&mut transport, |request, reply| {
        // Nor is it locked while a handler runs.
        reply.extend_from_slice(&[b'0' + responder.stats().replies.fresh as u8]);
        reply.extend_from_slice(request.bytes());
        Handled::Reply
    });
    assert_eq!(transport.kept, [1, 2, 2]);
    assert_eq!(transport.sent, [b"10001", b"20002", b"10001"]);
}

#[test]
fn a_cancellation_that_comes_while_a_handler_runs_keeps_no_reply_back() {
    let mut transport = Scripted::showing(&[b"0001"]);
    transport.arrivals.extend([
        arrival(b"lost", Timestamp::ZERO),
        Incoming::Cancelled,
        arrival(b"0002", Timestamp::ZERO),
    ]);
    transport.sends = [PathError::Cancelled].into();
    let responder = over(&mut transport);
    let mut executed = 0;
    let ended = responder.serve(&mut transport, |request, reply| count(&mut executed, request, reply));
    assert_eq!((ended, executed), (Ended::Cancelled, 1));
    assert_eq!((transport.sent, responder.unsent()), (vec![b"00011".to_vec()], 0));
    assert_eq!(transport.arrivals.len(), 1, "nothing is served any more");
}

#[test]
fn a_flood_keeps_no_one_past_the_time_and_what_is_queued_in_time_is_served() {
    let mut transport = Scripted { now: Timestamp::from_nanos(5), ..Scripted::default() };
    let ids = |range: std::ops::Range<u32>| range.map(|id| arrival(&id.to_be_bytes(), Timestamp::ZERO));
    transport.arrivals = ids(0..1000).collect();
    let responder = over(&mut transport);
    let mut executed = 0;
    let mut serve = |transport: &mut Scripted, until| {
        let ended = responder.serve_until(transport, until, |request, reply| count(&mut executed, request, reply));
        (ended, std::mem::take(&mut executed))
    };
    let (late, now) = (Timestamp::from_nanos(4), Timestamp::from_nanos(5));
    assert_eq!(serve(&mut transport, late), (Ended::TimeUp, 65));
    assert_eq!(serve(&mut transport, now), (Ended::TimeUp, 935));
}

#[test]
fn nor_does_one_of_copies_of_what_was_executed_in_time() {
    let at = Timestamp::from_nanos;
    let arrivals = [at(3)].into_iter().chain([at(5); 1000]).map(|at| arrival(b"0001", at)).collect();
    let mut transport = Scripted { arrivals, ..Scripted::default() };
    let responder = over(&mut transport);
    let ended = responder.serve_until(&mut transport, at(4), |_, _| Handled::Reply);
    // The first of them was waited for in time.
    assert_eq!((ended, 1000 - transport.arrivals.len()), (Ended::TimeUp, 1 + 65));
}

#[test]
fn what_was_truncated_or_has_no_id_is_not_executed() {
    let mut transport = Scripted::showing(&[b"123"]);
    let truncated = Received::new(b"0001 and".to_vec(), 8, 9, Timestamp::ZERO);
    transport.arrivals.push_back(Incoming::Datagram(truncated));
    let responder = over(&mut transport);
    responder.serve(&mut transport, |_, _| panic!("it is none of ours"));
    assert_eq!((responder.stats().foreign, responder.stats().truncated), (1, 1));
}

#[test]
fn a_handler_says_whether_a_request_was_executed() {
    let mut transport = Scripted::showing(&[b"none", b"none", b"lock", b"lock", b"lock"]);
    let responder = over(&mut transport);
    let mut asked = Vec::new();
    responder.serve(&mut transport, |request, reply| {
        asked.push(request.bytes().to_vec());
        reply.extend_from_slice(b"done");
        match request.bytes() {
            b"lock" if asked.len() == 2 => Handled::NotExecuted,
            b"lock" => Handled::Reply,
            _ => Handled::Silence,
        }
    });
    assert_eq!(asked, [b"none", b"lock", b"lock"]);
    assert_eq!(transport.sent, [b"done", b"done"]);
}

#[test]
fn a_reply_begins_empty_and_may_be() {
    let mut transport = Scripted::showing(&[b"long", b"none"]);
    let responder = over(&mut transport);
    responder.serve(&mut transport, |request, reply| {
        reply.extend_from_slice(if request.bytes() == b"long" { b"bytes" } else { b"" });
        Handled::Reply
    });
    assert_eq!(transport.sent, [b"bytes".to_vec(), vec![]]);
}

#[test]
fn a_job_that_was_taken_is_replied_to_later_and_its_copies_are_ignored_until_then() {
    let mut transport = Scripted::showing(&[b"0001", b"0001"]);
    let responder = over(&mut transport);
    let mut jobs = Vec::new();
    responder.serve(&mut transport, |request, reply| {
        request.provisional(b"wait");
        jobs.extend(request.later());
        assert_eq!(request.later(), None);
        request.provisional(b"it is no longer ours");
        reply.extend_from_slice(b"nor this");
        Handled::Reply
    });
    assert_eq!((&transport.sent, jobs.len()), (&vec![b"wait".to_vec()], 1));

    let job = jobs.pop().unwrap();
    responder.provisional(&mut transport, &job, b"wait longer");
    responder.finish(&mut transport, job, b"done");
    transport.arrivals.push_back(arrival(b"0001", Timestamp::ZERO));
    responder.serve(&mut transport, |_, _| panic!("it was executed"));
    assert_eq!(transport.sent, [&b"wait"[..], b"wait longer", b"done", b"done"]);
}

#[test]
fn a_reply_that_comes_later_and_cannot_leave_is_offered_once_more_and_then_answers_the_next_copy() {
    for (errors, sent, unsent) in [(1, 2, 0), (2, 1, 1)] {
        let mut transport = Scripted::showing(&[b"0001"]);
        let responder = over(&mut transport);
        let mut jobs = Vec::new();
        responder.serve(&mut transport, |request, _| {
            jobs.extend(request.later());
            Handled::Silence
        });
        transport.sends = [PathError::NoBuffers; 2].into_iter().take(errors).collect();
        responder.finish(&mut transport, jobs.remove(0), b"done");
        assert_eq!((transport.offered, responder.unsent()), (2, unsent));
        transport.arrivals.push_back(arrival(b"0001", Timestamp::ZERO));
        responder.serve(&mut transport, |_, _| panic!("it was executed"));
        assert_eq!((transport.sent, responder.unsent()), (vec![b"done".to_vec(); sent], unsent));
    }
}

#[test]
fn whatever_leaves_a_server_with_an_envelope_has_a_header_that_says_which_transmission_it_answers() {
    let server = Incarnation::new(7).unwrap();
    let copy =
        |transmission, id: &[u8]| [&RequestHeader::new(transmission, None, Some(server)).encode()[..], id].concat();
    let mut transport =
        Scripted::showing(&[&copy(1, b"0001"), &copy(2, b"0001"), &copy(3, b"0002"), &copy(4, b"0002")]);
    let responder = Responder::over(&mut transport, ReplyLimits::default(), same_id(0..4)).unwrap();
    let responder = SharedResponder::from(responder.envelope(server));
    let mut jobs = Vec::new();
    responder.serve(&mut transport, |request, reply| {
        request.provisional(b"wait");
        reply.extend_from_slice(b"done");
        if request.bytes() == b"0002" {
            jobs.extend(request.later());
        }
        Handled::Reply
    });
    let job = jobs.remove(0);
    responder.provisional(&mut transport, &job, b"wait longer");
    responder.finish(&mut transport, job, b"late");
    let sent = transport.sent.iter().map(|datagram| {
        let (header, payload) = ReplyHeader::decode(datagram).unwrap();
        assert_eq!((header.kind(), header.incarnation()), (ReplyKind::Reply, server));
        (header.transmission().get(), payload)
    });
    let expected = [(1, &b"wait"[..]), (1, b"done"), (2, b"done"), (3, b"wait"), (3, b"wait longer"), (3, b"late")];
    assert_eq!(sent.collect::<Vec<_>>(), expected);
}

#[test]
fn a_job_that_was_abandoned_is_executed_again_and_one_that_was_dropped_is_not() {
    let mut transport = Scripted::showing(&[b"0001", b"0002"]);
    let responder = over(&mut transport);
    let mut jobs = Vec::new();
    responder.serve(&mut transport, |request, _| {
        jobs.extend(request.later());
        Handled::Silence
    });
    responder.abandon(jobs.remove(0));
    drop(jobs);
    transport.arrivals = [arrival(b"0002", Timestamp::ZERO), arrival(b"0001", Timestamp::ZERO)].into();
    let mut executed = 0;
    responder.serve(&mut transport, |request, reply| count(&mut executed, request, reply));
    assert_eq!((executed, transport.sent), (1, vec![b"00011".to_vec()]));
}

#[test]
fn a_request_whose_handler_panicked_is_never_executed_again_and_the_others_are() {
    let mut transport = Scripted::showing(&[b"0001", b"boom", b"boom", b"0001", b"0002"]);
    let responder = over(&mut transport);
    let (mut executed, mut panics) = (0, 0);
    loop {
        let serve = || {
            responder.serve(&mut transport, |request, reply| {
                assert_ne!(request.bytes(), b"boom", "a panic of this test's own");
                count(&mut executed, request, reply)
            })
        };
        match catch_unwind(AssertUnwindSafe(serve)) {
            Ok(ended) => break assert_eq!(ended, Ended::TimeUp),
            Err(_) => panics += 1,
        }
    }
    assert_eq!((executed, panics, responder.stats().replies.in_progress), (2, 1, 1));
    assert_eq!(transport.sent, [b"00011", b"00011", b"00022"]);
}

/// As threads that were held up between reading their clock and asking the responder.
#[test]
fn arrivals_that_come_in_another_order_than_they_were_read_make_no_copy_new() {
    let at = |millis| Timestamp::ZERO.after(Duration::from_millis(millis));
    let arrivals = [5000, 4000, 6000, 5500].map(|millis| arrival(b"0001", at(millis))).into();
    let mut transport = Scripted { arrivals, ..Scripted::default() };
    let responder = over(&mut transport);
    let mut executed = 0;
    responder.serve(&mut transport, |request, reply| count(&mut executed, request, reply));
    assert_eq!((executed, transport.sent.len()), (1, 4));
}
