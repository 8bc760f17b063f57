//! Which of a host's addresses the proxy answers from, and that it never answers itself.
#![cfg(all(target_os = "linux", not(udp_retry_portable)))]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use udp_retry::fault::Profile;
use udp_retry::proxy::Proxy;

use crate::tools::{MS, PATIENCE, Running, Service, ask, delayed, hear_from, socket};
use crate::watchdog::{MINUTE, within};

/// Connected, so that it receives what comes from this very address alone.
fn client_of(proxy: SocketAddr, asked: &str) -> UdpSocket {
    let asked = SocketAddr::new(asked.parse().unwrap(), proxy.port());
    let socket = UdpSocket::bind(if asked.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(asked).unwrap();
    socket
}

#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        for (listen, asked) in [
            ("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.9.9.9"][..]),
            ("[::]:0", &["::1", "127.0.0.1", "127.0.0.2", "::ffff:127.0.0.3"]),
        ] {
            // Straight from the buffer, and through the delay line.
            for delay in [0, 1] {
                let builder = Proxy::builder().profile(Profile::both(delayed(delay * MS)));
                let proxy = Running::listen(builder, listen, service.address);
                for asked in asked {
                    let client = client_of(proxy.address, asked);
                    for len in [0, 1, 1472, 9000] {
                        assert_eq!(ask(&client, &vec![7; len]).len(), len, "{listen} asked at {asked}");
                    }
                }
                let stats = proxy.stop();
                assert_eq!((stats.opened, stats.to_client.passed), (asked.len() as u64, 4 * asked.len() as u64));
            }
        }
    });
}

#[test]
fn a_client_that_asks_two_addresses_of_a_wildcard_has_two_sessions() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let proxy = Running::listen(Proxy::builder(), "0.0.0.0:0", service.local_addr().unwrap());
        let client = socket("127.0.0.1:0");
        let asked: Vec<SocketAddr> =
            ["127.0.0.2", "127.0.0.3"].map(|ip| (ip.parse::<IpAddr>().unwrap(), proxy.address.port()).into()).into();
        let mut sessions = Vec::new();
        for address in &asked {
            client.send_to(address.to_string().as_bytes(), address).unwrap();
            let (heard, session) = hear_from(&service);
            assert_eq!(heard, address.to_string().as_bytes());
            sessions.push((session, heard));
        }
        // The replies come from where each was asked, in whatever order.
        for (session, reply) in sessions.iter().rev() {
            service.send_to(reply, session).unwrap();
        }
        let heard: BTreeSet<_> = [(); 2].map(|()| hear_from(&client)).into();
        assert_eq!(heard, asked.iter().map(|address| (address.to_string().into_bytes(), *address)).collect());
        assert_eq!(proxy.stop().opened, 2);
    });
}

/// Two names of one host, of which the first would lead back into the proxy.
#[test]
fn an_address_of_the_proxy_among_those_of_a_name_is_left_out() {
    within(MINUTE, || {
        struct Names(Vec<SocketAddr>);
        impl ToSocketAddrs for Names {
            type Iter = std::vec::IntoIter<SocketAddr>;
            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(self.0.clone().into_iter())
            }
        }
        let service = Service::echo("[::1]:0");
        let port = service.address.port();
        let own = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
        for (listen, ips) in [
            ("127.0.0.1", &["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"][..]),
            ("0.0.0.0", &["127.0.0.1", "127.8.8.8", "0.0.0.0", "::ffff:127.0.0.1"]),
            ("::ffff:127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"]),
        ] {
            for ip in ips {
                let refused = Proxy::builder().bind(own(listen), own(ip)).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{listen} {ip}: {refused}");
                let names = Names(vec![own(ip), service.address]);
                let proxy = Proxy::builder().bind(own(listen), names).unwrap();
                assert_eq!(proxy.upstream_addr(), service.address, "{listen} {ip}");
            }
        }
    });
}
