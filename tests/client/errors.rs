//! Every way to fail: what it is called, whose it is, and whether the request may be sent again.

use std::net::TcpListener;
use std::time::Duration;

use quoit::client::{
    ClientBody, ClientError, ClientErrorKind, ClientOptions, ErrorSide, TimeoutKind, is_public,
};
use quoit::http::status::Status;
use quoit::service::IntoResponse;
use quoit::upstream::UpstreamTimeouts;
use serde::Deserialize;

use crate::lab::{Endpoint, OK};

/// The error of a GET.
fn error_of(options: ClientOptions, url: String) -> (ClientErrorKind, ErrorSide, bool, String) {
    crate::with(options, async move |client, _| {
        let error = match client.get(&url).send().await {
            Err(error) => error,
            Ok(response) => response.bytes().await.unwrap_err(),
        };
        (error.kind(), error.side(), error.may_retry(), error.to_string())
    })
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let endpoint = Endpoint::answering(OK);
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        for (request, what) in [
            (client.get("a.test/"), "absolute"),
            (client.get("ftp://a.test/"), "scheme"),
            (client.get("http://user@a.test/"), "basic_auth"),
            (client.get("http://a.test/\r\nHost: b"), "0x0d"),
            (client.get(&url).header("X-A", "1\r\nX-B: 2"), "X-A holds byte 0x0d"),
            (client.get(&url).header("X-A: 1\r\nX-B", "2"), "0x3a"),
            (client.get(&url).header("X-A", "1\0"), "0x00"),
            (client.get(&url).bearer_auth("t\nX: y"), "0x0a"),
            (client.get(&url).header("Host", "b"), "Host"),
            (client.get(&url).header("content-length", "7"), "content-length"),
            (client.get(&url).header("Transfer-Encoding", "chunked"), "Transfer-Encoding"),
            (client.get(&url).header("Connection", "close"), "Connection"),
            (client.request("GET / HTTP/1.1\r\nX: y\r\n\r\n", &url), "method"),
            (client.request("CONNECT", &url), "CONNECT"),
            (client.request("TRACE", &url).body("x"), "TRACE"),
        ] {
            let error = request.send().await.unwrap_err();
            assert_eq!((error.kind(), error.side()), (ClientErrorKind::Request, ErrorSide::Ours), "{error}");
            assert!(error.may_retry() && error.to_string().contains(what), "{error}");
        }
        assert_eq!(endpoint.seen.requests(), 0);
    });
}

#[test]
fn nobody_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (kind, side, may_retry, text) = error_of(ClientOptions::default(), format!("http://{free}/a?secret"));
    assert_eq!((kind, side, may_retry), (ClientErrorKind::Connect, ErrorSide::Network, true));
    assert!(text.contains("refused") && text.contains("/a:") && !text.contains("secret"), "{text}");
    let (kind, side, may_retry, text) =
        error_of(ClientOptions::default(), "http://no.such.name.invalid/".into());
    assert_eq!((kind, side, may_retry), (ClientErrorKind::Name, ErrorSide::Network, true), "{text}");
}

#[test]
fn names_are_looked_up() {
    let endpoint = Endpoint::answering(OK);
    let url = format!("http://localhost:{}/", endpoint.addr.port());
    crate::default(async move |client, _| {
        let requests = (0..4).map(|_| client.get(&url).send());
        for response in futures_util::future::join_all(requests).await {
            assert_eq!(response.unwrap().status(), Status::OK);
        }
    });
}

#[test]
fn addresses_can_be_refused() {
    let endpoint = Endpoint::answering(OK);
    let port = endpoint.addr.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
        let options = ClientOptions::default().allow(is_public);
        let (kind, side, ..) = error_of(options, format!("http://{host}:{port}/"));
        assert_eq!((kind, side), (ClientErrorKind::Denied, ErrorSide::Ours), "{host}");
    }
    assert_eq!(endpoint.seen.accepted(), 0);
    // A redirect to one is refused too.
    let options = ClientOptions::default().allow(|address| address.to_string() == "127.0.0.1");
    let away = Endpoint::answering(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:9/\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(error_of(options, format!("http://{}/", away.addr)).0, ClientErrorKind::Denied);
}

#[test]
fn each_wait_has_its_limit() {
    let short = Duration::from_millis(50);
    let long = UpstreamTimeouts::default();
    let silent = Endpoint::new(|wire, _| wire.until_closed());
    let stalls = Endpoint::new(|wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        wire.until_closed();
    });
    // No process accepts, and the queue of the kernel is full.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let backlog = socket2::SockRef::from(&full);
    backlog.listen(0).unwrap();
    let _first = std::net::TcpStream::connect(full.local_addr().unwrap()).unwrap();
    let connect = UpstreamTimeouts { connect: short, ..long };
    let first_byte = UpstreamTimeouts { first_byte: short, ..long };
    let idle = UpstreamTimeouts { idle: short, ..long };
    let tls = UpstreamTimeouts { tls: short, ..long };
    for (timeouts, timeout, url, kind, side, may_retry) in [
        (
            connect,
            None,
            format!("http://{}/", full.local_addr().unwrap()),
            TimeoutKind::Connect,
            ErrorSide::Network,
            true,
        ),
        (tls, None, format!("https://{}/", silent.addr), TimeoutKind::Tls, ErrorSide::Peer, true),
        (
            first_byte,
            None,
            format!("http://{}/", silent.addr),
            TimeoutKind::FirstByte,
            ErrorSide::Peer,
            false,
        ),
        (idle, None, format!("http://{}/", stalls.addr), TimeoutKind::Idle, ErrorSide::Peer, false),
        (long, Some(short), format!("http://{}/", silent.addr), TimeoutKind::Total, ErrorSide::Peer, false),
        (long, Some(short), format!("http://{}/", stalls.addr), TimeoutKind::Total, ErrorSide::Peer, false),
    ] {
        let options = ClientOptions { timeouts, timeout, ..ClientOptions::default() };
        let found = crate::with(options, async move |client, _| {
            let error = match client.get(&url).send().await {
                Err(error) => error,
                Ok(response) => response.bytes().await.unwrap_err(),
            };
            assert_eq!(error.kind(), ClientErrorKind::Timeout, "{error}");
            (error.timeout().unwrap(), error.side(), error.may_retry())
        });
        assert_eq!(found, (kind, side, may_retry));
    }
    // A request is not sent a second time to the only address there is.
    assert!(silent.seen.accepted() == 3, "{}", silent.seen.accepted());
}

