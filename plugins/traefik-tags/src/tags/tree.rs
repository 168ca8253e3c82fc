//! The v3 tags of one instance as a tree: `http.routers.go.rule=…` is four levels deep.
//!
//! Element names are compared without regard to case, and names that differ only by case are one element, spelled as
//! in the first key in byte order. Whether an element may be there at all is decided by the schema.

use std::collections::BTreeMap;

use crate::report::Problem;

/// Deeper keys are refused: no option needs them, and whatever walks the tree may recurse.
const MAX_DEPTH: usize = 16;

/// One element of the keys, with everything below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    /// As written first, `[0]` for an index.
    pub(crate) name: String,
    /// What a tag ending here says.
    pub(crate) value: Option<String>,
    /// A tag that leads here, as registered.
    pub(crate) tag: String,
    pub(crate) children: Vec<Node>,
}

/// A key and what its tag says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// After the prefix and its dot.
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    pub(crate) tag: &'a str,
}

/// Puts entries together. Of two with the same key, the later one counts.
///
/// # Errors
/// A key with an empty element, or too deep.
pub(crate) fn build<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Result<Node, Problem> {
    let mut sorted = BTreeMap::new();
    for entry in entries {
        sorted.insert(entry.key, entry);
    }
    let mut root = Node::default();
    for entry in sorted.into_values() {
        let path = elements(entry.key).map_err(|message| Problem::new(entry.tag, message))?;
        let mut at = &mut root;
        for name in path {
            at = at.enter(name, entry.tag);
        }
        at.value = Some(entry.value.to_owned());
        at.tag = entry.tag.to_owned();
    }
    Ok(root)
}

/// `a.b[0].c` is `a`, `b`, `[0]`, `c`.
fn elements(key: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    for element in key.split('.') {
        let name = element.split('[').next().unwrap_or_default();
        if name.is_empty() {
            return Err("an element of this key is empty; remove the doubled dot or the dot at its end".to_owned());
        }
        found.push(name);
        let mut rest = element.get(name.len()..).unwrap_or_default();
        while !rest.is_empty() {
            let end = rest.find(']').map(|end| end.saturating_add(1)).unwrap_or(rest.len());
            let (index, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if !is_index(index) {
                return Err(format!("`{element}` is not an index such as `domains[0]`"));
            }
            found.push(index);
            rest = after;
        }
    }
    if found.len() > MAX_DEPTH {
        return Err(format!("this key has more than {MAX_DEPTH} elements"));
    }
    Ok(found)
}

fn is_index(text: &str) -> bool {
    text.strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Node {
    fn enter(&mut self, name: &str, tag: &str) -> &mut Self {
        let at = self.children.iter().position(|child| child.is(name)).unwrap_or(self.children.len());
        if at == self.children.len() {
            let (name, tag) = (name.to_owned(), tag.to_owned());
            self.children.push(Self { name, tag, value: None, children: Vec::new() });
        }
        match self.children.get_mut(at) {
            Some(child) => child,
            None => unreachable!("the child was just pushed"),
        }
    }

    /// Whether this element is called that, in any letter case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The element below this one.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(name))
    }

    /// The elements below `name`.
    pub(crate) fn below(&self, name: &str) -> &[Self] {
        self.child(name).map_or(&[], |child| child.children.as_slice())
    }

    /// The element at the end of a path of names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// The text an option has.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.child(name)?.value.as_deref()
    }

    /// The tag an option comes from, or else the one this element comes from.
    pub(crate) fn tag_of(&self, name: &str) -> &str {
        self.child(name).map_or(self.tag.as_str(), |child| child.tag.as_str())
    }

    /// The items of a comma-separated option.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(super::words::list).unwrap_or_default()
    }

    /// An integer option. The schema has refused everything else.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(super::words::integer)
    }

    /// A boolean option. The schema has refused everything else.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(super::words::boolean)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn tree(keys: &[&'static str]) -> Result<Node, Problem> {
        build(keys.iter().map(|tag| {
            let (key, value) = tag.split_once('=').unwrap();
            Entry { key, value, tag }
        }))
    }

    #[test]
    fn keys_become_a_tree_and_values_its_leaves() {
        let root = tree(&["http.routers.go.rule=x", "http.routers.go.priority=5", "http.routers.b=true"]).unwrap();
        let routers = root.at(&["http", "routers"]).unwrap();
        assert_eq!(routers.children.iter().map(|child| child.name.as_str()).collect::<Vec<_>>(), ["b", "go"]);
        assert_eq!(routers.child("go").unwrap().text("rule"), Some("x"));
        assert_eq!(routers.child("go").unwrap().integer("priority"), Some(5));
        assert_eq!(routers.child("go").unwrap().tag_of("rule"), "http.routers.go.rule=x");
        assert_eq!(routers.child("b").unwrap().value.as_deref(), Some("true"));
    }

    #[test]
    fn names_merge_without_regard_to_case_and_keep_the_first_spelling_in_byte_order() {
        let root = tree(&["http.routers.web.entrypoints=a", "HTTP.Routers.Web.RULE=x"]).unwrap();
        let routers = root.at(&["http", "routers"]).unwrap();
        assert_eq!(routers.children.len(), 1);
        let web = routers.child("wEB").unwrap();
        assert_eq!((web.name.as_str(), web.text("rule"), web.text("entryPoints")), ("Web", Some("x"), Some("a")));
    }

    #[test]
    fn the_later_of_two_equal_keys_counts() {
        let root = tree(&["http.routers.a.rule=one", "http.routers.a.rule=two"]).unwrap();
        assert_eq!(root.at(&["http", "routers", "a"]).unwrap().text("rule"), Some("two"));
    }

    #[test]
    fn indices_are_elements_of_their_own() {
        let root = tree(&["tls.domains[0].main=a", "tls.domains[0].sans=b,c", "tls.domains[1].main=d"]).unwrap();
        let domains = root.at(&["tls", "domains"]).unwrap();
        assert_eq!(domains.children.len(), 2);
        assert_eq!(domains.child("[0]").unwrap().list("sans"), ["b", "c"]);
    }

    #[test]
    fn malformed_keys_are_errors_that_name_the_tag() {
        let deep: &'static str = "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1";
        for tag in ["http.routers..rule=x", "http.=x", ".a=x", "a[x].b=1", "a[0=1", "a[]=1", "a[0]b=1", "[0]=1", deep] {
            assert_eq!(tree(&["ok.a=1", tag]).map_err(|error| error.tag), Err(tag.to_owned()), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn every_value_is_found_again(keys in prop::collection::btree_set("[a-c]{1,2}(\\.[a-c]{1,2}){0,3}", 0..8)) {
            let entries: Vec<_> = keys.iter().map(|key| Entry { key, value: key, tag: key }).collect();
            let root = build(entries.into_iter()).unwrap();
            for key in &keys {
                let path: Vec<_> = key.split('.').collect();
                prop_assert_eq!(root.at(&path).and_then(|node| node.value.as_deref()), Some(key.as_str()));
            }
        }

        #[test]
        fn building_never_panics(key in "[a.\\[\\]0é]{0,30}") {
            let _ = build([Entry { key: &key, value: "", tag: "t" }].into_iter());
        }
    }
}
