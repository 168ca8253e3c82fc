//! Buckets against a naive model of Go's limiter, against `governor`, and under threads.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU32;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn spec(average: u64, period_ns: u64, burst: u64) -> BucketSpec {
    BucketSpec { kind: BucketKind::Token, average, period_ns, burst }
}

/// A bucket as one would write it down: how much is in it, in units of time, and when that was true.
struct Model {
    spec: BucketSpec,
    level: i128,
    at: u64,
}

impl Model {
    fn new(spec: BucketSpec) -> Self {
        let mut model = Self { spec, level: 0, at: 0 };
        model.level = model.capacity();
        model
    }

    fn interval(&self) -> i128 {
        i128::from(self.spec.interval())
    }

    fn capacity(&self) -> i128 {
        self.interval() * i128::from(self.spec.burst)
    }

    fn advance(&mut self, now_ns: u64) {
        let gained = i128::from(now_ns - self.at) * i128::from(UNITS);
        self.level = (self.level + gained).min(self.capacity());
        self.at = now_ns;
    }

    fn reserve(&mut self, cost: u32, max_wait_ns: u64) -> Reservation {
        let after = self.level - i128::from(cost) * self.interval();
        let possible = u64::from(cost) <= self.spec.burst;
        let wait = u64::try_from((-after).max(0)).unwrap().div_ceil(UNITS);
        let granted = possible && wait <= max_wait_ns;
        if granted {
            self.level = after;
        }
        let remaining = u64::try_from(self.level.max(0) / self.interval()).unwrap();
        Reservation { granted, wait_ns: if possible { wait } else { u64::MAX }, remaining }
    }

    fn refund(&mut self, cost: u32) {
        self.level = (self.level + i128::from(cost) * self.interval()).min(self.capacity());
    }

    fn respec(&mut self, spec: BucketSpec) {
        let (debt, old) = (self.capacity() - self.level, self.interval());
        self.spec = spec;
        let debt = (debt * self.interval() + old - 1) / old;
        self.level = self.capacity() - debt;
    }
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Reserve(u32, u64),
    Refund(u32),
    Respec(BucketSpec),
    Sweep,
}

fn specs() -> impl Strategy<Value = BucketSpec> {
    let periods = prop_oneof![Just(SECOND), Just(60 * SECOND), 1..10 * SECOND];
    (1_u64..2_000, periods, 1_u64..200).prop_map(|(average, period, burst)| spec(average, period, burst))
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0..3 * SECOND).prop_map(Event::Pass),
        2 => (0..2_000_000_u64).prop_map(Event::Pass),
        8 => (0_u32..20, prop_oneof![Just(0), 0..SECOND]).prop_map(|(cost, wait)| Event::Reserve(cost, wait)),
        1 => (0_u32..20).prop_map(Event::Refund),
        1 => specs().prop_map(Event::Respec),
        1 => Just(Event::Sweep),
    ];
    prop::collection::vec(event, 1..120)
}

proptest! {
    #[test]
    fn every_answer_is_that_of_the_model(first in specs(), events in events()) {
        let buckets = Buckets::new(first);
        let mut model = Model::new(first);
        let mut now = 0;
        for event in events {
            match event {
                Event::Pass(ns) => now += ns,
                Event::Reserve(cost, wait) => {
                    model.advance(now);
                    prop_assert_eq!(buckets.reserve("key", cost, wait, now), model.reserve(cost, wait));
                }
                Event::Refund(cost) => {
                    model.advance(now);
                    model.refund(cost);
                    buckets.refund("key", cost, now);
                }
                Event::Respec(spec) => {
                    model.advance(now);
                    model.respec(spec);
                    buckets.respec(spec, now);
                }
                Event::Sweep => buckets.sweep(now),
            }
        }
    }

    #[test]
    fn governor_decides_the_same(
        interval in 1_000_u64..SECOND,
        burst in 1_u32..100,
        steps in prop::collection::vec((0..2 * SECOND, 1_u32..20), 1..100),
    ) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_period(Duration::from_nanos(interval)).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
        let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
        let buckets = Buckets::new(spec(1, interval, u64::from(burst)));
        let mut now = 0;
        for (pass, cost) in steps {
            now += pass;
            clock.advance(Duration::from_nanos(pass));
            let ours = buckets.reserve("key", cost, 0, now);
            match oracle.check_n(NonZeroU32::new(cost).unwrap()) {
                Ok(Ok(())) => prop_assert!(ours.granted && ours.wait_ns == 0),
                Ok(Err(until)) => {
                    prop_assert!(!ours.granted);
                    prop_assert_eq!(u128::from(ours.wait_ns), until.wait_time_from(clock.now()).as_nanos());
                }
                Err(_) => prop_assert!(!ours.granted && ours.wait_ns == u64::MAX),
            }
        }
    }

    #[test]
    fn no_window_ever_passes_more_than_burst_and_rate_allow(
        spec in specs(),
        steps in prop::collection::vec((0..SECOND / 4, 1_u32..5), 1..200),
    ) {
        let buckets = Buckets::new(spec);
        let (mut now, mut granted) = (0_u64, Vec::new());
        for (pass, cost) in steps {
            now += pass;
            if buckets.reserve("key", cost, 0, now).granted {
                granted.push((now, u128::from(cost)));
            }
        }
        for (first, (from, _)) in granted.iter().enumerate() {
            let mut sum = 0;
            for (until, cost) in granted.iter().skip(first) {
                sum += cost;
                let gained = u128::from(until - from) * u128::from(spec.average) / u128::from(spec.period_ns);
                prop_assert!(sum <= u128::from(spec.burst) + gained + 1);
            }
        }
    }
}

