//! The loop under tokio.
#![cfg(feature = "tokio")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use udp_retry::net::UnconnectedUdp;
use udp_retry::replies::SameId;
use udp_retry::serving::{AsyncHandled, AsyncRequest, SharedResponder};
use udp_retry::{AsyncRequester, RetryPolicy, transaction_id};

use crate::over;
use crate::ports::free_port;
use crate::watchdog::{MINUTE, within};

pub(super) fn on_either_runtime(test: impl AsyncFn() + Send + Copy + 'static) {
    let one: fn() -> Builder = Builder::new_current_thread;
    for builder in [one, Builder::new_multi_thread] {
        within(MINUTE, move || {
            let runtime: Runtime = builder().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(test());
        });
    }
}

pub(super) fn bound() -> (UnconnectedUdp, SharedResponder<SameId>) {
    let mut socket = UnconnectedUdp::bind(("127.0.0.1", free_port())).unwrap();
    let responder = over(&mut socket);
    (socket, responder)
}

pub(super) fn most(requests: usize) -> NonZeroUsize {
    NonZeroUsize::new(requests).unwrap()
}

pub(super) async fn plain_client(server: &UnconnectedUdp) -> tokio::net::UdpSocket {
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(server.local_addr()).await.unwrap();
    client
}

pub(super) async fn received(client: &tokio::net::UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = tokio::time::timeout(Duration::from_secs(20), client.recv(&mut buffer)).await.unwrap().unwrap();
    buffer[..len].to_vec()
}

#[test]
fn no_more_are_in_progress_than_may_be_and_all_are_answered_once_each() {
    on_either_runtime(async || {
        const MOST: usize = 8;
        let (socket, responder) = bound();
        let (address, stats) = (socket.local_addr(), responder.clone());
        let (running, peak, executed) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU32::new(0)));
        let (runs, seen, counted) = (running.clone(), peak.clone(), executed.clone());
        let serving = tokio::spawn(async move {
            responder
                .serve_async(socket, most(MOST), move |request: AsyncRequest| {
                    let (runs, seen, counted) = (runs.clone(), seen.clone(), counted.clone());
                    async move {
                        seen.fetch_max(runs.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        counted.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        runs.fetch_sub(1, Ordering::SeqCst);
                        let reply = request.bytes().to_vec();
                        request.reply(reply)
                    }
                })
                .await
        });
        let builder = AsyncRequester::builder(transaction_id(0..4).stamped()).policy(RetryPolicy::LAN);
        let requester = builder.connect(address).await.unwrap();
        let asking: Vec<_> = (0..200)
            .map(|_| {
                let requester = requester.clone();
                tokio::spawn(async move { requester.request(b"....ping").await.unwrap().payload().len() })
            })
            .collect();
        for asks in asking {
            assert_eq!(asks.await.unwrap(), 8);
        }
        let peak = peak.load(Ordering::SeqCst);
        assert!((2..=MOST).contains(&peak), "{peak} at once");
        assert_eq!((executed.load(Ordering::SeqCst), stats.stats().replies.fresh), (200, 200));
        serving.abort();
    });
}

#[test]
fn a_copy_is_answered_while_others_are_in_progress_and_its_own_is_not_executed() {
    on_either_runtime(async || {
        let (socket, responder) = bound();
        let (client, mut clone, stats) = (plain_client(&socket).await, socket.try_clone().unwrap(), responder.clone());
        let others = responder.clone();
        let release = Arc::new(tokio::sync::Notify::new());
        let released = release.clone();
        let serving = tokio::spawn(async move {
            responder
                .serve_async(socket, most(10), move |request: AsyncRequest| {
                    let released = released.clone();
                    others.provisional(&mut clone, request.job(), b"wait");
                    async move {
                        if request.bytes() == b"slow" {
                            released.notified().await;
                        }
                        let reply = [request.bytes(), b"!"].concat();
                        request.reply(reply)
                    }
                })
                .await
        });
        client.send(b"slow").await.unwrap();
        assert_eq!(received(&client).await, b"wait");
        client.send(b"fast").await.unwrap();
        assert_eq!([received(&client).await, received(&client).await], [&b"wait"[..], b"fast!"]);
        for copy in [b"slow", b"fast"] {
            client.send(copy).await.unwrap();
        }
        assert_eq!(received(&client).await, b"fast!", "a copy of what is in progress is not answered");
        release.notify_one();
        assert_eq!(received(&client).await, b"slow!");
        assert_eq!((stats.stats().replies.fresh, stats.stats().replies.in_progress), (2, 1));
        serving.abort();
    });
}

