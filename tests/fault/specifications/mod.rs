//! Impairments and scripts as text: what each clause means, what is refused and where, and that nothing is lost on
//! the way to text and back.
//!
//! `UDP_RETRY_CASES` sets the cases of each random property; the default is 256.

mod anything;
mod meaning;
mod refusals;
mod round_trips;

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::SpecError;
use udp_retry::{Impairments, Probability};

fn points_into(text: &str, error: &SpecError) -> Result<(), TestCaseError> {
    let chars = text.chars().count();
    match error {
        SpecError::Unexpected { position, expected, found } => {
            prop_assert!((1..=chars + 1).contains(position), "{text:?}: {error}");
            let rest: String = text.chars().skip(position - 1).collect();
            prop_assert!(rest.starts_with(found), "{text:?}: {error}");
            prop_assert_eq!(found.is_empty(), rest.is_empty(), "{:?}: {}", text, error);
            prop_assert!(!expected.is_empty());
        }
        SpecError::NotATrace { position, .. } | SpecError::Unreadable { position, .. } => {
            prop_assert!((1..=chars).contains(position), "{text:?}: {error}");
        }
        SpecError::Infeasible { position, .. } => prop_assert!((1..=chars).contains(position), "{text:?}: {error}"),
        _ => prop_assert!(false, "{error}"),
    }
    Ok(())
}

#[track_caller]
fn parsed(text: &str) -> Impairments {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn percent(n: u64) -> Probability {
    Probability::ratio(n, 100).unwrap()
}

fn ns(n: u64) -> Duration {
    Duration::from_nanos(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
