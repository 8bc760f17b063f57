use std::io;
use std::net::SocketAddr;

use super::settings::Settings;
use crate::net::cancel::Cancellable;
use crate::net::{ConnectedUdp, classify};
use crate::time::Timestamp;
use crate::transport::{Incoming, PathError, PathIndex, Renewal, Renewed, Transport};

/// One address, and the socket that is connected to it.
#[derive(Debug)]
pub(super) struct Path {
    number: PathIndex,
    pub(super) address: SocketAddr,
    /// Which of the names led to it, if any did.
    pub(super) name: Option<usize>,
    /// Made when it is first asked.
    pub(super) socket: Option<ConnectedUdp>,
    /// It has failed too often in a row: until then it is left alone.
    pub(super) rests_until: Timestamp,
    /// Something was sent, and nothing has come since.
    pub(super) unanswered: bool,
}

impl Path {
    pub(super) fn to(number: PathIndex, address: SocketAddr, name: Option<usize>) -> Self {
        Self { number, address, name, socket: None, rests_until: Timestamp::ZERO, unanswered: false }
    }

    /// To another address: by a socket that is made when it is first asked.
    pub(super) fn move_to(&mut self, address: SocketAddr) {
        *self = Self::to(self.number, address, self.name);
    }

    /// The socket, which is made if there is none yet.
    pub(super) fn open(&mut self, settings: &Settings, cancellable: &Cancellable) -> io::Result<&mut ConnectedUdp> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let mut socket = settings.of_new(ConnectedUdp::connect_to(self.address)?)?;
                socket.share_cancellation(cancellable);
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }

    #[inline]
    pub(super) fn send(
        &mut self,
        datagram: &[u8],
        settings: &Settings,
        cancellable: &Cancellable,
    ) -> Result<(), PathError> {
        self.opened(settings, cancellable)?.send(PathIndex::FIRST, datagram)?;
        self.on_sent();
        Ok(())
    }

    pub(super) fn send_many(
        &mut self,
        datagrams: &[&[u8]],
        settings: &Settings,
        cancellable: &Cancellable,
    ) -> (usize, Result<(), PathError>) {
        let (sent, result) = match self.opened(settings, cancellable) {
            Ok(socket) => socket.send_many(PathIndex::FIRST, datagrams),
            Err(error) => (0, Err(error)),
        };
        if sent > 0 {
            self.on_sent();
        }
        (sent, result)
    }

    #[inline]
    fn opened(&mut self, settings: &Settings, cancellable: &Cancellable) -> Result<&mut ConnectedUdp, PathError> {
        if self.socket.is_none() {
            self.open(settings, cancellable).map_err(|error| classify(&error))?;
        }
        self.socket.as_mut().ok_or(PathError::Unsupported)
    }

    #[inline]
    fn on_sent(&mut self) {
        self.rests_until = Timestamp::ZERO;
        self.unanswered = true;
    }

    /// What its socket has given, as this path's.
    #[inline]
    pub(super) fn label(&mut self, mut incoming: Incoming<PathIndex>) -> Incoming<PathIndex> {
        match &mut incoming {
            Incoming::Datagram(received) => {
                received.from = self.number;
                self.unanswered = false;
            }
            Incoming::PathError { path, .. } => *path = Some(self.number),
            Incoming::TimeUp(_) | Incoming::Cancelled => {}
        }
        incoming
    }

    pub(super) fn renew(
        &mut self,
        need: Renewal,
        settings: &Settings,
        cancellable: &Cancellable,
    ) -> Result<Renewed, PathError> {
        let renewed = match &mut self.socket {
            Some(socket) => {
                if self.unanswered {
                    socket.on_unanswered();
                }
                socket.renew(PathIndex::FIRST, need)?
            }
            None => {
                self.open(settings, cancellable).map_err(|error| classify(&error))?;
                Renewed::FreshPort
            }
        };
        self.rests_until = Timestamp::ZERO;
        self.unanswered = false;
        Ok(renewed)
    }
}
