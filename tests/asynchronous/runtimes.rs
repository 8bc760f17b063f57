//! The runtimes that the tests run in, and what all of them begin with.

use std::future::Future;
use std::net::UdpSocket;

use tokio::runtime::{Builder, Runtime};
use udp_retry::requester::Asynchronous;
use udp_retry::{AsyncRequester, RetryPolicy, transaction_id};

use crate::echoes::{Echo, Manner};
use crate::watchdog::{MINUTE, within};

pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Its time passes only when there is nothing to do.
pub(crate) fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Within a minute of real time.
pub(crate) fn on(runtime: Runtime, test: impl Future<Output = ()> + Send + 'static) {
    within(MINUTE, move || runtime.block_on(test));
}

/// Ids are stamped over the first eight bytes.
pub(crate) fn builder() -> udp_retry::requester::Builder<Asynchronous> {
    AsyncRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN)
}

/// It receives, and answers no one.
pub(crate) fn mute() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn many_tasks_get_their_own_replies_on_either_flavour() {
    for runtime in [current_thread(), two_threads()] {
        on(runtime, async {
            let echo = Echo::start("127.0.0.1", Manner::Prompt);
            let requester = builder().connect(echo.address).await.unwrap();
            let asking: Vec<_> = (0..100_u32)
                .map(|task| {
                    let requester = requester.clone();
                    tokio::spawn(async move {
                        for n in 0..50_u32 {
                            let request = [&[0; 8][..], &task.to_be_bytes(), &n.to_be_bytes()].concat();
                            let reply = requester.request(&request).await.unwrap();
                            assert_eq!(reply.payload()[8..], request[8..]);
                            assert!(reply.round_trip().is_none_or(|it| it <= reply.elapsed()));
                        }
                    })
                })
                .collect();
            for asked in asking {
                asked.await.unwrap();
            }
            assert_eq!((requester.in_flight(), requester.waiting(), requester.strays().total()), (0, 0, 0));
        });
    }
}

#[test]
fn no_runtime_is_an_error() {
    let socket = udp_retry::net::UnconnectedUdp::bind("127.0.0.1:0").unwrap();
    assert!(builder().over(socket).is_err());
}

#[test]
fn any_executor_may_poll_the_futures() {
    on(two_threads(), async {
        let echo = Echo::start("127.0.0.1", Manner::Prompt);
        let requester = builder().connect(echo.address).await.unwrap();
        let asked = std::thread::spawn(move || {
            let mut call = std::pin::pin!(requester.request(b"........ping"));
            struct Unpark(std::thread::Thread);
            impl std::task::Wake for Unpark {
                fn wake(self: std::sync::Arc<Self>) {
                    self.0.unpark();
                }
            }
            let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
            loop {
                match call.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
                    std::task::Poll::Ready(reply) => break reply.unwrap().into_vec(),
                    std::task::Poll::Pending => std::thread::park(),
                }
            }
        });
        while !asked.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(asked.join().unwrap()[8..], *b"ping");
    });
}
