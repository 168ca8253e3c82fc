//! Durations as Go writes and reads them, which is what Traefik's users set and what its answers contain.

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// Units by size, the longer of two spellings with the same start first.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

/// Nanoseconds of `1m30s`, `1.5h`, `100ms`, or of a bare number of seconds. None for anything else, negative ones too.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(SECOND);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0_u64;
    loop {
        let (part, after) = parse_part(rest)?;
        total = total.checked_add(part)?;
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// One number with its unit, and what follows.
fn parse_part(text: &str) -> Option<(u64, &str)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(digits(rest))?,
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (_, unit, rest) = UNITS
        .iter()
        .filter_map(|(name, unit)| Some((name.len(), *unit, rest.strip_prefix(name)?)))
        .max_by_key(|(length, ..)| *length)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(unit)? };
    Some((whole.checked_add(part_of(unit, fraction))?, rest))
}

/// `unit` times the decimal fraction, cut to whole nanoseconds.
fn part_of(unit: u64, fraction: &str) -> u64 {
    let (mut parts, mut of) = (0_u128, 1_u128);
    // An hour has fewer than 10^13 nanoseconds: further digits mean nothing.
    for digit in fraction.bytes().take(13) {
        parts = parts * 10 + u128::from(digit - b'0');
        of *= 10;
    }
    u64::try_from(u128::from(unit) * parts / of).unwrap_or(u64::MAX)
}

/// As Go prints it: `1h0m0s`, `1m30s`, `1.5s`, `100ms`, `1.234µs`, `0s`.
#[must_use]
pub fn format(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => decimal(nanoseconds, 1_000, "µs"),
        1_000_000..SECOND => decimal(nanoseconds, 1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (nanoseconds / (60 * SECOND), nanoseconds % (60 * SECOND));
            let seconds = decimal(rest, SECOND, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// `value / unit` without trailing zeros.
fn decimal(value: u64, unit: u64, name: &str) -> String {
    let (whole, mut fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return format!("{whole}{name}");
    }
    let mut width = unit.ilog10() as usize;
    while fraction % 10 == 0 {
        fraction /= 10;
        width -= 1;
    }
    format!("{whole}.{fraction:0width$}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let known = [
            ("1s", Some(1_000_000_000)),
            ("10", Some(10_000_000_000)),
            ("0", Some(0)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("+5s", Some(5_000_000_000)),
            ("5us", Some(5_000)),
            ("5µs", Some(5_000)),
            ("5μs", Some(5_000)),
            ("3ms", Some(3_000_000)),
            ("7ns", Some(7)),
            ("0.123456789123456789s", Some(123_456_789)),
            ("1h15m30.918273645s", Some(4_530_918_273_645)),
            ("", None),
            ("s", None),
            (".s", None),
            ("1.5", None),
            ("1d", None),
            ("-1s", None),
            ("1s ", None),
            ("1 s", None),
            ("99999999999999999999s", None),
            ("9999999999h", None),
            ("18446744073709551615", None),
        ];
        for (text, expected) in known {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn prints_what_go_prints() {
        let known = [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_234, "1.234µs"),
            (100_000_000, "100ms"),
            (99_999_999, "99.999999ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (1_000_000_001, "1.000000001s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_445_500_000_000, "1h30m45.5s"),
        ];
        for (nanoseconds, expected) in known {
            assert_eq!(format(nanoseconds), expected);
            assert_eq!(parse(expected), Some(nanoseconds));
        }
    }
}
