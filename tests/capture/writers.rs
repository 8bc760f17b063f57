//! What is written when, and writers that fail.

use core::time::Duration;
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use udp_retry::fault::{Capture, Direction, DirectionStats, Profile};
use udp_retry::sim::SimNet;
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{LossySink, Seed};

use crate::reading::{INTERFACE, Memory, PACKET, SECTION, kinds};

#[test]
fn whole_blocks_are_written_in_pieces_and_at_once_on_demand() {
    let writer = Pieces::default();
    let capture = Capture::new(writer.clone());
    assert!(writer.taken().is_empty(), "nothing is written before something asks for it");
    capture.flush();
    assert_eq!(kinds(&writer.taken().concat()), [SECTION]);
    send_many(Some(capture.clone()), 1);
    assert_eq!(writer.taken().len(), 1);
    capture.flush();
    assert_eq!(kinds(&writer.taken().concat()), [SECTION, INTERFACE, INTERFACE, PACKET, PACKET]);

    send_many(Some(capture.clone()), 2000);
    let pieces = writer.taken();
    assert!(pieces.len() > 4, "{} pieces", pieces.len());
    for piece in &pieces[2..] {
        assert!((64 << 10..66 << 10).contains(&piece.len()), "{} bytes", piece.len());
        assert!(kinds(piece).len() > 100);
    }
    // The last handle writes the rest.
    drop(capture);
    let packets = kinds(&writer.taken().concat()).iter().filter(|kind| **kind == PACKET).count();
    assert_eq!(packets, 2 * 2001);
}

#[test]
fn nothing_is_written_after_the_end() {
    let memory = Memory::default();
    let capture = Capture::new(memory.clone());
    capture.finish().unwrap();
    send_many(Some(capture.clone()), 1);
    capture.flush();
    capture.finish().unwrap();
    drop(capture);
    assert_eq!(kinds(&memory.bytes()), [SECTION]);
}

#[test]
fn a_writer_that_fails_disturbs_nothing_and_its_first_error_comes_at_the_end() {
    for full_after in [0, 10, 100_000] {
        let disk = Disk { left: full_after, tried: Arc::default() };
        let tried = disk.tried.clone();
        let capture = Capture::new(disk);
        assert_eq!(send_many(Some(capture.clone()), 2000), send_many(None, 2000));
        let error = capture.finish().unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::StorageFull, "try 1"));
        assert!(capture.finish().is_ok(), "it has been told");
        drop(capture);
        assert_eq!(*tried.lock().unwrap(), 1, "it is asked no more");
    }
}

#[test]
fn a_writer_that_panics_does_so_once_and_every_datagram_stays_accounted_for() {
    let capture = Capture::new(Panics);
    let sent = send_many(Some(capture.clone()), 2000);
    let DirectionStats { fates, passed, in_flight, discarded, failed, .. } = sent;
    assert_eq!(fates.delivered, passed + in_flight + discarded + failed, "{sent:?}");
    assert_eq!((passed + discarded, failed), (2000, 0));
    capture.finish().unwrap();
}

/// What comes of this many datagrams that leave one after the other, each at once.
fn send_many(capture: Option<Capture>, datagrams: u64) -> DirectionStats {
    let net = SimNet::new(Seed::new(7));
    let [client, server] = ["10.0.0.1", "10.0.0.2"].map(|address| net.host(address.parse().unwrap()).unwrap());
    net.path(client, server, Profile::default()).unwrap();
    let transport = net.connect(client, "10.0.0.2:9".parse().unwrap()).unwrap();
    let mut sink = LossySink::at_client(transport, Profile::default(), Seed::new(7));
    if let Some(capture) = capture {
        sink = sink.capture(capture);
    }
    for n in 0..datagrams {
        let datagram = n.to_be_bytes();
        // A writer may panic, and the first try may report that the datagram before was refused.
        let send = AssertUnwindSafe(|| {
            sink.send(PathIndex::FIRST, &datagram).or_else(|_| sink.send(PathIndex::FIRST, &datagram)).unwrap();
        });
        let _ = catch_unwind(send);
        net.run_until(Timestamp::ZERO.after(Duration::from_millis(n)));
    }
    sink.stats(Direction::ToServer)
}

/// Keeps what each call writes.
#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pieces {
    fn taken(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Is full at some time.
struct Disk {
    left: usize,
    tried: Arc<Mutex<u32>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        if taken > 0 {
            return Ok(taken);
        }
        let mut tried = self.tried.lock().unwrap();
        *tried += 1;
        Err(io::Error::new(ErrorKind::StorageFull, format!("try {tried}")))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Panics;

impl Write for Panics {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("on purpose")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
