//! Response bodies: how each kind is delimited for each kind of client, and what a client receives of a body
//! that fails or has another length than announced.

use crate::common::{Broken, Client, End, Framing, lenient, pattern, serve};
use crate::lab::Lab;

#[test]
fn a_stream_is_chunked_for_http_11() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    let vectors = [
        ("", vec![]),
        ("5", vec![5]),
        ("5,0,1,0,0,17", vec![5, 1, 17]),
        ("1,~,2,~,~,3", vec![1, 2, 3]),
        ("16384,16385,1", vec![16384, 16385, 1]),
        ("100000,0,40000,5", vec![100_000, 40_000, 5]),
    ];
    for (script, chunks) in vectors {
        let response = client.ask(format!("GET /stream/{script} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked");
        response.is(200, vec![b'x'; chunks.iter().sum()]);
        assert_eq!(response.framing, Framing::Chunked(chunks));
        client.is_usable();
    }
}

#[test]
fn a_stream_ends_with_the_connection_for_http_10() {
    let server = serve(lenient(), Lab::default());
    for keep in ["", "Connection: keep-alive\r\n"] {
        for (script, length) in [("", 0), ("5,0,~,6", 11), ("100000,0,40000,5", 140_005)] {
            let mut client = Client::connect(server.addr);
            let response = client.ask(format!("GET /stream/{script} HTTP/1.0\r\n{keep}\r\n"));
            assert_eq!(response.head, "HTTP/1.1 200 OK\r\nConnection: close");
            assert_eq!(response.framing, Framing::UntilClose);
            response.is(200, vec![b'x'; length]);
        }
    }
}

#[test]
fn a_stream_of_known_length_says_it() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for (script, length) in [("=0", 0), ("=5,5", 5), ("=11,5,0,~,6", 11), ("=120000,60000,60000", 120_000)] {
        let response = client.ask(format!("GET /stream/{script} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.head, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}"));
        response.is(200, vec![b'x'; length]);
        client.is_usable();
    }
    let response = client.ask("GET /stream/=5,5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    response.is(200, "xxxxx");
    assert_eq!(response.framing, Framing::Length);
    client.is_usable();
}

/// A response whose body is not as announced: a client never reads a complete response.
fn is_cut(server: std::net::SocketAddr, request: &str) -> Client {
    let mut client = Client::connect(server);
    client.send(request);
    match client.try_response_to("GET") {
        Err(Broken::InBody(..) | Broken::InHead(_) | Broken::Silence(_)) => client,
        outcome => panic!("{request:?}: {outcome:?}"),
    }
}

#[test]
fn a_stream_that_breaks_off_never_looks_whole() {
    let server = serve(lenient(), Lab::default());
    for script in [
        "=10,5",         // short
        "=10",           // nothing at all
        "=5,5,~,1",      // long, found after everything owed was sent
        "=100000,60000", // short, and the head has long left
        "=10,5,!",       // an error within
        "5,~,6,!",       // an error in chunks
        "60000,60000,!",
        "!",
    ] {
        let follower = "GET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n";
        let request = format!("GET /stream/{script} HTTP/1.1\r\nHost: a\r\n\r\n{follower}");
        if script == "=5,5,~,1" {
            // Its bytes were right; only the end of the connection shows that there were more.
            let mut client = Client::connect(server.addr);
            client.send(request);
            match client.try_response_to("GET") {
                Ok(response) => drop(response.is(200, "xxxxx")),
                Err(broken) => assert!(!matches!(broken, Broken::TimedOut), "{broken:?}"),
            }
            assert!(client.drain().is_empty(), "nothing may follow");
        } else {
            is_cut(server.addr, &request);
        }
    }
    Client::connect(server.addr).is_usable();
}

#[test]
fn a_stream_that_breaks_off_is_a_reset_where_the_end_would_look_whole() {
    let server = serve(lenient(), Lab::default());
    for script in ["5,~,6,!", "60000,60000,!", "60000,~,!"] {
        let client = is_cut(server.addr, &format!("GET /stream/{script} HTTP/1.0\r\n\r\n"));
        assert_eq!(client.ended(), Some(End::Reset), "{script}: FIN would say that this was all");
    }
    Client::connect(server.addr).is_usable();
}

#[test]
fn responses_before_one_that_breaks_off_are_not_lost() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send(
        "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /stream/=10,5 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    client.response().is(200, "1");
    client.response().is(200, "2");
    assert!(client.try_response_to("GET").is_err());
}

#[test]
fn statuses_without_a_body_have_none() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for method in ["GET", "HEAD", "POST"] {
        for (status, line, framing) in
            [(204, "204 No Content", ""), (304, "304 Not Modified", "\r\nContent-Length: 14")]
        {
            let response = client.ask(format!("{method} /bodiless/{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = format!("HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8{framing}");
            assert_eq!((response.status, response.head), (status, head));
            client.is_usable();
        }
    }
}

#[test]
fn bodies_around_every_boundary_are_whole() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for length in [0, 1, 16_383, 16_384, 16_385, 32_767, 32_768, 65_536, 102_400, 5 * 1024 * 1024] {
        client
            .ask(format!("GET /bytes/{length} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .is(200, pattern(length))
            .keeps();
        client.is_usable();
    }
}

#[test]
fn large_bodies_reach_a_slow_reader() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect_narrow(server.addr, 16 * 1024);
    client.send(
        "GET /bytes/102400 HTTP/1.1\r\nHost: a\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /bytes/5242880 HTTP/1.1\r\nHost: a\r\n\r\nGET /stream/70000,70000,5 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /bytes/102401 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    // The buffers are full, and nothing of it is read.
    client.receives(4096);
    client.response().is(200, pattern(102_400));
    client.response().is(200, "2");
    client.receives(4096);
    client.response().is(200, pattern(5 * 1024 * 1024));
    client.response().is(200, vec![b'x'; 140_005]);
    client.response().is(200, pattern(102_401));
    client.is_usable();
}

#[test]
fn pipelined_responses_of_all_kinds_stay_in_order() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    let mut wire = String::new();
    for n in 0..40 {
        let path = match n % 5 {
            0 => format!("/n/{n}"),
            1 => format!("/bytes/{}", n * 1000),
            2 => format!("/stream/{n},~,{n}"),
            3 => format!("/stream/={n},{n}"),
            _ => "/bodiless/204".to_owned(),
        };
        wire += &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    client.send(wire);
    for n in 0..40 {
        let response = client.response();
        match n % 5 {
            0 => response.is(200, n.to_string()),
            1 => response.is(200, pattern(n * 1000)),
            2 => response.is(200, vec![b'x'; 2 * n]),
            3 => response.is(200, vec![b'x'; n]),
            _ => response.is(204, ""),
        };
    }
    client.is_usable();
}

#[test]
fn a_close_after_a_large_body_loses_nothing() {
    let server = serve(lenient(), Lab::default());
    for target in
        ["/bytes/5242880 HTTP/1.1", "/bytes/5242880 HTTP/1.0", "/stream/=3000000,1500000,1500000 HTTP/1.1"]
    {
        let mut client = Client::connect_narrow(server.addr, 16 * 1024);
        client.send(format!("GET {target}\r\nHost: a\r\nConnection: close\r\n\r\n"));
        client.receives(4096);
        let response = client.response();
        let length: usize = response.field("content-length").unwrap().parse().unwrap();
        assert_eq!(response.body.len(), length);
        response.has_status(200).says_close();
        client.is_closed();
    }
}
