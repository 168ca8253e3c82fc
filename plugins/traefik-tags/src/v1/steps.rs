//! The steps of a v1 frontend, in v1's order: what the rule does to the path, the attached policies, the rate limit.

use sluice_plugin_sdk::router::{Action, Replacement, Step};

use crate::rule::v1::Modifiers;

/// What a rule does to the path, as steps named after the route, in the order they apply whatever their order in the
/// rule.
pub(super) fn of_modifiers(route: &str, modifiers: Modifiers) -> Vec<Step> {
    let Modifiers { strip_regexps, strip, add, replace_regexp, replace } = modifiers;
    let replace_regexp = replace_regexp.map(|(pattern, replacement)| Replacement { pattern, replacement });
    let steps = [
        ("strip-regex", (!strip_regexps.is_empty()).then_some(Action::StripPrefixRegexp(strip_regexps))),
        ("strip", (!strip.is_empty()).then_some(Action::StripPrefix(strip))),
        ("add-prefix", add.map(Action::AddPrefix)),
        ("replace-regex", replace_regexp.map(Action::ReplacePathRegexp)),
        ("replace", replace.map(Action::ReplacePath)),
    ];
    steps.into_iter().filter_map(|(what, action)| Some(named(route, what, action?))).collect()
}

/// A step of a route.
pub(super) fn named(route: &str, what: &str, action: Action) -> Step {
    Step { name: format!("{route}-{what}"), action }
}
