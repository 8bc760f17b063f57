//! A test that waits for what never comes fails by its name, instead of hanging.

use std::any::type_name;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::Duration;

/// Longer than a test here takes, on whatever machine.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Runs a test that waits for sockets, threads or processes.
pub(crate) fn within<T: FnOnce() + Send + 'static>(limit: Duration, test: T) {
    let name = type_name::<T>().trim_end_matches("::{{closure}}");
    let (running, ended) = mpsc::channel::<()>();
    let body = move || {
        let _running = running;
        test();
    };
    let thread = Builder::new().name(name.split_once("::").unwrap().1.to_owned()).spawn(body).unwrap();
    let late = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
    assert!(!late, "{name} hangs: it is not over after {limit:?}");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}
