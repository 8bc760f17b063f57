//! Ends of all kinds: none leaves anyone waiting.

use std::net::UdpSocket;
use std::num::NonZeroU32;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use udp_retry::net::UnconnectedUdp;
use udp_retry::transaction::{Execution, Failure, Limits, OnUnreachable, Request, matching};
use udp_retry::{AsyncRequester, RequestError, RetryPolicy};

use crate::closed::closed_port;
use crate::hands::{Held, until};
use crate::runtimes::{builder, current_thread, mute, on, two_threads};
use crate::watchdog::{MINUTE, within};

fn one_at_a_time() -> Limits {
    Limits::default().requests(NonZeroU32::MIN)
}

#[test]
fn a_runtime_that_ends_first_is_an_error_to_all_and_no_hang() {
    for runtime in [current_thread(), two_threads()] {
        within(MINUTE, move || {
            let server = mute();
            server.set_nonblocking(true).unwrap();
            let address = server.local_addr().unwrap();
            let requester =
                runtime.block_on(async { builder().limits(one_at_a_time()).connect(address).await.unwrap() });
            let mut calls = [(); 3].map(|()| Held::new(requester.request(b"........ping")));
            assert!(calls.iter_mut().all(|call| call.poll().is_pending()));
            // Sent, so that the server may execute it.
            runtime.block_on(async { until(|| server.recv(&mut [0; 64]).is_ok()).await });
            drop(runtime);
            assert!(calls.iter().all(|call| call.woken() == 1));
            for (call, execution) in calls.iter_mut().zip([Execution::Unknown, Execution::NotSent, Execution::NotSent])
            {
                let Poll::Ready(Err(error)) = call.poll() else { panic!("it waits for no one") };
                assert_eq!((error.failure(), error.execution()), (Failure::Stopped, execution));
                assert_eq!(error.peer(), Some(address));
            }
            drop(calls);
            let mut later = Held::new(requester.request(b"........ping"));
            assert!(matches!(later.poll(), Poll::Ready(Err(error)) if error.failure() == Failure::Stopped));
            let runtime = current_thread();
            runtime.block_on(requester.shutdown());
            assert_eq!((requester.in_flight(), requester.waiting()), (0, 0));
        });
    }
}

#[test]
fn shutdown_ends_what_is_there_and_closes_the_socket() {
    for runtime in [current_thread(), two_threads()] {
        on(runtime, async {
            let server = mute();
            let socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
            let (own, address) = (socket.local_addr(), server.local_addr().unwrap());
            let requester = builder().limits(one_at_a_time()).over(socket).unwrap();
            let asking = [(); 3].map(|()| {
                let requester = requester.clone();
                tokio::spawn(async move { requester.request_to(address, b"........ping").await.unwrap_err().failure() })
            });
            until(|| (requester.in_flight(), requester.waiting()) == (1, 2)).await;
            assert!(UdpSocket::bind(own).is_err());
            let (clone, again) = (requester.clone(), requester.clone());
            let other = tokio::spawn(async move { again.shutdown().await });
            clone.shutdown().await;
            UdpSocket::bind(own).expect("its port is free");
            other.await.unwrap();
            for asked in asking {
                assert_eq!(asked.await.unwrap(), Failure::Stopped);
            }
            let error = requester.request_to(address, b"........ping").await.unwrap_err();
            assert_eq!((error.failure(), error.execution()), (Failure::Stopped, Execution::NotSent));
            assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::ConnectionAborted);
        });
    }
}

#[test]
fn the_last_clone_takes_the_socket_with_it() {
    on(current_thread(), async {
        let socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let own = socket.local_addr();
        let requester = builder().over(socket).unwrap();
        let clone = requester.clone();
        drop(requester);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(UdpSocket::bind(own).is_err(), "a clone has it");
        drop(clone);
        until(|| UdpSocket::bind(own).is_ok()).await;
    });
}

#[test]
fn a_matcher_that_panics_ends_all_and_hangs_none() {
    within(MINUTE, || {
        let echo = crate::echoes::Echo::start("127.0.0.1", crate::echoes::Manner::Prompt);
        let runtime = current_thread();
        runtime.block_on(async {
            let judge = |_: &[u8], _: &[u8]| -> bool { panic!("a bug of the caller's") };
            let matcher = matching(judge).keyed_by(|request| request.get(..4), |reply| reply.get(..4));
            let requester = AsyncRequester::builder(matcher).connect(echo.address).await.unwrap();
            let error = requester.request(b"0001").await.unwrap_err();
            assert_eq!((error.failure(), error.execution()), (Failure::Stopped, Execution::Unknown));
            assert_eq!(requester.request(b"0002").await.unwrap_err().failure(), Failure::Stopped);
        });
    });
}

