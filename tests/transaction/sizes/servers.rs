//! Several servers: what each path carries is known of each.

use udp_retry::fault::Profile;
use udp_retry::servers::{ServerSettings, Spread};
use udp_retry::sim::{SimNet, echo};
use udp_retry::size::Plpmtu;
use udp_retry::transport::PathIndex;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{BASE, LARGE, seconds};

/// A client of two servers, the first of which is asked first, with this on the way to each.
fn two(paths: [&str; 2]) -> ReliableRequester<udp_retry::sim::SimTransport> {
    let net = SimNet::new(Seed::new(1));
    let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
    let servers: [std::net::SocketAddr; 2] = ["10.0.0.2:7", "10.0.0.3:7"].map(|it| it.parse().unwrap());
    for (server, text) in servers.into_iter().zip(paths) {
        let host = net.host(server.ip()).unwrap();
        net.path(client, host, Profile { to_server: text.parse().unwrap(), ..Profile::default() }).unwrap();
        net.serve(server, echo()).unwrap();
    }
    let settings = ServerSettings::new().with_spread(Spread::InOrder).unwrap();
    let policy = RetryPolicy::LAN.starting_at(seconds(1));
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy).servers(settings).buffer(2048);
    builder.over_servers(net.connect_all(client, &servers).unwrap(), 2).unwrap()
}

/// Where the transmissions of a request went, and what their builder was asked for; and which path answered.
fn ask<T>(requester: &mut ReliableRequester<T>, number: u32) -> (Vec<(u32, Option<Plpmtu>)>, Option<u32>)
where
    T: udp_retry::transport::Transport<Peer = PathIndex>,
{
    let mut asked = Vec::new();
    let reply = requester.request_with(|purpose, bytes| {
        asked.push((purpose.path.number(), purpose.at_most));
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.resize(purpose.at_most.map_or(LARGE, Plpmtu::bytes), 0);
    });
    let path = reply.ok().map(|reply| reply.path().number());
    (asked, path)
}

#[test]
fn a_hole_before_all_servers_takes_the_third_transmission_on_a_path_to_get_through() {
    let mut requester = two(["mtu 1400", "mtu 1400"]);
    let (asked, path) = ask(&mut requester, 0);
    assert_eq!(asked, [(0, None), (1, None), (0, None), (1, None), (0, BASE)]);
    assert_eq!(path, Some(0));
    // Whichever is asked first learns it; the other one has its turn meanwhile.
    let known = (1..20).find(|&number| ask(&mut requester, number).0[0].1 == BASE);
    assert_eq!(known, Some(9));
}

#[test]
fn a_hole_before_one_server_is_no_other_servers() {
    let mut requester = two(["mtu 1400", "none"]);
    for number in 0..20 {
        let (asked, path) = ask(&mut requester, number);
        assert_eq!(path, Some(1));
        assert!(asked.iter().all(|it| *it == (0, None) || *it == (1, None)), "{asked:?}");
    }
}
