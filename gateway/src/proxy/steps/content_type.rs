//! A missing `Content-Type`, guessed from how the body begins, in the manner of browsers (WHATWG MIME Sniffing).

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::response;

/// More of a body is not looked at.
const LOOKED_AT: usize = 512;

/// Beginnings that tell a type. Those of texts are compared in lower case, after blanks.
const TEXTS: &[(&[u8], &str)] = &[
    (b"<!doctype html", "text/html; charset=utf-8"),
    (b"<html", "text/html; charset=utf-8"),
    (b"<head", "text/html; charset=utf-8"),
    (b"<body", "text/html; charset=utf-8"),
    (b"<script", "text/html; charset=utf-8"),
    (b"<iframe", "text/html; charset=utf-8"),
    (b"<h1", "text/html; charset=utf-8"),
    (b"<div", "text/html; charset=utf-8"),
    (b"<font", "text/html; charset=utf-8"),
    (b"<table", "text/html; charset=utf-8"),
    (b"<a", "text/html; charset=utf-8"),
    (b"<style", "text/html; charset=utf-8"),
    (b"<title", "text/html; charset=utf-8"),
    (b"<b", "text/html; charset=utf-8"),
    (b"<br", "text/html; charset=utf-8"),
    (b"<p", "text/html; charset=utf-8"),
    (b"<!--", "text/html; charset=utf-8"),
    (b"<?xml", "text/xml; charset=utf-8"),
];

const BINARIES: &[(&[u8], &str)] = &[
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff", "text/plain; charset=utf-16be"),
    (b"\xff\xfe", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", "text/plain; charset=utf-8"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07", "application/x-rar-compressed"),
    (b"\x00asm", "application/wasm"),
];

/// Whether an answer does not say what it is, and its beginning would tell.
pub(in super::super) fn is_missing(head: &response::Parts) -> bool {
    !head.headers.contains_key(CONTENT_TYPE) && !head.headers.contains_key(CONTENT_ENCODING)
}

/// Says what a body that begins like this is.
pub(in super::super) fn set(head: &mut response::Parts, begun: &[u8]) {
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(of(begun)));
}

fn of(begun: &[u8]) -> &'static str {
    let begun = begun.get(..LOOKED_AT).unwrap_or(begun);
    let text = begun.trim_ascii_start();
    let text_begins = |start: &[u8]| {
        text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start)) && ends_a_tag(start, text)
    };
    let found = TEXTS.iter().find(|(start, _)| text_begins(start));
    let found = found.or_else(|| BINARIES.iter().find(|(start, _)| begun.starts_with(start)));
    match (found, begun) {
        (Some((_, kind)), _) => kind,
        (None, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..]) => "image/webp",
        (None, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..]) => "audio/wave",
        (None, [_, _, _, _, b'f', b't', b'y', b'p', ..]) => "video/mp4",
        (None, _) if begun.iter().any(is_binary) => "application/octet-stream",
        (None, _) => "text/plain; charset=utf-8",
    }
}

/// A tag's name ends with a blank or `>`: `<header>` is not `<head>`.
fn ends_a_tag(start: &[u8], text: &[u8]) -> bool {
    let is_name = start.last().is_some_and(|byte| byte.is_ascii_alphanumeric()) && !start.starts_with(b"<?");
    !is_name || text.get(start.len()).is_some_and(|next| matches!(next, b' ' | b'>' | b'\t' | b'\n' | b'\r'))
}

/// A byte no text has.
fn is_binary(byte: &u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_tell_types() {
        for (begun, wanted) in [
            (&b""[..], "text/plain; charset=utf-8"),
            (b"just words", "text/plain; charset=utf-8"),
            (b"{\"a\":1}", "text/plain; charset=utf-8"),
            (b" \n<!DOCTYPE HTML><html>", "text/html; charset=utf-8"),
            (b"<head>", "text/html; charset=utf-8"),
            (b"<header>", "text/plain; charset=utf-8"),
            (b"<?xml version", "text/xml; charset=utf-8"),
            (b"\x89PNG\r\n\x1a\n\x00", "image/png"),
            (b"RIFF\x01\x02\x03\x04WEBPVP8", "image/webp"),
            (b"\x00asm\x01", "application/wasm"),
            (b"\x01\x02\x03", "application/octet-stream"),
        ] {
            assert_eq!(of(begun), wanted, "{}", String::from_utf8_lossy(begun));
        }
    }
}
