//! Networks, as an administrator writes them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer};

use super::fields::parsed;

/// Any number of networks. What is not an address is in none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Arc<[IpNet]>);

impl Networks {
    /// Whether `address` is in one of them. It must be an IPv4 address where it stands for one
    /// ([`crate::source::address`]).
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether each of the others lies in one of them.
    pub(super) fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|other| self.0.iter().any(|network| network.contains(other)))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One that contains every address of its kind, if there is one.
    #[must_use]
    pub fn everything(&self) -> Option<String> {
        self.0.iter().find(|network| network.prefix_len() == 0).map(ToString::to_string)
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let networks = Vec::<Network>::deserialize(deserializer)?;
        Ok(Self(networks.into_iter().map(|Network(network)| network).collect()))
    }
}

/// One of them.
struct Network(IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, network).map(Self)
    }
}

/// A network `10.0.0.0/8`, `2001:db8::/32`, or a single address.
///
/// # Errors
/// What is wrong with it.
pub fn network(text: &str) -> Result<IpNet, String> {
    if text.contains('%') {
        return Err(format!("{text:?} has a scope, and who has one is in no network"));
    }
    let parsed = match text.split_once('/') {
        Some(_) => text.parse::<IpNet>().ok(),
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let network = parsed.ok_or_else(|| {
        format!("{text:?} is no network such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7; names are not looked up")
    })?;
    if network.addr() != network.network() {
        return Err(format!(
            "{text:?} has bits set behind its first {}; the network is {}",
            network.prefix_len(),
            network.trunc()
        ));
    }
    Ok(plain(network))
}

/// A network of IPv4 addresses inside IPv6 (`::ffff:10.0.0.0/104`) as the one that it means:
/// addresses are compared as IPv4 where they stand for one.
fn plain(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped: Option<Ipv4Addr> = v6.addr().to_ipv4_mapped();
    mapped
        .zip(v6.prefix_len().checked_sub(96))
        .and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok())
        .map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::address;

    fn contains(written: &str, remote: &str) -> bool {
        let networks = Networks(Arc::new([network(written).unwrap()]));
        address(remote).is_some_and(|address| networks.contain(address))
    }

    #[test]
    fn a_network_contains_its_addresses_however_they_are_written() {
        let rows = [
            ("192.0.2.0/24", "192.0.2.0", true),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.0/24", "::ffff:c000:207", true),
            ("192.0.2.0/24", "::192.0.2.7", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.2.7", true),
            ("::ffff:0:0/96", "203.0.113.9", true),
            ("::ffff:0:0/96", "2001:db8::1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            // An IPv4 address is one in whatever clothes.
            ("::/0", "::ffff:192.0.2.7", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::7", "2001:DB8:0:0::7", true),
            ("2001:db8::7", "2001:db8::8", false),
            ("fe80::/10", "fe80::1", true),
            // Another link's fe80::1 is another host's.
            ("fe80::/10", "fe80::1%eth0", false),
            ("0.0.0.0/0", "office.example.org", false),
            ("0.0.0.0/0", "192.0.2.7 ", false),
            ("0.0.0.0/0", "192.0.2.07", false),
            ("0.0.0.0/0", "3221225991", false),
            ("0.0.0.0/0", "0xc0000207", false),
            ("0.0.0.0/0", "192.0.519", false),
            ("0.0.0.0/0", "[192.0.2.7]", false),
            ("0.0.0.0/0", "192.0.2.7:22", false),
            ("0.0.0.0/0", "", false),
        ];
        for (written, remote, expected) in rows {
            assert_eq!(contains(written, remote), expected, "{remote:?} in {written}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_and_set_host_bits_with_what_was_meant() {
        let rows = [
            ("office", "no network"),
            ("office.example.org/24", "no network"),
            ("192.0.2.0/33", "no network"),
            ("192.0.2/24", "no network"),
            ("192.0.2.0/255.255.255.0", "no network"),
            ("192.0.2.0/", "no network"),
            ("2001:db8::/129", "no network"),
            ("", "no network"),
            ("fe80::1%eth0", "a scope"),
            ("192.0.2.7/24", "the network is 192.0.2.0/24"),
            ("2001:db8::1/32", "the network is 2001:db8::/32"),
            ("::ffff:192.0.2.7/120", "behind its first 120"),
            ("::ffff:192.0.2.0/90", "behind its first 90"),
        ];
        for (written, expected) in rows {
            let error = network(written).unwrap_err();
            assert!(error.contains(expected), "{written:?}: {error}");
        }
    }
}
