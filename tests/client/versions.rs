//! TLS, and HTTP/2: by ALPN and by prior knowledge, against this server and scripted ones.

use std::cell::Cell;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quoit::client::{ClientBody, ClientErrorKind, ClientOptions, ErrorSide};
use quoit::http::message::{Trailers, Version};
use quoit::http::status::Status;
use quoit::net::Address;
use quoit::net::tls::{CertificateFiles, TlsOptions, TlsServer};
use quoit::service::{BodyWriter, Request, Response};
use quoit::upstream::{PoolOptions, RetryOptions, UpstreamProtocol, UpstreamTimeouts, UpstreamTls};
use quoit::{Running, Server};

use crate::certs::Certs;
use crate::common::{lenient, pattern, serve};
use crate::frames::{Frames, Got};
use crate::lab::Endpoint;
use crate::secure::{Asks, SecureEndpoint, answers, config};
use crate::wire::{REFUSED_STREAM, headers, reset};

/// This server with TLS, and its port.
fn secure_server(certs: &Certs, name: &str) -> (Running, u16) {
    let files = CertificateFiles::new(certs.path(&format!("{name}.pem")), certs.path(&format!("{name}.key")));
    let tls = TlsServer::new(TlsOptions { certificates: vec![files], ..TlsOptions::default() }).unwrap();
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen_tls(any, tls).workers(1).limits(lenient()).quiet(true);
    let running = server.start(|_| async |request: Request| Response::stream(request.into_body())).unwrap();
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr.port())
}

fn trusting(certs: &Certs) -> ClientOptions {
    let tls = UpstreamTls { ca: Some(certs.path("ca.pem")), ..UpstreamTls::default() };
    ClientOptions { tls, ..ClientOptions::default() }
}

#[test]
fn certificates_are_verified_unless_that_is_switched_off() {
    let certs = Certs::new();
    certs.issue("named", &["localhost"]);
    let (_running, port) = secure_server(&certs, "named");
    let get = move |options: ClientOptions, host: &'static str| {
        crate::with(options, async move |client, _| {
            let response = client.get(format!("https://{host}:{port}/")).send().await;
            response.map(|response| response.version()).map_err(|error| {
                assert!(error.may_retry() && error.side() == ErrorSide::Peer, "{error}");
                error.kind()
            })
        })
    };
    assert_eq!(get(trusting(&certs), "localhost"), Ok(Version::Http2));
    assert_eq!(get(trusting(&certs), "127.0.0.1"), Err(ClientErrorKind::Tls), "another name");
    assert_eq!(get(ClientOptions::default(), "localhost"), Err(ClientErrorKind::Tls), "another authority");
    let unverified = UpstreamTls { verify: false, ..UpstreamTls::default() };
    assert_eq!(
        get(ClientOptions { tls: unverified, ..ClientOptions::default() }, "127.0.0.1"),
        Ok(Version::Http2)
    );
    let http1 = ClientOptions { protocol: UpstreamProtocol::Http1, ..trusting(&certs) };
    assert_eq!(get(http1, "localhost"), Ok(Version::Http11));
}

#[test]
fn a_server_without_http2_is_spoken_to_by_http1() {
    let certs = Certs::new();
    let endpoint = SecureEndpoint::new(config(&certs, "a", &[], Asks::Nothing), answers(4));
    let url = format!("https://{}/", endpoint.addr);
    crate::with(trusting(&certs), async move |client, _| {
        for _ in 0..4 {
            let response = client.get(&url).send().await.unwrap();
            assert_eq!(response.version(), Version::Http11);
            assert_eq!(response.text().await.unwrap(), "ok");
        }
        assert_eq!(endpoint.greetings().len(), 1);
    });
    let plain = Endpoint::new(|wire, _| {
        wire.take(5);
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        wire.until_closed();
    });
    let url = format!("https://{}/", plain.addr);
    crate::default(async move |client, _| {
        let error = client.get(&url).send().await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Tls);
        assert!(error.to_string().contains("TLS port"), "{error}");
    });
}

#[test]
fn files_that_are_missing_are_told_at_the_start() {
    quoit::harness::on_core(async |core| {
        let tls = UpstreamTls { ca: Some("/nonexistent/ca.pem".into()), ..UpstreamTls::default() };
        let options = ClientOptions { tls, ..ClientOptions::default() };
        let error = quoit::client::Client::with_options(options, &core).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
        let fields = vec![("X-A".to_owned(), "1\r\nX-B: 2".to_owned())];
        let options = ClientOptions { fields, ..ClientOptions::default() };
        assert!(quoit::client::Client::with_options(options, &core).is_err());
    });
}

