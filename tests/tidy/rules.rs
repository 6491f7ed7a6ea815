//! The rules: each is a function from files to problems, with its samples below.
//!
//! Opens no file; what it judges is handed in.

use crate::imports::{cycles, uses};
use crate::source::Source;

/// Layers by floor. A folder uses folders on lower floors only, and itself.
const FLOORS: &[&[&str]] = &[
    &["http", "ring"],
    &["net", "observe"],
    &["service"],
    &["filter", "upstream"],
    &["client", "handler", "l4", "tower"],
    &["plan", "exchange"],
    &["server", "acme"],
    &["config"],
    &["supervisor"],
    &["cli"],
    &["lib", "main", "guide"],
];

/// Where every request passes: a lock here stops a core. What crosses cores is in `server/shared.rs`. Not
/// `tower`: its request bodies must be `Send`, so that their slot has a lock, which only foreign readers
/// contend. Nor `ring/doorbell.rs`, which no wake-up on its own core enters.
const HOT: &[&str] = &["http", "ring", "service", "client", "handler", "plan", "exchange", "server"];
const SHARED: &[&str] = &["src/server/shared.rs", "src/ring/doorbell.rs"];

/// The one layer that talks to the kernel, and the bench program that is nothing but a ring.
const UNSAFE: &[&str] = &["src/ring/", "src/ring.rs", "benches/floor.rs"];

/// Threads of tests that may sleep: the waits themselves, two that poll the futures of another crate, and the
/// ring's tests, whose subject is falling asleep and waking up.
const SLEEPERS: &[&str] =
    &["tests/common/wait.rs", "tests/h2/oracle.rs", "tests/h2_client/crate_h2.rs", "tests/ring/"];

const WIDTH_MAX: usize = 110;
#[derive(Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) place: String,
    pub(crate) what: String,
}

fn problem(path: &str, line: usize, what: impl Into<String>) -> Problem {
    Problem { place: format!("{path}:{line}"), what: what.into() }
}

pub(crate) fn layers_broken(sources: &[Source]) -> Vec<Problem> {
    let floor = |layer: &str| FLOORS.iter().position(|floor| floor.contains(&layer));
    let mut problems = Vec::new();
    for source in sources {
        let layer = source.layer().unwrap_or_default();
        let Some(own) = floor(layer) else {
            problems.push(problem(&source.path, 1, format!("`{layer}` is no known layer")));
            continue;
        };
        for used in uses(source) {
            let other = used.path.first().map_or("", String::as_str);
            if other != layer && floor(other).is_some_and(|f| f >= own) {
                problems.push(problem(&source.path, used.line, format!("`{layer}` uses `{other}`")));
            }
        }
    }
    problems
}

pub(crate) fn circles(sources: &[Source]) -> Vec<Problem> {
    let say = |circle: &Vec<String>| format!("{} → {}", circle.join(" → "), circle[0]);
    cycles(sources).iter().map(|circle| problem("src", 0, say(circle))).collect()
}

pub(crate) fn unsafe_outside_ring(sources: &[Source]) -> Vec<Problem> {
    let outside = sources.iter().filter(|s| !UNSAFE.iter().any(|place| s.path.starts_with(place)));
    outside.flat_map(|s| lines_with(s, &["unsafe"], "`unsafe`")).collect()
}

pub(crate) fn unsafe_without_reason(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        let code: Vec<&str> = source.code.lines().collect();
        let comments: Vec<&str> = source.comments.lines().collect();
        for pair in source.tokens().windows(2) {
            let block = pair[0].text == "unsafe" && matches!(pair[1].text, "{" | "impl");
            if block && !reason_above(&code, &comments, pair[0].line - 1) {
                problems.push(problem(&source.path, pair[0].line, "an `unsafe` block without `// SAFETY:`"));
            }
        }
    }
    problems
}

