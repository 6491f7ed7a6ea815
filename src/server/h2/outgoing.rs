//! Sends a response's body frame by frame, as far as the client's windows allow. Bytes are copied behind
//! their frame's header, files are read to there, streams are pulled when their last piece was written and
//! the windows have room for more: what cannot be sent is not produced.

use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::wire::{H2Wire, WireState};
use crate::exchange::{Pulled, Worker, read_cold};
use crate::http::h2::frame::HEADER_BYTES;
use crate::http::h2::{EndStream, StreamKey};
use crate::http::message::Trailers;
use crate::ring::{File, ReadNow};
use crate::service::{Frame, LocalFuture};

/// A body that is being sent.
pub(super) struct StreamOutput {
    stream: StreamKey,
    source: OutputSource,
    /// Taken from the source, and not sent.
    piece: Bytes,
    /// The source is asked for one piece even though the windows are shut.
    probes: bool,
    /// Bytes that were sent.
    pub(super) sent: u64,
}

/// Where a body comes from.
pub(super) enum OutputSource {
    /// The piece is all of it.
    Bytes,
    /// A range of a file, and the read from the disk in progress.
    File(Rc<File>, Range<u64>, Option<LocalFuture<'static, io::Result<Vec<u8>>>>),
    /// Produced frame by frame.
    Stream(Pulled),
}

/// What a source provides for the next frame.
enum Filled {
    Piece,
    End(Trailers),
}

/// The result of one step of sending.
pub(super) enum SendStep {
    /// A frame was written, and more is to come.
    Wrote,
    /// A flow-control window is closed.
    Shut,
    /// The source is pending.
    Waits,
    /// All of it was written.
    Done,
    /// The source failed.
    Failed(io::Error),
}

impl StreamOutput {
    pub(super) fn new(stream: StreamKey, source: OutputSource, piece: Bytes) -> StreamOutput {
        StreamOutput { stream, source, piece, probes: false, sent: 0 }
    }

    /// Whether it is unknown if there is anything to send: the source was not asked, because the windows are
    /// shut.
    pub(super) fn is_unasked(&self) -> bool {
        matches!(self.source, OutputSource::Stream(_)) && self.piece.is_empty() && !self.probes
    }

    /// Has the source asked for one piece although the windows are shut: an idle source, or one at its end,
    /// does not wait for the client.
    pub(super) fn probe(&mut self) {
        self.probes = true;
    }

    /// Whether the next frame of a stream needs no window.
    pub(super) fn is_at_end(&self) -> bool {
        match &self.source {
            OutputSource::Stream(body) => self.piece.is_empty() && body.is_at_end(),
            OutputSource::Bytes | OutputSource::File(..) => false,
        }
    }

    /// Whether the source may be pending.
    pub(super) fn needs_waker(&self) -> bool {
        !matches!(self.source, OutputSource::Bytes) && self.piece.is_empty()
    }

    /// Writes the next frame.
    pub(super) fn step<S>(&mut self, worker: &Worker<S>, wire: &H2Wire, cx: &mut Context<'_>) -> SendStep {
        loop {
            if !self.piece.is_empty() {
                return self.write_piece(wire);
            }
            let filled = match &mut self.source {
                OutputSource::Bytes => return SendStep::Done,
                OutputSource::File(_, _, Some(_)) => self.poll_read(cx),
                OutputSource::File(..) => match self.write_file(wire) {
                    Ok(Some(step)) => return step,
                    Ok(None) => continue,
                    Err(error) => return SendStep::Failed(error),
                },
                OutputSource::Stream(body) => {
                    let has_window = wire.inner.borrow().machine.sendable(self.stream) > 0;
                    if !has_window && !self.probes && !body.is_at_end() {
                        return SendStep::Shut;
                    }
                    self.pull(worker, cx)
                }
            };
            match filled {
                Poll::Pending => return SendStep::Waits,
                Poll::Ready(Ok(Filled::Piece)) => {}
                Poll::Ready(Ok(Filled::End(trailers))) => return self.end(&trailers, wire),
                Poll::Ready(Err(error)) => return SendStep::Failed(error),
            }
        }
    }

