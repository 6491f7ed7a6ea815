//! `quoit run`, `check`, `explain` and `diff`: a file is served, changed while it is served, and told apart
//! from another.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::server::{Server, get, quoit, run};
use crate::{site, text};

/// A directory with this file, and its path.
fn file(content: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("quoit.toml");
    fs::write(&path, content).unwrap();
    (dir, path)
}

fn start(path: &Path, more: &[&str]) -> Server {
    let args = [&["run", "--config", text(path)], more].concat();
    Server::start_command(quoit(&args))
}

/// A file as editors and deployments replace it.
fn replace(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

const BASE: &str = "listen = \"127.0.0.1:0\"\nworkers = 2\n";

fn with(routes: &str) -> String {
    format!("{BASE}\n{routes}")
}

#[test]
fn a_file_is_served_and_reloaded() {
    let (dir, path) = file(&with("[[route]]\npath = \"/a\"\nrespond = \"one\"\n"));
    let mut server = start(&path, &[]);
    assert_eq!(get(server.addr(), "/a").body, b"one");
    assert_eq!(get(server.addr(), "/b").status, 404);

    // A connection that is kept goes on.
    let mut kept = BufReader::new(TcpStream::connect(server.addr()).unwrap());
    let mut ask = |path: &str| {
        write!(kept.get_mut(), "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            kept.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        kept.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    };
    assert_eq!(ask("/a"), "one");

    let routes = "[[route]]\npath = \"/a\"\nrespond = \"two\"\n[[route]]\npath = \"/b\"\nrespond = \"new\"\n";
    replace(&path, &with(routes));
    server.signal("HUP");
    let changed = server.wait_for("reloaded: ~ default site, route any /a:");
    assert!(changed.contains("respond 200 OK, 3 bytes"), "{changed}");
    server.wait_for("reloaded: + default site, route any /b: respond 200 OK, 3 bytes");
    assert_eq!((ask("/a"), ask("/b")), ("two".to_owned(), "new".to_owned()));

    // A file with mistakes changes nothing and says why, every mistake with its place.
    replace(&path, &with("[[rout]]\npath = \"/c\"\n[limits]\nidle_timeout = \"soon\"\n"));
    server.signal("HUP");
    let place = format!("not reloaded: {}:4:3: unknown key `rout`", path.display());
    server.wait_for(&place);
    server.wait_for("quoit.toml:7:16: `idle_timeout` is a time");
    assert_eq!(ask("/b"), "new");

    // What is opened only when it is built is found before anything changes.
    replace(&path, &with("files = \"no-such-dir\"\n"));
    server.signal("HUP");
    server.wait_for("not reloaded: ");
    assert_eq!(ask("/b"), "new");

    // So is what needs another process.
    replace(&path, &with("[limits]\nidle_timeout = \"5s\"\n").replace("workers = 2", "workers = 1"));
    server.signal("HUP");
    server.wait_for("not reloaded: workers: this cannot be changed while the server runs; restart it");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = with(routes).replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    replace(&path, &other);
    server.signal("HUP");
    server.wait_for("not reloaded: cannot listen on");
    assert_eq!(ask("/b"), "new");

    // And the next good one is compared with what is served, not with what was refused.
    replace(&path, &with("[[route]]\npath = \"/a\"\nrespond = \"two\"\n"));
    server.signal("HUP");
    server.wait_for("reloaded: - default site, route any /b");
    assert_eq!(ask("/a"), "two");
    let ended = server.stop();
    assert!(ended.status.success() && ended.stderr.contains("stopped after"), "{ended:?}");
    drop(dir);
}

#[test]
fn a_watched_file_needs_no_signal() {
    let (dir, path) = file(&with("include = \"sites/*.toml\"\nrespond = \"one\"\n"));
    fs::create_dir(dir.path().join("sites")).unwrap();
    let mut server = start(&path, &["--watch"]);
    replace(&path, &with("include = \"sites/*.toml\"\nrespond = \"longer\"\n"));
    server.wait_for("reloaded: ~ default site, fallback");
    assert_eq!(get(server.addr(), "/").body, b"longer");
    // A new file that a pattern includes.
    fs::write(dir.path().join("sites/a.toml"), "[[site]]\nhost = \"a.test\"\nrespond = \"a\"\n").unwrap();
    server.wait_for("reloaded: + site a.test");
    server.stop();
}

#[test]
fn the_last_of_many_files_is_served_after_many_signals() {
    let versions =
        ["[[route]]\npath = \"/\"\nrespond = \"A\"\n", "[[route]]\npath = \"/\"\nrespond = \"BB\"\n"];
    let (_dir, path) = file(&with(versions[0]));
    let mut server = start(&path, &[]);
    for round in 0..50 {
        replace(&path, &with(versions[(round + 1) % 2]));
        server.signal("HUP");
    }
    replace(&path, &with("[[route]]\npath = \"/\"\nrespond = \"last\"\n"));
    server.signal("HUP");
    server.wait_for("respond 200 OK, 4 bytes");
    assert_eq!(get(server.addr(), "/").body, b"last");
    server.stop();
}

#[test]
fn a_check_says_what_would_be_served_or_what_is_wrong() {
    let (_dir, path) = file(&with("[[site]]\nhost = \"a.test\"\nrespond = \"hi\"\n"));
    let ended = run(quoit(&["check", "--config", text(&path)]));
    assert!(ended.status.success(), "{ended:?}");
    let expected = "plan\n├─ listen on http://127.0.0.1:0\n├─ site a.test\n│  └─ otherwise respond 200 OK, \
        2 bytes, \
                    Content-Type: text/plain; charset=utf-8\n└─ default site\n   └─ otherwise 404\n";
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), (expected, ""));

    let (_dir, path) = file("listen = \"80\"\nfiels = \"x\"\n");
    let ended = run(quoit(&["check", "--config", text(&path)]));
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    for words in ["quoit.toml:2:1", "2 | fiels = \"x\"", "^^^^^ did you mean `files`?", "quoit: 1 mistake in"]
    {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    let ended = run(quoit(&["check", "--config", "no-such-file.toml"]));
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("no-such-file.toml: there is no such file; name another with --config"),
        "{ended:?}"
    );
}

#[test]
fn an_explanation_names_what_answers_and_why_others_do_not() {
    let (_dir, path) = file(&with(
        "filters = [\"request_id\"]\n[upstreams.api]\nendpoints = [\"127.0.0.1:9001\"]\ntimeouts.connect = \
         \"1s\"\nretries.tries = 2\n\
         [[route]]\nprefix = \"/api\"\nproxy = \"api\"\n[[route]]\npath = \"/api/health\"\nmethods = \
         \"GET\"\n\
         respond = \"fine\"\n",
    ));
    let explain = |args: &[&str]| {
        let ended = run(quoit(&[&["explain", "--config", text(&path)], args].concat()));
        assert!(ended.status.success(), "{ended:?}");
        ended.stdout
    };
    let said = explain(&["POST", "http://x.test/api/users?a=b", "-H", "Accept: text/plain"]);
    for line in [
        "listener: none for this scheme and port",
        "site: default site",
        "filter: request-id",
        "response: route any /api/{*rest}: proxy to api (127.0.0.1:9001; power of two)",
        "request bodies: bodies of any size (default)",
        "connect timeout: 1s (upstream api)",
        "first byte timeout: 60s (default)",
        "retries: 1 more within 30s and 20 % of the requests, of idempotent requests (upstream api)",
        "ejection: after 5 failures in a row, for 10s, at most 50 % (default)",
        "checks: none (default)",
        "not route any /api: the path has more segments",
        "not route GET /api/health: segment 2 of the path is `users`, not `health`",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    assert!(explain(&["GET", "/api/health"]).contains("response: route GET /api/health: respond 200 OK"));
    let ended = run(quoit(&["explain", "--config", text(&path), "GET", "x.test"]));
    assert!(!ended.status.success() && ended.stderr.contains("neither a path nor a URL"), "{ended:?}");
}

#[test]
fn a_difference_is_one_of_effects() {
    let (_dir, old) = file(&with("# a comment\n[[route]]\npath = \"/a\"\nrespond = \"x\"\n"));
    let (_dir, same) = file(&with("route = [{ respond = { text = \"x\" }, path = \"/a\" }]\n"));
    let (_dir, new) =
        file(&with("[[route]]\npath = \"/a\"\nrespond = \"xy\"\n[limits]\nidle_timeout = \"5s\"\n"));
    let ended = run(quoit(&["diff", text(&old), text(&same)]));
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), "no changes\n"), "{ended:?}");
    let ended = run(quoit(&["diff", text(&old), text(&new)]));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[0], "~ limits");
    assert!(lines[1].starts_with("~ default site, route any /a: respond 200 OK, 1 bytes"), "{lines:?}");
    let ended = run(quoit(&["diff", text(&old), "no-such-file"]));
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

