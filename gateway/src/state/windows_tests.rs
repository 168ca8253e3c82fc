#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sluice_wasm::Failure;

use super::*;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn spec(slots: u32, slot_ns: u64) -> WindowSpec {
    WindowSpec { slots, slot_ns, latency: true, slow_ns: 50 * MS }
}

fn seen(code: u16, latency_ns: u64) -> Observation {
    Observation { code, failure: (code == 502).then_some(Failure::Connect), latency_ns }
}

proptest! {
    #[test]
    fn it_counts_as_the_naive_model(
        slots in 1_u32..12,
        slot_ns in 1_u64..20,
        steps in prop::collection::vec((0_u64..30, 200_u16..600), 1..150),
    ) {
        let windows = Windows::new(WindowSpec { latency: false, ..spec(slots, slot_ns) });
        let (mut all, mut now) = (Vec::new(), 0);
        for (step, code) in steps {
            now += step;
            windows.observe("key", seen(code, u64::from(code) * MS / 8), now);
            all.push((now, code));
            let current: Vec<u16> = all
                .iter()
                .filter(|(at, _)| now / slot_ns - at / slot_ns < u64::from(slots))
                .map(|(_, code)| *code)
                .collect();
            let count = |test: &dyn Fn(u16) -> bool| current.iter().filter(|code| test(**code)).count() as u64;
            let totals = windows.totals("key", now);
            prop_assert_eq!(totals, Totals {
                requests: count(&|_| true),
                failures: count(&|code| code == 502),
                errors: count(&|code| code >= 500),
                slow: count(&|code| code > 400),
            });
            prop_assert_eq!(windows.count_codes("key", 300, 400, now), count(&|code| (300..400).contains(&code)));
        }
    }

    #[test]
    fn quantiles_are_right_to_two_digits(
        latencies in prop::collection::vec(1_u64..100_000_000, 1..200),
        quantile in 1.0_f64..100.0,
    ) {
        let windows = Windows::new(spec(10, SECOND));
        for latency in &latencies {
            windows.observe("key", seen(200, latency * 1_000), 0);
        }
        let mut sorted = latencies;
        sorted.sort_unstable();
        let rank = ((quantile / 100.0 * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
        let exact = sorted.get(rank - 1).copied().unwrap() as f64 / 1_000.0;
        let found = windows.quantile_ms("key", quantile, 0) as f64;
        prop_assert!(found >= exact.floor() - 1.0 && found <= exact * 1.01 + 1.0, "{found} ms for {exact} ms");
    }
}

#[test]
fn latencies_are_kept_for_a_minute() {
    let windows = Windows::new(spec(10, SECOND));
    windows.observe("key", seen(200, 500 * MS), 0);
    for minute in 0..5 {
        windows.observe("key", seen(200, 20 * MS), (9 + minute * 10) * SECOND);
    }
    assert_eq!(windows.quantile_ms("key", 100.0, 59 * SECOND), 501, "to two digits");
    assert_eq!(windows.quantile_ms("key", 100.0, 60 * SECOND), 20);
    assert_eq!(windows.totals("key", 60 * SECOND).requests, 0);
    windows.sweep(300 * SECOND);
    assert_eq!(windows.keys(), 0);
}

#[test]
fn another_spec_keeps_what_it_reaches() {
    let windows = Windows::new(spec(10, SECOND));
    for second in 0..10 {
        windows.observe("key", seen(500, MS), second * SECOND);
    }
    let now = 9 * SECOND;
    windows.respec(spec(20, SECOND / 2));
    assert_eq!(windows.totals("key", now).errors, 10);
    windows.respec(spec(3, SECOND));
    assert_eq!(windows.count_codes("key", 500, 501, now), 3);
    windows.respec(spec(10, SECOND));
    assert_eq!(windows.totals("key", now).requests, 3, "what is forgotten stays forgotten");
    windows.forget("key");
    assert_eq!(windows.totals("key", now), Totals::default());
}

#[test]
fn threads_lose_nothing() {
    let windows = Windows::new(spec(10, SECOND));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5_000).for_each(|_| windows.observe("key", seen(200, MS), 0)));
        }
    });
    assert_eq!(windows.totals("key", 0).requests, 20_000);
}
