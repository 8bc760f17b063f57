//! What the system dropped because a socket was not read in time.

/// Datagrams that reached the proxy's sockets and found them full, as the proxy was too slow or had no time.
///
/// Nothing that the proxy itself counts knows of them. The system counts along with them what arrived with a wrong checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct KernelDrops {
    /// Requests, so far, modulo 2^32.
    pub listener: u64,
    /// Replies to the sessions that are open: a session that ends takes its count with it.
    pub sessions: u64,
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable)))]
mod counted {
    use alloc::collections::BTreeSet;
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    use super::KernelDrops;

    /// One pass over the tables of the system, whatever the number of sockets.
    pub(in crate::proxy) fn kernel_drops<'s, S: AsRawFd + 's>(
        listener: &S,
        sessions: impl Iterator<Item = &'s S>,
    ) -> Option<KernelDrops> {
        let listener = inode(listener)?;
        let sessions: Option<BTreeSet<u64>> = sessions.map(inode).collect();
        let (sessions, mut drops, mut found) = (sessions?, KernelDrops::default(), false);
        for table in TABLES {
            // A system without IPv6 has no such table.
            let Ok(table) = File::open(table) else { continue };
            for line in BufReader::new(table).lines().map_while(Result::ok).skip(1) {
                let Some(Row { inode, dropped }) = row(&line) else { continue };
                if inode == listener {
                    (drops.listener, found) = (dropped, true);
                } else if sessions.contains(&inode) {
                    drops.sessions += dropped;
                }
            }
        }
        found.then_some(drops)
    }

    fn inode(socket: &impl AsRawFd) -> Option<u64> {
        Some(fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?.ino())
    }

    #[derive(PartialEq, Eq, Debug)]
    struct Row {
        inode: u64,
        dropped: u64,
    }

    /// A socket, as `proc_pid_net(5)` has it: the inode is the tenth column, and drops are the last.
    fn row(line: &str) -> Option<Row> {
        let mut columns = line.split_ascii_whitespace().skip(9);
        let (inode, _references, _address, dropped) =
            (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
        // Some kernels print the counter of 32 bits with a sign.
        let dropped: i64 = dropped.parse().ok()?;
        Some(Row { inode: inode.parse().ok()?, dropped: dropped.rem_euclid(1 << 32).unsigned_abs() })
    }

    /// Of the network that this thread is in.
    const TABLES: [&str; 2] = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_row_is_read_by_its_columns_and_a_negative_count_is_one_of_32_bits() {
            let line = "  1234: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 98765 \
                        2 0000000000000000 ";
            for (dropped, counted) in
                [("0", 0), ("16360", 16_360), ("-1", u64::from(u32::MAX)), ("4294967295", u64::from(u32::MAX))]
            {
                assert_eq!(row(&format!("{line}{dropped}  ")), Some(Row { inode: 98_765, dropped: counted }));
            }
            assert_eq!(row(line), None);
            assert_eq!(row(""), None);
        }
    }
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable)))]
pub(super) use counted::kernel_drops;

/// The system does not tell.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable))))]
pub(super) fn kernel_drops<'s, S: 's>(_listener: &S, _sessions: impl Iterator<Item = &'s S>) -> Option<KernelDrops> {
    None
}
