//! Panics, floods, garbage, and clients that disconnect at any byte: each affects its own connection alone.
//! Meanwhile a bystander on the same core gets right responses in time.

use std::future::{Future, pending};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use quoit::service::{Request, Response, Service};

use crate::common::{Binary, Broken, Bystander, Client, End, Hosted, eventually, lenient, pattern, serve};
use crate::lab::Lab;

/// Runs `mischief` while a bystander sends requests.
fn meanwhile(server: &Hosted, mischief: impl FnOnce(SocketAddr)) {
    let bystander = Bystander::start(server.addr);
    mischief(server.addr);
    bystander.was_never_disturbed();
}

#[test]
fn a_panicking_handler_costs_its_connection() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        for _ in 0..20 {
            let mut client = Client::connect(addr);
            client.send(
                "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /panic HTTP/1.1\r\nHost: a\r\n\r\n\
                 GET /n/3 HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            client.response().is(200, "1").keeps();
            let response = client.response();
            response.has_status(500).says_close();
            assert!(!response.text().contains("as the test wants"), "the reason is for the log");
            client.is_closed();
        }
    });
    assert_eq!(server.stop().panics, 20);
}

/// Panics before there is a future.
#[derive(Clone)]
struct Hasty;

impl Service for Hasty {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        assert!(request.head().path() == "/", "a handler panics early, as the test wants it to");
        async { Response::text("Hello, World!") }
    }
}

#[test]
fn a_handler_that_panics_before_it_is_polled_is_no_different() {
    let server = serve(lenient(), Hasty);
    meanwhile(&server, |addr| {
        let mut client = Client::connect(addr);
        client.is_usable();
        client.ask("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").has_status(500).says_close();
        client.is_closed();
    });
    assert_eq!(server.stop().panics, 1);
}

#[test]
fn a_panicking_body_costs_its_connection() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        for script in ["5,p", "5,~,p", "=10,5,p", "90000,p"] {
            let mut client = Client::connect(addr);
            client.send("GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send(format!("GET /stream/{script} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.response().is(200, "1");
            let outcome = client.try_response_to("GET");
            assert!(!matches!(outcome, Ok(_) | Err(Broken::TimedOut)), "{script}: {outcome:?}");
        }
        // Where the end of the connection is the end of the body, FIN would make a part look whole.
        for warm in [false, true] {
            let mut client = Client::connect(addr);
            if warm {
                client.is_usable();
            }
            client.send("GET /stream/5,~,p HTTP/1.0\r\n\r\n");
            assert!(matches!(client.try_response_to("GET"), Err(Broken::InBody(_, End::Reset))));
        }
    });
    assert_eq!(server.stop().panics, 6);
}

#[test]
fn a_flood_of_requests_disturbs_nobody() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        let clients: Vec<Client> = (0..4).map(|_| Client::connect_narrow(addr, 16 * 1024)).collect();
        let flooding: Vec<_> = clients
            .iter()
            .map(|client| {
                let mut sender = client.sender();
                sender.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
                thread::spawn(move || {
                    let flood = "GET /bytes/5000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_secs(1)
                        && sender.write_all(flood.as_bytes()).is_ok()
                    {}
                })
            })
            .collect();
        flooding.into_iter().for_each(|flood| flood.join().unwrap());
    });
}

#[test]
fn a_flood_of_answered_requests_disturbs_nobody() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        let mut client = Client::connect(addr);
        let mut sender = client.sender();
        let flooding = thread::spawn(move || {
            let flood = "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5000);
            for _ in 0..4 {
                sender.write_all(flood.as_bytes()).unwrap();
            }
        });
        for _ in 0..20_000 {
            client.response().is(200, "1");
        }
        flooding.join().unwrap();
    });
}

const REQUESTS: [&str; 3] = [
    "GET /n/1?q HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
    "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n",
];

#[test]
fn vanishing_at_any_byte_of_a_request_disturbs_nobody() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        for request in REQUESTS {
            for at in 0..=request.len() {
                let mut client = Client::connect(addr);
                client.send(&request[..at]);
                client.reset();
                let mut client = Client::connect(addr);
                client.send(&request[..at]);
                client.close();
            }
        }
    });
}

