//! Path MTU, refusals and broadcast over real routers: each test runs again inside network namespaces of its own,
//! built and removed by `tests/namespaces/netns-pmtu.sh` (its head draws the topologies). That takes Linux, root and
//! iproute2; elsewhere the tests are skipped and say so, and with `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "a server in another namespace takes real time to start")]

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::{Applied, Fragmentation, kernel_pmtu, set_fragmentation};
use udp_retry::policy::Backoff;
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, any_reply, transaction_id};

use crate::again::{Ending, this_test};
use crate::built::built;
use crate::inside::{Inside, PORT, run};
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_estimate_is_the_first_hops_until_traffic_has_flowed_and_the_paths_thereafter() {
    built("loopback_echo");
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "chain") else {
            return;
        };
        for (server, overhead) in [(&network.server4, 28), (&network.server6, 48)] {
            let _server = listing_at(server);
            let mut client = ConnectedUdp::connect((server.as_str(), PORT)).unwrap();
            assert_eq!(set_fragmentation(client.as_socket(), Fragmentation::Forbidden).unwrap(), Applied::Enforced);
            assert_eq!(kernel_pmtu(client.as_socket()).unwrap().bytes(), 1500);

            assert_eq!(
                client.send(PathIndex::FIRST, &[b'x'; 65_000]),
                Err(too_big(1500 - overhead)),
                "over the interface"
            );
            assert_eq!(kernel_pmtu(client.as_socket()).unwrap().bytes(), 1500, "nothing has left yet");

            client.send(PathIndex::FIRST, &payload(1500 - overhead)).unwrap();
            assert_eq!(hear(&mut client), Err(too_big(1400 - overhead)), "the router's report");
            assert_eq!(kernel_pmtu(client.as_socket()).unwrap().bytes(), 1400);

            assert_eq!(client.send(PathIndex::FIRST, &payload(1400 - overhead + 1)), Err(too_big(1400 - overhead)));
            client.send(PathIndex::FIRST, &payload(1400 - overhead)).unwrap();
            assert_eq!(hear(&mut client), Ok(Some(format!("Your data was {} bytes long", 1400 - overhead))));
        }
    });
}

#[test]
fn two_narrow_hops_cost_two_reports() {
    built("loopback_echo");
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "chain2") else { return };
        let _server = listing_at(&network.server4);
        let mut client = ConnectedUdp::connect((network.server4.as_str(), PORT)).unwrap();
        set_fragmentation(client.as_socket(), Fragmentation::Forbidden).unwrap();
        for (size, limit) in [(1472, 1372), (1372, 1272)] {
            client.send(PathIndex::FIRST, &payload(size)).unwrap();
            assert_eq!(hear(&mut client), Err(too_big(limit)));
        }
        client.send(PathIndex::FIRST, &payload(1272)).unwrap();
        assert_eq!(hear(&mut client), Ok(Some("Your data was 1272 bytes long".into())));
    });
}

#[test]
fn a_request_above_the_path_mtu_gets_through_on_its_second_transmission() {
    built("loopback_echo");
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "chain") else {
            return;
        };
        for server in [&network.server4, &network.server6] {
            let _server = listing_at(server);
            let mut requester = ReliableRequester::builder(any_reply())
                .policy(RetryPolicy::LAN)
                .connect((server.as_str(), PORT))
                .unwrap();
            let reply = requester.request(payload(1450)).unwrap();
            assert_eq!((reply.payload(), reply.transmissions()), (&b"Your data was 1450 bytes long"[..], 2));
        }
    });
}

#[test]
fn a_black_hole_is_silent_and_the_estimate_knows_nothing_of_it() {
    built("loopback_echo");
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "blackhole") else { return };
        let _server = listing_at(&network.server4);
        let policy = RetryPolicy::new(Backoff::constant(50 * MS).unwrap()).with_max_transmissions(3).unwrap();
        let mut requester =
            ReliableRequester::builder(any_reply()).policy(policy).connect((network.server4.as_str(), PORT)).unwrap();
        assert_eq!(requester.request(payload(1372)).unwrap().transmissions(), 1);
        let error = requester.request(payload(1472)).unwrap_err();
        assert!(error.is_timeout());
        assert_eq!((error.last_path_error(), error.execution()), (None, Execution::Unknown));
        assert_eq!(
            kernel_pmtu(requester.transport().socket(PathIndex::FIRST).unwrap().as_socket()).unwrap().bytes(),
            1500
        );
    });
}

#[test]
fn a_closed_port_behind_a_router_is_refused_on_the_full_schedule() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "chain") else { return };
        for server in [&network.server4, &network.server6] {
            let policy = RetryPolicy::new(Backoff::constant(200 * MS).unwrap()).with_max_transmissions(3).unwrap();
            let mut requester = ReliableRequester::builder(transaction_id(0..4))
                .policy(policy)
                .connect((server.as_str(), PORT))
                .unwrap();
            let error = requester.request(b"0001 anyone?").unwrap_err();
            assert_eq!(error.failure(), Failure::Refused);
            assert_eq!((error.transmissions(), error.execution()), (3, Execution::Refused));
            assert!(error.elapsed() >= 600 * MS);
        }
    });
}

