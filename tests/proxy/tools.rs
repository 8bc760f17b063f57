//! A proxy that runs, services behind it and clients before it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udp_retry::fault::{DelayLaw, DelayModel, Direction, DirectionStats, LossModel, Profile};
use udp_retry::proxy::{Proxy, ProxyBuilder, ProxyStats};
use udp_retry::{Impairments, Probability};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Longer than any wait here that ends well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough for what must not come.
pub(crate) const SILENCE: Duration = Duration::from_millis(50);
pub(crate) const LARGEST: usize = 65_507;

/// A proxy that runs in a thread until it is stopped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) control: udp_retry::fault::Control,
    pub(crate) stop: Arc<AtomicBool>,
    latest: Arc<Mutex<ProxyStats>>,
    thread: Option<JoinHandle<Proxy>>,
}

impl Running {
    pub(crate) fn start(builder: ProxyBuilder, upstream: SocketAddr) -> Self {
        Self::listen(builder, "127.0.0.1:0", upstream)
    }

    pub(crate) fn listen(builder: ProxyBuilder, listen: &str, upstream: SocketAddr) -> Self {
        let mut proxy = builder.bind(listen, upstream).unwrap();
        let (address, control) = (proxy.local_addr(), proxy.control());
        let (stop, latest) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(proxy.stats())));
        let (stopped, told) = (stop.clone(), latest.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                proxy.run_for(10 * MS).unwrap();
                *told.lock().unwrap() = balanced(proxy.stats());
            }
            proxy
        });
        Self { address, control, stop, latest, thread: Some(thread) }
    }

    /// Waits until the counts are like that.
    #[track_caller]
    pub(crate) fn until(&self, like: impl Fn(&ProxyStats) -> bool) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let stats = *self.latest.lock().unwrap();
            if like(&stats) {
                return;
            }
            assert!(Instant::now() < patience, "{stats:?}");
            thread::sleep(MS);
        }
    }

    pub(crate) fn dropped_of(&self, direction: Direction) -> u64 {
        let stats = self.latest.lock().unwrap();
        if direction == Direction::ToServer {
            stats.to_server.fates.dropped.loss
        } else {
            stats.to_client.fates.dropped.loss
        }
    }

    /// Waits until so many requests have met their fates, and an answer to each copy that passed has met its own.
    #[track_caller]
    pub(crate) fn answered(&self, requests: u64) {
        self.until(|ProxyStats { to_server, to_client, .. }| {
            let on_their_way = to_server.in_flight + to_client.in_flight;
            (to_server.fates.received, to_client.fates.received, on_their_way) == (requests, to_server.passed, 0)
        });
    }

    /// Waits until nothing is on its way and nothing more comes.
    pub(crate) fn quiet(&self) {
        let (mut before, mut since, patience) = (ProxyStats::default(), Instant::now(), Instant::now() + PATIENCE);
        while since.elapsed() < SILENCE {
            let stats = *self.latest.lock().unwrap();
            let on_their_way = stats.to_server.in_flight + stats.to_client.in_flight;
            if stats != before || on_their_way > 0 {
                (before, since) = (stats, Instant::now());
            }
            assert!(Instant::now() < patience, "{stats:?}");
            thread::sleep(MS);
        }
    }

    pub(crate) fn stop(mut self) -> ProxyStats {
        self.stop.store(true, Ordering::Relaxed);
        balanced(self.thread.take().unwrap().join().unwrap().stats())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Every datagram, every copy and every session is accounted for.
#[track_caller]
pub(crate) fn balanced(stats: ProxyStats) -> ProxyStats {
    for DirectionStats { fates, passed, in_flight, discarded, failed, .. } in [stats.to_server, stats.to_client] {
        assert_eq!(fates.received, fates.delivered - fates.duplicates + fates.dropped.total(), "{stats:?}");
        assert_eq!(fates.delivered, passed + in_flight + discarded + failed, "{stats:?}");
    }
    assert_eq!(stats.sessions as u64, stats.opened - stats.expired - stats.evicted, "{stats:?}");
    stats
}

/// Answers every datagram by some, in a thread, and remembers who asked.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) peers: Arc<Mutex<BTreeSet<SocketAddr>>>,
    over: mpsc::Sender<()>,
}

