//! Paths without loss, with routers that report and such that do not.

use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::path_mtu::{Answer, Asked, EchoFormat, Evidence, ProbeFormat, Token, probe_path};
use udp_retry::pmtu::ProbeId;
use udp_retry::size::Pmtu;
use udp_retry::transport::{Fragmentation, PathIndex};
use udp_retry::{LossySink, Seed};

use crate::network::{FAMILIES, Network};

const ANY: usize = usize::MAX;

#[test]
fn what_a_path_carries_is_found_whether_routers_report_or_not() {
    for family in FAMILIES {
        for carries in [1280, 1400, 1420, 1492, 1500] {
            for report in ["", " report"] {
                let to_server = format!("delay 20ms; mtu {carries}{report}");
                let mut network = Network::new(family, &to_server, "delay 20ms", 1).respond(ANY, Some(1500));
                let found = network.probe(&EchoFormat::new()).unwrap();
                let what = format!("{family:?} {carries}{report}: {found:?}");
                assert_eq!(network.packet(found.forward), Some(carries), "{what}");
                assert_eq!(found.evidence, Evidence::Confirmed, "{what}");
                assert_eq!(found.reports, u32::from(!report.is_empty() && carries < 1500), "{what}");
                assert_eq!(found.round_trip, Some(Duration::from_millis(40)), "{what}");
                if report.is_empty() {
                    assert!(found.lost <= 4 && found.probes <= 20, "{what}");
                    assert!(found.took <= Duration::from_millis(1500), "{what}");
                } else {
                    assert_eq!(found.lost, 0, "{what}");
                    assert!(found.took <= Duration::from_millis(400), "{what}");
                }
            }
        }
    }
}

/// The first answer is late for the first wait, and says how long to wait for the others.
#[test]
fn a_path_that_is_slower_than_the_first_wait_is_searched_like_any_other() {
    for family in FAMILIES {
        let (there, back) = ("delay 700ms; mtu 1400", "delay 700ms");
        let mut network = Network::new(family, there, back, 1).respond(ANY, Some(1500));
        let found = network.probe(&EchoFormat::new()).unwrap();
        assert_eq!(network.packet(found.forward), Some(1400), "{found:?}");
        assert_eq!((found.evidence, found.round_trip), (Evidence::Confirmed, Some(Duration::from_millis(1400))));
        // Two were given up before the first answer came.
        assert!(found.lost <= 4 + 2, "{found:?}");
        assert!(found.probes <= 20 + 2, "{found:?}");
    }
}

#[test]
fn each_direction_has_a_size_of_its_own() {
    for family in FAMILIES {
        for (there, back) in [(1500, 1280), (1500, 1400), (1400, 1492), (1280, 1500)] {
            // Whether the far end knows what its way back carries, knows its interface alone, or nothing.
            for knows in [Some(back), Some(1500), None] {
                let to_server = format!("delay 20ms; mtu {there}");
                let to_client = format!("delay 20ms; mtu {back}");
                let mut network = Network::new(family, &to_server, &to_client, 1).respond(ANY, knows);
                let found = network.probe(&EchoFormat::new()).unwrap();
                let what = format!("{family:?} {there} {back} {knows:?}: {found:?}");
                assert_eq!(network.packet(found.forward), Some(there), "{what}");
                assert_eq!(network.packet(found.reverse), Some(back), "{what}");
                assert_eq!(found.evidence, Evidence::Confirmed, "{what}");
                let (there, back) = (if there < 1500 { 4 } else { 0 }, if knows == Some(back) { 0 } else { 4 });
                assert!(found.lost <= there + back, "{what}");
                assert!(found.probes <= 30, "{what}");
            }
        }
    }
}

#[test]
fn the_way_back_is_searched_up_to_three_times_what_gets_there() {
    for family in FAMILIES {
        let mut network = Network::new(family, "mtu 1400", "none", 1).respond(ANY, None);
        let found = network.probe(&EchoFormat::new()).unwrap();
        let forward = found.forward.unwrap().bytes();
        assert_eq!(network.packet(found.forward), Some(1400), "{found:?}");
        assert_eq!(found.reverse.map(|it| it.bytes()), Some(3 * forward), "{found:?}");
    }
}

