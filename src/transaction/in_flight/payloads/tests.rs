use super::*;
use crate::size::IpFamily;

#[test]
fn every_length_goes_into_a_block_that_is_at_most_a_quarter_too_large() {
    let mut payloads = Payloads::new(0);
    let bytes = vec![0xa5; 65_536];
    for len in 0..=65_507 {
        let place = payloads.keep(&bytes[..len]).unwrap();
        let block = block_bytes(place.class());
        assert!(len <= block && block <= CHUNK_BYTES, "{len} in {block}");
        assert!(block <= 16 || block - len < len.div_ceil(4), "{len} in {block}");
        assert_eq!(payloads.get(place), &bytes[..len]);
        payloads.release(place);
    }
    assert_eq!(payloads.keep(&bytes[..65_508]), None);
    assert_eq!(payloads.keep(&bytes[..65_536]), None);
    assert_eq!(payloads.bytes_held(), 65_536);
    assert_eq!(size_of::<Place>(), 8);
}

#[test]
fn the_sizes_are_a_quarter_apart() {
    let sizes: Vec<_> = (0..CLASSES as u8).map(block_bytes).collect();
    assert_eq!(sizes[..11], [16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96]);
    assert_eq!(sizes[43..], [28_672, 32_768, 40_960, 49_152, 57_344, 65_536]);
    for (class, &size) in sizes.iter().enumerate() {
        let size = size.min(65_507) as u16;
        assert_eq!(usize::from(class_of(size)), class);
        assert_eq!(usize::from(class_of(size - 1)), class);
        assert!(class == 48 || usize::from(class_of(size + 1)) == class + 1);
    }
}

#[test]
fn the_limit_counts_chunks_of_64_kib_and_is_never_less_than_one() {
    for (most_bytes, chunks) in [(0, 1), (65_535, 1), (65_536, 1), (131_071, 1), (131_072, 2), (700_000, 10)] {
        let mut payloads = Payloads::new(most_bytes);
        let mut places: Vec<_> = core::iter::from_fn(|| payloads.keep(&[7; 33])).collect();
        assert_eq!(places.len(), chunks * (65_536 / 40), "within {most_bytes}");
        assert_eq!(payloads.bytes_held(), chunks * 65_536);
        // One more for each that goes, wherever it was.
        for count in [1, 2, 700] {
            for _ in 0..count {
                payloads.release(places.swap_remove(places.len() / 3));
            }
            places.extend((0..count).map(|_| payloads.keep(&[9; 40]).unwrap()));
            assert_eq!(payloads.keep(&[9; 40]), None);
        }
    }
    assert_eq!(Payloads::new(usize::MAX).most_chunks, 1 << 20);
}

#[test]
fn small_requests_that_have_ended_leave_their_chunks_to_large_ones() {
    let mut payloads = Payloads::new(4 * 65_536);
    for len in [16, 1_200, 65_507, 20, 16, 30_000] {
        let bytes = vec![len as u8; len];
        let places: Vec<_> = core::iter::from_fn(|| payloads.keep(&bytes)).collect();
        assert_eq!(places.len(), 4 * (65_536 / block_bytes(class_of(len as u16))));
        assert_eq!(payloads.keep(&[1; 300]), None);
        assert!(places.iter().all(|&place| payloads.get(place) == bytes));
        places.into_iter().for_each(|place| payloads.release(place));
    }
    assert_eq!(payloads.bytes_held(), 4 * 65_536);
}

/// Each time that a chunk is full, or has a block again, it changes its list.
#[test]
fn free_blocks_spread_over_the_chunks_instead_of_filling_one_that_was_full_a_moment_ago() {
    let mut payloads = Payloads::new(4 * CHUNK_BYTES);
    let blocks = CHUNK_BYTES / 32;
    let mut places: Vec<_> = (0..blocks * 7 / 2).map(|_| payloads.keep(&[7; 32]).unwrap()).collect();
    let full = |payloads: &Payloads| payloads.chunks.iter().map(|chunk| chunk.is_full()).collect::<Vec<_>>();
    assert_eq!(full(&payloads), [true, true, true, false]);
    let (mut chance, mut changes) = (Chance(3), 0);
    for turn in 0..40_000 {
        let before = full(&payloads);
        payloads.release(places.swap_remove(chance.below(places.len())));
        let between = full(&payloads);
        places.push(payloads.keep(&[9; 32]).unwrap());
        let changed = |one: &[bool], other: &[bool]| one.iter().zip(other).filter(|(one, other)| one != other).count();
        if turn >= 20_000 {
            changes += changed(&before, &between) + changed(&between, &full(&payloads));
        }
    }
    println!("{changes} changes");
    assert!((1..2_000).contains(&changes), "{changes}");
}

