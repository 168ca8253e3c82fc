//! `http.middlewares`: each becomes a step, or the reason why the routers that use it are left out.
//!
//! Every kind has a file with its options and what they come to. To support another kind, write that file and add its
//! row to [`KINDS`].

mod auth;
mod buffering;
mod chain;
mod circuit_breaker;
mod compress;
mod content_type;
mod encoded_characters;
mod errors;
mod forward_auth;
mod grpc_web;
mod headers;
mod in_flight;
mod ip_allow_list;
mod path;
mod plugin;
mod rate_limit;
mod redirect;
mod retry;
mod source;
mod tls_client_cert;

use serde_json::Value;
use sluice_plugin_sdk::router::{Action, PolicyUse};

use crate::report::Problem;
use crate::settings::Settings;
use crate::tags::schema::{Bare, Schema};
use crate::tags::tree::Node;

pub(crate) use auth::malformed as malformed_user;
pub(crate) use errors::settings as error_pages;
pub(crate) use forward_auth::malformed as malformed_address;
pub(crate) use plugin::settings;

/// A kind of middleware.
struct Kind {
    /// In lower case.
    name: &'static str,
    /// What tags can set of it.
    options: Schema,
    /// What it comes to. The options are known to fit.
    action: fn(&Node, &Settings) -> Result<Action, Problem>,
    /// What is to be known of options that change nothing, or have a better one.
    notes: &'static [(&'static str, &'static str)],
}

/// Nothing is to be known.
const NONE: &[(&str, &str)] = &[];

const KINDS: &[Kind] = &[
    Kind { name: "addprefix", options: path::ADD_PREFIX, action: |kind, _| path::add_prefix(kind), notes: NONE },
    Kind {
        name: "stripprefix",
        options: path::STRIP_PREFIX,
        action: |kind, _| path::strip_prefix(kind),
        notes: path::NOTES,
    },
    Kind {
        name: "stripprefixregex",
        options: path::STRIP_PREFIX_REGEX,
        action: |kind, _| path::strip_prefix_regex(kind),
        notes: NONE,
    },
    Kind { name: "replacepath", options: path::REPLACE_PATH, action: |kind, _| path::replace_path(kind), notes: NONE },
    Kind {
        name: "replacepathregex",
        options: path::REPLACE_PATH_REGEX,
        action: |kind, _| path::replace_path_regex(kind),
        notes: NONE,
    },
    Kind { name: "redirectregex", options: redirect::REGEX, action: |kind, _| redirect::regex(kind), notes: NONE },
    Kind { name: "redirectscheme", options: redirect::SCHEME, action: |kind, _| redirect::scheme(kind), notes: NONE },
    Kind { name: "chain", options: chain::OPTIONS, action: |kind, _| chain::action(kind), notes: NONE },
    Kind {
        name: "ipallowlist",
        options: ip_allow_list::OPTIONS,
        action: |kind, _| ip_allow_list::action(kind),
        notes: NONE,
    },
    Kind {
        name: "ipwhitelist",
        options: ip_allow_list::DEPRECATED,
        action: |kind, _| ip_allow_list::action(kind),
        notes: ip_allow_list::NOTES,
    },
    Kind { name: "headers", options: headers::OPTIONS, action: |kind, _| headers::action(kind), notes: headers::NOTES },
    Kind {
        name: "encodedcharacters",
        options: encoded_characters::OPTIONS,
        action: |kind, _| encoded_characters::action(kind),
        notes: NONE,
    },
    Kind { name: "errors", options: errors::OPTIONS, action: |kind, _| errors::action(kind), notes: NONE },
    Kind {
        name: "ratelimit",
        options: rate_limit::OPTIONS,
        action: |kind, _| rate_limit::action(kind),
        notes: rate_limit::NOTES,
    },
    Kind { name: "inflightreq", options: in_flight::OPTIONS, action: |kind, _| in_flight::action(kind), notes: NONE },
    Kind { name: "buffering", options: buffering::OPTIONS, action: |kind, _| buffering::action(kind), notes: NONE },
    Kind {
        name: "circuitbreaker",
        options: circuit_breaker::OPTIONS,
        action: |kind, _| circuit_breaker::action(kind),
        notes: NONE,
    },
    Kind { name: "compress", options: compress::OPTIONS, action: |kind, _| compress::action(kind), notes: NONE },
    Kind { name: "basicauth", options: auth::OPTIONS, action: |kind, _| auth::basic(kind), notes: NONE },
    Kind { name: "digestauth", options: auth::OPTIONS, action: |kind, _| auth::digest(kind), notes: NONE },
    Kind { name: "forwardauth", options: forward_auth::OPTIONS, action: forward_auth::action, notes: NONE },
    Kind { name: "retry", options: retry::OPTIONS, action: |kind, _| retry::action(kind), notes: NONE },
    Kind {
        name: "passtlsclientcert",
        options: tls_client_cert::OPTIONS,
        action: |kind, _| tls_client_cert::action(kind),
        notes: NONE,
    },
    Kind {
        name: "contenttype",
        options: content_type::OPTIONS,
        action: |kind, _| content_type::action(kind),
        notes: content_type::NOTES,
    },
    Kind { name: "grpcweb", options: grpc_web::OPTIONS, action: |kind, _| grpc_web::action(kind), notes: NONE },
    Kind { name: "plugin", options: plugin::OPTIONS, action: |kind, _| plugin::action(kind), notes: NONE },
];

/// What tags can set of a middleware: one of the kinds.
pub(super) const OPTIONS: Schema = Schema::Object(&FIELDS, Bare::Allowed);

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, and would report an index out of bounds")]
const FIELDS: [(&str, Schema); KINDS.len()] = {
    let mut fields = [("", Schema::Ignored); KINDS.len()];
    let mut at = 0;
    while at < KINDS.len() {
        fields[at] = (KINDS[at].name, KINDS[at].options);
        at += 1;
    }
    fields
};

/// What a middleware comes to.
///
/// # Errors
/// No kind or several, a kind without a step, or options that do not fit together.
pub(super) fn action(node: &Node, settings: &Settings) -> Result<Action, Problem> {
    let kind = match node.children.as_slice() {
        [kind] => kind,
        [] => return Err(Problem::new(&node.tag, "it has no kind, such as `stripprefix`")),
        [first, second, ..] => {
            let message = format!("it is both `{}` and `{}`; give each its own name", first.name, second.name);
            return Err(Problem::new(&second.tag, message));
        }
    };
    match KINDS.iter().find(|known| kind.is(known.name)) {
        Some(known) => (known.action)(kind, settings),
        None => unreachable!("the schema lets no other kinds through"),
    }
}

/// What is to be known of a middleware that works: a tag, and what of it.
pub(super) fn notes(node: &Node) -> impl Iterator<Item = (&str, &'static str)> {
    let kind = node.children.first();
    let known = kind.and_then(|kind| KINDS.iter().find(|known| kind.is(known.name)));
    let notes = known.map_or(NONE, |known| known.notes);
    notes.iter().filter_map(move |(option, note)| match (kind, option.is_empty()) {
        (Some(kind), true) => Some((kind.tag.as_str(), *note)),
        (kind, _) => kind?.child(option).map(|option| (option.tag.as_str(), *note)),
    })
}

fn text(kind: &Node, name: &str) -> String {
    kind.text(name).unwrap_or_default().to_owned()
}

fn policy(plugin: &str, settings: Value) -> Action {
    Action::Policy(PolicyUse { plugin: plugin.to_owned(), settings: settings.to_string() })
}
