//! Servers that lose, that are several, and that no one connects to.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use udp_retry::net::{ConnectedUdp, UdpPaths, UnconnectedUdp};
use udp_retry::policy::Backoff;
use udp_retry::servers::ServerSettings;
use udp_retry::transport::{Incoming, PathIndex, Transport};
use udp_retry::{Impairments, LossySink, Probability, RetryPolicy, Seed};

use crate::echoes::{Echo, Manner};
use crate::runtimes::{builder, current_thread, mute, on, two_threads};

/// Echoes over a bad network until it is dropped.
struct Lossy {
    address: std::net::SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Lossy {
    fn start(loss: f64) -> Self {
        let socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let (address, is_over) = (socket.local_addr(), Arc::new(AtomicBool::new(false)));
        let impairments = Impairments::loss(Probability::new(loss).unwrap());
        let mut lossy = LossySink::new(socket, impairments, Seed::new(7));
        let stop = Arc::clone(&is_over);
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let now = lossy.now();
                let soon = now.after(Duration::from_millis(50));
                if let Incoming::Datagram(asked) = lossy.recv(&mut buffer, now, soon) {
                    let _ = lossy.send(asked.from, &buffer[..asked.len]);
                }
            }
        });
        Self { address, is_over }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_a_lossy_server_loses_is_sent_again() {
    for runtime in [current_thread(), two_threads()] {
        on(runtime, async {
            let server = Lossy::start(0.2);
            let patient = RetryPolicy::new(Backoff::constant(Duration::from_millis(20)).unwrap());
            let patient = patient.with_max_transmissions(20).unwrap();
            let requester = builder().policy(patient).connect(server.address).await.unwrap();
            let asking: Vec<_> = (0..500_u32)
                .map(|n| {
                    let requester = requester.clone();
                    tokio::spawn(async move {
                        let request = [&[0; 8][..], &n.to_be_bytes()].concat();
                        let reply = requester.request(request).await.unwrap();
                        assert_eq!(reply.payload()[8..], n.to_be_bytes());
                        reply.transmissions()
                    })
                })
                .collect();
            let mut sent = 0;
            for asked in asking {
                sent += asked.await.unwrap();
            }
            // A fifth is lost in each direction, so 1/0.64 are needed of each.
            assert!((650..950).contains(&sent), "{sent} transmissions of 500 requests");
        });
    }
}

#[test]
fn of_several_servers_another_answers_where_one_is_mute() {
    for runtime in [current_thread(), two_threads()] {
        on(runtime, async {
            let (mute, echo) = (mute(), Echo::start("127.0.0.1", Manner::Prompt));
            let names = [mute.local_addr().unwrap().to_string(), echo.address.to_string()];
            let requester = builder().connect_any(names).await.unwrap();
            let group = requester.service().unwrap();
            let mut took = Vec::new();
            for _ in 0..50 {
                let began = std::time::Instant::now();
                let reply = requester.request(b"........ping").await.unwrap();
                assert_eq!(reply.peer(), PathIndex::new(1));
                took.push(began.elapsed());
            }
            // Once the mute one is known to be; its socket was the only one at first.
            took.sort();
            assert!(took[25] < Duration::from_millis(20), "{took:?}");
            let states = requester.server_states(group);
            assert_eq!(states.len(), 2);
            assert!(states[1].transmissions >= 50, "{states:?}");
            let own = requester.add_group([PathIndex::new(1)], ServerSettings::new()).unwrap();
            assert_eq!(requester.request_to(own, b"........ping").await.unwrap().peer(), PathIndex::new(1));
        });
    }
}

#[test]
fn over_an_unconnected_socket_each_server_is_asked_by_its_address() {
    on(current_thread(), async {
        let servers = [(); 5].map(|()| Echo::start("127.0.0.1", Manner::Prompt));
        let requester = builder().over(UnconnectedUdp::bind("0.0.0.0:0").unwrap()).unwrap();
        for _ in 0..10 {
            for server in &servers {
                let reply = requester.request_to(server.address, b"........ping").await.unwrap();
                assert_eq!(reply.peer().remote, server.address);
            }
        }
    });
}

#[test]
fn a_given_socket_keeps_its_blocking_mode() {
    on(current_thread(), async {
        let echo = Echo::start("127.0.0.1", Manner::Prompt);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(echo.address).unwrap();
        let clone = socket.try_clone().unwrap();
        let paths = UdpPaths::from(ConnectedUdp::from_socket(socket).unwrap());
        let requester = builder().over(paths).unwrap();
        for _ in 0..10 {
            requester.request(b"........ping").await.unwrap();
        }
        clone.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
        let began = std::time::Instant::now();
        assert!(clone.recv(&mut [0; 8]).is_err());
        assert!(began.elapsed() >= Duration::from_millis(30), "it did not block");
    });
}
