//! `quoit serve --acme-domain …` as a process of its own, with its output captured, and places where an
//! authority looks.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::net::{Ca, Places, visit};
use crate::wait::until_within;

/// Longer than anything takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Somewhere to serve, and to keep state.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    pub(crate) places: Places,
}

/// An address that was free a moment ago.
pub(crate) fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let dns = dir.path().join("dns");
        fs::create_dir(&dns).unwrap();
        fs::create_dir(dir.path().join("site")).unwrap();
        fs::write(dir.path().join("site/index.html"), "hello").unwrap();
        Self { places: Places { http: free_addr(), tls: free_addr(), dns }, dir }
    }

    /// With a state of its own, in the same places.
    pub(crate) fn another(&self) -> Self {
        Self { places: self.places.clone(), ..Self::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its certificate files and what belongs to them.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        let mut folders = fs::read_dir(self.path("state")).unwrap().map(|entry| entry.unwrap().path());
        folders.find(|path| path.is_dir()).expect("one authority").join(name)
    }

    /// A command that keeps DNS records as files, and fails when asked to remove a missing record.
    pub(crate) fn hook(&self) -> String {
        let script = self.path("hook.sh");
        let text = "set -e\nfile=$DNS/$3\ncase $1 in\npresent) echo \"$4\" >>\"$file\" ;;\n\
                    cleanup) grep -qx -e \"$4\" \"$file\"\n\
                    grep -vx -e \"$4\" \"$file\" >\"$file.new\" || true\n\
                    mv \"$file.new\" \"$file\" ;;\nesac\n";
        fs::write(&script, text).unwrap();
        format!("env DNS={} sh {}", self.places.dns.display(), script.display())
    }

    /// The program, against this authority.
    pub(crate) fn serve(&self, ca: &Ca, args: &[&str]) -> Process {
        let root = self.path("root.pem");
        fs::write(&root, &ca.lock().root_pem).unwrap();
        let directory = format!("https://{}/dir", ca.addr);
        self.serve_against(&directory, &root, args)
    }

    pub(crate) fn serve_against(&self, directory: &str, root: &Path, args: &[&str]) -> Process {
        let listen = self.places.tls.to_string();
        let state = self.path("state");
        let mut command = Command::new(env!("CARGO_BIN_EXE_quoit"));
        command.arg("serve").arg(self.path("site")).args(["--workers", "2", "--listen", &listen]);
        command.args(["--acme-directory", directory]).arg("--acme-state").arg(state);
        command.arg("--acme-ca-root").arg(root).args(args);
        Process::start(command)
    }

    /// The serial number of what visitors get from `name`, once they get anything.
    pub(crate) fn visited(&self, process: &Process, name: &str, roots: &str) -> Vec<u8> {
        process.until("visitors are served", || visit(self.places.tls, name, roots).ok())
    }
}

/// A process of ours, killed when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it is installed");
        let stderr = child.stderr.take().expect("piped above");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The first line with all these words, once it is said.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        self.until(&format!("{words:?}"), || {
            self.said().into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        until_within(PATIENCE * 2, what, || {
            let found = look();
            let is_late = found.is_none() && began.elapsed() > PATIENCE;
            assert!(!is_late, "not seen: {what}; it said {:#?}", self.said());
            found
        })
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until_within(PATIENCE, "the end of the program", || self.child.try_wait().unwrap())
    }

    /// As a power failure would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
