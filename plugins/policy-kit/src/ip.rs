//! Addresses: ranges of them, and which one a request counts for.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use sluice_plugin_sdk::policy::Field;

use crate::values::{List, Number};

/// What says which hops a request has come by.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// Addresses and ranges of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<IpNet>);

impl Ranges {
    /// Reads addresses and CIDR ranges.
    ///
    /// # Errors
    /// The item that is neither.
    ///
    /// ```
    /// use sluice_policy_kit::ip::Ranges;
    ///
    /// let ranges = Ranges::parse(["10.0.0.0/8", "2001:db8::1"]).unwrap();
    /// assert!(ranges.contains("10.1.2.3".parse().unwrap()));
    /// assert!(ranges.contains("::ffff:10.1.2.3".parse().unwrap()));
    /// assert!(!ranges.contains("2001:db8::2".parse().unwrap()));
    /// assert!(Ranges::parse(["10.0.0.0/33"]).is_err());
    /// ```
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        items.into_iter().map(range).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address lies in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn range(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let range = text.parse().or_else(|_| text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical())));
    range.map_err(|_| format!("`{text}` is neither an address nor a range such as `10.0.0.0/8`"))
}

/// Traefik's `ipstrategy`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawStrategy {
    depth: Option<Number>,
    #[serde(rename = "excludedips", alias = "excluded-ips", alias = "excludedIPs")]
    excluded: List,
    #[serde(rename = "ipv6subnet", alias = "ipv6-subnet", alias = "ipv6Subnet")]
    subnet: Option<Number>,
}

/// Which address a request counts for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strategy {
    hop: Hop,
    /// Addresses of version 6 count together when they agree in this many bits.
    subnet: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Hop {
    /// The one that is connected.
    #[default]
    Socket,
    /// That many from the end of `X-Forwarded-For`.
    Depth(usize),
    /// The last of `X-Forwarded-For` that is none of these.
    Outside(Ranges),
}

impl RawStrategy {
    /// Makes sense of what arrived.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn check(self) -> Result<Strategy, String> {
        let hop = match (self.depth.map_or(0, |depth| depth.0), self.excluded.0) {
            (0, excluded) if excluded.is_empty() => Hop::Socket,
            (0, excluded) => Hop::Outside(Ranges::parse(excluded.iter().map(String::as_str))?),
            (depth, _) => Hop::Depth(usize::try_from(depth).unwrap_or(usize::MAX)),
        };
        let subnet = match self.subnet {
            Some(Number(bits @ 1..=128)) => u8::try_from(bits).ok(),
            Some(Number(bits)) => return Err(format!("`ipv6subnet` is {bits} and has to be between 1 and 128")),
            None => None,
        };
        Ok(Strategy { hop, subnet })
    }
}

impl Strategy {
    /// The field it looks at.
    #[must_use]
    pub fn field(&self) -> Field {
        match self.hop {
            Hop::Socket => Field::ClientIp,
            Hop::Depth(_) | Hop::Outside(_) => Field::Header(FORWARDED_FOR.to_owned()),
        }
    }

    /// The text of the address, before its subnet is taken. `None` where the header has no such hop.
    #[must_use]
    pub fn hop<'a>(&self, field: Option<&'a str>) -> Option<&'a str> {
        let mut hops = field?.rsplit(',').map(str::trim);
        match &self.hop {
            Hop::Socket => field,
            Hop::Depth(depth) => hops.nth(depth - 1),
            Hop::Outside(excluded) => hops.filter(|hop| !hop.is_empty()).find(|hop| {
                // What is no address is in no range.
                !hop.parse().is_ok_and(|address| excluded.contains(address))
            }),
        }
    }

    /// The address itself.
    #[must_use]
    pub fn address(&self, field: Option<&str>) -> Option<IpAddr> {
        Some(self.fold(self.hop(field)?.parse::<IpAddr>().ok()?.to_canonical()))
    }

    /// Appends what requests of one address are counted under.
    pub fn write_key(&self, field: Option<&str>, key: &mut String) {
        let hop = self.hop(field).unwrap_or_default();
        match (self.subnet, hop.parse::<IpAddr>()) {
            (Some(_), Ok(address @ IpAddr::V6(_))) => key.push_str(&self.fold(address).to_string()),
            _ => key.push_str(hop),
        }
    }

    /// Whether the field is the key as it is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.hop == Hop::Socket && self.subnet.is_none()
    }

    fn fold(&self, address: IpAddr) -> IpAddr {
        match (address, self.subnet) {
            (IpAddr::V6(address), Some(bits)) => {
                let kept = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
            }
            _ => address,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn strategy(json: &str) -> Strategy {
        serde_json::from_str::<RawStrategy>(json).unwrap().check().unwrap()
    }

    fn key(strategy: &Strategy, field: Option<&str>) -> String {
        let mut key = String::new();
        strategy.write_key(field, &mut key);
        key
    }

    #[test]
    fn depth_counts_from_the_right() {
        let second = strategy(r#"{"depth": "2"}"#);
        assert_eq!(key(&second, Some("1.1.1.1, 2.2.2.2 ,3.3.3.3")), "2.2.2.2");
        assert_eq!(second.hop(Some("3.3.3.3")), None);
        assert_eq!(second.hop(None), None);
    }

    #[test]
    fn the_last_hop_outside_the_excluded_ranges_counts() {
        let outside = strategy(r#"{"excludedips": "10.0.0.0/8, 192.168.1.7"}"#);
        assert_eq!(outside.hop(Some("1.1.1.1,2.2.2.2,192.168.1.7,,10.9.9.9")), Some("2.2.2.2"));
        assert_eq!(outside.hop(Some("10.0.0.1")), None);
        assert_eq!(outside.hop(Some("unknown,10.0.0.1")), Some("unknown"));
    }

    #[test]
    fn addresses_of_one_subnet_are_one() {
        let folded = strategy(r#"{"ipv6Subnet": 64}"#);
        assert_eq!(key(&folded, Some("2001:db8:0:1:2:3:4:5")), "2001:db8:0:1::");
        assert_eq!(key(&folded, Some("10.0.0.1")), "10.0.0.1");
        assert_eq!(folded.address(Some("2001:db8:0:1:2:3:4:5")), "2001:db8:0:1::".parse().ok());
        assert!(serde_json::from_str::<RawStrategy>(r#"{"ipv6subnet": 0}"#).unwrap().check().is_err());
    }

    #[test]
    fn nothing_said_is_the_connection() {
        let plain = strategy("{}");
        assert!(plain.is_plain());
        assert_eq!((plain.field(), plain.hop(Some("10.0.0.1"))), (Field::ClientIp, Some("10.0.0.1")));
    }
}
