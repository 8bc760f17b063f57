//! Schedules and deadlines, in the runtime's time.

use std::task::Poll;
use std::time::Instant;

use tokio::time::{Duration, timeout};
use udp_retry::RetryPolicy;
use udp_retry::transaction::{Execution, Failure, GiveUp, Request};

use crate::echoes::{Echo, Manner};
use crate::hands::Held;
use crate::runtimes::{builder, current_thread, mute, on, paused, two_threads};

#[test]
fn a_silent_server_takes_no_time_while_the_clock_is_paused() {
    let began = Instant::now();
    on(paused(), async {
        let server = mute();
        let requester = builder().policy(RetryPolicy::default()).connect(server.local_addr().unwrap()).await.unwrap();
        let virtually = tokio::time::Instant::now();
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let requester = requester.clone();
                tokio::spawn(async move { requester.request(b"........anyone?").await.unwrap_err() })
            })
            .collect();
        for asked in asking {
            let error = asked.await.unwrap();
            assert!(error.is_timeout(), "{error}");
            assert_eq!((error.transmissions(), error.execution()), (5, Execution::Unknown));
            // Five waits of 1, 2, 4, 8 and 16 s at least, and the policy's deadline; the timer counts milliseconds.
            assert!((30.0..30.002).contains(&error.elapsed().as_secs_f64()), "{error}");
        }
        assert!((30.0..30.002).contains(&virtually.elapsed().as_secs_f64()), "{:?}", virtually.elapsed());
    });
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn deadlines_end_requests_on_time_and_time_outs_cancel_them() {
    on(paused(), async {
        let server = mute();
        let all = Duration::from_millis(700);
        let requester = builder().deadline(all).connect(server.local_addr().unwrap()).await.unwrap();
        for (own, at) in [(None, 700), (Some(300), 300), (Some(900), 700), (Some(0), 0)] {
            let mut request = Request::new(b"........anyone?");
            if let Some(own) = own {
                request = request.deadline(Duration::from_millis(own));
            }
            let began = tokio::time::Instant::now();
            let error = requester.request(request).await.unwrap_err();
            assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Deadline));
            let took = began.elapsed();
            let at = Duration::from_millis(at);
            assert!((at..=at + Duration::from_millis(2)).contains(&took), "{took:?} for {own:?}");
        }
        let began = tokio::time::Instant::now();
        let asked = timeout(Duration::from_millis(50), requester.request(b"........anyone?")).await;
        assert!(asked.is_err());
        assert!(began.elapsed() <= Duration::from_millis(52));
        assert_eq!(requester.in_flight(), 0);
    });
}

/// The transport's clock goes on meanwhile.
#[test]
fn a_reply_takes_the_runtimes_time() {
    on(paused(), async {
        let echo = Echo::start("127.0.0.1", Manner::Prompt);
        let requester = builder().connect(echo.address).await.unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let mut call = Held::new(requester.request(b"........ping"));
        let mut ended = call.poll();
        // There is always something to do, so that the clock stands still.
        while ended.is_pending() {
            tokio::task::yield_now().await;
            ended = call.poll();
        }
        let Poll::Ready(Ok(reply)) = ended else { panic!("{ended:?}") };
        assert_eq!((reply.elapsed(), reply.round_trip()), (Duration::ZERO, Some(Duration::ZERO)));
    });
}

/// Linux notes when a datagram arrives.
#[cfg(all(target_os = "linux", not(udp_retry_portable)))]
#[test]
fn a_reply_that_lay_in_the_queue_came_when_it_arrived() {
    on(current_thread(), async {
        let echo = Echo::start("127.0.0.1", Manner::Prompt);
        let measured = udp_retry::policy::RttEstimator::default();
        let requester = builder().estimator(measured).connect(echo.address).await.unwrap();
        let mut measured = Vec::new();
        for _ in 0..20 {
            let mut call = Held::new(requester.request(b"........ping"));
            assert!(call.poll().is_pending());
            // Sent.
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(30));
            crate::hands::until(|| call.woken() == 1).await;
            let Poll::Ready(Ok(reply)) = call.poll() else { panic!("it was woken") };
            measured.push(reply.round_trip().unwrap());
        }
        measured.sort();
        // A machine that stalls delays some of them.
        assert!(measured[10] < Duration::from_millis(10), "{measured:?}");
    });
}

#[test]
fn what_answers_a_request_that_was_given_up_reaches_no_other() {
    on(current_thread(), async {
        // A machine that stalls sends some of them twice, or not at all.
        for left in (0..3).rev() {
            let slow = Echo::start("127.0.0.1", Manner::After(Duration::from_millis(60)));
            let requester = builder().connect(slow.address).await.unwrap();
            for _ in 0..20 {
                let given_up = timeout(Duration::from_millis(2), requester.request(b"........first"));
                assert!(given_up.await.is_err());
            }
            assert_eq!(requester.in_flight(), 0);
            let reply = requester.request(b"........second").await.unwrap();
            assert_eq!(reply.payload()[8..], *b"second");
            let strays = requester.strays();
            if (strays.stale, strays.total()) == (20, 20) {
                break;
            }
            assert!(left > 0, "{strays:?}");
        }
    });
}

/// Whoever waited for the timer's next millisecond would take as many of them.
#[test]
fn one_request_after_the_other_takes_as_long_as_the_path_does() {
    for runtime in [current_thread(), two_threads()] {
        on(runtime, async {
            let echo = Echo::start("127.0.0.1", Manner::Prompt);
            let requester = builder().policy(RetryPolicy::default()).connect(echo.address).await.unwrap();
            // A machine that stalls delays some of them.
            let mut took = Vec::new();
            for _ in 0..1000 {
                let began = Instant::now();
                requester.request(b"........ping").await.unwrap();
                took.push(began.elapsed());
            }
            took.sort();
            assert!(took[500] < Duration::from_micros(500), "{:?}", took[500]);
        });
    }
}