    /// As much of the piece as one frame takes.
    fn write_piece(&mut self, wire: &H2Wire) -> SendStep {
        let WireState { machine, output, body_bytes_sent, .. } = &mut *wire.inner.borrow_mut();
        let length = machine.sendable(self.stream).min(self.piece.len());
        if length == 0 {
            return SendStep::Shut;
        }
        let is_last = length == self.piece.len()
            && match &self.source {
                OutputSource::Bytes => true,
                OutputSource::File(_, range, _) => range.is_empty(),
                OutputSource::Stream(..) => false,
            };
        let end = if is_last { EndStream::Yes } else { EndStream::No };
        if !machine.begin_data_frame(self.stream, length, end, wire.clock(wire.now()), output) {
            return SendStep::Failed(io::ErrorKind::ConnectionReset.into());
        }
        output.extend_from_slice(&self.piece[..length]);
        self.sent += length as u64;
        *body_bytes_sent += length as u64;
        self.piece.advance(length);
        if is_last {
            machine.stop_request(self.stream, output);
            return SendStep::Done;
        }
        SendStep::Wrote
    }

    /// Reads the next frame's data into the output; `None` when the read has to wait for the disk.
    fn write_file(&mut self, wire: &H2Wire) -> io::Result<Option<SendStep>> {
        let OutputSource::File(file, range, reading) = &mut self.source else {
            return Ok(Some(SendStep::Done));
        };
        let WireState { machine, output, body_bytes_sent, .. } = &mut *wire.inner.borrow_mut();
        let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let length = machine.sendable(self.stream).min(left);
        if length == 0 {
            return Ok(Some(SendStep::Shut));
        }
        let start = output.len();
        output.resize(start + HEADER_BYTES + length, 0);
        let read = match file.read_now(&mut output[start + HEADER_BYTES..], range.start) {
            Ok(ReadNow::Bytes(read)) => read,
            Ok(ReadNow::Wait) => {
                output.truncate(start);
                *reading = Some(Box::pin(read_cold(file.clone(), range.start, length as u64)));
                return Ok(None);
            }
            Err(error) => {
                output.truncate(start);
                return Err(error);
            }
        };
        output.truncate(start + HEADER_BYTES + read);
        let end = if read == left { EndStream::Yes } else { EndStream::No };
        let header = match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => machine
                .data_frame(self.stream, read, end, wire.clock(wire.now()))
                .ok_or(io::Error::from(io::ErrorKind::ConnectionReset)),
        };
        let header = header.inspect_err(|_| output.truncate(start))?;
        output[start..start + HEADER_BYTES].copy_from_slice(&header);
        range.start += read as u64;
        self.sent += read as u64;
        *body_bytes_sent += read as u64;
        if end == EndStream::No {
            return Ok(Some(SendStep::Wrote));
        }
        machine.stop_request(self.stream, output);
        Ok(Some(SendStep::Done))
    }

    /// Waits for the disk.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let OutputSource::File(_, range, reading) = &mut self.source else {
            return Poll::Ready(Ok(Filled::Piece));
        };
        let Some(read) = reading else { return Poll::Ready(Ok(Filled::Piece)) };
        let piece = std::task::ready!(read.as_mut().poll(cx));
        *reading = None;
        let piece = piece?;
        range.start += piece.len() as u64;
        self.piece = Bytes::from(piece);
        Poll::Ready(Ok(Filled::Piece))
    }

    /// Polls a stream for its next frame.
    fn pull<S>(&mut self, worker: &Worker<S>, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let OutputSource::Stream(body) = &mut self.source else { return Poll::Ready(Ok(Filled::Piece)) };
        Poll::Ready(Ok(match std::task::ready!(body.poll_frame(worker, cx))? {
            Some(Frame::Data(piece)) => {
                self.piece = piece;
                self.probes = false;
                Filled::Piece
            }
            Some(Frame::Trailers(trailers)) => Filled::End(trailers),
            None => Filled::End(Trailers::new()),
        }))
    }

    /// Lets the source continue its other work while none of its data can be sent.
    pub(super) fn work<S>(&mut self, worker: &Worker<S>, cx: &mut Context<'_>) -> io::Result<()> {
        match &mut self.source {
            OutputSource::Stream(body) => body.poll_work(worker, cx),
            OutputSource::Bytes | OutputSource::File(..) => Ok(()),
        }
    }

    /// Ends a stream after its content, with its trailers if there are any.
    fn end(&mut self, trailers: &Trailers, wire: &H2Wire) -> SendStep {
        let now = wire.clock(wire.now());
        let WireState { machine, output, .. } = &mut *wire.inner.borrow_mut();
        if !trailers.is_empty() {
            machine.send_trailers(self.stream, trailers.lines(), now, output);
        } else if machine.begin_data_frame(self.stream, 0, EndStream::Yes, now, output) {
            machine.stop_request(self.stream, output);
        }
        SendStep::Done
    }
}
