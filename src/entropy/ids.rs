use core::fmt;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::labels::ID_KEY;
use super::seed::Seed;

/// Unpredictable bytes, for ids and for the keys of hashes: the key stream of ChaCha20 (RFC 8439), with a key of
/// 256 bits and a nonce of zero.
///
/// No one who has seen any number of ids can foretell the next without the key. The bytes are made 256 at a time;
/// `cargo bench --bench transaction` prints what an id costs.
///
/// **A process that forks** copies the source with everything else: from then on parent and child draw the *same* ids,
/// and so do two runs of one snapshot of a virtual machine. Make the source, or the requester that holds one, in the
/// child. A source does not notice by itself: the number of the process is a system call (glibc has kept no copy of it
/// since 2.25), and costs twenty times as much as an id. A source cannot be cloned, as the clone would repeat its ids.
///
/// ```
/// use udp_retry::Seed;
/// use udp_retry::entropy::IdSource;
///
/// # fn main() -> std::io::Result<()> {
/// let mut ids = IdSource::from_key(&udp_retry::net::system_entropy()?);
/// let (mut one, mut other) = ([0; 8], [0; 8]);
/// ids.fill(&mut one);
/// ids.fill(&mut other);
/// assert_ne!(one, other);
///
/// // A test wants the same ids each time.
/// IdSource::from_seed(Seed::new(7)).fill(&mut one);
/// IdSource::from_seed(Seed::new(7)).fill(&mut other);
/// assert_eq!(one, other);
/// # Ok(())
/// # }
/// ```
pub struct IdSource(Bytes);

#[expect(clippy::large_enum_variant, reason = "the small one is made for one stamp and never stored")]
enum Bytes {
    Stream(ChaCha20Rng),
    /// These two, again and again.
    Pattern([u8; 2]),
}

impl IdSource {
    /// The source with this key, which has to come from the operating system, as
    /// `net::system_entropy` has it, or from as good a generator. Two sources with one
    /// key give the same ids.
    #[must_use]
    pub fn from_key(key: &[u8; 32]) -> Self {
        Self(Bytes::Stream(ChaCha20Rng::from_seed(*key)))
    }

    /// A source that repeats, for tests and for callers who set a seed.
    ///
    /// **It keeps no secret**: a seed has 64 bits, is printed in logs, and gives all ids to whoever knows it.
    #[must_use]
    pub fn from_seed(seed: Seed) -> Self {
        let family = seed.derive(ID_KEY);
        let mut key = [0; 32];
        for (n, bytes) in (0..).zip(key.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&family.draw(n).to_le_bytes());
        }
        Self::from_key(&key)
    }

    /// Fills `bytes` with the next of the stream, whose unit is four bytes: what is left of the last four is skipped.
    #[inline]
    pub fn fill(&mut self, bytes: &mut [u8]) {
        match &mut self.0 {
            Bytes::Stream(stream) => stream.fill_bytes(bytes),
            Bytes::Pattern(pattern) => bytes.iter_mut().zip(pattern.iter().cycle()).for_each(|(to, &from)| *to = from),
        }
    }

    /// What [`fill`](Self::fill) would write into eight bytes, as a number in little endian: in one step instead of two units.
    #[inline]
    pub(crate) fn number(&mut self) -> u64 {
        if let Bytes::Stream(stream) = &mut self.0 {
            return stream.next_u64();
        }
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// No source of ids, but the way to have a matcher write these bytes where it writes an id.
    pub(crate) fn pattern(bytes: [u8; 2]) -> Self {
        Self(Bytes::Pattern(bytes))
    }

    /// How much of the stream is used up, for [`rewind`](Self::rewind); in units of four bytes.
    pub(crate) fn position(&self) -> u64 {
        match &self.0 {
            // 2⁶⁶ bytes are never drawn.
            Bytes::Stream(stream) => u64::try_from(stream.get_word_pos()).unwrap_or(u64::MAX),
            Bytes::Pattern(_) => 0,
        }
    }

    /// Back to an earlier [`position`](Self::position), or forward to a later one, so that the same bytes come again.
    pub(crate) fn rewind(&mut self, position: u64) {
        if let Bytes::Stream(stream) = &mut self.0 {
            stream.set_word_pos(position.into());
        }
    }
}

