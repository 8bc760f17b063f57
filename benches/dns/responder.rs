//! A server for the short round: a thread that answers all, some of it late and some of it twice.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a real socket and a thread")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};

use crate::message::answer;

pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<(u64, u64)>,
}

impl Responder {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        Self { address, thread: thread::spawn(move || respond(&socket)) }
    }

    /// Says how many answers were forged, and how many queries were left unanswered.
    pub(crate) fn stop(self) -> (u64, u64) {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[], self.address).unwrap();
        self.thread.join().unwrap()
    }
}

/// Until an empty datagram comes. Ahead of every 8th answer goes another one with the same id, to another question or
/// with the mark of a query; the first copy of every 800th query is not answered.
fn respond(socket: &UdpSocket) -> (u64, u64) {
    let (mut buffer, mut number, mut forged, mut withheld) = ([0; 512], 0_u64, 0, BTreeSet::new());
    loop {
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        let query = &buffer[..len];
        if query.is_empty() {
            return (forged, withheld.len() as u64);
        }
        number += 1;
        if number % 800 == 0 && withheld.insert(query.to_vec()) {
            continue;
        }
        let answer = answer(query);
        if number % 8 == 0 {
            let mut other = answer.clone();
            // Another letter of the name, or a query instead of a response.
            let (at, bit) = if number % 16 == 0 { (13, 0x01) } else { (2, 0x80) };
            other[at] ^= bit;
            socket.send_to(&other, from).unwrap();
            forged += 1;
        }
        socket.send_to(&answer, from).unwrap();
    }
}
