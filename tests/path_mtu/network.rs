//! A client and a far end, with a path between them.

use std::net::SocketAddr;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::path_mtu::{PathReport, ProbeError, ProbeFormat, answer_probe, probe_path};
use udp_retry::sim::{HostId, SimNet, SimTransport};
use udp_retry::size::{IpFamily, Plpmtu, Pmtu};
use udp_retry::transport::{Fragmentation, PathIndex};

pub(crate) const FAMILIES: [IpFamily; 2] = [IpFamily::V4, IpFamily::V6];

pub(crate) struct Network {
    pub(crate) net: SimNet,
    pub(crate) transport: SimTransport,
    /// The client and the far end.
    pub(crate) hosts: [HostId; 2],
    family: IpFamily,
}

impl Network {
    /// A host on Ethernet, which may not fragment.
    pub(crate) fn new(family: IpFamily, to_server: &str, to_client: &str, seed: u64) -> Self {
        let net = SimNet::new(Seed::new(seed));
        let [client, server] = [1, 2].map(|host| net.host(address(family, host).ip()).unwrap());
        let profile = Profile { to_server: to_server.parse().unwrap(), to_client: to_client.parse().unwrap() };
        net.path(client, server, profile).unwrap();
        net.interface_mtu(client, Pmtu::new(1500)).unwrap();
        let mut transport = net.connect(client, address(family, 2)).unwrap();
        transport.set_fragmentation(Fragmentation::Probing);
        Self { net, transport, hosts: [client, server], family }
    }

    /// A responder that ignores what is longer than `most`, and knows what fits into a packet to the client.
    pub(crate) fn respond(self, most: usize, way_back: Option<u32>) -> Self {
        let way_back = way_back.map(|it| Pmtu::new(it).plpmtu(self.family));
        let responder = move |request: &[u8]| {
            let mut answer = Vec::new();
            let wanted = usize::from(u16::from_be_bytes([request[20], request[21]]));
            assert!(wanted <= 3 * request.len(), "{wanted} for {}", request.len());
            let is_answered = request.len() <= most && answer_probe(request, request.len(), way_back, &mut answer);
            is_answered.then_some(answer)
        };
        self.serve(responder)
    }

    pub(crate) fn serve(self, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + 'static) -> Self {
        let serve = move |_, from, request: &[u8], out: &mut udp_retry::sim::Outbox<'_>| {
            if let Some(answer) = answer(request) {
                out.send(from, &answer);
            }
        };
        self.net.serve(address(self.family, 2), serve).unwrap();
        self
    }

    pub(crate) fn probe(&mut self, format: &impl ProbeFormat) -> Result<PathReport, ProbeError> {
        probe_path(&mut self.transport, PathIndex::FIRST, format)
    }

    /// In bytes of an IP packet.
    pub(crate) fn packet(&self, size: Option<Plpmtu>) -> Option<u32> {
        size.map(|it| u32::try_from(it.bytes()).unwrap() + self.family.overhead())
    }
}

pub(crate) fn address(family: IpFamily, host: u8) -> SocketAddr {
    let text = if family == IpFamily::V4 { format!("10.0.0.{host}:7") } else { format!("[fd00::{host}]:7") };
    text.parse().unwrap()
}
