//! The feature `tracing`: a span for each request, entered while its handler and its body run, with what is
//! known at its end; and the lines for the operator as events.

mod common;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/peer.rs"]
mod peer;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/wire.rs"]
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use quoit::filter::RequestIds;
use quoit::http::status::Status;
use quoit::server::CoreContext;
use quoit::service::{BodyWriter, Path, Response, Router, Routes};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::common::{Client, Hosted, eventually, lenient, serve_with};
use crate::peer::Peer;

/// A span as it was recorded.
#[derive(Clone, Default)]
struct Seen {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
    handles: usize,
}

impl Seen {
    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let before = self.fields.insert(field.name(), format!("{value:?}"));
        assert!(before.is_none(), "{} is recorded once", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[derive(Clone)]
struct SeenEvent {
    /// The path of the span it is in.
    path: Option<String>,
    level: Level,
    target: String,
    message: String,
}

#[derive(Default)]
struct Records {
    spans: Vec<Seen>,
    events: Vec<SeenEvent>,
}

static RECORDS: Mutex<Records> = Mutex::new(Records { spans: Vec::new(), events: Vec::new() });

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn records() -> MutexGuard<'static, Records> {
    RECORDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["quoit", "application"].contains(&metadata.target())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut seen = Seen { name: attributes.metadata().name(), handles: 1, ..Seen::default() };
        attributes.record(&mut seen);
        let mut records = records();
        records.spans.push(seen);
        Id::from_u64(records.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut records().spans[span.into_u64() as usize - 1]);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Seen::default();
        event.record(&mut fields);
        let inside = ENTERED.with_borrow(|entered| entered.last().copied());
        let mut records = records();
        let path = inside.map(|id| records.spans[id as usize - 1].get("path").to_owned());
        let metadata = event.metadata();
        records.events.push(SeenEvent {
            path,
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            message: fields.get("message").to_owned(),
        });
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        assert_eq!(ENTERED.with_borrow_mut(Vec::pop), Some(span.into_u64()), "spans are left in order");
    }

    fn clone_span(&self, span: &Id) -> Id {
        records().spans[span.into_u64() as usize - 1].handles += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let seen = &mut records().spans[span.into_u64() as usize - 1];
        seen.handles -= 1;
        seen.handles == 0
    }
}

/// Collects everything in this process; tests tell their requests by path.
fn collect() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing::subscriber::set_global_default(Collector).expect("set once"));
}

/// The span of a request with this path, once it has ended.
#[track_caller]
fn ended(path: &str) -> Seen {
    let find = || {
        let records = records();
        let mut of_path = records.spans.iter().filter(|seen| seen.get("path") == path);
        let found = of_path.next().filter(|seen| seen.handles == 0).cloned();
        assert!(of_path.next().is_none(), "{path} has one span");
        found
    };
    eventually("the span has ended", || find().is_some());
    find().expect("just seen")
}

fn events_of(path: &str) -> Vec<SeenEvent> {
    records().events.iter().filter(|event| event.path.as_deref() == Some(path)).cloned().collect()
}

fn routes(core: &CoreContext) -> Routes {
    let ring = core.ring.clone();
    Router::new()
        .filter(RequestIds::new())
        .get("/items/{id}", async move |Path(id): Path<String>| {
            tracing::info!(target: "application", "before {id}");
            ring.sleep(Duration::from_millis(20)).await;
            tracing::info!(target: "application", "after {id}");
            format!("item {id}")
        })
        .get("/body", async || {
            Response::written(async |mut out: BodyWriter| {
                let _ = out.write("one ").await;
                tracing::info!(target: "application", "within the body");
                let _ = out.write("two").await;
            })
        })
        .get("/waits", async || -> Status {
            tracing::info!(target: "application", "waits");
            std::future::pending().await
        })
        .get("/panic", async || -> Status { panic!("a handler panics, as the test wants it to") })
        .get("/bad-field", async || Response::text("x").with_field("X-A", "\n"))
        .build()
        .expect("sound routes")
}

