//! Lists as Traefik's API gives them out: `status` and `search` leave out the rest, `per_page` and `page` cut. The header
//! `X-Next-Page` names the page after this one; 1 means that there is none.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::answer::{Body, decoded, json, message};

const NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");

/// What is asked for.
#[derive(Default)]
struct Asked {
    status: Option<String>,
    search: Option<String>,
    /// Everything where it is none.
    per_page: Option<usize>,
    page: usize,
}

/// The part of a list that a query asks for.
pub(super) fn page(list: Vec<Value>, query: &str) -> Response<Body> {
    let asked = match Asked::read(query) {
        Ok(asked) => asked,
        Err(reason) => return message(StatusCode::BAD_REQUEST, &reason),
    };
    let list: Vec<Value> = list.into_iter().filter(|object| asked.wants(object)).collect();
    let per_page = asked.per_page.unwrap_or(list.len()).max(1);
    let skipped = (asked.page - 1).saturating_mul(per_page);
    if skipped > 0 && skipped >= list.len() {
        return message(StatusCode::BAD_REQUEST, &format!("there is no page {}", asked.page));
    }
    let more = list.len() > skipped.saturating_add(per_page);
    let next = if more { asked.page + 1 } else { 1 };
    let shown: Vec<Value> = list.into_iter().skip(skipped).take(per_page).collect();
    let mut response = json(&shown);
    response.headers_mut().insert(NEXT_PAGE, HeaderValue::from(next));
    response
}

impl Asked {
    fn read(query: &str) -> Result<Self, String> {
        let mut asked = Self { page: 1, ..Self::default() };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = decoded(&value.replace('+', " ")).into_owned();
            let number = || {
                let number = value.parse().ok().filter(|number| *number > 0);
                number.ok_or_else(|| format!("`{name}` is `{value}` and has to be a number above 0"))
            };
            match name {
                "status" => asked.status = Some(value),
                "search" => asked.search = Some(value.to_lowercase()),
                "per_page" => asked.per_page = Some(number()?),
                "page" => asked.page = number()?,
                _ => {}
            }
        }
        Ok(asked)
    }

    fn wants(&self, object: &Value) -> bool {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let found = |wanted: &String| {
            ["name", "rule", "service", "address"].iter().any(|key| text(key).to_lowercase().contains(wanted))
        };
        self.status.as_ref().is_none_or(|wanted| text("status").eq_ignore_ascii_case(wanted))
            && self.search.as_ref().is_none_or(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn asked(query: &str) -> (u16, Option<String>) {
        let names = ["a", "b", "c", "d", "e"];
        let status = |name: &str| if name == "b" { "disabled" } else { "enabled" };
        let list =
            names.map(|name| json!({ "name": name, "rule": format!("Host(`{name}.Test`)"), "status": status(name) }));
        let response = page(list.to_vec(), query);
        let next = response.headers().get(NEXT_PAGE).map(|next| next.to_str().unwrap().to_owned());
        (response.status().as_u16(), next)
    }

    #[test]
    fn pages_say_whether_there_is_another() {
        for (query, next) in [
            ("", "1"),
            ("per_page=2", "2"),
            ("per_page=2&page=2", "3"),
            ("per_page=2&page=3", "1"),
            ("per_page=5", "1"),
            ("search=test&per_page=4", "2"),
            ("search=B.test&per_page=1", "1"),
            ("status=Disabled&per_page=1", "1"),
            ("status=enabled&per_page=3", "2"),
            ("search=nothing", "1"),
        ] {
            assert_eq!(asked(query), (200, Some(next.to_owned())), "{query}");
        }
        for wrong in ["per_page=2&page=4", "page=2", "page=0", "per_page=x"] {
            assert_eq!(asked(wrong).0, 400, "{wrong}");
        }
    }
}
