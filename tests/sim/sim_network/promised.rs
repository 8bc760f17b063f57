//! What a scenario asks for is what it gets, or it is told: paths whatever came before them, faults that miss, hosts
//! of other networks, addresses that are none.

use std::time::Duration;

use udp_retry::fault::{Direction, Fate, Link, Profile};
use udp_retry::sim::{Dose, Happened, HostId, SimError, SimNet, Unmet, echo, explore};
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{SERVER, at, hear, ip, ms, recording, spec, two};

/// Things to do before the path between the first two of four hosts is asked for; each must change nothing.
const BEFORE: [(&str, Before); 8] = [
    ("nothing", |_, _| {}),
    ("heal, server first", |net, [client, server, ..]| net.heal(server, client).unwrap()),
    ("partition and heal, client first", |net, [client, server, ..]| {
        net.partition(client, server).unwrap();
        net.heal(client, server).unwrap();
    }),
    ("a partition of others, server first", |net, [client, server, third, fourth]| {
        net.partition_one_way(server, client).unwrap();
        net.heal(server, client).unwrap();
        net.partition(third, server).unwrap();
        net.partition(third, fourth).unwrap();
    }),
    ("doses that limit nothing", |net, [client, server, ..]| {
        net.dose(server, client, Dose::at_most(1, 1).unwrap()).unwrap();
        net.dose(client, server, Dose::at_most(1, 1).unwrap()).unwrap();
    }),
    ("requests and their refusals", |net, [client, ..]| sends(net, client, SERVER)),
    ("datagrams the other way", |net, [_, server, ..]| sends(net, server, at("10.0.0.1:7"))),
    ("datagrams between others", |net, [_, server, third, _]| {
        sends(net, third, at("10.0.0.4:7"));
        sends(net, third, SERVER);
        sends(net, server, at("10.0.0.3:7"));
    }),
];

fn sends(net: &SimNet, from: HostId, to: std::net::SocketAddr) {
    let mut transport = net.connect(from, to).unwrap();
    for _ in 0..3 {
        let _ = transport.send(PathIndex::FIRST, b"early");
        net.run_until(net.now());
    }
}

type Before = fn(&SimNet, [HostId; 4]);

/// The fates of 100 requests and their replies, each with path and direction.
fn fates(before: Before) -> Vec<(u64, Direction, u64, Fate)> {
    let net = SimNet::new(Seed::new(5));
    let hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|address| net.host(ip(address)).unwrap());
    before(&net, hosts);
    net.record();
    net.path(hosts[0], hosts[1], Profile { to_server: spec("loss 30%; duplicate 10%"), to_client: spec("loss 10%") })
        .unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(hosts[0], SERVER).unwrap();
    for n in 0..100_u8 {
        transport.send(PathIndex::FIRST, &[n]).unwrap();
    }
    let fates = net.events().into_iter().filter_map(|event| match event.what {
        Happened::Sent { path, direction, n, fate } => Some((path, direction, n, fate)),
        _ => None,
    });
    fates.collect()
}

#[test]
fn a_path_has_the_same_ends_number_and_fates_whatever_was_done_before_it_was_asked_for() {
    let undisturbed = fates(BEFORE[0].1);
    assert!(undisturbed.len() > 150 && undisturbed.iter().all(|(path, ..)| *path == 0));
    let mut first = Link::new(spec("loss 30%; duplicate 10%"), Direction::ToServer.link_seed(Seed::new(5), 0));
    let requests = undisturbed.iter().filter(|(_, direction, ..)| *direction == Direction::ToServer);
    assert!(requests.into_iter().all(|(.., fate)| *fate == first.transmit(ms(0), &[0])), "those of a bare link");
    for (name, before) in BEFORE {
        assert_eq!(fates(before), undisturbed, "{name}");
    }
}

#[test]
fn healing_before_the_path_is_made_does_not_turn_it_round() {
    let scenario = |net: &SimNet| {
        let (client, server) = two(net);
        net.heal(server, client).unwrap();
        net.path(client, server, Profile { to_server: spec("loss 30%"), ..Profile::default() }).unwrap();
        net.serve(SERVER, echo()).unwrap();
        let transport = net.connect(client, SERVER).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).seed(net.seed());
        let mut requester = builder.over(transport).unwrap();
        if requester.request(&[1, 1]).is_ok_and(|reply| reply.transmissions() == 2) { Err("two") } else { Ok(()) }
    };
    let failure = explore(0..1000, scenario).unwrap_err();
    assert!(failure.to_string().contains("to_server: \"drop 1\""), "{failure}");
}

#[test]
fn a_partition_and_a_dose_from_before_the_path_hold_on_it_in_their_own_directions() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.serve(SERVER, echo()).unwrap();
    net.partition_one_way(server, client).unwrap();
    net.dose(client, server, Dose::at_most(0, 1).unwrap()).unwrap();
    net.path(client, server, Profile::both(spec("loss 100%"))).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for _ in 0..10 {
        transport.send(PathIndex::FIRST, b"x").unwrap();
    }
    assert_eq!(hear(&mut transport, ms(10)), None);
    let stats = net.stats();
    assert_eq!((stats.arrived, stats.partitioned, stats.dropped), (10, 10, 0), "{stats:?}");
    net.heal(client, server).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(net.stats().dropped, 0);
    net.run_until(ms(20));
    assert_eq!(net.stats().dropped, 1, "the reply, which no dose spares");
}

