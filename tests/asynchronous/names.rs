//! Names whose addresses change, and ports from which nothing came back.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::RetryPolicy;
use udp_retry::net::{ConnectedUdp, UdpPaths};

use crate::echoes::{Echo, Manner};
use crate::runtimes::{builder, current_thread, mute, on, two_threads};

const MS: Duration = Duration::from_millis(1);

/// A name that leads where it is told to, after as long as it is told.
#[derive(Clone)]
struct Name {
    led: Arc<Mutex<(SocketAddr, Duration)>>,
    asked: Arc<AtomicU32>,
}

impl Name {
    fn leads(to: SocketAddr) -> Self {
        Self { led: Arc::new(Mutex::new((to, Duration::ZERO))), asked: Arc::default() }
    }

    fn paths(&self) -> UdpPaths {
        let this = self.clone();
        UdpPaths::resolve_with(["server:53"], move |_| {
            this.asked.fetch_add(1, Ordering::Relaxed);
            let (to, takes) = *this.led.lock().unwrap();
            thread::sleep(takes);
            Ok(vec![to])
        })
        .unwrap()
    }
}

#[test]
fn a_name_is_resolved_again_after_a_request_in_vain_and_no_one_waits_for_the_resolver() {
    for runtime in [current_thread(), two_threads()] {
        on(runtime, async {
            let (gone, server) = (mute(), Echo::start("127.0.0.1", Manner::Prompt));
            let name = Name::leads(gone.local_addr().unwrap());
            // For 3.1 s, so that the answer is old by then.
            let requester = builder().over(name.paths()).unwrap();
            *name.led.lock().unwrap() = (server.address, 450 * MS);
            assert!(requester.request(b"........ping").await.is_err());
            let began = Instant::now();
            let asking = tokio::spawn({
                let requester = requester.clone();
                async move { requester.request(b"........ping").await.map(|reply| reply.transmissions()) }
            });
            // The runtime goes on meanwhile: on one thread that is to be seen.
            let mut turns = 0;
            while began.elapsed() < 300 * MS {
                tokio::time::sleep(5 * MS).await;
                turns += 1;
            }
            assert!(turns > 10, "{turns}");
            assert_eq!(name.asked.load(Ordering::Relaxed), 2);
            // Three times to where it led before, and at 0.7 s, or on a machine that stalls at 1.5 s, to where it leads.
            let transmissions = asking.await.unwrap().unwrap();
            assert!((4..=5).contains(&transmissions), "{transmissions}");
            for _ in 0..10 {
                assert_eq!(requester.request(b"........ping").await.unwrap().transmissions(), 1);
            }
            assert_eq!(name.asked.load(Ordering::Relaxed), 2);
        });
    }
}

#[test]
fn an_answer_that_is_too_old_is_asked_for_again_and_no_send_waits() {
    on(current_thread(), async {
        let servers = [(); 2].map(|()| Echo::start("127.0.0.1", Manner::Prompt));
        let name = Name::leads(servers[0].address);
        let requester = builder().over(name.paths().resolve_every(300 * MS)).unwrap();
        *name.led.lock().unwrap() = (servers[1].address, 100 * MS);
        let mut slow = 0;
        for _ in 0..100 {
            let began = Instant::now();
            requester.request(b"........ping").await.unwrap();
            slow += u32::from(began.elapsed() >= 95 * MS);
            tokio::time::sleep(10 * MS).await;
        }
        let asked = name.asked.load(Ordering::Relaxed);
        // At first, and every 0.3 s of the second that it takes, or of somewhat more.
        assert!((3..=8).contains(&asked), "{asked}");
        assert!(slow < asked - 1, "{slow} of {asked} waited for the resolver");
        *name.led.lock().unwrap() = (mute().local_addr().unwrap(), Duration::ZERO);
        tokio::time::sleep(400 * MS).await;
        let policy = RetryPolicy::LAN.with_max_transmissions(1).unwrap();
        let gone = udp_retry::transaction::Request::new(b"........ping").policy(&policy);
        // The first one has the name asked for, by a thread that a busy machine may start after some more.
        let mut requests = 0;
        while requester.request(gone.clone()).await.is_ok() {
            requests += 1;
            // By then the answer is half a second old, and may be 0.3 s.
            assert!(requests < 15, "it leads elsewhere now");
            tokio::time::sleep(10 * MS).await;
        }
    });
}

#[test]
fn a_name_that_is_always_too_old_is_asked_for_by_sends_one_at_a_time_also_by_a_resolver_that_panics() {
    for panics in [false, true] {
        on(current_thread(), async move {
            let echo = Echo::start("127.0.0.1", Manner::Prompt);
            let (asked, address) = (Arc::new(AtomicU32::new(0)), echo.address);
            let counted = asked.clone();
            let paths = UdpPaths::resolve_with(["server:53"], move |_| {
                let before = counted.fetch_add(1, Ordering::Relaxed);
                assert!(before == 0 || !panics, "a resolver that panics");
                thread::sleep(10 * MS);
                Ok(vec![address])
            });
            let requester = builder().over(paths.unwrap().resolve_every(Duration::ZERO)).unwrap();
            for n in 1..=10 {
                requester.request(b"........ping").await.unwrap();
                // The answer comes meanwhile, and asks nothing by itself.
                tokio::time::sleep(30 * MS).await;
                let asked = asked.load(Ordering::Relaxed);
                assert!((2..=n + 1).contains(&asked), "{asked} after {n} requests");
            }
            assert!(asked.load(Ordering::Relaxed) > 5);
        });
    }
}

#[test]
fn a_port_from_which_nothing_came_back_is_left_and_one_of_the_callers_is_kept() {
    on(current_thread(), async {
        for is_given in [false, true] {
            let server = mute();
            let own = UdpSocket::bind("127.0.0.1:0").unwrap();
            own.connect(server.local_addr().unwrap()).unwrap();
            let policy = RetryPolicy::LAN.with_max_transmissions(2).unwrap();
            let builder = builder().policy(policy);
            let requester = match is_given {
                true => builder.over(UdpPaths::from(ConnectedUdp::from_socket(own).unwrap())).unwrap(),
                false => builder.connect(server.local_addr().unwrap()).await.unwrap(),
            };
            let mut from = BTreeSet::new();
            for round in 0..3 {
                assert!(requester.request(b"........ping").await.is_err());
                server.set_nonblocking(true).unwrap();
                while let Ok((_, port)) = server.recv_from(&mut [0; 64]) {
                    from.insert(port);
                }
                assert_eq!(from.len(), if is_given { 1 } else { round + 1 }, "each time one");
            }
        }
    });
}
