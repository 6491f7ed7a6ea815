//! Applications that need tokio, with the `main` that the documentation shows: a runtime on a thread of its
//! own, entered on the workers.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::routing::get;
use futures_util::stream;
use quoit::harness::{Call, on_core};
use quoit::service;
use quoit::tower::TowerService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::common::{Binary, Client, Hosted, eventually, lenient, serve_with};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread")
}

/// What the tests see of the application: tasks that ended a loan.
#[derive(Clone, Default)]
struct Returned(Arc<AtomicUsize>);

/// What a pool lends: a task returns it when it is dropped, as sqlx does.
struct Loan(Returned);

impl Drop for Loan {
    fn drop(&mut self) {
        let returned = self.0.clone();
        tokio::spawn(async move { returned.0.fetch_add(1, Ordering::Relaxed) });
    }
}

fn app(returned: Returned) -> Router {
    Router::new()
        .route("/sleep", get(sleep))
        .route("/blocking", get(async || tokio::task::spawn_blocking(|| "blocked").await.unwrap()))
        .route("/echo/{port}", get(echo))
        .route("/lend", get(async |State(lender): State<Returned>| drop(Loan(lender))))
        .route("/lend/waiting", get(lend_waiting))
        .route("/lend/body", get(lend_body))
        .with_state(returned)
}

async fn sleep() -> &'static str {
    tokio::time::sleep(Duration::from_millis(1)).await;
    "slept"
}

/// Asks a server on this port of the loopback, with tokio's sockets.
async fn echo(Path(port): Path<u16>) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"to and fro").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn lend_waiting(State(lender): State<Returned>) -> &'static str {
    let _loan = Loan(lender);
    std::future::pending().await
}

/// A body that has borrowed something until its end, which never comes.
async fn lend_body(State(lender): State<Returned>) -> Body {
    Body::from_stream(stream::unfold(Loan(lender), async |loan| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"piece")), loan))
    }))
}

fn serve(runtime: &Runtime, returned: &Returned) -> Hosted {
    let (app, tokio) = (app(returned.clone()), runtime.handle().clone());
    serve_with(1, lenient(), move |_core| {
        let tokio = tokio.clone();
        TowerService::new(app.clone()).within(move |poll| {
            let _entered = tokio.enter();
            poll();
        })
    })
}

fn ask(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn timers_tasks_files_and_sockets_of_tokio_work() {
    let (runtime, returned) = (runtime(), Returned::default());
    let server = serve(&runtime, &returned);
    let mut client = Client::connect(server.addr);
    for _ in 0..20 {
        client.ask(ask("GET", "/sleep")).is(200, "slept");
    }
    client.ask(ask("GET", "/blocking")).is(200, "blocked");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        stream.write_all(&text).unwrap();
    });
    client.ask(ask("GET", &format!("/echo/{port}"))).is(200, "to and fro");
    echo.join().unwrap();
    assert_eq!(server.stop().panics, 0);
}

#[test]
fn what_is_dropped_may_spawn() {
    let (runtime, returned) = (runtime(), Returned::default());
    let server = serve(&runtime, &returned);
    let come_back = |count| eventually("it is returned", || returned.0.load(Ordering::Relaxed) == count);
    let mut client = Client::connect(server.addr);
    client.ask(ask("GET", "/lend")).has_status(200);
    come_back(1);
    // A body that is made and never sent.
    client.ask(ask("HEAD", "/lend/body")).has_status(200);
    come_back(2);
    // A handler whose client has left, and a body in the middle.
    for (path, count) in [("/lend/waiting", 3), ("/lend/body", 4)] {
        let mut leaving = Client::connect(server.addr);
        leaving.send(ask("GET", path));
        client.ask(ask("GET", "/sleep")).is(200, "slept");
        leaving.reset();
        come_back(count);
    }
    assert_eq!(server.stop().panics, 0);
}

#[test]
fn the_example_serves_events_and_files_of_tokio() {
    let server = Binary::example("axum", &[]);
    let mut client = Client::connect(server.addr);
    let kernel = client.ask(ask("GET", "/kernel"));
    assert_eq!((kernel.status, kernel.body.is_empty()), (200, false));
    let mut stream = std::net::TcpStream::connect(server.addr).unwrap();
    stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
    stream.write_all(ask("GET", "/ticks").as_bytes()).unwrap();
    let (mut said, mut piece) = (String::new(), [0; 1024]);
    while !said.contains("data: 3") {
        let length = stream.read(&mut piece).expect("an event in time");
        assert!(length > 0, "it ended: {said}");
        said.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("text/event-stream"), "{said}");
    let order: Vec<_> = ["data: 1", "data: 2", "data: 3"].map(|event| said.find(event)).into();
    assert!(order.is_sorted(), "{said}");
}

/// A handler that is no tower service awaits a task of the runtime.
#[test]
fn a_handler_awaits_what_runs_on_the_runtime() {
    let runtime = Arc::new(runtime());
    on_core(async move |_core| {
        let ask = async move || {
            let task = runtime.spawn(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                tokio::fs::read_to_string("/proc/self/comm").await.map(|name| !name.is_empty())
            });
            match task.await {
                Ok(Ok(true)) => "read",
                _ => "failed",
            }
        };
        let routes = service::Router::new().get("/", ask).build().unwrap();
        for _ in 0..10 {
            assert_eq!(Call::get("/").send(&routes).await.text(), "read");
        }
    });
}
