//! The guide's word: its commands are understood by the programs they name, and its numbers are the code's.
//! (Its Rust is tested where it stands.) Knows what a shell's quotes are, and no more of shells.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::example_path;
use quoit::handler::FilesOptions;
use quoit::http::message::{BodyLimits, HeadLimits};
use quoit::ring::RingConfig;
use quoit::server::Limits;
use quoit::service::ExtractLimits;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chapter(name: &str) -> String {
    fs::read_to_string(root().join("src/guide").join(name)).expect("a chapter")
}

fn chapters() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("src/guide"))
        .expect("the guide")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

/// The lines of the blocks of this language; one that ends with `\` goes on in the next.
fn lines_of(text: &str, language: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.replace("\\\n", " ").lines() {
        match line.strip_prefix("```") {
            Some(opened) => inside = opened == language,
            None if inside && !line.is_empty() => lines.push(line.to_owned()),
            None => {}
        }
    }
    lines
}

/// The words of a command; `'…'` is one.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in command.split('\'').enumerate() {
        match at % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// Whether a program takes these arguments, without doing what they say.
fn is_understood(mut program: Command, arguments: &[String]) -> bool {
    let asked = program.args(arguments).arg("--help").output().expect("the program runs");
    asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains("Usage:")
}

fn quoit() -> Command {
    Command::new(env!("CARGO_BIN_EXE_quoit"))
}

#[test]
fn commands_are_understood() {
    let mut understood = 0;
    for name in chapters() {
        let text = chapter(&name);
        let exec = lines_of(&text, "ini").into_iter();
        let exec = exec.filter_map(|line| Some(line.strip_prefix("ExecStart=/usr/local/bin/")?.to_owned()));
        for line in lines_of(&text, "sh").into_iter().chain(exec) {
            let words = words(&line);
            match words[0].as_str() {
                "quoit" => {
                    assert!(is_understood(quoit(), &words[1..]), "{name}: {line}");
                    understood += 1;
                }
                "cargo" => {
                    let at = words.iter().position(|word| word == "--example").expect("an example");
                    let example = &words[at + 1];
                    assert_eq!(words[1..3], ["run", "--release"], "{name}: {line}");
                    let needs_tower = words.iter().any(|word| word == "tower");
                    assert_eq!(needs_tower, example == "axum", "{name}: {line}");
                    if needs_tower {
                        // Built with a feature that this test may not have; its own tests run it.
                        assert!(root().join("examples/axum/main.rs").exists());
                        continue;
                    }
                    let arguments = words.get(at + 3..).unwrap_or_default();
                    assert!(words.get(at + 2).is_none_or(|word| word == "--"), "{name}: {line}");
                    let program = Command::new(example_path(example));
                    assert!(is_understood(program, arguments), "{name}: {line}");
                    understood += 1;
                }
                "curl" | "ln" | "mkdir" => {}
                other => panic!("{name}: nobody checks `{other}`: {line}"),
            }
        }
    }
    assert!(understood > 15, "{understood} commands");
}

/// A line without its comment.
fn command_of(line: &str) -> &str {
    line.split(" #").next().unwrap_or_default().trim()
}

/// README and CONTRIBUTING name programs, scripts and files that there are, with flags that they have.
#[test]
fn commands_of_the_front_pages_are_understood() {
    let (mut understood, mut scripts) = (0, 0);
    for page in ["README.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        let exec = lines_of(&text, "ini").into_iter();
        let exec = exec.filter_map(|line| Some(line.strip_prefix("ExecStart=/usr/local/bin/")?.to_owned()));
        for line in lines_of(&text, "sh").into_iter().chain(exec) {
            let command = command_of(&line);
            let mut words = words(command);
            while words.first().is_some_and(|word| word == "sudo" || word.starts_with("CARGO_")) {
                words.remove(0);
            }
            for path in words.iter().filter(|word| word.starts_with("scripts/")) {
                assert!(root().join(path).exists(), "{page}: {line}");
            }
            let Some(program) = words.first() else { continue };
            if let Some(name) = program.strip_prefix("scripts/") {
                let source = fs::read_to_string(root().join("scripts").join(name)).expect("a script");
                for flag in words.iter().filter(|word| word.starts_with("--")) {
                    assert!(source.contains(flag.as_str()), "{page}: {name} has no {flag}");
                }
                scripts += 1;
                continue;
            }
            match program.as_str() {
                "quoit" => {
                    assert!(is_understood(quoit(), &words[1..]), "{page}: {line}");
                    understood += 1;
                }
                "cargo" => match words[1].as_str() {
                    "install" => assert_eq!(words[2..], ["--path", ".", "--locked"], "{page}: {line}"),
                    "test" => {
                        let at = words.iter().position(|word| word == "--test").expect("a test program");
                        assert!(root().join("tests").join(&words[at + 1]).with_extension("rs").exists());
                    }
                    "build" => assert_eq!(words[2..], ["--profile", "dist"], "{page}: {line}"),
                    other => panic!("{page}: nobody checks `cargo {other}`: {line}"),
                },
                "mkdir" | "install" | "systemctl" => {}
                other => panic!("{page}: nobody checks `{other}`: {line}"),
            }
        }
    }
    assert!(understood > 5 && scripts > 5, "{understood} commands, {scripts} scripts");
}

