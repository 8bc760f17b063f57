//! What the kernel dropped at a socket.

use std::os::fd::AsFd;

use nix::libc::{self, SOL_SOCKET};
use nix::sys::socket::{getsockopt, sockopt::GetStruct};

/// Datagrams that reached this socket and were not kept, as it was full or as they were damaged, modulo 2^32.
///
/// `None` where the system does not tell: Linux does since 4.12. The tables below `/proc/net` have the same count, but say
/// it of a socket twice, or not at all, when others come and go while they are read.
pub(crate) fn kernel_dropped(socket: &impl AsFd) -> Option<u32> {
    let [.., dropped] = getsockopt(socket, MemoryInfo).ok()?;
    Some(dropped)
}

#[derive(Clone, Copy)]
struct MemoryInfo;

/// As `sock_diag(7)` has it for `INET_DIAG_SKMEMINFO`: of the words of each socket, the ninth counts what was dropped.
type Words = [u32; 9];

nix::getsockopt_impl!(MemoryInfo, SOL_SOCKET, SO_MEMINFO, Words, GetStruct<Words>);

#[cfg(not(target_os = "android"))]
use nix::libc::SO_MEMINFO;
/// As the kernel has it for all processors that Android knows.
#[cfg(target_os = "android")]
const SO_MEMINFO: libc::c_int = 55;
