//! A connected byte stream, plain or TLS, used by all protocols. With TLS, input is decrypted in the buffer
//! in which it was received, and output is encrypted from its source buffer into a block that leaves in one
//! send. A plain stream adds one branch to each call of its socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::tls::hello::Hello;
use super::tls::{self, ChosenConfig, Established, HandshakeError, Lane, Session, TlsInfo, TlsServer};
use crate::http::target::split_authority;
use crate::ring::{Payload, RecvBuf, Ring, Socket, Watched};

/// Payloads up to this size are sealed into a pooled buffer, which is cleared first; larger ones into a
/// block.
const SMALL_BYTES_MAX: usize = 3 * 1024;

/// One part in so many of a send buffer is left for the kernel: bytes take 1.2 times their number over the
/// loopback interface, and less elsewhere.
const KERNEL_SHARE: usize = 4;

/// Bytes that are sealed for one send whether or not the socket has room for them: two records.
const SEALED_BYTES_MIN: usize = 32 * 1024;

/// A connected stream. Dropping it closes it without sending close_notify;
/// [`close_write`](Stream::close_write) sends it.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// Boxed, so that a plain connection reserves no memory for it.
    tls: Option<Box<RefCell<TlsState>>>,
}

struct TlsState {
    session: Session,
    /// Records received together with the end of the handshake.
    early: Option<RecvBuf>,
    /// The payload that did not fit the send in progress, and its first unsent byte.
    unsent: Option<(Payload, usize)>,
    /// The configuration presented to the client; `None` for a client connection.
    server: Option<Arc<TlsServer>>,
    /// The send that empties `unsent` also closes the stream.
    closes: bool,
    /// Records without data are waiting to be sent.
    flushes: bool,
    /// Bytes for which the kernel has had room, less what was sent since: acknowledgements only add to it.
    room: usize,
}

impl TlsState {
    /// At most so many bytes are to be sealed for one send that the kernel takes at once, as far as is known.
    /// What it does not take is kept until the peer reads, and could not be sealed again.
    fn send_room(&mut self, socket: &Socket, wanted: usize) -> usize {
        let usable = |room: usize| room - room / KERNEL_SHARE;
        if usable(self.room) < wanted {
            self.room = socket.send_room();
        }
        usable(self.room).min(wanted)
    }

    fn serves<'a>(&self, authority: impl FnOnce() -> &'a str) -> bool {
        let Some(name) = self.session.info().server_name() else { return true };
        let host = split_authority(authority()).0;
        // HTTP/1.0 needs no host: then the request is for the name of the handshake.
        host.is_empty()
            || host.eq_ignore_ascii_case(name)
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
        let tls =
            TlsState { session, early, unsent: None, server: None, closes: false, flushes: false, room: 0 };
        Self { socket, tls: Some(Box::new(RefCell::new(tls))) }
    }
}

