//! The server's own filters: their effect on responses.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use quoit::filter::{Compress, Cors, Nonce, RequestId, RequestIds, SecurityHeaders, Timeout};
use quoit::http::status::Status;
use quoit::service::{BodyFrame, Extension, Html, Json, Response, Router, StreamBody};

use crate::common::{Client, Framing, Hosted, Response as Answer, lenient, serve_with};

fn host(make: impl Fn() -> Router + Clone + Send + Sync + 'static) -> Hosted {
    serve_with(1, lenient(), move |_| make().build().expect("sound routes"))
}

fn get(client: &mut Client, path: &str, fields: &str) -> Answer {
    client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn every_request_has_a_name() {
    async fn show(id: Extension<RequestId>) -> String {
        id.to_string()
    }
    let server = host(|| {
        let taking = Router::new().get("/", show).filter(RequestIds::new().taking_over());
        Router::new()
            .nest("/taking", taking)
            .nest("/own", Router::new().get("/", show).filter(RequestIds::new()))
    });
    let mut client = Client::connect(server.addr);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let answer = get(&mut client, "/own", "X-Request-Id: mine\r\n");
        assert_eq!(answer.field("x-request-id"), Some(&*answer.text()));
        assert_eq!(answer.body.len(), 32);
        assert!(seen.insert(answer.text()), "twice");
    }
    get(&mut client, "/taking", "X-Request-Id: trace/1-a\r\n").is(200, "trace/1-a");
    for hostile in ["a b", "\"quoted\"", "", &"x".repeat(65)] {
        let answer = get(&mut client, "/taking", &format!("X-Request-Id: {hostile}\r\n"));
        assert_eq!(answer.body.len(), 32, "{hostile}");
    }
    assert_eq!(get(&mut client, "/own/missing", "").field("x-request-id").map(str::len), Some(32));
}

#[test]
fn security_fields_are_on_everything_and_yield_to_handlers() {
    let server = host(|| {
        let page = async |nonce: Extension<Nonce>| Html(nonce.as_str().to_owned());
        let policy = "script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; frame-ancestors 'self'";
        let with_nonce =
            Router::new().get("/", page).filter(SecurityHeaders::with(policy).expect("a valid value"));
        let own = async || Response::text("").field("referrer-policy", "no-referrer").expect("valid");
        let plain = Router::new().get("/", async || "").get("/own", own).filter(SecurityHeaders::new());
        Router::new().nest("/plain", plain).nest("/nonce", with_nonce)
    });
    let mut client = Client::connect(server.addr);
    for path in ["/plain", "/plain/missing"] {
        let answer = get(&mut client, path, "");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("x-frame-options"), Some("DENY"));
        assert_eq!(answer.field("referrer-policy"), Some("strict-origin-when-cross-origin"));
        assert!(answer.field("content-security-policy").unwrap().starts_with("default-src 'self'; "));
    }
    let own = get(&mut client, "/plain/own", "");
    assert_eq!(own.field("referrer-policy"), Some("no-referrer"));
    assert_eq!(own.field("x-frame-options"), Some("DENY"));
    let (one, other) = (get(&mut client, "/nonce", ""), get(&mut client, "/nonce", ""));
    let nonce = one.text();
    let policy = format!("script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; frame-ancestors 'self'");
    assert_eq!(one.field("content-security-policy"), Some(&*policy));
    assert_eq!(one.field("x-frame-options"), Some("SAMEORIGIN"));
    assert_ne!(nonce, other.text());
    assert!(SecurityHeaders::with("a\r\nb").is_err());
}

