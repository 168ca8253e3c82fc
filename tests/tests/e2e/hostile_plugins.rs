//! Plugins that misbehave: what it costs is the request that met it, and the reason can be read.

#[path = "../../guests/hostile/src/mode.rs"]
mod mode;

use std::time::{Duration, Instant};

use mode::Mode;
use sluice_tests::bombs::Bomb;
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::load::Load;
use sluice_tests::plugins::{guest, variant};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;
use sluice_tests::wire::Wire;

/// What a request gets that makes the guest misbehave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// 503, for a failure of this kind.
    Failed(&'static str),
    /// 503, for an answer that is no HTTP.
    Refused,
    /// The upstream's answer: the host takes what it takes and drops the rest.
    Served,
}

/// Of each way to misbehave there is. One that is not here does not compile.
const fn of_mode(mode: Mode) -> Fate {
    match mode {
        Mode::Loop | Mode::Fill => Fate::Failed("timeout"),
        Mode::Memory => Fate::Failed("oom"),
        Mode::Recursion => Fate::Failed("stack"),
        Mode::Trap => Fate::Failed("trap"),
        Mode::Headers | Mode::LineBreak | Mode::Framing => Fate::Refused,
        Mode::Status | Mode::HugeString => Fate::Failed("contract"),
        Mode::RequestHeaders | Mode::LogFlood | Mode::NoteFlood => Fate::Served,
        Mode::KvFlood | Mode::SetFlood | Mode::GateFlood => Fate::Served,
    }
}

const fn of_bomb(bomb: Bomb) -> Fate {
    match bomb {
        Bomb::Table => Fate::Failed("oom"),
        Bomb::Handles => Fate::Failed("contract"),
    }
}

/// A service with a policy that misbehaves; its host is its name.
struct Case {
    name: &'static str,
    plugin: &'static str,
    fate: Fate,
}

fn cases() -> impl Iterator<Item = Case> {
    let modes = Mode::ALL.iter().map(|mode| Case { name: mode.name(), plugin: "hostile", fate: of_mode(*mode) });
    let bombs = Bomb::ALL.iter().map(|bomb| Case { name: bomb.name(), plugin: bomb.name(), fate: of_bomb(*bomb) });
    modes.chain(bombs)
}

/// A gateway with every case, and more settings of the guest `hostile`.
async fn start(upstream: &Upstream, settings: &str) -> Gateway {
    let service = |name: &str| {
        Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")]).at(upstream)
    };
    let services: Vec<_> = cases().map(|case| service(case.name)).chain([service("calm")]).collect();
    let mut setup = Setup::with_services(&services).with_plugin_directory().with_plugin("hostile", &guest("hostile"));
    for bomb in Bomb::ALL {
        setup = setup.with_plugin(bomb.name(), &bomb.component());
    }
    for Case { name, plugin, .. } in cases() {
        setup = setup.config(&format!(
            "[[policies]]\nname = \"{name}\"\nplugin = \"{plugin}\"\nattach = [\"service:{name}\"]\nconfig = {{ mode = \"{name}\" }}"
        ));
    }
    // What takes long on a busy machine is not to be taken for a loop.
    setup.config(&format!("[plugins.settings.hostile]\ndeadline = \"200ms\"\n{settings}")).start().await
}

