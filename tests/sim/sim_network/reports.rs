//! Routers that report what is too large, and what kernels make of it.

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Happened, HostId, SimNet, SimTransport, check_determinism, echo, explore};
use udp_retry::size::{IpFamily, Plpmtu, Pmtu};
use udp_retry::transport::{Fragmentation, Incoming, PathError, PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{at, balanced, ip, ms, recording, spec};
use crate::waits::Waits;

#[test]
fn what_exceeds_the_estimate_goes_as_the_mode_of_its_socket_says() {
    use Fragmentation::{Allowed, ByEstimate, Forbidden, Probing};
    for family in [IpFamily::V4, IpFamily::V6] {
        for mode in [ByEstimate, Allowed, Forbidden, Probing] {
            let (net, mut end) = narrow(family, "mtu 1400 report", mode);
            let lost = Came { sent: true, error: Some(PathError::too_big(Some(payload(family)))), echoed: false };
            let echoed = Came { sent: true, error: None, echoed: true };
            let divisible = family == IpFamily::V4 && mode == Allowed;
            assert_eq!(send(&net, &mut end, 1500), if divisible { echoed } else { lost }, "{family:?} {mode:?}");
            let estimate = (!divisible).then_some(Pmtu::new(1400));
            assert_eq!(end.kernel_pmtu(), estimate, "{family:?} {mode:?}");
            let second = match mode {
                ByEstimate | Allowed => echoed,
                Forbidden => {
                    Came { sent: false, error: Some(PathError::too_big(Some(payload(family)))), echoed: false }
                }
                _ => lost,
            };
            assert_eq!(send(&net, &mut end, 1500), second, "{family:?} {mode:?}");
            assert_eq!(send(&net, &mut end, 1400), echoed, "{family:?} {mode:?}: what fits fits");
            balanced(&net);
        }
    }
}

#[test]
fn a_report_takes_the_link_back_quotes_what_was_lost_and_can_be_lost_itself() {
    let (net, mut end) = narrow(IpFamily::V4, "delay 30ms; mtu 1400 report", Fragmentation::ByEstimate);
    net.record();
    let datagram: Vec<u8> = (0..1400_u32).map(|n| n as u8).collect();
    end.send(PathIndex::FIRST, &datagram).unwrap();
    let mut buffer = [0; 2000];
    let error = PathError::too_big(Some(Plpmtu::new(1372)));
    let reported = Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted: 520 };
    assert_eq!((end.recv(&mut buffer, net.now(), ms(500)), net.now()), (reported, ms(7)));
    assert_eq!(buffer[..520], datagram[..520]);
    assert_eq!(end.wait(&mut buffer, ms(500)), Ok(None), "once");
    let whats: Vec<_> = net.events().into_iter().map(|event| event.what).collect();
    assert!(
        matches!(whats[..], [Happened::Sent { .. }, Happened::ReportSent { .. }, Happened::ReportArrived]),
        "{whats:?}"
    );
    let story = net.events().iter().map(|event| event.to_string()).collect::<Vec<_>>().join("\n");
    assert!(story.contains("too large for a router, reported as number 1"), "{story}");

    for (back, partitioned) in [("loss 100%", false), ("none", true)] {
        let net = recording(Seed::new(1));
        let (client, server) = hosts(&net, IpFamily::V4);
        net.path(client, server, Profile { to_server: spec("mtu 1400 report"), to_client: spec(back) }).unwrap();
        if partitioned {
            net.partition_one_way(server, client).unwrap();
        }
        let mut end = net.connect(client, address(IpFamily::V4)).unwrap();
        end.send(PathIndex::FIRST, &datagram).unwrap();
        assert_eq!((end.wait(&mut buffer, ms(500)), end.kernel_pmtu()), (Ok(None), None), "{back}");
        balanced(&net);
    }
}

#[test]
fn a_path_that_reports_nothing_teaches_nothing() {
    for clause in ["mtu 1400", "mtu 1400 error", "mtu 1400 truncate"] {
        let (net, mut end) = narrow(IpFamily::V4, clause, Fragmentation::ByEstimate);
        let _ = send(&net, &mut end, 1500);
        let _ = send(&net, &mut end, 1500);
        assert_eq!(end.kernel_pmtu(), None, "{clause}");
        assert!(!net.events().iter().any(|event| matches!(event.what, Happened::ReportSent { .. })), "{clause}");
        balanced(&net);
    }
    // Of IPv4 routers fragment what they may, also those that report nothing.
    let (net, mut end) = narrow(IpFamily::V4, "mtu 1400", Fragmentation::Allowed);
    assert!(send(&net, &mut end, 1500).echoed);
    let (net, mut end) = narrow(IpFamily::V6, "mtu 1400", Fragmentation::Allowed);
    assert!(!send(&net, &mut end, 1500).echoed);
}

