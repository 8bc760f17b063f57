use super::Link;
use super::stats::LinkStats;
use crate::entropy::Seed;
use crate::fault::capacity::Admission;
use crate::fault::direction::Direction;
use crate::fault::impairment::profile::Profile;
use crate::fault::record::Record;
use crate::size::IpFamily;
use crate::time::Timestamp;

/// Both directions of the path of client number `ordinal`, in the order of first appearance.
#[derive(Debug)]
pub(crate) struct LinkPair {
    ordinal: u64,
    to_server: Link,
    to_client: Link,
}

impl LinkPair {
    pub(crate) fn new(profile: &Profile, seed: Seed, ordinal: u64) -> Self {
        let link =
            |direction: Direction| Link::new(profile.direction(direction).clone(), direction.link_seed(seed, ordinal));
        Self { ordinal, to_server: link(Direction::ToServer), to_client: link(Direction::ToClient) }
    }

    /// Counts the times of outages and changes from this moment.
    pub(crate) fn since(self, origin: Timestamp) -> Self {
        let Self { ordinal, to_server, to_client } = self;
        Self { ordinal, to_server: to_server.since(origin), to_client: to_client.since(origin) }
    }

    /// Counts headers as between addresses of these families.
    pub(crate) fn over(self, server_side: IpFamily, client_side: IpFamily) -> Self {
        let Self { ordinal, to_server, to_client } = self;
        Self { ordinal, to_server: to_server.over(server_side), to_client: to_client.over(client_side) }
    }

    /// The service is reached by this family of addresses from now on.
    #[cfg(feature = "proxy")]
    pub(crate) fn set_server_side(&mut self, family: IpFamily) {
        self.to_server.family = family;
    }

    /// Decides over a datagram of `len` bytes in one direction, of which copies can be kept as far as there is capacity.
    pub(crate) fn transmit(
        &mut self,
        direction: Direction,
        now: Timestamp,
        len: usize,
        mut capacity: Admission,
    ) -> Record {
        let ordinal = self.ordinal;
        let link = self.link_mut(direction);
        let fate = link.transmit_len(now, len, |copy| capacity.admits(copy));
        Record { link: ordinal, direction, n: link.stats().received, at: now, len, fate }
    }

    pub(crate) fn reconfigure(&mut self, profile: &Profile) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            self.link_mut(direction).reconfigure(profile.direction(direction).clone());
        }
    }

    /// Nothing waits any more, and nothing is in flight.
    pub(crate) fn release(&mut self, direction: Direction) {
        self.link_mut(direction).release();
    }

    pub(crate) fn stats(&self, direction: Direction) -> &LinkStats {
        match direction {
            Direction::ToServer => self.to_server.stats(),
            Direction::ToClient => self.to_client.stats(),
        }
    }

    fn link_mut(&mut self, direction: Direction) -> &mut Link {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}
