//! What single values may look like: durations, sizes, addresses, names, choices.
//!
//! Each function takes a node and gives a typed value or says what is wrong with it and what is right. Overrides, which
//! are always text, are read here as whatever the key asks for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;

use super::document::{self, Node, Value};
use super::reader::{Fault, Parsed, list, nearest};

/// Any text.
pub(super) fn text(node: &Node) -> Parsed<String> {
    let fault = |kind| Fault::at(&node.place, format!("expected a text, found {kind}"));
    match &node.value {
        Value::Text(text) | Value::Override(text) => Ok(text.clone()),
        list_or_table @ (Value::List(_) | Value::Table(_)) => fault(list_or_table.kind()).into(),
        other => fault(other.kind()).hint("put it into quotes").into(),
    }
}

/// A text that says something.
pub(super) fn nonempty(node: &Node) -> Parsed<String> {
    let text = text(node)?;
    if text.trim().is_empty() {
        return Fault::at(&node.place, "expected a text, found an empty one").into();
    }
    Ok(text)
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Parsed<bool> {
    match &node.value {
        Value::Boolean(boolean) => Ok(*boolean),
        Value::Override(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::Override(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Fault::at(&node.place, format!("expected true or false, found {}", shown(node))).into(),
    }
}

/// A whole number within a range.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> impl Fn(&Node) -> Parsed<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |node| {
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Override(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) if range.contains(&number) => Ok(number),
            _ => Fault::at(
                &node.place,
                format!("expected an integer from {} to {}, found {}", range.start(), range.end(), shown(node)),
            )
            .into(),
        }
    }
}

/// A list of anything; every wrong item is a fault of its own.
pub(super) fn list_of<T>(item: impl Fn(&Node) -> Parsed<T>) -> impl Fn(&Node) -> Parsed<Vec<T>> {
    move |node| {
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for node in list(node)? {
            match item(&node) {
                Ok(value) => values.push(value),
                Err(more) => faults.extend(more),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }
}

/// The same with one item or more.
pub(super) fn nonempty_list_of<T>(item: impl Fn(&Node) -> Parsed<T>) -> impl Fn(&Node) -> Parsed<Vec<T>> {
    let items = list_of(item);
    move |node| {
        let values = items(node)?;
        if values.is_empty() {
            return Fault::at(&node.place, "expected a list with something in it, found an empty one").into();
        }
        Ok(values)
    }
}

/// One of a few words, in any letter case.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let word = text(node)?;
        if let Some((_, value)) = words.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.trim())) {
            return Ok(*value);
        }
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("expected one of {}, found `{word}`", quoted.join(", "));
        let fault = Fault::at(&node.place, message);
        match nearest(&word, &names) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")).into(),
            None => fault.into(),
        }
    }
}

/// Longer than nothing: `5ms`, `1m30s`, or an integer, which means seconds.
pub(super) fn duration(node: &Node) -> Parsed<Duration> {
    match any_duration(node)? {
        Duration::ZERO => Fault::at(&node.place, "expected a duration above zero").into(),
        duration => Ok(duration),
    }
}

/// A duration where zero means that there is no limit.
pub(super) fn duration_or_off(node: &Node) -> Parsed<Option<Duration>> {
    let duration = any_duration(node)?;
    Ok((!duration.is_zero()).then_some(duration))
}

/// A duration where zero means at once.
pub(super) fn any_duration(node: &Node) -> Parsed<Duration> {
    let read = match &node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Text(text) | Value::Override(text) => parse_duration(text.trim()),
        _ => None,
    };
    read.map_or_else(
        || {
            Fault::at(&node.place, format!("expected a duration, found {}", shown(node)))
                .hint("write `5ms`, `1m30s`, or whole seconds such as `30`")
                .into()
        },
        Ok,
    )
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let signed: SignedDuration = text.parse().ok()?;
    Duration::try_from(signed).ok()
}

/// Bytes: `16MiB`, `64KB`, or an integer.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Parsed<u64> {
    move |node| {
        let read = match &node.value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::Text(text) | Value::Override(text) => parse_size(text.trim()),
            _ => None,
        };
        match read {
            Some(bytes) if range.contains(&bytes) => Ok(bytes),
            Some(_) => Fault::at(
                &node.place,
                format!("expected a size from {} to {} bytes, found {}", range.start(), range.end(), shown(node)),
            )
            .into(),
            None => Fault::at(&node.place, format!("expected a size, found {}", shown(node)))
                .hint("write `16MiB`, `32KiB`, or whole bytes such as `8192`")
                .into(),
        }
    }
}

