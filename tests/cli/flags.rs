//! Flags of `quoit serve` about logs, responses and passwords, as flags and as variables; completions and
//! manual pages.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::server::{Answer, Server, get, quoit, refused, run};
use crate::wait::until;
use crate::{ANY_PORT, site, text};

/// `secret`, at the lowest cost.
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

fn start(dir: &Path, args: &[&str]) -> Server {
    Server::start(&[&[text(dir), "--listen", ANY_PORT, "--workers", "1"], args].concat())
}

/// GET with more field lines.
fn ask(addr: SocketAddr, path: &str, lines: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{lines}\r\n").unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    Answer { status: head[9..12].parse().unwrap(), head, body: all.split_off(end) }
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

// ---- the access log ----

#[test]
fn the_log_goes_to_a_file_and_follows_sigusr1() {
    let dir = site();
    let (log, old) = (dir.path().join(".log"), dir.path().join(".log.1"));
    let server = start(dir.path(), &["--access-log", text(&log), "--access-log-format", "combined"]);
    get(server.addr(), "/");
    eventually("the line is written", || lines(&log).len() == 1);
    assert!(lines(&log)[0].ends_with("\"GET / HTTP/1.1\" 200 19 \"-\" \"-\""), "{:?}", lines(&log));
    fs::rename(&log, &old).unwrap();
    server.signal("USR1");
    eventually("it is opened anew", || log.exists());
    get(server.addr(), "/absent");
    let ended = server.stop();
    assert!(ended.status.success() && !ended.stderr.contains("lost"), "{ended:?}");
    assert_eq!((lines(&old).len(), lines(&log).len()), (1, 1));
    assert!(lines(&log)[0].contains("\"GET /absent HTTP/1.1\" 404 "), "{:?}", lines(&log));
    let mode = fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "addresses are not everybody's business");
}

#[test]
fn a_dash_is_standard_output_and_json_when_that_is_no_terminal() {
    let dir = site();
    let server = start(dir.path(), &["--access-log", "-"]);
    get(server.addr(), "/?a=b");
    let ended = server.stop();
    let record: Value = serde_json::from_str(ended.stdout.trim_end()).expect("one line of JSON");
    assert_eq!((record["target"].as_str(), record["status"].as_u64()), (Some("/?a=b"), Some(200)));
    assert!(ended.stderr.contains("stopped after 1 requests"), "{ended:?}");
}

#[test]
fn sigusr1_without_a_log_harms_nobody() {
    let dir = site();
    let server = start(dir.path(), &[]);
    for _ in 0..3 {
        server.signal("USR1");
        assert_eq!(get(server.addr(), "/").status, 200);
    }
    assert!(server.stop().status.success());
}

#[test]
fn a_full_disk_is_told_once_and_its_lines_are_counted() {
    let dir = site();
    let mut server = start(dir.path(), &["--access-log", "/dev/full"]);
    assert_eq!(get(server.addr(), "/").status, 200);
    server.wait_for("/dev/full cannot be written");
    for _ in 0..2 {
        assert_eq!(get(server.addr(), "/").status, 200);
    }
    let ended = server.stop();
    assert_eq!(ended.stderr.matches("/dev/full cannot be written").count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("3 lines of the access log were lost"), "{ended:?}");
    assert!(ended.status.success());
}

#[test]
fn logs_that_cannot_be_are_refused_in_one_line() {
    let dir = site();
    let serve = |args: &[&str]| {
        let args = [&["serve", text(dir.path()), "--listen", ANY_PORT, "--workers", "1"], args].concat();
        quoit(&args)
    };
    refused(serve(&["--access-log", text(dir.path())]), &["access log", "name a file in it"]);
    refused(serve(&["--access-log", "/no/such/dir/log"]), &["/no/such/dir/log", "mkdir -p"]);
    refused(serve(&["--access-log", "-", "--access-log-format", "xml"]), &["xml", "combined"]);
    refused(serve(&["--access-log-format", "json"]), &["--access-log-format needs --access-log FILE"]);
}

// ---- responses ----

#[test]
fn headers_are_added_to_every_response() {
    let dir = site();
    let flags = ["--header", "X-One: a: b", "--header", "X-Two:2", "--header", "cache-control: no-store"];
    let server = start(dir.path(), &flags);
    for path in ["/", "/absent"] {
        let head = get(server.addr(), path).head;
        assert!(head.contains("\r\nX-One: a: b\r\n") && head.contains("\r\nX-Two: 2\r\n"), "{head}");
        let of_name = |line: &&str| line.to_ascii_lowercase().starts_with("cache-control:");
        assert_eq!(head.lines().filter(of_name).collect::<Vec<_>>(), ["cache-control: no-store"]);
    }
    for (header, words) in [
        ("X-One", "expected NAME: VALUE"),
        ("X One: a", "--header"),
        ("A: b\u{1}c", "--header"),
        ("Content-Length: 5", "framing"),
        ("Connection: close", "written by the server"),
    ] {
        refused(quoit(&["serve", text(dir.path()), "--header", header]), &[words]);
    }
}

