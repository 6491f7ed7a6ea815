//! `loadgen bench` over HTTP/2, against a server that says what each test tells it to, frame by frame, and
//! against nginx where that is installed.

mod support;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quoit::http::h2::ErrorCode;
use quoit::http::h2::frame::{self, FrameHeader, FrameKind, HEADER_BYTES, PREFACE, flag};
use quoit::http::h2::hpack::{Decoder, Encoder};
use quoit::http::h2::settings::id;
use support::{measure, number, refusal};

/// One connection's end: frames read one by one, written at once.
struct Peer {
    stream: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
}

impl Peer {
    /// Reads the client's preface and says these settings.
    fn accept(mut stream: TcpStream, settings: &[(u16, u32)]) -> Option<Self> {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).ok()?;
        assert_eq!(&preface, PREFACE);
        let mut out = Vec::new();
        frame::write_settings(&mut out, settings);
        stream.write_all(&out).ok()?;
        Some(Self { stream, encoder: Encoder::new(), decoder: Decoder::new() })
    }

    fn read(&mut self) -> Option<(FrameHeader, Vec<u8>)> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).ok()?;
        let header = FrameHeader::parse(&header);
        let mut payload = vec![0; header.length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        if header.kind == FrameKind::Headers {
            let read = self.decoder.decode(&payload, 65536, |_| std::ops::ControlFlow::<()>::Continue(()));
            read.expect("a block that can be decoded");
        }
        if header.kind == FrameKind::Settings && !header.has(flag::ACK) {
            let mut out = Vec::new();
            frame::write_settings_ack(&mut out);
            self.write(&out);
        }
        Some((header, payload))
    }

    fn write(&mut self, bytes: &[u8]) {
        // A client that has left is no mistake of the server's.
        let _ = self.stream.write_all(bytes);
    }

    /// The number of the next request without a body.
    fn request(&mut self) -> Option<u32> {
        loop {
            let (header, _) = self.read()?;
            if header.kind == FrameKind::Headers {
                assert!(header.has(flag::END_STREAM) && header.has(flag::END_HEADERS));
                return Some(header.stream);
            }
        }
    }

    /// HEADERS and DATA.
    fn answer(&mut self, stream: u32, lines: &str, content: &[u8]) {
        let mut out = vec![0; HEADER_BYTES];
        self.encoder.begin(&mut out).lines(lines.as_bytes());
        let length = (out.len() - HEADER_BYTES) as u32;
        let header = FrameHeader { length, kind: FrameKind::Headers, flags: flag::END_HEADERS, stream };
        out[..HEADER_BYTES].copy_from_slice(&header.bytes());
        let length = content.len() as u32;
        FrameHeader { length, kind: FrameKind::Data, flags: flag::END_STREAM, stream }.write(&mut out);
        out.extend_from_slice(content);
        self.write(&out);
    }

    fn ok(&mut self, stream: u32) {
        self.answer(stream, ":status: 200\r\ncontent-length: 2\r\nx-y: z\r\n", b"ok");
    }

    fn reset(&mut self, stream: u32, code: ErrorCode) {
        let mut out = Vec::new();
        frame::write_reset(&mut out, stream, code);
        self.write(&out);
    }
}

/// Starts a server that does this with each connection, and lives as long as the test's process.
fn server(settings: &'static [(u16, u32)], serve: fn(Peer)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || Peer::accept(stream, settings).map(serve));
        }
    });
    format!("http://{addr}/")
}

#[test]
fn streams_are_counted_as_requests() {
    let url = server(&[], |mut peer| {
        while let Some(stream) = peer.request() {
            peer.ok(stream);
        }
    });
    let (code, result) = measure(&url, "--proto h2c -c 3 -n 600 --streams 8");
    let total = &result["total"];
    assert_eq!((code, number(total, "done"), number(&total["statuses"], "200")), (0, 600, 600), "{total}");
    assert_eq!((&result["plan"]["protocol"], number(&result["plan"], "pipeline")), (&"h2c".into(), 8));
    assert_eq!(number(&result["connections"], "opened"), 3);
    let (_, result) = measure(&url, "--proto h2c -c 2 -R 300 -d 1s --streams 4");
    assert_eq!((number(&result["total"], "planned"), number(&result["total"], "done")), (300, 300));
    let (_, result) = measure(&url, "--proto h2c -c 2 -n 40 --new-conn");
    assert_eq!(number(&result["total"], "done"), 40);
    assert!(number(&result["connections"], "opened") >= 40);
    let (_, result) = measure(&url, "--proto h2c -c 2 -n 40 --template");
    assert_eq!(number(&result["total"], "done"), 40);
}

