//! Whatever the changes and their order, what is linked is what linking all over again comes to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::naive::{self, Naive};
use super::tests::{declared, failover, route, service, step, weighted};
use super::*;
use crate::action::Action;

/// Few names, so that they meet.
fn name(letter: &'static str) -> impl Strategy<Value = String> {
    (0..5_u8).prop_map(move |at| format!("{letter}{at}"))
}

/// As tags refer to things: mostly without a provider.
fn reference(letter: &'static str) -> impl Strategy<Value = String> {
    (name(letter), prop_oneof![6 => Just(""), 1 => Just("@one"), 1 => Just("@two")])
        .prop_map(|(name, provider)| name + provider)
}

fn references(letter: &'static str) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(reference(letter), 0..3)
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn some_step() -> impl Strategy<Value = StepSpec> {
    let action = prop_oneof![
        3 => (0..2_u8).prop_map(|at| Action::AddPrefix(format!("/{at}"))),
        2 => references("m").prop_map(Action::Chain),
    ];
    (name("m"), action).prop_map(|(name, action)| step(&name, action))
}

fn some_service() -> impl Strategy<Value = ServiceSpec> {
    let ports = prop::collection::vec(1..4_u16, 0..3);
    let parts = prop::collection::vec(reference("s"), 1..3);
    prop_oneof![
        4 => (name("s"), ports, prop::option::weighted(0.2, reference("m"))).prop_map(|(name, ports, guard)| {
            ServiceSpec { steps: guard.into_iter().collect(), ..service(&name, &ports) }
        }),
        2 => (name("s"), parts).prop_map(|(name, parts)| weighted(&name, &texts(&parts))),
        1 => (name("s"), reference("s"), reference("s")).prop_map(|(name, main, other)| failover(&name, &main, &other)),
    ]
}

fn some_route() -> impl Strategy<Value = RouteSpec> {
    (name("r"), reference("s"), references("m"))
        .prop_map(|(name, service, steps)| route(&name, &service, &texts(&steps)))
}

/// A catalog service comes, changes, or goes.
#[derive(Clone, Debug)]
struct Change {
    provider: &'static str,
    origin: String,
    contribution: Option<Contribution>,
    /// Whether everything is linked after it.
    links: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let contribution = (
        prop::collection::vec(some_route(), 0..3),
        prop::collection::vec(some_service(), 0..3),
        prop::collection::vec(some_step(), 0..3),
    );
    let contribution = contribution.prop_map(|(routes, services, steps)| Contribution {
        routes,
        services,
        steps,
        ..Contribution::default()
    });
    let provider = prop::sample::select(vec!["one", "two", CONFIG_PROVIDER]);
    (provider, name("o"), prop::option::weighted(0.8, contribution), any::<bool>())
        .prop_map(|(provider, origin, contribution, links)| Change { provider, origin, contribution, links })
}

/// What there is, in the model's terms.
fn shown(linked: &Linked) -> Naive {
    let steps = linked.steps.iter().map(|(name, step)| (Arc::clone(name), Arc::clone(&step.spec)));
    let services = linked.services.iter().map(|(name, service)| {
        let LinkedService { spec, origin, parts, steps, errors, .. } = service.clone();
        (Arc::clone(name), (spec, origin, parts, steps, errors))
    });
    let routes = linked.routes.iter().map(|(name, route)| {
        let LinkedRoute { spec, origin, service, steps, service_steps, errors, .. } = route.clone();
        (Arc::clone(name), (spec, origin, service, steps, service_steps, errors))
    });
    let mut problems: Vec<_> = linked.problems.values().flatten().map(naive::shown).collect();
    problems.sort();
    Naive { steps: steps.collect(), services: services.collect(), routes: routes.collect(), problems }
}

/// Everything that differs is said to.
fn check_touched(before: &Naive, after: &Naive, touched: &Touched) -> Result<(), TestCaseError> {
    fn differing<T: PartialEq>(before: &BTreeMap<Arc<str>, T>, after: &BTreeMap<Arc<str>, T>) -> Vec<Arc<str>> {
        let names = before.keys().chain(after.keys());
        names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
    }
    for name in differing(&before.steps, &after.steps) {
        prop_assert!(touched.steps.contains(&name), "step {}", name);
    }
    for name in differing(&before.services, &after.services) {
        prop_assert!(touched.services.contains(&name), "service {}", name);
    }
    for name in differing(&before.routes, &after.routes) {
        prop_assert!(touched.routes.contains(&name), "route {}", name);
    }
    prop_assert!(before.problems == after.problems || !touched.problems.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_comes_to_the_same_as_linking_all_over_again(changes in prop::collection::vec(change(), 1..24)) {
        let mut linker = Linker::default();
        let mut all: BTreeMap<(Arc<str>, Arc<str>), Arc<Declared>> = BTreeMap::new();
        let mut before = naive::link(&[]);
        for Change { provider, origin, contribution, links } in changes {
            let key: (Arc<str>, Arc<str>) = (provider.into(), origin.as_str().into());
            match contribution {
                Some(contribution) => {
                    let one = declared(provider, &origin, contribution);
                    linker.declare(Arc::clone(&one));
                    all.insert(key, one);
                }
                None => {
                    linker.retract(&key.0, &key.1);
                    all.remove(&key);
                }
            }
            if !links {
                continue;
            }
            let touched = linker.link();
            let after = naive::link(&all.values().cloned().collect::<Vec<_>>());
            prop_assert_eq!(&shown(linker.linked()), &after);
            check_touched(&before, &after, &touched)?;
            before = after;
        }
    }

    #[test]
    fn what_is_gone_leaves_nothing_behind(changes in prop::collection::vec(change(), 1..24)) {
        let mut linker = Linker::default();
        let mut keys = Vec::new();
        for Change { provider, origin, contribution, .. } in changes {
            keys.push((Arc::from(provider), Arc::from(origin.as_str())));
            if let Some(contribution) = contribution {
                linker.declare(declared(provider, &origin, contribution));
            }
            linker.link();
        }
        for (provider, origin) in keys {
            linker.retract(&provider, &origin);
            linker.link();
        }
        prop_assert!(linker.is_empty(), "{:?}", linker);
    }
}
