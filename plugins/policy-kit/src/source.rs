//! What requests are counted by: the client's address, a header, a claim, or several of them together.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use sluice_plugin_sdk::policy::state::Key;
use sluice_plugin_sdk::policy::{Field, Fields, exchange};

use crate::claim;
use crate::ip::{RawStrategy, Strategy};
use crate::template::PathTemplate;
use crate::values::{Switch, described};

/// Between the parts of a key. No header, host or path contains it.
const SEPARATOR: char = '\u{1f}';

/// A source as it arrives: one part, or an array of them. A part is a table, or short: `client-ip`, `header:X-Tenant`.
#[derive(Clone, Debug, Default)]
pub struct RawSource(Vec<RawPart>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPart {
    kind: Kind,
    name: Option<String>,
    #[serde(default)]
    ipstrategy: RawStrategy,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    ClientIp,
    Header,
    Host,
    Cookie,
    QueryParam,
    JwtClaim,
    Method,
    Path,
    PathTemplate,
    Entrypoint,
    Route,
    Service,
}

/// Traefik's spelling of a source.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawCriterion {
    #[serde(rename = "requestheadername", alias = "requestHeaderName")]
    header: Option<String>,
    #[serde(rename = "requesthost", alias = "requestHost")]
    host: Option<Switch>,
    #[serde(rename = "ipstrategy", alias = "ipStrategy")]
    strategy: Option<RawStrategy>,
}

/// What requests are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Address(Strategy),
    /// A value as it is.
    Plain(Field),
    Claim(String),
    /// What of the path counts; nothing of paths that do not fit.
    Template(PathTemplate),
}

impl Source {
    /// The address of the connection.
    #[must_use]
    pub fn client_ip() -> Self {
        Self(vec![Part::Address(Strategy::default())])
    }

    /// A field as it is.
    #[must_use]
    pub fn field(field: Field) -> Self {
        Self(vec![Part::Plain(field)])
    }

    /// Nothing: everything is counted together.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Makes sense of one of two spellings; `default` where nothing is said.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn check(own: Option<RawSource>, traefik: Option<RawCriterion>, default: Self) -> Result<Self, String> {
        match (own, traefik) {
            (None, None) => Ok(default),
            (Some(RawSource(parts)), None) => parts.into_iter().map(part).collect::<Result<_, _>>().map(Self),
            (None, Some(criterion)) => of_criterion(criterion, default),
            (Some(_), Some(_)) => Err("`source` and `sourcecriterion` say the same; keep one of them".to_owned()),
        }
    }

    /// What it looks at, one field for each part.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.0.iter().map(|part| match part {
            Part::Address(strategy) => strategy.field(),
            Part::Plain(field) => field.clone(),
            Part::Claim(_) => Field::Header("authorization".to_owned()),
            Part::Template(_) => Field::Path,
        })
    }

    /// How many fields that is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The address a request counts for, where it counts by address alone.
    #[must_use]
    pub fn address(&self) -> Option<&Strategy> {
        match self.0.as_slice() {
            [Part::Address(strategy)] => Some(strategy),
            _ => None,
        }
    }

    /// What a request is counted under. `fields` has what [`fields`](Self::fields) names, from `first` on; `buffer` is
    /// used where that is not the key as it is. What a request does not have counts as empty.
    pub fn key<'a>(&self, fields: &'a Fields, first: usize, buffer: &'a mut String) -> &'a str {
        match self.0.as_slice() {
            [] => return "",
            [Part::Plain(_)] => return fields.get(first).unwrap_or_default(),
            [Part::Address(strategy)] if strategy.is_plain() => return fields.get(first).unwrap_or_default(),
            _ => {}
        }
        buffer.clear();
        self.write(buffer, |place| fields.get(first + place));
        buffer
    }

    /// The same where nothing but state is to know the key.
    pub fn state_key<'a>(&self, fields: &'a Fields, first: u32, buffer: &'a mut String) -> Key<'a> {
        if self.0.len() == 1 && self.is_plain() {
            return Key::Field(first);
        }
        Key::Text(self.key(fields, first as usize, buffer))
    }

    /// Whether a key is its values as they are: other values, another key.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|part| match part {
            Part::Plain(_) => true,
            Part::Address(strategy) => strategy.is_plain(),
            Part::Claim(_) | Part::Template(_) => false,
        })
    }

    /// The same key asked of the exchange, in a hook that has no fields of the request.
    #[must_use]
    pub fn key_of_exchange(&self) -> String {
        let values: Vec<_> = self.fields().map(|field| exchange::request_field(&field)).collect();
        let mut key = String::new();
        self.write(&mut key, |place| values.get(place)?.as_deref());
        key
    }

    fn write<'a>(&self, key: &mut String, value: impl Fn(usize) -> Option<&'a str>) {
        for (place, part) in self.0.iter().enumerate() {
            if place > 0 {
                key.push(SEPARATOR);
            }
            match part {
                Part::Address(strategy) => strategy.write_key(value(place), key),
                Part::Plain(_) => key.push_str(value(place).unwrap_or_default()),
                Part::Claim(name) => {
                    key.push_str(&value(place).and_then(|header| claim::of(header, name)).unwrap_or_default());
                }
                Part::Template(template) => {
                    key.push_str(&value(place).and_then(|path| template.fill(path)).unwrap_or_default());
                }
            }
        }
    }
}

