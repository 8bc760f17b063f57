use std::io;

use serde_json::{Value, json};
use udp_retry::proxy::{Proxy, Unserved};

use crate::terminal::remark;

/// Says, once for each reason, why clients are not served: else they only see silence.
#[derive(Default)]
pub(super) struct TurnedAway {
    said: Unserved,
}

impl TurnedAway {
    pub(super) fn look(&mut self, proxy: &Proxy) {
        let now = proxy.stats().unserved_by;
        let before = std::mem::replace(&mut self.said, now);
        let anew =
            reasons(&now).into_iter().zip(reasons(&before)).any(|((_, now), (_, before))| now > 0 && before == 0);
        if let Some(error) = proxy.unserved_error().filter(|_| anew) {
            remark(format_args!("a client is not served: {error}"));
        }
    }
}

/// How often, by the reason, and the last reason in the system's words.
pub(super) fn report(proxy: &Proxy) -> Value {
    let by_reason = reasons(&proxy.stats().unserved_by).into_iter().collect::<std::collections::BTreeMap<_, _>>();
    json!({ "by_reason": by_reason, "last_error": proxy.unserved_error().map(io::Error::to_string) })
}

fn reasons(unserved: &Unserved) -> [(&'static str, u64); 4] {
    let Unserved { no_port, no_socket, unreachable, own, .. } = *unserved;
    [("no_port", no_port), ("no_socket", no_socket), ("unreachable", unreachable), ("own", own)]
}
