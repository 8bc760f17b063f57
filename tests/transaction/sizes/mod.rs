//! Requests of all sizes over paths that stop carrying the large ones, or only seem to.

mod by_chance;
mod holes;
mod refused;
mod servers;
mod suspected;

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{HostId, SimNet, SimTransport, echo};
use udp_retry::size::Plpmtu;
use udp_retry::transaction::BuildFor;
use udp_retry::{ReliableRequester, RequestError, RetryPolicy, Seed, transaction_id};

const LARGE: usize = 1472;
const SMALL: usize = 100;
const BASE: Option<Plpmtu> = Some(Plpmtu::new(1200));

/// A client that asks one server.
struct Asking {
    net: SimNet,
    hosts: [HostId; 2],
    requester: ReliableRequester<SimTransport>,
    number: u32,
}

/// What became of a request that was built for each transmission.
struct Told {
    /// How often it was sent, if it was answered.
    transmissions: Option<u32>,
    /// What its builder was asked for, by the number of the transmission.
    asked: Vec<Option<Plpmtu>>,
}

impl Asking {
    fn new(seed: u64) -> Self {
        Self::of("10.0.0.1:7", "10.0.0.2:7", seed)
    }

    fn of(client: &str, server: &str, seed: u64) -> Self {
        let net = SimNet::new(Seed::new(seed));
        let [client, server] = [client, server].map(|it| it.parse::<SocketAddr>().unwrap());
        let hosts = [client, server].map(|it| net.host(it.ip()).unwrap());
        net.serve(server, echo()).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).peer(server);
        let requester =
            builder.seed(Seed::new(seed)).buffer(2048).over(net.connect(hosts[0], server).unwrap()).unwrap();
        Self { net, hosts, requester, number: 0 }
    }

    /// What befalls datagrams to the server and back from now on.
    fn path(&self, to_server: &str, to_client: &str) {
        let profile = Profile { to_server: to_server.parse().unwrap(), to_client: to_client.parse().unwrap() };
        self.net.path(self.hosts[0], self.hosts[1], profile).unwrap();
    }

    /// Loses this many of a hundred requests, and what is more than `mtu` in any case.
    fn lossy(&self, requests: u32, mtu: Option<u32>) {
        let each_way = match requests {
            0 => 0,
            10 => 5,
            36 => 20,
            51 => 30,
            other => panic!("{other}"),
        };
        let loss = format!("delay 5ms ~2ms; loss {each_way}%");
        self.path(&mtu.map_or(loss.clone(), |mtu| format!("{loss}; mtu {mtu}")), &loss);
    }

    /// As many bytes each time.
    fn request(&mut self, len: usize) -> Result<u32, RequestError> {
        self.number += 1;
        let mut bytes = vec![0; len];
        bytes[..4].copy_from_slice(&self.number.to_be_bytes());
        self.requester.request(&bytes).map(|reply| reply.transmissions())
    }

    /// As many bytes, or as its builder may make.
    fn build(&mut self, len: usize) -> Told {
        self.number += 1;
        let (number, mut asked) = (self.number, Vec::new());
        let reply = self.requester.request_with(|purpose: BuildFor, bytes: &mut Vec<u8>| {
            asked.push(purpose.at_most);
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.resize(len.min(purpose.at_most.map_or(len, Plpmtu::bytes)), 0);
        });
        Told { transmissions: reply.ok().map(|it| it.transmissions()), asked }
    }

    fn pass(&self, time: Duration) {
        self.net.run_until(self.net.now().after(time));
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
