//! The client's end of one HTTP/2 connection: sends exactly the given frames, tracks all that it receives,
//! and fails when the server breaks a rule: windows, frame sizes, closed streams. Acknowledges SETTINGS and
//! gives credit by itself, unless this is switched off.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use quoit::http::h2::hpack::{Decoder, ListEnd};

use crate::common::{Client, PATIENCE};
use crate::wire::*;

/// What was received on one stream.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    /// Interim responses.
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// DATA frames, empty ones too.
    pub(crate) data_frames: usize,
    pub(crate) trailers: Option<Vec<(String, String)>>,
    /// END_STREAM came.
    pub(crate) ended: bool,
    /// RST_STREAM came, with this code.
    pub(crate) reset: Option<u32>,
}

/// `Debug` shows the body's length instead of the body.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { interim, status, body, ended, reset, .. } = self;
        write!(f, "{interim:?} {status}, {} bytes, ended {ended}, reset {reset:?}", body.len())
    }
}

/// A GOAWAY of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GoAway {
    pub(crate) last: u32,
    pub(crate) code: u32,
    pub(crate) text: String,
}

pub(crate) struct Peer {
    pub(crate) client: Client,
    decoder: Decoder,
    block: Option<(u32, u8, Vec<u8>)>,
    /// Whether credit is given for what comes.
    pub(crate) credits: bool,
    connection_window: i64,
    stream_windows: BTreeMap<u32, i64>,
    initial_window: i64,
    /// What came.
    pub(crate) streams: BTreeMap<u32, Answer>,
    pub(crate) settings: BTreeMap<u16, u32>,
    pub(crate) acknowledged: usize,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) goaways: Vec<GoAway>,
    /// Credit that the server gave, by stream.
    pub(crate) credit: BTreeMap<u32, u64>,
    /// Payload of DATA that was sent with [`send_data`](Self::send_data), by stream and, at 0, in all.
    sent: BTreeMap<u32, u64>,
    next: u32,
}

