//! A requester in a process of its own, for what hits a whole process; it reports each request on a line of JSON.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use udp_retry::policy::Backoff;
use udp_retry::transaction::{Event, Failure};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use crate::processor::spent;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// The name of the test around it, as the test program is asked for it.
macro_rules! this_test {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here).trim_end_matches("::here").trim_end_matches("::{{closure}}");
        path.split_once("::").unwrap().1
    }};
}
pub(crate) use this_test;

/// The process, as the test sees it.
pub(crate) struct Asker {
    process: Ending,
    told: Vec<Value>,
}

/// How a request went. Moments are those of `monotonic`.
pub(crate) struct Report {
    pub(crate) started: Duration,
    pub(crate) ended: Duration,
    /// Since the start, by the requester's own clock.
    pub(crate) sent: Vec<Duration>,
    pub(crate) failure: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) path_error: bool,
    pub(crate) strays: u64,
    /// Processor time of the thread.
    pub(crate) cpu: Duration,
    /// How late a bare wait of 1 s was meanwhile.
    pub(crate) bare: Duration,
    /// kB of memory.
    pub(crate) resident_before: u64,
    pub(crate) resident: u64,
}

/// What waits under a storm of signals cost.
pub(crate) struct Storm {
    pub(crate) bare: Load,
    pub(crate) ours: Load,
}

#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) interruptions: f64,
}

impl Asker {
    /// Starts this test again as the asker; `ask` says how.
    pub(crate) fn start(test: &str, server: &UdpSocket, mut ask: Value) -> Self {
        ask["server"] = json!(server.local_addr().unwrap());
        server.set_read_timeout(Some(20 * MS)).unwrap();
        let process = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(PART, ask.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process: Ending(process), told: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Until the process has ended: hands each request over with its number, and returns when they came.
    pub(crate) fn serve(
        &mut self,
        server: &UdpSocket,
        mut on_request: impl FnMut(usize, &[u8], SocketAddr),
    ) -> Vec<Duration> {
        let (mut arrivals, mut buffer) = (Vec::new(), [0; 2048]);
        let mut ended = false;
        loop {
            match server.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    arrivals.push(monotonic());
                    on_request(arrivals.len() - 1, &buffer[..len], from);
                }
                Err(_) if ended => break,
                Err(_) => ended = self.process.0.try_wait().unwrap().is_some(),
            }
        }
        for line in BufReader::new(self.process.0.stdout.take().unwrap()).lines().map_while(Result::ok) {
            self.told.extend(line.split_once(REPORT).map(|(_, report)| serde_json::from_str(report).unwrap()));
        }
        arrivals
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        let reports = self.told.iter().filter(|told| told.get("started").is_some());
        let nanos = |value: &Value| Duration::from_nanos(value.as_u64().unwrap());
        let reports: Vec<_> = reports
            .map(|told| Report {
                started: nanos(&told["started"]),
                ended: nanos(&told["ended"]),
                sent: told["sent"].as_array().unwrap().iter().map(nanos).collect(),
                failure: told["failure"].as_str().map(Into::into),
                payload: serde_json::from_value(told["payload"].clone()).unwrap(),
                path_error: told["path_error"].as_bool().unwrap(),
                strays: told["strays"].as_u64().unwrap(),
                cpu: nanos(&told["cpu"]),
                bare: nanos(&told["bare"]),
                resident_before: told["resident_before"].as_u64().unwrap(),
                resident: told["resident"].as_u64().unwrap(),
            })
            .collect();
        assert!(!reports.is_empty(), "the asker told nothing");
        reports
    }

    pub(crate) fn storm(&self) -> Option<Storm> {
        let told = self.told.iter().find(|told| told.get("storm").is_some())?;
        let load = |name: &str| {
            let [wall, cpu, interruptions] = [0, 1, 2].map(|place| told["storm"][name][place].as_u64().unwrap());
            let [wall, cpu] = [wall, cpu].map(Duration::from_nanos);
            Load { wall, cpu, interruptions: interruptions as f64 }
        };
        Some(Storm { bare: load("bare"), ours: load("ours") })
    }
}

impl Load {
    pub(crate) fn per_second(self) -> Self {
        let wall = self.wall.as_secs_f64();
        Self { wall: self.wall, cpu: self.cpu.div_f64(wall), interruptions: self.interruptions / wall }
    }

    fn of(work: impl FnOnce()) -> Self {
        let before = (monotonic(), interruptions());
        let ((), cpu) = spent(work);
        let wall = monotonic() - before.0;
        Self { wall, cpu, interruptions: (interruptions() - before.1) as f64 }
    }

    fn to_json(self) -> Value {
        json!([self.wall.as_nanos() as u64, self.cpu.as_nanos() as u64, self.interruptions as u64])
    }
}