#[test]
fn a_host_of_another_network_is_refused_by_every_call_that_takes_one() {
    let (net, other) = (SimNet::new(Seed::new(1)), SimNet::new(Seed::new(1)));
    let (client, _) = two(&net);
    let (foreign, _) = two(&other);
    let wrong = Err(SimError::OtherNetwork);
    for (one, two) in [(client, foreign), (foreign, client), (foreign, foreign)] {
        assert_eq!(net.path(one, two, Profile::default()), wrong);
        assert_eq!(net.dose(one, two, Dose::at_most(1, 2).unwrap()), wrong);
        assert_eq!(net.partition(one, two), wrong);
        assert_eq!(net.partition_one_way(one, two), wrong);
        assert_eq!(net.heal(one, two), wrong);
    }
    assert_eq!([net.take_down(foreign), net.bring_up(foreign), net.rebind(foreign)], [wrong; 3]);
    assert_eq!(net.connect(foreign, SERVER).err(), Some(SimError::OtherNetwork));
    assert_eq!(net.serve_connected(foreign, SERVER, echo()), Err(SimError::OtherNetwork));
    assert_eq!((net.trace_hash(), net.next_due()), (SimNet::new(Seed::new(1)).trace_hash(), None));
    // A clone is the same network.
    assert_eq!(net.clone().take_down(client), Ok(()));
    assert_eq!(format!("{client:?}"), format!("{foreign:?}"), "and its number depends on no other network");
}

#[test]
fn what_is_not_the_address_of_one_host_is_none_and_port_0_is_no_port() {
    let net = SimNet::new(Seed::new(1));
    let none = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.2.3", "::", "ff02::1", "::ffff:0.0.0.0"];
    for address in none.map(ip) {
        assert_eq!(net.host(address), Err(SimError::NotAHost(address)));
    }
    two(&net);
    assert_eq!(net.serve(at("10.0.0.2:0"), echo()), Err(SimError::PortZero(at("10.0.0.2:0"))));
    assert_eq!(SimError::NotAHost(ip("::")).to_string(), ":: is not the address of one host");
}

#[test]
fn every_fault_that_has_met_no_datagram_is_reported_and_no_other() {
    let net = SimNet::new(Seed::new(1));
    let hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| net.host(ip(address)).unwrap());
    let [client, server, third] = hosts;
    let profile = Profile {
        to_server: spec(
            "script { drop 2; delay 9 by 1s }; outage from 100ms for 50ms; outage from 1h for 1s every 24h",
        ),
        ..Profile::default()
    };
    net.path(client, server, profile).unwrap();
    net.path(server, third, Profile::both(spec("loss 30%"))).unwrap();
    net.path(client, third, Profile::default()).unwrap();
    net.serve(SERVER, echo()).unwrap();
    net.partition(third, server).unwrap();
    net.partition(third, server).unwrap();
    net.take_down(third).unwrap();
    let unmet = |net: &SimNet| net.unmet().iter().map(ToString::to_string).collect::<Vec<_>>();
    let missed = [
        "10.0.0.3, down since 0 ms, was sent no datagram and sent none",
        "the rule \"drop 2\" 10.0.0.1 -> 10.0.0.2 met no datagram",
        "the rule \"delay 9 by 1s\" 10.0.0.1 -> 10.0.0.2 met no datagram",
        "the outage 10.0.0.1 -> 10.0.0.2 from 100ms for 50ms met no datagram",
        "the outage 10.0.0.1 -> 10.0.0.2 from 3600s for 1s every 86400s met no datagram",
        "no datagram took the path between 10.0.0.2 and 10.0.0.3",
        "the partition 10.0.0.3 <-> 10.0.0.2 since 0 ms met no datagram",
    ];
    let path = "no datagram took the path between 10.0.0.1 and 10.0.0.2";
    assert_eq!(unmet(&net), [&missed[..1], &[path], &missed[1..]].concat());

    let mut transport = net.connect(client, SERVER).unwrap();
    for time in [10, 20, 110] {
        net.run_until(ms(time));
        transport.send(PathIndex::FIRST, b"x").unwrap();
    }
    let left = [missed[0], missed[2], missed[4], missed[5], missed[6]];
    assert_eq!(unmet(&net), left);
    assert!(format!("{net:?}").contains("unmet: [Down"), "{net:?}");

    // A partition is met in either direction; a host that is down, by what it is sent and by what it would send.
    net.partition(client, server).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    net.heal(client, server).unwrap();
    assert_eq!(unmet(&net), left);
    for (host, to) in [(third, at("10.0.0.1:7")), (client, at("10.0.0.3:7"))] {
        net.bring_up(third).unwrap();
        assert!(matches!(net.unmet()[0], Unmet::Down { since, .. } if since == ms(0)), "still, when it has ended");
        let before = net.unmet().len();
        net.take_down(third).unwrap();
        assert_eq!(net.unmet().len(), before + 1);
        net.connect(host, to).unwrap().send(PathIndex::FIRST, b"x").unwrap();
        net.run_until(net.now().after(Duration::from_millis(1)));
        assert_eq!(net.unmet().len(), before);
    }
    // Rules and outages that are taken away unmet stay so; those that stay keep what they have met.
    let kept = Profile { to_server: spec("script { drop 2 }; outage from 100ms for 50ms"), ..Profile::default() };
    net.path(client, server, kept).unwrap();
    assert!(unmet(&net).contains(&missed[2].to_string()) && !unmet(&net).contains(&missed[3].to_string()));
    assert!(unmet(&net).contains(&missed[1].to_string()), "a new script begins with the next datagram, number 5");
}

#[test]
fn a_host_that_is_down_learns_of_no_refusal() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    net.run_until(ms(7));
    net.take_down(client).unwrap();
    net.run_until(ms(20));
    assert_eq!(net.events().last().map(|event| event.what), Some(Happened::RefusalLost));
    net.bring_up(client).unwrap();
    assert_eq!(transport.send(PathIndex::FIRST, b"x"), Ok(()));
}
