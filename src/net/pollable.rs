use std::net::UdpSocket;

use super::{UdpPaths, UnconnectedUdp};
use crate::time::Timestamp;
use crate::transport::{Incoming, PeerAddress, Transport};

/// A transport for whose sockets a runtime can wait: [`UdpPaths`], of which a [`ConnectedUdp`](super::ConnectedUdp) makes one,
/// and [`UnconnectedUdp`]. Names are not resolved again under a runtime, also not where
/// [`resolve_every`](UdpPaths::resolve_every) asks for it, as that blocks.
pub trait Pollable: Transport<Peer: PeerAddress> + Look + Send + 'static {}

impl Pollable for UdpPaths {}
impl Pollable for UnconnectedUdp {}

/// What a runtime needs instead of the waits of a transport. Nothing here waits, and nothing lends a socket.
#[expect(unnameable_types, reason = "only the transports of this module are pollable")]
pub trait Look: Transport {
    /// Before the runtime has it: nothing blocks from then on.
    fn prepare(&mut self);

    /// The sockets that are open: where each stands, and the number that no other ever has.
    fn sockets(&self) -> impl Iterator<Item = (usize, u64, &UdpSocket)>;

    /// Where the socket of a peer stands.
    fn place(peer: Self::Peer) -> usize;

    /// What has come, if anything has, by turns. It can have come since `began`, when nothing was there last.
    fn look(&mut self, buffer: &mut [u8], began: Timestamp, now: Timestamp) -> Option<Incoming<Self::Peer>>;

    /// Something was due and nothing had come.
    fn on_time_up(&mut self);
}