#[test]
fn tests_of_a_file_are_run_without_sockets() {
    let (dir, path) = file(&with(
        "[[route]]\nprefix = \"/api\"\nproxy = \"127.0.0.1:1\"\n\
         [[test]]\nname = \"forwarded\"\nrequest = \"GET /api/x\"\nexpect = { upstream = \"127.0.0.1:1\" }\n\
         [[test]]\nrequest = \"GET /x\"\nexpect = { status = 200, route = \"/x\" }\n",
    ));
    let ended = run(quoit(&["test", "--config", text(&path)]));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let expected = format!(
        "ok      forwarded\nFAILED  GET /x ({}:11)\n        route      expected /x\n                   \
         found    404, \
         no route matches\n        status     expected 200\n                   found    404\n2 tests, 1 \
         failed\n",
        path.display()
    );
    assert_eq!(ended.stdout, expected);
    // Tests in a file of their own.
    let own = dir.path().join("tests.toml");
    fs::write(&own, "[[test]]\nrequest = \"/api\"\nexpect = { status = 200 }\n").unwrap();
    fs::write(&path, with("[[route]]\nprefix = \"/api\"\nproxy = \"127.0.0.1:1\"\n")).unwrap();
    let ended = run(quoit(&["test", "--config", text(&path), text(&own)]));
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), "ok      /api\n1 test, 0 failed\n"));
    let ended = run(quoit(&["test", "--config", text(&path)]));
    assert!(!ended.status.success() && ended.stderr.contains("there are no tests"), "{ended:?}");
}

#[test]
fn flags_grow_into_a_file_that_serves_the_same() {
    let dir = site();
    let flags =
        ["serve", text(dir.path()), "--listen", "127.0.0.1:0", "--workers", "1", "--header", "X-A: b"];
    let ended = run(quoit(&[&flags[..], &["--print-config"]].concat()));
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    let (_dir, path) = file(&ended.stdout);
    let (by_flags, by_file) = (Server::start(&flags[1..]), start(&path, &[]));
    let (one, other) = (get(by_flags.addr(), "/"), get(by_file.addr(), "/"));
    assert_eq!((one.status, &one.body), (200, &other.body));
    assert!(one.head.contains("\r\nX-A: b\r\n") && other.head.contains("\r\nX-A: b\r\n"), "{}", other.head);
    by_flags.stop();
    by_file.stop();
}

/// As in `quoit schema | head`.
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (_dir, path) = file(&with(""));
    let path = path.to_str().unwrap();
    for arguments in
        [&["schema"][..], &["check", "--config", path], &["explain", "GET", "/", "--config", path]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_quoit"))
            .args(arguments)
            .stdout(writer)
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{arguments:?}");
        assert!(done.status.success(), "{arguments:?}");
    }
}
