//! The requests of llhttp's own test suite, where `SLUICE_LLHTTP` names its folder `test/request`: what this reader
//! decides otherwise is listed in `llhttp.txt`, each with a reason to be stricter. `cargo xtask protocols` fetches them.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]

use std::path::Path;

use super::tests::passed;

/// A request, and whether llhttp takes it.
struct Case {
    name: String,
    bytes: Vec<u8>,
    accepted: bool,
}

#[test]
fn llhttp_agrees_except_where_we_want_to_be_stricter() {
    let Some(folder) = std::env::var_os("SLUICE_LLHTTP") else {
        eprintln!("skipped: SLUICE_LLHTTP does not name llhttp's test/request");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let cases: Vec<Case> =
        files.iter().filter(|file| file.extension().is_some_and(|it| it == "md")).flat_map(read).collect();
    assert!(cases.len() > 80, "only {} cases were found", cases.len());
    let mut differences = String::new();
    for case in &cases {
        let (through, refused) = passed(&case.bytes, &[], 64 * 1024);
        match (case.accepted, refused) {
            (true, Some((reason, _))) => differences += &format!("{}: refused as {reason}\n", case.name),
            // What is held back is not decided yet.
            (false, None) if through.len() == case.bytes.len() => differences += &format!("{}: accepted\n", case.name),
            _ => {}
        }
    }
    if let Some(file) = std::env::var_os("SLUICE_LLHTTP_BLESS") {
        std::fs::write(file, &differences).unwrap();
    }
    let reviewed: Vec<&str> = include_str!("llhttp.txt").lines().filter(|line| !line.starts_with('#')).collect();
    let found: Vec<&str> = differences.lines().collect();
    assert_eq!(found, reviewed, "{} cases", cases.len());
}

/// The strict cases of a file: a title, the kind in a comment, the bytes, and what llhttp says of them.
fn read(file: impl AsRef<Path>) -> Vec<Case> {
    let file = file.as_ref();
    let text = std::fs::read_to_string(file).unwrap();
    let stem = file.file_stem().unwrap().to_string_lossy();
    let mut cases = Vec::new();
    for section in text.split("\n##").skip(1) {
        let title = section.lines().next().unwrap_or_default().trim_matches(['#', ' ']);
        let meta = section.split_once("<!-- meta=").and_then(|(_, rest)| rest.split_once("-->"));
        let block = |kind: &str| {
            let (_, rest) = section.split_once(&format!("```{kind}\n"))?;
            rest.split_once("```").map(|(block, _)| block)
        };
        let (Some((meta, _)), Some(input), Some(log)) = (meta, block("http"), block("log")) else { continue };
        let plain = meta.replace(' ', "").contains("\"type\":\"request\"") && !meta.contains("pause");
        if !plain || input.contains("${") || meta.contains("skipBody") {
            continue;
        }
        // llhttp leaves it to its user to refuse these.
        let accepted = !log.contains("error code=") || log.contains("Pause on CONNECT/Upgrade");
        cases.push(Case { name: format!("{stem} / {title}"), bytes: decode(input), accepted });
    }
    cases
}

/// llhttp's notation: ends of lines are CRLF, the others are spelled out.
fn decode(input: &str) -> Vec<u8> {
    let input = input.strip_suffix('\n').unwrap_or(input).replace("\\\n", "").replace('\n', "\r\n");
    let mut out = Vec::new();
    let mut rest = input.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let (decoded, after) = match (byte, after) {
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [b'f', after @ ..]) => (0x0c, after),
            (b'\\', [b'x', high, low, after @ ..]) => {
                (u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap(), after)
            }
            (b'\\', [b'0'..=b'7', ..]) => {
                let len = after.iter().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
                let (digits, after) = after.split_at(len);
                (u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 8).unwrap(), after)
            }
            (byte, after) => (*byte, after),
        };
        out.push(decoded);
        rest = after;
    }
    out
}