#[test]
fn the_big_datagram_example_finds_the_first_hops_limit() {
    built("loopback_echo");
    built("big_datagram");
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        for (server, most) in [(&network.server4, "1472"), (&network.server6, "1452")] {
            let _server = listing_at(server);
            let output = Command::new(built("big_datagram")).args([server, "-p", "1060"]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{text}");
            assert!(text.contains("1500") && text.contains(most), "{text}");
        }
    });
}

#[test]
fn a_subnet_broadcast_reaches_every_listener_on_the_segment() {
    built("broadcast");
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "bridge") else { return };
        let mut listeners = ["PM_SERVER", "PM_THIRD"].map(|host| {
            let mut listener = spawn(host, "broadcast", &["server", "", "-p", "1060"]);
            listener.wait_for_line("istening");
            listener
        });
        let sent = Command::new(built("broadcast")).args(["client", "10.211.1.255", "-p", "1060"]).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        for listener in &mut listeners {
            listener.wait_for_line("10.211.1.1");
        }
    });
}

#[test]
fn a_limited_broadcast_without_a_route_is_explained() {
    built("broadcast");
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "bridge") else { return };
        let refusal = refused_broadcast(&["<broadcast>"]);
        assert!(refusal.contains("without a default route") && refusal.contains("--from"), "{refusal}");
    });
}

#[test]
fn a_limited_broadcast_leaves_by_the_interface_of_the_address_it_is_sent_from() {
    built("broadcast");
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "bridge") else { return };
        let mut listener = spawn("PM_SERVER", "broadcast", &["server", "", "-p", "1060"]);
        listener.wait_for_line("istening");
        let mut client = Command::new(built("broadcast"));
        let sent = client.args(["client", "<broadcast>", "--from", "10.211.1.1", "-p", "1060"]).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        listener.wait_for_line("10.211.1.1");
        let stranger = refused_broadcast(&["<broadcast>", "--from", "192.0.2.9"]);
        assert!(stranger.contains("192.0.2.9"), "{stranger}");
    });
}

#[test]
fn a_broadcast_whose_interface_is_down_blames_no_default_route() {
    built("broadcast");
    within(MINUTE, || {
        let Some(_network) = Inside::of(this_test!(), "bridge") else { return };
        run(&format!("ip link set {}cb down", env::var("PM_PREFIX").unwrap()));
        for arguments in [&["10.211.1.255"][..], &["10.211.1.255", "--from", "10.211.1.1"], &["224.0.0.1"]] {
            let refusal = refused_broadcast(arguments);
            let why = "no interface that is up has this broadcast address";
            assert!(refusal.contains(why) && !refusal.contains("default route"), "{arguments:?}: {refusal}");
        }
    });
}

#[track_caller]
fn refused_broadcast(arguments: &[&str]) -> String {
    let sent = Command::new(built("broadcast")).arg("client").args(arguments).args(["-p", "1060"]).output().unwrap();
    let refusal = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert_eq!(sent.status.code(), Some(1), "{arguments:?}: {refusal}");
    refusal
}

/// The server of the first listing, which answers with the length of what it heard.
fn listing_at(address: &str) -> Program {
    let mut server = spawn("PM_SERVER", "loopback_echo", &["server", address, "-p", "1060"]);
    server.wait_for_line("istening");
    server
}

fn spawn(host: &str, name: &str, arguments: &[&str]) -> Program {
    let mut process = Command::new("ip")
        .args(["netns", "exec", &env::var(host).unwrap()])
        .arg(built(name))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines_of(process.stdout.take().unwrap());
    Program { _process: Ending(process), lines }
}

/// A program in another namespace; ends with the test.
struct Program {
    _process: Ending,
    lines: mpsc::Receiver<String>,
}

impl Program {
    #[track_caller]
    fn wait_for_line(&mut self, part: &str) {
        let start = Instant::now();
        while let Ok(line) = self.lines.recv_timeout((5000 * MS).saturating_sub(start.elapsed())) {
            if line.contains(part) {
                return;
            }
        }
        panic!("no line with {part:?}");
    }
}

fn lines_of(output: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn hear(client: &mut ConnectedUdp) -> Result<Option<String>, PathError> {
    let mut buffer = [0; 100];
    let until = client.now().after(2000 * MS);
    let heard = client.wait(&mut buffer, until)?;
    Ok(heard.map(|heard| String::from_utf8_lossy(&buffer[..heard.len]).into_owned()))
}

fn payload(len: u16) -> Vec<u8> {
    vec![b'x'; len.into()]
}

fn too_big(most: u16) -> PathError {
    PathError::too_big(Some(Plpmtu::new(most)))
}
