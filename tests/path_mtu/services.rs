//! Far ends that know nothing of probes.

use udp_retry::path_mtu::{DnsPadding, Evidence, StunPadding};

use crate::network::{FAMILIES, Network};

#[test]
fn a_stun_server_answers_for_the_way_there() {
    for family in FAMILIES {
        // An error says as much as a success; a response with padding has to get back as well.
        for (class, padded) in [([0x01, 0x01], false), ([0x01, 0x11], false), ([0x01, 0x01], true)] {
            for (path, evidence, carries) in [
                ("mtu 1500", Evidence::Confirmed, 1500),
                ("mtu 1400", Evidence::ServiceOrPath, 1400),
                ("mtu 1492 report", Evidence::Confirmed, 1492),
            ] {
                let stun = move |request: &[u8]| {
                    assert_eq!(request[..2], [0, 1]);
                    let length = usize::from(u16::from_be_bytes([request[2], request[3]]));
                    assert_eq!((length + 20, length % 4), (request.len(), 0));
                    let mut response = request[..if padded { request.len() } else { 20 }].to_vec();
                    response[..2].copy_from_slice(&class);
                    Some(response)
                };
                let mut network = Network::new(family, &format!("delay 9ms; {path}"), "delay 9ms", 1).serve(stun);
                let found = network.probe(&StunPadding::new()).unwrap();
                assert_eq!(network.packet(found.forward), Some(carries), "{family:?} {path}: {found:?}");
                assert_eq!((found.evidence, found.reverse), (evidence, None), "{family:?} {path}: {found:?}");
            }
        }
    }
}

#[test]
fn a_size_that_stun_does_not_have_is_never_exceeded() {
    // The payload of 1450 is 1422 bytes, or 1402 over IPv6.
    for family in FAMILIES {
        for report in ["", " report"] {
            let stun = |request: &[u8]| Some([&[1, 1], &request[2..20]].concat());
            let mut network = Network::new(family, &format!("mtu 1450{report}"), "none", 1).serve(stun);
            let found = network.probe(&StunPadding::new()).unwrap();
            assert_eq!(network.packet(found.forward), Some(1440), "{family:?}: {found:?}");
        }
    }
}

#[test]
fn a_dns_server_that_takes_1232_bytes_leaves_open_what_the_path_carries() {
    for family in FAMILIES {
        for (most, evidence, payload) in
            [(1232, Evidence::ServiceOrPath, None), (9000, Evidence::Confirmed, Some(1500))]
        {
            let dns = move |query: &[u8]| {
                // The question ends before the record of EDNS.
                let end = 12 + 17;
                let mut response = query[..end].to_vec();
                response[2] |= 0x80;
                response[11] = 0;
                (query.len() <= most).then_some(response)
            };
            let mut network = Network::new(family, "delay 9ms", "delay 9ms", 1).serve(dns);
            let found = network.probe(&DnsPadding::new("example.org.").unwrap()).unwrap();
            assert_eq!((found.evidence, found.reverse), (evidence, None), "{family:?}: {found:?}");
            match payload {
                Some(packet) => assert_eq!(network.packet(found.forward), Some(packet), "{family:?}: {found:?}"),
                None => assert!((1200..=1232).contains(&found.forward.unwrap().bytes()), "{family:?}: {found:?}"),
            }
        }
    }
}
