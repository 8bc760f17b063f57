use std::io;

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
pub fn system_seed() -> io::Result<Seed> {
    SysRng.try_next_u64().map(Seed::new).map_err(io::Error::other)
}

/// 256 secret bits from the operating system: the key of an [`IdSource`](crate::entropy::IdSource).
///
/// # Errors
///
/// What the system says where it has no entropy to give. Do without ids then: no weaker source will do.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// assert_ne!(udp_retry::net::system_entropy()?, udp_retry::net::system_entropy()?);
/// # Ok(())
/// # }
/// ```
pub fn system_entropy() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    SysRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

/// What every socket of ours answers where a transport is asked for entropy.
pub(super) fn system_key(key: &mut [u8; 32]) -> Result<(), NoEntropy> {
    *key = system_entropy().map_err(|_| NoEntropy::new())?;
    Ok(())
}
