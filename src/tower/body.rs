//! The request body for tower services: `Send`, and pulled.
//!
//! Request bodies belong to their core. A service therefore gets a handle on a slot for one piece, and a
//! [`Pump`] fills the slot from the body, on the core, whenever the reader polls: nothing runs ahead of the
//! reader. The task that polls the service and then its response drives the pump. It usually is the reader's
//! own task, so that the lock is uncontended and no wake-up is needed; a reader on another thread works too.
//! Knows nothing of HTTP beyond trailers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::service::{BodyError, RequestBody};

use super::fields;

/// A piece, the trailers, or the error that ends the body.
type AnyFrame = Result<Frame<Bytes>, BodyError>;

/// The body of a request, for the service: an [`http_body::Body`] that is `Send`.
///
/// It can be polled from any thread; each piece is received from the client only after the previous one was
/// read. A body kept beyond its exchange fails with [`BodyError::ExchangeOver`].
#[derive(Debug, Default)]
pub struct Body {
    /// `None` for an empty body, and after the end.
    slot: Option<Arc<Mutex<PieceSlot>>>,
    /// Bytes still to come, when the length was announced.
    left: Option<u64>,
}

/// The state that reader and pump share.
#[derive(Debug, Default)]
struct PieceSlot {
    /// The reader waits for a frame. INVARIANT: never while there is one.
    wanted: bool,
    frame: Option<AnyFrame>,
    /// No frame follows the one in the slot.
    is_over: bool,
    reader: Option<Waker>,
    pump: Option<Waker>,
}

impl PieceSlot {
    /// Wakes the pump when the reader polls.
    fn register_pump(&mut self, cx: &Context<'_>) {
        if !self.pump.as_ref().is_some_and(|pump| pump.will_wake(cx.waker())) {
            self.pump = Some(cx.waker().clone());
        }
    }
}

/// Every change of a slot is complete before the lock is released, so poisoning can be ignored.
fn lock(slot: &Mutex<PieceSlot>) -> MutexGuard<'_, PieceSlot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body {
    /// The handle, and the pump that has to be polled to fill it; an empty body has no pump.
    pub(super) fn new(source: RequestBody) -> (Self, Option<Pump>) {
        let left = source.length();
        if left == Some(0) {
            return (Self { slot: None, left }, None);
        }
        let slot = Arc::new(Mutex::new(PieceSlot::default()));
        (Self { slot: Some(slot.clone()), left }, Some(Pump { source, slot, data_is_over: false }))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AnyFrame>> {
        let Some(shared) = &self.slot else { return Poll::Ready(None) };
        let mut slot = lock(shared);
        let frame = slot.frame.take();
        let is_over = slot.is_over;
        if frame.is_none() && !is_over {
            slot.wanted = true;
            if !slot.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                slot.reader = Some(cx.waker().clone());
            }
            let pump = slot.pump.take();
            drop(slot);
            if let Some(pump) = pump {
                pump.wake();
            }
            return Poll::Pending;
        }
        drop(slot);
        if is_over {
            self.slot = None;
        }
        if let (Some(left), Some(Ok(frame))) = (&mut self.left, &frame)
            && let Some(data) = frame.data_ref()
        {
            *left = left.saturating_sub(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.slot.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.left, &self.slot) {
            (Some(left), _) => SizeHint::with_exact(left),
            (None, None) => SizeHint::with_exact(0),
            (None, Some(_)) => SizeHint::default(),
        }
    }
}

/// The result of polling a pump, for its reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pumped {
    /// A frame is ready for a reader in this task: poll it again.
    PollAgain,
    /// Nothing for this task; other readers were woken, or will be.
    Wait,
}

/// Fills a body's slot from the connection. Dropping it ends the body with an error.
pub(super) struct Pump {
    source: RequestBody,
    slot: Arc<Mutex<PieceSlot>>,
    /// The trailers are next.
    data_is_over: bool,
}

impl Pump {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Pumped {
        {
            let mut slot = lock(&self.slot);
            if !slot.wanted || slot.is_over {
                slot.register_pump(cx);
                return Pumped::Wait;
            }
        }
        let Poll::Ready((frame, is_over)) = self.poll_source(cx) else { return Pumped::Wait };
        let reader = {
            let mut slot = lock(&self.slot);
            slot.wanted = false;
            slot.frame = frame;
            slot.is_over = is_over;
            // A reader in another task may request the next frame before the next poll.
            slot.register_pump(cx);
            slot.reader.take()
        };
        match reader {
            Some(reader) if reader.will_wake(cx.waker()) => Pumped::PollAgain,
            Some(reader) => {
                reader.wake();
                Pumped::Wait
            }
            None => Pumped::Wait,
        }
    }

    /// The next frame, and whether it is the last.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<(Option<AnyFrame>, bool)> {
        if !self.data_is_over {
            match self.source.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => return Poll::Ready((Some(Ok(Frame::data(piece))), false)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready((Some(Err(error)), true)),
                Poll::Ready(None) => self.data_is_over = true,
            }
        }
        let trailers = self.trailers().map(|trailers| Ok(Frame::trailers(trailers)));
        Poll::Ready((trailers, true))
    }

    fn trailers(&self) -> Option<HeaderMap> {
        let trailers = self.source.trailers();
        (!trailers.is_empty()).then(|| fields::parse_lines(trailers.lines()))
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        if slot.is_over {
            return;
        }
        slot.is_over = true;
        if slot.frame.is_none() {
            slot.frame = Some(Err(BodyError::ExchangeOver));
        }
        let reader = slot.reader.take();
        drop(slot);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}
