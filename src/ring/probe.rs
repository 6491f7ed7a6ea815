//! Detects the kernel's io_uring support, and explains a failure: cause and remedy.

use std::fmt;
use std::fs;
use std::io;

use io_uring::{IoUring, Probe as KernelProbe, opcode};

/// The oldest kernel that has everything the engine uses: DEFER_TASKRUN came with 6.1.
pub const KERNEL_MIN: (u32, u32) = (6, 1);

/// The executor refuses to start below this RLIMIT_MEMLOCK (soft), whatever the kernel needs.
pub const LOCKED_BYTES_MIN: u64 = 512 * 1024;

/// Why a ring could not be created.
#[derive(Debug)]
pub enum SetupError {
    /// The kernel is older than [`KERNEL_MIN`].
    KernelTooOld {
        /// Its release, as uname(2) returns it.
        found: String,
    },
    /// `kernel.io_uring_disabled` forbids it.
    DisabledBySysctl {
        /// The setting: 1 or 2.
        value: u32,
    },
    /// The system call is filtered, usually by a container's seccomp profile.
    Filtered {
        /// The kernel's error.
        error: io::Error,
    },
    /// The limit on locked memory is too low.
    LockedMemory {
        /// RLIMIT_MEMLOCK in bytes.
        limit: u64,
    },
    /// No descriptors left.
    Descriptors {
        /// RLIMIT_NOFILE.
        limit: u64,
    },
    /// The kernel lacks an operation.
    MissingOperation {
        /// Its name.
        name: &'static str,
    },
    /// Any other error.
    Other {
        /// What was being set up.
        what: &'static str,
        /// The kernel's error.
        error: io::Error,
    },
}

impl SetupError {
    /// Determines the cause of a failed set-up of `what`.
    pub fn from_io(what: &'static str, error: io::Error) -> Self {
        if kernel_version().is_some_and(|version| version < KERNEL_MIN) {
            return Self::KernelTooOld { found: kernel_release() };
        }
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => match io_uring_disabled() {
                value @ 1.. => Self::DisabledBySysctl { value },
                0 => Self::Filtered { error },
            },
            Some(libc::ENOMEM) => Self::LockedMemory { limit: super::sys::locked_memory_limit() },
            Some(libc::EMFILE | libc::ENFILE) => {
                Self::Descriptors { limit: super::sys::descriptor_limit().0 }
            }
            _ => Self::Other { what, error },
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = KERNEL_MIN;
        match self {
            Self::KernelTooOld { found } => {
                write!(
                    f,
                    "this kernel is {found}; io_uring as used here needs Linux {major}.{minor} or newer"
                )
            }
            Self::DisabledBySysctl { value } => write!(
                f,
                "io_uring is switched off on this host (kernel.io_uring_disabled = {value}); an \
                 administrator allows it with: sysctl kernel.io_uring_disabled=0"
            ),
            Self::Filtered { error } => write!(
                f,
                "the io_uring system calls are blocked ({error}), by a seccomp filter as a rule; in a \
                 container, run it with the profile that allows them: docker run --security-opt \
                 seccomp=scripts/seccomp-quoit.json"
            ),
            Self::LockedMemory { limit } => write!(
                f,
                "the limit on locked memory is {} KiB, too little for the workers' rings: 1 MiB for each is \
                 plenty; raise it with ulimit -l, LimitMEMLOCK= in systemd, or --ulimit memlock=-1 in docker",
                limit / 1024
            ),
            Self::Descriptors { limit } => write!(
                f,
                "no file descriptors are left (limit {limit}); raise it with ulimit -n or LimitNOFILE="
            ),
            Self::MissingOperation { name } => write!(
                f,
                "the kernel has no io_uring operation {name}; Linux {major}.{minor} or newer has it"
            ),
            Self::Other { what, error } => write!(f, "could not set up {what}: {error}"),
        }
    }
}

impl std::error::Error for SetupError {}

