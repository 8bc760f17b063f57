/// What became of a router's report, "packet too big" (ICMP type 3 code 4, ICMPv6 type 2), about a probe.
///
/// **Anyone can forge one**, so whatever it says, it lowers no size that was confirmed, raises nothing (RFC 8899 §3), and is
/// forgotten when the search starts again; what it says at best is where to look next (RFC 8899 §4.6.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PtbVerdict {
    /// Larger sizes are not probed until the search starts again, and the reported one is next.
    Taken,
    /// It quotes no probe that was sent lately on this path (RFC 8899 §4.6.1, RFC 9000 §14.2.1).
    NotOurs,
    /// The probe that it quotes would fit (RFC 8899 §4.6.2, PL_PTB_SIZE ≥ PROBED_SIZE).
    NotSmaller,
    /// Below what every path of the family carries (RFC 8899 §4.6.2, RFC 8201 §4): old routers report 0 (RFC 1191 §5).
    BelowMin,
    /// Below what the path has carried. RFC 8899 §4.6.2 would start over at `base`; here ordinary traffic shows whether the path
    /// no longer carries that ([`BlackHole`](super::BlackHole), RFC 8899 §4.3), as §8 suggests where probes have shown more.
    BelowConfirmed,
    /// More reports in one search than a path has narrow hops (RFC 8899 §8: the work that they cause has a limit).
    TooMany,
}

/// What is known where a report arrives.
pub(super) struct Known {
    pub(super) min: u16,
    pub(super) confirmed: Option<u16>,
    /// How many this search has taken.
    pub(super) taken: u8,
}

impl Known {
    /// `quoted` is the size of the probe that it quotes, if that was found.
    pub(super) fn judge(&self, quoted: Option<u16>, limit: u16) -> PtbVerdict {
        match quoted {
            None => PtbVerdict::NotOurs,
            Some(len) if limit >= len => PtbVerdict::NotSmaller,
            Some(_) if limit < self.min => PtbVerdict::BelowMin,
            Some(_) if self.confirmed.is_some_and(|confirmed| limit < confirmed) => PtbVerdict::BelowConfirmed,
            Some(_) if self.taken >= MOST_REPORTS => PtbVerdict::TooMany,
            Some(_) => PtbVerdict::Taken,
        }
    }
}

/// A path has two or three hops that are each narrower than all before.
const MOST_REPORTS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_belongs_to_the_side_that_it_should() {
        let known = Known { min: 548, confirmed: Some(1252), taken: 7 };
        for (quoted, limit, verdict) in [
            (None, 1400, PtbVerdict::NotOurs),
            (Some(1472), 1473, PtbVerdict::NotSmaller),
            (Some(1472), 1472, PtbVerdict::NotSmaller),
            (Some(1472), 1471, PtbVerdict::Taken),
            (Some(1472), 1252, PtbVerdict::Taken),
            (Some(1472), 1251, PtbVerdict::BelowConfirmed),
            (Some(1252), 1251, PtbVerdict::BelowConfirmed),
            (Some(1472), 548, PtbVerdict::BelowConfirmed),
            (Some(1472), 547, PtbVerdict::BelowMin),
            (Some(1472), 0, PtbVerdict::BelowMin),
        ] {
            assert_eq!(known.judge(quoted, limit), verdict, "{limit} for {quoted:?}");
        }
        assert_eq!(Known { taken: 8, ..known }.judge(Some(1472), 1471), PtbVerdict::TooMany);
        let unconfirmed = Known { confirmed: None, ..known };
        assert_eq!(unconfirmed.judge(Some(1200), 548), PtbVerdict::Taken);
        assert_eq!(unconfirmed.judge(Some(1200), 547), PtbVerdict::BelowMin);
    }
}
