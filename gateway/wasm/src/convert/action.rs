//! What steps do, from the contract's types to the model's.

use sluice_model::action as model;

use super::convert;
use crate::bindings::router::sluice::gateway::routing as wit;

pub(super) fn action(action: wit::Action) -> model::Action {
    use model::Action;
    match action {
        wit::Action::StripPrefix(prefixes) => Action::StripPrefix(prefixes),
        wit::Action::StripPrefixRegexp(patterns) => Action::StripPrefixRegexp(patterns),
        wit::Action::AddPrefix(prefix) => Action::AddPrefix(prefix),
        wit::Action::ReplacePath(path) => Action::ReplacePath(path),
        wit::Action::ReplacePathRegexp(replace) => {
            Action::ReplacePathRegexp { pattern: replace.pattern, replacement: replace.replacement }
        }
        wit::Action::RedirectSlash => Action::RedirectSlash,
        wit::Action::RedirectRegexp(redirect) => Action::RedirectRegexp(redirect_regexp(redirect)),
        wit::Action::RedirectScheme(redirect) => Action::RedirectScheme(model::RedirectScheme {
            scheme: redirect.scheme,
            port: redirect.port,
            permanent: redirect.permanent,
            except_entrypoint: redirect.except_entrypoint,
        }),
        wit::Action::Headers(wanted) => Action::Headers(Box::new(headers(wanted))),
        wit::Action::Chain(steps) => Action::Chain(steps),
        wit::Action::Policy(policy) => Action::Policy { plugin: policy.plugin, settings: policy.settings },
    }
}

fn redirect_regexp(redirect: wit::RedirectRegexp) -> model::RedirectRegexp {
    model::RedirectRegexp {
        pattern: redirect.pattern,
        replacement: redirect.replacement,
        permanent: redirect.permanent,
        scheme_from: match redirect.scheme_from {
            wit::SchemeSource::Connection => model::SchemeSource::Connection,
            wit::SchemeSource::Forwarded => model::SchemeSource::Forwarded,
        },
    }
}

fn headers(headers: wit::Headers) -> model::Headers {
    model::Headers {
        request: edits(headers.request),
        response: edits(headers.response),
        cors: headers.cors.map(cors),
        allowed_hosts: headers.allowed_hosts,
        host_headers: headers.host_headers,
        tls_headers: edits(headers.tls_headers),
        tls_redirect: headers.tls_redirect.map(|redirect| model::TlsRedirect {
            temporary: redirect.temporary,
            host: redirect.host,
            force_host: redirect.force_host,
        }),
        hsts: headers.hsts.map(|hsts| model::Hsts { value: hsts.value, always: hsts.always }),
    }
}

fn edits(edits: Vec<wit::HeaderEdit>) -> Vec<model::HeaderEdit> {
    convert(edits, |edit| (edit.name, edit.value))
}

fn cors(cors: wit::Cors) -> model::Cors {
    model::Cors {
        origins: cors.origins,
        origin_regexps: cors.origin_regexps,
        credentials: cors.credentials,
        headers: cors.headers,
        methods: cors.methods,
        expose: cors.expose,
        max_age: cors.max_age,
        vary: cors.vary,
    }
}
