//! Services that are not axum's: readiness, errors, and the requests they get.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use http_body_util::Full;
use quoit::tower::{Body, TowerService};

use crate::common::{Client, lenient, serve_with};

type Answer = http::Response<Full<bytes::Bytes>>;

fn answer(text: impl Into<bytes::Bytes>) -> Answer {
    http::Response::new(Full::new(text.into()))
}

/// Is not ready at the first poll, and must not be called before it is.
struct Shy {
    asked: bool,
    clones: Arc<AtomicUsize>,
    called_early: Arc<AtomicBool>,
}

impl Clone for Shy {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self { asked: false, clones: self.clones.clone(), called_early: self.called_early.clone() }
    }
}

impl tower_service::Service<http::Request<Body>> for Shy {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(Ok(()));
        }
        Waker::wake_by_ref(cx.waker());
        Poll::Pending
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        if !std::mem::replace(&mut self.asked, false) {
            self.called_early.store(true, Ordering::Relaxed);
        }
        ready(Ok(answer("Hello, World!")))
    }
}

#[test]
fn every_request_gets_a_clone_that_is_ready() {
    let (clones, called_early) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, early) = (clones.clone(), called_early.clone());
    let server = serve_with(1, lenient(), move |_core| {
        let (clones, called_early) = (count.clone(), early.clone());
        TowerService::new(Shy { asked: false, clones, called_early })
    });
    let mut client = Client::connect(server.addr);
    for _ in 0..3 {
        client.is_usable();
    }
    assert_eq!(clones.load(Ordering::Relaxed), 3);
    assert!(!called_early.load(Ordering::Relaxed));
}

/// Fails where the path requests it, before or in the call, and responds with its request.
#[derive(Clone)]
struct Moody;

impl tower_service::Service<http::Request<Body>> for Moody {
    type Response = Answer;
    type Error = std::io::Error;
    type Future = Ready<Result<Answer, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() == "/fails" {
            return ready(Err(std::io::Error::other("the database said \"secret\"")));
        }
        let peer = request.extensions().get::<std::net::SocketAddr>().map(|addr| addr.ip().to_string());
        let hint = http_body::Body::size_hint(request.body()).exact();
        ready(Ok(answer(format!("{} {:?} {peer:?} {hint:?}", request.uri(), request.version()))))
    }
}

#[test]
fn an_error_answers_500_and_says_nothing_of_its_cause() {
    let server = serve_with(1, lenient(), |_core| TowerService::new(Moody));
    let mut client = Client::connect(server.addr);
    let failed = client.ask("GET /fails HTTP/1.1\r\nHost: a\r\n\r\n");
    failed.has_status(500);
    assert!(!failed.text().contains("secret"));
    client.ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "/a HTTP/1.1 None Some(0)");
}

#[test]
fn a_request_carries_what_was_sent_and_what_was_added() {
    let server = serve_with(1, lenient(), |_core| {
        TowerService::new(Moody).extensions(|context, extensions| {
            if let Some(addr) = context.peer().addr() {
                extensions.insert(addr);
            }
        })
    });
    let mut client = Client::connect(server.addr);
    client
        .ask("POST /a?b=%20 HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nxy")
        .is(200, "/a?b=%20 HTTP/1.0 Some(\"127.0.0.1\") Some(2)");
    client
        .ask("POST http://h:1/a HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .is(200, "http://h:1/a HTTP/1.1 Some(\"127.0.0.1\") None");
}
