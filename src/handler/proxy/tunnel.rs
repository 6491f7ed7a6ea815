//! Tunnels through the proxy: `Upgrade` of HTTP/1.1, and extended CONNECT of HTTP/2 (RFC 8441), which an
//! endpoint that speaks HTTP/1.1 gets as an upgrade. Bytes flow both ways, as fast as each side takes them.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use aws_lc_rs::{digest, rand};
use bytes::Bytes;

use super::request;
use super::response;
use crate::http::base64::base64;
use crate::http::status::Status;
use crate::ring::Payload;
use crate::service::{BodyWriter, Context, Frame, Response, Tunnel, TunnelReader};
use crate::upstream::{Exchange, ExchangeFailure, LocalUpstream, Pick, Tunnelled};

/// RFC 6455 §1.3.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key of a WebSocket handshake that is made here.
struct WebSocketKey(String);

impl WebSocketKey {
    fn new() -> Self {
        let mut nonce = [0; 16];
        // Without randomness the key is a constant: it protects against caches, and is no secret.
        let _ = rand::fill(&mut nonce);
        Self(base64(&nonce))
    }

    /// The endpoint's answer to it.
    fn accept(&self) -> String {
        let text = [self.0.as_bytes(), WEBSOCKET_GUID].concat();
        base64(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref())
    }
}

/// Adds what an upgrade to this protocol needs besides the fields of an extended CONNECT (RFC 8441 §5.1).
pub(super) fn add_key(context: &Context, protocol: &str, lines: &mut Vec<u8>) {
    if !protocol.eq_ignore_ascii_case("websocket") {
        return;
    }
    let key = WebSocketKey::new();
    for part in ["Sec-WebSocket-Key: ", &key.0, "\r\n"] {
        lines.extend_from_slice(part.as_bytes());
    }
    context.insert(key);
}

/// Opens the tunnel that the endpoint has opened.
pub(super) fn respond(
    context: &Context,
    upstream: Rc<LocalUpstream>,
    exchange: Exchange,
    pick: Pick,
    via: Option<&str>,
) -> Response {
    let head = exchange.head();
    let protocol = request::upgrade(context.head()).unwrap_or_default().to_owned();
    let named = head.field("upgrade").unwrap_or_default();
    let is_asked = named.eq_ignore_ascii_case(protocol.as_bytes());
    let key = context.get::<WebSocketKey>();
    let is_accepted = key.as_ref().is_none_or(|key| {
        head.field("sec-websocket-accept").is_some_and(|accept| accept == key.accept().as_bytes())
    });
    if !is_asked || !is_accepted {
        return response::failed(&ExchangeFailure::Upgrade, via);
    }
    let (mut lines, _) = response::lines(head);
    if let Some(cookie) = pick.set_cookie() {
        response::push(&mut lines, b"Set-Cookie", cookie);
    }
    let tunnelled = match exchange.into_tunnel() {
        Ok(tunnelled) => tunnelled,
        Err(failure) => return response::failed(&failure, via),
    };
    let idle = upstream.options().timeouts.tunnel_idle;
    let mut response = Response::upgrade(context, &protocol, async move |tunnel: Tunnel| {
        let _in_flight = pick;
        let (reader, writer) = tunnel.split();
        tunnelled.stream().set_deadline(Some(idle));
        let mut relay = Relay { tunnelled, reader: Some(reader), writer, idle };
        poll_fn(|cx| relay.poll(cx)).await;
    });
    response.add_lines(&lines);
    if key.is_some() {
        // It answers the key that was made here.
        response.remove_field("sec-websocket-accept");
    }
    response
}

/// Both directions of a tunnel.
struct Relay {
    tunnelled: Tunnelled,
    /// `None` once the client has closed its direction.
    reader: Option<TunnelReader>,
    writer: BodyWriter,
    idle: std::time::Duration,
}

impl Relay {
    /// Ready when the tunnel has ended: the endpoint closed it, either side was lost, or nothing came for too
    /// long.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let (to_endpoint, to_client) = (self.poll_to_endpoint(cx), self.poll_to_client(cx));
        if to_endpoint.is_ready() || to_client.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Something moved.
    fn renew(&self) {
        self.tunnelled.stream().set_deadline(Some(self.idle));
    }

    /// Ready when the endpoint takes nothing any more.
    fn poll_to_endpoint(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            match self.tunnelled.stream().poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let Some(reader) = &mut self.reader else { return Poll::Pending };
            match reader.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => {
                    self.renew();
                    self.tunnelled.stream().start_send(Payload::Shared(bytes));
                }
                Poll::Ready(None) => {
                    self.reader = None;
                    self.tunnelled.stream().socket().shutdown_write();
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(()),
            }
        }
    }

    /// Ready when the endpoint has closed its direction, or the client takes nothing any more.
    fn poll_to_client(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            match self.writer.poll_ready(cx) {
                Poll::Pending => return self.writer.poll_closed(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(early) = self.tunnelled.take_input() {
                self.writer.start_send(Frame::Data(Bytes::copy_from_slice(&early)));
                continue;
            }
            match self.tunnelled.stream().poll_recv(cx) {
                Poll::Pending => return self.writer.poll_closed(cx),
                Poll::Ready(Ok(Some(bytes))) => {
                    self.renew();
                    self.writer.start_send(Frame::Data(Bytes::copy_from_slice(&bytes)));
                }
                // Closed, lost, or silent for too long.
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(()),
            }
        }
    }
}

/// The status of a response that opens no tunnel, to a request for one: a success would open one in HTTP/2.
pub(super) fn opens_by_mistake(context: &Context, status: Status) -> bool {
    context.head().protocol().is_some() && status.is_success()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_standard_has_its_answer() {
        let key = WebSocketKey("dGhlIHNhbXBsZSBub25jZQ==".into());
        assert_eq!(key.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(base64(b"the sample nonce"), key.0);
        assert_eq!((WebSocketKey::new().0.len(), base64(b"ab"), base64(b"")), (24, "YWI=".into(), "".into()));
        assert_ne!(WebSocketKey::new().0, WebSocketKey::new().0);
    }
}
