//! How a request looks as one line: the common log format as Traefik extends it, or JSON with Traefik's names.
//!
//! Takes a record, appends to a buffer. Whatever a client sends stays inside its own field of its own line.

use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::access_log::AccessRecord;

/// A time in text, made anew only when the second changes.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: i64,
    text: String,
}

impl Stamp {
    /// `21/Sep/2026:14:13:20 +0000`
    fn common(&mut self, time: Timestamp) -> &str {
        let second = time.as_second();
        if self.text.is_empty() || self.second != second {
            self.second = second;
            self.text = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        }
        &self.text
    }
}

/// `<ip> - - [<time>] "<method> <path> <proto>" <status> <bytes> "<referer>" "<agent>" <count> "<router>" "<url>" <ms>ms`
pub(super) fn common(line: &mut Vec<u8>, record: &AccessRecord<'_>, count: u64, stamp: &mut Stamp) {
    let host = record.client.map(|client| client.ip().to_string());
    line.extend_from_slice(host.as_deref().unwrap_or("-").as_bytes());
    line.extend_from_slice(b" - - [");
    line.extend_from_slice(stamp.common(timestamp(record.started)).as_bytes());
    line.extend_from_slice(b"] \"");
    escape(line, record.method.as_bytes());
    line.push(b' ');
    escape(line, record.path.as_bytes());
    line.push(b' ');
    line.extend_from_slice(record.protocol.as_bytes());
    put(line, format_args!("\" {} {} ", record.status, record.sent));
    quoted(line, record.referer);
    quoted(line, record.user_agent);
    put(line, format_args!("{count} "));
    quoted(line, record.route.map(str::as_bytes));
    quoted(line, record.server_url.map(str::as_bytes));
    put(line, format_args!("{}ms\n", record.duration.as_millis()));
}

/// Words of policies as an object.
struct Annotations<'a>(&'a [(String, String)]);

impl Serialize for Annotations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// One object a line; names and units as Traefik has them, durations in nanoseconds.
pub(super) fn json(line: &mut Vec<u8>, record: &AccessRecord<'_>, count: u64) {
    let client = record.client;
    let host = client.map(|client| client.ip().to_string());
    let object = JsonLine {
        level: "info",
        msg: "",
        time: timestamp(record.started + record.duration),
        start_utc: timestamp(record.started),
        duration: nanoseconds(record.duration),
        overhead: nanoseconds(record.duration.saturating_sub(record.origin_duration.unwrap_or_default())),
        request_count: count,
        client_addr: client.map(|client| client.to_string()),
        client_host: host.as_deref(),
        client_port: client.map(|client| client.port().to_string()),
        client_username: "-",
        request_addr: record.host,
        request_host: record.host.map(host_only),
        request_port: record.host.map(port_only),
        request_method: record.method,
        request_path: record.path,
        request_protocol: record.protocol,
        request_scheme: record.scheme,
        request_content_size: record.received,
        downstream_status: record.status,
        downstream_content_size: record.sent,
        origin_status: record.origin_status,
        origin_duration: record.origin_duration.map(nanoseconds),
        retry_attempts: record.retries,
        router_name: record.route,
        service_name: record.service,
        service_url: record.server_url,
        service_addr: record.server_url.map(address_only),
        entry_point_name: record.entrypoint,
        tls_version: record.tls_version,
        request_referer: record.referer.map(String::from_utf8_lossy),
        request_user_agent: record.user_agent.map(String::from_utf8_lossy),
        flags: record.flag,
        annotations: (!record.annotations.is_empty()).then_some(Annotations(record.annotations)),
    };
    // Escapes what is not printable by itself. Writing into a buffer does not fail.
    let _ = serde_json::to_writer(&mut *line, &object);
    line.push(b'\n');
}

