//! Calls of gRPC through the proxy, frame by frame: errors of the endpoint stay what they are, errors of the
//! proxy are statuses of gRPC (P47), and the end of a call reaches the other side (P49).

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quoit::handler::ProxyOptions;
use quoit::upstream::{UpstreamOptions, UpstreamProtocol};

use crate::common::{eventually, pattern};
use crate::frames::{Frames, Got};
use crate::lab::{Endpoint, proxy};
use crate::peer::{Answer, Peer};
use crate::streams::{before, h2_upstream, scripted};
use crate::wire::*;

/// The head of a call.
fn call<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = pseudo("POST", path);
    fields.extend([("te", "trailers"), ("content-type", "application/grpc")]);
    fields.extend(more);
    fields
}

/// Makes a call with one message.
#[track_caller]
fn ask(peer: &mut Peer, path: &str) -> Answer {
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &call(path, &[])));
    peer.send_data(stream, END_STREAM, "message");
    peer.answer(stream).clone()
}

/// An error that the proxy has made.
#[track_caller]
fn is_own(answer: &Answer, code: &str, kind: &str) {
    assert_eq!((answer.status, answer.data_frames, answer.ended), (200, 0, true), "one head: {answer:?}");
    assert!(answer.trailers.is_none());
    let proxy_status = format!("quoit; error={kind}");
    for (name, value) in
        [("content-type", "application/grpc"), ("grpc-status", code), ("proxy-status", &proxy_status)]
    {
        assert_eq!(answer.field(name), Some(value), "{name}, {kind}");
    }
    assert!(answer.field("grpc-message").is_some_and(|text| !text.is_empty()));
}

#[test]
fn answers_of_the_endpoint_stay_as_they_are() {
    let endpoint = scripted(&[], |frames, _| {
        while let Some(got) = frames.head() {
            let (stream, path) = (got.stream(), got.field(":path").unwrap().to_owned());
            let fine = [(":status", "200"), ("content-type", "application/grpc")];
            let trailers = [("grpc-status", "0"), ("grpc-message", "a%0Ab")];
            frames.send(match path.as_str() {
                "/only" => {
                    headers(stream, WHOLE, &[&fine[..], &[("grpc-status", "5"), trailers[1]]].concat())
                }
                "/empty" => [headers(stream, END_HEADERS, &fine), headers(stream, WHOLE, &trailers)].concat(),
                "/both" => {
                    let head = headers(stream, END_HEADERS, &[&fine[..], &[("grpc-status", "1")]].concat());
                    [head, headers(stream, WHOLE, &trailers)].concat()
                }
                "/page" => {
                    let head = [(":status", "502"), ("content-type", "text/html")];
                    [headers(stream, END_HEADERS, &head), data(stream, END_STREAM, "<p>no")].concat()
                }
                _ => {
                    let message = data(stream, 0, "message");
                    let head = headers(stream, END_HEADERS, &fine);
                    [head, message, headers(stream, WHOLE, &trailers)].concat()
                }
            });
        }
    });
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    let whole = vec![("grpc-status".to_owned(), "0".to_owned()), ("grpc-message".into(), "a%0Ab".into())];
    for (path, in_head, trailers, body) in [
        ("/only", Some("5"), None, ""),
        ("/empty", None, Some(&whole), ""),
        ("/both", Some("1"), Some(&whole), ""),
        ("/full", None, Some(&whole), "message"),
    ] {
        let answer = ask(&mut peer, path);
        answer.is(200, body);
        assert_eq!(answer.field("grpc-status"), in_head, "{path}");
        assert_eq!(answer.trailers.as_ref(), trailers, "{path}");
        assert_eq!(answer.data_frames, usize::from(!body.is_empty()), "{path}: none is added");
    }
    let page = ask(&mut peer, "/page");
    assert_eq!((page.is(502, "<p>no").field("grpc-status"), endpoint.seen.accepted()), (None, 1));
}

