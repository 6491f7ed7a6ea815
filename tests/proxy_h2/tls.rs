//! TLS to endpoints: who they have to be, what is presented to them, and what the errors say.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use quoit::handler::{HostPolicy, ProxyOptions};
use quoit::upstream::{CheckOptions, Group, UpstreamOptions, UpstreamTls};

use crate::certs::Certs;
use crate::common::{Client, Hosted, assert_took};
use crate::lab::{Endpoint, get, proxy};
use crate::secure::{Asks, Greeting, SecureEndpoint, answers, config};

fn upstream(addr: SocketAddr, tls: UpstreamTls) -> UpstreamOptions {
    let mut upstream = UpstreamOptions::new("lab", [addr.to_string()]).unwrap();
    upstream.tls = Some(tls);
    upstream
}

fn before(addr: SocketAddr, tls: UpstreamTls) -> Hosted {
    proxy(ProxyOptions::to(upstream(addr, tls)))
}

fn trusting(certs: &Certs) -> UpstreamTls {
    UpstreamTls { ca: Some(certs.path("ca.pem")), ..UpstreamTls::default() }
}

#[test]
fn connections_are_kept_and_sessions_resumed() {
    let certs = Certs::new();
    let endpoint = SecureEndpoint::new(config(&certs, "a", &["http/1.1"], Asks::Nothing), answers(3));
    let proxy = before(endpoint.addr, trusting(&certs));
    let mut client = Client::connect(proxy.addr);
    for _ in 0..9 {
        client.ask(get("/")).is(200, "ok").keeps();
    }
    let greetings = endpoint.greetings();
    assert_eq!(greetings.len(), 3, "three requests each: {greetings:?}");
    // An address is no name for SNI.
    let first = Greeting {
        server_name: None,
        protocol: Some("http/1.1".into()),
        has_certificate: false,
        is_resumed: false,
    };
    assert_eq!(greetings[0], first);
    assert!(greetings[1..].iter().all(|greeting| greeting.is_resumed), "{greetings:?}");
}

#[test]
fn names_and_authorities_are_checked() {
    let certs = Certs::new();
    certs.issue("b", &["other.test"]);
    let endpoint = |name| SecureEndpoint::new(config(&certs, name, &[], Asks::Nothing), answers(1));
    let (own, other) = (endpoint("a"), endpoint("b"));
    let named = |name: &str| UpstreamTls { server_name: Some(name.into()), ..trusting(&certs) };
    let unverified = UpstreamTls { verify: false, ..UpstreamTls::default() };
    for (addr, tls, is_fine) in [
        (own.addr, trusting(&certs), true),
        (own.addr, named("endpoint.test"), true),
        (own.addr, named("other.test"), false),
        (other.addr, trusting(&certs), false),
        (other.addr, named("other.test"), true),
        // The machine does not know the test's authority.
        (own.addr, UpstreamTls::default(), false),
        (other.addr, unverified, true),
    ] {
        let answer = Client::connect(before(addr, tls.clone()).addr).ask(get("/"));
        if is_fine {
            answer.is(200, "ok");
        } else {
            let expected = Some("quoit; error=tls_certificate_error");
            assert_eq!(answer.has_status(502).field("proxy-status"), expected, "{tls:?}");
            assert!(answer.text().contains("no secure connection"), "{}", answer.text());
        }
    }
    let names: Vec<_> = other.greetings().into_iter().filter_map(|greeting| greeting.server_name).collect();
    assert_eq!(names, ["other.test"]);
}

#[test]
fn a_certificate_is_presented_where_one_is_asked_for() {
    let certs = Certs::new();
    certs.issue("me", &["proxy.test"]);
    let endpoint = SecureEndpoint::new(config(&certs, "a", &[], Asks::Certificate), answers(1));
    let own = Some((certs.path("me.pem"), certs.path("me.key")));
    let presenting = before(endpoint.addr, UpstreamTls { client_certificate: own, ..trusting(&certs) });
    Client::connect(presenting.addr).ask(get("/")).is(200, "ok");
    assert!(endpoint.greetings()[0].has_certificate);
    let without = before(endpoint.addr, trusting(&certs));
    Client::connect(without.addr).ask(get("/")).has_status(502);
}