#[test]
fn cors_lets_listed_origins_in() {
    let server = host(|| {
        let cors = Cors::origins(["https://a.example"]).with_credentials().exposing("X-Count");
        let listed = Router::new().get("/", async || "x").put("/", async || ()).filter(cors);
        let any = Router::new().get("/", async || "x").filter(Cors::any_origin().headers("X-Key"));
        Router::new().nest("/listed", listed).nest("/any", any)
    });
    let mut client = Client::connect(server.addr);
    let allowed = get(&mut client, "/listed", "Origin: https://a.example\r\n");
    assert_eq!(allowed.field("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(allowed.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(allowed.field("access-control-expose-headers"), Some("X-Count"));
    for fields in ["", "Origin: https://b.example\r\n", "Origin: null\r\n"] {
        let other = get(&mut client, "/listed", fields);
        other.is(200, "x");
        assert_eq!(other.field("access-control-allow-origin"), None);
        assert_eq!(other.field("access-control-expose-headers"), None);
        assert_eq!(other.field("vary"), Some("Origin"));
    }
    let any = get(&mut client, "/any", "Origin: https://b.example\r\n");
    assert_eq!(any.field("access-control-allow-origin"), Some("*"));
    assert_eq!(any.field("vary"), None);

    let mut preflight = |path: &str, origin: &str| {
        client.ask(format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\
             Access-Control-Request-Headers: x-one, x-two\r\n\r\n"
        ))
    };
    let allowed = preflight("/listed", "https://a.example");
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.field("access-control-allow-methods"), Some("GET, HEAD, PUT, OPTIONS"));
    assert_eq!(allowed.field("access-control-allow-headers"), Some("x-one, x-two"));
    assert_eq!(allowed.field("access-control-max-age"), Some("600"));
    let refused = preflight("/listed", "https://b.example");
    assert_eq!((refused.status, refused.field("access-control-allow-methods")), (204, None));
    assert_eq!(preflight("/any", "https://b.example").field("access-control-allow-headers"), Some("X-Key"));
    // Not a preflight: the router's own answer.
    let options = client.ask("OPTIONS /listed HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(options.field("allow"), Some("GET, HEAD, PUT, OPTIONS"));
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut body = Vec::new();
    match answer.field("content-encoding") {
        None => body.clone_from(&answer.body),
        Some("gzip") => drop(flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut body).unwrap()),
        Some("zstd") => body = zstd::stream::decode_all(&answer.body[..]).unwrap(),
        Some("br") => brotli::BrotliDecompress(&mut &answer.body[..], &mut body).unwrap(),
        Some(other) => panic!("{other}"),
    }
    body
}

/// Three pieces, with waits between them.
struct Slowly(Cell<u32>);

impl StreamBody for Slowly {
    fn poll_frame(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
        let turn = self.0.get();
        self.0.set(turn + 1);
        match turn {
            1 | 3 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            0 | 2 | 4 => Poll::Ready(Some(Ok(Bytes::from("0123456789".repeat(50)).into()))),
            _ => Poll::Ready(None),
        }
    }
}

#[test]
fn responses_are_compressed_as_the_client_likes() {
    let server = host(|| {
        let long: Rc<str> = "a long text, ".repeat(20_000).into();
        let stream = async || {
            Response::stream(Slowly(Cell::new(0))).field("Content-Type", "text/event-stream").expect("valid")
        };
        let as_is = |name: &'static str, value: &'static str| {
            async move || Response::text("plain ".repeat(500)).field(name, value).expect("valid")
        };
        Router::new()
            .get("/short", async || "short")
            .get("/json", async || Json(vec!["the same"; 500]))
            .get("/long", async move || long.to_string())
            .get("/stream", stream)
            .get("/bytes", async || vec![b'x'; 5000])
            .get("/coded", as_is("Content-Encoding", "x-own"))
            .get("/fixed", as_is("Cache-Control", "public, No-Transform"))
            .get("/tagged", as_is("ETag", "\"abc\""))
            .get("/part", async || (Status::PARTIAL_CONTENT, "part ".repeat(500)))
            .filter(Compress::new())
    });
    let mut client = Client::connect(server.addr);
    for path in ["/json", "/long", "/stream", "/tagged"] {
        let plain = get(&mut client, path, "");
        assert_eq!(plain.field("content-encoding"), None, "{path}");
        assert_eq!(plain.field("vary"), Some("Accept-Encoding"), "{path}");
        for (accepts, coding) in [
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("br;q=1, gzip;q=0.5, zstd;q=0.9", "br"),
            ("gzip;q=0.1", "gzip"),
        ] {
            let coded = get(&mut client, path, &format!("Accept-Encoding: {accepts}\r\n"));
            assert_eq!(coded.field("content-encoding"), Some(coding), "{path} {accepts}");
            assert_eq!(coded.field("vary"), Some("Accept-Encoding"));
            assert!(coded.body.len() < plain.body.len() / 2, "{path} {accepts} {}", coded.body.len());
            assert!(decoded(&coded) == plain.body, "{path} {accepts}");
        }
        for refused in ["identity", "gzip;q=0", "deflate", "br;q=x"] {
            let answer = get(&mut client, path, &format!("Accept-Encoding: {refused}\r\n"));
            assert_eq!(answer.field("content-encoding"), None, "{path} {refused}");
        }
    }
    for path in ["/short", "/bytes", "/fixed", "/part"] {
        let answer = get(&mut client, path, "Accept-Encoding: gzip\r\n");
        assert_eq!((answer.field("content-encoding"), answer.field("vary")), (None, None), "{path}");
    }
    assert_eq!(
        get(&mut client, "/coded", "Accept-Encoding: gzip\r\n").field("content-encoding"),
        Some("x-own")
    );
    assert_eq!(get(&mut client, "/tagged", "Accept-Encoding: gzip\r\n").field("etag"), Some("W/\"abc\""));
    assert_eq!(get(&mut client, "/tagged", "").field("etag"), Some("\"abc\""));
    // Each piece of a stream is sent when it was written.
    let stream = get(&mut client, "/stream", "Accept-Encoding: gzip\r\n");
    let Framing::Chunked(chunks) = &stream.framing else { panic!("{stream:?}") };
    assert!(chunks.len() >= 3, "{chunks:?}");
}

