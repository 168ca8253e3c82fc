//! Removals that are held back, and how they end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::fake::{Broken, Fake};
use super::{Rig, text};
use crate::config::ConsulConfig;
use crate::guard::Reason;

fn ports(count: u16) -> Vec<u16> {
    (1..=count).collect()
}

fn reasons(rig: &Rig) -> Vec<Reason> {
    rig.status().held_removals.iter().map(|held| held.reason).collect()
}

async fn wiped() -> Rig {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1, 2])]));
    rig.next().await;
    rig.fake.change(|world| world.broken = Some(Broken::Refused));
    sleep(Duration::from_secs(2)).await;
    rig.fake.wipe();
    rig.fake.change(|world| world.broken = None);
    rig
}

#[tokio::test(start_paused = true)]
async fn a_wiped_registry_keeps_its_instances_until_it_has_confirmed_the_loss() {
    let mut rig = wiped().await;
    rig.quiet(60).await;
    assert_eq!(reasons(&rig), [Reason::IndexBackwards; 3]);
    assert_eq!(rig.status().published_instances, 3);
    let started = Instant::now();
    assert!(rig.next_within(600).await.services.is_empty());
    let waited = started.elapsed() + Duration::from_secs(60);
    assert!(waited >= Duration::from_secs(299), "{waited:?}");
    assert!(waited <= Duration::from_secs(300 + 60), "{waited:?}");
    assert!(rig.status().held_removals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_accept_the_loss() {
    let mut rig = wiped().await;
    rig.quiet(60).await;
    rig.handle.accept();
    assert_eq!(rig.next_text().await, "");
    assert!(rig.status().held_removals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_registers_again_replaces_what_was_held() {
    let mut rig = wiped().await;
    rig.quiet(60).await;
    rig.fake.set("web", &[1]);
    rig.quiet(60).await;
    assert_eq!(rig.status().held_removals.len(), 2);
    rig.fake.set("web", &[1, 2, 3]);
    assert_eq!(rig.next_text().await, "db:7 web:1,2,3");
    rig.fake.set("db", &[7]);
    rig.quiet(600).await;
    assert!(rig.status().held_removals.is_empty());
    rig.fake.set("web", &[3]);
    assert_eq!(rig.next_text().await, "db:7 web:3");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_confirmed_by_a_registry_that_does_not_answer() {
    let mut rig = wiped().await;
    rig.quiet(60).await;
    rig.fake.change(|world| world.broken = Some(Broken::Status(500)));
    rig.quiet(3000).await;
    rig.fake.change(|world| world.broken = None);
    let mut last = rig.next_within(60).await;
    while !last.services.is_empty() {
        last = rig.next_within(60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_restored_behind_the_agent_is_doubted_as_well() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1, 2])]));
    rig.next().await;
    // No connection breaks: queries wait for an index that is far away. The list's ends first and restarts the others.
    sleep(Duration::from_secs(40)).await;
    rig.fake.fail_checks("web");
    rig.next().await;
    rig.fake.wipe();
    rig.fake.set("web", &[1, 5]);
    let started = Instant::now();
    assert_eq!(text(&*rig.next_within(60).await), "db:7 web:1,2,5");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(reasons(&rig), [Reason::IndexBackwards; 2]);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_registrations_count_and_removals_wait() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1, 2])]));
    rig.next().await;
    rig.fake.change(|world| world.known_leader = false);
    rig.fake.set("db", &[]);
    rig.fake.set("web", &[2, 3]);
    assert_eq!(rig.next_text().await, "db:7 web:1,2,3");
    assert_eq!(reasons(&rig), [Reason::NoLeader; 2]);
    // However long it lasts, and whatever changes: a leader has to say it.
    rig.quiet(1000).await;
    rig.fake.set("web", &[2, 3, 4]);
    assert_eq!(rig.next_text().await, "db:7 web:1,2,3,4");
    rig.quiet(1000).await;
    rig.fake.change(|world| world.known_leader = true);
    let mut last = rig.next_within(60).await;
    while text(&last) != "web:2,3,4" {
        last = rig.next_within(60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_half_of_all_at_once_is_held_back() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[100, 101]), ("web", &ports(18))]));
    rig.next().await;
    rig.fake.set("web", &ports(7));
    rig.quiet(30).await;
    assert_eq!(reasons(&rig), [Reason::MassRemoval; 11]);
    rig.fake.set("web", &ports(6));
    assert_eq!(rig.next().await.services["web"].instances.len(), 17);
    assert_eq!(rig.next_within(600).await.services["web"].instances.len(), 6);
    assert!(rig.status().held_removals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn ten_of_nineteen_are_the_fewest_that_are_held_back() {
    let mut rig = Rig::start(&Fake::with(&[("web", &ports(19))]));
    rig.next().await;
    rig.fake.set("web", &ports(9));
    rig.quiet(30).await;
    assert_eq!(reasons(&rig), [Reason::MassRemoval; 10]);
}

#[tokio::test(start_paused = true)]
async fn half_of_all_or_fewer_than_ten_go_at_once() {
    let mut rig = Rig::start(&Fake::with(&[("web", &ports(20))]));
    rig.next().await;
    rig.fake.set("web", &ports(10));
    assert_eq!(rig.next().await.services["web"].instances.len(), 10);
    rig.fake.set("web", &ports(1));
    assert_eq!(rig.next_text().await, "web:1");
    rig.fake.set("web", &[]);
    assert_eq!(rig.next_text().await, "");
}

#[tokio::test(start_paused = true)]
async fn new_ids_at_the_same_addresses_are_no_removal() {
    let mut rig = Rig::start(&Fake::with(&[("web", &ports(12))]));
    rig.next().await;
    let renamed = |port| {
        let mut one = super::fake::instance(port);
        one.id = format!("n1/new-{port}");
        one
    };
    rig.fake.set_instances("web", ports(12).into_iter().map(renamed).collect());
    let after = rig.next().await;
    assert_eq!(after.services["web"].instances.len(), 12);
    assert!(after.services["web"].instances.iter().all(|one| one.id.contains("new")));
    assert!(rig.status().held_removals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_the_list_is_unreadable_removals_wait_for_it() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1, 2])]));
    rig.next().await;
    rig.fake.break_source("", Broken::Status(500));
    sleep(Duration::from_secs(1)).await;
    rig.fake.set("web", &[2]);
    rig.quiet(20).await;
    assert_eq!(reasons(&rig), [Reason::ListUnreadable]);
    rig.fake.world().broken_source.clear();
    assert_eq!(rig.next_text().await, "db:7 web:2");
    assert!(rig.status().held_removals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_comes_back_from_a_wiped_registry_confirms_no_removal() {
    let mut rig = Rig::start(&Fake::with(&[("db", &[7]), ("web", &[1, 2])]));
    rig.next().await;
    rig.fake.break_source("", Broken::Status(500));
    sleep(Duration::from_secs(1)).await;
    rig.fake.set("web", &[2]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(reasons(&rig), [Reason::ListUnreadable]);
    rig.fake.wipe();
    rig.fake.world().broken_source.clear();
    rig.quiet(100).await;
    assert_eq!(reasons(&rig), [Reason::IndexBackwards; 3]);
}

#[tokio::test(start_paused = true)]
async fn tags_that_vanish_without_a_leader_remove_nothing() {
    let fake = Fake::with(&[("web", &[1, 2])]);
    fake.set_tags("web", &["on"]);
    let mut rig = Rig::with(&fake, &ConsulConfig::default(), |_, tags| !tags.is_empty());
    rig.next().await;
    rig.fake.change(|world| world.known_leader = false);
    rig.fake.set_tags("web", &[]);
    rig.quiet(60).await;
    assert_eq!(reasons(&rig), [Reason::NoLeader; 2]);
    assert_eq!(rig.status().watched, 0);
}
