//! What stands in a capture: by tshark, and block by block.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// A packet as tshark shows it. Reading fails if a checksum is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Packet {
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    pub(crate) interface: String,
    pub(crate) comment: String,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
    /// Bytes of the IP packet, and how many of them are there.
    pub(crate) len: usize,
    pub(crate) captured: usize,
}

/// A file in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn packets(capture: &[u8]) -> Vec<Packet> {
    static USED: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}.pcapng", std::process::id(), USED.fetch_add(1, Ordering::Relaxed));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, capture).unwrap();
    let fields = FIELDS.split_whitespace().flat_map(|field| ["-e", field]);
    let shown = Command::new("tshark")
        .args(["-n", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-r"])
        .arg(&file)
        .args(fields)
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let errors = String::from_utf8_lossy(&shown.stderr);
    // It says as whom it runs, and that alone.
    assert!(shown.status.success() && !errors.contains("tshark:"), "{errors}");
    String::from_utf8(shown.stdout).unwrap().lines().map(packet).collect()
}

const FIELDS: &str = "frame.time_epoch frame.interface_name frame.comment ip.src ip.dst ipv6.src ipv6.dst udp.srcport \
                      udp.dstport udp.payload frame.len frame.cap_len ip.checksum.status udp.checksum.status udp.length";
const GOOD: &str = "1";
/// Of a packet that is not there as a whole, no one can know it.
const MISSING: &str = "3";

fn packet(line: &str) -> Packet {
    let fields: Vec<&str> = line.split('\t').collect();
    let fields: [&str; 15] = fields.try_into().unwrap_or_else(|fields| panic!("{fields:?}"));
    let [at, interface, comment, v4_from, v4_to, v6_from, v6_to, from, to, payload, len, captured, ip_sum, sum, udp] =
        fields;
    let (seconds, nanos) = at.split_once('.').unwrap();
    assert_eq!(nanos.len(), 9, "nanoseconds: {line}");
    let address = |v4: &str, v6: &str, port: &str| {
        let ip: IpAddr = if v4.is_empty() { v6 } else { v4 }.parse().unwrap_or_else(|_| panic!("{line}"));
        SocketAddr::new(ip, port.parse().unwrap())
    };
    let (len, captured): (usize, usize) = (len.parse().unwrap(), captured.parse().unwrap());
    let headers = if v4_from.is_empty() { 48 } else { 28 };
    assert!(v4_from.is_empty() || ip_sum == GOOD, "{line}");
    assert_eq!(sum, if len == captured { GOOD } else { MISSING }, "{line}");
    assert_eq!(udp.parse::<usize>().unwrap() + headers - 8, len, "{line}");
    let byte = |nth: usize| u8::from_str_radix(&payload[2 * nth..2 * nth + 2], 16).unwrap();
    Packet {
        at: seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanos.parse::<u64>().unwrap(),
        interface: interface.to_owned(),
        comment: comment.to_owned(),
        from: address(v4_from, v6_from, from),
        to: address(v4_to, v6_to, to),
        payload: (0..payload.len() / 2).map(byte).collect(),
        len,
        captured,
    }
}

/// The kinds of whole blocks, one after the other; fails if anything else is there.
pub(crate) fn kinds(mut rest: &[u8]) -> Vec<u32> {
    let mut kinds = Vec::new();
    while let Some((head, _)) = rest.split_first_chunk::<8>() {
        let [kind, len] = [&head[..4], &head[4..]].map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        let (block, after) = rest.split_at_checked(len as usize).expect("a torn block");
        assert!(len % 4 == 0 && block.ends_with(&len.to_le_bytes()), "{block:?}");
        kinds.push(kind);
        rest = after;
    }
    assert!(rest.is_empty(), "{rest:?}");
    kinds
}

pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE: u32 = 1;
pub(crate) const PACKET: u32 = 6;
