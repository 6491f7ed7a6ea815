//! Forwards one request: what of it an endpoint gets, and what of the response the client gets. Endpoints,
//! connections and retries are [`crate::upstream`]'s.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::Proxy;
use super::body::ProxyBody;
use super::request;
use super::response::{self, Announced};
use super::tunnel;
use crate::http::h1::{BodyLength, ConnectionOptions, OutgoingRequest};
use crate::http::message::{FramingError, Version};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::observe::log;
use crate::service::{
    Body, BodyError, BodyPolicy, Context, FieldBlock, Frame, Interim, RequestBody, Response, grpc,
};
use crate::upstream::{
    Answered, Balance, Endpoint, Exchange, ExchangeError, ExchangeFailure, HashKey, Incoming, Link,
    LocalUpstream, NoAnswer, NoEndpoint, Outgoing, Pick, PickKey, Requester, Tried, call, held_bytes_max,
};

/// Bytes of field lines that are kept for the next request.
const SCRATCH_BYTES_MAX: usize = 16 * 1024;

/// A request of a client, forwarded.
struct Forwarded<'a> {
    proxy: &'a Proxy,
    context: &'a Context,
}

impl Requester for Forwarded<'_> {
    fn is_idempotent(&self) -> bool {
        self.context.method().is_idempotent()
    }

    fn needs_http1(&self) -> bool {
        request::upgrade(self.context.head()).is_some()
    }

    fn needs_tunnel(&self) -> bool {
        request::connect_protocol(self.context.head()).is_some()
    }

    fn pick(&self, upstream: &LocalUpstream, tried: &Tried) -> Result<Pick, NoEndpoint> {
        let key = PickKey::of(self.context);
        let key = match upstream.options().balance {
            Balance::Hash(HashKey::ClientAddress) | Balance::Rendezvous(HashKey::ClientAddress) => {
                key.client(request::client(self.context, &self.proxy.options.forwarded))
            }
            _ => key,
        };
        upstream.group.pick(&key, tried, upstream.ring().now())
    }

    fn begin(&self, link: Link, endpoint: &Endpoint, body: &Outgoing) -> Result<Exchange, ExchangeError> {
        self.proxy.begin(self.context, link, endpoint, body)
    }

    /// Passes it on; whether the client got it.
    fn inform(&self, status: Status, exchange: &Exchange) -> bool {
        let Ok(interim) = Interim::new(status) else { return false };
        let (lines, _) = response::lines(exchange.head());
        // Not to HTTP/1.0, nor to a client that does not read: the final response is not affected.
        self.context.inform(&interim.with_fields(FieldBlock::Owned(lines))).is_ok()
    }

    fn failed(&self, upstream: &LocalUpstream, endpoint: &Endpoint, error: &ExchangeError) {
        let head = self.context.head();
        log::line(format_args!(
            "upstream {}, endpoint {}: {error} ({} {})",
            upstream.name(),
            endpoint.options().address,
            head.method_str(),
            head.path().as_bytes()[..head.path().len().min(256)].escape_ascii(),
        ));
    }
}

impl Proxy {
    /// Forwards a request that was found fit for it.
    pub(super) async fn forward(&self, context: Context, mut body: RequestBody) -> Response {
        let via = self.options.via.as_deref();
        if !context.has_body_policy() && !body.is_empty() {
            body.set_policy(BodyPolicy { bytes_max: self.options.request_bytes_max, ..BodyPolicy::DEFAULT });
            if body.is_too_large() {
                let error = BodyError::Framing(FramingError::TooLarge);
                let refused = response::failed(&ExchangeFailure::Client(error), via);
                // The other streams of a connection of HTTP/2 go on.
                return if context.head().version() == Version::Http2 { refused } else { refused.closing() };
            }
        }
        let upstream = self.choose();
        let forwarded = Forwarded { proxy: self, context: &context };
        let room = held_bytes_max(upstream.options(), &forwarded);
        let outgoing = Outgoing::new(body, room).with_trailers(&self.trailers);
        let called = match grpc::timeout(context.head()) {
            None => call(&upstream, &forwarded, outgoing).await,
            Some(limit) => Box::pin(call_within(limit, &upstream, &forwarded, outgoing)).await,
        };
        match called {
            Ok(answered) => respond(&context, upstream, answered, via),
            Err(NoAnswer::NoEndpoint(none, _)) => {
                log::line(format_args!("upstream {}: {none}", upstream.name()));
                match none {
                    NoEndpoint::Overloaded { retry_after } => response::unavailable(
                        "connection_limit_reached",
                        "the server behind this proxy is busy",
                        retry_after,
                        via,
                    ),
                    NoEndpoint::Unresolved => response::unavailable(
                        "dns_timeout",
                        "the server behind this proxy has no known address",
                        Duration::from_secs(1),
                        via,
                    ),
                    _ => response::unavailable(
                        "destination_unavailable",
                        "no server behind this proxy is available",
                        Duration::from_secs(1),
                        via,
                    ),
                }
            }
            Err(NoAnswer::Failed(error)) => response::failed(&error.failure, via),
        }
    }

