mod comment;
mod file;
mod packet;
mod tap;

use alloc::sync::Arc;
use core::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub(crate) use self::comment::Tag;
use self::file::File;
pub(crate) use self::packet::Ends;
#[cfg(feature = "sim")]
pub(crate) use self::tap::Interface;
pub(crate) use self::tap::Tap;

/// A file of packets for Wireshark and tshark, pcapng, in which each datagram says what became of it.
///
/// Given to a [`LossySink`](super::LossySink::capture), a proxy (`ProxyBuilder::capture`) or a simulated network
/// (`SimNet::capture`), which write for each datagram:
///
/// | when | where | bytes | comment |
/// |---|---|---|---|
/// | it enters its link: once, whatever becomes of it | on the side that it comes from | as they came | its fate, with all copies |
/// | a copy leaves: delivered, sent on by the system, or shown to the caller | on the other side | as they left, damage included | the part of the fate that is this copy's |
///
/// ```text
/// to_server n 1: delivered
/// to_server n 2: delivered after 25ms, copy 1 of 2; delivered after 31.5ms, copy 2 of 2, bits 17 flipped
/// to_server n 3: dropped (loss)
/// to_client n 1: too big, 1372 bytes would fit
/// ```
///
/// Direction and `n` are those of a [`Record`](super::Record); the delay is that of the link, and the times of the
/// packets say when a copy really left. What is dropped later than by the link has no packet on the other side: what the
/// system did not take, and what was in flight when its session or socket ended.
///
/// The sides are interfaces: `client` and `server`; in a simulated network one for each host, by its first address. The link type
/// is RAW: packets begin with the IP header. Addresses and ports are the true ones, an IPv4-mapped address (`::ffff:192.0.2.7`)
/// is an IPv4 address, and lengths and checksums are right for the bytes that are there. The rest of the headers is not known
/// here: a TTL of 64, no options, and one packet however large the datagram is. What is longer than the length field of UDP can
/// say ends there. Of a datagram that was longer than the buffer of who received it, the packet has what there is, and its true
/// length.
///
/// Clones write to the same file, and several networks may share it, each with interfaces of its own. Nothing is written
/// but whole blocks, in pieces of some 64 KiB: [`flush`](Self::flush) writes what is there now, and so does the last handle that is
/// dropped. Once warm, nothing is allocated. **An error of the writer disturbs no traffic**: it ends the file, and
/// [`finish`](Self::finish) returns it. A writer that blocks, such as a pipe that no one reads, holds up who records.
///
/// ```
/// use udp_retry::fault::{Capture, LossySink};
/// use udp_retry::transport::{PathIndex, Transport};
/// use udp_retry::{ConnectedUdp, Impairments, Probability, Seed};
/// # use udp_retry::net::UnconnectedUdp;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir();
/// # let path = directory.join(format!("udp-retry-capture-{}.pcapng", std::process::id()));
/// # let server = UnconnectedUdp::bind("127.0.0.1:0")?;
/// let client = ConnectedUdp::connect(server.local_addr())?;
/// let capture = Capture::new(std::fs::File::create(&path)?).starting_at(std::time::SystemTime::now());
/// let mut lossy = LossySink::new(client, Impairments::loss(Probability::ONE), Seed::new(7)).capture(capture.clone());
/// lossy.send(PathIndex::FIRST, b"into the void")?;
/// capture.finish()?; // then: tshark -r lossy.pcapng -T fields -e frame.comment
/// # let written = std::fs::read(&path)?;
/// # std::fs::remove_file(&path)?;
/// # assert!(String::from_utf8_lossy(&written).contains("to_server n 1: dropped (loss)"));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "pcap")]
#[doc(alias = "pcapng")]
#[doc(alias = "wireshark")]
#[derive(Clone)]
pub struct Capture {
    file: Arc<Mutex<File>>,
    start: Option<SystemTime>,
}

impl Capture {
    /// A capture that goes to this writer, which needs no buffer of its own.
    #[must_use]
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self { file: Arc::new(Mutex::new(File::new(Box::new(writer)))), start: None }
    }

    /// Sets the time of day at which a network begins to write: what its clock shows when it is given this handle is that
    /// moment, and all later times count from there. A time before 1970 counts as 1970, and in 2554 the nanoseconds of the
    /// file end: what is later has its last.
    ///
    /// By default a proxy takes the system's time of day when it is bound. A sink and a simulated network begin at 1970-01-01,
    /// so that the same run gives the same bytes.
    #[must_use]
    pub fn starting_at(self, time: SystemTime) -> Self {
        Self { start: Some(time), ..self }
    }

    /// Writes everything that has happened so far. An error is kept for [`finish`](Self::finish).
    pub fn flush(&self) {
        self.lock().flush();
    }

    /// Writes what is left, and ends the file for all handles: what happens later is not written.
    ///
    /// # Errors
    ///
    /// The writer's first error, since which nothing has been written; once, then it is `Ok`.
    pub fn finish(&self) -> io::Result<()> {
        self.lock().finish()
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        // A writer that panics has ended its file.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("start", &self.start).finish_non_exhaustive()
    }
}
