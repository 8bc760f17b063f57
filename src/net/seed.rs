use rand::TryRng;
use rand::rngs::SysRng;

use crate::entropy::Seed;
use crate::transport::NoEntropy;

/// A fresh seed from the operating system: print it, and any run can be repeated.
///
/// # Errors
///
/// What the system says where it has no entropy to give.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// assert_ne!(udp_retry::net::system_seed()?, udp_retry::net::system_seed()?);
/// # Ok(())
/// # }
/// ```
pub fn system_seed() -> std::io::Result<Seed> {
    SysRng.try_next_u64().map(Seed::new).map_err(std::io::Error::other)
}

/// Fills a key with the system's entropy; never with anything weaker.
pub(super) fn system_key(key: &mut [u8; 32]) -> Result<(), NoEntropy> {
    SysRng.try_fill_bytes(key).map_err(|_| NoEntropy::new())
}
