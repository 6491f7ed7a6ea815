//! Clients that close their sending direction, or leave, while a handler or a response's source makes them
//! wait: over both protocols the exchange ends soon, unless its route serves half-closed clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use quoit::server::{CoreContext, Limits};
use quoit::service::{
    BodyFrame, BodyWriter, Context, HalfClose, RequestBody, Response, Router, StreamBody, Tunnel,
};

use crate::common::{Client, End, Hosted, eventually, lenient, serve_with};
use crate::peer::Peer;
use crate::wire::*;

/// Counts what still waits.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: &Arc<AtomicUsize>) -> Waiting {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says hello, and then nothing.
struct Silent(#[allow(dead_code, reason = "counts")] Waiting, bool);

impl StreamBody for Silent {
    fn poll_frame(&mut self, _cx: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(bytes::Bytes::from_static(b"hello").into())))
    }
}

async fn hold(waiting: Waiting) -> &'static str {
    let _waiting = waiting;
    std::future::pending().await
}

fn site(limits: Limits) -> (Hosted, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let known = count.clone();
    let server = serve_with(1, limits, move |core: &CoreContext| {
        let begin = {
            let known = known.clone();
            move || Waiting::begin(&known)
        };
        let (held, silent, own, tunnel) = (begin.clone(), begin.clone(), begin.clone(), begin.clone());
        let (ring, slow) = (core.ring.clone(), core.ring.clone());
        let served = Router::new()
            .half_close(HalfClose::Serve)
            .any("/hold", {
                let held = begin.clone();
                async move || hold(held()).await
            })
            .get("/slow", async move || {
                // Longer than a client that has left is waited for.
                ring.sleep(Duration::from_millis(900)).await;
                "slow"
            });
        Router::new()
            .get("/", async || "Hello, World!")
            .any("/hold", async move || hold(held()).await)
            .get("/silent", async move || Response::stream(Silent(silent(), false)))
            .get("/own", async move |context: Context| {
                context.set_half_close(HalfClose::Serve);
                hold(own()).await
            })
            .get("/pieces", async move || {
                let slow = slow.clone();
                Response::written(async move |mut out: BodyWriter| {
                    // Longer, in all, than a client that has left is waited for.
                    for _ in 0..8 {
                        slow.sleep(Duration::from_millis(100)).await;
                        let _ = out.write("piece").await;
                    }
                })
            })
            .post("/count", async |mut body: RequestBody| {
                let mut bytes = 0;
                while let Some(Ok(piece)) = body.next().await {
                    bytes += piece.len();
                }
                format!("{bytes} bytes")
            })
            // Its handler neither reads nor writes.
            .any("/tunnel", async move |context: Context| {
                let waiting = tunnel();
                Response::upgrade(&context, "x", async move |_tunnel: Tunnel| {
                    hold(waiting).await;
                })
            })
            .nest("/served", served)
            .build()
            .expect("sound routes")
    });
    (server, count)
}

