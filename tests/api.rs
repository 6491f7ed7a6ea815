//! Extractors through a socket: what each accepts, what it refuses, with which status, and which field the
//! problem document names. Knows the wire and the public API.

mod common;

#[path = "api/bodies.rs"]
mod bodies;
#[path = "api/fields.rs"]
mod fields;
#[path = "api/multipart.rs"]
mod multipart;
#[path = "api/replies.rs"]
mod replies;
#[path = "api/targets.rs"]
mod targets;

use common::{Client, Hosted, Response, lenient, serve_with};
use quoit::service::Router;
use serde_json::Value;

/// Serves a router on one core.
fn host(make: impl Fn() -> Router + Clone + Send + Sync + 'static) -> Hosted {
    serve_with(1, lenient(), move |_| make().build().expect("sound routes"))
}

fn get(client: &mut Client, target: &str) -> Response {
    client.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

/// Sends a body of a type; none for an empty type.
fn post(client: &mut Client, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Response {
    client.ask(posted(path, content_type, body.as_ref()))
}

fn posted(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n", body.len());
    if !content_type.is_empty() {
        request += &format!("Content-Type: {content_type}\r\n");
    }
    [request.as_bytes(), b"\r\n", body].concat()
}

/// Asserts that this is a problem document with this status, detail and wrong field (`place: reason`).
#[track_caller]
fn is_problem(response: &Response, status: u16, detail: &str, field: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.field("content-type"), Some("application/problem+json"));
    let document: Value = serde_json::from_slice(&response.body).expect("a problem document is JSON");
    assert_eq!(document["status"], status);
    assert_eq!(document["detail"], detail);
    let told = |error: &Value| format!("{}: {}", text(&error["pointer"]), text(&error["detail"]));
    let fields: Vec<String> = document["errors"].as_array().into_iter().flatten().map(told).collect();
    assert_eq!(fields.join("; "), field);
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
