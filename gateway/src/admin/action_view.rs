//! What steps do, in the words Traefik's API uses for middlewares.

use serde_json::{Map, Value, json};
use sluice_model::Action;
use sluice_model::action::{
    Buffering, ClientCertificate, Compress, EncodedCharacters, HeaderEdit, Headers, NameParts, Retry,
};

/// The key of a step's kind, which is the kind itself in lower case, and its options.
pub(super) fn of(action: &Action) -> (&'static str, Value) {
    match action {
        Action::StripPrefix(prefixes) => ("stripPrefix", json!({ "prefixes": prefixes })),
        Action::StripPrefixRegexp(patterns) => ("stripPrefixRegex", json!({ "regex": patterns })),
        Action::AddPrefix(prefix) => ("addPrefix", json!({ "prefix": prefix })),
        Action::ReplacePath(path) => ("replacePath", json!({ "path": path })),
        Action::ReplacePathRegexp { pattern, replacement } => {
            ("replacePathRegex", json!({ "regex": pattern, "replacement": replacement }))
        }
        Action::RedirectSlash => ("redirectSlash", json!({})),
        Action::RedirectRegexp(redirect) => {
            let (regex, replacement) = (&redirect.pattern, &redirect.replacement);
            let shown = json!({ "regex": regex, "replacement": replacement, "permanent": redirect.permanent });
            ("redirectRegex", shown)
        }
        Action::RedirectScheme(redirect) => {
            let port = redirect.port.map(|port| port.to_string()).unwrap_or_default();
            let shown = json!({ "scheme": redirect.scheme, "port": port, "permanent": redirect.permanent });
            ("redirectScheme", shown)
        }
        Action::Headers(wanted) => ("headers", headers(wanted)),
        Action::Retry(retry) => ("retry", self::retry(retry)),
        Action::Buffering(wanted) => ("buffering", buffering(wanted)),
        Action::Compress(wanted) => ("compress", compress(wanted)),
        Action::EncodedCharacters(allowed) => ("encodedCharacters", encoded_characters(*allowed)),
        Action::ClientCertificate(wanted) => ("passTLSClientCert", client_certificate(wanted)),
        Action::GrpcWeb(origins) => ("grpcWeb", json!({ "allowOrigins": origins })),
        Action::ContentType => ("contentType", json!({})),
        Action::LoopGuard(value) => ("loopGuard", json!({ "value": value })),
        Action::Chain(steps) => ("chain", json!({ "middlewares": steps })),
        Action::Policy { plugin, settings } => {
            let mut settings: Value = serde_json::from_str(settings).unwrap_or_default();
            redact(&mut settings);
            ("plugin", json!({ plugin: settings }))
        }
    }
}

/// Takes out of a policy's settings what nobody but the policy has to know.
fn redact(settings: &mut Value) {
    const SECRET: [&str; 6] = ["users", "password", "secret", "token", "private", "credential"];
    match settings {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.to_ascii_lowercase();
                // The name of a file is no secret, and neither is how long something holds.
                let is_secret = SECRET.iter().any(|word| name.contains(word)) && !name.contains("file");
                match value {
                    Value::String(text) if is_secret => *text = REDACTED.to_owned(),
                    Value::Array(items) if is_secret => items.iter_mut().for_each(|item| *item = REDACTED.into()),
                    _ => redact(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// What stands in place of a secret, as in Traefik.
const REDACTED: &str = "xxxx";

fn retry(retry: &Retry) -> Value {
    let range = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    json!({
        "attempts": retry.attempts,
        "initialInterval": format!("{:?}", retry.initial_interval),
        "timeout": format!("{:?}", retry.timeout),
        "status": retry.statuses.iter().map(range).collect::<Vec<_>>(),
        "maxRequestBodyBytes": retry.max_body,
        "disableRetryOnNetworkError": !retry.on_network_error,
        "retryNonIdempotentMethod": retry.non_idempotent,
        "tryTimeout": format!("{:?}", retry.try_timeout),
        "hedgeAfter": format!("{:?}", retry.hedge_after),
    })
}

fn buffering(buffering: &Buffering) -> Value {
    json!({
        "maxRequestBodyBytes": buffering.max_request,
        "memRequestBodyBytes": buffering.memory_request,
        "maxResponseBodyBytes": buffering.max_response,
        "memResponseBodyBytes": buffering.memory_response,
        "retryExpression": buffering.retry_expression,
    })
}

fn compress(compress: &Compress) -> Value {
    json!({
        "encodings": compress.encodings,
        "defaultEncoding": compress.default_encoding,
        "excludedContentTypes": compress.excluded,
        "includedContentTypes": compress.included,
        "minResponseBodyBytes": compress.min_bytes,
    })
}

fn client_certificate(wanted: &ClientCertificate) -> Value {
    let name = |parts: NameParts| {
        json!({
            "country": parts.country,
            "province": parts.province,
            "locality": parts.locality,
            "organization": parts.organization,
            "organizationalUnit": parts.organizational_unit,
            "commonName": parts.common_name,
            "serialNumber": parts.serial_number,
            "domainComponent": parts.domain_component,
        })
    };
    let info = wanted.info.map(|info| {
        json!({
            "notBefore": info.not_before,
            "notAfter": info.not_after,
            "sans": info.sans,
            "serialNumber": info.serial_number,
            "subject": name(info.subject),
            "issuer": name(info.issuer),
        })
    });
    json!({ "pem": wanted.pem, "info": info })
}

fn encoded_characters(allowed: EncodedCharacters) -> Value {
    json!({
        "allowEncodedSlash": allowed.slash,
        "allowEncodedBackSlash": allowed.backslash,
        "allowEncodedNullCharacter": allowed.null_character,
        "allowEncodedSemicolon": allowed.semicolon,
        "allowEncodedPercent": allowed.percent,
        "allowEncodedQuestionMark": allowed.question_mark,
        "allowEncodedHash": allowed.hash,
    })
}

/// What is set; headers that protect browsers are among those of the answer.
fn headers(headers: &Headers) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        let is_empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        if !is_empty {
            shown.insert(name.to_owned(), value);
        }
    };
    put("customRequestHeaders", edits(&headers.request));
    put("customResponseHeaders", edits(&headers.response));
    put("allowedHosts", json!(headers.allowed_hosts));
    put("hostsProxyHeaders", json!(headers.host_headers));
    put("sslProxyHeaders", edits(&headers.tls_headers));
    if let Some(cors) = &headers.cors {
        put("accessControlAllowOriginList", json!(cors.origins));
        put("accessControlAllowOriginListRegex", json!(cors.origin_regexps));
        put("accessControlAllowCredentials", json!(cors.credentials));
        put("accessControlAllowHeaders", json!(cors.headers));
        put("accessControlAllowMethods", json!(cors.methods));
        put("accessControlExposeHeaders", json!(cors.expose));
        put("accessControlMaxAge", json!(cors.max_age));
        put("addVaryHeader", json!(cors.vary));
    }
    if let Some(redirect) = &headers.tls_redirect {
        put("sslRedirect", json!(true));
        put("sslTemporaryRedirect", json!(redirect.temporary));
        put("sslHost", json!(redirect.host));
        put("sslForceHost", json!(redirect.force_host));
    }
    if let Some(hsts) = &headers.hsts {
        put("strictTransportSecurity", json!(hsts.value));
        put("forceSTSHeader", json!(hsts.always));
    }
    Value::Object(shown)
}

fn edits(edits: &[HeaderEdit]) -> Value {
    Value::Object(edits.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
}
