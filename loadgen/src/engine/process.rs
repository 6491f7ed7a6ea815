//! What the server costs, read from /proc: its process and all that descend from it. A process that is gone
//! costs what it had cost when it was last seen.

use std::collections::BTreeMap;
use std::fs;

use rustix::param::clock_ticks_per_second;

use crate::result::ServerCost;

/// A reading of one process.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    user_ticks: u64,
    system_ticks: u64,
    switches: u64,
    calls: Option<u64>,
    resident_bytes: u64,
}

/// Watches a process and its descendants.
#[derive(Debug)]
pub(super) struct Watched {
    pid: u32,
    first: BTreeMap<u32, Reading>,
    last: BTreeMap<u32, Reading>,
    cpu_s: f64,
}

impl Watched {
    /// Begins with what has been spent so far; `None` when there is no such process.
    pub(super) fn new(pid: u32) -> Option<Self> {
        let first = tree(pid);
        let seen = first.contains_key(&pid);
        seen.then(|| Self { pid, last: first.clone(), cpu_s: cpu_s(&first), first })
    }

    /// Reads again: CPU seconds since the reading before.
    pub(super) fn step(&mut self) -> f64 {
        for (pid, reading) in tree(self.pid) {
            self.last.insert(pid, reading);
        }
        let (before, now) = (self.cpu_s, cpu_s(&self.last));
        self.cpu_s = now;
        (now - before).max(0.0)
    }

    /// What was spent from the first reading to the last.
    pub(super) fn cost(&self) -> ServerCost {
        let ticks = clock_ticks_per_second() as f64;
        let mut cost = ServerCost { pid: self.pid, read_write_calls: Some(0), ..ServerCost::default() };
        for (pid, last) in &self.last {
            let first = self.first.get(pid).copied().unwrap_or_default();
            cost.user_s += last.user_ticks.saturating_sub(first.user_ticks) as f64 / ticks;
            cost.system_s += last.system_ticks.saturating_sub(first.system_ticks) as f64 / ticks;
            cost.switches += last.switches.saturating_sub(first.switches);
            let calls = last.calls.map(|calls| calls.saturating_sub(first.calls.unwrap_or(0)));
            cost.read_write_calls = cost.read_write_calls.zip(calls).map(|(sum, calls)| sum + calls);
            cost.resident_bytes += last.resident_bytes;
        }
        cost
    }
}

fn cpu_s(readings: &BTreeMap<u32, Reading>) -> f64 {
    let ticks: u64 = readings.values().map(|reading| reading.user_ticks + reading.system_ticks).sum();
    ticks as f64 / clock_ticks_per_second() as f64
}

/// The readings of a process and its descendants.
fn tree(root: u32) -> BTreeMap<u32, Reading> {
    let mut parents = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some((parent, reading)) = read_stat(pid) {
            parents.insert(pid, (parent, reading));
        }
    }
    let descends = |mut pid: u32| {
        // A chain of parents ends at the first process; the bound is for a table that changed while read.
        for _ in 0..64 {
            if pid == root {
                return true;
            }
            let Some((parent, _)) = parents.get(&pid) else { return false };
            pid = *parent;
        }
        false
    };
    let ours = parents.iter().filter(|(pid, _)| descends(**pid));
    ours.map(|(&pid, &(_, reading))| (pid, read_rest(pid, reading))).collect()
}

/// Parent and CPU time from /proc/PID/stat; the name in it may hold anything, so what counts is behind it.
fn read_stat(pid: u32) -> Option<(u32, Reading)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let reading = Reading { user_ticks: number(11)?, system_ticks: number(12)?, ..Reading::default() };
    Some((number(1)? as u32, reading))
}

fn read_rest(pid: u32, mut reading: Reading) -> Reading {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for thread in threads {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        reading.switches += sum_of(&status, &["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    reading.resident_bytes = sum_of(&status, &["VmRSS:"]) * 1024;
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok();
    reading.calls = io.map(|io| sum_of(&io, &["syscr:", "syscw:"]));
    reading
}

/// The sum of the numbers on the lines that begin so.
fn sum_of(text: &str, names: &[&str]) -> u64 {
    let lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let named = lines.filter(|(name, _)| names.contains(name));
    named.filter_map(|(_, value)| value.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_with_its_children() {
        let mut watched = Watched::new(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        watched.step();
        assert!(watched.last.contains_key(&child.id()));
        assert!(watched.cost().resident_bytes > 100_000);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(watched.step() >= 0.0, "what is gone stays counted");
        assert!(Watched::new(u32::MAX).is_none());
    }

    #[test]
    fn lines_are_added() {
        assert_eq!(sum_of("a: 5 kB\nab:\t7\nb: x\n", &["a:", "ab:", "b:"]), 12);
    }
}
