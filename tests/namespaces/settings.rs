//! Every setting of a socket that Linux lets us make and read back, through safe calls: what they are, as text.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets are the point")]

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use nix::sys::socket::{TimestampingFlag, getsockopt, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::net::sockopt as rx;
use socket2::SockRef;

/// A setting: its name, how it is made, how it is read.
type Setting = (&'static str, fn(&UdpSocket) -> Result<(), String>, fn(&UdpSocket) -> String);

/// Makes every setting, and checks that each has taken hold.
#[track_caller]
pub(crate) fn make_all(socket: &UdpSocket) {
    for (name, make, read) in settings(socket) {
        let before = read(socket);
        make(socket).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_ne!(read(socket), before, "{name} has not changed");
    }
}

/// All of them, as they are now.
pub(crate) fn read_all(socket: &UdpSocket) -> Vec<String> {
    let lines = settings(socket).into_iter().map(|(name, _, read)| format!("{name} {}", read(socket)));
    lines.chain([format!("nonblocking {:?}", SockRef::from(socket).nonblocking().unwrap())]).collect()
}

fn settings(socket: &UdpSocket) -> Vec<Setting> {
    let mut all = of_both();
    all.extend(if socket.local_addr().unwrap().is_ipv4() { of_v4() } else { of_v6() });
    all
}

/// What was made or read, or why not.
fn done<T>(made: Result<T, impl Debug>) -> Result<(), String> {
    made.map(drop).map_err(|error| format!("{error:?}"))
}

macro_rules! by_nix {
    ($($name:ident = $value:expr),+ $(,)?) => {
        [$((
            stringify!($name),
            |socket| done(setsockopt(socket, sockopt::$name, &$value)),
            |socket| format!("{:?}", getsockopt(socket, sockopt::$name)),
        )),+]
    };
}

macro_rules! by_socket2 {
    ($($set:ident $get:ident = $value:expr),+ $(,)?) => {
        [$((
            stringify!($get),
            |socket| done(SockRef::from(socket).$set($value)),
            |socket| format!("{:?}", SockRef::from(socket).$get()),
        )),+]
    };
}

macro_rules! by_rustix {
    ($($set:ident $get:ident = $value:expr),+ $(,)?) => {
        [$((stringify!($get), |socket| done(rx::$set(socket, $value)), |socket| format!("{:?}", rx::$get(socket)))),+]
    };
}

/// The device comes first: some others are checked against it.
fn of_both() -> Vec<Setting> {
    let mut all: Vec<Setting> = Vec::new();
    all.extend::<[Setting; 7]>(by_socket2![
        bind_device device = Some(DEVICE.as_bytes()),
        set_mark mark = 77,
        set_broadcast broadcast = true,
        set_recv_buffer_size recv_buffer_size = 50_000,
        set_send_buffer_size send_buffer_size = 9_000,
        set_keepalive keepalive = true,
        set_out_of_band_inline out_of_band_inline = true,
    ]);
    all.extend::<[Setting; 14]>(by_nix![
        Priority = 5,
        ReuseAddr = true,
        ReusePort = true,
        DontRoute = true,
        RxqOvfl = 1,
        RcvMark = true,
        Timestamping = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE,
        ReceiveTimestampns = true,
        UdpGsoSegment = 1200,
        UdpGroSegment = true,
        ReceiveTimeout = TimeVal::milliseconds(1700),
        SendTimeout = TimeVal::milliseconds(2700),
        Linger = nix::libc::linger { l_onoff: 1, l_linger: 9 },
        TxTime = nix::libc::sock_txtime { clockid: 1, flags: 2 },
    ]);
    all
}

fn of_v4() -> Vec<Setting> {
    let mut all: Vec<Setting> = Vec::new();
    all.extend::<[Setting; 9]>(by_socket2![
        set_ttl_v4 ttl_v4 = 33,
        set_tos_v4 tos_v4 = 0x10,
        set_recv_tos_v4 recv_tos_v4 = true,
        set_ip_transparent_v4 ip_transparent_v4 = true,
        set_freebind_v4 freebind_v4 = true,
        set_multicast_ttl_v4 multicast_ttl_v4 = 7,
        set_multicast_loop_v4 multicast_loop_v4 = false,
        set_multicast_all_v4 multicast_all_v4 = false,
        set_multicast_if_v4 multicast_if_v4 = &HERE,
    ]);
    all.extend::<[Setting; 5]>(by_nix![
        IpBindAddressNoPort = true,
        Ipv4PacketInfo = true,
        Ipv4RecvTtl = true,
        Ipv4RecvErr = true,
        Ipv4OrigDstAddr = true,
    ]);
    all.extend::<[Setting; 1]>(by_rustix![set_ip_mtu_discover ip_mtu_discover = rx::Ipv4PathMtuDiscovery::PROBE]);
    all.push((
        "membership",
        |socket| done(socket.join_multicast_v4(&Ipv4Addr::new(239, 9, 9, 9), &HERE)),
        |_| is_listed("igmp", "090909EF"),
    ));
    all
}

fn of_v6() -> Vec<Setting> {
    let mut all: Vec<Setting> = Vec::new();
    all.extend::<[Setting; 9]>(by_socket2![
        set_unicast_hops_v6 unicast_hops_v6 = 33,
        set_tclass_v6 tclass_v6 = 0x10,
        set_recv_tclass_v6 recv_tclass_v6 = true,
        set_recv_hoplimit_v6 recv_hoplimit_v6 = true,
        set_ip_transparent_v6 ip_transparent_v6 = true,
        set_freebind_v6 freebind_v6 = true,
        set_multicast_hops_v6 multicast_hops_v6 = 7,
        set_multicast_loop_v6 multicast_loop_v6 = false,
        set_multicast_all_v6 multicast_all_v6 = false,
    ]);
    all.extend::<[Setting; 4]>(by_nix![
        Ipv6RecvPacketInfo = true,
        Ipv6RecvErr = true,
        Ipv6OrigDstAddr = true,
        Ipv6DontFrag = true,
    ]);
    all.extend::<[Setting; 1]>(by_rustix![set_ipv6_mtu_discover ipv6_mtu_discover = rx::Ipv6PathMtuDiscovery::PROBE]);
    all.push((
        "multicast_if_v6",
        |socket| done(SockRef::from(socket).set_multicast_if_v6(number())),
        |socket| format!("{:?}", SockRef::from(socket).multicast_if_v6()),
    ));
    all.push((
        "membership",
        |socket| done(socket.join_multicast_v6(&GROUP6, number())),
        |_| is_listed("igmp6", "ff150000000000000000000000099999"),
    ));
    all
}

/// Whether the thread's network has joined a group.
fn is_listed(table: &str, group: &str) -> String {
    std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap().contains(group).to_string()
}

fn number() -> u32 {
    nix::net::if_::if_nametoindex(DEVICE).unwrap()
}

/// What the settings take for granted.
pub(crate) const DEVICE: &str = "c0";
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 9, 0x9999);
