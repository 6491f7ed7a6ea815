//! One voice: whatever makes an error (the parser, the driver, the router, extractors, filters, files, tower
//! services), its form follows from `Accept` by the rule of the guide's page on errors, and it has what the
//! site adds to every response.

use std::fs;
use std::path::Path;
use std::time::Duration;

use quoit::filter::{BasicAuth, Fields, HttpsRedirect, Timeout};
use quoit::handler::{Files, FilesOptions};
use quoit::http::status::Status;
use quoit::net::tls::ClientCertificate;
use quoit::server::{CoreContext, Limits};
use quoit::service::{Context, Json, Problem, Query, Response, Router, Routes, Tunnel};

use crate::common::{Client, Hosted, Response as Reply, eventually, lenient, serve_with};
use crate::peer::Peer;
use crate::wire::{CANCEL, END_HEADERS, END_STREAM, headers, pseudo, reset};

/// A value of `Accept`, if there is one, and the form that it gets.
const FORMS: [(Option<&str>, &str); 9] = [
    (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), HTML),
    (Some("text/html, application/json;q=0.9"), HTML),
    (Some("application/json"), DOCUMENT),
    (Some("text/html;q=0.5, application/problem+json"), DOCUMENT),
    (Some("text/plain"), TEXT),
    (Some("text/*"), TEXT),
    (Some("*/*"), DOCUMENT),
    (Some("image/avif,image/webp,*/*;q=0.8"), DOCUMENT),
    (None, DOCUMENT),
];
const HTML: &str = "text/html; charset=utf-8";
const DOCUMENT: &str = "application/problem+json";
const TEXT: &str = "text/plain; charset=utf-8";

/// `secret`, at the lowest cost.
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// The credentials `any:NN` of a client that guesses.
fn guess(number: u8) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u32::from_be_bytes([0, b':', b'0' + number / 10, b'0' + number % 10]);
    let rest = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]));
    format!("Authorization: Basic YW55{}\r\n", String::from_iter(rest))
}

#[derive(serde::Deserialize)]
struct Page {
    page: u32,
}

