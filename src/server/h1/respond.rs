//! Writes responses. Small bodies are copied behind their head and sent with it; larger ones are sent with a
//! gathered send; files are copied through one scratch buffer per core, which stays in the CPU's cache;
//! streams are pulled only as fast as the client receives them. A slow client holds no buffer of the core.

use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::GATHERED_BYTES_MAX;
use super::wire::H1Wire;
use crate::exchange::{
    BeforeResponse, Delivery, LogEntry, Pulled, RequestKind, Worker, admit, read_cold, route_is_over,
};
use crate::http::h1::{
    BodyCoding, BodyLength, CHUNK_END, OutgoingResponse, Persistence, RequestContext, write_chunk_header,
    write_head, write_last_chunk,
};
use crate::http::status::Status;
use crate::ring::{File, InCache, NonBlocking, Payload, ReadNow};
use crate::server::departure::{Departure, Silence, SilenceKind};
use crate::service::{Body, BodyPiece, Frame, LocalFuture, Response, RouteHold, Service};

/// Bodies up to this size are copied behind their head: cheaper than a gathered send.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a file that are sent in one step without a copy; other tasks run between steps.
const DIRECT_BYTES: usize = 1024 * 1024;

/// Bytes of a file that are looked up in the page cache at once.
const SEEN_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes of a file that are encrypted at once with TLS: whole records, at most as many as fill a block.
const RECORD_BYTES: usize = 16 * 1024;
const SEALED_BYTES: usize = 7 * RECORD_BYTES;

/// A response whose head is written, with its body if that is small.
pub(super) struct WrittenResponse {
    /// The status that was sent: `admit` may have replaced the handler's.
    pub(super) status: Status,
    /// The connection's persistence as the head announces it.
    pub(super) connection: Persistence,
    /// The body, where it does not fit behind the head.
    pub(super) rest: Option<Rest>,
    /// Bytes of the body written with the head.
    pub(super) body_bytes: u64,
}

/// The body of a response, still to be sent.
pub(super) struct Rest {
    body: Body,
    coding: BodyCoding,
}

/// A response that could not be completed, because the connection or its body failed.
pub(super) struct BrokenOff {
    pub(super) error: io::Error,
    /// The body ends with the connection: after an orderly close, a part would look like the whole.
    pub(super) is_until_close: bool,
    /// Bytes of the body that were sent before.
    pub(super) body_bytes: u64,
}

/// Writes a response's head behind the output, and its body if that is small.
pub(super) fn begin<S: Service>(
    worker: &Worker<S>,
    wire: &Rc<H1Wire>,
    kind: RequestKind,
    entry: &LogEntry,
    mut response: Response,
    wanted: Persistence,
) -> WrittenResponse {
    if matches!(response.body(), Body::Tunnel(_)) && wire.body_is_open() {
        // The tunnel's bytes begin behind the content (RFC 9110 §7.8).
        let detail = "a request whose connection is to be upgraded has no content here; send it without";
        response = Response::error(Status::BAD_REQUEST, detail);
    }
    let Delivery { length, announced, is_tunnel, .. } = admit(worker, entry, kind, &mut response);
    let status = response.status();
    if let Some(BeforeResponse { asks, interim }) = wire.with_gate(|gate| gate.begin(&mut response)) {
        if asks {
            wire.write_continue();
        }
        if let Some(interim) = interim {
            wire.write_interim(interim.status(), interim.fields());
        }
    }
    let wanted = if wire.can_continue() { wanted } else { Persistence::Close };
    let body = response.take_body();
    let length = match (&body, length) {
        // Of a response to HEAD, which has neither length nor content.
        (Body::Empty, _) if announced.is_none() => BodyLength::UntilClose,
        (Body::Empty, _) => BodyLength::None,
        (_, Some(length)) => BodyLength::Known(length),
        (_, None) => BodyLength::Chunked,
    };
    let request = RequestContext { method: kind.method, version: kind.version };
    let written = wire.write(|output| {
        let mut date = worker.date.borrow_mut();
        let head = OutgoingResponse {
            status,
            fields: response.fields(),
            length,
            connection: wanted,
            date_line: if response.is_dated() { b"" } else { date.at(worker.ring.unix_seconds()) },
        };
        let written = write_head(output, &head, request);
        if let (Body::Bytes(bytes), true) = (&body, written.body != BodyCoding::None)
            && bytes.len() <= COPIED_BYTES_MAX
        {
            output.extend_from_slice(bytes);
        }
        written
    });
    let (rest, body_bytes) = match body {
        Body::Tunnel(handler) if is_tunnel => {
            let body = Body::Stream(handler.open(wire.begin_tunnel()));
            let rest = Some(Rest { body, coding: BodyCoding::UntilClose });
            return WrittenResponse { status, connection: Persistence::Close, rest, body_bytes: 0 };
        }
        _ if written.body == BodyCoding::None => (None, 0),
        Body::Empty => (None, 0),
        Body::Bytes(bytes) if bytes.len() <= COPIED_BYTES_MAX => (None, bytes.len() as u64),
        body => (Some(Rest { body, coding: written.body }), 0),
    };
    WrittenResponse { status, connection: written.connection, rest, body_bytes }
}

