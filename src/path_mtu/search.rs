use alloc::vec::Vec;

use super::answer::MOST_TIMES;
use super::report::Evidence;
use super::{Answer, Asked, Token};
use crate::pmtu::{PlpmtuSearch, Probe, ProbeId, PtbVerdict, SearchSettings};
use crate::size::Plpmtu;

/// A search in one direction, and what was asked in it.
pub(super) struct Search {
    pub(super) machine: PlpmtuSearch,
    token: Token,
    way: Way,
    /// Of each probe, its number and how many bytes have to arrive: at the far end, or here.
    probes: Vec<(ProbeId, usize)>,
    lost: Vec<Plpmtu>,
    /// What is larger was refused or reported.
    most: Plpmtu,
}

/// The direction that is searched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    There,
    /// By requests that are no longer than what the way there carries.
    Back {
        carries: Plpmtu,
    },
}

/// What an answer means for the search.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Arrived(ProbeId),
    Otherwise,
}

impl Search {
    pub(super) fn new(settings: SearchSettings, token: Token, way: Way) -> Self {
        let machine = PlpmtuSearch::new(settings);
        Self { machine, token, way, probes: Vec::new(), lost: Vec::new(), most: settings.max() }
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    pub(super) fn asked(&self, probe: Probe) -> Asked {
        Asked::new(self.token, probe.id, (self.way != Way::There).then_some(probe.len))
    }

    /// How long the datagram of a probe is: an answer is at most three times that.
    pub(super) fn request_len(&self, probe: Probe) -> usize {
        match self.way {
            Way::There => probe.len.bytes(),
            Way::Back { carries } => probe.len.bytes().div_ceil(MOST_TIMES).max(LEAST_REQUEST).min(carries.bytes()),
        }
    }

    /// The probe is written, and its datagram has this length.
    pub(super) fn begin(&mut self, probe: Probe, len: usize) {
        self.probes.push((probe.id, if self.way == Way::There { len } else { probe.len.bytes() }));
    }

    /// This host refused to send the datagram of a probe.
    pub(super) fn on_not_sent(&mut self, probe: Probe, limit: Option<Plpmtu>) {
        // Less can be asked for, then.
        self.on_refused(probe, if self.way == Way::There { limit } else { limit.map(most_answered) });
    }

    fn on_refused(&mut self, probe: Probe, limit: Option<Plpmtu>) {
        self.machine.on_probe_refused(probe.id, limit);
        self.most = self.most.min(just_below(probe.len));
    }

    pub(super) fn on_lost(&mut self, probe: Probe) {
        self.machine.on_probe_lost(probe.id);
        self.lost.push(probe.len);
    }

    /// Whether the report was taken.
    pub(super) fn on_reported(&mut self, id: ProbeId, limit: Plpmtu) -> bool {
        if self.way != Way::There {
            // It is about the request, not about the answer.
            return false;
        }
        let is_taken = self.machine.on_reported(id, limit) == PtbVerdict::Taken;
        if is_taken {
            self.most = self.most.min(limit);
        }
        is_taken
    }

    /// A datagram of `actual` bytes gave this answer.
    pub(super) fn on_answer(&mut self, answer: Answer, actual: usize, current: Probe) -> Settled {
        let (Answer::Arrived { id, .. } | Answer::Refused { id, .. }) = answer;
        let Some(&(_, len)) = self.probes.iter().rev().find(|it| it.0 == id) else { return Settled::Otherwise };
        match answer {
            Answer::Refused { limit, .. } if self.way != Way::There && id == current.id => {
                self.on_refused(current, limit);
            }
            Answer::Arrived { received, .. } if self.is_whole(len, received, actual) => {
                self.machine.on_probe_acked(id);
                return Settled::Arrived(id);
            }
            // Late, or cut on its way.
            Answer::Arrived { .. } | Answer::Refused { .. } => {}
        }
        Settled::Otherwise
    }

    fn is_whole(&self, len: usize, received: Option<usize>, actual: usize) -> bool {
        match self.way {
            Way::There => received.is_none_or(|it| it == len),
            Way::Back { .. } => actual == len,
        }
    }

    pub(super) fn confirmed(&self) -> Option<Plpmtu> {
        self.machine.is_confirmed().then(|| self.machine.plpmtu())
    }

    pub(super) fn evidence(&self, has_responder: bool) -> Evidence {
        let Some(confirmed) = self.confirmed() else { return Evidence::Unanswered };
        let is_open = self.lost.iter().any(|&it| confirmed < it && it <= self.most);
        if is_open && !has_responder { Evidence::ServiceOrPath } else { Evidence::Confirmed }
    }
}

/// The settings for the way back, where the way there carries this much.
pub(super) fn way_back(settings: SearchSettings, carries: Plpmtu) -> SearchSettings {
    let most = most_answered(carries);
    let [min, base, max] = [settings.min(), settings.base(), settings.max()].map(|it| it.min(most));
    settings.with_sizes(min, base, max).unwrap_or(settings)
}

/// What a responder answers at most to this much.
fn most_answered(len: Plpmtu) -> Plpmtu {
    Plpmtu::new(u16::try_from(len.bytes().saturating_mul(MOST_TIMES)).unwrap_or(u16::MAX))
}

fn just_below(len: Plpmtu) -> Plpmtu {
    Plpmtu::new(u16::try_from(len.bytes()).unwrap_or(u16::MAX).saturating_sub(1))
}

/// Longer than the header of any format, so that a small answer can be asked for.
const LEAST_REQUEST: usize = 64;
