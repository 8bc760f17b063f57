//! What arguments mean: a host with or without its port, an id, a published policy, a number, a duration.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::policy::{PolicyTextError, Preset};

/// Where requests hold an id, and where replies repeat it.
#[derive(Clone, Debug)]
pub(crate) struct Id {
    pub(crate) range: Range<usize>,
    pub(crate) found_at: usize,
}

/// HOST:PORT, such as localhost:53 or [::1]:53.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    name: String,
    port: u16,
}

impl Host {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { name: address.ip().to_string(), port: address.port() }
    }

    /// The address, where it is one and not a name.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        self.name.parse().ok().map(|address: IpAddr| (address, self.port).into())
    }

    /// IPv4 first: a name may have addresses of both kinds, and most services listen on that one.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut addresses: Vec<_> = (self.name.as_str(), self.port).to_socket_addrs()?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }

    /// Names what was looked for in vain.
    pub(crate) fn without_address(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("no address for {:?}: {error}", self.name))
    }
}

/// IPv4 first, as [`Host::addresses`]. An interface in an IPv6 address, `fe80::1%eth0`, goes by its name or its number.
impl ToSocketAddrs for Host {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match self.literal() {
            Some(address) => Ok(vec![address].into_iter()),
            None => self.addresses().map(Vec::into_iter).map_err(|error| self.without_address(&error)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// HOST:PORT, or HOST where the port follows from what is asked there.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    name: String,
    port: Option<u16>,
}

impl Destination {
    pub(crate) fn or_port(&self, port: u16) -> Host {
        Host { name: self.name.clone(), port: self.port.unwrap_or(port) }
    }
}

/// HOST:PORT, or several between commas.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Vec<Host>);

impl Hosts {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self(vec![Host::at(address)])
    }

    /// The addresses, where all are addresses and none is a name.
    pub(crate) fn literal(&self) -> Option<Vec<SocketAddr>> {
        self.0.iter().map(Host::literal).collect()
    }

    /// All of the first one's, then the second's.
    ///
    /// # Errors
    ///
    /// That of the first name that has none.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let found = self.0.iter().map(|host| match host.literal() {
            Some(address) => Ok(vec![address]),
            None => host.addresses().map(in_turn).map_err(|error| host.without_address(&error)),
        });
        Ok(found.collect::<io::Result<Vec<_>>>()?.concat())
    }

    /// Names all that may have been looked for in vain.
    pub(crate) fn without_address(&self, error: &io::Error) -> io::Error {
        let names = self.0.iter().filter(|host| host.literal().is_none());
        let names = names.map(|host| format!("{:?}", host.name)).collect::<Vec<_>>().join(", ");
        io::Error::new(error.kind(), format!("no address for {names}: {error}"))
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Host::to_string).collect::<Vec<_>>().join(","))
    }
}

