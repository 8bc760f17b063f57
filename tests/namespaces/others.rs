//! What tracepath, scamper, the searches of others and ours find over real routers, at which cost: the table of the guide's page.
//!
//! `tests/install-programs.sh` installs both programs; where they are not, the tests are skipped and say so, and with
//! `UDP_RETRY_REQUIRE_ALL` set that is a failure. They need a raw socket that counts their packets.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, programs and clocks are the point"
)]

use std::io::Read;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation};
use udp_retry::path_mtu::{Answer, Asked, EchoFormat, PathReport, ProbeFormat, Token, probe_path};
use udp_retry::pmtu::ProbeId;
use udp_retry::policy::RttEstimator;
use udp_retry::size::{IpFamily, Plpmtu, Pmtu};
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};

use crate::again::this_test;
use crate::inside::{Inside, PORT};
use crate::installed::installed;
use crate::path_mtu::forget_paths;
use crate::strategies::{Halving, Strategy, Upwards};
use crate::watchdog::{MINUTE, within};

const V4: IpFamily = IpFamily::V4;
const PAGE: &str = include_str!("../../src/guide/path_mtu.rs");

#[test]
fn what_each_finds_on_a_direct_path_stands_in_the_guide() {
    within(MINUTE, || measure(this_test!(), "direct"));
}

#[test]
fn what_each_finds_behind_a_narrow_link_stands_in_the_guide() {
    within(MINUTE, || measure(this_test!(), "chain"));
}

#[test]
fn what_each_finds_behind_two_narrow_links_stands_in_the_guide() {
    within(MINUTE, || measure(this_test!(), "chain2"));
}

#[test]
fn what_each_finds_in_a_black_hole_stands_in_the_guide() {
    within(MINUTE, || measure(this_test!(), "blackhole"));
}

#[test]
fn what_each_finds_behind_a_switch_that_drops_stands_in_the_guide() {
    within(MINUTE, || measure(this_test!(), "l2hole"));
}

#[test]
fn what_each_finds_where_the_way_back_is_narrow_stands_in_the_guide() {
    within(MINUTE, || measure(this_test!(), "asym"));
}

/// What was found, in bytes of an IP packet, by this many packets, of which so many did not arrive, and in what time.
struct Found(String, u32, u32, Duration);

fn measure(test: &'static str, topology: &str) {
    if cfg!(udp_retry_portable) || !installed(test, &["tracepath", "scamper"]) {
        return;
    }
    let Some(network) = Inside::of(test, topology) else { return };
    let server = network.server4.as_str();
    // By default both wait longer, tracepath for 30 hops.
    let hops = if topology == "chain2" { "3" } else { "2" };
    let trace = format!("trace -P udp -M -m {hops} -w 1 -q 1");
    let programs = [
        program(test, &["tracepath", "-n", "-m", hops, server], "Resume: pmtu "),
        program(test, &["scamper", "-c", &trace, "-i", server], "[mtu: "),
    ];
    let _responder = network.respond(server);
    // A machine that stalls delays an answer: a probe more is lost then.
    let is_so = (0..3).any(|_| {
        forget_paths();
        let both = both(server);
        forget_paths();
        let one_way = one_way(server);
        let [halving, upwards] =
            [strategy(server, &mut Halving::new(1228, 1500)), strategy(server, &mut Upwards::new(1228, 1500))];
        let searches = [halving, upwards, one_way, both];
        let cells: Vec<String> = programs.iter().chain(&searches).map(cell).collect();
        println!("//! | `{topology}` | {} |", cells.join(" | "));
        let counted = |cells: &[&str]| {
            cells.iter().map(|it| it.rsplit_once(" · ").map_or(it.to_string(), |it| it.0.to_owned())).collect()
        };
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        // Times differ.
        let page = PAGE.lines().find_map(|line| line.strip_prefix(&format!("//! | `{topology}` | ")));
        let page: Vec<&str> = page.unwrap_or_default().trim_end_matches(" |").split(" | ").collect();
        let [measured, stated]: [Vec<String>; 2] = [counted(&cells), counted(&page)];
        assert_eq!(measured.len(), stated.len(), "{topology}");
        // How many packets a program sends is its own affair.
        let found = |cell: &str| cell.split(" · ").next().unwrap().to_owned();
        let same = |place: usize| match place {
            0 | 1 => [found(&stated[place]).as_str(), NOT_RUN].contains(&found(&measured[place]).as_str()),
            _ => measured[place] == stated[place],
        };
        (0..measured.len()).all(same)
    });
    assert!(is_so, "src/guide/path_mtu.rs says otherwise of {topology}");
}

fn cell(Found(found, packets, lost, took): &Found) -> String {
    let ms = took.as_secs_f64() * 1e3;
    let took = if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1e3) };
    format!("{found} · {packets}/{lost} · {took}")
}

