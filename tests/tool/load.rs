//! `udp-retry request` as a load generator: many in flight, at a rate, to several targets, and what it says of all together.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::closed::closed_port;
use crate::files::Scratch;
use crate::program::{Ended, Running, run, tool};
use crate::request::Server;
use crate::several::again;

#[test]
fn all_are_answered_and_the_one_line_says_so_whatever_the_window() {
    for window in [1, 2, 64] {
        let server = Server::echo();
        let window = window.to_string();
        let common = ["--text", "........ping", "--repeat", "2000", "--in-flight", &window, "--summary", "--json"];
        for more in [&["--id", "0:8", "--stamp", "--expect", "echo"][..], &["--id", "0:8", "--policy", "book"], &[]] {
            if more.is_empty() && window != "1" {
                continue;
            }
            let began = Instant::now();
            let ended = server.ask(&[&common, more].concat());
            let took = began.elapsed().as_secs_f64();
            let line = summary(&ended);
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
            let counts = [&line["sent"], &line["answered"], &line["wrong"], &line["failed"]];
            assert_eq!(counts, [&json!(2000), &json!(2000), &json!(0), &json!({})], "{line}");
            let [elapsed, rate, p50, p99, p999] =
                ["elapsed_s", "rate", "p50_ms", "p99_ms", "p999_ms"].map(|key| line[key].as_f64().unwrap());
            assert!(elapsed > 0.0 && elapsed <= took && (rate * elapsed / 2000.0 - 1.0).abs() < 1e-3, "{line}");
            assert!(0.0 < p50 && p50 <= p99 && p99 <= p999 && p999 <= elapsed * 1e3 * 1.004, "{line}");
        }
        let heard = server.heard();
        assert!(heard.iter().all(|request| request.ends_with(b"ping") && request.len() == 12));
        let once: BTreeSet<_> = heard.iter().collect();
        assert!(once.len() >= if window == "1" { 3999 } else { 4000 }, "{} different", once.len());
    }
}

#[test]
fn as_many_are_in_flight_as_were_asked_for_and_no_more() {
    for (options, window) in [
        (&["--in-flight", "1"][..], 1),
        (&["--in-flight", "5"], 5),
        (&["--in-flight", "200"], 200),
        (&["--qps", "1e6"], 64),
    ] {
        again(|| {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let times = heard.clone();
            let silent = Server::start(move |_, _| {
                times.lock().unwrap().push(Instant::now());
                Vec::new()
            });
            let repeat = (2 * window + 1).to_string();
            let arguments = ["--text", "id..", "--id", "0:4", "--repeat", &repeat, "--policy", "400ms 1 transmissions"];
            let ended = silent.ask(&[&arguments[..], options, &["--summary"]].concat());
            assert_eq!(ended.code, Some(1), "{ended:?}");
            let heard = heard.lock().unwrap();
            assert_eq!(heard.len(), 2 * window + 1, "{ended:?}");
            // The second ones come when the first ones have been waited for in vain.
            let before = |late: u64| heard.iter().filter(|at| **at < heard[0] + Duration::from_millis(late)).count();
            before(390) <= window && [before(200), before(600)] == [window, 2 * window]
        });
    }
}