fn prior_knowledge() -> ClientOptions {
    ClientOptions { protocol: UpstreamProtocol::Http2, ..ClientOptions::default() }
}

#[test]
fn many_exchanges_share_a_connection() {
    let server = serve(lenient(), async |request: Request| {
        let text = request.head().field("x-a").unwrap().to_vec();
        Response::text(String::from_utf8(text).unwrap())
    });
    let url = format!("http://{}/", server.addr);
    crate::with(prior_knowledge(), async move |client, _| {
        let requests = (0..100).map(async |number: u32| {
            let request = client.get(&url).header("X-A", number.to_string()).bearer_auth("secret");
            let response = request.send().await.unwrap();
            assert_eq!(response.version(), Version::Http2);
            assert_eq!(response.text().await.unwrap(), number.to_string());
        });
        futures_util::future::join_all(requests).await;
    });
    assert_eq!(server.stop().accepted, 1);
}

#[test]
fn bodies_stream_and_trailers_follow() {
    let server = serve(lenient(), async |request: Request| {
        let mut body = request.into_body();
        Response::written(async move |mut out: BodyWriter| {
            let mut length = 0;
            while let Some(Ok(piece)) = body.next().await {
                length += piece.len();
                if out.write(piece).await.is_err() {
                    return;
                }
            }
            let mut trailers = Trailers::new();
            trailers.push("X-Length", length.to_string()).unwrap();
            let _ = out.end(trailers).await;
        })
    });
    let url = format!("http://{}/", server.addr);
    crate::with(prior_knowledge(), async move |client, _| {
        let content = pattern(4 << 20);
        let pieces: Vec<_> =
            content.chunks(50_000).map(|piece| Ok::<_, String>(Bytes::copy_from_slice(piece))).collect();
        let body = ClientBody::stream(futures_util::stream::iter(pieces));
        let mut response = client.post(&url).body(body).accept_trailers().send().await.unwrap();
        let mut received = Vec::new();
        while let Some(piece) = response.next().await {
            received.extend_from_slice(&piece.unwrap());
        }
        assert!(received == content);
        let trailers: Vec<_> = response.trailers().iter().collect();
        assert_eq!(trailers, [("x-length", content.len().to_string().as_bytes())]);
    });
}

#[test]
fn a_request_that_is_dropped_resets_its_stream() {
    struct Left(Arc<AtomicBool>);
    impl Drop for Left {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (began, left) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begins, leaves) = (began.clone(), left.clone());
    let server = serve(lenient(), async move |request: Request| {
        if request.head().path() == "/now" {
            return Response::text("now");
        }
        let _left = Left(leaves.clone());
        begins.store(true, Ordering::SeqCst);
        std::future::pending::<Response>().await
    });
    let url = format!("http://{}", server.addr);
    crate::with(prior_knowledge(), async move |client, core| {
        let mut waiting = Box::pin(client.get(format!("{url}/never")).send());
        let polled = Rc::new(Cell::new(false));
        std::future::poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending());
            polled.set(true);
            std::task::Poll::Ready(())
        })
        .await;
        let wait = async {
            crate::eventually(&core, "it arrives", || began.load(Ordering::SeqCst)).await;
        };
        futures_util::future::select(waiting, Box::pin(wait)).await;
        // Both were dropped.
        crate::eventually(&core, "the handler is dropped", || left.load(Ordering::SeqCst)).await;
        let response = client.get(format!("{url}/now")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "now");
    });
    assert_eq!(server.stop().accepted, 1, "the connection stays");
}

/// A server of another make, by HTTP/1.0.
#[test]
fn pythons_server_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), "from python").unwrap();
    let mut python = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 runs");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(python.stdout.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    let port = line.split(' ').nth(5).unwrap().to_owned();
    crate::default(async move |client, _| {
        let url = format!("http://127.0.0.1:{port}");
        let response = client.get(format!("{url}/a.txt")).send().await.unwrap();
        assert_eq!((response.status(), response.header("content-type")), (Status::OK, Some("text/plain")));
        assert_eq!(response.text().await.unwrap(), "from python");
        let missing = client.get(format!("{url}/b.txt")).send().await.unwrap();
        assert_eq!(missing.status(), Status::NOT_FOUND);
        assert!(missing.text().await.unwrap().contains("File not found"));
    });
    python.kill().unwrap();
    python.wait().unwrap();
}

