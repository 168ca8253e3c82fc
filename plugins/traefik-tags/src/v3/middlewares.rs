//! `http.middlewares`: each becomes a step, or the reason why the routers that use it are left out.
//!
//! To support another kind, write what it comes to and add its row.

use serde_json::{Map, Value, json};
use sluice_plugin_sdk::router::{Action, PolicyUse, Replacement};

use crate::report::Problem;
use crate::tags::tree::Node;
use crate::tags::words::{self, Duration};

type Build = fn(&Node) -> Result<Action, Problem>;

const KINDS: &[(&str, Build)] = &[
    ("addprefix", add_prefix),
    ("stripprefix", |kind| Ok(Action::StripPrefix(kind.list("prefixes")))),
    ("stripprefixregex", |kind| Ok(Action::StripPrefixRegexp(kind.list("regex")))),
    ("replacepath", |kind| Ok(Action::ReplacePath(text(kind, "path")))),
    ("replacepathregex", replace_path_regex),
    ("chain", |kind| Ok(Action::Chain(kind.list("middlewares")))),
    ("ratelimit", rate_limit),
    ("plugin", plugin),
];

/// What a middleware comes to.
///
/// # Errors
/// No kind or several, a kind without a native step, or options that do not fit together.
pub(super) fn action(node: &Node) -> Result<Action, Problem> {
    let kind = match node.children.as_slice() {
        [kind] => kind,
        [] => return Err(Problem::new(&node.tag, "it has no kind, such as `stripprefix`")),
        [first, second, ..] => {
            let message = format!("it is both `{}` and `{}`; give each its own name", first.name, second.name);
            return Err(Problem::new(&second.tag, message));
        }
    };
    match KINDS.iter().find(|(name, _)| kind.is(name)) {
        Some((_, build)) => build(kind),
        None => Err(Problem::new(&kind.tag, format!("middlewares of the kind `{}` are not supported yet", kind.name))),
    }
}

fn text(kind: &Node, name: &str) -> String {
    kind.text(name).unwrap_or_default().to_owned()
}

fn add_prefix(kind: &Node) -> Result<Action, Problem> {
    match text(kind, "prefix") {
        prefix if prefix.is_empty() => Err(Problem::new(kind.tag_of("prefix"), "`prefix` must not be empty")),
        prefix if prefix.starts_with('/') => Ok(Action::AddPrefix(prefix)),
        prefix => Ok(Action::AddPrefix(format!("/{prefix}"))),
    }
}

fn replace_path_regex(kind: &Node) -> Result<Action, Problem> {
    let pattern = text(kind, "regex").trim().to_owned();
    let replacement = text(kind, "replacement").trim().to_owned();
    Ok(Action::ReplacePathRegexp(Replacement { pattern, replacement }))
}

fn rate_limit(kind: &Node) -> Result<Action, Problem> {
    if let Some(redis) = kind.child("redis") {
        return Err(Problem::new(&redis.tag, "rate limits shared through Redis are not supported"));
    }
    let average = kind.integer("average").unwrap_or(0);
    if average < 0 {
        return Err(Problem::new(kind.tag_of("average"), "`average` must not be negative"));
    }
    let mut settings = Map::new();
    settings.insert("mode".into(), "traefik-v3".into());
    settings.insert("average".into(), average.into());
    settings.insert("burst".into(), kind.integer("burst").unwrap_or(1).max(1).into());
    if let Some(period) = period(kind)? {
        settings.insert("period".into(), period.to_json());
    }
    settings.insert("source".into(), source(kind)?);
    Ok(policy("rate-limit", Value::Object(settings)))
}

/// A period of nothing means the default one.
fn period(kind: &Node) -> Result<Option<Duration>, Problem> {
    match kind.text("period").and_then(words::duration) {
        Some(period) if period.is_negative() => {
            Err(Problem::new(kind.tag_of("period"), "`period` must not be negative"))
        }
        period => Ok(period.filter(Duration::is_positive)),
    }
}

/// What requests are counted by; the client's address where nothing is said.
fn source(kind: &Node) -> Result<Value, Problem> {
    let Some(criterion) = kind.child("sourcecriterion") else { return Ok(json!({ "kind": "client-ip" })) };
    let strategy = criterion.child("ipstrategy");
    let header = criterion.text("requestheadername").filter(|name| !name.is_empty());
    let host = criterion.flag("requesthost") == Some(true);
    if u8::from(strategy.is_some()) + u8::from(header.is_some()) + u8::from(host) > 1 {
        return Err(Problem::new(&criterion.tag, "`sourcecriterion` has more than one kind"));
    }
    if let Some(option) = strategy.and_then(|strategy| strategy.children.first()) {
        return Err(Problem::new(&option.tag, "options of `ipstrategy` are not supported yet"));
    }
    Ok(match header {
        Some(name) => json!({ "kind": "header", "name": name }),
        None if host => json!({ "kind": "host" }),
        None => json!({ "kind": "client-ip" }),
    })
}

/// `plugin.<plugin>.<option>`: the policy plugin of that name, its settings as written.
fn plugin(kind: &Node) -> Result<Action, Problem> {
    match kind.children.as_slice() {
        [plugin] => Ok(policy(&plugin.name, settings(plugin))),
        [] => Err(Problem::new(&kind.tag, "it names no plugin, as in `plugin.rate-limit.average=10`")),
        [_, second, ..] => Err(Problem::new(&second.tag, "it names more than one plugin")),
    }
}

fn policy(plugin: &str, settings: Value) -> Action {
    Action::Policy(PolicyUse { plugin: plugin.to_owned(), settings: settings.to_string() })
}

/// A plugin's options as JSON: nested objects of texts, and arrays where keys have indices.
pub(crate) fn settings(node: &Node) -> Value {
    Value::Object(node.children.iter().map(|child| (child.name.clone(), setting(child))).collect())
}

fn setting(node: &Node) -> Value {
    if node.children.is_empty() {
        return node.value.clone().unwrap_or_default().into();
    }
    if node.children.iter().all(|child| child.name.starts_with('[')) {
        let mut items: Vec<_> = node.children.iter().map(|child| (index(&child.name), child)).collect();
        items.sort_by_key(|(at, _)| *at);
        return items.into_iter().map(|(_, child)| setting(child)).collect();
    }
    settings(node)
}

fn index(name: &str) -> u64 {
    name.trim_matches(['[', ']']).parse().unwrap_or(u64::MAX)
}
