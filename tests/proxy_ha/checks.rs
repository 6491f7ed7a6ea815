//! Health checks over HTTP/2: a GET, and the gRPC health service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use quoit::harness::on_core;
use quoit::http::message::Trailers;
use quoit::service::{Request, Response, Router};
use quoit::upstream::{CheckKind, CheckOptions, Group, Health, UpstreamOptions, UpstreamProtocol, Upstreams};

use super::common::{Hosted, lenient, serve_with};

/// What the health service answers at the moment: a message of protobuf, and the status of the call.
const ANSWERS: [(&[u8], &str); 4] =
    [(&[0x08, 1], "0"), (&[0x08, 2], "0"), (&[], "5"), (&[0x12, 1, b'x', 0x08, 1], "0")];

fn server(answer: Arc<AtomicUsize>) -> Hosted {
    serve_with(1, lenient(), move |_| {
        let answer = answer.clone();
        Router::new()
            .get("/health", async || "fine")
            .post("/grpc.health.v1.Health/Check", async move |mut request: Request| {
                let asked = request.body().read_all(1024).await.unwrap();
                let (message, status) = ANSWERS[answer.load(Relaxed)];
                // The name of the service is asked for, and nothing else.
                let status = if asked[..] == *b"\0\0\0\0\x05\x0a\x03api" { status } else { "3" };
                let length = (message.len() as u32).to_be_bytes();
                let framed = Bytes::from([&[0][..], &length, message].concat());
                Response::written(async move |mut out| {
                    let _ = out.write(framed).await;
                    let _ = out.end(Trailers::new().with("grpc-status", status).unwrap()).await;
                })
                .with_field("Content-Type", "application/grpc")
            })
            .build()
            .unwrap()
    })
}

/// Waits until the endpoint is found in each state in turn, after its answer was changed.
fn follows(addr: SocketAddr, kind: CheckKind, states: Vec<(usize, Health)>, answer: Arc<AtomicUsize>) {
    on_core(async move |core| {
        let mut options = UpstreamOptions::new("a", [addr.to_string()]).unwrap();
        let interval = Duration::from_millis(40);
        options.checks = Some(CheckOptions { kind, interval, ..CheckOptions::default() });
        options.protocol = UpstreamProtocol::Http2;
        let _group = Group::new(&Arc::new(options), &core).unwrap();
        let upstreams = core.process.get::<Upstreams>();
        for (number, health) in states {
            answer.store(number, Relaxed);
            let mut looks = 0;
            while upstreams.status(core.ring.now())[0].endpoints[0].health != health {
                looks += 1;
                assert!(looks < 500, "not {health:?} with {:?}", ANSWERS[number]);
                core.ring.sleep(Duration::from_millis(16)).await;
            }
        }
    });
}

#[test]
fn the_grpc_health_service_is_asked() {
    let answer = Arc::new(AtomicUsize::new(0));
    let server = server(answer.clone());
    let kind = CheckKind::Grpc { service: "api".into() };
    let states =
        vec![(0, Health::Up), (1, Health::Down), (3, Health::Up), (2, Health::Down), (0, Health::Up)];
    follows(server.addr, kind, states, answer.clone());
    // Another service is not known there.
    follows(server.addr, CheckKind::Grpc { service: "".into() }, vec![(0, Health::Down)], answer);
}

#[test]
fn a_get_goes_over_http2_where_endpoints_speak_that() {
    let answer = Arc::new(AtomicUsize::new(0));
    let server = server(answer.clone());
    let mut kind = CheckKind::http("/health");
    if let CheckKind::Http { body, .. } = &mut kind {
        *body = Some("fine".into());
    }
    follows(server.addr, kind, vec![(0, Health::Up)], answer.clone());
    follows(server.addr, CheckKind::http("/missing"), vec![(0, Health::Down)], answer);
}
