//! `stun_address` as people run it, against servers that answer wrong, late, with an error, or not at all.

use std::net::SocketAddr;

use crate::server::{Server, json};

#[test]
fn stun_sends_a_binding_request_with_an_id_that_is_never_the_same() {
    let server = Server::answering(|_, request| vec![stun(request, 0x0101, &[mapped(request, SEEN)])]);
    for _ in 0..4 {
        assert_eq!(server.stun_address(&[]).code, Some(0));
    }
    let mut ids = Vec::new();
    for (request, _) in server.asked() {
        assert_eq!(request.len(), 20);
        assert_eq!(request[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        // Any four bytes of it.
        ids.extend(request[8..].chunks(4).map(<[u8]>::to_vec));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 12);
}

#[test]
fn stun_takes_no_datagram_but_the_answer_to_its_id() {
    let server = Server::answering(|_, request| {
        let forged = stun(request, 0x0101, &[mapped(request, "192.0.2.66:6")]);
        let mut datagrams = vec![request.to_vec(), Vec::new()];
        datagrams.extend((0..forged.len()).map(|length| forged[..length].to_vec()));
        let mut damage = |at: usize, flip: u8| {
            let mut damaged = forged.clone();
            damaged[at] ^= flip;
            datagrams.push(damaged);
        };
        (0..128).for_each(|bit| damage(4 + bit / 8, 1 << (bit % 8)));
        damage(0, 0x80); // not STUN at all
        damage(1, 2); // another method
        damage(3, 4); // another length
        damage(23, 0x40); // an attribute that goes beyond the end
        damage(25, 2); // an address of another family
        // Nothing in it, and an error without a code.
        datagrams.push(stun(request, 0x0101, &[]));
        datagrams.push(stun(request, 0x0111, &[]));
        datagrams.push([forged.clone(), vec![0; 4]].concat());
        datagrams.push(stun(request, 0x0101, &[mapped(request, SEEN)]));
        datagrams.push(forged);
        datagrams
    });
    let line = json(&server.stun_address(&["--json", "--deadline=5s"]), 0);
    assert_eq!((&line["address"], &line["transmissions"]), (&SEEN.into(), &1.into()), "{line}");
}

#[test]
fn stun_reads_every_kind_of_address() {
    type Attributes = fn(&[u8]) -> Vec<Vec<u8>>;
    let cases: [(Attributes, &str); 13] = [
        (|request| vec![mapped(request, "203.0.113.9:65535")], "203.0.113.9:65535"),
        (|request| vec![mapped(request, "[2001:db8::7:9]:1")], "[2001:db8::7:9]:1"),
        (|_| vec![plain("203.0.113.9:40001")], "203.0.113.9:40001"),
        (|_| vec![plain("[2001:db8::7]:40001")], "[2001:db8::7]:40001"),
        // Something on the path may have changed the plain one.
        (|request| vec![plain("10.0.0.1:1"), mapped(request, SEEN)], SEEN),
        // Unknown ones, padded.
        (|request| vec![attribute(0x8022, b"a server"), attribute(0x802c, b"12345"), mapped(request, SEEN)], SEEN),
        // A plain one that cannot be read, wherever it stands: another family, too short.
        (|request| vec![attribute(0x0001, &[0, 3, 0, 0, 0, 0, 0, 0]), mapped(request, SEEN)], SEEN),
        (|request| vec![mapped(request, SEEN), attribute(0x0001, &[0, 1, 0])], SEEN),
        // An error code in a success.
        (|request| vec![attribute(0x0009, &[0]), mapped(request, SEEN)], SEEN),
        // Optional ones that are broken: no fingerprint, an alternate server of no family, a length beyond the end.
        (|request| vec![attribute(0x8028, b"1"), attribute(0x8023, &[0]), mapped(request, SEEN)], SEEN),
        (|request| vec![mapped(request, SEEN), vec![0x80, 0x22, 0xff, 0xff]], SEEN),
        // What servers of RFC 3489 add, and what stands behind an integrity that no one here has the key of.
        (|_| vec![plain(SEEN), attribute(0x0004, &[0; 8]), attribute(0x0005, &[0; 8])], SEEN),
        (|request| vec![mapped(request, SEEN), attribute(0x0008, &[7; 20]), attribute(0x7fff, b"")], SEEN),
    ];
    for (attributes, expected) in cases {
        let server = Server::answering(move |_, request| vec![stun(request, 0x0101, &attributes(request))]);
        let line = json(&server.stun_address(&["--json"]), 0);
        assert_eq!(line["address"], expected, "{line}");
        assert_eq!(line["local"].as_str().unwrap().parse(), Ok(server.asked()[0].1));
        let ended = server.stun_address(&[]);
        assert!(ended.stdout.contains(&format!("sees this host at {expected}\n")), "{ended:?}");
        assert!(ended.stdout.contains("somebody translates"), "{ended:?}");
    }
}

#[test]
fn stun_prints_an_error_as_the_reply_that_it_is() {
    let unknown: &[u8] = b"\0\0\x04\x14Unknown Attribute";
    let hostile: &[u8] = b"\0\0\x05\x00\x1b[2J \"busy\"\n";
    for (value, code, reason) in [(unknown, 420, "Unknown Attribute"), (hostile, 500, "[2J \"busy\"")] {
        let server = Server::answering(move |_, request| vec![stun(request, 0x0111, &[attribute(0x0009, value)])]);
        let ended = server.stun_address(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.ends_with(&format!("answers with error {code} {reason:?}\n")), "{ended:?}");
        let line = json(&server.stun_address(&["--json"]), 1);
        assert_eq!((&line["code"], &line["reason"]), (&code.into(), &reason.into()));
        assert_eq!(server.asked().len(), 2, "each was sent once");
    }
}

#[test]
fn stun_uses_no_answer_with_attributes_that_must_be_understood_and_are_not_and_lists_them() {
    type Attributes = fn(&[u8]) -> Vec<Vec<u8>>;
    let cases: [(u16, Attributes, &[&str]); 4] = [
        (0x0101, |request| vec![mapped(request, SEEN), attribute(0x0026, b"")], &["0x0026"]),
        (
            0x0101,
            |request| vec![attribute(0x7fff, b"x"), attribute(0, b""), mapped(request, SEEN)],
            &["0x7fff", "0x0000"],
        ),
        // Without an address, too; and an error is one no longer.
        (0x0101, |_| vec![attribute(0x000c, b"")], &["0x000c"]),
        (0x0111, |_| vec![attribute(0x0009, b"\0\0\x04\x14Unknown"), attribute(0x0024, b"1234")], &["0x0024"]),
    ];
    for (kind, attributes, listed) in cases {
        let server = Server::answering(move |_, request| vec![stun(request, kind, &attributes(request))]);
        let ended = server.stun_address(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.ends_with(&format!("understood and are not: {}\n", listed.join(", "))), "{ended:?}");
        let line = json(&server.stun_address(&["--json"]), 1);
        assert_eq!((&line["error"], &line["attributes"]), (&"unknown_attributes".into(), &listed.into()), "{line}");
        assert_eq!(server.asked().len(), 2, "each was sent once");
    }
}

#[test]
fn stun_takes_nothing_for_an_answer_whose_only_address_cannot_be_read() {
    type Attributes = fn(&[u8]) -> Vec<Vec<u8>>;
    let broken: [Attributes; 4] = [
        |_| vec![attribute(0x0001, &[0, 3, 0, 0, 0, 0, 0, 0])],
        // One that does not count stands for no other.
        |request| vec![attribute(0x0020, &[0, 3, 0, 0, 0, 0, 0, 0]), mapped(request, SEEN), plain(SEEN)],
        |request| vec![vec![0x80, 0x22, 0xff, 0xff], mapped(request, SEEN)],
        |request| vec![mapped(request, SEEN), vec![0, 0x24, 0xff, 0xff]],
    ];
    for attributes in broken {
        let server = Server::answering(move |_, request| vec![stun(request, 0x0101, &attributes(request))]);
        let line = json(&server.stun_address(&["--json", "--deadline=100ms"]), 1);
        assert_eq!(line["error"], "timed_out", "{line}");
    }
}

#[test]
fn stun_sends_the_same_request_again_after_half_a_second() {
    let server =
        Server::answering(
            |n, request| {
                if n == 0 { Vec::new() } else { vec![stun(request, 0x0101, &[mapped(request, SEEN)])] }
            },
        );
    let line = json(&server.stun_address(&["--json"]), 0);
    assert_eq!(line["transmissions"], 2);
    assert!((500.0..1_450.0).contains(&line["elapsed_ms"].as_f64().unwrap()), "{line}");
    let asked = server.asked();
    assert_eq!((asked.len(), &asked[0]), (2, &asked[1]));
}

pub(crate) const SEEN: &str = "203.0.113.7:40312";

pub(crate) fn stun(request: &[u8], kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    [&kind.to_be_bytes()[..], &(attributes.len() as u16).to_be_bytes(), &request[4..20], &attributes].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat();
    attribute.resize(attribute.len().next_multiple_of(4), b' ');
    attribute
}

/// XOR-MAPPED-ADDRESS.
pub(crate) fn mapped(request: &[u8], address: &str) -> Vec<u8> {
    let (mut port, mut ip) = octets(address);
    port.iter_mut().zip(&request[4..]).for_each(|(byte, key)| *byte ^= key);
    ip.iter_mut().zip(&request[4..]).for_each(|(byte, key)| *byte ^= key);
    attribute(0x0020, &[&[0, if ip.len() == 4 { 1 } else { 2 }][..], &port, &ip].concat())
}

/// MAPPED-ADDRESS.
fn plain(address: &str) -> Vec<u8> {
    let (port, ip) = octets(address);
    attribute(0x0001, &[&[0, if ip.len() == 4 { 1 } else { 2 }][..], &port, &ip].concat())
}

fn octets(address: &str) -> ([u8; 2], Vec<u8>) {
    let address: SocketAddr = address.parse().unwrap();
    let ip = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    (address.port().to_be_bytes(), ip)
}
