//! What may stand where in the v3 tree. Checking it once makes every later read of an option infallible.
//!
//! Anything unknown or misspelled refuses the whole instance, as in Traefik: a typo must not silently lose an option.

use super::tree::Node;
use super::words;
use crate::report::Problem;

/// The kind of an element.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schema {
    Text,
    Boolean,
    Integer,
    Duration,
    /// Fixed options. With `Bare::Allowed`, `=true` or an empty value creates it and `=false` removes it with everything below.
    Object(&'static [(&'static str, Schema)], Bare),
    /// Names chosen by the user; each may be created by `=true`.
    Map(&'static Schema),
    /// `[0]`, `[1]`, …
    Items(&'static Schema),
    /// Whatever is below is kept as it is.
    Free,
    /// Cannot be set by tags: read over.
    Ignored,
}

/// Whether an object can be created without any option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bare {
    Allowed,
    Refused,
}

/// Checks a tree and removes what `=false` removes.
///
/// # Errors
/// The first element that does not fit.
pub(crate) fn check(node: &mut Node, schema: &Schema) -> Result<(), Problem> {
    match schema {
        Schema::Free => Ok(()),
        Schema::Ignored => {
            node.children.clear();
            Ok(())
        }
        Schema::Object(fields, _) => check_children(node, |name| {
            fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, schema)| schema)
        }),
        Schema::Map(schema) => check_children(node, |_| Some(schema)),
        Schema::Items(schema) => check_children(node, |name| name.starts_with('[').then_some(schema)),
        Schema::Text | Schema::Boolean | Schema::Integer | Schema::Duration => check_leaf(node, schema),
    }
}

fn check_children<'a>(node: &mut Node, schema: impl Fn(&str) -> Option<&'a Schema>) -> Result<(), Problem> {
    for child in &mut node.children {
        let Some(schema) = schema(&child.name) else {
            return Err(Problem::new(
                &child.tag,
                format!("unknown option `{}`; the whole instance is left out", child.name),
            ));
        };
        check_bare(child, schema)?;
        check(child, schema)?;
    }
    node.children.retain(|child| !schema(&child.name).is_some_and(|schema| is_removed(child, schema)));
    Ok(())
}

/// A value on an element that has options of its own.
fn check_bare(node: &Node, schema: &Schema) -> Result<(), Problem> {
    let Some(value) = node.value.as_deref() else { return Ok(()) };
    let allowed = match schema {
        Schema::Object(_, bare) => *bare == Bare::Allowed,
        Schema::Map(_) | Schema::Items(_) => false,
        _ => return Ok(()),
    };
    if allowed && (value.is_empty() || words::boolean(value).is_some()) {
        return Ok(());
    }
    Err(Problem::new(&node.tag, format!("`{}` takes options, not the value `{value}`", node.name)))
}

fn is_removed(node: &Node, schema: &Schema) -> bool {
    matches!(schema, Schema::Object(_, Bare::Allowed)) && node.value.as_deref().and_then(words::boolean) == Some(false)
}

fn check_leaf(node: &Node, schema: &Schema) -> Result<(), Problem> {
    if let Some(child) = node.children.first() {
        return Err(Problem::new(&child.tag, format!("`{}` has no options below it", node.name)));
    }
    let value = node.value.as_deref().unwrap_or_default();
    let (fits, wanted) = match schema {
        Schema::Boolean => (words::boolean(value).is_some(), "true or false"),
        Schema::Integer => (words::integer(value).is_some(), "an integer"),
        Schema::Duration => (words::duration(value).is_some(), "a duration such as 1m30s, or seconds"),
        _ => (true, ""),
    };
    if fits {
        return Ok(());
    }
    Err(Problem::new(&node.tag, format!("`{}` has to be {wanted}, not `{value}`", node.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::tree::{Entry, build};

    const INNER: Schema = Schema::Object(&[("size", Schema::Integer)], Bare::Allowed);
    const ROOT: Schema = Schema::Object(
        &[
            ("text", Schema::Text),
            ("flag", Schema::Boolean),
            ("time", Schema::Duration),
            ("bare", INNER),
            ("strict", Schema::Object(&[("size", Schema::Integer)], Bare::Refused)),
            ("map", Schema::Map(&INNER)),
            ("names", Schema::Map(&Schema::Text)),
            ("items", Schema::Items(&INNER)),
            ("free", Schema::Free),
            ("ignored", Schema::Ignored),
        ],
        Bare::Refused,
    );

    fn checked(tags: &[&'static str]) -> Result<Node, Problem> {
        let mut root = build(tags.iter().map(|tag| {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            Entry { key, value, tag }
        }))?;
        check(&mut root, &ROOT)?;
        Ok(root)
    }

    #[test]
    fn what_fits_is_accepted_in_any_letter_case() {
        for tag in [
            "text=",
            "TEXT=a",
            "flag=T",
            "time=10",
            "time=1m30s",
            "bare.size=1",
            "bare=true",
            "bare=",
            "strict.size=-1",
            "map.any.SIZE=1",
            "map.any=true",
            "names.X-Any=",
            "items[0].size=1",
            "free=1",
            "free.a.b=1",
            "ignored.a[0].b=1",
        ] {
            assert!(checked(&[tag]).is_ok(), "{tag}: {:?}", checked(&[tag]));
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_the_tag() {
        for tag in [
            "texts=a",
            "text.more=a",
            "flag=yes",
            "flag=",
            "time=soon",
            "bare.size=",
            "bare.size=big",
            "bare.other=1",
            "bare=maybe",
            "strict=true",
            "map=true",
            "map.any.other=1",
            "items.a.size=1",
        ] {
            assert_eq!(checked(&["text=a", tag]).map_err(|error| error.tag), Err(tag.to_owned()), "{tag}");
        }
    }

    #[test]
    fn false_removes_a_bare_object_with_everything_below() {
        let root = checked(&["bare=false", "bare.size=1", "map.a=false", "map.a.size=1", "map.b.size=1"]);
        assert_eq!(root.as_ref().ok().and_then(|root| root.child("bare")), None);
        let names =
            root.as_ref().map(|root| root.below("map").iter().map(|child| child.name.as_str()).collect::<Vec<_>>());
        assert_eq!(names, Ok(vec!["b"]));
    }
}
