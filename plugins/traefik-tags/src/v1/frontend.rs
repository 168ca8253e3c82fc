//! One frontend: its rule, its steps and the routes they come to.

use sluice_plugin_sdk::router::{Action, Observability, Route, Step, Transport};

use super::options::Scope;
use super::{Group, steps, support};
use crate::report::{Problem, Report};
use crate::rule::expr::Expr;
use crate::rule::{matchers_v3, v1};
use crate::settings::BareServices;
use crate::tags::words;
use crate::template::{Template, Value};
use crate::v3::labels as labels_of;

/// A frontend to read.
pub(super) struct Frontend<'a> {
    pub(super) group: &'a Group<'a>,
    pub(super) scope: &'a Scope<'a>,
    /// The name of its route.
    pub(super) name: String,
    /// How diagnostics name it.
    pub(super) object: String,
}

type Routes = Vec<(String, Result<Route, Problem>)>;

/// A rule with its text, its place, and what it does besides matching.
struct Rule<'a> {
    text: String,
    tag: &'a str,
    parsed: v1::V1Rule,
}

impl<'a> Frontend<'a> {
    pub(super) fn new(group: &'a Group<'a>, scope: &'a Scope<'a>, name: String) -> Self {
        Self { group, scope, object: format!("route {name}"), name }
    }

    /// The routes of the frontend and the steps they use.
    pub(super) fn read(&self, service: &str, report: &mut Report) -> (Routes, Vec<Step>) {
        match self.build(service, report) {
            Ok((routes, steps)) => (routes.into_iter().map(|route| (route.name.clone(), Ok(route))).collect(), steps),
            Err(problem) => (vec![(self.name.clone(), Err(problem))], Vec::new()),
        }
    }

    fn build(&self, service: &str, report: &mut Report) -> Result<(Vec<Route>, Vec<Step>), Problem> {
        support::report_unknown(self.scope, &self.object, report);
        let rule = self.rule()?;
        for note in &rule.parsed.notes {
            report.warning(&self.object, rule.tag, note.clone());
        }
        let mut steps = steps::of_modifiers(&self.name, rule.parsed.modifiers);
        steps.extend(steps::errors::steps(self, report));
        steps.extend(steps::of_options(steps::OUTER, self, report)?);
        let mut names: Vec<_> = steps.iter().map(|step| step.name.clone()).collect();
        names.extend(self.policies()?);
        let inner = steps::of_options(steps::INNER, self, report)?;
        names.extend(inner.iter().map(|step| step.name.clone()));
        steps.extend(inner);
        let main = Route {
            name: self.name.clone(),
            priority: self.priority(&rule.text, report),
            rule: rule.parsed.expr.into_rule(&rule.text),
            entrypoints: self.entrypoints(report)?,
            transport: Transport::Any,
            tls_options: String::new(),
            observability: Observability::default(),
            steps: names,
            service: service.to_owned(),
        };
        let mut routes = vec![main];
        let slash = rule.parsed.slash.filter(|_| self.group.settings.redirects_slashes);
        routes.extend(slash.and_then(|slash| self.slash_route(slash, routes.first()?, &mut steps)));
        Ok((routes, steps))
    }

    /// The attached policies. Those that are not declared here are left to the linker.
    fn policies(&self) -> Result<Vec<String>, Problem> {
        let Some(chosen) = self.scope.get("policies") else { return Ok(Vec::new()) };
        let names = words::list(chosen.value);
        match names.iter().find(|name| matches!(self.group.policies.get(name.as_str()), Some(Err(_)))) {
            Some(broken) => Err(Problem::new(chosen.tag, format!("its policy `{broken}` cannot be used"))),
            None => Ok(names),
        }
    }

    /// The route that answers requests which differ by their final slash only.
    fn slash_route(&self, slash: Expr, main: &Route, steps: &mut Vec<Step>) -> Option<Route> {
        let step = steps::named(&self.name, "slash", Action::RedirectSlash);
        let route = Route {
            name: step.name.clone(),
            rule: slash.into_rule(&main.rule.text),
            steps: vec![step.name.clone()],
            ..main.clone()
        };
        steps.push(step);
        Some(route)
    }

