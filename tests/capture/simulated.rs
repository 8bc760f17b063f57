//! A simulated network, where every packet is known beforehand.

use core::time::Duration;
use std::net::SocketAddr;
use std::time::SystemTime;

use udp_retry::fault::{Capture, Profile};
use udp_retry::sim::{SimNet, SimTransport, echo};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::installed::installed;
use crate::reading::{Memory, Packet, SECTION, kinds, packets};

const MS: u64 = 1_000_000;

#[test]
fn each_datagram_enters_once_with_its_fate_and_each_copy_leaves_as_it_is() {
    if !installed("each_datagram_enters_once_with_its_fate_and_each_copy_leaves_as_it_is", &["tshark"]) {
        return;
    }
    let spec = "delay 25ms; script { drop 2; duplicate 3 after 5ms; corrupt 3.1 bit 17; corrupt 4 bit 0; \
                corrupt 4 bit 8; truncate 5 to 3; refuse 6 above 1 }";
    let World { net, mut client, memory, capture } = captured(7, spec, "none");
    for n in 1..=6 {
        let sent = client.send(PathIndex::FIRST, &[n; 4]);
        assert_eq!(sent.is_err(), n == 6);
    }
    net.run_until(Timestamp::from_nanos(100 * MS));
    capture.finish().unwrap();

    let entry = |comment: &str, n: u8| seen(0, "10.0.0.1", comment, vec![n; 4]);
    let exit = |at: u64, comment: &str, payload: &[u8]| seen(at * MS, "10.0.0.2", comment, payload.to_vec());
    let expected = [
        entry("to_server n 1: delivered after 25ms", 1),
        entry("to_server n 2: dropped (script)", 2),
        entry(
            "to_server n 3: delivered after 25ms, copy 1 of 2; delivered after 30ms, copy 2 of 2, bits 17 flipped",
            3,
        ),
        entry("to_server n 4: delivered after 25ms, bits 0 8 flipped", 4),
        entry("to_server n 5: delivered after 25ms, truncated to 3 bytes", 5),
        entry("to_server n 6: too big, 1 bytes would fit", 6),
        exit(25, "to_server n 1: delivered after 25ms", &[1; 4]),
        exit(25, "to_server n 3: delivered after 25ms, copy 1 of 2", &[3; 4]),
        exit(25, "to_server n 4: delivered after 25ms, bits 0 8 flipped", &[0x84, 0x84, 4, 4]),
        exit(25, "to_server n 5: delivered after 25ms, truncated to 3 bytes", &[5; 3]),
        exit(30, "to_server n 3: delivered after 30ms, copy 2 of 2, bits 17 flipped", &[3, 3, 0x43, 3]),
    ];
    let found = packets(&memory.bytes());
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn what_no_link_does_is_told_apart() {
    if !installed("what_no_link_does_is_told_apart", &["tshark"]) {
        return;
    }
    let World { net, memory, capture, .. } = captured(7, "none", "none");
    let [client, server] = ["10.0.0.3", "10.0.0.4"].map(|address| net.host(address.parse().unwrap()).unwrap());
    net.path(client, server, Profile::both("delay 1ms".parse().unwrap())).unwrap();
    let mut transport = net.connect(client, "10.0.0.4:9".parse().unwrap()).unwrap();
    transport.send(PathIndex::FIRST, &[1]).unwrap();
    net.partition(client, server).unwrap();
    transport.send(PathIndex::FIRST, &[2]).unwrap();
    net.heal(client, server).unwrap();
    // The refusal of the first is on its way, and takes a number of the link back.
    net.run_until(Timestamp::from_nanos(MS));
    transport.send(PathIndex::FIRST, &[3]).unwrap();
    net.take_down(server).unwrap();
    net.run_until(Timestamp::from_nanos(2 * MS));
    net.take_down(client).unwrap();
    // The refusal has arrived.
    assert!(transport.send(PathIndex::FIRST, &[4]).is_err());
    transport.send(PathIndex::FIRST, &[4]).unwrap();
    capture.finish().unwrap();
    let found: Vec<_> = packets(&memory.bytes()).into_iter().map(|it| (it.interface, it.comment)).collect();
    let expected = [
        ("10.0.0.3", "to_server n 1: delivered after 1ms"),
        ("10.0.0.3", "dropped (partition)"),
        ("10.0.0.4", "to_server n 1: delivered after 1ms, then dropped (nothing listens)"),
        ("10.0.0.3", "to_server n 2: delivered after 1ms"),
        ("10.0.0.4", "to_server n 2: delivered after 1ms, then dropped (host down)"),
        ("10.0.0.3", "dropped (host down)"),
    ];
    assert_eq!(found, expected.map(|(interface, comment)| (interface.to_owned(), comment.to_owned())));
}

#[test]
fn the_largest_datagrams_of_both_families_are_whole() {
    if !installed("the_largest_datagrams_of_both_families_are_whole", &["tshark"]) {
        return;
    }
    let World { net, client: mut by_v4, memory, capture } = captured(7, "none", "none");
    let [client, _] = ["2001:db8::1", "2001:db8::2"].map(|address| net.host(address.parse().unwrap()).unwrap());
    net.serve("[2001:db8::2]:9".parse().unwrap(), |_, _, _, _| {}).unwrap();
    let mut by_v6 = net.connect(client, "[2001:db8::2]:9".parse().unwrap()).unwrap();
    // Odd lengths, and what sums up to a checksum of 0 among others.
    let pattern = |len: usize| (0..len).map(|n| (n % 251) as u8).collect::<Vec<u8>>();
    for (transport, lengths) in [(&mut by_v4, [0, 1, 65_507]), (&mut by_v6, [0, 1, 65_527])] {
        for len in lengths {
            transport.send(PathIndex::FIRST, &pattern(len)).unwrap();
        }
    }
    net.run_until(Timestamp::from_nanos(MS));
    capture.finish().unwrap();
    let found = packets(&memory.bytes());
    assert_eq!(found.len(), 12);
    let (entries, exits): (Vec<_>, Vec<_>) = found.iter().partition(|it| it.interface.ends_with('1'));
    for (packet, len) in entries.iter().chain(&exits).zip([0, 1, 65_507, 0, 1, 65_527].into_iter().cycle()) {
        let headers = if packet.from.is_ipv4() { 28 } else { 48 };
        assert_eq!((packet.len, packet.captured), (len + headers, len + headers));
        assert!(packet.payload == pattern(len), "{len} bytes from {}", packet.from);
    }
}

#[test]
fn no_checksum_is_zero() {
    if !installed("no_checksum_is_zero", &["tshark"]) {
        return;
    }
    let World { net: _net, mut client, memory, capture } = captured(7, "none", "none");
    // One of them is sure to have the sum that means "none" in its field; tshark calls it missing.
    for word in 0..=u16::MAX {
        client.send(PathIndex::FIRST, &word.to_be_bytes()).unwrap();
    }
    capture.finish().unwrap();
    let entered = packets(&memory.bytes()).iter().filter(|it| it.interface == "10.0.0.1").count();
    assert_eq!(entered, 65_536);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed: u64, write: bool| {
        let World { net, client, memory, capture } = captured(seed, BAD, BAD);
        if !write {
            capture.finish().unwrap();
        }
        net.stop("10.0.0.2:9".parse().unwrap());
        net.serve("10.0.0.2:9".parse().unwrap(), echo()).unwrap();
        let requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).seed(Seed::new(seed));
        let mut requester = requester.over(client).unwrap();
        for id in 0..50 {
            let _ = requester.request(&[id; 9]);
        }
        capture.finish().unwrap();
        (memory.bytes(), net.trace_hash())
    };
    let (bytes, hash) = run(1, true);
    assert!(bytes.len() > 10_000, "{} bytes", bytes.len());
    assert!(run(1, true) == (bytes.clone(), hash), "two runs with the same seed");
    assert!(run(2, true).0 != bytes);
    let (nothing, without) = run(1, false);
    assert_eq!((without, kinds(&nothing)), (hash, vec![SECTION]), "a capture changes nothing");
}

