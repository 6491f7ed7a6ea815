//! Forward proxies: absolute targets for http, tunnels for https, and which hosts are asked directly.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use quoit::client::{ClientErrorKind, ClientOptions, ClientProxies, ErrorSide, is_public};
use quoit::upstream::UpstreamTls;

use crate::certs::Certs;
use crate::lab::{Endpoint, OK, field};
use crate::secure::{Asks, SecureEndpoint, answers, config};

/// A proxy that opens tunnels, whatever host they are for, to this port of this machine; anything else gets
/// `ok`.
fn tunnelling(port: u16) -> Endpoint {
    Endpoint::new(move |wire, _| {
        while let Some(head) = wire.head() {
            if !head.starts_with("CONNECT") {
                wire.send(OK);
                continue;
            }
            let mut behind = TcpStream::connect(("127.0.0.1", port)).unwrap();
            wire.send("HTTP/1.1 200 Connected\r\n\r\n");
            let (mut from, mut to) = (behind.try_clone().unwrap(), wire.stream.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = wire.stream.read(&mut buffer) {
                behind.write_all(&buffer[..length]).unwrap();
            }
            let _ = behind.shutdown(Shutdown::Write);
            return;
        }
    })
}

fn through(proxy: &Endpoint) -> ClientOptions {
    let proxies = ClientProxies::all(&format!("http://me:s%3Acret@{}", proxy.addr)).unwrap();
    ClientOptions { proxies, ..ClientOptions::default() }
}

#[test]
fn plain_requests_are_sent_to_the_proxy() {
    let proxy = Endpoint::answering(OK);
    crate::with(through(&proxy), async move |client, _| {
        for url in ["http://a.test/x?y=1", "http://b.test:81/"] {
            assert_eq!(client.get(url).send().await.unwrap().text().await.unwrap(), "ok");
        }
        let head = proxy.seen.head(0);
        assert!(head.starts_with("GET http://a.test/x?y=1 HTTP/1.1\r\nHost: a.test\r\n"), "{head}");
        assert_eq!(field(&head, "proxy-authorization"), Some("Basic bWU6czpjcmV0"));
        assert!(proxy.seen.head(1).starts_with("GET http://b.test:81/ HTTP/1.1\r\nHost: b.test:81\r\n"));
        assert_eq!(proxy.seen.accepted(), 1, "all hosts share its connections");
    });
}

#[test]
fn https_goes_through_a_tunnel() {
    let certs = Certs::new();
    let secure = SecureEndpoint::new(config(&certs, "a", &["http/1.1"], Asks::Nothing), answers(2));
    let proxy = tunnelling(secure.addr.port());
    let tls = UpstreamTls { ca: Some(certs.path("ca.pem")), ..UpstreamTls::default() };
    // The rule is not asked about names that the proxy resolves, nor about the proxy.
    let options = ClientOptions { tls, ..through(&proxy) }.allow(is_public);
    crate::with(options, async move |client, _| {
        for _ in 0..2 {
            let response = client.get("https://endpoint.test/").send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), "ok");
        }
        let head = proxy.seen.head(0);
        let begins = "CONNECT endpoint.test:443 HTTP/1.1\r\nHost: endpoint.test:443\r\n";
        assert!(head.starts_with(begins), "{head}");
        assert_eq!(field(&head, "proxy-authorization"), Some("Basic bWU6czpjcmV0"));
        assert_eq!((proxy.seen.requests(), proxy.seen.accepted()), (1, 1), "one tunnel for both");
        // The certificate is the host's, not the proxy's.
        let error = client.get("https://other.test/").send().await.unwrap_err();
        assert_eq!((error.kind(), error.may_retry()), (ClientErrorKind::Tls, true), "{error}");
    });
}

#[test]
fn a_proxy_that_refuses() {
    for (answer, kind) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", ClientErrorKind::Proxy),
        ("HTTP/1.1 200 OK\r\n\r\nsurprise", ClientErrorKind::Protocol),
        ("SSH-2.0\r\n", ClientErrorKind::Protocol),
        ("", ClientErrorKind::Closed),
    ] {
        let proxy = Endpoint::new(move |wire, _| {
            wire.head();
            wire.send(answer);
        });
        crate::with(through(&proxy), async move |client, _| {
            let error = client.post("https://a.test/").body("x").send().await.unwrap_err();
            assert!(error.kind() == kind && error.may_retry(), "{error:?}");
            if kind == ClientErrorKind::Proxy {
                assert_eq!(error.side(), ErrorSide::Network);
                assert!(error.to_string().contains("407"), "{error}");
            }
        });
    }
}

#[test]
fn some_hosts_are_asked_directly() {
    let (proxy, direct) = (Endpoint::answering(OK), Endpoint::answering(OK));
    let proxies = ClientProxies::all(&proxy.addr.to_string()).unwrap().except("a.test, 127.0.0.0/8");
    let options = ClientOptions { proxies, ..ClientOptions::default() };
    crate::with(options, async move |client, _| {
        client.get(format!("http://{}/", direct.addr)).send().await.unwrap();
        assert_eq!((proxy.seen.requests(), direct.seen.requests()), (0, 1));
        assert!(direct.seen.head(0).starts_with("GET / HTTP"));
        client.get("http://b.test/").send().await.unwrap();
        assert_eq!(proxy.seen.requests(), 1);
    });
    assert!(ClientProxies::all("https://p:1").unwrap_err().to_string().contains("http://"));
    let options =
        ClientOptions { proxies: ClientProxies::all("me:hunter2@p:1").unwrap(), ..ClientOptions::default() };
    assert!(!format!("{options:?}").contains("hunter2"));
}
