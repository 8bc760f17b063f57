use super::impairments::Impairments;
use crate::fault::direction::Direction;

/// A path: what each of its two directions does.
///
/// | name | direction | rate | queue | one-way delay | loss, mean burst | source |
/// |---|---|---|---|---|---|---|
/// | `book_half` | requests | | | | 50 % | the listing of the book |
/// | `lan` | both | 1 Gbit/s | 50 ms | 0.1 ms | | ours |
/// | `lte` | requests | 10 Mbit/s | 200 ms | 25 ± 8 ms | 0.5 %, 2 | ours, between the tiers that Firefox and Loadero publish |
/// |  | replies | 30 Mbit/s | 200 ms | 25 ± 8 ms | 0.5 %, 2 | |
/// | `wifi_lossy` | requests | 10 Mbit/s | 100 ms | 10 ± 10 ms | 5 %, 2 | loss and burst near str0m's "lossy wifi" (4.76 %, 2); the rest ours |
/// |  | replies | 20 Mbit/s | 100 ms | 10 ± 10 ms | 5 %, 2 | |
/// | `geo_satellite` | requests | 3 Mbit/s | 300 ms | 300 ± 15 ms | 1 %, 3 | ours; a geostationary round trip is some 560 ms at least |
/// |  | replies | 15 Mbit/s | 300 ms | 300 ± 15 ms | 1 %, 3 | |
/// | `evil` | both | | | exponential, mean 50 ms | 20 %, 4 | ours; also duplicates 10 % up to 5 s late, corrupts 1 %, truncates 0.5 %, holds 10 % back by 100 ms |
///
/// Jitter keeps the order of datagrams. Burst lengths, queues and jitter are our proposals where no source has them.
///
/// ```
/// use udp_retry::fault::Profile;
///
/// let lte = Profile::named("lte").unwrap();
/// assert_eq!(lte.to_client.to_string(), "rate 30mbit queue 200ms; loss 0.5% burst 2; delay 25ms ~8ms");
/// ```
#[derive(Clone, PartialEq, Default, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a path has two directions")]
pub struct Profile {
    /// What happens to requests.
    pub to_server: Impairments,
    /// What happens to replies.
    pub to_client: Impairments,
}

impl Profile {
    /// The names of the profiles above.
    pub const NAMES: [&str; 6] = ["book_half", "lan", "lte", "wifi_lossy", "geo_satellite", "evil"];

    /// The same in both directions, each with draws of its own.
    #[must_use]
    pub fn both(impairments: Impairments) -> Self {
        Self { to_server: impairments.clone(), to_client: impairments }
    }

    /// One of the profiles above.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (to_server, to_client) = match name {
            "book_half" => ("loss 50%", "none"),
            "lan" => ("rate 1gbit queue 50ms; delay 100us", "rate 1gbit queue 50ms; delay 100us"),
            "lte" => (
                "rate 10mbit queue 200ms; loss 0.5% burst 2; delay 25ms ~8ms",
                "rate 30mbit queue 200ms; loss 0.5% burst 2; delay 25ms ~8ms",
            ),
            "wifi_lossy" => (
                "rate 10mbit queue 100ms; loss 5% burst 2; delay 10ms ~10ms",
                "rate 20mbit queue 100ms; loss 5% burst 2; delay 10ms ~10ms",
            ),
            "geo_satellite" => (
                "rate 3mbit queue 300ms; loss 1% burst 3; delay 300ms ~15ms",
                "rate 15mbit queue 300ms; loss 1% burst 3; delay 300ms ~15ms",
            ),
            "evil" => (EVIL, EVIL),
            _ => return None,
        };
        Some(Self { to_server: to_server.parse().ok()?, to_client: to_client.parse().ok()? })
    }

    /// What happens in this direction.
    #[must_use]
    pub const fn direction(&self, direction: Direction) -> &Impairments {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// What happens in this direction, to be changed in place.
    pub fn direction_mut(&mut self, direction: Direction) -> &mut Impairments {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

const EVIL: &str = "loss 20% burst 4; duplicate 10% late 2500ms ~2500ms; truncate 0.5%; corrupt 1%; \
                    delay 0ms exponential 50ms; reorder 10% by 100ms";
