//! `loadgen compare` from its flags to its exit codes, with servers that only accept and a generator that
//! invents its figures (compare/bench.sh): what is judged here is the comparison, not the measurement.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Not a test: this program is its own server. It accepts until it is ended, when asked to by PORT, and tells
/// its process id.
#[test]
fn server() {
    let Ok(port) = std::env::var("PORT") else { return };
    let pids = std::env::var("PIDS").expect("who starts it names a place");
    fs::write(Path::new(&pids).join(std::process::id().to_string()), "").unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    listener.incoming().for_each(drop);
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("pids")).unwrap();
        bench.scenario(r#"{"scenarios": [{"name": "plain", "bench": "-c 8 http://127.0.0.1:{port}/"}]}"#);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn scenario(&self, text: &str) {
        fs::write(self.path("scenario.json"), text).unwrap();
    }

    /// The command of a server that accepts; `facts` are what the invented generator reads.
    fn server(&self, facts: &str) -> String {
        let own = std::env::current_exe().unwrap();
        let pids = self.path("pids");
        let (own, pids) = (own.display(), pids.display());
        format!("env PORT={{port}} PIDS={pids} {facts} {own} --exact server --nocapture")
    }

    fn command(&self, flags: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compare/bench.sh");
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        command.arg("compare").args(flags).env_remove("GITHUB_STEP_SUMMARY").stdin(Stdio::null());
        if !flags.iter().any(|flag| flag.ends_with(".json")) {
            command.arg("--scenario").arg(self.path("scenario.json"));
            command.arg("--bench-cmd").arg(format!("sh '{}'", script.display()));
        }
        command
    }

    /// Compares two servers by their facts.
    fn compare(&self, base: &str, head: &str, flags: &[&str]) -> (i32, String, String) {
        let (base, head) = (self.server(base), self.server(head));
        let all = [&["--base-cmd", base.as_str(), "--head-cmd", head.as_str()], flags].concat();
        self.ends(&mut self.command(&all))
    }

    fn ends(&self, command: &mut Command) -> (i32, String, String) {
        let Output { status, stdout, stderr } = command.output().unwrap();
        self.assert_nothing_runs();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().expect("it is not killed"), text(stdout), text(stderr))
    }

    fn pids(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("pids")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn assert_nothing_runs(&self) {
        for pid in self.pids() {
            let own = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let ours = self.path("pids").display().to_string();
            let alive = own.windows(ours.len()).any(|window| window == ours.as_bytes());
            assert!(!alive, "the server {pid} outlived the comparison");
        }
    }
}

const STEADY: &str = "COST=10000 NOISE=20";

#[test]
fn equal_servers_pass_and_reports_are_written() {
    let bench = Bench::new();
    let (base, head) = (bench.server(STEADY), bench.server(STEADY));
    let outputs = ["json=out.json", "md=out.md", "junit=out.xml"].map(|output| {
        let (form, name) = output.split_once('=').unwrap();
        format!("{form}={}", bench.path(name).display())
    });
    let flags = ["--base-cmd", &base, "--head-cmd", &head, "-o", &outputs.join(",")];
    fs::write(bench.path("summary"), "before\n").unwrap();
    let mut command = bench.command(&flags);
    let (code, out, err) = bench.ends(command.env("GITHUB_STEP_SUMMARY", bench.path("summary")));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out.lines().next(), Some("## Performance: pass"));
    for figure in ["throughput", "cpu", "p50", "p99"] {
        assert!(out.contains(&format!("| {figure} ")), "{out}");
    }
    assert!(out.contains("50.02 µs") || out.contains("50.0"), "the median of the invented times: {out}");
    assert_eq!(fs::read_to_string(bench.path("out.md")).unwrap(), out);
    assert_eq!(fs::read_to_string(bench.path("summary")).unwrap(), format!("before\n{out}\n"));
    assert!(fs::read_to_string(bench.path("out.xml")).unwrap().contains("tests=\"4\" failures=\"0\""));
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(bench.path("out.json")).unwrap()).unwrap();
    assert_eq!((json["exit"].as_u64(), json["host"]["processor"].as_str()), (Some(0), Some("a chip")));
    assert_eq!(json["scenarios"][0]["blocks"].as_array().map(Vec::len), Some(10));
    assert_eq!(bench.pids().len(), 41, "one to calibrate, four fresh ones a block");
}

