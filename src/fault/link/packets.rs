use crate::fault::impairment::mtu::{MtuClamp, Oversize};
use crate::size::{IpFamily, Pmtu};

/// How a datagram goes into IP packets: the MTU judges those.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packets {
    /// Of their addresses; the link's by default.
    pub(crate) family: Option<IpFamily>,
    /// Its sender has split it into packets of at most this size.
    pub(crate) fragment: Option<Pmtu>,
    /// Routers may split them further.
    pub(crate) divisible: bool,
}

impl Packets {
    /// One packet, which no router splits.
    pub(super) const WHOLE: Self = Self { family: None, fragment: None, divisible: false };

    /// The same between addresses of this family.
    #[cfg(feature = "sim")]
    pub(crate) const fn whole(family: IpFamily) -> Self {
        Self { family: Some(family), ..Self::WHOLE }
    }

    pub(super) fn pass(self, clamp: &MtuClamp) -> bool {
        let divided = self.divisible && matches!(clamp.oversize(), Oversize::Drop | Oversize::Report);
        divided || self.fragment.is_some_and(|largest| largest <= clamp.pmtu())
    }
}
