//! Handles through a fault injector, which knows of no sockets, as `net` knows of no faults.

use std::io;

use crate::fault::LossySink;
use crate::net::{Cancel, CancelHandle};
use crate::transport::Transport;

impl<T: Transport + Cancel> Cancel for LossySink<T> {
    fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.get_mut().cancel_handle()
    }
}