#[test]
fn each_failure_counts_by_its_kind_and_the_sum_is_what_was_sent() {
    // The first byte after the id says what becomes of it.
    let server = Server::start(|_, request| match request[4] {
        0 => Vec::new(),
        1 => vec![request.to_vec(), [&request[..4], b"late"].concat(), Vec::new(), b"foreign".to_vec()],
        _ => vec![request.to_vec()],
    });
    let lines = Scratch::new("kinds");
    fs::write(&lines.0, "0000000000\n0000000001\n0000000002\n0000000003\n").unwrap();
    for (window, transmissions) in [("1", 2), ("8", 2)] {
        again(|| {
            let arguments = ["--hex-lines", lines.path(), "--id", "0:4", "--repeat", "40", "--in-flight", window];
            let more = ["--policy", "30ms 2 transmissions", "--summary", "--json"];
            let ended = server.ask(&[&arguments[..], &more].concat());
            let line = summary(&ended);
            assert_eq!((ended.code, &*ended.stderr), (Some(1), "error: 10 of 40 requests brought no reply\n"));
            assert_eq!(line["failed"], json!({ "timed_out": 10 }), "{line}");
            assert_eq!((&line["sent"], &line["answered"], &line["wrong"]), (&40.into(), &30.into(), &0.into()));
            // A busy machine may send one again.
            line["retransmissions"] == 10 * (transmissions - 1)
                && line["strays"] == json!({ "stale": 10, "empty": 10, "truncated": 0, "envelope": 0, "foreign": 10 })
        });
    }
    let closed = closed_port().to_string();
    for window in ["1", "4"] {
        let arguments = [&*closed, "--text", "id..", "--id", "0:4", "--repeat", "8", "--in-flight", window];
        let more = ["--policy", "10ms 2 transmissions", "--summary", "--json"];
        let ended = run("request", &[&arguments[..], &more].concat(), PATIENCE);
        let line = summary(&ended);
        assert_eq!((ended.code, &line["failed"]), (Some(1), &json!({ "refused": 8 })), "{ended:?}");
        assert_eq!((&line["p50_ms"], &line["p999_ms"], &line["rate"]), (&Value::Null, &Value::Null, &json!(0.0)));
    }
}

#[test]
fn a_reply_that_is_not_the_request_is_wrong_where_an_echo_is_expected() {
    for window in ["1", "16"] {
        let altering = || {
            Server::start(|number, request| {
                let mut reply = request.to_vec();
                match number % 5 {
                    0 => *reply.last_mut().unwrap() ^= 1,
                    1 => reply.push(0),
                    _ => {}
                }
                vec![reply]
            })
        };
        let arguments = ["--text", "........ping", "--id", "0:8", "--repeat", "500", "--in-flight", window];
        let (server, expecting) = (altering(), ["--expect", "echo", "--summary", "--json"]);
        let ended = server.ask(&[&arguments[..], &expecting].concat());
        let line = summary(&ended);
        // One that is sent again on a busy machine moves the others.
        let again = server.heard().len() as u64 - 500;
        let wrong = line["wrong"].as_u64().unwrap();
        assert!(wrong.abs_diff(200) <= again, "{line}");
        assert_eq!((ended.code, &line["answered"]), (Some(1), &(500 - wrong).into()), "{ended:?}");
        assert_eq!(ended.stderr, format!("error: {wrong} of 500 requests brought a wrong reply\n"));

        let (server, few) = (altering(), ["--repeat", "10", "--expect", "echo"]);
        let few = [&arguments[..4], &few, &["--in-flight", window]].concat();
        let ended = server.ask(&[&few[..], &["--json"]].concat());
        let lines = lines(&ended);
        let told = lines.iter().filter(|line| line["wrong"] == true).count() as u64;
        assert!(told.abs_diff(4) <= server.heard().len() as u64 - 10, "{ended:?}");
        assert!(lines.len() == 10 && lines.iter().all(|line| line["wrong"].is_boolean()), "{ended:?}");
        let story = altering().ask(&few).stdout;
        let marks = ["It is not the reply that was expected.", ", a wrong one: "];
        assert!(marks.iter().any(|mark| story.matches(mark).count() == 4), "{story}");

        let ended = altering().ask(&[&arguments[..], &["--summary", "--json"]].concat());
        assert_eq!((ended.code, &summary(&ended)["wrong"]), (Some(0), &0.into()), "{ended:?}");
    }
}

