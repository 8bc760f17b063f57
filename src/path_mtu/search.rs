use alloc::vec::Vec;

use super::answer::MOST_TIMES;
use super::report::Evidence;
use super::{Answer, Asked, ProbeDirection, ProbeFate, Token};
use crate::pmtu::{PlpmtuSearch, Probe, ProbeId, PtbVerdict, SearchSettings};
use crate::size::Plpmtu;
use crate::time::Timestamp;

/// A search in one direction, and what was asked in it.
pub(super) struct Search {
    pub(super) machine: PlpmtuSearch,
    token: Token,
    way: Way,
    probes: Vec<Begun>,
    lost: Vec<Plpmtu>,
    /// What is larger was refused or reported.
    most: Plpmtu,
}

/// A probe that was offered to the system.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub(super) probe: Probe,
    pub(super) sent: Timestamp,
    /// How many bytes have to arrive: at the far end, or here.
    len: usize,
    is_acked: bool,
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

    /// The probe is written and about to be sent, and its datagram has this length.
    pub(super) fn begin(&mut self, probe: Probe, sent: Timestamp, len: usize) {
        let len = if self.way == Way::There { len } else { probe.len.bytes() };
        self.probes.push(Begun { probe, sent, len, is_acked: false });
    }

    pub(super) fn begun(&self, id: ProbeId) -> Option<Begun> {
        self.probes.iter().rev().find(|it| it.probe.id == id).copied()
    }

    pub(super) fn direction(&self) -> ProbeDirection {
        if self.way == Way::There { ProbeDirection::Forward } else { ProbeDirection::Reverse }
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

    /// A datagram of `actual` bytes gave this answer. Returns the probe that it says something new of.
    pub(super) fn on_answer(&mut self, answer: Answer, actual: usize, current: Probe) -> Option<(ProbeId, ProbeFate)> {
        let (Answer::Arrived { id, .. } | Answer::Refused { id, .. }) = answer;
        let way = self.way;
        let begun = self.probes.iter_mut().rev().find(|it| it.probe.id == id)?;
        match answer {
            Answer::Refused { limit, .. } if way != Way::There && id == current.id => {
                self.on_refused(current, limit);
                Some((id, ProbeFate::Refused))
            }
            Answer::Arrived { received, .. } if begun.is_whole(way, received, actual) && !begun.is_acked => {
                begun.is_acked = true;
                self.machine.on_probe_acked(id);
                Some((id, ProbeFate::Acknowledged))
            }
            // Late, again, or cut on its way.
            Answer::Arrived { .. } | Answer::Refused { .. } => None,
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

impl Begun {
    fn is_whole(&self, way: Way, received: Option<usize>, actual: usize) -> bool {
        match way {
            Way::There => received.is_none_or(|it| it == self.len),
            Way::Back { .. } => actual == self.len,
        }
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