/// The size after the last such words that a program prints. scamper has to become another user, which root of a user's own
/// namespace may not.
fn program(test: &str, command: &[&str], before: &str) -> Found {
    let (mut wire, started) = (Wire::new(), Instant::now());
    let output = Command::new("timeout").args(["-k", "1", "12"]).args(command).output().unwrap();
    let took = started.elapsed();
    let [said, errors] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
    println!("{said}{errors}");
    if !output.status.success() {
        assert!(std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "{command:?}: {errors}");
        println!("SKIPPED {test}: {command:?}: {}", errors.trim());
        return Found(NOT_RUN.to_owned(), 0, 0, took);
    }
    let size = said.rsplit_once(before).map_or("nothing", |(_, after)| after.split([' ', ']', '\n']).next().unwrap());
    let (sent, lost) = wire.counted();
    Found(size.to_owned(), sent, lost, took)
}

/// Every packet that this host sends or receives.
struct Wire(Socket);

impl Wire {
    fn new() -> Self {
        const ALL: u16 = 3;
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ALL.to_be())))).unwrap();
        socket.set_recv_buffer_size(1 << 20).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// UDP packets that were sent to the server, and of these how many were not answered, or by a router that they were too big.
    fn counted(&mut self) -> (u32, u32) {
        let (mut sent, mut arrived, mut buffer) = (0, 0, vec![0; 2048]);
        while let Ok(len) = self.0.read(&mut buffer) {
            let Some((header, rest)) = buffer[..len].split_at_checked(20).filter(|it| it.0[0] == 0x45) else {
                continue;
            };
            let from = Ipv4Addr::from(<[u8; 4]>::try_from(&header[12..16]).unwrap());
            match (header[9], from) {
                (UDP, CLIENT) => sent += 1,
                (ICMP, CLIENT) => {}
                (ICMP, _) if rest.starts_with(&[3, 4]) => {}
                (ICMP, _) => arrived += 1,
                _ => {}
            }
        }
        (sent, sent.saturating_sub(arrived))
    }
}

fn strategy(server: &str, strategy: &mut dyn Strategy) -> Found {
    let mut transport = transport(server);
    let rtt = RttEstimator::new(Duration::from_secs(1), Duration::from_millis(200), Duration::from_secs(60)).unwrap();
    let (start, mut probes, mut lost) = (transport.now(), 0, 0);
    while let Some(size) = strategy.next() {
        let mut probe = vec![0; Pmtu::new(size).plpmtu(V4).bytes()];
        probe[..5].copy_from_slice(b"uPMT\x01");
        probe[17] = probes;
        // The first error may be an earlier probe's.
        transport.send(PathIndex::FIRST, &probe).or_else(|_| transport.send(PathIndex::FIRST, &probe)).unwrap();
        let sent = transport.now();
        match is_answered(&mut transport, probes, sent.after(rtt.rto(sent))) {
            true => {
                rtt.on_reply(transport.now(), Some(transport.now().since(sent)));
                strategy.on_acked();
            }
            false => {
                lost += 1;
                strategy.on_lost();
            }
        }
        probes += 1;
    }
    let found = strategy.found().map_or("nothing".to_owned(), |it| it.to_string());
    Found(found, probes.into(), lost, transport.now().since(start))
}

fn is_answered(transport: &mut ConnectedUdp, number: u8, until: udp_retry::time::Timestamp) -> bool {
    let mut buffer = [0; 64];
    loop {
        let now = transport.now();
        match transport.recv(&mut buffer, now, until) {
            Incoming::Datagram(_) if buffer[17] == number => return true,
            Incoming::Datagram(_) | Incoming::PathError { error: PathError::TooBig { .. }, .. } => {}
            Incoming::TimeUp(_) => return false,
            other => panic!("{other:?}"),
        }
    }
}

fn both(server: &str) -> Found {
    let found = probe_path(&mut transport(server), PathIndex::FIRST, &EchoFormat::new()).unwrap();
    ours(found, format!("{}, back {}", packet(found.forward), packet(found.reverse)))
}

fn one_way(server: &str) -> Found {
    let found = probe_path(&mut transport(server), PathIndex::FIRST, &OneWay).unwrap();
    ours(found, packet(found.forward))
}

fn ours(PathReport { probes, lost, reports, took, .. }: PathReport, found: String) -> Found {
    Found(found, probes, lost + reports, took)
}

fn packet(size: Option<Plpmtu>) -> String {
    size.map_or("nothing".to_owned(), |it| (it.bytes() as u32 + V4.overhead()).to_string())
}

fn transport(server: &str) -> ConnectedUdp {
    let transport = ConnectedUdp::connect((server, PORT)).unwrap();
    assert_eq!(transport.set_fragmentation(Fragmentation::Probing).unwrap(), Applied::Enforced);
    transport
}

/// The way there alone, as the others measure it.
struct OneWay;

impl ProbeFormat for OneWay {
    fn write(&self, asked: &Asked, datagram: &mut Vec<u8>) -> bool {
        EchoFormat::new().write(asked, datagram)
    }

    fn judge(&self, token: &Token, datagram: &[u8]) -> Option<Answer> {
        EchoFormat::new().judge(token, datagram)
    }

    fn quoted(&self, token: &Token, beginning: &[u8]) -> Option<ProbeId> {
        EchoFormat::new().quoted(token, beginning)
    }
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 211, 1, 1);
const NOT_RUN: &str = "not run";
const UDP: u8 = 17;
const ICMP: u8 = 1;