#[test]
fn endpoints_without_tls_and_silent_ones_are_told_apart() {
    let certs = Certs::new();
    let plain = Endpoint::new(|wire, _| {
        wire.take(5);
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        wire.until_closed();
    });
    let answer = Client::connect(before(plain.addr, trusting(&certs)).addr).ask(get("/"));
    assert_eq!(answer.has_status(502).field("proxy-status"), Some("quoit; error=tls_protocol_error"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut slow = upstream(silent.local_addr().unwrap(), trusting(&certs));
    slow.timeouts.tls = Duration::from_millis(300);
    slow.retries.tries = 1;
    let proxy = proxy(ProxyOptions::to(slow));
    let began = Instant::now();
    let answer = Client::connect(proxy.addr).ask(get("/"));
    assert_eq!(answer.has_status(504).field("proxy-status"), Some("quoit; error=connection_timeout"));
    assert_took(began, Duration::from_millis(300));
}

/// A body that is delimited by the end of the connection must not be cut by anyone on the way.
#[test]
fn an_end_without_close_notify_is_no_end() {
    let certs = Certs::new();
    for says in [true, false] {
        let endpoint = SecureEndpoint::new(config(&certs, "a", &[], Asks::Nothing), move |stream| {
            let mut request = [0; 2048];
            let _ = std::io::Read::read(stream, &mut request);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").unwrap();
            if says {
                stream.conn.send_close_notify();
            }
            let _ = stream.flush();
        });
        let proxy = before(endpoint.addr, trusting(&certs));
        let mut client = Client::connect(proxy.addr);
        client.send(get("/"));
        let answer = client.try_response_to("GET");
        assert_eq!(answer.is_ok_and(|answer| answer.body == b"all of it"), says);
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let certs = Certs::new();
    let endpoint = SecureEndpoint::new(config(&certs, "a", &[], Asks::Nothing), |stream| {
        let mut input = vec![0; 64 * 1024];
        let (mut head, mut left) = (Vec::new(), None);
        while left != Some(0) {
            let length = std::io::Read::read(stream, &mut input).unwrap();
            let mut received = &input[..length];
            if left.is_none() {
                head.extend_from_slice(received);
                let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                left = Some(1_000_000);
                let text = String::from_utf8_lossy(&head[..at]);
                assert!(text.contains("Content-Length: 1000000"), "{text}");
                received = &head[at + 4..];
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").unwrap();
            }
            left = left.map(|left: usize| left - received.len());
            stream.write_all(received).unwrap();
            stream.flush().unwrap();
        }
    });
    let proxy = before(endpoint.addr, trusting(&certs));
    let body = crate::common::pattern(1_000_000);
    let mut client = Client::connect(proxy.addr);
    let mut sender = client.sender();
    let request = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", &body[..]].concat();
    let sending = std::thread::spawn(move || sender.write_all(&request).unwrap());
    client.response().is(200, &body);
    sending.join().unwrap();
}

#[test]
fn mistakes_are_found_before_anything_is_served() {
    let certs = Certs::new();
    let addr: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let missing = |name: &str| certs.path(name);
    for (tls, expected) in [
        (
            UpstreamTls { ca: Some(missing("none.pem")), ..UpstreamTls::default() },
            "none.pem: there is no such file",
        ),
        (
            UpstreamTls { ca: Some(missing("a.key")), ..UpstreamTls::default() },
            "a.key: it has a private key and no",
        ),
        (
            UpstreamTls { server_name: Some("a b".into()), ..trusting(&certs) },
            "`a b` is no name of a certificate",
        ),
        (
            UpstreamTls {
                client_certificate: Some((missing("a.pem"), missing("a.pem"))),
                ..trusting(&certs)
            },
            "a.pem: it has no private key beside the certificates",
        ),
        (
            UpstreamTls {
                client_certificate: Some((missing("ca.pem"), missing("a.key"))),
                ..trusting(&certs)
            },
            "this private key does not belong to the certificate",
        ),
    ] {
        let error = Group::check_files(&upstream(addr, tls)).unwrap_err().to_string();
        assert!(error.starts_with("TLS to the upstream lab cannot be set up: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(Group::check_files(&upstream(addr, trusting(&certs))), Ok(()));
}

/// Checks speak TLS too: otherwise every endpoint behind it would be found unhealthy.
#[test]
fn health_checks_speak_tls() {
    let certs = Certs::new();
    let endpoint = SecureEndpoint::new(config(&certs, "a", &["http/1.1"], Asks::Nothing), answers(9));
    let mut checked = upstream(endpoint.addr, trusting(&certs));
    checked.checks =
        Some(CheckOptions { interval: Duration::from_millis(50), down_after: 1, ..CheckOptions::default() });
    let options = ProxyOptions { host: HostPolicy::Endpoint, ..ProxyOptions::to(checked) };
    let proxy = proxy(options);
    crate::common::eventually("three checks", || endpoint.greetings().len() >= 3);
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    // The protocol of the check is that of HTTP/1.1, whatever requests use.
    assert!(endpoint.greetings().iter().all(|seen| seen.protocol.as_deref() == Some("http/1.1")));
}
