//! What a client that misbehaves may hold through exchanges and tunnels, and for how long.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use quoit::server::{CoreContext, Limits};
use quoit::service::{Context, RequestBody, Response, Router, Tunnel};

use crate::common::{Client, Hosted, eventually, lenient, serve_with};
use crate::peer::Peer;
use crate::wire::*;

const UPGRADE: &str = "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

/// Counts handlers that run.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(count: &Arc<AtomicUsize>) -> Running {
        count.fetch_add(1, Ordering::Relaxed);
        Running(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads and writes without end, independently of each other.
async fn flood(tunnel: Tunnel) {
    let (mut reader, mut writer) = tunnel.split();
    let mut read = pin!(async { while let Some(Ok(_)) = reader.read().await {} });
    let mut write = pin!(async {
        let piece = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
        while writer.write(piece.clone()).await.is_ok() {}
    });
    let mut has_read = false;
    poll_fn(|cx| {
        has_read = has_read || read.as_mut().poll(cx).is_ready();
        if write.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// `/tunnel` floods its client, `/quiet` waits for it to speak; the handlers that run are counted.
fn tunnels(limits: Limits) -> (Hosted, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let known = count.clone();
    let server = serve_with(1, limits, move |core: &CoreContext| {
        let ring = core.ring.clone();
        let (flooding, quiet) = (known.clone(), known.clone());
        Router::new()
            .get("/", async || "Hello, World!")
            .any("/tunnel", async move |context: Context| {
                let running = Running::begin(&flooding);
                Response::upgrade(&context, "x", async move |tunnel: Tunnel| {
                    let _running = running;
                    flood(tunnel).await;
                })
            })
            .any("/quiet", async move |context: Context| {
                let running = Running::begin(&quiet);
                Response::upgrade(&context, "x", async move |tunnel: Tunnel| {
                    let _running = running;
                    let (mut reader, _writer) = tunnel.split();
                    while let Some(Ok(_)) = reader.read().await {}
                })
            })
            // Both directions are another task's, as chat servers have it.
            .any("/elsewhere", async move |context: Context| {
                let ring = ring.clone();
                Response::upgrade(&context, "x", async move |tunnel: Tunnel| {
                    let (mut reader, mut writer) = tunnel.split();
                    let echo = async move {
                        while let Some(Ok(bytes)) = reader.read().await {
                            if writer.write(bytes).await.is_err() {
                                return;
                            }
                        }
                    };
                    ring.spawn(echo, |_| ());
                })
            })
            .post("/apart", async move |body: RequestBody| {
                let mut read = pin!(count_bytes(body));
                let apart = Arc::new(Apart::default());
                let waker = Waker::from(apart.clone());
                apart.is_woken.store(true, Ordering::Relaxed);
                let bytes = poll_fn(|cx| {
                    *apart.task.lock().unwrap() = Some(cx.waker().clone());
                    if !apart.is_woken.swap(false, Ordering::Relaxed) {
                        return Poll::Pending;
                    }
                    read.as_mut().poll(&mut TaskContext::from_waker(&waker))
                });
                Response::text(format!("{} bytes", bytes.await))
            })
            .build()
            .expect("sound routes")
    });
    (server, count)
}

async fn count_bytes(mut body: RequestBody) -> usize {
    let mut bytes = 0;
    while let Some(Ok(piece)) = body.next().await {
        bytes += piece.len();
    }
    bytes
}

/// A waker of its own, as sets of futures give to each: it is polled only if that was called.
#[derive(Default)]
struct Apart {
    is_woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Apart {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
        if let Some(task) = &*self.task.lock().unwrap() {
            task.wake_by_ref();
        }
    }
}

/// The connection's task waits for its client too, and must not take a reader's place.
#[test]
fn a_tunnel_in_another_task_is_read_to_its_end() {
    let (server, _) = tunnels(lenient());
    let mut client = Client::connect(server.addr);
    client.send(UPGRADE.replace("/tunnel", "/elsewhere"));
    client.response().has_status(101);
    for _ in 0..20 {
        client.send("hello");
        while client.input().len() < 5 {
            assert!(client.fill().expect("the tunnel goes on"), "the tunnel ended");
        }
        assert_eq!(client.input().drain(..).collect::<Vec<u8>>(), b"hello");
    }
    client.half_close();
    client.is_closed();
}

#[test]
fn a_body_with_a_waker_of_its_own_is_read_to_its_end() {
    let (server, _) = tunnels(lenient());
    let mut client = Client::connect(server.addr);
    client.send("POST /apart HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    for _ in 0..10 {
        // Each piece in an input of its own.
        server.turns();
        client.send("0123456789");
    }
    client.response().is(200, "100 bytes");
}

/// What is behind a CONNECT may be a tunnel's bytes, which somebody else chose: they are no request where the
/// tunnel is refused.
#[test]
fn what_follows_a_refused_connect_is_no_request() {
    let (server, _) = tunnels(lenient());
    let mut client = Client::connect(server.addr);
    client.send(
        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let response = client.response_to("CONNECT");
    assert!(response.status >= 400, "{}", response.head);
    assert_eq!(response.field("connection"), Some("close"));
    client.is_closed();
}

/// A client that takes nothing is given up, whatever it sends meanwhile.
#[test]
fn a_tunnel_whose_client_takes_nothing_ends() {
    let limits = Limits { stall_timeout: Duration::from_secs(1), ..lenient() };
    let (server, count) = tunnels(limits);
    let mut client = Client::connect_narrow(server.addr, 4096);
    client.send(UPGRADE);
    eventually("the tunnel is open", || count.load(Ordering::Relaxed) == 1);
    eventually("the tunnel ends", || {
        let _ = client.try_send("x");
        count.load(Ordering::Relaxed) == 0
    });
}

/// Neither version keeps what a tunnel's client left behind.
#[test]
fn tunnels_of_clients_that_vanish_end() {
    const TUNNELS: usize = 200;
    let (server, count) = tunnels(lenient());
    for path in ["/tunnel", "/quiet"] {
        let upgrade = UPGRADE.replace("/tunnel", path);
        for number in 0..TUNNELS {
            let mut client = Client::connect(server.addr);
            client.send(&upgrade);
            client.response().has_status(101);
            match number % 3 {
                0 => client.reset(),
                1 => client.close(),
                _ => client.half_close(),
            }
        }
        for number in 0..TUNNELS {
            let mut peer = Peer::connect(server.addr);
            let stream = peer.fresh();
            let mut fields = pseudo("CONNECT", path);
            fields.push((":protocol", "x"));
            peer.send(headers(stream, END_HEADERS, &fields));
            peer.until("the tunnel is open", |peer| {
                peer.streams.get(&stream).is_some_and(|got| got.status == 200)
            });
            if number % 2 == 0 {
                peer.send(reset(stream, CANCEL));
            }
        }
        eventually("the tunnels end", || count.load(Ordering::Relaxed) == 0);
    }
}

/// What a client that has closed its side cannot open any more is not waited for.
#[test]
fn windows_that_can_never_open_end_the_connection() {
    let mut limits = lenient();
    limits.h2.window_timeout = Duration::from_secs(1);
    limits.rate_min = 240;
    let (server, _) = tunnels(limits);
    let mut client = Client::connect(server.addr);
    client.send(PREFACE);
    client.send(settings(&[(4, 0)]));
    client.send(headers(1, END_HEADERS | END_STREAM, &pseudo("GET", "/")));
    client.half_close();
    client.drain();
}

thread_local! {
    static KEPT: RefCell<Vec<Context>> = const { RefCell::new(Vec::new()) };
}

/// A handler that keeps what it knows of a request does not keep the connection of its client.
#[test]
fn what_a_handler_keeps_holds_no_connection_open() {
    let server = serve_with(1, lenient(), |_: &CoreContext| {
        Router::new()
            .get("/", async || "Hello, World!")
            .get("/keep", async |context: Context| {
                KEPT.with_borrow_mut(|kept| kept.push(context));
                "kept"
            })
            .get("/peers", async || {
                KEPT.with_borrow(|kept| format!("{:?}", kept.iter().map(Context::peer).collect::<Vec<_>>()))
            })
            .build()
            .expect("sound routes")
    });
    let mut first = Client::connect(server.addr);
    first.ask("GET /keep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").is(200, "kept");
    first.is_closed();
    // The last response and the close leave together, so that the descriptor's number is free again.
    let others: Vec<Client> = (0..8).map(|_| Client::connect(server.addr)).map(used).collect();
    let peers = Client::connect(server.addr).ask("GET /peers HTTP/1.1\r\nHost: a\r\n\r\n").text();
    for other in &others {
        assert!(!peers.contains(&other.local().to_string()), "{peers} is another client");
    }
    // One that ends between requests.
    let mut kept = Client::connect(server.addr);
    kept.ask("GET /keep HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "kept");
    kept.half_close();
    kept.is_closed();
}

fn used(mut client: Client) -> Client {
    client.is_usable();
    client
}
