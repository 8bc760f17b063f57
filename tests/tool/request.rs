//! `udp-retry request` as people run it: what it sends, prints and counts, and how it ends.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use udp_retry::Seed;
use udp_retry::policy::Preset;

use crate::closed::closed_port;
use crate::files::Scratch;
use crate::program::{Ended, Running, run, tool};

#[test]
fn without_arguments_it_shows_itself() {
    let ended = run("request", &[], PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for fact in ["--> transmission 1\n", "--> transmission 2\n", "<-- reply\n", "27 bytes: \"id 1: does anybody"] {
        assert!(ended.stdout.contains(fact), "{fact:?}: {ended:?}");
    }
    assert_eq!(ended.stdout.lines().last(), Some(&*hex(b"id 1: does anybody hear me?")));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");

    let lines = reports(&run("request", &["--json", "--repeat", "3", "--id", "3:1"], PATIENCE));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0]["transmissions"].as_u64().unwrap() >= 2, "{lines:?}");
}

#[test]
fn the_story_ends_with_the_reply_as_text_as_a_dump_and_in_plain_hex() {
    let server = Server::start(|number, request| match number {
        1 => Vec::new(),
        _ => vec![[request, b"\x00\x1b[2J \xff"].concat()],
    });
    let ended = server.ask(&["--text", "0123456789abcde", "--policy", "book"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let scale = lines[0].split_once("  ").unwrap().0;
    // A reply that comes at once hides the mark of what it answers; on a busy machine it stands a little behind.
    let between = scale.trim_start_matches('-').strip_prefix("1-").and_then(|rest| rest.strip_suffix('*'));
    assert!(between.is_some_and(|between| between.replacen('2', "-", 1).chars().all(|mark| mark == '-')), "{scale}");
    let events: Vec<_> = lines[1..4].iter().map(|line| line.split_once(" ms  ").unwrap().1).collect();
    assert_eq!(events, ["--> transmission 1", "--> transmission 2", "<-- reply"]);
    assert_eq!(
        lines[4..],
        [
            "",
            "22 bytes: \"0123456789abcde\\0\\u{1b}[2J \u{fffd}\"",
            "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 00  |0123456789abcde.|",
            "00000010  1b 5b 32 4a 20 ff                                 |.[2J .|",
            "30313233343536373839616263646500\
             1b5b324a20ff",
        ]
    );
}

#[test]
fn an_empty_reply_is_a_reply_and_its_last_line_is_empty() {
    let server = Server::start(|_, _| vec![Vec::new()]);
    for empty in [["--text", ""], ["--hex", ""]] {
        let ended = server.ask(&empty);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.ends_with(" <-- reply\n\n0 bytes: \"\"\n\n"), "{ended:?}");
    }
    let json = server.ask(&["--text", "", "--json"]);
    assert_eq!(reports(&json)[0]["reply_hex"], "", "{json:?}");
    assert!(server.heard().iter().all(Vec::is_empty));
}

#[test]
fn the_largest_reply_there_is_arrives_whole() {
    let reply: Vec<u8> = (0..65_507_u32).map(|n| (n * 7 + n / 251) as u8).collect();
    let server = Server::start({
        let reply = reply.clone();
        move |_, _| vec![reply.clone()]
    });
    let ended = server.ask(&["--text", "all of it"]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stdout.lines().last(), Some(&*hex(&reply)));
    assert_eq!(ended.stdout.lines().filter(|line| line.ends_with('|')).count(), 65_507_usize.div_ceil(16));
    assert_eq!(reports(&server.ask(&["--text", "again", "--json"]))[0]["reply_hex"], *hex(&reply));
}

#[test]
fn hex_is_read_with_spaces_colons_and_prefixes() {
    let server = Server::echo();
    for text in
        ["00a1ff7f", "00 a1 ff 7f", "00:A1:FF:7F", "0x00A1ff7f", "0x00 0xa1 0XFF,7f", " 00a1\n ff7f\n", "00a1: 0xff7f"]
    {
        let text = text.replace(',', " ");
        let ended = server.ask(&["--hex", &text]);
        assert_eq!((ended.code, ended.stdout.lines().last()), (Some(0), Some("00a1ff7f")), "{text:?}: {ended:?}");
    }
    assert!(server.heard().iter().all(|request| *request == [0, 0xa1, 0xff, 0x7f]));
}

#[test]
fn a_file_and_standard_input_are_sent_byte_for_byte() {
    let server = Server::echo();
    let bytes: Vec<u8> = (0..=255).rev().chain([b'\n', b'\r', 0]).collect();
    let file = Scratch::new("binary");
    fs::write(&file.0, &bytes).unwrap();
    let ended = server.ask(&["--file", file.path()]);
    assert_eq!((ended.code, ended.stdout.lines().last()), (Some(0), Some(&*hex(&bytes))));

    let mut request = Running::start(server.command(&["--file", "-"]).stdin(Stdio::piped()), PATIENCE);
    request.stdin().write_all(&bytes).unwrap();
    let ended = request.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.ends_with(&format!("\n{}\n", hex(&bytes))));
    assert_eq!(server.heard(), [bytes.clone(), bytes]);
}

