//! Heads of requests (RFC 9113 §8.1 to §8.5): malformed ones get RST_STREAM and never reach a handler, those
//! that HTTP/1.1 refuses with a status are refused with it, and served ones arrive as over HTTP/1.1.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quoit::service::{Request, Response, Service};

use crate::common::{Binary, Client, Hosted, lenient, serve};
use crate::lab::Lab;
use crate::peer::{Answer, Peer};
use crate::wire::*;

/// Answers with the head as it arrived.
#[derive(Clone, Default)]
struct Mirror {
    calls: Arc<AtomicUsize>,
}

impl Service for Mirror {
    async fn call(&self, request: Request) -> Response {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let head = request.head();
        if head.path() == "/n/usable" {
            return Response::text("usable");
        }
        let fields: String =
            head.fields().map(|(name, value)| format!("{name}: {}\n", value.escape_ascii())).collect();
        Response::text(format!("{} {} {}\n{fields}", head.method_str(), head.authority(), head.target()))
    }
}

fn mirror() -> (Hosted, Mirror) {
    let mirror = Mirror::default();
    (serve(lenient(), mirror.clone()), mirror)
}

/// Pseudo-fields with some of them replaced, or left out where the value is `-`.
fn with<'a>(changes: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = pseudo("GET", "/");
    for (name, value) in changes {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields.retain(|(_, value)| *value != "-");
    fields.extend(more);
    fields
}

/// Each is malformed (§8.1.1): RST_STREAM with PROTOCOL_ERROR, no handler, and the connection goes on.
#[track_caller]
fn are_malformed(requests: &[Vec<(&str, &str)>]) {
    let (server, mirror) = mirror();
    let mut peer = Peer::connect(server.addr);
    for fields in requests {
        let stream = peer.fresh();
        peer.send(headers(stream, WHOLE, fields));
        let answer = peer.is_reset(stream, PROTOCOL_ERROR);
        assert!(matches!(answer.status, 0 | 400), "{fields:?}: {}", answer.status);
        assert_eq!(mirror.calls.load(Ordering::Relaxed), 0, "{fields:?} reached the handler");
    }
    peer.is_usable();
}