#[test]
fn errors_of_the_proxy_are_statuses_of_grpc() {
    let endpoint = scripted(&[], |frames, _| {
        while let Some(got) = frames.head() {
            let (stream, path) = (got.stream(), got.field(":path").unwrap().to_owned());
            match path.as_str() {
                "/dies" => return,
                "/silent" => {}
                "/malformed" => frames.send(headers(stream, WHOLE, &[("x", "1")])),
                "/half" => {
                    let head = headers(stream, END_HEADERS, &[(":status", "200")]);
                    frames.send([head, data(stream, 0, "message")].concat());
                    return;
                }
                _ => frames.send(reset(stream, 2)),
            }
        }
    });
    let mut upstream = h2_upstream(&endpoint);
    upstream.timeouts.first_byte = Duration::from_millis(200);
    let limited = ProxyOptions { request_bytes_max: Some(100), ..ProxyOptions::to(upstream) };
    let hosted = proxy(limited);
    let mut peer = Peer::connect(hosted.addr);
    is_own(&ask(&mut peer, "/dies"), "14", "connection_terminated");
    is_own(&ask(&mut peer, "/reset"), "14", "connection_terminated");
    is_own(&ask(&mut peer, "/silent"), "4", "http_response_timeout");
    is_own(&ask(&mut peer, "/malformed"), "13", "http_protocol_error");
    // Calls are POST. A GET that says that it is one gets no 200, which a shared cache would keep.
    let stream = peer.fresh();
    let fields = [&pseudo("GET", "/malformed")[..], &[("content-type", "application/grpc")]].concat();
    peer.send(headers(stream, WHOLE, &fields));
    let refused = peer.answer(stream);
    assert_eq!((refused.status, refused.field("grpc-status")), (502, None));
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &call("/long", &[("content-length", "101")])));
    is_own(&peer.answer(stream), "8", "http_request_error");
    // Died after a message: never a status, least of all 0.
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS | END_STREAM, &call("/half", &[])));
    peer.until("a reset", |peer| peer.streams.get(&stream).is_some_and(|got| got.reset.is_some()));
    let cut = &peer.streams[&stream];
    assert_eq!((&cut.body[..], cut.ended, cut.trailers.is_none()), (&b"message"[..], false, true));

    // A port without a listener; and one that takes nothing.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut refused = UpstreamOptions::new("lab", [gone.to_string()]).unwrap();
    refused.protocol = UpstreamProtocol::Http2;
    let hosted = proxy(ProxyOptions::to(refused));
    is_own(&ask(&mut Peer::connect(hosted.addr), "/"), "14", "connection_refused");
    let full = scripted(&[(MAX_CONCURRENT_STREAMS, 0)], |frames, _| {
        while let Some(got) = frames.head() {
            frames.send(reset(got.stream(), REFUSED_STREAM));
        }
    });
    let mut upstream = h2_upstream(&full);
    upstream.pool.queue_time = Duration::from_millis(200);
    let hosted = proxy(ProxyOptions::to(upstream));
    let mut peer = Peer::connect(hosted.addr);
    for _ in 0..2 {
        let answer = ask(&mut peer, "/");
        is_own(&answer, "14", "connection_limit_reached");
        assert!(answer.field("retry-after").is_some());
    }
}