#[test]
fn names_and_addresses_of_both_kinds_are_asked() {
    for (bound, named) in [("127.0.0.1:0", "127.0.0.1"), ("127.0.0.1:0", "localhost"), ("[::1]:0", "[::1]")] {
        let server = Server::at(bound, |_, request| vec![request.to_vec()]);
        let ended = run("request", &[&format!("{named}:{}", server.address.port()), "--hex", "2a"], PATIENCE);
        assert_eq!((ended.code, ended.stdout.lines().last()), (Some(0), Some("2a")), "{named}: {ended:?}");
    }
}

/// The second datagram of the first request is answered twice, once for each: the second answer is late.
#[test]
fn a_late_reply_is_nobodys_with_an_id_without_one_and_taken_for_the_next_only_if_the_id_is_kept() {
    for (arguments, second, strays) in
        [(&["--id", "0:4"][..], b"answer 3", 1), (&[], b"answer 3", 0), (&["--id", "0:4", "--keep-id"], b"answer 2", 0)]
    {
        // A busy machine may suspend a process past the slot; not every time.
        for left in (0..TRIES).rev() {
            let server = Server::start(|number, request| {
                let answer = |number: usize| [&request[..4], format!("answer {number}").as_bytes()].concat();
                match number {
                    1 => Vec::new(),
                    2 => vec![answer(1), answer(2)],
                    _ => vec![answer(number)],
                }
            });
            let common = ["--text", "id 1 hello", "--policy", "book", "--repeat", "2", "--json"];
            let ended = server.ask(&[&common, arguments].concat());
            let lines = reports(&ended);
            let answers: Vec<_> = lines.iter().map(|line| unhex(&line["reply_hex"])[4..].to_vec()).collect();
            assert_eq!(answers, [b"answer 1", second], "{arguments:?}");
            let counted: Vec<_> = lines.iter().map(|line| line["strays"]["stale"].clone()).collect();
            assert_eq!(counted, [0, strays], "{arguments:?}");
            assert_eq!((&lines[0]["transmissions"], &lines[0]["round_trip_ms"]), (&2.into(), &Value::Null));
            let elapsed = lines[0]["elapsed_ms"].as_f64().unwrap();
            assert!(elapsed >= 100.0, "{lines:?}");
            if elapsed < 300.0 {
                break;
            }
            assert!(left > 0, "{lines:?}");
        }
    }
}

#[test]
fn every_duplicate_is_counted_and_no_reply_is_anothers() {
    let server = Server::start(|_, request| vec![request.to_vec(); 2]);
    let lines = reports(&server.ask(&["--hex", "0a0b0c0d ff", "--id", "0:4", "--repeat", "50", "--json"]));
    assert_eq!(lines.len(), 50);
    let once: Vec<_> = server.heard().iter().map(|request| hex(request)).collect();
    assert_eq!(lines.iter().map(|line| line["reply_hex"].as_str().unwrap()).collect::<Vec<_>>(), once);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!((&line["strays"]["stale"], &line["transmissions"]), (&u8::from(number > 0).into(), &1.into()));
    }
}

#[test]
fn strays_are_counted_however_many() {
    for junk in [3, 40] {
        let server = Server::start(move |_, request| {
            let forged = |n: u8| [&[request[0], request[1] ^ n.max(1)], &request[2..]].concat();
            (1..=junk).map(forged).chain([[b"reply:", &request[..2]].concat()]).collect()
        });
        let [line] = &reports(&server.ask(&["--hex", "beef00", "--id", "0:2:6", "--json"]))[..] else { panic!() };
        assert_eq!((&line["reply_hex"], &line["strays"]), (&hex(b"reply:\xbe\xef").into(), &foreign(junk)));
        assert!(line["round_trip_ms"].as_f64().unwrap() <= line["elapsed_ms"].as_f64().unwrap());
    }
}