#[test]
fn an_estimate_holds_for_all_sockets_of_the_host_and_one_destination_for_ten_minutes() {
    for family in [IpFamily::V4, IpFamily::V6] {
        let (net, mut end, client, _) = narrow_between(family, "mtu 1400 report", Fragmentation::ByEstimate);
        let mut sibling = net.connect(client, end.peer_addr()).unwrap();
        sibling.set_fragmentation(Fragmentation::Forbidden);
        let unconnected = net.bind(client, SocketAddr::new(end.local_addr().unwrap().ip(), 0)).unwrap();
        let learned = net.now().after(Duration::from_millis(7));
        let _ = send(&net, &mut end, 1500);
        assert_eq!(sibling.kernel_pmtu(), Some(Pmtu::new(1400)));
        assert_eq!(unconnected.kernel_pmtu_to(end.peer_addr()), Some(Pmtu::new(1400)));
        let other = SocketAddr::new(if family == IpFamily::V4 { ip("10.0.0.9") } else { ip("fd00::9") }, 7);
        assert_eq!(unconnected.kernel_pmtu_to(other), None);
        assert!(!send(&net, &mut sibling, 1500).sent);
        let last = learned.after(Duration::from_secs(600) - Duration::from_millis(5));
        net.run_until(last);
        assert!(sibling.kernel_pmtu().is_some());
        net.run_until(last.after(Duration::from_millis(10)));
        assert_eq!(sibling.kernel_pmtu(), None, "it has expired");
        let again = send(&net, &mut sibling, 1500);
        assert!(again.sent && !again.echoed && sibling.kernel_pmtu().is_some(), "one more is lost: {again:?}");
        balanced(&net);
    }
}

#[test]
fn an_unconnected_socket_is_told_nothing_though_its_host_learns() {
    let (net, connected, client, _) = narrow_between(IpFamily::V4, "mtu 1400 report", Fragmentation::ByEstimate);
    let mut end = net.bind(client, at("0.0.0.0:0")).unwrap();
    let (route, mut buffer) = (end.route_to(connected.peer_addr()), [0; 2000]);
    end.send(route, &[1; 1472]).unwrap();
    assert_eq!(end.wait(&mut buffer, net.now().after(Duration::from_secs(1))), Ok(None));
    assert_eq!(end.kernel_pmtu_to(connected.peer_addr()), Some(Pmtu::new(1400)));
    end.set_fragmentation(Fragmentation::Forbidden);
    assert_eq!(end.send(route, &[1; 1472]), Err(PathError::too_big(Some(Plpmtu::new(1372)))));
    end.set_fragmentation(Fragmentation::ByEstimate);
    end.send(route, &[1; 1472]).unwrap();
    assert!(end.wait(&mut buffer, net.now().after(Duration::from_secs(1))).unwrap().is_some());
    balanced(&net);
}

#[test]
fn a_path_that_becomes_narrower_is_reported_again_and_one_that_widens_is_not_noticed() {
    for (family, arrives) in [(IpFamily::V4, true), (IpFamily::V6, false)] {
        let (net, mut end, client, server) = narrow_between(family, "mtu 1400 report", Fragmentation::ByEstimate);
        let _ = send(&net, &mut end, 1500);
        net.path(
            client,
            server,
            Profile { to_server: spec(&clause(family, "mtu 1300 report")), to_client: spec("none") },
        )
        .unwrap();
        // Fragments of 1,400 bytes, which a router splits again if they are of IPv4.
        assert_eq!(send(&net, &mut end, 1500).echoed, arrives, "{family:?}");
        // By now IPv6 knows; IPv4 learns with the first packet that must not be split.
        assert_eq!(send(&net, &mut end, 1380).echoed, !arrives, "{family:?}");
        assert_eq!(end.kernel_pmtu(), Some(Pmtu::new(1300)));
        assert!(send(&net, &mut end, 1500).echoed);
        net.path(client, server, Profile::default()).unwrap();
        net.report(end.peer_addr(), end.local_addr().unwrap(), Pmtu::new(1500), &[]);
        assert_eq!(end.kernel_pmtu(), Some(Pmtu::new(1300)), "no report raises an estimate");
        balanced(&net);
    }
}

