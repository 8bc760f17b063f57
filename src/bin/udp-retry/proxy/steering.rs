//! What commands do to one listener, between two of its turns.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use serde_json::{Value, json};
use udp_retry::Impairments;
use udp_retry::fault::{Direction, LinkStats, Outage, Profile};

use super::metrics::Metrics;
use super::report::report;
use super::running::Running;

/// What one listener is to do.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Order {
    /// In these directions, from now on.
    Set(Vec<Direction>, Box<Impairments>),
    /// Nothing passes for this time; `None` ends the outage that there is.
    Outage(Option<Duration>),
    /// Everything that is in flight leaves.
    Release(Vec<Direction>),
    /// The report, as it would be now.
    Stats,
    /// The counters.
    Metrics,
    /// Where it is.
    Describe,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Obeyed,
    Told(Value),
    Counted(Box<Metrics>),
}

type Answer = Result<Done, String>;

struct Job {
    order: Order,
    answer: Sender<Answer>,
}

/// Sends orders to a listener, from any thread.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) name: String,
    jobs: Sender<Job>,
}

impl Handle {
    /// Has it done with the end of the turn; the answer comes through what is returned.
    pub(super) fn order(&self, order: Order) -> Receiver<Answer> {
        let (answer, answered) = mpsc::channel();
        // If it has ended, so has the other end of the answer.
        let _ = self.jobs.send(Job { order, answer });
        answered
    }

    pub(super) fn answer(answered: &Receiver<Answer>) -> Answer {
        answered.recv_timeout(PATIENCE).unwrap_or_else(|error| match error {
            RecvTimeoutError::Disconnected => Err("the proxy is ending".to_owned()),
            RecvTimeoutError::Timeout => Err(format!("no answer within {PATIENCE:?}")),
        })
    }
}

/// What was set beside the command line, and how often.
pub(super) struct Steering {
    jobs: Receiver<Job>,
    to_jobs: Sender<Job>,
    /// What holds but for an outage that was ordered.
    set: Profile,
    /// That outage, in times of the listener.
    outage: Option<Outage>,
    pub(super) changes: u64,
    /// When the settings changed for the last time, after the start.
    pub(super) changed: Option<Duration>,
    /// What had been counted by then, to the server and to the client.
    pub(super) before: [LinkStats; 2],
}

impl Steering {
    pub(super) fn new(set: Profile) -> Self {
        let (to_jobs, jobs) = mpsc::channel();
        Self { jobs, to_jobs, set, outage: None, changes: 0, changed: None, before: [LinkStats::NONE; 2] }
    }

    pub(super) fn handle(&self, name: &str) -> Handle {
        Handle { name: name.to_owned(), jobs: self.to_jobs.clone() }
    }
}

impl Running<'_> {
    /// Does what was ordered, and ends an outage that is over.
    pub(super) fn obey(&mut self) {
        if self.steering.outage.is_some_and(|outage| self.started.elapsed() >= outage.from() + outage.lasting()) {
            // It has ended by itself; now nothing speaks of it any more.
            self.steering.outage = None;
            self.settle();
        }
        while let Ok(Job { order, answer }) = self.steering.jobs.try_recv() {
            // Whoever asked may be gone.
            let _ = answer.send(self.carry_out(order));
        }
    }

    fn carry_out(&mut self, order: Order) -> Answer {
        match order {
            Order::Set(directions, impairments) => {
                self.check_free()?;
                let mut set = self.steering.set.clone();
                for direction in directions {
                    *set.direction_mut(direction) = (*impairments).clone();
                }
                with(&set, self.steering.outage)?;
                self.steering.set = set;
                self.settle();
            }
            Order::Outage(lasting) => {
                self.check_free()?;
                let outage = lasting.map(|lasting| Outage::new(self.started.elapsed(), lasting)).transpose();
                let outage = outage.map_err(|error| error.to_string())?;
                with(&self.steering.set, outage)?;
                self.steering.outage = outage;
                self.settle();
            }
            Order::Release(directions) => {
                let control = self.proxy.control();
                directions.into_iter().for_each(|direction| control.release(direction));
            }
            Order::Stats => return Ok(Done::Told(report(self))),
            Order::Metrics => return Ok(Done::Counted(Box::new(Metrics::of(self)))),
            Order::Describe => {
                return Ok(Done::Told(json!({
                    "name": self.name,
                    "listen": self.proxy.local_addr().to_string(),
                    "upstream": self.proxy.upstream_addr().to_string(),
                })));
            }
        }
        Ok(Done::Obeyed)
    }

    /// Puts in force what was set. What has been counted until now was under other settings.
    fn settle(&mut self) {
        let Self { proxy, started, steering, .. } = self;
        let Ok(profile) = with(&steering.set, steering.outage) else { return };
        let (control, stats) = (proxy.control(), proxy.stats());
        if control.profile() == profile {
            return;
        }
        control.set_profile(profile);
        steering.changes += 1;
        steering.changed = Some(started.elapsed());
        steering.before = [stats.to_server.fates, stats.to_client.fates];
    }

    fn check_free(&self) -> Result<(), String> {
        match &self.arguments.network.replay {
            Some(recording) => Err(format!("it repeats {}, which nothing changes", recording.file)),
            None => Ok(()),
        }
    }
}

fn with(set: &Profile, outage: Option<Outage>) -> Result<Profile, String> {
    let mut profile = set.clone();
    for direction in [Direction::ToServer, Direction::ToClient] {
        let impairments = profile.direction_mut(direction);
        if let Some(outage) = outage {
            *impairments = impairments.clone().with_outage(outage).map_err(|error| error.to_string())?;
        }
    }
    Ok(profile)
}

/// Turns are far shorter.
const PATIENCE: Duration = Duration::from_secs(5);