fn of_criterion(criterion: RawCriterion, default: Source) -> Result<Source, String> {
    let by_host = criterion.host.is_some_and(|switch| switch.0);
    let header = criterion.header.filter(|name| !name.is_empty());
    if u8::from(by_host) + u8::from(header.is_some()) + u8::from(criterion.strategy.is_some()) > 1 {
        return Err(
            "`sourcecriterion` has more than one of `requestheadername`, `requesthost` and `ipstrategy`; keep one"
                .to_owned(),
        );
    }
    match (header, by_host, criterion.strategy) {
        (Some(name), ..) => self::header(name).map(Source::field),
        (None, true, _) => Ok(Source::field(Field::Host)),
        (None, false, Some(strategy)) => Ok(Source(vec![Part::Address(strategy.check()?)])),
        (None, false, None) => Ok(default),
    }
}

fn part(RawPart { kind, name, ipstrategy }: RawPart) -> Result<Part, String> {
    let named = |what: &str| {
        let name = name.clone().filter(|name| !name.is_empty());
        name.ok_or_else(|| format!("`source` of kind `{what}` needs a `name`"))
    };
    let plain = match kind {
        Kind::Header => return header(named("header")?).map(Part::Plain),
        Kind::Cookie => return named("cookie").map(|name| Part::Plain(Field::Cookie(name))),
        Kind::QueryParam => return named("query-param").map(|name| Part::Plain(Field::QueryParam(name))),
        Kind::JwtClaim => return named("jwt-claim").map(Part::Claim),
        Kind::PathTemplate => return PathTemplate::parse(&named("path-template")?).map(Part::Template),
        Kind::ClientIp if name.is_none() => return Ok(Part::Address(ipstrategy.check()?)),
        Kind::ClientIp => None,
        Kind::Host => Some(Field::Host),
        Kind::Method => Some(Field::Method),
        Kind::Path => Some(Field::Path),
        Kind::Entrypoint => Some(Field::Entrypoint),
        Kind::Route => Some(Field::Route),
        Kind::Service => Some(Field::Service),
    };
    match plain.filter(|_| name.is_none()) {
        Some(field) => Ok(Part::Plain(field)),
        None => {
            Err("`source.name` is for headers, cookies, query parameters, claims and templates; remove it".to_owned())
        }
    }
}

/// The field for a header.
///
/// # Errors
/// It is not the name of one.
pub fn header(name: String) -> Result<Field, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("`{name}` is not the name of a header"));
    }
    Ok(Field::Header(name))
}

