//! Both roles against each other, in memory, in pieces of every size: what one sends the other reads.

use std::collections::BTreeMap;

use super::client::{Connection as Client, Event as Heard, SendRequest};
use super::*;
use crate::http::message::{Framing, ResponseHead};
use crate::http::method::Method;

/// A message on its way out, and what came of the other one.
#[derive(Default)]
struct Side {
    key: Option<StreamKey>,
    unsent: Vec<u8>,
    trailers: Option<&'static str>,
    body: Vec<u8>,
    log: String,
    done: bool,
}

struct Pair {
    client: Client,
    server: Connection,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    requests: BTreeMap<u32, Side>,
    responses: BTreeMap<u32, Side>,
    /// Bytes that are moved at once.
    piece: usize,
    now: Duration,
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

impl Pair {
    fn new(piece: usize, limits: H2Limits) -> Pair {
        let (heads, bodies) = (HeadLimits::DEFAULT, BodyLimits::DEFAULT);
        let client = Client::new(&limits, &heads, &bodies);
        let server = Connection::new(&limits, &heads, &bodies);
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        client.start(&mut to_server);
        server.start(&mut to_client);
        let (requests, responses) = (BTreeMap::new(), BTreeMap::new());
        let now = Duration::from_secs(1000);
        Pair { client, server, to_server, to_client, requests, responses, piece, now }
    }

    fn request(&mut self, head: &SendRequest<'_>, unsent: Vec<u8>, trailers: Option<&'static str>) -> u32 {
        let end = if unsent.is_empty() && trailers.is_none() { EndStream::Yes } else { EndStream::No };
        let key = self.client.send_request(head, end, self.now, &mut self.to_server).expect("a stream");
        let side = Side { key: Some(key), unsent, trailers, done: end == EndStream::Yes, ..Side::default() };
        self.requests.insert(key.id(), side);
        key.id()
    }

    /// Moves bytes until both sides are silent.
    fn run(&mut self) {
        while self.step() {}
        let all = self.requests.values().chain(self.responses.values());
        assert!(all.clone().all(|side| side.done), "{:?}", all.map(|side| &side.log).collect::<Vec<_>>());
        assert_eq!((self.client.open_streams(), self.server.open_streams()), (0, 0));
        assert_eq!((self.client.unread_bytes(), self.server.unread_bytes()), (0, 0));
    }

    fn step(&mut self) -> bool {
        for side in self.requests.values_mut().filter(|side| !side.done) {
            push(&mut self.client, side, self.now, &mut self.to_server);
        }
        for side in self.responses.values_mut().filter(|side| !side.done) {
            push(&mut self.server, side, self.now, &mut self.to_client);
        }
        let input: Vec<u8> = self.to_server.drain(..self.piece.min(self.to_server.len())).collect();
        self.serve(&input);
        let answer: Vec<u8> = self.to_client.drain(..self.piece.min(self.to_client.len())).collect();
        self.read(&answer);
        !input.is_empty() || !answer.is_empty()
    }

    fn serve(&mut self, mut input: &[u8]) {
        let mut head = RequestHead::new();
        loop {
            let step = self.server.handle_bytes(input, &mut self.to_client, &mut head, self.now).unwrap();
            match step.event {
                None => return,
                Some(Event::Head { stream, ends }) => self.begin(stream, &head, ends),
                Some(Event::Data { stream, data, ends }) => {
                    self.server.consume(stream, data.len() as u32, &mut self.to_client);
                    let side = self.responses.get_mut(&stream.id()).unwrap();
                    side.body.extend_from_slice(&input[data]);
                    if ends {
                        self.answer(stream);
                    }
                }
                Some(Event::Trailers { stream, trailers: lines }) => {
                    let lines = String::from_utf8(lines.unwrap().lines().to_vec()).unwrap();
                    self.responses.get_mut(&stream.id()).unwrap().log += &lines;
                    self.answer(stream);
                }
                Some(other) => panic!("{other:?}"),
            }
            input = &input[step.consumed..];
        }
    }