#[test]
fn through_a_bad_network_none_is_wrong_and_none_fails() {
    let server = Server::echo();
    let mut proxy = tool("proxy");
    let upstream = server.address.to_string();
    proxy.args([
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &upstream,
        "--both",
        "loss 20%; duplicate 20%",
        "--seed",
        "7",
    ]);
    let mut proxy = Running::start(&mut proxy, PATIENCE);
    let mut told = BufReader::new(proxy.stdout()).lines();
    let address = told.next().unwrap().unwrap().replace("listening on ", "");
    for window in ["64", "512"] {
        let arguments = [&*address, "--text", "........ping", "--id", "0:8", "--repeat", "3000", "--expect", "echo"];
        let more = ["--in-flight", window, "--policy", "20ms x2 max 100ms 30 transmissions", "--summary", "--json"];
        let ended = run("request", &[&arguments[..], &more].concat(), PATIENCE);
        let line = summary(&ended);
        assert_eq!((ended.code, &line["answered"], &line["wrong"]), (Some(0), &3000.into(), &0.into()), "{ended:?}");
        // 36 % of the attempts fail, and of the replies some come twice.
        let [again, stale] = [&line["retransmissions"], &line["strays"]["stale"]].map(|it| it.as_u64().unwrap());
        assert!((1200..6000).contains(&again) && stale > 300, "{line}");
    }
}

#[test]
fn the_lines_of_a_file_come_in_turn_and_once_if_nothing_else_is_said() {
    let file = Scratch::new("lines");
    fs::write(&file.0, "0a00\n\n0b 01 ff\r\n0x0c\n").unwrap();
    let bodies = |more: &[&str]| -> Vec<Vec<u8>> {
        let server = Server::echo();
        let ended = server.ask(&[&["--hex-lines", file.path()], more].concat());
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        server.heard()
    };
    let all = [vec![10, 0], vec![11, 1, 255], vec![12]];
    assert_eq!(bodies(&[]), all);
    assert_eq!(bodies(&["--repeat", "7"]), [&all[..], &all, &all[..1]].concat());
    assert_eq!(bodies(&["--repeat", "2", "--summary"]), all[..2]);
    let stamped = bodies(&["--id", "0:1", "--in-flight", "3", "--repeat", "30"]);
    let mut lengths = [0; 4];
    stamped.iter().for_each(|request| lengths[request.len()] += 1);
    assert_eq!(lengths, [0, 10, 10, 10]);
    // Those of the caller's own, each in flight once.
    let mut kept = bodies(&["--id", "0:1", "--keep-id", "--in-flight", "8", "--repeat", "30", "--expect", "echo"]);
    kept.sort_unstable();
    assert_eq!(kept, all.iter().flat_map(|request| vec![request.clone(); 10]).collect::<Vec<_>>());

    let server = Server::echo();
    let mut command = tool("request");
    command.args([&*server.address.to_string(), "--hex-lines", "-", "--json"]).stdin(Stdio::piped());
    let mut request = Running::start(&mut command, PATIENCE);
    request.stdin().write_all(b"01\n02\n").unwrap();
    let ended = request.end();
    assert_eq!((ended.code, server.heard()), (Some(0), vec![vec![1], vec![2]]), "{ended:?}");
}

#[test]
fn a_wrong_line_is_wrong_usage_with_its_number_and_column_and_nothing_is_sent() {
    let server = Server::echo();
    let file = Scratch::new("wrong-lines");
    for (text, more, said) in [
        ("00\n01\n0g\n", "", ": line 3, column 2: 'g' is no hexadecimal digit"),
        ("00\n\n012\n", "", ": line 3, column 4: a digit is missing, a byte has two"),
        ("000000\n00\n", "--id 0:2", ": line 2: the id lies beyond the request of 1 bytes"),
        ("\n", "", ": no line has a request"),
    ] {
        fs::write(&file.0, text).unwrap();
        let more: Vec<_> = more.split_whitespace().collect();
        for window in [&[][..], &["--in-flight", "1"]] {
            let ended = server.ask(&[&["--hex-lines", file.path()], &more[..], window].concat());
            assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
            assert!(ended.stderr.contains(&format!("{}{said}", file.path())), "{said}: {ended:?}");
        }
    }
    assert_eq!(server.heard(), [[0_u8; 0]; 0]);
}

