//! One request after the other, each with its story.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use udp_retry::RetryPolicy;
use udp_retry::transaction::Request;

use super::Arguments;
use super::client::{Client, Ready};
use super::ids::Ids;
use super::lines::Requests;
use super::output::Output;
use super::record::Record;
use super::report::{self, About, Report};
use super::summary::{Progress, Summary};
use crate::interrupt::Interrupt;
use crate::terminal::Outcome;
use crate::values::Hosts;

pub(crate) fn ask(arguments: &Arguments, targets: &[Hosts], requests: &Requests, policy: RetryPolicy) -> Outcome {
    let (count, record, began) = (arguments.count(requests), Record::default(), Instant::now());
    // A story is told as far as it went; a summary would be lost.
    let interrupt = if arguments.summary { Some(Interrupt::new()?) } else { None };
    let new = |servers: &Hosts| Client::new(arguments, servers.clone(), policy, interrupt.as_ref());
    let mut clients: Vec<_> = targets.iter().map(new).collect();
    let (mut request, mut ids) = (Vec::new(), None);
    let mut told = Told { arguments, output: Output::new(), summary: Summary::new(), unasked: None };
    let mut progress = Progress::new(arguments.summary);
    for (number, target) in (0..count).zip((0..targets.len()).cycle()) {
        if interrupt.as_ref().is_some_and(Interrupt::is_set) {
            break;
        }
        let (begun, client) = (Instant::now(), &mut clients[target]);
        request.clear();
        request.extend_from_slice(requests.get(number));
        stamp(&mut request, &mut ids, arguments, client);
        told.summary.sent += 1;
        let about = About { is_first: number == 0, target: targets.get(target).filter(|_| targets.len() > 1) };
        match client.ready(begun, &record) {
            Ok(Ready { requester, addresses, left }) => {
                let (before, asked) = (begun.elapsed(), Request::new(&request));
                let outcome = requester.request(if let Some(left) = left { asked.deadline(left) } else { asked });
                let is_wrong = outcome.as_ref().is_ok_and(|reply| arguments.is_wrong(&request, reply.payload()));
                let is_wrong = arguments.expect.map(|_| is_wrong);
                told.on_ended(&Report { outcome, before, seen: record.take(), addresses, is_wrong }, about)?;
            }
            Err(error) => told.on_unasked(error, begun.elapsed(), about)?,
        }
        progress.show(&told.summary, count);
        let (now, pause) = (Instant::now(), arguments.every.filter(|_| number + 1 < count).unwrap_or_default());
        // What no clock will show is never.
        let pause = begun.checked_add(pause).map_or(Duration::MAX, |due| due.saturating_duration_since(now));
        told.output.flush_if_old(now, pause)?;
        interrupt.as_ref().map_or_else(|| thread::sleep(pause), |interrupt| interrupt.sleep(pause));
    }
    progress.clear();
    told.summary.elapsed = began.elapsed();
    told.end(count)
}

/// Gives a request an id of its own, where it is to have one.
fn stamp(request: &mut [u8], ids: &mut Option<Ids>, arguments: &Arguments, client: &mut Client<'_>) {
    let range = arguments.id.as_ref().filter(|_| !arguments.keep_id).map(|id| id.range.clone());
    let Some(id) = range.and_then(|range| request.get_mut(range)) else { return };
    match (ids, client.seed()) {
        (Some(ids), _) => ids.stamp(id),
        (none, Ok(seed)) => {
            let ids = none.insert(Ids::new(seed, id));
            if arguments.stamp {
                ids.stamp(id);
            }
        }
        // Then there is no requester either, and that is told.
        (None, Err(_)) => {}
    }
}

/// What is said of each, and of all.
struct Told<'a> {
    arguments: &'a Arguments,
    output: Output,
    summary: Summary,
    /// Why the latest one could not be asked that could not.
    unasked: Option<io::Error>,
}

impl Told<'_> {
    fn on_ended(&mut self, report: &Report<'_>, about: About<'_>) -> io::Result<()> {
        match &report.outcome {
            Ok(reply) => {
                let latency = report.before + reply.elapsed();
                self.summary.on_reply(latency, reply.transmissions(), report.is_wrong == Some(true));
                self.summary.on_strays(reply.strays());
            }
            Err(error) => {
                self.summary.on_failure(report::kind(error.failure()), error.transmissions());
                self.summary.on_strays(error.strays());
            }
        }
        match (self.arguments.summary, self.arguments.json) {
            (true, _) => Ok(()),
            (false, true) => report.json(&mut self.output.buffer, about),
            (false, false) => report.story(&mut self.output.buffer, about),
        }
    }

    fn on_unasked(&mut self, error: io::Error, elapsed: Duration, about: About<'_>) -> io::Result<()> {
        self.summary.on_failure(report::unasked_kind(&error), 0);
        let error = self.unasked.insert(error);
        match (self.arguments.summary, self.arguments.json) {
            (true, _) => Ok(()),
            (false, true) => report::unasked_json(&mut self.output.buffer, error, elapsed, about),
            (false, false) => report::unasked_story(&mut self.output.buffer, error, about),
        }
    }

    fn end(mut self, requests: u64) -> Outcome {
        if self.arguments.summary {
            self.summary.write(&mut self.output.buffer, self.arguments.json)?;
        }
        self.output.flush()?;
        self.summary.outcome(requests, self.unasked.as_ref())
    }
}
