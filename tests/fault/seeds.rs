//! Seeds of links whose first delay is drawn as a test wants it: keyed draws are a bijection of the seed.

use udp_retry::Seed;

/// The one seed of a link whose delay stage draws `draw` for the first datagram.
#[track_caller]
pub(crate) fn delaying(draw: u64) -> u64 {
    const DELAY: u64 = 6;
    let stage = unfinalized(unfinalized(draw)).wrapping_sub(GAMMA);
    let seed = unfinalized(unfinalized(stage).wrapping_sub(GAMMA.wrapping_mul(DELAY))).wrapping_sub(DERIVE);
    assert_eq!(Seed::new(seed).derive(DELAY).draw(0), draw);
    seed
}

/// The finalizer of the draws, backwards: its constants' inverses modulo 2⁶⁴.
fn unfinalized(mut x: u64) -> u64 {
    x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
    x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
    x ^ (x >> 30) ^ (x >> 60)
}

/// Newton's iteration doubles the correct bits, from three of an odd number.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))))
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
const DERIVE: u64 = 0xd1b5_4a32_d192_ed03;
