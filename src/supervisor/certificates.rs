//! Watches the files of TLS listeners, on a thread beside the serving cores: new files are loaded once they
//! are stable, invalid ones are reported once, and expiry is reported in time. Loading and replacing is done
//! by `net::tls`.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::net::tls::{CertificateFacts, FileVersion, TlsServer};
use crate::observe::log;

/// Interval at which files are checked: the delay until a change is noticed, and the time for which files
/// must be unchanged.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Interval at which warnings are repeated, and self-signed certificates are checked for replacement.
const WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Time limit for the thread to end. Reading files takes milliseconds.
const END_WITHIN: Duration = Duration::from_millis(200);

/// The watcher thread; it ends when this is dropped.
pub(super) struct CertificateWatch {
    /// `None` during shutdown.
    commands: Option<mpsc::Sender<WatchCommand>>,
    thread: Option<JoinHandle<()>>,
}

enum WatchCommand {
    /// Reload all files: SIGHUP.
    Reload,
    /// Watch these from now on.
    Watch(Vec<Arc<TlsServer>>),
}

impl CertificateWatch {
    /// Reports the presented certificates and the warnings, and starts to watch.
    pub(super) fn start(servers: Vec<Arc<TlsServer>>, quiet: bool) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let mut watched: Vec<WatchedCertificates> =
            servers.into_iter().map(WatchedCertificates::new).collect();
        let now = SystemTime::now();
        for one in &mut watched {
            report(one.begin(now), quiet);
        }
        let thread = thread::Builder::new().name("quoit-certificates".to_owned()).spawn(move || {
            let mut warned_at = Instant::now();
            loop {
                let asked = match inbox.recv_timeout(LOOK_EVERY) {
                    Ok(WatchCommand::Reload) => true,
                    Ok(WatchCommand::Watch(servers)) => {
                        rewatch(&mut watched, servers, quiet);
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => false,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                let now = SystemTime::now();
                let daily = warned_at.elapsed() >= WARN_EVERY;
                if daily {
                    warned_at = Instant::now();
                }
                for one in &mut watched {
                    report(one.look(asked, daily, now), quiet);
                    if daily {
                        report(one.warnings(now), quiet);
                    }
                }
            }
        })?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    /// Reloads all files now.
    pub(super) fn reload(&self) {
        if let Some(commands) = &self.commands {
            // A thread that has ended can only have panicked, and its message was printed.
            let _ = commands.send(WatchCommand::Reload);
        }
    }

    /// Watches these from now on, in place of the former ones.
    pub(super) fn watch(&self, servers: Vec<Arc<TlsServer>>) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(WatchCommand::Watch(servers));
        }
    }
}