async fn failures(gateway: &Gateway, plugin: &str, kind: &str) -> u64 {
    let text = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    let start = format!("sluice_plugin_calls_total{{plugin=\"{plugin}\"");
    let counts = text.lines().filter(|line| line.starts_with(&start));
    let of_kind = counts.filter(|line| line.contains(&format!("outcome=\"{kind}\"")));
    of_kind.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

#[tokio::test]
pub(crate) async fn each_costs_the_request_that_met_it_and_nothing_else() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream, "").await;
    let before = gateway.resident_bytes();
    for Case { name: mode, plugin, fate } in cases() {
        let host = format!("{mode}.test");
        let (boom, begun) = (Request::get(&host, "/").header("x-boom", "yes"), Instant::now());
        let counted = match fate {
            Fate::Failed(kind) => failures(&gateway, plugin, kind).await,
            _ => 0,
        };
        let answer = gateway.send(boom).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{mode} took {:?}", begun.elapsed());
        if fate == Fate::Failed("timeout") {
            eprintln!("{mode} was stopped after {:?}, with a deadline of 200 ms", begun.elapsed());
        }
        let expected = if fate == Fate::Served { 200 } else { 503 };
        assert_eq!(answer.status(), expected, "{mode}: {}", answer.text());
        assert!(answer.head.get("set-cookie").is_none() && answer.head.get("x-taken").is_none(), "{mode}");
        if let Fate::Failed(kind) = fate {
            assert_eq!(failures(&gateway, plugin, kind).await, counted + 1, "{mode} is counted as {kind}");
        }
        assert_eq!(gateway.get(&host, "/").await.status(), 200, "the next request after {mode}");
        assert_eq!(gateway.get("calm.test", "/").await.status(), 200, "a neighbour of {mode}");
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more than before");
    let kept = gateway.api("/api/policies/kv-flood").await["kvBytes"].as_u64().expect("a number");
    assert!(kept <= 1 << 20, "{kept} bytes kept");
    let opened = gateway.api("/api/policies/set-flood").await["cells"].as_array().expect("a list").len();
    assert!(opened <= 16, "{opened} sets opened");
    let gates = gateway.send(Request::get("gate-flood.test", "/").header("x-boom", "yes")).await;
    assert_eq!(gates.head.get("x-inside"), Some("64"));
    let inside = async || gateway.api("/api/policies/gate-flood").await["gates"][0]["inFlight"].clone();
    until("every place is free again", async || inside().await == 0).await;
}

#[tokio::test]
async fn where_failures_are_let_pass_requests_go_on_without_the_plugin() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream, "failure = \"open\"").await;
    for Case { name, .. } in cases().filter(|case| case.plugin == "hostile") {
        let boom = Request::get(&format!("{name}.test"), "/").header("x-boom", "yes");
        let answer = gateway.send(boom).await;
        assert_eq!((answer.status(), &answer.json()["method"]), (200, &"GET".into()), "{name}");
        assert!(answer.head.get("set-cookie").is_none() && answer.head.get("x-taken").is_none(), "{name}");
    }
}

#[tokio::test]
async fn neighbours_are_served_while_loops_are_stopped() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream, "").await;
    let web = gateway.web();
    let looping = tokio::spawn(async move {
        for _ in 0..10 {
            assert_eq!(Request::get("loop.test", "/").header("x-boom", "yes").send(web).await.status(), 503);
        }
    });
    let mut calm = Vec::new();
    // On a busy machine the loops, most of which rest, may be over before.
    while !looping.is_finished() || calm.len() < 5 {
        let begun = Instant::now();
        assert_eq!(gateway.get("calm.test", "/").await.status(), 200);
        calm.push(begun.elapsed());
    }
    looping.await.expect("every loop is stopped");
    calm.sort_unstable();
    let at = |percent: usize| calm[(calm.len() * percent / 100).min(calm.len() - 1)];
    eprintln!(
        "{} requests beside ten loops of 200 ms: p50 {:?}, p90 {:?}, p99 {:?}",
        calm.len(),
        at(50),
        at(90),
        at(99)
    );
}

#[tokio::test]
async fn a_policy_whose_calls_do_not_end_rests_and_is_tried_again() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream, "").await;
    let mut wire = Wire::connect(gateway.web()).await.expect("connect");
    let boom = Request::get("loop.test", "/").header("x-boom", "yes");
    for _ in 0..5 {
        assert_eq!(boom.send_on(&mut wire).await.expect("an answer").status(), 503);
    }
    let (stopped, rested) =
        (failures(&gateway, "hostile", "timeout").await, failures(&gateway, "hostile", "resting").await);
    assert!(stopped >= 2 && rested >= 1 && stopped + rested == 5, "{stopped} stopped, {rested} not called");
    let other = Request::get("trap.test", "/").send_on(&mut wire).await.expect("an answer");
    assert_eq!(other.status(), 200, "another use of the plugin");
    until("the policy is called again", async || {
        Request::get("loop.test", "/").send_on(&mut wire).await.expect("an answer").status() == 200
    })
    .await;
}

