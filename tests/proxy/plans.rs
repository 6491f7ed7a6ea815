//! The proxy as a handler of plans: beside other handlers, behind filters, with limits of routes, and over
//! Unix sockets.

use std::os::unix::net::UnixListener;

use quoit::Server;
use quoit::filter::SecurityHeadersOptions;
use quoit::handler::ProxyOptions;
use quoit::net::Address;
use quoit::plan::{FilterOptions, HandlerOptions, Plan, Route, Site};
use quoit::service::BodyPolicy;
use quoit::upstream::UpstreamOptions;

use crate::common::{Client, lenient};
use crate::lab::*;

/// Serves a plan of this site.
fn served(site: Site) -> (quoit::Running, std::net::SocketAddr) {
    let plan = Plan::builder().listen("127.0.0.1:0".parse().unwrap()).default_site(site).build();
    let running = Server::new().workers(1).limits(lenient()).quiet(true).start_plan(plan).expect("it starts");
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr)
}

fn post(path: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; length][..]].concat()
}

#[test]
fn bodies_have_the_limit_of_the_route_or_none() {
    const MANY: usize = 17 * 1024 * 1024;
    let endpoint = Endpoint::answering(OK);
    let proxy = || HandlerOptions::proxy(ProxyOptions::to(upstream(&[&endpoint])));
    let mut limited = ProxyOptions::to(upstream(&[&endpoint]));
    limited.request_bytes_max = Some(10);
    let small = BodyPolicy { bytes_max: Some(100), ..BodyPolicy::DEFAULT };
    let site = Site::new()
        .filter(FilterOptions::SecurityHeaders(SecurityHeadersOptions::default()))
        .route(Route { body_policy: Some(small), ..Route::any("/small", proxy()) })
        .route(Route::any("/limited", HandlerOptions::proxy(limited)))
        .route(Route::any("/api/{*rest}", proxy()))
        .route(Route::any("/text", HandlerOptions::text("text")))
        .fallback(proxy());
    let (running, addr) = served(site);
    let ask = |path: &str, length: usize| Client::connect(addr).ask(post(path, length)).status;
    for (path, length, status) in [
        ("/small", 100, 200),
        ("/small", 101, 413),
        ("/limited", 10, 200),
        ("/limited", 11, 413),
        ("/api/x", MANY, 200),
        ("/other", MANY, 200),
    ] {
        assert_eq!(ask(path, length), status, "{path} {length}");
    }
    let requests = endpoint.seen.requests();
    let answer = Client::connect(addr).ask(get("/text"));
    answer.is(200, "text");
    assert_eq!(endpoint.seen.requests(), requests);
    let answer = Client::connect(addr).ask(get("/api/a%2Fb?c"));
    assert_eq!(answer.is(200, "ok").field("x-content-type-options"), Some("nosniff"));
    assert!(endpoint.seen.head(requests).starts_with("GET /api/a%2Fb?c HTTP/1.1\r\n"));
    drop(running.stop());
}

#[test]
fn a_lone_proxy_has_no_limit_either() {
    let endpoint = Endpoint::answering(OK);
    let (running, addr) = served(Site::of(HandlerOptions::proxy(ProxyOptions::to(upstream(&[&endpoint])))));
    Client::connect(addr).ask(post("/", 17 * 1024 * 1024)).is(200, "ok");
    drop(running.stop());
}

#[test]
fn mistakes_are_found_by_the_check() {
    let empty = ProxyOptions::to(UpstreamOptions::of("api", Vec::new()));
    let plan = Plan::builder().default_site(Site::of(HandlerOptions::proxy(empty))).build();
    let errors = plan.check().unwrap_err().to_string();
    assert_eq!(errors, "the upstream api has no endpoint; give it at least one address");
}

#[test]
fn endpoints_may_be_unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while std::io::Read::read(&mut stream, &mut buffer).is_ok_and(|length| length > 0) {
                    let head = String::from_utf8_lossy(&buffer).into_owned();
                    assert_eq!(field(head.split("\r\n\r\n").next().unwrap(), "host"), Some("a.test"));
                    if std::io::Write::write_all(&mut stream, OK.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let proxy =
        proxy(ProxyOptions::to(UpstreamOptions::new("lab", [format!("unix:{}", path.display())]).unwrap()));
    let mut client = Client::connect(proxy.addr);
    for _ in 0..3 {
        client.ask(get("/")).is(200, "ok").keeps();
    }
}

/// What one client sends as one request is one request for the endpoint, or none.
#[test]
fn nothing_is_smuggled() {
    let endpoint = Endpoint::answering(OK);
    let proxy = before(&endpoint);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding:\x0bchunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Content-Length: 0\r\nContent-Length: 44",
        "Content-Length: 0, 44",
        "Content-Length: +44",
        "Content-Length: 0x2c",
        "Content_Length: 44",
        "Transfer_Encoding: chunked",
        "Connection: Content-Length\r\nContent-Length: 44",
        "X: a\rContent-Length: 44",
        "X: a\nContent-Length: 44",
        "Expect: 100-continue\r\nContent-Length: 0",
        "Upgrade: websocket\r\nConnection: Upgrade",
    ] {
        let before = endpoint.seen.requests();
        let mut client = Client::connect(proxy.addr);
        let _ = client.try_send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{smuggled}"));
        client.half_close();
        let answered = client.drain();
        let answers = answered.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
        let heads = endpoint.seen.heads.lock().unwrap()[before..].to_vec();
        // Each request of the client's is answered at most once, and the endpoint saw no more than were.
        assert!(heads.len() <= answers, "{fields:?}: {heads:?}");
        for head in &heads {
            for name in ["content_length", "transfer_encoding"] {
                assert_eq!(field(head, name), None, "{head}");
            }
            assert!(fields_of_framing(head) <= 1, "{head}");
        }
    }
}

fn fields_of_framing(head: &str) -> usize {
    fields(head, "content-length").len() + fields(head, "transfer-encoding").len()
}
