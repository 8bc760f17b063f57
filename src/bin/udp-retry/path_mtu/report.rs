//! What was found, for people and as JSON.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::path_mtu::{Evidence, PathReport, ProbeRecord};
use udp_retry::size::{IpFamily, Plpmtu};

use super::packet_of;

/// A measurement.
pub(crate) struct Measured {
    pub(crate) server: SocketAddr,
    pub(crate) report: PathReport,
    pub(crate) history: Vec<ProbeRecord>,
}

impl Measured {
    pub(crate) fn packet(&self, size: Plpmtu) -> u32 {
        packet_of(size, IpFamily::of(self.server.ip()))
    }
}

/// A line for each direction, one for what that proves, and one for what it took.
pub(crate) struct Story<'a>(pub(crate) &'a Measured);

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(measured @ Measured { server, report, .. }) = self;
        for (direction, size) in [("to", report.forward), ("from", report.reverse)] {
            if let Some(size) = size {
                let (bytes, packet) = (size.bytes(), measured.packet(size));
                writeln!(f, "{direction} {server}: {bytes} bytes of payload, {packet} of a packet")?;
            }
        }
        f.write_str(match report.evidence {
            Evidence::Confirmed => "the path carries no more",
            Evidence::ServiceOrPath => {
                "larger datagrams were not answered: the path drops them, or the service ignores them"
            }
            _ => "nothing is known of the path",
        })?;
        let PathReport { probes, lost, took, .. } = *report;
        write!(f, "\n{probes} probes, {lost} lost, {:.1} ms", ms(took))
    }
}

/// One line.
pub(crate) struct Json<'a>(pub(crate) &'a Measured);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(measured @ Measured { server, report, .. }) = self;
        let PathReport { forward, reverse, probes, lost, reports, took, .. } = *report;
        let packet = |size: Option<Plpmtu>| or_null(size.map(|it| measured.packet(it)));
        let payload = |size: Option<Plpmtu>| or_null(size.map(Plpmtu::bytes));
        let evidence = match report.evidence {
            Evidence::Confirmed => "confirmed",
            Evidence::ServiceOrPath => "service_or_path",
            _ => "unanswered",
        };
        let round_trip = or_null(report.round_trip.map(|it| format!("{:.3}", ms(it))));
        write!(f, r#"{{"forward_pmtu":{},"reverse_pmtu":{},"#, packet(forward), packet(reverse))?;
        write!(f, r#""forward_plpmtu":{},"evidence":"{evidence}","probes":{probes},"#, payload(forward))?;
        write!(f, r#""probes_lost":{lost},"reports":{reports},"took_ms":{:.3},"#, ms(took))?;
        write!(f, r#""round_trip_ms":{round_trip},"reverse_plpmtu":{},"server":"{server}"}}"#, payload(reverse))
    }
}

fn or_null(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "null".to_owned(), |it| it.to_string())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
