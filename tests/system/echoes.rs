//! Servers on loopback that send back what they receive.
#![expect(clippy::disallowed_methods, reason = "each has a thread")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use udp_retry::net::{CancelHandle, UnconnectedUdp};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, Route, Transport};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Prompt,
    After(Duration),
}

/// Answers until it is dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    stop: CancelHandle,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn start(host: &str, manner: Manner) -> Self {
        let mut socket = UnconnectedUdp::bind((host, 0)).unwrap();
        let (address, stop) = (socket.local_addr(), socket.cancel_handle().unwrap());
        let thread = thread::spawn(move || serve(socket, manner));
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut socket: UnconnectedUdp, manner: Manner) {
    let (mut buffer, mut later) = ([0; 65_535], VecDeque::<(Timestamp, Route, Vec<u8>)>::new());
    loop {
        let now = socket.now();
        while later.front().is_some_and(|(due, ..)| *due <= now) {
            let _ = later.pop_front().map(|(_, to, bytes)| socket.send(to, &bytes));
        }
        let until = later.front().map_or(Timestamp::MAX, |(due, ..)| *due);
        match (socket.recv(&mut buffer, now, until), manner) {
            (Incoming::Datagram(asked), Manner::Prompt) => {
                let _ = socket.send(asked.from, &buffer[..asked.len]);
            }
            (Incoming::Datagram(asked), Manner::After(delay)) => {
                later.push_back((asked.at.after(delay), asked.from, buffer[..asked.len].to_vec()));
            }
            (Incoming::Cancelled, _) => return,
            (Incoming::TimeUp(_) | Incoming::PathError { .. }, _) => {}
        }
    }
}
