//! The options of `headers`, which both dialects spell alike but for the letter case: what they come to.
//!
//! Headers that only have to be said become changes to the answer here; what depends on the request is left to the step.

use sluice_plugin_sdk::router::{Cors, HeaderEdit, Headers, Hsts, TlsRedirect};

/// Where a dialect has its options, by v1's names.
pub(crate) trait Options {
    /// A text; an empty one counts as absent.
    fn text(&mut self, name: &str) -> Option<String>;
    /// A boolean, false where it is absent.
    fn flag(&mut self, name: &str) -> bool;
    /// An integer, 0 where it is absent.
    fn integer(&mut self, name: &str) -> i64;
    /// The items of a comma-separated list.
    fn list(&mut self, name: &str) -> Vec<String>;
    /// Names and values of headers.
    fn edits(&mut self, name: &str) -> Vec<HeaderEdit>;
}

/// The step the options ask for; `None` where they ask for nothing.
pub(crate) fn read(options: &mut impl Options) -> Option<Headers> {
    let development = options.flag("isDevelopment");
    let mut headers = Headers {
        request: options.edits("customRequestHeaders"),
        response: protections(options, development),
        cors: cors(options),
        allowed_hosts: options.list("allowedHosts"),
        host_headers: options.list("hostsProxyHeaders"),
        tls_headers: options.edits("SSLProxyHeaders"),
        tls_redirect: tls_redirect(options),
        hsts: hsts(options),
    };
    // The custom ones come later: they win.
    headers.response.extend(options.edits("customResponseHeaders"));
    if development {
        headers.allowed_hosts.clear();
        headers.tls_redirect = None;
        headers.hsts = None;
    }
    let does_something = !headers.request.is_empty()
        || !headers.response.is_empty()
        || !headers.allowed_hosts.is_empty()
        || headers.cors.is_some()
        || headers.tls_redirect.is_some()
        || headers.hsts.is_some();
    (does_something || development).then_some(headers)
}

/// The headers that tell a browser to be careful.
fn protections(options: &mut impl Options, development: bool) -> Vec<HeaderEdit> {
    let frame = options.flag("frameDeny").then(|| "DENY".to_owned());
    let sniff = options.flag("contentTypeNosniff").then(|| "nosniff".to_owned());
    let filter = options.flag("browserXSSFilter").then(|| "1; mode=block".to_owned());
    let headers = [
        ("X-Frame-Options", options.text("customFrameOptionsValue").or(frame)),
        ("X-Content-Type-Options", sniff),
        ("X-XSS-Protection", options.text("customBrowserXSSValue").or(filter)),
        ("Content-Security-Policy", options.text("contentSecurityPolicy")),
        ("Content-Security-Policy-Report-Only", options.text("contentSecurityPolicyReportOnly")),
        ("Public-Key-Pins", options.text("publicKey").filter(|_| !development)),
        ("Referrer-Policy", options.text("referrerPolicy")),
        ("Permissions-Policy", options.text("permissionsPolicy")),
        ("Feature-Policy", options.text("featurePolicy")),
    ];
    let edit = |(name, value): (&str, Option<String>)| Some(HeaderEdit { name: name.to_owned(), value: value? });
    headers.into_iter().filter_map(edit).collect()
}

fn cors(options: &mut impl Options) -> Option<Cors> {
    let cors = Cors {
        origins: options.list("accessControlAllowOriginList"),
        origin_regexps: options.list("accessControlAllowOriginListRegex"),
        credentials: options.flag("accessControlAllowCredentials"),
        headers: options.list("accessControlAllowHeaders"),
        methods: options.list("accessControlAllowMethods"),
        expose: options.list("accessControlExposeHeaders"),
        max_age: options.integer("accessControlMaxAge"),
        vary: options.flag("addVaryHeader"),
    };
    let lists = [&cors.origins, &cors.origin_regexps, &cors.headers, &cors.methods, &cors.expose];
    let is_set = lists.iter().any(|list| !list.is_empty()) || cors.credentials || cors.max_age != 0 || cors.vary;
    is_set.then_some(cors)
}

fn tls_redirect(options: &mut impl Options) -> Option<TlsRedirect> {
    let redirect = TlsRedirect {
        temporary: options.flag("SSLTemporaryRedirect"),
        host: options.text("SSLHost"),
        force_host: options.flag("SSLForceHost"),
    };
    (options.flag("SSLRedirect") || redirect.force_host).then_some(redirect)
}

fn hsts(options: &mut impl Options) -> Option<Hsts> {
    let seconds = options.integer("STSSeconds");
    let mut value = format!("max-age={seconds}");
    if options.flag("STSIncludeSubdomains") {
        value += "; includeSubDomains";
    }
    if options.flag("STSPreload") {
        value += "; preload";
    }
    (seconds != 0).then(|| Hsts { value, always: options.flag("forceSTSHeader") })
}
