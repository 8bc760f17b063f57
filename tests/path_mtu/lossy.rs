//! Paths that lose datagrams by chance, reorder and duplicate them.

use udp_retry::path_mtu::{EchoFormat, Evidence};

use crate::network::{FAMILIES, Network};

const CARRIES: [u32; 6] = [1500, 1492, 1480, 1420, 1400, 1280];

#[test]
fn a_lossy_path_is_found_in_nearly_every_case_and_never_too_large() {
    for (loss, least) in [(10, 196), (30, 186)] {
        let (mut right, mut back, mut answered) = (0, 0, 0);
        for seed in 0..200 {
            let family = FAMILIES[seed as usize % 2];
            let carries = CARRIES[seed as usize % 6];
            let to_server = format!("loss {loss}%; delay 20ms ~5ms unordered; mtu {carries}");
            let to_client = format!("loss {loss}%; delay 20ms ~5ms unordered; duplicate 5%; mtu {}", carries.min(1480));
            let mut network = Network::new(family, &to_server, &to_client, seed).respond(usize::MAX, Some(1500));
            let found = network.probe(&EchoFormat::new()).unwrap();
            let packet = network.packet(found.forward);
            assert!(packet.is_none_or(|it| it <= carries), "{seed}: {found:?}");
            assert!(network.packet(found.reverse).is_none_or(|it| it <= carries.min(1480)), "{seed}: {found:?}");
            back += u32::from(network.packet(found.reverse) == Some(carries.min(1480)));
            answered += u32::from(found.evidence == Evidence::Confirmed);
            right += u32::from(packet == Some(carries));
        }
        println!("{loss} %: {right} of 200 right, {back} back, {answered} answered");
        assert!(right >= least, "{loss} %: {right} of 200");
        assert!(back >= least, "{loss} %: {back} of 200 back");
        assert!(answered >= 199, "{loss} %: {answered} of 200");
    }
}
