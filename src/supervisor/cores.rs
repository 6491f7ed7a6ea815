//! Selects the CPUs: those that the process may use by affinity, limited to the quota of its cgroup, or those
//! that the operator configures.

use std::path::{Path, PathBuf};
use std::{fs, thread};

/// Why the configured cores cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// Not a list of CPUs.
    #[error("--cpus: `{list}` is no list of CPUs; write numbers and ranges such as 0,2-3")]
    Malformed {
        /// The list as written.
        list: String,
    },
    /// A CPU that this process may not use.
    #[error(
        "--cpus: CPU {cpu} is not available to this process; it may use {allowed:?} (see taskset, the \
         container's cpuset)"
    )]
    NotAllowed {
        /// The CPU.
        cpu: usize,
        /// The allowed ones.
        allowed: Vec<usize>,
    },
    /// No workers.
    #[error("--workers: at least one worker is needed")]
    None,
    /// The kernel does not report the CPUs.
    #[error("the kernel does not report the available CPUs; name them with --cpus")]
    Unknown,
}

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

/// The CPU quota of this process' cgroup, or of one above it, in CPUs (cgroup v2 `cpu.max`, v1
/// `cpu.cfs_quota_us`). `None` without a quota, and where the kernel's files are not mounted.
pub fn quota() -> Option<f64> {
    quota_in(|path| fs::read_to_string(path).ok())
}

/// The lowest quota from the cgroup of this process up to the root; `read` returns the content of files.
fn quota_in(read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
    let cgroups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mounts = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let mut lowest: Option<f64> = None;
    for line in cgroups.lines() {
        // Such as `0::/user.slice` of v2, `4:cpu,cpuacct:/docker/1f` of v1.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(own)) = (parts.next(), parts.next()) else { continue };
        let is_v2 = controllers.is_empty();
        if !is_v2 && !controllers.split(',').any(|controller| controller == "cpu") {
            continue;
        }
        let usual = CgroupMount {
            root: Path::new("/"),
            point: PathBuf::from(if is_v2 { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/cpu" }),
        };
        let mounted = mounts.lines().filter_map(|line| CgroupMount::parse(line, is_v2));
        for mount in mounted.chain([usual]) {
            for directory in mount.directory(own).ancestors().take_while(|dir| dir.starts_with(&mount.point))
            {
                let quota = if is_v2 {
                    read(&directory.join("cpu.max")).and_then(|text| parse_cpu_max(&text))
                } else {
                    let number = |name: &str| read(&directory.join(name))?.trim().parse().ok();
                    ratio(number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"))
                };
                lowest = match (lowest, quota) {
                    (Some(lowest), Some(quota)) => Some(lowest.min(quota)),
                    (one, other) => one.or(other),
                };
            }
        }
    }
    lowest
}

/// Where a hierarchy of cgroups is mounted.
struct CgroupMount<'a> {
    /// The cgroup that is seen at the mount point.
    root: &'a Path,
    point: PathBuf,
}

impl<'a> CgroupMount<'a> {
    /// Reads a line of mountinfo, such as
    /// `31 23 0:28 /docker/1f /sys/fs/cgroup rw shared:9 - cgroup2 cgroup rw`; `None` for other mounts.
    fn parse(line: &'a str, is_v2: bool) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut kind = kind.split(' ');
        let is_wanted = match (kind.next()?, is_v2) {
            ("cgroup2", true) => true,
            ("cgroup", false) => kind.nth(1)?.split(',').any(|option| option == "cpu"),
            _ => false,
        };
        // The one character of a path that is not unlikely and is written as an escape.
        is_wanted.then(|| Self { root: Path::new(root), point: point.replace("\\040", " ").into() })
    }

    /// Where the cgroup with this path is seen. Within a namespace the path may lead out of it, or not be
    /// mounted; the mount point shows an ancestor in any case.
    fn directory(&self, own: &str) -> PathBuf {
        match Path::new(own).strip_prefix(self.root) {
            Ok(below) if !own.contains("/..") => self.point.join(below),
            _ => self.point.clone(),
        }
    }
}

fn parse_cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota.parse().ok(), period.parse().ok())
}

