//! The examples of real protocols where they are given several servers: the next one is asked where the one before is silent
//! or refuses, and every transmission is in the record.
#![expect(clippy::disallowed_methods, reason = "processes take real time, and the other end is a plain socket")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::closed::closed_port;
use crate::dns::dns;
use crate::ntp::ntp;
use crate::program::run;
use crate::server::{PATIENCE, Server, json};
use crate::stun::{SEEN, mapped, stun};

#[test]
fn the_next_server_is_asked_once_where_the_first_is_silent_and_is_the_one_that_is_named() {
    for (example, answer) in EXAMPLES {
        again(|| {
            let (silent, good) = (silent(), Server::answering(move |_, request| vec![answer(request)]));
            let report = ask(example, &format!("{},{}", silent.address, good.address), &[]);
            let answers = answers(&report);
            // Half a second is the least after which any of them sends to the same server again.
            for answer in &answers {
                assert_eq!((&answer["server"], &answer["transmissions"]), (&told(&good), &2.into()), "{report}");
                assert!(answer["elapsed_ms"].as_f64() >= Some(250.0), "{report}");
            }
            assert_eq!(good.asked().len(), answers.len());
            let once = silent.asked().len() == answers.len();
            once && answers.iter().all(|answer| answer["elapsed_ms"].as_f64() < Some(400.0))
        });
    }
}

#[test]
fn a_server_that_refuses_is_left_at_once() {
    for (example, answer) in EXAMPLES {
        let good = Server::answering(move |_, request| vec![answer(request)]);
        again(|| {
            let report = ask(example, &format!("{},{}", closed_port(), good.address), &[]);
            answers(&report).iter().all(|answer| {
                assert_eq!((&answer["server"], &answer["transmissions"]), (&told(&good), &2.into()), "{report}");
                answer["elapsed_ms"].as_f64() < Some(200.0)
            })
        });
    }
}

#[test]
fn where_the_first_answers_no_other_is_asked() {
    for (example, answer) in EXAMPLES {
        let servers = [0; 3].map(|_| Server::answering(move |_, request| vec![answer(request)]));
        let list = servers.each_ref().map(|server| server.address.to_string()).join(",");
        let mut asked = 0;
        // One at random would be the first so often once in 243 runs.
        for _ in 0..5 {
            let report = ask(example, &list, &[]);
            assert!(answers(&report).iter().all(|answer| answer["server"] == told(&servers[0])), "{report}");
            asked += answers(&report).len();
        }
        assert_eq!(servers.each_ref().map(|server| server.asked().len()), [asked, 0, 0]);
    }
}

/// More than a timeline holds: each transmission is followed by its refusal.
#[test]
fn every_transmission_has_its_time_however_many() {
    let list = [(); 12].map(|()| closed_port().to_string()).join(",");
    let arguments = ["stun_address", &list, "--deadline", "2700ms"];
    let line = json(&run(arguments[0], &[&arguments[1..], &["--json"]].concat(), PATIENCE), 1);
    let sent: Vec<_> = line["sent_ms"].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
    assert_eq!(line["transmissions"], sent.len(), "{line}");
    assert!(sent.len() > 18 && sent[0] == 0.0 && sent.is_sorted(), "{line}");
    let ended = run(arguments[0], &arguments[1..], PATIENCE);
    let paths = list.split(',').enumerate().filter(|(number, server)| {
        let begins = format!("path {number}: {server}, transmissions: ");
        ended.stderr.lines().any(|line| line.starts_with(&begins) && line.contains(", last heard: connection refused"))
    });
    assert_eq!((paths.count(), ended.code), (12, Some(1)), "{ended:?}");
}

/// Also once it is taken for dead, which is after three waits in vain, and while there are others to send to.
#[test]
fn ntp_sends_no_server_more_than_one_request_in_two_seconds() {
    again(|| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let servers = [0, 1, 2, 3, 4].map(|number| {
            let heard = heard.clone();
            Server::answering(move |_, _| {
                heard.lock().unwrap().push((number, Instant::now()));
                Vec::new()
            })
        });
        let list = servers.each_ref().map(|server| server.address.to_string()).join(",");
        let ended = run("ntp_time", &[&list, "--deadline", "18s", "--json"], 2 * PATIENCE);
        assert_eq!(json(&ended, 1)["error"], "timed_out", "{ended:?}");
        let heard = heard.lock().unwrap();
        (0..5).all(|number| {
            let times: Vec<_> = heard.iter().filter(|(to, _)| *to == number).map(|(_, at)| *at).collect();
            assert!(times.len() >= 3, "{ended:?}");
            // A little less where the machine was late with the one before.
            times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(1_950))
        })
    });
}

type Answer = fn(&[u8]) -> Vec<u8>;

/// With what a good server answers.
const EXAMPLES: [(&str, Answer); 3] = [
    ("dns_lookup", |query| dns(query, 0, &[])),
    ("ntp_time", |request| ntp(request, 0, |_| ())),
    ("stun_address", |request| stun(request, 0x0101, &[mapped(request, SEEN)])),
];

fn ask(example: &str, servers: &str, more: &[&str]) -> Value {
    let whom = if example == "dns_lookup" { &["host.test", "--server", servers][..] } else { &[servers] };
    json(&run(example, &[whom, &["--json"], more].concat(), PATIENCE), 0)
}

/// Two for `dns_lookup`, which asks twice.
fn answers(report: &Value) -> Vec<Value> {
    report.get("answers").map_or_else(|| vec![report.clone()], |answers| answers.as_array().unwrap().clone())
}

fn told(server: &Server) -> Value {
    server.address.to_string().into()
}

fn silent() -> Server {
    Server::answering(|_, _| Vec::new())
}

/// A busy machine may suspend a process past a slot; not three times.
#[track_caller]
fn again(mut is_in_time: impl FnMut() -> bool) {
    assert!((0..3).any(|_| is_in_time()), "late three times");
}
