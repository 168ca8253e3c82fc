//! Cookies that bind a client to one of several.

use hyper::HeaderMap;
use hyper::header::COOKIE;

use crate::live::Sticky;

/// Whom the client's cookie means, and whether it is how that is written today.
pub(super) fn find(sticky: &Sticky, headers: &HeaderMap) -> Option<(usize, bool)> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == sticky.name).map(|(_, value)| value.trim_matches('"'));
    values.find_map(|value| sticky.values.get(value)).copied()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_in_several_lines() {
        let values = [("a".to_owned(), (0, true)), ("old".to_owned(), (1, false))].into();
        let sticky = Sticky { name: "sid".to_owned(), values, set: Vec::new() };
        let found = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            find(&sticky, &headers)
        };
        assert_eq!(found(&["x=1; sid=a; y=2"]), Some((0, true)));
        assert_eq!(found(&["x=1", "sid=\"old\""]), Some((1, false)));
        assert_eq!(found(&["sid=gone; sid=a"]), Some((0, true)));
        for none in ["", "sid", "SID=a", "xsid=a", "sid=b"] {
            assert_eq!(found(&[none]), None, "{none}");
        }
    }
}