const BAD: &str = "loss 20%; duplicate 20% late 40ms ~20ms; corrupt 10% bits 3; truncate 10%; delay 20ms ~5ms";

#[test]
fn a_capture_may_begin_at_another_time_and_serve_several_networks() {
    if !installed("a_capture_may_begin_at_another_time_and_serve_several_networks", &["tshark"]) {
        return;
    }
    let memory = Memory::default();
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let capture = Capture::new(memory.clone()).starting_at(noon);
    for seed in [1, 2] {
        let (net, mut client) = network(seed, "none", "none");
        // What the clock shows now is noon.
        net.run_until(Timestamp::from_nanos(70 * MS));
        net.capture(capture.clone());
        net.run_until(Timestamp::from_nanos(72 * MS));
        client.send(PathIndex::FIRST, b"now").unwrap();
    }
    capture.finish().unwrap();
    let found = packets(&memory.bytes());
    let times: Vec<u64> = found.iter().map(|it| it.at).collect();
    assert_eq!(times, [1_700_000_000_002 * MS; 2]);
    assert_eq!(found.iter().map(|it| it.interface.as_str()).collect::<Vec<_>>(), ["10.0.0.1"; 2]);
}

struct World {
    net: SimNet,
    client: SimTransport,
    memory: Memory,
    capture: Capture,
}

fn captured(seed: u64, to_server: &str, to_client: &str) -> World {
    let ((net, client), memory) = (network(seed, to_server, to_client), Memory::default());
    let capture = Capture::new(memory.clone());
    net.capture(capture.clone());
    World { net, client, memory, capture }
}

/// A network with a client of a server that takes everything and answers nothing.
fn network(seed: u64, to_server: &str, to_client: &str) -> (SimNet, SimTransport) {
    let net = SimNet::new(Seed::new(seed));
    let [client, server] = ["10.0.0.1", "10.0.0.2"].map(|address| net.host(address.parse().unwrap()).unwrap());
    let [to_server, to_client] = [to_server, to_client].map(|spec| spec.parse().unwrap());
    net.path(client, server, Profile { to_server, to_client }).unwrap();
    net.serve("10.0.0.2:9".parse().unwrap(), |_, _, _, _| {}).unwrap();
    let transport = net.connect(client, "10.0.0.2:9".parse().unwrap()).unwrap();
    (net, transport)
}

fn seen(at: u64, interface: &str, comment: &str, payload: Vec<u8>) -> Packet {
    let address = |address: &str| address.parse::<SocketAddr>().unwrap();
    let len = payload.len() + 28;
    Packet {
        at,
        interface: interface.to_owned(),
        comment: comment.to_owned(),
        from: address("10.0.0.1:49152"),
        to: address("10.0.0.2:9"),
        payload,
        len,
        captured: len,
    }
}
