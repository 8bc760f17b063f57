use alloc::vec::Vec;

use super::report::Evidence;
use super::{Answer, Asked, Token};
use crate::pmtu::{PlpmtuSearch, Probe, ProbeId, PtbVerdict, SearchSettings};
use crate::size::Plpmtu;

/// A search in one direction, and what was asked in it.
pub(super) struct Search {
    pub(super) machine: PlpmtuSearch,
    token: Token,
    is_way_back: bool,
    /// Of each probe, its number and how many bytes have to arrive: at the far end, or here.
    probes: Vec<(ProbeId, usize)>,
    lost: Vec<Plpmtu>,
    /// What is larger was refused or reported.
    most: Plpmtu,
}

/// What an answer means for the search.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Arrived(ProbeId),
    Otherwise,
}

impl Search {
    pub(super) fn new(settings: SearchSettings, token: Token, is_way_back: bool) -> Self {
        let machine = PlpmtuSearch::new(settings);
        Self { machine, token, is_way_back, probes: Vec::new(), lost: Vec::new(), most: settings.max() }
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    pub(super) fn asked(&self, probe: Probe) -> Asked {
        Asked::new(self.token, probe.id, self.is_way_back.then_some(probe.len))
    }

    /// How long the datagram of a probe is: an answer is at most three times that.
    pub(super) fn request_len(&self, probe: Probe) -> usize {
        match self.is_way_back {
            true => probe.len.bytes().div_ceil(3).max(LEAST_REQUEST),
            false => probe.len.bytes(),
        }
    }

    /// The probe is written, and its datagram has this length.
    pub(super) fn begin(&mut self, probe: Probe, len: usize) {
        self.probes.push((probe.id, if self.is_way_back { probe.len.bytes() } else { len }));
    }

    pub(super) fn on_refused(&mut self, probe: Probe, limit: Option<Plpmtu>) {
        self.machine.on_probe_refused(probe.id, limit);
        self.most = self.most.min(just_below(probe.len));
    }

    pub(super) fn on_lost(&mut self, probe: Probe) {
        self.machine.on_probe_lost(probe.id);
        self.lost.push(probe.len);
    }

    /// Whether the report was taken.
    pub(super) fn on_reported(&mut self, id: ProbeId, limit: Plpmtu) -> bool {
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
            Answer::Refused { limit, .. } if self.is_way_back && id == current.id => self.on_refused(current, limit),
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
        if self.is_way_back { actual == len } else { received.is_none_or(|it| it == len) }
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

fn just_below(len: Plpmtu) -> Plpmtu {
    Plpmtu::new(u16::try_from(len.bytes()).unwrap_or(u16::MAX).saturating_sub(1))
}

/// Longer than the header of any format, so that a small answer can be asked for.
const LEAST_REQUEST: usize = 64;
