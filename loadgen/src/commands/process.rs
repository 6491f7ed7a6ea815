//! Children of this program: started on a CPU of their own, waited for, and ended on every way out. Knows
//! neither servers nor generators.
//!
//! Each child leads a process group, so that what it starts ends with it and a Ctrl-C on the terminal reaches
//! this program alone, which then ends them. Only SIGKILL on this program leaves them behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::Failure;

/// How often a child and the signals are looked at. Twenty looks a second cost the generator's CPU nothing
/// that could be measured.
const LOOK: Duration = Duration::from_millis(50);

/// Between asking a child to end and killing it. Servers drain in it; no requests are sent any more.
const GRACE: Duration = Duration::from_secs(2);

/// Whether a signal asked this program to end.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let flag = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, flag.0.clone())
                .map_err(|error| Failure::Usage(format!("signals cannot be handled: {error}")))?;
        }
        Ok(flag)
    }

    /// Fails once a signal came.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
    }
}

/// A directory for output of children, removed in the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one below the directory for temporary files.
    pub(crate) fn new() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let pid = std::process::id();
        // A name that is taken is left alone: it may be anyone's.
        let free = (0..1000)
            .map(|n| parent.join(format!("loadgen-{pid}-{n}")))
            .find(|path| fs::create_dir(path).is_ok());
        free.map(Self).ok_or_else(|| {
            let place = parent.display();
            Failure::Usage(format!("{place} takes no directory; set TMPDIR to a writable one"))
        })
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is no reason to fail a measurement that is done.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running child and all it started.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its words as they are; what it prints goes to the file `log`. With `cpu` it runs
    /// there alone. The error is why it did not start.
    pub(crate) fn start(words: &[String], cpu: Option<usize>, log: &Path) -> Result<Self, String> {
        let [program, arguments @ ..] = words else { return Err("an empty command".to_string()) };
        let cannot = |error| format!("`{program}` does not start: {error}");
        let output = fs::File::create(log).map_err(cannot)?;
        let errors = output.try_clone().map_err(cannot)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawn_on(command, cpu).map_err(|error| format!("`{program}` does not start: {error}"))?;
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends, for at most `longest`; `None` when it did not.
    pub(crate) fn wait(
        &mut self,
        longest: Duration,
        interrupt: &Interrupt,
    ) -> Result<Option<ExitStatus>, Failure> {
        let deadline = Instant::now() + longest;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Ok(Some(status));
            }
            interrupt.check()?;
            thread::sleep(LOOK);
        }
        Ok(self.ended())
    }

    /// The last lines it printed, as one.
    pub(crate) fn last_words(&self) -> String {
        let printed = fs::read(&self.log).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let lines: Vec<&str> = printed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Until it is waited for, its number and its group's cannot be reused.
        let group = Pid::from_child(&self.child);
        let deadline = Instant::now() + GRACE;
        if self.ended().is_none() {
            let _ = kill_process_group(group, Signal::TERM);
            while self.ended().is_none() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
        // The group outlives its leader as long as it has members; without any there is nothing to kill.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A child has the CPUs of the thread that starts it.
fn spawn_on(mut command: Command, cpu: Option<usize>) -> Result<Child, String> {
    let Some(cpu) = cpu else { return command.spawn().map_err(|error| error.to_string()) };
    let known = core_affinity::get_core_ids().unwrap_or_default().iter().any(|core| core.id == cpu);
    let pinned = thread::spawn(move || {
        // Asked for a number beyond its mask the crate panics.
        if !known || !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
            return Err(format!("CPU {cpu} is not available to this process (see taskset -p)"));
        }
        command.spawn().map_err(|error| error.to_string())
    });
    pinned.join().unwrap_or_else(|_| Err("the thread that starts it died".to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(scratch: &Scratch, words: &[&str]) -> Result<Process, String> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        Process::start(&words, None, &scratch.file("log"))
    }

    fn is_alive(pid: &str) -> bool {
        // A zombie is no process any more that could do anything.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.starts_with(" Z"))
    }

    #[test]
    fn a_dropped_child_takes_its_children_along() {
        let scratch = Scratch::new().unwrap();
        let mut child =
            start(&scratch, &["sh", "-c", "trap '' TERM; sleep 60 & echo $!; exec sleep 61"]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while child.last_words().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let (own, inner) = (child.pid().to_string(), child.last_words());
        assert!(is_alive(&own) && is_alive(&inner), "{own} and {inner}");
        assert_eq!(child.ended(), None);
        drop(child);
        // The inner one has another parent to wait for it; it is killed at once.
        thread::sleep(Duration::from_millis(100));
        assert!(!is_alive(&own) && !is_alive(&inner), "{own} and {inner}");
    }

    #[test]
    fn what_it_said_is_kept_and_its_end_is_seen() {
        let scratch = Scratch::new().unwrap();
        let mut child = start(&scratch, &["sh", "-c", "echo one; echo two >&2; echo; exit 7"]).unwrap();
        let ended = child.wait(Duration::from_secs(10), &Interrupt::default()).unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(7));
        assert_eq!(child.last_words(), "one / two");
        let place = scratch.file("");
        drop(scratch);
        assert!(!place.exists());
    }

    #[test]
    fn waiting_ends_in_time_and_by_signal() {
        let scratch = Scratch::new().unwrap();
        let mut child = start(&scratch, &["sleep", "60"]).unwrap();
        assert_eq!(child.wait(Duration::from_millis(60), &Interrupt::default()), Ok(None));
        let interrupt = Interrupt::default();
        interrupt.0.store(true, Ordering::Relaxed);
        assert_eq!(child.wait(Duration::from_secs(60), &interrupt), Err(Failure::Interrupted));
    }

    #[test]
    fn what_does_not_start_is_named() {
        let scratch = Scratch::new().unwrap();
        assert!(start(&scratch, &[]).is_err());
        assert!(start(&scratch, &["/nonexistent/server"]).err().unwrap().contains("/nonexistent/server"));
        let words = ["true".to_string()];
        let wrong = Process::start(&words, Some(100_000), &scratch.file("log")).err().unwrap();
        assert!(wrong.contains("CPU 100000"), "{wrong}");
    }
}
