use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::any::type_name_of_val;
use core::iter;

use super::counterexample::{Counterexample, Origin};
use super::panics::Listening;
use super::run::{Name, Run, Scenario};
use super::search::{Failing, Search};
use super::variables::Variables;
use crate::entropy::Seed;
use crate::sim::plan::Plan;
use crate::sim::{Choice, SimNet};

/// Runs a scenario once for every sequence of choices over its first `datagrams` datagrams, in the order in which they
/// are sent, by any host. Later datagrams meet what their path does. A path's [`Dose`](crate::fault::Dose) holds for
/// choices too: one that would exceed it delivers the datagram unharmed. Returns the number of runs.
///
/// ```
/// use udp_retry::fault::Profile;
/// use udp_retry::sim::{Choice, SimNet, echo, exhaust};
/// use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};
///
/// fn two_losses_are_survived(net: &SimNet) -> Result<(), Box<dyn std::error::Error>> {
///     let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
///     net.path(client, server, Profile::both("delay 20ms".parse()?))?;
///     net.serve("10.0.0.2:1060".parse()?, echo())?;
///     let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
///     let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
///     requester.request(&[7, b'?'])?;
///     Ok(())
/// }
///
/// assert_eq!(exhaust(2, &[Choice::Deliver, Choice::Drop], two_losses_are_survived)?, 4);
/// # Ok::<(), udp_retry::sim::Counterexample>(())
/// ```
///
/// With `UDP_RETRY_CHOICES="drop late(115ms)"` in the environment, which a failure names, only that sequence is run.
/// For what counts as a failure and `UDP_RETRY_SHRINK` see [`explore`](super::explore); times stay as they were chosen.
///
/// # Errors
///
/// The first failure; also if there are more than 2³² sequences or 65,536 datagrams, with the nearest number of
/// datagrams that is feasible, or if a variable cannot be read.
pub fn exhaust<E: ToString>(
    datagrams: u32,
    choices: &[Choice],
    scenario: impl Fn(&SimNet) -> Result<(), E>,
) -> Result<u64, Counterexample> {
    let name = Name::plain(type_name_of_val(&scenario));
    let run = |net: &SimNet| scenario(net).map_err(|error| error.to_string());
    exhausted(datagrams, choices, &Scenario { name, run: &run })
}

fn exhausted(datagrams: u32, choices: &[Choice], scenario: &Scenario<'_>) -> Result<u64, Counterexample> {
    let read = || {
        let variables = Variables::of_process()?;
        Ok((variables.choices()?, variables.shrink()?))
    };
    let (asked, shrink_for) = read().map_err(Counterexample::not_run)?;
    let datagrams = feasible(datagrams, choices.len()).map_err(Counterexample::not_run)?;
    let _listening = Listening::start();
    let try_one = |chosen: Vec<Choice>| {
        let plan = Plan::Choices(chosen.clone());
        let ended = Run::by(plan.clone()).make(SEED, scenario);
        let Some(error) = ended.failure else { return Ok(()) };
        let failing = Failing { seed: SEED, plan, error, trace_hash: ended.trace_hash };
        let search = Search { scenario, shrink_for, origin: Origin::Exhausted { choices: chosen } };
        Err(search.explain(failing, iter::empty()))
    };
    if let Some(asked) = asked {
        return try_one(asked).map(|()| 1);
    }
    let mut digits = vec![0; datagrams];
    let mut runs = 0;
    loop {
        try_one(digits.iter().filter_map(|&digit: &usize| choices.get(digit).copied()).collect())?;
        runs += 1;
        // The next number, in the base of the choices, the lowest digit first.
        let Some(raised) = digits.iter().position(|digit| digit + 1 < choices.len()) else { return Ok(runs) };
        for (n, digit) in digits.iter_mut().enumerate().take(raised + 1) {
            *digit = if n < raised { 0 } else { *digit + 1 };
        }
    }
}

/// The number of datagrams, if so many can be tried with so many choices each.
fn feasible(datagrams: u32, choices: usize) -> Result<usize, String> {
    let most = match choices {
        0 | 1 => MOST_DATAGRAMS,
        _ => MOST_RUNS.ilog(choices as u64),
    };
    if datagrams > most {
        return Err(format!(
            "exhaust of {datagrams} datagrams with {choices} choices each: the nearest feasible is {most} datagrams"
        ));
    }
    Ok(datagrams as usize)
}

/// What the links draw from.
const SEED: Seed = Seed::new(0);
/// At 10,000 runs a second, five days.
const MOST_RUNS: u64 = 1 << 32;
/// With one choice there is one run, and the choices themselves take memory.
const MOST_DATAGRAMS: u32 = 1 << 16;
