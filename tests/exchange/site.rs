//! The routes under test.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use quoit::http::message::Trailers;
use quoit::http::status::Status;
use quoit::ring::Ring;
use quoit::server::{CoreContext, Limits};
use quoit::service::{
    BodyPolicy, BodyWriter, Context, Frame, Interim, IntoResponse, Problem, Request, RequestBody, Response,
    Router, Routes, State, Tunnel,
};

use crate::common::{Hosted, serve_with};

/// Bytes that `/both` sends, whatever it receives.
pub(crate) const BOTH_BYTES: usize = 8 * 1024 * 1024;

pub(crate) fn site(limits: Limits) -> Hosted {
    serve_with(1, limits, |core: &CoreContext| routes(core).expect("sound routes"))
}

fn routes(core: &CoreContext) -> Result<Routes, quoit::service::RouteErrors> {
    Router::new()
        .get("/hello", async || "Hello, World!")
        .get("/", async || "Hello, World!")
        .post("/echo", echo)
        .post("/both", both)
        .post("/count", count)
        .nest("/large", Router::new().post("/count", count).body_policy(policy(Some(1 << 30))))
        .nest(
            "/small",
            Router::new()
                .post("/count", count)
                .post("/ignore", async || "ignored")
                .body_policy(policy(Some(10))),
        )
        .nest("/patient", Router::new().post("/count", count).body_policy(BodyPolicy::UNLIMITED))
        .post("/handler", async |mut body: RequestBody| {
            body.set_policy(BodyPolicy { bytes_max: Some(3), ..BodyPolicy::DEFAULT });
            count(body).await
        })
        .get("/hints", hints)
        .get("/hints-with", async || {
            "page".into_response().inform(Interim::early_hints().field("Link", "</a.css>").expect("valid"))
        })
        .get("/late", async |context: Context| {
            Response::written(async move |mut out: BodyWriter| {
                let _ = out.write("begun").await;
                let said = context.inform(&Interim::early_hints());
                let _ = out.write(format!(" {said:?}")).await;
            })
        })
        .post("/hint-and-read", async |request: Request| {
            let context = request.context().clone();
            context.inform(&Interim::early_hints()).expect("the response has not begun");
            count(request.into_body()).await
        })
        .any("/tunnel", async |context: Context| Response::upgrade(&context, "echo", back))
        .any("/greeting", async |context: Context| {
            Response::upgrade(&context, "echo", async |mut tunnel: Tunnel| {
                let _ = tunnel.write("welcome\n").await;
            })
        })
        .get("/text-error", async || Response::error(Status::CONFLICT, "not <now>"))
        .get("/problem", async || Problem::new(Status::CONFLICT).detail("not <now>"))
        .get("/length", async || "five5")
        .head("/length", async || Status::OK)
        .any("/connection/{options}", async |context: Context| {
            let options = context.raw_parameter("options").unwrap_or_default().to_owned();
            let response = Response::text("x").field("Connection", &options).expect("applied, not sent");
            response.field("X-Mine", "1").expect("valid")
        })
        .any("/final-informational", async || Response::new(Status::EARLY_HINTS))
        .any("/switch-without-tunnel", async || Response::new(Status::SWITCHING_PROTOCOLS))
        .get("/channel", async |ring: State<Ring>| {
            let (mut writer, response) = Response::channel();
            let task = ring.clone();
            ring.spawn(
                async move {
                    for piece in ["one ", "two ", "three"] {
                        task.next_turn().await;
                        let _ = writer.write(piece).await;
                    }
                },
                |_| (),
            );
            response
        })
        .state(core.ring.clone())
        .fallback(async |context: Context| Response::tunnel(&context, back))
        .build()
}

fn policy(bytes_max: Option<u64>) -> BodyPolicy {
    BodyPolicy { bytes_max, ..BodyPolicy::DEFAULT }
}

/// Echoes the request while it arrives, then its trailers and one of its own.
async fn echo(mut body: RequestBody) -> Response {
    Response::written(async move |mut out: BodyWriter| {
        let mut trailers = Trailers::new();
        while let Some(frame) = body.next_frame().await {
            match frame {
                Ok(Frame::Data(data)) => {
                    if out.write(data).await.is_err() {
                        return;
                    }
                }
                Ok(Frame::Trailers(received)) => trailers = received,
                Err(_) => return,
            }
        }
        trailers.push("X-End", "yes").unwrap();
        let _ = out.end(trailers).await;
    })
}

/// Reads and writes independently of each other: a client may do either first.
async fn both(mut body: RequestBody) -> Response {
    Response::written(async move |mut out: BodyWriter| {
        let mut received = 0;
        {
            let mut read = pin!(async {
                while let Some(Ok(piece)) = body.next().await {
                    received += piece.len();
                }
            });
            let mut write = pin!(async {
                let piece = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
                for _ in 0..BOTH_BYTES / piece.len() {
                    if out.write(piece.clone()).await.is_err() {
                        return;
                    }
                }
            });
            let (mut has_read, mut has_written) = (false, false);
            poll_fn(|cx| {
                has_read = has_read || read.as_mut().poll(cx).is_ready();
                has_written = has_written || write.as_mut().poll(cx).is_ready();
                if has_read && has_written { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        let trailers = Trailers::new().with("X-Received", received.to_string()).unwrap();
        let _ = out.end(trailers).await;
    })
}

async fn count(mut body: RequestBody) -> Response {
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes += piece.len(),
            Err(error) => return Response::error(error.status(), &error.to_string()),
        }
    }
    Response::text(format!("{bytes} bytes"))
}

async fn hints(context: Context, ring: State<Ring>) -> Response {
    let first = Interim::early_hints().field("Link", "</a.css>; rel=preload").expect("valid");
    let said = context.inform(&first);
    let again = context.inform(&Interim::new(Status::new(110).unwrap()).expect("an interim status"));
    // They are sent while the handler waits.
    ring.sleep(Duration::from_millis(20)).await;
    Response::text(format!("{said:?} {again:?}"))
}

async fn back(mut tunnel: Tunnel) {
    while let Some(Ok(bytes)) = tunnel.read().await {
        if tunnel.write(bytes).await.is_err() {
            return;
        }
    }
    let _ = tunnel.write("bye").await;
}
