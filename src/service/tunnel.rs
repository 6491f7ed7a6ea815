//! Tunnels: a request that turns its connection, or its HTTP/2 stream, into a byte stream. By HTTP/1.1
//! `Upgrade` (RFC 9110 §7.8), by CONNECT (§9.3.6), and by HTTP/2's extended CONNECT (RFC 8441). Knows no
//! protocol that runs within one.

use std::fmt;

use bytes::Bytes;

use super::body::{BodyError, RequestBody, StreamBody};
use super::local::LocalFuture;
use super::writer::{BodyWriter, WriterClosed, WrittenBody};

/// A byte stream between a client and a handler. Reading and writing are independent, and each has
/// back-pressure: bytes that are not read stay with the client, and a write waits until the client has
/// received the previous one. The tunnel ends when its handler returns.
#[derive(Debug)]
pub struct Tunnel {
    reader: TunnelReader,
    writer: TunnelWriter,
}

/// The direction from the client.
pub struct TunnelReader(RequestBody);

/// The direction to the client.
pub type TunnelWriter = BodyWriter;

impl Tunnel {
    /// The next bytes, of any number; `None` once the client has closed its direction.
    ///
    /// # Errors
    /// [`BodyError::Disconnected`] when the connection was lost.
    pub async fn read(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.reader.read().await
    }

    /// Writes bytes; returns once there was room for them.
    ///
    /// # Errors
    /// [`WriterClosed`] when the client has disconnected.
    pub async fn write(&mut self, data: impl Into<Bytes>) -> Result<(), WriterClosed> {
        self.writer.write(data).await
    }

    /// The two directions, to be used concurrently.
    pub fn split(self) -> (TunnelReader, TunnelWriter) {
        (self.reader, self.writer)
    }
}

impl TunnelReader {
    /// As [`Tunnel::read`].
    ///
    /// # Errors
    /// As [`Tunnel::read`].
    pub async fn read(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.0.next().await
    }

    /// As [`read`](Self::read), for code that polls.
    ///
    /// # Errors
    /// As [`Tunnel::read`].
    pub fn poll_read(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Bytes, BodyError>>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for TunnelReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelReader")
    }
}

/// The handler of a tunnel that is not open yet.
pub struct TunnelHandler(Box<dyn FnOnce(Tunnel) -> LocalFuture<'static, ()>>);

impl TunnelHandler {
    /// Runs `handler` within the tunnel.
    pub(crate) fn new<F: AsyncFnOnce(Tunnel) + 'static>(handler: F) -> Self {
        Self(Box::new(|tunnel| Box::pin(async move { handler(tunnel).await })))
    }

    /// The body that carries the tunnel's bytes to the client; `input` carries those from the client.
    pub(crate) fn open(self, input: RequestBody) -> Box<dyn StreamBody> {
        let Self(handler) = self;
        Box::new(WrittenBody::by(|writer| handler(Tunnel { reader: TunnelReader(input), writer })))
    }
}