#[test]
fn a_request_that_nobody_answers_keeps_the_schedule_to_twenty_milliseconds() {
    let first = Seed::new(Seed::new(7).derive(REQUESTS).draw(0));
    let jittered = Preset::named("default").unwrap().policy.backoff().delay(0, first).as_secs_f64() * 1e3;
    let cases = [
        ("--policy book", &[0.0, 100.0, 300.0, 700.0, 1500.0][..], 3100.0),
        ("--policy book --deadline 0.35s", &[0.0, 100.0, 300.0], 350.0),
        ("--policy stun --deadline 1600ms", &[0.0, 500.0, 1500.0], 1600.0),
        ("--policy 100ms_x3_3_transmissions", &[0.0, 100.0, 400.0], 1300.0),
        ("--seed 7 --deadline 1700ms", &[0.0, jittered], 1700.0),
    ];
    let silent = Server::start(|_, _| Vec::new());
    thread::scope(|scope| {
        for (arguments, due, end) in cases {
            let silent = &silent;
            scope.spawn(move || {
                let arguments: Vec<_> = arguments.split(' ').map(|word| word.replace('_', " ")).collect();
                let arguments: Vec<_> =
                    ["--text", "x", "--json"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
                // A busy machine may suspend a process for so long, also past a slot; not every time.
                for left in (0..TRIES).rev() {
                    let ended = silent.ask(&arguments);
                    assert_eq!(ended.code, Some(1));
                    assert_eq!(ended.stderr, "error: 1 of 1 requests brought no reply\n");
                    let [line] = &reports(&ended)[..] else { panic!("{ended:?}") };
                    assert_eq!((&line["error"], &line["execution"]), (&"timed_out".into(), &"unknown".into()));
                    let sent = line["sent_ms"].as_array().unwrap();
                    assert_eq!(line["transmissions"], sent.len(), "{line}");
                    assert!(sent.len() <= due.len(), "{line}");
                    let times = sent.iter().chain([&line["elapsed_ms"]]).map(|ms| ms.as_f64().unwrap());
                    let slots = due[..sent.len()].iter().chain([&end]);
                    let late: Vec<_> = times.zip(slots).map(|(at, due)| at - due).collect();
                    assert!(late.iter().all(|&late| late > -0.1), "early: {arguments:?}: {line}");
                    if sent.len() == due.len() && late.iter().all(|&late| late < 20.0) {
                        return;
                    }
                    assert!(left > 0, "{arguments:?}: {line}");
                }
            });
        }
    });
}

#[test]
fn failures_are_told_by_kind_and_end_with_1() {
    let closed = closed_port().to_string();
    let file = Scratch::new("too-large");
    fs::write(&file.0, vec![0; 65_508]).unwrap();
    let nobody = ["--text", "x", "--policy", "book", "--deadline", "150ms"];
    let too_large = ["--file", file.path(), "--repeat", "2"];
    for (arguments, kind, execution, transmissions, lines) in
        [(&nobody[..], "refused", "refused", 2, 1), (&too_large, "too_large", "not_sent", 0, 2)]
    {
        let ended = run("request", &[&[&*closed, "--json"], arguments].concat(), PATIENCE);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(ended.stderr, format!("error: {lines} of {lines} requests brought no reply\n"));
        let told = reports(&ended);
        assert_eq!(told.len(), lines, "{ended:?}");
        for line in told {
            assert_eq!((&line["error"], &line["execution"]), (&kind.into(), &execution.into()));
            assert_eq!(line["transmissions"], transmissions);
            assert_eq!(line["sent_ms"].as_array().unwrap().len(), transmissions);
        }
    }
    let story = run("request", &[&[&*closed], &nobody[..]].concat(), PATIENCE);
    assert!(story.stdout.contains("<-! connection refused"), "{story:?}");
    let last = story.stdout.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("No reply: {closed}: refused: ")) && last.ends_with("; execution: refused"),
        "{story:?}"
    );
}

