/// What became of all datagrams of a [`SimNet`](super::SimNet); every one is accounted for:
///
/// - `sent + duplicates = partitioned + dropped + delivered`
/// - `delivered = arrived + lost_on_arrival + discarded + in_flight`, as long as only datagrams are in flight: a
///   refusal that has not arrived yet counts as in flight too
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct NetStats {
    /// Datagrams that entered the network. What its own host refuses to send, as it is too large, does not.
    pub sent: u64,
    /// Datagrams that met a partition, or whose own host is down.
    pub partitioned: u64,
    /// Datagrams that their link dropped.
    pub dropped: u64,
    /// Copies that their links let through.
    pub delivered: u64,
    /// Those of them that are second or further copies.
    pub duplicates: u64,
    /// Copies that reached the socket they were sent to, and that were read or still can be.
    pub arrived: u64,
    /// Copies that found no socket, one that is connected to another peer, a full receive buffer, or an endpoint that has
    /// panicked.
    pub lost_on_arrival: u64,
    /// Copies beyond the capacity of the simulation, and copies left unread when their socket was closed or moved.
    pub discarded: u64,
    /// Datagrams that endpoints wanted to send and could not.
    pub unsent: u64,
    /// Endpoints that have panicked.
    pub panicked: u64,
    /// Copies that have not arrived yet, refusals included.
    pub in_flight: u64,
}
