//! What plugins write into the log, within a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lines a second for one plugin, over all its instances.
const LINES_PER_SECOND: u64 = 100;
/// Bytes of a line; what is longer is cut.
const LINE_BYTES: usize = 8 * 1024;
/// The low bits of the budget's word count lines, the others seconds.
const COUNT_BITS: u32 = 16;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something may become a problem.
    Warn,
    /// Something an operator may want to know.
    Info,
    /// Something only the plugin's author wants to know.
    Debug,
}

/// Where a plugin's lines go.
pub trait PluginLog: Send + Sync {
    /// Takes one line. It is text from a plugin: escape it.
    fn write(&self, level: Level, message: &str);
}

/// How many lines a plugin has left, shared by its instances.
pub(crate) struct LogBudget {
    start: Instant,
    /// The current second and the lines written in it.
    window: AtomicU64,
    dropped: AtomicU64,
}

impl LogBudget {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), window: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether a line may be written now; if not it is counted.
    fn take(&self) -> bool {
        self.take_at(self.start.elapsed().as_secs())
    }

    fn take_at(&self, second: u64) -> bool {
        let fresh = second << COUNT_BITS;
        let step = |window: u64| {
            if window >> COUNT_BITS != second {
                return Some(fresh + 1);
            }
            (window - fresh < LINES_PER_SECOND).then_some(window + 1)
        };
        let taken = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok();
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}

/// One instance's way to the log.
pub(crate) struct LogGate {
    pub(crate) sink: Arc<dyn PluginLog>,
    pub(crate) budget: Arc<LogBudget>,
}

impl LogGate {
    pub(crate) fn write(&self, level: Level, message: &str) {
        if self.budget.take() {
            self.sink.write(level, cut(message));
        }
    }
}

/// At most `LINE_BYTES`, whole characters.
fn cut(message: &str) -> &str {
    message.get(..message.floor_char_boundary(LINE_BYTES)).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_hundred_lines() {
        let budget = LogBudget::new();
        assert_eq!((0..150).filter(|_| budget.take_at(7)).count(), 100);
        assert_eq!(budget.dropped(), 50);
        assert!(budget.take_at(8));
        assert_eq!(budget.dropped(), 50);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "é".repeat(LINE_BYTES);
        assert_eq!(cut(&long).len(), LINE_BYTES);
        let odd = format!("x{long}");
        assert_eq!(cut(&odd).len(), LINE_BYTES - 1);
        assert_eq!(cut("short"), "short");
    }
}
