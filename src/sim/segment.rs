use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{HostId, SimError, SimNet, SimUnconnected};

/// Hosts that hear one another: broadcast and multicast.
impl SimNet {
    /// Puts hosts on one segment, whose broadcast address this is.
    ///
    /// A datagram to that address, or to 255.255.255.255, that a host of the segment sends reaches every host of it, its
    /// own included; one to a group (multicast, of either family) reaches those that have [joined](Self::join) when it is
    /// sent. Each copy takes the [path](Self::path) to its host and meets a fate of its own there. No router passes any of
    /// them on.
    ///
    /// What receives it there, at the port that it is sent to, as on Linux:
    ///
    /// - a [`SimUnconnected`] that is bound to the wildcard, and none that is bound to one address;
    /// - an [`Endpoint`](super::Endpoint) that is not connected, which stands for a program on the wildcard here;
    /// - no connected socket; nor does one that is connected to such an address receive the answers, which come from others.
    ///
    /// No one refuses it, and no router reports it. To broadcast, a `SimUnconnected` needs
    /// [permission](Self::bind_broadcast). A host on several segments sends to 255.255.255.255 and to groups over the one
    /// whose broadcast address its source address is nearest to (that has the longest prefix in common), without a source
    /// address over the first that was made.
    ///
    /// ```
    /// use udp_retry::Seed;
    /// use udp_retry::sim::SimNet;
    /// use udp_retry::transport::{Incoming, Transport};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let hosts = [net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?, net.host("10.0.0.3".parse()?)?];
    /// net.segment(&hosts, "10.0.0.255".parse()?)?;
    /// for address in ["10.0.0.2:1060", "10.0.0.3:1060"] {
    ///     net.serve(address.parse()?, |_, from, _, out| out.send(from, b"here"))?;
    /// }
    /// let mut asking = net.bind_broadcast(hosts[0], "0.0.0.0:0".parse()?)?;
    /// asking.send(asking.route_to("255.255.255.255:1060".parse()?), b"who is there?")?;
    /// let (mut buffer, now) = ([0; 64], net.now());
    /// let mut found = Vec::new();
    /// while let Incoming::Datagram(answer) = asking.recv(&mut buffer, now, now) {
    ///     found.push(answer.from.remote.to_string());
    /// }
    /// assert_eq!(found, ["10.0.0.2:1060", "10.0.0.3:1060"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`], and [`SimError::AddressTaken`] if the broadcast address is a host's.
    pub fn segment(&self, hosts: &[HostId], broadcast: Ipv4Addr) -> Result<(), SimError> {
        let hosts = hosts.iter().map(|&host| self.number(host)).collect::<Result<_, _>>()?;
        self.world.borrow_mut().add_segment(hosts, broadcast)
    }

    /// A program of the host joins a group (multicast): the endpoints there receive what is sent to it. A socket joins by
    /// [`SimUnconnected::join`]. Every host is in 224.0.0.1 and ff02::1.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`], [`SimError::NotAGroup`].
    pub fn join(&self, host: HostId, group: IpAddr) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().join(host, group)
    }

    /// A program of the host leaves a group; a host is in it until all that joined have left.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn leave(&self, host: HostId, group: IpAddr) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().leave(host, group);
        Ok(())
    }

    /// As [`bind`](Self::bind), and allowed to send to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_broadcast(&self, host: HostId, at: SocketAddr) -> Result<SimUnconnected, SimError> {
        let end = self.bind(host, at)?;
        end.allow_broadcast();
        Ok(end)
    }
}
