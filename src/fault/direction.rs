use crate::entropy::Seed;

/// Where a link leads, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Replies.
    ToClient,
}

impl Direction {
    /// The seed of this direction's link for client number `ordinal`, in the order of first appearance, from 0.
    ///
    /// By number and not by address, so that a run can be repeated although clients come from other ports.
    #[must_use]
    pub const fn link_seed(self, seed: Seed, ordinal: u64) -> Seed {
        let label = match self {
            Self::ToServer => 1,
            Self::ToClient => 2,
        };
        seed.derive(label).derive(ordinal)
    }

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// `to_server` or `to_client`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToServer => "to_server",
            Self::ToClient => "to_client",
        }
    }
}
