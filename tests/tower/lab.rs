//! Routes that behave as applications may: panic, wait, stream without end, keep bodies beyond the exchange,
//! and read on other threads.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use quoit::http::message::BodyLimits;
use quoit::server::Limits;
use quoit::tower::TowerService;

use crate::app;
use crate::common::{Hosted, lenient, serve_with, time_passes};

/// State shared by test and application.
#[derive(Clone, Default)]
pub(crate) struct Lab {
    /// `/gated` begins to read once this is true.
    pub(crate) gate: Arc<AtomicBool>,
    /// Pieces that `/pieces` made.
    pub(crate) made: Arc<AtomicUsize>,
    /// Futures of `/hold` that were dropped.
    pub(crate) dropped: Arc<AtomicUsize>,
    /// The body that `/keep` kept.
    pub(crate) kept: Arc<Mutex<Option<Body>>>,
}

pub(crate) const PIECE_BYTES: usize = 64 * 1024;

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Lab {
    /// The application of the example and the laboratory, on one worker.
    #[track_caller]
    pub(crate) fn serve(&self) -> Hosted {
        let router = self.router();
        // Uploads of any length: nothing is kept.
        let body = BodyLimits { body_bytes_max: None, ..BodyLimits::DEFAULT };
        serve_with(1, Limits { body, ..lenient() }, move |_core| TowerService::new(router.clone()))
    }

    pub(crate) fn router(&self) -> Router {
        let lab = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("as the test wants it to") }))
            .route("/panic/later", get(panic_later))
            .route("/hold", get(hold))
            .route("/gated", post(gated))
            .route("/pieces/{count}", get(pieces))
            .route("/announced/{bytes}", get(announced))
            .route("/trailers", get(trailers))
            .route("/fields", get(fields))
            .route("/keep", post(keep))
            .route("/ignore", post(async || "ignored"))
            .route("/elsewhere", post(elsewhere))
            .route("/timer", get(timer))
            .route("/status/{code}", get(async |Path(code): Path<u16>| StatusCode::from_u16(code).unwrap()))
            .with_state(self.clone());
        app::app().merge(lab)
    }
}

async fn panic_later() -> &'static str {
    yield_once().await;
    panic!("as the test wants it to")
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn hold(State(lab): State<Lab>) -> &'static str {
    let _dropped = CountDrop(lab.dropped.clone());
    std::future::pending().await
}

async fn gated(State(lab): State<Lab>, mut body: Body) -> String {
    while !lab.gate.load(Ordering::Relaxed) {
        yield_once().await;
    }
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes.to_string()
}

/// Pieces as they are asked for, counted.
struct Pieces {
    left: usize,
    made: Arc<AtomicUsize>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        self.left -= 1;
        self.made.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(vec![b'x'; PIECE_BYTES].into()))))
    }
}

async fn pieces(State(lab): State<Lab>, Path(count): Path<usize>) -> Body {
    Body::new(Pieces { left: count, made: lab.made, trailers: None })
}

/// One piece, whatever length was announced.
async fn announced(State(lab): State<Lab>, Path(bytes): Path<usize>) -> Response {
    let body = Body::new(Pieces { left: 1, made: lab.made, trailers: None });
    ([("content-length", bytes.to_string())], body).into_response()
}

async fn trailers(State(lab): State<Lab>) -> Body {
    let trailers = [("grpc-status", "0"), ("content-length", "5")];
    let trailers = trailers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    Body::new(Pieces { left: 1, made: lab.made, trailers: Some(trailers) })
}

/// Fields that are the server's, beside one of the application's.
async fn fields() -> impl IntoResponse {
    let fields = [
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=9"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("date", "yesterday"),
        ("x-mine", "yes"),
    ];
    (fields, "fields")
}

async fn keep(State(lab): State<Lab>, body: Body) -> &'static str {
    *lab.kept.lock().unwrap() = Some(body);
    "kept"
}

/// Reads the body on a thread of its own, and waits for it here.
async fn elsewhere(body: Body) -> String {
    let cell = Arc::new(Mutex::new((None, None::<Waker>)));
    let theirs = cell.clone();
    thread::spawn(move || {
        let bytes = read_blocking(body).map_or_else(|error| error, |bytes| bytes.to_string());
        let mut cell = theirs.lock().unwrap();
        cell.0 = Some(bytes);
        if let Some(waker) = cell.1.take() {
            waker.wake();
        }
    });
    std::future::poll_fn(|cx| {
        let mut cell = cell.lock().unwrap();
        cell.1 = Some(cx.waker().clone());
        cell.0.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Reads a body to its end on this thread: its length, or its error.
pub(crate) fn read_blocking(mut body: Body) -> Result<usize, String> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut bytes = 0;
    loop {
        let frame = Pin::new(&mut body);
        match http_body::Body::poll_frame(frame, &mut Context::from_waker(&waker)) {
            Poll::Ready(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Poll::Ready(Some(Err(error))) => return Err(error.to_string()),
            Poll::Ready(None) => return Ok(bytes),
            Poll::Pending => thread::park_timeout(crate::common::PATIENCE),
        }
    }
}

thread_local! {
    /// Stands for the context of a reactor: set only while it is entered.
    static REACTOR: Cell<bool> = const { Cell::new(false) };
}

/// Enters it for the length of `poll`.
pub(crate) fn with_reactor(poll: &mut dyn FnMut()) {
    REACTOR.set(true);
    poll();
    REACTOR.set(false);
}

/// Waits for a timer that lives on another thread, as tokio's do, and panics where there is none.
async fn timer() -> &'static str {
    let rung = Arc::new(AtomicBool::new(false));
    let mut is_set = false;
    std::future::poll_fn(|cx| {
        assert!(REACTOR.get(), "there is no reactor running");
        if rung.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut is_set, true) {
            let (rung, waker) = (rung.clone(), cx.waker().clone());
            thread::spawn(move || {
                // The core has gone on when it is woken.
                time_passes(Duration::from_millis(5), "it is a timer");
                rung.store(true, Ordering::Release);
                waker.wake();
            });
        }
        Poll::Pending
    })
    .await;
    "rung"
}
