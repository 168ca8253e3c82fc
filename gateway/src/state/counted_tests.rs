#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn spec(kind: BucketKind, limit: u64, period_ns: u64) -> BucketSpec {
    BucketSpec { kind, average: limit, period_ns, burst: 1 }
}

/// Every cost that was granted, looked at again each time.
struct Naive {
    spec: BucketSpec,
    granted: Vec<(u64, u64)>,
}

impl Naive {
    fn reserve(&mut self, cost: u64, now: u64) -> (bool, u64) {
        let used = self.used(now);
        let granted = used + cost <= self.spec.average;
        if granted {
            self.granted.push((now, cost));
        }
        (granted, self.spec.average.saturating_sub(self.used(now)))
    }

    fn used(&self, now: u64) -> u64 {
        let of =
            |unit| self.granted.iter().filter(|(at, _)| at / self.spec.period_ns == unit).map(|(_, cost)| cost).sum();
        let current: u64 = of(now / self.spec.period_ns);
        let before: u64 = match (self.spec.kind, now / self.spec.period_ns) {
            (BucketKind::Calendar, _) | (_, 0) => 0,
            (_, unit) => of(unit - 1),
        };
        let rest = self.spec.period_ns - now % self.spec.period_ns;
        current + (before * rest).div_ceil(self.spec.period_ns)
    }
}

proptest! {
    #[test]
    fn it_decides_as_the_naive_model(
        calendar: bool,
        limit in 1_u64..20,
        period in 1_u64..50,
        steps in prop::collection::vec((0_u64..40, 0_u32..6), 1..200),
    ) {
        let kind = if calendar { BucketKind::Calendar } else { BucketKind::SlidingWindow };
        let spec = spec(kind, limit, period);
        let (counted, mut naive) = (Counted::new(spec), Naive { spec, granted: Vec::new() });
        let mut now = 0;
        for (step, cost) in steps {
            now += step;
            let answer = counted.reserve("key", cost, now);
            prop_assert_eq!((answer.granted, answer.remaining), naive.reserve(u64::from(cost), now));
            if !answer.granted && answer.wait_ns < u64::MAX {
                let mut later = Naive { spec, granted: naive.granted.clone() };
                prop_assert!(later.reserve(u64::from(cost), now + answer.wait_ns).0, "after the wait it is granted");
                let mut sooner = Naive { spec, granted: naive.granted.clone() };
                prop_assert!(!sooner.reserve(u64::from(cost), now + answer.wait_ns - 1).0, "and not a moment before");
            }
        }
    }
}

#[test]
fn other_limits_keep_what_was_taken() {
    let counted = Counted::new(spec(BucketKind::Calendar, 10, 60 * SECOND));
    assert!(counted.reserve("a", 6, SECOND).granted);
    counted.respec(spec(BucketKind::Calendar, 8, 60 * SECOND));
    assert_eq!(counted.reserve("a", 0, 2 * SECOND).remaining, 2);
    counted.respec(spec(BucketKind::SlidingWindow, 8, 3600 * SECOND));
    assert_eq!(counted.reserve("a", 0, 3 * SECOND).remaining, 2);
    assert_eq!(counted.used(3 * SECOND), [("a".to_owned(), 6)]);
}

#[test]
fn a_clock_that_is_set_back_gives_nothing_away() {
    let counted = Counted::new(spec(BucketKind::Calendar, 3, 60 * SECOND));
    assert!(counted.reserve("a", 3, 120 * SECOND).granted);
    assert!(!counted.reserve("a", 1, 70 * SECOND).granted);
}

#[test]
fn what_has_taken_nothing_is_forgotten() {
    let counted = Counted::new(spec(BucketKind::SlidingWindow, 3, SECOND));
    counted.reserve("a", 1, 0);
    counted.reserve("b", 0, 0);
    counted.sweep(SECOND);
    assert_eq!(counted.keys(), 1);
    counted.sweep(3 * SECOND);
    assert_eq!(counted.keys(), 0);
}

#[test]
fn threads_take_no_more_than_there_is() {
    let counted = Counted::new(spec(BucketKind::SlidingWindow, 1_000, SECOND));
    let take = || (0..500).filter(|_| counted.reserve("a", 1, 5).granted).count();
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 1_000);
}
