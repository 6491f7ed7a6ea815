//! What the operator reads when a handler panics. Standard error belongs to the process, so the test runs
//! itself as another one.

use std::process::Command;

use quoit::service::{Path, Request, Router};

use crate::common::{Client, lenient, serve_with};

/// Set in the process that serves.
const INNER: &str = "QUOIT_TEST_PANICS";

async fn boom(Path(id): Path<u32>) -> String {
    panic!("boom {id}")
}

#[test]
fn a_panic_names_its_request_and_its_route() {
    if std::env::var_os(INNER).is_some() {
        return serve_and_panic();
    }
    let name = "panics::a_panic_names_its_request_and_its_route";
    let mut itself = Command::new(std::env::current_exe().expect("a test knows its own path"));
    let ended = itself.args(["--exact", name, "--nocapture"]).env(INNER, "1").output().expect("it starts");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    for line in [
        "quoit: a handler panicked: boom 7 (GET /items/7, route /items/{id})",
        "quoit: a handler panicked: at once (POST /now%0A)",
    ] {
        assert!(said.lines().any(|written| written == line), "`{line}` is missing:\n{said}");
    }
    assert!(!said.contains("secret"), "a query is nobody's business: {said}");
}

fn serve_and_panic() {
    let routes = serve_with(1, lenient(), |_core| {
        Router::new().get("/items/{id}", boom).build().expect("sound routes")
    });
    Client::connect(routes.addr).ask("GET /items/7?key=secret HTTP/1.1\r\nHost: a\r\n\r\n").has_status(500);
    let service = serve_with(1, lenient(), |_core| {
        async |_: Request| -> quoit::service::Response { panic!("at once") }
    });
    let request = "POST /now%0A HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    Client::connect(service.addr).ask(request).has_status(500);
    assert_eq!((routes.stop().panics, service.stop().panics), (1, 1));
    assert!(quoit::observe::log::flush(crate::common::PATIENCE));
}
