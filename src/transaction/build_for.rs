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
    /// The largest payload that should be sent, where there is a reason to send less than usual; `None` by default.
    pub at_most: Option<Plpmtu>,
}
