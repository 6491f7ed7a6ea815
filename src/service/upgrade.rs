//! Responses that open tunnels, where the request permits one: by HTTP/1.1 `Upgrade` (RFC 9110 §7.8), by
//! CONNECT (§9.3.6), or by HTTP/2's extended CONNECT (RFC 8441). What runs within a tunnel is unknown here.

use super::into_response::IntoResponse;
use super::problem::Problem;
use super::request::Context;
use super::response::{Body, Response};
use super::tunnel::{Tunnel, TunnelHandler};
use crate::http::message::{RequestHead, Version};
use crate::http::method::Method;
use crate::http::status::Status;

/// The mechanism by which a request opens a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TunnelKind {
    /// HTTP/1.1 with `Upgrade`.
    Upgrade,
    /// CONNECT, plain or extended.
    Connect,
}

impl Response {
    /// Hands the connection, or the HTTP/2 stream, to `handler` as a byte stream for `protocol`: 101 where
    /// the request has a matching `Upgrade` field, 200 for a matching extended CONNECT of HTTP/2. Fields that
    /// the protocol needs are added as to any response. Bytes that the client sent behind its request are the
    /// first that are read. Limits on bodies do not apply to a tunnel. Content of the request itself has to
    /// be read before the response is returned; otherwise the response is 400.
    ///
    /// Where the request does not name the protocol, the response is 426 with its name; 400 in HTTP/2.
    ///
    /// ```
    /// use quoit::service::{Context, Response, Router, Tunnel};
    ///
    /// let routes = Router::new().any("/echo", async |context: Context| {
    ///     Response::upgrade(&context, "echo", async |mut tunnel: Tunnel| {
    ///         while let Some(Ok(bytes)) = tunnel.read().await {
    ///             if tunnel.write(bytes).await.is_err() {
    ///                 return;
    ///             }
    ///         }
    ///     })
    /// });
    /// # routes.build().unwrap();
    /// ```
    pub fn upgrade<F>(context: &Context, protocol: &str, handler: F) -> Response
    where
        F: AsyncFnOnce(Tunnel) + 'static,
    {
        let head = context.head();
        match kind_of(head, protocol) {
            Some(kind) => opened(kind, protocol, handler),
            None if head.version() == Version::Http11 => refused(protocol),
            None => {
                Problem::new(Status::BAD_REQUEST).detail(advice(protocol, head.version())).into_response()
            }
        }
    }

    /// Hands the connection, or the HTTP/2 stream, of a CONNECT request to `handler`: 200. Any other request
    /// is answered 405.
    pub fn tunnel<F>(context: &Context, handler: F) -> Response
    where
        F: AsyncFnOnce(Tunnel) + 'static,
    {
        if context.method() == Method::Connect && context.head().protocol().is_none() {
            return opened(TunnelKind::Connect, "", handler);
        }
        Problem::new(Status::METHOD_NOT_ALLOWED)
            .detail("this resource is a tunnel; open it with CONNECT")
            .header("Allow", "CONNECT")
            .into_response()
    }
}

fn kind_of(head: &RequestHead, protocol: &str) -> Option<TunnelKind> {
    if head.method() == Method::Connect {
        return head
            .protocol()
            .filter(|asked| asked.eq_ignore_ascii_case(protocol))
            .map(|_| TunnelKind::Connect);
    }
    let names = |member: &str| member.trim().eq_ignore_ascii_case(protocol);
    head.upgrade().filter(|asked| asked.split(',').any(names)).map(|_| TunnelKind::Upgrade)
}

fn opened<F: AsyncFnOnce(Tunnel) + 'static>(kind: TunnelKind, protocol: &str, handler: F) -> Response {
    let status = if kind == TunnelKind::Upgrade { Status::SWITCHING_PROTOCOLS } else { Status::OK };
    let mut response = Response::new(status).with_body(Body::Tunnel(TunnelHandler::new(handler)));
    if kind == TunnelKind::Upgrade {
        name_protocol(&mut response, protocol);
    }
    response
}

/// How a client of this version asks for the protocol.
fn advice(protocol: &str, version: Version) -> String {
    let how = match version {
        Version::Http2 => "with an extended CONNECT",
        Version::Http11 => "with the field Upgrade, named in Connection",
        Version::Http10 => "over HTTP/1.1 or HTTP/2",
    };
    format!("this resource requires the protocol {protocol}; request it {how}")
}

fn refused(protocol: &str) -> Response {
    let mut response =
        Problem::new(Status::UPGRADE_REQUIRED).detail(advice(protocol, Version::Http11)).into_response();
    name_protocol(&mut response, protocol);
    response
}

/// Adds `Upgrade`; the server lists it in `Connection`. The program chooses the name: one that is not a valid
/// field value is omitted, and no request names it.
fn name_protocol(response: &mut Response, protocol: &str) {
    let _ = response.add_field("Upgrade", protocol);
}
