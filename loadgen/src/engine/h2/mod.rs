//! HTTP/2 (RFC 9113) on one connection, the client's end: requests are streams, answers come in any order.
//! Frames and field blocks are read and written by `quoit::http::h2`, which is held against other
//! implementations; which stream stands where, and what it is booked as, is decided here.

mod answer;
mod receive;
mod send;

use std::collections::VecDeque;

use bytes::Bytes;
use quoit::http::h2::frame::{self, FRAME_BYTES_DEFAULT, MAX_31_BITS, PREFACE};
use quoit::http::h2::hpack::{Decoder, Encoder};
use quoit::http::h2::settings::{Settings, WINDOW_DEFAULT, id};
use quoit::http::h2::{ConnectionError, ErrorCode, FramePart, FrameReader};
use quoit::ring::Payload;

use self::answer::Came;
use super::connection::Exchanges;
use super::link::Link;
use super::record::Flight;

/// Window of each stream and of the connection: what is read is only counted, so that no window should hold a
/// server back. The half of the largest there is, so that it can be widened.
const WINDOW: u32 = 1 << 30;

/// Streams at once before the server has said how many: what RFC 9113, section 6.5.2, asks of it at least.
const STREAMS_UNTOLD: usize = 100;

/// A request on its way.
struct Stream {
    id: u32,
    flight: Flight,
    answer: Came,
    /// Bytes received that were not credited.
    uncredited: u32,
    /// Its body, what of it was sent, and how much more the server takes.
    body: Bytes,
    sent: usize,
    window: i64,
}

impl Stream {
    fn unsent(&self) -> usize {
        self.body.len() - self.sent
    }
}

/// The field block of a plan's only request. Once it came out the same twice, the tables of both ends stay
/// as they are, and it will come out the same until a setting changes that: then it need not be made again.
#[derive(Default)]
struct Repeated {
    block: Vec<u8>,
    is_settled: bool,
}

/// A connection's streams.
pub(super) struct Multiplex {
    reader: FrameReader,
    decoder: Decoder,
    encoder: Encoder,
    /// The field block of the only request there is.
    repeated: Repeated,
    /// The server's; `None` before they were received.
    settings: Option<Settings>,
    /// Those in flight, by number, which is in the order of sending.
    streams: VecDeque<Stream>,
    unsent: VecDeque<Flight>,
    next_id: u32,
    /// Whether the server said that it takes no further stream.
    is_leaving: bool,
    /// The connection's windows: what the server takes, and what it sent that was not credited.
    window: i64,
    uncredited: u32,
    /// Streams whose body is not sent.
    bodies: usize,
    /// A field block in pieces, and of which stream; with whether that ends there.
    block: Vec<u8>,
    block_of: Option<(u32, bool)>,
    /// The DATA frame that is coming: its stream, and whether that ends there.
    data_of: (u32, bool),
    /// Frames of the connection itself that wait to be sent.
    control: Vec<u8>,
    /// When something came last.
    heard_ns: u64,
}

impl Default for Multiplex {
    fn default() -> Self {
        Self {
            reader: FrameReader::new(FRAME_BYTES_DEFAULT),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            repeated: Repeated::default(),
            settings: None,
            streams: VecDeque::new(),
            unsent: VecDeque::new(),
            next_id: 1,
            is_leaving: false,
            window: i64::from(WINDOW_DEFAULT),
            uncredited: 0,
            bodies: 0,
            block: Vec::new(),
            block_of: None,
            data_of: (0, false),
            control: Vec::new(),
            heard_ns: 0,
        }
    }
}

impl Exchanges for Multiplex {
    type Misdeed = ConnectionError;

    fn handle_opened(&mut self, now_ns: u64) {
        debug_assert!(self.streams.is_empty());
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.iter_mut().for_each(|flight| flight.ready_ns = flight.ready_ns.max(now_ns));
        *self = Self { unsent, heard_ns: now_ns, ..Self::default() };
        self.control.extend_from_slice(PREFACE);
        frame::write_settings(&mut self.control, &[(id::ENABLE_PUSH, 0), (id::INITIAL_WINDOW_SIZE, WINDOW)]);
        frame::write_window_update(&mut self.control, 0, WINDOW - WINDOW_DEFAULT);
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.streams.len()
    }

    #[inline]
    fn unsent(&self) -> usize {
        self.unsent.len()
    }

    #[inline]
    fn room(&self, planned: usize) -> usize {
        planned.min(self.streams_max())
    }

