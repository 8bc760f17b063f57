//! `udp-retry proxy` as people run it: its arguments, its first and last line, its files, and how it ends.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use udp_retry::Seed;
use udp_retry::fault::{Direction, Fate, Link, Profile, Trace};
use udp_retry::time::Timestamp;

use crate::files::Scratch;
use crate::program::{Ended, Running, bare, run, tool};
use crate::proxy_signals::default_hangup;

#[test]
fn without_arguments_it_shows_itself() {
    let ended = run("proxy", &["--seed", "3"], Duration::from_secs(60));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr.matches("request ").count(), 20, "{ended:?}");
    assert!(ended.stderr.contains("seed 3 (repeat with --seed 3)"), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("listening on 127.0.0.1:"), "{ended:?}");
    let report: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!((&report["to_server"]["spec"], lines.len()), (&Value::from("loss 30%"), 2));
}

#[test]
fn wrong_usage_ends_with_2_and_says_where() {
    let at = |spec: &str, said: &str| (vec!["--both".to_owned(), spec.to_owned()], said.to_owned());
    let usage = |arguments: &str, said: &str| {
        (arguments.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>(), said.to_owned())
    };
    for (arguments, said) in [
        at("loss 5", "at 7: expected"),
        at("loss 5%; delay 50", "at 18: expected"),
        at("loss 60% burst 1", "they last 1.5"),
        at("lose 5%", "at 1: expected"),
        at("", "at 1: expected"),
        usage("--loss 30", "from 0 to 1, not 30"),
        usage("--loss 130%", "from 0 to 1, not 1.3"),
        usage("--loss -0.1", ""),
        usage("--profile lte2", "there are book_half, lan, lte"),
        usage("--idle never", "a number above 0 with a unit"),
        usage("--idle 120", "if it is in seconds, 120s"),
        usage("--for 0.5", "if it is in seconds, 0.5s"),
        usage("--for 0s", "a number above 0 with a unit"),
        usage("--max-sessions 0", "a number from 1"),
        usage("--capacity 0", "a number from 1"),
        usage("--capacity-bytes 65534", "1 datagram and 65535 bytes at least"),
        usage("--for -1s", ""),
        usage("--replay /nowhere/at/all", "No such file"),
        usage("--both none --profile lan", "cannot be used with"),
        usage("--listen 127.0.0.1:0", "--upstream"),
        usage("--listen here --upstream there", "no address such as"),
        usage("--listen 127.0.0.1:+0 --upstream 127.0.0.1:9", "without sign or leading zero"),
        usage("--listen 127.0.0.1:0 --upstream 127.0.0.1:053", "without sign or leading zero"),
        usage("--listen 127.0.0.1:0 --upstream 127.0.0.1:9 --lose 5%", "'--loss'"),
        usage("--seed 0x10", "a whole number from 0 to 18446744073709551615"),
        usage("--seed -1", "a whole number from 0 to 18446744073709551615"),
        usage("--loss -0.5", "such as 0.3 or 30%"),
        usage("--for -1s", "a number above 0 with a unit"),
        usage("--idle -1s", "a number above 0 with a unit"),
        usage("--max-sessions -1", "a number from 1"),
        usage("nonsense", "unrecognized subcommand 'nonsense'"),
        usage("crl 127.0.0.1:7070 stats", "'ctl'"),
        usage("127.0.0.1:5353 9.9.9.9:53", "udp-retry proxy --listen ADDR --upstream HOST:PORT"),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = run("proxy", &arguments, Duration::from_secs(5));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(&said), "{arguments:?}: no {said:?} in {ended:?}");
    }
}

