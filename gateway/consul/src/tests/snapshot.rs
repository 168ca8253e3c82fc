//! What is published, and when.

use std::sync::Arc;
use std::time::Duration;

use sluice_model::{Catalog, Health};
use tokio::time::{Instant, sleep};

use super::Rig;
use super::fake::{Broken, Fake, Script, instance, reply};
use crate::config::ConsulConfig;
use crate::merge::Interest;

#[tokio::test(start_paused = true)]
async fn the_first_snapshot_is_the_first_complete_listing() {
    let fake = Fake::with(&[("db", &[3]), ("web", &[1, 2])]);
    fake.break_source("web", Broken::Status(500));
    let mut rig = Rig::start(&fake);
    rig.quiet(120).await;
    assert!(rig.status().failing["web"].message.contains("500"));
    rig.fake.world().broken_source.clear();
    assert_eq!(rig.next_text().await, "db:3 web:1,2");
    assert!(rig.status().failing.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_publishes_nothing() {
    for broken in [Broken::Refused, Broken::Silent, Broken::Status(500), Broken::Status(403)] {
        let fake = Fake::with(&[("web", &[1])]);
        fake.world().broken = Some(broken);
        let mut rig = Rig::start(&fake);
        rig.quiet(300).await;
        assert!(!rig.status().reachable && rig.status().last_error.is_some());
        rig.fake.world().broken = None;
        // The deadline of the read under way, and the longest back-off.
        assert_eq!(rig.next_within(41).await.services.len(), 1);
        assert!(rig.status().reachable);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_registry_is_a_complete_listing() {
    assert_eq!(Rig::start(&Fake::default()).next_text().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_can_never_be_read_holds_nothing_up() {
    let fake = Fake::with(&[("a//b", &[9]), ("web", &[1])]);
    fake.world().broken_source.insert("a//b".into(), Broken::Status(301));
    let mut rig = Rig::start(&fake);
    assert_eq!(rig.next_text().await, "web:1");
    assert!(rig.status().failing["a//b"].message.contains("301"));
}

#[tokio::test(start_paused = true)]
async fn registering_deregistering_and_flipping_a_check_are_seen() {
    let mut rig = Rig::start(&Fake::with(&[("web", &[1])]));
    assert_eq!(rig.next_text().await, "web:1");
    rig.fake.set("web", &[1, 2]);
    assert_eq!(rig.next_text().await, "web:1,2");
    let mut sick = instance(1);
    sick.health = Health::Critical;
    rig.fake.set_instances("web", vec![sick, instance(2)]);
    assert_eq!(rig.next().await.services["web"].instances[0].health, Health::Critical);
    rig.fake.set("db", &[7]);
    assert_eq!(rig.next_text().await, "db:7 web:1,2");
    rig.fake.set("web", &[]);
    assert_eq!(rig.next_text().await, "db:7");
    rig.quiet(1).await;
    assert_eq!(rig.status().watched, 1);
    assert_eq!(rig.status().published_instances, 1);
}

#[tokio::test(start_paused = true)]
async fn services_that_are_listed_together_are_published_together() {
    let mut rig = Rig::start(&Fake::with(&[("web", &[1])]));
    assert_eq!(rig.next_text().await, "web:1");
    rig.fake.break_source("slow", Broken::Silent);
    rig.fake.set("slow", &[7]);
    rig.fake.set("quick", &[8]);
    let begun = Instant::now();
    assert_eq!(
        rig.next_text().await,
        "quick:8 web:1",
        "a service that cannot be read holds the others up for a moment"
    );
    assert!(begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < Duration::from_secs(1));
    rig.fake.set("web", &[1, 2]);
    let begun = Instant::now();
    assert_eq!(rig.next_text().await, "quick:8 web:1,2");
    assert!(begun.elapsed() < Duration::from_millis(50), "and only once");
}

#[tokio::test(start_paused = true)]
async fn services_that_did_not_change_keep_their_pointer() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1])]));
    let before = rig.next().await;
    rig.fake.set("web", &[1, 2]);
    let after = rig.next().await;
    assert!(Arc::ptr_eq(&before.services["db"], &after.services["db"]));
    assert!(!Arc::ptr_eq(&before.services["web"], &after.services["web"]));
}

#[tokio::test(start_paused = true)]
async fn an_index_that_moves_without_news_publishes_nothing() {
    let mut rig = Rig::start(&Fake::with(&[("web", &[1])]));
    rig.next().await;
    for _ in 0..5 {
        rig.fake.set("web", &[1]);
        rig.quiet(1).await;
    }
    assert_eq!(rig.status().snapshots, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_service_keeps_its_state_and_the_others_go_on() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1])]));
    rig.next().await;
    rig.fake.break_source("web", Broken::Status(500));
    rig.fake.set("web", &[1, 2]);
    rig.fake.set("db", &[7, 8]);
    assert_eq!(rig.next_text().await, "db:7,8 web:1");
    rig.quiet(60).await;
    assert!(rig.status().failing.contains_key("web"));
    rig.fake.world().broken_source.clear();
    assert_eq!(rig.next_text().await, "db:7,8 web:1,2");
}

