//! Which CPUs to use: what the process may use by affinity, no more than the cgroup's quota is worth, or what
//! the operator names.

use std::fmt;
use std::fs;

/// Why the cores asked for cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreError {
    /// Not a list of CPUs.
    Malformed {
        /// The list as written.
        list: String,
    },
    /// A CPU that this process may not use.
    NotAllowed {
        /// The CPU.
        cpu: usize,
        /// The allowed ones.
        allowed: Vec<usize>,
    },
    /// No workers.
    None,
    /// The kernel does not say which CPUs there are.
    Unknown,
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { list } => {
                write!(f, "--cpus: `{list}` is no list of CPUs; write numbers and ranges such as 0,2-3")
            }
            Self::NotAllowed { cpu, allowed } => write!(
                f,
                "--cpus: CPU {cpu} is not available to this process; it may use {allowed:?} (see taskset, \
                 the container's cpuset)"
            ),
            Self::None => f.write_str("--workers: at least one worker is needed"),
            Self::Unknown => {
                f.write_str("the kernel does not tell which CPUs there are; name them with --cpus")
            }
        }
    }
}

impl std::error::Error for CoreError {}

/// Reads a list such as `0,2-3`.
///
/// # Errors
/// [`CoreError::Malformed`].
pub fn parse_list(list: &str) -> Result<Vec<usize>, CoreError> {
    let malformed = || CoreError::Malformed { list: list.to_owned() };
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bound = |text: &str| text.trim().parse::<usize>().ok().filter(|&cpu| cpu < 4096);
        let (first, last) = (bound(first).ok_or_else(malformed)?, bound(last).ok_or_else(malformed)?);
        if first > last {
            return Err(malformed());
        }
        for cpu in first..=last {
            if !cpus.contains(&cpu) {
                cpus.push(cpu);
            }
        }
    }
    Ok(cpus)
}

/// The CPUs this process may use, by affinity.
pub fn available() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// CPUs' worth of time that the cgroup allows, if it sets a quota (cgroup v2 `cpu.max`, v1 `cfs_quota_us`).
pub fn quota() -> Option<f64> {
    let v2 = fs::read_to_string("/sys/fs/cgroup/cpu.max").ok().and_then(|text| parse_cpu_max(&text));
    v2.or_else(|| {
        let number = |name: &str| -> Option<f64> {
            fs::read_to_string(format!("/sys/fs/cgroup/cpu/{name}")).ok()?.trim().parse().ok()
        };
        let (quota, period) = (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    })
}

fn parse_cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then(|| quota / period)
}

/// The CPU of each worker. By default one worker per allowed CPU, and no more than the quota is worth:
/// threads beyond it would only be stopped in turn.
///
/// # Errors
/// See [`CoreError`].
pub fn choose(workers: Option<usize>, cpus: Option<&[usize]>) -> Result<Vec<usize>, CoreError> {
    let allowed = available();
    if allowed.is_empty() {
        return Err(CoreError::Unknown);
    }
    let pool = cpus.unwrap_or(&allowed);
    if let Some(&cpu) = pool.iter().find(|cpu| !allowed.contains(cpu)) {
        return Err(CoreError::NotAllowed { cpu, allowed });
    }
    let default = match (cpus, quota()) {
        (None, Some(quota)) => pool.len().min((quota.ceil() as usize).max(1)),
        _ => pool.len(),
    };
    match workers.unwrap_or(default) {
        0 => Err(CoreError::None),
        workers => Ok(pool.iter().copied().cycle().take(workers).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        assert_eq!(parse_list("0"), Ok(vec![0]));
        assert_eq!(parse_list("0,2-3"), Ok(vec![0, 2, 3]));
        assert_eq!(parse_list("3,1-3"), Ok(vec![3, 1, 2]));
        for list in ["", "a", "3-1", "1-", "1,,2", "-1", "99999999"] {
            assert_eq!(parse_list(list), Err(CoreError::Malformed { list: list.into() }), "{list}");
        }
    }

    #[test]
    fn quotas_are_read() {
        assert_eq!(parse_cpu_max("200000 100000\n"), Some(2.0));
        assert_eq!(parse_cpu_max("max 100000"), None);
    }

    #[test]
    fn workers_take_the_allowed_cpus_in_turn() {
        let allowed = available();
        assert_eq!(choose(Some(1), None).unwrap(), allowed[..1]);
        assert_eq!(choose(Some(allowed.len() + 1), None).unwrap().last(), allowed.first());
        assert_eq!(choose(Some(0), None), Err(CoreError::None));
        assert!(matches!(choose(None, Some(&[4000])), Err(CoreError::NotAllowed { cpu: 4000, .. })));
    }
}