/// The families in turn (RFC 8305 §4), so that one that leads nowhere costs one wait.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (mut ranked, mut of_family) = (Vec::new(), [0, 0]);
    for address in addresses {
        let rank = &mut of_family[usize::from(address.is_ipv6())];
        *rank += 1;
        ranked.push((*rank, address));
    }
    ranked.sort_by_key(|&(rank, _)| rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

pub(crate) fn hosts(text: &str) -> Result<Hosts, String> {
    text.split(',').map(host).collect::<Result<_, _>>().map(Hosts)
}

/// Where something is; port 0 is none.
pub(crate) fn host(text: &str) -> Result<Host, String> {
    let host = host_and_port(text)?;
    Some(host).filter(|host| host.port > 0).ok_or_else(|| PORT.to_owned())
}

fn host_and_port(text: &str) -> Result<Host, String> {
    let is_ipv6 = |text: &str| text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    let (host, port) = text.rsplit_once(':').ok_or("it lacks a port: such as localhost:53 or [::1]:53")?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // Before the port, which may be the end of an address.
    if bracketed.map_or(host.contains([':', '[', ']']), |address| !is_ipv6(address)) {
        let meant = if is_ipv6(host) { format!("[{host}]:{port}") } else { "[::1]:53".to_owned() };
        return Err(format!("an IPv6 address, and nothing else, stands in brackets: such as {meant}"));
    }
    let port = port_number(port).ok_or(PORT)?;
    match bracketed.unwrap_or(host) {
        "" => Err("it lacks a host: such as localhost:53".to_owned()),
        name if name.contains(|char: char| char.is_whitespace() || char.is_control()) => {
            Err("a host has no spaces: such as localhost:53".to_owned())
        }
        name => Ok(Host { name: name.to_owned(), port }),
    }
}

pub(crate) fn destination(text: &str) -> Result<Destination, String> {
    let Host { name, port } = host(&with_port(text, 1))?;
    Ok(Destination { name, port: has_port(text).then_some(port) })
}

/// The same, with this port unless it has one.
pub(crate) fn with_port(text: &str, port: u16) -> String {
    if has_port(text) { text.to_owned() } else { format!("{text}:{port}") }
}

/// An IPv6 address has none after its bracket, or is none that we take.
fn has_port(text: &str) -> bool {
    text.rsplit(']').next().is_some_and(|end| end.contains(':'))
}

/// Where to listen; port 0 is one that the system picks.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if text.rsplit_once(':').is_some_and(|(_, number)| port_number(number).is_none()) {
        return Err("no address such as 127.0.0.1:53 or [::1]:53: a port is 0 to 65535, without sign or leading zero"
            .to_owned());
    }
    let failed = |error: String| format!("no address such as 127.0.0.1:53 or [::1]:53: {error}");
    let host = host_and_port(text).map_err(failed)?;
    let first = host.literal().map_or_else(|| Ok(host.addresses()?.into_iter().next()), |literal| Ok(Some(literal)));
    first.map_err(|error: io::Error| failed(error.to_string()))?.ok_or_else(|| "the name has no address".to_owned())
}

/// From 0. Only as it is written everywhere: other programs take a leading zero for octal, and a sign for a slip.
fn port_number(text: &str) -> Option<u16> {
    plain_number(text)
}

/// Digits without a sign, and without a zero before others.
fn plain_number<N: FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

pub(crate) fn id(text: &str) -> Result<Id, String> {
    let numbers: Option<Vec<usize>> = text.split(':').map(plain_number).collect();
    let (start, len, found_at) = match numbers.as_deref() {
        Some(&[start, len]) => (start, len, start),
        Some(&[start, len, found_at]) => (start, len, found_at),
        _ => return Err("an id is OFFSET:LEN or OFFSET:LEN:REPLY_OFFSET, such as 0:2 or 40:8:24".to_owned()),
    };
    // Else it would match nothing, for as long as the schedule lasts.
    let end = |start: usize| start.checked_add(len).filter(|&end| start < end && end <= LARGEST_PAYLOAD);
    let range = end(start).zip(end(found_at)).map(|(end, _)| start..end);
    let range = range.ok_or_else(|| format!("an id has at least one byte, and none lies beyond {LARGEST_PAYLOAD}"))?;
    Ok(Id { range, found_at })
}

pub(crate) fn preset(name: &str) -> Result<Preset, String> {
    Preset::named(name).ok_or_else(the_presets)
}

/// A preset's name, or the text of a policy.
pub(crate) fn policy(text: &str) -> Result<RetryPolicy, String> {
    text.parse().map_err(|error: PolicyTextError| {
        format!("{error}; {}, and \"1s x2 max 60s 5 transmissions\" is a text", the_presets())
    })
}

fn the_presets() -> String {
    format!("the presets are {}", Preset::ALL.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "))
}

pub(crate) fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "a number from 1 is needed".to_owned())
}

