//! Trials of the program from outside, as a process of its own: one that is stopped while it measures, and a
//! search for a capacity that is known.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::server::{self, Manner};
use crate::commands::process::Scratch;
use crate::exit::{Exit, Failure};
use crate::report::json;
use crate::result::RunResult;

/// How long the generator is stopped.
const STOPPED: Duration = Duration::from_secs(1);

/// What the server of the capacity trial does a second, and what may be found: a step more at the most.
const CAPACITY: f64 = 1_000.0;
const CAPACITY_MOST: f64 = 1_100.0;

/// A process that ends with its handle.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(words: &[String]) -> Result<Ended, Failure> {
    let cannot = |error| Failure::Usage(format!("this program does not start itself: {error}"));
    let own = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(own);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(Ended).map_err(cannot)
}

fn url(manner: Manner) -> Result<String, Failure> {
    let cannot = |error| Failure::Usage(format!("the server of the selftest does not start: {error}"));
    Ok(format!("http://{}/", server::start(manner).map_err(cannot)?))
}

fn words(line: &str, cpus: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    words.extend(cpus.into_iter().flat_map(|cpus| ["--cpus".to_owned(), cpus.to_owned()]));
    words
}

/// A generator that does not run for a second must say so: in an open loop as in a closed one, for every
/// figure that it spoils. The text, and how many figures are wrong.
pub(super) fn stopped(cpus: Option<&str>) -> Result<(String, usize), Failure> {
    let (mut text, mut misses) = (String::new(), 0);
    for flags in ["-R 1000 -c 10 -d 4s", "-c 10 -d 4s"] {
        writeln!(text, "the generator itself stopped for 1 s ({flags})").expect("writing to memory");
        let result = stop_one(flags, cpus)?;
        let told = result.validity.reasons.join("; ");
        let own_ms = result.total.own.as_deref().and_then(|own| own.measured.max()).unwrap_or(0) / 1_000_000;
        for (is_met, what) in [
            (
                !result.validity.is_valid() && told.contains("generator itself"),
                "the run is invalid".to_owned(),
            ),
            (own_ms >= 900, format!("response times that may be its own are up to {own_ms} ms")),
        ] {
            misses += usize::from(!is_met);
            writeln!(text, "  {} {what}", if is_met { "ok  " } else { "MISS" }).expect("writing to memory");
        }
    }
    Ok((text, misses))
}

fn stop_one(flags: &str, cpus: Option<&str>) -> Result<RunResult, Failure> {
    let (scratch, url) = (Scratch::new()?, url(Manner::SlowEvery(u64::MAX))?);
    let file = scratch.file("run.json");
    let mut words = words(&format!("bench {url} {flags}"), cpus);
    words.extend(["-o".to_owned(), format!("json={}", file.display())]);
    let mut bench = start(&words)?;
    // In the midst of the run: it connects and starts within less than a second, or a little later.
    thread::sleep(Duration::from_secs(2));
    let pid = Pid::from_child(&bench.0);
    let _ = kill_process(pid, Signal::STOP);
    thread::sleep(STOPPED);
    let _ = kill_process(pid, Signal::CONT);
    wait(&mut bench, Duration::from_secs(20))?;
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    json::read(&text)
        .map_err(|error| Failure::Invalid(format!("the stopped generator left no result: {error}")))
}

/// No rate is met that the server cannot hold, however short the runs are. A machine that is too busy to find
/// any is reported, and nothing follows from that.
pub(super) fn capacity(cpus: Option<&str>) -> Result<(String, usize), Failure> {
    let (scratch, url) = (Scratch::new()?, url(Manner::OneByOne)?);
    let file = scratch.file("capacity.json");
    let flags = "--slo err<0.1% --seconds 1 --warmup 0.1 --repeats 1 --precision 20 --start 600";
    let mut words = words(&format!("capacity {url} {flags}"), cpus);
    words.extend(["--json".to_owned(), file.display().to_string(), "--".to_owned()]);
    words.extend(["-c", "32", "--timeout", "1s"].map(str::to_owned));
    let mut search = start(&words)?;
    let code = wait(&mut search, Duration::from_secs(120))?;
    let mut text = format!("the capacity of a server of {CAPACITY:.0}/s ({flags})\n");
    let read = std::fs::read_to_string(&file).unwrap_or_default();
    let found =
        serde_json::from_str::<serde_json::Value>(&read).ok().and_then(|read| read["capacity"].as_f64());
    let is_met = match found {
        Some(found) => {
            let is_met = found <= CAPACITY_MOST;
            let mark = if is_met { "ok  " } else { "MISS" };
            writeln!(text, "  {mark} capacity: {found:.0}/s, at most {CAPACITY_MOST:.0}/s").expect("memory");
            is_met
        }
        None => {
            let is_met = code == Some(Exit::Invalid as i32);
            let mark = if is_met { "--  " } else { "MISS" };
            writeln!(text, "  {mark} none was found: this machine is too busy").expect("memory");
            is_met
        }
    };
    Ok((text, usize::from(!is_met)))
}

/// Waits for a process to end; its exit code.
fn wait(process: &mut Ended, longest: Duration) -> Result<Option<i32>, Failure> {
    let deadline = Instant::now() + longest;
    while Instant::now() < deadline {
        match process.0.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
    Err(Failure::Invalid(format!("loadgen did not end within {} s", longest.as_secs())))
}
