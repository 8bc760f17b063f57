//! Requests as futures, on one thread: the crate's, and the way that is commonly written by hand.
#![expect(clippy::disallowed_types, reason = "real sockets are measured")]

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;
use udp_retry::net::{ConnectedUdp, UdpPaths};
use udp_retry::transaction::Limits;
use udp_retry::{AsyncRequester, transaction_id};

use crate::compare::Variant;
use crate::socket::{LONGEST, connected};

/// The crate's.
pub(crate) struct Futures {
    runtime: Runtime,
    requester: AsyncRequester,
}

impl Futures {
    /// Over a socket of its own, but where only a given one can have buffers that are large enough.
    pub(crate) fn new(server: SocketAddr, buffer: usize) -> Self {
        let own = ConnectedUdp::connect(server).unwrap();
        let held = own.receive_buffer().unwrap();
        let socket = if held >= buffer { own } else { ConnectedUdp::from_socket(connected(server, buffer)).unwrap() };
        let runtime = runtime();
        let requester = runtime.block_on(async {
            let limits = Limits::default().window(NonZeroU32::MAX);
            AsyncRequester::builder(transaction_id(0..8).stamped()).limits(limits).over(UdpPaths::from(socket)).unwrap()
        });
        Self { runtime, requester }
    }
}

impl Variant for Futures {
    fn run(&mut self, requests: usize, window: usize, len: usize) -> u64 {
        let requester = &self.requester;
        ask(&self.runtime, requests, window, || (requester.clone(), vec![0x5a; len]))
    }
}

impl Asks for (AsyncRequester, Vec<u8>) {
    async fn ask(&mut self) -> bool {
        let (requester, request) = self;
        requester.request(&*request).await.is_ok_and(|reply| reply.payload().len() == request.len())
    }
}

/// A map of those that wait, a channel for each of them, and a time-out around it.
pub(crate) struct Channels {
    runtime: Runtime,
    shared: Arc<Shared>,
}

struct Shared {
    socket: tokio::net::UdpSocket,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>,
    next: AtomicU64,
}

impl Channels {
    pub(crate) fn new(server: SocketAddr, buffer: usize) -> Self {
        let runtime = runtime();
        let socket = tokio_socket(&runtime, connected(server, buffer));
        let shared = Arc::new(Shared { socket, waiting: Mutex::default(), next: AtomicU64::new(0) });
        runtime.spawn(read(Arc::clone(&shared)));
        Self { runtime, shared }
    }
}

/// Hands out replies for good.
async fn read(shared: Arc<Shared>) {
    let mut buffer = [0; LONGEST];
    while let Ok(len) = shared.socket.recv(&mut buffer).await {
        let Some(id) = buffer[..len].first_chunk() else { continue };
        let waits = shared.waiting.lock().unwrap().remove(&u64::from_be_bytes(*id));
        if let Some(waits) = waits {
            let _ = waits.send(buffer[..len].to_vec());
        }
    }
}

impl Shared {
    async fn request(&self, request: &mut [u8]) -> Option<Vec<u8>> {
        let id = self.next.fetch_add(1, Relaxed);
        request[..8].copy_from_slice(&id.to_be_bytes());
        let (waits, reply) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, waits);
        self.socket.send(request).await.ok()?;
        timeout(Duration::from_secs(1), reply).await.ok()?.ok()
    }
}

impl Variant for Channels {
    fn run(&mut self, requests: usize, window: usize, len: usize) -> u64 {
        let shared = &self.shared;
        ask(&self.runtime, requests, window, || (Arc::clone(shared), vec![0x5a; len]))
    }
}

impl Asks for (Arc<Shared>, Vec<u8>) {
    async fn ask(&mut self) -> bool {
        let (shared, request) = self;
        shared.request(request).await.is_some_and(|reply| reply.len() == request.len())
    }
}

/// One request after the other, with nothing but the runtime between them.
pub(crate) struct Bare {
    runtime: Runtime,
    socket: tokio::net::UdpSocket,
}

impl Bare {
    pub(crate) fn new(server: SocketAddr, buffer: usize) -> Self {
        let runtime = runtime();
        let socket = tokio_socket(&runtime, connected(server, buffer));
        Self { runtime, socket }
    }
}

impl Variant for Bare {
    fn run(&mut self, requests: usize, _window: usize, len: usize) -> u64 {
        let (mut request, mut reply) = (vec![0x5a; len], [0; LONGEST]);
        self.runtime.block_on(async {
            for id in 0..requests as u64 {
                request[..8].copy_from_slice(&id.to_be_bytes());
                self.socket.send(&request).await.unwrap();
                while self.socket.recv(&mut reply).await.unwrap() < 8 || reply[..8] != request[..8] {}
            }
        });
        requests as u64
    }
}

/// Who asks, one request after the other.
pub(crate) trait Asks: Send + 'static {
    fn ask(&mut self) -> impl Future<Output = bool> + Send;
}

/// A task for each request of the window, which asks again when its reply has come.
fn ask<A: Asks>(runtime: &Runtime, requests: usize, window: usize, asking: impl Fn() -> A) -> u64 {
    let (left, answered) = (Arc::new(AtomicUsize::new(requests)), Arc::new(AtomicU64::new(0)));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..window.min(requests))
            .map(|_| {
                let (left, answered, mut asks) = (Arc::clone(&left), Arc::clone(&answered), asking());
                tokio::spawn(async move {
                    while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                        answered.fetch_add(u64::from(asks.ask().await), Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    answered.load(Relaxed)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn tokio_socket(runtime: &Runtime, socket: UdpSocket) -> tokio::net::UdpSocket {
    let _within = runtime.enter();
    socket.set_nonblocking(true).unwrap();
    tokio::net::UdpSocket::from_std(socket).unwrap()
}
