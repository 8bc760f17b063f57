//! The client that is measured.
#![expect(clippy::disallowed_methods, reason = "real clocks are measured")]

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use udp_retry::net::ConnectedUdp;
use udp_retry::transaction::Limits;
use udp_retry::{ConcurrentRequester, RetryPolicy, transaction_id};

use crate::message::{has_answer, is_response};

/// Asks this many queries, the given ones over and over, as many at once as the window says.
///
/// At most 64 of them are on the wire, as `Limits` have it by default: with a larger window the others wait inside the
/// requester, so that neither the server's receive buffer nor ours overflows.
pub(crate) fn ask(server: SocketAddr, asked: &[Vec<u8>], queries: u64, window: u64) -> Tally {
    let (cpu, start) = (thread_time(), Instant::now());
    let mut requester = ConcurrentRequester::builder(transaction_id(0..2).stamped().confirmed_by(is_response))
        .policy(RetryPolicy::LAN.with_max_transmissions(TRANSMISSIONS).unwrap())
        .limits(Limits::default().rest(CLEAN_REST, OTHER_REST))
        .over(ConnectedUdp::connect(server).unwrap())
        .unwrap();
    let (mut tally, mut submitted, mut at) = (Tally::default(), 0, 0);
    let mut submit = |requester: &mut ConcurrentRequester<ConnectedUdp>| {
        if submitted < queries {
            requester.submit(&*asked[at], at as u64).expect("the limits allow as many");
            submitted += 1;
            at = (at + 1) % asked.len();
        }
    };
    for _ in 0..window {
        submit(&mut requester);
    }
    assert_eq!(requester.in_flight() as u64, window.min(queries), "the window is not full");
    while let Some(done) = requester.wait() {
        tally.retransmissions += u64::from(done.transmissions() - 1);
        let query = &asked[usize::try_from(done.token()).unwrap()];
        match done.reply() {
            Ok(reply) if has_answer(query, reply) => tally.answered += 1,
            Ok(_) => tally.wrong += 1,
            Err(_) => tally.lost += 1,
        }
        submit(&mut requester);
    }
    tally.foreign = requester.strays().foreign.into();
    (tally.cpu, tally.time) = (thread_time() - cpu, start.elapsed());
    tally
}

/// What became of the queries, and what they took.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// The answer is to another question, or has no record.
    pub(crate) wrong: u64,
    pub(crate) retransmissions: u64,
    /// Datagrams that the matcher refused.
    pub(crate) foreign: u64,
    /// Of this thread, user and system.
    cpu: Duration,
    time: Duration,
}

/// Names and figures, for a script to read.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, lost, wrong, retransmissions, foreign, cpu, time } = self;
        let per = |time: &Duration| *answered as f64 / time.as_secs_f64();
        let (per_cpu, rate) = (per(cpu), per(time));
        write!(
            f,
            "answered {answered} lost {lost} wrong {wrong} retransmissions {retransmissions} foreign {foreign} "
        )?;
        write!(f, "per-cpu-second {per_cpu:.0} per-second {rate:.0}")
    }
}

/// Processor time of this thread, user and system.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

const TRANSMISSIONS: u32 = 5;
/// There are 65,536 ids, so that the default of one second would allow no more queries than this in a second. This rest
/// allows 3 million, which is beyond what a socket carries; and no copy stays on the loopback path for longer.
const CLEAN_REST: Duration = Duration::from_millis(20);
/// After a retransmission, of which there are few.
const OTHER_REST: Duration = Duration::from_secs(1);
