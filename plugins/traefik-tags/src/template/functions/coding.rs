//! sprig's codings and digests of texts.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};

use super::super::eval::check_length;
use super::super::value::Value;
use super::{Env, Table, one};

pub(super) const FUNCTIONS: Table = &[
    ("b64enc", encoded),
    ("b64dec", decoded),
    ("sha1sum", |args, _| one(args).map(|arg| hexadecimal(&Sha1::digest(arg.to_string())))),
    ("sha256sum", |args, _| one(args).map(|arg| hexadecimal(&Sha256::digest(arg.to_string())))),
    ("sha512sum", |args, _| one(args).map(|arg| hexadecimal(&Sha512::digest(arg.to_string())))),
    ("adler32sum", |args, _| one(args).map(|arg| Value::Text(adler32(&arg.to_string()).to_string()))),
];

fn encoded(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let text = one(args)?.to_string();
    check_length(text.len().saturating_mul(2))?;
    Ok(Value::Text(STANDARD.encode(text)))
}

fn decoded(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let text = one(args)?.to_string();
    let bytes = STANDARD.decode(&text).map_err(|error| format!("`{text}` is not Base64: {error}"))?;
    String::from_utf8(bytes).map(Value::Text).map_err(|_| format!("`{text}` is Base64 of what is no text"))
}

fn hexadecimal(digest: &[u8]) -> Value {
    Value::Text(digest.iter().fold(String::new(), |mut shown, byte| {
        // Writing to a text cannot fail.
        let _ = write!(shown, "{byte:02x}");
        shown
    }))
}

fn adler32(text: &str) -> u32 {
    let (a, b) = text.bytes().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = a.wrapping_add(u32::from(byte)) % 65_521;
        (a, a.wrapping_add(b) % 65_521)
    });
    b.wrapping_shl(16) | a
}
