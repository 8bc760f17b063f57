//! What a proxy does whose sockets report nothing but errors.

mod tests {
    use std::net::SocketAddr;
    use std::thread;

    use crate::fault::{Capacity, Profile, Tap};
    use crate::processor::{at_most, spent, undisturbed};
    use crate::proxy::forwarder::*;
    use crate::proxy::pause::LONGEST_PAUSE;
    use crate::proxy::resolving::Resolver;
    use crate::proxy::service_socket::ServiceSocket;
    use crate::proxy::upstream::Upstream;
    use crate::{Impairments, Seed};

    #[test]
    fn sockets_that_report_nothing_but_errors_cost_no_processor_time_and_are_asked_again() {
        let listener_fails = Receive { from_client: fails_to_hear_clients, ..SOUND };
        let sessions_fail = Receive { from_service: fails_to_hear_the_service, ..SOUND };
        let all_fail = Receive { from_client: fails_to_hear_clients, from_service: fails_to_hear_the_service };
        thread::scope(|scope| {
            for (what, failing) in
                [("listener fails", listener_fails), ("sessions fail", sessions_fail), ("all fail", all_fail)]
            {
                scope.spawn(move || undisturbed(what, || proxy_that_fails(&failing)));
            }
        });
    }

    fn proxy_that_fails(failing: &Receive) -> Result<(), String> {
        let (client, service) = (bound(), bound());
        let mut proxy = forwarder(service.local_addr().unwrap());
        let turn = Duration::from_millis(20);
        client.send_to(b"first", proxy.listener.local).unwrap();
        proxy.run_for(turn).unwrap();
        let (_, session) = service.recv_from(&mut [0; 8]).unwrap();

        proxy.receive = Receive { ..*failing };
        service.send_to(b"reply", session).unwrap();
        client.send_to(b"request", proxy.listener.local).unwrap();
        let (ran, spent) = spent(|| proxy.run_for(Duration::from_secs(3)));
        ran.unwrap();
        let errors = proxy.stats().path_errors;

        proxy.receive = SOUND;
        client.send_to(b"last", proxy.listener.local).unwrap();
        proxy.run_for(2 * LONGEST_PAUSE).unwrap();
        let stats = proxy.stats();
        assert_eq!((stats.to_server.passed, stats.to_client.passed), (3, 1), "what waited meanwhile is passed on");
        (errors > 400).then_some(()).ok_or_else(|| format!("nothing was proved: {errors} errors"))?;
        at_most(&(..=Duration::from_millis(5)), spent)
    }

    // The call is made all the same, and costs what it costs.
    fn fails_to_hear_clients(listener: &Listener, _buffer: &mut [u8]) -> io::Result<(usize, Route)> {
        let _ = listener.socket.peek_from(&mut []);
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    fn fails_to_hear_the_service(socket: &ServiceSocket, _buffer: &mut [u8]) -> io::Result<Reply> {
        let _ = socket.socket.peek(&mut []);
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn forwarder(upstream: SocketAddr) -> Forwarder {
        let rules = Rules {
            profile: Profile::both(Impairments::NONE),
            replay: None,
            seed: Seed::new(7),
            idle: Duration::from_secs(60),
            max_sessions: core::num::NonZeroUsize::MIN,
            capacity: Capacity::DEFAULT,
            shared: false,
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let upstream = Upstream::new(Resolver::of(upstream), listener.local).unwrap();
        let sockets = ServiceSockets::new(upstream, false, false, rules.max_sessions).unwrap();
        Forwarder::new(listener, rules, sockets, |origin| Watch::new(None, Tap::NONE, origin)).unwrap()
    }

    #[expect(clippy::disallowed_types, reason = "the ends of a proxy block")]
    fn bound() -> std::net::UdpSocket {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }
}
