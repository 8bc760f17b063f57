use std::net::UdpSocket;

use super::paths::{Answer, Question};
use super::{UdpPaths, UnconnectedUdp};
use crate::time::Timestamp;
use crate::transport::{Incoming, PeerAddress, Transport};

/// A transport for whose sockets a runtime can wait: [`UdpPaths`], of which a [`ConnectedUdp`](super::ConnectedUdp) makes one,
/// and [`UnconnectedUdp`].
pub trait Pollable: Transport<Peer: PeerAddress> + Look + Send + 'static {}

impl Pollable for UdpPaths {}
impl Pollable for UnconnectedUdp {}

/// What a runtime needs instead of the waits of a transport. Nothing here waits, and nothing lends a socket.
#[expect(unnameable_types, reason = "only the transports of this module are pollable")]
pub trait Look: Transport {
    /// Before the runtime has it: nothing blocks from then on. Names are to be resolved by others, which
    /// [`question`](Self::question) asks for.
    fn prepare(&mut self);

    /// The sockets that are open: where each stands, and the number that no other ever has.
    fn sockets(&self) -> impl Iterator<Item = (usize, u64, &UdpSocket)>;

    /// Where the socket of a peer stands.
    fn place(peer: Self::Peer) -> usize;

    /// What has come, if anything has, by turns. It can have come since `began`, when nothing was there last.
    fn look(&mut self, buffer: &mut [u8], began: Timestamp, now: Timestamp) -> Option<Incoming<Self::Peer>>;

    /// Something was due and nothing had come.
    fn on_time_up(&mut self);

    /// A name that is to be resolved by now: by a thread that may block.
    fn question(&mut self) -> Option<Question> {
        None
    }

    /// What became of a question.
    fn on_answer(&mut self, _answer: Answer) {}
}