#[test]
fn answers_come_in_any_order() {
    let url = server(&[], |mut peer| {
        let mut held = VecDeque::new();
        while let Some(stream) = peer.request() {
            held.push_front(stream);
            if held.len() == 4 {
                held.drain(..).for_each(|stream| peer.ok(stream));
            }
        }
    });
    let (code, result) = measure(&url, "--proto h2c -c 1 -n 400 --streams 4");
    assert_eq!((code, number(&result["total"], "done")), (0, 400), "{}", result["total"]);
}

#[test]
fn each_stream_fails_by_itself_and_by_its_kind() {
    let url = server(&[], |mut peer| {
        while let Some(stream) = peer.request() {
            match stream / 2 % 10 {
                3 => peer.reset(stream, ErrorCode::REFUSED_STREAM),
                5 => peer.answer(stream, ":status: 200\r\ncontent-length: 9\r\n", b"ok"),
                7 => peer.answer(stream, ":status: 503\r\n", b""),
                _ => peer.ok(stream),
            }
        }
    });
    for mode in ["", "-R 1k"] {
        let (_, result) = measure(&url, &format!("--proto h2c -c 1 -n 500 --streams 5 {mode}"));
        let (total, kinds) = (&result["total"], &result["total"]["errors_by_kind"]);
        let kind = |name| number(kinds, name);
        assert_eq!((kind("reset"), kind("protocol"), kind("validation")), (50, 50, 50), "{kinds}");
        assert_eq!(number(total, "done"), 350, "{total}");
        assert_eq!(number(&result["connections"], "opened"), 1, "the connection stands");
    }
}

#[test]
fn a_stream_times_out_and_its_connection_goes_on() {
    let url = server(&[], |mut peer| {
        while let Some(stream) = peer.request() {
            if stream / 2 % 10 != 4 {
                peer.ok(stream);
            }
        }
    });
    let (_, result) = measure(&url, "--proto h2c -c 1 -n 100 -R 100 --streams 50 --timeout 200ms");
    let total = &result["total"];
    assert_eq!((number(total, "timeouts"), number(total, "done")), (10, 90), "{total}");
    assert_eq!(number(&result["connections"], "opened"), 1, "{}", result["connections"]);
    // From which nothing comes at all, it is given up.
    let silent = server(&[], |mut peer| while peer.read().is_some() {});
    let (_, result) = measure(&silent, "--proto h2c -c 1 -n 10 -R 100 --streams 4 --timeout 200ms -d 2s");
    let total = &result["total"];
    assert_eq!((number(total, "timeouts"), number(total, "done")), (10, 0), "{total}");
    assert!(number(&result["connections"], "opened") > 1, "{}", result["connections"]);
}

static OPEN_MOST: AtomicUsize = AtomicUsize::new(0);

#[test]
fn no_more_streams_are_open_than_the_server_allows() {
    let url = server(&[(id::MAX_CONCURRENT_STREAMS, 3)], |mut peer| {
        std::thread::sleep(Duration::from_millis(100));
        let mut held = Vec::new();
        while let Some(stream) = peer.request() {
            held.push(stream);
            OPEN_MOST.fetch_max(held.len(), Ordering::Relaxed);
            peer.stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            // Nothing more comes before some are answered.
            if held.len() >= 3 || peer.stream.peek(&mut [0; 1]).is_err() {
                held.drain(..).for_each(|stream| peer.ok(stream));
            }
            peer.stream.set_read_timeout(None).unwrap();
        }
    });
    // The warm-up is when the settings arrive.
    let (code, result) = measure(&url, "--proto h2c -c 1 -n 60 --streams 16 --warmup 300ms -R 200");
    assert_eq!((code, number(&result["total"], "done")), (0, 60), "{}", result["total"]);
    assert!(OPEN_MOST.load(Ordering::Relaxed) <= 3, "{OPEN_MOST:?}");
}

