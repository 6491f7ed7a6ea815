//! A connected byte stream, plain or TLS: what protocols talk to. With TLS, input is decrypted in the buffer
//! it came in, and output encrypted from where it lies into a block that leaves in one send. A plain stream
//! adds a branch to each call of its socket and nothing else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::tls::{self, Established, HandshakeError, Session, TlsInfo, TlsServer};
use crate::http::target::split_authority;
use crate::ring::{Payload, RecvBuf, Ring, Socket};

/// Payloads up to this size are sealed into a pooled buffer, which is cleared first; larger ones into a
/// block.
const SMALL_BYTES_MAX: usize = 3 * 1024;

/// A connected stream. Dropping it closes it without a word to the peer; [`close_write`](Stream::close_write)
/// says it.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// Boxed: a plain connection keeps no room for it.
    tls: Option<Box<RefCell<TlsState>>>,
}

struct TlsState {
    session: Session,
    /// Data that came with the end of the handshake.
    early: Option<RecvBuf>,
    /// What was given to be sent and does not fit the send in progress: from which byte on.
    unsent: Option<(Payload, usize)>,
    /// What the client was presented; the client's half has none.
    server: Option<Arc<TlsServer>>,
    /// The send that takes all that is left is the last.
    closes: bool,
    /// Records without data wait that are part of what was given to be sent.
    flushes: bool,
}

impl TlsState {
    fn serves(&self, authority: &str) -> bool {
        let Some(name) = self.session.info().server_name() else { return true };
        let host = split_authority(authority).0;
        host.eq_ignore_ascii_case(name)
            || host.strip_suffix('.').is_some_and(|host| host.eq_ignore_ascii_case(name))
            || self.server.as_ref().is_none_or(|server| server.agree(name, host))
    }

    fn has_unsent(&self) -> bool {
        self.unsent.is_some() || self.flushes && self.session.has_replies()
    }
}

impl std::fmt::Debug for TlsState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.session.info().fmt(f)
    }
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        Self { socket, tls: None }
    }
}

impl From<Established> for Stream {
    fn from(established: Established) -> Self {
        let Established { socket, session, early } = established;
        let tls = TlsState { session, early, unsent: None, server: None, closes: false, flushes: false };
        Self { socket, tls: Some(Box::new(RefCell::new(tls))) }
    }
}

