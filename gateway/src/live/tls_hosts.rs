//! Which TLS options the connections for a host are made with.

use std::collections::HashMap;

use sluice_model::HostKey;

/// Options by host. Empty where every host has the entrypoint's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsHosts {
    by_name: HashMap<Box<str>, usize>,
    /// By the part after one label, with its leading dot.
    by_suffix: HashMap<Box<str>, usize>,
}

impl TlsHosts {
    /// Files hosts under the number of their options.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = (HostKey, usize)>) -> Self {
        let mut filed = Self::default();
        for (host, options) in hosts {
            let (map, key) = match host {
                HostKey::Name(name) => (&mut filed.by_name, name),
                HostKey::Suffix(suffix) => (&mut filed.by_suffix, suffix),
            };
            map.insert(key.into(), options);
        }
        let all = filed.by_name.values().chain(filed.by_suffix.values());
        if all.copied().all(|options| options == 0) { Self::default() } else { filed }
    }

    /// Whether every host has the entrypoint's own options.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.by_name.is_empty() && self.by_suffix.is_empty()
    }

    /// The number of a host's options. The host is in lower case; a trailing dot does not count.
    #[must_use]
    pub fn options(&self, host: &str) -> usize {
        if self.is_uniform() {
            return 0;
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        let suffix = || self.by_suffix.get(host.get(host.find('.')?..)?);
        self.by_name.get(host).or_else(suffix).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_before_wildcards_before_the_entrypoints_own() {
        let name = |name: &str| HostKey::Name(name.to_owned());
        let hosts =
            TlsHosts::new([(name("pay.test"), 1), (HostKey::Suffix(".pay.test".into()), 2), (name("www.pay.test"), 0)]);
        let found: Vec<usize> =
            ["pay.test", "pay.test.", "a.pay.test", "www.pay.test", "a.b.pay.test", "other.test", ""]
                .map(|host| hosts.options(host))
                .into();
        assert_eq!(found, [1, 1, 2, 0, 0, 0, 0]);
        assert!(!hosts.is_uniform() && TlsHosts::new([(name("a.test"), 0)]).is_uniform());
    }
}