#[test]
fn a_server_that_leaves_is_left_in_order() {
    let url = server(&[], |mut peer| {
        let mut count = 0;
        while let Some(stream) = peer.request() {
            count += 1;
            if count == 10 {
                let mut out = Vec::new();
                frame::write_goaway(&mut out, stream, ErrorCode::NO_ERROR, "");
                peer.write(&out);
            }
            if count <= 10 {
                peer.ok(stream);
            }
        }
    });
    let (code, result) = measure(&url, "--proto h2c -c 1 -n 100 --streams 1");
    assert_eq!((code, number(&result["total"], "done")), (0, 100), "{}", result["total"]);
    assert_eq!(number(&result["connections"], "opened"), 10, "{}", result["connections"]);
    let (_, result) = measure(&url, "--proto h2c -c 1 -n 100 --streams 4");
    let kinds = &result["total"]["errors_by_kind"];
    let read = kinds["read"].as_u64().unwrap_or(0);
    assert_eq!(number(&result["total"], "done") + read, 100, "streams above the last are failed: {kinds}");
}

#[test]
fn bodies_go_out_as_windows_let_them() {
    let url = server(&[(id::INITIAL_WINDOW_SIZE, 10)], |mut peer| {
        let (mut stream, mut body) = (0, 0);
        while let Some((header, payload)) = peer.read() {
            match header.kind {
                FrameKind::Headers => (stream, body) = (header.stream, 0),
                FrameKind::Data => {
                    body += payload.len();
                    let mut out = Vec::new();
                    frame::write_window_update(&mut out, 0, header.length);
                    if header.has(flag::END_STREAM) {
                        assert_eq!(body, 100_000);
                        peer.ok(stream);
                    } else {
                        frame::write_window_update(&mut out, stream, 40_000);
                        frame::write_ping(&mut out, 0, b"are you?");
                    }
                    peer.write(&out);
                }
                _ => {}
            }
        }
    });
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), vec![b'x'; 100_000]).unwrap();
    let flags = format!("--proto h2c -c 1 -n 20 -b @{} --timeout 5s", body.path().display());
    let (code, result) = measure(&url, &flags);
    assert_eq!((code, number(&result["total"], "done")), (0, 20), "{}", result["total"]);
    assert!(number(&result["total"], "sent_bytes") > 2_000_000);
}

#[test]
fn what_is_no_http_2_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 505 No\r\nConnection: close\r\n\r\n");
        }
    });
    let (code, told) = refusal(&url, "--proto h2c -c 2 -d 5s");
    assert!(code == 5 && told.contains("does not speak HTTP/2") && told.contains("--proto"), "{told}");
}

/// An nginx that speaks HTTP/2 on a port, where there is one.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nginx(folder: &std::path::Path, addr: SocketAddr) -> Option<Nginx> {
    let config = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;
         events {{ worker_connections 64; }}
         http {{ access_log off; client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0};
                 uwsgi_temp_path {0}; scgi_temp_path {0};
                 server {{ listen {addr} http2; location / {{ return 200 'Hello, World!'; }} }} }}",
        folder.display()
    );
    std::fs::write(folder.join("nginx.conf"), config).unwrap();
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let child =
        Command::new("nginx").env("PATH", path).arg("-c").arg(folder.join("nginx.conf")).spawn().ok()?;
    let started = Instant::now();
    while TcpStream::connect(addr).is_err() {
        assert!(started.elapsed() < Duration::from_secs(10), "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(Nginx(child))
}

#[test]
fn another_server_answers_all() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Some(_nginx) = nginx(folder.path(), addr) else {
        eprintln!("skipped: nginx is not installed");
        return;
    };
    let (code, result) = measure(&format!("http://{addr}/"), "--proto h2c -c 2 -n 3000 --streams 16");
    // It ends each connection after a thousand requests, and takes those in flight.
    assert_eq!(number(&result["total"], "done") + number(&result["total"], "errors"), 3000);
    assert!(number(&result["total"], "done") > 2900, "{code} {}", result["total"]);
}
