//! Runs the client's machine over a blocking socket: one thread, one connection, and a record of what was
//! received for each request.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use quoit::http::h2::client::{Connection, Event, SendRequest};
use quoit::http::h2::{EndStream, ErrorCode, H2Limits, StreamKey};
use quoit::http::message::{BodyLimits, HeadLimits, ResponseHead};

use crate::common::PATIENCE;

/// A GET of `/`; `authority` is any.
pub(crate) const GET: SendRequest<'static> = SendRequest {
    method: "GET",
    scheme: "http",
    authority: "localhost",
    path: "/",
    protocol: None,
    lines: b"",
    never_indexed: b"",
    length: None,
};

/// What was received for one request, and what is still to be sent for it.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) interim: Vec<(u16, String)>,
    pub(crate) status: u16,
    /// Names and values, in order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
    pub(crate) is_over: bool,
    /// The code, and whether the request may be repeated.
    pub(crate) reset: Option<(ErrorCode, bool)>,
    unsent: Vec<u8>,
    /// Field lines that follow the body; `None` once our side has ended.
    ending: Option<&'static str>,
}

impl Exchange {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) struct Driver {
    socket: TcpStream,
    pub(crate) machine: Connection,
    out: Vec<u8>,
    head: ResponseHead,
    began: Instant,
    pub(crate) exchanges: BTreeMap<u32, Exchange>,
    /// Contents of each GOAWAY.
    pub(crate) goaways: Vec<(u32, ErrorCode)>,
    pub(crate) is_eof: bool,
    keys: BTreeMap<u32, StreamKey>,
}

impl Driver {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Driver {
        Driver::connect_with(addr, H2Limits::DEFAULT)
    }

    /// Connects, and waits for the server's SETTINGS.
    #[track_caller]
    pub(crate) fn connect_with(addr: SocketAddr, limits: H2Limits) -> Driver {
        let socket = TcpStream::connect(addr).expect("the server accepts");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let machine = Connection::new(&limits, &HeadLimits::DEFAULT, &BodyLimits::DEFAULT);
        let mut out = Vec::new();
        machine.start(&mut out);
        let mut driver = Driver {
            socket,
            machine,
            out,
            head: ResponseHead::new(),
            began: Instant::now(),
            exchanges: BTreeMap::new(),
            goaways: Vec::new(),
            is_eof: false,
            keys: BTreeMap::new(),
        };
        driver.until("SETTINGS", |driver| !driver.machine.is_within_frame());
        driver
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sends a request without a body.
    #[track_caller]
    pub(crate) fn request(&mut self, head: &SendRequest<'_>) -> u32 {
        self.begin(head, EndStream::Yes)
    }

    /// Sends a request with a body, and with trailers unless they are empty.
    #[track_caller]
    pub(crate) fn upload(&mut self, head: &SendRequest<'_>, body: &[u8], trailers: &'static str) -> u32 {
        let id = self.begin(head, EndStream::No);
        self.push(id, body);
        self.finish(id, trailers);
        id
    }

    /// Sends a head. After [`EndStream::No`] comes what is pushed.
    #[track_caller]
    pub(crate) fn begin(&mut self, head: &SendRequest<'_>, end: EndStream) -> u32 {
        let now = self.now();
        let key = self.machine.send_request(head, end, now, &mut self.out).expect("room for a stream");
        self.exchanges.insert(key.id(), Exchange::default());
        self.keys.insert(key.id(), key);
        key.id()
    }

    pub(crate) fn push(&mut self, id: u32, data: &[u8]) {
        self.exchanges.get_mut(&id).unwrap().unsent.extend_from_slice(data);
    }

    /// Our side ends once everything that was pushed is out.
    pub(crate) fn finish(&mut self, id: u32, trailers: &'static str) {
        self.exchanges.get_mut(&id).unwrap().ending = Some(trailers);
    }

    pub(crate) fn reset(&mut self, id: u32) {
        self.machine.reset(self.keys[&id], ErrorCode::CANCEL, &mut self.out);
    }

    /// The answer to a request, once it is complete.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: u32) -> &Exchange {
        self.until("an answer", |driver| driver.exchanges[&id].is_over);
        let exchange = &self.exchanges[&id];
        assert_eq!(exchange.reset, None, "{exchange:?}");
        exchange
    }

    /// Moves bytes until the condition holds.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&Driver) -> bool) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.send_bodies();
            self.socket.write_all(&std::mem::take(&mut self.out)).expect("the server reads");
            if condition(self) {
                return;
            }
            assert!(!self.is_eof, "{what}: the server has closed the connection");
            match self.socket.read(&mut buffer) {
                Ok(0) => self.is_eof = true,
                Ok(length) => self.take(&buffer[..length]),
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }

    fn send_bodies(&mut self) {
        let now = self.now();
        for (id, exchange) in &mut self.exchanges {
            let key = self.keys[id];
            while !exchange.unsent.is_empty() {
                let length = self.machine.sendable(key).min(exchange.unsent.len());
                if length == 0
                    || !self.machine.begin_data_frame(key, length, EndStream::No, now, &mut self.out)
                {
                    break;
                }
                self.out.extend(exchange.unsent.drain(..length));
            }
            if !exchange.unsent.is_empty() {
                continue;
            }
            match exchange.ending.take() {
                None => {}
                Some("") => {
                    self.machine.begin_data_frame(key, 0, EndStream::Yes, now, &mut self.out);
                }
                Some(lines) => self.machine.send_trailers(key, lines.as_bytes(), now, &mut self.out),
            }
        }
    }

    fn take(&mut self, mut input: &[u8]) {
        loop {
            let now = self.now();
            let step = self.machine.handle_bytes(input, &mut self.out, &mut self.head, now);
            let step = step.expect("a server keeps to the protocol");
            let Some(event) = step.event else { return };
            self.handle(event, input);
            input = &input[step.consumed..];
        }
    }

    fn handle(&mut self, event: Event, input: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match event {
            Event::Head { stream, interim, ends } => {
                let fields = self.head.fields().map(|(name, value)| (name.to_owned(), text(value)));
                let fields: Vec<_> = fields.collect();
                let exchange = self.exchanges.get_mut(&stream.id()).unwrap();
                if interim {
                    let link = self.head.field("link").map(text).unwrap_or_default();
                    return exchange.interim.push((self.head.status().code(), link));
                }
                (exchange.status, exchange.fields) = (self.head.status().code(), fields);
                exchange.is_over = ends;
            }
            Event::Data { stream, data, ends } => {
                self.machine.consume(stream, data.len() as u32, &mut self.out);
                let exchange = self.exchanges.get_mut(&stream.id()).unwrap();
                exchange.body.extend_from_slice(&input[data]);
                exchange.is_over = ends;
            }
            Event::Trailers { stream, trailers } => {
                let exchange = self.exchanges.get_mut(&stream.id()).unwrap();
                exchange.trailers = text(trailers.expect("trailers within the limits").lines());
                exchange.is_over = true;
            }
            Event::Reset { stream, code, may_retry, error } => {
                assert_eq!(error, None, "a server keeps to the protocol");
                let exchange = self.exchanges.get_mut(&stream.id()).unwrap();
                // RFC 9113 §8.1: after a whole response it asks for the end of the request alone.
                if !exchange.is_over {
                    exchange.reset = Some((code, may_retry));
                    exchange.is_over = true;
                }
            }
            Event::Goaway { last, code } => self.goaways.push((last, code)),
        }
    }
}
