use crate::size::{IpFamily, Pmtu};

/// IP packet sizes that paths have, so that a search ends where the path does: the IPv6 minimum, tunnels and VPNs, WireGuard
/// over IPv6 and IPv4 (1420, 1440), VXLAN (1450), clouds (1460), GRE (1476), IP in IP (1480), PPPoE (1492), Ethernet (1500),
/// and jumbo frames with and without such a tunnel. RFC 4821 §7.3 and RFC 8899 §5.3.2 suggest a table of usual sizes.
const USUAL: [u32; 14] = [1280, 1360, 1380, 1400, 1420, 1440, 1450, 1460, 1476, 1480, 1492, 1500, 8951, 9000];

/// The usual sizes of payload, ascending, and `max`, which is one whatever it is.
fn usual(family: IpFamily, max: u16) -> impl DoubleEndedIterator<Item = u16> {
    let payload = move |packet| u16::try_from(Pmtu::new(packet).plpmtu(family).bytes()).unwrap_or(u16::MAX);
    USUAL.into_iter().map(payload).filter(move |&it| it < max).chain([max])
}

/// The smallest between both.
pub(super) fn smallest_usual(family: IpFamily, max: u16, above: u16, below: u16) -> Option<u16> {
    usual(family, max).find(|&it| above < it && it < below)
}

/// The largest between both.
pub(super) fn largest_usual(family: IpFamily, max: u16, above: u16, below: u16) -> Option<u16> {
    usual(family, max).rfind(|&it| above < it && it < below)
}

/// What halves the sizes between both (RFC 4821 §7.3), unless they are at most `step` apart.
pub(super) fn middle(above: u16, below: u16, step: u16) -> Option<u16> {
    let apart = below.saturating_sub(above);
    (apart > step.max(1)).then_some(above + apart / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_ascending_order_and_starts_at_what_ipv6_guarantees() {
        assert!(USUAL.is_sorted());
        assert_eq!(USUAL[0], 1280);
        assert_eq!(usual(IpFamily::V4, 65_507).next(), Some(1252));
        assert_eq!(usual(IpFamily::V6, 65_527).next(), Some(1232));
        assert_eq!(usual(IpFamily::V4, 1472).collect::<Vec<_>>()[10..], [1464, 1472]);
        assert_eq!(usual(IpFamily::V4, 1000).collect::<Vec<_>>(), [1000]);
    }

    #[test]
    fn only_what_lies_between_is_found() {
        let v4 = IpFamily::V4;
        assert_eq!(largest_usual(v4, 65_507, 1200, 65_508), Some(65_507));
        assert_eq!(largest_usual(v4, 65_507, 1200, 65_507), Some(8972));
        assert_eq!(largest_usual(v4, 65_507, 1472, 8923), None);
        assert_eq!(smallest_usual(v4, 65_507, 1200, 1253), Some(1252));
        assert_eq!(smallest_usual(v4, 65_507, 1200, 1252), None);
        assert_eq!(smallest_usual(v4, 65_507, 8972, 65_508), Some(65_507));
        assert_eq!(smallest_usual(v4, 65_507, 65_507, 65_508), None);
    }

    #[test]
    fn halving_ends_at_the_step() {
        assert_eq!(middle(1200, 1202, 1), Some(1201));
        assert_eq!(middle(1200, 1201, 1), None);
        assert_eq!(middle(1200, 1220, 20), None);
        assert_eq!(middle(1200, 1221, 20), Some(1210));
        assert_eq!(middle(65_526, u16::MAX, 1), Some(65_530));
        assert_eq!(middle(9, 3, 1), None);
    }
}
