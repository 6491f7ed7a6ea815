//! Tunnels for applications that use hyper's `OnUpgrade` from a request's extensions. Only a hyper connection
//! can make one. So each request for a tunnel gets a hyper connection of its own: in memory, for one exchange
//! whose request is a constant, and whose response, 101, is sent once the application has answered the real
//! request. From then on hyper's end belongs to the application, and its bytes are copied to and from the
//! client's tunnel. Knows no protocol that runs within one.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::upgrade::OnUpgrade;

use crate::http::message::RequestHead;
use crate::http::method::Method;
use crate::service::{Tunnel, TunnelReader, TunnelWriter};

/// Bytes from the application that are buffered for the client; beyond it, its writes wait. In the other
/// direction one piece is buffered, as large as the connection reads at once.
const BUFFERED_BYTES_MAX: usize = 32 * 1024;

/// The request of hyper's exchange. The application sees the real one.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: tunnel\r\n\r\n";

/// The end of the head of hyper's response, which is not for the client.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Whether a request may end in a tunnel.
pub(super) fn is_asked_for(head: &RequestHead) -> bool {
    head.method() == Method::Connect || head.upgrade().is_some()
}

/// A pending hyper exchange. Dropping it fails the `OnUpgrade`, as hyper does for a response that opens no
/// tunnel.
pub(super) struct Upgrade {
    connection: Pin<Box<UpgradeableConnection<Near, UpgradeService>>>,
    is_accepted: Rc<Cell<bool>>,
    pipe: SharedPipe,
}

impl Upgrade {
    /// The exchange, and the `OnUpgrade` for the request's extensions; `None` if hyper refuses its request,
    /// which is not expected.
    pub(super) fn offer() -> Option<(Self, OnUpgrade)> {
        let (is_accepted, made) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(None)));
        let pipe = SharedPipe::default();
        let handshake = UpgradeService { made: made.clone(), is_accepted: is_accepted.clone() };
        let connection = Builder::new()
            .auto_date_header(false)
            .serve_connection(Near { pipe: pipe.clone(), request: REQUEST, head_end: HEAD_END }, handshake)
            .with_upgrades();
        let mut connection = Box::pin(connection);
        // The request is in memory, so one poll reads it and calls the service; nothing will wake this.
        let polled = connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let on_upgrade = made.take().filter(|_| polled.is_pending())?;
        Some((Self { connection, is_accepted, pipe }, on_upgrade))
    }

    /// Answers hyper's request with 101: the `OnUpgrade` resolves, and the application reads and writes the
    /// tunnel. `None` if hyper fails.
    pub(super) fn accept(mut self) -> Option<Far> {
        self.is_accepted.set(true);
        // Its end accepts all output, so it never has to wait.
        match self.connection.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Some(Far { pipe: self.pipe }),
            _ => None,
        }
    }
}

/// The service of hyper's connection: passes on the `OnUpgrade`, and answers when the exchange is accepted.
struct UpgradeService {
    made: Rc<RefCell<Option<OnUpgrade>>>,
    is_accepted: Rc<Cell<bool>>,
}

/// Pending until the exchange is accepted. Accepting polls the connection, so no waker is kept.
struct Decided(Rc<Cell<bool>>);

impl Future for Decided {
    type Output = Result<http::Response<String>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.0.get() {
            return Poll::Pending;
        }
        let mut response = http::Response::new(String::new());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        Poll::Ready(Ok(response))
    }
}

impl hyper::service::Service<http::Request<Incoming>> for UpgradeService {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Decided;

    fn call(&self, mut request: http::Request<Incoming>) -> Decided {
        *self.made.borrow_mut() = request.extensions_mut().remove::<OnUpgrade>();
        Decided(self.is_accepted.clone())
    }
}

/// The state that both ends share. The application's may be on any thread.
type SharedPipe = Arc<Mutex<Pipe>>;

#[derive(Default)]
struct Pipe {
    /// From the client, and not yet read.
    up: Bytes,
    up_end: Option<UpEnd>,
    /// From the application, and not yet sent.
    down: BytesMut,
    /// The application closed its direction.
    down_is_over: bool,
    /// The application dropped its end.
    near_is_gone: bool,
    /// The tunnel has ended: nothing that is written arrives.
    far_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    far: Option<Waker>,
}

