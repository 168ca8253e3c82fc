//! A claim of a JSON web token that somebody else has verified.

use serde_json::Value;

/// The claim of that name in the token after `Bearer `, as text. Nothing is verified: the token tells who is counted,
/// not who may pass.
///
/// ```
/// use sluice_policy_kit::claim;
///
/// let authorization = "Bearer e30.eyJ0ZW5hbnQiOiJhY21lIiwibiI6N30.x";
/// assert_eq!(claim::of(authorization, "tenant").as_deref(), Some("acme"));
/// assert_eq!(claim::of(authorization, "n").as_deref(), Some("7"));
/// assert_eq!(claim::of("Basic eDp5", "tenant"), None);
/// ```
#[must_use]
pub fn of(authorization: &str, name: &str) -> Option<String> {
    let (scheme, token) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let payload = decode(token.trim().split('.').nth(1)?)?;
    match serde_json::from_slice::<Value>(&payload).ok()?.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Base64 with the alphabet for URLs, without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    Some(bytes)
}
