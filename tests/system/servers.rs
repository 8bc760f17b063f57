//! A requester over several servers, on loopback.
#![expect(clippy::disallowed_types, reason = "servers that say nothing")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use udp_retry::net::UdpPaths;
use udp_retry::servers::{Health, ServerSettings, Spread};
use udp_retry::transaction::{Failure, OnUnreachable};
use udp_retry::transport::PathIndex;
use udp_retry::{ConcurrentRequester, ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::closed::closed_port;
use crate::echoes::{Echo, Manner};
use crate::watchdog::within;

#[test]
fn a_name_with_a_mute_address_costs_a_quarter_of_a_second_and_a_round_trip() {
    within(MINUTE, || {
        let (mute, server) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Echo::start("127.0.0.1", Manner::Prompt));
        let name = [mute.local_addr().unwrap(), server.address];
        let in_order = ServerSettings::new().with_spread(Spread::InOrder).unwrap();
        // A machine that stalls makes it more; not every time.
        for left in (0..TRIES).rev() {
            let builder = ReliableRequester::builder(transaction_id(0..4)).servers(in_order);
            let mut requester = builder.connect(&name[..]).unwrap();
            let reply = requester.request(b"0001 ping").unwrap();
            assert_eq!((reply.payload(), reply.path().number(), reply.transmissions()), (&b"0001 ping"[..], 1, 2));
            assert!(reply.elapsed() >= Duration::from_millis(250), "{:?}", reply.elapsed());
            if reply.elapsed() < Duration::from_millis(400) {
                break;
            }
            assert!(left > 0, "{}", reply.timeline());
        }
    });
}

#[test]
fn a_server_that_is_not_there_delays_no_request_and_is_no_longer_asked() {
    within(MINUTE, || {
        let closed = closed_port();
        let server = Echo::start("127.0.0.1", Manner::Prompt);
        let servers = [closed, server.address].map(|address| address.to_string());
        for matcher_by_port in [false, true] {
            let mut requester = match matcher_by_port {
                false => ReliableRequester::connect_any(servers.clone(), transaction_id(0..8).stamped()),
                true => ReliableRequester::connect_any(servers.clone(), any_reply()),
            }
            .unwrap();
            let sent: u32 = (0..40).map(|_| asked(&mut requester)).sum();
            // Some go to the one that refuses, until three in a row make it dead; later ones are probes.
            assert!((41..=60).contains(&sent), "{sent} transmissions");
            let health: Vec<_> = requester.server_states().map(|state| state.health).collect();
            assert!(matches!(health[..], [Health::Dead { .. }, Health::Good { .. }]), "{health:?}");
        }
    });
}

fn asked(requester: &mut ReliableRequester) -> u32 {
    let reply = requester.request(b"........ping").unwrap();
    assert_eq!((&reply.payload()[8..], reply.path().number()), (&b"ping"[..], 1));
    reply.transmissions()
}

#[test]
fn a_request_to_servers_that_all_refuse_fails_fast_only_when_the_last_one_has() {
    within(MINUTE, || {
        let closed = [(); 3].map(|()| closed_port());
        let builder = ReliableRequester::builder(transaction_id(0..4)).on_unreachable(OnUnreachable::FailFast);
        let mut requester = builder.connect(&closed[..]).unwrap();
        let error = requester.request(b"0001 ping").unwrap_err();
        assert_eq!((error.failure(), error.transmissions()), (Failure::Refused, 3), "{}", error.timeline());
        let paths: Vec<_> = error.paths().iter().map(|path| (path.path.number(), path.transmissions)).collect();
        assert_eq!(paths, [(0, 1), (1, 1), (2, 1)]);
    });
}

#[test]
fn a_single_server_has_no_set_and_keeps_the_policys_schedule() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let policy = RetryPolicy::LAN.with_max_transmissions(2).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
        let mut requester = builder.connect(silent.local_addr().unwrap()).unwrap();
        assert_eq!(requester.server_states().count(), 0);
        let error = requester.request(b"0001 ping").unwrap_err();
        let sent: Vec<_> = error.timeline().transmissions().collect();
        assert!(sent.len() == 2 && sent[1] >= Duration::from_millis(100), "{}", error.timeline());
        assert_eq!((error.peer(), error.paths().len()), (silent.local_addr().ok(), 1));
    });
}