fn serve() -> Hosted {
    collect();
    serve_with(1, lenient(), routes)
}

#[test]
fn a_request_is_a_span() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let reply = client.ask("GET /items/7?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    reply.is(200, "item 7");
    let span = ended("/items/7");
    assert_eq!((span.name, span.get("method"), span.get("status")), ("request", "GET", "200"));
    assert_eq!((span.get("route"), span.get("bytes")), ("/items/{id}", "6"));
    assert_eq!(Some(span.get("request_id")), reply.field("x-request-id"));
    let took: u64 = span.get("duration_us").parse().expect("a number");
    assert!(took >= 20_000, "{took} us, with a sleep of 20 ms");
    assert!(!span.fields.values().any(|value| value.contains("secret")), "{:?}", span.fields);
}

/// Requests that wait on one core at the same time have their own events.
#[test]
fn events_belong_to_their_request() {
    let server = serve();
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(server.addr)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /items/at-once-{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.response().is(200, format!("item at-once-{number}"));
        let path = format!("/items/at-once-{number}");
        ended(&path);
        let said: Vec<_> = events_of(&path).into_iter().map(|event| event.message).collect();
        assert_eq!(said, [format!("before at-once-{number}"), format!("after at-once-{number}")]);
    }
    Client::connect(server.addr).ask("GET /body HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "one two");
    assert_eq!(ended("/body").get("bytes"), "7");
    assert_eq!(events_of("/body").len(), 1, "while the body is sent");
}

/// So have streams of one connection.
#[test]
fn streams_are_spans() {
    let server = serve();
    let mut peer = Peer::connect(server.addr);
    let streams: Vec<u32> = (0..4)
        .map(|number| {
            let stream = peer.fresh();
            peer.send(wire::get(stream, &format!("/items/stream-{number}")));
            stream
        })
        .collect();
    for (number, stream) in streams.into_iter().enumerate() {
        peer.answer(stream).is(200, format!("item stream-{number}"));
        let path = format!("/items/stream-{number}");
        assert_eq!(ended(&path).get("status"), "200");
        let said: Vec<_> = events_of(&path).into_iter().map(|event| event.message).collect();
        assert_eq!(said, [format!("before stream-{number}"), format!("after stream-{number}")]);
    }
}

/// Answers that no handler makes have spans, and log lines are events in them.
#[test]
fn errors_are_spans_and_events() {
    let server = serve();
    let ask = |target: &str, more: &str| {
        Client::connect(server.addr).ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n")).status
    };
    for (target, more, status) in [
        ("/spans/none", "", 404),
        ("/spans/expects", "Expect: tea\r\n", 417),
        ("/panic", "", 500),
        ("/bad-field", "", 500),
    ] {
        assert_eq!(ask(target, more), status);
        let span = ended(target);
        assert_eq!(span.get("status"), status.to_string(), "{target}");
        assert_eq!(span.get("request_id").len(), 32, "{target}: {:?}", span.fields);
    }
    let told = events_of("/panic");
    let of_handler = told.iter().find(|event| event.message.starts_with("a handler panicked"));
    assert_eq!(of_handler.map(|event| (&*event.target, event.level)), Some(("quoit", Level::WARN)));
    assert!(told.iter().any(|event| event.level == Level::ERROR && event.message.contains("spans.rs")));
    let told = events_of("/bad-field");
    assert!(told.iter().any(|event| event.message.contains("X-A")), "the field is named");
}

/// The client leaves before the answer: no status.
#[test]
fn who_leaves_has_a_span_without_status() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    client.send("GET /waits HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the handler waits", || !events_of("/waits").is_empty());
    drop(client);
    let span = ended("/waits");
    assert_eq!((span.get("status"), span.get("route")), ("", "/waits"));
}