#[test]
fn a_block_that_is_released_in_a_chunk_of_another_class_changes_nothing() {
    let mut payloads = Payloads::new(0);
    let old = payloads.keep(&[1; 16]).unwrap();
    payloads.release(old);
    payloads.release(old);
    let place = payloads.keep(&[2; 1_200]).unwrap();
    payloads.release(old);
    assert_eq!(payloads.get(place), [2; 1_200]);
    assert_eq!(core::iter::from_fn(|| payloads.keep(&[3; 1_200])).count(), 65_536 / 1_280 - 1);
}

/// Random loads, small and large, near the limit and far from it, against a list of what should be kept.
#[test]
fn what_is_kept_stays_as_it_is_until_it_is_released() {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let (chunks, longest) = (1 + chance.below(12), [40, 1_500, 65_508][chance.below(3)]);
        let mut payloads = Payloads::new(chunks * CHUNK_BYTES);
        let mut kept: Vec<(Place, Vec<u8>)> = Vec::new();
        for step in 0..2_000 {
            let ebb = step / 400 % 2;
            if chance.below(8) < 5 - 2 * ebb {
                let len = chance.below(longest);
                let bytes = vec![chance.below(256) as u8; len];
                match payloads.keep(&bytes) {
                    Some(place) => kept.push((place, bytes)),
                    None => assert!(payloads.bytes_held() == chunks * CHUNK_BYTES, "seed {seed}"),
                }
            } else if !kept.is_empty() {
                let (place, bytes) = kept.swap_remove(chance.below(kept.len()));
                assert_eq!(payloads.get(place), bytes, "seed {seed}");
                payloads.release(place);
            }
            if let Some((place, bytes)) = kept.last_mut().filter(|(_, bytes)| !bytes.is_empty()) {
                payloads.get_mut(*place)[0] ^= 0x55;
                bytes[0] ^= 0x55;
            }
        }
        assert!(kept.iter().all(|(place, bytes)| payloads.get(*place) == bytes), "seed {seed}");
        check_chunks(&payloads, &kept, seed);
    }
}

/// Every chunk counts its blocks, and stands in the list that it belongs to.
fn check_chunks(payloads: &Payloads, kept: &[(Place, Vec<u8>)], seed: u64) {
    let listed = |mut number: u32| {
        core::iter::from_fn(move || {
            let this = payloads.chunks.get(number as usize)?;
            Some((core::mem::replace(&mut number, this.next), this))
        })
    };
    let mut lists = vec![0; payloads.chunks.len()];
    for class in 0..CLASSES {
        for (number, chunk) in listed(payloads.with_free_block[class]) {
            lists[number as usize] += 1;
            assert!(usize::from(chunk.class) == class && chunk.used > 0 && !chunk.is_full(), "seed {seed}");
        }
    }
    for (number, chunk) in listed(payloads.empty) {
        lists[number as usize] += 1;
        assert_eq!(chunk.used, 0, "seed {seed}");
    }
    for (number, chunk) in payloads.chunks.iter().enumerate() {
        let used = kept.iter().filter(|(place, _)| (place.block() >> BLOCK_BITS) as usize == number);
        assert_eq!(used.count(), usize::from(chunk.used), "seed {seed}");
        assert_eq!(lists[number], i32::from(chunk.used == 0 || !chunk.is_full()), "seed {seed}");
    }
}

#[test]
fn the_longest_payload_is_that_of_the_crate() {
    assert_eq!(usize::from(LONGEST), IpFamily::V4.max_plpmtu().bytes());
}

/// A Weyl sequence, mixed once.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 29)) % bound as u64) as usize
    }
}
