//! The fronts of the crate, each with a window of its own making: as many requests in flight as the load says.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use udp_retry::net::{ConnectedUdp, UnconnectedUdp};
use udp_retry::transaction::Limits;
use udp_retry::transport::{PathIndex, PeerAddress, Transport};
use udp_retry::{ConcurrentRequester, RetryPolicy, transaction_id};

use crate::compare::Variant;
use crate::socket::{connected, socket};

pub(crate) struct Front<T: Transport<Peer: PeerAddress>> {
    requester: ConcurrentRequester<T>,
    server: T::Peer,
    request: Vec<u8>,
}

impl Front<ConnectedUdp> {
    /// Over a socket of its own, but where only a given one can have buffers that are large enough.
    pub(crate) fn connected(server: SocketAddr, buffer: usize) -> Self {
        let own = ConnectedUdp::connect(server).unwrap();
        let held = own.receive_buffer().unwrap();
        let transport =
            if held >= buffer { own } else { ConnectedUdp::from_socket(connected(server, buffer)).unwrap() };
        Self::over(transport, PathIndex::FIRST)
    }
}

impl Front<UnconnectedUdp> {
    /// Likewise.
    pub(crate) fn unconnected(server: SocketAddr, buffer: usize) -> Self {
        let own = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let held = own.receive_buffer().unwrap();
        let transport = if held >= buffer { own } else { UnconnectedUdp::from_socket(socket(buffer)).unwrap() };
        Self::over(transport, server.into())
    }
}

impl<T: Transport<Peer: PeerAddress>> Front<T> {
    fn over(transport: T, server: T::Peer) -> Self {
        let requester = ConcurrentRequester::builder(transaction_id(0..8).stamped())
            .policy(RetryPolicy::default())
            .limits(Limits::default().window(NonZeroU32::MAX))
            .over(transport)
            .unwrap();
        Self { requester, server, request: Vec::new() }
    }
}

impl<T: Transport<Peer: PeerAddress>> Variant for Front<T> {
    fn run(&mut self, requests: usize, window: usize, len: usize) -> u64 {
        let Self { requester, server, request } = self;
        request.resize(len, 0x5a);
        let (mut submitted, mut answered) = (0, 0);
        while submitted < requests.min(window) {
            requester.submit_to(*server, &*request, 0).unwrap();
            submitted += 1;
        }
        while let Some(done) = requester.wait() {
            answered += u64::from(done.reply().is_ok_and(|reply| reply.len() == len));
            if submitted < requests {
                requester.submit_to(*server, &*request, 0).unwrap();
                submitted += 1;
            }
        }
        answered
    }
}
