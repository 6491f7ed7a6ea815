//! Which fields, and which target, an endpoint and a client get to see (cases P03, P07, P09, P43, P45).

use quoit::filter::RequestIds;
use quoit::handler::{ForwardedForm, HostPolicy, Proxy, ProxyOptions};
use quoit::service::Router;

use crate::common::{Client, Response, lenient, serve_with};
use crate::lab::*;
use crate::peer::Peer;
use crate::wire::{END_HEADERS, END_STREAM, headers, pseudo};

/// What the endpoint gets of this request.
#[track_caller]
fn forwarded(options: impl FnOnce(ProxyOptions) -> ProxyOptions, request: &str) -> String {
    let endpoint = Endpoint::answering(OK);
    let proxy = proxy(options(ProxyOptions::to(upstream(&[&endpoint]))));
    Client::connect(proxy.addr).ask(request).is(200, "ok");
    endpoint.seen.head(0)
}

#[test]
fn fields_of_the_connection_end_here_and_those_of_this_side_are_added_afterwards() {
    let response = "HTTP/1.1 200 OK\r\nConnection: X-Up, keep-alive\r\nX-Up: 1\r\nKeep-Alive: timeout=60\r\n\
                    X-Kept: 1\r\nContent-Length: 2\r\n\r\nok";
    let endpoint = Endpoint::answering(response);
    let proxy = before(&endpoint);
    let request = "POST /a HTTP/1.1\r\nHost: a.test\r\nConnection:\r\n\
                   Connection: close, X-Forwarded-For, X-Secret, Host, Content-Length\r\nX-Secret: 1\r\n\
                   X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
                   Forwarded: for=6.6.6.6\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                   Proxy-Authorization: Basic eA==\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABk\r\nX-Forwarded-Port: 1\r\nX-End: 1\r\n\
                   Content-Length: 3\r\n\r\nabc";
    for round in 0..2 {
        let mut client = Client::connect(proxy.addr);
        let answer = client.ask(request);
        answer.is(200, "ok").says_close();
        assert_eq!(
            (answer.field("x-up"), answer.field("x-kept"), answer.field("keep-alive")),
            (None, Some("1"), None)
        );
        let head = endpoint.seen.head(round);
        let client = client.local().ip().to_string();
        for (name, value) in [
            ("x-secret", None),
            ("keep-alive", None),
            ("proxy-connection", None),
            ("proxy-authorization", None),
            ("upgrade", None),
            ("http2-settings", None),
            ("x-real-ip", None),
            ("forwarded", None),
            ("x_forwarded_for", None),
            ("x-forwarded-port", None),
            ("te", Some("trailers")),
            ("connection", Some("TE")),
            ("host", Some("a.test")),
            ("content-length", Some("3")),
            ("x-forwarded-for", Some(&*client)),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("a.test")),
            ("x-end", Some("1")),
            ("via", Some("1.1 quoit")),
        ] {
            assert_eq!(field(&head, name), value, "{name} in {head}");
        }
    }
    assert_eq!(endpoint.seen.accepted(), 1, "the client's close is not the endpoint's");
}

#[test]
fn a_trusted_peer_speaks_for_its_clients() {
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
                   X-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1\r\nVia: 1.0 front\r\n\r\n";
    let trusting = |form| {
        move |mut options: ProxyOptions| {
            options.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()];
            options.forwarded.form = form;
            options
        }
    };
    let head = forwarded(trusting(ForwardedForm::Both), request);
    assert_eq!(field(&head, "x-forwarded-for"), Some("1.1.1.1, 2.2.2.2, 127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(&head, "forwarded"), Some("for=1.1.1.1, for=127.0.0.1;host=\"a.test\";proto=http"));
    assert_eq!(field(&head, "via"), Some("1.0 front, 1.1 quoit"));
    let head = forwarded(trusting(ForwardedForm::None), request);
    assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
}

