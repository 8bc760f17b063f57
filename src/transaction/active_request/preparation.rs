//! What a transmission needs before it can leave.

use super::{ActiveRequest, Stage};
use crate::time::Timestamp;
use crate::transaction::destination::Terms;
use crate::transaction::grant::Granted;
use crate::transaction::record::Record;
use crate::transaction::routing::Routing;
use crate::transaction::{Identity, Next};
use crate::transport::{PathIndex, Renewal};

impl ActiveRequest {
    /// What the slot that is due needs next, in the order choice, grant, build, renew, transmit: only what was built has an
    /// identity, which says whether it needs a fresh port. `None` if it has passed.
    #[inline]
    pub(super) fn due(
        &mut self,
        terms: &impl Terms,
        routing: &mut impl Routing,
        now: Timestamp,
        record: &mut impl Record,
    ) -> Option<Next> {
        if routing.is_several() {
            if let Some(ended) = self.aim(terms, routing, now, record) {
                return ended;
            }
        }
        // The first transmission costs nothing, nor does one that comes to as little as none.
        if self.timer.transmissions() > 0 && !self.granted.0 && !self.is_repeat && !routing.is_free() {
            self.granted = Granted(terms.budget().take());
            if !self.granted.0 {
                self.on_withheld(terms, routing, now, record);
                return None;
            }
        }
        Some(self.prepared(terms, routing))
    }

    /// What has leave to go to the target needs next.
    #[inline]
    pub(super) fn prepared(&mut self, terms: &impl Terms, routing: &mut impl Routing) -> Next {
        let path = routing.target();
        if self.stage == Stage::Unbuilt {
            return Next::Build(path, self.timer.transmissions().saturating_add(1));
        }
        match self.renewal(terms, routing, path) {
            Some(renewal) => Next::Renew(path, renewal),
            None => Next::Transmit(path),
        }
    }

    /// Whether the port is to be seen to first.
    #[inline]
    pub(super) fn renewal(&self, terms: &impl Terms, routing: &mut impl Routing, path: PathIndex) -> Option<Renewal> {
        if self.renewed || routing.was_asked() {
            return None;
        }
        if self.identity == Identity::Port {
            return Some(Renewal::Required);
        }
        let is_due = routing.state(path).is_some_and(|state| state.is_renewal_due());
        let is_first = self.timer.transmissions() == 0 || routing.is_several();
        (is_due && !terms.keeps_port() && is_first).then_some(Renewal::Advised)
    }
}
