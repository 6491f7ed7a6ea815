//! Responses that the server gives in place of its routes: they have what the routes' filters add to every
//! response.

use quoit::filter::{Cors, ErrorPages, Fields, RequestIds, SecurityHeaders};
use quoit::http::status::Status;
use quoit::server::CoreContext;
use quoit::service::{Router, Routes};

use crate::common::{Client, Hosted, Response, lenient, serve_with};
use crate::peer::Peer;
use crate::wire::*;

const APP: &str = "https://app.example";

fn site() -> Hosted {
    serve_with(1, lenient(), |_: &CoreContext| routes().build().expect("sound routes"))
}

fn routes() -> Router {
    Router::new()
        .filter(RequestIds::new())
        .filter(Fields::new().field("X-Op", "yes").expect("valid"))
        .filter(SecurityHeaders::with("script-src 'nonce-{nonce}'").expect("valid"))
        .filter(Cors::origins([APP]).with_credentials())
        .filter(ErrorPages::new().page(Status::URI_TOO_LONG, "<p>too long"))
        .filter(ErrorPages::new().page(Status::HTTP_VERSION_NOT_SUPPORTED, "<p>old".repeat(50_000)))
        .get("/panic", async || -> &'static str { panic!("a handler panics, as the test wants it to") })
        .post("/count", async |body: bytes::Bytes| body.len().to_string())
        .get("/informational", async || Status::CONTINUE)
        .nest("/inner", Router::new().filter(Fields::new().field("X-Inner", "yes").expect("valid")))
}

/// Host, origin and the empty line.
const REST: &str = "Host: a\r\nOrigin: https://app.example\r\n\r\n";

fn ask(server: &Hosted, request: &str) -> Response {
    let mut client = Client::connect(server.addr);
    let _ = client.try_send(request);
    client.response()
}

#[track_caller]
fn is_dressed(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.head);
    for (name, value) in [("x-op", "yes"), ("x-content-type-options", "nosniff")] {
        assert_eq!(response.field(name), Some(value), "{status} has {name}: {}", response.head);
    }
    let policy = response.field("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("script-src 'nonce-") && policy.len() > 40, "{status}: {policy}");
    assert_eq!(response.field("x-request-id").map(str::len), Some(32), "{status}");
    assert!(response.head.contains("\r\nVary: Origin"), "{status}: {}", response.head);
}

#[track_caller]
fn is_readable_for_the_app(response: &Response) {
    assert_eq!(response.field("access-control-allow-origin"), Some(APP), "{}", response.head);
    assert_eq!(response.field("access-control-allow-credentials"), Some("true"));
}

#[test]
fn refusals_of_http_1() {
    let server = site();
    let long = "x".repeat(9000);
    for (status, request) in [
        (400, format!("GET /a#b HTTP/1.1\r\n{REST}")),
        (400, format!("GET http://u@a/ HTTP/1.1\r\n{REST}")),
        (400, format!("POST /count HTTP/1.1\r\nContent-Length: x\r\n{REST}")),
        (417, format!("GET / HTTP/1.1\r\nExpect: tea\r\n{REST}")),
        (501, format!("POST /count HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n{REST}")),
        (505, format!("GET / HTTP/3.0\r\n{REST}")),
        (413, format!("POST /count HTTP/1.1\r\nContent-Length: 99999999\r\n{REST}")),
        (500, format!("GET /panic HTTP/1.1\r\n{REST}")),
        (500, format!("GET /informational HTTP/1.1\r\n{REST}")),
        (501, format!("CONNECT a:1 HTTP/1.1\r\n{REST}")),
    ] {
        let response = ask(&server, &request);
        is_dressed(&response, status);
        is_readable_for_the_app(&response);
    }
    // The origin was not received yet, or is behind the error.
    for (status, request) in [
        (431, format!("GET / HTTP/1.1\r\nX: {long}{long}\r\n{REST}")),
        (400, format!("GET / HTTP/1.1\r\nX : y\r\n{REST}")),
        (400, "\0\r\n".to_owned()),
    ] {
        let response = ask(&server, &request);
        is_dressed(&response, status);
        assert_eq!(response.field("access-control-allow-origin"), None);
    }
    let page = ask(&server, &format!("GET /{long} HTTP/1.1\r\n{REST}"));
    is_dressed(&page, 414);
    assert_eq!(
        (page.field("content-type"), page.text()),
        (Some("text/html; charset=utf-8"), "<p>too long".into())
    );
    // A page that is too large to be sent with its head.
    let large = ask(&server, &format!("GET / HTTP/3.0\r\n{REST}"));
    is_dressed(&large, 505);
    assert!(large.text() == "<p>old".repeat(50_000), "{}", large.text().len());
    // Another origin may not read them.
    let other = ask(&server, "GET /# HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\n\r\n");
    assert_eq!(other.field("access-control-allow-origin"), None);
    // Below a prefix, the filters of its router too.
    let inner = ask(&server, "GET /inner/x HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n");
    assert_eq!(inner.field("x-inner"), Some("yes"));
    // HEAD has no content, whatever is wrong with it.
    let mut client = Client::connect(server.addr);
    client.send("HEAD /# HTTP/1.1\r\nHost: a\r\n\r\n");
    is_dressed(&client.response_to("HEAD"), 400);
    client.is_closed();
}

#[test]
fn refusals_of_http_2() {
    let server = site();
    let mut peer = Peer::connect(server.addr);
    let long = format!("/{}", "x".repeat(9000));
    let many = "x".repeat(4000);
    let big = [("a", &*many), ("b", &many), ("c", &many), ("d", &many), ("e", &many)];
    for (status, method, path, fields) in [
        (400, "GET", "/a#b", &[][..]),
        (400, "GET", "/", &[("content-length", "x")]),
        (400, "G T", "/", &[]),
        (414, "GET", &long, &[]),
        (417, "GET", "/", &[("expect", "tea")]),
        (413, "POST", "/count", &[("content-length", "99999999")]),
        (431, "GET", "/", &big),
        (500, "GET", "/panic", &[]),
        (500, "GET", "/informational", &[]),
    ] {
        let stream = peer.fresh();
        let mut all = pseudo(method, path);
        all.push(("origin", APP));
        all.extend(fields);
        if status == 413 {
            peer.send(headers(stream, END_HEADERS, &all));
        } else {
            peer.send(headers_in_frames(stream, &all));
        }
        let answer = peer.answer(stream);
        assert_eq!(answer.status, status, "{path}");
        for (name, value) in [
            ("x-op", "yes"),
            ("x-content-type-options", "nosniff"),
            ("access-control-allow-origin", APP),
            ("access-control-allow-credentials", "true"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{status} {path} {name}");
        }
        assert_eq!(answer.field("x-request-id").map(str::len), Some(32));
    }
    // RFC 9110 §9.3.2: no content for HEAD, though the head is refused.
    let stream = peer.fresh();
    peer.send(headers(stream, WHOLE, &pseudo("HEAD", "/#")));
    let answer = peer.answer(stream);
    assert_eq!((answer.status, answer.text()), (400, String::new()));
}

/// Any origin may read what anybody may read, even if the origin could not be read.
#[test]
fn a_public_site_is_readable_in_every_refusal() {
    let routes = |_: &CoreContext| -> Routes {
        Router::new().filter(Cors::any_origin()).get("/", async || "x").build().expect("sound routes")
    };
    let server = serve_with(1, lenient(), routes);
    for request in ["GET /# HTTP/1.1\r\n\r\n", "\0\r\n", "GET / HTTP/4.0\r\n\r\n"] {
        assert_eq!(ask(&server, request).field("access-control-allow-origin"), Some("*"), "{request:?}");
    }
}

/// Errors have one voice over both protocols: HTML for browsers, JSON for programs.
#[test]
fn errors_have_the_form_that_the_client_names() {
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let server = crate::site::site(lenient());
    let mut peer = Peer::connect(server.addr);
    for (target, status) in
        [("/text-error", 409), ("/problem", 409), ("/#", 400), ("/final-informational", 500)]
    {
        for (accept, media_type) in [
            (BROWSER, "text/html; charset=utf-8"),
            ("application/json", "application/problem+json"),
            ("application/json, text/html;q=0.5", "application/problem+json"),
            ("text/html;q=0, application/problem+json", "application/problem+json"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
            let response = ask(&server, &request);
            assert_eq!(
                (response.status, response.field("content-type")),
                (status, Some(media_type)),
                "{request}"
            );
            assert_eq!(response.field("vary"), Some("Accept"), "{request}");
            let is_page = media_type.starts_with("text/html");
            let title = if is_page { format!("<title>{status} ") } else { format!("\"status\":{status}") };
            assert!(response.text().contains(&title), "{}", response.text());
            assert!(!is_page || !response.text().contains("<now>"), "{}", response.text());
            let stream = peer.fresh();
            let mut fields = pseudo("GET", target);
            fields.push(("accept", accept));
            peer.send(headers(stream, WHOLE, &fields));
            let answer = peer.answer(stream);
            assert_eq!(
                (answer.status, answer.field("content-type")),
                (status, Some(media_type)),
                "{request}"
            );
        }
        // curl and others take anything, and get what programs can rely on.
        for accept in ["", "Accept: */*\r\n", "Accept: image/png\r\n"] {
            let response = ask(&server, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{accept}\r\n"));
            let form = "application/problem+json";
            assert_eq!(response.field("content-type"), Some(form), "{target} {accept}");
        }
    }
}
