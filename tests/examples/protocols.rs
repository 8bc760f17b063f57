//! The examples of real protocols as people run them: against their own responders, and against servers that answer
//! wrong, late, twice, in pieces, with an error, or not at all.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "processes take real time, and the other end is a plain socket"
)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::program::{Ended, run};

#[test]
fn without_arguments_each_asks_a_responder_of_its_own() {
    for (example, facts) in [
        ("dns_lookup", &["A: NOERROR", "192.0.2.7", "AAAA: NOERROR", "2001:db8::7", "is host.example.test."][..]),
        ("ntp_time", &["(stratum 1) says that it is 2", "offset ", "delay "]),
        ("stun_address", &["sees this host at 127.0.0.1:", "no address was translated"]),
    ] {
        let ended = run(example, &[], PATIENCE);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{example}: {ended:?}");
        for fact in facts {
            assert!(ended.stdout.contains(fact), "{example} does not say {fact:?}: {ended:?}");
        }
        let line = json(&run(example, &["--json"], PATIENCE), 0);
        let transmissions = line.get("answers").map_or(&line, |answers| &answers[0])["transmissions"].as_u64();
        assert!(transmissions >= Some(1), "{line}");
    }
}

#[test]
fn each_explains_itself() {
    for example in EXAMPLES {
        let ended = run(example, &["--help"], PATIENCE);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{example}: {ended:?}");
        for fact in ["Usage: ", "--deadline <D>", "--json", "HOST, HOST:PORT or [IPV6]:PORT"] {
            assert!(ended.stdout.contains(fact), "{example}: {ended:?}");
        }
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_standard_error_only() {
    let label = |length: usize| "x".repeat(length);
    let long = [label(63), label(63), label(63), label(62)].join(".");
    let mut usages: Vec<Vec<String>> = Vec::new();
    for example in ["ntp_time", "stun_address"] {
        for server in SERVERS_THAT_ARE_NONE {
            usages.push(vec![example.to_owned(), server.to_owned()]);
        }
    }
    for server in SERVERS_THAT_ARE_NONE {
        usages.push(vec!["dns_lookup".to_owned(), "host.test".to_owned(), format!("--server={server}")]);
    }
    for name in ["", ".", "..", "a..b", ".a", "a..", "a b", "b\u{fc}cher.test", &label(64), &format!("{long}.")] {
        usages.push(["dns_lookup", name, "--server", "127.0.0.1:9"].map(str::to_owned).to_vec());
    }
    usages.push(["dns_lookup", "--server", "127.0.0.1"].map(str::to_owned).to_vec());
    for example in EXAMPLES {
        for deadline in ["0s", "-1s", "1", "s", "1e3s", "infs", "NaNs", "1 fortnight", "99999999999999999999s"] {
            usages.push(vec![example.to_owned(), "127.0.0.1".to_owned(), format!("--deadline={deadline}")]);
        }
        usages.push([example, "--nonsense"].map(str::to_owned).to_vec());
        usages.push([example, "127.0.0.1", "127.0.0.2"].map(str::to_owned).to_vec());
    }
    for usage in usages {
        let words: Vec<_> = usage.iter().map(String::as_str).collect();
        let ended = run(words[0], &words[1..], PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{usage:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{usage:?}: {ended:?}");
    }
}

const SERVERS_THAT_ARE_NONE: [&str; 13] = [
    "",
    " ",
    ":53",
    "127.0.0.1:",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:+53",
    "127.0.0.1:53:53",
    "[127.0.0.1]:53",
    "[::1",
    "[::1]53",
    "[::1]:",
    "[]:53",
];

#[test]
fn a_name_of_255_bytes_is_asked_for_and_one_with_a_dot_at_its_end_is_the_same() {
    let long = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(61)].join(".");
    for name in [&long, &format!("{long}.")] {
        let server = Server::answering(|_, query| vec![dns(query, 0, &[])]);
        assert_eq!(server.dns_lookup(&[name]).code, Some(0));
        let asked = server.asked();
        assert_eq!((asked.len(), asked[0].0.len()), (2, 12 + 255 + 4));
    }
}

#[test]
fn every_way_to_write_an_address_reaches_the_server() {
    let ntp = |_: usize, request: &[u8]| vec![ntp(request, 0, |_| ())];
    let v4 = Server::answering(ntp);
    let port = v4.address.port();
    for address in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        assert_eq!(run("ntp_time", &[&address, "--deadline", "5s"], PATIENCE).code, Some(0), "{address}");
    }
    let Ok(socket) = UdpSocket::bind("[::1]:0") else { return };
    let v6 = Server::on(socket, ntp);
    let line = json(&run("ntp_time", &[&v6.address.to_string(), "--json"], PATIENCE), 0);
    assert_eq!(line["server"], v6.address.to_string());
}

/// The server listens only at the address that the system likes less.
#[test]
fn the_other_family_is_asked_if_the_first_one_does_not_answer() {
    use std::net::ToSocketAddrs;
    let families: Vec<_> = ("localhost", 1).to_socket_addrs().unwrap().map(|address| address.is_ipv4()).collect();
    if !families.contains(&true) || !families.contains(&false) {
        println!("skipped: localhost has only one address");
        return;
    }
    let any = if families[0] { "[::1]:0" } else { "127.0.0.1:0" };
    let second = Server::on(UdpSocket::bind(any).unwrap(), |_, request| vec![ntp(request, 0, |_| ())]);
    let address = format!("localhost:{}", second.address.port());
    let ended = run("ntp_time", &[&address], PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // At once: refused, there is nothing to wait for.
    assert!(ended.stderr.contains("(1 transmission, "), "{ended:?}");
    assert!(ended.stderr.contains("trying another address"), "{ended:?}");
}

#[test]
fn a_server_without_an_address_is_a_failure_that_names_it() {
    let ended = run("ntp_time", &["host.invalid"], Duration::from_secs(60));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("no address for \"host.invalid\""), "{ended:?}");
    assert_eq!(json(&run("ntp_time", &["host.invalid", "--json"], Duration::from_secs(60)), 1)["error"], "io");
}

#[test]
fn silence_is_told_with_everything_that_happened() {
    for example in EXAMPLES {
        let server = Server::answering(|_, _| Vec::new());
        let address = server.address.to_string();
        let arguments: &[&str] =
            if example == "dns_lookup" { &["host.test", "--server", &address] } else { &[&address] };
        let ended = run(example, &[arguments, &["--deadline", "300ms"]].concat(), PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(" ms  --> transmission 1\n"), "{ended:?}");
        assert!(ended.stderr.contains("\nerror: no reply within the deadline (1 transmission, "), "{ended:?}");

        let line = json(&run(example, &[arguments, &["--deadline=300ms", "--json"]].concat(), PATIENCE), 1);
        assert_eq!((&line["error"], &line["execution"]), (&"timed_out".into(), &"unknown".into()), "{line}");
        assert_eq!((&line["transmissions"], &line["sent_ms"]), (&1.into(), &serde_json::json!([0.0])), "{line}");
        assert!((300.0..2000.0).contains(&line["elapsed_ms"].as_f64().unwrap()), "{line}");
    }
}

#[test]
fn a_port_where_nobody_listens_is_a_refusal() {
    for example in EXAMPLES {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let arguments: &[&str] =
            if example == "dns_lookup" { &["host.test", "--server", &address] } else { &[&address] };
        let line = json(&run(example, &[arguments, &["--deadline=300ms", "--json"]].concat(), PATIENCE), 1);
        assert_eq!((&line["error"], &line["execution"]), (&"refused".into(), &"refused".into()), "{line}");
        let ended = run(example, &[arguments, &["--deadline=300ms"]].concat(), PATIENCE);
        assert!(ended.stderr.contains("<-! connection refused"), "{ended:?}");
    }
}

// DNS

#[test]
fn dns_asks_for_both_addresses_each_with_an_id_and_a_port_of_its_own() {
    let mut ids = Vec::new();
    for _ in 0..8 {
        let server = Server::answering(|_, query| vec![dns(query, 0, &[])]);
        assert_eq!(server.dns_lookup(&["host.example.test"]).code, Some(0));
        let asked = server.asked();
        for ((query, _), kind) in asked.iter().zip([1, 28]) {
            let expected =
                [b"\x01\0\0\x01\0\0\0\0\0\0\x04host\x07example\x04test\0\0".as_slice(), &[kind, 0, 1]].concat();
            assert_eq!(query[2..], expected);
            ids.push(query[..2].to_vec());
        }
        assert_eq!(asked.len(), 2);
        assert_ne!(asked[0].1, asked[1].1, "from the same port");
    }
    let drawn = ids.len();
    ids.sort_unstable();
    ids.dedup();
    // Of 16 ids two are alike once in 550 runs, four once in 600,000.
    assert!(ids.len() >= drawn - 2, "{ids:02x?}");
}

#[test]
fn dns_takes_no_datagram_but_the_answer_to_its_question() {
    let server = Server::answering(|_, query| {
        let v4 = query[query.len() - 3] == 1;
        let forged = dns(query, 0, &[if v4 { a([192, 0, 2, 66]) } else { aaaa(66) }]);
        let mut datagrams = vec![query.to_vec(), Vec::new()];
        datagrams.extend((1..query.len()).map(|length| forged[..length].to_vec()));
        datagrams.push(forged[..forged.len() - 1].to_vec());
        let mut damage = |at: usize, flip: u8| {
            let mut damaged = forged.clone();
            damaged[at] ^= flip;
            datagrams.push(damaged);
        };
        (0..16).for_each(|bit| damage(bit / 8, 1 << (bit % 8))); // the id
        damage(2, 0x80); // not a response
        damage(2, 0x10); // to another operation
        damage(5, 3); // two questions
        damage(13, 1); // another name
        damage(query.len() - 3, 29); // the other type
        damage(query.len() - 1, 2); // another class
        datagrams.push(looping(query));
        datagrams.push(dns(query, 0, &[if v4 { a([192, 0, 2, 7]) } else { aaaa(7) }]));
        // Too late, and wrong: the first answer counts.
        datagrams.push(forged);
        datagrams
    });
    let line = json(&server.dns_lookup(&["host.test", "--json", "--deadline=5s"]), 0);
    assert_eq!(line["answers"][0]["addresses"], serde_json::json!(["192.0.2.7"]));
    assert_eq!(line["answers"][1]["addresses"], serde_json::json!(["2001:db8::7"]));
    assert_eq!(line["answers"][0]["transmissions"], 1);
}

#[test]
fn dns_counts_what_answers_nothing_and_gives_up_in_time() {
    type Wrong = fn(&[u8]) -> Vec<u8>;
    let wrong_id: Wrong = |query| dns(&[&[query[0] ^ 1], &query[1..]].concat(), 0, &[a([192, 0, 2, 66])]);
    let wrong_question: Wrong = |query| {
        let mut other = query.to_vec();
        other[13] ^= 1;
        dns(&other, 0, &[a([192, 0, 2, 66])])
    };
    let cut: Wrong = |query| dns(query, 0, &[a([192, 0, 2, 66])])[..query.len() + 10].to_vec();
    let short_address: Wrong =
        |query| dns(query, 0, &[[&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 3][..], &[1; 3]].concat()]);
    for wrong in [wrong_id, wrong_question, cut, short_address, looping, |query| query.to_vec(), |_| Vec::new()] {
        let server = Server::answering(move |_, query| vec![wrong(query); 3]);
        let ended = server.dns_lookup(&["host.test", "--deadline", "300ms"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert_eq!(ended.stderr.matches("bytes that answer nothing").count(), 3, "{ended:?}");
        assert!(ended.stderr.contains("error: no reply within the deadline (1 transmission, "), "{ended:?}");
    }
}

#[test]
fn dns_takes_an_answer_whose_name_is_written_in_another_case() {
    let server = Server::answering(|_, query| {
        let upper = [&query[..12], &query[12..].to_ascii_uppercase()].concat();
        vec![dns(&upper, 0, &[])]
    });
    let ended = server.dns_lookup(&["host.test"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn dns_prints_an_error_code_as_the_reply_that_it_is() {
    for (code, name) in [(1, "FORMERR"), (2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED"), (9, "RCODE9")] {
        let server = Server::answering(move |_, query| vec![dns(query, code, &[])]);
        let ended = server.dns_lookup(&["host.test"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stdout.contains(&format!("  A: {name} (transmissions: 1")), "{ended:?}");
        assert_eq!(ended.stderr, format!("error: the server answers {name}\n"));
        let line = json(&server.dns_lookup(&["host.test", "--json"]), 1);
        assert_eq!((&line["answers"][0]["rcode"], &line["answers"][1]["rcode"]), (&name.into(), &name.into()));
    }
}

#[test]
fn dns_says_that_an_answer_is_truncated_and_prints_what_came() {
    let server = Server::answering(|_, query| {
        let kind = query[query.len() - 3];
        let mut answer =
            if kind == 1 { dns(query, 0, &[a([192, 0, 2, 7]), a([192, 0, 2, 8])]) } else { dns(query, 0, &[]) };
        answer[2] |= 2;
        // In the middle of the second record.
        if kind == 1 {
            answer.truncate(answer.len() - 2);
        }
        vec![answer]
    });
    let ended = server.dns_lookup(&["host.test"]);
    assert!(ended.stdout.contains("A: NOERROR, truncated"), "{ended:?}");
    let line = json(&server.dns_lookup(&["host.test", "--json"]), 0);
    assert_eq!(line["answers"][0]["truncated"], true);
    assert_eq!(line["answers"][0]["addresses"], serde_json::json!(["192.0.2.7"]));
}

#[test]
fn dns_follows_pointers_and_writes_no_byte_of_a_name_that_a_terminal_obeys() {
    let server = Server::answering(|_, query| {
        // An alias "a.<escape>[2J" and the question's name behind it.
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x09\x01a\x04\x1b[2J\xc0\x0c".as_slice();
        vec![dns(query, 0, &[alias.to_vec(), a([192, 0, 2, 7])])]
    });
    let ended = server.dns_lookup(&["host.test"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("host.test. is a.\\027[2J.host.test.  (300 s)"), "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:?}");
}

#[test]
fn dns_sends_the_same_query_again_until_it_is_answered() {
    let server = Server::answering(|n, query| if n == 0 { Vec::new() } else { vec![dns(query, 0, &[])] });
    let line = json(&server.dns_lookup(&["host.test", "--json"]), 0);
    assert_eq!(line["answers"][0]["transmissions"], 2);
    assert!((2000.0..3500.0).contains(&line["answers"][0]["elapsed_ms"].as_f64().unwrap()), "{line}");
    let asked = server.asked();
    assert_eq!((asked.len(), &asked[0]), (3, &asked[1]));
}

/// The answer to a query: its header, its question, and these records.
fn dns(query: &[u8], code: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let header = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]].concat();
    [header, query[12..].to_vec(), records.concat()].concat()
}

fn a(address: [u8; 4]) -> Vec<u8> {
    [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &address].concat()
}

fn aaaa(last: u8) -> Vec<u8> {
    let address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [&[0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16][..], &address].concat()
}

/// The answer's name points to itself.
fn looping(query: &[u8]) -> Vec<u8> {
    let mut record = a([192, 0, 2, 66]);
    record[1] = query.len() as u8;
    dns(query, 0, &[record])
}

// NTP

#[test]
fn ntp_sends_nothing_but_a_random_timestamp() {
    let server = Server::answering(|_, request| vec![ntp(request, 0, |_| ())]);
    for _ in 0..4 {
        assert_eq!(server.ntp_time(&[]).code, Some(0));
    }
    let mut origins = Vec::new();
    for (request, _) in server.asked() {
        assert_eq!((request.len(), request[0]), (48, 0x23));
        assert_eq!(request[1..40], [0; 39]);
        // Not the time of day, either.
        let seconds = u64::from_be_bytes(request[40..48].try_into().unwrap()) >> 32;
        assert!(seconds.abs_diff(ntp_now() >> 32) > 1_000, "{request:02x?}");
        origins.push(request[40..48].to_vec());
    }
    origins.sort_unstable();
    origins.dedup();
    assert_eq!(origins.len(), 4);
}

#[test]
fn ntp_takes_no_datagram_but_the_answer_to_its_timestamp() {
    let server = Server::answering(|_, request| {
        let forged = ntp(request, 1 << 40, |_| ());
        let mut datagrams = vec![request.to_vec(), Vec::new()];
        datagrams.extend((0..48).map(|length| forged[..length].to_vec()));
        let mut damage = |damage: &dyn Fn(&mut [u8])| {
            let mut damaged = forged.clone();
            damage(&mut damaged);
            datagrams.push(damaged);
        };
        (0..64).for_each(|bit| damage(&|reply| reply[24 + bit / 8] ^= 1 << (bit % 8)));
        damage(&|reply| reply[24..32].fill(0));
        for mode in [0, 1, 2, 3, 5, 6, 7] {
            damage(&|reply| reply[0] = reply[0] & !7 | mode);
        }
        damage(&|reply| reply[0] &= !0x38); // version 0
        datagrams.push(ntp(request, 0, |_| ()));
        datagrams.push(forged);
        datagrams
    });
    let line = json(&server.ntp_time(&["--json", "--deadline=5s"]), 0);
    assert!(line["offset_ms"].as_f64().unwrap().abs() < 1_000.0, "{line}");
    assert_eq!(line["transmissions"], 1);
}

#[test]
fn ntp_tells_how_far_the_clock_is_off_and_what_time_it_is() {
    // One hour ahead, half a second behind, and twenty years ahead, beyond the end of the first era in 2036.
    for seconds in [3_600.0, -0.5, 631_152_000.0] {
        let ahead = (seconds * 2_f64.powi(32)) as i64;
        let server = Server::answering(move |_, request| vec![ntp(request, ahead, |_| ())]);
        let line = json(&server.ntp_time(&["--json"]), 0);
        let (offset, delay) = (line["offset_ms"].as_f64().unwrap(), line["delay_ms"].as_f64().unwrap());
        assert!((offset - seconds * 1e3).abs() <= delay / 2.0 + 1.0, "{line}");
        assert!((0.0..1_000.0).contains(&delay), "{line}");
        let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + seconds;
        let told = unix(line["time"].as_str().unwrap());
        assert!((then - told).abs() < 1.5, "{line}: {then} {told}");
        assert_eq!(line["stratum"], 2);
    }
}

/// Seconds since 1970 of a time in UTC, day by day.
fn unix(time: &str) -> f64 {
    let number = |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap();
    let leap = |year: u64| u64::from(year % 4 == 0 && year % 100 != 0 || year % 400 == 0);
    let months = |year| [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (year, month) = (number(0..4), number(5..7) as usize);
    let days: u64 = (1970..year).map(|year| 365 + leap(year)).sum();
    let days = days + months(year)[..month - 1].iter().sum::<u64>() + number(8..10) - 1;
    let seconds = days * 86_400 + number(11..13) * 3_600 + number(14..16) * 60;
    assert!(time.ends_with('Z') && &time[10..11] == "T" && time.len() == 27, "{time}");
    seconds as f64 + time[17..26].parse::<f64>().unwrap()
}

#[test]
fn ntp_measures_from_the_transmission_that_was_answered() {
    // The answer to the first transmission leaves after the second came.
    let mut first = None;
    let server = Server::answering(move |_, request| match &first {
        None => {
            first = Some(ntp(request, 0, |_| ()));
            Vec::new()
        }
        Some(answer) => vec![answer.clone()],
    });
    let line = json(&server.ntp_time(&["--json"]), 0);
    assert_eq!(line["transmissions"], 2);
    // It was on its way back for those 2 s and more.
    assert!((2_000.0..4_500.0).contains(&line["delay_ms"].as_f64().unwrap()), "{line}");
    let asked = server.asked();
    assert_ne!(asked[0].0[40..], asked[1].0[40..], "the same timestamp twice");
    assert_eq!((asked[0].1, &asked[0].0[..40]), (asked[1].1, &asked[1].0[..40]));
}

#[test]
fn ntp_leaves_a_server_alone_that_asks_for_it_and_says_with_which_code() {
    for (sent, told) in
        [(b"RATE", "RATE"), (b"DENY", "DENY"), (b"\x1b[2J", "\\x1b[2J"), (b"X\0\0\0", "X"), (b"\0\0\0\0", "")]
    {
        let server = Server::answering(move |_, request| {
            // As servers do: not synchronized, and no time.
            vec![ntp(request, 0, |reply| {
                (reply[0], reply[1]) = (0xe4, 0);
                reply[12..16].copy_from_slice(sent);
                reply[40..].fill(0);
            })]
        });
        let ended = server.ntp_time(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.ends_with(&format!("wants to be left alone: {told}\n")), "{ended:?}");
        let line = json(&server.ntp_time(&["--json"]), 1);
        assert_eq!((&line["error"], &line["code"]), (&"kiss_of_death".into(), &told.into()));
        assert_eq!(server.asked().len(), 2, "each was sent once");
    }
}

#[test]
fn ntp_does_not_believe_a_clock_that_is_not_synchronized() {
    type Unusable = fn(&mut [u8]);
    let cases: [Unusable; 4] =
        [|reply| reply[0] |= 0xc0, |reply| reply[1] = 16, |reply| reply[1] = 255, |reply| reply[40..].fill(0)];
    for unusable in cases {
        let server = Server::answering(move |_, request| vec![ntp(request, 0, unusable)]);
        let ended = server.ntp_time(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains("is not synchronized"), "{ended:?}");
        assert_eq!(json(&server.ntp_time(&["--json"]), 1)["error"], "unsynchronized");
    }
}

/// A server of stratum 2 whose clock is ahead by so much; then changed.
fn ntp(request: &[u8], ahead: i64, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let now = ntp_now().wrapping_add_signed(ahead).to_be_bytes();
    let mut reply = [&[0x24, 2, 6, 0xe9][..], &[0; 8], &[192, 0, 2, 1], &now, &request[40..48], &now, &now].concat();
    change(&mut reply);
    reply
}

fn ntp_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = since.as_secs() + 2_208_988_800;
    (seconds << 32) + (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000
}

// STUN

#[test]
fn stun_sends_a_binding_request_with_an_id_that_is_never_the_same() {
    let server = Server::answering(|_, request| vec![stun(request, 0x0101, &[mapped(request, SEEN)])]);
    for _ in 0..4 {
        assert_eq!(server.stun_address(&[]).code, Some(0));
    }
    let mut ids = Vec::new();
    for (request, _) in server.asked() {
        assert_eq!(request.len(), 20);
        assert_eq!(request[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        // Any four bytes of it.
        ids.extend(request[8..].chunks(4).map(<[u8]>::to_vec));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 12);
}

#[test]
fn stun_takes_no_datagram_but_the_answer_to_its_id() {
    let server = Server::answering(|_, request| {
        let forged = stun(request, 0x0101, &[mapped(request, "192.0.2.66:6")]);
        let mut datagrams = vec![request.to_vec(), Vec::new()];
        datagrams.extend((0..forged.len()).map(|length| forged[..length].to_vec()));
        let mut damage = |at: usize, flip: u8| {
            let mut damaged = forged.clone();
            damaged[at] ^= flip;
            datagrams.push(damaged);
        };
        (0..128).for_each(|bit| damage(4 + bit / 8, 1 << (bit % 8)));
        damage(0, 0x80); // not STUN at all
        damage(1, 2); // another method
        damage(3, 4); // another length
        damage(23, 0x40); // an attribute that goes beyond the end
        damage(25, 2); // an address of another family
        // Nothing in it, and an error without a code.
        datagrams.push(stun(request, 0x0101, &[]));
        datagrams.push(stun(request, 0x0111, &[]));
        datagrams.push([forged.clone(), vec![0; 4]].concat());
        datagrams.push(stun(request, 0x0101, &[mapped(request, SEEN)]));
        datagrams.push(forged);
        datagrams
    });
    let line = json(&server.stun_address(&["--json", "--deadline=5s"]), 0);
    assert_eq!((&line["address"], &line["transmissions"]), (&SEEN.into(), &1.into()), "{line}");
}

#[test]
fn stun_reads_every_kind_of_address() {
    type Attributes = fn(&[u8]) -> Vec<Vec<u8>>;
    let cases: [(Attributes, &str); 6] = [
        (|request| vec![mapped(request, "203.0.113.9:65535")], "203.0.113.9:65535"),
        (|request| vec![mapped(request, "[2001:db8::7:9]:1")], "[2001:db8::7:9]:1"),
        (|_| vec![plain("203.0.113.9:40001")], "203.0.113.9:40001"),
        (|_| vec![plain("[2001:db8::7]:40001")], "[2001:db8::7]:40001"),
        // Something on the path may have changed the plain one.
        (|request| vec![plain("10.0.0.1:1"), mapped(request, SEEN)], SEEN),
        // Unknown ones, padded.
        (|request| vec![attribute(0x8022, b"a server"), attribute(0x802c, b"12345"), mapped(request, SEEN)], SEEN),
    ];
    for (attributes, expected) in cases {
        let server = Server::answering(move |_, request| vec![stun(request, 0x0101, &attributes(request))]);
        let line = json(&server.stun_address(&["--json"]), 0);
        assert_eq!(line["address"], expected, "{line}");
        assert_eq!(line["local"].as_str().unwrap().parse(), Ok(server.asked()[0].1));
        let ended = server.stun_address(&[]);
        assert!(ended.stdout.contains(&format!("sees this host at {expected}\n")), "{ended:?}");
        assert!(ended.stdout.contains("somebody translates"), "{ended:?}");
    }
}

#[test]
fn stun_prints_an_error_as_the_reply_that_it_is() {
    let unknown: &[u8] = b"\0\0\x04\x14Unknown Attribute";
    let hostile: &[u8] = b"\0\0\x05\x00\x1b[2J \"busy\"\n";
    for (value, code, reason) in [(unknown, 420, "Unknown Attribute"), (hostile, 500, "[2J \"busy\"")] {
        let server = Server::answering(move |_, request| vec![stun(request, 0x0111, &[attribute(0x0009, value)])]);
        let ended = server.stun_address(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.ends_with(&format!("answers with error {code} {reason:?}\n")), "{ended:?}");
        let line = json(&server.stun_address(&["--json"]), 1);
        assert_eq!((&line["code"], &line["reason"]), (&code.into(), &reason.into()));
        assert_eq!(server.asked().len(), 2, "each was sent once");
    }
}

#[test]
fn stun_sends_the_same_request_again_after_half_a_second() {
    let server =
        Server::answering(
            |n, request| {
                if n == 0 { Vec::new() } else { vec![stun(request, 0x0101, &[mapped(request, SEEN)])] }
            },
        );
    let line = json(&server.stun_address(&["--json"]), 0);
    assert_eq!(line["transmissions"], 2);
    assert!((500.0..1_450.0).contains(&line["elapsed_ms"].as_f64().unwrap()), "{line}");
    let asked = server.asked();
    assert_eq!((asked.len(), &asked[0]), (2, &asked[1]));
}

const SEEN: &str = "203.0.113.7:40312";

fn stun(request: &[u8], kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    [&kind.to_be_bytes()[..], &(attributes.len() as u16).to_be_bytes(), &request[4..20], &attributes].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat();
    attribute.resize(attribute.len().next_multiple_of(4), b' ');
    attribute
}

/// XOR-MAPPED-ADDRESS.
fn mapped(request: &[u8], address: &str) -> Vec<u8> {
    let (mut port, mut ip) = octets(address);
    port.iter_mut().zip(&request[4..]).for_each(|(byte, key)| *byte ^= key);
    ip.iter_mut().zip(&request[4..]).for_each(|(byte, key)| *byte ^= key);
    attribute(0x0020, &[&[0, if ip.len() == 4 { 1 } else { 2 }][..], &port, &ip].concat())
}

/// MAPPED-ADDRESS.
fn plain(address: &str) -> Vec<u8> {
    let (port, ip) = octets(address);
    attribute(0x0001, &[&[0, if ip.len() == 4 { 1 } else { 2 }][..], &port, &ip].concat())
}

fn octets(address: &str) -> ([u8; 2], Vec<u8>) {
    let address: SocketAddr = address.parse().unwrap();
    let ip = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    (address.port().to_be_bytes(), ip)
}

/// A server that answers each request, by its number, with any number of datagrams.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

/// With who sent it.
type Request = (Vec<u8>, SocketAddr);

impl Server {
    fn answering(answer: impl FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").unwrap(), answer)
    }

    fn on(socket: UdpSocket, mut answer: impl FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            // As long as the test runs, if need be.
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let request = &buffer[..length];
                let number = {
                    let mut notes: std::sync::MutexGuard<'_, Vec<Request>> = notes.lock().unwrap();
                    notes.push((request.to_vec(), from));
                    notes.len() - 1
                };
                for datagram in answer(number, request) {
                    socket.send_to(&datagram, from).unwrap();
                }
            }
        });
        Self { address, asked }
    }

    /// What has been asked so far.
    fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    fn dns_lookup(&self, arguments: &[&str]) -> Ended {
        run("dns_lookup", &[arguments, &["--server", &self.address.to_string()]].concat(), PATIENCE)
    }

    fn ntp_time(&self, arguments: &[&str]) -> Ended {
        run("ntp_time", &[&[self.address.to_string().as_str()], arguments].concat(), PATIENCE)
    }

    fn stun_address(&self, arguments: &[&str]) -> Ended {
        run("stun_address", &[&[self.address.to_string().as_str()], arguments].concat(), PATIENCE)
    }
}

/// The one line of an example that was told to print nothing else.
fn json(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout.matches('\n').count(), 1, "{ended:?}");
    assert!(ended.stdout.ends_with('\n'), "{ended:?}");
    assert_eq!(ended.stderr.is_empty(), code == 0, "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

const EXAMPLES: [&str; 3] = ["dns_lookup", "ntp_time", "stun_address"];

const PATIENCE: Duration = Duration::from_secs(20);
