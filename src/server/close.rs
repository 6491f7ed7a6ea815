//! Closing a connection, for every protocol: flushes the output as long as the client takes it, and gives a
//! client that is still sending time to read it. Knows no protocol.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::exchange::{CurrentLimits, Progress, Worker};
use crate::net::Stream;
use crate::ring::{Payload, PeerState};

/// Bytes of a connection that is closed which the kernel may keep for a client that takes nothing; it gives
/// them up by itself after a minute.
const UNACKNOWLEDGED_MAX: u64 = 64 * 1024;

/// Time between two looks at what a client has acknowledged of its last response.
const ACKNOWLEDGED_CHECK: Duration = Duration::from_secs(1);

/// How a connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloseMode {
    /// Flush the output and close: the client has sent nothing that was not read.
    Finish,
    /// Flush the output, close the sending direction, and read for a while before closing: there may be
    /// unread input, and a reset would discard the output (RFC 9112 §9.6).
    Linger,
    /// Reset: no output can reach the client, or none should.
    Abort,
}

/// How to close a connection that failed with this error; counts it.
#[cold]
pub(super) fn mode_after<S>(worker: &Worker<S>, error: &io::Error) -> CloseMode {
    match error.kind() {
        // Not valid TLS, and an alert was sent: the client may still be sending, and a reset would discard
        // the alert.
        io::ErrorKind::InvalidData => {
            worker.counters.refused.bump();
            CloseMode::Linger
        }
        io::ErrorKind::TimedOut => {
            worker.counters.timed_out.bump();
            CloseMode::Abort
        }
        _ => CloseMode::Abort,
    }
}

/// What a driver holds of a connection that is to be closed.
pub(super) trait ClosableWire {
    fn stream(&self) -> &Stream;

    /// Output that was written and not sent, and what the protocol says at the end of a connection: every
    /// orderly close sends it last.
    fn take_last_output(&self) -> Vec<u8>;

    fn into_stream(self) -> Stream;
}

/// Closes a connection. A client that does not take the output in time is reset.
pub(super) async fn close<S, W: ClosableWire>(worker: &Worker<S>, wire: Rc<W>, mode: CloseMode) {
    let closed = match mode {
        CloseMode::Finish => match flush(wire.stream(), &worker.limits()).await {
            Ok(()) if is_owed_much(wire.stream()) && !worker.drain.has_begun() => {
                Box::pin(finish_slowly(wire.stream(), wire.take_last_output(), &worker.limits())).await
            }
            Ok(()) => finish(wire.stream(), wire.take_last_output(), &worker.limits()).await,
            Err(error) => Err(error),
        },
        // Boxed, because the task of an idle connection keeps room for everything else.
        CloseMode::Linger => Box::pin(linger(wire.stream(), wire.take_last_output(), &worker.limits())).await,
        CloseMode::Abort => return reset(wire),
    };
    if closed.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        worker.counters.timed_out.bump();
        reset(wire);
    } else if Rc::strong_count(&wire) > 1 {
        // A handler keeps the request or its body; the client must not wait for the end of the connection.
        wire.stream().socket().shutdown_write();
    }
}

fn reset<W: ClosableWire>(wire: Rc<W>) {
    // A handler that keeps the request's body still holds the connection; it is then closed without a reset.
    if let Some(wire) = Rc::into_inner(wire) {
        wire.into_stream().abort();
    }
}

/// Waits until the kernel has all output, for as long as the client takes some of it. As everything here, by
/// the limits in force: the drain may begin during the wait.
async fn flush(stream: &Stream, limits: &CurrentLimits) -> io::Result<()> {
    let (mut is_watched, mut progress) = (false, Progress::default());
    poll_fn(|cx| {
        loop {
            match stream.poll_flush(cx) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    // The first deadline may belong to an earlier wait.
                    if is_watched && !progress.is_enough(stream, limits) {
                        return Poll::Ready(Err(error));
                    }
                }
                Poll::Pending if is_watched => return Poll::Pending,
                Poll::Pending => {}
                ready => return ready,
            }
            is_watched = true;
            stream.set_deadline(Some(limits.stall_timeout));
        }
    })
    .await
}

/// Sends the rest of the output, and close_notify if there is TLS. No send may be in progress.
async fn finish(stream: &Stream, output: Vec<u8>, limits: &CurrentLimits) -> io::Result<()> {
    if !output.is_empty() || !stream.is_plain() {
        stream.start_last_send(Payload::Buffer(output));
        flush(stream, limits).await?;
    }
    Ok(())
}

/// Whether much of what was sent is still in the kernel. Asks only connections that have sent much.
fn is_owed_much(stream: &Stream) -> bool {
    stream.socket().sent() > UNACKNOWLEDGED_MAX && stream.socket().unacknowledged() > UNACKNOWLEDGED_MAX
}

/// As [`finish`], and stays until the client has acknowledged the output, for as long as it takes some of it.
async fn finish_slowly(stream: &Stream, output: Vec<u8>, limits: &CurrentLimits) -> io::Result<()> {
    if !output.is_empty() {
        stream.start_send(Payload::Buffer(output));
        flush(stream, limits).await?;
    }
    stream.close_write().await?;
    stream.set_multishot(false);
    let (mut looked_at, mut progress) = (stream.ring().now(), Progress::since(stream));
    loop {
        stream.set_deadline(Some(ACKNOWLEDGED_CHECK.min(limits.stall_timeout)));
        match stream.recv().await {
            Ok(Some(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            // The client has closed its direction, and may still receive.
            Ok(None) if stream.socket().peer_state() == PeerState::HalfClosed => {
                stream.ring().sleep(ACKNOWLEDGED_CHECK.min(limits.stall_timeout)).await;
            }
            Ok(None) | Err(_) => return Ok(()),
        }
        if stream.socket().unacknowledged() == 0 {
            return Ok(());
        }
        let now = stream.ring().now();
        if now.saturating_duration_since(looked_at) >= limits.stall_timeout {
            if !progress.is_enough(stream, limits) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            looked_at = now;
        }
    }
}

/// Flushes the output, closes the sending direction, and discards input for a while.
async fn linger(stream: &Stream, output: Vec<u8>, limits: &CurrentLimits) -> io::Result<()> {
    flush(stream, limits).await?;
    if !output.is_empty() {
        stream.start_send(Payload::Buffer(output));
        flush(stream, limits).await?;
    }
    stream.close_write().await?;
    stream.set_multishot(false);
    stream.set_deadline(Some(limits.linger_timeout));
    stream.discard_input().await;
    Ok(())
}