impl Rest {
    /// Sends the body. When this is ready, all of it was sent or is in the output. Returns its number of
    /// bytes, without the framing of chunks.
    ///
    /// Each kind of body has a future of its own: a stream that lasts for hours has no room for a file.
    pub(super) fn send<'a, S: Service>(
        self,
        worker: &'a Worker<S>,
        wire: &'a H1Wire,
        entry: Option<&'a LogEntry>,
        hold: Option<&'a RouteHold>,
    ) -> LocalFuture<'a, Result<u64, BrokenOff>> {
        let Self { body, coding } = self;
        match body {
            Body::Stream(stream) => {
                let length = match coding {
                    BodyCoding::Known(length) => Some(length),
                    BodyCoding::Chunked | BodyCoding::UntilClose | BodyCoding::None => None,
                };
                let body = Pulled::new(stream, length, entry);
                Box::pin(send_stream(worker, wire, body, coding, hold))
            }
            body => Box::pin(send_whole(worker, wire, body, coding, hold)),
        }
    }
}

async fn send_whole<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    body: Body,
    coding: BodyCoding,
    hold: Option<&RouteHold>,
) -> Result<u64, BrokenOff> {
    let mut body_bytes = 0;
    let sending = async {
        match body {
            Body::Empty | Body::Tunnel(_) | Body::Stream(_) => Ok(()),
            Body::Bytes(bytes) => wire.ready().await.map(|()| {
                body_bytes = bytes.len() as u64;
                wire.stream().start_send(Payload::Gather(wire.take_output(), bytes));
            }),
            Body::File(file, mut range) => {
                let start = range.start;
                let sent = write_file(worker, wire, &file, &mut range).await;
                body_bytes = range.start - start;
                sent
            }
        }
    };
    let sent = while_routed(hold, pin!(sending)).await;
    outcome(sent, body_bytes, coding)
}

async fn send_stream<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    body: Pulled,
    coding: BodyCoding,
    hold: Option<&RouteHold>,
) -> Result<u64, BrokenOff> {
    let mut body_bytes = 0;
    let sent = while_routed(hold, pin!(write_stream(worker, wire, body, coding, &mut body_bytes))).await;
    outcome(sent, body_bytes, coding)
}

/// Gives up when the route is removed and its time is over.
async fn while_routed(
    hold: Option<&RouteHold>,
    mut sending: Pin<&mut impl Future<Output = io::Result<()>>>,
) -> io::Result<()> {
    poll_fn(|cx| match sending.as_mut().poll(cx) {
        Poll::Pending if hold.is_some_and(RouteHold::is_over) => Poll::Ready(Err(route_is_over())),
        polled => polled,
    })
    .await
}

fn outcome(sent: io::Result<()>, body_bytes: u64, coding: BodyCoding) -> Result<u64, BrokenOff> {
    let is_until_close = coding == BodyCoding::UntilClose;
    sent.map(|()| body_bytes).map_err(|error| BrokenOff { error, is_until_close, body_bytes })
}

/// Sends a range of a file. Cached pages go to the socket without a copy; where the kernel does not support
/// that, through the core's scratch buffer; pages that are not cached are read by the ring.
async fn write_file<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    file: &Rc<File>,
    range: &mut Range<u64>,
) -> io::Result<()> {
    wire.push_output().await?;
    wire.ready().await?;
    if !wire.stream().is_plain() {
        return write_file_sealed(worker, wire, file, range).await;
    }
    let mut direct = Direct::begin(wire)?;
    while !range.is_empty() {
        let step = match direct.send(file, range)? {
            FileStep::Unsupported => send_copied(worker, wire, file, range)?,
            step => step,
        };
        match step {
            FileStep::Sent(sent) => {
                range.start += sent as u64;
                worker.ring.next_turn().await;
            }
            FileStep::PeerSlow(sent) => {
                range.start += sent as u64;
                writable(wire).await?;
            }
            FileStep::DiskSlow | FileStep::Unsupported => {
                // Read-ahead runs from here on, and sending a page that it is filling would block the core:
                // copy instead, because a copy can refuse to wait.
                direct.give_up();
                let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                let max = fitting(wire, left).await?;
                write_cold(wire, file, range, max).await?;
            }
        }
    }
    Ok(())
}

