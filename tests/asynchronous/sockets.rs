//! What sockets do to the task that waits for them.
#![cfg(target_os = "linux")]

use std::net::{Shutdown, UdpSocket};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use socket2::SockRef;
use udp_retry::net::{ConnectedUdp, UdpPaths, UnconnectedUdp};

use crate::closed::closed_port;
use crate::echoes::{Echo, Manner};
use crate::runtimes::{builder, current_thread, mute, on};

fn spent() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// It stays readable for good, and has nothing to read.
#[test]
fn a_socket_that_was_shut_for_reading_does_not_spin() {
    on(current_thread(), async {
        let server = mute();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clone = socket.try_clone().unwrap();
        let requester = builder().over(UnconnectedUdp::from_socket(socket).unwrap()).unwrap();
        let asked = tokio::time::timeout(
            Duration::from_millis(50),
            requester.request_to(server.local_addr().unwrap(), b"........ping"),
        );
        assert!(asked.await.is_err());
        clone.connect(server.local_addr().unwrap()).unwrap();
        SockRef::from(&clone).shutdown(Shutdown::Read).unwrap();
        let before = spent();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(spent() - before <= Duration::from_millis(20), "{:?}", spent() - before);
    });
}

#[test]
fn nothing_to_do_takes_no_time_of_the_processor() {
    on(current_thread(), async {
        let echo = Echo::start("127.0.0.1", Manner::Prompt);
        let requester = builder().connect(echo.address).await.unwrap();
        for _ in 0..10 {
            requester.request(b"........ping").await.unwrap();
        }
        let before = spent();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(spent() - before <= Duration::from_millis(5), "{:?}", spent() - before);
    });
}

/// Each refusal of a given socket is an error that no queue explains.
#[test]
fn a_flood_of_refusals_delays_no_one_else_on_the_runtime() {
    on(current_thread(), async {
        let closed = closed_port();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(closed).unwrap();
        let clone = socket.try_clone().unwrap();
        let requester = builder().over(UdpPaths::from(ConnectedUdp::from_socket(socket).unwrap())).unwrap();
        let asked = tokio::spawn({
            let requester = requester.clone();
            async move { requester.request(b"........ping").await }
        });
        let (mut ticks, before) = (0, spent());
        while !asked.is_finished() {
            for _ in 0..10 {
                let _ = clone.send(b"refused");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            ticks += 1;
        }
        assert_eq!(asked.await.unwrap().unwrap_err().failure(), udp_retry::transaction::Failure::Refused);
        assert!(ticks >= 100, "{ticks}");
        assert!(spent() - before <= Duration::from_millis(500), "{:?}", spent() - before);
    });
}
