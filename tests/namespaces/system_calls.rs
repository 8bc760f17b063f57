//! A request whose reply comes in time costs two system calls, a `sendto` and a `recvfrom`, with any jitter; where a handle
//! could cancel it, or others have the socket too, a `ppoll` comes between them, but for a reply that is queued where those
//! before it were. Counted by `strace`, as the difference between a long run and a short one.
//!
//! Over [`UdpPaths`] a request costs the same while one path is in play, and with several a `ppoll` more.
//!
//! `tests/install-programs.sh` installs strace; where it is not, or may not trace, the test is skipped and says so, and
//! with `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::again::{again, part, this_test};
use crate::processor::undisturbed;
use crate::watchdog::{MINUTE, within};
use udp_retry::net::{UdpPaths, UnconnectedUdp};
use udp_retry::policy::{Backoff, Jitter};
use udp_retry::transport::{Incoming, PathIndex, Transport};
use udp_retry::{ConcurrentRequester, ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

const FEW: u64 = 300;
const MORE: u64 = 10_000;

#[test]
fn a_request_costs_two_system_calls_and_three_where_others_could_touch_the_socket() {
    if let Some(part) = part() {
        return within(3 * MINUTE, move || ask(&part));
    }
    if let Some(reason) = untraceable() {
        assert!(std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "{reason}");
        println!("SKIPPED {}: {reason}", this_test!());
        return;
    }
    let test = this_test!();
    within(3 * MINUTE, move || compare(test));
}

/// What it is called, how it waits, and the command for so many requests.
type Asking<'a> = (&'a str, Waits, &'a dyn Fn(u64) -> Command);

/// By which calls a reply is received.
#[derive(Clone, Copy)]
enum Waits {
    /// `recvfrom`.
    InRecv,
    /// `ppoll` and `recvfrom`; at most one in 256 waits looks before, in vain.
    ByPoll,
    /// As by poll, or while replies are queued as in recv.
    Looking,
    /// As looking, and most are queued.
    LookingAtMany,
}

impl Waits {
    /// What all calls of one request are at most, and those that each has.
    fn calls(self) -> (f64, &'static [&'static str]) {
        match self {
            Self::InRecv => (2.0, &["sendto", "recvfrom"]),
            Self::ByPoll => (3.0, &["sendto", "ppoll", "recvfrom"]),
            Self::Looking => (3.0, &["sendto", "recvfrom"]),
            Self::LookingAtMany => (2.5, &["sendto", "recvfrom"]),
        }
    }
}