/// Whether the comment above the statement that `line` belongs to, or on its line, has a reason.
fn reason_above(code: &[&str], comments: &[&str], line: usize) -> bool {
    let mut at = line;
    if comments[at].contains("SAFETY:") {
        return true;
    }
    while at > 0 {
        at -= 1;
        if comments[at].contains("SAFETY:") {
            return true;
        }
        let ends_another = code[at].trim_end().ends_with([';', '{', '}', ',']);
        let empty = code[at].trim().is_empty() && comments[at].trim().is_empty();
        if ends_another || empty {
            return false;
        }
    }
    false
}

pub(crate) fn without_head(sources: &[Source]) -> Vec<Problem> {
    let opens = |s: &&Source| !s.text.trim_start().starts_with("//! ");
    sources.iter().filter(opens).map(|s| problem(&s.path, 1, "does not open with `//!`")).collect()
}

pub(crate) fn left_open(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        for name in ["todo", "unimplemented", "dbg"] {
            problems.extend(lines_with(source, &[name, "!"], &format!("`{name}!`")));
        }
        problems.extend(lines_with(source, &["#", "[", "ignore"], "an ignored test"));
        for (line, comment) in source.comments.lines().enumerate() {
            let words = comment.split(|c: char| !c.is_alphanumeric());
            for word in words.filter(|word| ["TODO", "FIXME", "XXX"].contains(word)) {
                problems.push(problem(&source.path, line + 1, format!("`{word}`")));
            }
        }
    }
    problems
}

pub(crate) fn sleeps(sources: &[Source]) -> Vec<Problem> {
    let tests = sources
        .iter()
        .filter(|s| s.path.starts_with("tests/") && !SLEEPERS.iter().any(|p| s.path.starts_with(p)));
    tests.flat_map(|source| lines_with(source, &["thread", "::", "sleep"], "a thread that sleeps")).collect()
}

pub(crate) fn locks_in_hot_path(sources: &[Source]) -> Vec<Problem> {
    let hot = |s: &&Source| {
        s.layer().is_some_and(|layer| HOT.contains(&layer)) && !SHARED.contains(&s.path.as_str())
    };
    let mut problems = Vec::new();
    for source in sources.iter().filter(hot) {
        for name in ["Mutex", "RwLock"] {
            problems.extend(lines_with(source, &[name], &format!("`{name}`")));
        }
        problems.extend(lines_with(source, &[".", "lock", "("], "`.lock()`"));
    }
    problems
}

/// What loadgen may take of `http::h2`: the codec, not the machine.
const CODEC: [&str; 7] =
    ["frame", "settings", "hpack", "FrameReader", "FramePart", "ErrorCode", "ConnectionError"];

pub(crate) fn loadgen_reaches_up(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        for used in uses(source) {
            let words: Vec<&str> = used.path.iter().map(String::as_str).collect();
            let allowed = match words[..] {
                ["quoit", "ring" | "net", ..] => true,
                ["quoit", "http", "h2", part, ..] => CODEC.contains(&part),
                ["quoit", ..] => false,
                _ => true,
            };
            if !allowed {
                problems.push(problem(&source.path, used.line, format!("`{}`", words.join("::"))));
            }
        }
    }
    problems
}

pub(crate) fn http_reaches_out(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        problems.extend(lines_with(source, &["Instant", "::", "now"], "`Instant::now` reads a clock"));
        problems.extend(lines_with(source, &["SystemTime"], "`SystemTime` is the clock's"));
        for used in uses(source) {
            let words: Vec<&str> = used.path.iter().map(String::as_str).collect();
            let outside = matches!(words[..], ["std", "fs" | "thread" | "process" | "env", ..]);
            if outside || words.iter().any(|w| ["TcpStream", "TcpListener", "UdpSocket"].contains(w)) {
                problems.push(problem(&source.path, used.line, format!("`{}`", words.join("::"))));
            }
        }
        for krate in ["glommio", "io_uring", "libc"] {
            problems.extend(lines_with(source, &[krate, "::"], &format!("`{krate}`")));
        }
    }
    problems
}

