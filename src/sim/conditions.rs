use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::{SimError, SimNet, Unmet};
use crate::fault::{Capacity, Profile};
use crate::size::Pmtu;

/// A host of a [`SimNet`]; no other network takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId {
    number: usize,
    net: u64,
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the network: its number is another one in each run.
        f.debug_tuple("HostId").field(&self.number).finish()
    }
}

/// Hosts, what lies between them, and what befalls them.
impl SimNet {
    /// Adds a host with this address.
    ///
    /// # Errors
    ///
    /// [`SimError::AddressTaken`], [`SimError::NotAHost`].
    pub fn host(&self, address: IpAddr) -> Result<HostId, SimError> {
        let number = self.world.borrow_mut().add_host(address)?;
        Ok(HostId { number, net: self.id })
    }

    /// Gives a host one more address, of either family: what is sent to it reaches the same host over the same paths.
    ///
    /// A host sends from the first address of the peer's family that it got, and to itself from the address that it
    /// asks, unless the sender names another ([`Route::local`](crate::transport::Route::local)).
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`], [`SimError::AddressTaken`], [`SimError::NotAHost`].
    pub fn address(&self, host: HostId, address: IpAddr) -> Result<(), SimError> {
        self.world.borrow_mut().add_address(self.number(host)?, address)
    }

    /// Limits the packets that a host's own interface carries, such as 1,500 bytes; without it nothing does.
    ///
    /// Datagrams that do not fit leave in fragments of this size, or are refused when they are sent if the
    /// [mode](super::SimTransport::set_fragmentation) of the socket is `Forbidden` or `Probing`. What a host knows of a
    /// path never exceeds it.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn interface_mtu(&self, host: HostId, pmtu: Pmtu) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().limit_interface(host, pmtu);
        Ok(())
    }

    /// Sets what happens between two hosts from now on. Without a path, datagrams arrive at once.
    ///
    /// The first call for two hosts decides which of them is the client, whatever was sent, partitioned or healed
    /// between them before. The links' numbers and states stay when a path is changed, and so do the datagrams in flight:
    /// what comes behind them waits for them, also if nothing else holds it up any more; [`release`](Self::release) ends
    /// that. Times within impairments count from time zero of the network. Headers have 28 bytes between IPv4 addresses and
    /// 48 between IPv6 addresses, where the impairments do not set them.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn path(&self, client: HostId, server: HostId, profile: Profile) -> Result<(), SimError> {
        let (client, server) = (self.number(client)?, self.number(server)?);
        self.world.borrow_mut().set_path(client, server, &profile);
        Ok(())
    }

    /// Lets what is in flight from one host to the other arrive now, in the order in which it was to arrive, and empties
    /// the queue of the link.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn release(&self, from: HostId, to: HostId) -> Result<(), SimError> {
        let (from, to) = (self.number(from)?, self.number(to)?);
        self.world.borrow_mut().release(from, to);
        Ok(())
    }

    /// Sets how many datagrams may be in flight in the whole network; 4,194,304 and 1 GiB by default.
    ///
    /// The drops beyond it are [`DropCause::Capacity`](crate::fault::DropCause::Capacity). The answers that endpoints
    /// work on have a capacity of their own, equally large: those beyond it are `unsent`.
    pub fn capacity(&self, capacity: Capacity) {
        self.world.borrow_mut().set_capacity(capacity);
    }

    /// Lets nothing pass between the two hosts, in either direction, that is sent from now on.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn partition(&self, one: HostId, other: HostId) -> Result<(), SimError> {
        let (one, other) = (self.number(one)?, self.number(other)?);
        self.world.borrow_mut().partition(one, other, true);
        Ok(())
    }

    /// Lets nothing pass from one host to the other that is sent from now on.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn partition_one_way(&self, from: HostId, to: HostId) -> Result<(), SimError> {
        let (from, to) = (self.number(from)?, self.number(to)?);
        self.world.borrow_mut().partition(from, to, false);
        Ok(())
    }

    /// Ends the partitions between the two hosts.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn heal(&self, one: HostId, other: HostId) -> Result<(), SimError> {
        let (one, other) = (self.number(one)?, self.number(other)?);
        self.world.borrow_mut().heal(one, other);
        Ok(())
    }

    /// Silences a host from now on: what reaches it vanishes, and nothing leaves it.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn take_down(&self, host: HostId) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().take_down(host);
        Ok(())
    }

    /// Brings a host back, with everything that runs on it.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn bring_up(&self, host: HostId) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().bring_up(host);
        Ok(())
    }

    /// Makes the host's NAT forget: its sockets appear at other ports, and what comes to the old ones vanishes, until
    /// all other ports have been used since.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]; [`SimError::NoPort`] if there are fewer free ports than sockets, and then none has
    /// moved.
    pub fn rebind(&self, host: HostId) -> Result<(), SimError> {
        let host = self.number(host)?;
        self.world.borrow_mut().rebind(host)
    }

    /// The faults that have met no datagram so far: look at the end of a run, and a test whose faults miss their target
    /// does not pass for one that withstands them.
    ///
    /// Paths that do something to datagrams, partitions, hosts that are down, rules of scripts and outages. Of those
    /// that have ended, the first 1,000.
    ///
    /// ```
    /// use udp_retry::Seed;
    /// use udp_retry::sim::SimNet;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let [client, server, other] = [1, 2, 3].map(|n| net.host([10, 0, 0, n].into()));
    /// net.partition(client?, other?)?; // meant: the server
    /// net.connect(client?, "10.0.0.2:1060".parse()?)?;
    /// let unmet: Vec<String> = net.unmet().iter().map(ToString::to_string).collect();
    /// assert_eq!(unmet, ["the partition 10.0.0.1 <-> 10.0.0.3 since 0 ms met no datagram"]);
    /// # server?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unmet(&self) -> Vec<Unmet> {
        self.world.borrow().unmet()
    }

    /// Forges a router's report to the socket at `to`: that what was sent from there to `from` exceeds `pmtu`, with
    /// `quoted` as the beginning of it. It arrives at once.
    ///
    /// True ones come from links with `mtu 1400 report`, at the time that the link back takes, unless that loses them. A
    /// host treats both alike, as Linux does:
    ///
    /// - it believes one that concerns a socket there is, connected to `from` or unconnected; others it ignores;
    /// - for 600 s it sends to that address by what it was told, whatever the socket, and never raises its estimate
    ///   meanwhile. It believes no less than 552 bytes (IPv4: what is larger is fragmented on its way from then on) or
    ///   1,280 (IPv6: it goes on as before);
    /// - a connected socket has [`PathError::TooBig`](crate::transport::PathError::TooBig) pending, with what would fit.
    ///
    /// What exceeds the estimate later on:
    ///
    /// | mode of the socket | IPv4 | IPv6 |
    /// |---|---|---|
    /// | [`ByEstimate`](crate::transport::Fragmentation::ByEstimate), the default | goes in fragments, which routers may split again | goes in fragments of that size |
    /// | [`Allowed`](crate::transport::Fragmentation::Allowed) | routers fragment it from the start, and report nothing | as `ByEstimate` |
    /// | [`Forbidden`](crate::transport::Fragmentation::Forbidden) | is refused when it is sent | is refused when it is sent |
    /// | [`Probing`](crate::transport::Fragmentation::Probing) | is sent whole, lost and reported again | is sent whole, lost and reported again |
    ///
    /// All fragments of a datagram share one fate.
    ///
    /// ```
    /// use udp_retry::fault::Profile;
    /// use udp_retry::sim::{SimNet, echo};
    /// use udp_retry::size::Pmtu;
    /// use udp_retry::transport::{Fragmentation, Incoming, PathError, PathIndex, Transport};
    /// use udp_retry::{Impairments, Seed};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    /// let narrow = "delay 20ms; mtu 1400 report".parse()?;
    /// net.path(client, server, Profile { to_server: narrow, to_client: "delay 20ms".parse()? })?;
    /// let mut transport = net.connect(client, "10.0.0.2:7".parse()?)?;
    /// transport.set_fragmentation(Fragmentation::Forbidden);
    ///
    /// transport.send(PathIndex::FIRST, &[7; 1400])?;
    /// let (mut buffer, now) = ([0; 2000], net.now());
    /// let second = now.after(core::time::Duration::from_secs(1));
    /// let Incoming::PathError { error: PathError::TooBig { limit, .. }, quoted, .. } =
    ///     transport.recv(&mut buffer, now, second) else { panic!() };
    /// assert_eq!((limit.map(|it| it.bytes()), &buffer[..quoted]), (Some(1372), &[7; 520][..]));
    /// assert_eq!(transport.kernel_pmtu(), Some(Pmtu::new(1400)));
    /// assert!(transport.send(PathIndex::FIRST, &[7; 1400]).is_err(), "not even sent");
    /// assert!(transport.send(PathIndex::FIRST, &[7; 1372]).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self, from: SocketAddr, to: SocketAddr, pmtu: Pmtu, quoted: &[u8]) {
        self.world.borrow_mut().forge_report(from, to, pmtu, quoted);
    }

    pub(super) fn number(&self, host: HostId) -> Result<usize, SimError> {
        if host.net == self.id { Ok(host.number) } else { Err(SimError::OtherNetwork) }
    }
}
