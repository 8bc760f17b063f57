use std::net::UdpSocket;

use super::UdpPaths;
use super::asking_apart::{Answer, Question};
use crate::net::pollable::Look;
use crate::time::Timestamp;
use crate::transport::{Incoming, PathIndex};

impl Look for UdpPaths {
    fn prepare(&mut self) {
        self.ask_apart();
    }

    fn sockets(&self) -> impl Iterator<Item = (usize, u64, &UdpSocket)> {
        self.open.iter().filter_map(|path| {
            let (number, socket) = self.socket(path)?.registered()?;
            Some((Self::place(path), number, socket))
        })
    }

    fn place(peer: PathIndex) -> usize {
        peer.number() as usize
    }

    fn look(&mut self, buffer: &mut [u8], began: Timestamp, now: Timestamp) -> Option<Incoming<PathIndex>> {
        if self.cancellable.is_cancelled() && self.cancellable.take() {
            return Some(Incoming::Cancelled);
        }
        if let Some(kept) = self.kept_error(buffer) {
            return Some(kept);
        }
        self.look_at(self.open, buffer, began, Timestamp::MAX, now, false)
    }

    fn on_time_up(&mut self) {
        self.on_unanswered();
    }

    fn question(&mut self) -> Option<Question> {
        Self::question(self)
    }

    fn on_answer(&mut self, answer: Answer) {
        self.follow_answer(answer);
    }
}
