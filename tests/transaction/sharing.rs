//! One estimator, several requesters.

use udp_retry::policy::RttEstimator;
use udp_retry::time::Timestamp;
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use crate::scripted::{Scripted, ms};

#[test]
fn requesters_that_share_one_measure_for_each_other() {
    let rtt = RttEstimator::new(ms(200), ms(50), ms(60_000)).unwrap();
    let builder = || ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).estimator(rtt.clone());
    let mut measured = builder().over(Scripted::echo(ms(20))).unwrap();
    measured.request(b"ping").unwrap();
    let mut silent = builder().over(Scripted::silent()).unwrap();
    let error = silent.request(b"ping").unwrap_err();
    assert_eq!(error.timeline().transmissions().nth(1), Some(ms(60)), "20 + 4 * 10 ms");
    // The other one waits as long as this one found necessary.
    assert_eq!(rtt.rto(NOW), measured.estimator().unwrap().rto(NOW));
    assert!(rtt.rto(NOW) > ms(1000));
}

/// Soon after: what was learnt is fresh.
const NOW: Timestamp = Timestamp::ZERO;