/// What is addressed to another command, or lacks an address, gets no advice that is none.
#[test]
fn only_who_gives_an_address_bare_is_told_how_it_is_given() {
    for arguments in [&["proxy", "nonsense"][..], &["127.0.0.1:5353"]] {
        let ended = bare(arguments, Duration::from_secs(5));
        assert_eq!((ended.code, ended.stderr.contains("--listen ADDR")), (Some(2), false), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn a_trace_that_is_none_is_wrong_usage_with_its_line() {
    let file = Scratch::new("no_trace");
    fs::write(
        &file.0,
        "{\"link\":0,\"direction\":\"to_server\",\"n\":1,\"at_ns\":0,\"len\":4,\"dropped\":\"loss\"}\nnonsense\n",
    )
    .unwrap();
    let ended = run("proxy", &["--replay", file.path()], Duration::from_secs(5));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("line 2"), "{ended:?}");
}

#[test]
fn it_ends_by_a_signal_within_a_second_and_not_with_its_input() {
    for signal in ["-TERM", "-INT", "-HUP", "-QUIT"] {
        let service = Service::echo();
        let mut proxy = Proxy::start_after(default_hangup(), &service, &["--seed", "1"]);
        // Its input ended before it began, and it forwards all the same.
        assert_eq!(proxy.ask(b"are you there?"), Some(b"are you there?".to_vec()));
        let asked = Instant::now();
        proxy.signal(signal);
        let report = proxy.report();
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        for way in ["to_server", "to_client"] {
            assert_eq!((&report[way]["passed"], &report[way]["spec"]), (&Value::from(1), &Value::from("none")));
        }
        assert_eq!((&report["sessions"]["opened"], &report["seed"]), (&Value::from(1), &Value::from(1)));
    }
}

#[test]
fn it_ends_when_its_time_is_over_and_leaves_its_report_in_a_file_too() {
    let (service, file) = (Service::echo(), Scratch::new("report"));
    let started = Instant::now();
    let mut proxy = Proxy::start(&service, &["--for", "0.4s", "--report", file.path(), "--loss", "1"]);
    assert_eq!(proxy.ask(b"lost"), None);
    let report = proxy.report();
    assert!(started.elapsed() >= Duration::from_millis(400) && started.elapsed() < Duration::from_secs(2));
    assert_eq!(serde_json::from_str::<Value>(&file.text()).unwrap(), report);
    assert_eq!(report["to_server"]["dropped"]["loss"], 1);
    let knob = &report["to_server"]["knobs"][0];
    assert_eq!((&knob["knob"], &knob["asked"], &knob["observed"]), (&"loss".into(), &1.0.into(), &1.0.into()));
}

#[test]
fn each_direction_has_its_own_specification_and_loss_replaces_what_it_says_of_loss() {
    let service = Service::echo();
    let arguments = ["--profile", "lte", "--to-client", "delay 1ms", "--loss", "0.25", "--for", "0.1s"];
    let report = Proxy::start(&service, &arguments).report();
    assert_eq!(report["to_server"]["spec"], "rate 10mbit queue 200ms; loss 25%; delay 25ms ~8ms");
    assert_eq!(report["to_client"]["spec"], "loss 25%; delay 1ms");
    let percentage = Proxy::start(&service, &["--both", "loss 1% burst 5", "--loss", "25%", "--for", "0.1s"]).report();
    assert_eq!(
        (&percentage["to_server"]["spec"], &percentage["to_client"]["spec"]),
        (&"loss 25%".into(), &"loss 25%".into())
    );
}

#[test]
fn the_report_names_what_the_proxy_could_not_keep_and_what_met_no_datagram() {
    let service = Service::echo();
    let spec = "delay 1h; script { drop 99 }; outage from 1h for 1s; loss 0.001%; dose 1 of 2";
    let arguments = ["--to-server", spec, "--capacity", "5", "--for", "1s", "--seed", "1"];
    let mut proxy = Proxy::start(&service, &arguments);
    for _ in 0..8 {
        proxy.client.send(b"there is no place for all of us").unwrap();
    }
    assert_eq!(proxy.ask(b"nor for me"), None);
    let report = proxy.report();
    let way = &report["to_server"];
    assert_eq!((&way["in_flight"], &way["discarded"], &way["spared"]), (&5.into(), &0.into(), &0.into()));
    let dropped = serde_json::json!({ "script": 0, "outage": 0, "mtu": 0, "queue": 0, "loss": 0, "capacity": 4 });
    assert_eq!(way["dropped"], dropped, "nothing but the capacity has dropped any");
    let knobs = way["knobs"].as_array().unwrap();
    let verdict = |name: &str| &knobs.iter().find(|knob| knob["knob"] == name).unwrap()["ok"];
    assert_eq!(verdict("capacity"), &Value::from(false), "{way}");
    assert_eq!((verdict("loss"), verdict("mean_burst")), (&true.into(), &Value::Null), "too few to tell: {way}");
    assert_eq!(way["unmet"], serde_json::json!(["script", "outage", "loss", "dose"]), "{way}");
    assert_eq!(report["to_client"]["unmet"], serde_json::json!([]), "nothing was asked for there");
}

#[test]
fn the_report_shows_the_dose_and_counts_what_it_has_spared() {
    let service = Service::echo();
    let arguments = ["--to-server", "loss 100%; dose 2 of 3", "--for", "1s", "--seed", "1"];
    let proxy = Proxy::start(&service, &arguments);
    for n in 1..=9 {
        proxy.client.send(&[n]).unwrap();
    }
    // Two are lost and one is spared, over and over.
    for n in [3, 6, 9] {
        let mut buffer = [0; 16];
        assert_eq!((proxy.client.recv(&mut buffer).ok(), buffer[0]), (Some(1), n));
    }
    let report = proxy.report();
    let (way, back) = (&report["to_server"], &report["to_client"]);
    assert_eq!((&way["spec"], &way["unmet"]), (&"loss 100%; dose 2 of 3".into(), &serde_json::json!([])));
    assert_eq!((&way["spared"], &way["dropped"]["loss"], &way["passed"]), (&3.into(), &6.into(), &3.into()));
    assert_eq!((&back["spared"], &back["passed"]), (&0.into(), &3.into()));
    // What was spared is nothing that a setting has failed to do.
    let loss = way["knobs"].as_array().unwrap().iter().find(|knob| knob["knob"] == "loss").unwrap();
    assert_eq!((&loss["asked"], &loss["of"], &loss["ok"]), (&1.0.into(), &9.into(), &true.into()), "{loss}");
    assert_eq!(loss["observed"].as_f64(), Some(6.0 / 9.0));
}

#[test]
fn what_is_recorded_are_the_links_own_fates_and_is_repeated_exactly() {
    let (service, first, second) = (Service::echo(), Scratch::new("first"), Scratch::new("second"));
    let spec = "loss 30% burst 2; duplicate 20%; corrupt 10%; truncate 10%";
    let mut proxy = Proxy::start(&service, &["--both", spec, "--seed", "9", "--record", first.path(), "--for", "5s"]);
    let heard = proxy.ask_often(60);
    proxy.report();

    let recorded = first.text();
    let lines: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let profile = Profile::both(spec.parse().unwrap());
    let mut link = Link::new(profile.to_server, Direction::ToServer.link_seed(Seed::new(9), 0));
    let requests: Vec<&Value> = lines.iter().filter(|line| line["direction"] == "to_server").collect();
    assert_eq!(requests.len(), 60);
    for line in requests {
        let fate = link.transmit(Timestamp::ZERO, &[0; 16]);
        assert_eq!(matches!(fate, Fate::Dropped(_)), line["dropped"] == "loss", "{line}");
        if let Fate::Delivered(copies) = fate {
            let lengths: Vec<u64> = copies.iter().map(|copy| copy.len as u64).collect();
            let recorded: Vec<u64> =
                line["delivered"].as_array().unwrap().iter().map(|copy| copy["len"].as_u64().unwrap()).collect();
            assert_eq!(lengths, recorded, "{line}");
        }
    }

    // By another seed, and without anything of chance.
    let arguments = ["--replay", first.path(), "--seed", "10", "--record", second.path(), "--for", "5s"];
    let mut again = Proxy::start(&service, &arguments);
    assert_eq!(again.ask_often(60), heard);
    let report = again.report();
    assert_eq!(report["replay"], first.path(), "the script that drops is that of a recording");
    for way in ["to_server", "to_client"] {
        assert_eq!(report[way]["spec"], format!("recording {}", first.path()));
    }
    let repeated = second.text();
    assert_eq!(recorded.parse::<Trace>().unwrap(), repeated.parse::<Trace>().unwrap());
}

#[test]
fn a_file_that_cannot_be_written_is_a_failure() {
    let service = Service::echo();
    for arguments in [["--record", "/nowhere/at/all"], ["--report", "/nowhere/at/all"]] {
        let upstream = service.address.to_string();
        let all = ["--listen", "127.0.0.1:0", "--upstream", &upstream, "--for", "0.05s", arguments[0], arguments[1]];
        let ended = run("proxy", &all, Duration::from_secs(5));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("/nowhere/at/all: "), "{ended:?}");
    }
}

/// Sends back what it hears, until the test is over.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
}

