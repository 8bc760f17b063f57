use std::io;
use std::net::UdpSocket;

use socket2::SockRef;

use super::ConnectedUdp;
use crate::net::endpoint::Ask;
use crate::net::options;
use crate::net::sys;

/// How a socket comes by its peer, and leaves what this host no longer has.
impl ConnectedUdp {
    /// Gives the socket another source address and port, as far as they are not the caller's choice.
    pub(super) fn reconnect(&mut self) -> io::Result<()> {
        let Self { endpoint, peer, apart, .. } = self;
        // Once it is apart its device is not to be asked for: it has none, or one from an attempt to connect, which has to be
        // left, as only the privileged may bind a socket twice.
        if !*apart && endpoint.is_lent() {
            peer.remember_device(endpoint.socket())?;
        }
        self.apart = true;
        // Without a descriptor to be had, this one must do.
        if !self.in_vain || self.endpoint.is_lent() || self.replace().is_err() {
            sys::disconnect(&mut self.endpoint)?;
        }
        if self.has_chosen_port.is_none() {
            // Without a peer, a socket keeps no other.
            self.has_chosen_port = Some(self.local_addr().port() != 0);
        }
        self.attach()
    }

    /// Takes another socket of our own, because what was asked for may still come: a reply that the system is about to queue
    /// when a socket is disconnected is queued after it has a new port.
    fn replace(&mut self) -> io::Result<()> {
        let left = self.endpoint.socket();
        let fresh = UdpSocket::bind(options::any_address(self.peer.address()))?;
        options::carry_over(SockRef::from(left), SockRef::from(&fresh));
        sys::carry_over_fragmentation(left, &fresh)?;
        sys::report_all_errors(&fresh, true);
        if self.ask == Ask::Everything {
            sys::report_arrival_time(&fresh)?;
        }
        sys::prepare(&fresh)?;
        self.endpoint.replace(fresh);
        Ok(())
    }

    /// Connects a socket without a peer; its queue is empty then, whoever sent to it meanwhile.
    pub(super) fn attach(&mut self) -> io::Result<()> {
        // Of two ports that the system has to give, one may be the peer's.
        const TRIES: u32 = 64;
        for _ in 0..TRIES {
            self.apart = true;
            self.peer.connect(self.endpoint.socket())?;
            // The system picks any port for it, also the very one that it is to be connected to.
            self.local = self.endpoint.socket().local_addr()?;
            if !self.is_its_own_peer()? {
                (self.apart, self.in_vain) = (false, false);
                self.endpoint.drain();
                self.swallowed.clear();
                return Ok(());
            }
            sys::disconnect(&mut self.endpoint)?;
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "the peer's address is the socket's own"))
    }

    fn is_its_own_peer(&self) -> io::Result<bool> {
        // The system is asked for the peer, as 0.0.0.0 is this host to it.
        Ok(self.local.port() == self.peer.address().port()
            && self.local.ip() == self.endpoint.socket().peer_addr()?.ip())
    }

    /// The device that the caller may have bound the socket to is called by its name only as long as it is there.
    #[cold]
    pub(super) fn ask_for_device(&mut self) {
        *self.lent_again.get_mut() = false;
        if !self.apart {
            // A device that is gone already leaves the socket as it is.
            let _ = self.peer.remember_device(self.endpoint.socket());
        }
    }

    /// Leaves an address that this host no longer has: the system may send on from it without an error, as Linux does over
    /// IPv6, and over IPv4 if its device is down and another route leads to the peer.
    #[cold]
    pub(super) fn leave_lost_address(&mut self) {
        self.in_vain = false;
        let left = self.local_addr().ip();
        if self.apart || self.foreign == Some(left) || !self.peer.is_lost(left) {
            return;
        }
        // If that fails, the send reports it.
        if self.reconnect().is_ok() && self.local_addr().ip() == left {
            self.foreign = Some(left);
        }
    }
}