#[test]
fn one_failure_among_answers_ends_with_1_and_the_others_are_told() {
    let server = Server::start(|_, request| if request[0] == 1 { Vec::new() } else { vec![request.to_vec()] });
    let arguments = ["--hex", "01", "--id", "0:1", "--repeat", "3", "--policy", "book", "--deadline", "50ms"];
    let ended = server.ask(&[&arguments[..], &["--json"]].concat());
    assert_eq!((ended.code, &*ended.stderr), (Some(1), "error: 1 of 3 requests brought no reply\n"), "{ended:?}");
    let failed: Vec<_> = reports(&ended).iter().map(|line| line.get("error").is_some()).collect();
    assert_eq!(failed, [true, false, false]);
    let story = server.ask(&arguments);
    assert_eq!((story.code, story.stdout.matches("--> transmission 1\n").count()), (Some(1), 3), "{story:?}");
    let lines: Vec<_> = story.stdout.lines().collect();
    let begins = |pair: &&[&str]| pair[0].is_empty() && pair[1].contains("1--") && pair[1].ends_with(" ms");
    assert_eq!((lines.windows(2).filter(begins).count(), lines[lines.len() - 1].len()), (2, 2), "{story:?}");
}

/// A datagram socket for standard output keeps the writes apart.
#[test]
fn a_thousand_requests_are_quick_each_with_an_id_of_its_own_and_printed_in_few_writes() {
    let server = Server::echo();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let end = theirs.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let (mut output, mut writes, mut buffer) = (Vec::new(), 0, vec![0; 1 << 20]);
        while let Ok(len @ 1..) = ours.recv(&mut buffer) {
            output.extend_from_slice(&buffer[..len]);
            writes += 1;
        }
        (output, writes)
    });
    let started = Instant::now();
    let arguments = ["--hex", "aa 0001 bb", "--id", "1:2", "--repeat", "1000", "--json"];
    let status = server.command(&arguments).stdout(OwnedFd::from(theirs)).status().unwrap();
    let took = started.elapsed();
    end.send(b"").unwrap();
    let (output, writes) = reader.join().unwrap();
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    // The time decides too: on a busy machine the pause between two writes is over more often.
    assert!(writes <= 10 + took.as_millis() / 100, "{writes} writes in {took:?}");

    let lines = String::from_utf8(output).unwrap();
    let replies: Vec<_> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    let heard = server.heard();
    let once: BTreeSet<_> = heard.iter().collect();
    assert_eq!((replies.len(), once.len()), (1000, 1000));
    let mut order = heard.clone();
    order.dedup();
    assert_eq!(replies.iter().map(|line| unhex(&line["reply_hex"])).collect::<Vec<_>>(), order);
    assert_eq!(heard[0], [0xaa, 0, 1, 0xbb]);
    assert!(heard.iter().all(|request| (request.len(), request[0], request[3]) == (4, 0xaa, 0xbb)));
}

#[test]
fn ids_are_unpredictable_unless_seeded_and_none_comes_again_soon() {
    let ids = |id: &str, more: &[&str]| {
        let server = Server::echo();
        let common = ["--hex", "00112233445566778899aabbccddeeff0011", "--id", id, "--repeat", "300", "--json"];
        let ended = server.ask(&[&common, more].concat());
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 300), "{ended:?}");
        server.heard()
    };
    let single: Vec<_> = ids("17:1", &[]).iter().map(|request| request[17]).collect();
    for window in single.windows(128) {
        assert_eq!(window.iter().collect::<BTreeSet<_>>().len(), 128, "{single:?}");
    }
    let steps: BTreeSet<_> = single.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 50, "{steps:?}");

    // Longer than what is drawn at once: no half of it repeats.
    let long = ids("0:18", &["--seed", "5"]);
    for half in [0..8, 8..16] {
        assert_eq!(long.iter().map(|request| &request[half.clone()]).collect::<BTreeSet<_>>().len(), 300);
    }
    assert_eq!(ids("0:18", &["--seed", "5"]), long);
    assert_ne!(ids("0:18", &["--seed", "6"])[1], long[1]);
    assert_ne!(ids("0:18", &[])[1], ids("0:18", &[])[1]);
}

#[test]
fn the_replies_of_a_slow_server_are_told_before_the_last() {
    let server = Server::start(|_, request| {
        thread::sleep(Duration::from_millis(100));
        vec![request.to_vec()]
    });
    let arguments = ["--text", "x", "--repeat", "10", "--json"];
    let mut request = Running::start(&mut server.command(&arguments), PATIENCE);
    let mut told = BufReader::new(request.stdout()).lines();
    told.next().unwrap().unwrap();
    assert!(server.heard().len() < 8);
    assert_eq!(told.map(Result::unwrap).count(), 9);
    assert_eq!(request.end().code, Some(0));
}

