use crate::size::Plpmtu;
use crate::transport::PathIndex;

/// What the bytes are for that a builder is asked for, by
/// [`ReliableRequester::request_with`](crate::ReliableRequester::request_with) or
/// [`Transaction::build`](crate::transaction::Transaction::build).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct BuildFor {
    /// The number of the transmission, from 1.
    pub transmission: u32,
    /// Where it goes: of several servers, the one that is asked.
    pub path: PathIndex,
    /// The largest payload that should be sent, or asked for where the request decides how large its reply is. `None` while there
    /// is no reason for less than usual. A builder need not follow it.
    ///
    /// | size | reason | for |
    /// |---|---|---|
    /// | what every path carries (RFC 8899 §5.1.2): 1200 bytes, 1232 if the peer is [known](crate::transaction::Transaction::with_peer) to have an IPv6 address | the first two transmissions were not answered | the third on a path, the fifth, and so on: those between say whether it is the size, or an outage |
    /// | the largest that was answered below, or the former | earlier requests on the path: those of a size were lost while small ones were not, which chance does [once in 10⁵ times](crate::pmtu::BlackHole) | all, for 10 min (RFC 8899 §5.1.1), or until a larger one is answered |
    /// | what the system says would fit; at first, no less than the other two | it refused the bytes before as [too big](crate::transport::PathError::TooBig) | the rest of the request; the slot is not used up |
    ///
    /// The least of those that apply. An ICMP message about something sent earlier, which anyone can forge, is none of them; nor
    /// is a fresh port taken for another path. Where two sizes have one id, a second reply takes back that the first showed a
    /// loss: give each transmission an id of its own where replies come twice.
    pub at_most: Option<Plpmtu>,
}
