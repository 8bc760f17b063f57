use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::Event;

/// A caller's function that is shown every event; clones call the same one.
///
/// What is shown is complete before it is called, so a function that panics leaves nothing half done.
#[derive(Clone)]
pub(crate) struct Observer(Arc<dyn Fn(Duration, Event) + Send + Sync>);

impl Observer {
    pub(crate) fn new(observer: impl Fn(Duration, Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observer))
    }

    pub(crate) fn show(&self, at: Duration, event: Event) {
        (self.0)(at, event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl core::panic::UnwindSafe for Observer {}
impl core::panic::RefUnwindSafe for Observer {}