#[test]
fn hosts_and_fields_follow_the_options() {
    let endpoint_host = forwarded(|o| ProxyOptions { host: HostPolicy::Endpoint, ..o }, &get("/"));
    assert!(field(&endpoint_host, "host").unwrap().starts_with("127.0.0.1:"));
    let options = |o| ProxyOptions {
        host: HostPolicy::Fixed("b.test".into()),
        set_fields: vec![("X-A".into(), "1".into())],
        remove_fields: vec!["X-B".into()],
        via: None,
        ..o
    };
    let head =
        forwarded(options, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 6\r\nx-b: 6\r\nX-C: a\r\nX-C: b\r\n\r\n");
    assert_eq!((field(&head, "host"), field(&head, "x-a")), (Some("b.test"), Some("1")));
    assert_eq!((field(&head, "x-b"), field(&head, "via")), (None, None));
    assert_eq!(fields(&head, "x-c"), ["a", "b"]);
}

#[test]
fn the_id_of_a_request_is_the_same_for_client_and_endpoint() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: brought\r\nX_Request_Id: brought\r\n\r\n";
    assert_eq!(field(&forwarded(|options| options, request), "x-request-id"), Some("brought"));
    let make: [(fn() -> RequestIds, _); 2] =
        [(RequestIds::new, None), (|| RequestIds::new().taking_over(), Some("brought"))];
    for (make, expected) in make {
        for set in [None, Some("set")] {
            let endpoint = Endpoint::answering(OK);
            let mut options = ProxyOptions::to(upstream(&[&endpoint]));
            options.set_fields = set.map(|id| ("X-Request-Id".into(), id.into())).into_iter().collect();
            let proxy = serve_with(1, lenient(), move |core| {
                let proxy = Proxy::with_options(&options, core).unwrap();
                Router::new().filter(make()).fallback_service(proxy).build().unwrap()
            });
            let answer = Client::connect(proxy.addr).ask(request);
            let (head, given) = (endpoint.seen.head(0), answer.is(200, "ok").field("x-request-id").unwrap());
            assert_eq!(given == "brought", expected.is_some());
            assert_eq!(fields(&head, "x-request-id"), [set.unwrap_or(given)], "{head}");
            assert!(fields(&head, "x_request_id").is_empty(), "{head}");
        }
    }
}

