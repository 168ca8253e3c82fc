//! `state`.

use super::super::bucket::BucketSet;
use super::super::gate::GateSet;
use super::super::window::WindowSet;
use super::super::{WORLD, World};
use crate::bindings::policy::sluice::gateway::policy_types::Failure;
use crate::bindings::policy::sluice::gateway::state::{
    BucketKind, BucketSpec, Entered, GateSpec, Reservation, Totals, WindowSpec,
};
use crate::policy::state::Forced;

const MINUTE_NS: u64 = 60_000_000_000;

/// The place of what is open under a name; `make` it where nothing is, else let it `change`.
fn open<T>(
    sets: impl Fn(&mut World) -> &mut Vec<(String, T)>,
    name: &str,
    make: impl FnOnce() -> T,
    change: impl FnOnce(&mut T),
) -> Result<u32, String> {
    WORLD.with_borrow_mut(|world| {
        if world.in_hook {
            return Err(format!("`{name}` can only be opened while configuring"));
        }
        let sets = sets(world);
        let place = match sets.iter().position(|(known, _)| known == name) {
            Some(place) => {
                if let Some((_, set)) = sets.get_mut(place) {
                    change(set);
                }
                place
            }
            None => {
                sets.push((name.to_owned(), make()));
                sets.len() - 1
            }
        };
        u32::try_from(place).map_err(|_| "too much is open".to_owned())
    })
}

pub(crate) fn open_bucket(name: &str, spec: BucketSpec) -> Result<u32, String> {
    if spec.average == 0 || spec.period_ns == 0 || spec.burst == 0 {
        return Err(format!("bucket `{name}` needs an average, a period and a burst of at least 1"));
    }
    if spec.kind == BucketKind::Calendar && !spec.period_ns.is_multiple_of(MINUTE_NS) {
        return Err(format!("bucket `{name}` counts by the calendar: give it whole minutes, hours or days"));
    }
    let now = WORLD.with_borrow(World::now);
    open(|world| &mut world.buckets, name, || BucketSet::new(spec), |set| set.set_spec(spec, now))
}

