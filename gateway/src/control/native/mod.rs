//! Native steps: from what is declared to what requests are taken through. What is wrong is said to whoever declared
//! it, and costs the routes that use the step.

mod buffering;
mod compress;
mod headers;
mod redirect;

use std::sync::Arc;

use hyper::header::HeaderValue;
use regex::Regex;
use sluice_model::Action;
use sluice_model::action::EncodedCharacters;
use sluice_model::rule::compile_regex;

use crate::live::native::{Native, PathStep};

/// The step an action comes to; `None` for chains and policies, which are not native.
pub(super) fn compile(action: &Action) -> Option<Result<Native, String>> {
    let path = |step| Ok(Native::Path(step));
    Some(match action {
        Action::StripPrefix(prefixes) => path(PathStep::StripPrefix(prefixes.clone())),
        Action::StripPrefixRegexp(patterns) => regexes(patterns).map(PathStep::StripPrefixRegexp).map(Native::Path),
        Action::AddPrefix(prefix) => path(PathStep::AddPrefix(prefix.clone())),
        Action::ReplacePath(whole) => path(PathStep::Replace(whole.clone())),
        Action::ReplacePathRegexp { pattern, replacement } => {
            regex(pattern).and_then(|pattern| path(PathStep::ReplaceRegexp(pattern, replacement.clone())))
        }
        Action::RedirectSlash => Ok(Native::RedirectSlash),
        Action::RedirectRegexp(wanted) => redirect::compile(wanted).map(Native::RedirectRegexp),
        Action::RedirectScheme(redirect) => Ok(Native::RedirectScheme(redirect.clone())),
        Action::Headers(wanted) => headers::compile(wanted).map(|headers| Native::Headers(Box::new(headers))),
        Action::Retry(retry) => Ok(Native::Retry(Arc::new(retry.clone()))),
        Action::Buffering(wanted) => buffering::compile(wanted).map(|wanted| Native::Buffering(Arc::new(wanted))),
        Action::Compress(wanted) => compress::compile(wanted).map(Native::Compress),
        Action::EncodedCharacters(allowed) => Ok(Native::EncodedCharacters(refused(*allowed))),
        Action::ClientCertificate(wanted) => Ok(Native::ClientCertificate(wanted.clone())),
        Action::GrpcWeb(origins) => headers::grpc_web(origins).map(|cors| Native::GrpcWeb(Box::new(cors))),
        Action::ContentType => Ok(Native::ContentType),
        Action::LoopGuard(value) => HeaderValue::from_str(value)
            .map(Native::LoopGuard)
            .map_err(|_| format!("`{value}` has characters no header can carry")),
        Action::Chain(_) | Action::Policy { .. } => return None,
    })
}

/// The encodings that are not allowed, as a normalised path has them.
fn refused(allowed: EncodedCharacters) -> Vec<&'static str> {
    let all = [
        (allowed.slash, "%2F"),
        (allowed.backslash, "%5C"),
        (allowed.null_character, "%00"),
        (allowed.semicolon, "%3B"),
        (allowed.percent, "%25"),
        (allowed.question_mark, "%3F"),
        (allowed.hash, "%23"),
    ];
    all.into_iter().filter(|(allowed, _)| !allowed).map(|(_, encoding)| encoding).collect()
}

fn regex(pattern: &str) -> Result<Regex, String> {
    compile_regex(pattern).map_err(|error| error.to_string())
}

fn regexes(patterns: &[String]) -> Result<Vec<Regex>, String> {
    patterns.iter().map(|pattern| regex(pattern)).collect()
}