impl Stream {
    /// The server's half of a TLS handshake, within the socket's deadline, presenting what `server` has now.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn accept(socket: Socket, server: Arc<TlsServer>) -> Result<Self, HandshakeError> {
        let stream = Self::accept_with(socket, server.config()).await?;
        if let Some(tls) = &stream.tls {
            tls.borrow_mut().server = Some(server);
        }
        Ok(stream)
    }

    /// As [`accept`](Self::accept), with a configuration of the caller's making, which must allow the keys to
    /// be taken over (`enable_secret_extraction`).
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn accept_with(socket: Socket, config: Arc<ServerConfig>) -> Result<Self, HandshakeError> {
        tls::accept(socket, config).await.map(Self::from)
    }

    /// Whether a request for this host (and port) may come on this connection: always on a plain one; with
    /// TLS if the client named no host at its start, the same, or one that the same certificate is good for.
    #[inline]
    pub fn serves(&self, authority: &str) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.borrow().serves(authority))
    }

    /// The client's half, within the socket's deadline; `name` is what the server's certificate must be for.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn connect(
        socket: Socket,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, HandshakeError> {
        tls::connect(socket, config, name).await.map(Self::from)
    }

    /// What the handshake agreed on; `None` without TLS.
    pub fn tls(&self) -> Option<Rc<TlsInfo>> {
        self.tls.as_ref().map(|tls| tls.borrow().session.info().clone())
    }

    /// Whether bytes reach the peer as they are, so that files may go to the socket without a copy.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// The socket below, for what TLS does not change: addresses, and files on a plain stream.
    #[inline]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The ring it lives on.
    #[inline]
    pub fn ring(&self) -> Ring {
        self.socket.ring()
    }

    /// As [`Socket::set_multishot`].
    #[inline]
    pub fn set_multishot(&self, multishot: bool) {
        self.socket.set_multishot(multishot);
    }

    /// As [`Socket::set_deadline`].
    #[inline]
    pub fn set_deadline(&self, after: Option<Duration>) {
        self.socket.set_deadline(after);
    }

    /// Bytes that the peer's kernel has taken so far, records counted as they are.
    pub fn acknowledged(&self) -> u64 {
        self.socket.acknowledged()
    }

    /// Whether the peer reset the connection or a send failed; never waits.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.socket.is_broken()
    }

    /// Whether input is waiting to be received that no one has taken yet.
    pub fn has_input(&self) -> bool {
        self.socket.has_input() || self.tls.as_ref().is_some_and(|tls| tls.borrow().early.is_some())
    }

    /// Whether a send is in progress.
    pub fn is_sending(&self) -> bool {
        self.socket.is_sending() || self.tls.as_ref().is_some_and(|tls| tls.borrow().has_unsent())
    }

    /// The next input, or `None` at the end of the stream. One task at a time may wait.
    ///
    /// # Errors
    /// As [`Socket::poll_recv`]. `UnexpectedEof` when a TLS peer's stream ended without its close_notify, so
    /// that it may have been cut; `InvalidData` with a [`RecordError`](tls::RecordError) for records that
    /// cannot be read.
    #[inline]
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        match &self.tls {
            None => self.socket.poll_recv(cx),
            Some(tls) => self.poll_recv_tls(tls, cx),
        }
    }

    fn poll_recv_tls(&self, tls: &RefCell<TlsState>, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        if let Some(early) = tls.borrow_mut().early.take() {
            return Poll::Ready(Ok(Some(early)));
        }
        loop {
            if tls.borrow().session.peer_closed() {
                return Poll::Ready(Ok(None));
            }
            let received = self.socket.poll_recv(cx);
            if received.is_pending() {
                // Whoever waits for input drives what is left to be sent; what fails shows there.
                let _ = self.poll_pending(tls, cx);
            }
            let Some(input) = ready!(received)? else {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            };
            let opened = tls.borrow_mut().session.handle_input(input);
            match opened {
                Ok(Some(data)) => return Poll::Ready(Ok(Some(data))),
                Ok(None) => {}
                Err(error) => {
                    // The alert leaves if it can, at the latest with a flush.
                    tls.borrow_mut().flushes = true;
                    let _ = self.poll_pending(tls, cx);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
        }
    }

    /// [`poll_recv`](Self::poll_recv) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&self) -> io::Result<Option<RecvBuf>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Socket::watch`].
    pub fn watch(&self, cx: &mut Context<'_>) {
        self.socket.watch(cx);
        if let Some(tls) = &self.tls {
            let _ = self.poll_pending(tls, cx);
        }
    }

    /// Sends `payload`; returns when it is queued. No send may be in progress: `poll_flush` was ready. An
    /// error shows at the next `poll_flush`.
    #[inline]
    pub fn start_send(&self, payload: Payload) {
        match &self.tls {
            None => self.socket.start_send(payload),
            Some(tls) => self.start_send_tls(tls, payload, false),
        }
    }

    /// As [`Socket::start_last_send`]; says close_notify behind the payload.
    pub fn start_last_send(&self, payload: Payload) {
        match &self.tls {
            None => self.socket.start_last_send(payload),
            Some(tls) => self.start_send_tls(tls, payload, true),
        }
    }

    fn start_send_tls(&self, tls: &RefCell<TlsState>, payload: Payload, last: bool) {
        let mut tls = tls.borrow_mut();
        debug_assert!(tls.unsent.is_none(), "one send at a time");
        tls.unsent = Some((payload, 0));
        tls.closes |= last;
        self.send_more(&mut tls);
    }

    /// Seals as much of what is unsent as one send takes, and starts that.
    fn send_more(&self, tls: &mut TlsState) {
        let ring = self.socket.ring();
        let (payload, from) = tls.unsent.take().unwrap_or((Payload::Buffer(Vec::new()), 0));
        let room = tls.session.sealed_bytes_max(payload.len() - from);
        let sealed = if room <= SMALL_BYTES_MAX {
            let mut buffer = ring.take_buffer();
            buffer.resize(room, 0);
            tls.session.seal(&payload, from, &mut buffer).map(|(written, taken)| {
                buffer.truncate(written);
                (Payload::Buffer(buffer), taken)
            })
        } else {
            let mut block = ring.take_block();
            tls.session
                .seal(&payload, from, &mut block)
                .map(|(written, taken)| (Payload::Block(block, written), taken))
        };
        let Ok((records, taken)) = sealed else {
            // Nothing more may be said under this key: the peer sees a connection that was cut.
            self.socket.shutdown_write();
            return;
        };
        let is_whole = from + taken == payload.len();
        if is_whole {
            ring.give(payload);
        } else {
            tls.unsent = Some((payload, from + taken));
        }
        if is_whole && tls.closes {
            tls.closes = false;
            tls.session.seal_close();
            return self.send_last(tls, records);
        }
        self.socket.start_send(records);
    }

    /// The last records and the close_notify, in one send where they fit.
    fn send_last(&self, tls: &mut TlsState, records: Payload) {
        let mut last = match records {
            Payload::Buffer(buffer) => buffer,
            // A large body on a connection that closes: the alert follows it.
            records => {
                tls.flushes = true;
                return self.socket.start_send(records);
            }
        };
        let start = last.len();
        last.resize(start + tls.session.sealed_bytes_max(0), 0);
        let sealed = tls.session.seal(&Payload::Buffer(Vec::new()), 0, &mut last[start..]);
        let (written, _) = sealed.unwrap_or_default();
        last.truncate(start + written);
        self.socket.start_last_send(Payload::Buffer(last));
    }

    /// Starts what waits to be sent, once nothing is being sent; ready when nothing waits.
    fn poll_pending(&self, tls: &RefCell<TlsState>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !tls.borrow().has_unsent() && !tls.borrow().session.has_replies() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_flush(cx))?;
            self.send_more(&mut tls.borrow_mut());
        }
    }

    /// Ready when no send is in progress.
    ///
    /// # Errors
    /// As [`Socket::poll_flush`].
    #[inline]
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &self.tls
            && tls.borrow().has_unsent()
        {
            ready!(self.poll_pending(tls, cx))?;
        }
        self.socket.poll_flush(cx)
    }

    /// Waits until everything given to `start_send` is with the kernel.
    ///
    /// # Errors
    /// As [`poll_flush`](Self::poll_flush).
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends our direction: the peer sees the end of the stream after everything sent.
    ///
    /// # Errors
    /// As [`poll_flush`](Self::poll_flush).
    pub async fn close_write(&self) -> io::Result<()> {
        self.flush().await?;
        if let Some(tls) = &self.tls {
            tls.borrow_mut().session.seal_close();
            poll_fn(|cx| self.poll_pending(tls, cx)).await?;
            self.socket.flush().await?;
        }
        self.socket.shutdown_write();
        Ok(())
    }

    /// Makes the close a reset, for a peer that must not keep resources of ours.
    pub fn abort(self) {
        self.socket.abort();
    }
}
