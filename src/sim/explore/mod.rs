//! Looking for a run that fails, and for why it does.
//!
//! | file | holds |
//! |---|---|
//! | here | a run for each seed, until one fails |
//! | `exhaust` | a run for each sequence of choices |
//! | `replay` | one run with certain faults, and the test that makes it |
//! | `determinism` | whether two runs are the same |
//! | `search` | from a run that failed to the few faults that are enough |
//! | `shrink` | fewer faults, and rounder |
//! | `counterexample` | what is reported |
//! | `run`, `panics`, `record`, `budget` | one run: how it is made, how it panics, what is kept of it, how long it may take |
//! | `variables` | what the environment asks for |

mod budget;
mod counterexample;
mod determinism;
mod exhaust;
mod panics;
mod record;
mod replay;
mod run;
mod search;
mod shrink;
mod variables;
mod with_tasks;

use alloc::string::ToString;
use core::any::type_name_of_val;
use core::ops::Range;

pub(super) use self::budget::Budget;
pub use self::counterexample::Counterexample;
pub use self::determinism::{Divergence, check_determinism};
pub use self::exhaust::exhaust;
pub use self::replay::replay;
pub use self::with_tasks::{explore_async, with_tasks};

use self::counterexample::Origin;
use self::panics::Listening;
use self::run::{Name, Run, Scenario};
use self::search::{Failing, Search};
use self::variables::Variables;
use crate::entropy::Seed;
use crate::sim::SimNet;
use crate::sim::plan::Plan;

/// Runs a scenario once for each seed, each time in a network of its own, until one fails. Returns the number of runs.
///
/// A scenario fails by what it returns, by a panic, or by having no end: see [`Limits`](super::Limits). The
/// [`Counterexample`] has the seed and how to repeat it, the few faults that are enough for it (those that are left when
/// every fault is taken away without which it fails as well, with delays in round numbers), the datagrams that they
/// met, what happened then, and a test to paste that fails in the same way.
///
/// ```should_panic
/// use udp_retry::fault::Profile;
/// use udp_retry::sim::{SimNet, echo, explore};
/// use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};
///
/// fn needs_no_retransmission(net: &SimNet) -> Result<(), Box<dyn std::error::Error>> {
///     let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
///     net.path(client, server, Profile::both("loss 30%; delay 20ms ~5ms".parse()?))?;
///     net.serve("10.0.0.2:1060".parse()?, echo())?;
///     let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
///     let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
///     let reply = requester.request(&[7, b'?'])?;
///     assert_eq!(reply.transmissions(), 1);
///     Ok(())
/// }
///
/// // Panics, as one lost datagram is enough: `path 0, to_server: "drop 1"`.
/// explore(0..1_000, needs_no_retransmission).unwrap_or_else(|failure| panic!("{failure}"));
/// ```
///
/// What else is random in a scenario should follow from [`SimNet::seed`]. A requester that was given no seed has one that
/// does, as its transport's entropy does. A scenario whose run differs from run to run is reported as such.
///
/// | variable | effect |
/// |---|---|
/// | `UDP_RETRY_SEED=49` | only this seed is run, in decimal or hexadecimal (`0x31`) |
/// | `UDP_RETRY_SEEDS=5000` | this many are, from the first one asked for; `100..200`: these |
/// | `UDP_RETRY_SHRINK=10s` | how long a failure may be shrunk, 3 s by default; `0s`: not at all |
///
/// The seed is written to the standard error before a failure is shrunk. That takes the time of two runs, of at most
/// 4,000 more within the 3 s, and, if it left more than one fault, of up to 100 of the next seeds within 1 s more: the
/// failure with the fewest faults is reported. Of a failing run some 20 MB are kept at most, whatever its length: the
/// first 100,000 faults, and the first and last events. Panics are printed in the run that fails first, not while a
/// failure is shrunk; for the time of the search the process has a panic hook that passes on those of other threads.
///
/// # Errors
///
/// The failure; also if there is no seed to run, or a variable cannot be read.
pub fn explore<E: ToString>(
    seeds: Range<u64>,
    scenario: impl Fn(&SimNet) -> Result<(), E>,
) -> Result<u64, Counterexample> {
    let name = Name::plain(type_name_of_val(&scenario));
    let run = |net: &SimNet| scenario(net).map_err(|error| error.to_string());
    explored(&seeds, &Scenario { name, run: &run })
}

fn explored(seeds: &Range<u64>, scenario: &Scenario<'_>) -> Result<u64, Counterexample> {
    let read = || {
        let variables = Variables::of_process()?;
        Ok((variables.seeds(seeds)?, variables.shrink()?))
    };
    let (seeds, shrink_for) = read().map_err(Counterexample::not_run)?;
    let _listening = Listening::start();
    let mut runs = 0_u64;
    let mut rest = seeds.map(Seed::new);
    while let Some(seed) = rest.next() {
        let ended = Run::by_chance().make(seed, scenario);
        if let Some(error) = ended.failure {
            let failing = Failing { seed, plan: Plan::Chance, error, trace_hash: ended.trace_hash };
            let search = Search { scenario, shrink_for, origin: Origin::Explored };
            return Err(search.explain(failing, rest));
        }
        runs = runs.saturating_add(1);
    }
    Ok(runs)
}
