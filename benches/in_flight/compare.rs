//! All ways to ask in turn, load after load, and the table of what each takes.
#![expect(clippy::disallowed_methods, reason = "real clocks are measured")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::thread::sched_getaffinity;

use crate::echo::{self, Echo};
use crate::front::Front;
use crate::futures::{Bare, Channels, Futures};
use crate::raw::{Batches, Singles, Unconnected};
use crate::socket::{connected, granted, socket};
use crate::{callers, engine, lateness};

pub(crate) fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, buffer] = arguments.as_slice() {
        match role.as_str() {
            echo::ROLE => return echo::serve(buffer.parse().unwrap()),
            echo::LOSSY_ROLE => return echo::serve_lossy(),
            _ => {}
        }
    }
    let short = arguments.iter().any(|argument| argument == "--test");
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    let all = !PARTS.iter().any(|(part, _)| named(part));
    for (part, measure) in PARTS {
        if all || named(part) {
            measure(short);
        }
    }
}

type Measure = fn(bool);

/// Those that are named as arguments are measured, or all.
const PARTS: [(&str, Measure); 4] =
    [("engine", engine::main), ("lateness", lateness::main), ("callers", callers::main), ("fronts", fronts)];

fn fronts(short: bool) {
    let rounds = if short { 1 } else { ROUNDS };
    println!("`taskset -c 0 cargo bench --features tokio --bench in_flight`: thousands of requests per second of the");
    println!("client's processor and in all, medians of {rounds} rounds; beside sendmmsg: median (quartiles)");
    if sched_getaffinity(None).unwrap().count() > 1 {
        println!("not on one core, so that the client may move to that of the echo: use taskset");
    }
    println!("{:>5} {:>6}  {:<34} {:>7} {:>7}  {:<22} lost", "bytes", "window", "", "per CPU", "in all", "of sendmmsg");
    for (len, charge) in LENGTHS {
        for window in WINDOWS {
            let requests = if short { (2 * window).max(200) } else { requests(window) };
            compare(Load { requests, window, len }, window * charge, rounds);
        }
    }
}

const WINDOWS: [usize; 6] = [1, 16, 64, 256, 1024, 10_000];
/// What is asked, and what the kernel charges to a socket for one such datagram in its queue.
const LENGTHS: [(usize, usize); 2] = [(32, 832), (1200, 2304)];
const ROUNDS: usize = 7;
/// So many rounds may be repeated for their losses.
const REPEATS: usize = 3;

/// Enough for some 0.1 s on a machine of 2023, of which filling the window is a tenth at most.
fn requests(window: usize) -> usize {
    if window == 1 { 3000 } else { (10 * window).max(40_000) }
}

/// One client's end, with its own socket.
pub(crate) trait Variant {
    /// Asks so many requests of so many bytes, as many at once as the window allows. Says how many were answered.
    fn run(&mut self, requests: usize, window: usize, len: usize) -> u64;
}

/// All that alternate; the first is what the others are compared with.
fn variants(server: SocketAddr, buffer: usize, window: usize) -> Vec<(&'static str, Box<dyn Variant>)> {
    let mut all: Vec<(&'static str, Box<dyn Variant>)> = vec![
        ("sendmmsg and recvmmsg", Box::new(Batches::new(connected(server, buffer)))),
        ("send and recv", Box::new(Singles::new(connected(server, buffer)))),
        ("ConcurrentRequester", Box::new(Front::connected(server, buffer))),
        ("sendto and recvfrom, unconnected", Box::new(Unconnected::new(socket(buffer), server))),
        ("ConcurrentRequester, unconnected", Box::new(Front::unconnected(server, buffer))),
        ("AsyncRequester", Box::new(Futures::new(server, buffer))),
        ("tokio, a oneshot channel for each", Box::new(Channels::new(server, buffer))),
    ];
    if window == 1 {
        all.push(("tokio, send and recv", Box::new(Bare::new(server, buffer))));
    }
    all
}

#[derive(Clone, Copy)]
struct Load {
    requests: usize,
    window: usize,
    len: usize,
}

/// What a run took.
#[derive(Clone, Copy)]
struct Run {
    answered: u64,
    lost: u64,
    cpu: Duration,
    time: Duration,
}

impl Run {
    fn of(variant: &mut dyn Variant, load: Load) -> Self {
        let (cpu, start) = (thread_time(), Instant::now());
        let answered = variant.run(load.requests, load.window, load.len);
        let (cpu, time) = (thread_time() - cpu, start.elapsed());
        Self { answered, lost: (load.requests as u64).saturating_sub(answered), cpu, time }
    }

    /// Thousands per second.
    fn per(self, time: Duration) -> f64 {
        self.answered as f64 / time.as_secs_f64() / 1e3
    }
}

/// Prints the lines of one load.
fn compare(load: Load, charge: usize, rounds: usize) {
    let Load { requests, window, len } = load;
    // The kernel takes the charge of what was read off a queue late, when it is a quarter of the buffer.
    let buffer = charge * 4 / 3;
    let echo = Echo::start(buffer);
    let held = echo.held.min(granted(&socket(buffer)));
    if held < buffer {
        println!("{len:>5} {window:>6}  skipped: without root its buffers hold {held} bytes of the {buffer} needed");
        return;
    }
    let mut variants = variants(echo.address, buffer, window);
    let (mut runs, mut repeats) = (Vec::new(), 0);
    while runs.len() < rounds {
        let round = round(&mut variants, load, runs.len() + repeats);
        let lossy = |run: &Run| is_lossy(run.lost, requests);
        let Some(at) = round.iter().position(lossy).filter(|_| repeats < REPEATS) else {
            runs.push(round);
            continue;
        };
        repeats += 1;
        let lost = 100.0 * round[at].lost as f64 / requests as f64;
        println!("{len:>5} {window:>6}  {:<34} lost {lost:.1} %: this round is repeated", variants[at].0);
    }
    for (at, (name, _)) in variants.iter().enumerate() {
        let of = |figure: &dyn Fn(&Vec<Run>) -> f64| quartiles(runs.iter().map(figure).collect());
        let [_, per_cpu, _] = of(&|round| round[at].per(round[at].cpu));
        let [_, in_all, _] = of(&|round| round[at].per(round[at].time));
        let [low, ratio, high] = of(&|round| round[at].per(round[at].cpu) / round[0].per(round[0].cpu));
        let lost = runs.iter().map(|round| round[at].lost).sum();
        let verdict = if is_lossy(lost, requests * runs.len()) { ", too many to compare" } else { "" };
        let ratio = format!("{ratio:.3} ({low:.3}..{high:.3})");
        println!("{len:>5} {window:>6}  {name:<34} {per_cpu:>7.1} {in_all:>7.1}  {ratio:<22} {lost}{verdict}");
    }
}

/// More than one in a hundred.
fn is_lossy(lost: u64, requests: usize) -> bool {
    lost * 100 > requests as u64
}

/// All of them once, another one first in each round.
fn round(variants: &mut [(&str, Box<dyn Variant>)], load: Load, number: usize) -> Vec<Run> {
    let mut runs = vec![None; variants.len()];
    for turn in 0..variants.len() {
        let at = (turn + number) % variants.len();
        runs[at] = Some(Run::of(&mut *variants[at].1, load));
    }
    runs.into_iter().flatten().collect()
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// Processor time of this thread, user and system.
fn thread_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
