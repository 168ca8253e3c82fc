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
    action: fn(&Node) -> Result<Action, Problem>,
}

const KINDS: &[Kind] = &[
    Kind { name: "addprefix", options: path::ADD_PREFIX, action: path::add_prefix },
    Kind { name: "stripprefix", options: path::STRIP_PREFIX, action: path::strip_prefix },
    Kind { name: "stripprefixregex", options: path::STRIP_PREFIX_REGEX, action: path::strip_prefix_regex },
    Kind { name: "replacepath", options: path::REPLACE_PATH, action: path::replace_path },
    Kind { name: "replacepathregex", options: path::REPLACE_PATH_REGEX, action: path::replace_path_regex },
    Kind { name: "redirectregex", options: redirect::REGEX, action: redirect::regex },
    Kind { name: "redirectscheme", options: redirect::SCHEME, action: redirect::scheme },
    Kind { name: "chain", options: chain::OPTIONS, action: chain::action },
    Kind { name: "ipallowlist", options: ip_allow_list::OPTIONS, action: ip_allow_list::action },
    Kind { name: "ipwhitelist", options: ip_allow_list::DEPRECATED, action: ip_allow_list::action },
    Kind { name: "headers", options: headers::OPTIONS, action: headers::action },
    Kind { name: "encodedcharacters", options: encoded_characters::OPTIONS, action: encoded_characters::action },
    Kind { name: "errors", options: errors::OPTIONS, action: errors::action },
    Kind { name: "ratelimit", options: rate_limit::OPTIONS, action: rate_limit::action },
    Kind { name: "inflightreq", options: in_flight::OPTIONS, action: in_flight::action },
    Kind { name: "buffering", options: buffering::OPTIONS, action: buffering::action },
    Kind { name: "circuitbreaker", options: circuit_breaker::OPTIONS, action: circuit_breaker::action },
    Kind { name: "compress", options: compress::OPTIONS, action: compress::action },
    Kind { name: "basicauth", options: auth::OPTIONS, action: auth::basic },
    Kind { name: "digestauth", options: auth::OPTIONS, action: auth::digest },
    Kind { name: "forwardauth", options: forward_auth::OPTIONS, action: forward_auth::action },
    Kind { name: "retry", options: retry::OPTIONS, action: retry::action },
    Kind { name: "passtlsclientcert", options: tls_client_cert::OPTIONS, action: tls_client_cert::action },
    Kind { name: "contenttype", options: content_type::OPTIONS, action: content_type::action },
    Kind { name: "grpcweb", options: grpc_web::OPTIONS, action: grpc_web::action },
    Kind { name: "plugin", options: plugin::OPTIONS, action: plugin::action },
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
pub(super) fn action(node: &Node) -> Result<Action, Problem> {
    let kind = match node.children.as_slice() {
        [kind] => kind,
        [] => return Err(Problem::new(&node.tag, "it has no kind, such as `stripprefix`")),
        [first, second, ..] => {
            let message = format!("it is both `{}` and `{}`; give each its own name", first.name, second.name);
            return Err(Problem::new(&second.tag, message));
        }
    };
    match KINDS.iter().find(|known| kind.is(known.name)) {
        Some(known) => (known.action)(kind),
        None => unreachable!("the schema lets no other kinds through"),
    }
}

fn text(kind: &Node, name: &str) -> String {
    kind.text(name).unwrap_or_default().to_owned()
}

fn policy(plugin: &str, settings: Value) -> Action {
    Action::Policy(PolicyUse { plugin: plugin.to_owned(), settings: settings.to_string() })
}
