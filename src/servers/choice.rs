use core::fmt;
use core::time::Duration;

use super::server::Server;
use super::{Paths, ServerSettings, Spread};
use crate::entropy::labels::{SERVER_RANKS, SERVER_TIES};
use crate::entropy::{Seed, uniform};
use crate::time::{Ns, Timestamp, saturating_ns};
use crate::transport::PathIndex;

/// Which of the servers that could be asked is: what the spreads remember, and their draws.
#[derive(Clone)]
pub(super) struct Chooser {
    seed: Seed,
    /// Draws taken for ties.
    ties: u64,
    /// [`Spread::Sticky`]
    stuck: Option<PathIndex>,
    /// [`Spread::RoundRobin`]: the one asked last.
    turn: Option<PathIndex>,
}

impl Chooser {
    pub(super) const fn new(seed: Seed) -> Self {
        Self { seed, ties: 0, stuck: None, turn: None }
    }

    /// One of those `left`, which are among those that live.
    pub(super) fn choose(
        &mut self,
        now: Timestamp,
        servers: &[Server],
        live: Paths,
        left: Paths,
        settings: &ServerSettings,
    ) -> Option<PathIndex> {
        match settings.spread {
            Spread::Band { factor, slack } => {
                let comparable = within_band(now, servers, left, settings, factor, slack);
                self.any_of(least_outstanding(servers, comparable))
            }
            Spread::InOrder => left.iter().next(),
            Spread::Sticky => {
                self.stick(live);
                self.stuck.filter(|&path| left.contains(path)).or_else(|| self.first_by_rank(left))
            }
            Spread::RoundRobin => {
                let next = match self.turn {
                    None => self.first_by_rank(left),
                    Some(last) => left.iter().find(|&path| path > last).or_else(|| left.iter().next()),
                };
                // At the end of a round there is none, and the turn stays where it was.
                self.turn = next.or(self.turn);
                next
            }
        }
    }

    /// Stays where it is until that one is dead.
    fn stick(&mut self, live: Paths) {
        if !self.stuck.is_some_and(|path| live.contains(path)) {
            self.stuck = self.first_by_rank(live);
        }
    }

    /// Ranks are drawn once for all, so that a fleet neither begins at one server nor leaves a dead one for the same next.
    fn first_by_rank(&self, paths: Paths) -> Option<PathIndex> {
        let ranks = self.seed.derive(SERVER_RANKS);
        paths.iter().min_by_key(|path| ranks.draw(path.number().into()))
    }

    fn any_of(&mut self, paths: Paths) -> Option<PathIndex> {
        let last = paths.len().checked_sub(1)?;
        if last == 0 {
            return paths.iter().next();
        }
        let draw = self.seed.derive(SERVER_TIES).draw(self.ties);
        self.ties += 1;
        let nth = uniform(0, last as u64, draw);
        paths.iter().nth(usize::try_from(nth).ok()?)
    }
}

/// Without the seed.
impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ties, stuck, turn, .. } = self;
        f.debug_struct("Chooser").field("ties", ties).field("stuck", stuck).field("turn", turn).finish_non_exhaustive()
    }
}

/// Those whose cost is comparable with the best. Of an unknown one none is known: it is among them, or it would never be
/// learnt, and it does not say how good the best is.
fn within_band(
    now: Timestamp,
    servers: &[Server],
    left: Paths,
    settings: &ServerSettings,
    factor: f64,
    slack: Duration,
) -> Paths {
    let idle = |path: PathIndex| get(servers, path).and_then(|server| server.idle_cost(now, settings));
    let loaded = |path: PathIndex| get(servers, path).and_then(|server| server.loaded_cost(now, settings));
    // The band widens as the best one fills: a slower server that waits for work is as good as a queue. It is never empty:
    // the best one costs no more when idle.
    let Some(best) = left.iter().filter_map(loaded).min() else {
        return left;
    };
    let limit = scaled(best, factor).max(best.saturating_add(saturating_ns(slack)));
    left.iter().filter(|&path| idle(path).is_none_or(|cost| cost <= limit)).fold(Paths::NONE, Paths::with)
}

fn least_outstanding(servers: &[Server], paths: Paths) -> Paths {
    let outstanding = |path: PathIndex| get(servers, path).map(Server::outstanding);
    let least = paths.iter().filter_map(outstanding).min();
    paths.iter().filter(|&path| outstanding(path) == least).fold(Paths::NONE, Paths::with)
}

fn get(servers: &[Server], path: PathIndex) -> Option<&Server> {
    servers.get(usize::try_from(path.number()).ok()?)
}

/// One multiplication of floats: the same on every platform.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and neither is negative")]
fn scaled(time: Ns, factor: f64) -> Ns {
    (time as f64 * factor) as Ns
}