fn routes(core: &CoreContext, dir: &Path) -> Routes {
    let files = Files::new(core.ring.clone(), &dir.join("www"), FilesOptions::default()).expect("it opens");
    let auth = BasicAuth::load(&core.ring, dir.join("users")).expect("sound users").silent();
    let timeout = Timeout::new(core.ring.clone(), Duration::from_millis(5));
    Router::new()
        .filter(Fields::new().field("X-Op", "yes").expect("valid"))
        .get("/here", async || "here")
        .post("/json", async |Json(page): Json<Page>| page.page.to_string())
        .any("/query", async |Query(page): Query<Page>| page.page.to_string())
        .any("/mtls", async |_: ClientCertificate| "in")
        .any("/panic", async || -> &'static str { panic!("a handler panics, as the test wants it to") })
        .any("/interim", async || Status::CONTINUE)
        .any("/own", async || Response::error(Status::CONFLICT, "not <now>"))
        .get("/changed", async || Response::error(Status::NOT_FOUND, "gone").with_status(Status::GONE))
        .get("/problem", async || Problem::new(Status::UNPROCESSABLE_CONTENT).field("/a", "is <b>"))
        .get("/upgrade", async |context: Context| Response::upgrade(&context, "echo", async |_: Tunnel| ()))
        .nest("/auth", Router::new().around(auth).any("/", async || "in"))
        .nest("/slow", Router::new().around(timeout).any("/", std::future::pending::<&'static str>))
        .nest("/secure", Router::new().filter(HttpsRedirect::to_port(443)).get("/", async || "in"))
        .fallback_service(files)
        .build()
        .expect("sound routes")
}

fn server(limits: Limits, dir: &Path) -> Hosted {
    fs::create_dir_all(dir.join("www")).unwrap();
    fs::write(dir.join("www/page.txt"), "page").unwrap();
    fs::write(dir.join("users"), format!("any:{HASH}\n")).unwrap();
    let dir = dir.to_owned();
    serve_with(1, limits, move |core: &CoreContext| routes(core, &dir))
}

#[track_caller]
fn speaks(reply: &Reply, source: &str, status: u16, accept: Option<&str>, form: &str) {
    assert_eq!(
        (reply.status, reply.field("content-type")),
        (status, Some(form)),
        "{source}, {accept:?}: {}\n{}",
        reply.head,
        reply.text()
    );
    let text = reply.text();
    match form {
        HTML => {
            assert!(text.contains(&format!("<title>{status} ")), "{source}: {text}");
            assert!(!text.contains("<now>") && !text.contains("<b>"), "{source}: {text}");
        }
        DOCUMENT => {
            let document: serde_json::Value = serde_json::from_str(&text).expect(source);
            assert_eq!(document["status"], status, "{source}: {text}");
            assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()), "{source}: {text}");
        }
        _ => assert!(text.starts_with(&format!("{status} ")) && text.ends_with('\n'), "{source}: {text}"),
    }
    let vary = |line: &&str| line.split_once(": ").is_some_and(|(name, _)| name.eq_ignore_ascii_case("vary"));
    let varies = reply.head.lines().filter(vary).any(|line| line.contains("Accept"));
    assert!(varies, "{source}: {}", reply.head);
    assert_eq!(reply.field("x-op"), Some("yes"), "{source}: {}", reply.head);
}

fn accept_line(accept: Option<&str>) -> String {
    accept.map(|value| format!("Accept: {value}\r\n")).unwrap_or_default()
}

/// Sources, their status and a request whose `ACCEPT` is replaced.
fn sources() -> Vec<(&'static str, u16, String)> {
    let rest = "HTTP/1.1\r\nHost: a\r\nACCEPT";
    let long = "x".repeat(9000);
    vec![
        ("parser, target", 400, format!("GET /a#b {rest}\r\n")),
        ("parser, field", 400, format!("GET / {rest}X : y\r\n\r\n")),
        ("parser, framing", 400, format!("POST / {rest}Content-Length: x\r\n\r\n")),
        ("parser, long field", 431, format!("GET / {rest}X: {long}{long}\r\n\r\n")),
        ("parser, coding", 501, format!("POST / {rest}Transfer-Encoding: gzip, chunked\r\n\r\n")),
        ("parser, version", 505, "GET / HTTP/3.0\r\nHost: a\r\nACCEPT\r\n".to_owned()),
        ("parser, long target", 414, format!("GET /{long} {rest}\r\n")),
        ("exchange, expectation", 417, format!("GET / {rest}Expect: tea\r\n\r\n")),
        ("exchange, panic", 500, format!("GET /panic {rest}\r\n")),
        ("exchange, no final response", 500, format!("GET /interim {rest}\r\n")),
        ("router, method", 405, format!("POST /here {rest}Content-Length: 0\r\n\r\n")),
        ("router, unknown method", 501, format!("BREW /here {rest}\r\n")),
        ("router, length", 413, format!("POST /json {rest}Content-Length: 99999999\r\n\r\n")),
        ("extractor, query", 400, format!("GET /query?page=x {rest}\r\n")),
        ("extractor, type", 415, format!("POST /json {rest}Content-Length: 2\r\n\r\n{{}}")),
        ("extractor, certificate", 403, format!("GET /mtls {rest}\r\n")),
        ("upgrade", 426, format!("GET /upgrade {rest}\r\n")),
        ("handler, text", 409, format!("GET /own {rest}\r\n")),
        ("handler, other status", 410, format!("GET /changed {rest}\r\n")),
        ("handler, problem", 422, format!("GET /problem {rest}\r\n")),
        ("filter, no password", 401, format!("GET /auth {rest}\r\n")),
        ("filter, timeout", 503, format!("GET /slow {rest}\r\n")),
        ("filter, no host", 400, "GET /secure HTTP/1.0\r\nACCEPT\r\n".to_owned()),
        ("files, absent", 404, format!("GET /absent {rest}\r\n")),
        ("files, method", 405, format!("POST /page.txt {rest}Content-Length: 0\r\n\r\n")),
        ("files, condition", 412, format!("GET /page.txt {rest}If-Match: \"x\"\r\n\r\n")),
        ("files, range", 416, format!("GET /page.txt {rest}Range: bytes=9-\r\n\r\n")),
    ]
}

#[test]
fn every_source_of_errors_follows_accept() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = server(lenient(), dir.path());
    for (source, status, request) in sources() {
        for (accept, form) in FORMS {
            let mut client = Client::connect(server.addr);
            let _ = client.try_send(request.replace("ACCEPT", &accept_line(accept)));
            speaks(&client.response(), source, status, accept, form);
        }
    }
    // Of a client that guesses passwords.
    let mut numbers = 0..99;
    let mut ask = |client: &mut Client, accept| {
        let credentials = guess(numbers.next().expect("enough guesses"));
        client.ask(format!("GET /auth HTTP/1.1\r\nHost: a\r\n{}{credentials}\r\n", accept_line(accept)))
    };
    for (accept, form) in FORMS {
        let mut client = Client::connect(server.addr);
        let mut reply = ask(&mut client, accept);
        while reply.status != 429 {
            speaks(&reply, "filter, wrong password", 401, accept, form);
            reply = ask(&mut client, accept);
        }
        speaks(&reply, "filter, too many passwords", 429, accept, form);
        assert!(reply.field("retry-after").is_some());
    }
}

