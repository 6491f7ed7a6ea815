//! The end of a connection, whichever protocol ran on it: what is left leaves, for as long as the client
//! takes it, and a client that is still sending gets time to read it.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::exchange::{Limits, has_progressed};
use crate::net::Stream;
use crate::ring::Payload;

/// Waits until everything given to be sent is with the kernel, for as long as the client takes some of it.
async fn flush(stream: &Stream, limits: &Limits) -> io::Result<()> {
    let (mut is_watched, mut acknowledged) = (false, 0);
    poll_fn(|cx| {
        loop {
            match stream.poll_flush(cx) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    // The first deadline may be that of something else.
                    if is_watched && !has_progressed(&mut acknowledged, stream.acknowledged(), limits) {
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

/// Sends what is left and closes.
pub(super) async fn finish(stream: &Stream, output: Vec<u8>, limits: &Limits) -> io::Result<()> {
    flush(stream, limits).await?;
    if !output.is_empty() || !stream.is_plain() {
        stream.start_last_send(Payload::Buffer(output));
        flush(stream, limits).await?;
    }
    Ok(())
}

/// Sends what is left, ends our direction, and reads over what the client sends for a while: a reset at once
/// could take the last of it with it (RFC 9112 §9.6).
pub(super) async fn linger(stream: &Stream, output: Vec<u8>, limits: &Limits) -> io::Result<()> {
    flush(stream, limits).await?;
    if !output.is_empty() {
        stream.start_send(Payload::Buffer(output));
        flush(stream, limits).await?;
    }
    stream.close_write().await?;
    stream.set_multishot(false);
    stream.set_deadline(Some(limits.linger_timeout));
    while let Ok(Some(_)) = stream.recv().await {}
    Ok(())
}