impl Drop for CertificateWatch {
    /// Waits for the thread, but not without end: it may be reading from a file system that hangs.
    fn drop(&mut self) {
        self.commands = None;
        let Some(thread) = self.thread.take() else { return };
        let began = Instant::now();
        while !thread.is_finished() && began.elapsed() < END_WITHIN {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Keeps what is known of those that stay, and reports those that are new.
fn rewatch(watched: &mut Vec<WatchedCertificates>, servers: Vec<Arc<TlsServer>>, quiet: bool) {
    watched.retain(|one| servers.iter().any(|server| Arc::ptr_eq(server, &one.server)));
    for server in servers {
        if !watched.iter().any(|one| Arc::ptr_eq(&one.server, &server)) {
            let mut new = WatchedCertificates::new(server);
            report(new.begin(SystemTime::now()), quiet);
            watched.push(new);
        }
    }
}

/// A line for the operator.
#[derive(Debug, PartialEq, Eq)]
enum ReportLine {
    /// Omitted with --quiet.
    Fact(String),
    /// Requires action.
    Concern(String),
}

fn report(lines: Vec<ReportLine>, quiet: bool) {
    for line in lines {
        match line {
            ReportLine::Fact(_) if quiet => {}
            ReportLine::Fact(text) | ReportLine::Concern(text) => log::line(format_args!("{text}")),
        }
    }
}

/// One listener's files.
struct WatchedCertificates {
    server: Arc<TlsServer>,
    /// The versions of the files when they were last loaded, or rejected.
    tried: Vec<FileVersion>,
    /// Their versions at the last check.
    seen: Vec<FileVersion>,
    /// Fingerprints of the certificates that were reported as presented.
    reported: Vec<String>,
}

impl WatchedCertificates {
    fn new(server: Arc<TlsServer>) -> Self {
        let versions = server.loaded_versions();
        Self { server, tried: versions.clone(), seen: versions, reported: Vec::new() }
    }

    fn begin(&mut self, now: SystemTime) -> Vec<ReportLine> {
        let mut lines = self.news(now);
        lines.extend(self.warnings(now));
        lines
    }

    /// Checks the files: they are reloaded when they differ from the last attempt and are unchanged since the
    /// last check, so that chain and key can be written one after the other. When `asked` they are reloaded
    /// even if they look the same: tools preserve times, and lengths are the same by chance. When `daily`,
    /// a self-signed certificate is replaced in time.
    fn look(&mut self, asked: bool, daily: bool, now: SystemTime) -> Vec<ReportLine> {
        let versions = self.server.versions();
        let is_settled = versions == self.seen;
        self.seen.clone_from(&versions);
        let is_new = versions != self.tried;
        let is_due = is_new && is_settled;
        if !asked && !daily && !is_due {
            // The ACME thread may have reloaded them already.
            return self.news(now);
        }
        self.tried = versions;
        let outcome = if asked { self.server.reload_all() } else { self.server.reload() };
        let mut lines = self.news(now);
        match outcome {
            Ok(_) if is_new || !lines.is_empty() => lines.extend(self.warnings(now)),
            Ok(_) => {}
            Err(error) => {
                let kept = "what was read before stays in use";
                lines
                    .extend(error.problems().iter().map(|one| ReportLine::Concern(format!("{one}; {kept}"))));
            }
        }
        lines
    }

    /// The certificates that are presented and were not reported yet.
    fn news(&mut self, now: SystemTime) -> Vec<ReportLine> {
        let facts = self.server.inventory();
        let is_new = |one: &&CertificateFacts| !self.reported.contains(&one.fingerprint);
        let lines = facts.iter().filter(is_new).map(|one| ReportLine::Fact(presents(one, now))).collect();
        self.reported = facts.into_iter().map(|one| one.fingerprint).collect();
        lines
    }

    fn warnings(&self, now: SystemTime) -> Vec<ReportLine> {
        let warnings = self.server.warnings(now);
        warnings.iter().map(|warning| ReportLine::Concern(warning.to_string())).collect()
    }
}

fn presents(facts: &CertificateFacts, now: SystemTime) -> String {
    let kind = if facts.is_self_signed { "self-signed certificate" } else { "certificate" };
    let names = facts.name_list();
    let (key, expiry) = (&facts.key, facts.expiry());
    match facts.days_left(now) {
        // A line of its own says how long ago.
        ..0 => format!("{kind} for {names} ({key}, expired {expiry})"),
        days => format!("{kind} for {names} ({key}, expires {expiry}, {days} days left)"),
    }
}

/// Watches the certificates of all TLS listeners, each once.
pub(super) fn watch(
    tls: &[Option<Arc<TlsServer>>],
    quiet: bool,
) -> std::io::Result<Option<CertificateWatch>> {
    let mut servers: Vec<Arc<TlsServer>> = Vec::new();
    for tls in tls.iter().flatten() {
        if !servers.iter().any(|known| Arc::ptr_eq(known, tls)) {
            servers.push(tls.clone());
        }
    }
    if servers.is_empty() { Ok(None) } else { CertificateWatch::start(servers, quiet).map(Some) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::net::tls::{CertificateFiles, TlsOptions};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn make(name: &str, days: u32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + DAY * days).into();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn put(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// A directory with a certificate for `a.test`, watched.
    fn watched(days: u32) -> (tempfile::TempDir, WatchedCertificates) {
        let dir = tempfile::tempdir().unwrap();
        let [chain, key] = ["a.pem", "a.key"].map(|name| dir.path().join(name));
        let (pem, key_pem) = make("a.test", days);
        put(&chain, &pem);
        put(&key, &key_pem);
        let certificates = vec![CertificateFiles::new(chain, key)];
        let server = TlsServer::new(TlsOptions { certificates, ..TlsOptions::default() }).unwrap();
        (dir, WatchedCertificates::new(server))
    }

    #[track_caller]
    fn has(lines: &[ReportLine], words: &str) {
        let found = |line: &ReportLine| match line {
            ReportLine::Fact(text) | ReportLine::Concern(text) => text.contains(words),
        };
        assert!(lines.iter().any(found), "`{words}` is missing: {lines:?}");
    }

    #[test]
    fn what_is_presented_is_told_at_the_start_and_expiry_in_time() {
        let now = SystemTime::now();
        let (_dir, mut fresh) = watched(90);
        let lines = fresh.begin(now);
        assert_eq!(lines.len(), 1, "{lines:?}");
        has(&lines, "certificate for a.test (ECDSA P-256, expires ");
        assert_eq!(fresh.look(false, false, now), []);
        assert_eq!(fresh.warnings(now + 75 * DAY), []);
        has(&fresh.warnings(now + 77 * DAY), "a.pem: the certificate for a.test expires in 1");
        has(&fresh.warnings(now + 91 * DAY), "EXPIRED");
        let (_dir, mut old) = watched(10);
        has(&old.begin(now)[..1], "days left)");
        let (_dir, mut expired) = watched(10);
        let lines = expired.begin(now + 12 * DAY);
        has(&lines[..1], ", expired ");
        assert!(!format!("{:?}", lines[0]).contains("left"), "{lines:?}");
    }

    #[test]
    fn new_files_are_taken_once_they_have_settled() {
        let now = SystemTime::now();
        let (dir, mut watch) = watched(90);
        watch.begin(now);
        let (pem, key) = make("b.test", 90);
        put(&dir.path().join("a.pem"), &pem);
        assert_eq!(watch.look(false, false, now), [], "half of them: the key is still to come");
        put(&dir.path().join("a.key"), &key);
        assert_eq!(watch.look(false, false, now), [], "they have just changed");
        let lines = watch.look(false, false, now);
        assert_eq!(lines.len(), 1, "{lines:?}");
        has(&lines, "certificate for b.test");
        assert_eq!(watch.look(false, false, now), []);
    }

    #[test]
    fn broken_files_are_told_once_and_again_when_asked() {
        let now = SystemTime::now();
        let (dir, mut watch) = watched(90);
        watch.begin(now);
        let (pem, _) = make("b.test", 90);
        put(&dir.path().join("a.pem"), &pem);
        assert_eq!(watch.look(false, false, now), []);
        let lines = watch.look(false, false, now);
        assert_eq!(lines.len(), 1, "{lines:?}");
        has(&lines, "a.key: this private key does not belong to the certificate in ");
        has(&lines, "stays in use");
        assert_eq!(watch.server.inventory()[0].name_list(), "a.test");
        assert_eq!(watch.look(false, false, now), [], "once");
        assert_eq!(watch.look(true, false, now).len(), 1, "a request is always answered");
    }

    #[test]
    fn files_that_look_the_same_are_read_when_asked() {
        let now = SystemTime::now();
        let (dir, mut watch) = watched(90);
        watch.begin(now);
        let [chain, key] = ["a.pem", "a.key"].map(|name| dir.path().join(name));
        let (before, before_key) = [&chain, &key].map(|path| fs::read(path).unwrap()).into();
        // Written over in place, with the length and the time of what was there.
        let (pem, key_pem) = loop {
            let (pem, key) = make("b.test", 90);
            if (pem.len(), key.len()) == (before.len(), before_key.len()) {
                break (pem, key);
            }
        };
        for (path, text) in [(&chain, &pem), (&key, &key_pem)] {
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
            file.set_modified(modified).unwrap();
        }
        assert_eq!(watch.look(false, false, now), [], "they look the same");
        has(&watch.look(true, false, now), "certificate for b.test");
        assert_eq!(watch.server.inventory()[0].name_list(), "b.test");
    }

    #[test]
    fn what_others_have_had_read_is_told_too() {
        let now = SystemTime::now();
        let (dir, mut watch) = watched(90);
        watch.begin(now);
        let (pem, key) = make("b.test", 90);
        put(&dir.path().join("a.pem"), &pem);
        put(&dir.path().join("a.key"), &key);
        watch.server.reload().unwrap();
        has(&watch.look(false, false, now), "certificate for b.test");
        assert_eq!(watch.look(false, false, now), []);
    }

    #[test]
    fn the_thread_reloads_when_asked_and_ends() {
        let (dir, watch) = watched(90);
        let server = watch.server.clone();
        let watch = CertificateWatch::start(vec![server.clone()], true).unwrap();
        let (pem, key) = make("b.test", 90);
        put(&dir.path().join("a.pem"), &pem);
        put(&dir.path().join("a.key"), &key);
        watch.reload();
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.inventory()[0].name_list() != "b.test" {
            assert!(Instant::now() < deadline, "it was not taken");
            thread::sleep(Duration::from_millis(5));
        }
        drop(watch);
    }
}