impl Service {
    pub(crate) fn echo(address: &str) -> Self {
        Self::new(address, |request| vec![request.to_vec()])
    }

    pub(crate) fn new(address: &str, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = socket(address);
        socket.set_read_timeout(Some(20 * MS)).unwrap();
        let (address, peers) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(BTreeSet::new())));
        let (over, ended) = mpsc::channel::<()>();
        let seen = peers.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    seen.lock().unwrap().insert(from);
                    for reply in answer(&buffer[..len]) {
                        let _ = socket.send_to(&reply, from);
                    }
                }
            }
        });
        Self { address, peers, over }
    }

    pub(crate) fn peers(&self) -> BTreeSet<SocketAddr> {
        self.peers.lock().unwrap().clone()
    }

    pub(crate) fn stop(self) -> BTreeSet<SocketAddr> {
        let _ = self.over.send(());
        self.peers()
    }
}

/// With room for whole bursts.
pub(crate) fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    udp_retry::net::set_receive_buffer(&socket, 4 << 20).unwrap();
    socket
}

pub(crate) fn client(proxy: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if proxy.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(proxy).unwrap();
    socket
}

/// An address where nobody listens, to be listened on now and then. On Linux the host is its own and the port none that
/// the system hands out, so that nobody else can take it.
pub(crate) fn dead_service() -> (SocketAddr, RwLockReadGuard<'static, ()>) {
    static HOSTS: AtomicU8 = AtomicU8::new(1);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let own = (Ipv4Addr::new(127, high | 128, low, HOSTS.fetch_add(1, Ordering::Relaxed)), 20_001);
    let address = if cfg!(target_os = "linux") { own } else { (Ipv4Addr::LOCALHOST, 0) };
    let unforked = FORKING.read().unwrap();
    (UdpSocket::bind(address).unwrap().local_addr().unwrap(), unforked)
}

/// While a process starts another one, both have all sockets: none that is closed meanwhile is dead.
static FORKING: RwLock<()> = RwLock::new(());

#[track_caller]
pub(crate) fn hear_from(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (len, from) = socket.recv_from(&mut buffer).expect("something to come");
    buffer.truncate(len);
    (buffer, from)
}

#[track_caller]
pub(crate) fn hear(socket: &UdpSocket) -> Vec<u8> {
    hear_from(socket).0
}

#[track_caller]
pub(crate) fn ask(client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.send(request).unwrap();
    hear(client)
}

pub(crate) fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = socket.recv(&mut [0; 16]).is_err();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

pub(crate) fn to_server(impairments: Impairments) -> Profile {
    Profile { to_server: impairments, to_client: Impairments::NONE }
}

pub(crate) fn delayed(delay: Duration) -> Impairments {
    if delay.is_zero() {
        Impairments::NONE
    } else {
        Impairments::NONE.with_delay(DelayModel::new(DelayLaw::fixed(delay).unwrap()))
    }
}

pub(crate) fn p(probability: f64) -> Probability {
    Probability::new(probability).unwrap()
}

pub(crate) fn loss(probability: f64) -> LossModel {
    LossModel::bursts(p(probability), 2.0).unwrap()
}

/// Runs a test in a process of its own, which may open so many files and runs nothing else.
#[track_caller]
pub(crate) fn alone(test: &str, files: u32, body: impl FnOnce()) {
    const MARK: &str = "UDP_RETRY_TEST_ALONE";
    if cfg!(not(unix)) || std::env::var_os(MARK).is_some() {
        return body();
    }
    let limited = format!("ulimit -n {files} && exec \"$0\" --exact --test-threads 1 {test}");
    let mut command = Command::new("sh");
    command.args(["-c", &limited]).arg(std::env::current_exe().unwrap()).env(MARK, "1");
    let child = {
        let _alone = FORKING.write().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}
