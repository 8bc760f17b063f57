use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::key::RequestKey;

/// What a request is recognised by: 128 bits of a keyed hash of its key. No one can find two requests with the same tag
/// without the key of the hash, and by chance none have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tag(u64, u64);

impl Tag {
    /// The part that the index goes by.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a part of it")]
    pub(super) fn fragment(self) -> u32 {
        self.0 as u32
    }

    /// The part that a ticket has.
    #[inline]
    pub(super) fn check(self) -> u64 {
        self.1
    }
}

/// Makes tags of requests, and shares of peers.
pub(super) struct Tags {
    requests: SipHasher13,
    peers: SipHasher13,
}

impl Tags {
    /// A half of the secret for each, so that nothing that is seen of the one says anything about the other.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let [requests, peers] =
            [&secret.first_chunk(), &secret.last_chunk()].map(|key| SipHasher13::new_with_key(key.unwrap_or(&[0; 16])));
        Self { requests, peers }
    }

    #[inline]
    pub(super) fn of_request(&self, key: &RequestKey<'_>) -> Tag {
        let mut hash = self.requests;
        match key.peer {
            _ if key.any_peer => hash.write_u64(ANY_PEER),
            SocketAddr::V4(peer) => {
                let address = u64::from(u32::from(*peer.ip())) << 32;
                hash.write_u64(address | u64::from(peer.port()) << 16 | V4);
            }
            SocketAddr::V6(peer) => {
                hash.write_u64(u64::from(peer.scope_id()) << 32 | u64::from(peer.port()) << 16 | V6);
                hash.write(&peer.ip().octets());
            }
        }
        // Else a byte could move from the one to the other.
        hash.write_u64(key.id.len() as u64);
        hash.write(key.id);
        hash.write(key.besides);
        let hash = hash.finish128();
        Tag(hash.h1, hash.h2)
    }

    /// Which of the shares is the peer's: an IPv4 address has one, and so has a /64 of IPv6, all of which is one host's. Several
    /// may have the same, and no one can choose which.
    #[expect(clippy::cast_possible_truncation, reason = "a part of it")]
    pub(super) fn share(&self, peer: &SocketAddr) -> u16 {
        let mut hash = self.peers;
        match peer.ip().to_canonical() {
            IpAddr::V4(ip) => hash.write(&ip.octets()),
            IpAddr::V6(ip) => hash.write(ip.octets().first_chunk::<8>().unwrap_or(&[0; 8])),
        }
        hash.finish128().h1 as u16
    }
}

const ANY_PEER: u64 = 0;
const V4: u64 = 4;
const V6: u64 = 6;
