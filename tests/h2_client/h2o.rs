//! `h2o`: files, an application, and a server that leaves gracefully.

use std::process::Command;

use quoit::http::h2::ErrorCode;
use quoit::http::h2::client::SendRequest;

use crate::common::pattern;
use crate::driver::{Driver, GET};
use crate::process::{Foreign, free_port};

struct H2o {
    server: Foreign,
    _files: tempfile::TempDir,
}

impl H2o {
    #[track_caller]
    fn start() -> H2o {
        let files = tempfile::tempdir().expect("a directory");
        let path = files.path();
        std::fs::write(path.join("file"), pattern(500_000)).unwrap();
        let port = free_port();
        let echo = "Proc.new {|env| [200, {\"x-method\" => env[\"REQUEST_METHOD\"]}, \
                    [env[\"rack.input\"] ? env[\"rack.input\"].read : \"\"]]}";
        // As root it would serve as `nobody`, which cannot read the directory.
        let user = if rustix::process::geteuid().is_root() { "user: root\n" } else { "" };
        let config = format!(
            "listen: {{host: 127.0.0.1, port: {port}}}\n{user}num-threads: 1\n\
             error-log: /dev/null\nhosts:\n  default:\n    paths:\n      /echo:\n        \
             mruby.handler: |\n          {echo}\n      /:\n        file.dir: {}\n",
            path.display()
        );
        std::fs::write(path.join("h2o.conf"), config).unwrap();
        let mut command = Command::new("h2o");
        command.arg("-c").arg(path.join("h2o.conf"));
        H2o { server: Foreign::start(&mut command, "h2o", port), _files: files }
    }
}

#[test]
fn files_and_uploads() {
    let h2o = H2o::start();
    let mut driver = Driver::connect(h2o.server.addr);
    let file = driver.request(&SendRequest { path: "/file", ..GET });
    let range = driver.request(&SendRequest { path: "/file", lines: b"Range: bytes=5-8\r\n", ..GET });
    let missing = driver.request(&SendRequest { path: "/missing", ..GET });
    let post = SendRequest { method: "POST", path: "/echo", ..GET };
    let uploads: Vec<u32> = (0..3).map(|_| driver.upload(&post, &pattern(300_000), "")).collect();
    assert!(driver.answer(file).body == pattern(500_000));
    let answer = driver.answer(range);
    assert_eq!((answer.status, &answer.body[..]), (206, &pattern(9)[5..]));
    assert_eq!(driver.answer(missing).status, 404);
    for id in uploads {
        let answer = driver.answer(id);
        assert_eq!((answer.status, answer.field("x-method")), (200, Some("POST")));
        assert!(answer.body == pattern(300_000));
    }
    assert_eq!((driver.machine.open_streams(), driver.machine.unread_bytes()), (0, 0));
}

/// What was asked before is still answered, and nothing is asked after.
#[test]
fn a_graceful_end() {
    let h2o = H2o::start();
    let mut driver = Driver::connect(h2o.server.addr);
    let post = SendRequest { method: "POST", path: "/echo", ..GET };
    let id = driver.begin(&post, quoit::http::h2::EndStream::No);
    driver.push(id, b"abc");
    let get = driver.request(&SendRequest { path: "/file", ..GET });
    assert_eq!(driver.answer(get).status, 200);
    h2o.server.terminate();
    driver.until("GOAWAY", |driver| !driver.goaways.is_empty());
    assert!(!driver.machine.can_send_request());
    driver.finish(id, "");
    assert_eq!(driver.answer(id).body, b"abc");
    assert!(driver.goaways.iter().all(|&(last, code)| last >= id && code == ErrorCode::NO_ERROR));
    assert!(driver.machine.is_over());
}
