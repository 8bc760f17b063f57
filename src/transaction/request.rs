use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::time::Duration;

use crate::policy::RetryPolicy;

/// A request: its bytes, and what holds for it alone.
///
/// Slices, arrays and vectors of bytes become one by themselves, so that `request(b"ping")` works.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::RetryPolicy;
/// use udp_retry::transaction::Request;
///
/// let policy = RetryPolicy::LAN;
/// let urgent = Request::new(b"id 7 stop").deadline(Duration::from_millis(500)).policy(&policy);
/// assert_eq!(urgent.bytes(), b"id 7 stop");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Request<'r> {
    bytes: Cow<'r, [u8]>,
    deadline: Option<Duration>,
    policy: Option<&'r RetryPolicy>,
    is_repeatable: bool,
}

impl<'r> Request<'r> {
    /// These bytes, with the settings of the requester.
    #[must_use]
    pub const fn new(bytes: &'r [u8]) -> Self {
        Self { bytes: Cow::Borrowed(bytes), deadline: None, policy: None, is_repeatable: false }
    }

    /// Ends this request so long after its call at the latest; the requester's own deadline, if it is earlier, holds as
    /// well. None by default.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Sends this request by another policy than the requester's.
    #[must_use]
    pub fn policy(self, policy: &'r RetryPolicy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// Declares that it does no harm if two servers run this request although both work: so it may be
    /// [hedged](crate::servers::ServerSettings::with_hedging). Not declared by default. Any request may be *re*sent where no
    /// reply came.
    #[must_use]
    pub fn repeatable(self) -> Self {
        Self { is_repeatable: true, ..self }
    }

    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn own_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    pub(crate) fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    pub(crate) fn own_policy(&self) -> Option<&'r RetryPolicy> {
        self.policy
    }
}

impl<'r> From<&'r [u8]> for Request<'r> {
    fn from(bytes: &'r [u8]) -> Self {
        Self::new(bytes)
    }
}

impl<'r, const N: usize> From<&'r [u8; N]> for Request<'r> {
    fn from(bytes: &'r [u8; N]) -> Self {
        Self::new(bytes)
    }
}

impl<'r> From<&'r Vec<u8>> for Request<'r> {
    fn from(bytes: &'r Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl From<Vec<u8>> for Request<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: Cow::Owned(bytes), deadline: None, policy: None, is_repeatable: false }
    }
}

impl<'r> From<&'r Request<'_>> for Request<'r> {
    fn from(request: &'r Request<'_>) -> Self {
        Self { bytes: Cow::Borrowed(&request.bytes), ..*request }
    }
}