/// Paths are forwarded as they were sent, unless that differs from what was matched.
#[test]
fn targets_are_as_sent_or_as_matched() {
    let endpoint = Endpoint::answering(OK);
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    for (sent, expected) in [
        ("/t/%2F/foo", "/t/%2F/foo"),
        ("/t/a%252Fb?x=%2F", "/t/a%252Fb?x=%2F"),
        ("/t/%c3%a9?", "/t/%c3%a9?"),
        ("/t/%0d%0aX", "/t/%0d%0aX"),
        ("/t/a+b;c=!$&'()*,@", "/t/a+b;c=!$&'()*,@"),
        ("/t/%20", "/t/%20"),
        ("/t/%C3%A9", "/t/%C3%A9"),
        ("/t/%80", "/t/%80"),
        // What is no escape, and what browsers leave as it is, is encoded once.
        ("/t/%zz", "/t/%25zz"),
        ("/t/%", "/t/%25"),
        ("/t/a\"b\\c", "/t/a%22b%5Cc"),
        ("//admin", "/admin"),
        ("/./%61dmin?q", "/admin?q"),
        ("http://a.test/x?y", "/x?y"),
        ("http://a.test", "/"),
        ("http://a.test?x", "/?x"),
    ] {
        client.ask(get(sent)).is(200, "ok");
        let head = endpoint.seen.head(endpoint.seen.requests() - 1);
        assert_eq!(head.split(' ').nth(1), Some(expected), "{sent}");
    }
    // Neither a NUL nor a space, in any form.
    for sent in ["/t/a b", "/t/a\0b"] {
        assert_eq!(Client::connect(proxy.addr).ask(get(sent)).status, 400, "{sent:?}");
    }
    client.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "ok");
    assert!(endpoint.seen.head(endpoint.seen.requests() - 1).starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn prefixes_are_stripped_and_added_by_segments() {
    let endpoint = Endpoint::answering(OK);
    let options = ProxyOptions {
        strip_prefix: Some("/api/v1".into()),
        add_prefix: Some("/in".into()),
        ..ProxyOptions::to(upstream(&[&endpoint]))
    };
    let proxy = proxy(options);
    let mut client = Client::connect(proxy.addr);
    for (index, (sent, expected)) in [
        ("/api/v1/a%2Fb?c", "/in/a%2Fb?c"),
        ("/api/v1", "/in/"),
        ("/api/v1?x", "/in/?x"),
        ("/api/v1/", "/in/"),
        ("/api/v1x", "/in/api/v1x"),
        ("//api/./v1/%61", "/in/a"),
    ]
    .into_iter()
    .enumerate()
    {
        client.ask(get(sent)).is(200, "ok");
        assert_eq!(endpoint.seen.head(index).split(' ').nth(1), Some(expected), "{sent}");
    }
}

#[test]
fn what_is_not_for_an_endpoint_is_answered_here() {
    let endpoint = Endpoint::answering(OK);
    let proxy = before(&endpoint);
    let ask = |request: &str| -> Response { Client::connect(proxy.addr).ask(request) };
    let denied = Client::connect(proxy.addr);
    let mut denied = denied;
    denied.send("CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n");
    assert_eq!(denied.response_to("CONNECT").status, 501);
    ask("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n").has_status(204);
    ask("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 00\r\n\r\n").has_status(204);
    assert_eq!(endpoint.seen.requests(), 0);
    ask("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 7\r\n\r\n").has_status(200);
    assert_eq!(field(&endpoint.seen.head(0), "max-forwards"), Some("6"));
    let circle = "1.1 quoit, ".repeat(8);
    let looped = ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {circle}1.1 x\r\n\r\n"));
    assert_eq!(looped.has_status(502).field("proxy-status"), Some("quoit; error=proxy_loop_detected"));
}

/// Applications that read fields as CGI and WSGI do take an underscore for a hyphen.
#[test]
fn fields_that_are_set_or_removed_have_no_second_spelling() {
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\nx-user: root\r\nX_Debug: 1\r\nX-Userx: 1\r\n\r\n";
    let head = forwarded(
        |proxy| ProxyOptions {
            set_fields: vec![("X-User".into(), "guest".into())],
            remove_fields: vec!["X-Debug".into()],
            ..proxy
        },
        request,
    );
    assert_eq!((field(&head, "x-user"), field(&head, "x-userx")), (Some("guest"), Some("1")));
    assert_eq!((field(&head, "x_user"), field(&head, "x_debug")), (None, None), "{head}");
}

/// HTTP/2 splits cookies; HTTP/1.1 has one field (RFC 9113 §8.2.3).
#[test]
fn cookies_of_http2_are_joined_and_set_cookies_are_not() {
    let response = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\n\
                    Set-Cookie: b=2\r\nSet-Cookie: c=3\r\nContent-Length: 0\r\n\r\n";
    let endpoint = Endpoint::answering(response);
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    let mut sent = pseudo("GET", "/");
    sent.extend([("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2; c=3"), ("cookie", "d=\"x, y\"")]);
    peer.send(headers(stream, END_HEADERS | END_STREAM, &sent));
    let answer = peer.answer(stream);
    let cookies: Vec<_> = answer
        .fields
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(cookies, ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2", "c=3"]);
    let head = endpoint.seen.head(0);
    assert_eq!(field(&head, "cookie"), Some("a=1; b=2; c=3; d=\"x, y\""));
    assert_eq!(field(&head, "via"), Some("2 quoit"));
}
