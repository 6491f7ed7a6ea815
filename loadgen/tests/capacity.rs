//! `loadgen capacity` from its flags to its exit codes, with a generator that invents its figures
//! (compare/bench.sh): what is judged here is the search, not the measurement.

use std::path::Path;
use std::process::{Command, Stdio};

/// Ends with this code after searching a server that can do 10,000 requests per second.
fn ends(flags: &[&str], facts: &[(&str, &str)]) -> (i32, String, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compare/bench.sh");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["capacity", "http://127.0.0.1:1/"]).args(flags);
    command.arg("--bench-cmd").arg(format!("sh '{}'", script.display()));
    command.envs([("COST", "100000"), ("NOISE", "0")]).envs(facts.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("it is not killed"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_capacity_is_found_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capacity.json");
    let (code, out, err) = ends(&["--slo", "p99<5ms", "--json", file.to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{out}{err}");
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let capacity = json["capacity"].as_f64().unwrap();
    assert!((9_000.0..=10_000.0).contains(&capacity), "{out}");
    assert!(out.starts_with(&format!("Capacity: {capacity:.0}/s with p99<5ms")), "{out}");
    assert!(json["runs"].as_array().is_some_and(|runs| runs.iter().any(|run| run["verdict"] == "missed")));
}

#[test]
fn capacities_are_gated() {
    let (code, out, _) = ends(&["--slo", "p99<5ms", "--at-least", "8000"], &[]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = ends(&["--slo", "p99<5ms", "--at-least", "12x"], &[]);
    assert_eq!((code, out.as_str()), (2, ""), "no unit of rates");
    let (code, out, _) = ends(&["--slo", "p99<5ms", "--at-least", "12k"], &[]);
    assert_eq!(code, 1, "{out}");
    let (code, out, _) = ends(&["--slo", "p99<1us"], &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("No rate from 17.5/s up meets p99<1us"), "{out}");
}

#[test]
fn what_cannot_be_measured_is_told() {
    let (code, out, err) = ends(&["--slo", "p99<5ms"], &[("FAIL", "refused")]);
    assert!(code == 5 && err.contains("connection refused"), "{code} {out}{err}");
    assert!(out.is_empty() && err.lines().count() == 1, "once, on one line: {out}{err}");
    let (code, out, err) = ends(&["--slo", "p99<5ms", "--start", "100"], &[("FAIL", "invalid")]);
    assert_eq!(code, 3, "runs that are spoiled prove nothing: {out}{err}");
    assert!(err.contains("even at 100/s, 3 times: a worker was over 90 % busy"), "{err}");
    assert!(out.is_empty() && err.lines().count() == 1, "once, on one line: {out}{err}");
    for (flags, part) in [
        (vec!["--slo", "p99<5"], "p99<5"),
        (vec![], "--slo"),
        (vec!["--slo", "p99<5ms", "--precision", "0"], "--precision"),
        (vec!["--slo", "p99<5ms", "--repeats", "0"], "--repeats"),
        (vec!["--slo", "p99<5ms", "--start", "-1"], "-1"),
        (vec!["--slo", "p99<5ms", "--seconds-max", "1"], "--seconds-max"),
    ] {
        let (code, _, err) = ends(&flags, &[]);
        assert!(code == 2 && err.contains(part), "{flags:?}: {code} {err}");
    }
}
