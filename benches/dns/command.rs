//! What the program is asked to do.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::client::{Tally, ask};
use crate::message::query;
use crate::responder::Responder;

/// A DNS client with many queries in flight; without a server, it asks a responder in this process
#[derive(Parser)]
struct Arguments {
    /// Whom to ask
    #[arg(long, value_name = "ADDRESS", requires = "file")]
    server: Option<SocketAddr>,
    /// Queries that have not ended, at most
    #[arg(long, default_value_t = 64)]
    window: u64,
    /// Queries in all
    #[arg(long, default_value_t = 1000)]
    queries: u64,
    /// Lines such as "www.example.org A"; asked from the first to the last, and again
    #[arg(requires = "server")]
    file: Option<PathBuf>,
    /// Cargo's
    #[arg(long, hide = true)]
    bench: bool,
    /// Cargo's
    #[arg(long, hide = true)]
    test: bool,
}

pub(crate) fn main() {
    let Arguments { server, window, queries, file, .. } = Arguments::parse();
    let (Some(server), Some(file)) = (server, file) else { return ask_responder() };
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let asked: Vec<_> = text.lines().map(|line| query(line.strip_suffix(" A").expect(line))).collect();
    let tally = ask(server, &asked, queries, window);
    println!("{tally}");
    assert_eq!(tally.wrong, 0, "answers to other questions, or without a record");
}

/// One short round of each window: forgeries are refused, and what is left unanswered is asked again.
fn ask_responder() {
    println!("beside dnsperf: benches/dns.sh; here against a responder in this process, which holds some answers back");
    let asked: Vec<_> = (0..NAMES).map(|n| query(&format!("host{n}.dns.test"))).collect();
    for window in WINDOWS {
        let responder = Responder::start();
        let tally = ask(responder.address, &asked, QUERIES, window);
        println!("window {window} {tally}");
        let Tally { answered, lost, wrong, retransmissions, foreign, .. } = tally;
        assert_eq!((answered, lost, wrong), (QUERIES, 0, 0));
        let (forged, withheld) = responder.stop();
        assert!(forged >= QUERIES / 10 && withheld >= 1, "{forged} forged, {withheld} withheld");
        // A machine that stalls adds copies of what was answered already, and of answers to them.
        let added = retransmissions.checked_sub(withheld).expect("what was withheld was asked again");
        assert!(added <= QUERIES / 10 && foreign.abs_diff(forged) <= added, "{foreign} of {forged} forged refused");
    }
}

/// Those of `dns.sh`.
const WINDOWS: [u64; 4] = [1, 16, 100, 1000];
const QUERIES: u64 = 2000;
const NAMES: u32 = 300;