#[test]
fn a_handler_that_takes_too_long_is_dropped() {
    thread_local! {
        static DROPPED: Cell<u32> = const { Cell::new(0) };
    }
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.set(DROPPED.get() + 1);
        }
    }
    let server = serve_with(1, lenient(), |core| {
        Router::new()
            .get("/slow", async || {
                let _guard = Guard;
                std::future::pending::<()>().await
            })
            .get("/fast", async || DROPPED.get().to_string())
            .around(Timeout::new(core.ring.clone(), Duration::from_millis(50)))
            .build()
            .expect("sound routes")
    });
    let mut client = Client::connect(server.addr);
    get(&mut client, "/fast", "").is(200, "0");
    let slow = get(&mut client, "/slow", "");
    assert_eq!((slow.status, slow.field("retry-after")), (503, Some("1")));
    get(&mut client, "/fast", "").is(200, "1");
}

/// RFC 9110 §15.4.5: a 304 has the `Vary` and the tag that the 200 would have had.
#[test]
fn a_304_through_compression_is_that_of_the_compressed_form() {
    let server = host(|| {
        let page = async |request: quoit::service::Request| {
            let asked = request.head().field("if-none-match").unwrap_or_default();
            let is_known = asked.windows(3).any(|part| part == b"\"v\"");
            let page =
                if is_known { Response::new(Status::NOT_MODIFIED) } else { Response::text("y".repeat(4000)) };
            page.field("ETag", "\"v\"").expect("valid")
        };
        Router::new().get("/", page).filter(Compress::new())
    });
    let mut client = Client::connect(server.addr);
    let gzip = "Accept-Encoding: gzip\r\n";
    for (fields, status, tag) in [
        (gzip.to_owned(), 200, "W/\"v\""),
        (format!("{gzip}If-None-Match: W/\"v\"\r\n"), 304, "W/\"v\""),
        (format!("{gzip}If-None-Match: \"u\", W/\"v\"\r\n"), 304, "W/\"v\""),
        // Kept from a time without compression.
        (format!("{gzip}If-None-Match: \"v\"\r\n"), 304, "\"v\""),
        (String::new(), 200, "\"v\""),
        ("If-None-Match: \"v\"\r\n".to_owned(), 304, "\"v\""),
        ("If-None-Match: W/\"v\"\r\n".to_owned(), 304, "W/\"v\""),
    ] {
        let answer = get(&mut client, "/", &fields);
        assert_eq!((answer.status, answer.field("etag")), (status, Some(tag)), "{fields}");
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"), "{fields}");
    }
}
