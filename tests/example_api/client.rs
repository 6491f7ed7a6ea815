//! The example as a process with a database in a directory of its own, and requests to it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Binary, Client, Response, example_path};

/// The running example.
pub(crate) struct Api {
    binary: Binary,
    dir: TempDir,
    caller: Caller,
}

/// Somebody who asks it, from any thread.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    addr: SocketAddr,
}

impl Deref for Api {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Api {
    /// Starts it on a new file.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_on(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// Ends it in order and starts it on the same file.
    #[track_caller]
    pub(crate) fn restart(mut self) -> Self {
        self.binary.terminate();
        assert!(self.binary.wait().success());
        Self::start_on(self.dir)
    }

    #[track_caller]
    fn start_on(dir: TempDir) -> Self {
        let file = dir.path().join("notes.db");
        let binary = Binary::start(command(), &["--workers", "2", "--db", file.to_str().unwrap()]);
        Self { caller: Caller { addr: binary.addr }, binary, dir }
    }

    /// The file, read behind the program's back.
    pub(crate) fn database(&self) -> Connection {
        let file = self.dir.path().join("notes.db");
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }
}

impl Caller {
    /// One exchange on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Response {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.addr);
        for (name, value) in fields {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        Client::connect(self.addr).ask(request + "\r\n" + body)
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.send("GET", target, &[], "")
    }

    #[track_caller]
    pub(crate) fn post(&self, body: &str) -> Response {
        self.send("POST", "/notes", &[JSON], body)
    }

    #[track_caller]
    pub(crate) fn put(&self, id: i64, if_match: &str, body: &Value) -> Response {
        self.send("PUT", &format!("/notes/{id}"), &[JSON, ("If-Match", if_match)], &body.to_string())
    }

    #[track_caller]
    pub(crate) fn form(&self, pairs: &[(&str, &str)]) -> Response {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.send("POST", "/", &[FORM], &pairs.join("&"))
    }

    /// Makes a note; what came back, which is what was sent.
    #[track_caller]
    pub(crate) fn make(&self, draft: Value) -> Value {
        let reply = self.post(&draft.to_string());
        assert_eq!(reply.status, 201, "{draft}: {}", reply.text());
        let note = json_of(&reply);
        assert_eq!(reply.field("location"), Some(&*format!("/notes/{}", note["id"])));
        for (name, value) in draft.as_object().unwrap() {
            assert_eq!(&note[name], value, "{name}");
        }
        note
    }

    /// All notes by the list, newest first.
    #[track_caller]
    pub(crate) fn all(&self) -> Vec<Value> {
        let mut notes = Vec::new();
        let mut target = Some("/notes?limit=100".to_owned());
        while let Some(next) = target {
            let reply = self.get(&next);
            reply.has_status(200);
            let page = json_of(&reply);
            notes.extend(page["items"].as_array().unwrap().iter().cloned());
            target = page["next"].as_str().map(str::to_owned);
        }
        notes
    }
}

/// A command that runs the example, which is built once.
#[track_caller]
pub(crate) fn command() -> Command {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PATH.get_or_init(|| example_path("api")))
}

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[track_caller]
pub(crate) fn json_of(reply: &Response) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

/// A note with this title and nothing else.
pub(crate) fn titled(title: &str) -> Value {
    json!({ "title": title })
}

/// Asserts a problem document that names these fields and tells nothing of what is inside.
#[track_caller]
pub(crate) fn is_problem(reply: &Response, status: u16, fields: &[&str]) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.field("content-type"), Some("application/problem+json"));
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
    let problem = json_of(reply);
    assert_eq!(problem["status"], status);
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let named: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(named, fields, "{problem}");
    assert!(errors.iter().all(|error| !error["detail"].as_str().unwrap().is_empty()), "{problem}");
    tells_no_internals(&reply.text());
}

/// Words of the inside, none of them in any payload.
#[track_caller]
pub(crate) fn tells_no_internals(text: &str) {
    let text = text.to_lowercase();
    for word in [
        "rusqlite",
        "syntax error",
        "no such table",
        "unrecognized token",
        "sqlite error",
        "serde",
        "struct ",
        "draft",
        "panicked",
        "src/",
        ".rs:",
        "i64",
        "u32",
        "option<",
        "alloc::",
        "core::",
        "bool",
    ] {
        assert!(!text.contains(word), "`{word}` in {text}");
    }
}