#[test]
fn a_handler_that_panics_ends_alone_and_its_request_is_never_executed_again() {
    on_either_runtime(async || {
        let (socket, responder) = bound();
        let (client, stats) = (plain_client(&socket).await, responder.clone());
        let serving = tokio::spawn(async move {
            let mut refused = 0;
            responder
                .serve_async(socket, most(10), move |request: AsyncRequest| {
                    refused += u32::from(request.bytes() == b"lock");
                    let is_locked = refused == 1;
                    async move { handle(request, is_locked) }
                })
                .await
        });
        for request in [b"boom", b"boom", b"none", b"none", b"lock", b"lock", b"0001"] {
            client.send(request).await.unwrap();
            // Each copy after its first one has ended.
            while stats.stats().replies.fresh == 0 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!([received(&client).await, received(&client).await], [b"lock", b"0001"]);
        let replies = stats.stats().replies;
        assert_eq!((replies.fresh, replies.in_progress, replies.abandoned), (5, 2, 1));
        assert!(!serving.is_finished());
        serving.abort();
    });
}

fn handle(request: AsyncRequest, is_locked: bool) -> AsyncHandled {
    match request.bytes() {
        b"boom" => panic!("a panic of this test's own"),
        b"none" => request.silence(),
        b"lock" if is_locked => request.not_executed(),
        _ => {
            let reply = request.bytes().to_vec();
            request.reply(reply)
        }
    }
}

#[test]
fn a_server_that_is_dropped_ends_its_handlers() {
    on_either_runtime(async || {
        let (socket, responder) = bound();
        let client = plain_client(&socket).await;
        let (dropped, is_dropped) = tokio::sync::oneshot::channel::<()>();
        let (began, has_begun) = tokio::sync::oneshot::channel::<()>();
        let mut guards = Some((dropped, began));
        let serving = tokio::spawn(async move {
            responder
                .serve_async(socket, most(10), move |request: AsyncRequest| {
                    let guards = guards.take();
                    async move {
                        let _dropped = guards.map(|(dropped, began)| (began.send(()), dropped));
                        std::future::pending::<()>().await;
                        request.silence()
                    }
                })
                .await
        });
        client.send(b"0001").await.unwrap();
        has_begun.await.unwrap();
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        let ended = tokio::time::timeout(Duration::from_secs(20), is_dropped).await.unwrap();
        assert!(ended.is_err(), "its sender was dropped");
    });
}

#[test]
fn what_a_server_executed_that_was_dropped_is_executed_by_no_other_of_its_responder() {
    on_either_runtime(async || {
        let (socket, responder) = bound();
        let address = socket.local_addr();
        let client = plain_client(&socket).await;
        let first = responder.clone();
        let serving = tokio::spawn(async move {
            let handler = async |request: AsyncRequest| {
                std::future::pending::<()>().await;
                request.silence()
            };
            first.serve_async(socket, most(10), handler).await
        });
        client.send(b"0001").await.unwrap();
        while responder.stats().replies.fresh == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());

        let (socket, second) = (UnconnectedUdp::bind(address).unwrap(), responder.clone());
        let serving = tokio::spawn(async move {
            let handler = async |request: AsyncRequest| {
                let reply = request.bytes().to_vec();
                request.reply(reply)
            };
            second.serve_async(socket, most(10), handler).await
        });
        for request in [b"0001", b"0002"] {
            client.send(request).await.unwrap();
        }
        assert_eq!(received(&client).await, b"0002");
        let replies = responder.stats().replies;
        assert_eq!((replies.fresh, replies.in_progress, replies.abandoned), (2, 1, 0));
        serving.abort();
    });
}

/// Where a host's addresses are not reported, one that answers from elsewhere is what these clients do not receive.
#[cfg(all(target_os = "linux", not(udp_retry_portable)))]
#[test]
fn a_wildcard_answers_from_the_address_that_was_asked_under_tokio_too() {
    on_either_runtime(async || {
        let mut socket = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        let (port, responder) = (socket.local_addr().port(), over(&mut socket));
        let serving = tokio::spawn(async move {
            let handler = async |request: AsyncRequest| {
                let reply = request.bytes().to_vec();
                request.reply(reply)
            };
            responder.serve_async(socket, most(10), handler).await
        });
        for address in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
            let client = tokio::net::UdpSocket::bind("0.0.0.0:0").await.unwrap();
            client.connect((address, port)).await.unwrap();
            // The second one is a copy.
            for _ in 0..2 {
                client.send(b"0001").await.unwrap();
                assert_eq!(received(&client).await, b"0001", "{address}");
            }
        }
        serving.abort();
    });
}

/// It is polled by hand: nothing else can wake it.
#[test]
fn what_is_queued_behind_more_than_a_server_reads_at_once_is_served_and_other_tasks_have_their_turn() {
    const OTHERS: usize = 400;
    within(MINUTE, || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (socket, responder) = bound();
            // For that many, which the default of some systems does not hold.
            let _ = socket.set_receive_buffer(4 << 20);
            let client = plain_client(&socket).await;
            // None of these has an id.
            for _ in 0..OTHERS {
                client.send(b"?").await.unwrap();
            }
            client.send(b"0001").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;

            let woken = Arc::new(Woken::default());
            let waker = std::task::Waker::from(woken.clone());
            let handler = async |request: AsyncRequest| request.silence();
            let mut serving = std::pin::pin!(responder.serve_async(socket, most(10), handler));
            let mut turns = 1;
            while serving.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending() {
                let stats = responder.stats();
                if stats.replies.fresh == 1 {
                    break;
                }
                assert!(woken.0.swap(false, Ordering::SeqCst), "it is not woken after {} of {OTHERS}", stats.foreign);
                turns += 1;
            }
            assert!(turns > 1 && responder.stats().foreign == OTHERS as u64, "{turns} turns");
            // Once all is done, it leaves the processor to others.
            for _ in 0..3 {
                client.send(b"?").await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                woken.0.store(false, Ordering::SeqCst);
                assert!(serving.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
            }
            assert!(!woken.0.load(Ordering::SeqCst), "it spins");
        });
    });
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn without_a_runtime_it_says_so() {
    let (socket, responder) = bound();
    let mut serving =
        std::pin::pin!(responder.serve_async(socket, most(1), async |request: AsyncRequest| request.silence()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(matches!(serving.as_mut().poll(&mut context), std::task::Poll::Ready(Err(_))));
}
