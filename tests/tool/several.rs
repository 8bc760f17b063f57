//! `udp-retry request` where it is given several servers: which one it asks, which one it asks instead, and what it prints of
//! each.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "processes and plain sockets, in real time")]

use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::closed::closed_port;
use crate::program::{Running, run, tool};
use crate::request::{Server, reports};

#[test]
fn where_the_first_is_silent_or_refuses_the_second_answers_and_each_has_its_part_in_the_line() {
    let silent = Server::start(|_, _| Vec::new());
    for (first, refuses) in [(silent.address.to_string(), false), (closed_port().to_string(), true)] {
        again(|| {
            let good = Server::echo();
            let second = good.address.to_string();
            let arguments = [&*format!("{first},{second}"), "--hex", "2a", "--spread", "in-order", "--json"];
            let [line] = &reports(&run("request", &arguments, PATIENCE))[..] else { panic!() };
            assert_eq!((&line["reply_hex"], &line["server"]), (&"2a".into(), &second.clone().into()), "{line}");
            let error = if refuses { json!("refused") } else { Value::Null };
            let path = |address: &str, error: Value, answered: bool| json!({ "address": address, "transmissions": 1, "error": error, "answered": answered });
            assert_eq!(line["paths"], json!([path(&first, error, false), path(&second, Value::Null, true)]), "{line}");
            assert_eq!((&line["transmissions"], line["sent_ms"].as_array().unwrap().len()), (&2.into(), 2), "{line}");
            let elapsed = line["elapsed_ms"].as_f64().unwrap();
            assert!(refuses || elapsed >= 250.0, "{line}");
            elapsed < if refuses { 200.0 } else { 400.0 }
        });
    }
}

