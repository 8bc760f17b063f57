use std::time::Duration;

/// How often in a row a socket has woken its reader for nothing, or reported an error that no datagram met: after some
/// times it is given rest, so that what does not end takes no processor, and what does end is noticed soon.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    in_a_row: u32,
}

impl Trouble {
    /// A datagram came.
    #[inline]
    pub(crate) fn is_over(&mut self) {
        self.in_a_row = 0;
    }

    /// A datagram has left: a reply may be near, but a socket that others have shut may send as well.
    #[inline]
    pub(crate) fn may_be_over(&mut self) {
        self.in_a_row = self.in_a_row.min(BORNE);
    }

    /// Once more; how long to leave the socket alone, if at all.
    pub(crate) fn again(&mut self) -> Option<Duration> {
        let doublings = self.in_a_row.checked_sub(BORNE);
        self.in_a_row = self.in_a_row.saturating_add(1);
        Some(SHORTEST.saturating_mul(1 << doublings?.min(10)).min(LONGEST))
    }
}

/// Times that may be chance.
const BORNE: u32 = 16;
const SHORTEST: Duration = Duration::from_micros(250);
/// A reply is found this late at most.
pub(super) const LONGEST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_begins_after_some_times_grows_and_ends_with_a_datagram() {
        let mut trouble = Trouble::default();
        let mut rests = |times| (0..times).map(|_| trouble.again()).collect::<Vec<_>>();
        assert_eq!(rests(16), [None; 16]);
        let micros = |rest: Option<Duration>| rest.unwrap().as_micros();
        let grown: Vec<_> = rests(11).into_iter().map(micros).collect();
        assert_eq!(grown, [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 100_000, 100_000]);
        trouble.may_be_over();
        assert_eq!(trouble.again(), Some(SHORTEST));
        trouble.is_over();
        trouble.may_be_over();
        assert_eq!(trouble.again(), None);
    }

    #[test]
    fn it_never_overflows() {
        let mut trouble = Trouble { in_a_row: u32::MAX };
        assert_eq!([trouble.again(), trouble.again()], [Some(LONGEST); 2]);
    }
}
