//! A sink around a transport in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;

use udp_retry::fault::{Capture, Profile};
use udp_retry::size::IpFamily;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};
use udp_retry::{LossySink, Seed};

use crate::installed::installed;
use crate::reading::{Memory, Packet, packets};

const MS: u64 = 1_000_000;

#[test]
fn both_directions_of_a_sink_are_written_between_addresses_of_documents() {
    if !installed("both_directions_of_a_sink_are_written_between_addresses_of_documents", &["tshark"]) {
        return;
    }
    let profile =
        Profile { to_server: "delay 5ms; script { drop 2 }".parse().unwrap(), to_client: "delay 3ms".parse().unwrap() };
    let memory = Memory::default();
    let capture = Capture::new(memory.clone());
    let line = Line { queue: [(10 * MS, vec![9; 100])].into(), ..Line::default() };
    let mut sink = LossySink::at_client(line, profile, Seed::new(7)).capture(capture.clone());
    sink.send(PathIndex::FIRST, b"first").unwrap();
    sink.send(PathIndex::FIRST, b"second").unwrap();
    // Shorter than what comes, of which the sink keeps what there is.
    let mut buffer = [0; 10];
    let Incoming::Datagram(received) = sink.recv(&mut buffer, Timestamp::ZERO, Timestamp::from_nanos(20 * MS)) else {
        panic!("nothing came")
    };
    assert_eq!((received.len, received.actual, received.at), (10, 100, Timestamp::from_nanos(13 * MS)));
    capture.finish().unwrap();
    let (own, peer) = ("192.0.2.1:49152", "192.0.2.2:49153");
    let partly = Packet { len: 128, captured: 38, ..seen(0, "", "", (peer, own), &[9; 10]) };
    let expected = [
        seen(0, "client", "to_server n 1: delivered after 5ms", (own, peer), b"first"),
        seen(0, "client", "to_server n 2: dropped (script)", (own, peer), b"second"),
        seen(5 * MS, "server", "to_server n 1: delivered after 5ms", (own, peer), b"first"),
        Packet {
            at: 10 * MS,
            interface: "server".to_owned(),
            comment: "to_client n 1: delivered after 3ms".to_owned(),
            ..partly.clone()
        },
        Packet {
            at: 13 * MS,
            interface: "client".to_owned(),
            comment: "to_client n 1: delivered after 3ms".to_owned(),
            ..partly
        },
    ];
    let found = packets(&memory.bytes());
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn peers_have_addresses_of_their_own_of_either_family() {
    if !installed("peers_have_addresses_of_their_own_of_either_family", &["tshark"]) {
        return;
    }
    for (family, expected) in [
        (IpFamily::V4, ["192.0.2.2:49153", "192.0.2.3:49153", "192.0.2.251:49153", "192.0.2.2:49154"]),
        (IpFamily::V6, ["[2001:db8::2]:49153", "[2001:db8::3]:49153", "[2001:db8::fb]:49153", "[2001:db8::2]:49154"]),
    ] {
        let memory = Memory::default();
        let capture = Capture::new(memory.clone());
        let sink = LossySink::at_server(Line::default(), Profile::default(), Seed::new(7));
        let mut sink = sink.over(family).capture(capture.clone());
        for peer in 0..251 {
            sink.send(PathIndex::new(peer), &[peer as u8]).unwrap();
        }
        capture.finish().unwrap();
        let found = packets(&memory.bytes());
        assert_eq!(found.len(), 2 * 251);
        for (link, address) in [0, 1, 249, 250].into_iter().zip(expected) {
            for (packet, side) in found[2 * link..].iter().zip(["server", "client"]) {
                assert_eq!((packet.to, packet.interface.as_str()), (address.parse().unwrap(), side));
                assert_eq!((packet.payload.as_slice(), packet.at), (&[link as u8][..], 0));
            }
        }
    }
}

#[test]
fn true_addresses_are_written_as_they_are_on_the_network() {
    if !installed("true_addresses_are_written_as_they_are_on_the_network", &["tshark"]) {
        return;
    }
    let cases = [
        (["[::ffff:192.0.2.7]:1", "[::ffff:198.51.100.9]:2"], ["192.0.2.7:1", "198.51.100.9:2"]),
        (["192.0.2.7:1", "[::ffff:198.51.100.9]:2"], ["192.0.2.7:1", "198.51.100.9:2"]),
        (["[::]:1", "[::ffff:198.51.100.9]:2"], ["0.0.0.0:1", "198.51.100.9:2"]),
        (["192.0.2.7:1", "[::]:2"], ["192.0.2.7:1", "0.0.0.0:2"]),
        (["0.0.0.0:1", "[2001:db8::9]:2"], ["[::]:1", "[2001:db8::9]:2"]),
        (["[2001:db8::9]:1", "0.0.0.0:2"], ["[2001:db8::9]:1", "[::]:2"]),
        (["[2001:db8::7]:1", "[2001:db8::9]:65535"], ["[2001:db8::7]:1", "[2001:db8::9]:65535"]),
        // Which meet in no network.
        (["192.0.2.7:1", "[2001:db8::9]:2"], ["[::ffff:192.0.2.7]:1", "[2001:db8::9]:2"]),
    ];
    let memory = Memory::default();
    let capture = Capture::new(memory.clone());
    for ([own, peer], _) in cases {
        let ends: (SocketAddr, SocketAddr) = (own.parse().unwrap(), peer.parse().unwrap());
        let sink = LossySink::at_client(Line::default(), Profile::default(), Seed::new(7));
        let mut sink = sink.capture_between(capture.clone(), move |_| ends);
        sink.send(PathIndex::FIRST, b"odd").unwrap();
    }
    capture.finish().unwrap();
    let found = packets(&memory.bytes());
    assert_eq!(found.len(), 2 * cases.len());
    for (pair, (_, [from, to])) in found.chunks(2).zip(cases) {
        for packet in pair {
            assert_eq!((packet.from, packet.to), (from.parse().unwrap(), to.parse().unwrap()));
        }
    }
}

#[test]
fn a_datagram_that_is_offered_again_enters_once_and_what_is_not_taken_never_leaves() {
    if !installed("a_datagram_that_is_offered_again_enters_once_and_what_is_not_taken_never_leaves", &["tshark"]) {
        return;
    }
    let comments = |refused: u32, offers: usize| {
        let memory = Memory::default();
        let capture = Capture::new(memory.clone());
        let line = Line { refused, ..Line::default() };
        let mut sink = LossySink::at_client(line, Profile::default(), Seed::new(7)).capture(capture.clone());
        let sent: Vec<bool> = (0..offers).map(|_| sink.send(PathIndex::FIRST, b"same").is_ok()).collect();
        capture.finish().unwrap();
        let found = packets(&memory.bytes());
        (sent, found.into_iter().map(|it| (it.interface, it.comment)).collect::<Vec<_>>())
    };
    let at = |side: &str, n: u32| (side.to_owned(), format!("to_server n {n}: delivered"));
    assert_eq!(comments(1, 2), (vec![false, true], vec![at("client", 1), at("server", 1)]));
    assert_eq!(comments(2, 2), (vec![false, false], vec![at("client", 1)]));
    let both = vec![at("client", 1), at("server", 1), at("client", 2), at("server", 2)];
    assert_eq!(comments(0, 2), (vec![true, true], both));
}

fn seen(at: u64, interface: &str, comment: &str, (from, to): (&str, &str), payload: &[u8]) -> Packet {
    let len = payload.len() + 28;
    Packet {
        at,
        interface: interface.to_owned(),
        comment: comment.to_owned(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        payload: payload.to_vec(),
        len,
        captured: len,
    }
}

/// Takes what is sent, but for the first few, and has something arrive at its time.
#[derive(Default, Debug)]
struct Line {
    now: Timestamp,
    refused: u32,
    queue: VecDeque<(u64, Vec<u8>)>,
}

impl Transport for Line {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, _: PathIndex, _: &[u8]) -> Result<(), PathError> {
        match self.refused.checked_sub(1) {
            Some(left) => {
                self.refused = left;
                Err(PathError::NoBuffers)
            }
            None => Ok(()),
        }
    }

    fn recv(&mut self, buffer: &mut [u8], _: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        match self.queue.front() {
            Some((at, _)) if Timestamp::from_nanos(*at) <= until => {}
            _ => {
                self.now = self.now.max(until);
                return Incoming::TimeUp(self.now);
            }
        }
        let (at, datagram) = self.queue.pop_front().unwrap();
        self.now = self.now.max(Timestamp::from_nanos(at));
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Incoming::Datagram(Received::new(PathIndex::FIRST, len, datagram.len(), self.now))
    }

    fn renew(&mut self, _: PathIndex, _: Renewal) -> Result<Renewed, PathError> {
        Ok(Renewed::FreshPort)
    }

    fn entropy(&mut self, _: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}
