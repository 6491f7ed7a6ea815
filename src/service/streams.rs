//! `futures_core::Stream`, for what other crates read and make.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::body::{BodyError, BodyFrame, Frame, RequestBody, StreamBody};
use super::response::Response;
use crate::observe::log;

/// The content of a request, in pieces; trailers are left out.
impl Stream for RequestBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        RequestBody::poll_next(self.get_mut(), cx)
    }
}

impl Response {
    /// 200 with the pieces of a stream, pulled as fast as the client receives them. Set its `Content-Type`
    /// with [`field`](Self::field). An error is logged, and ends the connection or the HTTP/2 stream, so
    /// that the client sees that the body is incomplete.
    pub fn from_stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes>,
        E: Display,
    {
        Self::stream(Pieces(Box::pin(stream)))
    }
}

struct Pieces<S>(Pin<Box<S>>);

impl<S, B, E> StreamBody for Pieces<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
    E: Display,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.0.as_mut().poll_next(cx).map(|piece| match piece? {
            Ok(piece) => Some(Ok(Frame::Data(piece.into()))),
            Err(error) => {
                log::line(format_args!("a response body failed: {error}"));
                Some(Err(BodyError::Disconnected))
            }
        })
    }
}
