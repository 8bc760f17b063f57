use alloc::string::{String, ToString};
use core::any::type_name_of_val;
use core::future::Future;
use core::ops::Range;

use super::counterexample::Counterexample;
use super::explored;
use super::run::{Name, Scenario};
use crate::sim::{SimNet, SimTasks};

/// As [`explore`](super::explore), with asynchronous code: the scenario is a future, which [`SimNet::block_on`] runs, and has a
/// handle to spawn others.
///
/// ```
/// use core::error::Error;
/// use udp_retry::fault::Profile;
/// use udp_retry::sim::{SimNet, SimTasks, echo, explore_async};
/// use udp_retry::{AsyncRequester, RetryPolicy, transaction_id};
///
/// async fn asks_three_times_at_once(net: SimNet, tasks: SimTasks) -> Result<(), Box<dyn Error>> {
///     let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
///     net.path(client, server, Profile::both("loss 30%; delay 20ms ~5ms".parse()?))?;
///     net.serve("10.0.0.2:1060".parse()?, echo())?;
///     let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
///     let builder = AsyncRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
///     let requester = builder.over_simulated(&tasks, transport)?;
///     let asked: Vec<_> = (0..3)
///         .map(|id| {
///             let requester = requester.clone();
///             tasks.spawn(async move { requester.request(&[id, b'?']).await })
///         })
///         .collect();
///     for (id, asked) in (0..).zip(asked) {
///         match asked.await {
///             Ok(reply) => assert_eq!(reply.payload(), [id, b'?']),
///             Err(error) => assert_eq!(error.transmissions(), 5, "{error}"),
///         }
///     }
///     Ok(())
/// }
///
/// explore_async(0..1_000, asks_three_times_at_once).unwrap_or_else(|failure| panic!("{failure}"));
/// ```
///
/// # Errors
///
/// As [`explore`](super::explore); also if the scenario is [stuck](crate::sim::SimError::Stuck).
pub fn explore_async<E: ToString, F: Future<Output = Result<(), E>>>(
    seeds: Range<u64>,
    scenario: impl Fn(SimNet, SimTasks) -> F,
) -> Result<u64, Counterexample> {
    let name = Name { of: type_name_of_val(&scenario), with_tasks: true };
    explored(&seeds, &Scenario { name, run: &with_tasks(scenario) })
}

/// Makes a scenario of asynchronous code, for [`exhaust`](super::exhaust), [`replay`](super::replay) and
/// [`check_determinism`](super::check_determinism).
///
/// ```
/// # use udp_retry::sim::{SimNet, SimTasks, replay, with_tasks};
/// async fn sleeps(net: SimNet, tasks: SimTasks) -> Result<(), String> {
///     tasks.sleep(core::time::Duration::from_secs(1)).await;
///     (net.now() == tasks.now()).then_some(()).ok_or("it is not the same time".into())
/// }
///
/// replay(49, &[], with_tasks(sleeps))?;
/// # Ok::<(), udp_retry::sim::Counterexample>(())
/// ```
pub fn with_tasks<E: ToString, F: Future<Output = Result<(), E>>>(
    scenario: impl Fn(SimNet, SimTasks) -> F,
) -> impl Fn(&SimNet) -> Result<(), String> {
    move |net| match net.block_on(|tasks| scenario(net.clone(), tasks)) {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(stuck) => Err(stuck.to_string()),
    }
}
