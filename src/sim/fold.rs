use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

/// Mixes one word more into a digest: for what is compared and looked up, not for draws.
///
/// A wide multiplication whose halves are put together; the constants are digits of pi.
#[inline]
pub(super) fn fold(digest: u64, word: u64) -> u64 {
    let product = u128::from(digest ^ 0x243f_6a88_85a3_08d3) * u128::from(word ^ 0x1319_8a2e_0370_7344);
    #[expect(clippy::cast_possible_truncation, reason = "one half after the other")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// A map whose order means nothing: it is looked up and never walked through. Its keys are the scenario's own, so no one
/// makes them collide on purpose.
pub(super) type Lookup<K, V> = HashMap<K, V, BuildHasherDefault<Folded>>;

/// The digest of a key.
#[derive(Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.write_u64(chunk.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        }
    }

    #[inline]
    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0, word);
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use core::hash::BuildHasher;
    use core::net::SocketAddr;

    use super::*;

    /// By the birthday problem half a collision is due among 65,536 digests of 32 bits each.
    #[test]
    fn addresses_and_ports_in_a_row_spread_over_both_halves_of_the_digest() {
        let build = BuildHasherDefault::<Folded>::default();
        let digests = || {
            (0..1_u32 << 16).map(|n| {
                let address: SocketAddr = ([10, 0, (n >> 12) as u8, (n >> 4) as u8], 40_000 + (n & 15) as u16).into();
                build.hash_one(address)
            })
        };
        for half in [|digest: u64| digest >> 32, |digest: u64| digest & u64::from(u32::MAX)] {
            let mut all: Vec<u64> = digests().map(half).collect();
            all.sort_unstable();
            all.dedup();
            assert!(all.len() + 8 >= 1 << 16, "{} of {}", all.len(), 1 << 16);
        }
    }
}
