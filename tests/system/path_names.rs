//! Paths that names lead to: in which order, and where they go when a name leads elsewhere.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and clocks are the point")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::net::UdpPaths;
use udp_retry::servers::Paths;
use udp_retry::transport::{PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ConcurrentRequester, RetryPolicy, transaction_id};

use crate::echoes::{Echo, Manner};
use crate::paths::{Came, Expects, answer, bound};
use crate::watchdog::{MINUTE, within};

const LONG: Duration = Duration::from_secs(20);
/// No answer is asked for again before that.
const OLD: Duration = Duration::from_millis(1100);
const A: PathIndex = PathIndex::FIRST;
const B: PathIndex = PathIndex::new(1);
const C: PathIndex = PathIndex::new(2);

#[test]
fn all_addresses_of_a_name_are_taken_from_both_families_in_turn() {
    let v4 = |last: u8| SocketAddr::from(([192, 0, 2, last], 53));
    let v6 = |last: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 53));
    for (answer, expected) in [
        (vec![v6(1), v6(2), v6(3), v4(1), v4(2)], vec![v6(1), v4(1), v6(2), v4(2), v6(3)]),
        (vec![v4(1), v6(1), v6(2), v6(3)], vec![v4(1), v6(1), v6(2), v6(3)]),
        (vec![v4(2), v4(1)], vec![v4(2), v4(1)]),
        (vec![v6(1), v4(1), v6(1), v4(1)], vec![v6(1), v4(1)]),
    ] {
        let names = Resolver::new();
        names.answers("server:53", Ok(answer));
        assert_eq!(addresses(&names.resolve(["server:53"]).unwrap()), expected);
    }
    let names = Resolver::new();
    names.answers("primary:53", Ok(vec![v6(1), v6(2), v4(1)]));
    names.answers("backup:53", Ok(vec![v4(8), v6(2), v6(9)]));
    let paths = names.resolve(["primary:53", "192.0.2.7:53", "backup:53"]).unwrap();
    assert_eq!(addresses(&paths), [v6(1), v4(1), v6(2), v4(7), v4(8), v6(9)], "the first name's first, each once");
    assert_eq!(names.asked(), 2, "an address is no name");
}

#[test]
fn what_cannot_be_resolved_is_an_error_that_says_why() {
    let names = Resolver::new();
    names.answers("empty:53", Ok(vec![]));
    names.answers("good:53", Ok(vec!["192.0.2.1:53".parse().unwrap()]));
    let kind =
        |list: &[&str]| names.resolve(list.iter().copied()).map_err(|error| error.kind()).map(|paths| paths.len());
    assert_eq!(kind(&[]), Err(io::ErrorKind::InvalidInput));
    assert_eq!(kind(&["empty:53"]), Err(io::ErrorKind::NotFound));
    assert_eq!(kind(&["good:53", "unknown:53"]), Err(io::ErrorKind::HostUnreachable));
    assert_eq!(kind(&["good:53", "good:53"]), Ok(1));
    assert!(UdpPaths::resolve(["this is no address"]).is_err());
    assert_eq!(addresses(&UdpPaths::resolve(["127.0.0.1:9"]).unwrap()), ["127.0.0.1:9".parse().unwrap()]);
}

#[test]
fn of_more_than_sixty_four_addresses_the_first_are_taken() {
    let names = Resolver::new();
    let many = |count: u16| (1..=count).map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect::<Vec<_>>();
    for count in [64, 65, 200] {
        names.answers("many:53", Ok(many(count)));
        let paths = names.resolve(["many:53"]).unwrap();
        assert_eq!((addresses(&paths), paths.len()), (many(64), 64));
    }
}

