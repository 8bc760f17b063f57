//! Events as a test can write them down: their own variants are open to further fields.

use std::time::Duration;

use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Event, Failure, Stray, Timeline};
use udp_retry::transport::{PathError, PathIndex};

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Seen {
    Transmitted(u32),
    NotTransmitted(PathError),
    Withheld,
    PathError(PathError),
    Stray(Stray, u32),
    Provisional,
    Replied,
    Clipped(Duration),
    Failed(Failure),
    /// A request of so many bytes, and what would fit.
    TooLarge(u32, Option<Plpmtu>),
    /// What of a reply fitted, and its bytes.
    Truncated(u32, u32),
}

impl From<Event> for Seen {
    fn from(event: Event) -> Self {
        let on = |path| assert_eq!(path, PathIndex::FIRST, "a client has one path");
        match event {
            Event::Transmitted { path, number, .. } => {
                on(path);
                Self::Transmitted(number)
            }
            Event::NotTransmitted { path, error, .. } => {
                on(path);
                Self::NotTransmitted(error)
            }
            Event::Withheld => Self::Withheld,
            Event::PathError { path, error, .. } => {
                path.into_iter().for_each(on);
                Self::PathError(error)
            }
            Event::Stray { path, kind, len, .. } => {
                on(path);
                Self::Stray(kind, len)
            }
            Event::Provisional { path, .. } => {
                on(path);
                Self::Provisional
            }
            Event::Replied { path, .. } => {
                on(path);
                Self::Replied
            }
            Event::Clipped { by, .. } => Self::Clipped(by),
            Event::Failed(Failure::TooLarge { len, limit, .. }) => Self::TooLarge(len, limit),
            Event::Failed(Failure::Truncated { received, actual, .. }) => Self::Truncated(received, actual),
            Event::Failed(failure) => Self::Failed(failure),
            unknown => panic!("{unknown}"),
        }
    }
}

/// What a timeline holds.
pub(crate) fn seen(timeline: &Timeline) -> Vec<(Duration, Seen)> {
    timeline.events().map(|(at, event)| (at, event.into())).collect()
}