/// As [`write_file`], with TLS: encrypts a block at a time, or as many records as the socket takes.
async fn write_file_sealed<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    file: &Rc<File>,
    range: &mut Range<u64>,
) -> io::Result<()> {
    while !range.is_empty() {
        let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let want = fitting(wire, left.min(SEALED_BYTES)).await?;
        let mut block = worker.ring.take_block();
        match file.read_now(&mut block[..want], range.start)? {
            ReadNow::Bytes(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            ReadNow::Bytes(read) => {
                range.start += read as u64;
                wire.stream().start_send(Payload::Block(block, read));
                wire.ready().await?;
            }
            ReadNow::Wait => {
                worker.ring.give(Payload::Block(block, 0));
                write_cold(wire, file, range, want).await?;
            }
        }
    }
    Ok(())
}

/// How many of these bytes to read or to encrypt next: whole records, if not all. What the socket does not
/// take would be held for as long as the client likes, so nothing is read before there is room.
async fn fitting(wire: &H1Wire, wanted: usize) -> io::Result<usize> {
    let mut room = wire.stream().send_room(wanted);
    if room < wanted.min(RECORD_BYTES) {
        writable(wire).await?;
        room = wire.stream().send_room(wanted);
    }
    let records = (room / RECORD_BYTES).max(1) * RECORD_BYTES;
    Ok(if room < wanted { records.min(wanted) } else { wanted })
}

/// Sends a piece of at most `max` bytes that is read from the disk.
async fn write_cold(wire: &H1Wire, file: &Rc<File>, range: &mut Range<u64>, max: usize) -> io::Result<()> {
    wire.detach_input();
    let piece = read_cold(file.clone(), range.start, (range.end - range.start).min(max as u64)).await?;
    range.start += piece.len() as u64;
    wire.stream().start_send(Payload::Shared(Bytes::from(piece)));
    wire.ready().await
}

/// The result of sending one step of a file.
enum FileStep {
    Sent(usize),
    PeerSlow(usize),
    DiskSlow,
    Unsupported,
}

/// Sends pages directly from the page cache, while that is supported.
struct Direct<'a> {
    /// `None` once it is not.
    socket: Option<NonBlocking<'a>>,
}

impl<'a> Direct<'a> {
    fn begin(wire: &'a H1Wire) -> io::Result<Self> {
        Ok(Self { socket: Some(wire.stream().socket().nonblocking()?) })
    }

    fn send(&mut self, file: &File, range: &Range<u64>) -> io::Result<FileStep> {
        let Some(socket) = &self.socket else { return Ok(FileStep::Unsupported) };
        let left = range.end - range.start;
        let mut seen = file.known_in_cache(range.start).min(left);
        if seen == 0 {
            seen = SEEN_BYTES.min(left);
            match file.in_cache(range.start, seen)? {
                InCache::All => {}
                InCache::NotAll => return Ok(FileStep::DiskSlow),
                InCache::Unknown => {
                    self.give_up();
                    return Ok(FileStep::Unsupported);
                }
            }
        }
        let want = DIRECT_BYTES.min(usize::try_from(seen).unwrap_or(DIRECT_BYTES));
        match file.send_cached(socket, range.start, want) {
            // The file was truncated after the head was written: the client must see that the body is
            // incomplete.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) if sent == want => Ok(FileStep::Sent(sent)),
            Ok(sent) => Ok(FileStep::PeerSlow(sent)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(FileStep::PeerSlow(0)),
                io::ErrorKind::Interrupted => Ok(FileStep::Sent(0)),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => {
                    self.give_up();
                    Ok(FileStep::Unsupported)
                }
                _ => Err(error),
            },
        }
    }

    /// Makes the socket blocking again: ring operations on a non-blocking socket fail instead of waiting.
    fn give_up(&mut self) {
        self.socket = None;
    }
}