#[test]
fn a_path_moves_at_a_renewal_if_its_name_leads_elsewhere_and_the_others_stay() {
    within(MINUTE, || {
        let servers = [(); 4].map(|()| bound());
        let [a, b, c, d] = servers.each_ref().map(|server| server.local_addr().unwrap());
        let names = Resolver::new();
        names.answers("server:53", Ok(vec![a, b]));
        let mut client = names.resolve(["server:53"]).unwrap();
        client.send(A, b"lost").unwrap();
        client.send(B, b"ping").unwrap();
        let port = client.local_addr(B);
        // Both addresses are gone, but only the path that is renewed was found wanting.
        names.answers("server:53", Ok(vec![c, d]));
        assert_eq!(client.renew(A, Renewal::Advised), Ok(Renewed::FreshPort));
        assert_eq!((addresses(&client), names.asked()), (vec![a, b], 1), "the answer is young");
        thread::sleep(OLD);
        assert_eq!(client.renew(A, Renewal::Advised), Ok(Renewed::FreshPort));
        assert_eq!((addresses(&client), names.asked()), (vec![c, b], 2));
        assert_eq!(client.local_addr(B), port, "not even its socket changes");
        assert_eq!(answer(&servers[1]).port(), port.unwrap().port());
        assert_eq!(client.expect(LONG), Came::Datagram(B, b"ping".to_vec()));
        client.send(A, b"found").unwrap();
        answer(&servers[2]);
        assert_eq!(client.expect(LONG), Came::Datagram(A, b"found".to_vec()));
        // By hand all follow.
        assert!(client.resolve_again().unwrap());
        assert_eq!((addresses(&client), client.open_paths()), (vec![c, d], Paths::first(1)));
        assert!(!client.resolve_again().unwrap(), "nothing has changed");
        assert_eq!(names.asked(), 4);
    });
}

/// Without ids each request is preceded by a renewal.
#[test]
fn a_renewal_after_a_reply_asks_no_resolver() {
    within(MINUTE, || {
        let (server, elsewhere) = (bound(), bound());
        let address = server.local_addr().unwrap();
        let names = Resolver::new();
        names.answers("server:53", Ok(vec![address]));
        let mut client = names.resolve(["server:53"]).unwrap();
        names.answers("server:53", Ok(vec![elsewhere.local_addr().unwrap()]));
        thread::sleep(OLD);
        for _ in 0..3 {
            assert_eq!(client.renew(A, Renewal::Required), Ok(Renewed::FreshPort));
            client.send(A, b"ping").unwrap();
            answer(&server);
            assert_eq!(client.expect(LONG), Came::Datagram(A, b"ping".to_vec()));
        }
        assert_eq!(names.asked(), 1);
        client.send(A, b"lost").unwrap();
        assert_eq!(client.renew(A, Renewal::Required), Ok(Renewed::FreshPort));
        assert_eq!((names.asked(), addresses(&client)), (2, vec![elsewhere.local_addr().unwrap()]));
    });
}

#[test]
fn a_resolver_that_fails_or_knows_nothing_changes_nothing() {
    within(MINUTE, || {
        let servers = [bound(), bound()];
        let [a, b] = servers.each_ref().map(|server| server.local_addr().unwrap());
        let names = Resolver::new();
        names.answers("server:53", Ok(vec![a]));
        names.answers("other:53", Ok(vec![b]));
        let mut client = names.resolve(["server:53", "other:53"]).unwrap();
        client.send(A, b"ping").unwrap();
        for (answer, kind) in
            [(Err(io::ErrorKind::TimedOut), io::ErrorKind::TimedOut), (Ok(vec![]), io::ErrorKind::NotFound)]
        {
            names.answers("server:53", answer);
            thread::sleep(OLD);
            let asked = names.asked();
            assert_eq!(client.renew(A, Renewal::Advised), Ok(Renewed::FreshPort));
            assert_eq!((names.asked(), addresses(&client)), (asked + 1, vec![a, b]));
            assert_eq!(client.renew(A, Renewal::Advised), Ok(Renewed::FreshPort));
            assert_eq!(names.asked(), asked + 1, "a resolver that fails is not asked again at once either");
            assert_eq!(client.resolve_again().unwrap_err().kind(), kind);
            assert_eq!(addresses(&client), [a, b]);
        }
        // One that fails hinders none of the others.
        let c = bound().local_addr().unwrap();
        names.answers("other:53", Ok(vec![c]));
        assert!(client.resolve_again().is_err());
        assert_eq!(addresses(&client), [a, c]);
    });
}

