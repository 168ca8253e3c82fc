//! Which instances a provider takes at all, by their tags. The language the operator used applies to every instance,
//! whatever dialect its tags are in: v1 looks at the list in the `tags` tag, v3 at the tags themselves.

use regex_lite::Regex;

use crate::rule::RuleError;
use crate::rule::expr::Expr;
use crate::rule::syntax::{self, Call};
use crate::tags::{Tag, words};

/// A provider's constraints.
#[derive(Clone, Debug)]
pub(crate) enum Constraints {
    None,
    /// All have to hold.
    V1(Vec<Glob>),
    V3(Expr<TagTest>),
}

/// `tag==pattern` or `tag!=pattern`, where `*` stands for any text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Glob {
    wanted: bool,
    pattern: String,
}

/// `Tag` or `TagRegex`.
#[derive(Clone, Debug)]
pub(crate) enum TagTest {
    Equal(String),
    Matches(Regex),
}

impl Constraints {
    /// v1's list.
    ///
    /// # Errors
    /// An item that is neither `tag==…` nor `tag!=…`.
    pub(crate) fn v1(list: &[String]) -> Result<Self, String> {
        let globs = list.iter().map(|text| glob(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(if globs.is_empty() { Self::None } else { Self::V1(globs) })
    }

    /// v3's expression; an empty one is none.
    ///
    /// # Errors
    /// A place that does not follow the grammar, an unknown function or a bad regular expression.
    pub(crate) fn v3(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::None);
        }
        let tests = syntax::parse(text).and_then(|expr| expr.resolve(&mut tag_test));
        tests.map(Self::V3).map_err(|error| format!("constraints `{text}`: {error}"))
    }

    /// Whether an instance with these tags is taken.
    pub(crate) fn accept(&self, tags: &[Tag<'_>], prefix: &str) -> bool {
        match self {
            Self::None => true,
            Self::V1(globs) => {
                let listed = listed(tags, prefix);
                globs.iter().all(|glob| listed.iter().any(|item| matches(&glob.pattern, item)) == glob.wanted)
            }
            Self::V3(expr) => expr.holds(&|test| {
                tags.iter().any(|tag| match test {
                    TagTest::Equal(wanted) => tag.text == wanted,
                    TagTest::Matches(regex) => regex.is_match(tag.text),
                })
            }),
        }
    }
}

fn glob(text: &str) -> Result<Glob, String> {
    for (sign, wanted) in [("==", true), ("!=", false)] {
        if let Some(("tag", pattern)) = text.split_once(sign) {
            return Ok(Glob { wanted, pattern: pattern.to_owned() });
        }
    }
    Err(format!("constraint `{text}` has to be `tag==pattern` or `tag!=pattern`"))
}

fn tag_test(call: Call) -> Result<Expr<TagTest>, RuleError> {
    let fail = |message: String| RuleError::new(call.span.clone(), message);
    let [arg] = call.args.as_slice() else { return Err(fail(format!("`{}` takes one argument", call.name))) };
    match call.name.as_str() {
        "Tag" => Ok(Expr::Leaf(TagTest::Equal(arg.clone()))),
        "TagRegex" => {
            Regex::new(arg).map(|regex| Expr::Leaf(TagTest::Matches(regex))).map_err(|error| fail(error.to_string()))
        }
        name => Err(fail(format!("unknown function `{name}`; there are `Tag` and `TagRegex`"))),
    }
}

/// The items of every `prefix.tags` tag.
fn listed(tags: &[Tag<'_>], prefix: &str) -> Vec<String> {
    let key = format!("{prefix}.tags");
    let values = tags.iter().filter_map(|tag| tag.split()).filter(|(name, _)| name.eq_ignore_ascii_case(&key));
    values.flat_map(|(_, value)| words::list(value)).collect()
}

/// Whether a text matches a pattern whose `*` stand for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn accepts(constraints: &Constraints, tags: &[&str]) -> bool {
        let tags: Vec<_> = tags.iter().map(|tag| Tag::new(tag)).collect();
        constraints.accept(&tags, "traefik")
    }

    #[test]
    fn v1_looks_at_the_tags_tag_only() {
        let with =
            |list: &[&str]| Constraints::v1(&list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap();
        for (list, tags, taken) in [
            (&["tag==eu-*"][..], &["traefik.tags=eu-1, gold"][..], true),
            (&["tag==eu-*"], &["TRAEFIK.Tags=eu-1"], true),
            (&["tag==eu-*"], &["eu-1"], false),
            (&["tag==eu-*"], &[], false),
            (&["tag!=eu-*"], &[], true),
            (&["tag!=eu-*"], &["traefik.tags=us-1,eu-1"], false),
            (&["tag==a", "tag!=b"], &["traefik.tags=a"], true),
            (&["tag==a", "tag!=b"], &["traefik.tags=a", "traefik.tags=b"], false),
            (&[], &[], true),
        ] {
            assert_eq!(accepts(&with(list), tags), taken, "{list:?} {tags:?}");
        }
    }

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, wanted) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn v3_looks_at_the_raw_tags() {
        for (text, tags, taken) in [
            ("Tag(`eu`)", &["eu"][..], true),
            ("Tag(`eu`)", &["eu-1"], false),
            ("TagRegex(`^eu-[0-9]$`)", &["x", "eu-1"], true),
            ("!Tag(`a`) && (Tag(`b`) || Tag(`c`))", &["c"], true),
            ("!Tag(`a`) && (Tag(`b`) || Tag(`c`))", &["a", "c"], false),
            ("Tag(`traefik.enable=true`)", &["traefik.enable=true"], true),
            ("", &[], true),
        ] {
            assert_eq!(accepts(&Constraints::v3(text).unwrap(), tags), taken, "{text} {tags:?}");
        }
    }

    #[test]
    fn mistakes_are_errors() {
        for text in ["x==y", "tag=x", "tag", ""] {
            assert!(Constraints::v1(&[text.to_owned()]).is_err(), "{text}");
        }
        for text in ["Tag(`a`", "Tags(`a`)", "Tag(`a`,`b`)", "TagRegex(`[`)"] {
            assert!(Constraints::v3(text).is_err(), "{text}");
        }
    }
}