/// How the client's direction ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UpEnd {
    Closed,
    Lost,
}

/// Every change of a pipe is complete before the lock is released, so poisoning can be ignored.
fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

/// Wakes after the lock is released.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The application's end, as an I/O stream for hyper.
struct Near {
    pipe: SharedPipe,
    /// The unread rest of hyper's request.
    request: &'static [u8],
    /// The missing rest of the end of hyper's response head; empty in the tunnel.
    head_end: &'static [u8],
}

impl Near {
    /// Discards bytes of hyper's response head: how many.
    fn pass_over(&mut self, bytes: &[u8]) -> usize {
        for (at, &byte) in bytes.iter().enumerate() {
            // An unexpected CR may be the first byte of the end.
            self.head_end = match self.head_end.strip_prefix(&[byte]) {
                Some(rest) => rest,
                None if byte == b'\r' => &HEAD_END[1..],
                None => HEAD_END,
            };
            if self.head_end.is_empty() {
                return at + 1;
            }
        }
        bytes.len()
    }
}

impl Read for Near {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.request.is_empty() {
            let (now, later) = self.request.split_at(self.request.len().min(room.remaining()));
            room.put_slice(now);
            self.request = later;
            return Poll::Ready(Ok(()));
        }
        let mut pipe = lock(&self.pipe);
        if !pipe.up.is_empty() {
            let length = pipe.up.len().min(room.remaining());
            room.put_slice(&pipe.up[..length]);
            pipe.up.advance(length);
            let far = if pipe.up.is_empty() { pipe.far.take() } else { None };
            drop(pipe);
            wake(far);
            return Poll::Ready(Ok(()));
        }
        match pipe.up_end {
            Some(UpEnd::Closed) => Poll::Ready(Ok(())),
            Some(UpEnd::Lost) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                wait(&mut pipe.reader, cx);
                Poll::Pending
            }
        }
    }
}

impl Write for Near {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.head_end.is_empty() {
            return Poll::Ready(Ok(self.pass_over(bytes)));
        }
        let mut pipe = lock(&self.pipe);
        if pipe.far_is_gone || pipe.down_is_over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(BUFFERED_BYTES_MAX - pipe.down.len());
        if length == 0 && !bytes.is_empty() {
            wait(&mut pipe.writer, cx);
            return Poll::Pending;
        }
        pipe.down.extend_from_slice(&bytes[..length]);
        let far = pipe.far.take();
        drop(pipe);
        wake(far);
        Poll::Ready(Ok(length))
    }

    /// As with a socket, does not wait for delivery.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.pipe);
        pipe.down_is_over = true;
        let far = pipe.far.take();
        drop(pipe);
        wake(far);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        let mut pipe = lock(&self.pipe);
        pipe.down_is_over = true;
        pipe.near_is_gone = true;
        let far = pipe.far.take();
        drop(pipe);
        wake(far);
    }
}

/// The client's end.
pub(super) struct Far {
    pipe: SharedPipe,
}

impl Far {
    /// Copies bytes in both directions, until the application has closed its direction and the client has
    /// received all of it, or the client has disconnected.
    pub(super) async fn carry(self, tunnel: Tunnel) {
        let (mut reader, mut writer) = tunnel.split();
        poll_fn(|cx| self.poll_carry(&mut reader, &mut writer, cx)).await;
    }

    fn poll_carry(
        &self,
        reader: &mut TunnelReader,
        writer: &mut TunnelWriter,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // Registered first, so that every later change wakes this task.
        wait(&mut lock(&self.pipe).far, cx);
        self.poll_up(reader, cx);
        self.poll_down(writer, cx)
    }

