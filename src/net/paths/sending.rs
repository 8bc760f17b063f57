use super::UdpPaths;
use super::path::Path;
use super::settings::Settings;
use crate::net::cancel::Cancellable;
use crate::transport::{PathError, PathIndex};

impl UdpPaths {
    /// Has a path send; nothing is opened or resolved for what is not to be sent.
    #[inline]
    pub(super) fn send_by<S>(
        &mut self,
        to: PathIndex,
        send: impl FnOnce(&mut Path, &Settings, &Cancellable) -> S,
        has_left: impl FnOnce(&S) -> bool,
    ) -> Result<S, PathError> {
        if self.cancellable.is_cancelled() {
            return Err(PathError::Cancelled);
        }
        if let Some(age) = self.names.every.filter(|_| self.names.apart.is_none()) {
            self.resolve_what_is_old(age);
        }
        let path = self.paths.get_mut(to.number() as usize).ok_or(PathError::Unsupported)?;
        let was_open = path.socket.is_some();
        let sent = send(path, &self.settings, &self.cancellable);
        if !was_open {
            self.count_open();
        }
        if self.only.is_none() {
            self.play.on_sent(to, has_left(&sent));
        }
        Ok(sent)
    }
}