impl Peer {
    /// Connects, and exchanges SETTINGS.
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::connect_with(addr, &[])
    }

    /// As [`connect`](Self::connect), with settings of its own.
    #[track_caller]
    pub(crate) fn connect_with(addr: SocketAddr, own: &[(u16, u32)]) -> Self {
        Self::over(Client::connect(addr), own)
    }

    /// Exchanges SETTINGS over a connection.
    #[track_caller]
    pub(crate) fn over(client: Client, own: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent(client);
        peer.send([PREFACE, &settings(own)].concat());
        for (id, value) in own {
            if *id == INITIAL_WINDOW_SIZE {
                peer.initial_window = i64::from(*value);
            }
        }
        peer.until("SETTINGS are exchanged", |peer| !peer.settings.is_empty() && peer.acknowledged == 1);
        peer
    }

    /// Over a connection without any bytes yet.
    pub(crate) fn silent(client: Client) -> Self {
        Self {
            client,
            decoder: Decoder::new(),
            block: None,
            credits: true,
            connection_window: 65_535,
            stream_windows: BTreeMap::new(),
            initial_window: 65_535,
            streams: BTreeMap::new(),
            settings: BTreeMap::new(),
            acknowledged: 0,
            pongs: Vec::new(),
            goaways: Vec::new(),
            credit: BTreeMap::new(),
            sent: BTreeMap::new(),
            next: 1,
        }
    }

    /// A stream number that was not used.
    pub(crate) fn fresh(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Numbers up to this one are used.
    pub(crate) fn used(&mut self, stream: u32) {
        self.next = self.next.max(stream + 2);
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.client.send(bytes);
        self
    }

    /// Gives credit by hand.
    #[track_caller]
    pub(crate) fn open_window(&mut self, stream: u32, bytes: u32) {
        self.send(window_update(stream, bytes));
        match stream {
            0 => self.connection_window += i64::from(bytes),
            _ => *self.stream_windows.entry(stream).or_insert(self.initial_window) += i64::from(bytes),
        }
    }

    /// Changes the initial window, of open streams too.
    #[track_caller]
    pub(crate) fn set_initial_window(&mut self, bytes: u32) {
        let before = self.acknowledged;
        self.send(settings(&[(INITIAL_WINDOW_SIZE, bytes)]));
        // Data sent before the server received it may still arrive: enforced from the acknowledgement on.
        self.until("SETTINGS are acknowledged", |peer| peer.acknowledged > before);
        let change = i64::from(bytes) - self.initial_window;
        self.initial_window = i64::from(bytes);
        self.stream_windows.values_mut().for_each(|window| *window += change);
    }

    /// How much may be sent on a stream.
    pub(crate) fn room(&self, stream: u32) -> usize {
        let left = |stream: u32, initial: u64| {
            let credit = self.credit.get(&stream).copied().unwrap_or(0);
            (initial + credit).saturating_sub(self.sent.get(&stream).copied().unwrap_or(0))
        };
        let initial = self.settings.get(&INITIAL_WINDOW_SIZE).copied().unwrap_or(65_535);
        left(0, 65_535).min(left(stream, u64::from(initial))) as usize
    }

    /// Sends DATA, even beyond the window.
    #[track_caller]
    pub(crate) fn send_data(&mut self, stream: u32, flags: u8, payload: impl AsRef<[u8]>) {
        for counted in [0, stream] {
            *self.sent.entry(counted).or_default() += payload.as_ref().len() as u64;
        }
        self.send(data(stream, flags, payload));
    }

    /// Sends a body as fast as the windows allow.
    #[track_caller]
    pub(crate) fn send_body(&mut self, stream: u32, body: &[u8]) {
        let mut rest = body;
        while !rest.is_empty() {
            self.until("credit", |peer| peer.room(stream) > 0);
            let (piece, after) = rest.split_at(self.room(stream).min(16_384).min(rest.len()));
            self.send_data(stream, if after.is_empty() { END_STREAM } else { 0 }, piece);
            rest = after;
        }
    }

    /// As [`send_body`](Self::send_body), without ending the stream.
    #[track_caller]
    pub(crate) fn send_body_open(&mut self, stream: u32, body: &[u8]) {
        let mut rest = body;
        while !rest.is_empty() {
            self.until("credit", |peer| peer.room(stream) > 0);
            let (piece, after) = rest.split_at(self.room(stream).min(16_384).min(rest.len()));
            self.send_data(stream, 0, piece);
            rest = after;
        }
    }

    /// Sends a POST and reads its answer.
    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        let stream = self.fresh();
        self.send(post(stream, path));
        self.send_body(stream, body);
        self.answer(stream)
    }

    /// Sends a GET and reads its answer.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let stream = self.fresh();
        self.send(get(stream, path));
        self.answer(stream)
    }

    /// A whole response.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        self.until(&format!("an answer on stream {stream}"), |peer| {
            peer.streams.get(&stream).is_some_and(|answer| answer.ended || answer.reset.is_some())
        });
        let answer = self.streams[&stream].clone();
        assert_eq!(answer.reset.filter(|code| *code != NO_ERROR), None, "stream {stream} was reset");
        answer
    }

    /// Asserts that a stream is reset with this code.
    #[track_caller]
    pub(crate) fn is_reset(&mut self, stream: u32, code: u32) -> Answer {
        self.until(&format!("RST_STREAM on stream {stream}"), |peer| {
            peer.streams.get(&stream).is_some_and(|answer| answer.reset.is_some())
        });
        let answer = self.streams[&stream].clone();
        assert_eq!(answer.reset, Some(code), "stream {stream}");
        answer
    }

    /// Asserts that the connection ends with this code, and with debug data.
    #[track_caller]
    pub(crate) fn fails_with(&mut self, code: u32) -> GoAway {
        while self.step() {}
        let goaway = self.goaways.last().unwrap_or_else(|| panic!("no GOAWAY, {:?}", self.streams)).clone();
        assert_eq!(goaway.code, code, "{goaway:?}");
        assert!(!goaway.text.is_empty(), "the error is named");
        goaway
    }

    /// Asserts that the connection carries another exchange.
    #[track_caller]
    pub(crate) fn is_usable(&mut self) {
        let answer = self.get("/n/usable");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"usable"[..]));
        assert_eq!(self.goaways, []);
    }

    /// Waits until the server has sent everything before the acknowledgement of a PING.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        let number = (self.pongs.len() as u64 + 1).to_be_bytes();
        self.send(frame(PING, 0, 0, number));
        self.until("PING is answered", |peer| peer.pongs.last().is_some_and(|pong| *pong == number));
    }

    /// Reads until `condition` holds.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(began.elapsed() < PATIENCE, "{what}: not in time; {:?}", self.streams);
            assert!(self.step(), "{what}: the connection ended; {:?} {:?}", self.goaways, self.streams);
        }
    }

    /// Sends `piece` of each number repeatedly, `most` times, until the server sends GOAWAY or closes;
    /// reads meanwhile. How many were sent.
    #[track_caller]
    pub(crate) fn flood(&mut self, most: u32, piece: impl Fn(u32) -> Vec<u8>) -> u32 {
        self.flood_every(Duration::from_micros(1), most, piece)
    }

    /// As [`flood`](Self::flood), with this pause after each.
    pub(crate) fn flood_every(&mut self, every: Duration, most: u32, piece: impl Fn(u32) -> Vec<u8>) -> u32 {
        for number in 0..most {
            let sent = self.client.try_send(piece(number));
            self.rests(every);
            if sent.is_err() || !self.goaways.is_empty() || self.client.ended().is_some() {
                return number;
            }
        }
        most
    }

    /// Reads what comes until nothing has come for this long, or a GOAWAY has.
    pub(crate) fn rests(&mut self, time: Duration) {
        self.client.limit_wait(time);
        while self.goaways.is_empty() && self.try_step().is_some_and(|more| more) {}
        self.client.limit_wait(PATIENCE);
    }

    /// Reads one frame. False at the end of the connection.
    #[track_caller]
    pub(crate) fn step(&mut self) -> bool {
        let step = self.try_step();
        step.unwrap_or_else(|| panic!("nothing comes; {:?} {:?}", self.goaways, self.streams))
    }

    /// As [`step`](Self::step); `None` when nothing comes in time.
    #[track_caller]
    pub(crate) fn try_step(&mut self) -> Option<bool> {
        while self.frame_length().is_none() {
            match self.client.fill() {
                Ok(true) => {}
                Ok(false) => {
                    assert!(self.client.input().is_empty(), "the connection ended within a frame");
                    return Some(false);
                }
                Err(_) => return None,
            }
        }
        let length = self.frame_length().expect("seen above");
        let input = self.client.input();
        let rest = input.split_off(9 + length);
        let bytes = std::mem::replace(input, rest);
        let stream = u32::from_be_bytes(bytes[5..9].try_into().expect("four bytes"));
        self.handle(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() });
        Some(true)
    }

    /// The length of the first frame's payload, if it is whole.
    fn frame_length(&mut self) -> Option<usize> {
        let input = self.client.input();
        let header = input.first_chunk::<9>()?;
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        assert!(length <= 16_384, "a frame of {length} bytes");
        (input.len() >= 9 + length).then_some(length)
    }

    #[track_caller]
    fn handle(&mut self, frame: Frame) {
        if self.block.is_some() {
            assert_eq!(frame.kind, CONTINUATION, "a block is not interrupted");
        }
        match frame.kind {
            DATA => self.handle_data(&frame),
            HEADERS => {
                assert!(!frame.has(PADDED | WITH_PRIORITY), "we have no use for that");
                self.block = Some((frame.stream, frame.flags, Vec::new()));
                self.handle_fragment(&frame);
            }
            CONTINUATION => self.handle_fragment(&frame),
            RST_STREAM => {
                let answer = self.streams.entry(frame.stream).or_default();
                assert_eq!((frame.payload.len(), answer.reset), (4, None));
                answer.reset = Some(frame.number(0));
            }
            SETTINGS if frame.has(ACK) => {
                assert_eq!((frame.stream, frame.payload.len()), (0, 0));
                self.acknowledged += 1;
            }
            SETTINGS => {
                assert_eq!((frame.stream, frame.payload.len() % 6), (0, 0));
                for setting in frame.payload.chunks(6) {
                    let id = u16::from_be_bytes([setting[0], setting[1]]);
                    let value = u32::from_be_bytes(setting[2..].try_into().expect("four bytes"));
                    self.settings.insert(id, value);
                }
                // The server may have closed by now.
                let _ = self.client.try_send(crate::wire::frame(SETTINGS, ACK, 0, b""));
            }
            PING if frame.has(ACK) => self.pongs.push(frame.payload),
            PING => {
                let _ = self.client.try_send(crate::wire::frame(PING, ACK, 0, &frame.payload));
            }
            GOAWAY => {
                assert_eq!(frame.stream, 0);
                let text = String::from_utf8(frame.payload[8..].to_vec()).expect("text");
                self.goaways.push(GoAway { last: frame.number(0), code: frame.number(4), text });
            }
            WINDOW_UPDATE => {
                assert!(frame.number(0) > 0);
                *self.credit.entry(frame.stream).or_default() += u64::from(frame.number(0));
            }
            kind => panic!("a server sends no frame of type {kind}"),
        }
    }

    #[track_caller]
    fn handle_data(&mut self, frame: &Frame) {
        let length = frame.payload.len() as i64;
        self.connection_window -= length;
        let window = self.stream_windows.entry(frame.stream).or_insert(self.initial_window);
        *window -= length;
        assert!(length == 0 || (*window >= 0 && self.connection_window >= 0), "beyond the window");
        let answer = self.streams.get_mut(&frame.stream).expect("the head comes first");
        assert!(answer.status >= 200 && !answer.ended && answer.reset.is_none() && !frame.has(PADDED));
        answer.body.extend_from_slice(&frame.payload);
        answer.data_frames += 1;
        answer.ended = frame.has(END_STREAM);
        if self.credits && length > 0 {
            let mut credit = window_update(0, length as u32);
            self.connection_window += length;
            if !answer.ended {
                credit.extend(window_update(frame.stream, length as u32));
                *window += length;
            }
            let _ = self.client.try_send(credit);
        }
    }

    #[track_caller]
    fn handle_fragment(&mut self, frame: &Frame) {
        let (stream, _, bytes) = self.block.as_mut().expect("HEADERS came before");
        assert_eq!(*stream, frame.stream);
        bytes.extend_from_slice(&frame.payload);
        if !frame.has(END_HEADERS) {
            return;
        }
        let (stream, flags, bytes) = self.block.take().expect("seen above");
        let mut fields = Vec::new();
        let end = self.decoder.decode(&bytes, u32::MAX, |field| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            fields.push((text(field.name), text(field.value)));
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(end, Ok(ListEnd::Whole), "a block that can be decoded");
        let answer = self.streams.entry(stream).or_default();
        assert!(!answer.ended && answer.reset.is_none(), "nothing follows the end");
        for (name, _) in &fields {
            assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()), "{name}");
            let of_connection =
                ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
            assert!(!of_connection.contains(&&name[..]), "{name}");
        }
        let ends = flags & END_STREAM != 0;
        if answer.status >= 200 {
            assert!(ends && answer.trailers.is_none(), "trailers are the end");
            assert!(fields.iter().all(|(name, _)| !name.starts_with(':')));
            answer.trailers = Some(fields);
        } else {
            assert_eq!(fields[0].0, ":status");
            let status: u16 = fields.remove(0).1.parse().expect("a number");
            if status < 200 {
                assert!(!ends, "an interim response is not the end");
                answer.interim.push(status);
            } else {
                (answer.status, answer.fields) = (status, fields);
            }
        }
        answer.ended = ends;
    }
}

impl Answer {
    /// The one value of a field.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts status and body.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: impl AsRef<[u8]>) -> &Self {
        assert!(self.ended, "not to its end");
        assert_eq!(self.status, status, "{}", self.text());
        let body = body.as_ref();
        let at = self.body.iter().zip(body).position(|(one, other)| one != other);
        assert!(self.body == body, "{} bytes, not {}; at {at:?}", self.body.len(), body.len());
        self
    }
}