#[tokio::test]
async fn other_routes_do_not_notice_a_loop_now_and_then() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream, "").await;
    let web = gateway.web();
    let under_load = async |loops: usize| {
        let load = Load::start(web, "calm.test", "/", 8);
        for _ in 0..4 {
            for _ in 0..loops {
                assert_eq!(Request::get("loop.test", "/").header("x-boom", "yes").send(web).await.status(), 503);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        load.stop().await
    };
    let (alone, beside) = (under_load(0).await, under_load(1).await);
    assert_eq!((beside.refused, beside.broken), (0, 0), "{:?}", beside.problem);
    let (before, after) = (alone.quantile(99), beside.quantile(99));
    eprintln!(
        "p99 of others: {before:?} without loops, {after:?} beside four within two seconds (promised: 1.5 times)"
    );
    // What a test insists on: on a busy machine few requests come through, and a loop counts for more.
    assert!(after < before.mul_f64(1.5).max(Duration::from_secs(1)), "{before:?}, {after:?}");
}

#[tokio::test]
async fn how_long_a_worker_is_held_up_is_known_to_policies() {
    let upstream = Upstream::echo().await;
    let service = |name: &str| {
        Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")]).at(&upstream)
    };
    let gateway = Setup::with_services(&[service("loop"), service("calm")])
        .with_plugin_directory()
        .with_plugin("hostile", &guest("hostile"))
        .config("[runtime]\nworkers = 1")
        .config("[[policies]]\nname = \"loop\"\nplugin = \"hostile\"\nattach = [\"service:loop\"]\nconfig = { mode = \"loop\" }")
        .config(
            "[[policies]]\nname = \"ladder\"\nplugin = \"degrade\"\nattach = [\"service:calm\"]\n\
             config = { ladder = { loop-lag = [\"100ms\"], hold = \"50ms\" }, from-level = 3 }",
        )
        .config("[plugins.settings.hostile]\ndeadline = \"300ms\"")
        .start()
        .await;
    let level = async || gateway.get("calm.test", "/").await.json()["headers"]["x-degrade-level"][0].clone();
    until("nothing holds it up", async || level().await.is_null()).await;
    until("a loop does", async || {
        assert_eq!(gateway.send(Request::get("loop.test", "/").header("x-boom", "yes")).await.status(), 503);
        level().await == "1"
    })
    .await;
    until("that is over", async || level().await.is_null()).await;
}

#[tokio::test]
async fn a_version_that_keeps_failing_makes_way_for_the_one_before_it() {
    let upstream = Upstream::echo().await;
    let service = Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"]).at(&upstream);
    let gateway = Setup::with_services(&[service])
        .with_plugin_directory()
        .with_plugin("scripted", &guest("scripted"))
        .config(
            "[[policies]]\nname = \"shop\"\nplugin = \"scripted\"\nattach = [\"service:shop\"]\n\
             config = { trap = \"x-boom\" }",
        )
        .start()
        .await;
    let plugin = async || gateway.api("/api/plugins/scripted").await;
    let first = plugin().await["digest"].clone();
    gateway.plugins().put("scripted", &variant(&guest("scripted"), 1));
    until("the new version is in force", async || plugin().await["digest"] != first).await;
    // One request of thirty, and one call of sixty: a plugin is not put away for that.
    let normal = Request::get("shop.test", "/");
    for _ in 0..22 {
        assert_eq!(gateway.send(normal.clone().header("x-boom", "yes")).await.status(), 503);
        for _ in 0..30 {
            assert_eq!(gateway.send(normal.clone()).await.status(), 200);
        }
    }
    // Longer than it takes to look.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(plugin().await["state"], "active");
    until("it is put away", async || {
        for _ in 0..20 {
            gateway.send(Request::get("shop.test", "/").header("x-boom", "yes")).await;
        }
        plugin().await["state"] == "quarantined"
    })
    .await;
    until("the first one is back", async || plugin().await["digest"] == first).await;
    let now = plugin().await;
    assert!(now["lastError"].as_str().is_some_and(|error| error.starts_with("quarantined: ")), "{now}");
    assert!(now["traps"].as_u64().is_some_and(|traps| traps >= 10), "{now}");
    // The failing one rests, and answers what comes until the routes have the first one again.
    gateway.until_status("shop.test", 200).await;
    gateway.plugins().put("scripted", &variant(&guest("scripted"), 2));
    until("another file is tried", async || plugin().await["state"] == "active").await;
}