    /// Receives a piece from the client whenever the previous one was read.
    fn poll_up(&self, reader: &mut TunnelReader, cx: &mut Context<'_>) {
        {
            let pipe = lock(&self.pipe);
            if !pipe.up.is_empty() || pipe.up_end.is_some() || pipe.near_is_gone {
                return;
            }
        }
        let Poll::Ready(piece) = reader.poll_read(cx) else { return };
        let mut pipe = lock(&self.pipe);
        match piece {
            Some(Ok(bytes)) => pipe.up = bytes,
            Some(Err(_)) => pipe.up_end = Some(UpEnd::Lost),
            None => pipe.up_end = Some(UpEnd::Closed),
        }
        let reader = pipe.reader.take();
        drop(pipe);
        wake(reader);
    }

    /// Sends the application's output, as the client receives it. Ready at its end.
    fn poll_down(&self, writer: &mut TunnelWriter, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(writer.poll_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            let mut pipe = lock(&self.pipe);
            if pipe.down.is_empty() {
                return if pipe.down_is_over { Poll::Ready(()) } else { Poll::Pending };
            }
            // Keeps the remaining capacity, without a copy.
            let piece = pipe.down.split().freeze();
            let waiting = pipe.writer.take();
            drop(pipe);
            wake(waiting);
            writer.start_send(piece.into());
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let mut pipe = lock(&self.pipe);
        pipe.far_is_gone = true;
        pipe.far = None;
        pipe.up_end.get_or_insert(UpEnd::Lost);
        let (reader, writer) = (pipe.reader.take(), pipe.writer.take());
        drop(pipe);
        wake(reader);
        wake(writer);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_upgrade_resolves_when_it_is_accepted_and_fails_when_it_is_dropped() {
        let (upgrade, on_upgrade) = Upgrade::offer().expect("hyper takes its request");
        let mut on_upgrade = pin!(on_upgrade);
        assert!(poll(on_upgrade.as_mut()).is_pending());
        let far = upgrade.accept().expect("hyper takes its answer");
        let Poll::Ready(Ok(mut upgraded)) = poll(on_upgrade.as_mut()) else { panic!("not upgraded") };
        // The head of hyper's response is not in the output.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut upgraded).poll_write(&mut cx, b"first"), Poll::Ready(Ok(5))));
        assert_eq!(&lock(&far.pipe).down[..], b"first");
        drop(far);
        assert!(matches!(Pin::new(&mut upgraded).poll_write(&mut cx, b"x"), Poll::Ready(Err(_))));

        let (upgrade, on_upgrade) = Upgrade::offer().expect("hyper takes its request");
        drop(upgrade);
        assert!(matches!(poll(pin!(on_upgrade)), Poll::Ready(Err(_))));
    }

    #[test]
    fn writes_wait_for_room() {
        let (upgrade, on_upgrade) = Upgrade::offer().expect("hyper takes its request");
        let far = upgrade.accept().expect("hyper takes its answer");
        let Poll::Ready(Ok(mut upgraded)) = poll(pin!(on_upgrade)) else { panic!("not upgraded") };
        let mut cx = Context::from_waker(Waker::noop());
        let mut write = |bytes: &[u8]| match Pin::new(&mut upgraded).poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(length)) => Some(length),
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => None,
        };
        assert_eq!(write(&[0; BUFFERED_BYTES_MAX - 1]), Some(BUFFERED_BYTES_MAX - 1));
        assert_eq!(write(&[0; 2]), Some(1));
        assert_eq!((write(&[0; 2]), write(&[])), (None, Some(0)));
        lock(&far.pipe).down.clear();
        assert_eq!(write(&[0; 2]), Some(2));
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_comes() {
        for head in
            ["HTTP/1.1 101 Switching Protocols\r\na: b\r\n\r\n", "x\r\r\n\r\n", "\r\n\n\r\n\r\r\n\r\n"]
        {
            let all = [head.as_bytes(), b"more"].concat();
            for split in 0..all.len() {
                let mut near = Near { pipe: SharedPipe::default(), request: b"", head_end: HEAD_END };
                let (now, later) = all.split_at(split);
                let taken = near.pass_over(now);
                assert_eq!(taken, split.min(head.len()), "{head:?} split at {split}");
                if split < head.len() {
                    assert_eq!(near.pass_over(later), head.len() - split, "{head:?} split at {split}");
                }
                assert_eq!(near.head_end, b"");
            }
        }
    }
}
