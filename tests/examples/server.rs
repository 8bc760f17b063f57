//! A server that answers an example as a test likes, and what the example made of it.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "processes take real time, and the other end is a plain socket"
)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Ended, run};

/// A server that answers each request, by its number, with any number of datagrams.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

/// With who sent it.
pub(crate) type Request = (Vec<u8>, SocketAddr);

impl Server {
    pub(crate) fn answering(answer: impl FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub(crate) fn on(socket: UdpSocket, mut answer: impl FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            // As long as the test runs, if need be.
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let request = &buffer[..length];
                let number = {
                    let mut notes: std::sync::MutexGuard<'_, Vec<Request>> = notes.lock().unwrap();
                    notes.push((request.to_vec(), from));
                    notes.len() - 1
                };
                for datagram in answer(number, request) {
                    socket.send_to(&datagram, from).unwrap();
                }
            }
        });
        Self { address, asked }
    }

    /// What has been asked so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn dns_lookup(&self, arguments: &[&str]) -> Ended {
        run("dns_lookup", &[arguments, &["--server", &self.address.to_string()]].concat(), PATIENCE)
    }

    pub(crate) fn ntp_time(&self, arguments: &[&str]) -> Ended {
        run("ntp_time", &[&[self.address.to_string().as_str()], arguments].concat(), PATIENCE)
    }

    pub(crate) fn stun_address(&self, arguments: &[&str]) -> Ended {
        run("stun_address", &[&[self.address.to_string().as_str()], arguments].concat(), PATIENCE)
    }
}

/// The one line of an example that was told to print nothing else.
pub(crate) fn json(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout.matches('\n').count(), 1, "{ended:?}");
    assert!(ended.stdout.ends_with('\n'), "{ended:?}");
    assert_eq!(ended.stderr.is_empty(), code == 0, "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