/// Traefik's names; what is absent is left out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct JsonLine<'a> {
    #[serde(rename = "level")]
    level: &'static str,
    #[serde(rename = "msg")]
    msg: &'static str,
    #[serde(rename = "time", serialize_with = "as_text")]
    time: Timestamp,
    #[serde(rename = "StartUTC", serialize_with = "as_text")]
    start_utc: Timestamp,
    duration: u64,
    overhead: u64,
    request_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<String>,
    client_username: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_port: Option<&'a str>,
    request_method: &'a str,
    request_path: &'a str,
    request_protocol: &'a str,
    request_scheme: &'a str,
    request_content_size: u64,
    downstream_status: u16,
    downstream_content_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_duration: Option<u64>,
    retry_attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    router_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<&'a str>,
    #[serde(rename = "ServiceURL", skip_serializing_if = "Option::is_none")]
    service_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_addr: Option<&'a str>,
    #[serde(rename = "entryPointName")]
    entry_point_name: &'a str,
    #[serde(rename = "TLSVersion", skip_serializing_if = "Option::is_none")]
    tls_version: Option<&'a str>,
    #[serde(rename = "request_Referer", skip_serializing_if = "Option::is_none")]
    request_referer: Option<Cow<'a, str>>,
    #[serde(rename = "request_User-Agent", skip_serializing_if = "Option::is_none")]
    request_user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<&'a str>,
    #[serde(rename = "Annotations", skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations<'a>>,
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn host_only(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    }
}

fn port_only(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((_, port)) if is_port(port) => port,
        _ => "-",
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn address_only(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, address)| address)
}

fn put(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into a buffer does not fail.
    let _ = line.write_fmt(text);
}

/// `"value" ` with a dash for what is absent.
fn quoted(line: &mut Vec<u8>, value: Option<&[u8]>) {
    line.push(b'"');
    match value {
        Some(value) if !value.is_empty() => escape(line, value),
        _ => line.push(b'-'),
    }
    line.extend_from_slice(b"\" ");
}

/// What could end a field or a line, or is not ASCII, becomes `\xNN`.
fn escape(line: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => line.push(*byte),
            _ => put(line, format_args!("\\x{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json as value;

    use super::*;

    fn record() -> AccessRecord<'static> {
        AccessRecord {
            client: Some("10.0.0.9:51000".parse().unwrap()),
            started: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_790_000_000_123_456_789),
            duration: Duration::from_micros(2_500),
            origin_duration: Some(Duration::from_micros(2_000)),
            method: "GET",
            path: "/a?b=\"c\"\n",
            protocol: "HTTP/1.1",
            scheme: "http",
            host: Some("go.localhost:8000"),
            status: 200,
            origin_status: Some(200),
            received: 0,
            sent: 42,
            referer: None,
            user_agent: Some(b"curl/8\xff\" 200"),
            entrypoint: "web",
            route: Some("go@file"),
            service: Some("go@file"),
            server_url: Some("http://127.0.0.1:9091"),
            retries: 0,
            tls_version: None,
            flag: None,
            annotations: &[],
        }
    }

    #[test]
    fn the_common_line_is_traefiks_and_cannot_be_forged() {
        let mut line = Vec::new();
        common(&mut line, &record(), 7, &mut Stamp::default());
        let expected = "10.0.0.9 - - [21/Sep/2026:14:13:20 +0000] \"GET /a?b=\\\"c\\\"\\x0a HTTP/1.1\" 200 42 \"-\" \
                        \"curl/8\\xff\\\" 200\" 7 \"go@file\" \"http://127.0.0.1:9091\" 2ms\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn json_has_traefiks_names_and_is_one_line() {
        let mut line = Vec::new();
        json(&mut line, &record(), 7);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let expected = value!({
            "level": "info", "msg": "", "time": "2026-09-21T14:13:20.125956789Z",
            "StartUTC": "2026-09-21T14:13:20.123456789Z", "Duration": 2_500_000, "Overhead": 500_000,
            "RequestCount": 7, "ClientAddr": "10.0.0.9:51000", "ClientHost": "10.0.0.9", "ClientPort": "51000",
            "ClientUsername": "-", "RequestAddr": "go.localhost:8000", "RequestHost": "go.localhost",
            "RequestPort": "8000", "RequestMethod": "GET", "RequestPath": "/a?b=\"c\"\n",
            "RequestProtocol": "HTTP/1.1", "RequestScheme": "http", "RequestContentSize": 0,
            "DownstreamStatus": 200, "DownstreamContentSize": 42, "OriginStatus": 200, "OriginDuration": 2_000_000,
            "RetryAttempts": 0, "RouterName": "go@file", "ServiceName": "go@file",
            "ServiceURL": "http://127.0.0.1:9091", "ServiceAddr": "127.0.0.1:9091", "entryPointName": "web",
            "request_User-Agent": "curl/8\u{fffd}\" 200",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn hosts_are_taken_apart() {
        for (host, name, port) in
            [("a:80", "a", "80"), ("a", "a", "-"), ("[::1]", "[::1]", "-"), ("[::1]:8", "[::1]", "8")]
        {
            assert_eq!((host_only(host), port_only(host)), (name, port));
        }
    }
}
