//! `redirectregex`, and the templates of Traefik 1 in its replacement: read here once, so that nothing a client writes is
//! ever taken for a template.

use hyper::header::{HeaderName, REFERER, USER_AGENT};
use sluice_model::action::RedirectRegexp as RedirectSpec;

use super::regex;
use crate::live::native::{Piece, RedirectRegexp, RequestPart};

pub(super) fn compile(spec: &RedirectSpec) -> Result<RedirectRegexp, String> {
    let text = || vec![Piece::Text(spec.replacement.clone())];
    Ok(RedirectRegexp {
        pattern: regex(&spec.pattern)?,
        replacement: if spec.templated { pieces(&spec.replacement)? } else { text() },
        permanent: spec.permanent,
        scheme_from: spec.scheme_from,
    })
}

fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some((text, after)) = rest.split_once("{{") {
        pieces.push(Piece::Text(text.to_owned()));
        let (action, after) = after.split_once("}}").ok_or("`{{` in the replacement is not closed by `}}`")?;
        pieces.push(action_of(action.trim())?);
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

fn action_of(action: &str) -> Result<Piece, String> {
    if let Some(text) = quoted(action) {
        return Ok(Piece::Text(text.replace('$', "$$")));
    }
    let part = action.strip_prefix(".Request.").and_then(request_part);
    part.map(Piece::Request).ok_or_else(|| {
        format!(
            "`{{{{{action}}}}}` in the replacement is not understood; there are .Request.Host, .Method, .RequestURI, \
             .URL.Path, .URL.RawQuery, .Proto, .RemoteAddr, .UserAgent, .Referer and .Header.Get \"Name\""
        )
    })
}

fn request_part(name: &str) -> Option<RequestPart> {
    Some(match name {
        "Host" => RequestPart::Host,
        "Method" => RequestPart::Method,
        "RequestURI" => RequestPart::Target,
        "URL.Path" => RequestPart::Path,
        "URL.RawQuery" => RequestPart::Query,
        "Proto" => RequestPart::Protocol,
        "RemoteAddr" => RequestPart::Client,
        "UserAgent" => RequestPart::Header(USER_AGENT),
        "Referer" => RequestPart::Header(REFERER),
        _ => {
            let header = quoted(name.strip_prefix("Header.Get ")?.trim())?;
            RequestPart::Header(HeaderName::try_from(header).ok()?)
        }
    })
}

/// What stands between quotes or backticks.
fn quoted(text: &str) -> Option<&str> {
    let between =
        |quote: char| text.strip_prefix(quote)?.strip_suffix(quote).filter(|text| !text.contains([quote, '\\']));
    between('"').or_else(|| between('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(replacement: &str, templated: bool) -> Result<Vec<Piece>, String> {
        let spec =
            RedirectSpec { pattern: "a".into(), replacement: replacement.into(), templated, ..RedirectSpec::default() };
        compile(&spec).map(|redirect| redirect.replacement)
    }

    #[test]
    fn templates_are_pieces() {
        let header = |name: &'static str| Piece::Request(RequestPart::Header(HeaderName::from_static(name)));
        let text = |text: &str| Piece::Text(text.into());
        assert_eq!(
            compiled("https://{{ .Request.Host }}/$1{{.Request.Header.Get `X-A`}}{{\"$2\"}}", true),
            Ok(vec![text("https://"), Piece::Request(RequestPart::Host), text("/$1"), header("x-a"), text("$$2")])
        );
        let parts = "{{.Request.Method}}{{.Request.RequestURI}}{{.Request.URL.Path}}{{.Request.URL.RawQuery}}\
                     {{.Request.Proto}}{{.Request.RemoteAddr}}{{.Request.UserAgent}}{{.Request.Referer}}";
        assert_eq!(compiled(parts, true).map(|pieces| pieces.len()), Ok(8));
        assert_eq!(
            compiled("{{.Request.Host}}", false),
            Ok(vec![text("{{.Request.Host}}")]),
            "only where it is asked for"
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for wrong in
            ["{{.Request.Body}}", "{{if .Request.Host}}a{{end}}", "{{.Host}}", "{{.Request.Header.Get \"a b\"}}"]
        {
            assert!(compiled(wrong, true).is_err_and(|error| error.contains("is not understood")), "{wrong}");
        }
        assert!(compiled("{{.Request.Host", true).is_err_and(|error| error.contains("not closed")));
    }
}
