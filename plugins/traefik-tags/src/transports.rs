//! TLS that tags ask for towards others than instances.
//!
//! Traefik reads whatever files of its machine a tag names. Here tags choose among what the operator has written into
//! `[transports.NAME]`: the one with the same files is used, so such tags work once these are declared.

use serde::Deserialize;

use crate::settings::Settings;

/// A transport of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Transport {
    name: String,
    ca: String,
    cert: String,
    key: String,
    insecure_skip_verify: bool,
}

/// What tags ask for; empty where they say nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Files<'a> {
    pub(crate) ca: &'a str,
    pub(crate) cert: &'a str,
    pub(crate) key: &'a str,
    pub(crate) insecure_skip_verify: bool,
}

/// The name of the transport with these files.
///
/// # Errors
/// There is none, and how it would have to be written.
pub(crate) fn with<'s>(files: Files<'_>, settings: &'s Settings) -> Result<&'s str, String> {
    let of = |transport: &'s Transport| Files {
        ca: &transport.ca,
        cert: &transport.cert,
        key: &transport.key,
        insecure_skip_verify: transport.insecure_skip_verify,
    };
    let found = settings.transports.iter().find(|transport| of(transport) == files);
    found.map(|transport| transport.name.as_str()).ok_or_else(|| {
        format!(
            "tags cannot make the gateway read files or believe anybody; write `[transports.NAME]` with {} into the \
             configuration, and this tag chooses it",
            files.shown()
        )
    })
}

impl Files<'_> {
    /// As in the configuration. What is no path but a certificate itself is not repeated.
    fn shown(&self) -> String {
        let texts = [("ca", self.ca), ("cert", self.cert), ("key", self.key)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let path = |text: &str| if text.contains('\n') { "PATH".to_owned() } else { text.to_owned() };
        let mut lines: Vec<_> = texts.map(|(name, text)| format!("`{name} = \"{}\"`", path(text))).collect();
        if self.insecure_skip_verify {
            lines.push("`insecure-skip-verify = true`".to_owned());
        }
        if lines.is_empty() { "nothing in it".to_owned() } else { lines.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use sluice_plugin_sdk::router::Action;

    use crate::testing::{contribution, names, service_with, step};

    const TRANSPORTS: &str = r#"{"transports":[
        {"name":"lax","insecure-skip-verify":true},
        {"name":"mutual","ca":"/certs/ca.pem","cert":"/certs/a.pem","key":"/certs/a.key"}]}"#;

    const V3: &str = "traefik.http.middlewares.m.forwardauth.";
    const V1: &str = "traefik.frontend.auth.forward.";

    /// The transport the authentication server is asked through, or the reason why it is not.
    fn chosen(settings: &str, start: &str, options: &[&str]) -> Result<Option<String>, String> {
        let tags: Vec<String> = options.iter().map(|option| format!("{start}{option}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let made = contribution(settings, &service_with("web", &[&tags]));
        let name = if start == V3 { "m" } else { "web-auth" };
        match step(&made, name) {
            Some(Action::Policy(policy)) => {
                let settings: serde_json::Value = serde_json::from_str(&policy.settings).unwrap();
                Ok(settings.get("transport").map(|name| name.as_str().unwrap().to_owned()))
            }
            _ => Err(made.diagnostics.first().unwrap().message.clone()),
        }
    }

    #[test]
    fn the_transport_with_the_same_files_is_chosen_in_both_dialects() {
        let files = ["tls.ca=/certs/ca.pem", "tls.cert=/certs/a.pem", "tls.key=/certs/a.key"];
        for (start, lax) in [(V3, "tls.insecureskipverify=true"), (V1, "tls.insecureSkipVerify=true")] {
            let with = |options: &[&str]| chosen(TRANSPORTS, start, &[&["address=https://a/"], options].concat());
            assert_eq!(with(&files), Ok(Some("mutual".into())), "{start}");
            assert_eq!(with(&[lax]), Ok(Some("lax".into())), "{start}");
            assert_eq!(with(&[]), Ok(None), "{start}");
            let plain = chosen(TRANSPORTS, start, &["address=http://a/", lax]);
            assert_eq!(plain, Ok(None), "there is no TLS to speak: {start}");
        }
    }

    #[test]
    fn files_nobody_declared_are_not_read() {
        for start in [V3, V1] {
            let reason = chosen("{}", start, &["address=https://a/", "tls.ca=/etc/shadow"]).unwrap_err();
            assert!(reason.contains("`[transports.NAME]` with `ca = \"/etc/shadow\"`"), "{start}: {reason}");
        }
        let lax = chosen("{}", V3, &["address=https://a/", "tls.insecureskipverify=true"]).unwrap_err();
        assert!(lax.contains("insecure-skip-verify = true"), "{lax}");
    }

    #[test]
    fn what_costs_the_middleware_costs_its_routers_only() {
        let tags = [
            "traefik.http.routers.a.rule=Host(`a`)",
            "traefik.http.routers.a.middlewares=m",
            "traefik.http.routers.b.rule=Host(`b`)",
            "traefik.http.middlewares.m.forwardauth.address=https://a/",
            "traefik.http.middlewares.m.forwardauth.tls.ca=/a",
        ];
        assert_eq!(names(&contribution("{}", &service_with("web", &[&tags])).routes), ["b"]);
    }
}
