//! The machine that makes the load, as the kernel describes it.

use std::fs;

use crate::result::HostFacts;

/// Properties of this machine; empty if the kernel does not report them.
pub(super) fn facts() -> HostFacts {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let kilobytes = value(&meminfo, "MemTotal").split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    HostFacts {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        processor: value(&cpuinfo, "model name"),
        processors: cpuinfo.lines().filter(|line| line.starts_with("processor")).count() as u32,
        memory_bytes: kilobytes.unwrap_or(0) * 1024,
    }
}
