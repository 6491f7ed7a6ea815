//! Full duplex: an echo with trailers, a hand-written gRPC service, a tunnel by `Upgrade` and by CONNECT, and
//! Early Hints.
//!
//! ```text
//! cargo run --release --example streams -- 127.0.0.1:8080
//! curl -NT. http://127.0.0.1:8080/echo         # what is typed comes back, line by line
//! ```
//!
//! With a certificate and its key behind the address it serves HTTPS: browsers use hints over HTTP/2 alone.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quoit::Server;
use quoit::http::message::Trailers;
use quoit::http::status::Status;
use quoit::net::tls::{CertificateFiles, TlsOptions, TlsServer};
use quoit::ring::Ring;
use quoit::service::{
    BodyPolicy, BodyWriter, Context, Frame, Html, Interim, IntoResponse, Request, RequestBody, Response,
    RouteErrors, Router, Routes, State, Tunnel,
};

/// Longest gRPC message that is accepted: the default of other implementations.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest wait of the late page for its style sheet.
const LATE: Duration = Duration::from_secs(5);

fn routes(ring: Ring) -> Result<Routes, RouteErrors> {
    Router::new()
        .state(Style::default())
        .state(ring)
        .post("/echo", echo)
        .put("/echo", echo)
        .post("/echo.Echo/Say", say)
        .any("/tunnel", async |context: Context| Response::upgrade(&context, "echo", back_and_forth))
        .get("/page", page)
        .get("/late", late)
        .get("/style.css", style)
        .fallback(async |context: Context| Response::tunnel(&context, back_and_forth))
        // Streams have no time limit.
        .body_policy(BodyPolicy::UNLIMITED)
        .build()
}

/// Echoes the body while it arrives, then sends its trailers and its number of bytes.
async fn echo(request: Request) -> Response {
    let mut body = request.into_body();
    Response::written(async move |mut out: BodyWriter| {
        let mut bytes = 0;
        let mut trailers = Trailers::new();
        while let Some(frame) = body.next_frame().await {
            match frame {
                Ok(Frame::Data(data)) => {
                    bytes += data.len();
                    if out.write(data).await.is_err() {
                        return;
                    }
                }
                Ok(Frame::Trailers(received)) => trailers = received,
                Err(error) => return out.fail(error),
            }
        }
        trailers.push("X-Bytes", bytes.to_string()).expect("a number is a field's value");
        let _ = out.end(trailers).await;
    })
}

/// gRPC: a message is a byte for compression, four bytes of length, and the content.
async fn say(body: RequestBody) -> Response {
    let response = Response::written(async move |out: BodyWriter| {
        let mut out = out;
        let status = match echo_messages(body, &mut out).await {
            Ok(()) => "0",
            Err(status) => status,
        };
        let trailers = Trailers::new().with("grpc-status", status).expect("a number is a field's value");
        let _ = out.end(trailers).await;
    });
    response.with_field("Content-Type", "application/grpc")
}

/// The error is a gRPC status.
async fn echo_messages(mut body: RequestBody, out: &mut BodyWriter) -> Result<(), &'static str> {
    const CANCELLED: &str = "1";
    const RESOURCE_EXHAUSTED: &str = "8";
    const UNIMPLEMENTED: &str = "12";
    const INTERNAL: &str = "13";
    let mut received = BytesMut::new();
    while let Some(piece) = body.next().await {
        received.extend_from_slice(&piece.map_err(|_| CANCELLED)?);
        while let Some((head, rest)) = received.split_first_chunk::<5>() {
            let [is_compressed, length @ ..] = *head;
            let length = u32::from_be_bytes(length) as usize;
            if is_compressed != 0 {
                return Err(UNIMPLEMENTED);
            }
            if length > MESSAGE_BYTES_MAX {
                return Err(RESOURCE_EXHAUSTED);
            }
            if rest.len() < length {
                break;
            }
            let message = received.split_to(5 + length).freeze();
            out.write(message).await.map_err(|_| CANCELLED)?;
        }
    }
    if received.has_remaining() { Err(INTERNAL) } else { Ok(()) }
}

async fn back_and_forth(mut tunnel: Tunnel) {
    while let Some(Ok(bytes)) = tunnel.read().await {
        if tunnel.write(bytes).await.is_err() {
            return;
        }
    }
}

/// Sends a hint with the page's style sheet, before the page is rendered.
fn hint(context: &Context) {
    let hints = Interim::early_hints().with_field("Link", "</style.css>; rel=preload; as=style");
    // A client without support for hints gets the page alone.
    let _ = context.inform(&hints);
}

/// A page whose style sheet can be fetched before the page is rendered.
async fn page(context: Context) -> Response {
    hint(&context);
    let page =
        Bytes::from_static(b"<!doctype html><title>hints</title><link rel=stylesheet href=/style.css>");
    Html(page).into_response().with_status(Status::OK)
}

/// Whether the style sheet was fetched from this core, and the tasks that wait for it.
#[derive(Default)]
struct Style {
    fetches: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Style {
    fn poll_fetched(&self, before: u64, cx: &mut TaskContext<'_>) -> Poll<()> {
        if self.fetches.get() > before {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}

async fn style(style: State<Style>) -> Response {
    style.fetches.set(style.fetches.get() + 1);
    for waiting in style.waiting.take() {
        waiting.wake();
    }
    // Fresh for a while, so that the page does not fetch it again.
    let fields = [("Content-Type", "text/css"), ("Cache-Control", "max-age=60")];
    let sheet = Response::text("h1 { color: rgb(1, 2, 3) }");
    fields
        .into_iter()
        .fold(sheet, |sheet, (name, value)| sheet.field(name, value).expect("a constant field is valid"))
}

/// A page that is rendered once its style sheet was fetched, which only the hint can cause; it states whether
/// it was.
async fn late(context: Context, style: State<Style>, ring: State<Ring>) -> Response {
    let before = style.fetches.get();
    hint(&context);
    let mut sleep = pin!(ring.sleep(LATE));
    let is_hinted = poll_fn(|cx| {
        if style.poll_fetched(before, cx).is_ready() {
            return Poll::Ready(true);
        }
        sleep.as_mut().poll(cx).map(|()| false)
    })
    .await;
    let title = if is_hinted { "hinted" } else { "not hinted" };
    let page =
        format!("<!doctype html><title>{title}</title><link rel=stylesheet href=/style.css><h1>{title}</h1>");
    Html(page).into_response()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let server = match (args.next(), args.next()) {
        (Some(certificate), Some(key)) => {
            let certificates = vec![CertificateFiles::new(certificate, key)];
            let options = TlsOptions { certificates, ..TlsOptions::default() };
            Server::new().listen_tls(address, TlsServer::new(options)?)
        }
        _ => Server::new().listen(address),
    };
    server.try_run(|core| routes(core.ring.clone()))?;
    Ok(())
}