#[test]
fn new_addresses_take_the_places_of_those_that_are_gone_and_no_others() {
    let v4 = |last: u8| SocketAddr::from(([127, 0, 0, last], 9));
    let v6 = |port: u16| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
    let names = Resolver::new();
    let resolve = |answer: &[SocketAddr]| {
        names.answers("server:9", Ok(answer.to_vec()));
        names.resolve(["server:9"]).unwrap()
    };
    for (before, answer, after) in [
        (vec![v4(1), v4(2)], vec![v4(3), v4(2), v4(1)], vec![v4(1), v4(2)]),
        (vec![v4(1), v4(2)], vec![v4(2)], vec![v4(1), v4(2)]),
        (vec![v4(1), v4(2)], vec![v4(3), v4(1), v4(4)], vec![v4(1), v4(3)]),
        (vec![v4(1), v6(1)], vec![v6(2), v4(2)], vec![v4(2), v6(2)]),
        (vec![v4(1), v6(1)], vec![v4(3), v4(2), v6(1)], vec![v4(3), v6(1)]),
        (vec![v4(1), v6(1)], vec![v6(2)], vec![v6(2), v6(1)]),
    ] {
        let mut client = resolve(&before);
        names.answers("server:9", Ok(answer.clone()));
        let moved = client.resolve_again().unwrap();
        assert_eq!((addresses(&client), moved), (after.clone(), before != after), "{before:?} then {answer:?}");
    }
    // What another name has still is not gone.
    names.answers("server:9", Ok(vec![v4(1)]));
    names.answers("other:9", Ok(vec![v4(1), v4(2)]));
    let mut client = names.resolve(["server:9", "other:9"]).unwrap();
    names.answers("server:9", Ok(vec![v4(3)]));
    assert!(!client.resolve_again().unwrap());
    assert_eq!(addresses(&client), [v4(1), v4(2)]);
}

#[test]
fn a_name_is_resolved_again_before_the_first_send_after_its_time() {
    within(MINUTE, || {
        let servers = [bound(), bound()];
        let [a, b] = servers.each_ref().map(|server| server.local_addr().unwrap());
        let names = Resolver::new();
        names.answers("server:53", Ok(vec![a]));
        let asks_never = &mut names.resolve(["server:53"]).unwrap();
        let asks = &mut names.resolve(["server:53"]).unwrap().resolve_every(Duration::from_millis(200));
        names.answers("server:53", Ok(vec![b]));
        for client in [&mut *asks, asks_never] {
            client.send(A, b"ping").unwrap();
            answer(&servers[0]);
            assert_eq!(client.expect(LONG), Came::Datagram(A, b"ping".to_vec()));
        }
        thread::sleep(Duration::from_millis(300));
        assert_eq!(names.asked(), 2);
        for (client, server, count) in [(asks_never, 0, 2), (asks, 1, 3)] {
            client.send(A, b"ping").unwrap();
            answer(&servers[server]);
            assert_eq!(client.expect(LONG), Came::Datagram(A, b"ping".to_vec()));
            client.send(A, b"at once").unwrap();
            assert_eq!(names.asked(), count);
        }
        // No path is there that a name could lead to.
        assert!(!UdpPaths::connect(&[a, b]).unwrap().resolve_again().unwrap());
    });
}

