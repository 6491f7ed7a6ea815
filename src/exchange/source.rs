//! The content of response bodies: pulls streams, catches their panics, and enforces the announced length;
//! reads parts of files that are not in the page cache.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::entry::LogEntry;
use super::worker::Worker;
use crate::observe::{RequestSpan, log};
use crate::ring::File;
use crate::service::{BodyPiece, Frame, PulledPiece, StreamBody};

/// Bytes of a file that are read at once when the read has to wait for the disk.
const COLD_READ_BYTES: usize = 128 * 1024;

/// A body that is produced as it is sent.
pub(crate) struct Pulled {
    stream: Box<dyn StreamBody>,
    /// Bytes that were announced and are still to come.
    owed: Option<u64>,
    span: RequestSpan,
}

impl Pulled {
    /// `length`: bytes that were announced. `entry`: the exchange's, where it has a log or a span.
    pub(crate) fn new(stream: Box<dyn StreamBody>, length: Option<u64>, entry: Option<&LogEntry>) -> Pulled {
        let span = entry.map_or_else(RequestSpan::none, |entry| entry.span().clone());
        Pulled { stream, owed: length, span }
    }

    /// The next frame, never without content; `None` at the end.
    ///
    /// # Errors
    /// The body ended early: by its own error, by a panic, or because its length is not the announced one;
    /// the client would read excess bytes as the beginning of the next response.
    pub(crate) fn poll_frame<S>(
        &mut self,
        worker: &Worker<S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Frame>>> {
        loop {
            let Self { stream, span, .. } = self;
            let polled = catch_unwind(AssertUnwindSafe(|| span.run(|| stream.poll_frame(cx))));
            let frame = match polled {
                Ok(frame) => ready!(frame),
                Err(panic) => return Poll::Ready(Err(panicked(worker, &*panic))),
            };
            return Poll::Ready(match frame {
                Some(Ok(Frame::Data(data))) if data.is_empty() => continue,
                Some(Ok(Frame::Data(data))) => self.count(data.len()).map(|()| Some(Frame::Data(data))),
                Some(Err(error)) => Err(io::Error::other(error)),
                None | Some(Ok(Frame::Trailers(_))) if self.owed.is_some_and(|owed| owed > 0) => {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
                Some(Ok(Frame::Trailers(trailers))) => Ok(Some(Frame::Trailers(trailers))),
                None => Ok(None),
            });
        }
    }

    /// As [`poll_frame`](Self::poll_frame), for a caller that copies content into its own output.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn poll_piece<S>(
        &mut self,
        worker: &Worker<S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<BodyPiece>>> {
        loop {
            let Self { stream, span, .. } = self;
            let polled = catch_unwind(AssertUnwindSafe(|| span.run(|| stream.poll_piece(cx))));
            let piece = match polled {
                Ok(piece) => ready!(piece),
                Err(panic) => return Poll::Ready(Err(panicked(worker, &*panic))),
            };
            let length = match &piece {
                Some(PulledPiece(Ok(BodyPiece::Received(data)))) => data.len(),
                Some(PulledPiece(Ok(BodyPiece::Frame(Frame::Data(data))))) => data.len(),
                _ => return Poll::Ready(self.end(piece)),
            };
            if length == 0 {
                continue;
            }
            return Poll::Ready(self.count(length).and_then(|()| self.end(piece)));
        }
    }

    /// Counts content.
    fn count(&mut self, length: usize) -> io::Result<()> {
        if let Some(owed) = &mut self.owed {
            *owed = owed.checked_sub(length as u64).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(())
    }

    /// What is not content must not come too early.
    fn end(&self, piece: Option<PulledPiece>) -> io::Result<Option<BodyPiece>> {
        match piece {
            Some(PulledPiece(Err(error))) => Err(io::Error::other(error)),
            None | Some(PulledPiece(Ok(BodyPiece::Frame(Frame::Trailers(_)))))
                if self.owed.is_some_and(|owed| owed > 0) =>
            {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Some(PulledPiece(Ok(piece))) => Ok(Some(piece)),
            None => Ok(None),
        }
    }

    /// Whether the next frame is not data.
    pub(crate) fn is_at_end(&self) -> bool {
        self.owed == Some(0) || self.stream.is_at_end()
    }

    /// Lets the body continue its other work while the client receives nothing.
    ///
    /// # Errors
    /// It panicked.
    pub(crate) fn poll_work<S>(&mut self, worker: &Worker<S>, cx: &mut Context<'_>) -> io::Result<()> {
        let Self { stream, span, .. } = self;
        let worked = catch_unwind(AssertUnwindSafe(|| span.run(|| stream.poll_work(cx))));
        worked.map_err(|panic| panicked(worker, &*panic))
    }
}

#[cold]
fn panicked<S>(worker: &Worker<S>, panic: &(dyn std::any::Any + Send)) -> io::Error {
    worker.counters.panics.bump();
    log::line(format_args!("a response body panicked: {}", log::panic_text(panic)));
    io::Error::other("the body panicked")
}

/// Reads a piece of a file from the disk: at most `left` bytes, starting at `at`.
///
/// # Errors
/// The kernel's; `UnexpectedEof` where the file ends before `at`.
pub(crate) async fn read_cold(file: Rc<File>, at: u64, left: u64) -> io::Result<Vec<u8>> {
    let room = usize::try_from(left).unwrap_or(usize::MAX).min(COLD_READ_BYTES);
    let mut piece = file.read_at(Vec::with_capacity(room), at).await?;
    if piece.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(room);
    Ok(piece)
}
