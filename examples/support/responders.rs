//! Small faithful servers on loopback, so that the examples of real protocols run without a network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, Transport};

/// Knows the addresses of `www.example.test`, by way of an alias, and of `host.example.test`; RFC 1035.
pub(crate) fn dns() -> io::Result<SocketAddr> {
    on_loopback(|query, _| {
        // A standard query with one question, uncompressed as every query is.
        let (header, rest) = query.split_at_checked(12)?;
        let name = &rest[..=rest.iter().position(|&byte| byte == 0)?];
        let question = rest.get(..name.len() + 4)?;
        let kind = *question.get(name.len() + 1)?;
        if header[2] & 0xf8 != 0 || header[4..6] != [0, 1] {
            return None;
        }
        const ALIAS: &[u8] = b"\x03www\x07example\x04test\0";
        const HOST: &[u8] = b"\x04host\x07example\x04test\0";
        let (alias, known) = (name.eq_ignore_ascii_case(ALIAS), name.eq_ignore_ascii_case(HOST));
        // Names are told by pointers: the question's is at 12; "example.test" behind its first label of 3 letters;
        // what the alias stands for in the data of the first record, which is 12 bytes behind the question.
        let target = 12 + question.len() as u8 + 12;
        let mut records = Vec::new();
        if alias {
            records.push([&[0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 7][..], b"\x04host", &[0xc0, 16]].concat());
        }
        let owner = if alias { target } else { 12 };
        let v6 = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07";
        match kind {
            1 if alias || known => {
                records.push([&[0xc0, owner, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &[192, 0, 2, 7]].concat());
            }
            28 if alias || known => {
                records.push([&[0xc0, owner, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16][..], v6].concat());
            }
            _ => {}
        }
        let rcode = if alias || known { 0 } else { 3 };
        let flags = [0x84 | header[2] & 1, rcode];
        let header = [&header[..2], &flags, &[0, 1, 0, records.len() as u8, 0, 0, 0, 0]].concat();
        Some([header, question.to_vec(), records.concat()].concat())
    })
}

/// Tells the time of this host; RFC 5905.
pub(crate) fn ntp() -> io::Result<SocketAddr> {
    on_loopback(|request, _| {
        let [first, ..] = *request else { return None };
        let (version, mode) = (first >> 3 & 7, first & 7);
        if mode != 3 || !(1..=4).contains(&version) {
            return None;
        }
        let origin = request.get(40..48)?;
        let now = ntp_now().to_be_bytes();
        // Stratum 1, polled every 64 s, to a microsecond; no delay, no dispersion; a local clock.
        let head = [&[version << 3 | 4, 1, 6, 0xec][..], &[0; 8], b"LOCL"].concat();
        Some([&head, &now[..], origin, &now, &ntp_now().to_be_bytes()].concat())
    })
}

/// Seconds since 1900 in 32 bits, and as many bits of their fraction.
#[expect(clippy::disallowed_methods, reason = "the time of day is what is asked for")]
fn ntp_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    since.as_secs().wrapping_add(2_208_988_800) << 32 | fraction
}

/// Tells whoever asks under which address; RFC 8489.
pub(crate) fn stun() -> io::Result<SocketAddr> {
    on_loopback(|request, from| {
        let ([0, 1, 0, 0, rest @ ..], Some(id @ [0x21, 0x12, 0xa4, 0x42, ..])) = (request, request.get(4..20)) else {
            return None;
        };
        if rest.len() != 16 {
            return None;
        }
        let (family, address) = match from.ip() {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (2, address.octets().to_vec()),
        };
        let xor = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(id).map(|(byte, key)| byte ^ key).collect() };
        let value = [vec![0, family], xor(&from.port().to_be_bytes()), xor(&address)].concat();
        let length = value.len() as u8;
        Some([&[1, 1, 0, length + 4][..], id, &[0, 0x20, 0, length], &value].concat())
    })
}

/// Answers as long as the process lives.
#[expect(clippy::disallowed_methods, reason = "a thread for the server")]
fn on_loopback(answer: impl Fn(&[u8], SocketAddr) -> Option<Vec<u8>> + Send + 'static) -> io::Result<SocketAddr> {
    let mut server = UnconnectedUdp::bind("127.0.0.1:0")?;
    let address = server.local_addr();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        loop {
            match server.recv_until(&mut buffer, Timestamp::MAX) {
                Ok(Some(heard)) => {
                    if let Some(reply) = answer(&buffer[..heard.len], heard.from.remote) {
                        // Whoever does not get it asks again.
                        let _ = server.send(heard.from, &reply);
                    }
                }
                Ok(None) | Err(PathError::Refused | PathError::Unreachable) => {}
                Err(_) => return,
            }
        }
    });
    Ok(address)
}
