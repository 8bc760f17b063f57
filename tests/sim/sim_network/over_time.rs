//! Conditions that change, and what they are for hosts of either family.

use udp_retry::fault::{Direction, Profile};
use udp_retry::sim::{SimNet, echo, explore};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{Impairments, Seed};

use super::{SERVER, at, balanced, hear, ip, ms, spec, two};
use crate::waits::Waits;

#[test]
fn times_count_from_the_beginning_of_the_network() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.serve(SERVER, echo()).unwrap();
    net.run_until(ms(80));
    let to_server = spec("outage from 90ms for 5ms; at 100ms loss 100%; at 200ms none");
    net.path(client, server, Profile { to_server, ..Profile::default() }).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for (millis, passes) in [(80, true), (90, false), (95, true), (99, true), (100, false), (199, false), (200, true)] {
        net.run_until(ms(millis));
        transport.send(PathIndex::FIRST, b"x").unwrap();
        assert_eq!(hear(&mut transport, ms(millis)).is_some(), passes, "{millis}");
    }
    balanced(&net);
}

#[test]
fn the_mtu_leaves_less_between_hosts_of_ipv6() {
    for (here, there, limit) in [("10.0.0.1", "10.0.0.2:7", 1252), ("fd00::1", "[fd00::2]:7", 1232)] {
        for (headers, limit) in [("", limit), ("headers 28; ", 1252)] {
            let net = SimNet::new(Seed::new(1));
            let (client, server) = (net.host(ip(here)).unwrap(), net.host(at(there).ip()).unwrap());
            net.path(client, server, Profile::both(spec(&format!("{headers}mtu 1280 error")))).unwrap();
            net.serve(at(there), echo()).unwrap();
            let mut transport = net.connect(client, at(there)).unwrap();
            transport.send(PathIndex::FIRST, &vec![0; limit]).unwrap();
            let Err(PathError::TooBig { limit: Some(told), .. }) =
                transport.send(PathIndex::FIRST, &vec![0; limit + 1])
            else {
                panic!("{here}")
            };
            assert_eq!(told.bytes(), limit, "{here}, {headers}");
            assert_eq!(hear(&mut transport, ms(10)).unwrap().0.len(), limit);
        }
    }
}

#[test]
fn after_a_healing_what_is_in_flight_keeps_its_order_until_it_is_released() {
    for released in [false, true] {
        let net = SimNet::new(Seed::new(1));
        let (client, server) = two(&net);
        net.path(client, server, Profile { to_server: spec("delay 10s"), ..Profile::default() }).unwrap();
        net.serve(SERVER, echo()).unwrap();
        let mut transport = net.connect(client, SERVER).unwrap();
        for n in 0..3 {
            transport.send(PathIndex::FIRST, &[n]).unwrap();
        }
        net.run_until(ms(50));
        net.path(client, server, Profile::default()).unwrap();
        // The replies have a direction of their own.
        net.release(server, client).unwrap();
        if released {
            net.release(client, server).unwrap();
        }
        transport.send(PathIndex::FIRST, &[3]).unwrap();
        let expected = if released { 50 } else { 10_000 };
        if !released {
            assert_eq!(transport.wait(&mut [0; 8], ms(expected - 1)), Ok(None));
        }
        for n in 0..4 {
            assert_eq!(hear(&mut transport, ms(20_000)), Some((vec![n], ms(expected))), "{n}");
        }
        balanced(&net);
    }
}

#[test]
fn a_fault_under_changing_delays_is_boiled_down_and_repeats() {
    // The delay goes below that of the beginning, and what is lost is lost in the middle alone.
    let failure = explore(0..100, |net| {
        let (client, server) = two(net);
        let changing =
            spec("delay 50ms; at 100ms delay 5ms; at 100ms loss 30%; at 300ms delay 20ms; at 300ms loss none");
        net.path(client, server, Profile { to_server: changing, ..Profile::default() }).unwrap();
        net.serve(SERVER, echo()).unwrap();
        let mut transport = net.connect(client, SERVER).unwrap();
        for n in 0..10_u8 {
            net.run_until(ms(u64::from(n) * 40));
            transport.send(PathIndex::FIRST, &[n]).unwrap();
        }
        let heard = std::iter::from_fn(|| hear(&mut transport, ms(1000))).count();
        if heard == 10 { Ok(()) } else { Err("a reply is missing") }
    })
    .unwrap_err();
    let faults = failure.faults.unwrap();
    assert_eq!((faults.len(), faults[0].path, faults[0].direction), (1, 0, Direction::ToServer), "{faults:?}");
    assert!((4..=8).contains(&faults[0].n), "{faults:?}");
    assert_eq!(Impairments::NONE, spec("none"));
}