#[tokio::test(start_paused = true)]
async fn an_outage_changes_nothing_and_its_end_is_noticed_by_all_at_once() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1])]));
    rig.next().await;
    rig.fake.change(|world| world.broken = Some(Broken::Refused));
    rig.quiet(600).await;
    assert!(!rig.status().reachable);
    rig.fake.change(|world| world.broken = None);
    rig.fake.set("web", &[1, 2]);
    rig.fake.set("db", &[7, 8]);
    rig.until_status(|status| status.reachable).await;
    let recovered = Instant::now();
    rig.until_status(|status| status.failing.is_empty()).await;
    assert!(recovered.elapsed() < Duration::from_millis(200), "{:?}", recovered.elapsed());
    let mut last = rig.next_text().await;
    while last != "db:7,8 web:1,2" {
        last = rig.next_text().await;
    }
}

#[tokio::test(start_paused = true)]
async fn services_of_no_interest_cost_nothing_until_their_tags_change() {
    let fake = Fake::with(&[("db", &[7]), ("web", &[1])]);
    fake.set_tags("web", &["on"]);
    let interest = |_: &str, tags: &[String]| tags.iter().any(|tag| tag == "on");
    let mut rig = Rig::with(&fake, &ConsulConfig::default(), interest);
    assert_eq!(rig.next_text().await, "web:1");
    rig.fake.set("db", &[7, 8]);
    rig.quiet(60).await;
    assert!(rig.fake.log_of("db").is_empty());
    rig.fake.set_tags("db", &["on", "x"]);
    assert_eq!(rig.next_text().await, "db:7,8 web:1");
    rig.fake.set_tags("web", &[]);
    assert_eq!(rig.next_text().await, "db:7,8");
    assert_eq!((rig.status().services, rig.status().watched), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn members_of_the_mesh_are_read_where_tags_ask_for_them() {
    let fake = Fake::with(&[("db", &[7]), ("web", &[1])]);
    fake.set_tags("web", &["mesh"]);
    let interest = |_: &str, tags: &[String]| {
        if tags.iter().any(|tag| tag == "mesh") { Interest::Members } else { Interest::Instances }
    };
    let config = ConsulConfig { member: Some("edge".into()), ..ConsulConfig::default() };
    let mut rig = Rig::with(&fake, &config, interest);
    assert_eq!(rig.next_text().await, "db:7 web:1001");
    let member = rig.handle.member().wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!((member.certificate.as_str(), member.id.as_str()), ("leaf", "spiffe://d/ns/n/dc/d/svc/edge"));
    rig.fake.set_tags("db", &["mesh"]);
    assert_eq!(rig.next_text().await, "db:1007 web:1001");
    rig.fake.set_tags("web", &[]);
    assert_eq!(rig.next_text().await, "db:1007 web:1");
    rig.fake.break_source("connect certificate of edge", Broken::Status(403));
    rig.fake.set("web", &[2]);
    assert_eq!(rig.next_text().await, "db:1007 web:2", "its certificate is nobody else's business");
}

#[tokio::test(start_paused = true)]
async fn the_first_change_goes_out_at_once_and_a_storm_together() {
    let names: Vec<String> = (0..50).map(|number| format!("s{number}")).collect();
    let fake = Fake::default();
    for name in &names {
        fake.set(name, &[1]);
    }
    let mut rig = Rig::start(&fake);
    rig.next().await;
    rig.quiet(60).await;
    let started = Instant::now();
    let changed = |catalog: &Catalog| {
        let instances = catalog.services.values().flat_map(|service| &service.instances);
        instances.filter(|one| one.health == Health::Critical).count()
    };
    rig.fake.fail_checks("s0");
    assert_eq!(changed(&*rig.next().await), 1);
    assert!(started.elapsed() < Duration::from_millis(5), "{:?}", started.elapsed());
    for name in &names {
        rig.fake.fail_checks(name);
        sleep(Duration::from_millis(1)).await;
    }
    let mut snapshots = 1;
    while changed(&*rig.next().await) < names.len() {
        snapshots += 1;
    }
    // 50 changes in 50 ms, 20 ms between snapshots.
    assert!(snapshots <= 4, "{snapshots} snapshots");
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn reads_at_the_start_are_bounded() {
    let names: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
    let fake = Fake::default();
    for name in &names {
        fake.set(name, &[1]);
        fake.script(name, Script::Silent);
    }
    let rig = Rig::start(&fake);
    sleep(Duration::from_secs(5)).await;
    let reads = rig.fake.world().log.iter().filter(|query| !query.source.is_empty()).count();
    assert_eq!(reads, 16);
}

#[tokio::test(start_paused = true)]
async fn more_services_than_places_take_turns() {
    let names: Vec<String> = (0..12).map(|number| format!("s{number:02}")).collect();
    let fake = Fake::default();
    for name in &names {
        fake.set(name, &[1]);
    }
    let config = ConsulConfig { max_watches: 3, ..ConsulConfig::default() };
    let mut rig = Rig::with(&fake, &config, |_, _| true);
    assert_eq!(rig.next().await.services.len(), 12);
    for name in names.iter().rev() {
        let started = Instant::now();
        rig.fake.set(name, &[1, 2]);
        assert_eq!(rig.next().await.services[name].instances.len(), 2);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn bad_entries_are_left_out_and_shown() {
    let fake = Fake::with(&[("web", &[1])]);
    let bad = r#"[{"Node":{"Node":"n1","Address":"a"},"Service":{"ID":"x","Service":"web","Port":-1}}]"#;
    fake.script("web", Script::Reply(reply(5, bad)));
    let mut rig = Rig::start(&fake);
    assert_eq!(rig.next_text().await, "");
    assert!(rig.status().refused["web"][0].contains("x on n1"));
    assert_eq!(rig.next_text().await, "web:1");
    assert!(rig.status().refused.is_empty());
}
