use core::fmt;

use crate::transport::PathIndex;

/// A set of paths, of the first 64: a word, without allocation.
///
/// ```
/// use udp_retry::servers::Paths;
/// use udp_retry::transport::PathIndex;
///
/// let tried = Paths::NONE.with(PathIndex::new(2));
/// let left = Paths::first(4).except(tried);
/// assert_eq!(left.iter().map(PathIndex::number).collect::<Vec<_>>(), [0, 1, 3]);
/// assert!(!left.with(PathIndex::new(64)).contains(PathIndex::new(64)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Paths(u64);

impl Paths {
    /// No path.
    pub const NONE: Self = Self(0);
    /// How many paths a set can hold: those of the numbers below.
    pub const MOST: usize = 64;

    /// The first paths, this many.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        match count {
            0 => Self(0),
            1..Self::MOST => Self(u64::MAX >> (Self::MOST - count)),
            _ => Self(u64::MAX),
        }
    }

    /// Whether the path is in it.
    #[must_use]
    #[inline]
    pub const fn contains(self, path: PathIndex) -> bool {
        self.0 & bit(path) != 0
    }

    /// The set with this path. One whose number is too large is left out.
    #[must_use]
    #[inline]
    pub const fn with(self, path: PathIndex) -> Self {
        Self(self.0 | bit(path))
    }

    /// The set without this path.
    #[must_use]
    #[inline]
    pub const fn without(self, path: PathIndex) -> Self {
        Self(self.0 & !bit(path))
    }

    /// What is in this set and not in the other.
    #[must_use]
    #[inline]
    pub const fn except(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// How many it holds.
    #[must_use]
    #[inline]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether it holds none.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its paths, by number.
    pub fn iter(self) -> impl Iterator<Item = PathIndex> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let number = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (number < u64::BITS).then(|| PathIndex::new(number))
        })
    }
}

const fn bit(path: PathIndex) -> u64 {
    match 1_u64.checked_shl(path.number()) {
        Some(bit) => bit,
        None => 0,
    }
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(PathIndex::number)).finish()
    }
}
