//! Sockets without a peer.

use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::sim::{Happened, SimError, SimNet, SimUnconnected, echo};
use udp_retry::transport::{PathError, PathIndex, Received, Renewal, Route, Transport};

use super::{SERVER, at, balanced, hear, ip, ms, recording, spec, two};
use crate::waits::Waits;

#[test]
fn whatever_arrives_comes_with_the_route_of_its_answer() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile { to_server: spec("delay 30ms"), to_client: spec("delay 50ms") }).unwrap();
    let mut end = net.bind(server, SERVER).unwrap();
    let mut one = net.connect(client, SERVER).unwrap();
    let mut other = net.connect(client, SERVER).unwrap();
    one.send(PathIndex::FIRST, b"first").unwrap();
    other.send(PathIndex::FIRST, b"second").unwrap();
    let mut buffer = [0; 5];
    assert_eq!(end.wait(&mut buffer, ms(29)), Ok(None));
    let asked = end.wait(&mut buffer, ms(30)).unwrap().unwrap();
    let route = Route::new(one.local_addr().unwrap(), SERVER);
    assert_eq!((asked, buffer), (Received::new(route, 5, 5, ms(30)), *b"first"));
    let second = end.wait(&mut buffer, ms(30)).unwrap().unwrap();
    assert_eq!((second.len, second.actual, second.from.remote), (5, 6, other.local_addr().unwrap()));
    end.send(asked.from, b"answer").unwrap();
    assert_eq!(hear(&mut one, ms(100)), Some((b"answer".to_vec(), ms(80))));
    assert_eq!(hear(&mut other, ms(100)), None);
    balanced(&net);
}

#[test]
fn nothing_is_reported_of_what_was_refused() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    let mut end = net.bind(client, at("10.0.0.1:0")).unwrap();
    let route = end.route_to(SERVER);
    for _ in 0..3 {
        assert_eq!(end.send(route, b"?"), Ok(()));
        assert_eq!(end.wait(&mut [0; 8], net.now()), Ok(None));
    }
    assert_eq!(net.events().iter().filter(|event| event.what == Happened::RefusalLost).count(), 3);
    net.serve(SERVER, echo()).unwrap();
    end.send(route, b"?").unwrap();
    assert_eq!(end.wait(&mut [0; 8], net.now()).unwrap().map(|reply| reply.from), Some(route));
    net.path(client, server, Profile::both(spec("mtu 100 error"))).unwrap();
    assert!(matches!(end.send(route, &[0; 200]), Err(PathError::TooBig { .. })), "its own host says so at once");
    balanced(&net);
}

#[test]
fn an_unconnected_socket_has_one_port_for_good_and_closes_when_dropped() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    let mut end = net.bind(server, at("10.0.0.2:0")).unwrap();
    let first = end.local_addr();
    assert_eq!((first.ip(), first.port() >= 49_152), (ip("10.0.0.2"), true));
    assert_eq!(end.renew(end.route_to(SERVER), Renewal::Required), Err(PathError::Unsupported));
    assert_ne!(net.bind(server, at("10.0.0.2:0")).unwrap().local_addr(), first, "another port");
    assert_eq!(net.bind(server, first).unwrap_err(), SimError::InUse(first));
    assert_eq!(net.serve(first, echo()), Err(SimError::InUse(first)));
    assert_eq!(net.bind(client, first).unwrap_err(), SimError::NotOnHost(first.ip()));
    drop(end);
    let mut asking = net.connect(client, first).unwrap();
    asking.send(PathIndex::FIRST, b"?").unwrap();
    assert_eq!(asking.wait(&mut [0; 8], ms(1)), Err(PathError::Refused));
    assert!(net.bind(server, first).is_ok());
    balanced(&net);
}

#[test]
fn a_buffer_is_bounded_and_a_wait_can_end_late() {
    let net = recording(Seed::new(1));
    let (client, _) = two(&net);
    let end = net.bind(client, at("10.0.0.1:0")).unwrap().with_receive_buffer(2 * (768 + 4));
    let mut end = end.late_by(Duration::from_millis(5));
    net.serve(SERVER, echo()).unwrap();
    for n in 0..4 {
        end.send(end.route_to(SERVER), &[n; 4]).unwrap();
    }
    let mut buffer = [0; 4];
    for n in 0..2 {
        assert!(end.wait(&mut buffer, ms(0)).unwrap().is_some());
        assert_eq!(buffer, [n; 4]);
    }
    assert_eq!(net.events().iter().filter(|event| event.what == Happened::Overflowed).count(), 2);
    assert_eq!((end.wait(&mut buffer, ms(10)), net.now()), (Ok(None), ms(15)));
    balanced(&net);
}

#[test]
fn the_ids_of_an_event_loop_follow_from_the_networks_seed() {
    let keys = |seed| {
        let net = SimNet::new(Seed::new(seed));
        let host = net.host(ip("10.0.0.1")).unwrap();
        let mut end = net.bind(host, at("0.0.0.0:0")).unwrap();
        let mut keys = [[0; 32]; 2];
        keys.iter_mut().for_each(|key| end.entropy(key).unwrap());
        keys
    };
    assert_eq!(keys(1), keys(1));
    assert_ne!(keys(1), keys(2));
    assert_ne!(keys(1)[0], keys(1)[1]);
}

#[test]
fn a_nat_that_forgets_moves_an_event_loop_on_a_wildcard_too() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    let mut server = net.bind(server, SERVER).unwrap();
    let mut end: SimUnconnected = net.bind(client, at("0.0.0.0:700")).unwrap();
    let mut buffer = [0; 8];
    let mut ask = |end: &mut SimUnconnected| {
        end.send(end.route_to(SERVER), b"?").unwrap();
        server.wait(&mut buffer, net.now().after(Duration::from_millis(10))).unwrap().unwrap().from
    };
    let before = ask(&mut end);
    assert_eq!(before.remote, at("10.0.0.1:700"));
    net.rebind(client).unwrap();
    assert_eq!(end.local_addr(), at("0.0.0.0:700"), "its host does not know");
    let after = ask(&mut end);
    assert!(after.remote.ip() == before.remote.ip() && after.remote.port() != 700, "{after:?}");
    server.send(before, b"old").unwrap();
    server.send(after, b"new").unwrap();
    let reply = end.wait(&mut buffer, ms(100)).unwrap().unwrap();
    assert_eq!((reply.len, reply.from.local), (3, at("10.0.0.1:700")));
    assert_eq!(buffer[..3], *b"new");
    assert_eq!(net.events().iter().filter(|event| event.what == Happened::Vanished).count(), 1, "the old one vanished");
    balanced(&net);
}