/// Copies one piece from the page cache to the socket through the scratch buffer. Bytes that do not fit the
/// socket are not kept: they are read again when there is room.
fn send_copied<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    file: &File,
    range: &Range<u64>,
) -> io::Result<FileStep> {
    let mut scratch = worker.scratch.borrow_mut();
    let left = range.end - range.start;
    let want = scratch.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let read = match file.read_now(&mut scratch[..want], range.start)? {
        ReadNow::Bytes(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        ReadNow::Bytes(read) => read,
        ReadNow::Wait => return Ok(FileStep::DiskSlow),
    };
    // Without MSG_MORE: it would delay the tail of every piece that does not fit the socket by 200 ms.
    match wire.stream().socket().try_send(&scratch[..read]) {
        Ok(sent) if sent == read => Ok(FileStep::Sent(sent)),
        Ok(sent) => Ok(FileStep::PeerSlow(sent)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(FileStep::PeerSlow(0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(FileStep::Sent(0)),
        Err(error) => Err(error),
    }
}

/// Waits until the socket is writable, for as long as the peer makes progress.
async fn writable(wire: &H1Wire) -> io::Result<()> {
    wire.detach_input();
    wire.stream().set_deadline(Some(wire.stall_timeout()));
    loop {
        match wire.stream().socket().writable().await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => wire.check_progress()?,
            result => return result,
        }
    }
}

async fn write_stream<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    mut body: Pulled,
    coding: BodyCoding,
    body_bytes: &mut u64,
) -> io::Result<()> {
    loop {
        let (mut departure, mut silence) = (Departure::default(), Silence::default());
        let piece = poll_fn(|cx| match body.poll_piece(worker, cx) {
            Poll::Pending => {
                wire.detach_input();
                match wire.poll_push(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ if wire.is_broken() => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    _ => {
                        let watched = wire.watch(cx);
                        if departure.poll(worker, wire.stream(), wire.half_close(), cx, watched).is_ready() {
                            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                        }
                        let kind = if wire.is_tunnel() { SilenceKind::Tunnel } else { SilenceKind::Source };
                        silence
                            .poll(worker, kind, wire.received(), cx)
                            .map(|()| Err(io::Error::other("it was silent while the server drained")))
                    }
                }
            }
            ready => ready,
        });
        match piece.await? {
            Some(BodyPiece::Received(piece)) => {
                write_received(worker, wire, &mut body, &piece, coding).await?;
                *body_bytes += piece.len() as u64;
            }
            Some(BodyPiece::Frame(Frame::Data(piece))) => {
                let len = piece.len() as u64;
                write_piece(worker, wire, &mut body, piece, coding).await?;
                *body_bytes += len;
            }
            // Only the chunked coding can carry trailers (RFC 9112 §7.1.2).
            Some(BodyPiece::Frame(Frame::Trailers(trailers))) => {
                if coding == BodyCoding::Chunked {
                    wire.write(|output| write_last_chunk(output, trailers.lines()));
                }
                return Ok(());
            }
            None => {
                if coding == BodyCoding::Chunked {
                    wire.write(|output| write_last_chunk(output, b""));
                }
                return Ok(());
            }
        }
    }
}

/// Copies what was received elsewhere behind the output, which is sent when it is large.
async fn write_received<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    body: &mut Pulled,
    piece: &[u8],
    coding: BodyCoding,
) -> io::Result<()> {
    wire.write(|output| {
        let chunk = NonZeroU64::new(piece.len() as u64).filter(|_| coding == BodyCoding::Chunked);
        if let Some(length) = chunk {
            write_chunk_header(output, length);
        }
        output.extend_from_slice(piece);
        if chunk.is_some() {
            output.extend_from_slice(CHUNK_END);
        }
    });
    if wire.output_len() >= GATHERED_BYTES_MAX {
        poll_fn(|cx| or_work(worker, body, wire.poll_push(cx), cx)).await?;
    }
    Ok(())
}

async fn write_piece<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    body: &mut Pulled,
    piece: Bytes,
    coding: BodyCoding,
) -> io::Result<()> {
    let chunked = coding == BodyCoding::Chunked;
    wire.write(|output| {
        if let (true, Some(length)) = (chunked, NonZeroU64::new(piece.len() as u64)) {
            write_chunk_header(output, length);
        }
        if piece.len() <= COPIED_BYTES_MAX {
            output.extend_from_slice(&piece);
        }
    });
    if piece.len() > COPIED_BYTES_MAX {
        poll_fn(|cx| or_work(worker, body, wire.poll_ready(cx), cx)).await?;
        wire.stream().start_send(Payload::Gather(wire.take_output(), piece));
    }
    if chunked {
        wire.write(|output| output.extend_from_slice(CHUNK_END));
    }
    if wire.output_len() >= GATHERED_BYTES_MAX {
        poll_fn(|cx| or_work(worker, body, wire.poll_push(cx), cx)).await?;
    }
    Ok(())
}

/// While the client does not receive the output, the body continues its other work, such as reading the
/// request: otherwise each side could wait for the other.
fn or_work<S: Service>(
    worker: &Worker<S>,
    body: &mut Pulled,
    sent: Poll<io::Result<()>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if sent.is_pending() {
        body.poll_work(worker, cx)?;
    }
    sent
}
