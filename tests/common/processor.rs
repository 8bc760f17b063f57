//! What a wait spends of the processor. A host may charge a thread for interrupts, or for time that the host itself took:
//! that passes, while a wait that spins does so in every try.

use std::fmt::Debug;
use std::ops::RangeBounds;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Makes a try up to three times, until one spends what is allowed. Each makes its wait anew and returns what that spent;
/// whatever else it asserts holds in all of them.
#[track_caller]
pub(crate) fn spends<T>(
    allowed: impl RangeBounds<Duration> + Debug,
    what: &str,
    mut a_try: impl FnMut() -> (T, Duration),
) -> T {
    undisturbed(what, || {
        let (outcome, spent) = a_try();
        at_most(&allowed, spent).map(|()| outcome)
    })
}

/// Makes a try up to three times, until one says that the machine has not disturbed it.
#[track_caller]
pub(crate) fn undisturbed<T>(what: &str, mut a_try: impl FnMut() -> Result<T, String>) -> T {
    let mut disturbed = Vec::new();
    while disturbed.len() < MOST_TRIES {
        match a_try() {
            Ok(outcome) => return outcome,
            Err(why) => {
                println!("{what}: {why}");
                disturbed.push(why);
            }
        }
    }
    panic!("{what}: each of its tries failed: {disturbed:?}");
}

/// Whether a try has spent what is allowed.
pub(crate) fn at_most(allowed: &(impl RangeBounds<Duration> + Debug), spent: Duration) -> Result<(), String> {
    let says = format!("{spent:?} of processor time, allowed are {allowed:?}");
    allowed.contains(&spent).then_some(()).ok_or(says)
}

/// What it returns, and what the calling thread has used for it.
pub(crate) fn spent<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = thread_time();
    let outcome = work();
    (outcome, thread_time() - before)
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

const MOST_TRIES: usize = 3;
