//! Tunnels through the proxy: `Upgrade` of HTTP/1.1, and extended CONNECT of HTTP/2 (RFC 8441). The endpoint
//! gets the form of its own version, whatever that of the client. Bytes flow both ways, as fast as each side
//! takes them.
//!
//! The end of the client's direction is passed on, and the endpoint's direction goes on. The end of the
//! endpoint's ends the tunnel once everything before it was passed on (RFC 9110 §9.3.6), and what was lost on
//! one side is an error on the other.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use aws_lc_rs::{digest, rand};

use super::request;
use super::response;
use crate::http::base64::base64;
use crate::http::message::RequestHead;
use crate::http::status::Status;
use crate::service::{BodyError, BodyWriter, Context, Frame, Response, Tunnel, TunnelReader};
use crate::upstream::{Exchange, ExchangeError, ExchangeFailure, LocalUpstream, Pick, Tunnelled};

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
        accept(self.0.as_bytes())
    }
}

/// The answer to a key (RFC 6455 §4.2.2).
fn accept(key: &[u8]) -> String {
    let text = [key, WEBSOCKET_GUID].concat();
    base64(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref())
}

/// The key of the handshake of an HTTP/1.1 client for a WebSocket. Another protocol has none.
fn key_of(head: &RequestHead) -> Option<&[u8]> {
    let is_websocket = head.protocol().is_none()
        && request::upgrade(head).is_some_and(|asked| asked.eq_ignore_ascii_case("websocket"));
    is_websocket.then(|| head.field("sec-websocket-key").unwrap_or_default())
}

/// Whether a handshake has the key that is answered here, because the endpoint gets none: 16 bytes in base64
/// (RFC 6455 §4.1).
///
/// # Errors
/// It has not.
pub(super) fn check_key(head: &RequestHead) -> Result<(), ExchangeError> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let is_key = |key: &[u8]| {
        let digits = key.strip_suffix(b"==").unwrap_or_default();
        digits.len() == 22 && digits.iter().all(is_digit)
    };
    if key_of(head).is_none_or(is_key) {
        return Ok(());
    }
    let why = "the WebSocket handshake has no valid Sec-WebSocket-Key".to_owned();
    Err(ExchangeError::unsent(ExchangeFailure::Request(why)))
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
    let is_http2 = exchange.is_http2();
    let is_accepted = || {
        let made = context.get::<WebSocketKey>();
        made.is_none_or(|key| {
            head.field("sec-websocket-accept").is_some_and(|accept| accept == key.accept().as_bytes())
        })
    };
    let named = head.field("upgrade").unwrap_or_default();
    let is_asked = named.eq_ignore_ascii_case(protocol.as_bytes());
    if !is_http2 && (!is_asked || !is_accepted()) {
        return response::failed(&ExchangeFailure::Upgrade, via);
    }
    let (mut lines, _) = response::lines(head);
    if let Some(cookie) = pick.set_cookie() {
        response::push(&mut lines, b"Set-Cookie", cookie);
    }
    let idle = upstream.options().timeouts.tunnel_idle;
    // In one box: what a handler takes along is otherwise there once for each function it is moved through.
    let mut opened = Box::new(Opened { tunnelled: exchange.into_tunnel(), idle, _in_flight: pick });
    let mut response = Response::upgrade(context, &protocol, async move |tunnel: Tunnel| {
        let (reader, writer) = tunnel.split();
        opened.set_idle();
        let mut relay = Relay { opened, reader: Some(reader), writer };
        if poll_fn(|cx| relay.poll(cx)).await == TunnelEnd::Lost {
            relay.writer.fail(BodyError::Disconnected);
        }
    });
    response.add_lines(&lines);
    let has_own_key = context.head().protocol().is_none() && !is_http2;
    if !has_own_key {
        // It answers a key that was made here, or none.
        response.remove_field("sec-websocket-accept");
    }
    if is_http2 && let Some(key) = key_of(context.head()) {
        let _ = response.set_field("Sec-WebSocket-Accept", accept(key));
    }
    response
}

/// How a tunnel ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TunnelEnd {
    /// The endpoint has closed its direction, the client has left, or nothing came for too long.
    Over,
    /// The endpoint was lost: what the client got may not be all.
    Lost,
}

/// The endpoint's side of a tunnel.
struct Opened {
    tunnelled: Tunnelled,
    idle: Duration,
    _in_flight: Pick,
}

impl Opened {
    fn set_idle(&mut self) {
        self.tunnelled.set_idle(self.idle);
    }
}

/// Both directions of a tunnel.
struct Relay {
    opened: Box<Opened>,
    /// `None` once the client has closed its direction.
    reader: Option<TunnelReader>,
    writer: BodyWriter,
}

impl Relay {
    /// Ready when the tunnel has ended.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<TunnelEnd> {
        if self.poll_to_endpoint(cx).is_ready() {
            return Poll::Ready(TunnelEnd::Over);
        }
        self.poll_to_client(cx)
    }

    /// Ready when the client has left.
    fn poll_to_endpoint(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        while let Some(reader) = &mut self.reader {
            match self.opened.tunnelled.poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                // It takes nothing any more; what it has sent before that is still passed on.
                Poll::Ready(Err(_)) => {
                    self.reader = None;
                    break;
                }
            }
            match reader.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => {
                    self.opened.set_idle();
                    self.opened.tunnelled.start_send(bytes);
                }
                Poll::Ready(None) => {
                    self.reader = None;
                    self.opened.tunnelled.shut();
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Ready when the endpoint has closed its direction, or the client takes nothing any more.
    fn poll_to_client(&mut self, cx: &mut TaskContext<'_>) -> Poll<TunnelEnd> {
        loop {
            match self.writer.poll_ready(cx) {
                Poll::Pending => return self.writer.poll_closed(cx).map(|()| TunnelEnd::Over),
                Poll::Ready(Err(_)) => return Poll::Ready(TunnelEnd::Over),
                Poll::Ready(Ok(())) => {}
            }
            match self.opened.tunnelled.poll_next(cx) {
                Poll::Pending => return self.writer.poll_closed(cx).map(|()| TunnelEnd::Over),
                Poll::Ready(Ok(Some(bytes))) => {
                    self.opened.set_idle();
                    self.writer.start_send(Frame::Data(bytes));
                }
                Poll::Ready(Ok(None)) => {
                    let takes_end = matches!(self.opened.tunnelled.poll_ready(cx), Poll::Ready(Ok(())));
                    if self.reader.take().is_some() && takes_end {
                        self.opened.tunnelled.shut();
                    }
                    return Poll::Ready(TunnelEnd::Over);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    return Poll::Ready(TunnelEnd::Over);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(TunnelEnd::Lost),
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