fn compare(test: &str) {
    let [server, late_server] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| echo(&server, &over, Duration::ZERO));
        scope.spawn(|| echo(&late_server, &over, LATE));
        // Also when the test fails: the scope waits for the servers.
        let _over = Over(&over);
        let [address, late] = [&server, &late_server].map(|server| server.local_addr().unwrap().to_string());
        let ways: &[Asking<'_>] = &[
            #[cfg(feature = "cli")]
            ("request --json", Waits::InRecv, &|repeat| {
                let [first, rest @ ..] = STRACE_FIRST else { unreachable!("it has a name") };
                let mut command = Command::new(first);
                command.args(rest).args([
                    env!("CARGO_BIN_EXE_udp-retry"),
                    "request",
                    &address,
                    "--json",
                    "--id",
                    "0:4",
                ]);
                command.args(["--text", "0001 ping", "--repeat", &repeat.to_string()]);
                command
            }),
            ("no jitter", Waits::InRecv, &|repeat| again(test, &format!("{address} {repeat} none"), STRACE_FIRST)),
            ("wide jitter", Waits::InRecv, &|repeat| again(test, &format!("{address} {repeat} wide"), STRACE_FIRST)),
            ("cancel handle", Waits::Looking, &|repeat| {
                again(test, &format!("{address} {repeat} handle"), STRACE_FIRST)
            }),
            ("given", Waits::Looking, &|repeat| again(test, &format!("{address} {repeat} given"), STRACE_FIRST)),
            ("lent", Waits::Looking, &|repeat| again(test, &format!("{address} {repeat} lent"), STRACE_FIRST)),
            ("given, late", Waits::ByPoll, &|repeat| again(test, &format!("{late} {repeat} given"), STRACE_FIRST)),
            ("many, given", Waits::LookingAtMany, &|repeat| {
                again(test, &format!("{address} {repeat} many"), STRACE_FIRST)
            }),
            ("one path", Waits::InRecv, &|repeat| again(test, &format!("{address} {repeat} one-path"), STRACE_FIRST)),
            ("one of three", Waits::InRecv, &|repeat| {
                again(test, &format!("{address} {repeat} of-three"), STRACE_FIRST)
            }),
            ("after failover", Waits::InRecv, &|repeat| {
                again(test, &format!("{address} {repeat} failover"), STRACE_FIRST)
            }),
            ("two in play", Waits::ByPoll, &|repeat| again(test, &format!("{address} {repeat} in-play"), STRACE_FIRST)),
        ];
        let counted: Vec<_> = ways
            .iter()
            .map(|(name, waits, command)| {
                let few = counts(command(FEW));
                // A thread that stood still finds without a poll what has come meanwhile: another try, and the same bound.
                let many = undisturbed(name, || {
                    let many = counts(command(FEW + MORE));
                    let (_, each_once) = waits.calls();
                    // In the longer run by itself: what the shorter one happens to have more is no request's.
                    let of = |call| many.get(call).copied().unwrap_or(0);
                    // The first sixteen of many are ready together, and leave in one call.
                    let sent_besides = if matches!(waits, Waits::LookingAtMany) { 16 * of("sendmsg") } else { 0 };
                    let needed = |call| (FEW + MORE) as i64 - if call == "sendto" { sent_besides } else { 0 };
                    let has_all = each_once.iter().all(|&each| of(each) >= needed(each));
                    if has_all { Ok(many) } else { Err(format!("{many:?}")) }
                });
                (*name, *waits, difference(&many, &few))
            })
            .collect();
        println!("system calls of {MORE} requests more:");
        for (name, _, calls) in &counted {
            println!("{name:>15}: {calls:?}");
        }
        for (name, waits, calls) in counted {
            let total: i64 = calls.values().sum();
            let (most, _) = waits.calls();
            assert!(total as f64 <= (most + 0.01) * MORE as f64, "{name}: {total} calls, {calls:?}");
        }
    });
}

/// As `server repeat way` says.
fn ask(part: &str) {
    let words: Vec<&str> = part.split_whitespace().collect();
    let [server, repeat, way] = words[..] else { panic!("{part}") };
    let second = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(8)).unwrap();
    let policy = match way {
        "none" => RetryPolicy::new(second),
        "wide" => RetryPolicy::new(second.with_jitter(Jitter::between(0.7, 1.3).unwrap()).unwrap()),
        _ => RetryPolicy::default(),
    };
    if matches!(way, "one-path" | "of-three" | "failover" | "in-play") {
        return ask_paths(server.parse().unwrap(), repeat.parse().unwrap(), way);
    }
    if way == "many" {
        return ask_many(server.parse().unwrap(), repeat.parse().unwrap());
    }
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
    let mut requester = if way == "given" {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        builder.over(UdpPaths::from(ConnectedUdp::from_socket(socket).unwrap())).unwrap()
    } else {
        builder.connect(server).unwrap()
    };
    if way == "lent" {
        let _ = requester.transport().socket(PathIndex::FIRST).unwrap().as_socket();
    }
    let _handle = (way == "handle").then(|| requester.cancel_handle().unwrap());
    for number in 0..repeat.parse::<u32>().unwrap() {
        let request = [&number.to_be_bytes()[..], b" ping"].concat();
        assert_eq!(requester.request(&request).unwrap().payload(), request);
    }
}

