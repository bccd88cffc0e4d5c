//! Addresses that are not of the public internet.
//!
//! From the IANA registries of special-purpose addresses (RFC 6890 and its updates). An IPv6 address
//! that carries an IPv4 one is judged by that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// What a script must not reach by a name, or without its address being listed.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",       // this network
    "10.0.0.0/8",      // private use
    "100.64.0.0/10",   // shared by carriers; some clouds' metadata
    "127.0.0.0/8",     // this machine
    "169.254.0.0/16",  // link-local; clouds' metadata
    "172.16.0.0/12",   // private use
    "192.0.0.0/24",    // protocol assignments
    "192.0.2.0/24",    // documentation
    "192.88.99.0/24",  // 6to4 relays
    "192.168.0.0/16",  // private use
    "198.18.0.0/15",   // benchmarks
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/4",     // multicast
    "240.0.0.0/4",     // reserved, broadcast
    "::/128",          // unspecified
    "::1/128",         // this machine
    "64:ff9b:1::/48",  // local translation
    "100::/64",        // discard
    "2001::/23",       // protocol assignments, Teredo
    "2001:db8::/32",   // documentation
    "3fff::/20",       // documentation
    "5f00::/16",       // segment routing
    "fc00::/7",        // unique local
    "fe80::/10",       // link-local
    "fec0::/10",       // site-local
    "ff00::/8",        // multicast
];

static NETS: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let net = |text: &&str| text.parse().expect("the table has networks");
    SPECIAL.iter().map(net).collect()
});

/// Whether the address is of the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(v6) => inner(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    !NETS.iter().any(|net| net.contains(&address))
}

/// The IPv4 address that an IPv6 one stands for: mapped and compatible ones (RFC 4291), translated ones
/// (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056). Teredo (RFC 4380) and local translation (RFC 8215) are
/// special as a whole.
fn inner(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        // Also 0.0.0.0, which connects to this machine.
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(v4(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        // `::` and `::1` are no compatible addresses but ones of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => Some(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0.0.0.0",
            "::ffff:0.0.0.1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:0.0.0.0",
            "::127.0.0.1",
            "::0.0.0.2",
            "64:ff9b::7f00:1",
            "64:ff9b::0.0.0.0",
            "64:ff9b:1::808:808",
            "2001:0:808:808::1",
            "2002:7f00:1::1",
            "2002:0:1::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }
}
