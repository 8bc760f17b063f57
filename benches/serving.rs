//! A server that executes once, beside the least that any server can do: a loop that receives and sends.
//!
//! `taskset -c 0 cargo bench --bench serving` has client and server on one core. Each round asks every server in turn, first with one
//! request in flight and then with 32, and compares the processor time of its thread with that of the bare loop in the same round.
//!
//! Targets: 0.9 of the bare loop at a window of 1, 0.75 at 32, at one address; and the same at all addresses of the host, where the bare
//! loop asks the system for the one that was asked, and answers from there.

#[cfg(target_os = "linux")]
fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { 151 };
    measured::compare(rounds);
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the processor time of a thread is measured on Linux only");
}

#[cfg(target_os = "linux")]
mod measured {
    #![expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "real sockets, threads and clocks are measured"
    )]

    use std::io::{IoSlice, IoSliceMut};
    use std::net::{SocketAddr, UdpSocket};
    use std::num::NonZeroU32;
    use std::os::fd::AsRawFd;
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::thread;
    use std::time::Duration;

    use nix::cmsg_space;
    use nix::libc::in_pktinfo;
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
    };
    use rustix::time::{ClockId, clock_gettime};
    use udp_retry::net::UnconnectedUdp;
    use udp_retry::replies::{ReplyLimits, Responder, WhenFull, same_id};
    use udp_retry::serving::{Handled, SharedResponder};

    const REQUESTS: u64 = 2_000;
    const BYTES: usize = 64;
    const WINDOWS: [usize; 2] = [1, 32];
    const FEW: NonZeroU32 = NonZeroU32::new(4096).unwrap();
    const MANY: NonZeroU32 = NonZeroU32::new(1 << 20).unwrap();

    pub(super) fn compare(rounds: usize) {
        let many = ReplyLimits::default().when_full(WhenFull::Forget).with_entries(MANY);
        // As much memory as the replies of that many requests take.
        let few = many.with_entries(FEW).with_bytes(FEW.get() as usize * (BYTES + 20));
        // Each beside the bare loop that stands before it.
        let mut servers = [
            Server::new("one address: recv_from, send_to", true, "127.0.0.1:0", bare),
            Server::new("  serve, 4,096 entries", false, "127.0.0.1:0", serve(few, false)),
            Server::new("  serve, 4,096 entries, 16 MiB", false, "127.0.0.1:0", serve(few.with_bytes(16 << 20), false)),
            Server::new("  serve, 1,048,576 entries, 16 MiB", false, "127.0.0.1:0", serve(many, false)),
            Server::new("  serve with a cancel handle", false, "127.0.0.1:0", serve(few, true)),
            Server::new("all addresses: recvmsg, sendmsg", true, "0.0.0.0:0", bare_from_all),
            Server::new("  serve, 4,096 entries", false, "0.0.0.0:0", serve(few, false)),
            Server::new("  serve with a cancel handle", false, "0.0.0.0:0", serve(few, true)),
        ];
        let mut costs = vec![[const { Vec::new() }; WINDOWS.len()]; servers.len()];
        for round in 0..=rounds {
            for (at, window) in WINDOWS.into_iter().enumerate() {
                let mut bare = 0.0;
                for (server, costs) in servers.iter_mut().zip(&mut costs) {
                    let cost = server.cost(window);
                    bare = if server.is_bare { cost } else { bare };
                    // The first round warms up.
                    if round > 0 {
                        costs[at].push((cost, bare / cost));
                    }
                }
            }
        }
        println!(
            "medians of {rounds} rounds of {REQUESTS} requests of {BYTES} bytes, in us of the server's processor:"
        );
        println!("{:<34} {:>24}  {:>24}", "", "window 1", "window 32");
        for (server, costs) in servers.iter().zip(&costs) {
            let figures = costs.each_ref().map(|costs| {
                let of = |figure: fn(&(f64, f64)) -> f64| median(&mut costs.iter().map(figure).collect::<Vec<_>>());
                format!("{:.3} us, {:.3} of bare", of(|(cost, _)| *cost), of(|(_, ratio)| *ratio))
            });
            println!("{:<34} {:>24}  {:>24}", server.name, figures[0], figures[1]);
        }
    }

    /// A server in a thread of its own, and its client.
    struct Server {
        name: &'static str,
        is_bare: bool,
        client: UdpSocket,
        times: Receiver<Duration>,
        id: u64,
    }

    impl Server {
        fn new(
            name: &'static str,
            is_bare: bool,
            address: &str,
            run: impl FnOnce(UdpSocket, Meter) + Send + 'static,
        ) -> Self {
            let socket = UdpSocket::bind(address).unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(("127.0.0.1", socket.local_addr().unwrap().port())).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let (sender, times) = mpsc::channel();
            thread::spawn(move || run(socket, Meter { left: 0, began: Duration::ZERO, sender }));
            Self { name, is_bare, client, times, id: 0 }
        }

        /// Microseconds of the server's processor, for one request.
        fn cost(&mut self, window: usize) -> f64 {
            // One more, at which the meter begins.
            let (mut sent, mut buffer) = (0, [0; BYTES]);
            let total = REQUESTS + 1;
            while sent < window as u64 {
                self.ask();
                sent += 1;
            }
            for _ in 0..total {
                self.client.recv(&mut buffer).unwrap();
                if sent < total {
                    self.ask();
                    sent += 1;
                }
            }
            let time = self.times.recv().unwrap();
            time.as_secs_f64() * 1e6 / REQUESTS as f64
        }

        fn ask(&mut self) {
            self.id += 1;
            let mut request = [b'x'; BYTES];
            request[..8].copy_from_slice(&self.id.to_be_bytes());
            self.client.send(&request).unwrap();
        }
    }

    /// Reports the processor time of its thread from one request to the one that comes [`REQUESTS`] later.
    struct Meter {
        left: u64,
        began: Duration,
        sender: Sender<Duration>,
    }

    impl Meter {
        #[inline]
        fn tick(&mut self) {
            if self.left == 0 {
                self.left = REQUESTS;
                self.began = thread_time();
                return;
            }
            self.left -= 1;
            if self.left == 0 {
                let _ = self.sender.send(thread_time() - self.began);
            }
        }
    }

    fn bare(socket: UdpSocket, mut meter: Meter) {
        let mut buffer = [0; 65_535];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            meter.tick();
            let _ = socket.send_to(&buffer[..len], from);
        }
    }

    fn bare_from_all(socket: UdpSocket, mut meter: Meter) {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).unwrap();
        let (mut buffer, mut control) = ([0; 65_535], cmsg_space!(in_pktinfo));
        loop {
            let (len, from, info) = {
                let mut payload = [IoSliceMut::new(&mut buffer)];
                let message =
                    recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut payload, Some(&mut control), MsgFlags::empty())
                        .unwrap();
                let info = message.cmsgs().unwrap().find_map(|it| match it {
                    ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
                    _ => None,
                });
                (message.bytes, message.address, info.unwrap())
            };
            meter.tick();
            let info = in_pktinfo { ipi_ifindex: 0, ..info };
            let (payload, source) = ([IoSlice::new(&buffer[..len])], [ControlMessage::Ipv4PacketInfo(&info)]);
            let _ = sendmsg(socket.as_raw_fd(), &payload, &source, MsgFlags::empty(), from.as_ref());
        }
    }

    fn serve(limits: ReplyLimits, has_handle: bool) -> impl FnOnce(UdpSocket, Meter) + Send {
        move |socket, mut meter| {
            let address: SocketAddr = socket.local_addr().unwrap();
            // Its own: what it is given would never wait in `recv`.
            drop(socket);
            let mut end = UnconnectedUdp::bind(address).unwrap();
            let _handle = has_handle.then(|| end.cancel_handle().unwrap());
            let responder = SharedResponder::from(Responder::over(&mut end, limits, same_id(0..8)).unwrap());
            responder.serve(&mut end, |request, reply| {
                meter.tick();
                reply.extend_from_slice(request.bytes());
                Handled::Reply
            });
        }
    }

    fn thread_time() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }

    fn median(values: &mut [f64]) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}
