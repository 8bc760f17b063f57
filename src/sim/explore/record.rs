use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use crate::sim::observer::{Observer, Seen};
use crate::sim::plan::faults_of;
use crate::sim::{Fault, Happened, SimEvent};

/// What is kept of a run that failed: no more than a search and its report need, and no more than some 20 MB.
#[derive(Default, Debug)]
pub(super) struct Record {
    pub(super) faults: Vec<Fault>,
    /// Whether there were more of them.
    pub(super) more_faults: bool,
    /// The datagrams of which the plan of the run says what happens to them, as they were sent.
    pub(super) met: Vec<SimEvent>,
    pub(super) log: Log,
}

impl Record {
    pub(super) fn new() -> Rc<RefCell<Self>> {
        Rc::default()
    }
}

impl Observer for Record {
    fn on_event(&mut self, seen: &Seen) {
        let Seen { event, least_delay, planned } = seen;
        self.log.add(event);
        let (Happened::Sent { path, direction, n, fate }
        | Happened::RefusalSent { path, direction, n, fate }
        | Happened::ReportSent { path, direction, n, fate }) = event.what
        else {
            return;
        };
        if matches!(event.what, Happened::ReportSent { .. }) && !self.more_faults {
            // The datagram before it is too large for the path, whatever else happens.
            self.faults.pop();
        }
        if *planned && self.met.len() < MOST_MET {
            self.met.push(*event);
        }
        faults_of(&fate, event.at, event.len, *least_delay, |rule| {
            if self.faults.len() < MOST_FAULTS {
                self.faults.push(Fault { path, direction, n, rule });
            } else {
                self.more_faults = true;
            }
        });
    }
}

/// The first events of a run, and the last.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Log {
    first: Vec<SimEvent>,
    last: VecDeque<SimEvent>,
    left_out: u64,
}

impl Log {
    fn add(&mut self, event: &SimEvent) {
        if self.first.len() < FIRST_EVENTS {
            self.first.push(*event);
            return;
        }
        if self.last.len() == LAST_EVENTS {
            self.last.pop_front();
            self.left_out += 1;
        }
        self.last.push_back(*event);
    }
}

/// An event a line, four spaces in.
impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.iter().try_for_each(|event| writeln!(f, "    {event}"))?;
        if self.left_out > 0 {
            writeln!(f, "    {:>12}     {} events more", "...", self.left_out)?;
        }
        self.last.iter().try_for_each(|event| writeln!(f, "    {event}"))
    }
}

/// Some 5 MB. A failure that takes more faults than this is none that a reader could follow.
const MOST_FAULTS: usize = 100_000;
const MOST_MET: usize = 64;
const FIRST_EVENTS: usize = 40;
const LAST_EVENTS: usize = 20;