/// `None` without a quota: `max`, or -1.
fn ratio(quota: Option<f64>, period: Option<f64>) -> Option<f64> {
    let (quota, period) = (quota?, period?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// How many workers there are, and where they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreChoice {
    /// Number of workers.
    pub workers: usize,
    /// The CPU of each worker; empty if they run wherever the kernel puts them.
    pub cpus: Vec<usize>,
    /// The CPUs that this process may use.
    pub allowed: Vec<usize>,
}

impl CoreChoice {
    /// For at most this many workers.
    pub(super) fn limit(&mut self, workers: usize) {
        self.workers = self.workers.min(workers);
        self.cpus.truncate(workers);
    }

    /// The CPUs for people: `0-3`, or `0-3, not pinned`.
    pub(super) fn where_to(&self) -> String {
        if self.cpus.is_empty() {
            format!("{}, not pinned", ranges(&self.allowed))
        } else {
            ranges(&self.cpus)
        }
    }
}

/// A list of CPUs as [`parse_list`] reads it: each once, in order, neighbours as a range.
pub(super) fn ranges(cpus: &[usize]) -> String {
    let mut sorted = cpus.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|one, next| one + 1 == *next);
    let written = runs.map(|run| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    written.collect::<Vec<_>>().join(",")
}

/// How many workers there are, and where they run. By default one worker per allowed CPU, limited to the
/// quota: more threads would only be throttled.
///
/// Fewer workers than CPUs are pinned only to CPUs that were named: other processes, and containers with a
/// quota, choose in the same way, and all would share the first CPU while the others idle.
///
/// # Errors
/// See [`CoreError`].
pub fn choose(workers: Option<usize>, cpus: Option<&[usize]>) -> Result<CoreChoice, CoreError> {
    choose_from(available(), workers, cpus, quota)
}

fn choose_from(
    allowed: Vec<usize>,
    workers: Option<usize>,
    cpus: Option<&[usize]>,
    quota: impl FnOnce() -> Option<f64>,
) -> Result<CoreChoice, CoreError> {
    if allowed.is_empty() {
        return Err(CoreError::Unknown);
    }
    if let Some(&cpu) = cpus.unwrap_or_default().iter().find(|cpu| !allowed.contains(cpu)) {
        return Err(CoreError::NotAllowed { cpu, allowed });
    }
    let pool = cpus.unwrap_or(&allowed);
    let default = || match cpus {
        Some(_) => pool.len(),
        None => match quota() {
            Some(quota) => pool.len().min((quota.ceil() as usize).max(1)),
            // The standard library finds cgroups that are mounted elsewhere.
            None => pool.len().min(thread::available_parallelism().map_or(usize::MAX, usize::from)),
        },
    };
    let workers = workers.unwrap_or_else(default);
    if workers == 0 {
        return Err(CoreError::None);
    }
    let is_pinned = cpus.is_some() || workers >= allowed.len();
    let cpus = if is_pinned { pool.iter().copied().cycle().take(workers).collect() } else { Vec::new() };
    Ok(CoreChoice { workers, cpus, allowed })
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
        assert_eq!(parse_cpu_max(""), None);
        assert_eq!(parse_cpu_max("100000 0"), None);
    }

    /// The quota where these files are all there is.
    fn quota_of(files: &[(&str, &str)]) -> Option<f64> {
        quota_in(|path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_lowest_quota_from_the_own_cgroup_up_counts() {
        let own = ("/proc/self/cgroup", "0::/a.slice/b.service\n");
        let cgroup = "/sys/fs/cgroup/a.slice/b.service/cpu.max";
        let parent = "/sys/fs/cgroup/a.slice/cpu.max";
        assert_eq!(quota_of(&[own, (cgroup, "150000 100000\n")]), Some(1.5));
        assert_eq!(quota_of(&[own, (cgroup, "max 100000\n"), (parent, "300000 100000")]), Some(3.0));
        assert_eq!(quota_of(&[own, (cgroup, "800000 100000\n"), (parent, "300000 100000")]), Some(3.0));
        assert_eq!(quota_of(&[own, ("/sys/fs/cgroup/c/cpu.max", "1 1")]), None, "not an ancestor");
        assert_eq!(quota_of(&[own, ("/sys/fs/cpu.max", "1 1")]), None, "not a cgroup");
    }

    #[test]
    fn containers_see_their_own_cgroup_as_the_root() {
        let root = ("/sys/fs/cgroup/cpu.max", "200000 100000");
        for own in ["0::/\n", "0::/../other\n", "0::/docker/1f\n"] {
            assert_eq!(quota_of(&[("/proc/self/cgroup", own), root]), Some(2.0), "{own}");
        }
    }

    #[test]
    fn cgroups_of_version_1_have_their_quota_in_two_files() {
        let own = ("/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/docker/1f\n0::/\n");
        let files = |quota: &'static str| {
            [
                own,
                ("/sys/fs/cgroup/cpu/docker/1f/cpu.cfs_quota_us", quota),
                ("/sys/fs/cgroup/cpu/docker/1f/cpu.cfs_period_us", "100000\n"),
            ]
        };
        assert_eq!(quota_of(&files("250000\n")), Some(2.5));
        assert_eq!(quota_of(&files("-1\n")), None);
    }

    #[test]
    fn cgroups_that_are_mounted_elsewhere_are_found() {
        let v2 = ("/proc/self/cgroup", "0::/system.slice/quoit.service\n");
        let quota = ("/run/c g/system.slice/quoit.service/cpu.max", "50000 100000\n");
        let mounts =
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 22 0:28 / /run/c\\040g rw shared:9 - cgroup2 none rw\n";
        assert_eq!(quota_of(&[v2, quota, ("/proc/self/mountinfo", mounts)]), Some(0.5));
        // A container of an engine without namespaces of cgroups sees its own at the mount point.
        let v2 = ("/proc/self/cgroup", "0::/docker/1f/inner\n");
        let quota = ("/sys/fs/cgroup/inner/cpu.max", "150000 100000\n");
        let mounts = "31 22 0:28 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(quota_of(&[v2, quota, ("/proc/self/mountinfo", mounts)]), Some(1.5));
        let v1 = ("/proc/self/cgroup", "4:cpuacct,cpu:/a\n0::/\n");
        let mounts = "31 22 0:28 / /cg rw - cgroup cgroup rw,cpuacct,cpu\n\
                      32 22 0:29 / /m rw - cgroup cgroup rw,memory\n";
        let files = [
            v1,
            ("/proc/self/mountinfo", mounts),
            ("/cg/a/cpu.cfs_quota_us", "250000\n"),
            ("/cg/a/cpu.cfs_period_us", "100000\n"),
            ("/m/a/cpu.cfs_quota_us", "1\n"),
            ("/m/a/cpu.cfs_period_us", "1\n"),
        ];
        assert_eq!(quota_of(&files), Some(2.5));
    }

    #[test]
    fn without_the_kernels_files_there_is_no_quota() {
        assert_eq!(quota_of(&[]), None);
        assert_eq!(quota_of(&[("/proc/self/cgroup", "nonsense\n\n4:cpu\n")]), None);
        assert_eq!(quota_of(&[("/proc/self/cgroup", "0::/a\n")]), None);
    }

    fn chosen(
        allowed: &[usize],
        workers: Option<usize>,
        cpus: Option<&[usize]>,
        quota: Option<f64>,
    ) -> Result<(usize, Vec<usize>), CoreError> {
        choose_from(allowed.to_vec(), workers, cpus, || quota).map(|choice| (choice.workers, choice.cpus))
    }

    #[test]
    fn workers_are_pinned_when_there_is_one_for_each_cpu() {
        assert_eq!(chosen(&[0, 2], None, None, Some(8.0)), Ok((2, vec![0, 2])));
        assert_eq!(chosen(&[0, 2], None, None, Some(1.5)), Ok((2, vec![0, 2])));
        assert_eq!(chosen(&[3], None, None, Some(1.0)), Ok((1, vec![3])));
        assert_eq!(chosen(&[0, 2], Some(3), None, None), Ok((3, vec![0, 2, 0])), "more take turns");
    }

    #[test]
    fn fewer_workers_than_cpus_are_pinned_only_where_told() {
        assert_eq!(chosen(&[0, 1, 2], Some(1), None, None), Ok((1, vec![])));
        assert_eq!(chosen(&[0, 1, 2], Some(2), None, None), Ok((2, vec![])));
        assert_eq!(chosen(&[0, 1], None, None, Some(0.5)), Ok((1, vec![])), "ten containers with a quota");
        assert_eq!(chosen(&[0, 1, 2], Some(1), Some(&[2]), None), Ok((1, vec![2])));
        assert_eq!(chosen(&[0, 1, 2], None, Some(&[2, 1]), Some(1.0)), Ok((2, vec![2, 1])));
    }

    #[test]
    fn what_cannot_be_chosen_is_told() {
        assert_eq!(chosen(&[0], Some(0), None, None), Err(CoreError::None));
        assert_eq!(chosen(&[], None, None, None), Err(CoreError::Unknown));
        assert!(matches!(
            chosen(&[0], None, Some(&[4000]), None),
            Err(CoreError::NotAllowed { cpu: 4000, .. })
        ));
    }

    #[test]
    fn lists_are_written_as_they_are_read() {
        for (cpus, text) in [(&[0][..], "0"), (&[0, 1, 2, 3], "0-3"), (&[5, 0, 1, 0, 3], "0-1,3,5")] {
            assert_eq!(ranges(cpus), text);
        }
        let many: Vec<usize> = (0..64).map(|worker| worker % 2).collect();
        assert_eq!(ranges(&many), "0-1", "64 workers are no list of 64 numbers");
    }
}
