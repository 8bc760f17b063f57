use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use super::{Dose, SimError, SimNet, Unmet};
use crate::fault::Profile;

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

    /// Sets what happens between two hosts from now on. Without a path, datagrams arrive at once.
    ///
    /// The first call for two hosts decides which of them is the client, whatever was sent, partitioned or healed
    /// between them before. The links' numbers and states stay when a path is changed.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn path(&self, client: HostId, server: HostId, profile: Profile) -> Result<(), SimError> {
        let (client, server) = (self.number(client)?, self.number(server)?);
        self.world.borrow_mut().set_path(client, server, &profile);
        Ok(())
    }

    /// Limits what the link from one host to the other may do.
    ///
    /// # Errors
    ///
    /// [`SimError::OtherNetwork`]
    pub fn dose(&self, from: HostId, to: HostId, dose: Dose) -> Result<(), SimError> {
        let (from, to) = (self.number(from)?, self.number(to)?);
        self.world.borrow_mut().dose(from, to, dose);
        Ok(())
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

    pub(super) fn number(&self, host: HostId) -> Result<usize, SimError> {
        if host.net == self.id { Ok(host.number) } else { Err(SimError::OtherNetwork) }
    }
}
