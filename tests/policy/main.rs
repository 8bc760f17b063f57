//! When to send again and when to stop: backoff, presets, the estimator and the budget, against exact models.

mod backoff_properties;
mod budget;
mod estimator;
mod exact;
mod generators;
mod law;
mod policy_construction;
mod schedules;
mod shared_estimator;
mod statistics;
mod text;
#[path = "../common/unmixed.rs"]
mod unmixed;
#[path = "../common/watchdog.rs"]
mod watchdog;