#[test]
fn wrong_usage_ends_with_2() {
    for (usage, said) in [
        ("--in-flight 2", "requests in flight need '--id'"),
        ("--qps 5", "requests in flight need '--id'"),
        ("--in-flight 2 --id 0:17", "an id of 17 bytes cannot tell requests in flight apart: 16 are the most"),
        ("--in-flight 0 --id 0:2", "1..=65536"),
        ("--in-flight 65537 --id 0:2", "1..=65536"),
        ("--qps 0 --id 0:2", "a number above 0"),
        ("--qps inf --id 0:2", "a number above 0"),
        ("--qps fast --id 0:2", "a number above 0"),
        ("--qps 5 --id 0:2 --every 1s", "cannot be used with"),
        ("--in-flight 5 --id 0:2 --every 1s", "cannot be used with"),
        ("--stamp", "--id"),
        ("--stamp --keep-id --id 0:2", "cannot be used with"),
        ("--expect 200", "[possible values: echo]"),
        ("--hex-lines /nowhere/at/all", "cannot be used with"),
    ] {
        let arguments = [&["127.0.0.1:9", "--text", "0123456789abcdefgh"], &usage.split(' ').collect::<Vec<_>>()[..]];
        let ended = run("request", &arguments.concat(), PATIENCE);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{usage}: {ended:?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(said), "{usage}: no {said:?}: {ended:?}");
    }
}

/// Never early, and late only where the machine is.
#[test]
fn a_rate_is_kept_from_the_first_to_the_last() {
    again(|| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let times = heard.clone();
        let server = Server::start(move |_, request| {
            times.lock().unwrap().push(Instant::now());
            vec![request.to_vec()]
        });
        let arguments = ["--text", "id..", "--id", "0:4", "--qps", "400", "--repeat", "201", "--summary", "--json"];
        let line = summary(&server.ask(&arguments));
        let heard = heard.lock().unwrap();
        assert_eq!((heard.len(), &line["answered"]), (201, &201.into()), "{line}");
        let late: Vec<f64> =
            (0..).zip(&*heard).map(|(n, at)| (*at - heard[0]).as_secs_f64() - f64::from(n) / 400.0).collect();
        // What made the first one late makes the others early.
        let (early, latest) =
            late.iter().fold((0.0_f64, 0.0_f64), |(early, latest), it| (early.min(*it), latest.max(*it)));
        let (behind, rate) = (line["behind_ms"].as_f64().unwrap(), line["rate"].as_f64().unwrap());
        assert!(line["elapsed_s"].as_f64().unwrap() >= 0.5 && rate <= 402.0 + 2.0, "{line}");
        early > -0.01 && latest < 0.02 && behind < 20.0 && rate > 390.0
    });
}

#[test]
fn an_open_loop_counts_a_stall_for_all_that_were_due_and_a_closed_one_once() {
    let stalling = || {
        Server::start(|number, request| {
            thread::sleep(Duration::from_millis(if number == 50 { 300 } else { 0 }));
            vec![request.to_vec()]
        })
    };
    let arguments =
        ["--text", "id..", "--id", "0:4", "--repeat", "200", "--policy", "5s 1 transmissions", "--summary", "--json"];
    let of = |more: &[&str]| {
        let line = summary(&stalling().ask(&[&arguments[..], more].concat()));
        assert_eq!(line["answered"], 200, "{line}");
        ["p50_ms", "p99_ms", "behind_ms"].map(|key| line[key].as_f64())
    };
    again(|| {
        // Of 200 in 0.4 s, 150 are due in the 0.3 s of the stall.
        let [p50, p99, behind] = of(&["--qps", "500", "--in-flight", "200"]).map(Option::unwrap);
        assert!(p50 >= 50.0 && p99 >= 280.0, "{p50} {p99}");
        p50 < 250.0 && p99 < 400.0 && behind < 40.0
    });
    again(|| {
        // The same for those that had to wait for space, and then one is begun late by 0.3 s less what 16 take.
        let [p50, p99, behind] = of(&["--qps", "500", "--in-flight", "16"]).map(Option::unwrap);
        assert!(p50 >= 50.0 && p99 >= 280.0 && behind >= 260.0, "{p50} {p99} {behind}");
        p50 < 250.0 && p99 < 400.0 && behind < 310.0
    });
    again(|| {
        let [p50, p99, behind] = of(&["--in-flight", "1"]);
        assert_eq!(behind, None);
        p50 < Some(20.0) && p99 < Some(100.0)
    });
}