    /// A request's head has come: an interim response at once, the final one when the request is whole.
    fn begin(&mut self, stream: StreamKey, head: &RequestHead, ends: bool) {
        let log = format!("{} {} {:?} ", head.method_str(), head.path(), head.protocol());
        self.responses.insert(stream.id(), Side { log, ..Side::default() });
        let hints = SendHead { status: Status::EARLY_HINTS, date: b"", lines: b"Link: a\r\n", length: None };
        self.server.send_head(stream, &hints, EndStream::No, self.now, &mut self.to_client);
        if head.method() == Method::Connect {
            assert_eq!(head.framing(), Framing::Tunnel);
        }
        if ends {
            self.answer(stream);
        }
    }

    /// Echoes a request, with its log as the value of a trailer.
    fn answer(&mut self, stream: StreamKey) {
        let side = self.responses.get_mut(&stream.id()).unwrap();
        let lines = b"Content-Type: a/b\r\nDate: today\r\n";
        let head = SendHead { status: Status::OK, date: b"", lines, length: None };
        let secret = b"X-Secret: 1\r\n";
        self.server.send_head_with(stream, &head, secret, EndStream::No, self.now, &mut self.to_client);
        side.key = Some(stream);
        side.unsent = std::mem::take(&mut side.body);
        side.trailers = Some("Sum: 1\r\n");
    }

    fn read(&mut self, mut input: &[u8]) {
        let mut head = ResponseHead::new();
        loop {
            let step = self.client.handle_bytes(input, &mut self.to_server, &mut head, self.now).unwrap();
            match step.event {
                None => return,
                Some(Heard::Head { stream, interim, ends }) => {
                    let side = self.requests.get_mut(&stream.id()).unwrap();
                    side.log += &format!("{}{} ", head.status().code(), if interim { "i" } else { "" });
                    let mut fields = head.fields();
                    let marked =
                        std::iter::from_fn(|| fields.next_field()).filter(|field| field.never_indexed);
                    let marked: Vec<_> = marked.map(|field| field.name).collect();
                    let (expected, name): (&[_], _) =
                        if interim { (&[], "link") } else { (&["x-secret"], "content-type") };
                    assert!(!ends && marked == expected && head.field(name).is_some());
                }
                Some(Heard::Data { stream, data, .. }) => {
                    self.client.consume(stream, data.len() as u32, &mut self.to_server);
                    self.requests.get_mut(&stream.id()).unwrap().body.extend_from_slice(&input[data]);
                }
                Some(Heard::Trailers { stream, trailers: lines }) => {
                    let lines = String::from_utf8(lines.unwrap().lines().to_vec()).unwrap();
                    self.requests.get_mut(&stream.id()).unwrap().log += &lines;
                }
                Some(other) => panic!("{other:?}"),
            }
            input = &input[step.consumed..];
        }
    }
}

/// Sends what the windows allow of a message.
fn push<R: connection::Role>(
    machine: &mut connection::Connection<R>,
    side: &mut Side,
    now: Duration,
    out: &mut Vec<u8>,
) {
    let Some(key) = side.key else { return };
    while !side.unsent.is_empty() {
        let length = machine.sendable(key).min(side.unsent.len());
        if length == 0 {
            return;
        }
        assert!(machine.begin_data_frame(key, length, EndStream::No, now, out));
        out.extend(side.unsent.drain(..length));
    }
    match side.trailers.take() {
        Some(lines) => machine.send_trailers(key, lines.as_bytes(), now, out),
        None => assert!(machine.begin_data_frame(key, 0, EndStream::Yes, now, out)),
    }
    side.done = true;
}

const POST: SendRequest<'static> = SendRequest {
    method: "POST",
    scheme: "http",
    authority: "a",
    path: "/up",
    protocol: None,
    lines: b"Accept: */*\r\nCookie: a=b\r\n",
    never_indexed: b"X-Token: secret\r\n",
    length: None,
};

