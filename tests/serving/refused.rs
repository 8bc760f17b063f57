//! Replies to clients that are gone, at a socket that reports it.
#![cfg(all(target_os = "linux", not(udp_retry_portable)))]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "plain clients, in threads of their own")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use udp_retry::net::UnconnectedUdp;
use udp_retry::replies::SameId;
use udp_retry::serving::{Ended, Handled, SharedResponder};

use crate::over;
use crate::watchdog::{MINUTE, within};

const TIMES: u32 = 20;

/// The system keeps such errors from an unconnected socket unless it is asked for them.
fn reporting() -> (UnconnectedUdp, SharedResponder<SameId>) {
    let mut socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
    setsockopt(socket.as_socket(), sockopt::Ipv4RecvErr, &true).unwrap();
    let responder = over(&mut socket);
    (socket, responder)
}

/// Asks again and again: once as one who is gone when the reply comes, as `gone` counts, and once as one who stays.
fn ask(server: SocketAddr, gone: &AtomicU32) {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for n in 0..TIMES {
        let goes = UdpSocket::bind("127.0.0.1:0").unwrap();
        goes.send_to(&[&n.to_be_bytes()[..], b"gone"].concat(), server).unwrap();
        // From now on it hears someone else alone: its port is closed, and no one else has it.
        goes.connect("127.0.0.1:9").unwrap();
        gone.fetch_add(1, Ordering::SeqCst);
        // Its reply has met that by then, as a rule.
        thread::sleep(Duration::from_millis(3));
        let (stays, mut buffer) = ([&n.to_be_bytes()[..], b"here"].concat(), [0; 64]);
        client.send_to(&stays, server).unwrap();
        let len = client.recv(&mut buffer).expect("the server goes on");
        assert_eq!(buffer[..len], stays);
    }
}

/// Waits until the client that asks is gone, if it goes.
fn is_gone(request: &[u8], gone: &AtomicU32) -> bool {
    let n = u32::from_be_bytes(*request.first_chunk().unwrap());
    !request.ends_with(b"gone") || gone.load(Ordering::SeqCst) > n
}

#[test]
fn a_client_that_is_gone_ends_no_loop_and_keeps_no_reply_of_another_back() {
    within(MINUTE, || {
        let (mut socket, responder) = reporting();
        let (address, stop) = (socket.local_addr(), socket.cancel_handle().unwrap());
        let (gone, stats) = (AtomicU32::new(0), responder.clone());
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                responder.serve(&mut socket, |request, reply| {
                    while !is_gone(request.bytes(), &gone) {
                        thread::yield_now();
                    }
                    reply.extend_from_slice(request.bytes());
                    Handled::Reply
                })
            });
            ask(address, &gone);
            stop.cancel();
            assert_eq!(server.join().unwrap(), Ended::Cancelled);
        });
        assert_eq!((stats.stats().replies.kept, stats.unsent()), (2 * u64::from(TIMES), 0));
    });
}

#[cfg(feature = "tokio")]
#[test]
fn nor_a_loop_under_tokio() {
    use std::sync::Arc;
    use udp_retry::serving::AsyncRequest;

    use crate::tasks::{most, on_either_runtime};

    on_either_runtime(async || {
        let (mut socket, responder) = reporting();
        let (address, stop) = (socket.local_addr(), socket.cancel_handle().unwrap());
        let (gone, stats) = (Arc::new(AtomicU32::new(0)), responder.clone());
        let known = gone.clone();
        let serving = tokio::spawn(async move {
            let handler = move |request: AsyncRequest| {
                let known = known.clone();
                async move {
                    while !is_gone(request.bytes(), &known) {
                        tokio::task::yield_now().await;
                    }
                    let reply = request.bytes().to_vec();
                    request.reply(reply)
                }
            };
            responder.serve_async(socket, most(10), handler).await
        });
        tokio::task::spawn_blocking(move || ask(address, &gone)).await.unwrap();
        stop.cancel();
        serving.await.unwrap().unwrap();
        assert_eq!((stats.stats().replies.kept, stats.unsent()), (2 * u64::from(TIMES), 0));
    });
}
