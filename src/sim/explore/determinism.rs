use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use crate::entropy::Seed;
use crate::sim::observer::{Observer, Seen};
use crate::sim::plan::Plan;
use crate::sim::world::Guard;
use crate::sim::{Limits, SimEvent, SimNet};

/// Runs a scenario twice and compares everything that happens, event by event. Returns the digest of the run.
///
/// The first 100,000 events are kept, some 30 MB; of later ones the digests are compared, so that a difference is found
/// and its event is not.
///
/// ```
/// use udp_retry::Seed;
/// use udp_retry::sim::{check_determinism, echo};
/// use udp_retry::transport::{PathIndex, Transport};
///
/// let digest = check_determinism(Seed::new(1), |net| {
///     let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
///     net.host("10.0.0.2".parse().unwrap()).unwrap();
///     net.serve("10.0.0.2:7".parse().unwrap(), echo()).unwrap();
///     net.connect(client, "10.0.0.2:7".parse().unwrap()).unwrap().send(PathIndex::FIRST, b"always this").unwrap();
/// })?;
/// # let _ = digest;
/// # Ok::<(), Box<udp_retry::sim::Divergence>>(())
/// ```
///
/// # Errors
///
/// The first event in which the runs differ.
pub fn check_determinism<R>(seed: Seed, scenario: impl Fn(&SimNet) -> R) -> Result<u64, Box<Divergence>> {
    let run = |observer: Rc<RefCell<Comparison>>| {
        let guard = Guard::new(Limits::default(), None);
        let net = SimNet::planned(seed, Plan::Chance, guard, Some(observer));
        let _ = scenario(&net);
        net.trace_hash()
    };
    let first = Comparison::first();
    let one = run(first.clone());
    let second = Comparison::second(&first);
    let other = run(second.clone());
    let divergence = second.borrow().divergence(one == other);
    divergence.map_or(Ok(one), |divergence| Err(Box::new(divergence)))
}

/// Where two runs of one scenario differ.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Divergence {
    /// The number of the event, from 0.
    pub event: usize,
    /// What happened in the first run; `None` if nothing more did, or if no more was kept.
    pub first: Option<SimEvent>,
    /// What happened in the second.
    pub second: Option<SimEvent>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |event: &Option<SimEvent>| event.map_or_else(|| "nothing more".to_string(), |event| format!("{event}"));
        let Self { event, first, second } = self;
        if first.is_none() && second.is_none() {
            return write!(f, "two runs differ after event {event}; no more was kept of them");
        }
        write!(f, "two runs differ at event {event}:\n  {}\n  {}", shown(first), shown(second))
    }
}

impl core::error::Error for Divergence {}

/// The events of a run, held against those of the run before if there was one.
pub(super) struct Comparison {
    before: Option<Rc<RefCell<Self>>>,
    kept: Vec<SimEvent>,
    events: usize,
    /// The first event that is not as in the run before.
    differs: Option<(usize, SimEvent)>,
}

impl Comparison {
    pub(super) fn first() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { before: None, kept: Vec::new(), events: 0, differs: None }))
    }

    pub(super) fn second(before: &Rc<RefCell<Self>>) -> Rc<RefCell<Self>> {
        let before = Some(before.clone());
        Rc::new(RefCell::new(Self { before, kept: Vec::new(), events: 0, differs: None }))
    }

    /// Where the runs differ, if they do.
    pub(super) fn divergence(&self, alike: bool) -> Option<Divergence> {
        let before = self.before.as_ref()?.borrow();
        if let Some((event, second)) = self.differs {
            return Some(Divergence { event, first: before.kept.get(event).copied(), second: Some(second) });
        }
        let event = self.events.min(MOST_EVENTS);
        if self.events < before.events || !alike {
            return Some(Divergence { event, first: before.kept.get(event).copied(), second: None });
        }
        None
    }
}

impl Observer for Comparison {
    fn on_event(&mut self, seen: &Seen) {
        let number = self.events;
        self.events += 1;
        let Some(before) = &self.before else {
            if self.kept.len() < MOST_EVENTS {
                self.kept.push(seen.event);
            }
            return;
        };
        let before = before.borrow();
        let same = match before.kept.get(number) {
            Some(kept) => *kept == seen.event,
            // Not kept, or not there.
            None => number < before.events,
        };
        if !same && self.differs.is_none() {
            self.differs = Some((number, seen.event));
        }
    }
}

const MOST_EVENTS: usize = 100_000;