#[test]
fn a_request_has_its_own_time() {
    let silent = Endpoint::new(|wire, _| wire.until_closed());
    let url = format!("http://{}/", silent.addr);
    crate::with(ClientOptions { timeout: None, ..ClientOptions::default() }, async move |client, _| {
        let error = client.get(&url).timeout(Duration::from_millis(50)).send().await.unwrap_err();
        assert_eq!(error.timeout(), Some(TimeoutKind::Total));
    });
}

#[test]
fn malformed_cut_and_large_responses() {
    let large_head = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(20_000));
    let closed: &str = "";
    for (response, kind) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", ClientErrorKind::Protocol),
        ("SSH-2.0-OpenSSH\r\n", ClientErrorKind::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", ClientErrorKind::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", ClientErrorKind::Closed),
        (closed, ClientErrorKind::Closed),
        (&large_head, ClientErrorKind::TooLarge),
        ("HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n", ClientErrorKind::TooLarge),
        ("HTTP/1.1 200 OK\r\n\r\n0123456789012345678901234567890123", ClientErrorKind::TooLarge),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             21\r\n012345678901234567890123456789012\r\n",
            ClientErrorKind::TooLarge,
        ),
    ] {
        let response = response.to_owned();
        let endpoint = Endpoint::new(move |wire, _| {
            wire.head();
            wire.send(&response);
        });
        for (whole_bytes_max, response_bytes_max) in [(32, None), (1 << 20, Some(32))] {
            let options = ClientOptions { whole_bytes_max, response_bytes_max, ..ClientOptions::default() };
            let (found, side, may_retry, text) = error_of(options, format!("http://{}/", endpoint.addr));
            assert_eq!((found, side, may_retry), (kind, ErrorSide::Peer, false), "{text}");
        }
    }
}

#[test]
fn errors_of_json_name_the_place() {
    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only decoded")]
    struct Order {
        items: Vec<Line>,
    }
    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only decoded")]
    struct Line {
        count: u32,
    }
    for (content, text) in [
        (r#"{"items":[{"count":1},{"count":"x"}]}"#, "/items/1/count must be"),
        (r#"{"items":[{}]}"#, "/items/0/count is missing"),
        (r#"{"items":["#, "the content is malformed in line 1"),
        ("<html>", "the content is malformed in line 1"),
    ] {
        let endpoint = Endpoint::new(move |wire, _| {
            wire.head();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len()));
        });
        let url = format!("http://{}/order", endpoint.addr);
        let error = crate::default(async move |client, _| {
            let error = client.get(&url).send().await.unwrap().json::<Order>().await.unwrap_err();
            assert_eq!((error.kind(), error.side()), (ClientErrorKind::Decode, ErrorSide::Peer));
            error.to_string()
        });
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn a_body_that_fails_is_the_callers() {
    let endpoint = Endpoint::answering(OK);
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        let pieces = futures_util::stream::iter([Ok("abc"), Err("the file is gone")]);
        let error = client.post(&url).body(ClientBody::stream(pieces)).send().await.unwrap_err();
        assert_eq!((error.kind(), error.side()), (ClientErrorKind::Body, ErrorSide::Ours), "{error}");
        assert!(error.to_string().ends_with("the file is gone"), "{error}");
    });
}

/// What a handler returns for its own client.
#[test]
fn an_error_is_a_response() {
    fn status(error: ClientError) -> Status {
        error.into_response().status()
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    crate::default(async move |client, _| {
        let url = format!("http://{free}/");
        assert_eq!(status(client.get(&url).send().await.unwrap_err()), Status::BAD_GATEWAY);
        assert_eq!(status(client.get("nowhere").send().await.unwrap_err()), Status::INTERNAL_SERVER_ERROR);
    });
    let silent = Endpoint::new(|wire, _| wire.until_closed());
    let url = format!("http://{}/", silent.addr);
    crate::default(async move |client, _| {
        let request = client.get(&url).timeout(Duration::from_millis(1));
        assert_eq!(status(request.send().await.unwrap_err()), Status::GATEWAY_TIMEOUT);
    });
}

/// A server that never pauses is stopped by the clock too.
#[test]
fn an_endless_response_ends_with_its_time() {
    let endless = Endpoint::new(|wire, _| {
        use std::io::Write as _;
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\n\r\n");
        while wire.stream.write_all(&[b'a'; 64 * 1024]).is_ok() {}
    });
    let url = format!("http://{}/", endless.addr);
    crate::with(
        ClientOptions { response_bytes_max: None, ..ClientOptions::default() },
        async move |client, _| {
            let mut response = client.get(&url).timeout(Duration::from_millis(100)).send().await.unwrap();
            let error = loop {
                if let Err(error) = response.next().await.expect("it is endless") {
                    break error;
                }
            };
            assert_eq!((error.timeout(), error.may_retry()), (Some(TimeoutKind::Total), false));
            assert!(response.next().await.is_none());
        },
    );
}
