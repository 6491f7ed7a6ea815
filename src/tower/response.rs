//! Converts a service's response. A body that is ready at once is sent with the head; any other is pulled as
//! fast as the client receives it, together with the request's body, which the response may read.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body as HttpBody, Frame as HttpFrame};

use super::body::{Pump, Pumped};
use super::fields;
use super::upgrade::Upgrade;
use super::within::{Held, Within};
use crate::http::message::Trailers;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::observe::log;
use crate::service::{Body, BodyError, BodyFrame, FieldBlock, Frame, Response, StreamBody, TunnelHandler};

/// The error of a service or a body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A frame of a body, as bytes.
type AnyFrame<B> = Result<HttpFrame<<B as HttpBody>::Data>, <B as HttpBody>::Error>;

/// Room for the fields of most responses.
const LINES_BYTES: usize = 128;

/// Converts a service's response. `pump` feeds the request's body meanwhile.
pub(super) fn respond<B>(
    answer: http::Response<B>,
    pump: Option<Pump>,
    method: Method,
    within: &Within,
    cx: &mut Context<'_>,
) -> Response
where
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = answer.into_parts();
    let body = Held::new(body, within);
    let mut lines = Vec::with_capacity(LINES_BYTES);
    let said = fields::write_lines(&parts.headers, &mut lines);
    fields::give_map(parts.headers);
    let status = match Status::new(parts.status.as_u16()) {
        Some(status) if !status.is_informational() => status,
        // Interim responses are the server's, and this response opens no tunnel.
        _ => return failed(format!("it answered {}, which is not a final status", parts.status).into()),
    };
    let response = Response::new(status).with_fields(FieldBlock::Owned(lines));
    let response = if said.closes { response.closing() } else { response };
    // A hint of zero may be a body that was removed already.
    let length = said.length.or_else(|| body.size_hint().exact().filter(|&length| length > 0));
    if status.forbids_body() {
        // A 304 may have the length of the 200 (RFC 9110 §15.4.5).
        return match length.filter(|&length| length > 0) {
            Some(length) => response.with_body(Body::Stream(Box::new(Withheld(Some(length))))),
            None => response,
        };
    }
    if method == Method::Head {
        return response.with_body(Body::Stream(Box::new(Withheld(length))));
    }
    if body.is_end_stream() && length.is_none_or(|length| length == 0) {
        return response;
    }
    let body = Held::new(Box::pin(body.into_inner()), within);
    let mut stream =
        ResponseStream { body, first: None, pump, length, trailers: Trailers::new(), is_over: false };
    // Most bodies are one piece that is ready: no stream is needed then.
    if let Poll::Ready(frame) = stream.poll_any(cx) {
        match frame {
            Some(Ok(Frame::Data(bytes))) if stream.is_whole(bytes.len()) => {
                return response.with_body(Body::Bytes(bytes));
            }
            None if stream.is_whole(0) => return response,
            first => stream.first = Some(first),
        }
    }
    response.with_body(Body::Stream(Box::new(stream)))
}

/// Whether a response with this status turns its connection, or its stream, into a tunnel.
pub(super) fn opens_tunnel(method: Method, status: http::StatusCode) -> bool {
    match method {
        Method::Connect => status.is_success(),
        _ => status == http::StatusCode::SWITCHING_PROTOCOLS,
    }
}

/// Converts a service's response that opens a tunnel; its `Upgrade` field names the protocol.
pub(super) fn respond_with_tunnel<B>(answer: http::Response<B>, offer: Upgrade, within: &Within) -> Response {
    let (parts, body) = answer.into_parts();
    drop(Held::new(body, within));
    let Some(status) = Status::new(parts.status.as_u16()) else {
        return failed(format!("it answered {}, which is no status", parts.status).into());
    };
    let Some(far) = offer.accept() else {
        return failed("the connection for its upgrade could not be made".into());
    };
    let mut lines = Vec::with_capacity(LINES_BYTES);
    if status == Status::SWITCHING_PROTOCOLS {
        fields::write_upgrade(&parts.headers, &mut lines);
    }
    fields::write_lines(&parts.headers, &mut lines);
    fields::give_map(parts.headers);
    let tunnel = TunnelHandler::new(async move |tunnel| far.carry(tunnel).await);
    Response::new(status).with_fields(FieldBlock::Owned(lines)).with_body(Body::Tunnel(tunnel))
}

/// Logs an error of a service, and makes the response, which does not have its cause.
pub(super) fn failed(error: BoxError) -> Response {
    log::line(format_args!("a service failed: {error}"));
    Response::error(Status::INTERNAL_SERVER_ERROR, "the service failed; the server's log has the cause")
}

/// A response body, and the pump of the request's body.
struct ResponseStream<B> {
    body: Held<Pin<Box<B>>>,
    /// Read ahead: before the head was sent, or while the client received nothing.
    first: Option<Option<BodyFrame>>,
    pump: Option<Pump>,
    length: Option<u64>,
    /// Gathered until the body ends.
    trailers: Trailers,
    is_over: bool,
}

impl<B> ResponseStream<B>
where
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    /// Whether `read` bytes are the announced length.
    fn is_whole(&self, read: usize) -> bool {
        self.body.is_end_stream()
            && self.trailers.is_empty()
            && self.length.is_none_or(|length| length == read as u64)
    }

    /// The next frame: data as it comes, and at the end the trailers.
    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        loop {
            match ready!(self.poll_body(cx)) {
                None if self.trailers.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Ok(Frame::Trailers(mem::take(&mut self.trailers))))),
                Some(Err(error)) => {
                    let error: BoxError = error.into();
                    log::line(format_args!("a response body failed: {error}"));
                    return Poll::Ready(Some(Err(BodyError::Disconnected)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) if data.has_remaining() => {
                        // No copy where the data is `Bytes`.
                        let data = data.copy_to_bytes(data.remaining());
                        return Poll::Ready(Some(Ok(Frame::Data(data))));
                    }
                    Ok(_) => {}
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            fields::add_trailers(&trailers, &mut self.trailers);
                        }
                    }
                },
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<AnyFrame<B>>> {
        // A body that has ended is not polled again.
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            if let Poll::Ready(frame) = self.body.run(|body| body.as_mut().poll_frame(cx)) {
                self.is_over = frame.is_none();
                return Poll::Ready(frame);
            }
            let pumped = self.pump.as_mut().map_or(Pumped::Wait, |pump| pump.poll(cx));
            if pumped == Pumped::Wait {
                return Poll::Pending;
            }
        }
    }
}

impl<B> StreamBody for ResponseStream<B>
where
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(first);
        }
        self.poll_any(cx)
    }

    /// Reads one frame ahead, so that an application that reads its request within its response continues to
    /// do so; after that, only the request's body is driven.
    fn poll_work(&mut self, cx: &mut Context<'_>) {
        if self.first.is_none() {
            if let Poll::Ready(frame) = self.poll_frame(cx) {
                self.first = Some(frame);
            }
        } else if let Some(pump) = &mut self.pump {
            let _ = pump.poll(cx);
        }
    }

    fn is_at_end(&self) -> bool {
        match &self.first {
            Some(Some(Ok(Frame::Data(_)))) => false,
            Some(_) => true,
            None => self.is_over || self.body.is_end_stream(),
        }
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}

/// The body of a response to HEAD, or of a 304: never sent, but its length is announced where it is known.
struct Withheld(Option<u64>);

impl StreamBody for Withheld {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        Poll::Ready(None)
    }

    fn length(&self) -> Option<u64> {
        self.0
    }
}
