//! `quoit doctor`: kernel, ring, limits, cores, and the effect of each missing feature.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use crate::ring::{KERNEL_MIN, LOCKED_BYTES_MIN, Probe, kernel_version, sys};
use crate::server::Limits;
use crate::supervisor::{available, choose, quota};

/// Locked memory that is sufficient for a worker's rings.
const LOCKED_BYTES_PER_WORKER: u64 = 1024 * 1024;

/// Descriptors below which a public server reaches its limit in ordinary traffic.
const DESCRIPTORS_COMFORTABLE: u64 = 65_536;

pub(super) fn run() -> ExitCode {
    let probe = Probe::run();
    let mut healthy = true;
    let mut report = String::new();
    let mut line = |good: bool, name: &str, text: String| {
        let _ = writeln!(report, "{} {name:<18} {text}", if good { "ok  " } else { "MISS" });
    };

    let (major, minor) = KERNEL_MIN;
    let new_enough = kernel_version().is_none_or(|version| version >= KERNEL_MIN);
    healthy &= new_enough;
    line(new_enough, "kernel", format!("{} (needs {major}.{minor})", probe.kernel));
    line(
        probe.io_uring_disabled == 0,
        "sysctl",
        format!("kernel.io_uring_disabled = {} (0 allows all users)", probe.io_uring_disabled),
    );
    match &probe.features {
        Ok(features) => {
            line(true, "io_uring", "a ring can be made, and has every operation".into());
            for feature in features {
                let cost = if feature.present {
                    String::new()
                } else {
                    format!(": without it, {}", feature.without)
                };
                line(feature.present, "feature", format!("{}{cost}", feature.name));
            }
        }
        Err(error) => {
            healthy = false;
            line(false, "io_uring", error.to_string());
        }
    }

    let (soft, hard) = sys::descriptor_limit();
    let workers = choose(None, None).map_or(0, |cores| cores.workers);
    let per_worker = Limits::default().connections_per_worker(hard, workers);
    line(
        hard >= DESCRIPTORS_COMFORTABLE,
        "descriptors",
        format!(
            "soft {soft}, hard {hard} (the server raises soft to hard): at most {per_worker} connections per \
             worker; raise with ulimit -Hn or LimitNOFILE="
        ),
    );
    let locked = sys::locked_memory_limit();
    let enough = locked >= LOCKED_BYTES_PER_WORKER * workers as u64;
    healthy &= locked >= LOCKED_BYTES_MIN;
    line(
        enough,
        "locked memory",
        if locked == u64::MAX {
            "unlimited".into()
        } else {
            format!(
                "{} KiB; {} are needed, 1024 for each worker are plenty (ulimit -l, LimitMEMLOCK=)",
                locked / 1024,
                LOCKED_BYTES_MIN / 1024
            )
        },
    );
    line(
        workers > 0,
        "cores",
        format!(
            "allowed {:?}{}: {} worker(s) by default",
            available(),
            quota().map_or_else(String::new, |quota| format!(", cgroup quota {quota:.2}")),
            workers
        ),
    );
    healthy &= workers > 0;
    let verdict = if healthy {
        "This machine can run quoit. A line marked MISS above costs what it says, and no more."
    } else {
        "This machine cannot run quoit yet; the lines marked MISS say why and what helps."
    };
    // A closed pipe, such as to head(1), is not an error.
    let _ = writeln!(std::io::stdout().lock(), "{report}\n{verdict}");
    if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
