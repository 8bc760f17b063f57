//! The label of every family of draws, in one table, so that no two families of one seed share a draw.
//!
//! ```text
//! seed ─┬─ draw(slot)                              an interval of the request with this seed
//!       ├─ START_DELAY ─ draw(0)                   its start delay
//!       ├─ ID_KEY ─ draw(0..4)                     the key of ids that are to be repeatable
//!       ├─ REQUESTS ─ draw(n)                      the seed of a requester's request n
//!       ├─ GROUPS ─ draw(n)                        the seed of the choices in a requester's group n
//!       ├─ SERVER_TIES ─ draw(n)                   the n-th choice among equal servers
//!       ├─ SERVER_RANKS ─ draw(index)              which server sticks, which is first in turn
//!       ├─ NET_ENTROPY ─ n ─ draw(0..4)            the n-th key that a simulated network gives out
//!       ├─ TO_SERVER, TO_CLIENT ─ ordinal          the seed of a client's link
//!       └─ LOSS ─┬─ draw(n)                        the fate of a link's datagram n, by stage
//!          │     └─ TRANSITION, START ─ draw(n)
//!          ├─ DUPLICATE ─ draw(n)
//!          ├─ DELAY, LATENESS ─┬─ draw(n)
//!          │                   └─ ANGLE ─ draw(n)
//!          ├─ TRUNCATE ─ copy ─┬─ draw(n)
//!          │                   └─ PLACES ─ draw(n)
//!          ├─ CORRUPT ─ copy ─┬─ draw(n)
//!          │                  └─ PLACES ─ n ─ draw(flip)
//!          └─ REORDER ─ draw(n)
//! ```
//!
//! A label never changes: it is part of what a seed promises.

// Of a link. Ends one level above the next family, so that the directions may repeat two of the numbers.
pub(crate) const LOSS: u64 = 1;
pub(crate) const DUPLICATE: u64 = 2;
pub(crate) const LATENESS: u64 = 3;
pub(crate) const TRUNCATE: u64 = 4;
pub(crate) const CORRUPT: u64 = 5;
pub(crate) const DELAY: u64 = 6;
pub(crate) const REORDER: u64 = 7;

// Below a stage of a link.
pub(crate) const TRANSITION: u64 = 1;
pub(crate) const START: u64 = 2;
pub(crate) const ANGLE: u64 = 1;
pub(crate) const PLACES: u64 = 1;

// Of a path. Below them lie seeds of links, which draw nothing themselves, only through their stages.
pub(crate) const TO_SERVER: u64 = 1;
pub(crate) const TO_CLIENT: u64 = 2;

// Of a request and of a requester.
pub(crate) const START_DELAY: u64 = 8;
pub(crate) const ID_KEY: u64 = 9;
pub(crate) const REQUESTS: u64 = 10;
pub(crate) const GROUPS: u64 = 14;

// Of a simulated network, whose paths derive from its seed as well.
#[cfg(any(test, feature = "sim"))]
pub(crate) const NET_ENTROPY: u64 = 11;

// Of a set of servers.
pub(crate) const SERVER_TIES: u64 = 12;
pub(crate) const SERVER_RANKS: u64 = 13;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;

    /// The families of a seed that draw by a number, as the labels that lead to each.
    fn families() -> Vec<Vec<u64>> {
        let mut families = vec![
            vec![],
            vec![START_DELAY],
            vec![ID_KEY],
            vec![REQUESTS],
            vec![GROUPS],
            vec![SERVER_TIES],
            vec![SERVER_RANKS],
        ];
        families.extend((0..4).map(|n| vec![NET_ENTROPY, n]));
        families.extend(of_link(&[]));
        for direction in [TO_SERVER, TO_CLIENT] {
            for ordinal in 0..4 {
                families.extend(of_link(&[direction, ordinal]));
            }
        }
        families
    }

    fn of_link(link: &[u64]) -> Vec<Vec<u64>> {
        let mut stages = vec![
            vec![LOSS],
            vec![LOSS, TRANSITION],
            vec![LOSS, START],
            vec![DUPLICATE],
            vec![LATENESS],
            vec![LATENESS, ANGLE],
            vec![DELAY],
            vec![DELAY, ANGLE],
            vec![REORDER],
        ];
        for copy in 0..2 {
            stages.extend([vec![TRUNCATE, copy], vec![TRUNCATE, copy, PLACES], vec![CORRUPT, copy]]);
            stages.extend((0..4).map(|datagram| vec![CORRUPT, copy, PLACES, datagram]));
        }
        stages.iter().map(|stage| [link, stage].concat()).collect()
    }

    #[test]
    fn no_two_families_of_one_seed_share_a_draw() {
        let families = families();
        assert!(families.len() > 200, "only {} families", families.len());
        for number in 0..10_000 {
            let drawn = |labels: &Vec<u64>| {
                let family = labels.iter().fold(Seed::new(number), |seed, &label| seed.derive(label));
                (0..4).map(move |sequence| family.draw(sequence))
            };
            let mut draws: Vec<u64> = families.iter().flat_map(drawn).collect();
            draws.sort_unstable();
            let shared = draws.windows(2).filter(|pair| pair[0] == pair[1]).count();
            assert_eq!(shared, 0, "draws that two families share, seed {number}");
        }
    }
}
