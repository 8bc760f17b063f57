use core::fmt;

use crate::entropy::Seed;
use crate::fault::control::{Changed, Control, Seen};
use crate::fault::direction::Direction;
use crate::fault::impairment::profile::Profile;
use crate::fault::link::fate::{DropCause, Fate};
use crate::fault::link::link_pair::LinkPair;
use crate::fault::link::stats::LinkStats;
use crate::fault::link::transit::Transit;
use crate::fault::recent::Recent;
use crate::fault::record::{FateObserver, Record};
use crate::size::IpFamily;
use crate::time::Timestamp;

/// The links to each peer, made when it first appears: which fate which datagram meets.
pub(super) struct PeerLinks<P> {
    seed: Seed,
    /// When the sink was made.
    origin: Timestamp,
    pub(super) family: IpFamily,
    control: Control,
    control_seen: Seen,
    profile: Profile,
    links: Recent<P, LinkPair>,
    /// How many peers there have been.
    ordinal: u64,
    /// The counts of peers that were forgotten, to the server and to the client.
    forgotten: [LinkStats; 2],
    pub(super) observer: Option<FateObserver<P>>,
}

impl<P: Copy + Ord> PeerLinks<P> {
    pub(super) fn new(profile: Profile, seed: Seed, origin: Timestamp) -> Self {
        Self {
            seed,
            origin,
            family: IpFamily::V4,
            control: Control::new(profile.clone()),
            control_seen: Seen::default(),
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

    /// Takes over what the control has changed; returns the directions in which what is in flight is to leave at once.
    #[inline]
    pub(super) fn follow_control(&mut self) -> [Option<Direction>; 2] {
        let Some(Changed { profile, released }) = self.control.changed(&mut self.control_seen) else {
            return [None, None];
        };
        self.profile = profile;
        for links in self.links.values_mut() {
            links.reconfigure(&self.profile);
            released.into_iter().flatten().for_each(|direction| links.release(direction));
        }
        released
    }

    /// What becomes of a datagram, which `transit` takes then, as far as it has capacity: what is due by `direct` needs none.
    pub(super) fn decide<K: Copy>(
        &mut self,
        direction: Direction,
        peer: P,
        now: Timestamp,
        len: usize,
        direct: Option<Timestamp>,
        transit: &mut Transit<P, K>,
    ) -> Record {
        let place = self.place(peer);
        // A place that was just found is there.
        let Some(links) = self.links.get_mut(place) else {
            return Record { link: self.ordinal, direction, n: 0, at: now, len, fate: Fate::Dropped(DropCause::Loss) };
        };
        let record = links.transmit(direction, now, len, transit.line.admission(peer, direct));
        if let Some(observer) = &mut self.observer {
            transit.observed(&record.fate, || observer(peer, &record));
        }
        record
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
        let links = links.since(self.origin).over(self.family, self.family);
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
