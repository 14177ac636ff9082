//! Which addresses are public: what a partner's URL may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::kernel::transport::Network;

/// The port of https.
pub(super) const HTTPS_PORT: u16 = 443;
/// The first port that is not reserved for well-known services.
const FIRST_FREE_PORT: u16 = 1024;

/// IPv4 networks that are not public (IANA's special-purpose registry), with the bits that count.
const NOT_PUBLIC_4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this network, unspecified
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by carriers (CGNAT), and by some clouds
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local; the metadata of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, broadcast
];

/// Of IPv6 only the global unicast space is public …
const GLOBAL_6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// … except for these.
const NOT_PUBLIC_6: [(Ipv6Addr, u32); 4] = [
    // Protocol assignments: Teredo, benchmarks, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),     // 6to4, whatever IPv4 address is inside
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),     // documentation
];

/// NAT64: the last 32 bits are the IPv4 address that is meant.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether an endpoint may be at this address: a public one by https, on port 443 or one that is not
/// reserved for other services (whoever listens there was not written to be spoken to by strangers);
/// in a network that the operator has opened any, also without TLS.
pub(super) fn is_admitted(address: SocketAddr, https: bool, opened: &[Network]) -> bool {
    opened.iter().any(|network| network.contains(address.ip()))
        || (https && is_port_admitted(address.port()) && is_public(address.ip()))
}

/// Whether endpoints at public addresses may have this port.
pub(super) fn is_port_admitted(port: u16) -> bool {
    port == HTTPS_PORT || port >= FIRST_FREE_PORT
}

/// Whether anybody on the internet may be there.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_4(address),
        IpAddr::V6(address) if is_in_6(address, NAT64) => {
            let [.., a, b, c, d] = address.octets();
            is_public_4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => {
            is_in_6(address, GLOBAL_6) && !NOT_PUBLIC_6.iter().any(|net| is_in_6(address, *net))
        }
    }
}

fn is_public_4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_4.iter().any(|(network, bits)| {
        let unused = 32 - bits;
        address.to_bits() >> unused == network.to_bits() >> unused
    })
}

fn is_in_6(address: Ipv6Addr, (network, bits): (Ipv6Addr, u32)) -> bool {
    let unused = 128 - bits;
    address.to_bits() >> unused == network.to_bits() >> unused
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const INNER: &str = "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 \
        127.0.0.1 127.255.255.254 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 \
        192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 \
        198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 \
        :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::8.8.8.8 \
        64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::8.8.8.8 100::1 fc00::1 fd12:3456::1 \
        fdff::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 2001::1 2001:2::1 2001:10::1 2001:20::1 \
        2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2002:808:808::1 3fff::1 3fff:fff::1 5f00::1 \
        4000::1";
    const PUBLIC: &str = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 \
        126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 192.0.1.1 \
        192.0.3.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 203.0.114.1 \
        223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200::1 2001:4860:4860::8888 \
        2001:db7::1 2001:db9::1 2003::1 2606:4700::1111 2a00:1450::1 3ffe::1";

    #[test]
    fn inner_addresses_are_not_public_in_whatever_form() {
        for inner in INNER.split_whitespace() {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
    }

    #[test]
    fn what_lies_beside_them_is_public() {
        for public in PUBLIC.split_whitespace() {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn ports_of_other_services_and_plaintext_are_for_opened_networks() {
        let none: &[Network] = &[];
        let opened: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let admitted = |address: &str, https, opened: &[Network]| {
            is_admitted(address.parse().unwrap(), https, opened)
        };
        for port in [443, 1024, 8443, 65535] {
            assert!(admitted(&format!("8.8.8.8:{port}"), true, none));
            assert!(!admitted(&format!("8.8.8.8:{port}"), false, none));
        }
        for port in [0, 22, 25, 80, 1023] {
            assert!(!admitted(&format!("8.8.8.8:{port}"), true, none));
        }
        assert!(!admitted("10.0.0.1:443", true, none));
        assert!(admitted("10.0.0.1:443", true, &opened) && admitted("10.0.0.1:80", false, &opened));
        assert!(admitted("[::ffff:10.0.0.1]:80", false, &opened));
        assert!(
            !admitted("11.0.0.1:80", false, &opened) && !admitted("127.0.0.1:443", true, &opened)
        );
    }
}