/// A size where zero means that there is no limit.
pub(super) fn size_or_off(node: &Node) -> Parsed<Option<u64>> {
    let bytes = size(0..=u64::MAX)(node)?;
    Ok((bytes > 0).then_some(bytes))
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// An address to listen on. `:80` is every IPv4 address, `[::]:80` every address.
pub(super) fn listen_address(node: &Node) -> Parsed<SocketAddr> {
    let written = text(node)?;
    let address = written.trim();
    let read = match address.rsplit_once(':') {
        Some(("", port)) => port.parse().ok().map(|port| (Ipv4Addr::UNSPECIFIED, port)),
        Some(("localhost", port)) => port.parse().ok().map(|port| (Ipv4Addr::LOCALHOST, port)),
        _ => None,
    };
    if let Some((ip, port)) = read {
        return Ok(SocketAddr::new(IpAddr::V4(ip), port));
    }
    address.parse().or_else(|_| {
        Fault::at(&node.place, format!("`{written}` is not an address to listen on"))
            .hint("write an IP address and a port, such as `127.0.0.1:8000`, `:8000` or `[::]:8000`")
            .into()
    })
}

/// `host:port` of something to connect to; the host may be a name.
pub(super) fn remote_address(node: &Node) -> Parsed<String> {
    let written = nonempty(node)?;
    let address = written.trim();
    if address.contains("://") {
        return Fault::at(&node.place, format!("`{written}` is a URL"))
            .hint("write `host:port` here and the protocol into `scheme`")
            .into();
    }
    let host_and_port = address.rsplit_once(':').filter(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let port_is_right = port.parse::<u16>().is_ok_and(|port| port > 0);
        port_is_right && !host.is_empty() && (bracketed || !host.contains([':', '/', ' ']))
    });
    if host_and_port.is_none() {
        return Fault::at(&node.place, format!("`{written}` is not `host:port`"))
            .hint("write such as `127.0.0.1:8500`, `consul.internal:8500` or `[::1]:8500`")
            .into();
    }
    Ok(address.to_owned())
}

/// An address range, or a single address.
pub(super) fn network(node: &Node) -> Parsed<IpNet> {
    let written = text(node)?;
    let range = written.trim();
    let single = || range.parse::<IpAddr>().map(IpNet::from);
    range.parse::<IpNet>().or_else(|_| single()).or_else(|_| {
        Fault::at(&node.place, format!("`{written}` is not an address range"))
            .hint("write such as `10.0.0.0/8`, `192.168.1.5` or `fd00::/8`")
            .into()
    })
}

/// A path; a relative one starts at `base`.
pub(super) fn path(base: &Path) -> impl Fn(&Node) -> Parsed<PathBuf> {
    move |node| Ok(base.join(nonempty(node)?.trim()))
}

/// Any value as JSON, as plugins take their settings.
pub(super) fn json(node: &Node) -> Parsed<serde_json::Value> {
    match &node.value {
        Value::Text(text) => Ok(text.clone().into()),
        Value::Integer(integer) => Ok((*integer).into()),
        Value::Boolean(boolean) => Ok((*boolean).into()),
        Value::Float(float) => serde_json::Number::from_f64(*float).map_or_else(
            || Fault::at(&node.place, format!("`{float}` cannot be given to a plugin")).into(),
            |number| Ok(number.into()),
        ),
        Value::List(_) => list_of(json)(node).map(serde_json::Value::Array),
        Value::Table(table) => {
            let (mut object, mut faults) = (serde_json::Map::new(), Vec::new());
            for (name, entry) in table {
                match json(&entry.node) {
                    Ok(value) => drop(object.insert(name.clone(), value)),
                    Err(more) => faults.extend(more),
                }
            }
            if faults.is_empty() { Ok(object.into()) } else { Err(faults) }
        }
        Value::Override(text) => match document::parse_value(text.trim(), &node.place) {
            Some(value) => json(&value),
            None => Ok(text.clone().into()),
        },
    }
}

/// A value as its writer wrote it, short enough for a message.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) | Value::Override(text) => format!("`{text}`"),
        Value::Integer(number) => format!("`{number}`"),
        Value::Float(number) => format!("`{number}`"),
        Value::Boolean(boolean) => format!("`{boolean}`"),
        other @ (Value::List(_) | Value::Table(_)) => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::problem::Place;

    fn node(text: &str) -> Node {
        Node { value: Value::Override(text.to_owned()), place: Place::Nowhere }
    }

    #[test]
    fn durations_are_gos_or_whole_seconds() {
        let cases = [
            ("5ms", 5_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("30", 30_000_000_000),
            ("0", 0),
        ];
        for (text, nanoseconds) in cases {
            let read = any_duration(&node(text)).unwrap();
            assert_eq!(read.as_nanos(), nanoseconds, "{text}");
        }
        for text in ["", "-1s", "five", "1 parsec"] {
            assert!(any_duration(&node(text)).is_err(), "{text}");
        }
        assert!(duration(&node("0s")).is_err());
    }

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes) in [("8192", 8192), ("64KB", 64_000), ("16MiB", 16 << 20), ("1 GiB", 1 << 30)] {
            assert_eq!(size(0..=u64::MAX)(&node(text)).unwrap(), bytes, "{text}");
        }
        for text in ["", "1.5MiB", "16mb", "-1", "99999999999999GiB"] {
            assert!(size(0..=u64::MAX)(&node(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_to_listen_on_and_to_connect_to() {
        for (text, address) in [(":80", "0.0.0.0:80"), ("localhost:81", "127.0.0.1:81"), ("[::]:82", "[::]:82")] {
            assert_eq!(listen_address(&node(text)).unwrap().to_string(), address, "{text}");
        }
        for text in ["80", "example.org:80", ":65536", "127.0.0.1"] {
            assert!(listen_address(&node(text)).is_err(), "{text}");
        }
        for text in ["consul:8500", "10.0.0.1:1", "[::1]:8500"] {
            assert_eq!(remote_address(&node(text)).unwrap(), text);
        }
        for text in ["consul", "http://consul:8500", "::1:8500", "consul:0", "a/b:1"] {
            assert!(remote_address(&node(text)).is_err(), "{text}");
        }
    }
}
