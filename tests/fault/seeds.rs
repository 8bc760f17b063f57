//! Seeds of links whose first delay is drawn as a test wants it: keyed draws are a bijection of the seed.

use udp_retry::Seed;

use crate::unmixed::{GAMMA, unfinalized};

/// The one seed of a link whose delay stage draws `draw` for the first datagram.
#[track_caller]
pub(crate) fn delaying(draw: u64) -> u64 {
    const DELAY: u64 = 6;
    let stage = unfinalized(unfinalized(draw)).wrapping_sub(GAMMA);
    let seed = unfinalized(unfinalized(stage).wrapping_sub(GAMMA.wrapping_mul(DELAY))).wrapping_sub(DERIVE);
    assert_eq!(Seed::new(seed).derive(DELAY).draw(0), draw);
    seed
}

const DERIVE: u64 = 0xd1b5_4a32_d192_ed03;
