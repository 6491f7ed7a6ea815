//! The operator's command that creates and removes DNS records for DNS-01: `CMD present|cleanup DOMAIN RECORD
//! VALUE`. Runs it with a time limit; implements no DNS.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::pace::{Clock, Stopped};

/// Longest run of the command. It returns once the record is visible to resolvers, which takes minutes with
/// some providers.
pub(super) const HOOK_TIME_MAX: Duration = Duration::from_secs(600);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The operation requested from the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Create the record, and return when it is visible.
    Present,
    /// Remove it.
    Cleanup,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Cleanup => "cleanup",
        }
    }
}

/// A TXT record that answers a DNS-01 challenge (RFC 8555 §8.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsRecord {
    /// The name to validate, without `*.`.
    pub domain: String,
    /// Name of the record: `_acme-challenge.` and the domain.
    pub name: String,
    /// Its text. A name and its wildcard have one record each under the same name, one after the other.
    pub value: String,
}

/// The command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// It could not be started or waited for.
    #[error("--acme-dns-hook `{0}` could not be run: {1}")]
    Run(String, #[source] io::Error),
    /// It exited with an error status.
    #[error(
        "--acme-dns-hook `{0}` ended with {1}; what it printed is above, and running it by hand tells more"
    )]
    Failed(String, ExitStatus),
    /// It did not exit in time.
    #[error(
        "--acme-dns-hook `{0}` did not return within {limit} s and was killed; it should return once the \
         record can be seen",
        limit = .1.as_secs()
    )]
    TooSlow(String, Duration),
    /// The server is stopping.
    #[error("the server ends")]
    Stopped,
}

/// Runs `command` in a shell, so that it may have arguments; the record's parts are passed as single words,
/// whatever they contain. Its output goes to the standard error of this process.
///
/// # Errors
/// See [`HookError`].
pub(super) fn run(
    command: &str,
    action: Action,
    record: &DnsRecord,
    limit: Duration,
    clock: &dyn Clock,
) -> Result<(), HookError> {
    let failed = |error| HookError::Run(command.to_owned(), error);
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("exec {command} \"$@\""), "quoit-dns-hook"])
        .args([action.as_str(), &record.domain, &record.name, &record.value])
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .spawn()
        .map_err(failed)?;
    let mut waited = Duration::ZERO;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(HookError::Failed(command.to_owned(), status)),
            None if waited >= limit => {
                end(&mut child);
                return Err(HookError::TooSlow(command.to_owned(), limit));
            }
            None => {}
        }
        if clock.sleep(LOOK_EVERY) == Err(Stopped) {
            end(&mut child);
            return Err(HookError::Stopped);
        }
        waited += LOOK_EVERY;
    }
}

fn end(child: &mut Child) {
    // It may have exited meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::super::pace::SystemClock;
    use super::*;

    fn record() -> DnsRecord {
        DnsRecord {
            domain: "a.example".into(),
            name: "_acme-challenge.a.example".into(),
            value: "$(id) 'x'".into(),
        }
    }

    #[test]
    fn the_command_gets_its_words_whole() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = dir.path().join("hook");
        fs::write(&script, "printf '[%s]' \"$@\" > \"$OUT\"\n").unwrap();
        let command = format!("env OUT={} sh {} --zone 1", out.display(), script.display());
        let clock = SystemClock::default();
        run(&command, Action::Present, &record(), HOOK_TIME_MAX, &clock).unwrap();
        assert_eq!(
            fs::read_to_string(out).unwrap(),
            "[--zone][1][present][a.example][_acme-challenge.a.example][$(id) 'x']"
        );
    }

    #[test]
    fn failures_name_the_command() {
        let clock = SystemClock::default();
        let told = |command: &str, limit| {
            run(command, Action::Cleanup, &record(), limit, &clock).unwrap_err().to_string()
        };
        assert!(
            told("false", HOOK_TIME_MAX).starts_with("--acme-dns-hook `false` ended with exit status: 1")
        );
        assert!(told("/does/not/exist", HOOK_TIME_MAX).contains("exit status: 127"));
        let began = Instant::now();
        assert!(told("sleep 600 #", Duration::from_millis(100)).contains("was killed"));
        assert!(began.elapsed() < Duration::from_secs(60));
        clock.stop();
        assert!(matches!(
            run("sleep 600 #", Action::Present, &record(), HOOK_TIME_MAX, &clock),
            Err(HookError::Stopped)
        ));
    }
}
