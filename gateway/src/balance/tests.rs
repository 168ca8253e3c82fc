//! Services of a few instances; nothing is sent anywhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sluice_model::balance::{Cycle, Maglev};
use sluice_model::service::{CheckProtocol, HealthCheck, OutlierEjection, PassiveCheck};
use sluice_model::{Scheme, Target};

use super::*;
use crate::live::Sticky;
use crate::state::{CheckKey, Checks, Clock, InstanceKey, Instances, Services};

const SECOND: u64 = 1_000_000_000;
static CLIENT: HeaderValue = HeaderValue::from_static("10.1.2.3");

#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Scene {
    clock: Arc<Hand>,
    balancer: Balancer,
    _checks: Checks,
}

fn check() -> HealthCheck {
    HealthCheck {
        protocol: CheckProtocol::Tcp,
        path: String::new(),
        method: String::new(),
        status: None,
        headers: vec![],
        host: String::new(),
        follow_redirects: false,
        send: String::new(),
        expect: String::new(),
        scheme: None,
        port: None,
        interval: Duration::from_secs(1),
        unhealthy_interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        at_once: true,
        passes: 1,
        failures: 1,
    }
}

fn scene(weights: &[u32], method: Method) -> Scene {
    let clock = Arc::new(Hand::default());
    let services = Services::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let (checks, _) = Checks::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let (instances, state) = (Instances::default(), services.get(&"web@file".into()));
    let endpoints = (1..).zip(weights).map(|(port, weight)| {
        let target = Target {
            instance: port.to_string(),
            scheme: Scheme::Http,
            address: "10.0.0.1".into(),
            port,
            path: String::new(),
            weight: *weight,
        };
        let key = InstanceKey::new(&target, None);
        Endpoint {
            instance: instances.get(key.clone()),
            host: HeaderValue::from_static("10.0.0.1"),
            path: String::new(),
            weight: *weight,
            url: target.url(),
            state: state.target(&target.url(), false),
            check: Some(checks.get(CheckKey { instance: key, check: check() })),
        }
    });
    let balancer = Balancer {
        endpoints: endpoints.collect(),
        method,
        plain: false,
        pass_host_header: true,
        watches: true,
        limited: false,
        state,
        sticky: None,
        passive: None,
        outliers: None,
        panic_percent: 50,
        slow_start: 0,
    };
    Scene { clock, balancer, _checks: checks }
}

impl Scene {
    fn turns(weights: &[u32]) -> Self {
        scene(weights, Method::Cycle(Cycle::new(weights)))
    }

    fn down(&self, at: usize) {
        self.balancer.endpoints[at].check.as_ref().unwrap().set_up(false);
    }

    fn picks(&self, count: usize) -> HashMap<u16, usize> {
        let mut counts = HashMap::new();
        for _ in 0..count {
            if let Some(picked) = pick(&self.balancer, asking(), &[]) {
                *counts.entry(picked.endpoint.instance.key.port).or_default() += 1;
            }
        }
        counts
    }

    fn see(&self, at: usize, outcome: Outcome) {
        watch(&self.balancer, &self.balancer.endpoints[at], outcome, Instant::now());
    }
}

fn asking() -> Asking<'static> {
    Asking { client: &CLIENT, headers: None }
}

#[test]
fn turns_of_instances_that_are_down_go_to_the_others_evenly() {
    let scene = Scene::turns(&[1, 1, 1]);
    scene.down(0);
    assert_eq!(scene.picks(12), HashMap::from([(2, 6), (3, 6)]));
    let scene = Scene::turns(&[1, 3, 1, 0]);
    scene.down(2);
    assert_eq!(scene.picks(8), HashMap::from([(1, 2), (2, 6)]));
}

#[test]
fn with_few_in_health_all_are_used_but_not_when_every_check_fails() {
    let mut scene = Scene::turns(&[1, 1, 1]);
    scene.down(0);
    scene.down(1);
    assert_eq!(scene.picks(6).len(), 3);
    scene.balancer.panic_percent = 0;
    assert_eq!(scene.picks(6), HashMap::from([(3, 6)]));
    scene.balancer.panic_percent = 50;
    scene.down(2);
    assert!(scene.picks(6).is_empty());
}

#[test]
fn what_was_tried_is_not_picked_again() {
    for method in [Method::Cycle(Cycle::new(&[1, 1])), Method::TwoChoices, Method::Rendezvous, Method::PeakEwma] {
        let scene = scene(&[1, 1], method);
        let first = pick(&scene.balancer, asking(), &[]).unwrap().endpoint.instance.id;
        let second = pick(&scene.balancer, asking(), &[first]).unwrap().endpoint.instance.id;
        assert_ne!(first, second);
        assert!(pick(&scene.balancer, asking(), &[first, second]).is_none());
    }
}

#[test]
fn of_two_the_less_busy_is_picked() {
    let scene = scene(&[1, 1], Method::TwoChoices);
    let busy = scene.balancer.endpoints[0].instance.begin();
    assert_eq!(scene.picks(20), HashMap::from([(2, 20)]));
    drop(busy);
    let picked = pick(&scene.balancer, asking(), &[]).unwrap();
    assert_eq!(picked.lease.instance().in_flight(), 1);
}