impl fmt::Debug for IdSource {
    /// Nothing of the state: whoever reads a log could foretell the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdSource").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439, appendix A.1, vectors 1 and 2: key and nonce are zero, the block counter is 0 and 1. Vector 1 is also
    /// the TC1 of draft-strombergson-chacha-test-vectors for 256 bits and 20 rounds.
    #[test]
    fn the_stream_of_the_zero_key_is_the_published_one() {
        const PUBLISHED: &str = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
                                 da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586\
                                 9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
                                 29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
        let mut stream = [0; 128];
        IdSource::from_key(&[0; 32]).fill(&mut stream);
        assert_eq!(hex(&stream), PUBLISHED);
        // Drawn in parts it is the same stream.
        let mut source = IdSource::from_key(&[0; 32]);
        stream.chunks_mut(4).for_each(|part| source.fill(part));
        assert_eq!(hex(&stream), PUBLISHED);
    }

    #[test]
    fn the_ids_of_a_seed_are_pinned_and_those_of_no_other_seed() {
        // Computed apart from this code, in Python.
        assert_eq!(hex(&drawn::<16>(&mut IdSource::from_seed(Seed::new(7)))), "abfec1355eaa62430c657ded0c209123");
        let mut firsts: Vec<[u8; 8]> = (0..10_000).map(|n| drawn(&mut IdSource::from_seed(Seed::new(n)))).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 10_000);
    }

    #[test]
    fn every_bit_is_even_handed() {
        const IDS: u32 = 10_000;
        let mut source = IdSource::from_seed(Seed::new(1));
        let mut ones = [0_u32; 64];
        for _ in 0..IDS {
            let id = u64::from_be_bytes(drawn(&mut source));
            (0..64).for_each(|bit| ones[bit] += (id >> bit & 1) as u32);
        }
        // 6 sigma of a fair coin thrown 10,000 times is 300.
        assert!(ones.iter().all(|ones| ones.abs_diff(IDS / 2) <= 300), "{ones:?}");
    }

    #[test]
    fn a_number_is_what_eight_bytes_would_be_wherever_the_source_stands() {
        let [mut one, mut other] = [(); 2].map(|()| IdSource::from_seed(Seed::new(3)));
        for skipped in (0..500).map(|n| n % 5 * 4) {
            assert_eq!(one.number().to_le_bytes(), drawn::<8>(&mut other));
            let [mut bytes, mut same] = [[0; 16]; 2];
            one.fill(&mut bytes[..skipped]);
            other.fill(&mut same[..skipped]);
            assert_eq!((bytes, one.position()), (same, other.position()));
        }
        assert_eq!(IdSource::pattern([1, 2]).number(), 0x0201_0201_0201_0201);
    }

    #[test]
    fn a_source_rewound_gives_the_same_bytes_again_wherever_it_stood() {
        let mut source = IdSource::from_seed(Seed::new(1));
        let mut drawn_at = Vec::new();
        // Lengths that end within a unit, and enough for several of the stream's buffers.
        for len in (0..500).map(|n| n % 9) {
            let (position, mut bytes) = (source.position(), [0; 9]);
            source.fill(&mut bytes[..len]);
            drawn_at.push((position, len, bytes));
        }
        let end = source.position();
        for (position, len, bytes) in drawn_at.into_iter().rev() {
            let mut again = [0; 9];
            source.rewind(position);
            assert_eq!(source.position(), position);
            source.fill(&mut again[..len]);
            assert_eq!(again, bytes, "at {position}");
        }
        source.rewind(end);
        assert_eq!(source.position(), end);
    }

    #[test]
    fn a_source_is_as_large_as_its_buffer_and_its_key() {
        // 256 bytes of stream, 64 of state: one for a destination, so a box would only add a step to each draw.
        let size = size_of::<IdSource>();
        println!("{size}");
        assert!(size <= 352, "{size}");
    }

    #[test]
    fn a_pattern_repeats_its_two_bytes() {
        assert_eq!(drawn(&mut IdSource::pattern([1, 2])), [1, 2, 1, 2, 1]);
        assert_eq!(drawn(&mut IdSource::pattern([1, 2])), [1]);
    }

    #[test]
    fn nothing_of_the_state_is_shown() {
        let shown = format!("{:?}", IdSource::from_key(&[0x5a; 32]));
        assert_eq!(shown, "IdSource { .. }");
    }

    fn drawn<const N: usize>(source: &mut IdSource) -> [u8; N] {
        let mut bytes = [0; N];
        source.fill(&mut bytes);
        bytes
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
