use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::key::RequestKey;

/// What a request is recognised by: 128 bits of a keyed hash of its key. No one can find two requests with the same tag
/// without the key of the hash, and by chance none have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tag(u64, u64);

impl Tag {
    /// The part that the index goes by, of 31 bits.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a part of it")]
    pub(super) fn fragment(self) -> u32 {
        self.0 as u32 >> 1
    }

    /// The part that stands before a reply: all bits that are not below 32.
    #[inline]
    pub(super) fn rest(self) -> [u8; REST] {
        let mut rest = [0; REST];
        let (low, high) = rest.split_at_mut(4);
        low.copy_from_slice(&((self.0 >> 32) as u32).to_le_bytes());
        high.copy_from_slice(&self.1.to_le_bytes());
        rest
    }

    /// The part that a ticket has.
    #[inline]
    pub(super) fn check(self) -> u64 {
        self.1
    }
}

/// Bytes of [`Tag::rest`].
pub(super) const REST: usize = 12;

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
        let mut bytes = Bytes { array: [0; SHORT], len: 0 };
        let is_short = key.id.len() + key.besides.len() <= SHORT - LONGEST_PEER;
        // Without the length of the id a byte could move from it to what is besides.
        let form = if is_short { (key.id.len() as u64) << 3 } else { LONG };
        match key.peer {
            _ if key.any_peer => bytes.add(&(form | ANY_PEER).to_le_bytes()),
            SocketAddr::V4(peer) => {
                let address = u64::from(u32::from(*peer.ip())) << 32;
                bytes.add(&(address | u64::from(peer.port()) << 16 | form | V4).to_le_bytes());
            }
            SocketAddr::V6(peer) => {
                let scope = u64::from(peer.scope_id()) << 32;
                bytes.add(&(scope | u64::from(peer.port()) << 16 | form | V6).to_le_bytes());
                bytes.add(&peer.ip().octets());
            }
        }
        let hash = if is_short {
            // In one piece, in half the time.
            bytes.add(key.id);
            bytes.add(key.besides);
            self.requests.hash(bytes.get())
        } else {
            let mut hash = self.requests;
            hash.write(bytes.get());
            hash.write(&(key.id.len() as u64).to_le_bytes());
            hash.write(key.id);
            hash.write(key.besides);
            hash.finish128()
        };
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

/// What is hashed, as far as it is short.
struct Bytes {
    array: [u8; SHORT],
    len: usize,
}

impl Bytes {
    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        if let Some(place) = self.array.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    #[inline]
    fn get(&self) -> &[u8] {
        self.array.get(..self.len).unwrap_or_default()
    }
}

const SHORT: usize = 64;
/// With an IPv6 address.
const LONGEST_PEER: usize = 8 + 16;
/// Of a length that stands on its own.
const LONG: u64 = 1 << 15;
const ANY_PEER: u64 = 0;
const V4: u64 = 4;
const V6: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_differ_as_keys_do_whatever_their_length() {
        let tags = Tags::new(&core::array::from_fn(|n| n as u8));
        let bytes: Vec<u8> = (0..=255).collect();
        let mut seen = Vec::new();
        for peer in
            ["192.0.2.1:7", "192.0.2.1:8", "192.0.2.2:7", "[::1]:7", "[::2]:7", "[fe80::1%1]:7", "[fe80::1%2]:7"]
        {
            let peer = peer.parse().unwrap();
            for len in 1..100 {
                for split in [0, 1, len / 2, len - 1] {
                    let (id, besides) = bytes[..len].split_at(len - split);
                    seen.push(tags.of_request(&RequestKey::new(peer, id).and(besides)));
                }
            }
        }
        for len in 1..100 {
            let of =
                |peer: &str| tags.of_request(&RequestKey::new(peer.parse().unwrap(), &bytes[..len]).from_any_peer());
            assert_eq!(of("192.0.2.1:7"), of("[::1]:8"));
            seen.push(of("192.0.2.1:7"));
        }
        let distinct = |tags: &[Tag]| {
            let mut tags: Vec<_> = tags.iter().map(|tag| (tag.0, tag.1)).collect();
            tags.sort_unstable();
            tags.dedup();
            tags.len()
        };
        // For lengths of 1, 2 and 3 some of the splits are the same.
        assert_eq!(distinct(&seen), 7 * (99 * 4 - 3 - 1 - 1) + 99);
    }

    #[test]
    fn fragment_and_rest_distinguish_tags_by_all_of_their_bits_but_one() {
        let parts = |tag: Tag| (tag.fragment(), tag.rest());
        let tag = Tag(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        for bit in 0..64 {
            assert_eq!(parts(Tag(tag.0 ^ 1 << bit, tag.1)) == parts(tag), bit == 0, "bit {bit}");
            assert_ne!(parts(Tag(tag.0, tag.1 ^ 1 << bit)), parts(tag), "bit {bit} of the second half");
        }
    }

    #[test]
    fn a_tag_is_the_same_hash_in_one_piece_and_in_several() {
        let tags = Tags::new(&core::array::from_fn(|n| n as u8));
        let bytes: Vec<u8> = (0..200).collect();
        for len in [0_u8, 1, 31, 32, 33, 40, 41, 64, 100] {
            let peer: SocketAddr = "[2001:db8::1]:7".parse().unwrap();
            let tag = tags.of_request(&RequestKey::new(peer, &bytes[..len.into()]));
            // The length of a short id stands before the peer.
            let [low, high] = if len <= 40 { (u16::from(len) << 3 | 6).to_le_bytes() } else { [6, 0x80] };
            let mut message = vec![low, high, 7, 0, 0, 0, 0, 0];
            message.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            if len > 40 {
                message.extend(u64::from(len).to_le_bytes());
            }
            message.extend(&bytes[..len.into()]);
            let hash = tags.requests.hash(&message);
            assert_eq!(tag, Tag(hash.h1, hash.h2), "{len} bytes");
        }
    }

    #[test]
    fn an_address_or_a_64_has_one_share() {
        let tags = Tags::new(&[7; 32]);
        let share = |peer: &str| tags.share(&peer.parse().unwrap());
        assert_eq!(share("192.0.2.1:7"), share("[::ffff:192.0.2.1]:8"));
        assert_eq!(share("[2001:db8::1]:7"), share("[2001:db8::2]:8"));
        assert_ne!(share("[2001:db8::1]:7"), share("[2001:db8:0:1::1]:7"));
        assert_ne!(share("192.0.2.1:7"), share("192.0.2.2:7"));
    }
}
