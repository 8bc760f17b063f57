//! Several threads, one socket, one responder.
#![expect(clippy::disallowed_types, reason = "plain clients")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use udp_retry::net::UnconnectedUdp;
use udp_retry::serving::{Ended, Handled};

use crate::over;
use crate::watchdog::{MINUTE, within};

const THREADS: usize = 4;
const REQUESTS: u32 = 500;
const PANICS: u32 = 7;

#[test]
fn copies_that_come_to_different_threads_are_one_request_and_a_panic_is_one_threads_own() {
    within(MINUTE, || {
        let mut socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let _ = socket.set_receive_buffer(4 << 20);
        let address = socket.local_addr();
        let responder = over(&mut socket);
        let mut ends: Vec<_> = (1..THREADS).map(|_| socket.try_clone().unwrap()).collect();
        ends.push(socket);
        let stops: Vec<_> = ends.iter_mut().map(|end| end.cancel_handle().unwrap()).collect();
        let executions = Mutex::new(BTreeMap::<Vec<u8>, u32>::new());

        thread::scope(|scope| {
            let servers = ends.into_iter().map(|mut end| {
                let (responder, executions) = (responder.clone(), &executions);
                scope.spawn(move || {
                    loop {
                        let serve = || {
                            responder.serve(&mut end, |request, reply| {
                                *executions.lock().unwrap().entry(request.bytes().to_vec()).or_default() += 1;
                                assert_ne!(request.bytes(), PANICS.to_be_bytes(), "a panic of this test's own");
                                reply.extend_from_slice(request.bytes());
                                Handled::Reply
                            })
                        };
                        if let Ok(ended) = catch_unwind(AssertUnwindSafe(serve)) {
                            return ended;
                        }
                    }
                })
            });
            let servers: Vec<_> = servers.collect();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(address).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut buffer = [0; 8];
            for request in 0..REQUESTS {
                // All copies at once, so that several threads have one each.
                for _ in 0..THREADS {
                    client.send(&request.to_be_bytes()).unwrap();
                }
                if request == PANICS {
                    continue;
                }
                // The answers to the copies before come first.
                while client.recv(&mut buffer).map(|len| &buffer[..len]).unwrap() != request.to_be_bytes() {}
            }
            stops.iter().for_each(udp_retry::net::CancelHandle::cancel);
            assert!(servers.into_iter().all(|server| server.join().unwrap() == Ended::Cancelled));
        });

        let executions = executions.into_inner().unwrap();
        assert_eq!(executions.len(), REQUESTS as usize);
        assert!(executions.values().all(|&times| times == 1), "{executions:?}");
        assert_eq!(responder.stats().replies.fresh, u64::from(REQUESTS));
    });
}