#[test]
fn the_story_names_the_paths_and_has_a_line_for_each() {
    let (first, good, last) = (closed_port().to_string(), Server::echo(), closed_port().to_string());
    let list = format!("{first},{},{last}", good.address);
    let ended = run("request", &[&list, "--hex", "2a", "--spread", "in-order"], PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<_> =
        ended.stdout.lines().map(|line| line.split_once(" ms  ").map_or(line, |(_, event)| event)).collect();
    let refused = "connection refused: nobody listens there";
    let expected = [
        "--> transmission 1, path 0",
        &format!("<-! {refused}, path 0"),
        "--> transmission 2, path 1",
        "<-- reply, path 1",
        &format!("path 0: {first}, transmissions: 1, unanswered, last error: {refused}"),
        &format!("path 1: {}, transmissions: 1, answered", good.address),
        &format!("path 2: {last}, transmissions: 0, not asked"),
        "",
        "1 bytes: \"*\"",
    ];
    assert_eq!(lines[1..10], expected, "{ended:?}");
    assert_eq!(lines.last(), Some(&"2a"));
}

#[test]
fn where_none_answers_the_line_has_every_server_and_names_none_that_answered() {
    let (first, second) = (closed_port().to_string(), Server::start(|_, _| Vec::new()));
    let list = format!("{first},{}", second.address);
    let arguments = [&list, "--text", "x", "--spread", "in-order", "--deadline", "200ms"];
    let [line] = &reports(&run("request", &[&arguments[..], &["--json"]].concat(), PATIENCE))[..] else { panic!() };
    assert_eq!((&line["error"], &line["execution"]), (&"refused".into(), &"unknown".into()), "{line}");
    let path = |address: String, error: Value| json!({ "address": address, "transmissions": 1, "error": error, "answered": false });
    let paths = [path(first.clone(), json!("refused")), path(second.address.to_string(), Value::Null)];
    assert_eq!(line["paths"], json!(paths), "{line}");
    let story = run("request", &arguments, PATIENCE);
    assert!(
        story.stdout.contains(&format!("\npath 0: {first}, transmissions: 1, unanswered, last error: ")),
        "{story:?}"
    );
    assert!(
        story.stdout.contains(&format!("\npath 1: {}, transmissions: 1, unanswered\n\n", second.address)),
        "{story:?}"
    );
}

#[test]
fn one_server_has_no_part_of_its_own() {
    let server = Server::echo();
    // The same twice is one.
    for list in [server.address.to_string(), format!("{0},{0}", server.address)] {
        let line = &reports(&run("request", &[&list, "--text", "x", "--json"], PATIENCE))[0];
        assert_eq!((line.get("paths"), line.get("server")), (None, None), "{line}");
        let story = run("request", &[&list, "--text", "x"], PATIENCE);
        assert!(!story.stdout.contains("path"), "{story:?}");
    }
}

#[test]
fn each_spread_asks_the_servers_that_it_says() {
    let shares = |spread: &[&str]| {
        let servers = [(); 3].map(|()| Server::echo());
        let list = servers.each_ref().map(|server| server.address.to_string()).join(",");
        let ended = run("request", &[&[&*list, "--text", "x", "--repeat", "60", "--json"], spread].concat(), PATIENCE);
        let lines = reports(&ended);
        assert_eq!(lines.len(), 60, "{ended:?}");
        servers.map(|server| {
            let named = lines.iter().filter(|line| line["server"] == server.address.to_string()).count();
            // A busy machine may ask another one for a reply that was only late.
            assert!(server.heard().len() >= named, "{ended:?}");
            named
        })
    };
    again(|| shares(&["--spread", "in-order"]) == [60, 0, 0]);
    again(|| shares(&["--spread", "round-robin"]) == [20, 20, 20]);
    again(|| shares(&["--spread", "sticky"]).contains(&60));
    for band in [&["--spread", "band"][..], &[]] {
        // All are about as quick; one of them in 60 draws from three never, once in 10^10.
        again(|| shares(band).iter().all(|&share| share > 0));
    }
}

#[test]
fn a_dead_server_costs_the_first_requests_of_a_run_and_no_more() {
    again(|| {
        let (silent, good) = (Server::start(|_, _| Vec::new()), Server::echo());
        let list = format!("{},{}", silent.address, good.address);
        // The lookup of a name shortens the first one, which must not make the run forget what it has learnt.
        let list = list.replacen("127.0.0.1", "localhost", 1);
        let arguments =
            [&*list, "--text", "x", "--repeat", "40", "--deadline", "20s", "--spread", "in-order", "--json"];
        let lines = reports(&run("request", &arguments, PATIENCE));
        assert_eq!(lines.len(), 40);
        let slow = |line: &Value| line["elapsed_ms"].as_f64() >= Some(250.0);
        assert!(lines.iter().all(|line| line["server"] == good.address.to_string()), "{lines:?}");
        assert!(lines[..3].iter().all(slow), "{lines:?}");
        !lines[3..].iter().any(slow)
    });
}

#[test]
fn a_request_begins_this_long_after_the_one_before_or_when_that_has_ended() {
    const TEXT: &str = "that long after the one before";
    let heard = Arc::new(Mutex::new(Vec::new()));
    let times = heard.clone();
    let server = Server::start(move |_, request| {
        // The port may have been another's before, whom someone still sends to.
        if request == TEXT.as_bytes() {
            let mut times = times.lock().unwrap();
            times.push(Instant::now());
            // The second is answered late: what was missed is not made up for.
            std::thread::sleep(Duration::from_millis(if times.len() == 2 { 350 } else { 0 }));
        }
        vec![request.to_vec()]
    });
    let lines = reports(&server.ask(&["--text", TEXT, "--repeat", "6", "--every", "100ms", "--json"]));
    assert_eq!(lines.len(), 6);
    let heard = heard.lock().unwrap();
    let gaps: Vec<_> = heard.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    // The machine may be late with each of them, also with the one before: never by so much.
    assert!(gaps[1] >= 340 && gaps.iter().enumerate().all(|(n, &gap)| n == 1 || gap >= 60), "{gaps:?}");
    assert!(heard[5] - heard[2] >= Duration::from_millis(290), "{gaps:?}");
}

#[test]
fn a_line_does_not_wait_for_the_next_request() {
    let server = Server::echo();
    let mut command = tool("request");
    command.args([&*server.address.to_string(), "--text", "x", "--repeat", "2", "--every", "1h", "--json"]);
    let mut request = Running::start(&mut command, PATIENCE);
    let line = BufReader::new(request.stdout()).lines().next().unwrap().unwrap();
    assert!(line.contains("\"reply_hex\":\"78\""), "{line}");
}

#[test]
fn a_name_without_an_address_is_named_beside_others_that_have_one() {
    let server = Server::echo();
    for list in [format!("{},host.invalid:9", server.address), format!("host.invalid:9,{}", server.address)] {
        let ended = run("request", &[&list, "--text", "x", "--json"], PATIENCE);
        assert!(ended.stderr.starts_with("error: no address for \"host.invalid\": "), "{ended:?}");
        assert_eq!((&reports(&ended)[0]["error"], ended.code), (&"io".into(), Some(1)), "{ended:?}");
    }
}

/// A busy machine may suspend a process past a slot; not three times.
#[track_caller]
pub(crate) fn again(mut is_in_time: impl FnMut() -> bool) {
    assert!((0..3).any(|_| is_in_time()), "late three times");
}

const PATIENCE: Duration = Duration::from_secs(30);
