use core::fmt;

use crate::size::Plpmtu;

/// Large requests are not answered on a path that answers smaller ones: as it looks, a link drops what it cannot carry without a
/// word (a black hole, RFC 8899 §1.1). A server that ignores large requests looks the same.
///
/// ```
/// # #[cfg(not(feature = "sim"))]
/// # fn main() {}
/// # #[cfg(feature = "sim")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use udp_retry::sim::{SimNet, echo};
/// use udp_retry::{ReliableRequester, Seed, transaction_id};
///
/// let net = SimNet::new(Seed::new(1));
/// let [client, server] = [net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?];
/// net.serve("10.0.0.2:7".parse()?, echo())?;
/// net.path(client, server, udp_retry::fault::Profile { to_server: "mtu 1400".parse()?, ..Default::default() })?;
/// let mut requester = ReliableRequester::builder(transaction_id(0..4)).over(net.connect(client, "10.0.0.2:7".parse()?)?)?;
///
/// let silent = requester.request(&[7; 1472]).unwrap_err();
/// assert_eq!(silent.suspected_path_mtu(), None); // the server may be down
/// requester.request(&[7; 1000])?;
/// let suspect = requester.request(&[7; 1472]).unwrap_err().suspected_path_mtu().unwrap();
/// assert_eq!(suspect.to_string(), "datagrams of 1472 bytes do not get through, those of 1000 do");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct SuspectedPathMtu {
    /// The smallest payload of the request, all transmissions of which were in vain.
    pub tried: Plpmtu,
    /// The largest payload that was answered on the path after a large one was not.
    pub confirmed: Plpmtu,
}

impl fmt::Display for SuspectedPathMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tried, confirmed } = self;
        write!(f, "datagrams of {} bytes do not get through, those of {} do", tried.bytes(), confirmed.bytes())
    }
}