#[test]
fn the_quick_get_more() {
    let scene = scene(&[1, 1], Method::LeastTime(Cycle::new(&[1, 1])));
    assert_eq!(scene.picks(4).len(), 2, "nobody has answered yet, so they take turns");
    scene.balancer.endpoints[0].state.time(Duration::from_millis(10));
    scene.balancer.endpoints[1].state.time(Duration::from_millis(20));
    assert_eq!(scene.picks(10), HashMap::from([(1, 10)]));
}

#[test]
fn hashes_move_only_the_clients_of_those_that_go() {
    let table = Maglev::new(&[("http://10.0.0.1:1", 1), ("http://10.0.0.1:2", 1), ("http://10.0.0.1:3", 1)]);
    for method in [Method::Rendezvous, Method::Maglev(table)] {
        let scene = scene(&[1, 1, 1], method);
        let home = *scene.picks(10).keys().next().unwrap();
        assert_eq!(scene.picks(10), HashMap::from([(home, 10)]));
        let other = (0..3).find(|at| scene.balancer.endpoints[*at].instance.key.port != home).unwrap();
        scene.down(other);
        assert_eq!(scene.picks(10), HashMap::from([(home, 10)]), "its instance is still there");
        scene.balancer.endpoints[other].check.as_ref().unwrap().set_up(true);
        scene.down(usize::from(home) - 1);
        let elsewhere = scene.picks(10);
        assert!(elsewhere.len() == 1 && !elsewhere.contains_key(&home));
    }
}

#[test]
fn cookies_count_before_strategies_while_their_instance_is_well() {
    let mut scene = Scene::turns(&[1, 1, 1]);
    let values = [("a".to_owned(), (0, true)), ("old".to_owned(), (0, false))].into();
    let set = ["sid=a", "sid=b", "sid=c"].map(HeaderValue::from_static).to_vec();
    scene.balancer.sticky = Some(Sticky { name: "sid".into(), values, set });
    let with = |scene: &Scene, cookie: &'static str| {
        let headers = HeaderMap::from_iter([(hyper::header::COOKIE, HeaderValue::from_static(cookie))]);
        let picked = pick(&scene.balancer, Asking { client: &CLIENT, headers: Some(&headers) }, &[]).unwrap();
        (picked.endpoint.instance.key.port, picked.cookie.cloned())
    };
    assert_eq!(with(&scene, "sid=a"), (1, None));
    assert_eq!(with(&scene, "sid=old"), (1, Some(HeaderValue::from_static("sid=a"))), "rewritten");
    assert!(with(&scene, "sid=gone").1.is_some());
    scene.down(0);
    let (port, cookie) = with(&scene, "sid=a");
    assert!(port != 1 && cookie.is_some());
}

#[test]
fn failures_take_an_instance_out_within_a_cap() {
    let mut scene = Scene::turns(&[1, 1, 1]);
    let (base, most) = (Duration::from_secs(30), Duration::from_secs(300));
    scene.balancer.outliers = Some(OutlierEjection { failures: 2, base, most, most_percent: 10 });
    scene.see(0, Outcome::Failed);
    scene.see(0, Outcome::Answered(200));
    scene.see(0, Outcome::Answered(500));
    assert_eq!(scene.picks(6).len(), 3, "not in a row");
    scene.see(0, Outcome::Answered(503));
    assert_eq!(scene.picks(6), HashMap::from([(2, 3), (3, 3)]));
    scene.see(1, Outcome::Failed);
    scene.see(1, Outcome::Failed);
    assert_eq!(scene.picks(6).len(), 2, "one of three is as many as may be out");
    scene.clock.0.store(31 * SECOND, Ordering::Relaxed);
    assert_eq!(scene.picks(6).len(), 3);
    assert!(
        !take_out(&Scene::turns(&[1]).balancer, &Scene::turns(&[1]).balancer.endpoints[0], base, 100),
        "the last stays"
    );
}

#[test]
fn failures_within_a_window_take_an_instance_out_for_its_length() {
    let mut scene = Scene::turns(&[1, 1]);
    scene.balancer.passive = Some(PassiveCheck { window: Duration::from_secs(10), failures: 2 });
    scene.see(0, Outcome::Failed);
    assert_eq!(scene.picks(4).len(), 2);
    scene.see(0, Outcome::Failed);
    assert_eq!(scene.picks(4), HashMap::from([(2, 4)]));
    scene.clock.0.store(11 * SECOND, Ordering::Relaxed);
    assert_eq!(scene.picks(4).len(), 2);
}

#[test]
fn those_that_come_up_start_slowly() {
    let mut scene = Scene::turns(&[1, 1]);
    scene.balancer.slow_start = 100 * SECOND;
    scene.clock.0.store(SECOND, Ordering::Relaxed);
    scene.down(1);
    scene.balancer.endpoints[1].check.as_ref().unwrap().set_up(true);
    let cold = scene.picks(1000).get(&2).copied().unwrap_or(0);
    assert!((1..200).contains(&cold), "{cold} of 1000 at first");
    scene.clock.0.store(200 * SECOND, Ordering::Relaxed);
    assert_eq!(scene.picks(1000)[&2], 500);
}