/// The servers of README start as printed, in the directory that its own line makes, on other ports.
#[test]
fn the_servers_of_readme_serve() {
    let text = fs::read_to_string(root().join("README.md")).expect("README");
    let place = tempfile::tempdir().expect("a directory");
    let lines = lines_of(&text, "sh");
    let make = lines.iter().find(|line| line.starts_with("mkdir")).expect("a line that makes the site");
    assert!(Command::new("sh").args(["-c", make]).current_dir(place.path()).status().expect("sh").success());
    let mut served = 0;
    for line in lines.iter().map(|line| command_of(line)).filter(|line| line.starts_with("quoit serve site"))
    {
        let mut words = words(line);
        match words.iter().position(|word| word == "--listen") {
            Some(at) => words[at + 1] = ":0".to_owned(),
            None => words.extend(["--listen".to_owned(), "0".to_owned()]),
        }
        let mut command = quoit();
        command.args(&words[1..]).args(["--workers", "1"]).current_dir(place.path());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = stderr.lines().map_while(Result::ok);
        let serves = said.any(|line| line.contains("serving on http"));
        child.kill().expect("our child");
        child.wait().expect("our child");
        assert!(serves, "{line}");
        served += 1;
    }
    assert_eq!(served, 3);
}

#[test]
fn the_unit_is_that_of_the_guide() {
    let unit = fs::read_to_string(root().join("scripts/quoit.service")).expect("the unit");
    let told = lines_of(&chapter("deployment.md"), "ini").join("\n");
    let unit: Vec<_> = unit.lines().skip(1).filter(|line| !line.is_empty()).collect();
    assert_eq!(unit.join("\n"), told);
}

#[test]
fn what_is_mistyped_is_noticed() {
    for wrong in ["serve --lisen x", "serve --listen nowhere", "serv", "serve a b", "serve --cpus 3-1"] {
        assert!(!is_understood(quoit(), &words(wrong)), "{wrong}");
    }
    assert_eq!(words("a 'b c' d"), ["a", "b c", "d"]);
}

#[test]
fn files_that_are_named_exist() {
    for name in chapters() {
        let text = chapter(&name);
        for path in text.split(['`', ' ', '=']).filter(|word| word.starts_with("scripts/")) {
            assert!(root().join(path).exists(), "{name}: {path}");
        }
    }
    assert!(chapter("deployment.md").contains("scripts/seccomp-quoit.json"));
}

#[test]
fn every_chapter_is_in_the_guide_once() {
    let guide = fs::read_to_string(root().join("src/guide.rs")).expect("the guide");
    for name in chapters() {
        let included = format!("include_str!(\"guide/{name}\")");
        assert_eq!(guide.matches(&included).count(), 1, "{name}");
        let listed = format!(". [`{}`]:", name.trim_end_matches(".md"));
        assert_eq!(guide.matches(&listed).count(), 1, "{name}");
    }
}

#[test]
fn limits_are_as_told() {
    let bytes = |count: u64| match count {
        mib if mib % (1 << 20) == 0 => format!("{} MiB", mib >> 20),
        kib => format!("{} KiB", kib >> 10),
    };
    let (limits, head, extract) = (Limits::default(), HeadLimits::DEFAULT, ExtractLimits::DEFAULT);
    let (line, whole) = (bytes(head.request_line_bytes_max.into()), bytes(head.head_bytes_max.into()));
    let body = BodyLimits::DEFAULT.body_bytes_max.expect("bounded");
    let [json, form, text] = [extract.json_bytes_max, extract.form_bytes_max, extract.whole_bytes_max]
        .map(|count| bytes(count as u64));
    let (rate, every) = (limits.rate_min, limits.stall_timeout.as_secs());
    let rows = [
        format!("| request line, head, number of fields | {line}, {whole}, {} |", head.fields_max),
        format!("| body | {} |", bytes(body)),
        format!("| JSON, form, text in memory | {json}, {form}, {text} |"),
        format!("| time for a whole head | {} s |", limits.head_timeout.as_secs()),
        format!("| idle time between requests | {} s |", limits.idle_timeout.as_secs()),
        format!("| rate of bodies and responses | {rate} bytes a second, checked every {every} s |"),
        format!("| time to finish when stopping | {} s |", limits.drain_timeout.as_secs()),
        format!("| threads for blocking work, per core | {} |", RingConfig::default().blocking_threads_max),
        format!("| memory for hot files | {} a core |", bytes(FilesOptions::default().cache_bytes_max)),
    ];
    let told = chapter("limits.md");
    for row in rows {
        assert!(told.contains(&row), "{row}");
    }
}
