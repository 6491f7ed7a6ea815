//! Running `loadgen bench` and reading what it found. Knows no servers.

use std::process::{Command, Output};

use serde_json::Value;

/// Runs `loadgen bench` with these arguments.
pub(crate) fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.arg("bench").args(arguments).output().expect("loadgen starts")
}

/// Runs with a JSON result, which must be accounted for: exit code and result. The machine may be busy with
/// other tests: what that makes late is allowed, and no test looks at it.
pub(crate) fn measure(url: &str, arguments: &str) -> (i32, Value) {
    let mut all: Vec<&str> = vec![url, "-o", "json=-", "--lag-allowed", "24h"];
    all.extend(arguments.split_whitespace());
    let output = bench(&all);
    let text = String::from_utf8_lossy(&output.stdout);
    let result: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let total = &result["total"];
    let sum: u64 = ["done", "errors", "timeouts", "dropped"].iter().map(|name| number(total, name)).sum();
    assert_eq!(number(total, "planned"), sum, "{total}");
    (output.status.code().unwrap(), result)
}

/// Exit code and what was said on standard error, of a run that measured nothing.
#[allow(dead_code, reason = "not every test that runs loadgen expects to be refused")]
pub(crate) fn refusal(url: &str, arguments: &str) -> (i32, String) {
    let mut all: Vec<&str> = vec![url];
    all.extend(arguments.split_whitespace());
    let output = bench(&all);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty() && told.lines().count() == 1, "{told}");
    (output.status.code().unwrap(), told)
}

/// A count in a result.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}
