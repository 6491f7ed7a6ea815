//! The house, kept by tests: layers, borders of `unsafe`, locks and clocks, and nothing left open.
//!
//! A rule is a function from files to problems (`tidy/rules.rs`), tried there on bad samples: a check
//! that cannot fail is worth nothing. Here it meets the files, and a failure explains the rule and the
//! remedy. Add a rule rather than a sentence to a guide; loosen one only with the reason beside it.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use rules::*;
use source::{Source, files_below};

/// Half of the files are shorter. A ratchet: lower it when the house allows, never raise it.
const MEDIAN_LINES_MAX: usize = 350;
/// Two screens.
const README_LINES_MAX: usize = 120;

/// Fails with every problem, the rule they break, and what to do about it.
fn hold(rule: &str, remedy: &str, problems: Vec<Problem>) {
    let list: String = problems.iter().map(|p| format!("  {}: {}\n", p.place, p.what)).collect();
    assert!(problems.is_empty(), "\n\n{list}\nThe rule: {rule}\nThe remedy: {remedy}\n");
}

#[test]
fn the_house_is_found() {
    assert!(rust("src").iter().any(|s| s.path == "src/lib.rs"), "an empty list breaks no rule");
    assert!(all_files().iter().any(|s| s.path == "Cargo.toml"));
    assert!(!all_files().iter().any(|s| s.path.starts_with("target/")));
}

#[test]
fn imports_point_down() {
    hold(
        "folders below src are layers; a module uses what stands below it, and two folders on one floor \
         do not use each other, so that reading downwards is a request's way.",
        "move the thing down to the lowest layer that needs it, or pass it in from above. A new folder gets \
         its floor in FLOORS.",
        layers_broken(&rust("src")),
    );
}

#[test]
fn files_of_a_folder_form_no_circle() {
    hold(
        "files of one folder do not use each other in a circle.",
        "put what both need into a third file below them.",
        circles(&rust("src")),
    );
}

#[test]
fn unsafe_stays_in_ring() {
    hold(
        "`unsafe` exists in src/ring alone (and in the bench program that is a bare ring).",
        "use or extend the safe API of `ring`.",
        unsafe_outside_ring(&rust_in(&["src", "examples", "benches"])),
    );
}

#[test]
fn unsafe_blocks_say_why() {
    hold(
        "every `unsafe` block is preceded by `// SAFETY:` saying why it holds here.",
        "write the comment above the statement; if there is nothing true to write, the block is wrong.",
        unsafe_without_reason(&rust_in(&["src", "benches"])),
    );
}

#[test]
fn files_open_with_their_purpose() {
    hold(
        "a Rust file opens with `//!`: what it does, and what it refuses to know.",
        "write that paragraph at the top of the file.",
        without_head(&all_rust()),
    );
}

#[test]
fn nothing_is_left_open() {
    hold(
        "what is in the tree is finished: no placeholder, no debugging print, no ignored test.",
        "finish it or take it out. A test that fails asserts today's behaviour and says why it is wrong.",
        left_open(&all_rust()),
    );
}

#[test]
fn no_locks_where_requests_pass() {
    hold(
        "no lock on the way of a request: a connection never leaves its core, and what crosses cores is in \
         src/server/shared.rs and src/ring/doorbell.rs.",
        "keep it per core (Cell, RefCell, Rc), or publish an immutable value from server/shared.rs.",
        locks_in_hot_path(&rust("src")),
    );
}

#[test]
fn http_has_no_clock_and_no_io() {
    hold(
        "src/http takes bytes and `now` and gives events and bytes; it reads no clock and opens nothing.",
        "take `now`, or the bytes, as an argument.",
        http_reaches_out(&rust("src/http")),
    );
}

#[test]
fn versions_of_http_stand_apart() {
    hold(
        "what holds for every version of HTTP is in src/http/message; src/http/h1 and src/http/h2 know \
         nothing of each other, nor src/service of either, nor src/exchange of HTTP/1.",
        "move what both need into src/http/message.",
        versions_mixed(&rust("src")),
    );
}

#[test]
fn a_name_has_one_meaning() {
    hold(
        "a type is named by its field's term, and the names of one meaning in tidy/rules.rs are given once.",
        "name the type after what makes it different: `ResponseStage` rather than a second `State`.",
        names_mixed(&rust_in(&["src", "loadgen/src"])),
    );
}

#[test]
fn the_ruler_is_not_what_it_measures() {
    hold(
        "loadgen uses `ring` and `net`, and of `http` the codec of HTTP/2 alone: it would not see a mistake \
         that it shares with the server.",
        "write it in loadgen, or move what has one right answer into the codec.",
        loadgen_reaches_up(&rust("loadgen/src")),
    );
}

#[test]
fn no_second_runtime() {
    hold(
        "glommio is the one executor; tokio's runtime is in no build of the product, not even through a \
         crate. What `hyper` needs of tokio, channels and traits, is, with the feature `tower` alone.",
        "turn off the feature that brings it (`cargo tree -i tokio`), or choose another crate.",
        [
            foreign_runtimes(&text("Cargo.toml"), &text("Cargo.lock")),
            test_crates_in_product(&text("Cargo.toml")),
        ]
        .into_iter()
        .flatten()
        .collect(),
    );
}

#[test]
fn lines_fit() {
    hold("a line has at most 110 characters.", "break it.", too_wide(&all_rust()));
}

#[test]
fn tests_wait_for_events() {
    hold(
        "a test waits for what happens, not for a time in which it should have happened: that is too long on \
         an idle machine and too short on a busy one.",
        "look with `until` or `eventually`; read with a timeout (`Client::stays_quiet`, `Client::receives`); \
         where time itself is tested, `time_passes` says why.",
        sleeps(&rust("tests")),
    );
}

#[test]
fn files_stay_short() {
    let median = median_lines(&rust("src"));
    assert!(
        median < MEDIAN_LINES_MAX,
        "half of the files below src have {median} lines of code or more. The rule: the median stays under \
         {MEDIAN_LINES_MAX}. The remedy: split a file that holds two ideas; leave a whole thing whole."
    );
}

#[test]
fn dependencies_have_reasons() {
    hold(
        "a dependency carries its reason at the end of its line in Cargo.toml.",
        "say in a few words what it does for us, or remove it.",
        dependencies_without_reason(&text("Cargo.toml")),
    );
}

#[test]
fn files_know_no_machine() {
    hold(
        "tracked files name no path of one machine and no registry other than the public one.",
        "write a path from the repository's root, or /srv/… in an example.",
        machine_paths(&all_files()),
    );
}

#[test]
fn readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!(
        lines <= README_LINES_MAX,
        "README.md has {lines} lines. The rule: two screens, {README_LINES_MAX} lines. The remedy: move \
         explanations to ARCHITECTURE.md or the manual."
    );
}

// The files.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's text; nothing when it does not exist.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Every text file below the root that is ours.
fn all_files() -> Vec<Source> {
    read_below("")
}

fn all_rust() -> Vec<Source> {
    rust("")
}

fn rust(folder: &str) -> Vec<Source> {
    read_below(folder).into_iter().filter(|s| s.path.ends_with(".rs")).collect()
}

fn rust_in(folders: &[&str]) -> Vec<Source> {
    folders.iter().flat_map(|folder| rust(folder)).collect()
}

fn read_below(folder: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in files_below(&root().join(folder)) {
        let name = path.strip_prefix(root()).expect("it was found below the root");
        if let Ok(text) = fs::read_to_string(&path) {
            sources.push(Source::new(&name.to_string_lossy(), &text));
        }
    }
    sources
}
