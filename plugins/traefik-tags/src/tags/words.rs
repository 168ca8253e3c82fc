//! The value languages tags share: Go's boolean words, integers, comma lists and durations.

/// A boolean as Go reads it, nothing more generous.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A plain decimal integer without blanks.
pub(crate) fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The items of a comma-separated list, trimmed, empty ones dropped.
pub(crate) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// A status, or a range of statuses with both ends, as first and last.
pub(crate) fn statuses(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse().ok().filter(|code| (100..=599).contains(code));
    Some((code(first)?, code(last)?)).filter(|(first, last)| first <= last)
}

/// v1's maps: `Name:value||Name:value`, split at the first colon and trimmed. An empty value is kept.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split("||").filter_map(|pair| pair.split_once(':'));
    let trimmed = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    trimmed.filter(|(name, _)| !name.is_empty()).collect()
}

/// A checked duration. Policies get it as it is written and read it again; native steps want nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Duration {
    /// A bare number.
    Seconds(i64),
    /// Go's syntax, such as `1m30s`.
    Text(String),
}

impl Duration {
    /// Whether it is longer than nothing.
    pub(crate) fn is_positive(&self) -> bool {
        self.nanoseconds() > 0
    }

    /// Whether it is shorter than nothing.
    pub(crate) fn is_negative(&self) -> bool {
        !self.is_zero() && self.has_sign()
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Seconds(seconds) => *seconds == 0,
            Self::Text(text) => !text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)),
        }
    }

    fn has_sign(&self) -> bool {
        match self {
            Self::Seconds(seconds) => *seconds < 0,
            Self::Text(text) => text.starts_with('-'),
        }
    }

    /// In nanoseconds, nothing for less than nothing. What does not fit becomes the most that does.
    pub(crate) fn nanoseconds(&self) -> u64 {
        match self {
            Self::Seconds(seconds) => u64::try_from(*seconds).unwrap_or(0).saturating_mul(1_000_000_000),
            Self::Text(text) if text.starts_with('-') => 0,
            Self::Text(text) => {
                let mut rest = text.trim_start_matches('+');
                let mut sum = 0_u64;
                while let Some((term, after)) = duration_term(rest) {
                    sum = sum.saturating_add(term);
                    rest = after;
                }
                sum
            }
        }
    }

    /// As JSON settings spell it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Seconds(seconds) => (*seconds).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

/// A Go duration, or a bare number of seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Some(seconds) = integer(text) {
        return Some(Duration::Seconds(seconds));
    }
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        rest = duration_term(rest)?.1;
    }
    Some(Duration::Text(text.to_owned()))
}

/// The units of a duration in nanoseconds. Longer names first: `ms` would otherwise be read as minutes.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Takes one `number unit` off the front: how many nanoseconds it is, and what follows.
fn duration_term(text: &str) -> Option<(u64, &str)> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(number)?;
    if !digits.bytes().any(|byte| byte.is_ascii_digit()) || digits.matches('.').count() > 1 {
        return None;
    }
    let (rest, unit) = UNITS.iter().find_map(|(name, unit)| Some((rest.strip_prefix(name)?, *unit)))?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let mut part = unit;
    let fraction = fraction.bytes().fold(0_u64, |sum, digit| {
        part /= 10;
        sum.saturating_add(part.saturating_mul(u64::from(digit - b'0')))
    });
    Some((whole.saturating_mul(unit).saturating_add(fraction), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_go_words_only() {
        for word in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(word), Some(true), "{word}");
        }
        for word in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(word), Some(false), "{word}");
        }
        for word in ["", "yes", "on", "tRUE", " true", "2"] {
            assert_eq!(boolean(word), None, "{word}");
        }
    }

    #[test]
    fn integers_have_no_blanks() {
        assert_eq!(integer("5"), Some(5));
        assert_eq!(integer("-3"), Some(-3));
        for text in [" 5", "5 ", "", "5.0", "heavy", "0x10"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn lists_are_trimmed_and_without_empty_items() {
        assert_eq!(list("a, b ,,c"), ["a", "b", "c"]);
        assert!(list(" , ").is_empty());
    }

    #[test]
    fn statuses_are_codes_and_ranges() {
        for (text, wanted) in
            [("502", Some((502, 502))), ("500-599", Some((500, 599))), ("500 - 502", Some((500, 502)))]
        {
            assert_eq!(statuses(text), wanted, "{text}");
        }
        for text in ["", "5xx", "99", "599-500", "500-", "-500"] {
            assert_eq!(statuses(text), None, "{text}");
        }
    }

    #[test]
    fn pairs_are_split_at_bars_and_their_first_colon() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs("x-a: 1 || B:c:d||Gone:||skipped||:x"),
            [pair("x-a", "1"), pair("B", "c:d"), pair("Gone", "")]
        );
    }

    #[test]
    fn durations_are_gos_or_bare_seconds() {
        assert_eq!(duration("10"), Some(Duration::Seconds(10)));
        for text in ["10s", "1m30s", "1.5h", "-2ms", "100µs", ".5s", "1h15m30.9s"] {
            assert_eq!(duration(text), Some(Duration::Text(text.into())), "{text}");
        }
        for text in ["", "s", "10 s", "1d", "1s2", "1..5s", "-", "ten"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_counted_in_nanoseconds() {
        for (text, wanted) in [
            ("10", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("100µs", 100_000),
            ("+2ms", 2_000_000),
            ("1h15m30.918273645s", 4_530_918_273_645),
            ("-2ms", 0),
            ("-3", 0),
            ("99999999999999999999h", u64::MAX),
        ] {
            assert_eq!(duration(text).map(|found| found.nanoseconds()), Some(wanted), "{text}");
        }
    }

    #[test]
    fn durations_are_positive_negative_or_nothing() {
        for (text, positive, negative) in [
            ("1", true, false),
            ("0", false, false),
            ("-1", false, true),
            ("0s", false, false),
            ("-0s", false, false),
            ("0.1ms", true, false),
            ("-1s", false, true),
        ] {
            let found = duration(text).map(|found| (found.is_positive(), found.is_negative()));
            assert_eq!(found, Some((positive, negative)), "{text}");
        }
    }
}
