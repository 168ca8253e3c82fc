//! `frontend.headers.*`.

use sluice_plugin_sdk::router::{Action, HeaderEdit};

use super::super::frontend::Frontend;
use super::super::options::Scope;
use crate::headers::{self, Options};
use crate::report::{Problem, Report};
use crate::tags::words;

/// Never a problem: what cannot be read is reported and counts as absent.
pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let mut below = Below { scope: frontend.scope, object: &frontend.object, report };
    Ok(headers::read(&mut below).map(Action::Headers))
}

/// The options of a frontend that begin with `headers.`.
struct Below<'a> {
    scope: &'a Scope<'a>,
    object: &'a str,
    report: &'a mut Report,
}

impl Options for Below<'_> {
    fn text(&mut self, name: &str) -> Option<String> {
        self.scope.get(&format!("headers.{name}")).map(|chosen| chosen.value.to_owned())
    }

    fn flag(&mut self, name: &str) -> bool {
        self.scope.flag(&format!("headers.{name}"), false, self.object, self.report)
    }

    fn integer(&mut self, name: &str) -> i64 {
        self.scope.integer(&format!("headers.{name}"), self.object, self.report).unwrap_or(0)
    }

    fn list(&mut self, name: &str) -> Vec<String> {
        self.scope.get(&format!("headers.{name}")).map(|chosen| words::list(chosen.value)).unwrap_or_default()
    }

    fn edits(&mut self, name: &str) -> Vec<HeaderEdit> {
        let Some(chosen) = self.scope.get(&format!("headers.{name}")) else { return Vec::new() };
        let pairs = words::pairs(chosen.value);
        if pairs.is_empty() {
            self.report.warning(self.object, chosen.tag, "no header is set: write `Name:value||Name:value`");
        }
        pairs.into_iter().map(|(name, value)| HeaderEdit { name, value }).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::v1_step;

    #[test]
    fn maps_are_split_at_bars_and_case_counts_in_names_of_options() {
        let options = ["frontend.headers.customRequestHeaders=x-a:1||X-B:", "frontend.headers.STSSeconds=5"];
        let Some(Action::Headers(headers)) = v1_step("{}", &options) else { unreachable!("no headers") };
        let edits: Vec<_> = headers.request.iter().map(|edit| (edit.name.as_str(), edit.value.as_str())).collect();
        assert_eq!(edits, [("x-a", "1"), ("X-B", "")]);
        assert_eq!(headers.hsts.unwrap().value, "max-age=5");
        assert_eq!(v1_step("{}", &["frontend.headers.stsSeconds=5"]), None);
        assert_eq!(v1_step("{}", &["frontend.headers.frameDeny=false"]), None);
    }
}