/// Whatever the source, a call of gRPC gets one head that ends its response, with a status and a message.
#[test]
fn every_error_of_a_call_is_its_status() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = server(lenient(), dir.path());
    let mut peer = Peer::connect(server.addr);
    for (source, path, length, code, message) in [
        ("exchange, panic", "/panic", None, "13", "the handler failed; the server's log has the cause"),
        ("exchange, no final response", "/interim", None, "13", "the handler gave no final response"),
        ("router, method", "/here", None, "12", ""),
        ("router, length", "/json", Some("99999999"), "8", ""),
        ("extractor, query", "/query?page=x", None, "13", ""),
        ("extractor, certificate", "/mtls", None, "7", ""),
        ("handler, text", "/own", None, "2", "not <now>"),
        ("filter, no password", "/auth", None, "16", ""),
        ("filter, timeout", "/slow", None, "14", ""),
        ("files, absent", "/absent", None, "12", ""),
        ("files, method", "/page.txt", None, "12", ""),
    ] {
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=y"] {
            // A browser's preference does not make a page of it.
            let mut fields = pseudo("POST", path);
            fields.extend([("te", "trailers"), ("content-type", kind), ("accept", "text/html")]);
            fields.extend(length.map(|length| ("content-length", length)));
            let stream = peer.fresh();
            let flags = if length.is_some() { END_HEADERS } else { END_HEADERS | END_STREAM };
            peer.send(headers(stream, flags, &fields));
            let answer = peer.answer(stream).clone();
            assert_eq!((answer.status, answer.data_frames), (200, 0), "{source}");
            assert!(answer.trailers.is_none(), "{source}");
            let named = ["content-type", "grpc-status", "x-op"].map(|name| answer.field(name));
            assert_eq!(named, [Some("application/grpc"), Some(code), Some("yes")], "{source}");
            let text = answer.field("grpc-message").expect(source);
            assert!(!text.is_empty() && (message.is_empty() || text == message), "{source}: {text}");
            if length.is_some() {
                peer.send(reset(stream, CANCEL));
            }
        }
    }
    // Neither another protocol of that name, nor an older version of HTTP, has them.
    let stream = peer.fresh();
    let mut fields = pseudo("POST", "/here");
    fields.push(("content-type", "application/grpc-web"));
    peer.send(headers(stream, END_HEADERS | END_STREAM, &fields));
    assert_eq!((peer.answer(stream).status, peer.streams[&stream].field("grpc-status")), (405, None));
    let request =
        "POST /here HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    let reply = Client::connect(server.addr).ask(request);
    assert_eq!((reply.status, reply.field("grpc-status")), (405, None));
}

/// A router without a fallback of its own.
#[test]
fn the_routers_own_misses_follow_accept() {
    let server = serve_with(1, lenient(), |_: &CoreContext| {
        let filter = Fields::new().field("X-Op", "yes").expect("valid");
        Router::new().filter(filter).get("/here", async || "here").build().expect("sound routes")
    });
    for (accept, form) in FORMS {
        let line = accept_line(accept);
        let mut client = Client::connect(server.addr);
        let missing = client.ask(format!("GET /none HTTP/1.1\r\nHost: a\r\n{line}\r\n"));
        speaks(&missing, "router, absent", 404, accept, form);
        let mut client = Client::connect(server.addr);
        let tunnel = client.ask(format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{line}\r\n"));
        speaks(&tunnel, "router, tunnel", 501, accept, form);
    }
}

#[test]
fn a_head_that_stalls_follows_the_accept_that_came() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let limits = Limits { head_timeout: Duration::from_millis(100), ..lenient() };
    let server = server(limits, dir.path());
    let mut clients: Vec<_> = FORMS
        .iter()
        .map(|(accept, form)| {
            let mut client = Client::connect(server.addr);
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}X-Par", accept_line(*accept)));
            (client, accept, form)
        })
        .collect();
    for (client, accept, form) in &mut clients {
        speaks(&client.response(), "driver, stalled head", 408, **accept, form);
    }
}

/// Beyond the capacity, too.
#[test]
fn who_is_turned_away_reads_why() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let limits = Limits { connections_max: Some(1), ..lenient() };
    let hosted = {
        fs::create_dir_all(dir.path().join("www")).unwrap();
        serve_with(1, limits, |_: &CoreContext| {
            let filter = Fields::new().field("X-Op", "yes").expect("valid");
            let wait = std::future::pending::<&'static str>;
            Router::new().filter(filter).get("/wait", wait).build().expect("sound routes")
        })
    };
    let mut first = Client::connect(hosted.addr);
    first.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the only place is taken", || {
        let mut client = Client::connect(hosted.addr);
        client.ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").status == 503
    });
    for (accept, form) in FORMS {
        let mut client = Client::connect(hosted.addr);
        let reply = client.ask(format!("GET /none HTTP/1.1\r\nHost: a\r\n{}\r\n", accept_line(accept)));
        speaks(&reply, "driver, capacity", 503, accept, form);
        assert_eq!(reply.field("retry-after"), Some("1"));
        reply.says_close();
        client.is_closed();
    }
    // HEAD has no content, and what is no request gets the same answer.
    let mut client = Client::connect(hosted.addr);
    let head = client.ask("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.text()), (503, String::new()));
    let mut client = Client::connect(hosted.addr);
    let _ = client.try_send("GET / HTTP/9.9\r\n\r\n");
    client.response().has_status(503);
}
