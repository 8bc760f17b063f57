//! The far end of a measurement.

use std::net::SocketAddr;

use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation, UnconnectedUdp, set_fragmentation};
use udp_retry::path_mtu::answer_probe;
use udp_retry::size::{IpFamily, Plpmtu};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, Transport};

use crate::terminal::Outcome;

/// A socket whose answers are never fragmented.
pub(crate) fn bind(address: SocketAddr) -> Outcome<UnconnectedUdp> {
    let responder = UnconnectedUdp::bind(address)?;
    match set_fragmentation(responder.as_socket(), Fragmentation::Probing)? {
        Applied::Enforced => Ok(responder),
        Applied::Partial | Applied::Unsupported => Err("this system cannot forbid fragmentation".into()),
    }
}

/// Answers probes until the process ends.
pub(crate) fn respond(mut responder: UnconnectedUdp) -> Outcome {
    let (mut buffer, mut answer) = ([0; 64], Vec::new());
    loop {
        let now = responder.now();
        let Incoming::Datagram(probe) = responder.recv(&mut buffer, now, Timestamp::MAX) else { continue };
        let request = buffer.get(..probe.len).unwrap_or_default();
        if answer_probe(request, probe.actual, way_back(probe.from.remote), &mut answer) {
            // What is lost here is a probe that is lost.
            let _ = responder.send(probe.from, &answer).or_else(|_| responder.send(probe.from, &answer));
        }
    }
}

/// What fits into a packet to a client, as far as this host knows.
fn way_back(client: SocketAddr) -> Option<Plpmtu> {
    let known = ConnectedUdp::connect(client).ok()?.kernel_pmtu().ok()?;
    Some(known.plpmtu(IpFamily::of(client.ip())))
}