/// Whether this process is the asker; then it has asked by now.
pub(crate) fn plays_its_part() -> bool {
    let Ok(ask) = env::var(PART) else { return false };
    // An asker that hangs must not hang the test.
    thread::spawn(|| {
        thread::sleep(30_000 * MS);
        std::process::exit(3);
    });
    let ask: Value = serde_json::from_str(&ask).unwrap();
    if ask["storm"] == true {
        let _storm = storm();
        let bare = Load::of(|| _ = bare_wait(700 * MS));
        let ours = Load::of(|| ask_all(&ask));
        println!("\n{REPORT}{}", json!({ "storm": { "bare": bare.to_json(), "ours": ours.to_json() } }));
    } else {
        ask_all(&ask);
    }
    true
}

fn ask_all(ask: &Value) {
    let policy = match ask["policy"].as_str() {
        Some("lan") => RetryPolicy::LAN,
        _ => RetryPolicy::new(Backoff::constant(100 * MS).unwrap()).with_max_transmissions(100).unwrap(),
    };
    let mut builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
    if let Some(deadline) = ask["deadline"].as_u64() {
        builder = builder.deadline(Duration::from_millis(deadline));
    }
    let mut requester = builder.connect(ask["server"].as_str().unwrap()).unwrap();
    let handle = (ask["handle"] == true).then(|| requester.cancel_handle().unwrap());
    if let Some(most) = ask["descriptors"].as_u64() {
        limit_descriptors(most);
    }
    if let (Some(handle), true) = (handle, ask["cancelled"] == true) {
        handle.cancel();
        assert_eq!(requester.request(b"cancelled").unwrap_err().failure(), Failure::Cancelled);
    }
    for number in 0..ask["requests"].as_u64().unwrap_or(1) {
        let compare = ask["compare"] == true;
        // That takes a descriptor.
        let resident = || if compare { resident() } else { 0 };
        let resident_before = resident();
        let compared = compare.then(|| thread::spawn(|| bare_wait(1000 * MS)));
        let started = monotonic();
        let (outcome, cpu) = spent(|| requester.request(format!("{number:04} anyone?").as_bytes()));
        let ended = monotonic();
        let timeline = *outcome.as_ref().map_or_else(|error| error.timeline(), |reply| reply.timeline());
        let events = || timeline.events();
        let sent = events().filter(|(_, event)| matches!(event, Event::Transmitted { .. }));
        let sent: Vec<u64> = sent.map(|(at, _)| at.as_nanos() as u64).collect();
        let strays = outcome.as_ref().map_or_else(|error| error.strays(), |reply| reply.strays());
        let report = json!({
            "started": started.as_nanos() as u64,
            "ended": ended.as_nanos() as u64,
            "sent": sent,
            "failure": outcome.as_ref().err().map(|error| error.failure().to_string()),
            "payload": outcome.as_ref().ok().map(|reply| reply.payload()),
            "path_error": events().any(|(_, event)| matches!(event, Event::PathError { .. } | Event::NotTransmitted { .. })),
            "strays": strays.total(),
            "cpu": cpu.as_nanos() as u64,
            "bare": compared.map_or(0, |wait| wait.join().unwrap().as_nanos() as u64),
            "resident_before": resident_before,
            "resident": resident(),
        });
        println!("\n{REPORT}{report}");
    }
}

/// From now on this process can open no more, and with less than 2 not even wait for two.
fn limit_descriptors(most: u64) {
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={most}:{most}"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

/// Thousands of signals a second for the thread that calls: a thread's id is as good as a process's.
fn storm() -> Ending {
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::new(AtomicBool::new(false))).unwrap();
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap().to_str().unwrap().to_owned();
    let storm = "while kill -USR1 $0; do i=0; while [ $i -lt 40 ]; do i=$((i+1)); done; done";
    let storm = Command::new("sh").args(["-c", storm, &thread]).stderr(Stdio::null()).spawn().unwrap();
    Ending(storm)
}

/// How late it was.
fn bare_wait(wait: Duration) -> Duration {
    let (start, idle) = (Instant::now(), UdpSocket::bind("127.0.0.1:0").unwrap());
    while let Some(left) = wait.checked_sub(start.elapsed()) {
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        // A signal ends it early.
        let _ = poll(&mut [PollFd::new(&idle, PollFlags::IN)], Some(&left));
    }
    start.elapsed() - wait
}

/// The same clock in every process.
pub(crate) fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// How often the calling thread was woken from a sleep.
fn interruptions() -> u64 {
    number_in("/proc/thread-self/status", "voluntary_ctxt_switches:")
}

/// kB of memory that this process occupies.
fn resident() -> u64 {
    number_in("/proc/self/status", "VmRSS:")
}

fn number_in(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

pub(crate) fn wait_until_stopped(pid: u32) {
    let stopped = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    for _ in 0..1000 {
        if stopped() {
            return;
        }
        thread::sleep(MS);
    }
    panic!("process {pid} does not stop");
}

/// A process that ends with its owner.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const REPORT: &str = "REPORT ";
const PART: &str = "UDP_RETRY_TEST_PART";
