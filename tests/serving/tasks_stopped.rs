//! The loop under tokio, ended by a cancel handle.
#![cfg(feature = "tokio")]
#![expect(clippy::disallowed_methods, reason = "threads that cancel")]

use std::future::pending;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use udp_retry::net::{CancelHandle, UnconnectedUdp};
use udp_retry::replies::SameId;
use udp_retry::serving::{AsyncRequest, SharedResponder};

use crate::tasks::{bound, most, on_either_runtime, plain_client, received};
use crate::watchdog::{MINUTE, within};

type Serving = JoinHandle<std::io::Result<()>>;

/// Replies each request, those that say so once they are released.
fn serve(
    socket: UnconnectedUdp,
    responder: &SharedResponder<SameId>,
    requests: NonZeroUsize,
    release: &Arc<Notify>,
) -> Serving {
    let (responder, release) = (responder.clone(), release.clone());
    tokio::spawn(async move {
        let handler = move |request: AsyncRequest| {
            let release = release.clone();
            async move {
                if request.bytes() == b"slow" {
                    release.notified().await;
                }
                let reply = [request.bytes(), b"!"].concat();
                request.reply(reply)
            }
        };
        responder.serve_async(socket, requests, handler).await
    })
}

async fn ends(serving: Serving) {
    timeout(Duration::from_secs(20), serving).await.expect("it was cancelled").unwrap().unwrap();
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn stopped() -> (UnconnectedUdp, SharedResponder<SameId>, CancelHandle) {
    let (mut socket, responder) = bound();
    let stop = socket.cancel_handle().unwrap();
    (socket, responder, stop)
}

#[test]
fn a_server_that_waits_is_ended_by_its_handle_from_any_thread() {
    on_either_runtime(async || {
        let (socket, responder, stop) = stopped();
        let client = plain_client(&socket).await;
        let serving = serve(socket, &responder, most(10), &Arc::default());
        client.send(b"0001").await.unwrap();
        assert_eq!(received(&client).await, b"0001!");
        thread::spawn(move || {
            // The server waits by then; if it does not, it is ended all the same.
            thread::sleep(Duration::from_millis(20));
            stop.cancel();
        });
        ends(serving).await;
        assert_eq!((responder.stats().replies.fresh, responder.unsent()), (1, 0));
    });
}

#[test]
fn what_is_in_progress_is_answered_and_nothing_more_is_read() {
    // With space for more, and without.
    for requests in [2, 1] {
        on_either_runtime(move || async move {
            let (socket, responder, stop) = stopped();
            let (client, release) = (plain_client(&socket).await, Arc::new(Notify::new()));
            let serving = serve(socket, &responder, most(requests), &release);
            client.send(b"slow").await.unwrap();
            until(|| responder.stats().replies.fresh == 1).await;
            stop.cancel();
            tokio::time::sleep(Duration::from_millis(20)).await;
            client.send(b"late").await.unwrap();
            client.send(b"slow").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!serving.is_finished(), "its request has not ended");
            release.notify_one();
            assert_eq!(received(&client).await, b"slow!");
            ends(serving).await;
            let replies = responder.stats().replies;
            assert_eq!((replies.fresh, replies.in_progress, responder.unsent()), (1, 0, 0));
        });
    }
}

/// The task finds both when it is woken: it answers first.
#[test]
fn a_cancellation_that_comes_with_the_end_of_a_handler_keeps_no_reply_back() {
    within(MINUTE, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (socket, responder, stop) = stopped();
            let (client, release) = (plain_client(&socket).await, Arc::new(Notify::new()));
            let serving = serve(socket, &responder, most(10), &release);
            client.send(b"slow").await.unwrap();
            until(|| responder.stats().replies.fresh == 1).await;
            release.notify_one();
            stop.cancel();
            // A second call counts for nothing more.
            stop.cancel();
            assert_eq!(received(&client).await, b"slow!");
            ends(serving).await;
            assert_eq!(responder.unsent(), 0);
        });
    });
}

/// It is polled by hand, so that the call comes between two of its turns.
#[test]
fn a_copy_that_is_read_once_the_server_is_cancelled_is_neither_answered_nor_counted_as_unsent() {
    within(MINUTE, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (socket, responder, stop) = stopped();
            let client = plain_client(&socket).await;
            let serving =
                responder.serve_async(socket, most(10), async |request: AsyncRequest| request.reply(*b"done"));
            let mut serving = pin!(serving);
            let mut turn = || serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            client.send(b"0001").await.unwrap();
            while responder.stats().replies.kept == 0 {
                assert!(turn().is_pending());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(received(&client).await, b"done");
            client.send(b"0001").await.unwrap();
            client.send(b"0002").await.unwrap();
            stop.cancel();
            assert!(matches!(turn(), Poll::Ready(Ok(()))));
            let replies = responder.stats().replies;
            assert_eq!((replies.fresh, replies.replayed, responder.unsent()), (1, 0, 0));
        });
    });
}

#[test]
fn one_that_was_cancelled_before_it_began_executes_nothing() {
    on_either_runtime(async || {
        let (socket, responder, stop) = stopped();
        let client = plain_client(&socket).await;
        client.send(b"0001").await.unwrap();
        stop.cancel();
        ends(serve(socket, &responder, most(10), &Arc::default())).await;
        assert_eq!(responder.stats().replies.fresh, 0);
    });
}

#[test]
fn a_handle_ends_its_own_server_and_none_that_shares_the_socket() {
    on_either_runtime(async || {
        let (mut socket, responder) = bound();
        let client = plain_client(&socket).await;
        let mut other = socket.try_clone().unwrap();
        let (stop, stop_other) = (socket.cancel_handle().unwrap(), other.cancel_handle().unwrap());
        let serving = [socket, other].map(|end| serve(end, &responder, most(10), &Arc::default()));
        stop.cancel();
        let [one, other] = serving;
        ends(one).await;
        client.send(b"0001").await.unwrap();
        assert_eq!(received(&client).await, b"0001!");
        assert!(!other.is_finished());
        stop_other.cancel();
        ends(other).await;
    });
}

/// A flood keeps the server at work, so that the call comes in any of its steps.
#[test]
fn no_call_is_missed_whenever_it_comes() {
    on_either_runtime(async || {
        for n in 0..300_u32 {
            let (socket, responder, stop) = stopped();
            let client = plain_client(&socket).await;
            let serving = serve(socket, &responder, most(4), &Arc::default());
            for request in 0..n % 7 {
                client.send(&request.to_be_bytes()).await.unwrap();
            }
            let calls = thread::spawn(move || {
                (0..n * 37 % 1000).for_each(|_| std::hint::spin_loop());
                stop.cancel();
            });
            ends(serving).await;
            calls.join().unwrap();
            assert_eq!(responder.unsent(), 0);
        }
    });
}

#[test]
fn a_handler_that_never_ends_is_ended_by_dropping_the_server() {
    on_either_runtime(async || {
        let (socket, responder, stop) = stopped();
        let (client, asked) = (plain_client(&socket).await, responder.clone());
        let serving = tokio::spawn(async move {
            let handler = async |request: AsyncRequest| {
                pending::<()>().await;
                request.silence()
            };
            timeout(Duration::from_millis(100), responder.serve_async(socket, most(1), handler)).await
        });
        client.send(b"0001").await.unwrap();
        until(|| asked.stats().replies.fresh == 1).await;
        stop.cancel();
        assert!(serving.await.unwrap().is_err(), "it ended before its handler");
    });
}
