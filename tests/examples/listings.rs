//! The examples as people run them: built programs, their roles over two processes, their exit codes, and the
//! book's texts on the wire.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "processes take real time, and the other end is a plain socket"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::closed::closed_port;
use crate::ports::free_port;
use crate::program::{piped, reader};

const EXAMPLES: [&str; 5] = ["loopback_echo", "lossy_backoff", "big_datagram", "broadcast", "counter_server"];

#[test]
fn every_example_shows_both_ends_when_it_is_run_without_arguments() {
    for (example, facts) in [
        ("loopback_echo", &["Listening at 127.0.0.1:", "assigned me the address 127.0.0.1:", "was 38 bytes long"][..]),
        ("lossy_backoff", &["╳ lost", "▼ heard", "▲ reply", "The server says \"Your data was 23 bytes long\""]),
        (
            "big_datagram",
            &[
                "fragmentation forbidden",
                "65000 bytes: sent in one packet",
                "path MTU is 65535 bytes, and probes of 65535 bytes were answered",
                "It arrived whole",
            ],
        ),
        ("broadcast", &["Listening for datagrams at 0.0.0.0:", "says: Broadcast datagram!"]),
        ("counter_server", &["Listening at 127.0.0.1:", "The counter is at 10, after ", "10 requests were executed, "]),
    ] {
        let ended = run(example, &[]);
        assert_eq!(ended.code, Some(0), "{example}: {ended:?}");
        assert!(ended.took < Duration::from_secs(5), "{example}: {ended:?}");
        for fact in facts {
            assert!(ended.stdout.contains(fact), "{example} does not say {fact:?}: {ended:?}");
        }
    }
}