    fn rule(&self) -> Result<Rule<'a>, Problem> {
        let Some(chosen) = self.scope.get("rule") else {
            return self.default_rule().map_err(|message| Problem::new("", message));
        };
        let parse = || -> Result<_, String> {
            let env = self.group.settings.v1_env();
            let template = Template::parse(chosen.value, &env).map_err(|error| error.to_string())?;
            self.read_rule(&template)
        };
        let (text, parsed) = parse().map_err(|message| Problem::new(chosen.tag, message))?;
        Ok(Rule { text, tag: chosen.tag, parsed })
    }

    /// The provider's rule. A service without tags of either dialect may also be reached by v3's.
    fn default_rule(&self) -> Result<Rule<'a>, String> {
        let bare = self.group.is_bare && self.scope.segment.is_none();
        let which = if bare { self.group.settings.bare_services } else { BareServices::V1 };
        let v1_rule = || self.read_rule(&self.group.settings.frontend_rule);
        let (text, parsed) = match which {
            BareServices::V1 => v1_rule()?,
            BareServices::V3 => {
                let (text, expr) = self.v3_default_rule()?;
                (text, v1::V1Rule { expr, ..v1::V1Rule::default() })
            }
            BareServices::Both => {
                let ((text, parsed), (other, expr)) = (v1_rule()?, self.v3_default_rule()?);
                (format!("{text} or {other}"), v1::V1Rule { expr: Expr::any(vec![parsed.expr, expr]), ..parsed })
            }
        };
        Ok(Rule { text, tag: "", parsed })
    }

    fn v3_default_rule(&self) -> Result<(String, Expr), String> {
        let settings = self.group.settings;
        let labels = self.group.attributes.iter().filter_map(|tag| tag.split_once('='));
        let labels = labels_of(labels, &settings.prefix);
        let data = Value::record([("Name", self.group.catalog_name.into()), ("Labels", labels)]);
        let text = settings.default_rule.render(&data, &settings.v3_env()).map_err(|error| error.to_string())?;
        let parsed = matchers_v3::parse(&text).map_err(|error| format!("default rule `{text}`: {error}"))?;
        Ok((text, parsed.expr))
    }

    /// Fills in a template and reads the rule it gives: one dot at its end is removed, and backslashes that were
    /// doubled for v1 become single.
    fn read_rule(&self, template: &Template) -> Result<(String, v1::V1Rule), String> {
        let settings = self.group.settings;
        let service = match self.scope.segment {
            Some(segment) => format!("{}-{segment}", self.group.name),
            None => self.group.name.clone(),
        };
        let data = Value::record([
            ("ServiceName", service.as_str().into()),
            ("Domain", settings.domain.as_str().into()),
            ("Attributes", Value::texts(self.group.attributes.iter().copied())),
        ]);
        let text = template.render(&data, &settings.v1_env()).map_err(|error| error.to_string())?;
        let text = text.strip_suffix('.').unwrap_or(&text).replace(r"\\", r"\");
        let parsed = v1::parse(&text).map_err(|error| format!("rule `{text}`: {error}"))?;
        Ok((text, parsed))
    }

    /// As set, else the length of the rule in bytes.
    fn priority(&self, rule: &str, report: &mut Report) -> i64 {
        let explicit = self.scope.integer("priority", &self.object, report).filter(|priority| *priority > 0);
        explicit.unwrap_or_else(|| i64::try_from(rule.len()).unwrap_or(i64::MAX))
    }

    pub(super) fn entrypoints(&self, report: &mut Report) -> Result<Vec<String>, Problem> {
        let Some(chosen) = self.scope.get("entryPoints") else { return Ok(Vec::new()) };
        let (known, unknown) = self.group.settings.known_entrypoints(words::list(chosen.value));
        if known.is_empty() && !unknown.is_empty() {
            return Err(Problem::new(chosen.tag, format!("none of its entrypoints exists: {}", unknown.join(", "))));
        }
        for name in unknown {
            report.warning(&self.object, chosen.tag, format!("entrypoint `{name}` does not exist"));
        }
        Ok(known)
    }
}