impl<'de> Deserialize<'de> for RawSource {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Parts)
    }
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = RawSource;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("what requests are counted by, such as `client-ip`, `header:X-Tenant` or an array of these")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawSource, E> {
        text.split(',').map(|part| short(part.trim())).collect::<Result<_, E>>().map(RawSource)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSource, A::Error> {
        Ok(RawSource(vec![RawPart::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<RawSource, A::Error> {
        let sources = Vec::<RawSource>::deserialize(SeqAccessDeserializer::new(items))?;
        Ok(RawSource(sources.into_iter().flat_map(|source| source.0).collect()))
    }
}

/// `kind` or `kind:name`.
fn short<E: de::Error>(text: &str) -> Result<RawPart, E> {
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name.to_owned())));
    let kind = Kind::deserialize(de::value::StrDeserializer::new(kind))?;
    Ok(RawPart { kind, name, ipstrategy: RawStrategy::default() })
}

described! {
    RawSource: "Source" = {
        "type": ["string", "object", "array"],
        "description": "`client-ip`, `header:NAME`, `cookie:NAME`, `query-param:NAME`, `jwt-claim:NAME`, \
                        `path-template:/users/{user}/**`, `host`, `method`, `path`, `entrypoint`, `route`, `service`, or an array of these"
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn source(json: &str) -> Result<Source, String> {
        let raw = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Source::check(Some(raw), None, Source::client_ip())
    }

    fn criterion(json: &str) -> Result<Source, String> {
        Source::check(None, Some(serde_json::from_str(json).unwrap()), Source::client_ip())
    }

    fn key(source: &Source, values: &[Option<&str>]) -> String {
        let fields = Fields::from(values.iter().map(|value| value.map(str::to_owned)).collect::<Vec<_>>());
        source.key(&fields, 0, &mut String::new()).to_owned()
    }

    #[test]
    fn one_field_is_the_key_as_it_is() {
        for json in [r#""header:X-Tenant""#, r#"{"kind": "header", "name": "X-Tenant"}"#, r#"["header:X-Tenant"]"#] {
            let source = source(json).unwrap();
            assert_eq!(source.fields().collect::<Vec<_>>(), [Field::Header("X-Tenant".into())], "{json}");
            assert_eq!(key(&source, &[Some("acme")]), "acme");
            assert_eq!(key(&source, &[None]), "");
        }
    }

    #[test]
    fn several_parts_are_one_key() {
        let both = source(r#"["header:X-Tenant", {"kind": "client-ip", "ipstrategy": {"ipv6subnet": "64"}}]"#).unwrap();
        assert_eq!(both.count(), 2);
        assert_eq!(key(&both, &[Some("a"), Some("2001:db8::1")]), "a\u{1f}2001:db8::");
        assert_ne!(key(&both, &[Some("a"), None]), key(&both, &[None, Some("a")]));
        assert_eq!(source(r#""host, service""#).unwrap().count(), 2);
    }

    #[test]
    fn a_claim_is_read_from_the_token() {
        let claim = source(r#""jwt-claim:tenant""#).unwrap();
        assert_eq!(key(&claim, &[Some("Bearer e30.eyJ0ZW5hbnQiOiJhY21lIiwibiI6N30.x")]), "acme");
        assert_eq!(key(&claim, &[Some("Bearer x")]), "");
    }

    #[test]
    fn a_template_says_what_of_the_path_counts() {
        let both = source(r#""path-template:/users/{user}/**, client-ip""#).unwrap();
        assert_eq!(both.fields().collect::<Vec<_>>(), [Field::Path, Field::ClientIp]);
        assert_eq!(key(&both, &[Some("/users/7/orders"), Some("10.0.0.1")]), "/users/7\u{1f}10.0.0.1");
        assert_eq!(key(&both, &[Some("/health"), Some("10.0.0.1")]), "\u{1f}10.0.0.1");
        assert!(source(r#""path-template:users""#).unwrap_err().contains("is not a template of paths"));
    }

    #[test]
    fn state_asks_for_single_values_itself() {
        let state_key = |json: &str| {
            let fields = Fields::from(vec![Some("2001:db8::1".to_owned()), Some("b".to_owned())]);
            match source(json).unwrap().state_key(&fields, 0, &mut String::new()) {
                Key::Field(place) => format!("field {place}"),
                Key::Text(text) => text.to_owned(),
            }
        };
        assert_eq!(state_key(r#""client-ip""#), "field 0");
        assert_eq!(state_key(r#""host""#), "field 0");
        assert_eq!(state_key(r#""client-ip, host""#), "2001:db8::1\u{1f}b");
        assert_eq!(state_key(r#"{"kind": "client-ip", "ipstrategy": {"ipv6subnet": "64"}}"#), "2001:db8::");
        assert_eq!(state_key("[]"), "");
    }

    #[test]
    fn traefiks_spelling_is_understood() {
        assert_eq!(criterion("{}").unwrap(), Source::client_ip());
        assert_eq!(criterion(r#"{"requesthost": "true"}"#).unwrap(), Source::field(Field::Host));
        assert_eq!(
            criterion(r#"{"requestHeaderName": "X-User"}"#).unwrap(),
            Source::field(Field::Header("X-User".into()))
        );
        let depth = criterion(r#"{"ipstrategy": {"depth": 1}}"#).unwrap();
        assert_eq!(depth.fields().collect::<Vec<_>>(), [Field::Header("x-forwarded-for".into())]);
        assert_eq!(key(&depth, &[Some("1.1.1.1, 2.2.2.2")]), "2.2.2.2");
    }

    #[test]
    fn mistakes_are_named() {
        for (json, expected) in [
            (r#""ip""#, "unknown variant `ip`, expected one of `client-ip`, `header`, `host`"),
            (r#""header""#, "`source` of kind `header` needs a `name`"),
            (r#""header:a b""#, "`a b` is not the name of a header"),
            (r#"{"kind": "host", "name": "x"}"#, "`source.name` is for headers"),
            ("7", "invalid type: integer `7`, expected what requests are counted by"),
        ] {
            let error = source(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
        assert!(criterion(r#"{"requesthost": true, "ipstrategy": {"depth": 1}}"#).unwrap_err().contains("keep one"));
    }
}