#[test]
fn a_forged_report_is_believed_as_far_as_linux_believes_it() {
    let told = |end: &mut SimTransport| end.wait(&mut [0; 64], end.now());
    // (claimed, believed, what the socket is told would fit)
    let v4 = [(1000, Some(1000), Some(972)), (100, Some(552), Some(524)), (0, Some(552), Some(524))];
    let v6 = [(1280, Some(1280), Some(1232)), (1100, None, None), (0, None, None)];
    for (family, cases) in [(IpFamily::V4, v4), (IpFamily::V6, v6)] {
        for (claimed, believed, fits) in cases {
            let (net, mut end) = narrow(family, "none", Fragmentation::ByEstimate);
            net.report(end.peer_addr(), end.local_addr().unwrap(), Pmtu::new(claimed), b"");
            assert_eq!(end.kernel_pmtu(), believed.map(Pmtu::new), "{family:?} {claimed}");
            assert_eq!(told(&mut end), Err(PathError::too_big(fits.map(Plpmtu::new))), "{family:?} {claimed}");
            assert!(send(&net, &mut end, 1500).echoed, "in fragments, or whole");
            end.set_fragmentation(Fragmentation::Forbidden);
            assert_eq!(send(&net, &mut end, 1400).sent, believed.is_none(), "{family:?} {claimed}");
            balanced(&net);
        }
    }
    // Not without a socket from which such a datagram can have come.
    let (net, mut end) = narrow(IpFamily::V4, "none", Fragmentation::ByEstimate);
    let (own, peer) = (end.local_addr().unwrap(), end.peer_addr());
    for (from, to) in [(peer, SocketAddr::new(own.ip(), 9)), (at("10.0.0.2:99"), own), (peer, at("10.7.7.7:7"))] {
        net.report(from, to, Pmtu::new(600), b"");
        assert_eq!((end.kernel_pmtu(), told(&mut end)), (None, Ok(None)), "{from} {to}");
        assert_eq!(net.events().last().unwrap().what, Happened::ReportLost);
    }
    // The quote is whatever the forger writes.
    net.report(peer, own, Pmtu::new(600), b"guess");
    let mut buffer = [0; 3];
    assert!(matches!(end.recv(&mut buffer, net.now(), net.now()), Incoming::PathError { quoted: 3, .. }));
    assert_eq!(buffer, *b"gue");
}

#[test]
fn below_what_linux_believes_ipv4_packets_may_be_fragmented_and_others_are_lost() {
    let (net, mut end) = narrow(IpFamily::V4, "mtu 500 report", Fragmentation::ByEstimate);
    assert!(!send(&net, &mut end, 540).echoed);
    assert_eq!(end.kernel_pmtu(), Some(Pmtu::new(552)));
    assert!(send(&net, &mut end, 540).echoed, "it fits the estimate, and goes without \"don't fragment\"");
    end.set_fragmentation(Fragmentation::Forbidden);
    for _ in 0..3 {
        assert!(!send(&net, &mut end, 540).echoed, "lost for good");
    }
}

#[test]
fn what_exceeds_the_own_interface_goes_in_fragments_or_is_refused_at_once() {
    use Fragmentation::{Allowed, ByEstimate, Forbidden, Probing};
    for family in [IpFamily::V4, IpFamily::V6] {
        for mode in [ByEstimate, Allowed, Forbidden, Probing] {
            let (net, mut end, client, _) = narrow_between(family, "mtu 1400 report", mode);
            net.interface_mtu(client, Pmtu::new(1500)).unwrap();
            assert_eq!(end.kernel_pmtu(), Some(Pmtu::new(1500)), "before anything was sent");
            let limit = |pmtu| Some(PathError::too_big(Some(Pmtu::new(pmtu).plpmtu(family))));
            let first = send(&net, &mut end, 1900);
            match mode {
                Forbidden | Probing => {
                    assert_eq!(first, Came { sent: false, error: limit(1500), echoed: false }, "{family:?} {mode:?}");
                    assert_eq!(send(&net, &mut end, 1500).error, limit(1400), "a router's word");
                    let refused = send(&net, &mut end, 1450);
                    assert_eq!((refused.sent, refused.error), (mode == Probing, limit(1400)), "{family:?} {mode:?}");
                    assert_eq!(send(&net, &mut end, 1900).error, limit(if mode == Probing { 1500 } else { 1400 }));
                }
                _ => {
                    // Fragments of 1,500 bytes, which a router may split again if they are of IPv4.
                    assert_eq!(first.echoed, family == IpFamily::V4, "{family:?} {mode:?}");
                    assert!(send(&net, &mut end, 1900).echoed, "{family:?} {mode:?}");
                }
            }
            balanced(&net);
        }
    }
    // A report that claims more is no news.
    let (net, end, client, _) = narrow_between(IpFamily::V4, "none", ByEstimate);
    net.interface_mtu(client, Pmtu::new(1300)).unwrap();
    net.report(end.peer_addr(), end.local_addr().unwrap(), Pmtu::new(1400), b"");
    assert_eq!(end.kernel_pmtu(), Some(Pmtu::new(1300)));
}

