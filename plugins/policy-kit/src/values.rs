//! Values of settings. Tags carry text only, so every value may also be its text.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::duration;

const SECOND_NS: u64 = 1_000_000_000;

/// A whole number that is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub u64);

/// A number with a fraction, of at least 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Real(pub f64);

/// A number of seconds, or a duration as Go writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

/// A truth value, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

/// Texts: an array, or one text with commas between them. Empty ones are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl Number {
    /// The number, or the largest of 32 bits.
    #[must_use]
    pub fn clamped(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl Period {
    /// In nanoseconds.
    #[must_use]
    pub fn as_ns(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let read = |text: &str| text.trim().parse().ok();
        input.deserialize_any(Scalar { expected: "a whole number of at least 0", number: Some, text: read }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let expected = "a duration such as `1s` or `1m30s`, or a number of seconds";
        let number = |seconds: u64| seconds.checked_mul(SECOND_NS);
        let scalar = Scalar { expected, number, text: |text: &str| duration::parse(text.trim()) };
        input.deserialize_any(scalar).map(|ns| Self(Duration::from_nanos(ns)))
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text.trim() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(1),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(0),
            _ => None,
        };
        let scalar = Scalar { expected: "`true` or `false`", number: |_| None, text: read };
        input.deserialize_any(scalar).map(|value| Self(value != 0))
    }
}

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Fraction).map(Self)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Texts(PhantomData)).map(Self)
    }
}

/// Reads one whole number from JSON of either kind.
struct Scalar<N, T> {
    expected: &'static str,
    number: N,
    text: T,
}

impl<N: Fn(u64) -> Option<u64>, T: Fn(&str) -> Option<u64>> Visitor<'_> for Scalar<N, T> {
    type Value = u64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.expected)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        (self.number)(value).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<u64, E> {
        (self.text)(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<u64, E> {
        // Only switches read the words.
        let word = if value { "true" } else { "false" };
        (self.text)(word).ok_or_else(|| E::invalid_type(de::Unexpected::Bool(value), &self))
    }
}

struct Fraction;

impl Visitor<'_> for Fraction {
    type Value = f64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a number of at least 0")
    }

    #[expect(clippy::cast_precision_loss, reason = "settings are small numbers")]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
        let fits = value.is_finite() && value >= 0.0;
        fits.then_some(value).ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<f64, E> {
        let number = value.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

struct Texts(PhantomData<()>);

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of texts, or a text with commas")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Vec<String>, E> {
        Ok(value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            if !text.is_empty() {
                texts.push(text);
            }
        }
        Ok(texts)
    }
}

/// Describes types that read more than one kind of JSON.
macro_rules! described {
    ($($type:ty: $name:literal = $schema:tt;)*) => {$(
        impl ::schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!($schema)
            }
        }
    )*};
}

pub(crate) use described;

described! {
    Number: "Number" = { "type": ["integer", "string"], "minimum": 0 };
    Real: "Real" = { "type": ["number", "string"], "minimum": 0 };
    Period: "Period" = { "type": ["string", "integer"], "description": "a duration such as `1m30s`, or seconds" };
    Switch: "Switch" = { "type": ["boolean", "string"] };
    List: "List" = { "type": ["array", "string"], "items": { "type": "string" } };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde::de::DeserializeOwned;

    use super::*;

    fn read<T: DeserializeOwned>(json: &str) -> Option<T> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn every_value_may_be_its_text() {
        for json in ["7", r#""7""#, r#"" 7 ""#] {
            assert_eq!(read(json), Some(Number(7)), "{json}");
        }
        for json in ["1.5", r#""1.5""#] {
            assert_eq!(read(json), Some(Real(1.5)), "{json}");
        }
        for json in ["90", r#""90""#, r#""1m30s""#] {
            assert_eq!(read(json), Some(Period(Duration::from_secs(90))), "{json}");
        }
        for json in ["true", r#""T""#, r#""1""#] {
            assert_eq!(read(json), Some(Switch(true)), "{json}");
        }
        for json in [r#"["a","b"]"#, r#""a, b,""#] {
            assert_eq!(read(json), Some(List(vec!["a".into(), "b".into()])), "{json}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert_eq!(read::<Number>("-1"), None);
        assert_eq!(read::<Number>("true"), None);
        assert_eq!(read::<Real>("-0.5"), None);
        assert_eq!(read::<Real>(r#""inf""#), None);
        assert_eq!(read::<Period>(r#""1d""#), None);
        assert_eq!(read::<Switch>("1"), None);
        assert_eq!(read::<List>("[1]"), None);
    }
}
