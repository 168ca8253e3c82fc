//! What steps do, from the contract's types to the model's.

use std::time::Duration;

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
        wit::Action::Retry(wanted) => Action::Retry(retry(wanted)),
        wit::Action::Buffering(wanted) => Action::Buffering(model::Buffering {
            max_request: wanted.max_request_bytes,
            memory_request: wanted.memory_request_bytes,
            max_response: wanted.max_response_bytes,
            memory_response: wanted.memory_response_bytes,
            retry_expression: wanted.retry_expression,
        }),
        wit::Action::Compress(wanted) => Action::Compress(model::Compress {
            encodings: wanted.encodings,
            default_encoding: wanted.default_encoding,
            excluded: wanted.excluded,
            included: wanted.included,
            min_bytes: wanted.min_bytes,
        }),
        wit::Action::EncodedCharacters(allowed) => Action::EncodedCharacters(encoded_characters(allowed)),
        wit::Action::ClientCertificate(wanted) => Action::ClientCertificate(client_certificate(wanted)),
        wit::Action::GrpcWeb(origins) => Action::GrpcWeb(origins),
        wit::Action::ContentType => Action::ContentType,
        wit::Action::LoopGuard(value) => Action::LoopGuard(value),
        wit::Action::Chain(steps) => Action::Chain(steps),
        wit::Action::Policy(policy) => Action::Policy { plugin: policy.plugin, settings: policy.settings },
    }
}

fn retry(retry: wit::Retry) -> model::Retry {
    model::Retry {
        attempts: retry.attempts,
        initial_interval: Duration::from_nanos(retry.initial_interval_ns),
        timeout: Duration::from_nanos(retry.timeout_ns),
        statuses: convert(retry.statuses, |range| (range.first, range.last)),
        max_body: retry.max_body_bytes,
        on_network_error: retry.on_network_error,
        non_idempotent: retry.non_idempotent,
        try_timeout: Duration::from_nanos(retry.try_timeout_ns),
        hedge_after: Duration::from_nanos(retry.hedge_after_ns),
    }
}

fn encoded_characters(allowed: wit::EncodedCharacters) -> model::EncodedCharacters {
    model::EncodedCharacters {
        slash: allowed.contains(wit::EncodedCharacters::SLASH),
        backslash: allowed.contains(wit::EncodedCharacters::BACKSLASH),
        null_character: allowed.contains(wit::EncodedCharacters::NULL_CHARACTER),
        semicolon: allowed.contains(wit::EncodedCharacters::SEMICOLON),
        percent: allowed.contains(wit::EncodedCharacters::PERCENT),
        question_mark: allowed.contains(wit::EncodedCharacters::QUESTION_MARK),
        hash: allowed.contains(wit::EncodedCharacters::HASH),
    }
}

fn redirect_regexp(redirect: wit::RedirectRegexp) -> model::RedirectRegexp {
    model::RedirectRegexp {
        pattern: redirect.pattern,
        replacement: redirect.replacement,
        templated: redirect.templated,
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

fn client_certificate(wanted: wit::ClientCertificate) -> model::ClientCertificate {
    model::ClientCertificate {
        pem: wanted.pem,
        info: wanted.info.map(|info| model::CertificateInfo {
            not_before: info.not_before,
            not_after: info.not_after,
            sans: info.sans,
            serial_number: info.serial_number,
            subject: name_parts(info.subject),
            issuer: name_parts(info.issuer),
        }),
        style: match wanted.style {
            wit::CertificateStyle::TraefikV1 => model::CertificateStyle::TraefikV1,
            wit::CertificateStyle::TraefikV3 => model::CertificateStyle::TraefikV3,
        },
    }
}

fn name_parts(parts: wit::NameParts) -> model::NameParts {
    model::NameParts {
        country: parts.contains(wit::NameParts::COUNTRY),
        province: parts.contains(wit::NameParts::PROVINCE),
        locality: parts.contains(wit::NameParts::LOCALITY),
        organization: parts.contains(wit::NameParts::ORGANIZATION),
        organizational_unit: parts.contains(wit::NameParts::ORGANIZATIONAL_UNIT),
        common_name: parts.contains(wit::NameParts::COMMON_NAME),
        serial_number: parts.contains(wit::NameParts::SERIAL_NUMBER),
        domain_component: parts.contains(wit::NameParts::DOMAIN_COMPONENT),
    }
}