impl Stream {
    /// The server side of a TLS handshake, within the socket's deadline, with the current configuration of
    /// `server`, when `lane` has its turn for it.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn accept(socket: Socket, server: Arc<TlsServer>, lane: &Lane) -> Result<Self, HandshakeError> {
        let choose = |hello: Option<&Hello<'_>>| server.choose(hello);
        let stream = tls::accept(socket, Some(lane), choose).await.map(Self::from)?;
        if let Some(tls) = &stream.tls {
            tls.borrow_mut().server = Some(server);
        }
        Ok(stream)
    }

    /// As [`accept`](Self::accept), at once and with a configuration of the caller, which must allow the
    /// extraction of the keys (`enable_secret_extraction`).
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn accept_with(socket: Socket, config: Arc<ServerConfig>) -> Result<Self, HandshakeError> {
        let chosen = ChosenConfig { config, asks_for_certificate: false, is_challenge: false };
        tls::accept(socket, None, |_| chosen).await.map(Self::from)
    }

    /// Whether a request for this host (and port) may use this connection: always on a plain one; with TLS if
    /// the client sent no SNI, the same name, or one that the same certificate covers.
    #[inline]
    pub fn serves<'a>(&self, authority: impl FnOnce() -> &'a str) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.borrow().serves(authority))
    }

    /// The client side, within the socket's deadline; `name` is the expected name of the server's
    /// certificate.
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

    /// The negotiated parameters; `None` without TLS.
    pub fn tls(&self) -> Option<Rc<TlsInfo>> {
        self.tls.as_ref().map(|tls| tls.borrow().session.info().clone())
    }

    /// Whether bytes are sent unchanged, so that files can be sent without a copy.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// The underlying socket, for what is the same with TLS: addresses, and files on a plain stream.
    #[inline]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The socket of a plain stream, for another protocol on it. With TLS its records would go on.
    pub(crate) fn into_socket(self) -> Socket {
        debug_assert!(self.is_plain(), "TLS ends with its stream");
        self.socket
    }

    /// The ring of the socket.
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

    /// Bytes acknowledged by the peer's kernel, TLS records included.
    pub fn acknowledged(&self) -> u64 {
        self.socket.acknowledged()
    }

    /// Whether the peer reset the connection or a send failed; never waits.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.socket.is_broken()
    }

    /// Whether received input is waiting.
    pub fn has_input(&self) -> bool {
        self.socket.has_input() || self.tls.as_ref().is_some_and(|tls| tls.borrow().early.is_some())
    }

    /// Whether a send is in progress.
    pub fn is_sending(&self) -> bool {
        self.socket.is_sending() || self.tls.as_ref().is_some_and(|tls| tls.borrow().has_unsent())
    }

    /// Whether a send waits for the peer: the kernel has not taken all of it at once.
    pub fn is_send_waiting(&self) -> bool {
        self.socket.is_send_waiting() || self.tls.as_ref().is_some_and(|tls| tls.borrow().unsent.is_some())
    }

    /// How many of these bytes the kernel takes at once, about. What it does not take is held until the peer
    /// reads, so a caller that can produce less should do so. A system call, with TLS seldom.
    pub fn send_room(&self, wanted: usize) -> usize {
        match &self.tls {
            None => self.socket.send_room().min(wanted),
            Some(tls) => tls.borrow_mut().send_room(&self.socket, wanted),
        }
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

    fn poll_recv_tls(
        &self,
        tls: &RefCell<TlsState>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<RecvBuf>>> {
        loop {
            if tls.borrow().session.peer_closed() {
                return Poll::Ready(Ok(None));
            }
            if let Some(error) = tls.borrow().session.failure() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            // Nothing is read while what the peer has asked for waits behind a send that it does not take.
            while tls.borrow().session.owes_answer() {
                ready!(self.socket.poll_flush(cx))?;
                self.send_more(&mut tls.borrow_mut());
            }
            let early = tls.borrow_mut().early.take();
            let received = match early {
                Some(early) => Poll::Ready(Ok(Some(early))),
                None => self.socket.poll_recv(cx),
            };
            if received.is_pending() {
                // A task that waits for input also drives pending sends; their errors are reported here.
                let _ = self.poll_pending(tls, cx);
            }
            let Some(input) = ready!(received)? else {
                // Nothing was cut off by the peer.
                if self.socket.is_dismissed() {
                    return Poll::Ready(Ok(None));
                }
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            };
            let opened = tls.borrow_mut().session.handle_input(input);
            match opened {
                Ok(Some(data)) => return Poll::Ready(Ok(Some(data))),
                Ok(None) => {}
                Err(error) => {
                    // The alert is sent now if possible, at the latest with a flush.
                    tls.borrow_mut().flushes = true;
                    let _ = self.poll_pending(tls, cx);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
        }
    }

    /// Reads and discards input until the end of the stream or an error, also after records that cannot be
    /// read: closing with unread input would reset the connection, and the peer would lose the alert.
    pub async fn discard_input(&self) {
        while let Ok(Some(_)) = self.recv().await {}
        let has_failed = self.tls.as_ref().is_some_and(|tls| tls.borrow().session.failure().is_some());
        if has_failed {
            while let Ok(Some(_)) = self.socket.recv().await {}
        }
    }

    /// [`poll_recv`](Self::poll_recv) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&self) -> io::Result<Option<RecvBuf>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Socket::watch`]. With TLS, a close_notify that was not read yet is unread input.
    pub fn watch(&self, cx: &mut Context<'_>) -> Watched {
        let watched = self.socket.watch(cx);
        let Some(tls) = &self.tls else { return watched };
        let _ = self.poll_pending(tls, cx);
        if tls.borrow().session.peer_closed() { Watched::Ended } else { watched }
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

    /// As [`Socket::start_last_send`]; sends close_notify after the payload.
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

    /// Seals as much of the unsent payload as one send takes, and starts that send.
    fn send_more(&self, tls: &mut TlsState) {
        let ring = self.socket.ring();
        let (payload, from) = tls.unsent.take().unwrap_or((Payload::Buffer(Vec::new()), 0));
        let bytes = self.bytes_to_seal(tls, &payload, from);
        let room = tls.session.sealed_bytes_max(bytes);
        let sealed = if room <= SMALL_BYTES_MAX {
            let mut buffer = ring.take_buffer();
            buffer.resize(room, 0);
            tls.session.seal(&payload, from, &mut buffer).map(|(written, taken)| {
                buffer.truncate(written);
                (Payload::Buffer(buffer), taken)
            })
        } else {
            let mut block = ring.take_block();
            let end = room.min(block.len());
            tls.session
                .seal(&payload, from, &mut block[..end])
                .map(|(written, taken)| (Payload::Block(block, written), taken))
        };
        let Ok((records, taken)) = sealed else {
            // The key must not protect more records: the peer sees a truncated connection.
            self.socket.shutdown_write();
            return;
        };
        tls.room = tls.room.saturating_sub(records.len() + records.len() / KERNEL_SHARE);
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

    /// How much of a payload the next send is to hold: what the kernel takes, and at least some.
    fn bytes_to_seal(&self, tls: &mut TlsState, payload: &Payload, from: usize) -> usize {
        let left = payload.len() - from;
        // The producer of a block has asked, and a part of it would keep all of it.
        if left <= SEALED_BYTES_MIN || matches!(payload, Payload::Block(..)) {
            return left;
        }
        tls.send_room(&self.socket, left).max(SEALED_BYTES_MIN)
    }

    /// Sends the last records and close_notify, in one send where they fit.
    fn send_last(&self, tls: &mut TlsState, records: Payload) {
        let mut last = match records {
            Payload::Buffer(buffer) => buffer,
            // A large body on a connection that closes: close_notify follows it.
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

    /// Starts pending sends once no send is in progress; ready when nothing is pending.
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

    /// Waits until everything passed to `start_send` is with the kernel.
    ///
    /// # Errors
    /// As [`poll_flush`](Self::poll_flush).
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Closes the sending direction: the peer sees the end of the stream after everything sent.
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

    /// Turns the close into a reset, so that the peer cannot keep resources of this host.
    pub fn abort(self) {
        self.socket.abort();
    }
}
