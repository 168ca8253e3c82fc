//! Where a request goes.

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_plugin_sdk::policy::{Field, Fields, random};
use sluice_policy_kit::source::{self, RawSource, Source};
use sluice_policy_kit::values::{List, Number};

/// As it arrives.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// The service that gets a part.
    service: String,
    /// Its part of a hundred.
    weight: Option<Number>,
    /// A header that decides.
    header: Option<String>,
    /// A cookie that decides, instead of a header.
    cookie: Option<String>,
    /// The values of either that lead to the service; any value where nothing is said.
    #[serde(default)]
    values: List,
    /// A cookie in which a client keeps where it was sent.
    sticky_cookie: Option<String>,
    /// For so many seconds, until the browser is closed where nothing is said.
    sticky_seconds: Option<Number>,
    /// Send whoever has the same of this to the same side, without a cookie.
    sticky_by: Option<RawSource>,
}

/// A checked split.
#[derive(Debug)]
pub(crate) struct Split {
    service: String,
    /// Of ten thousand.
    weight: u64,
    /// The header or cookie that decides.
    pin: Option<Field>,
    values: Vec<String>,
    sticky: Sticky,
}

#[derive(Debug)]
enum Sticky {
    No,
    Cookie { name: String, seconds: Option<u64> },
    By(Source),
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay<'a> {
    /// To the service of its route.
    Here,
    At(&'a str),
}

/// What was chosen, and what the client is to remember.
#[derive(Debug)]
pub(crate) struct Chosen<'a> {
    pub(crate) service: Stay<'a>,
    pub(crate) cookie: Option<String>,
}

impl Split {
    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        let RawSettings { service, weight, header, cookie, values, sticky_cookie, sticky_seconds, sticky_by } = raw;
        if service.is_empty() {
            return Err("`service` is empty".to_owned());
        }
        let weight = match weight.map_or(0, |weight| weight.0) {
            weight @ 0..=100 => weight * 100,
            weight => return Err(format!("`weight` is {weight} and has to be between 0 and 100")),
        };
        let pin = match (header, cookie) {
            (Some(_), Some(_)) => return Err("`header` and `cookie` decide both; keep one".to_owned()),
            (Some(header), None) => Some(source::header(header)?),
            (None, Some(cookie)) => Some(Field::Cookie(cookie_name(cookie)?)),
            (None, None) => None,
        };
        if weight == 0 && pin.is_none() {
            return Err("nothing goes to the service; give a `weight`, a `header` or a `cookie`".to_owned());
        }
        if pin.is_none() && !values.0.is_empty() {
            return Err("`values` need a `header` or a `cookie`".to_owned());
        }
        let sticky = match (sticky_cookie, sticky_by) {
            (Some(_), Some(_)) => return Err("`sticky-cookie` and `sticky-by` do the same; keep one".to_owned()),
            (None, None) if sticky_seconds.is_some() => {
                return Err("`sticky-seconds` needs a `sticky-cookie`".to_owned());
            }
            (None, None) => Sticky::No,
            (Some(name), None) => {
                Sticky::Cookie { name: cookie_name(name)?, seconds: sticky_seconds.map(|seconds| seconds.0) }
            }
            (None, Some(by)) => Sticky::By(Source::check(Some(by), None, Source::nothing())?),
        };
        Ok(Self { service, weight, pin, values: values.0, sticky })
    }

    /// The header or cookie that decides, if there is one, and then what stickiness needs.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let sticky: Vec<_> = match &self.sticky {
            Sticky::No => Vec::new(),
            Sticky::Cookie { name, .. } => vec![Field::Cookie(name.clone())],
            Sticky::By(source) => source.fields().collect(),
        };
        self.pin.iter().cloned().chain(sticky).collect()
    }

    pub(crate) fn choose(&self, fields: &Fields, buffer: &mut String) -> Chosen<'_> {
        let at = |there: bool| if there { Stay::At(&self.service) } else { Stay::Here };
        let quietly = |there| Chosen { service: at(there), cookie: None };
        if self.pin.is_some()
            && let Some(value) = fields.get(0)
        {
            return quietly(self.values.is_empty() || self.values.iter().any(|known| known == value));
        }
        let first = usize::from(self.pin.is_some());
        match &self.sticky {
            Sticky::No => quietly(self.draw(random::u64())),
            Sticky::By(source) => quietly(self.draw(hash(source.key(fields, first, buffer)))),
            Sticky::Cookie { name, seconds } => match fields.get(first) {
                Some("1") if self.weight > 0 => quietly(true),
                Some("0") if self.weight < 10_000 => quietly(false),
                _ => {
                    let there = self.draw(random::u64());
                    let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
                    let value = u8::from(there);
                    let cookie = format!("{name}={value}; Path=/{age}; HttpOnly; SameSite=Lax");
                    Chosen { service: at(there), cookie: Some(cookie) }
                }
            },
        }
    }

    fn draw(&self, number: u64) -> bool {
        number % 10_000 < self.weight
    }
}

/// Their names are made of the same letters as those of headers.
fn cookie_name(name: String) -> Result<String, String> {
    match source::header(name.clone()) {
        Ok(_) => Ok(name),
        Err(_) => Err(format!("`{name}` is not the name of a cookie")),
    }
}

/// FNV-1a, finished so that low bits depend on all of the text.
fn hash(text: &str) -> u64 {
    let mixed = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}