/// Its only socket then is one that was made after the handle.
#[test]
fn a_cancel_ends_the_wait_for_a_path_that_has_moved() {
    within(MINUTE, || {
        let servers = [bound(), bound()];
        let names = Resolver::new();
        names.answers("server:53", Ok(vec![servers[0].local_addr().unwrap()]));
        let mut client = names.resolve(["server:53"]).unwrap();
        let handle = client.cancel_handle().unwrap();
        names.answers("server:53", Ok(vec![servers[1].local_addr().unwrap()]));
        assert!(client.resolve_again().unwrap());
        assert_eq!(client.open_paths(), Paths::NONE);
        client.send(A, b"anyone?").unwrap();
        let start = Instant::now();
        let canceller = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            handle.cancel();
        });
        assert_eq!(client.expect(LONG), Came::Cancelled);
        assert!(start.elapsed() < LONG / 8, "{:?}", start.elapsed());
        canceller.join().unwrap();
        assert_eq!(client.expect(Duration::ZERO), Came::Nothing);
    });
}

/// As a host whose name has a family that no one serves.
#[test]
fn a_name_with_a_mute_family_is_reached_by_the_other() {
    within(MINUTE, || {
        let server = bound();
        let address = server.local_addr().unwrap();
        let mute = std::net::UdpSocket::bind("[::1]:0").unwrap();
        let names = Resolver::new();
        names.answers("server:53", Ok(vec![mute.local_addr().unwrap(), address]));
        let mut client = names.resolve(["server:53"]).unwrap();
        client.send(A, b"ping").unwrap();
        assert_eq!(client.expect(Duration::from_millis(100)), Came::Nothing);
        client.send(B, b"ping").unwrap();
        answer(&server);
        assert_eq!(client.expect(LONG), Came::Datagram(B, b"ping".to_vec()));
        assert_eq!(client.address(C), None);
    });
}

/// A resolver that gives the answers that it was told.
#[derive(Clone)]
struct Resolver(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// The latest first.
    answers: Vec<(&'static str, Answer)>,
    /// How often it was asked.
    asked: u32,
}

type Answer = Result<Vec<SocketAddr>, io::ErrorKind>;

impl Resolver {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn answers(&self, name: &'static str, answer: Answer) {
        self.0.lock().unwrap().answers.insert(0, (name, answer));
    }

    fn asked(&self) -> u32 {
        self.0.lock().unwrap().asked
    }

    fn resolve<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> io::Result<UdpPaths> {
        let this = self.clone();
        UdpPaths::resolve_with(names, move |asked| {
            let mut told = this.0.lock().unwrap();
            told.asked += 1;
            let answer = told.answers.iter().find(|(name, _)| *name == asked).map(|(_, answer)| answer.clone());
            answer.unwrap_or(Err(io::ErrorKind::HostUnreachable)).map_err(Into::into)
        })
    }
}

#[test]
fn many_in_flight_follow_a_name_once_nothing_comes_from_where_it_led() {
    within(MINUTE, || {
        let (gone, server) = (bound(), Echo::start("127.0.0.1", Manner::Prompt));
        let names = Resolver::new();
        names.answers("server:53", Ok(vec![gone.local_addr().unwrap()]));
        let builder = ConcurrentRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
        let mut requester = builder.over(names.resolve(["server:53"]).unwrap()).unwrap();
        names.answers("server:53", Ok(vec![server.address]));
        // Those before it ask no resolver, and end after it would have.
        for token in 0..100 {
            requester.submit(b"........ping", token).unwrap();
        }
        let failed = (0..100).filter(|_| requester.wait().unwrap().reply().is_err()).count();
        assert!(failed >= 64, "{failed}: at least those that were on the wire at first");
        for token in 0..100 {
            requester.submit(b"........ping", token).unwrap();
        }
        while let Some(done) = requester.wait() {
            assert_eq!(done.reply().unwrap()[8..], *b"ping");
        }
        assert_eq!(names.asked(), 2, "at first, and once more for all of them");
        assert_eq!(addresses(requester.transport()), [server.address]);
    });
}

fn addresses(client: &UdpPaths) -> Vec<SocketAddr> {
    Paths::first(client.len()).iter().filter_map(|path| client.address(path)).collect()
}
