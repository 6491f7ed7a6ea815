//! Bodies that are written rather than pulled: a future, or another task of the core, writes frames, and each
//! write waits until the client has received the previous frame. One frame is buffered between them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use thiserror::Error;

use super::body::{BodyError, BodyFrame, Frame, StreamBody};
use super::local::LocalFuture;
use crate::http::message::Trailers;

/// The response is complete or was aborted: nothing more can be written to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the response has ended: the client disconnected, or the exchange was aborted")]
pub struct WriterClosed;

/// Writes the body of a response. Dropping it ends the body, which the client takes for whole; a body that
/// cannot be completed ends with [`fail`](Self::fail).
#[derive(Debug)]
pub struct BodyWriter {
    slot: Rc<FrameSlot>,
}

/// The state that writer and body share.
#[derive(Default)]
struct FrameSlot {
    frame: RefCell<Option<Frame>>,
    /// Woken when there is room for a frame.
    writer: RefCell<Option<Waker>>,
    /// Woken when there is a frame.
    body: RefCell<Option<Waker>>,
    writer_is_gone: Cell<bool>,
    body_is_gone: Cell<bool>,
    /// Why the body ends before it is whole.
    failure: RefCell<Option<BodyError>>,
}

impl std::fmt::Debug for FrameSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameSlot")
    }
}

fn wait(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut known = place.borrow_mut();
    if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *known = Some(cx.waker().clone());
    }
}

impl BodyWriter {
    /// Writes content; returns once there was room for it, which is when the client has received what was
    /// written before. Empty content is ignored.
    ///
    /// # Errors
    /// [`WriterClosed`].
    pub async fn write(&mut self, data: impl Into<Bytes>) -> Result<(), WriterClosed> {
        let data = data.into();
        if data.is_empty() {
            return Ok(());
        }
        self.send(Frame::Data(data)).await
    }

    /// Writes a frame, as [`write`](Self::write) does content. Trailers have to be the last.
    ///
    /// # Errors
    /// [`WriterClosed`].
    pub async fn send(&mut self, frame: Frame) -> Result<(), WriterClosed> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_send(frame);
        Ok(())
    }

    /// Ends the body with trailers.
    ///
    /// # Errors
    /// [`WriterClosed`].
    pub async fn end(mut self, trailers: Trailers) -> Result<(), WriterClosed> {
        self.send(Frame::Trailers(trailers)).await
    }

    /// Ends the body before it is whole: after what was written, the connection is closed in HTTP/1.1, and
    /// the stream reset in HTTP/2, so that the client does not take what it got for the whole.
    pub fn fail(self, error: BodyError) {
        *self.slot.failure.borrow_mut() = Some(error);
    }

    /// Ready when there is room for a frame.
    ///
    /// # Errors
    /// [`WriterClosed`].
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriterClosed>> {
        if self.slot.body_is_gone.get() {
            return Poll::Ready(Err(WriterClosed));
        }
        if self.slot.frame.borrow().is_some() {
            wait(&self.slot.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a frame where [`poll_ready`](Self::poll_ready) has found room.
    ///
    /// # Panics
    /// If there is none.
    pub fn start_send(&mut self, frame: Frame) {
        let before = self.slot.frame.replace(Some(frame));
        assert!(before.is_none(), "a frame is written only after poll_ready was ready");
        if let Some(body) = self.slot.body.take() {
            body.wake();
        }
    }

    /// Ready once nothing more can be written: the client disconnected, or the exchange was aborted.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.slot.body_is_gone.get() {
            return Poll::Ready(());
        }
        wait(&self.slot.writer, cx);
        Poll::Pending
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        self.slot.writer_is_gone.set(true);
        if let Some(body) = self.slot.body.take() {
            body.wake();
        }
    }
}

/// A body that is written by a future, which is polled whenever the body is read or has to wait for the
/// client; or by another task of the core.
pub(crate) struct WrittenBody {
    /// `None` once it has completed, or where another task has the writer.
    work: Option<LocalFuture<'static, ()>>,
    slot: Rc<FrameSlot>,
}

impl WrittenBody {
    /// A body written by the future that `work` makes.
    pub(crate) fn by(work: impl FnOnce(BodyWriter) -> LocalFuture<'static, ()>) -> Self {
        let (writer, mut body) = Self::channel();
        body.work = Some(work(writer));
        body
    }

    /// A body written by the owner of the writer.
    pub(crate) fn channel() -> (BodyWriter, Self) {
        let slot = Rc::new(FrameSlot::default());
        (BodyWriter { slot: slot.clone() }, Self { work: None, slot })
    }
}