#[test]
fn vanishing_at_any_byte_of_a_response_disturbs_nobody() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        for request in
            ["GET /n/12345 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /stream/5,~,6 HTTP/1.1\r\nHost: a\r\n\r\n"]
        {
            let mut probe = Client::connect(addr);
            probe.send(request);
            let length = probe.response().head.len() + 37 + 4 + 40;
            for at in 0..length {
                let mut client = Client::connect(addr);
                client.send(request);
                let mut left = at;
                while left > 0 && left < length {
                    client.limit_wait(Duration::from_millis(50));
                    match client.fill_some(left) {
                        Err(_) => break,
                        Ok(read) => left -= read,
                    }
                }
                client.reset();
            }
        }
        for at in [1, 1000, 65_536, 100_000, 1_000_000, 4_999_999] {
            for target in ["/bytes/5000000", "/stream/=5000000,2500000,2500000", "/stream/2500000,2500000"] {
                let mut client = Client::connect_narrow(addr, 16 * 1024);
                client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                let mut left = at;
                while left > 0 {
                    left -= client.fill_some(left.min(65_536)).unwrap();
                }
                client.reset();
            }
        }
    });
}

#[test]
fn vanishing_from_the_binary_disturbs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "Hello, World!").unwrap();
    std::fs::write(dir.path().join("large"), pattern(20 << 20)).unwrap();
    let mut binary = Binary::serve(dir.path(), &[]);
    let bystander = Bystander::start(binary.addr);
    for at in (0..3_000_000).step_by(99_991) {
        let mut client = Client::connect_narrow(binary.addr, 64 * 1024);
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut left = at;
        while left > 0 {
            left -= client.fill_some(left.min(65_536)).unwrap();
        }
        client.reset();
    }
    bystander.was_never_disturbed();
    assert!(binary.runs());
}

#[test]
fn a_client_that_resets_cancels_its_handler() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    for request in [
        "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        // With input behind it that is not read.
        "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello".to_owned(),
    ] {
        for warm in [false, true] {
            let (calls, dropped) = (lab.calls(), lab.dropped.load(Ordering::Relaxed));
            let mut client = Client::connect(server.addr);
            if warm {
                client.is_usable();
            }
            client.send(&request);
            let expected = calls + 1 + usize::from(warm) + usize::from(request.starts_with("GET /n"));
            eventually("the handler is called", || lab.calls() == expected);
            server.turns();
            assert_eq!(lab.dropped.load(Ordering::Relaxed), dropped, "not yet");
            client.reset();
            eventually("the handler is dropped", || lab.dropped.load(Ordering::Relaxed) == dropped + 1);
        }
    }
}

#[test]
fn a_client_that_only_ends_its_side_cancels_nothing() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send("GET /wait/200 HTTP/1.1\r\nHost: a\r\n\r\n").half_close();
    client.response().is(200, "waited");
    client.is_closed();
}

/// A small random generator; the seed identifies the case.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn garbage_is_refused_at_once() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        for seed in 1..=300 {
            let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
            let length = 64 + random.next() as usize % 4000;
            let garbage: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let mut client = Client::connect(addr);
            client.send(garbage);
            let response = client.response();
            assert_eq!(response.status, 400, "seed {seed}: {}", response.text());
            response.says_close();
            client.is_closed();
        }
    });
}

#[test]
fn other_protocols_are_refused_at_once() {
    let client_hello: Vec<u8> = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        &pattern(32),
        b"\x20",
        &pattern(32),
        b"\x00\x08\x13\x01\x13\x02\x13\x03\x00\xff\x01\x00",
    ]
    .concat();
    let vectors: [(&[u8], u16); 7] = [
        (&client_hello, 400),
        (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", 400),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 400),
        (b"EHLO mail.example\r\n", 400),
        (b"\0\0\0\0", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"*1\r\n$4\r\nPING\r\n", 400),
    ];
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        for (bytes, status) in vectors {
            let mut client = Client::connect(addr);
            client.send(bytes);
            client.response().has_status(status).says_close();
            client.is_closed();
        }
        let mut client = Client::connect(addr);
        client.send(&client_hello);
        assert!(client.response().text().contains("TLS"), "the likely mistake is named");
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let server = serve(lenient(), Lab::default());
    meanwhile(&server, |addr| {
        for n in 0..300 {
            let mut client = Client::connect(addr);
            match n % 3 {
                0 => client.reset(),
                1 => client.close(),
                _ => {
                    client.half_close();
                    client.is_closed();
                }
            }
        }
    });
}

#[test]
fn a_handler_that_never_ends_disturbs_nobody() {
    let server = serve(lenient(), async |request: Request| match request.head().path() {
        "/" => Response::text("Hello, World!"),
        _ => pending().await,
    });
    meanwhile(&server, |addr| {
        let mut clients: Vec<Client> = (0..50)
            .map(|_| {
                let mut client = Client::connect(addr);
                client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
                client
            })
            .collect();
        clients[49].stays_quiet(Duration::from_millis(200));
        for mut client in clients {
            client.stays_quiet(Duration::from_millis(1));
            client.reset();
        }
    });
}