/// §8.3.1.
#[test]
fn pseudo_fields() {
    are_malformed(&[
        with(&[(":method", "-")], &[]),
        with(&[(":scheme", "-")], &[]),
        with(&[(":path", "-")], &[]),
        with(&[(":path", "")], &[]),
        with(&[(":method", "")], &[]),
        with(&[], &[(":method", "GET")]),
        with(&[], &[(":scheme", "http")]),
        with(&[], &[(":path", "/")]),
        with(&[], &[(":authority", "a")]),
        with(&[(":status", "200")], &[]),
        with(&[(":unknown", "x")], &[]),
        with(&[(":", "x")], &[]),
        with(&[(":protocol", "websocket")], &[]),
        // §8.3: before all other fields.
        vec![(":method", "GET"), (":scheme", "http"), ("x", "y"), (":path", "/"), (":authority", "a")],
        vec![("x", "y"), (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        vec![],
        vec![("x", "y")],
        // Neither has an authority.
        with(&[(":authority", "-")], &[]),
        // §8.3.1: they must agree.
        with(&[], &[("host", "b")]),
        // Upper case in a pseudo-field's name.
        with(&[(":Path", "/")], &[]),
    ]);
}

/// §8.2.1, §8.2.2.
#[test]
fn fields_that_may_not_be() {
    are_malformed(&[
        with(&[], &[("Upper", "x")]),
        with(&[], &[("x-Upper", "x")]),
        with(&[], &[("", "x")]),
        with(&[], &[("with space", "x")]),
        with(&[], &[("with:colon", "x")]),
        with(&[], &[("with\nline", "x")]),
        with(&[], &[("with\0nul", "x")]),
        with(&[], &[("n\u{e9}", "x")]),
        with(&[], &[("x", "a\nb")]),
        with(&[], &[("x", "a\rb")]),
        with(&[], &[("x", "a\r\nhost: evil")]),
        with(&[], &[("x", "a\0b")]),
        with(&[], &[("x", " a")]),
        with(&[], &[("x", "a ")]),
        with(&[], &[("x", "\ta")]),
        with(&[], &[("x", "a\t")]),
        with(&[], &[("connection", "close")]),
        with(&[], &[("connection", "")]),
        with(&[], &[("keep-alive", "timeout=5")]),
        with(&[], &[("proxy-connection", "keep-alive")]),
        with(&[], &[("transfer-encoding", "chunked")]),
        with(&[], &[("upgrade", "h2c")]),
        with(&[], &[("te", "gzip")]),
        with(&[], &[("te", "trailers, deflate")]),
    ]);
}

/// Names by index into the static table are checked too: `transfer-encoding` is one.
#[test]
fn fields_by_index() {
    let (server, mirror) = mirror();
    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    // 57 is transfer-encoding: a prefix of four bits, and 42 more.
    let bytes = [&block(&pseudo("GET", "/"))[..], b"\x0f\x2a\x07chunked"].concat();
    peer.send(frame(HEADERS, WHOLE, stream, bytes));
    peer.is_reset(stream, PROTOCOL_ERROR);
    let stream = peer.fresh();
    // 8 is :status 200.
    peer.send(frame(HEADERS, WHOLE, stream, [b"\x88", &block(&pseudo("GET", "/"))[..]].concat()));
    peer.is_reset(stream, PROTOCOL_ERROR);
    assert_eq!(mirror.calls.load(Ordering::Relaxed), 0);
    let stream = peer.fresh();
    // GET, http, /, and :authority into the table; then again from there.
    peer.send(frame(HEADERS, WHOLE, stream, b"\x82\x86\x84\x41\x01a"));
    peer.answer(stream).is(200, "GET a /\nhost: a\n");
    let stream = peer.fresh();
    peer.send(frame(HEADERS, WHOLE, stream, b"\x82\x86\x84\xbe"));
    peer.answer(stream).is(200, "GET a /\nhost: a\n");
}

#[test]
fn what_is_served() {
    let (server, _) = mirror();
    let mut peer = Peer::connect(server.addr);
    let mut ask = |fields: Vec<(&str, &str)>| -> Answer {
        let stream = peer.fresh();
        peer.send(headers(stream, WHOLE, &fields));
        peer.answer(stream)
    };
    ask(with(&[], &[])).is(200, "GET a /\nhost: a\n");
    ask(with(&[(":method", "BREW"), (":path", "/a?b=c&d")], &[("x", "")]))
        .is(200, "BREW a /a?b=c&d\nhost: a\nx: \n");
    ask(with(&[(":scheme", "https")], &[])).is(200, "GET a /\nhost: a\n");
    ask(with(&[(":method", "OPTIONS"), (":path", "*")], &[])).is(200, "OPTIONS a *\nhost: a\n");
    ask(with(&[(":authority", "-")], &[("host", "b.example:8080")]))
        .is(200, "GET b.example:8080 /\nhost: b.example:8080\n");
    ask(with(&[(":authority", "A.example")], &[("host", "a.example")]))
        .is(200, "GET A.example /\nhost: A.example\n");
    ask(with(&[], &[("te", "trailers")])).is(200, "GET a /\nhost: a\nte: trailers\n");
    // §8.2.3: crumbs are one cookie.
    let crumbs = ask(with(&[], &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]));
    assert_eq!(crumbs.status, 200);
    assert!(crumbs.text().contains("cookie: a=1; b=2; c=3\n"), "{}", crumbs.text());
    assert_eq!(crumbs.text().matches("cookie").count(), 1);
    // Bytes beyond ASCII in values pass, as in HTTP/1.1.
    ask(with(&[], &[("x", "\u{e9}")])).is(200, "GET a /\nhost: a\nx: \\xc3\\xa9\n");
    // What the URL standard lets through unencoded is encoded, as in HTTP/1.1.
    ask(with(&[(":path", "/a|b^{c}\u{e9}?d=100%&e={\"f\":1}\\`<>")], &[]))
        .is(200, "GET a /a%7Cb%5E%7Bc%7D%C3%A9?d=100%25&e=%7B%22f%22:1%7D%5C%60%3C%3E\nhost: a\n");
    // Unusual order, and a priority that may be ignored.
    ask(with(&[], &[("priority", "u=0, i"), ("accept", "*/*")]))
        .is(200, "GET a /\nhost: a\npriority: u=0, i\naccept: */*\n");
}

/// What HTTP/1.1 refuses with a status is refused here too, with a status or as malformed, never served.
#[test]
fn what_http_1_refuses() {
    let (server, mirror) = mirror();
    let mut peer = Peer::connect(server.addr);
    let long = format!("/{}", "x".repeat(9000));
    // Within the limit as sent, and beyond it in the normal form.
    let raw = format!("/{}", "|".repeat(3000));
    let many = "x".repeat(4000);
    let hundred: Vec<String> = (0..101).map(|n| format!("x{n}")).collect();
    let cases: Vec<(u16, Vec<(&str, &str)>)> = vec![
        (400, with(&[(":path", "no-slash")], &[])),
        (400, with(&[(":path", "*")], &[])),
        (400, with(&[(":path", "http://a/")], &[])),
        (400, with(&[(":path", "/with space")], &[])),
        (400, with(&[(":path", "/line\nfeed")], &[])),
        (400, with(&[(":path", "/#fragment")], &[])),
        (400, with(&[(":path", "/|#")], &[])),
        (400, with(&[(":path", "/|\u{7f}")], &[])),
        (400, with(&[(":authority", "a|b")], &[])),
        (400, with(&[(":method", "G T")], &[])),
        (400, with(&[(":method", "G\r\nX: y")], &[])),
        (400, with(&[(":scheme", "gopher")], &[])),
        (400, with(&[(":authority", "a b")], &[])),
        (400, with(&[(":authority", "user@a")], &[])),
        (400, with(&[(":authority", "")], &[])),
        (400, with(&[(":authority", "a\r\nx: y")], &[])),
        (400, with(&[], &[("content-length", "-1")])),
        (400, with(&[], &[("content-length", "1"), ("content-length", "2")])),
        (414, with(&[(":path", &long)], &[])),
        (414, with(&[(":path", &raw)], &[])),
        (431, with(&[], &[("a", &many), ("b", &many), ("c", &many), ("d", &many), ("e", &many)])),
        (431, with(&[], &hundred.iter().map(|name| (&name[..], "y")).collect::<Vec<_>>())),
    ];
    for (status, fields) in cases {
        let stream = peer.fresh();
        peer.send(headers_in_frames(stream, &fields));
        peer.until("an answer or a reset", |peer| {
            peer.streams.get(&stream).is_some_and(|answer| answer.ended || answer.reset.is_some())
        });
        let answer = &peer.streams[&stream];
        let refused = answer.status == status || (status == 400 && answer.reset == Some(PROTOCOL_ERROR));
        assert!(refused, "{fields:?}: {} {:?}", answer.status, answer.reset);
        assert_eq!(mirror.calls.load(Ordering::Relaxed), 0, "{fields:?} reached the handler");
    }
    peer.is_usable();
}

/// §8.1.1: `content-length` is what DATA amounts to.
#[test]
fn lengths_of_bodies() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let with_length = |length| [&pseudo("POST", "/all/100")[..], &[("content-length", length)]].concat();
    for (length, body, whole) in [
        ("5", "hello", true),
        ("0", "", true),
        ("4", "hello", false),
        ("6", "hello", false),
        ("0", "h", false),
        ("1", "", false),
    ] {
        let stream = peer.fresh();
        peer.send(headers(stream, END_HEADERS, &with_length(length)));
        // In two frames, so that the excess is detected in the second.
        peer.send(data(stream, 0, &body[..body.len() / 2]));
        peer.send(data(stream, END_STREAM, &body[body.len() / 2..]));
        if whole {
            peer.answer(stream).is(200, body);
        } else {
            peer.is_reset(stream, PROTOCOL_ERROR);
        }
    }
    // Without DATA.
    for (length, whole) in [("0", true), ("1", false)] {
        let stream = peer.fresh();
        peer.send(headers(stream, WHOLE, &with_length(length)));
        if whole {
            peer.answer(stream).is(200, "");
        } else {
            peer.is_reset(stream, PROTOCOL_ERROR);
        }
    }
    // Other responses must match their length; HEAD and 304 are the server's, a GET with a length is valid.
    peer.is_usable();
}

/// §8.5: no handler opens a tunnel, so CONNECT is refused as over HTTP/1.1; with too many or too few
/// pseudo-fields it is malformed.
#[test]
fn connect() {
    let site = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(site.path().join("usable"), "usable").unwrap();
    let server = Binary::serve(site.path(), &[]);
    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &[(":method", "CONNECT"), (":authority", "a.example:443")]));
    peer.until("an answer", |peer| peer.streams.get(&stream).is_some_and(|answer| answer.ended));
    let mut client = Client::connect(server.addr);
    client.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    assert_eq!(peer.streams[&stream].status, client.response_to("GET").status);
    assert!(matches!(peer.streams[&stream].status, 400..=599), "{:?}", peer.streams[&stream]);
    for fields in [
        &[(":method", "CONNECT")][..],
        &[(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")],
        &[(":method", "CONNECT"), (":authority", "a:1"), (":scheme", "http")],
    ] {
        let stream = peer.fresh();
        peer.send(headers(stream, WHOLE, fields));
        peer.is_reset(stream, PROTOCOL_ERROR);
    }
    peer.get("/usable").is(200, "usable");
}