/// Over a socket that others might have, sixteen in flight.
fn ask_many(server: SocketAddr, repeat: u64) {
    let socket = UnconnectedUdp::from_socket(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let mut requester = ConcurrentRequester::builder(transaction_id(0..8).stamped()).over(socket).unwrap();
    let mut answered = 0;
    for number in 0..repeat {
        requester.submit_to(server, b"........ping", number).unwrap();
        while requester.in_flight() == 16 || number + 1 == repeat && requester.in_flight() > 0 {
            assert!(requester.wait().unwrap().reply().is_ok());
            answered += 1;
        }
    }
    assert_eq!(answered, repeat);
}

/// By hand, with the waits that a request would have: to the server, after a mute one or beside it.
fn ask_paths(server: SocketAddr, repeat: u32, way: &str) {
    let mute = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [mute, other] = mute.each_ref().map(|mute| mute.local_addr().unwrap());
    let servers = match way {
        "one-path" => vec![server],
        "of-three" => vec![server, mute, other],
        _ => vec![mute, server],
    };
    let mut client = UdpPaths::connect(&servers).unwrap();
    let (path, mut buffer) = (PathIndex::new(u32::from(servers[0] != server)), [0; 64]);
    if path != PathIndex::FIRST {
        client.send(PathIndex::FIRST, b"anyone?").unwrap();
        let now = client.now();
        assert!(matches!(client.recv(&mut buffer, now, now.after(Duration::from_millis(100))), Incoming::TimeUp(_)));
    }
    for number in 0..repeat {
        if way == "failover" && number == 1 {
            // Until the path that was left is out of play.
            thread::sleep(Duration::from_millis(1100));
        }
        let request = number.to_be_bytes();
        client.send(path, &request).unwrap();
        let now = client.now();
        let incoming = client.recv(&mut buffer, now, now.after(Duration::from_secs(1)));
        assert!(matches!(incoming, Incoming::Datagram(received) if received.from == path), "{incoming:?}");
        assert_eq!(buffer[..4], request);
        if way == "in-play" && number % 1000 == 0 {
            client.send(PathIndex::FIRST, b"anyone?").unwrap();
        }
    }
}

/// How often each system call was made.
fn counts(mut traced: Command) -> BTreeMap<String, i64> {
    let output = traced.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // % time, seconds, µs a call, calls, errors if any, name
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [share, _, _, calls, .., name] = words[..] else { return None };
        share.parse::<f64>().ok().filter(|_| name != "total")?;
        Some((name.to_owned(), calls.parse().ok()?))
    };
    let counts: BTreeMap<_, _> = said.lines().filter_map(row).collect();
    assert!(counts.contains_key("sendto"), "{said}");
    counts
}

fn difference(many: &BTreeMap<String, i64>, few: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let more = many.iter().map(|(name, calls)| (name.clone(), calls - few.get(name).unwrap_or(&0)));
    more.filter(|&(_, calls)| calls != 0).collect()
}

pub(crate) fn untraceable() -> Option<String> {
    match Command::new("strace").args(STRACE).arg("true").output() {
        Err(_) => Some("strace is not installed: tests/install-programs.sh".into()),
        Ok(traced) if traced.status.success() => None,
        Ok(traced) => Some(format!("strace may not trace: {}", String::from_utf8_lossy(&traced.stderr).trim())),
    }
}

struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn echo(server: &UdpSocket, over: &AtomicBool, late: Duration) {
    server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if let Ok((len, from)) = server.recv_from(&mut buffer) {
            thread::sleep(late);
            server.send_to(&buffer[..len], from).unwrap();
        }
    }
}

/// Longer than a client that is traced takes to look.
const LATE: Duration = Duration::from_micros(400);

const STRACE: &[&str] = &["-f", "-c", "-U", "time-percent,total-time,avg-time,calls,errors,name"];
/// Ended with what it traces if that hangs.
const STRACE_FIRST: &[&str] =
    &["timeout", "150", "strace", "-f", "-c", "-U", "time-percent,total-time,avg-time,calls,errors,name"];