pub(crate) fn reserve(bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> Reservation {
    WORLD.with_borrow_mut(|world| {
        let now = world.now();
        world
            .buckets
            .get_mut(bucket as usize)
            .map_or(Reservation { granted: false, wait_ns: 0, remaining: 0 }, |(_, set)| {
                set.reserve(key, cost, max_wait_ns, now)
            })
    })
}

/// The value of a field of the subscription.
fn field(place: u32) -> String {
    WORLD.with_borrow(|world| {
        let field = world.subscribed.get(place as usize);
        field.and_then(|field| world.exchange.request(field)).unwrap_or_default()
    })
}

pub(crate) fn reserve_by(bucket: u32, place: u32, cost: u32, max_wait_ns: u64) -> Reservation {
    reserve(bucket, &field(place), cost, max_wait_ns)
}

pub(crate) fn refund(bucket: u32, key: &str, cost: u32) {
    WORLD.with_borrow_mut(|world| {
        let now = world.now();
        if let Some((_, set)) = world.buckets.get_mut(bucket as usize) {
            set.refund(key, cost, now);
        }
    });
}

pub(crate) fn open_window(name: &str, spec: WindowSpec) -> Result<u32, String> {
    if !(1..=60).contains(&spec.slots) || spec.slot_ns < 1_000_000 {
        return Err(format!("window `{name}` needs 1 to 60 slots of a millisecond or more"));
    }
    open(|world| &mut world.windows, name, || WindowSet::new(spec), |set| set.spec = spec)
}

fn window<R: Default>(window: u32, ask: impl FnOnce(&mut WindowSet, u64) -> R) -> R {
    WORLD.with_borrow_mut(|world| {
        let now = world.now_ns;
        world.windows.get_mut(window as usize).map(|(_, set)| ask(set, now)).unwrap_or_default()
    })
}

pub(crate) fn observe(handle: u32, key: &str, code: u16, failure: Option<Failure>, latency_ns: u64) {
    window(handle, |set, now| set.observe(key, code, failure, latency_ns, now));
}

pub(crate) fn count_all(handle: u32, key: &str) -> Totals {
    window(handle, |set, now| set.totals(key, now))
}

pub(crate) fn count_codes(handle: u32, key: &str, from: u16, to: u16) -> u64 {
    window(handle, |set, now| set.count_codes(key, from, to, now))
}

pub(crate) fn code_ratio(handle: u32, key: &str, from: u16, to: u16, divisor_from: u16, divisor_to: u16) -> f64 {
    window(handle, |set, now| {
        ratio(set.count_codes(key, from, to, now), set.count_codes(key, divisor_from, divisor_to, now))
    })
}

pub(crate) fn network_error_ratio(handle: u32, key: &str) -> f64 {
    let totals = count_all(handle, key);
    ratio(totals.failures, totals.requests)
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub(crate) fn latency_quantile_ms(handle: u32, key: &str, quantile: f64) -> u64 {
    window(handle, |set, now| set.quantile_ms(key, quantile, now))
}

pub(crate) fn forget(handle: u32, key: &str) {
    window(handle, |set, _| set.forget(key));
}

pub(crate) fn open_gate(name: &str, spec: &GateSpec) -> Result<u32, String> {
    if spec.adaptive.is_some_and(|adaptive| adaptive.min == 0 || adaptive.max < adaptive.min) {
        return Err(format!("gate `{name}` needs a least limit of 1 and a largest one that is not below it"));
    }
    open(|world| &mut world.gates, name, || GateSet::new(spec.clone()), |set| set.spec = spec.clone())
}

pub(crate) fn enter(gate: u32, key: &str, priority: u8) -> Entered {
    WORLD.with_borrow_mut(|world| {
        let Some((_, set)) = world.gates.get_mut(gate as usize) else {
            return Entered { granted: false, in_flight: 0, limit: 0 };
        };
        let entered = set.enter(key, priority);
        if entered.granted {
            world.entering.push((gate, key.to_owned()));
        }
        entered
    })
}

pub(crate) fn enter_by(gate: u32, place: u32, priority: u8) -> Entered {
    enter(gate, &field(place), priority)
}

pub(crate) fn set_limit(gate: u32, limit: u32) {
    WORLD.with_borrow_mut(|world| {
        if let Some((_, set)) = world.gates.get_mut(gate as usize)
            && set.spec.adaptive.is_none()
        {
            set.spec.limit = limit;
        }
    });
}

pub(crate) fn open_cell(name: &str) -> Result<u32, String> {
    open(|world| &mut world.cells, name, Default::default, |_| {})
}

pub(crate) fn load(cell: u32, key: &str) -> u64 {
    WORLD.with_borrow(|world| world.cells.get(cell as usize).and_then(|(_, set)| set.get(key).copied()).unwrap_or(0))
}

pub(crate) fn swap_if(cell: u32, key: &str, expected: u64, new: u64) -> Result<(), u64> {
    WORLD.with_borrow_mut(|world| {
        let Some((_, set)) = world.cells.get_mut(cell as usize) else { return Err(0) };
        let number = set.entry(key.to_owned()).or_default();
        if *number != expected {
            return Err(*number);
        }
        *number = new;
        Ok(())
    })
}

pub(crate) fn add(cell: u32, key: &str, delta: i64) -> u64 {
    WORLD.with_borrow_mut(|world| {
        let Some((_, set)) = world.cells.get_mut(cell as usize) else { return 0 };
        let number = set.entry(key.to_owned()).or_default();
        *number = number.saturating_add_signed(delta);
        *number
    })
}

pub(crate) fn kv_get(key: &str) -> Option<Vec<u8>> {
    WORLD.with_borrow(|world| world.kv.get(key, world.now_ns))
}

pub(crate) fn kv_set(key: &str, value: &[u8], ttl_ns: u64) -> Result<(), String> {
    WORLD.with_borrow_mut(|world| {
        let now = world.now_ns;
        world.kv.set(key, value, ttl_ns, now)
    })
}

pub(crate) fn kv_delete(key: &str) {
    WORLD.with_borrow_mut(|world| world.kv.delete(key));
}

pub(crate) fn publish(status: &str) {
    WORLD.with_borrow_mut(|world| world.published = Some(status.to_owned()));
}

pub(crate) fn forced() -> Option<String> {
    let name = |forced| match forced {
        Forced::Open => "open",
        Forced::Closed => "closed",
        Forced::Disabled => "disabled",
    };
    WORLD.with_borrow(|world| world.forced.map(name).map(str::to_owned))
}