/// How often a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number above 0 is needed, such as 500 or 0.5".to_owned())
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|char: char| char.is_alphabetic()).unwrap_or(text.len()));
    let number = number.parse::<f64>().ok();
    if unit.is_empty() && number.is_some_and(|number| number > 0.0) {
        return Err(format!(
            "a duration is a number above 0 with a unit, us, ms, s, min or h, such as 500ms or 5s: if it is in seconds, {text}s"
        ));
    }
    let unit = UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, seconds)| seconds);
    let seconds = number.zip(unit).map(|(number, unit)| number * unit);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| {
        "a duration is a number above 0 with a unit, us, ms, s, min or h, such as 500ms or 5s".to_owned()
    })
}

const PORT: &str = "a port is a number from 1 to 65535, without sign or leading zero";

/// Bytes of the longest payload of UDP: over IPv6, without jumbograms.
pub(crate) const LARGEST_PAYLOAD: usize = 65_527;

const UNITS: [(&str, f64); 5] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_may_have_a_port_of_its_own() {
        for (text, host) in [
            ("example.org", "example.org:53"),
            ("example.org:5353", "example.org:5353"),
            ("192.0.2.7", "192.0.2.7:53"),
            ("[2001:db8::7]", "[2001:db8::7]:53"),
            ("[2001:db8::7]:5353", "[2001:db8::7]:5353"),
            ("[fe80::7%eth0]", "[fe80::7%eth0]:53"),
        ] {
            assert_eq!(destination(text).unwrap().or_port(53).to_string(), host);
        }
        for text in
            ["", ":53", "[]", "::1", "2001:db8::7", "[192.0.2.7]", "a b", "example.org:", "example.org:0", "[::1]5"]
        {
            assert!(destination(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_addresses_of_a_name_come_from_the_families_in_turn_and_those_of_the_first_name_first() {
        let list = |text: &str| text.split(' ').map(|ip| SocketAddr::new(ip.parse().unwrap(), 9)).collect::<Vec<_>>();
        for (given, expected) in [
            ("10.0.0.1 10.0.0.2 10.0.0.3 ::1 ::2", "10.0.0.1 ::1 10.0.0.2 ::2 10.0.0.3"),
            ("::1 ::2 10.0.0.1", "::1 10.0.0.1 ::2"),
            ("10.0.0.2 10.0.0.1", "10.0.0.2 10.0.0.1"),
        ] {
            assert_eq!(in_turn(list(given)), list(expected));
        }
        let listed = hosts("10.0.0.2:9,[::1]:9,10.0.0.1:9").unwrap();
        assert_eq!(listed.addresses().unwrap(), list("10.0.0.2 ::1 10.0.0.1"));
        assert_eq!(listed.literal(), Some(list("10.0.0.2 ::1 10.0.0.1")));
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets_wherever_an_address_is_asked_for() {
        for (text, meant) in [("::1:4545", "[::1]:4545"), ("2001:db8::7:53", "[2001:db8::7]:53"), ("::1", "[::1]:53")] {
            for refused in [host(text).map(drop).unwrap_err(), address(text).map(drop).unwrap_err()] {
                assert!(refused.contains("in brackets") && refused.contains(meant), "{text}: {refused}");
            }
        }
        for text in ["[127.0.0.1]:53", "[::1", "::1]:53", "[]:53", "[::1]]:53"] {
            assert!(host(text).is_err() && address(text).is_err(), "{text}");
        }
        assert_eq!(address("[::1]:0"), Ok("[::1]:0".parse().unwrap()));
        assert!(host("[::1]:0").unwrap_err().contains("from 1 to 65535"));
    }

    /// Loopback is the first interface there, and has a name.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_goes_by_its_name_or_its_number() {
        for text in ["[fe80::1%lo]:4545", "[fe80::1%1]:4545"] {
            let expected: SocketAddr = "[fe80::1%1]:4545".parse().unwrap();
            assert_eq!(address(text), Ok(expected), "{text}");
            assert_eq!(host(text).unwrap().to_socket_addrs().unwrap().collect::<Vec<_>>(), [expected], "{text}");
        }
        assert!(address("[fe80::1%none-of-ours]:4545").is_err());
    }
}
