//! One adapter per library.

mod backoff;
mod backon;
mod exponential_backoff;
mod retry_policies;
mod tokio_retry2;
mod tower;
mod tower_resilience;
mod udp_retry;

use crate::library::Library;

pub const ALL: [&dyn Library; 8] = [
    &udp_retry::UdpRetry,
    &backon::Backon,
    &backoff::Backoff,
    &exponential_backoff::ExponentialBackoff,
    &tokio_retry2::TokioRetry2,
    &retry_policies::RetryPolicies,
    &tower::Tower,
    &tower_resilience::TowerResilience,
];
