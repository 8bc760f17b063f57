//! Without the feature `std` there is no lock, so the impairments stay what they were at first.

use crate::fault::direction::Direction;
use crate::fault::impairment::profile::Profile;

pub(crate) struct Control;

#[derive(Clone, Copy, Default)]
pub(crate) struct Seen(());

pub(crate) struct Changed {
    pub(crate) profile: Profile,
    pub(crate) released: [Option<Direction>; 2],
}

impl Control {
    pub(crate) fn new(_: Profile) -> Self {
        Self
    }

    pub(crate) fn changed(&self, _: &mut Seen) -> Option<Changed> {
        None
    }
}
