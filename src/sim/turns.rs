use alloc::boxed::Box;
use alloc::rc::Rc;

use super::unconnected::End;
use super::{SimNet, SimUnconnected};
use crate::time::Timestamp;
use crate::transport::Transport;

impl SimNet {
    /// Runs a program on an unconnected end beside everything else in the network: `turn` is called at the start, then
    /// whenever something has arrived, and at the time that it returned last, if that comes first.
    ///
    /// A turn takes what is queued, with waits that end at once, answers, and returns. It takes no time; everything that
    /// has arrived by this moment is there. So the loop of a server or of a client, of which a turn is one round, runs here
    /// with the code that runs over a real socket. What a turn leaves in the queue stays there until something else arrives
    /// or its time has come, unless it took something. The program ends when its address is [stopped](Self::stop).
    ///
    /// ```
    /// use udp_retry::sim::{SimNet, SimUnconnected};
    /// use udp_retry::transport::{Incoming, Route, Transport};
    /// use udp_retry::{ReliableRequester, Seed, transaction_id};
    ///
    /// /// Answers what is queued: as useful over a `net::UnconnectedUdp`.
    /// fn echo_all(server: &mut impl Transport<Peer = Route>) {
    ///     let (mut buffer, now) = ([0; 512], server.now());
    ///     while let Incoming::Datagram(asked) = server.recv(&mut buffer, now, now) {
    ///         let _ = server.send(asked.from, &buffer[..asked.len]);
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = SimNet::new(Seed::new(1));
    /// let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    /// net.run_in_turns(net.bind(server, "0.0.0.0:1060".parse()?)?, |server: &mut SimUnconnected| {
    ///     echo_all(server);
    ///     None
    /// });
    /// let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
    /// let mut requester = ReliableRequester::builder(transaction_id(0..4).stamped()).over(transport)?;
    /// assert_eq!(requester.request(b"....ping")?.payload()[4..], *b"ping");
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_in_turns(
        &self,
        end: SimUnconnected,
        turn: impl FnMut(&mut SimUnconnected) -> Option<Timestamp> + 'static,
    ) {
        let now = end.now();
        self.await_turn(end.into_end(), Some(now), turn);
    }

    /// The closure holds no handle of the network, which would keep it for good.
    fn await_turn(
        &self,
        end: End,
        until: Option<Timestamp>,
        mut turn: impl FnMut(&mut SimUnconnected) -> Option<Timestamp> + 'static,
    ) {
        let action = move |net: &Self| {
            let mut running = SimUnconnected::in_turn(net.clone(), end);
            let next = turn(&mut running);
            if !Rc::ptr_eq(&running.net().world, &net.world) {
                // The turn has put an end of another network in its place.
                return;
            }
            let after = running.into_end();
            let took = after.reads != end.reads;
            let left = took && net.world.borrow().queued(after.socket) > 0;
            net.await_turn(after, if left { Some(net.now()) } else { next }, turn);
        };
        let closed = self.world.borrow_mut().watch(end.socket, until, Box::new(action));
        drop(closed);
    }
}
