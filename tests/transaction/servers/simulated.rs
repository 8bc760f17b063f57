//! The requester over a simulated network with several servers.

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::requester::OverServersError;
use udp_retry::servers::{Health, ServerSettings, ServersError, Spread};
use udp_retry::sim::{HostId, SimNet, SimTransport, echo, explore};
use udp_retry::transaction::ReplyMatcher;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use super::ms;

#[test]
fn a_dead_server_costs_a_few_requests_a_failover_and_the_rest_nothing() {
    let (net, client, _, servers) = network(3, "delay 10ms");
    let mut requester = requester(&net, client, &servers, transaction_id(0..4));
    net.stop(servers[1]);
    let mut slow = 0;
    for number in 0..1_000_u32 {
        let reply = requester.request(&number.to_be_bytes()).unwrap();
        assert_eq!(reply.payload(), number.to_be_bytes());
        assert_ne!(reply.path().number(), 1);
        slow += u32::from(reply.elapsed() > ms(40));
    }
    assert_eq!(slow, 0, "refusals hasten");
    let states: Vec<_> = requester.server_states().collect();
    assert!(matches!(states[1].health, Health::Dead { .. }), "{states:?}");
    assert_eq!(states[1].transmissions, 3 + states[1].probes);
}

#[test]
fn a_server_that_comes_back_is_asked_again_and_no_request_waits_for_it() {
    for stamped in [false, true] {
        let (net, client, hosts, servers) = network(2, "delay 10ms");
        let settings = ServerSettings::new().with_spread(Spread::InOrder).unwrap();
        let matcher = if stamped { transaction_id(0..4).stamped() } else { transaction_id(0..4) };
        let transport = net.connect_all(client, &servers).unwrap();
        let mut requester = ReliableRequester::builder(matcher).servers(settings).over_servers(transport, 2).unwrap();
        let first_is = |text: &str| net.path(client, hosts[0], Profile::both(text.parse().unwrap())).unwrap();
        first_is("loss 100%");
        let mut ask = |net: &SimNet, number: u32| {
            net.run_until(net.now().after(ms(100)));
            let reply = requester.request(&number.to_be_bytes()).unwrap();
            assert!(reply.elapsed() <= ms(1_100), "{}", reply.timeline());
            reply.path().number()
        };
        let first: Vec<_> = (0..100).map(|number| ask(&net, number)).collect();
        assert!(first.iter().all(|&path| path == 1));
        first_is("delay 10ms");
        let then: Vec<_> = (100..600).map(|number| ask(&net, number)).collect();
        assert!(then[400..].iter().all(|&path| path == 0), "back to the primary");
    }
}

#[test]
fn without_ids_no_request_gets_the_reply_to_another_one() {
    let (net, client, _, servers) = network(3, "delay 20ms ~15ms; loss 5%; duplicate 20% late 300ms");
    let mut requester = requester(&net, client, &servers, any_reply());
    let mut answered = 0;
    for number in 0..2_000_u32 {
        if let Ok(reply) = requester.request(&number.to_be_bytes()) {
            assert_eq!(reply.payload(), number.to_be_bytes());
            answered += 1;
        }
    }
    assert!(answered > 1_900, "{answered}");
}

#[test]
fn from_1_to_64_servers_can_be_asked() {
    let (net, client, _, servers) = network(1, "none");
    for (count, possible) in [(0, false), (1, true), (64, true), (65, false)] {
        let transport = net.connect_all(client, &servers).unwrap();
        let built = ReliableRequester::builder(any_reply()).over_servers(transport, count);
        let error = built.err();
        assert_eq!(error.is_none(), possible, "{count}");
        assert!(error.is_none_or(|error| matches!(error, OverServersError::Servers(ServersError::Count { .. }))));
    }
}

#[test]
fn in_every_explored_network_each_reply_is_the_right_one_and_comes_by_the_deadline() {
    let runs = explore(0..300, |net: &SimNet| -> Result<(), Box<dyn std::error::Error>> {
        let (client, _, servers) = build(net, 3, "delay 15ms ~10ms; loss 10%; duplicate 5%")?;
        let draws = net.seed().derive(1);
        for (server, path) in servers.iter().zip(0..) {
            let (down, for_so_long) = (draws.draw(path) % 2_000, draws.draw(path + 10) % 3_000);
            let (stopped, back) = (*server, *server);
            net.at(ms(down), move |net| {
                net.stop(stopped);
            });
            net.at(ms(down + for_so_long), move |net| {
                net.serve(back, echo()).ok();
            });
        }
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(RetryPolicy::LAN)
            .deadline(ms(1_500))
            .over_servers(net.connect_all(client, &servers)?, 3)?;
        for number in 0..60_u32 {
            match requester.request(&number.to_be_bytes()) {
                Ok(reply) => assert_eq!(reply.payload(), number.to_be_bytes()),
                Err(error) => assert!(error.elapsed() <= ms(1_500), "{error}"),
            }
            net.run_until(net.now().after(ms(20)));
        }
        Ok(())
    });
    assert_eq!(runs.unwrap_or_else(|failure| panic!("{failure}")), 300);
}

type Hosts = (HostId, Vec<HostId>, Vec<SocketAddr>);

fn network(count: u8, impairments: &str) -> (SimNet, HostId, Vec<HostId>, Vec<SocketAddr>) {
    let net = SimNet::new(Seed::new(3));
    let (client, hosts, servers) = build(&net, count, impairments).unwrap();
    (net, client, hosts, servers)
}

fn build(net: &SimNet, count: u8, impairments: &str) -> Result<Hosts, Box<dyn std::error::Error>> {
    let client = net.host("10.0.1.1".parse()?)?;
    let (mut hosts, mut servers) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let server: SocketAddr = format!("10.0.0.{number}:53").parse()?;
        let host = net.host(server.ip())?;
        net.path(client, host, Profile::both(impairments.parse()?))?;
        net.serve(server, echo())?;
        hosts.push(host);
        servers.push(server);
    }
    Ok((client, hosts, servers))
}

fn requester(
    net: &SimNet,
    client: HostId,
    servers: &[SocketAddr],
    matcher: impl ReplyMatcher + Send + Sync + 'static,
) -> ReliableRequester<SimTransport> {
    let transport = net.connect_all(client, servers).unwrap();
    let policy = RetryPolicy::LAN.with_deadline(Duration::from_secs(5)).unwrap();
    ReliableRequester::builder(matcher).policy(policy).over_servers(transport, servers.len()).unwrap()
}