#[test]
fn the_limit_of_a_service_is_not_taken_for_that_of_the_path() {
    for family in FAMILIES {
        for (path, evidence, carries) in [
            // The service stops at 1232 bytes of payload.
            ("mtu 1500", Evidence::ServiceOrPath, None),
            ("mtu 1400", Evidence::ServiceOrPath, None),
            // A router says that it is the path.
            ("mtu 1280 report", Evidence::Confirmed, Some(1280)),
        ] {
            let most = if carries.is_some() { ANY } else { 1232 };
            let to_server = format!("delay 20ms; {path}");
            let mut network = Network::new(family, &to_server, "delay 20ms", 1).respond(most, Some(1500));
            let found = network.probe(&Service).unwrap();
            assert_eq!(found.evidence, evidence, "{family:?} {path}: {found:?}");
            let forward = found.forward.unwrap().bytes();
            match carries {
                Some(carries) => assert_eq!(network.packet(found.forward), Some(carries), "{path}: {found:?}"),
                None => assert!((1200..=1232).contains(&forward), "{path}: {found:?}"),
            }
            assert_eq!(found.reverse, None, "{found:?}");
        }
        // All that this host sends arrives, so that nothing is left open.
        let mut network = Network::new(family, "delay 20ms", "delay 20ms", 1).respond(ANY, Some(1500));
        let found = network.probe(&Service).unwrap();
        assert_eq!((found.evidence, found.lost), (Evidence::Confirmed, 0), "{found:?}");
        assert_eq!(network.packet(found.forward), Some(1500));
    }
}

#[test]
fn a_size_that_was_lost_above_what_a_router_reports_leaves_nothing_open() {
    for family in FAMILIES {
        let mut network = Network::new(family, "delay 20ms; mtu 1400 report", "delay 20ms", 1).respond(ANY, Some(1500));
        // The first report is lost.
        let [client, server] = network.hosts;
        let at = |ms| Duration::from_millis(ms);
        network.net.at(at(30), move |net| net.partition_one_way(server, client).unwrap());
        network.net.at(at(200), move |net| net.heal(client, server).unwrap());
        let found = network.probe(&Service).unwrap();
        assert_eq!(network.packet(found.forward), Some(1400), "{found:?}");
        assert_eq!((found.lost, found.reports, found.evidence), (1, 1, Evidence::Confirmed), "{found:?}");
    }
}

#[test]
fn a_sink_is_a_path_as_well() {
    for family in FAMILIES {
        let network = Network::new(family, "delay 20ms", "delay 20ms", 1).respond(ANY, Some(1500));
        let profile = Profile { to_server: "mtu 1400".parse().unwrap(), to_client: "mtu 1280".parse().unwrap() };
        let mut sink = LossySink::at_client(network.transport, profile, Seed::new(1)).over(family);
        let found = probe_path(&mut sink, PathIndex::FIRST, &EchoFormat::new()).unwrap();
        let payload = |packet| Some(Pmtu::new(packet).plpmtu(family));
        assert_eq!((found.forward, found.reverse), (payload(1400), payload(1280)), "{found:?}");
        sink.get_mut().set_fragmentation(Fragmentation::ByEstimate);
        assert!(probe_path(&mut sink, PathIndex::FIRST, &EchoFormat::new()).is_err());
    }
}

#[test]
fn a_second_search_finds_the_same_whatever_the_host_has_learnt() {
    for family in FAMILIES {
        let mut network = Network::new(family, "delay 20ms; mtu 1400 report", "delay 20ms", 1).respond(ANY, Some(1500));
        for _ in 0..3 {
            let found = network.probe(&EchoFormat::new()).unwrap();
            assert_eq!((network.packet(found.forward), found.evidence), (Some(1400), Evidence::Confirmed), "{found:?}");
            assert_eq!(network.transport.kernel_pmtu().map(|it| it.bytes()), Some(1400));
        }
    }
}

/// A service that does not say what it received.
struct Service;

impl ProbeFormat for Service {
    fn write(&self, asked: &Asked, datagram: &mut Vec<u8>) -> bool {
        EchoFormat::new().write(asked, datagram)
    }

    fn judge(&self, token: &Token, datagram: &[u8]) -> Option<Answer> {
        match EchoFormat::new().judge(token, datagram)? {
            Answer::Arrived { id, .. } => Some(Answer::Arrived { id, received: None }),
            refused @ Answer::Refused { .. } => Some(refused),
        }
    }

    fn quoted(&self, token: &Token, beginning: &[u8]) -> Option<ProbeId> {
        EchoFormat::new().quoted(token, beginning)
    }
}
