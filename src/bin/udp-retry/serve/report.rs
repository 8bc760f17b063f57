use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use udp_retry::replies::{ReplyStats, ResponderStats};

use super::services::Service;

/// What a server has done.
pub(super) struct Report {
    pub(super) service: Service,
    pub(super) address: SocketAddr,
    pub(super) took: Duration,
    pub(super) stats: ResponderStats,
    pub(super) unsent: u64,
    pub(super) counter: u64,
}

impl Report {
    /// All copies of all requests.
    pub(super) fn requests(&self) -> u64 {
        let ReplyStats { fresh, in_progress, replayed, .. } = self.stats.replies;
        fresh + in_progress + replayed + self.unanswered() + self.refused()
    }

    fn unanswered(&self) -> u64 {
        self.stats.replies.replies_forgotten + self.stats.replies.replayed_often
    }

    fn refused(&self) -> u64 {
        self.stats.replies.refused + self.stats.replies.refused_of_peer
    }

    pub(super) fn shown(&self, as_json: bool) -> String {
        if as_json { self.json() } else { self.text() }
    }

    fn json(&self) -> String {
        let Self { service, address, took, stats, unsent, counter } = self;
        let ReplyStats { fresh, in_progress, replayed, evicted_early, .. } = stats.replies;
        let mut report = json!({
            "service": service.name(),
            "listen": address.to_string(),
            "seconds": took.as_secs_f64(),
            "requests": self.requests(),
            "executed": fresh,
            "replayed": replayed,
            "in_progress": in_progress,
            "refused": self.refused(),
            "unanswered": self.unanswered(),
            "evicted_early": evicted_early,
            "foreign": stats.foreign,
            "truncated": stats.truncated,
            "without_envelope": stats.without_envelope,
            "expired": stats.expired,
            "unknown": stats.unknown,
            "unnamed": stats.unnamed,
            "unsent": unsent,
        });
        if *service == Service::Counter {
            report["counter"] = (*counter).into();
        }
        report.to_string()
    }

    fn text(&self) -> String {
        let ReplyStats { fresh, in_progress, replayed, evicted_early, .. } = self.stats.replies;
        let (requests, refused, unanswered) = (self.requests(), self.refused(), self.unanswered());
        let Self { took, stats, unsent, .. } = self;
        let mut text = format!(
            "requests       {requests} in {:.1} s, copies included\n\
             executed       {fresh}\n\
             replayed       {replayed}, in progress {in_progress}, unanswered {unanswered}\n\
             refused        {refused}\n\
             evicted early  {evicted_early}\n\
             not ours       {}, truncated {}, without the envelope {}\n\
             expired        {}\n\
             unknown        {}: {} named an earlier incarnation, {} none yet (no restart: asked once more at once)\n\
             unsent         {unsent}",
            took.as_secs_f64(),
            stats.foreign,
            stats.truncated,
            stats.without_envelope,
            stats.expired,
            stats.unknown,
            stats.unknown.saturating_sub(stats.unnamed),
            stats.unnamed,
        );
        if self.service == Service::Counter {
            text.push_str(&format!("\ncounter        {}", self.counter));
        }
        text
    }
}