    /// Writes the request.
    fn begin(
        &self,
        context: &Context,
        link: Link,
        endpoint: &Endpoint,
        outgoing: &Outgoing,
    ) -> Result<Exchange, ExchangeError> {
        let head = context.head();
        let mut lines = self.scratch.take();
        lines.clear();
        let is_extended = head.protocol().is_some();
        let is_http2 = link.is_http2();
        let upgrade = if is_http2 { request::connect_protocol(head) } else { request::upgrade(head) };
        let asks_of_http2 = is_http2 && upgrade.is_some();
        if asks_of_http2 && !is_extended {
            tunnel::check_key(head)?;
        }
        request::fields(context, &self.options, !is_extended && !asks_of_http2, &mut lines);
        let never_indexed = if is_http2 { request::take_never_indexed(head, &mut lines) } else { Vec::new() };
        if is_extended && !is_http2 {
            tunnel::add_key(context, upgrade.unwrap_or_default(), &mut lines);
        }
        let target = request::target(head, &self.options);
        let length = match outgoing.length() {
            // What follows an extended CONNECT is the tunnel's.
            _ if is_extended => BodyLength::None,
            Some(length) => BodyLength::Known(length),
            None => BodyLength::Chunked,
        };
        let written = OutgoingRequest {
            method: if is_extended { "GET" } else { head.method_str() },
            target: &target,
            authority: request::authority(head, &self.options, endpoint.authority()),
            fields: &lines,
            length,
            expects_continue: head.expects_continue(),
            connection: ConnectionOptions {
                close: false,
                upgrade,
                trailers: request::accepts_trailers(head),
            },
        };
        let exchange = Exchange::begin(link, &written, &never_indexed);
        if lines.capacity() <= SCRATCH_BYTES_MAX {
            self.scratch.replace(lines);
        }
        exchange
    }
}

/// As [`call`], no longer than the client of a gRPC call waits (`grpc-timeout`). The endpoint reads that
/// time too, and the client discards a later response.
async fn call_within(
    limit: Duration,
    upstream: &LocalUpstream,
    forwarded: &Forwarded<'_>,
    outgoing: Outgoing,
) -> Result<Answered, NoAnswer> {
    let called = upstream.ring().within(limit, call(upstream, forwarded, outgoing)).await;
    let late = || NoAnswer::Failed(ExchangeError::unsent(ExchangeFailure::FirstByteTimeout));
    called.unwrap_or_else(|| Err(late()))
}

/// The response to the client.
fn respond(
    context: &Context,
    upstream: Rc<LocalUpstream>,
    answered: Answered,
    via: Option<&str>,
) -> Response {
    let Answered { mut exchange, outgoing, pick, is_tunnel } = answered;
    if is_tunnel {
        return tunnel::respond(context, upstream, exchange, pick, via);
    }
    let head = exchange.head();
    let method = if context.head().protocol().is_some() { Method::Get } else { context.method() };
    let status = head.status();
    if tunnel::opens_by_mistake(context, status) {
        return response::failed(&ExchangeFailure::Upgrade, via);
    }
    let (mut lines, is_dated) = response::lines(head);
    if let Some(cookie) = pick.set_cookie() {
        response::push(&mut lines, b"Set-Cookie", cookie);
    }
    let forwarded = |body: Body| Response::forwarded(status, lines, is_dated, body);
    let is_bodiless = response::is_bodiless(head, method);
    let length = response::announced(head);
    if is_bodiless && exchange.is_sent() {
        upstream.keep(pick.endpoint(), exchange);
        return forwarded(match length {
            None if status == Status::NOT_MODIFIED => Body::Empty,
            length => Body::Stream(Box::new(Announced(length))),
        });
    }
    // Content that came with the head, and is whole, leaves with it.
    let taken = if exchange.may_be_whole() { exchange.take_data() } else { Ok(Bytes::new()) };
    let first = match taken {
        Ok(first) => first,
        Err(error) => return response::failed(&ExchangeFailure::Body(error), via),
    };
    let is_whole = exchange.is_received() && !exchange.has_trailers();
    if is_whole && exchange.is_sent() {
        upstream.keep(pick.endpoint(), exchange);
        return forwarded(if first.is_empty() { Body::Empty } else { Body::Bytes(first) });
    }
    // The rest of a request that was refused is not sent.
    if is_whole && status.code() >= 400 {
        return forwarded(if first.is_empty() { Body::Empty } else { Body::Bytes(first) });
    }
    let length = if is_whole { Some(first.len() as u64) } else { length };
    let first = (!first.is_empty()).then(|| Ok(Frame::Data(first)));
    let incoming = Incoming::new(upstream, exchange, outgoing, pick);
    forwarded(Body::Stream(Box::new(ProxyBody::new(incoming, length, first))))
}