fn waiting(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

#[derive(Clone, Copy, Debug)]
enum Leaving {
    Close,
    HalfClose,
    Reset,
}

const LEAVINGS: [Leaving; 3] = [Leaving::Close, Leaving::HalfClose, Leaving::Reset];

/// Leaves; the client is returned where it still reads.
fn leave(mut client: Client, leaving: Leaving) -> Option<Client> {
    match leaving {
        Leaving::Close => client.close(),
        Leaving::Reset => client.reset(),
        Leaving::HalfClose => {
            client.half_close();
            return Some(client);
        }
    }
    None
}

/// Asserts that what waits ends within a second, and a little more on a loaded machine.
#[track_caller]
fn ends(count: &AtomicUsize, what: &str) {
    let began = Instant::now();
    eventually(what, || waiting(count) == 0);
    assert!(began.elapsed() < Duration::from_millis(1800), "{what}: {:?}", began.elapsed());
}

#[test]
fn a_handler_ends_when_its_http_1_client_leaves() {
    let (server, count) = site(lenient());
    let hold = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let upload = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    for (before, request) in [
        ("", hold.to_owned()),
        (get, hold.to_owned()),
        // Unread input holds the receive back.
        ("", hold.to_owned() + &get.repeat(2000)),
        (get, hold.to_owned() + &get.repeat(2000)),
        ("", upload.to_owned() + &"x".repeat(60_000)),
        (get, upload.to_owned() + "x"),
        ("", "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".to_owned()),
    ] {
        for leaving in LEAVINGS {
            let mut client = Client::connect(server.addr);
            if !before.is_empty() {
                client.ask(before).has_status(200);
            }
            client.send(&request);
            eventually("the handler waits", || waiting(&count) == 1);
            server.turns();
            let kept = leave(client, leaving);
            ends(&count, &format!("{leaving:?} after {:?}", &request[..request.len().min(60)]));
            if let Some(mut client) = kept {
                client.drain();
            }
        }
    }
}

#[test]
fn a_handler_ends_when_its_http_2_client_leaves() {
    let (server, count) = site(lenient());
    for leaving in LEAVINGS {
        let mut peer = Peer::connect(server.addr);
        for _ in 0..5 {
            let stream = peer.fresh();
            peer.send(get(stream, "/hold"));
        }
        let silent = peer.fresh();
        peer.send(get(silent, "/silent"));
        peer.until("the greeting", |peer| peer.streams.get(&silent).is_some_and(|got| got.body == b"hello"));
        eventually("all wait", || waiting(&count) == 6);
        let kept = leave(peer.client, leaving);
        ends(&count, &format!("{leaving:?}"));
        drop(kept);
    }
}

#[test]
fn a_silent_source_ends_when_its_client_leaves() {
    let (server, count) = site(lenient());
    for version in ["1.0", "1.1"] {
        for leaving in LEAVINGS {
            let mut client = Client::connect(server.addr);
            client.send(format!("GET /silent HTTP/{version}\r\nHost: a\r\n\r\n"));
            while !client.input().windows(5).any(|window| window == b"hello") {
                assert!(client.fill().unwrap(), "the response goes on");
            }
            let kept = leave(client, leaving);
            ends(&count, &format!("{version} {leaving:?}"));
            if let Some(mut client) = kept {
                // Where the end of the connection would end the body, a FIN would make it look whole.
                let expected = if version == "1.0" { End::Reset } else { End::Clean };
                client.drain();
                assert_eq!(client.ended(), Some(expected), "{version}");
            }
        }
    }
}

#[test]
fn what_is_ready_or_under_way_is_delivered_to_a_half_closed_client() {
    let (server, _) = site(Limits { half_closed_timeout: Duration::from_millis(400), ..lenient() });
    let mut client = Client::connect(server.addr);
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").half_close();
    client.response().is(200, "5 bytes");
    client.is_closed();
    // A source that produces within the time goes on for as long as it likes.
    let mut client = Client::connect(server.addr);
    client.send("GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n").half_close();
    client.response().is(200, "piece".repeat(8));
    client.is_closed();
    let mut peer = Peer::connect(server.addr);
    peer.send(get(1, "/pieces"));
    peer.client.half_close();
    peer.answer(1).is(200, "piece".repeat(8));
}

#[test]
fn a_route_may_serve_half_closed_clients() {
    let (server, count) = site(Limits { half_closed_timeout: Duration::from_millis(200), ..lenient() });
    let mut client = Client::connect(server.addr);
    client.send("GET /served/slow HTTP/1.1\r\nHost: a\r\n\r\n").half_close();
    client.response().is(200, "slow");
    client.is_closed();
    let mut peer = Peer::connect(server.addr);
    peer.send(get(1, "/served/slow"));
    peer.client.half_close();
    peer.answer(1).is(200, "slow");
    // It is noticed nevertheless when the connection is lost.
    for path in ["/served/hold", "/own"] {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        eventually("the handler waits", || waiting(&count) == 1);
        client.half_close();
        client.stays_quiet(Duration::from_millis(700));
        assert_eq!(waiting(&count), 1, "{path} serves half-closed clients");
        client.reset();
        eventually("the reset is noticed", || waiting(&count) == 0);
        let mut peer = Peer::connect(server.addr);
        peer.send(get(1, path));
        eventually("the handler waits", || waiting(&count) == 1);
        peer.client.half_close();
        peer.client.stays_quiet(Duration::from_millis(700));
        assert_eq!(waiting(&count), 1, "{path} serves half-closed clients");
        peer.client.reset();
        eventually("the reset is noticed", || waiting(&count) == 0);
    }
}
