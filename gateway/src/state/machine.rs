//! How busy the machine is. Looked at only when somebody asks, and then at most four times a second.

use std::cell::Cell;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use sluice_wasm::Pressure;

/// How long what was measured holds.
const FRESH_NS: u64 = 250_000_000;

thread_local! {
    /// How late this worker's timers are, as its own watch says.
    static LOOP_LAG_NS: Cell<u64> = const { Cell::new(0) };
}

/// What was measured last.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// When, on the clock of the state; 0 for never.
    measured_ns: AtomicU64,
    cpu_permille: AtomicU32,
    memory_permille: AtomicU32,
    /// Processor time of the machine until then: busy and all.
    before: Mutex<Option<(u64, u64)>>,
}

/// Notes how late this thread's timers are. What was noted before counts half, so that who asks a moment after a stall
/// still learns of it.
pub fn note_loop_lag(late: Duration) {
    let late_ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
    LOOP_LAG_NS.set(late_ns.max(LOOP_LAG_NS.get() / 2));
}

/// Gives memory back to the system that nothing has used for a second. By itself the allocator thinks of that only after
/// many allocations, so a gateway at rest would keep what its busiest moment took.
pub fn give_memory_back() {
    // SAFETY: it takes nothing, may be called on any thread at any time, and leaves alone what is allocated.
    #[expect(unsafe_code, reason = "the allocator has no safe name for it")]
    unsafe {
        libmimalloc_sys::mi_collect(false);
    }
}

impl Machine {
    pub(super) fn pressure(&self, now_ns: u64) -> Pressure {
        let measured = self.measured_ns.load(Ordering::Acquire);
        let is_due = measured == 0 || now_ns.saturating_sub(measured) >= FRESH_NS;
        // One thread measures; the others take what there is.
        let mine = is_due
            && self.measured_ns.compare_exchange(measured, now_ns.max(1), Ordering::AcqRel, Ordering::Acquire).is_ok();
        if mine {
            self.measure();
        }
        Pressure {
            cpu_permille: self.cpu_permille.load(Ordering::Relaxed),
            memory_permille: self.memory_permille.load(Ordering::Relaxed),
            loop_lag_ns: LOOP_LAG_NS.get(),
        }
    }

    fn measure(&self) {
        if let Some(now) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(processor_time)
            && let Ok(mut before) = self.before.try_lock()
            && let Some((busy, all)) = before.replace(now)
        {
            let part = permille(now.0.saturating_sub(busy), now.1.saturating_sub(all));
            self.cpu_permille.store(part, Ordering::Relaxed);
        }
        let limited = || Some((control_group("current")?, control_group("max")?));
        let used = limited().or_else(|| machine_memory(&fs::read_to_string("/proc/meminfo").ok()?));
        if let Some((used, all)) = used {
            self.memory_permille.store(permille(used, all), Ordering::Relaxed);
        }
    }
}

fn permille(part: u64, all: u64) -> u32 {
    let permille = u128::from(part) * 1000 / u128::from(all.max(1));
    u32::try_from(permille).unwrap_or(1000).min(1000)
}

/// Busy and all time of the first line of `/proc/stat`, in ticks.
fn processor_time(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().take(8).filter_map(|time| time.parse().ok()).collect();
    let all: u64 = times.iter().sum();
    // Idle and waiting for a disk.
    let idle: u64 = times.get(3..5)?.iter().sum();
    Some((all - idle, all))
}

/// What the control group says of its memory, in bytes: `current`, or `max` where it has a limit.
pub(super) fn control_group(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/sys/fs/cgroup/memory.{name}")).ok()?.trim().parse().ok()
}

fn machine_memory(meminfo: &str) -> Option<(u64, u64)> {
    let all = kibibytes(meminfo, "MemTotal")?;
    Some((all.saturating_sub(kibibytes(meminfo, "MemAvailable")?), all))
}

/// The number of a line such as `MemTotal:  4000 kB`.
pub(super) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(processor_time("cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3 4"), Some((150, 1000)));
        assert_eq!(processor_time("intr 1"), None);
        let meminfo = "MemTotal:  4000 kB\nMemFree: 10 kB\nMemAvailable:  1000 kB\n";
        assert_eq!(machine_memory(meminfo), Some((3000, 4000)));
        assert_eq!(permille(3000, 4000), 750);
        assert_eq!(permille(1, 0), 1000);
    }

    #[test]
    fn what_was_measured_holds_for_a_while() {
        let machine = Machine::default();
        machine.pressure(10);
        machine.memory_permille.store(1, Ordering::Relaxed);
        assert_eq!(machine.pressure(FRESH_NS).memory_permille, 1);
    }

    #[test]
    fn a_stall_of_this_thread_is_known_for_a_while() {
        let machine = Machine::default();
        let lag_after = |nanoseconds| {
            note_loop_lag(Duration::from_nanos(nanoseconds));
            machine.pressure(20).loop_lag_ns
        };
        assert_eq!(
            [lag_after(800), lag_after(3), lag_after(3), lag_after(900), lag_after(3)],
            [800, 400, 200, 900, 450]
        );
        assert_eq!(std::thread::scope(|scope| scope.spawn(|| machine.pressure(20).loop_lag_ns).join().ok()), Some(0));
    }
}