#[test]
fn error_pages_are_for_those_who_read_html() {
    let dir = site();
    let page = dir.path().join("lost.html");
    fs::write(&page, "<h1>lost</h1>").unwrap();
    let flag = format!("404={}", page.display());
    let server = start(dir.path(), &["--error-page", &flag]);
    for accept in ["", "Accept: text/html, */*;q=0.8\r\n", "Accept: */*\r\n"] {
        let answer = ask(server.addr(), "/absent", accept);
        assert_eq!((answer.status, &*answer.body), (404, &b"<h1>lost</h1>"[..]), "{accept}");
        assert!(answer.head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{}", answer.head);
        assert!(answer.head.contains("\r\nVary: Accept\r\n"), "{}", answer.head);
        assert_eq!(answer.head.matches("Content-Type").count(), 1, "{}", answer.head);
    }
    let answer = ask(server.addr(), "/absent", "Accept: application/json\r\n");
    assert!(answer.status == 404 && !answer.body.starts_with(b"<h1>"));
    assert!(answer.head.contains("\r\nVary: Accept\r\n"), "{}", answer.head);
    assert_eq!(get(server.addr(), "/").body, b"<title>here</title>");
    let serve = |flag: &str| quoit(&["serve", text(dir.path()), "--error-page", flag]);
    refused(serve("404=/no/such.html"), &["error page", "/no/such.html", "no such file", "STATUS=FILE"]);
    refused(serve(&format!("404={}", dir.path().display())), &["no regular file"]);
    refused(serve("200=x"), &["status of no error"]);
    refused(serve("404"), &["expected STATUS=FILE"]);
}

#[test]
fn security_headers_are_one_switch() {
    let dir = site();
    let server = start(dir.path(), &["--security-headers"]);
    for path in ["/", "/absent"] {
        let head = get(server.addr(), path).head;
        for name in ["Content-Security-Policy: ", "X-Content-Type-Options: nosniff", "Referrer-Policy: "] {
            assert!(head.contains(&format!("\r\n{name}")), "{head}");
        }
    }
    assert!(!get(start(dir.path(), &[]).addr(), "/").head.contains("Security"));
}

// ---- passwords ----

#[test]
fn passwords_are_asked_for_and_users_are_logged() {
    let dir = site();
    let users = dir.path().join(".users");
    fs::write(&users, format!("alice:{HASH}\n")).unwrap();
    let server = start(
        dir.path(),
        &["--auth", text(&users), "--access-log", "-", "--access-log-format", "common", "--header", "X-A: b"],
    );
    let refused = get(server.addr(), "/");
    assert_eq!(refused.status, 401);
    assert!(refused.head.contains("\r\nWWW-Authenticate: Basic realm=\"restricted\""), "{}", refused.head);
    assert!(refused.head.contains("\r\nX-A: b\r\n"), "filters outside see it too: {}", refused.head);
    // alice:secret, alice:wrong
    assert_eq!(ask(server.addr(), "/", "Authorization: Basic YWxpY2U6c2VjcmV0\r\n").status, 200);
    assert_eq!(ask(server.addr(), "/", "Authorization: Basic YWxpY2U6d3Jvbmc=\r\n").status, 401);
    let ended = server.stop();
    let users: Vec<_> = ended.stdout.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(users, ["-", "alice", "-"]);
}

#[test]
fn files_of_users_with_a_mistake_are_refused_with_their_line() {
    let dir = site();
    let users = dir.path().join(".users");
    let serve = || quoit(&["serve", text(dir.path()), "--listen", ANY_PORT, "--auth", text(&users)]);
    refused(serve(), &["users", "htpasswd -cB"]);
    for (content, words) in [
        (format!("a:{HASH}\nb:plain\n"), ["users:2:", "htpasswd -B"]),
        ("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n".to_owned(), ["users:1:", "SHA-1"]),
        ("# nobody\n".to_owned(), ["users:", "no user"]),
    ] {
        fs::write(&users, content).unwrap();
        refused(serve(), &words);
    }
}

// ---- variables ----

#[test]
fn every_flag_can_be_a_variable_and_the_flag_wins() {
    let dir = site();
    let mut command = quoit(&["serve", "--access-log-format", "json", "--idle-timeout", "5s"]);
    command
        .env("QUOIT_DIR", dir.path())
        .env("QUOIT_LISTEN", "127.0.0.1:0,127.0.0.1:0")
        .env("QUOIT_WORKERS", "1")
        .env("QUOIT_QUIET", "false")
        .env("QUOIT_HEADER", "X-One: a, b\nX-Two: c")
        .env("QUOIT_SECURITY_HEADERS", "1")
        .env("QUOIT_ACCESS_LOG", "-")
        .env("QUOIT_ACCESS_LOG_FORMAT", "common")
        .env("QUOIT_IDLE_TIMEOUT", "1m");
    let server = Server::start_command(command);
    assert_eq!(server.addresses().len(), 2);
    let head = get(server.addr(), "/").head;
    for line in ["X-One: a, b", "X-Two: c", "X-Content-Type-Options: nosniff"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    assert!(server.stop().stdout.starts_with('{'));
    let mut command = quoit(&["serve"]);
    command.env("QUOIT_WORKERS", "many");
    refused(command, &["many", "--workers"]);
}

// ---- limits ----

#[test]
fn limits_are_flags() {
    let dir = site();
    let server =
        start(dir.path(), &["--idle-timeout", "300ms", "--head-timeout", "400ms", "--head-max", "24K"]);
    let mut idle = TcpStream::connect(server.addr()).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut all = Vec::new();
    // Ends by itself, long before the minute of the default.
    idle.read_to_end(&mut all).unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 "));
    let mut slow = TcpStream::connect(server.addr()).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    let mut all = Vec::new();
    slow.read_to_end(&mut all).unwrap();
    assert!(all.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&all));
    let cookies = |bytes: usize| format!("Cookie: a={}\r\n", "x".repeat(bytes));
    assert_eq!(ask(server.addr(), "/", &cookies(20_000)).status, 200);
    assert_eq!(ask(start(dir.path(), &[]).addr(), "/", &cookies(20_000)).status, 431);
}

// ---- the browser ----

/// A directory with an opener in it that notes what it was to open.
fn opener(dir: &Path, script: &str) {
    let path = dir.join("xdg-open");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn open_opens_the_address_that_was_chosen() {
    let (dir, bin) = (site(), tempfile::tempdir().unwrap());
    let noted = bin.path().join("noted");
    opener(bin.path(), &format!("echo \"$1\" > '{}'", noted.display()));
    let mut command =
        quoit(&["serve", text(dir.path()), "--listen", "0.0.0.0:0", "--workers", "1", "--open"]);
    command.env("PATH", bin.path());
    let server = Server::start_command(command);
    eventually("it is opened", || noted.exists() && !lines(&noted).is_empty());
    assert_eq!(lines(&noted), [format!("http://127.0.0.1:{}/", server.addr().port())]);
}

#[test]
fn a_browser_that_does_not_open_is_one_line_and_no_more() {
    let (dir, bin) = (site(), tempfile::tempdir().unwrap());
    for script in [None, Some("exit 3")] {
        if let Some(script) = script {
            opener(bin.path(), script);
        }
        let mut command =
            quoit(&["serve", text(dir.path()), "--listen", ANY_PORT, "--workers", "1", "--open"]);
        command.env("PATH", bin.path());
        let mut server = Server::start_command(command);
        if !server.said().iter().any(|line| line.contains("no browser was opened")) {
            server.wait_for("no browser was opened");
        }
        assert_eq!(get(server.addr(), "/").status, 200);
    }
}

// ---- completions and manual pages ----

#[test]
fn completions_are_printed_for_each_shell() {
    for (shell, words) in [
        ("bash", ["complete -F", "--access-log"]),
        ("zsh", ["#compdef quoit", "--access-log"]),
        ("fish", ["complete -c quoit", "-l access-log"]),
    ] {
        let ended = run(quoit(&["completions", shell]));
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
        for word in words {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
        // A shell that is there reads it without complaint.
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), &ended.stdout).unwrap();
        if let Ok(status) = Command::new(shell).arg("-n").arg(script.path()).status() {
            assert!(status.success(), "{shell}");
        }
    }
    refused(quoit(&["completions", "powershell"]), &["powershell", "bash"]);
}

#[test]
fn manual_pages_are_printed() {
    for (args, words) in [
        (&["man"][..], [".TH quoit 1", "serve"]),
        (&["man"], ["HTTP/1.1 and HTTP/2", "Serve a directory over HTTP/1.1 and HTTP/2"]),
        (&["man", "serve"], [".TH quoit-serve 1", "QUOIT_ACCESS_LOG_FORMAT"]),
        (&["man", "serve"], ["HTTP/1.1 and HTTP/2", "QUOIT_IDLE_TIMEOUT"]),
        (&["man", "doctor"], [".TH quoit-doctor 1", "quoit doctor"]),
    ] {
        let ended = run(quoit(args));
        assert!(ended.status.success(), "{ended:?}");
        for word in words {
            assert!(ended.stdout.contains(word), "{args:?}: {word}");
        }
    }
    refused(quoit(&["man", "absent"]), &["absent", "--help"]);
}