/// Who stays clear of which version of HTTP: what is true of every version is in `http/message`, so that the
/// next version needs nothing of this one.
const VERSION_FREE: &[(&str, &[&str])] = &[
    ("src/http/message/", &["h1", "h2"]),
    ("src/http/h2/", &["h1"]),
    ("src/http/h1/", &["h2"]),
    ("src/service/", &["h1", "h2"]),
    ("src/exchange/", &["h1"]),
];

pub(crate) fn versions_mixed(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        let rules = VERSION_FREE.iter().filter(|(place, _)| source.path.starts_with(place));
        for version in rules.flat_map(|(_, versions)| *versions) {
            for used in uses(source) {
                let words: Vec<&str> = used.path.iter().map(String::as_str).collect();
                if words.starts_with(&["http", version]) {
                    problems.push(problem(&source.path, used.line, format!("`{}`", words.join("::"))));
                }
            }
        }
    }
    problems
}

/// Names that say nothing of what they name, and names of one meaning in the whole tree: a second type is
/// named after what makes it different. An alias is the type that it stands for.
const VAGUE: &[&str] = &["Dress", "Made", "Patience", "Told", "Way"];
const OF_ONE_MEANING: &[&str] = &["Connection", "Entry", "Method", "Peer", "State", "Step"];

pub(crate) fn names_mixed(sources: &[Source]) -> Vec<Problem> {
    let (mut problems, mut seen) = (Vec::new(), Vec::new());
    for source in sources {
        for pair in source.tokens().windows(2) {
            let (name, line) = (pair[1].text, pair[1].line);
            if !["enum", "struct", "trait", "type", "union"].contains(&pair[0].text) {
                continue;
            }
            if VAGUE.contains(&name) {
                problems.push(problem(&source.path, line, format!("`{name}`")));
            }
            if OF_ONE_MEANING.contains(&name) && pair[0].text != "type" {
                if seen.contains(&name) {
                    problems.push(problem(&source.path, line, format!("a second `{name}`")));
                }
                seen.push(name);
            }
        }
    }
    problems
}

/// Tests and examples may bring a runtime, as axum does. In what the product depends on, `hyper` alone may
/// lead to tokio, and only with features that need its channels and traits: the upgrades of `src/tower`.
pub(crate) fn foreign_runtimes(manifest: &str, lock: &str) -> Vec<Problem> {
    const HYPERS_FEATURES: &str = "features = [\"http1\", \"server\"], optional = true";
    let (mut problems, mut waiting) = (Vec::new(), Vec::new());
    let mut section = "";
    for (line, text) in manifest.lines().enumerate() {
        if text.starts_with('[') {
            section = text;
        } else if section == "[dependencies]" && text.contains('=') && !text.starts_with('#') {
            let name = text.split('=').next().unwrap_or_default().trim();
            if name == "hyper" && !text.contains(HYPERS_FEATURES) {
                problems.push(problem("Cargo.toml", line + 1, "`hyper` with other features"));
            }
            // Under its own name, where it is renamed.
            let renamed = text.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
            waiting.push(renamed.unwrap_or(name));
        }
    }
    let mut seen = vec!["hyper"];
    while let Some(package) = waiting.pop() {
        if seen.contains(&package) {
            continue;
        }
        seen.push(package);
        for (line, needed) in needs(package, lock) {
            if ["mio", "tokio"].contains(&needed) {
                problems.push(problem("Cargo.lock", line, format!("`{package}` uses {needed}")));
            }
            waiting.push(needed);
        }
    }
    problems
}

/// What the packages of this name depend on, with the lines that say it.
fn needs<'l>(package: &str, lock: &'l str) -> Vec<(usize, &'l str)> {
    let (mut needs, mut is_it) = (Vec::new(), false);
    for (line, text) in lock.lines().enumerate() {
        let quoted = text.split('"').nth(1).unwrap_or_default();
        if text.starts_with("name = ") {
            is_it = quoted == package;
        } else if is_it && text.starts_with(" \"") {
            needs.push((line + 1, quoted.split(' ').next().unwrap_or_default()));
        }
    }
    needs
}