#[test]
fn many_in_flight_ask_all_addresses_of_a_name_and_none_waits_for_one_that_says_nothing() {
    within(MINUTE, || {
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let good = [(); 2].map(|()| Echo::start("127.0.0.1", Manner::Prompt));
        let name = [mute.local_addr().unwrap(), good[0].address, good[1].address];
        let mut requester = ConcurrentRequester::connect(&name[..], transaction_id(0..8).stamped()).unwrap();
        let group = requester.service().unwrap();
        let mut answered = [0; 3];
        for round in 0..20 {
            for token in 0..50 {
                requester.submit(b"........ping", token).unwrap();
            }
            while let Some(done) = requester.wait() {
                assert_eq!(done.reply().unwrap()[8..], *b"ping", "round {round}");
                answered[done.peer().number() as usize] += 1;
            }
        }
        assert!(answered[0] == 0 && answered[1] > 100 && answered[2] > 100, "{answered:?}");
        let health: Vec<_> = requester.server_states(group).map(|state| state.health).collect();
        assert!(matches!(health[..], [_, Health::Good { .. }, Health::Good { .. }]), "{health:?}");
    });
}

#[test]
fn many_in_flight_at_one_address_make_no_group_and_say_where_it_is() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let policy = RetryPolicy::LAN.with_max_transmissions(1).unwrap();
        let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(policy);
        let mut requester = builder.connect(silent.local_addr().unwrap()).unwrap();
        assert_eq!(requester.service(), None);
        requester.submit(b"0001 ping", 1).unwrap();
        let error = requester.wait().unwrap().reply().unwrap_err();
        assert_eq!(error.peer(), silent.local_addr().ok());
    });
}

#[test]
fn how_several_are_chosen_is_what_the_builder_was_told() {
    within(MINUTE, || {
        let good = [(); 2].map(|()| Echo::start("127.0.0.1", Manner::Prompt));
        let in_order = ServerSettings::new().with_spread(Spread::InOrder).unwrap();
        let names = good.each_ref().map(|server| server.address.to_string());
        let builder = ConcurrentRequester::builder(transaction_id(0..8).stamped()).servers(in_order);
        let mut requester = builder.connect_any(names).unwrap();
        for _ in 0..50 {
            requester.submit(b"........ping", 0).unwrap();
            let done = requester.wait().unwrap();
            assert!(done.reply().is_ok());
            // A machine that stalls may bring in the second one beside it.
            assert!(done.peer().number() == 0 || done.transmissions() > 1, "{done:?}");
        }
    });
}

#[test]
fn a_socket_that_becomes_a_path_keeps_its_handles() {
    within(MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut socket = ConnectedUdp::connect(silent.local_addr().unwrap()).unwrap();
        let handle = socket.cancel_handle().unwrap();
        let paths = UdpPaths::from(socket);
        assert_eq!((paths.len(), paths.address(PathIndex::FIRST)), (1, silent.local_addr().ok()));
        let mut requester = ReliableRequester::builder(transaction_id(0..4)).over(paths).unwrap();
        let later = requester.cancel_handle().unwrap();
        for handle in [handle, later] {
            handle.cancel();
            assert_eq!(requester.request(b"0001 ping").unwrap_err().failure(), Failure::Cancelled);
        }
        assert_eq!(requester.into_transport().into_socket().unwrap().peer_addr(), silent.local_addr().unwrap());
    });
}

#[test]
fn a_server_without_an_address_that_this_host_can_reach_is_an_error_when_connecting() {
    let broadcast = [SocketAddr::from(([255, 255, 255, 255], 9))];
    let refused = ReliableRequester::connect(&broadcast[..], transaction_id(0..4)).map(|_| ()).unwrap_err();
    #[cfg(target_os = "linux")]
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    let _ = refused;
    assert!(ReliableRequester::connect(&[][..], transaction_id(0..4)).is_err());
    assert!(ReliableRequester::connect_any([""; 0], transaction_id(0..4)).is_err());
    assert!(ReliableRequester::connect_any(["host.invalid:9"], transaction_id(0..4)).is_err());
    let refused = ConcurrentRequester::connect(&broadcast[..], transaction_id(0..4)).map(|_| ()).unwrap_err();
    #[cfg(target_os = "linux")]
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    let _ = refused;
    assert!(ConcurrentRequester::connect(&[][..], transaction_id(0..4)).is_err());
    assert!(ConcurrentRequester::connect_any([""; 0], transaction_id(0..4)).is_err());
    assert!(ConcurrentRequester::connect_any(["host.invalid:9"], transaction_id(0..4)).is_err());
}

const MINUTE: Duration = Duration::from_secs(60);
/// A requester that is late fails all of them; a machine that stalls, some.
const TRIES: u32 = 10;
