//! The CPU time and the memory of a process and of all its descendants, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The unit of `/proc/PID/stat`: `USER_HZ`, which is 100 on every architecture Linux has had this century.
const TICKS_A_SECOND: f64 = 100.0;

struct Process {
    id: u32,
    parent: u32,
    ticks: u64,
}

/// User and system time spent so far.
pub(crate) fn cpu_time(root: u32) -> Result<Duration> {
    let ticks: u64 = family(root)?.iter().map(|process| process.ticks).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_A_SECOND))
}

/// Resident memory, pages that several of them share counted for each.
pub(crate) fn resident_bytes(root: u32) -> Result<u64> {
    family(root)?.iter().map(|process| resident_bytes_of(process.id)).sum()
}

fn resident_bytes_of(id: u32) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{id}/status")).with_context(|| format!("read the status of {id}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("find VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>().context("read VmRSS")? * 1024)
}

fn family(root: u32) -> Result<Vec<Process>> {
    let (mut members, mut rest): (Vec<_>, Vec<_>) = processes()?.into_iter().partition(|process| process.id == root);
    let mut next = 0;
    while let Some(parent) = members.get(next).map(|process| process.id) {
        members.extend(rest.extract_if(.., |process| process.parent == parent));
        next += 1;
    }
    Ok(members)
}

fn processes() -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let path = entry?.path().join("stat");
        // A process may end while this looks.
        if let Some(process) = fs::read_to_string(path).ok().and_then(|text| parse(&text)) {
            found.push(process);
        }
    }
    Ok(found)
}

/// The name, second and in parentheses, may hold blanks and parentheses of its own.
fn parse(stat: &str) -> Option<Process> {
    let (head, tail) = stat.rsplit_once(')')?;
    let id = head.split(' ').next()?.parse().ok()?;
    let fields: Vec<_> = tail.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Process { id, parent: fields.get(1)?.parse().ok()?, ticks: number(11)? + number(12)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a ) b) S 7 42 42 0 -1 4194560 9 9 9 9 130 25 3 4 20 0 1 0 100 0 0";
        let process = parse(stat).unwrap();
        assert_eq!((process.id, process.parent, process.ticks), (42, 7, 155));
    }
}