#[test]
fn a_tenth_more_cpu_is_a_regression() {
    let bench = Bench::new();
    let (code, out, _) = bench.compare(STEADY, "COST=11000 NOISE=20", &["--delta", "throughput=20%"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("## Performance: **regressed**"), "{out}");
    let verdict = |figure: &str| {
        let row = out.lines().find(|line| line.contains(&format!("| {figure} "))).unwrap_or_default();
        row.rsplit('|').nth(1).unwrap_or_default().trim().to_string()
    };
    assert_eq!((verdict("cpu"), verdict("throughput")), ("**regressed**".into(), "pass".into()), "{out}");
}

#[test]
fn doubt_is_inconclusive_and_a_server_passes_beside_itself() {
    let bench = Bench::new();
    bench.scenario(r#"{"scenarios": [{"name": "n", "bench": "http://h/", "measure": ["cpu"]}]}"#);
    let (steady, swings) = ("COST=10000 NOISE=0", "COST=10000 NOISE=0 SWING=4000");
    let (code, out, _) =
        bench.compare(steady, swings, &["--blocks", "7", "--blocks-max", "8", "--seed", "4"]);
    assert_eq!((code, out.lines().next()), (4, Some("## Performance: inconclusive")), "{out}");
    assert_eq!(bench.pids().len(), 32, "a second look, and no need to calibrate");
    let base = bench.server(swings);
    let flags = ["--base-cmd", &base, "--aa", "--blocks", "7", "--blocks-max", "7"];
    let (code, out, _) = bench.ends(&mut bench.command(&flags));
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("noise of this machine"), "{out}");
}

#[test]
fn invalid_runs_are_refused() {
    let bench = Bench::new();
    let (code, out, _) = bench.compare(STEADY, "COST=10000 NOISE=0 FAIL=invalid", &[]);
    assert_eq!(code, 3, "{out}");
    assert!(out.starts_with("## Performance: **invalid**") && out.contains("over 90 % busy"), "{out}");
}

#[test]
fn servers_that_fail_are_told_from_slow_ones() {
    let bench = Bench::new();
    for (head, part) in [
        (bench.server("COST=10000 NOISE=0 FAIL=errors"), "reset 1000"),
        (bench.server("COST=10000 NOISE=0 FAIL=refused"), "connection refused"),
        ("sh -c 'echo no such flag >&2; exit 9'".to_string(), "no such flag"),
        ("sleep 60".to_string(), "did not answer"),
        ("/nonexistent/server".to_string(), "/nonexistent/server"),
    ] {
        let base = bench.server(STEADY);
        let flags = ["--base-cmd", &base, "--head-cmd", &head, "--start-timeout", "0.5"];
        let (code, out, err) = bench.ends(&mut bench.command(&flags));
        assert_eq!(code, 5, "{head}: {out}{err}");
        assert!(out.contains("the server failed") && out.contains(part), "{head}: {out}");
    }
}

#[test]
fn a_signal_ends_all_of_it() {
    let bench = Bench::new();
    let (base, head) = (bench.server(STEADY), bench.server("COST=10000 NOISE=0 FAIL=late"));
    let mut command = bench.command(&["--base-cmd", &base, "--head-cmd", &head]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // The first late run hangs; until then there were two or three servers.
    while bench.pids().len() < 2 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    let out = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(4), "{out}");
    assert!(out.contains("stopped by a signal"), "{out}");
    bench.assert_nothing_runs();
}

#[test]
fn mistakes_are_one_line_with_exit_2() {
    let bench = Bench::new();
    let missing = bench.path("none/out.json");
    let missing = format!("json={}", missing.display());
    for (flags, part) in [
        (vec!["--base-cmd", "x", "--head-cmd", "y", "--blocks", "3"], "3 blocks"),
        (vec!["--base-cmd", "x", "--head-cmd", "y", "--only", "z"], "no scenario `z`"),
        (vec!["--base-cmd", "x", "--head-cmd", "y", "--seconds", "0"], "--seconds 0"),
        (vec!["--base-cmd", "x", "--head-cmd", "y", "--server-cpu", "0", "--cpus", "0"], "CPU 0"),
        (vec!["--base-cmd", "x", "--head-cmd", "'y"], "closing '"),
        (vec!["--base-cmd", "x", "--head-cmd", ""], "empty"),
        (vec!["--base-cmd", "x"], "--head-cmd"),
        (vec!["--base-cmd", "x", "--head-cmd", "y", "--aa"], "--aa"),
        (vec!["--base-cmd", "x", "--head-cmd", "y", "-o", &missing], "directory"),
        (vec!["--base-cmd", "x", "--head-cmd", "y", "--delta", "size=1%"], "`size=1%`"),
        (vec!["/nonexistent/a.json", "/nonexistent/b.json"], "/nonexistent/a.json cannot be read"),
    ] {
        let (code, out, err) = bench.ends(&mut bench.command(&flags));
        assert_eq!((code, out.as_str()), (2, ""), "{flags:?}: {err}");
        assert!(err.contains(part), "{flags:?}: {err}");
    }
    bench.scenario("{}");
    let (code, _, err) = bench.compare(STEADY, STEADY, &[]);
    assert!(code == 2 && err.contains("no scenario file") && err.lines().count() == 1, "{err}");
    assert_eq!(bench.pids().len(), 0);
}
