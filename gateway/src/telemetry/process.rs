//! What the kernel says of this process, under the names that all Prometheus clients use. Empty where there is no
//! `/proc`.

use super::exposition::{Family, MetricKind};

/// `USER_HZ`, in which the kernel reports times to programs; 100 on every architecture Rust has a tier for.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn families() -> Vec<Family> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut families = from_stat(&read("/proc/self/stat"), &read("/proc/stat"));
    families.extend(from_status(&read("/proc/self/status")));
    families.extend(max_fds(&read("/proc/self/limits")));
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let count = open.count().saturating_sub(1);
        families.push(gauge("process_open_fds", "Open file descriptors", count as f64));
    }
    families
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Family {
    Family::single(MetricKind::Gauge, name, help, value)
}

/// The name of the program, in parentheses, may hold anything; fields are counted from behind it.
fn from_stat(own: &str, machine: &str) -> Vec<Family> {
    let after_name = own.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let mut families = Vec::new();
    if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
        let seconds = (user + system) / TICKS_PER_SECOND;
        let help = "Processor time spent";
        families.push(Family::single(MetricKind::Counter, "process_cpu_seconds", help, seconds));
    }
    let boot = machine.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|text| text.parse::<f64>().ok());
    if let (Some(start), Some(boot)) = (ticks(19), boot) {
        let seconds = boot + start / TICKS_PER_SECOND;
        families.push(gauge("process_start_time_seconds", "When it was started, in Unix time", seconds));
    }
    families
}

fn from_status(status: &str) -> Vec<Family> {
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let kibibytes = |name: &str| value(name).map(|number| number * 1024.0);
    let families = [
        kibibytes("VmRSS:").map(|bytes| gauge("process_resident_memory_bytes", "Memory in use", bytes)),
        kibibytes("VmSize:").map(|bytes| gauge("process_virtual_memory_bytes", "Address space in use", bytes)),
        value("Threads:").map(|count| gauge("process_threads", "Threads", count)),
    ];
    families.into_iter().flatten().collect()
}

fn max_fds(limits: &str) -> Option<Family> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?.parse::<f64>().ok()?;
    Some(gauge("process_max_fds", "How many file descriptors it may open", soft))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::exposition::render;

    #[test]
    fn a_process_named_to_confuse_is_read_right() {
        let stat = "7 (a) b 1) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 3 0 1000 9 8";
        let text = render("x", Vec::new(), from_stat(stat, "cpu 1 2\nbtime 1700000000\n"));
        assert!(text.contains("process_cpu_seconds_total 3.0\n"), "{text}");
        assert!(text.contains("process_start_time_seconds 1700000010.0\n"), "{text}");
    }

    #[test]
    fn nonsense_is_no_metric() {
        assert!(from_stat("", "").is_empty());
        assert!(from_status("VmRSS: many kB").is_empty());
        assert!(max_fds("Max open files unlimited").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_described() {
        let text = render("x", Vec::new(), families());
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name} in {text}");
        }
    }
}