/// What only tests may use, among the dependencies of the product.
pub(crate) fn test_crates_in_product(manifest: &str) -> Vec<Problem> {
    let mut section = "";
    let mut problems = Vec::new();
    for (line, text) in manifest.lines().enumerate() {
        if text.starts_with('[') {
            section = text;
        } else if section == "[dependencies]" {
            let name = text.split('=').next().unwrap_or_default().trim();
            if ["h2", "tokio"].contains(&name) {
                problems.push(problem("Cargo.toml", line + 1, format!("`{name}` is for tests alone")));
            }
        }
    }
    problems
}

pub(crate) fn too_wide(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        for (line, text) in source.text.lines().enumerate() {
            let width = text.chars().count();
            if width > WIDTH_MAX {
                problems.push(problem(&source.path, line + 1, format!("{width} characters")));
            }
        }
    }
    problems
}

/// The median of the files' lengths, tests at their end not counted.
pub(crate) fn median_lines(sources: &[Source]) -> usize {
    let length = |s: &Source| s.text.lines().take_while(|l| !l.starts_with("#[cfg(test)]")).count();
    let mut lengths: Vec<usize> = sources.iter().map(length).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

pub(crate) fn dependencies_without_reason(manifest: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut among_dependencies = false;
    for (line, text) in manifest.lines().enumerate() {
        if text.starts_with('[') {
            among_dependencies = text.trim_end_matches(']').ends_with("dependencies");
        } else if among_dependencies && text.contains('=') && !text.trim_start().starts_with('#') {
            let reason = text.rsplit_once("# ").map_or("", |(_, reason)| reason.trim());
            if reason.is_empty() {
                let name = text.split('=').next().unwrap_or_default().trim();
                problems.push(problem("Cargo.toml", line + 1, format!("`{name}` has no reason")));
            }
        }
    }
    problems
}

pub(crate) fn machine_paths(sources: &[Source]) -> Vec<Problem> {
    // Spelled in halves, so that this file does not name them either.
    let forbidden = [
        concat!("/", "root/"),
        concat!("/", "home/"),
        concat!("/", "work/"),
        concat!("/", "Users/"),
        concat!("index-", "url"),
        concat!("replace-", "with ="),
    ];
    let public = concat!("registry+https://github.com/rust-lang/crates", ".io-index");
    let mut problems = Vec::new();
    for source in sources {
        for (line, text) in source.text.lines().enumerate() {
            for path in forbidden.iter().filter(|path| text.contains(**path)) {
                problems.push(problem(&source.path, line + 1, format!("`{path}`")));
            }
            if source.path.ends_with("Cargo.lock") && text.starts_with("source = ") && !text.contains(public)
            {
                problems.push(problem(&source.path, line + 1, format!("another registry: {text}")));
            }
        }
    }
    problems
}

/// The lines on which these tokens follow each other.
fn lines_with(source: &Source, wanted: &[&str], what: &str) -> Vec<Problem> {
    let tokens = source.tokens();
    let here = tokens
        .windows(wanted.len())
        .filter(|window| window.iter().map(|t| t.text).eq(wanted.iter().copied()));
    here.map(|window| problem(&source.path, window[0].line, what)).collect()
}

/// Every rule, tried on what it must find and on what it must let pass.
#[cfg(test)]
mod samples {
    use super::*;

    fn places(problems: &[Problem]) -> Vec<&str> {
        problems.iter().map(|p| p.place.as_str()).collect()
    }

    #[test]
    fn layers() {
        let up = Source::new("src/http/a.rs", "//! x\nuse crate::server::Plan;");
        let beside = Source::new("src/http/b.rs", "use super::super::ring::Ring;");
        let unknown = Source::new("src/misc/a.rs", "");
        assert_eq!(
            places(&layers_broken(&[up, beside, unknown])),
            ["src/http/a.rs:2", "src/http/b.rs:1", "src/misc/a.rs:1"]
        );
        let down = Source::new("src/server/a.rs", "use crate::{http::head, server::plan};");
        let said =
            Source::new("src/http/c.rs", "// crate::server is above\nconst S: &str = \"crate::server::X\";");
        assert!(layers_broken(&[down, said]).is_empty());
    }

    #[test]
    fn unsafe_code() {
        let bad = Source::new("src/http/a.rs", "fn f() {\n    unsafe { g() }\n}");
        let named = Source::new("src/lib.rs", "#![deny(unsafe_code)] // unsafe\n");
        let ring = Source::new("src/ring/a.rs", "unsafe { g() }");
        assert_eq!(places(&unsafe_outside_ring(&[bad, named, ring])), ["src/http/a.rs:2"]);
    }

    #[test]
    fn unsafe_reasons() {
        let bad = Source::new("src/ring/a.rs", "// SAFETY: for f\nf();\nunsafe { g() }\n");
        assert_eq!(places(&unsafe_without_reason(&[bad])), ["src/ring/a.rs:3"]);
        let good = "// SAFETY: whole\n// reason.\nlet x =\n    unsafe { g() };\n\nunsafe fn h() {}\n\
                    // SAFETY: one.\nunsafe impl Send for X {}";
        assert!(unsafe_without_reason(&[Source::new("src/ring/b.rs", good)]).is_empty());
    }

    #[test]
    fn heads() {
        let bad = Source::new("src/a.rs", "// a\n//! b");
        assert_eq!(without_head(&[bad, Source::new("src/b.rs", "//! b\n")]).len(), 1);
    }

    #[test]
    fn open_ends() {
        let bad = "todo!()\ndbg!(x)\n#[ignore = \"slow\"]\n// FIXME: later\n/* XXX */ unimplemented!()";
        assert_eq!(left_open(&[Source::new("src/a.rs", bad)]).len(), 6);
        let good = "// a todo list\nlet todo = \"todo!() FIXME\"; // XXXX-XX\nlet ignore = [0];";
        assert_eq!(left_open(&[Source::new("src/a.rs", good)]), []);
    }

    #[test]
    fn sleepers() {
        let bad = Source::new("tests/a.rs", "fn f() {\n    std::thread::sleep(SHORT);\n}");
        assert_eq!(places(&sleeps(&[bad])), ["tests/a.rs:2"]);
        let wait = Source::new("tests/common/wait.rs", "fn f() { thread::sleep(time); }");
        let other =
            Source::new("tests/b.rs", "// thread::sleep(SHORT)\nasync fn f() { ring.sleep(SHORT).await }");
        assert!(sleeps(&[wait, other]).is_empty());
    }

    #[test]
    fn locks() {
        let text = "use std::sync::Mutex;\nx.lock();\nRwLock::new(1);\nlet lock = 1; // Mutex";
        let server = [Source::new("src/server/a.rs", text)];
        assert_eq!(
            places(&locks_in_hot_path(&server)),
            ["src/server/a.rs:1", "src/server/a.rs:3", "src/server/a.rs:2"]
        );
        assert!(
            locks_in_hot_path(&[Source::new(SHARED[0], text), Source::new("src/cli/a.rs", text)]).is_empty()
        );
    }

    #[test]
    fn clocks_and_io() {
        let bad = "use std::time::SystemTime;\nInstant::now();\nlibc::read();\n\
                   use std::{fmt, net::{IpAddr, TcpStream}, fs::File};";
        assert_eq!(http_reaches_out(&[Source::new("src/http/a.rs", bad)]).len(), 5);
        let good = "fn f(now: Instant) { use std::time::Duration; use std::{fmt, io, net::Ipv6Addr}; }";
        assert!(http_reaches_out(&[Source::new("src/http/a.rs", good)]).is_empty());
    }

    #[test]
    fn the_ruler_shares_a_codec_and_no_machine() {
        let bad =
            "use quoit::server::Limits;\nuse quoit::http::h2::{frame, Connection};\nuse quoit::http::h1;";
        assert_eq!(loadgen_reaches_up(&[Source::new("loadgen/src/a.rs", bad)]).len(), 3);
        let good =
            "use quoit::net::Stream;\nuse quoit::http::h2::frame::{self, FrameKind};\nuse crate::plan;";
        assert!(loadgen_reaches_up(&[Source::new("loadgen/src/a.rs", good)]).is_empty());
    }

    #[test]
    fn versions() {
        let count = |path: &str, text: &str| versions_mixed(&[Source::new(path, text)]).len();
        let h1 = "use crate::http::h1::Decoder;\nuse crate::http::message::RequestHead;";
        assert_eq!(count("src/exchange/a.rs", h1), 1);
        assert_eq!(count("src/server/a.rs", h1), 0);
        assert_eq!(count("src/http/h2/a.rs", "use super::super::h1;"), 1);
        assert_eq!(count("src/http/message/a.rs", "use crate::http::{h1, h2::H2Limits};"), 2);
        assert_eq!(count("src/exchange/a.rs", "use crate::http::h2::H2Limits;"), 0);
    }

    #[test]
    fn names() {
        let bad = Source::new("src/http/a.rs", "struct Way;\nenum State {}\nfn told(way: State) {}");
        let second =
            Source::new("src/net/a.rs", "pub struct State<T>(T);\ntype Step = State<u8>;\nstruct Step;");
        assert_eq!(places(&names_mixed(&[bad, second])), ["src/http/a.rs:1", "src/net/a.rs:1"]);
        let good =
            "type State = u8;\nenum ReadState { State, Way } // struct Told\nconst S: &str = \"enum Way\";";
        assert_eq!(names_mixed(&[Source::new("src/a.rs", good)]), []);
    }

    #[test]
    fn runtimes() {
        let lock = "name = \"a\"\ndependencies = [\n \"b 1.0.0\",\n]\n\
                    name = \"b\"\ndependencies = [\n \"tokio\",\n]\n\
                    name = \"hyper\"\ndependencies = [\n \"tokio\",\n]\n";
        let hyper = "[dependencies]\nhyper = { features = [\"http1\", \"server\"], optional = true } # x\n";
        assert_eq!(foreign_runtimes(hyper, lock), []);
        assert_eq!(foreign_runtimes("[dev-dependencies]\na = \"1\"\n", lock), []);
        let http2 = hyper.replace("http1", "http2");
        assert_eq!(places(&foreign_runtimes(&http2, lock)), ["Cargo.toml:2"]);
        assert_eq!(places(&foreign_runtimes("[dependencies]\na = \"1\"\n", lock)), ["Cargo.lock:7"]);
        let renamed = "[dependencies]\nz = { package = \"b\" }\n";
        assert_eq!(places(&foreign_runtimes(renamed, lock)), ["Cargo.lock:7"]);
        let manifest =
            "[dependencies]\nh2 = \"0.4\" # x\ntokio = { } # y\n[dev-dependencies]\nh2 = \"0.4\"\n";
        assert_eq!(places(&test_crates_in_product(manifest)), ["Cargo.toml:2", "Cargo.toml:3"]);
    }

    #[test]
    fn widths_and_lengths() {
        let wide = Source::new("src/a.rs", &format!("//! x\n{}\n{}", "é".repeat(110), "é".repeat(111)));
        assert_eq!(places(&too_wide(&[wide])), ["src/a.rs:3"]);
        let file =
            |lines: usize| Source::new("src/a.rs", &("x\n".repeat(lines) + "#[cfg(test)]\nmod tests {}\n"));
        assert_eq!(median_lines(&[file(10), file(400), file(500)]), 400);
    }

    #[test]
    fn reasons() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\" # why\nb = \"2\"\n# c = \"3\"\n\
                        [dev-dependencies]\nd = { version = \"4\" }   #\n[profile.release]\nlto = true\n";
        assert_eq!(places(&dependencies_without_reason(manifest)), ["Cargo.toml:5", "Cargo.toml:8"]);
    }

    #[test]
    fn machines() {
        let bad = Source::new("README.md", concat!("see /", "home/me/x\nfine /srv/site"));
        let lock = Source::new("Cargo.lock", "source = \"registry+https://crates.example/index\"\n");
        assert_eq!(places(&machine_paths(&[bad, lock])), ["README.md:1", "Cargo.lock:1"]);
    }
}
