//! Whether this process runs short of memory, so that it refuses new work before the kernel ends all of it.
//!
//! Takes how much it may use; gives what it has to stop doing, which costs a request one load. Measured once a second.

use std::fs;
use std::sync::atomic::{AtomicU8, Ordering};

use super::machine::{control_group, kibibytes};

/// What a process short of memory does not do any more. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// There is enough.
    #[default]
    None,
    /// Connections with nothing to do end soon.
    Rest,
    /// Connections end with the next answer.
    KeepAlive,
    /// Requests are refused.
    Requests,
    /// Connections are closed unread.
    Connections,
}

/// From which shares of memory on what is stopped, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Letting connections rest.
    pub rest: u32,
    /// Keeping connections.
    pub keep_alive: u32,
    /// Serving requests.
    pub requests: u32,
    /// Taking connections.
    pub connections: u32,
}

/// The shortage there is now.
#[derive(Debug, Default)]
pub struct Overload {
    now: AtomicU8,
}

impl Overload {
    /// What was measured last.
    #[must_use]
    pub fn shortage(&self) -> Shortage {
        match self.now.load(Ordering::Relaxed) {
            0 => Shortage::None,
            1 => Shortage::Rest,
            2 => Shortage::KeepAlive,
            3 => Shortage::Requests,
            _ => Shortage::Connections,
        }
    }

    /// Looks at how much of `memory` bytes this process has in use. Without a number it is what its control group or the
    /// machine has.
    pub fn measure(&self, memory: Option<u64>, shares: &Shares) {
        let (Some(used), Some(all)) = (resident(), memory.or_else(available)) else { return };
        let shortage = shortage(used, all, shares);
        let before = self.now.swap(shortage as u8, Ordering::Relaxed);
        if before != shortage as u8 {
            tracing::warn!(used, all, ?shortage, "memory in use");
        }
    }
}

fn shortage(used: u64, all: u64, shares: &Shares) -> Shortage {
    let reached = |percent: u32| u128::from(used) * 100 >= u128::from(all) * u128::from(percent);
    match () {
        () if reached(shares.connections) => Shortage::Connections,
        () if reached(shares.requests) => Shortage::Requests,
        () if reached(shares.keep_alive) => Shortage::KeepAlive,
        () if reached(shares.rest) => Shortage::Rest,
        () => Shortage::None,
    }
}

/// Bytes of this process that are in memory. Files the kernel keeps for it do not count: it gives those up first.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kibibytes(&status, "RssAnon").or_else(|| kibibytes(&status, "VmRSS")).map(|kibibytes| kibibytes * 1024)
}

/// What the process may use at all.
fn available() -> Option<u64> {
    let machine = || Some(kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")? * 1024);
    control_group("max").or_else(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_there_is_the_more_is_stopped() {
        let shares = Shares { rest: 85, keep_alive: 92, requests: 95, connections: 98 };
        for (used, expected) in [
            (0, Shortage::None),
            (84, Shortage::None),
            (85, Shortage::Rest),
            (91, Shortage::Rest),
            (92, Shortage::KeepAlive),
            (95, Shortage::Requests),
            (98, Shortage::Connections),
            (200, Shortage::Connections),
        ] {
            assert_eq!(shortage(used, 100, &shares), expected, "{used}");
        }
        assert_eq!(shortage(1, 0, &shares), Shortage::Connections);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_measured() {
        let overload = Overload::default();
        let shares = Shares { rest: 1, keep_alive: 1, requests: 2, connections: u32::MAX };
        overload.measure(Some(1), &shares);
        assert!(overload.shortage() >= Shortage::Requests);
        overload.measure(Some(u64::MAX), &shares);
        assert_eq!(overload.shortage(), Shortage::None);
        assert!(resident().is_some() && available().is_some());
    }
}