/// An endpoint that speaks HTTP/2 and does this with each request, counted from 0.
fn scripted(
    script: impl Fn(&mut Frames<'_, std::net::TcpStream>, Got, usize) + Send + Sync + 'static,
) -> Endpoint {
    Endpoint::new(move |wire, _| {
        let Some(mut frames) = Frames::new(&mut wire.stream, &[]) else { return };
        let mut count = 0;
        while let Some(head) = frames.head() {
            script(&mut frames, head, count);
            count += 1;
        }
    })
}

#[test]
fn what_an_http2_server_refuses_is_sent_again_whatever_the_method() {
    let once = scripted(|frames, head, count| match count {
        0 => frames.send(reset(head.stream(), REFUSED_STREAM)),
        _ => frames.answer(head.stream(), "second"),
    });
    let always = scripted(|frames, head, _| frames.send(reset(head.stream(), REFUSED_STREAM)));
    let cancels = scripted(|frames, head, _| frames.send(reset(head.stream(), 2)));
    let url = |endpoint: &Endpoint| format!("http://{}/", endpoint.addr);
    let (once, always, cancels) = ((url(&once), once), (url(&always), always), (url(&cancels), cancels));
    crate::with(prior_knowledge(), async move |client, _| {
        let response = client.post(&once.0).body("x").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "second");
        let refused = client.post(&always.0).body("x").send().await.unwrap_err();
        assert_eq!((refused.kind(), refused.may_retry()), (ClientErrorKind::Closed, true), "{refused}");
        let reset = client.post(&cancels.0).body("x").send().await.unwrap_err();
        assert_eq!((reset.kind(), reset.may_retry()), (ClientErrorKind::Closed, false), "{reset}");
    });
}

#[test]
fn secrets_are_never_indexed_and_a_cut_response_is_an_error() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let endpoint = scripted(move |frames, head, _| {
        let Got::Headers { stream, fields, .. } = head else { unreachable!("a head") };
        record.lock().unwrap().extend(fields);
        frames.send(headers(stream, crate::wire::END_HEADERS, &[(":status", "200")]));
        frames.send(crate::wire::data(stream, 0, "begins"));
        frames.send(reset(stream, 2));
    });
    let url = format!("http://{}/a?b", endpoint.addr);
    crate::with(prior_knowledge(), async move |client, _| {
        let request = client.get(&url).bearer_auth("t").header("X-A", "1");
        let error = match request.send().await {
            Ok(response) => response.bytes().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!((error.kind(), error.may_retry()), (ClientErrorKind::Closed, false), "{error}");
    });
    let seen = seen.lock().unwrap();
    let field = |name: &str| {
        seen.iter().find(|(known, ..)| known == name).map(|(_, value, never)| (&**value, *never))
    };
    assert_eq!(field("authorization"), Some(("Bearer t", true)));
    assert_eq!((field("x-a"), field(":path")), (Some(("1", false)), Some(("/a?b", false))));
    assert_eq!(field(":scheme"), Some(("http", false)));
}

/// Who wants no limit writes the longest time, which no clock can add.
#[test]
fn the_longest_times_are_no_limits() {
    let far = Duration::MAX;
    let timeouts = UpstreamTimeouts {
        connect: far,
        tls: far,
        first_byte: far,
        idle: far,
        tunnel_idle: far,
        expect: far,
        ping: far,
        ping_answer: far,
    };
    let pool = PoolOptions { idle_time: far, lifetime: far, queue_time: far, ..PoolOptions::default() };
    let retries = RetryOptions { total_time: far, ..RetryOptions::default() };
    let unlimited =
        ClientOptions { timeout: Some(far), timeouts, pool, retries, names_time: far, ..Default::default() };
    let h1 = Endpoint::answering(crate::lab::OK);
    let h2 = Endpoint::new(|wire, _| {
        let Some(mut frames) = Frames::new(&mut wire.stream, &[]) else { return };
        while let Some(got) = frames.next() {
            if matches!(&got, Got::Headers { ends: true, .. } | Got::Data { ends: true, .. }) {
                frames.answer(got.stream(), "ok");
            }
        }
    });
    for (endpoint, protocol) in [(h1, UpstreamProtocol::Http1), (h2, UpstreamProtocol::Http2)] {
        let url = format!("http://localhost:{}/", endpoint.addr.port());
        crate::with(ClientOptions { protocol, ..unlimited.clone() }, async move |client, _| {
            for _ in 0..2 {
                let response = client.post(&url).body("x").timeout(far).send();
                assert_eq!(response.await.unwrap().text().await.unwrap(), "ok");
                assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "ok");
            }
        });
    }
}