/// The wait ends with the client's; the endpoint gets to know the time, and the end.
#[test]
fn the_time_of_a_call_bounds_the_wait() {
    let log = Arc::<Mutex<Vec<String>>>::default();
    let seen = log.clone();
    let endpoint = scripted(&[], move |frames, _| {
        while let Some(got) = frames.next() {
            seen.lock().unwrap().push(match &got {
                Got::Headers { .. } => format!("timeout {:?}", got.field("grpc-timeout")),
                Got::Reset { code, .. } => format!("reset {code}"),
                Got::Data { .. } => continue,
            });
        }
    });
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    peer.send(headers(stream, WHOLE, &call("/", &[("grpc-timeout", "150m")])));
    is_own(&peer.answer(stream), "4", "http_response_timeout");
    eventually("the stream is cancelled", || log.lock().unwrap().len() == 2);
    assert_eq!(*log.lock().unwrap(), [r#"timeout Some("150m")"#, "reset 8"]);
    assert_eq!(endpoint.seen.accepted(), 1);
}

/// An endpoint that counts what is cancelled.
fn counting() -> (Endpoint, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (begun, cancelled) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (begins, cancels) = (begun.clone(), cancelled.clone());
    let endpoint = scripted(&[], move |frames, _| {
        while let Some(got) = frames.next() {
            match got {
                Got::Headers { stream, .. } if got.field(":path") == Some("/fine") => {
                    frames.answer(stream, "fine");
                }
                Got::Headers { stream, .. } => {
                    let path = got.field(":path").unwrap().to_owned();
                    begins.fetch_add(1, Ordering::SeqCst);
                    if path == "/stream" {
                        let head = headers(stream, END_HEADERS, &[(":status", "200")]);
                        frames.send([head, data(stream, 0, pattern(16_384))].concat());
                    }
                }
                Got::Reset { code, .. } => {
                    assert_eq!(code, CANCEL);
                    cancels.fetch_add(1, Ordering::SeqCst);
                }
                Got::Data { .. } => {}
            }
        }
    });
    (endpoint, begun, cancelled)
}

#[test]
fn cancels_reach_the_endpoint() {
    let (endpoint, begun, cancelled) = counting();
    let proxy = before(&endpoint);
    let is = |what: &str, count: &AtomicUsize, expected| {
        eventually(what, || count.load(Ordering::SeqCst) == expected);
    };
    // While it works, while the call is still written, and while nothing of its answer is read.
    let mut peer = Peer::connect_with(proxy.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    for (index, (path, flags)) in
        [("/work", WHOLE), ("/work", END_HEADERS), ("/stream", WHOLE)].into_iter().enumerate()
    {
        let stream = peer.fresh();
        peer.send(headers(stream, flags, &call(path, &[])));
        is("the call is there", &begun, index + 1);
        if path == "/stream" {
            peer.until("the head", |peer| peer.streams.contains_key(&stream));
        }
        peer.send(reset(stream, CANCEL));
        is("it is cancelled", &cancelled, index + 1);
    }
    // A connection that is lost with fifty calls.
    let mut lost = Peer::connect(proxy.addr);
    for _ in 0..50 {
        let stream = lost.fresh();
        lost.send(headers(stream, WHOLE, &call("/work", &[])));
    }
    is("all calls are there", &begun, 53);
    lost.client.reset();
    is("all are cancelled", &cancelled, 53);
    peer.set_initial_window(65_535);
    let fine = peer.fresh();
    peer.send(headers(fine, WHOLE, &call("/fine", &[])));
    peer.answer(fine).is(200, "fine");
    assert_eq!(endpoint.seen.accepted(), 1, "the connection is the same");
}

/// What the endpoint sent before it stopped the call comes first, trailers included.
#[test]
fn a_reset_overtakes_nothing() {
    for code in [NO_ERROR, CANCEL] {
        let endpoint = scripted(&[], move |frames, _| {
            while let Some(got) = frames.head() {
                let stream = got.stream();
                let mut answer = headers(stream, END_HEADERS, &[(":status", "200")]);
                for _ in 0..200 {
                    answer.extend(data(stream, 0, "a piece"));
                }
                answer.extend(headers(stream, WHOLE, &[("grpc-status", "8")]));
                answer.extend(reset(stream, code));
                frames.send(answer);
            }
        });
        let proxy = before(&endpoint);
        let mut peer = Peer::connect(proxy.addr);
        for _ in 0..2 {
            let stream = peer.fresh();
            // Its client goes on writing.
            peer.send(headers(stream, END_HEADERS, &call("/", &[])));
            peer.send_data(stream, 0, "message");
            let answer = peer.answer(stream);
            answer.is(200, "a piece".repeat(200));
            assert_eq!(answer.trailers, Some(vec![("grpc-status".into(), "8".into())]));
            peer.send_data(stream, 0, "another");
            peer.ping();
            let end = peer.streams[&stream].reset;
            assert!(matches!(end, None | Some(NO_ERROR)), "{end:?}");
        }
        assert_eq!(endpoint.seen.accepted(), 1);
    }
}

/// 4 MB both ways over windows of 64 KB.
#[test]
fn large_messages_fit_through_small_windows() {
    let length = 4 << 20;
    let endpoint = scripted(&[], move |frames: &mut Frames<'_, _>, _| {
        let Some(head) = frames.head() else { return };
        let stream = head.stream();
        let (mut got, mut ends) = (0, false);
        while !ends {
            let Some(Got::Data { bytes, ends: last, .. }) = frames.next() else { return };
            got += bytes.len();
            ends = last;
        }
        assert_eq!(got, length);
        frames.send(headers(stream, END_HEADERS, &[(":status", "200")]));
        frames.send_body(stream, &pattern(length));
        frames.send(headers(stream, WHOLE, &[("grpc-status", "0")]));
        frames.until_closed();
    });
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &call("/", &[])));
    peer.send_body(stream, &pattern(length));
    peer.answer(stream).is(200, pattern(length));
    assert_eq!(peer.streams[&stream].trailers, Some(vec![("grpc-status".into(), "0".into())]));
}