impl StreamBody for WrittenBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.poll_work(cx);
        if let Some(frame) = self.slot.frame.take() {
            // A writer in this task continues when the next frame is polled.
            if let Some(writer) = self.slot.writer.take()
                && !writer.will_wake(cx.waker())
            {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.slot.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.work.is_none() && self.slot.writer_is_gone.get() {
            return Poll::Ready(None);
        }
        wait(&self.slot.body, cx);
        Poll::Pending
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) {
        if let Some(work) = &mut self.work
            && work.as_mut().poll(cx).is_ready()
        {
            self.work = None;
        }
    }

    fn is_at_end(&self) -> bool {
        match &*self.slot.frame.borrow() {
            Some(Frame::Data(_)) => false,
            Some(Frame::Trailers(_)) => true,
            None => {
                self.slot.failure.borrow().is_some() || self.work.is_none() && self.slot.writer_is_gone.get()
            }
        }
    }
}

impl Drop for WrittenBody {
    fn drop(&mut self) {
        self.slot.body_is_gone.set(true);
        // The future may own the writer, and its destructors may access the slot.
        self.work = None;
        if let Some(writer) = self.slot.writer.take() {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn next(body: &mut WrittenBody) -> Poll<Option<Frame>> {
        let mut cx = Context::from_waker(Waker::noop());
        body.poll_frame(&mut cx).map(|frame| frame.map(|frame| frame.expect("a written body does not fail")))
    }

    #[test]
    fn a_frame_waits_for_the_one_before_it() {
        let wrote = Rc::new(Cell::new(0));
        let count = wrote.clone();
        let mut body = WrittenBody::by(move |mut out| {
            Box::pin(async move {
                for piece in ["a", "", "b", "c"] {
                    out.write(piece).await.unwrap();
                    count.set(count.get() + 1);
                }
                out.end(Trailers::new().with("X-Sum", "3").unwrap()).await.unwrap();
            })
        });
        assert_eq!(wrote.get(), 0, "nothing runs before the body is asked for");
        assert_eq!(next(&mut body), Poll::Ready(Some(Frame::Data("a".into()))));
        assert_eq!(wrote.get(), 2);
        body.poll_work(&mut Context::from_waker(Waker::noop()));
        body.poll_work(&mut Context::from_waker(Waker::noop()));
        assert_eq!(wrote.get(), 3, "one frame lies ready, however often the work goes on");
        assert_eq!(next(&mut body), Poll::Ready(Some(Frame::Data("b".into()))));
        assert!(!body.is_at_end());
        assert_eq!(next(&mut body), Poll::Ready(Some(Frame::Data("c".into()))));
        body.poll_work(&mut Context::from_waker(Waker::noop()));
        assert!(body.is_at_end(), "trailers are no data");
        let Poll::Ready(Some(Frame::Trailers(trailers))) = next(&mut body) else { panic!("trailers") };
        assert_eq!(trailers.lines(), b"X-Sum: 3\r\n");
        assert!(body.is_at_end());
        assert_eq!(next(&mut body), Poll::Ready(None));
    }

    #[test]
    fn a_failure_follows_what_was_written() {
        let (mut writer, mut body) = WrittenBody::channel();
        writer.start_send(Frame::Data("x".into()));
        writer.fail(BodyError::Disconnected);
        assert_eq!(next(&mut body), Poll::Ready(Some(Frame::Data("x".into()))));
        let mut cx = Context::from_waker(Waker::noop());
        let failed = body.poll_frame(&mut cx);
        assert!(matches!(failed, Poll::Ready(Some(Err(BodyError::Disconnected)))), "{failed:?}");
    }

    #[test]
    fn a_writer_elsewhere_ends_the_body_and_hears_of_its_end() {
        let (mut writer, mut body) = WrittenBody::channel();
        assert_eq!(next(&mut body), Poll::Pending);
        writer.start_send(Frame::Data("x".into()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(writer.poll_ready(&mut cx).is_pending() && writer.poll_closed(&mut cx).is_pending());
        assert_eq!(next(&mut body), Poll::Ready(Some(Frame::Data("x".into()))));
        assert_eq!(writer.poll_ready(&mut cx), Poll::Ready(Ok(())));
        drop(body);
        assert_eq!(writer.poll_closed(&mut cx), Poll::Ready(()));
        let mut write = pin!(writer.write("y"));
        assert_eq!(write.as_mut().poll(&mut cx), Poll::Ready(Err(WriterClosed)));
        let (writer, mut body) = WrittenBody::channel();
        drop(writer);
        assert_eq!(next(&mut body), Poll::Ready(None));
    }
}