#[test]
fn requests_and_responses_in_pieces_of_every_size() {
    for piece in (1..40).chain([64, 1000, 16_384, 16_393, 1 << 20]) {
        let mut pair = Pair::new(piece, H2Limits::DEFAULT);
        let get = SendRequest { method: "GET", path: "/", ..POST };
        let first = pair.request(&get, Vec::new(), None);
        let second = pair.request(&POST, b"hello".to_vec(), None);
        let third = pair.request(&POST, b"hello".to_vec(), Some("Md: 1\r\n"));
        let fourth = pair.request(&SendRequest { length: Some(300), ..POST }, body(300), None);
        pair.run();
        for id in [first, second, third, fourth] {
            assert_eq!(pair.requests[&id].log, "103i 200 sum: 1\r\n", "{piece}");
        }
        let echoed = [first, second, third, fourth].map(|id| pair.requests[&id].body.clone());
        assert_eq!(echoed, [Vec::new(), b"hello".to_vec(), b"hello".to_vec(), body(300)], "{piece}");
        assert_eq!(pair.responses[&third].log, "POST /up None md: 1\r\n");
    }
}

#[test]
fn bodies_larger_than_every_window() {
    for (stream_window, connection_window) in
        [(1000, 0), (70_000, 100_000), (1 << 20, 1 << 16), (20_000, 1 << 20)]
    {
        let limits = H2Limits { stream_window, connection_window, ..H2Limits::DEFAULT };
        let mut pair = Pair::new(10_000, limits);
        let ids: Vec<u32> = (0..3).map(|_| pair.request(&POST, body(300_000), None)).collect();
        pair.run();
        ids.iter().for_each(|id| assert!(pair.requests[id].body == body(300_000)));
    }
}

#[test]
fn an_extended_connect_echoes() {
    for piece in [1, 2, 3, 5, 8, 13, 1 << 20] {
        let mut pair = Pair::new(piece, H2Limits::DEFAULT);
        while pair.step() {}
        assert!(pair.client.accepts_connect_protocol());
        let connect = SendRequest { method: "CONNECT", path: "/chat", protocol: Some("websocket"), ..POST };
        let id = pair.request(&connect, b"ping".to_vec(), None);
        // A tunnel has no trailers: the server of this test ends it with DATA.
        while pair.step() {
            for side in pair.responses.values_mut() {
                side.trailers = None;
            }
        }
        pair.run();
        assert_eq!(pair.requests[&id].body, b"ping");
        assert_eq!(pair.responses[&id].log, "CONNECT /chat Some(\"websocket\") ");
    }
}

#[test]
fn a_server_that_drains_loses_no_request() {
    let mut pair = Pair::new(7, H2Limits::DEFAULT);
    let id = pair.request(&POST, b"hello".to_vec(), None);
    for _ in 0..12 {
        pair.step();
    }
    pair.server.announce_leave(&mut pair.to_client);
    let late = pair.request(&POST, b"late".to_vec(), None);
    let mut heard = Vec::new();
    let mut head = ResponseHead::new();
    for _ in 0..1000 {
        for side in pair.requests.values_mut().filter(|side| !side.done) {
            push(&mut pair.client, side, pair.now, &mut pair.to_server);
        }
        for side in pair.responses.values_mut().filter(|side| !side.done) {
            push(&mut pair.server, side, pair.now, &mut pair.to_client);
        }
        let input = std::mem::take(&mut pair.to_server);
        pair.serve(&input);
        let answer = std::mem::take(&mut pair.to_client);
        let mut rest = &answer[..];
        loop {
            let step = pair.client.handle_bytes(rest, &mut pair.to_server, &mut head, pair.now).unwrap();
            let Some(event) = step.event else { break };
            match event {
                Heard::Goaway { last, .. } => heard.push(format!("goaway {last}")),
                Heard::Trailers { stream, .. } => heard.push(format!("{} over", stream.id())),
                Heard::Data { stream, data, .. } => {
                    pair.client.consume(stream, data.len() as u32, &mut pair.to_server);
                }
                Heard::Head { .. } => {}
                other @ Heard::Reset { .. } => panic!("{other:?}"),
            }
            rest = &rest[step.consumed..];
        }
    }
    heard.sort();
    let expected = ["1 over", "3 over", "goaway 2147483647", "goaway 3"];
    assert_eq!((id, late, heard), (1, 3, expected.map(String::from).to_vec()));
    assert!(pair.client.is_over() && pair.server.is_over());
}
