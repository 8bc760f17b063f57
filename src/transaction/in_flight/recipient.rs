use super::groups::{Group, Members};
use super::peers::Peers;
use crate::transaction::course::Course;
use crate::transaction::grant::Grants;
use crate::transaction::path_state::PathState;
use crate::transaction::several::Asking;

/// Whom a request asks: what its machine is told of with every call.
#[derive(Debug)]
pub(super) enum Recipient<'c, P> {
    One(&'c mut PathState),
    Several(Asking<'c, Members<'c, P>>),
}

impl<'c, P> Recipient<'c, P> {
    /// The servers of a group, and the budget that is theirs.
    pub(super) fn several(peers: &'c mut Peers<P>, group: &'c mut Group, course: &'c mut Course) -> (&'c Grants, Self) {
        let Group { shared, members, budget, .. } = group;
        let states = Members { peers, members };
        (budget, Self::Several(Asking { group: shared, course, states }))
    }
}

/// Does this with the routing of a recipient, whichever that is: a reference to one.
macro_rules! routed {
    ($recipient:expr, $routing:ident => $call:expr) => {
        match $recipient {
            Recipient::One(path) => {
                let $routing = &mut **path;
                $call
            }
            Recipient::Several(asking) => {
                let $routing = asking;
                $call
            }
        }
    };
}

pub(super) use routed;