#[test]
fn several_targets_are_asked_one_after_the_other_each_a_service_of_its_own() {
    let closed = closed_port();
    for window in ["1", "6"] {
        again(|| {
            let servers = [(); 3].map(|()| Server::echo());
            let [first, second, third] = servers.each_ref().map(|server| server.address.to_string());
            // Where no one listens, the other server of the service answers.
            let targets = [&*first, &format!("{closed},{second}"), &third];
            let arguments =
                ["--text", "id..", "--id", "0:4", "--repeat", "30", "--in-flight", window, "--expect", "echo"];
            let spread = ["--spread", "in-order"];
            let ended = run("request", &[&targets[..], &arguments, &spread, &["--json"]].concat(), PATIENCE);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let (lines, key) = (lines(&ended), if window == "1" { "target" } else { "server" });
            let named = if window == "1" { targets } else { [&*first, &second, &third] };
            for name in named {
                assert_eq!(lines.iter().filter(|line| line[key] == name).count(), 10, "{name}: {ended:?}");
            }
            let line = summary(&run(
                "request",
                &[&targets[..], &arguments, &spread, &["--summary", "--json"]].concat(),
                PATIENCE,
            ));
            assert_eq!((&line["sent"], &line["answered"]), (&30.into(), &30.into()), "{line}");
            // Sent again on a busy machine.
            servers.iter().all(|server| server.heard().len() == 20)
        });
    }
    // However its address is written, the same one has one path.
    let server = Server::echo();
    let [plain, mapped] = [server.address.to_string(), format!("[::ffff:127.0.0.1]:{}", server.address.port())];
    let arguments = ["--text", "id..", "--id", "0:4", "--repeat", "8", "--in-flight", "4", "--summary", "--json"];
    let ended = run("request", &[&[&*plain, &mapped, &format!("{plain},{mapped}")], &arguments[..]].concat(), PATIENCE);
    assert_eq!((ended.code, &summary(&ended)["answered"]), (Some(0), &8.into()), "{ended:?}");
    let story = run(
        "request",
        &[&server.address.to_string(), &closed.to_string(), "--text", "x", "--repeat", "2", "--deadline", "50ms"],
        PATIENCE,
    );
    let headings = [format!("{}:\n", server.address), format!("\n{closed}:\n")];
    assert!(headings.iter().all(|heading| story.stdout.contains(heading)) && story.code == Some(1), "{story:?}");
}

#[test]
fn a_target_without_an_address_is_named_and_nothing_is_sent() {
    let server = Server::echo();
    let arguments =
        [&*server.address.to_string(), "host.invalid:9", "--text", "id..", "--id", "0:4", "--in-flight", "4"];
    let ended = run("request", &[&arguments[..], &["--summary", "--json"]].concat(), PATIENCE);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("error: no address for \"host.invalid\": "), "{ended:?}");
    assert_eq!(server.heard().len(), 0);
}

