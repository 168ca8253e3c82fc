//! Steps that change the path. Each leaves a normalised path; a result that is not normalised is refused, so that no
//! prefix can be used to climb out of what a route allows.

use std::borrow::Cow;

use hyper::header::{HeaderName, HeaderValue};
use sluice_model::PathView;
use sluice_model::path::{NormalPath, encode, encoded_len};

use crate::http::{Exchange, Failure};
use crate::live::native::PathStep;

const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const REPLACED: HeaderName = HeaderName::from_static("x-replaced-path");

/// Applies one change.
pub(super) fn apply(step: &PathStep, exchange: &mut Exchange) -> Result<(), Failure> {
    match step {
        PathStep::StripPrefix(prefixes) => {
            let decoded = exchange.path.view(PathView::Decoded);
            match prefixes.iter().find(|prefix| decoded.starts_with(prefix.as_str())) {
                Some(prefix) => strip(exchange, prefix.clone()),
                None => Ok(()),
            }
        }
        PathStep::StripPrefixRegexp(patterns) => {
            let decoded = exchange.path.view(PathView::Decoded);
            let found = patterns.iter().find_map(|pattern| pattern.find(decoded).filter(|found| found.start() == 0));
            match found.map(|found| found.as_str().to_owned()) {
                Some(prefix) => strip(exchange, prefix),
                None => Ok(()),
            }
        }
        PathStep::AddPrefix(prefix) => {
            let joined = format!("{}{}", encode(prefix), exchange.path.as_str());
            set(exchange, &joined)
        }
        PathStep::Replace(path) => replace(exchange, path.clone()),
        PathStep::ReplaceRegexp(pattern, replacement) => {
            let path = exchange.path.as_str();
            match pattern.replace_all(path, replacement.as_str()) {
                Cow::Borrowed(_) => Ok(()),
                Cow::Owned(replaced) => replace(exchange, replaced),
            }
        }
    }
}

/// Takes `prefix`, which the decoded path begins with, off the path and names it to the upstream.
fn strip(exchange: &mut Exchange, prefix: String) -> Result<(), Failure> {
    let path = exchange.path.as_str();
    let at = encoded_len(path, prefix.len()).ok_or(Failure::Path)?;
    let rest = path.get(at..).ok_or(Failure::Path)?;
    let decoded = exchange.path.view(PathView::Decoded).get(prefix.len()..).unwrap_or_default();
    let rest = match (rest.starts_with('/'), decoded.starts_with('/')) {
        (true, _) => rest.to_owned(),
        // As in Traefik: what begins with an encoded slash has no encoded form of its own.
        (false, true) => encode(&decoded.replace('%', "%25")).into_owned(),
        (false, false) => format!("/{rest}"),
    };
    set(exchange, &rest)?;
    if let Ok(prefix) = HeaderValue::try_from(prefix) {
        exchange.head.headers.append(PREFIX, prefix);
    }
    Ok(())
}

/// Puts `path` in place and tells the upstream what was there.
fn replace(exchange: &mut Exchange, path: String) -> Result<(), Failure> {
    let before = HeaderValue::from_str(exchange.path.as_str());
    set(exchange, &encode(&path))?;
    if let Ok(before) = before {
        // What the client says of it does not count; what steps before this one have said does.
        if std::mem::replace(&mut exchange.path_replaced, true) {
            exchange.head.headers.append(REPLACED, before);
        } else {
            exchange.head.headers.insert(REPLACED, before);
        }
    }
    Ok(())
}

fn set(exchange: &mut Exchange, path: &str) -> Result<(), Failure> {
    let rooted = if path.starts_with('/') { Cow::Borrowed(path) } else { Cow::Owned(format!("/{path}")) };
    let normal = NormalPath::parse(&rooted).map_err(|_| Failure::Path)?;
    if normal.was_changed() {
        return Err(Failure::Path);
    }
    exchange.path = normal;
    exchange.path_rewritten = true;
    Ok(())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