/// Tests whether a worker can start here: creates a small ring and frees it. To be called before anything
/// else is set up, because the executor's own rings fail for the same reasons with less specific errors.
///
/// # Errors
/// The cause and the remedy.
pub fn check() -> Result<(), SetupError> {
    let limit = super::sys::locked_memory_limit();
    if limit < LOCKED_BYTES_MIN {
        return Err(SetupError::LockedMemory { limit });
    }
    // On its own thread: the kernel frees a ring later, in the thread that created it, and interrupts system
    // calls that wait there.
    let thread = std::thread::Builder::new().name("probe".to_owned());
    let thread = thread
        .spawn(|| build(8, 16).map(drop))
        .map_err(|error| SetupError::Other { what: "a thread (is there a limit on processes?)", error })?;
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Creates the ring, and checks that it supports every operation used.
pub(super) fn build(submissions: u32, completions: u32) -> Result<IoUring, SetupError> {
    if kernel_version().is_some_and(|version| version < KERNEL_MIN) {
        return Err(SetupError::KernelTooOld { found: kernel_release() });
    }
    let uring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(completions)
        .build(submissions)
        .map_err(|error| SetupError::from_io("the ring", error))?;
    let mut probe = KernelProbe::new();
    uring.submitter().register_probe(&mut probe).map_err(|error| SetupError::from_io("the probe", error))?;
    match OPERATIONS.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(SetupError::MissingOperation { name }),
        None => Ok(uring),
    }
}

const OPERATIONS: [(u8, &str); 12] = [
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::RecvMsg::CODE, "RECVMSG"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (opcode::Timeout::CODE, "TIMEOUT"),
    (opcode::OpenAt2::CODE, "OPENAT2"),
    (opcode::Read::CODE, "READ"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
];

/// A kernel feature, and the effect of its absence.
#[derive(Debug)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Whether it is available.
    pub present: bool,
    /// The effect of its absence.
    pub without: &'static str,
}

/// What `quoit doctor` reports of the kernel.
#[derive(Debug)]
pub struct Probe {
    /// The kernel's release.
    pub kernel: String,
    /// `kernel.io_uring_disabled`; 0 also when the kernel has no such setting.
    pub io_uring_disabled: u32,
    /// The features, or why no ring could be made at all.
    pub features: Result<Vec<Feature>, SetupError>,
}

impl Probe {
    /// Queries the kernel. Creates a ring and frees it.
    pub fn run() -> Self {
        Self { kernel: kernel_release(), io_uring_disabled: io_uring_disabled(), features: features() }
    }
}

fn features() -> Result<Vec<Feature>, SetupError> {
    let uring = build(8, 16)?;
    let params = uring.params();
    let feature = |name, present, without| Feature { name, present, without };
    Ok(vec![
        feature("single issuer, deferred task run", true, "nothing works: refused at start"),
        feature("provided buffer rings", true, "nothing works: refused at start"),
        feature(
            "completions skipped on success",
            params.is_feature_skip_cqe_on_success(),
            "every send would post a completion: about 5 % more CPU per request",
        ),
        feature(
            "completions never dropped",
            params.is_feature_nodrop(),
            "a burst beyond the completion queue could lose events",
        ),
        feature(
            "timeouts as arguments of enter",
            params.is_feature_ext_arg(),
            "waiting would need an operation per turn",
        ),
        feature(
            "native workers for blocking file work",
            params.is_feature_native_workers(),
            "cold files would be opened by less efficient threads",
        ),
        feature(
            "receive and send bundles (6.10)",
            params.is_feature_recvsend_bundle(),
            "nothing today; a later version may use them for uploads",
        ),
    ])
}

/// The kernel's release, for example `6.18.44`.
fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |s| s.trim().to_owned())
}

/// Major and minor version of the kernel, if they can be parsed.
pub fn kernel_version() -> Option<(u32, u32)> {
    parse_version(&kernel_release())
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn io_uring_disabled() -> u32 {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(parse_version("5.15.0-1-generic"), Some((5, 15)));
        assert_eq!(parse_version("7.0-rc1"), Some((7, 0)));
        assert_eq!(parse_version("strange"), None);
    }

    #[test]
    fn refusals_name_cause_and_remedy() {
        let refused = |code| io::Error::from_raw_os_error(code);
        let text = SetupError::Filtered { error: refused(libc::EPERM) }.to_string();
        assert!(text.contains("blocked") && text.contains("seccomp-quoit.json"), "{text}");
        let text = SetupError::DisabledBySysctl { value: 2 }.to_string();
        assert!(text.contains("kernel.io_uring_disabled = 2") && text.contains("sysctl"), "{text}");
        assert!(matches!(SetupError::from_io("x", refused(libc::EMFILE)), SetupError::Descriptors { .. }));
        assert!(matches!(SetupError::from_io("x", refused(libc::ENOMEM)), SetupError::LockedMemory { .. }));
    }

    #[test]
    fn this_kernel_serves() {
        let probe = Probe::run();
        let features = probe.features.expect("the test host runs the engine");
        assert!(features.iter().all(|feature| feature.present || feature.name.contains("6.10")));
    }
}