    #[inline]
    fn push(&mut self, flight: Flight) {
        self.unsent.push_back(flight);
    }

    fn wants_to_send(&self) -> bool {
        let may_begin =
            !self.is_leaving && !self.unsent.is_empty() && self.streams.len() < self.streams_max();
        let has_body = || {
            self.bodies > 0 && self.window > 0 && self.streams.iter().any(|s| s.unsent() > 0 && s.window > 0)
        };
        !self.control.is_empty() || may_begin || has_body()
    }

    fn write(&mut self, link: &Link) -> Payload {
        let core = &*link.core;
        let mut out = core.ring.take_buffer();
        out.append(&mut self.control);
        let now_ns = match self.unsent.front() {
            // A closed loop looked at the clock when it took the request.
            Some(flight) if core.is_closed_loop() => flight.ready_ns,
            _ => core.now_ns(),
        };
        while !self.is_leaving && self.streams.len() < self.streams_max() {
            let Some(flight) = self.unsent.pop_front() else { break };
            self.begin(core, flight, now_ns, &mut out);
        }
        self.write_bodies(&mut out);
        Payload::Buffer(out)
    }

    fn handle_input(&mut self, link: &mut Link, mut input: &[u8]) -> Result<(), ConnectionError> {
        self.heard_ns = link.core.turn_ns();
        loop {
            let (used, piece) = self.reader.read(input)?;
            match piece {
                FramePart::Incomplete => break,
                FramePart::Whole(header, payload) => {
                    self.check_order(&header)?;
                    self.handle_frame(link, header, &input[payload])?;
                }
                FramePart::Header(header) => self.check_order(&header)?,
                FramePart::Frame(header, payload) => self.handle_frame(link, header, payload.bytes(input))?,
                FramePart::DataHeader(header) => {
                    self.check_order(&header)?;
                    self.begin_data(&header)?;
                }
                FramePart::Data { data, is_last, .. } => self.handle_data(link, data.len(), is_last),
            }
            input = &input[used..];
        }
        link.closing |= self.next_id > MAX_31_BITS - 2;
        Ok(())
    }

    fn handle_end(&mut self, _link: &mut Link) {}

    /// What waits to be sent and may not be waits as well.
    #[inline]
    fn oldest_ns(&self) -> Option<u64> {
        let oldest = self.streams.front().and_then(|stream| stream.flight.sent_ns);
        oldest.or_else(|| self.unsent.front().map(|flight| flight.ready_ns))
    }

    /// Streams time out one by one, unless nothing at all came since the oldest began.
    fn expire(&mut self, link: &mut Link) -> bool {
        let (now_ns, timeout_ns) = (link.core.now_ns(), link.core.plan.timeout.as_nanos() as u64);
        let is_late = |since_ns: u64| now_ns.saturating_sub(since_ns) >= timeout_ns;
        if self.oldest_ns().is_none_or(|oldest_ns| self.heard_ns < oldest_ns) {
            return false;
        }
        while self.streams.front().is_some_and(|stream| stream.flight.sent_ns.is_some_and(is_late)) {
            let stream = self.streams.pop_front().expect("it was looked at");
            frame::write_reset(&mut self.control, stream.id, ErrorCode::CANCEL);
            self.bodies -= usize::from(stream.unsent() > 0);
            link.time_out([stream.flight].into_iter());
        }
        // A limit of the server that allows no request.
        while self.unsent.front().is_some_and(|flight| is_late(flight.ready_ns)) {
            link.time_out(self.unsent.pop_front().into_iter());
        }
        link.closing |= link.core.plan.new_connections;
        true
    }

    fn take_all(&mut self) -> impl Iterator<Item = Flight> {
        self.bodies = 0;
        self.streams.drain(..).map(|stream| stream.flight).chain(self.unsent.drain(..))
    }
}

impl Multiplex {
    fn streams_max(&self) -> usize {
        let told =
            self.settings.map(|settings| settings.streams_max.map_or(usize::MAX, |most| most as usize));
        told.unwrap_or(STREAMS_UNTOLD)
    }

    fn server(&self) -> Settings {
        self.settings.unwrap_or(Settings::DEFAULT)
    }

    fn place(&self, id: u32) -> Option<usize> {
        // Answers mostly come in the order of requests.
        if self.streams.front().is_some_and(|stream| stream.id == id) {
            return Some(0);
        }
        self.streams.binary_search_by_key(&id, |stream| stream.id).ok()
    }
}