#[test]
fn a_request_that_is_too_large_for_a_router_gets_its_reply_with_the_second_transmission() {
    for profile in [
        Profile { to_server: spec("delay 10ms; mtu 1400 report"), to_client: spec("delay 10ms") },
        // The server's kernel learns as well.
        Profile { to_server: spec("delay 10ms"), to_client: spec("delay 10ms; mtu 1300 report") },
    ] {
        let net = SimNet::new(Seed::new(1));
        let (client, server) = hosts(&net, IpFamily::V4);
        net.path(client, server, profile).unwrap();
        net.serve(address(IpFamily::V4), echo()).unwrap();
        let transport = net.connect(client, address(IpFamily::V4)).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..4).stamped()).policy(RetryPolicy::LAN);
        let mut requester = builder.over(transport).unwrap();
        assert_eq!(requester.request(&[7; 1400]).unwrap().transmissions(), 2);
        assert_eq!(requester.request(&[7; 1400]).unwrap().transmissions(), 1);
        balanced(&net);
    }
}

#[test]
fn routers_are_part_of_the_path_and_no_fault_of_a_run() {
    let scenario = |net: &SimNet| {
        let (client, server) = hosts(net, IpFamily::V4);
        let narrow = spec("loss 20%; delay 10ms ~9ms; mtu 1400 report");
        net.path(client, server, Profile { to_server: narrow, to_client: spec("loss 20%; delay 10ms") }).unwrap();
        net.serve(address(IpFamily::V4), echo()).unwrap();
        let mut end = net.connect(client, address(IpFamily::V4)).unwrap();
        // Once, as what is lost without a report teaches nothing.
        end.send(PathIndex::FIRST, &[7; 1400]).unwrap();
        let _ = end.wait(&mut [0; 2000], net.now().after(Duration::from_millis(100)));
        match end.kernel_pmtu() {
            Some(pmtu) => Err(format!("learned {pmtu}")),
            None => Ok(()),
        }
    };
    check_determinism(Seed::new(3), scenario).unwrap();
    let failure = explore(0..100, scenario).unwrap_err();
    assert_eq!(failure.faults, Some(vec![]), "{failure}");
    assert_eq!(failure.shrunk_error.as_deref(), Some("learned 1400-byte packets"));
}

#[test]
fn what_a_dose_spares_is_not_reported() {
    let (net, mut end) = narrow(IpFamily::V4, "mtu 1400 report; dose 0 of 1", Fragmentation::ByEstimate);
    assert_eq!(send(&net, &mut end, 1500), Came { sent: true, error: None, echoed: true });
    assert_eq!(end.kernel_pmtu(), None);
    balanced(&net);
}

/// What a send of a datagram came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Came {
    sent: bool,
    error: Option<PathError>,
    echoed: bool,
}

/// Sends a datagram that makes an IP packet of this size, and waits.
fn send(net: &SimNet, end: &mut SimTransport, packet: usize) -> Came {
    let headers = IpFamily::of(end.peer_addr().ip()).overhead() as usize;
    let mut came = Came { sent: false, error: None, echoed: false };
    match end.send(PathIndex::FIRST, &vec![7; packet - headers]) {
        Ok(()) => came.sent = true,
        Err(error) => came.error = Some(error),
    }
    let until = net.now().after(Duration::from_secs(1));
    while let Some(heard) = end.wait(&mut [0; 2000], until).transpose() {
        match heard {
            Ok(received) => came.echoed = received.actual == packet - headers,
            Err(error) => came.error = Some(error),
        }
    }
    came
}

/// A client and an echo behind a path that is as said on the way there, and takes 7 ms back.
fn narrow(family: IpFamily, there: &str, mode: Fragmentation) -> (SimNet, SimTransport) {
    let (net, end, ..) = narrow_between(family, there, mode);
    (net, end)
}

fn narrow_between(family: IpFamily, there: &str, mode: Fragmentation) -> (SimNet, SimTransport, HostId, HostId) {
    let net = recording(Seed::new(1));
    let (client, server) = hosts(&net, family);
    let to_server = if there == "none" { spec(there) } else { spec(&clause(family, there)) };
    net.path(client, server, Profile { to_server, to_client: spec("delay 7ms") }).unwrap();
    net.serve(address(family), echo()).unwrap();
    let mut end = net.connect(client, address(family)).unwrap();
    end.set_fragmentation(mode);
    (net, end, client, server)
}

fn hosts(net: &SimNet, family: IpFamily) -> (HostId, HostId) {
    let client = if family == IpFamily::V4 { ip("10.0.0.1") } else { ip("fd00::1") };
    (net.host(client).unwrap(), net.host(address(family).ip()).unwrap())
}

fn address(family: IpFamily) -> SocketAddr {
    if family == IpFamily::V4 { at("10.0.0.2:7") } else { at("[fd00::2]:7") }
}

fn clause(family: IpFamily, clause: &str) -> String {
    format!("headers {}; {clause}", family.overhead())
}

/// What fits into 1,400 bytes.
fn payload(family: IpFamily) -> Plpmtu {
    Pmtu::new(1400).plpmtu(family)
}
