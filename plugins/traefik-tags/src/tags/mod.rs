//! Tags as text: trimmed, split into key and value, and the small value languages both dialects share.
//!
//! What a key means is the business of `v1` and `v3`.

pub(crate) mod repair;
pub(crate) mod schema;
pub(crate) mod tree;
pub(crate) mod words;

use sluice_plugin_sdk::router::Instance;

use crate::report::Report;

/// A tag of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tag<'a> {
    /// As registered.
    pub(crate) raw: &'a str,
    /// Without blanks at the ends.
    pub(crate) text: &'a str,
}

impl<'a> Tag<'a> {
    pub(crate) fn new(raw: &'a str) -> Self {
        Self { raw, text: raw.trim() }
    }

    /// What is before and after the first `=`.
    pub(crate) fn split(self) -> Option<(&'a str, &'a str)> {
        self.text.split_once('=')
    }

    /// The key after `prefix.`, both in exactly these letters, and the value.
    pub(crate) fn option(self, prefix: &str) -> Option<(&'a str, &'a str)> {
        let (key, value) = self.split()?;
        Some((after_prefix(key, prefix)?, value))
    }
}

/// What follows `prefix.` in `text`.
pub(crate) fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.strip_prefix(prefix)?.strip_prefix('.')
}

/// The tags of an instance. Blanks around a tag of ours are reported: a comma-separated list that was torn after its
/// commas leaves them, and Traefik would ignore such a tag.
pub(crate) fn read<'a>(instance: &'a Instance, prefix: &str, report: &mut Report) -> Vec<Tag<'a>> {
    let tags: Vec<_> = instance.tags.iter().map(|raw| Tag::new(raw)).collect();
    for tag in &tags {
        if tag.raw != tag.text && after_prefix(tag.text, prefix).is_some() {
            let object = format!("instance {}", instance.id);
            report.warning(&object, tag.raw, "the blanks around this tag were removed; register it without them");
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use sluice_plugin_sdk::router::Health;

    use super::*;

    #[test]
    fn a_tag_splits_at_its_first_equals_sign_and_keeps_the_rest() {
        assert_eq!(Tag::new("a.b=c=d").split(), Some(("a.b", "c=d")));
        assert_eq!(Tag::new("a.b").split(), None);
        assert_eq!(Tag::new("t.frontend.rule=Query:k=1").option("t"), Some(("frontend.rule", "Query:k=1")));
        assert_eq!(Tag::new("T.frontend.rule=x").option("t"), None, "the prefix is case-sensitive");
        assert_eq!(Tag::new("tx.frontend.rule=x").option("t"), None);
    }

    #[test]
    fn blanks_around_our_tags_are_removed_and_reported() {
        let instance = Instance {
            id: "a".into(),
            node: String::new(),
            address: "127.0.0.1".into(),
            port: 80,
            tags: vec![" t.enable=false ".into(), " other".into(), "t.x= y".into()],
            health: Health::Passing,
        };
        let mut report = Report::default();
        let tags = read(&instance, "t", &mut report);
        assert_eq!(tags.iter().map(|tag| tag.text).collect::<Vec<_>>(), ["t.enable=false", "other", "t.x= y"]);
        let found = report.finish();
        assert_eq!(found.len(), 1, "only tags of ours are worth a warning");
        assert_eq!(found.first().map(|found| found.tag.as_str()), Some(" t.enable=false "));
    }
}
