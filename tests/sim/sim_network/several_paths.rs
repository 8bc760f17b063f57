//! A client's end with a path to each of several servers.

use std::net::SocketAddr;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::sim::{HostId, SimError, SimNet, echo};
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewal, Renewed, Transport};

use super::{at, balanced, ip, ms, spec};
use crate::waits::Waits;

#[test]
fn datagrams_are_received_in_the_order_of_arrival_whatever_path_they_take() {
    let (net, client, hosts, servers) = three(["delay 30ms", "delay 10ms", "delay 20ms"]);
    let mut end = net.connect_all(client, &servers).unwrap();
    assert_eq!((end.peer_addr(), end.peer_addr_of(PathIndex::new(2))), (servers[0], Some(servers[2])));
    for path in paths() {
        end.send(path, &[path.number() as u8]).unwrap();
    }
    let mut buffer = [0; 8];
    let mut arrive = || {
        let received = end.wait(&mut buffer, ms(1000)).unwrap().unwrap();
        (received.from.number(), buffer[0], received.at)
    };
    assert_eq!([arrive(), arrive(), arrive()], [(1, 1, ms(20)), (2, 2, ms(40)), (0, 0, ms(60))]);

    // Also when they have waited together, and those of one moment in the order in which they arrived.
    for (host, delay) in hosts.into_iter().zip(["delay 20ms", "delay 10ms", "delay 10ms"]) {
        net.path(client, host, Profile::both(spec(delay))).unwrap();
    }
    for path in [2, 0, 1].map(PathIndex::new) {
        end.send(path, b"x").unwrap();
    }
    net.run_until(ms(200));
    let order: Vec<_> = (0..3).map(|_| end.wait(&mut buffer, ms(200)).unwrap().unwrap().from.number()).collect();
    assert_eq!(order, [2, 1, 0]);
    assert_eq!(end.wait(&mut buffer, ms(300)), Ok(None));
    balanced(&net);
}

#[test]
fn an_error_carries_its_path_and_meets_no_send_on_another() {
    let (net, client, _, servers) = three(["none"; 3]);
    net.stop(servers[1]);
    let mut end = net.connect_all(client, &servers).unwrap();
    let [first, second, third] = paths();
    end.send(third, b"waits behind it").unwrap();
    end.send(second, b"refused").unwrap();
    end.send(first, b"unharmed").unwrap();
    let mut buffer = [0; 20];
    let refused = Incoming::PathError { path: Some(second), error: PathError::Refused, quoted: 0 };
    assert_eq!(end.recv(&mut buffer, net.now(), ms(10)), refused);
    let order: Vec<_> = (0..2).map(|_| end.wait(&mut buffer, ms(10)).unwrap().unwrap().from).collect();
    assert_eq!(order, [third, first]);
    end.send(second, b"refused").unwrap();
    net.run_until(ms(1));
    assert_eq!(end.send(second, b"is not sent"), Err(PathError::Refused));
    assert_eq!(end.send(second, b"is"), Ok(()));
    assert_eq!(net.stats().sent, 3 + 2 + 2);
    balanced(&net);
}

#[test]
fn one_path_moves_and_the_others_keep_port_and_queue() {
    let (net, client, _, servers) = three(["delay 5ms"; 3]);
    let mut end = net.connect_all(client, &servers).unwrap();
    let [first, second, third] = paths();
    for path in paths() {
        end.send(path, b"queued").unwrap();
    }
    net.run_until(ms(20));
    let before = paths().map(|path| end.local_addr_of(path).unwrap());
    assert_eq!(end.renew(second, Renewal::Required), Ok(Renewed::FreshPort));
    let after = paths().map(|path| end.local_addr_of(path).unwrap());
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert_ne!(after[1], before[1]);
    let mut buffer = [0; 8];
    let order: Vec<_> = (0..2).map(|_| end.wait(&mut buffer, ms(20)).unwrap().unwrap().from).collect();
    assert_eq!(order, [first, third]);
    assert_eq!(end.wait(&mut buffer, ms(40)), Ok(None), "what was queued on the path that moved is gone");
    balanced(&net);
}

#[test]
fn a_path_that_is_not_there_is_unsupported_and_no_servers_are_refused() {
    let (net, client, _, servers) = three(["none"; 3]);
    let mut end = net.connect_all(client, &servers).unwrap();
    for beyond in [3, u32::MAX].map(PathIndex::new) {
        assert_eq!(end.send(beyond, b"x"), Err(PathError::Unsupported));
        assert_eq!(end.renew(beyond, Renewal::Required), Err(PathError::Unsupported));
        assert_eq!((end.local_addr_of(beyond), end.peer_addr_of(beyond)), (None, None));
    }
    assert_eq!(net.connect_all(client, &[]).unwrap_err(), SimError::NoServer);
    let other = at("[fd00::1]:7");
    assert_eq!(net.connect_all(client, &[servers[0], other]).unwrap_err(), SimError::OtherFamily(other));
    let ports: Vec<_> = paths().iter().map(|&path| end.local_addr_of(path).unwrap()).collect();
    drop(end);
    for port in ports {
        assert!(net.bind(client, port).is_ok(), "all are closed with the end");
    }
}

/// A client's host, and three servers that answer everything, over these paths.
fn three(paths: [&str; 3]) -> (SimNet, HostId, [HostId; 3], [SocketAddr; 3]) {
    let net = SimNet::new(Seed::new(1));
    let client = net.host(ip("10.0.0.1")).unwrap();
    let servers = ["10.0.0.2:7", "10.0.0.3:7", "10.0.0.4:7"].map(at);
    let hosts = servers.map(|server| net.host(server.ip()).unwrap());
    for ((host, server), path) in hosts.into_iter().zip(servers).zip(paths) {
        net.path(client, host, Profile::both(spec(path))).unwrap();
        net.serve(server, echo()).unwrap();
    }
    (net, client, hosts, servers)
}

fn paths() -> [PathIndex; 3] {
    [0, 1, 2].map(PathIndex::new)
}
