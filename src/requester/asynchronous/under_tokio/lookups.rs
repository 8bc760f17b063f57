//! Names that are resolved again, by threads that may block.

use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::net::{Answer, Look};

/// Those that are asked for at present.
#[derive(Default)]
pub(super) struct Lookups {
    asked: Vec<JoinHandle<Answer>>,
}

impl Lookups {
    /// Something was sent: asks what the transport wants to know by now.
    #[inline]
    pub(super) fn on_sent(&mut self, transport: &mut impl Look) {
        while let Some(question) = transport.question() {
            self.asked.push(spawn_blocking(move || question.ask()));
        }
    }

    /// Tells the transport what is known by now; this task is woken by the rest.
    #[inline]
    pub(super) fn poll(&mut self, transport: &mut impl Look, context: &mut Context<'_>) {
        self.asked.retain_mut(|asked| match Pin::new(asked).poll(context) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                // An error is the end of the runtime.
                let _ = answer.map(|answer| transport.on_answer(answer));
                false
            }
        });
    }
}
