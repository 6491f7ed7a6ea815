//! HTTP/2 endpoints that follow a script: what may be sent again, what is refused, and what they get to see
//! (cases P03, P09, P11, P15, P49).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use quoit::handler::ProxyOptions;
use quoit::upstream::{UpstreamOptions, UpstreamProtocol, UpstreamTls};

use crate::certs::Certs;
use crate::common::{Client, Hosted, assert_took, eventually, pattern, time_passes};
use crate::frames::{Frames, Got};
use crate::lab::{Endpoint, get, proxy, proxy_on, upstream};
use crate::peer::Peer;
use crate::secure::{Asks, SecureEndpoint, config};
use crate::wire::*;

pub(crate) fn h2_upstream(endpoint: &Endpoint) -> UpstreamOptions {
    UpstreamOptions { protocol: UpstreamProtocol::Http2, ..upstream(&[endpoint]) }
}

pub(crate) fn before(endpoint: &Endpoint) -> Hosted {
    proxy(ProxyOptions::to(h2_upstream(endpoint)))
}

/// An endpoint that runs this on each connection, after SETTINGS.
pub(crate) fn scripted(
    own: &'static [(u16, u32)],
    script: impl Fn(&mut Frames<'_, std::net::TcpStream>, usize) + Send + Sync + 'static,
) -> Endpoint {
    Endpoint::new(move |wire, number| {
        if let Some(mut frames) = Frames::new(&mut wire.stream, own) {
            script(&mut frames, number);
        }
    })
}

/// Answers everything with `ok`, and keeps the heads.
fn answering() -> (Endpoint, Arc<Mutex<Vec<Got>>>) {
    let heads = Arc::<Mutex<Vec<Got>>>::default();
    let seen = heads.clone();
    let endpoint = scripted(&[], move |frames, _| {
        while let Some(got) = frames.next() {
            let ends = matches!(&got, Got::Headers { ends: true, .. } | Got::Data { ends: true, .. });
            let stream = got.stream();
            if matches!(got, Got::Headers { .. }) {
                seen.lock().unwrap().push(got);
            }
            if ends {
                frames.answer(stream, "ok");
            }
        }
    });
    (endpoint, heads)
}

#[test]
fn requests_of_many_clients_share_a_connection() {
    let (endpoint, heads) = answering();
    let proxy = before(&endpoint);
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let addr = proxy.addr;
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                for _ in 0..5 {
                    client.ask(get("/")).is(200, "ok").keeps();
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!((endpoint.seen.accepted(), heads.lock().unwrap().len()), (1, 200));
}

#[test]
fn fields_are_those_of_http2() {
    let (endpoint, heads) = answering();
    let proxy = before(&endpoint);
    let request = "POST /a?b HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\
                   Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-Kept: Yes\r\nContent-Length: 3\r\n\r\nabc";
    Client::connect(proxy.addr).ask(request).is(200, "ok");
    let head = heads.lock().unwrap()[0].clone();
    for (name, value) in [
        (":method", Some("POST")),
        (":scheme", Some("http")),
        (":path", Some("/a?b")),
        (":authority", Some("a.test")),
        ("host", None),
        ("x-secret", None),
        ("connection", None),
        ("keep-alive", None),
        ("proxy-connection", None),
        ("upgrade", None),
        ("http2-settings", None),
        ("transfer-encoding", None),
        ("te", Some("trailers")),
        ("x-kept", Some("Yes")),
        ("content-length", Some("3")),
        ("via", Some("1.1 quoit")),
    ] {
        assert_eq!(head.field(name), value, "{name} in {head:?}");
    }
    // By HTTP/2: crumbs are joined, and what is kept out of tables stays so.
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    let mut sent = block(&pseudo("GET", "/"));
    sent.extend(block(&[("cookie", "a=1"), ("cookie", "b=2; c=3")]));
    // A literal that is never indexed (RFC 7541 §6.2.3).
    sent.push(0x10);
    string(&mut sent, b"x-token");
    string(&mut sent, b"secret");
    peer.send(frame(HEADERS, WHOLE, stream, sent));
    peer.answer(stream).is(200, "ok");
    let head = heads.lock().unwrap()[1].clone();
    assert_eq!(head.field("cookie"), Some("a=1; b=2; c=3"));
    let Got::Headers { fields, ends, .. } = &head else { panic!() };
    let never: Vec<_> = fields.iter().filter(|field| field.2).map(|field| field.0.as_str()).collect();
    assert!(never.contains(&"x-token") && !never.contains(&"via") && *ends, "{never:?}");
}

/// All that came before a reset is passed on, and NO_ERROR after the end is no error (RFC 9113 §8.1).
#[test]
fn an_early_answer_and_a_reset_behind_it_is_an_answer() {
    let endpoint = scripted(&[], |frames, _| {
        while let Some(got) = frames.head() {
            let stream = got.stream();
            let mut answer = headers(stream, END_HEADERS, &[(":status", "413")]);
            for _ in 0..20 {
                answer.extend(data(stream, 0, "a piece"));
            }
            answer.extend(headers(stream, WHOLE, &[("x-end", "1")]));
            answer.extend(reset(stream, NO_ERROR));
            frames.send(answer);
        }
    });
    let proxy = before(&endpoint);
    for _ in 0..2 {
        let mut client = Client::connect(proxy.addr);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\nbegin");
        client.response().is(413, "a piece".repeat(20));
    }
    assert_eq!(endpoint.seen.accepted(), 1);
}

/// An endpoint that stops within a body is no end of it, and others on the connection go on.
#[test]
fn a_body_that_breaks_off_is_cut_for_the_client() {
    let endpoint = scripted(&[], |frames, _| {
        while let Some(got) = frames.head() {
            let stream = got.stream();
            if got.field(":path") == Some("/") {
                frames.answer(stream, "ok");
                continue;
            }
            let head = headers(stream, END_HEADERS, &[(":status", "200")]);
            frames.send([head, data(stream, 0, "half")].concat());
            frames.send(reset(stream, 2));
        }
    });
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    peer.send(crate::wire::get(stream, "/half"));
    peer.until("a reset", |peer| peer.streams.get(&stream).is_some_and(|got| got.reset.is_some()));
    peer.get("/").is(200, "ok");
    let mut client = Client::connect(proxy.addr);
    client.send(get("/half"));
    assert!(client.try_response_to("GET").is_err(), "it is cut");
    assert_eq!(endpoint.seen.accepted(), 1);
}

/// What a client does not read is held back, and its stream alone waits.
#[test]
fn a_slow_reader_holds_back_its_own_stream() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let endpoint = scripted(&[], |frames, _| {
        while let Some(got) = frames.head() {
            let stream = got.stream();
            if got.field(":path") == Some("/") {
                frames.answer(stream, "ok");
                continue;
            }
            // As far as the first window goes, and not further: no credit is waited for here.
            frames.send(headers(stream, END_HEADERS, &[(":status", "200")]));
            for _ in 0..3 {
                frames.send(data(stream, 0, pattern(16_384)));
                SENT.fetch_add(16_384, Ordering::SeqCst);
            }
        }
    });
    let proxy = before(&endpoint);
    let mut peer = Peer::connect_with(proxy.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    let stream = peer.fresh();
    peer.send(crate::wire::get(stream, "/large"));
    eventually("all is sent", || SENT.load(Ordering::SeqCst) == 3 * 16_384);
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    peer.open_window(stream, 3 * 16_384);
    peer.until("the rest", |peer| peer.streams.get(&stream).is_some_and(|got| got.body.len() == 3 * 16_384));
    assert_eq!(endpoint.seen.accepted(), 1);
}

/// No length and no body: HEADERS end the stream; POST and PUT say 0.
#[test]
fn bodies_end_with_their_last_frame() {
    let log = Arc::<Mutex<Vec<String>>>::default();
    let seen = log.clone();
    let endpoint = scripted(&[], move |frames, _| {
        while let Some(got) = frames.next() {
            let (line, ends) = match &got {
                Got::Headers { ends, .. } => {
                    (format!("head {:?}", got.field("content-length").unwrap_or("-")), *ends)
                }
                Got::Data { bytes, ends, .. } => (format!("data {}", bytes.len()), *ends),
                Got::Reset { code, .. } => (format!("reset {code}"), false),
            };
            seen.lock().unwrap().push(if ends { format!("{line}.") } else { line });
            if ends {
                frames.answer(got.stream(), "ok");
            }
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.ask(get("/")).is(200, "ok");
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").is(200, "ok");
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").is(200, "ok");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.ask(chunked).is(200, "ok");
    let expected = [r#"head "-"."#, r#"head "0"."#, r#"head "3""#, "data 3.", r#"head "-""#];
    assert_eq!(log.lock().unwrap()[..5], expected);
    assert!(log.lock().unwrap()[5].starts_with("data 3"));
    // A client that leaves within its upload: cancelled, never completed.
    let before = log.lock().unwrap().len();
    let mut leaving = Client::connect(proxy.addr);
    leaving.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
    eventually("the content arrives", || log.lock().unwrap()[before..].iter().any(|line| line == "data 3"));
    leaving.reset();
    eventually("the stream is cancelled", || log.lock().unwrap().last().unwrap() == "reset 8");
    client.ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn what_was_refused_or_not_processed_is_sent_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    let endpoint = scripted(&[], move |frames, number| {
        while let Some(got) = frames.head() {
            let stream = got.stream();
            // POST too: it was not processed (RFC 9113 §8.7).
            match count.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => frames.send(reset(stream, REFUSED_STREAM)),
                2 => {
                    frames.send(frame(GOAWAY, 0, 0, [0_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat()));
                    return frames.until_closed();
                }
                _ => frames.answer(stream, if number == 0 { "old" } else { "new" }),
            }
        }
    });
    let proxy = before(&endpoint);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    Client::connect(proxy.addr).ask(request).is(200, "new");
    assert_eq!((tries.load(Ordering::SeqCst), endpoint.seen.accepted()), (4, 2));
}

/// A stream that was reset, or a connection that was lost, after the request was there: POST is not repeated.
#[test]
fn what_may_have_been_processed_is_not_sent_again() {
    for closes in [false, true] {
        let tries = Arc::new(AtomicUsize::new(0));
        let count = tries.clone();
        let endpoint = scripted(&[], move |frames, _| {
            while let Some(got) = frames.head() {
                count.fetch_add(1, Ordering::SeqCst);
                if closes {
                    return;
                }
                frames.send(reset(got.stream(), CANCEL));
            }
        });
        let proxy = before(&endpoint);
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        let answer = Client::connect(proxy.addr).ask(request);
        let expected = Some("quoit; error=connection_terminated");
        assert_eq!(answer.has_status(502).field("proxy-status"), expected, "closes: {closes}");
        assert_eq!(tries.load(Ordering::SeqCst), 1, "closes: {closes}");
    }
}

/// Malformed responses cost their exchange 502, and others on the connection nothing (RFC 9113 §8.1.1).
#[test]
fn malformed_responses_are_502_and_the_connection_stays() {
    let endpoint = scripted(&[], |frames, _| {
        while let Some(got) = frames.head() {
            let (stream, path) = (got.stream(), got.field(":path").unwrap().to_owned());
            let fields: &[(&str, &str)] = match path.as_str() {
                "/upper" => &[(":status", "200"), ("X-Upper", "1")],
                "/connection" => &[(":status", "200"), ("connection", "close")],
                "/coding" => &[(":status", "200"), ("transfer-encoding", "chunked")],
                "/twice" => &[(":status", "200"), (":status", "200")],
                "/none" => &[("x", "1")],
                "/late" => &[("x", "1"), (":status", "200")],
                "/101" => &[(":status", "101")],
                "/value" => &[(":status", "200"), ("x", "a\r\nb: c")],
                "/lengths" => &[(":status", "200"), ("content-length", "1"), ("content-length", "2")],
                "/long" => &[(":status", "200"), ("content-length", "1")],
                _ => {
                    frames.answer(stream, "ok");
                    continue;
                }
            };
            frames.send([headers(stream, END_HEADERS, fields), data(stream, END_STREAM, "no")].concat());
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    for path in ["/upper", "/connection", "/coding", "/twice", "/none", "/late", "/101", "/value", "/lengths"]
    {
        let answer = client.ask(get(path));
        let expected = Some("quoit; error=http_protocol_error");
        assert_eq!(answer.has_status(502).field("proxy-status"), expected, "{path}");
        client.ask(get("/fine")).is(200, "ok");
    }
    assert_eq!(endpoint.seen.accepted(), 1, "one connection for all");
}

#[test]
fn what_is_no_http2_is_502() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.take(24);
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        wire.until_closed();
    });
    let answer = Client::connect(before(&endpoint).addr).ask(get("/"));
    assert_eq!(answer.has_status(502).field("proxy-status"), Some("quoit; error=http_protocol_error"));
}

#[test]
fn never_more_streams_than_allowed() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let endpoint = Endpoint::new(|wire, _| {
        let Some(mut frames) = Frames::new(&mut wire.stream, &[(MAX_CONCURRENT_STREAMS, 4)]) else { return };
        let mut open = Vec::new();
        while let Some(got) = frames.next() {
            match got {
                Got::Headers { stream, ends, .. } => open.push((stream, ends)),
                Got::Data { stream, ends, .. } => {
                    open.iter_mut().filter(|known| known.0 == stream).for_each(|known| known.1 |= ends);
                }
                Got::Reset { stream, .. } => open.retain(|known| known.0 != stream),
            }
            MOST.fetch_max(open.len(), Ordering::SeqCst);
            while let Some(at) = open.iter().position(|known| known.1) {
                frames.answer(open.remove(at).0, "ok");
            }
        }
    });
    let proxy = before(&endpoint);
    let body = pattern(300_000);
    let clients: Vec<_> = (0..30)
        .map(|index| {
            let (addr, body) = (proxy.addr, body.clone());
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                if index % 3 > 0 {
                    client.ask(get("/")).is(200, "ok");
                    return;
                }
                let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
                client.ask([head.as_bytes(), &body].concat()).is(200, "ok");
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(MOST.load(Ordering::SeqCst), 4, "before SETTINGS came as well");
}

/// A refusal says that nothing was processed (RFC 9113 §8.7), even after all of the body was there.
#[test]
fn a_body_that_was_refused_is_sent_again() {
    let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let seen = bodies.clone();
    let endpoint = scripted(&[], move |frames, number| {
        let mut body = Vec::new();
        while let Some(got) = frames.next() {
            let Got::Data { stream, bytes, ends } = got else { continue };
            body.extend(bytes);
            if !ends {
                continue;
            }
            let mut bodies = seen.lock().unwrap();
            bodies.push(std::mem::take(&mut body));
            match (bodies.len(), number) {
                (1, _) => frames.send(reset(stream, REFUSED_STREAM)),
                (2, _) => {
                    frames.send(frame(GOAWAY, 0, 0, [0_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat()));
                    drop(bodies);
                    return frames.until_closed();
                }
                _ => frames.answer(stream, "taken"),
            }
        }
    });
    let proxy = before(&endpoint);
    let body = pattern(40_000);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    Client::connect(proxy.addr).ask([head.as_bytes(), &body].concat()).is(200, "taken");
    assert_eq!(*bodies.lock().unwrap(), vec![body; 3]);
}

#[test]
fn an_endpoint_that_allows_none_is_503_after_the_queue() {
    let endpoint = scripted(&[(MAX_CONCURRENT_STREAMS, 0)], |frames, _| {
        while let Some(got) = frames.head() {
            frames.send(reset(got.stream(), REFUSED_STREAM));
        }
    });
    let mut upstream = h2_upstream(&endpoint);
    upstream.pool.queue_time = Duration::from_millis(300);
    upstream.retries.tries = 1;
    let proxy = proxy(ProxyOptions::to(upstream));
    let began = Instant::now();
    let answer = Client::connect(proxy.addr).ask(get("/"));
    assert_eq!(answer.has_status(503).field("proxy-status"), Some("quoit; error=connection_limit_reached"));
    assert!(answer.field("retry-after").is_some());
    assert_took(began, Duration::from_millis(300));
    assert!(endpoint.seen.accepted() <= 8, "a bounded number of connections");
}

#[test]
fn alpn_chooses_the_version() {
    let certs = Certs::new();
    let tls = UpstreamTls { ca: Some(certs.path("ca.pem")), ..UpstreamTls::default() };
    let serves = |protocols: &[&str]| {
        SecureEndpoint::new(config(&certs, "a", protocols, Asks::Nothing), |stream| {
            if stream.conn.alpn_protocol() != Some(b"h2") {
                return crate::secure::answers(9)(stream);
            }
            let Some(mut frames) = Frames::new(stream, &[]) else { return };
            while let Some(got) = frames.head() {
                assert_eq!(got.field(":scheme"), Some("https"));
                frames.answer(got.stream(), "two");
            }
        })
    };
    for (protocols, protocol, expected) in [
        (&["h2", "http/1.1"][..], UpstreamProtocol::Auto, Some("two")),
        (&["http/1.1"], UpstreamProtocol::Auto, Some("ok")),
        (&[], UpstreamProtocol::Auto, Some("ok")),
        (&["h2", "http/1.1"], UpstreamProtocol::Http1, Some("ok")),
        (&["h2"], UpstreamProtocol::Http2, Some("two")),
        (&["http/1.1"], UpstreamProtocol::Http2, None),
    ] {
        let endpoint = serves(protocols);
        let mut upstream = UpstreamOptions::new("lab", [endpoint.addr.to_string()]).unwrap();
        (upstream.tls, upstream.protocol) = (Some(tls.clone()), protocol);
        let proxy = proxy(ProxyOptions::to(upstream));
        let mut client = Client::connect(proxy.addr);
        for _ in 0..3 {
            let answer = client.ask(get("/"));
            match expected {
                Some(body) => answer.is(200, body).keeps(),
                None => answer.has_status(502),
            };
        }
        if expected.is_some() {
            assert_eq!(endpoint.greetings().len(), 1, "{protocols:?} {protocol:?}");
        }
    }
}

/// As when a cable is pulled: the connection stays open, and nothing comes.
#[test]
fn an_endpoint_that_answers_no_ping_is_lost() {
    for (method, expected) in [("GET", 200), ("POST", 502)] {
        let endpoint = scripted(&[], |frames, number| {
            frames.answers_pings = false;
            for index in 0.. {
                let Some(got) = frames.head() else { return };
                if number == 0 && index > 0 {
                    return frames.until_closed();
                }
                frames.answer(got.stream(), if number == 0 { "one" } else { "two" });
            }
        });
        let mut upstream = h2_upstream(&endpoint);
        upstream.timeouts.ping = Duration::from_millis(150);
        upstream.timeouts.ping_answer = Duration::from_millis(150);
        let proxy = proxy(ProxyOptions::to(upstream));
        let mut client = Client::connect(proxy.addr);
        client.ask(get("/")).is(200, "one");
        let answer = client.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        match expected {
            200 => drop(answer.is(200, "two")),
            _ => {
                let kind = Some("quoit; error=connection_terminated");
                assert_eq!(answer.has_status(expected).field("proxy-status"), kind);
            }
        }
        client.ask(get("/")).is(200, "two");
        assert_eq!(endpoint.seen.accepted(), 2, "{method}");
    }
}

/// Nor does it get one PING after the other, which servers of gRPC do not suffer.
#[test]
fn an_endpoint_that_answers_a_ping_is_waited_for() {
    let endpoint = scripted(&[], |frames, _| {
        let Some(first) = frames.head() else { return };
        while frames.pings == 0 {
            if frames.step().is_none() {
                return;
            }
        }
        time_passes(Duration::from_millis(600), "four more would come if silence alone decided");
        frames.answer(first.stream(), "late");
        let Some(second) = frames.head() else { return };
        let count = frames.pings.to_string();
        frames.answer(second.stream(), &count);
        // A part of a response begins the count anew.
        let Some(third) = frames.head() else { return };
        while frames.pings == 1 {
            if frames.step().is_none() {
                return;
            }
        }
        frames.answer(third.stream(), "again");
        frames.until_closed();
    });
    let mut upstream = h2_upstream(&endpoint);
    upstream.timeouts.ping = Duration::from_millis(150);
    upstream.timeouts.ping_answer = Duration::from_secs(10);
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut client = Client::connect(proxy.addr);
    client.ask(get("/")).is(200, "late");
    client.ask(get("/")).is(200, "1");
    client.ask(get("/")).is(200, "again");
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn one_connection_is_warm() {
    let (endpoint, _) = answering();
    let mut upstream = h2_upstream(&endpoint);
    upstream.pool.warm = 3;
    let proxy = proxy(ProxyOptions::to(upstream));
    eventually("it is there", || endpoint.seen.accepted() == 1);
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn the_stream_of_an_overtaken_request_is_cancelled() {
    let cancelled = Arc::<AtomicUsize>::default();
    let count = cancelled.clone();
    let slow = scripted(&[], move |frames, _| {
        while let Some(got) = frames.next() {
            if let Got::Reset { code, .. } = got {
                count.fetch_add(usize::from(code == CANCEL), Ordering::SeqCst);
            }
        }
    });
    let (quick, _) = answering();
    let mut upstream = upstream(&[&slow, &quick]);
    upstream.protocol = UpstreamProtocol::Http2;
    upstream.retries.hedge_after = Some(Duration::from_millis(50));
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut client = Client::connect(proxy.addr);
    client.ask(get("/")).is(200, "ok");
    eventually("it is cancelled", || cancelled.load(Ordering::SeqCst) == 1);
    assert_eq!((slow.seen.accepted(), slow.seen.open()), (1, 1), "its connection stays");
}

/// A core whose connection is idle gives its place to another core.
#[test]
fn an_idle_connection_makes_room_for_other_cores() {
    let (endpoint, heads) = answering();
    let mut upstream = h2_upstream(&endpoint);
    upstream.pool.connections_max = Some(1);
    upstream.pool.queue_time = Duration::from_secs(5);
    let proxy = proxy_on(2, ProxyOptions::to(upstream));
    let mut clients: Vec<_> = (0..12).map(|_| Client::connect(proxy.addr)).collect();
    for client in &mut clients {
        // Else the request of the other core ends in 503, long before the connection was idle for too long.
        client.ask(get("/")).is(200, "ok");
    }
    assert_eq!(heads.lock().unwrap().len(), 12);
}

/// P15: announced late, then lowered, then none, then many.
#[test]
fn a_limit_that_comes_late_and_changes_is_kept() {
    let endpoint = Endpoint::new(|wire, _| {
        let Some(mut frames) = Frames::silent(&mut wire.stream) else { return };
        time_passes(Duration::from_millis(300), "SETTINGS come late");
        frames.send(settings(&[(MAX_CONCURRENT_STREAMS, 4)]));
        let limits = [usize::MAX, 4, 1, 0, 100];
        let (mut sent, mut answered, mut open) = (1, 0, Vec::new());
        while let Some(got) = frames.step() {
            match got {
                // Acknowledgements, too.
                None => {}
                Some(Got::Headers { stream, ends, .. }) => {
                    open.push((stream, ends));
                    let most = limits[frames.acknowledged];
                    assert!(open.len() <= most, "{} of {most}", open.len());
                    // Before they are known, one is tried.
                    assert!(frames.acknowledged > 0 || open.len() == 1);
                }
                Some(Got::Data { stream, ends, .. }) => {
                    open.iter_mut().filter(|known| known.0 == stream).for_each(|known| known.1 |= ends);
                }
                Some(Got::Reset { .. }) => panic!("nothing was cancelled"),
            }
            while let Some(at) = open.iter().position(|known| known.1) {
                frames.answer(open.remove(at).0, "ok");
                answered += 1;
            }
            if answered >= 3 * sent && sent < 3 && frames.acknowledged == sent {
                sent += 1;
                frames.send(settings(&[(MAX_CONCURRENT_STREAMS, limits[sent] as u32)]));
            }
            if sent == 3 && frames.acknowledged == 3 && open.is_empty() {
                time_passes(Duration::from_millis(200), "requests wait while none is allowed");
                sent += 1;
                frames.send(settings(&[(MAX_CONCURRENT_STREAMS, 100)]));
            }
        }
    });
    let mut upstream = h2_upstream(&endpoint);
    upstream.pool.queue_time = Duration::from_secs(20);
    let proxy = proxy(ProxyOptions::to(upstream));
    let body = pattern(1_000_000);
    let clients: Vec<_> = (0..60)
        .map(|index| {
            let (addr, body) = (proxy.addr, body.clone());
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                if index % 3 > 0 {
                    client.ask(get("/")).is(200, "ok");
                    return;
                }
                let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
                client.ask([head.as_bytes(), &body].concat()).is(200, "ok");
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
}

/// P15: what is full with streams that never end is 503 after the queue, and goes on once they have.
#[test]
fn streams_that_stay_open_make_others_wait_and_no_longer() {
    let open = Arc::<AtomicUsize>::default();
    let count = open.clone();
    let endpoint = scripted(&[(MAX_CONCURRENT_STREAMS, 4)], move |frames, _| {
        while let Some(got) = frames.next() {
            match got {
                Got::Headers { stream, .. } if got.field(":path") == Some("/") => frames.answer(stream, "ok"),
                Got::Headers { .. } => drop(count.fetch_add(1, Ordering::SeqCst)),
                Got::Reset { .. } => drop(count.fetch_sub(1, Ordering::SeqCst)),
                Got::Data { .. } => {}
            }
        }
    });
    let mut upstream = h2_upstream(&endpoint);
    upstream.pool.connections_max = Some(1);
    upstream.pool.queue_time = Duration::from_millis(300);
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(proxy.addr)).collect();
    for client in &mut clients {
        client.send(get("/hangs"));
    }
    eventually("four are open", || open.load(Ordering::SeqCst) == 4);
    for _ in 0..2 {
        let answer = Client::connect(proxy.addr).ask(get("/hangs"));
        let kind = Some("quoit; error=connection_limit_reached");
        assert_eq!(answer.has_status(503).field("proxy-status"), kind);
    }
    // One that waits gets the place of one that leaves.
    clients.pop().unwrap().reset();
    eventually("it is cancelled", || open.load(Ordering::SeqCst) == 3);
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    assert_eq!((open.load(Ordering::SeqCst), endpoint.seen.accepted()), (3, 1));
}

/// P07: a stream whose length is not what it says is no request, for neither version.
#[test]
fn lengths_that_are_wrong_are_never_completed() {
    let log = Arc::<Mutex<Vec<String>>>::default();
    let seen = log.clone();
    let h2 = scripted(&[], move |frames, _| {
        while let Some(got) = frames.next() {
            match got {
                Got::Headers { stream, ends: true, .. } => frames.answer(stream, "ok"),
                Got::Data { ends: true, .. } => seen.lock().unwrap().push("completed".into()),
                Got::Reset { code, .. } => seen.lock().unwrap().push(format!("reset {code}")),
                _ => {}
            }
        }
    });
    let h1 = Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            if wire.whole(&head).is_none() {
                return;
            }
            assert!(crate::lab::field(&head, "content-length").is_none(), "it was completed");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    for (endpoint, proxy) in [(&h2, before(&h2)), (&h1, crate::lab::before(&h1))] {
        let mut peer = Peer::connect(proxy.addr);
        for pieces in [&["abcd"][..], &["abcdef"], &["abc", "def"]] {
            let stream = peer.fresh();
            let mut fields = pseudo("POST", "/");
            fields.push(("content-length", "5"));
            let mut frames = headers(stream, END_HEADERS, &fields);
            for (index, piece) in pieces.iter().enumerate() {
                frames.extend(data(stream, if index + 1 == pieces.len() { END_STREAM } else { 0 }, piece));
            }
            peer.send(frames);
            peer.is_reset(stream, PROTOCOL_ERROR);
            // The next one gets its own answer.
            peer.get("/").is(200, "ok");
        }
        eventually("what was begun is cut", || endpoint.seen.open() <= 1);
    }
    assert!(log.lock().unwrap().iter().all(|line| line == "reset 8"), "{log:?}");
}

/// P09: crumbs of cookies are one field, byte by byte, and none is out of reach of a limit or a policy.
#[test]
fn crumbs_are_one_cookie() {
    use quoit::upstream::{Balance, StickyOptions, StickySecret};
    let (one, first) = answering();
    let (two, second) = answering();
    let mut upstream = upstream(&[&one, &two]);
    upstream.protocol = UpstreamProtocol::Http2;
    upstream.balance = Balance::RoundRobin;
    let secret = StickySecret(b"0123456789abcdef".to_vec());
    upstream.sticky = Some(StickyOptions { cookie: "at".into(), secret, max_age: None });
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut peer = Peer::connect(proxy.addr);
    let mut ask = |cookies: &[&str]| {
        let stream = peer.fresh();
        let mut fields = pseudo("GET", "/");
        fields.extend(cookies.iter().map(|cookie| ("cookie", *cookie)));
        peer.send(headers(stream, WHOLE, &fields));
        peer.answer(stream).clone()
    };
    let set = ask(&[]).field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let count = || (first.lock().unwrap().len(), second.lock().unwrap().len());
    let before = count();
    let text = format!("b=2; {set}; c=3");
    for _ in 0..4 {
        let answer = ask(&["a=1", &text, "d=\"x, y\"", "e=\u{e4}"]);
        assert_eq!(answer.is(200, "ok").field("set-cookie"), None, "it is known");
    }
    let after = count();
    assert!(after == (before.0 + 4, before.1) || after == (before.0, before.1 + 4), "{before:?} {after:?}");
    let heads = if after.0 > before.0 { &first } else { &second };
    let seen = heads.lock().unwrap().last().unwrap().clone();
    assert_eq!(seen.field("cookie"), Some(&*format!("a=1; {text}; d=\"x, y\"; e=\u{e4}")));
}

/// One that takes connections and never sends SETTINGS is as one that takes none, for all who wait for it.
#[test]
fn an_endpoint_that_never_sends_settings_fails_as_one_that_takes_no_connection() {
    let silent = Endpoint::new(|wire, _| wire.until_closed());
    let (quick, _) = answering();
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (request, other) in [(get("/"), None), (get("/"), Some(&quick)), (upgrade.into(), None)] {
        let mut upstream = upstream(&[&[&silent][..], other.as_slice()].concat());
        upstream.protocol = UpstreamProtocol::Http2;
        upstream.timeouts.connect = Duration::from_millis(200);
        upstream.pool.queue_time = Duration::from_secs(20);
        upstream.retries.tries = if other.is_some() { 2 } else { 1 };
        let proxy = proxy(ProxyOptions::to(upstream));
        let mut clients: Vec<_> = (0..6).map(|_| Client::connect(proxy.addr)).collect();
        for client in &mut clients {
            client.send(&request);
        }
        for client in &mut clients {
            let answer = client.response();
            if other.is_some() {
                answer.is(200, "ok");
            } else {
                let expected = Some("quoit; error=connection_timeout");
                assert_eq!(answer.has_status(504).field("proxy-status"), expected);
            }
        }
        eventually("it is closed", || silent.seen.open() == 0);
    }
}

/// Nor does the connection wait for a request: the one that began it may have ended.
#[test]
fn a_silent_connection_ends_without_requests() {
    let endpoint = Endpoint::new(|wire, number| {
        if number == 0 {
            return wire.until_closed();
        }
        let Some(mut frames) = Frames::new(&mut wire.stream, &[]) else { return };
        while let Some(got) = frames.head() {
            frames.answer(got.stream(), "ok");
        }
    });
    let mut upstream = h2_upstream(&endpoint);
    upstream.timeouts.connect = Duration::from_millis(400);
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut client = Client::connect(proxy.addr);
    client.send(get("/"));
    eventually("it is connected to", || endpoint.seen.accepted() == 1);
    client.reset();
    eventually("it is closed", || endpoint.seen.open() == 0);
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
}
