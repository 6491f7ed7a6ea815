//! Runs of `loadgen bench` as processes of their own: every one begins with nothing warmed or left over, and
//! its flags are those of users. Knows neither blocks nor rates to look for.

use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

use super::process::{Interrupt, Process, Scratch};
use super::words;
use crate::exit::{Exit, Failure};
use crate::plan::{secrets, units};
use crate::result::RunResult;

/// Beyond its planned length: time to connect, to wait for late answers and to write.
const CHILD_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts runs, one at a time.
pub(crate) struct Generator {
    /// The program and its first arguments.
    pub(crate) program: Vec<String>,
    /// CPUs, as `--cpus` takes them; `None` leaves the choice to it.
    pub(crate) cpus: Option<String>,
    /// Where its result is written and read.
    pub(crate) scratch: Scratch,
    /// Ends a run early.
    pub(crate) interrupt: Interrupt,
}

/// One run.
pub(crate) struct Order<'a> {
    /// Flags and targets of the user.
    pub(crate) arguments: &'a [String],
    /// Requests per second of an open loop; `None` makes it a closed one.
    pub(crate) rate: Option<f64>,
    /// Length of the measured phase.
    pub(crate) measured: Duration,
    /// Length of what comes before.
    pub(crate) warmup: Duration,
    /// Seed of arrivals and all else.
    pub(crate) seed: u64,
    /// The server, for its cost.
    pub(crate) server_pid: Option<u32>,
}

impl Generator {
    /// This program's own `bench`, unless the user names another command.
    pub(crate) fn new(
        bench_cmd: Option<&str>,
        cpus: Option<String>,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let program = match bench_cmd {
            Some(line) => words::split(line).map_err(Failure::Usage)?,
            None => vec![own_path()?, "bench".to_string()],
        };
        Ok(Self { program, cpus, scratch: Scratch::new()?, interrupt })
    }

    /// Runs to its end. A result marked as invalid is returned as one.
    pub(crate) fn run(&self, order: &Order) -> Result<RunResult, Failure> {
        let file = self.scratch.file("run.json");
        let _ = fs::remove_file(&file);
        let words = self.words(order, file.as_os_str());
        let mut process = Process::start(&words, None, &self.scratch.file("run.log"))
            .map_err(|cause| Failure::Usage(format!("the generator: {cause}")))?;
        let longest = order.warmup + order.measured + CHILD_TIMEOUT;
        let status = process.wait(longest, &self.interrupt)?;
        let told = |what: String| match process.last_words() {
            said if said.is_empty() => what,
            // What this program says of itself is a whole sentence.
            said => said.strip_prefix("loadgen: ").map_or_else(|| format!("{what}: {said}"), str::to_string),
        };
        let code = match status {
            None => {
                let late = format!("the generator did not end within {} s", longest.as_secs());
                return Err(Failure::Invalid(told(late)));
            }
            Some(status) => status.code(),
        };
        match (code, fs::read_to_string(&file)) {
            (Some(code), Ok(text)) if code != Exit::Usage as i32 => {
                let cannot = |error| Failure::Invalid(told(format!("the generator's result: {error}")));
                serde_json::from_str(&text).map_err(cannot)
            }
            (Some(code), _) if code == Exit::Target as i32 => {
                Err(Failure::Target(told("the target fails".to_string())))
            }
            (Some(code), _) if code == Exit::Invalid as i32 => {
                Err(Failure::Invalid(told("the run is invalid".to_string())))
            }
            (Some(_), _) => Err(Failure::Usage(told(format!("`{}`", words::join(&secrets::hidden(words)))))),
            (None, _) => Err(Failure::Invalid(told("the generator died of a signal".to_string()))),
        }
    }

    fn words(&self, order: &Order, file: &OsStr) -> Vec<String> {
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let mut words = self.program.clone();
        words.extend(without_lag_allowed(order.arguments).0);
        let mut flag = |name: &str, value: String| words.extend([name.to_string(), value]);
        flag("-d", millis(order.measured));
        flag("--warmup", millis(order.warmup));
        flag("--seed", order.seed.to_string());
        if let Some(rate) = order.rate {
            flag("-R", format!("{rate:.3}"));
        }
        if let Some(cpus) = &self.cpus {
            flag("--cpus", cpus.clone());
        }
        if let Some(pid) = order.server_pid {
            flag("--server-pid", pid.to_string());
        }
        // The caller of the run judges its figures, because it determines which of them count.
        flag("--lag-allowed", "24h".to_string());
        flag("-o", format!("json={}", file.to_string_lossy()));
        words
    }
}

/// The lateness of the generator that these flags of `bench` allow in any figure.
///
/// # Errors
/// When it is no duration.
pub(crate) fn lag_allowed(arguments: &[String]) -> Result<Duration, Failure> {
    match without_lag_allowed(arguments).1 {
        None => Ok(Duration::ZERO),
        Some(text) => units::duration(&text).map_err(|line| Failure::Usage(format!("--lag-allowed: {line}"))),
    }
}

fn without_lag_allowed(arguments: &[String]) -> (Vec<String>, Option<String>) {
    let (mut rest, mut allowed) = (Vec::new(), None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--lag-allowed") {
            Some("") => allowed = words.next().cloned(),
            Some(value) if value.starts_with('=') => allowed = Some(value[1..].to_string()),
            _ => rest.push(word.clone()),
        }
    }
    (rest, allowed)
}

fn own_path() -> Result<String, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::Usage(format!("this program's own path is unknown: {error}")))?;
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_lateness_is_taken_out_of_the_flags() {
        let read = |line: &str| {
            let words = words::split(line).unwrap();
            (words::join(&without_lag_allowed(&words).0), lag_allowed(&words).ok())
        };
        let micros = |n| Some(Duration::from_micros(n));
        assert_eq!(read("-c 8 http://h/"), ("-c 8 http://h/".to_string(), micros(0)));
        assert_eq!(read("--lag-allowed 60us -c 8"), ("-c 8".to_string(), micros(60)));
        assert_eq!(read("-c 8 --lag-allowed=1ms"), ("-c 8".to_string(), micros(1000)));
        assert_eq!(read("--lag-allowed x"), (String::new(), None));
    }
}