impl Service {
    pub(crate) fn echo() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..len], from);
            }
        });
        Self { address }
    }
}

pub(crate) struct Proxy {
    pub(crate) running: Running,
    stdout: BufReader<ChildStdout>,
    pub(crate) client: UdpSocket,
}

impl Proxy {
    pub(crate) fn start(service: &Service, arguments: &[&str]) -> Self {
        let mut command = tool("proxy");
        command.args(["--listen", "127.0.0.1:0", "--upstream", &service.address.to_string()]).args(arguments);
        Self::of(&mut command)
    }

    /// The same, by a shell that does something else before.
    pub(crate) fn start_after(shell: &str, service: &Service, arguments: &[&str]) -> Self {
        Self::of(&mut after(shell, service, arguments))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut running = Running::start(command, PATIENCE);
        let mut stdout = BufReader::new(running.stdout());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Self { running, stdout, client }
    }

    pub(crate) fn ask(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        self.client.send(request).unwrap();
        let mut buffer = [0; 2048];
        let len = self.client.recv(&mut buffer).ok()?;
        Some(buffer[..len].to_vec())
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.running.id().to_string()]).status().unwrap().success());
    }

    /// One after the other, in the same order to the service and back; everything that comes back.
    fn ask_often(&mut self, requests: u8) -> Vec<Vec<u8>> {
        self.client.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 2048];
        for n in 0..requests {
            self.client.send(&[n; 16]).unwrap();
            while let Ok(len) = self.client.recv(&mut buffer) {
                heard.push(buffer[..len].to_vec());
            }
        }
        // On a busy machine the last ones take longer.
        self.client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        while let Ok(len) = self.client.recv(&mut buffer) {
            heard.push(buffer[..len].to_vec());
        }
        heard
    }

    pub(crate) fn report(self) -> Value {
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// What it has printed after its first line.
    pub(crate) fn end(mut self) -> Ended {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        Ended { stdout, ..self.running.end() }
    }
}

/// The proxy on a port of its own, by a shell that does something else before.
pub(crate) fn after(shell: &str, service: &Service, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_udp-retry"), "proxy"]);
    command.args(["--listen", "127.0.0.1:0", "--upstream", &service.address.to_string()]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