/// Where the `script` of util-linux gives it a terminal.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_has_every_line_at_once() {
    let (go_on, may_go_on) = mpsc::channel();
    let server = Server::start(move |number, request| {
        if number > 1 {
            let _ = may_go_on.recv_timeout(PATIENCE);
        }
        vec![request.to_vec()]
    });
    let tool = env!("CARGO_BIN_EXE_udp-retry");
    let asked = format!("{tool} request {} --text x --repeat 2 --json", server.address);
    let mut command = Command::new("script");
    command.args(["-qec", &asked, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let Ok(mut script) = Running::try_start(&mut command, PATIENCE * 2) else { return };
    let started = Instant::now();
    let mut told = BufReader::new(script.stdout()).lines();
    let first = told.next().unwrap().unwrap();
    assert!(first.contains("\"reply_hex\":\"78\"") && started.elapsed() < PATIENCE / 2, "{first:?}");
    go_on.send(()).unwrap();
    assert_eq!(told.count(), 1);
    assert_eq!(script.end().code, Some(0));
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let server = Server::echo();
    for more in [&["--json"][..], &[]] {
        let arguments = [&["--text", "x", "--repeat", "2000"], more].concat();
        let mut request = Running::start(&mut server.command(&arguments), PATIENCE);
        drop(request.stdout());
        let ended = request.end();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    for (usage, said) in [
        ("127.0.0.1:9", "<--hex <HEX>|--text <TEXT>|--file <FILE>|--hex-lines <FILE>>"),
        ("--hex 00", "<HOST:PORT>"),
        ("127.0.0.1:9 --hex 00 --text x", "cannot be used with"),
        ("127.0.0.1:9 --file a --text x", "cannot be used with"),
        ("127.0.0.1:9 --text x --text y", "cannot be used multiple times"),
        ("127.0.0.1:9 --hex 00zz", "'--hex <HEX>': at 3: 'z' is no hexadecimal digit"),
        ("127.0.0.1:9 --hex 0x00:1g", "at 7: 'g' is no"),
        ("127.0.0.1:9 --hex 120x34", "at 4: 'x' is no"),
        ("127.0.0.1:9 --hex 00x1", "at 3: 'x' is no"),
        ("127.0.0.1:9 --hex 123", "at 4: a digit is missing"),
        ("127.0.0.1:9 --hex 1:23", "at 2: a digit is missing"),
        ("127.0.0.1:9 --hex 0x", "at 3: a digit is missing"),
        ("127.0.0.1:9 --file /nowhere/at/all", "cannot read /nowhere/at/all: No such file"),
        ("127.0.0.1:9 --hex 0011 --id 0:3", "the id, bytes 0 to 3, lies beyond the request of 2 bytes"),
        ("127.0.0.1:9 --hex 0011 --id 2:1", "lies beyond"),
        ("127.0.0.1:9 --hex 0011 --id 0:0", "at least one byte"),
        ("127.0.0.1:9 --hex 0011 --id 1:18446744073709551615", "at least one byte"),
        ("127.0.0.1:9 --hex 0011 --id 0", "OFFSET:LEN or OFFSET:LEN:REPLY_OFFSET, such as 0:2"),
        ("127.0.0.1:9 --hex 0011 --id 0:1:2:3", "such as 0:2"),
        ("127.0.0.1:9 --hex 0011 --id -1:1", ""),
        ("127.0.0.1:9 --hex 0011 --id +0:1", "such as 0:2"),
        ("127.0.0.1:9 --hex 0011 --id 00:1", "such as 0:2"),
        ("127.0.0.1:9 --hex 0011 --id 0:1:+1", "such as 0:2"),
        // Where no datagram reaches, no reply has it.
        ("127.0.0.1:9 --hex 0011 --id 0:2:65526", "none lies beyond 65527"),
        ("127.0.0.1:9 --hex 0011 --id 0:2:18446744073709551615", "none lies beyond 65527"),
        ("127.0.0.1:9 --hex 0011 --id 18446744073709551615:0", "none lies beyond 65527"),
        ("127.0.0.1:9 --hex 0011 --id 65527:1", "none lies beyond 65527"),
        ("127.0.0.1:9 --hex 0011 --keep-id", "--id"),
        ("127.0.0.1:9 --hex 00 --policy quick", "the presets are default, book, coap,"),
        ("127.0.0.1:9 --hex 00 --repeat 0", "a number from 1"),
        ("127.0.0.1:9 --hex 00 --repeat -1", ""),
        ("127.0.0.1:9 --hex 00 --deadline 5", "such as 500ms or 5s"),
        ("127.0.0.1:9 --hex 00 --deadline 5parsecs", "such as 500ms or 5s"),
        ("127.0.0.1:9 --hex 00 --deadline 0s", "above 0"),
        ("127.0.0.1:9 --hex 00 --deadline -5s", "above 0"),
        ("127.0.0.1:9 --hex 00 --seed many", "--seed"),
        ("127.0.0.1:9 --hex 00 --every 0s", "above 0"),
        ("127.0.0.1:9 --hex 00 --every 5", "such as 500ms or 5s"),
        ("127.0.0.1:9 --hex 00 --spread nearest", "[possible values: band, in-order, sticky, round-robin]"),
        ("127.0.0.1:9, --hex 00", "it lacks a port"),
        (",127.0.0.1:9 --hex 00", "it lacks a port"),
        ("127.0.0.1:9,127.0.0.2 --hex 00", "it lacks a port"),
        ("127.0.0.1:9,:9 --hex 00", "it lacks a host"),
        ("127.0.0.1 --hex 00", "it lacks a port"),
        (":9 --hex 00", "it lacks a host"),
        ("127.0.0.1:0 --hex 00", "from 1 to 65535"),
        ("127.0.0.1:65536 --hex 00", "from 1 to 65535"),
        ("127.0.0.1:+9 --hex 00", "from 1 to 65535, without sign or leading zero"),
        ("127.0.0.1:09 --hex 00", "from 1 to 65535, without sign or leading zero"),
        ("127.0.0.1: --hex 00", "from 1 to 65535"),
        ("127.0.0.1:0x9 --hex 00", "from 1 to 65535"),
        ("[127.0.0.1]:9 --hex 00", "in brackets"),
        ("[localhost]:9 --hex 00", "in brackets"),
        ("[]:9 --hex 00", "in brackets"),
        ("::1:9 --hex 00", "in brackets: such as [::1]:9"),
        ("[::1:9 --hex 00", "in brackets"),
        ("127.0.0.1:9 more --hex 00", "it lacks a port"),
    ] {
        let ended = run("request", &usage.split(' ').collect::<Vec<_>>(), PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage}: {ended:?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(said), "{usage}: no {said:?}: {ended:?}");
    }
    for spaced in [" 127.0.0.1:9", "127.0.0.1 :9", "127.0.0.1: 9", "127.0.0.1:9 ", "local\thost:9", "local\u{a0}host:9"]
    {
        let ended = run("request", &[spaced, "--hex", "00"], PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{spaced:?}: {ended:?}");
    }
}

/// The lines of `--json`, of which none has a key less or more than promised.
pub(crate) fn reports(ended: &Ended) -> Vec<Value> {
    let report = |line: &str| {
        let report: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        // Of several servers, as a name may have on one machine and not on another.
        let promised: &[&str] = match (report.get("error"), report.get("paths")) {
            (None, None) => &["elapsed_ms", "reply_hex", "round_trip_ms", "sent_ms", "strays", "transmissions"],
            (Some(_), None) => &["elapsed_ms", "error", "execution", "sent_ms", "transmissions"],
            (None, Some(_)) => {
                &["elapsed_ms", "paths", "reply_hex", "round_trip_ms", "sent_ms", "server", "strays", "transmissions"]
            }
            (Some(_), Some(_)) => &["elapsed_ms", "error", "execution", "paths", "sent_ms", "transmissions"],
        };
        assert_eq!(keys, promised, "{line}");
        report
    };
    ended.stdout.lines().map(report).collect()
}

fn foreign(strays: u8) -> Value {
    serde_json::json!({ "stale": 0, "empty": 0, "truncated": 0, "envelope": 0, "foreign": strays })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Answers until the test is over, and remembers what it heard.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    pub(crate) fn echo() -> Self {
        Self::start(|_, request| vec![request.to_vec()])
    }

    /// `answers` is given the number of the datagram, from 1.
    pub(crate) fn start(answers: impl FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", answers)
    }

    pub(crate) fn at(address: &str, mut answers: impl FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = heard.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let number = {
                    let mut heard = hearing.lock().unwrap();
                    heard.push(buffer[..len].to_vec());
                    heard.len()
                };
                for answer in answers(number, &buffer[..len]) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { address, heard }
    }

    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Ended {
        run("request", &[&[&*self.address.to_string()], arguments].concat(), PATIENCE)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool("request");
        command.arg(self.address.to_string()).args(arguments);
        command
    }
}

/// The label of the seeds of requests under that of a requester.
const REQUESTS: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(20);
/// A tool that keeps no time fails all of them; a machine that stalls, some.
const TRIES: u32 = 10;