/// An error that is queued with nothing to read beside it wakes the task, too.
#[test]
fn a_refusal_is_heard_at_once() {
    for runtime in [current_thread(), two_threads()] {
        on(runtime, async {
            let closed = closed_port();
            let patient = RetryPolicy::default();
            let requester = builder().policy(patient).on_unreachable(OnUnreachable::FailFast);
            let requester = requester.connect(closed).await.unwrap();
            for _ in 0..20 {
                let error = requester.request(b"........ping").await.unwrap_err();
                assert_eq!((error.failure(), error.execution()), (Failure::Refused, Execution::Refused), "{error}");
                assert!(error.elapsed() < Duration::from_millis(900), "{error}");
            }
        });
    }
}

#[test]
fn what_cannot_be_sent_says_why() {
    on(current_thread(), async {
        let server = mute();
        let requester = builder().connect(server.local_addr().unwrap()).await.unwrap();
        let failure =
            |asked: Result<_, RequestError>| asked.map(|_: udp_retry::requester::AsyncReply<_>| ()).unwrap_err();
        let unmatchable = failure(requester.request(b"short").await);
        assert_eq!((unmatchable.failure(), unmatchable.execution()), (Failure::Unmatchable, Execution::NotSent));
        let too_large = failure(requester.request(vec![0; 65_508]).await);
        assert!(matches!(too_large.failure(), Failure::TooLarge { len: 65_508, .. }), "{too_large}");
        let other = builder().connect_any(["127.0.0.1:9", "127.0.0.1:10"]).await.unwrap();
        let unknown = failure(requester.request_to(other.service().unwrap(), b"........ping").await);
        assert_eq!(unknown.failure(), Failure::UnknownPeer);
        let policies: Vec<_> =
            (1..=256).map(|n| RetryPolicy::LAN.with_deadline(Duration::from_secs(n)).unwrap()).collect();
        let mut calls: Vec<_> = policies
            .iter()
            .map(|own| Held::new(requester.request(Request::new(b"........ping").policy(own))))
            .collect();
        let last = calls.iter_mut().rev().map(|call| call.poll()).filter(Poll::is_ready).count();
        assert_eq!(last, 1, "there are 256, and the requester has one itself");
        drop(calls);
        assert_eq!(requester.in_flight(), 0);
    });
}

#[test]
fn ids_of_the_callers_own_must_differ_while_they_are_in_flight() {
    on(current_thread(), async {
        let server = mute();
        let matcher = udp_retry::transaction_id(0..4);
        let requester = AsyncRequester::builder(matcher).connect(server.local_addr().unwrap()).await.unwrap();
        let mut first = Held::new(requester.request(b"0001ping"));
        assert!(first.poll().is_pending());
        assert_eq!(requester.request(b"0001ping").await.unwrap_err().failure(), Failure::IdInUse);
        drop(first);
        let mut again = Held::new(requester.request(b"0001ping"));
        assert!(again.poll().is_pending());
    });
}

#[test]
fn a_future_that_is_kept_and_not_polled_delays_no_other() {
    on(current_thread(), async {
        let echo = crate::echoes::Echo::start("127.0.0.1", crate::echoes::Manner::Prompt);
        let requester = builder().connect(echo.address).await.unwrap();
        let mut kept = Held::new(requester.request(b"........kept"));
        assert!(kept.poll().is_pending());
        for _ in 0..100 {
            requester.request(b"........ping").await.unwrap();
        }
        until(|| kept.woken() == 1).await;
        assert!(matches!(kept.poll(), Poll::Ready(Ok(_))));
    });
}

#[test]
fn requests_from_other_threads_than_the_runtimes_are_woken_when_it_ends() {
    within(MINUTE, || {
        let server = mute();
        let runtime = current_thread();
        let requester = runtime.block_on(async { builder().connect(server.local_addr().unwrap()).await.unwrap() });
        let asked =
            thread::spawn(move || current_thread().block_on(async move { requester.request(b"........ping").await }));
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        drop(runtime);
        assert_eq!(asked.join().unwrap().unwrap_err().failure(), Failure::Stopped);
    });
}