#[test]
fn a_signal_ends_it_with_the_summary_of_what_was() {
    for (window, signal) in [("1", "-INT"), ("8", "-INT"), ("8", "-TERM")] {
        // After a hundred it has nothing more to say.
        let server = Server::start(|number, request| if number > 100 { Vec::new() } else { vec![request.to_vec()] });
        let mut command = tool("request");
        command.args([&*server.address.to_string(), "--text", "id..", "--id", "0:4", "--repeat", "100000"]);
        command.args(["--in-flight", window, "--policy", "1h 1 transmissions", "--summary", "--json"]);
        let request = Running::start(&mut command, PATIENCE);
        let silent = 100 + window.parse::<usize>().unwrap();
        while server.heard().len() < silent {
            thread::sleep(Duration::from_millis(1));
        }
        let sent = Instant::now();
        assert!(Command::new("kill").args([signal, &request.id().to_string()]).status().unwrap().success());
        let ended = request.end();
        assert!(sent.elapsed() < Duration::from_secs(2), "{ended:?}");
        let line = summary(&ended);
        assert_eq!((ended.code, &line["answered"], &line["sent"]), (Some(1), &100.into(), &silent.into()), "{ended:?}");
        assert_eq!(line["failed"], json!({ "cancelled": silent - 100 }), "{line}");
        assert!(
            ended.stderr.ends_with(&format!("; ended by a signal after {silent} of 100000 requests\n")),
            "{ended:?}"
        );
    }
}

/// A reader that takes nothing must not keep it for good.
#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::echo();
    let mut command = tool("request");
    command.args([&*server.address.to_string(), "--text", "id..", "--id", "0:4", "--repeat", "1000000"]);
    command.args(["--in-flight", "8", "--json"]);
    let mut request = Running::start(&mut command, PATIENCE);
    let _unread = request.stdout();
    let mut heard = 0;
    while heard == 0 || server.heard().len() > heard {
        heard = server.heard().len();
        thread::sleep(Duration::from_millis(100));
    }
    for _ in 0..2 {
        assert!(Command::new("kill").args(["-INT", &request.id().to_string()]).status().unwrap().success());
        // Two that wait are one.
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(request.end().code, Some(130));
}

#[test]
fn ids_and_with_them_every_byte_are_the_same_for_one_seed() {
    let heard = |seed: &str| {
        let server = Server::echo();
        let arguments = ["--text", "id..ping", "--id", "0:4", "--repeat", "300", "--in-flight", "32", "--seed", seed];
        assert_eq!(server.ask(&[&arguments[..], &["--summary"]].concat()).code, Some(0));
        // Sent again on a busy machine.
        server.heard().into_iter().collect::<BTreeSet<_>>()
    };
    let first = heard("5");
    assert_eq!((first.len(), &first), (300, &heard("5")));
    assert!(first.is_disjoint(&heard("6")));
}

#[test]
fn people_have_a_table_and_a_histogram() {
    let server = Server::echo();
    for window in ["1", "16"] {
        let arguments = ["--text", "id..", "--id", "0:4", "--repeat", "400", "--in-flight", window, "--summary"];
        let ended = server.ask(&arguments);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert!(
            lines[0].starts_with("requests         400 in 0.") && lines[0].ends_with(" answered a second"),
            "{ended:?}"
        );
        assert_eq!(lines[1], "answered         400, wrong 0, failed 0");
        assert!(lines[4].starts_with("latency          50 % 0.") && lines[4].contains(" ms, 99.9 % "), "{ended:?}");
        assert_eq!(lines[5..7], ["", "latency: █ observed"]);
        let share = |line: &&str| line.trim_end_matches('%').rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let shares: f64 = lines[7..].iter().map(share).sum();
        assert!((shares - 100.0).abs() < 0.2 && lines.len() <= 27, "{ended:?}");
    }
    let silent = Server::start(|_, _| Vec::new());
    let nothing = silent.ask(&["--text", "id..", "--id", "0:4", "--deadline", "50ms", "--summary"]);
    assert_eq!(
        nothing.stdout.lines().nth(1),
        Some("answered         0, wrong 0, failed 1: timed_out 1"),
        "{nothing:?}"
    );
    assert_eq!(nothing.stdout.lines().count(), 4, "{nothing:?}");
}

