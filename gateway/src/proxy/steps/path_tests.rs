//! What each change makes of a path.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use super::*;
use crate::http::{Client, accept};

fn exchange(path: &str) -> Box<Exchange> {
    let head = hyper::Request::get(path).header("host", "h.test").body(()).unwrap().into_parts().0;
    accept(
        head,
        Arc::new(Client::new(([127, 0, 0, 1], 1).into(), "web".into(), 0, None, None, crate::http::Rules::default())),
    )
    .unwrap()
}

fn after(path: &str, step: &PathStep) -> Result<(String, Vec<(String, String)>), Failure> {
    let mut exchange = exchange(path);
    apply(step, &mut exchange)?;
    let headers = exchange.head.headers.iter().filter(|(name, _)| name.as_str() != "host");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    Ok((exchange.path.as_str().to_owned(), headers))
}

fn strip(prefixes: &[&str]) -> PathStep {
    PathStep::StripPrefix(prefixes.iter().map(ToString::to_string).collect())
}

#[test]
fn prefixes_are_text_and_the_first_one_wins() {
    for (path, prefixes, want, header) in [
        ("/shop/cart", &["/shop"][..], "/cart", "/shop"),
        ("/shop", &["/shop"], "/", "/shop"),
        ("/shopping", &["/shop"], "/ping", "/shop"),
        ("/m/n/o", &["/m", "/m/n"], "/n/o", "/m"),
        ("/shop/u%2Fv", &["/shop"], "/u%2Fv", "/shop"),
        ("/p%20q/r", &["/p q"], "/r", "/p q"),
        ("/a%2Fb%2Fc", &["/a"], "/b/c", "/a"),
        ("/a%2F%2541", &["/a"], "/%2541", "/a"),
    ] {
        let (got, headers) = after(path, &strip(prefixes)).unwrap();
        assert_eq!((got.as_str(), headers[0].1.as_str()), (want, header), "{path}");
    }
    assert_eq!(after("/shop", &strip(&["/zzz"])).unwrap(), ("/shop".into(), vec![]));
}

#[test]
fn what_is_left_must_be_normalised_already() {
    assert_eq!(after("/api../admin", &strip(&["/api"])).unwrap_err(), Failure::Path);
    let slash = PathStep::StripPrefix(vec!["/a".into()]);
    assert_eq!(after("/a/b", &slash).unwrap().0, "/b");
    assert_eq!(after("/a%2F..%2Fb", &slash).unwrap_err(), Failure::Path);
}

#[test]
fn regular_expressions_count_at_the_beginning_only() {
    let step = PathStep::StripPrefixRegexp(vec![regex::Regex::new("/r[0-9]+").unwrap()]);
    assert_eq!(
        after("/r12/items", &step).unwrap(),
        ("/items".into(), vec![("x-forwarded-prefix".into(), "/r12".into())])
    );
    assert_eq!(after("/x/r12/items", &step).unwrap().0, "/x/r12/items");
}

#[test]
fn prefixes_are_added_and_paths_replaced() {
    assert_eq!(after("/u", &PathStep::AddPrefix("/app".into())).unwrap().0, "/app/u");
    assert_eq!(after("/u", &PathStep::AddPrefix("app".into())).unwrap().0, "/app/u");
    let (path, headers) = after("/any", &PathStep::Replace("/fixed".into())).unwrap();
    assert_eq!((path.as_str(), headers), ("/fixed", vec![("x-replaced-path".into(), "/any".into())]));
    let mut twice = exchange("/one");
    twice.head.headers.insert(REPLACED, HeaderValue::from_static("/forged"));
    apply(&PathStep::Replace("/two".into()), &mut twice).unwrap();
    apply(&PathStep::Replace("/three".into()), &mut twice).unwrap();
    assert_eq!(twice.head.headers.get_all(REPLACED).iter().collect::<Vec<_>>(), ["/one", "/two"]);
}

#[test]
fn groups_are_replaced_as_go_does() {
    let step =
        |replacement: &str| PathStep::ReplaceRegexp(regex::Regex::new("^/old/(.*)").unwrap(), replacement.into());
    assert_eq!(after("/old/z", &step("/new/$1")).unwrap().0, "/new/z");
    assert_eq!(after("/old/z", &step("/new/$1x")).unwrap().0, "/new/");
    assert_eq!(after("/other", &step("/new/$1")).unwrap(), ("/other".into(), vec![]));
}