/// Go: `rate.NewLimiter(10, 2)`, then three reservations at one moment.
#[test]
fn a_reservation_may_wait_for_tokens_to_come() {
    let buckets = Buckets::new(spec(10, SECOND, 2));
    let half_an_interval = 50_000_000;
    let answer = |granted, wait_ns, remaining| Reservation { granted, wait_ns, remaining };
    assert_eq!(buckets.reserve("a", 1, half_an_interval, 0), answer(true, 0, 1));
    assert_eq!(buckets.reserve("a", 1, half_an_interval, 0), answer(true, 0, 0));
    assert_eq!(buckets.reserve("a", 1, half_an_interval, 0), answer(false, 100_000_000, 0));
    assert_eq!(buckets.reserve("a", 1, half_an_interval, 60_000_000), answer(true, 40_000_000, 0));
    assert_eq!(buckets.reserve("b", 1, 0, 60_000_000), answer(true, 0, 1), "another key");
    assert_eq!(buckets.reserve("b", 3, u64::MAX, 60_000_000), answer(false, u64::MAX, 1), "more than burst");
}

#[test]
fn changed_limits_keep_what_was_spent() {
    let buckets = Buckets::new(spec(1, SECOND, 10));
    assert!(buckets.reserve("a", 8, 0, 0).granted);
    buckets.respec(spec(100, SECOND, 10), 0);
    assert_eq!(buckets.reserve("a", 0, 0, 0).remaining, 2, "not reset");
    assert_eq!(buckets.reserve("a", 0, 0, 10_000_000).remaining, 3, "the new rate");
    buckets.respec(spec(1, SECOND, 5), 10_000_000);
    assert_eq!(buckets.reserve("a", 1, 0, 10_000_000).wait_ns, 3 * SECOND, "seven spent of five, and one more");
}

#[test]
fn limits_that_no_bucket_can_have_are_refused() {
    for wrong in [spec(0, 1, 1), spec(1, 0, 1), spec(1, 1, 0)] {
        assert_eq!(wrong.validate(), Err(SpecError::Zero(wrong)));
    }
    let slow = spec(1, 24 * 3600 * SECOND, 3_651);
    assert_eq!(slow.validate(), Err(SpecError::TooSlow(slow)));
    for right in
        [spec(10_000_000_000, SECOND, 1_000_000_000), spec(1, 24 * 3600 * SECOND, 3_650), spec(5_000_000, SECOND, 1)]
    {
        assert_eq!(right.validate(), Ok(()));
    }
}

#[test]
fn keys_are_bounded_and_full_buckets_are_forgotten() {
    let buckets = Buckets::with_max_keys(spec(1, SECOND, 1), 1_000);
    for key in 0..20_000 {
        buckets.reserve(&key.to_string(), 1, 0, 0);
    }
    assert!(buckets.keys() <= 1_000, "{} keys", buckets.keys());
    buckets.sweep(SECOND / 2);
    assert!(buckets.keys() > 0, "they are empty still");
    buckets.sweep(SECOND);
    assert_eq!(buckets.keys(), 0);
}

/// Runs `work` on several threads at once.
fn on_threads(count: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for index in 0..count {
            let work = &work;
            scope.spawn(move || work(index));
        }
    });
}

#[test]
fn threads_together_never_get_more_than_there_is() {
    let buckets = Buckets::new(spec(1, SECOND, 5_000));
    let granted = AtomicUsize::new(0);
    on_threads(8, |_| {
        for _ in 0..2_000 {
            if buckets.reserve("key", 1, 0, 0).granted {
                granted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(granted.into_inner(), 5_000);
}

#[test]
fn limits_that_change_under_load_lose_no_count() {
    let (slow, fast) = (spec(3, SECOND, 5_000), spec(7, SECOND, 5_000));
    let buckets = Buckets::new(slow);
    let granted = AtomicUsize::new(0);
    on_threads(5, |index| {
        for round in 0..2_000 {
            if index == 0 {
                buckets.respec(if round % 2 == 0 { fast } else { slow }, 0);
            } else if buckets.reserve("key", 1, 0, 0).granted {
                granted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    // Each change may round a debt up by an eighth of a nanosecond, which can cost the last token.
    let granted = granted.into_inner();
    assert!((4_999..=5_000).contains(&granted), "{granted}");
}