#[test]
fn one_of_many_in_flight_has_a_line_with_its_number() {
    let server = Server::start(|_, request| if request[4] == 1 { Vec::new() } else { vec![request.to_vec()] });
    let file = Scratch::new("two-kinds");
    fs::write(&file.0, "00000000 00\n00000000 01\n").unwrap();
    let arguments =
        ["--hex-lines", file.path(), "--id", "0:4", "--in-flight", "2", "--repeat", "6", "--deadline", "300ms"];
    let ended = server.ask(&[&arguments[..], &["--json"]].concat());
    assert_eq!((ended.code, &*ended.stderr), (Some(1), "error: 3 of 6 requests brought no reply\n"), "{ended:?}");
    let mut lines = lines(&ended);
    lines.sort_by_key(|line| line["request"].as_u64());
    for (number, line) in lines.iter().enumerate() {
        let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(line["request"], number);
        let (promised, elapsed) = match number % 2 {
            0 => (["elapsed_ms", "reply_hex", "request", "round_trip_ms", "transmissions"], 0.0..300.0),
            _ => (["elapsed_ms", "error", "execution", "request", "transmissions"], 299.0..1000.0),
        };
        assert_eq!(keys, promised, "{line}");
        assert!(elapsed.contains(&line["elapsed_ms"].as_f64().unwrap()), "{line}");
    }
    let story = server.ask(&arguments).stdout;
    assert_eq!(story.lines().filter(|line| line.contains(": reply after ")).count(), 3, "{story}");
    assert_eq!(story.lines().filter(|line| line.ends_with("; execution: unknown")).count(), 3, "{story}");
}

/// Linux reports the memory of a process.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_number_of_requests() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(&buffer[..len], from);
        }
    });
    let mut command = tool("request");
    command.args([
        &*address,
        "--text",
        "id......",
        "--id",
        "0:8",
        "--repeat",
        "1000000000",
        "--in-flight",
        "64",
        "--summary",
    ]);
    let request = Running::start(&mut command, PATIENCE);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", request.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    thread::sleep(Duration::from_millis(300));
    let before = resident();
    thread::sleep(Duration::from_millis(1500));
    let after = resident();
    assert!(after <= before + 256, "{before} kB, then {after} kB");
}

/// Where the `script` of util-linux gives it a terminal.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_has_a_line_that_says_how_far_it_is_once_a_second() {
    let (server, tool) = (Server::echo(), env!("CARGO_BIN_EXE_udp-retry"));
    let arguments = ["--text", "id..", "--id", "0:4", "--qps", "100", "--repeat", "250", "--summary", "--json"];
    let asked = format!("{tool} request {} {}", server.address, arguments.join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &asked, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let Ok(script) = Running::try_start(&mut command, PATIENCE) else { return };
    let ended = script.end();
    let shown = ended.stdout.matches(" of 250 sent, ").count();
    assert!((1..=2).contains(&shown) && ended.stdout.contains("\r\u{1b}[K"), "{ended:?}");
    // Anything else has none.
    assert_eq!(server.ask(&arguments).stderr, "");
}

/// The line of a summary, which has no key less or more than promised, and whose sums are right.
fn summary(ended: &Ended) -> Value {
    let [line] = &lines(ended)[..] else { panic!("{ended:?}") };
    let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).filter(|&key| key != "behind_ms").collect();
    let promised = [
        "answered",
        "elapsed_s",
        "failed",
        "p50_ms",
        "p999_ms",
        "p99_ms",
        "rate",
        "retransmissions",
        "sent",
        "strays",
        "wrong",
    ];
    assert_eq!(keys, promised, "{line}");
    let failed: u64 = line["failed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let ended: u64 = ["answered", "wrong"].iter().map(|key| line[key].as_u64().unwrap()).sum();
    assert_eq!(line["sent"], failed + ended, "{line}");
    let strays: Vec<_> = line["strays"].as_object().unwrap().keys().collect();
    assert_eq!(strays, ["empty", "envelope", "foreign", "stale", "truncated"]);
    line.clone()
}

fn lines(ended: &Ended) -> Vec<Value> {
    let parsed = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    ended.stdout.lines().map(parsed).collect()
}

const PATIENCE: Duration = Duration::from_secs(30);
