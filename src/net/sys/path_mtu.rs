//! Whether datagrams may be fragmented, and what the kernel knows of the path.

use std::io;
use std::net::UdpSocket;

use rustix::io::Errno;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ip_mtu_discover, ipv6_mtu, ipv6_mtu_discover,
    set_ip_mtu_discover, set_ipv6_mtu_discover,
};

use crate::size::IpFamily;
use crate::transport::Fragmentation;

/// Whether the mode took hold for this family.
pub(in crate::net) fn set_fragmentation(socket: &UdpSocket, family: IpFamily, mode: Fragmentation) -> io::Result<bool> {
    let applied = match family {
        IpFamily::V4 => {
            set_ip_mtu_discover(socket, v4(mode)).and_then(|()| ip_mtu_discover(socket)).map(|now| now == v4(mode))
        }
        IpFamily::V6 => {
            set_ipv6_mtu_discover(socket, v6(mode)).and_then(|()| ipv6_mtu_discover(socket)).map(|now| now == v6(mode))
        }
    };
    match applied {
        Err(Errno::NOPROTOOPT | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
        applied => Ok(applied?),
    }
}

pub(in crate::net) fn fragmentation(socket: &UdpSocket, family: IpFamily) -> io::Result<Fragmentation> {
    const MODES: [Fragmentation; 4] =
        [Fragmentation::ByEstimate, Fragmentation::Allowed, Fragmentation::Forbidden, Fragmentation::Probing];
    let named = match family {
        IpFamily::V4 => {
            let present = ip_mtu_discover(socket)?;
            MODES.into_iter().find(|&mode| v4(mode) == present)
        }
        IpFamily::V6 => {
            let present = ipv6_mtu_discover(socket)?;
            MODES.into_iter().find(|&mode| v6(mode) == present)
        }
    };
    named.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Gives one socket the mode of another, for both families where it has both.
pub(in crate::net) fn carry_over_fragmentation(from: &UdpSocket, to: &UdpSocket) -> io::Result<()> {
    for family in [IpFamily::V4, IpFamily::V6] {
        if let Ok(mode) = fragmentation(from, family) {
            set_fragmentation(to, family, mode)?;
        }
    }
    Ok(())
}

pub(in crate::net) fn kernel_pmtu(socket: &UdpSocket, family: IpFamily) -> io::Result<u32> {
    let pmtu = match family {
        IpFamily::V4 => ip_mtu(socket),
        IpFamily::V6 => ipv6_mtu(socket),
    };
    Ok(pmtu?)
}

fn v4(mode: Fragmentation) -> Ipv4PathMtuDiscovery {
    match mode {
        Fragmentation::ByEstimate => Ipv4PathMtuDiscovery::WANT,
        Fragmentation::Allowed => Ipv4PathMtuDiscovery::DONT,
        Fragmentation::Forbidden => Ipv4PathMtuDiscovery::DO,
        Fragmentation::Probing => Ipv4PathMtuDiscovery::PROBE,
    }
}

fn v6(mode: Fragmentation) -> Ipv6PathMtuDiscovery {
    match mode {
        Fragmentation::ByEstimate => Ipv6PathMtuDiscovery::WANT,
        Fragmentation::Allowed => Ipv6PathMtuDiscovery::DONT,
        Fragmentation::Forbidden => Ipv6PathMtuDiscovery::DO,
        Fragmentation::Probing => Ipv6PathMtuDiscovery::PROBE,
    }
}
