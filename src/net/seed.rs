use rand::TryRng;
use rand::rngs::SysRng;

use crate::entropy::Seed;

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
