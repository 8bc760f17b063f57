use core::fmt;

use crate::entropy::Seed;
use crate::fault::control::Control;
use crate::fault::direction::Direction;
use crate::fault::impairment::profile::Profile;
use crate::fault::link::fate::{DropCause, Fate};
use crate::fault::link::link_pair::LinkPair;
use crate::fault::link::stats::LinkStats;
use crate::fault::link::transit::Transit;
use crate::fault::recent::Recent;
use crate::fault::record::FateObserver;
use crate::time::Timestamp;

/// The links to each peer, made when it first appears: which fate which datagram meets.
pub(super) struct PeerLinks<P> {
    seed: Seed,
    control: Control,
    control_seen: u64,
    profile: Profile,
    links: Recent<P, LinkPair>,
    /// How many peers there have been.
    ordinal: u64,
    /// The counts of peers that were forgotten, to the server and to the client.
    forgotten: [LinkStats; 2],
    pub(super) observer: Option<FateObserver<P>>,
}

impl<P: Copy + Ord> PeerLinks<P> {
    pub(super) fn new(profile: Profile, seed: Seed) -> Self {
        Self {
            seed,
            control: Control::new(profile.clone()),
            control_seen: 0,
            profile,
            links: Recent::new(),
            ordinal: 0,
            forgotten: [LinkStats::NONE; 2],
            observer: None,
        }
    }

    #[cfg(feature = "std")]
    pub(super) fn control(&self) -> Control {
        self.control.clone()
    }

    /// What becomes of a datagram, which `transit` takes then.
    pub(super) fn decide<K: Copy>(
        &mut self,
        direction: Direction,
        peer: P,
        now: Timestamp,
        len: usize,
        transit: &mut Transit<K>,
    ) -> Fate {
        if let Some(profile) = self.control.changed(&mut self.control_seen) {
            self.profile = profile;
            for links in self.links.values_mut() {
                links.reconfigure(&self.profile);
            }
        }
        let place = self.place(peer);
        // A place that was just found is there.
        let Some(links) = self.links.get_mut(place) else { return Fate::Dropped(DropCause::Loss) };
        let record = links.transmit(direction, now, len);
        if let Some(observer) = &mut self.observer {
            transit.observed(&record.fate, || observer(peer, &record));
        }
        record.fate
    }

    /// Where the links of a peer are. A new peer beyond the limit replaces the least recently active one.
    fn place(&mut self, peer: P) -> usize {
        if let Some(place) = self.links.find(peer) {
            self.links.touch(place);
            return place;
        }
        if self.links.len() >= MOST_PEERS {
            let oldest = self.links.oldest().map(|(place, _)| place);
            if let Some(links) = oldest.and_then(|place| self.links.remove(place)) {
                let [to_server, to_client] = &mut self.forgotten;
                *to_server += *links.stats(Direction::ToServer);
                *to_client += *links.stats(Direction::ToClient);
            }
        }
        let links = LinkPair::new(&self.profile, self.seed, self.ordinal);
        self.ordinal += 1;
        self.links.insert(peer, links)
    }

    /// The counts of all peers, of one direction.
    pub(super) fn stats(&self, direction: Direction) -> LinkStats {
        let [to_server, to_client] = self.forgotten;
        let mut stats = if direction == Direction::ToServer { to_server } else { to_client };
        for links in self.links.values() {
            stats += *links.stats(direction);
        }
        stats
    }
}

impl<P> fmt::Debug for PeerLinks<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, seed, ordinal, .. } = self;
        f.debug_struct("PeerLinks").field("profile", profile).field("seed", seed).field("peers", ordinal).finish()
    }
}

const MOST_PEERS: usize = 1024;
