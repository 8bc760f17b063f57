use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::Event;

/// A caller's function that is shown every event; clones call the same one.
#[derive(Clone)]
pub(super) struct Observer(Arc<dyn Fn(Duration, Event) + Send + Sync>);

impl Observer {
    pub(super) fn new(observer: impl Fn(Duration, Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observer))
    }

    pub(super) fn show(&self, at: Duration, event: Event) {
        (self.0)(at, event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
