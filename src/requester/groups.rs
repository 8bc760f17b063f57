use alloc::vec::Vec;

use super::ConcurrentRequester;
use super::concurrent_settings::SharedKeyedMatcher;
use super::peers::{Asked, NewPeers};
use crate::entropy::{Draws, Seed};
use crate::policy::RetryBudget;
use crate::servers::{ServerSet, ServerSettings, ServerState, ServersError};
use crate::transaction::{GroupId, Handle, InFlight, PeerId, Request, SubmitError};
use crate::transport::{PeerAddress, Transport};

/// What a group gets when it is made.
#[derive(Debug)]
pub(super) struct NewGroups {
    /// `None`: each has one of its own.
    pub(super) budget: Option<RetryBudget>,
    /// Seeds of their choices.
    pub(super) draws: Draws,
    /// How many there are.
    pub(super) count: u64,
}

impl NewGroups {
    pub(super) fn add<A: PeerAddress>(
        &mut self,
        engine: &mut InFlight<Asked<A>, SharedKeyedMatcher>,
        peers: &mut NewPeers,
        servers: impl IntoIterator<Item = impl Into<A>>,
        settings: ServerSettings,
    ) -> Result<GroupId, ServersError> {
        let mut asked: Vec<Asked<A>> = Vec::new();
        for server in servers {
            let server = Asked::at(server.into());
            if !asked.contains(&server) {
                asked.push(server);
            }
        }
        let seed = Seed::new(self.draws.draw(self.count));
        // Before a peer is made of any: nothing is kept of what cannot be.
        let set = ServerSet::new(asked.len(), settings, seed)?;
        let members: Vec<PeerId> = asked.into_iter().map(|server| peers.at(engine, server)).collect();
        let budget = self.budget.clone().or_else(|| RetryBudget::new(0.2, 20, 20).ok());
        self.count += 1;
        engine.add_group(&members, set, budget.unwrap_or_else(RetryBudget::unlimited))
    }
}

/// Several servers of one service.
impl<T: Transport<Peer: PeerAddress>> ConcurrentRequester<T> {
    /// Makes a group of servers of one service: a request [to it](Self::submit_to_group) goes to one of them, as their states
    /// call for, and on to others while no reply comes. Addresses are as for [`submit_to`](Self::submit_to); one that names a
    /// server again is left out.
    ///
    /// Retransmissions are paid from the builder's [budget](super::Builder::budget), if it has one; else each group has its own:
    /// ratio 0.2, burst 20, full at first. An [estimator](super::Builder::estimator) holds for requests to single peers only:
    /// groups measure each of their servers themselves.
    ///
    /// ```
    /// use udp_retry::servers::ServerSettings;
    /// # #[cfg(feature = "sim")]
    /// use udp_retry::sim::{SimNet, echo};
    /// use udp_retry::{ConcurrentRequester, Seed, transaction_id};
    ///
    /// # #[cfg(not(feature = "sim"))]
    /// # fn main() {}
    /// # #[cfg(feature = "sim")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let client = net.host("10.0.0.1".parse()?)?;
    /// let servers: [core::net::SocketAddr; 2] = ["10.0.0.2:53".parse()?, "10.0.0.3:53".parse()?];
    /// net.host(servers[0].ip())?; // no one listens there
    /// net.host(servers[1].ip())?;
    /// net.serve(servers[1], echo())?;
    ///
    /// let socket = net.bind(client, "0.0.0.0:0".parse()?)?;
    /// let mut requester = ConcurrentRequester::builder(transaction_id(0..8).stamped()).over(socket)?;
    /// let group = requester.add_group(servers, ServerSettings::new())?;
    /// for token in 0..100 {
    ///     requester.submit_to_group(group, b"........ping", token)?;
    /// }
    /// while let Some(done) = requester.wait() {
    ///     assert_eq!(done.reply()?[8..], *b"ping");
    ///     assert_eq!(done.peer().remote, servers[1]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ServersError::Count`] unless there are 1 to 64 servers.
    pub fn add_group(
        &mut self,
        servers: impl IntoIterator<Item = impl Into<T::Peer>>,
        settings: ServerSettings,
    ) -> Result<GroupId, ServersError> {
        let Self { engine, peers, groups, .. } = self;
        groups.add(engine, peers, servers, settings)
    }

    /// Takes in a request to a group of servers; as [`submit_to`](Self::submit_to). Who has answered, or was asked last, says
    /// [`Completion::peer`](super::Completion::peer).
    ///
    /// # Errors
    ///
    /// As [`submit_to`](Self::submit_to); [`SubmitError::UnknownPeer`] if the group is another requester's.
    pub fn submit_to_group<'r>(
        &mut self,
        group: GroupId,
        request: impl Into<Request<'r>>,
        token: u64,
    ) -> Result<Handle, SubmitError> {
        self.engine.submit(self.transport.now(), group, request, token)
    }

    /// The servers that it was [connected](super::Builder::connect_any) to, as a group; `None` if there is only one.
    #[must_use]
    pub fn service(&self) -> Option<GroupId> {
        self.service
    }

    /// What is known of each server of a group, for a metrics page; nothing of a group that is another requester's.
    pub fn server_states(&self, group: GroupId) -> impl Iterator<Item = ServerState> {
        let now = self.transport.now();
        self.engine.servers(group).into_iter().flat_map(move |set| set.states(now))
    }

    /// The peer with this address, which is made if there is none.
    pub(super) fn peer_at(&mut self, asked: Asked<T::Peer>) -> PeerId {
        self.peers.at(&mut self.engine, asked)
    }
}
