//! The mixer of [`Seed`](udp_retry::Seed), backwards: which value a draw came from.

pub(crate) const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of the draws, backwards: its constants' inverses modulo 2⁶⁴.
pub(crate) fn unfinalized(mut x: u64) -> u64 {
    x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
    x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
    x ^ (x >> 30) ^ (x >> 60)
}

/// Newton's iteration doubles the correct bits, from three of an odd number.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))))
}
