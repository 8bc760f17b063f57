use core::num::NonZeroU64;

use crate::entropy::IdSource;

/// One life of a server, from its start to its end: any number but 0 that no earlier one at the same address had.
///
/// Drawn at random, so that nothing has to be kept over a restart: two of 10,000 lives are alike with a chance of one in 3·10¹¹.
///
/// ```
/// use udp_retry::Seed;
/// use udp_retry::entropy::IdSource;
/// use udp_retry::envelope::Incarnation;
///
/// // From the system's entropy; this one repeats, as tests want it.
/// let mut ids = IdSource::from_seed(Seed::new(7));
/// assert_ne!(Incarnation::draw(&mut ids), Incarnation::draw(&mut ids));
/// assert_eq!(Incarnation::new(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Incarnation(NonZeroU64);

impl Incarnation {
    /// The incarnation of this number, such as a count of starts that is kept on a disk; `None` for 0.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// One that no one can foretell. Where the entropy is a transport's, `Incarnation::over` draws it from there.
    #[must_use]
    pub fn draw(ids: &mut IdSource) -> Self {
        let mut bytes = [0; 8];
        ids.fill(&mut bytes);
        Self(NonZeroU64::new(u64::from_be_bytes(bytes)).unwrap_or(NonZeroU64::MAX))
    }

    /// Its number, as it stands in a header; never 0.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}
