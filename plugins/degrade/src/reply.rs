//! Answers made up from templates, in the form the client likes best.

use sluice_plugin_sdk::policy::{Field, Reply, exchange};

/// A reply to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// That of the answer it stands for, where there is none.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    /// By media type, the preferred one first.
    pub(crate) bodies: Vec<(String, String)>,
}

impl Template {
    /// The reply in place of an answer with a status.
    pub(crate) fn fill(&self, status: u16) -> Reply {
        let accept = exchange::request_field(&Field::Header("accept".to_owned()));
        let place = accept.map_or(0, |accept| preferred(&accept, self.bodies.iter().map(|(media, _)| media.as_str())));
        let (media, body) = self.bodies.get(place).map_or(("text/plain", ""), |(media, body)| (media, body));
        let reply =
            Reply { status: self.status.unwrap_or(status), headers: Vec::new(), body: filled(body, status).into() };
        let reply = reply.with_header("Content-Type", media);
        let reply = if self.bodies.len() > 1 { reply.with_header("Vary", "Accept") } else { reply };
        self.headers.iter().fold(reply, |reply, (name, value)| reply.with_header(name.as_str(), filled(value, status)))
    }
}

/// Puts `{status}`, `{url}`, `{host}` and `{request-id}` in. What comes from the client cannot end a quoted text.
fn filled(template: &str, status: u16) -> String {
    if !template.contains('{') {
        return template.to_owned();
    }
    let of_client = |field: Field| {
        let value = exchange::request_field(&field).unwrap_or_default();
        let harmless = |c: &char| !c.is_control() && !matches!(c, '<' | '>' | '"' | '\'' | '&' | '\\');
        value.chars().filter(harmless).collect::<String>()
    };
    let mut text = template.replace("{status}", &status.to_string());
    for (name, field) in [("{url}", Field::Path), ("{host}", Field::Host), ("{request-id}", Field::RequestId)] {
        if text.contains(name) {
            text = text.replace(name, &of_client(field));
        }
    }
    text
}

/// The place of the type a client likes best; of equals, the first.
fn preferred<'a>(accept: &str, offered: impl Iterator<Item = &'a str>) -> usize {
    let mut best = (0, 0.0);
    for (place, media) in offered.enumerate() {
        let liked = quality(accept, media);
        if liked > best.1 {
            best = (place, liked);
        }
    }
    best.0
}

/// How much a client likes a type, by the most specific range that fits.
fn quality(accept: &str, media: &str) -> f64 {
    let media = media.split(';').next().unwrap_or_default().trim();
    let kind = media.split('/').next().unwrap_or_default();
    let mut found = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let specific = match name.split_once('/') {
            _ if name.eq_ignore_ascii_case(media) => 3,
            Some((first, "*")) if first.eq_ignore_ascii_case(kind) => 2,
            Some(("*", "*")) => 1,
            _ => continue,
        };
        let liked = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
        if specific > found.0 {
            found = (specific, liked);
        }
    }
    found.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_among_what_there_is() {
        let offered = ["text/html; charset=utf-8", "application/json"];
        for (accept, expected) in [
            ("application/json", 1),
            ("text/html,application/xhtml+xml,*/*;q=0.8", 0),
            ("application/*", 1),
            ("*/*", 0),
            ("text/html;q=0.2, application/json;q=0.3", 1),
            ("text/*;q=0, */*", 1),
            ("image/png", 0),
            ("", 0),
        ] {
            assert_eq!(preferred(accept, offered.into_iter()), expected, "{accept}");
        }
    }
}
