//! Seeds that survive other programs: many of those that read JSON hold every number as a float of 64 bits.

use std::io;

use serde_json::Value;
use udp_retry::Seed;
use udp_retry::net::system_seed;

/// One that no such program changes.
pub(crate) fn drawn() -> io::Result<Seed> {
    Ok(Seed::new(system_seed()?.number() % EXACT))
}

/// For `clap`.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

/// A number, or where a float would not hold it a string, which is given back to `--seed` just as well.
pub(crate) fn json(seed: u64) -> Value {
    if seed < EXACT { seed.into() } else { seed.to_string().into() }
}

/// From here on not all whole numbers are floats (RFC 8259 section 6).
const EXACT: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_the_same_as_a_float_and_as_a_number_of_json() {
        let seeds: Vec<u64> = (0..64).map(|_| drawn().unwrap().number()).collect();
        for &seed in &seeds {
            assert_eq!((seed as f64 as u64, json(seed)), (seed, Value::from(seed)));
        }
        // By chance all 64 are this small once in 2^64 runs.
        assert!(seeds.iter().any(|&seed| seed >= EXACT / 2), "{seeds:?}");
    }

    #[test]
    fn what_a_float_would_change_is_a_string() {
        assert_eq!(json(EXACT - 1), Value::from(9_007_199_254_740_991_u64));
        assert_eq!(json(EXACT), Value::from("9007199254740992"));
        assert_eq!(json(u64::MAX), Value::from("18446744073709551615"));
    }
}
