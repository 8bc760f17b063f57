use std::io;

use crate::net::{Applied, ConnectedUdp};
use crate::transport::Fragmentation;

/// What was asked for, of the sockets that are there and of those to come.
#[derive(Default, Debug)]
pub(super) struct Settings {
    pub(super) receive_buffer: Option<usize>,
    pub(super) hops: Option<u8>,
    pub(super) fragmentation: Option<Fragmentation>,
    pub(super) arrival_times: bool,
}

impl Settings {
    /// A socket that was just made, with all that was asked for.
    pub(super) fn of_new(&self, socket: ConnectedUdp) -> io::Result<ConnectedUdp> {
        let socket = if self.arrival_times { socket.with_arrival_times() } else { socket };
        self.receive_buffer.map(|bytes| socket.set_receive_buffer(bytes)).transpose()?;
        self.hops.map(|most| socket.set_hops(most)).transpose()?;
        self.fragmentation.map(|mode| socket.set_fragmentation(mode)).transpose()?;
        Ok(socket)
    }
}

/// How far a mode took hold of two sockets.
pub(super) fn of_both(one: Applied, other: Applied) -> Applied {
    if one == other { one } else { Applied::Partial }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use socket2::SockRef;

    use super::*;
    use crate::net::UdpPaths;
    use crate::transport::{PathIndex, Renewal, Transport};

    #[test]
    fn settings_hold_on_paths_that_are_open_on_those_to_come_and_after_a_renewal() {
        let servers = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut paths = UdpPaths::connect(&servers.each_ref().map(|server| server.local_addr().unwrap())).unwrap();
        let default = paths.socket(PathIndex::FIRST).unwrap().receive_buffer().unwrap();
        paths.send(PathIndex::new(1), b"ping").unwrap();
        let granted = paths.set_receive_buffer(16 * 1024).unwrap();
        assert!(granted >= 16 * 1024 && granted != default);
        paths.set_hops(3).unwrap();
        let applied = paths.set_fragmentation(Fragmentation::Forbidden).unwrap();
        for number in 0..3 {
            let path = PathIndex::new(number);
            paths.send(path, b"ping").unwrap();
            for _ in 0..2 {
                let socket = paths.socket(path).unwrap();
                assert_eq!(socket.receive_buffer().unwrap(), granted, "{path}");
                assert_eq!(SockRef::from(socket.watched().unwrap()).ttl_v4().unwrap(), 3, "{path}");
                let forbids = socket.fragmentation().is_ok_and(|mode| mode == Fragmentation::Forbidden);
                assert_eq!(forbids, applied == Applied::Enforced, "{path}");
                paths.renew(path, Renewal::Required).unwrap();
            }
        }
        assert_eq!(applied == Applied::Enforced, cfg!(all(target_os = "linux", not(udp_retry_portable))));
    }
}
