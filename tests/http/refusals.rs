//! Refused requests: the right status, a response the client can read, a close, and no interpretation of
//! bytes behind them.

use crate::common::{Client, lenient, serve};
use crate::lab::Lab;

/// Sent right behind each refused request: were it answered, one request would have become two.
const SMUGGLED: &str = "GET /n/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn refused(vectors: &[(&str, u16)]) {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    for (request, status) in vectors {
        let mut client = Client::connect(server.addr);
        client.send(format!("{request}{SMUGGLED}"));
        let response = client.response();
        assert_eq!(response.status, *status, "{request:?}: {}", response.text());
        assert_eq!(response.field("content-type"), Some("application/problem+json"));
        response.says_close();
        client.is_closed();
    }
    assert_eq!(lab.calls(), 0, "nothing reached the service");
    Client::connect(server.addr).is_usable();
    let totals = server.stop();
    assert_eq!((totals.refused, totals.requests), (vectors.len() as u64, 1));
}

#[test]
fn two_framings() {
    refused(&[
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n", 400),
        ("POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 0\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
    ]);
}

#[test]
fn transfer_codings() {
    refused(&[
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ]);
}

#[test]
fn lines_and_fields() {
    refused(&[
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(: z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400),
        (&format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(9)), 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

#[test]
fn hosts() {
    refused(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ]);
}

#[test]
fn request_lines() {
    refused(&[
        ("GET /\r\n", 400),
        ("GET\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /|\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a|b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue, x\r\n\r\n", 417),
    ]);
}

#[test]
fn what_is_too_long() {
    let line = |length: usize| {
        let frame = "GET / HTTP/1.1".len();
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - frame))
    };
    let head = |length: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(length - frame))
    };
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let method = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33));
    refused(&[
        (&line(8193), 414),
        (&line(100_000), 414),
        (&format!("GET /{}", "x".repeat(9000)), 414),
        (&head(16_385), 431),
        (&head(200_000), 431),
        (&fields(101), 431),
        (&fields(1000), 431),
        (&method, 501),
    ]);
    // Heads exactly at the limits are served.
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.ask(line(8192)).has_status(404).keeps();
    client.ask(head(16_384)).is(200, "Hello, World!").keeps();
    client.ask(fields(100)).is(200, "Hello, World!").keeps();
    client.ask(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(32))).is(200, "Hello, World!").keeps();
    client.is_usable();
}

#[test]
fn requests_before_a_refused_one_are_answered() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    for lengths in [&[100_000][..], &[1], &[7, 20]] {
        let mut client = Client::connect(server.addr);
        let good = "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n\
                    POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let bad = "GET / HTTP/1.1\r\nHost : a\r\n\r\n";
        let before = lab.calls();
        // The server may close before the last bytes.
        client.send_split(format!("{good}{bad}"), lengths);
        client.response().is(200, "1");
        client.response().is(200, "5 bytes");
        client.response().has_status(400).says_close();
        client.is_closed();
        assert_eq!(lab.calls(), before + 2);
    }
}

#[test]
fn a_refusal_can_be_read_by_a_client_that_keeps_sending() {
    let server = serve(lenient(), Lab::default());
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000)), 414),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
    ] {
        let mut client = Client::connect(server.addr);
        client.send(&request);
        for _ in 0..16 {
            client.send(vec![b'z'; 64 * 1024]);
        }
        client.response().has_status(status).says_close();
        client.is_closed();
    }
}

#[test]
fn a_refusal_says_why() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    let response = client.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nContent-Length: 1\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(response.head.lines().next(), Some("HTTP/1.1 400 Bad Request"));
    assert_eq!(
        response.text(),
        "400 Bad Request\nboth Content-Length and Transfer-Encoding; send one of them\n"
    );
    client.is_closed();
}
