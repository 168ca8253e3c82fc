//! Time is a number here.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::AtomicU64;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hand {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(nanoseconds(time), Ordering::Relaxed);
    }
}

fn service() -> (Arc<Hand>, Services, Arc<ServiceState>) {
    let clock = Arc::new(Hand::default());
    let services = Services::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let service = services.get(&"web@file".into());
    (clock, services, service)
}

#[test]
fn state_is_kept_while_it_is_used_and_then_forgotten() {
    let (_, services, service) = service();
    service.next_turn();
    assert!(Arc::ptr_eq(&services.get(&"web@file".into()), &service));
    drop(service);
    services.sweep();
    assert_eq!(services.get(&"web@file".into()).next_turn(), 0);
}

#[test]
fn targets_are_out_for_their_time_or_until_a_check_passes() {
    let (clock, _, service) = service();
    clock.pass(SECOND);
    let target = service.target("http://a", false);
    assert!(service.take_out(&target, 10 * SECOND));
    assert!(!service.take_out(&target, SECOND), "it is out already");
    assert!(service.is_out(&target, 0) && !service.is_calm());
    clock.pass(10 * SECOND);
    assert!(!service.is_out(&target, 0) && service.is_calm());
    assert_eq!(target.since(), 11_000_000_000);

    service.take_out(&target, 10 * SECOND);
    clock.pass(SECOND);
    assert!(service.is_out(&target, 1), "it had passed before it was taken out");
    assert!(!service.is_out(&target, service.now()));
    service.take_out(&target, 10 * SECOND);
    service.bring_back(&target);
    assert!(service.is_calm());
}

#[test]
fn only_targets_that_join_others_have_come_up() {
    let (clock, _, service) = service();
    clock.pass(SECOND);
    let first = service.target("http://a", false);
    assert_eq!(first.since(), 0);
    let second = service.target("http://b", true);
    assert_eq!(second.since(), 1_000_000_000);
    assert!(Arc::ptr_eq(&service.target("http://a", false), &first));
}

#[test]
fn failures_are_counted_in_a_row_and_in_a_window() {
    let (clock, _, service) = service();
    let target = service.target("http://a", false);
    assert_eq!((target.fail(), target.fail()), (1, 2));
    target.succeed();
    assert_eq!(target.fail(), 1);
    let within = |target: &TargetState| target.fail_within(service.now(), 10 * SECOND);
    clock.pass(60 * SECOND);
    assert_eq!((within(&target), within(&target)), (1, 2));
    clock.pass(11 * SECOND);
    assert_eq!(within(&target), 1, "the window is over");
    target.succeed();
    assert_eq!(within(&target), 1);
}

#[test]
fn each_time_out_is_twice_as_long_up_to_the_most() {
    let (clock, _, service) = service();
    let target = service.target("http://a", false);
    let next = || target.next_time_out(service.now(), 30 * SECOND, 300 * SECOND);
    let times: Vec<u64> = (0..6).map(|_| next().as_secs()).collect();
    assert_eq!(times, [30, 60, 120, 240, 300, 300]);
    clock.pass(400 * SECOND);
    assert_eq!(next(), 30 * SECOND, "it has been well for long");
}

#[test]
fn times_are_means_of_the_last_hundred_and_peaks() {
    let (_, _, service) = service();
    let target = service.target("http://a", false);
    assert!(target.mean_ns() == 0.0 && target.peak_ns() == 0.0);
    (0..50).for_each(|_| target.time(Duration::from_micros(10)));
    assert!((target.mean_ns() - 10_000.0).abs() < 1.0);
    (0..100).for_each(|_| target.time(Duration::from_micros(20)));
    assert!((target.mean_ns() - 20_000.0).abs() < 1.0, "the old ones are gone");
    target.time_peak(1, SECOND);
    target.time_peak(2, Duration::from_millis(1));
    assert!(target.peak_ns() > 0.9e9);
}

#[test]
fn weights_move_away_from_failing_targets_and_come_back() {
    let (clock, _, service) = service();
    clock.pass(SECOND);
    let targets = ["http://a", "http://b"].map(|url| service.target(url, false));
    let seen: Vec<&TargetState> = targets.iter().map(AsRef::as_ref).collect();
    let round = |failing: bool| {
        for _ in 0..10 {
            targets[0].succeed();
            if failing {
                targets[1].fail();
            } else {
                targets[1].succeed();
            }
        }
        clock.pass(WINDOW);
        service.rebalance(&seen, &[1, 1]);
    };
    service.rebalance(&seen, &[1, 1]);
    round(true);
    let cycle = service.rebalanced().unwrap();
    assert_eq!((0..5).filter(|turn| cycle.at(*turn) == Some(0)).count(), 4, "4 to 1");
    round(false);
    assert!(service.rebalanced().is_none());
}
