//! `loadgen report` and `loadgen merge` as a user runs them, on the stored run of tests/golden.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run.json")
}

fn loadgen(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is UTF-8")
}

/// A folder with the stored run as `a.json`, and the same a minute later as `b.json`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = fs::read_to_string(golden()).unwrap();
    let later = run.replace("1795000000003", "1795000060003").replace("1795000000007", "1795000060007");
    fs::write(folder.path().join("a.json"), run).unwrap();
    fs::write(folder.path().join("b.json"), later).unwrap();
    folder
}

#[test]
fn a_stored_run_is_told_again_in_any_format() {
    let folder = folder();
    let output = loadgen(&["report", "a.json"], folder.path());
    assert!(output.status.success() && output.stderr.is_empty());
    let page = text(&output.stdout);
    assert!(page.starts_with("VALID\nopen loop, ") && !page.contains('\x1b'), "{page}");
    for (kind, start) in [
        ("json", "{\n  \"schema\": \"quoit-loadgen/1\""),
        ("hlog", "#[Histograms of nanoseconds"),
        ("hgrm", "       Value     Percentile TotalCount"),
        ("csv", "start_s,length_s,planned"),
        ("md", "### Load test: <code>"),
        ("html", "<!doctype html>"),
    ] {
        let alone = text(&loadgen(&["report", "a.json", "-o", &format!("{kind}=-")], folder.path()).stdout);
        assert!(alone.starts_with(start), "{kind}: {alone}");
        let output = loadgen(&["report", "a.json", "-o", &format!("{kind}=out")], folder.path());
        assert_eq!(text(&output.stdout), page, "the summary beside the file");
        assert_eq!(fs::read_to_string(folder.path().join("out")).unwrap(), alone);
    }
    let both = text(&loadgen(&["report", "a.json", "b.json"], folder.path()).stdout);
    assert!(both.starts_with("a.json\nVALID\n") && both.contains("\n\nb.json\nVALID\n"), "{both}");
}

#[test]
fn mistakes_are_one_line_and_leave_nothing() {
    let folder = folder();
    let run = fs::read_to_string(golden()).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("new.json", &run.replace("quoit-loadgen/1", "quoit-loadgen/9"));
    write("other.json", &run.replace("\"pipeline\": 1", "\"pipeline\": 8"));
    write("html.json", "<!doctype html>");
    let before = fs::read_dir(folder.path()).unwrap().count();
    for (arguments, cause) in [
        (&["report", "none.json"][..], "cannot read \"none.json\": No such file"),
        (&["report", "."], "cannot read \".\": Is a directory"),
        (&["report", "html.json"], "\"html.json\": no result of `loadgen bench -o json=FILE`"),
        (&["report", "new.json"], "reads \"quoit-loadgen/1\": use the loadgen that wrote it"),
        (&["report", "a.json", "-o", "pdf=x"], "no report of the kind \"pdf\""),
        (&["report", "a.json", "-o", "md=none/x"], "cannot write \"none/x\""),
        (&["report", "a.json", "b.json", "-o", "md=x"], "-o takes one FILE at a time"),
        (&["merge", "out.json", "a.json"], "2 values required"),
        (&["merge", "a.json", "a.json", "b.json"], "\"a.json\" exists"),
        (&["merge", "out.json", "a.json", "b.json", "a.json"], "\"a.json\" and \"a.json\" hold the same run"),
        (&["merge", "out.json", "a.json", "other.json"], "did different things: requests in flight 1 and 8"),
        (&["merge", "out.json", "a.json", "b.json", "--at-once", "--in-turn"], "cannot be used with"),
        (&["merge", "none/out.json", "a.json", "b.json"], "cannot write \"none/out.json\""),
    ] {
        let output = loadgen(arguments, folder.path());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(cause), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty());
        // clap adds the usage to its own; ours are one line.
        assert!(error.starts_with("error: ") || error.lines().count() == 1, "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
}

#[test]
fn merged_runs_are_a_run() {
    let folder = folder();
    let output = loadgen(&["merge", "all.json", "b.json", "a.json"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "loadgen: merged 2 runs, which ran in turn: times add up\n");
    let page = text(&loadgen(&["report", "all.json"], folder.path()).stdout);
    assert!(page.contains("16 connections, 6.00 s on 1 core, 2 runs merged"), "{page}");
    assert!(page.contains("planned          9,000  1,500/s"), "{page}");
    let output = loadgen(&["merge", "-", "b.json", "a.json", "--at-once"], folder.path());
    let merged: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&merged["plan"]["rate"], &merged["measured_s"]), (&3000.0.into(), &3.0.into()));
    assert_eq!(merged["total"]["response"]["count"], 2 * 4500);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["report", "a.json", "-o", "json=-"]).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}
