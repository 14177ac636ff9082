//! Who the client is behind proxies that the operator names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// The header in which each proxy adds whom it heard, on the right.
const FORWARDED: &str = "x-forwarded-for";

/// An address, or a network as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    /// Bits that count.
    bits: u8,
}

/// What is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct NetworkError(String);

impl Network {
    /// Whether the address belongs to it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.address.is_ipv4() != address.is_ipv4() {
            return false;
        }
        let unused = if address.is_ipv4() { 32 } else { 128 } - u32::from(self.bits);
        let kept = |address: IpAddr| number(address).checked_shr(unused).unwrap_or(0);
        kept(self.address) == kept(address)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(Ipv6Addr::from(address.octets())),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.bits)
    }
}

/// Whether the address is that of a proxy in the list.
pub(super) fn is_proxy(proxies: &[Network], address: IpAddr) -> bool {
    proxies.iter().any(|proxy| proxy.contains(address))
}

/// The client: the peer itself, or, when that is a proxy in the list, the rightmost address in
/// `x-forwarded-for` that is none. What stands further left, anybody can have written.
pub(super) fn client(proxies: &[Network], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer;
    let lines = headers.get_all(FORWARDED).iter().rev();
    let said = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(','));
    for text in said {
        if !is_proxy(proxies, client) {
            break;
        }
        let text = text.trim();
        let address = text.parse().or_else(|_| text.parse().map(|with: SocketAddr| with.ip()));
        let Ok(address) = address else { break };
        client = address.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read() {
        for wrong in ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/x", "proxy"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let contains =
            |network: &str, address| network.parse::<Network>().unwrap().contains(address);
        assert!(
            contains("10.0.0.0/8", ip("10.200.0.1")) && !contains("10.0.0.0/8", ip("11.0.0.1"))
        );
        assert!(contains("10.0.0.1", ip("10.0.0.1")) && !contains("10.0.0.1", ip("10.0.0.2")));
        assert!(contains("10.0.0.0/8", ip("::ffff:10.0.0.1")));
        assert!(contains("fd00::/8", ip("fd12::1")) && !contains("fd00::/8", ip("fe80::1")));
        assert!(contains("0.0.0.0/0", ip("8.8.8.8")) && contains("::/0", ip("fe80::1")));
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        let proxies: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let heard = |peer, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED, line.parse().unwrap());
            }
            client(&proxies, ip(peer), &headers)
        };
        assert_eq!(heard("1.1.1.1", &["2.2.2.2"]), ip("1.1.1.1"));
        assert_eq!(heard("10.0.0.1", &[]), ip("10.0.0.1"));
        assert_eq!(heard("10.0.0.1", &["3.3.3.3, 2.2.2.2"]), ip("2.2.2.2"));
        assert_eq!(heard("10.0.0.1", &["3.3.3.3", "2.2.2.2, 10.0.0.2"]), ip("2.2.2.2"));
        assert_eq!(heard("10.0.0.1", &["2.2.2.2:1234"]), ip("2.2.2.2"));
        assert_eq!(heard("10.0.0.1", &["2.2.2.2, unknown"]), ip("10.0.0.1"));
    }
}