#[test]
fn an_event_loop_of_ones_own_has_two_requests_under_way_at_once() {
    let ended = run("drive_it_yourself", &["--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<serde_json::Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| (line["said"].as_str().unwrap(), line["transmissions"].clone())).collect();
    assert_eq!(told, [("\"hello\"", 1.into()), ("\"hello\"", 3.into())]);
    // The third transmission leaves at 300 ms, and nobody waits for longer than that.
    assert!(ended.took >= Duration::from_millis(300) && ended.took < Duration::from_secs(2), "{ended:?}");
    assert_eq!(run("drive_it_yourself", &["--nonsense"]).code, Some(2));
    assert!(run("drive_it_yourself", &["--help"]).stdout.contains("Usage: "));
}

#[test]
fn five_hundred_servers_are_asked_at_once_and_the_deaf_ones_hold_up_no_other() {
    // A machine that stalls makes more of them late; not every time.
    for left in (0..TRIES).rev() {
        let ended = run("poll_many", &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let (deaf, summary): (Vec<_>, Vec<_>) = ended.stdout.lines().partition(|line| line.starts_with("Server "));
        let numbers: BTreeSet<&str> = deaf.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(numbers, BTreeSet::from(["50", "100", "150", "200", "250", "300", "350", "400", "450", "500"]));
        assert!(deaf.iter().all(|line| line.contains(": no reply (5 transmissions, 3")), "{deaf:?}");
        assert_eq!(summary.len(), 1, "{ended:?}");
        let again = summary[0].strip_prefix("490 of 500 servers answered, ").unwrap().split(' ').next().unwrap();
        // Every 7th but the 350th.
        let again: u32 = again.parse().unwrap();
        assert!(again >= 70, "{summary:?}");
        // The schedule of the deaf ones takes 3.1 s.
        assert!(ended.took >= Duration::from_millis(3100), "{ended:?}");
        if again <= 200 && ended.took < Duration::from_secs(6) {
            break;
        }
        assert!(left > 0, "{ended:?}");
    }
    assert_eq!(run("poll_many", &["--servers", "0"]).code, Some(2));
    assert!(run("poll_many", &["--help"]).stdout.contains("Usage: "));
}

/// Built with the feature `tokio`.
#[cfg(feature = "tokio")]
#[test]
fn two_hundred_callers_get_their_answers_and_those_that_go_away_are_forgotten() {
    for left in (0..TRIES).rev() {
        let ended = run("async_requests", &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let summary = ended.stdout.lines().last().unwrap();
        // Of 100 that ask the slow server every fifth goes away; three of the others may have bad luck.
        let answered: u32 = summary.split(' ').next().unwrap().parse().unwrap();
        let again: u32 = summary.split(' ').nth(7).unwrap().parse().unwrap();
        if (177..=180).contains(&answered) && (20..=60).contains(&again) && summary.contains("and 20 went away") {
            break;
        }
        assert!(left > 0, "{ended:?}");
    }
    assert_eq!(run("async_requests", &["--callers", "0"]).code, Some(2));
    assert!(run("async_requests", &["--help"]).stdout.contains("Usage: "));
}

#[test]
fn every_example_explains_itself() {
    for example in EXAMPLES {
        let ended = run(example, &["--help"]);
        assert_eq!(ended.code, Some(0), "{example}: {ended:?}");
        assert!(ended.stdout.contains("Usage: "), "{example}: {ended:?}");
        assert_eq!(ended.stderr, "", "{example}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_standard_error_only() {
    for usage in [
        "loopback_echo nonsense",
        "counter_server client",
        "loopback_echo server",
        "loopback_echo client 127.0.0.1 -p 65536",
        "loopback_echo client 127.0.0.1 -p",
        "lossy_backoff --nonsense",
        "lossy_backoff --loss 1.5",
        "lossy_backoff --loss=-0.1",
        "lossy_backoff --loss half",
        "lossy_backoff server 127.0.0.1 -p 0 --loss 1.5",
        "lossy_backoff server 127.0.0.1 -p 0 --loss NaN",
        "lossy_backoff server 127.0.0.1 -p 0 --loss inf",
        "lossy_backoff server 127.0.0.1 -p 0 --seed many",
        "lossy_backoff client 127.0.0.1 --requests -1",
        "lossy_backoff --loss 0.1 client 127.0.0.1",
        "big_datagram --size 1e3",
        "big_datagram --size -1",
        "big_datagram 127.0.0.1 65000",
        "broadcast client",
        "broadcast both",
    ] {
        let words: Vec<_> = usage.split(' ').collect();
        let ended = run(words[0], &words[1..]);
        assert_eq!(ended.code, Some(2), "{usage}: {ended:?}");
        assert_eq!(ended.stdout, "", "{usage}");
        assert!(ended.stderr.starts_with("error: ") || ended.stderr.contains("Usage: "), "{usage}: {ended:?}");
    }
}

#[test]
fn what_fails_ends_with_1_and_one_line_on_standard_error() {
    for usage in [
        "loopback_echo server host.invalid",
        "loopback_echo client host.invalid",
        "lossy_backoff client host.invalid --json",
        "big_datagram host.invalid",
        "broadcast client host.invalid",
        "broadcast client ::1",
    ] {
        let words: Vec<_> = usage.split(' ').collect();
        let ended = run(words[0], &words[1..]);
        assert_eq!(ended.code, Some(1), "{usage}: {ended:?}");
        assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1), "{usage}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{usage}: {ended:?}");
    }
}

#[test]
fn the_two_roles_talk_over_two_processes() {
    for example in ["loopback_echo", "lossy_backoff"] {
        for (host, there) in [("127.0.0.1", "127.0.0.1"), ("", "127.0.0.1"), ("0.0.0.0", "localhost"), ("::1", "::1")] {
            let port = free_port().to_string();
            let lossless: &[&str] = if example == "lossy_backoff" { &["--loss", "0"] } else { &[] };
            let mut server = Running::start(example, &[&["server", host, "-p", &port], lossless].concat());
            assert!(server.line().starts_with("Listening at "));
            let client = run(example, &["client", there, "-p", &port]);
            assert_eq!(client.code, Some(0), "{example} {host:?}: {client:?}");
            assert!(client.stdout.contains("\"Your data was "), "{example} {host:?}: {client:?}");
            assert!(server.line().starts_with("The client at "));
        }
    }
}

#[test]
fn the_servers_answer_the_books_client() {
    for (example, more) in [("loopback_echo", &[][..]), ("lossy_backoff", &["--loss", "0"])] {
        let port = free_port();
        let mut server = Running::start(example, &[&["server", "", "-p", &port.to_string()], more].concat());
        assert_eq!(server.line(), format!("Listening at 0.0.0.0:{port}"));

        let client = socket();
        for (text, reply) in [
            ("The time is 2014-06-05 10:34:53.448338", "Your data was 38 bytes long"),
            ("", "Your data was 0 bytes long"),
            ("This is another message", "Your data was 23 bytes long"),
        ] {
            client.send_to(text.as_bytes(), ("127.0.0.1", port)).unwrap();
            let (heard, from) = receive(&client);
            assert_eq!((heard.as_str(), from.port()), (reply, port));
            assert_eq!(
                server.line(),
                format!("The client at 127.0.0.1:{} says {text:?}", client.local_addr().unwrap().port())
            );
        }
    }
}

#[test]
fn the_clients_ask_the_books_server() {
    let server = socket();
    let port = server.local_addr().unwrap().port().to_string();

    let client = Running::start("loopback_echo", &["client", "127.0.0.1", "-p", &port]);
    let (text, from) = receive(&server);
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    assert_eq!(shape, "The time is 0000-00-00 00:00:00.000000");
    server.send_to(b"Your data was 38 bytes long", from).unwrap();
    let ended = client.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(&format!("assigned me the address {from}\n")), "{ended:?}");
    assert!(ended.stdout.ends_with("replied \"Your data was 38 bytes long\"\n"), "{ended:?}");

    let client = Running::start("lossy_backoff", &["client", "127.0.0.1", "-p", &port]);
    let (text, from) = receive(&server);
    assert_eq!(text, "This is another message");
    server.send_to(b"Your data was 23 bytes long", from).unwrap();
    let ended = client.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.ends_with("The server says \"Your data was 23 bytes long\"\n"), "{ended:?}");
}

#[test]
fn a_client_that_nobody_hears_goes_through_its_schedule_and_is_refused() {
    let ended = run("lossy_backoff", &["client", "127.0.0.1", "-p", &closed_port().port().to_string(), "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let [report] = &ended.reports()[..] else { panic!("{ended:?}") };
    assert_eq!((&report.outcome, report.transmissions), (&Err("refused".to_owned()), 5), "{ended:?}");
    report.assert_on_schedule();
    assert!((3100.0..3400.0).contains(&report.elapsed_ms), "{ended:?}");
}

#[test]
fn a_client_that_is_never_answered_times_out() {
    let port = free_port().to_string();
    let mut server = Running::start("lossy_backoff", &["server", "127.0.0.1", "-p", &port, "--loss", "1.0"]);
    assert_eq!(server.line(), format!("Listening at 127.0.0.1:{port}"));
    let ended = run("lossy_backoff", &["client", "127.0.0.1", "-p", &port, "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let [report] = &ended.reports()[..] else { panic!("{ended:?}") };
    assert_eq!((&report.outcome, report.transmissions), (&Err("timed_out".to_owned()), 5), "{ended:?}");
    report.assert_on_schedule();
    assert!(report.elapsed_ms >= 3100.0, "{ended:?}");
    for _ in 0..5 {
        assert!(server.line().starts_with("Pretending to drop a packet from 127.0.0.1:"));
    }
}

#[test]
fn a_client_gets_through_to_a_server_that_comes_up_between_two_transmissions() {
    let port = free_port().to_string();
    let client = Running::start("lossy_backoff", &["client", "127.0.0.1", "-p", &port, "--json"]);
    thread::sleep(Duration::from_millis(400));
    let mut server = Running::start("lossy_backoff", &["server", "127.0.0.1", "-p", &port, "--loss", "0"]);
    assert!(server.line().starts_with("Listening at "));
    let ended = client.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let [report] = &ended.reports()[..] else { panic!("{ended:?}") };
    assert_eq!(report.outcome, Ok("Your data was 23 bytes long".to_owned()));
    assert!((2..=5).contains(&report.transmissions), "{ended:?}");
}

#[test]
fn any_reply_makes_one_valid_line_of_json() {
    let server = socket();
    let port = server.local_addr().unwrap().port().to_string();
    let replies: [(&[u8], &str); 6] = [
        (b"", ""),
        (br#"quoted "text" and a \ backslash"#, r#"quoted "text" and a \ backslash"#),
        (b"line\r\nbreak\ttab\0nul\x1b[0m\x7f", "line\r\nbreak\ttab\0nul\u{1b}[0m\u{7f}"),
        ("r\u{e9}ponse \u{1f980}".as_bytes(), "r\u{e9}ponse \u{1f980}"),
        ("\u{2028}\u{2029}\u{85}".as_bytes(), "\u{2028}\u{2029}\u{85}"),
        (b"\xff\xfe no text", "\u{fffd}\u{fffd} no text"),
    ];
    let client = Running::start("lossy_backoff", &["client", "127.0.0.1", "-p", &port, "--requests", "6", "--json"]);
    let mut answered = Vec::new();
    while answered.len() < replies.len() {
        // Each request comes from a port of its own; a second datagram from one is a retransmission.
        let (_, from) = receive(&server);
        if answered.last() != Some(&from) {
            server.send_to(replies[answered.len()].0, from).unwrap();
            answered.push(from);
        }
    }
    let ended = client.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let heard: Vec<_> = ended.reports().into_iter().map(|report| report.outcome.unwrap()).collect();
    assert_eq!(heard, replies.map(|(_, text)| text));
}

#[test]
fn a_message_that_no_datagram_can_carry_is_too_large_at_once_and_each_request_is_reported() {
    let message = "x".repeat(65_508);
    let ended = run("lossy_backoff", &["client", "127.0.0.1", "--requests", "3", "--message", &message, "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "error: 3 of 3 requests brought no reply\n");
    let reports = ended.reports();
    assert_eq!(reports.len(), 3, "{reports:?}");
    for report in reports {
        assert_eq!((&report.outcome, report.transmissions), (&Err("too_large".to_owned()), 0));
        assert!(report.sent_ms.is_empty() && report.elapsed_ms < 1000.0, "{report:?}");
    }
}

#[test]
fn the_same_seed_drops_the_same_requests() {
    for seed in ["2", "12"] {
        let losses = || {
            let ended = run("lossy_backoff", &["--seed", seed, "--loss", "0.5"]);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert!(ended.stderr.contains(&format!("seed {seed} (repeat with --seed {seed})")), "{ended:?}");
            // What is sent after the request was heard depends on how busy this machine is.
            let fates = ended.stdout.lines().nth(4).unwrap().trim().to_owned();
            fates.chars().take_while(|&mark| mark != '▼').filter(|&mark| mark == '╳').count()
        };
        assert_eq!(losses(), losses(), "seed {seed}");
    }
}

#[test]
fn the_picture_is_to_scale() {
    let ended = run("lossy_backoff", &[]);
    let numbers = ended.stdout.lines().nth(1).unwrap();
    let client = ended.stdout.lines().nth(2).unwrap();
    let columns: Vec<_> = numbers.char_indices().filter(|(_, char)| *char != ' ').map(|(at, _)| at).collect();
    assert!(columns.len() >= 4, "{ended:?}");
    assert!(columns.iter().all(|&column| client.chars().nth(column) == Some('●')), "{ended:?}");
    // Transmissions 1 to 4 leave at 0, 100, 300 and 700 ms.
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|n| columns[n] as f64);
    for (column, share) in [(second, 1.0 / 7.0), (third, 3.0 / 7.0)] {
        assert!(((column - first) / (fourth - first) - share).abs() < 0.08, "{ended:?}");
    }
}

#[test]
fn every_transmission_and_wait_is_told() {
    let port = closed_port().port();
    let ended = run("lossy_backoff", &["client", "127.0.0.1", "-p", &port.to_string()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for number in 1..=5 {
        assert!(ended.stderr.contains(&format!("ms  transmission {number}, 23 bytes\n")), "{ended:?}");
    }
    assert_eq!(ended.stderr.matches("ms  waiting ").count(), 5, "{ended:?}");
    assert!(ended.stdout.contains(&format!("No reply: 127.0.0.1:{port}: refused")), "{ended:?}");
    assert!(!ended.stderr.contains("RequestError"), "{ended:?}");
}

#[test]
fn a_datagram_of_any_size_that_exists_is_sent_and_no_other() {
    let port = free_port().to_string();
    for (host, size, code) in [
        ("127.0.0.1", "0", 0),
        ("127.0.0.1", "1472", 0),
        ("127.0.0.1", "65507", 0),
        ("127.0.0.1", "65508", 1),
        ("127.0.0.1", "65536", 1),
        ("127.0.0.1", "18446744073709551615", 1),
        ("::1", "65527", 0),
        ("::1", "65528", 1),
    ] {
        let ended = run("big_datagram", &[host, "-p", &port, "--size", size]);
        assert_eq!(ended.code, Some(code), "{host} {size}: {ended:?}");
        let refusal = ended.stderr.contains("more than any datagram");
        assert_eq!(refusal, code == 1, "{host} {size}: {ended:?}");
    }
    for (size, code) in [("0", 0), ("65507", 0), ("65508", 1)] {
        let ended = run("big_datagram", &["--size", size]);
        assert_eq!(ended.code, Some(code), "{size}: {ended:?}");
    }
}

/// IPv6 headers are longer, so the largest IPv6 datagram exceeds the packets of the loopback interface.
#[test]
fn a_datagram_too_big_for_the_path_is_answered_with_the_size_that_fits() {
    let receiver = UdpSocket::bind("[::1]:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = receiver.local_addr().unwrap().port().to_string();
    let ended = run("big_datagram", &["::1", "-p", &port, "--size", "65527"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for fact in [
        "message too long",
        "path MTU is 65536 bytes",
        "a payload of 65488 fits",
        "first hop",
        "path MTU is 65536 bytes, and no one there answers probes",
    ] {
        assert!(ended.stdout.contains(fact), "{ended:?}");
    }
    assert_eq!(receiver.recv(&mut [0; 65_535]).unwrap(), 65_488);
}

#[test]
fn a_broadcast_reaches_a_server_on_every_interface() {
    let port = free_port().to_string();
    let mut server = Running::start("broadcast", &["server", "", "-p", &port]);
    assert_eq!(server.line(), format!("Listening for datagrams at 0.0.0.0:{port}"));
    let client = run("broadcast", &["client", "127.255.255.255", "-p", &port]);
    assert_eq!((client.code, client.stdout.as_str()), (Some(0), ""), "{client:?}");
    let heard = server.line();
    assert!(heard.starts_with("The client at 127.0.0.1:") && heard.ends_with(" says: Broadcast datagram!"), "{heard}");
}

#[test]
fn a_broadcast_without_a_route_is_explained() {
    let ended = run("broadcast", &["client", "<broadcast>", "-p", &free_port().to_string()]);
    match ended.code {
        Some(0) => assert_eq!(ended.stderr, ""),
        _ => assert!(ended.stderr.contains("name the broadcast address of an interface"), "{ended:?}"),
    }
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    for usage in
        ["loopback_echo", "lossy_backoff", "lossy_backoff --requests 3 --loss 0 --json", "big_datagram", "broadcast"]
    {
        let words: Vec<_> = usage.split(' ').collect();
        let mut example = Running::start_unread(words[0], &words[1..]);
        drop(example.child.stdout.take());
        let ended = example.end();
        assert_eq!(ended.code, Some(0), "{usage}: {ended:?}");
        assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("error"), "{usage}: {ended:?}");
    }
}

#[test]
fn a_server_whose_output_nobody_reads_any_more_ends_quietly() {
    for usage in ["loopback_echo server", "lossy_backoff server", "broadcast server"] {
        let words: Vec<_> = usage.split(' ').collect();
        let port = free_port();
        let mut server = Running::start_unread(words[0], &[words[1], "127.0.0.1", "-p", &port.to_string()]);
        let mut stdout = server.child.stdout.take().unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let read = stdout.read_exact(&mut [0]);
            drop(stdout);
            tell.send(read)
        });
        told.recv_timeout(PATIENCE).unwrap().unwrap();
        // More than once: a process that starts elsewhere at this moment may hold the pipe open a little longer.
        while server.child.try_wait().unwrap().is_none() && server.started.elapsed() < PATIENCE {
            socket().send_to(b"anybody?", ("127.0.0.1", port)).unwrap();
            thread::sleep(Duration::from_millis(10));
        }
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{usage}: {ended:?}");
        assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("error"), "{usage}: {ended:?}");
    }
}

/// An example that runs; it is killed when this goes.
struct Running {
    child: Child,
    started: Instant,
    /// Its lines as they come; `None` if nobody reads them here.
    lines: Option<Receiver<String>>,
    stderr: JoinHandle<String>,
}

/// What is left of an example that ended by itself.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    took: Duration,
}

fn run(example: &str, arguments: &[&str]) -> Ended {
    Running::start(example, arguments).end()
}

impl Running {
    fn start(example: &str, arguments: &[&str]) -> Self {
        let mut running = Self::start_unread(example, arguments);
        let stdout = running.child.stdout.take().unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            // `split` and not `lines`: what is no UTF-8 must fail a comparison, not end the reading.
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let _ = tell.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        running.lines = Some(told);
        running
    }

    fn start_unread(example: &str, arguments: &[&str]) -> Self {
        let mut child = piped(example, arguments);
        let started = Instant::now();
        let stderr = reader(child.stderr.take().unwrap());
        Self { child, started, lines: None, stderr }
    }

    /// Its next line.
    fn line(&mut self) -> String {
        self.lines.as_ref().unwrap().recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no further line: {error}"))
    }

    /// Waits until it ends by itself.
    fn end(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(self.started.elapsed() < PATIENCE, "still running after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(5));
        };
        let took = self.started.elapsed();
        let stdout = self.lines.take().map_or_else(String::new, |lines| lines.iter().map(|line| line + "\n").collect());
        let stderr = std::mem::replace(&mut self.stderr, thread::spawn(String::new)).join().unwrap();
        Ended { code: status.code(), stdout, stderr, took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    fn reports(&self) -> Vec<Report> {
        self.stdout
            .lines()
            .map(|line| Report::parse(line).unwrap_or_else(|| panic!("not as promised: {line}")))
            .collect()
    }
}

/// A line of `lossy_backoff --json`.
#[derive(Debug)]
struct Report {
    outcome: Result<String, String>,
    transmissions: u32,
    sent_ms: Vec<f64>,
    elapsed_ms: f64,
}

impl Report {
    /// Takes the promised keys in the promised order and nothing else.
    fn parse(line: &str) -> Option<Self> {
        let (outcome, rest) = match line.strip_prefix("{\"reply\":") {
            Some(rest) => json_string(rest).map(|(text, rest)| (Ok(text), rest))?,
            None => json_string(line.strip_prefix("{\"error\":")?).map(|(text, rest)| (Err(text), rest))?,
        };
        let (transmissions, rest) = rest.strip_prefix(",\"transmissions\":")?.split_once(",\"sent_ms\":[")?;
        let (sent, rest) = rest.split_once("],\"elapsed_ms\":")?;
        let sent_ms: Vec<_> = sent.split(',').filter(|_| !sent.is_empty()).map(json_number).collect::<Option<_>>()?;
        let elapsed_ms = json_number(rest.strip_suffix('}')?)?;
        let transmissions = transmissions.parse().ok()?;
        Some(Self { outcome, transmissions, sent_ms, elapsed_ms })
    }

    /// The book's: 0, 100, 300, 700, 1500 ms.
    fn assert_on_schedule(&self) {
        assert_eq!(self.sent_ms.len(), 5, "{self:?}");
        for (sent, due) in self.sent_ms.iter().zip([0.0, 100.0, 300.0, 700.0, 1500.0]) {
            assert!(*sent >= due && *sent <= due + LATE, "{self:?}");
        }
    }
}

/// The text of a literal, and what follows it.
fn json_string(literal: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = literal.strip_prefix('"')?.chars();
    loop {
        text.push(match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => match chars.next()? {
                char @ ('"' | '\\') => char,
                'u' => {
                    let (digits, rest) = chars.as_str().split_at_checked(4)?;
                    chars = rest.chars();
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                _ => return None,
            },
            char if char.is_control() => return None,
            char => char,
        });
    }
}

/// Digits, a point, digits: `parse` alone would take "inf" and "1e3" too.
fn json_number(number: &str) -> Option<f64> {
    let (whole, part) = number.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(part)).then(|| number.parse().ok())?
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 65_535];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (String::from_utf8(buffer[..len].to_vec()).unwrap(), from)
}

/// No example runs nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Milliseconds by which a transmission may be late on a busy machine.
const LATE: f64 = 90.0;
/// An example that is slow fails all of them; a machine that stalls, some.
const TRIES: u32 = 10;
