//! One request's way: an endpoint, a connection, the exchange, and again where that is safe.
//!
//! A request is sent again only if nothing of a response was forwarded and the whole of its body is held; and
//! only if its method is idempotent or nothing of it was written. A kept connection that was closed meanwhile
//! does not count as a try: the request goes out again over a fresh one.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Proxy;
use super::body::ProxyBody;
use super::request;
use super::response::{self, Announced};
use super::tunnel;
use super::upstream::ProxyUpstream;
use crate::http::h1::{BodyLength, ConnectionOptions, OutgoingRequest};
use crate::http::message::FramingError;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::observe::log;
use crate::service::{Body, BodyError, BodyPolicy, Context, Frame, Interim, RequestBody, Response};
use crate::upstream::{
    Balance, Exchange, ExchangeError, ExchangeFailure, HashKey, HeadEvent, Link, Needs, NoEndpoint, Outcome,
    Outgoing, Pick, PickKey, Tried,
};

/// Bytes of field lines that are kept for the next request.
const SCRATCH_BYTES_MAX: usize = 16 * 1024;

/// How often a request is sent again that was refused unprocessed: an endpoint may lower how much it takes
/// while requests are on their way to it.
const REFUSALS_MAX: usize = 4;

/// Time between two looks for the addresses of names that are being looked up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The exchange with the endpoint that answered.
struct Answered {
    exchange: Exchange,
    outgoing: Outgoing,
    pick: Pick,
    is_tunnel: bool,
}

/// Why there is no answer.
enum NoAnswer {
    NoEndpoint(NoEndpoint),
    Failed(ExchangeError),
}

impl From<NoEndpoint> for NoAnswer {
    fn from(none: NoEndpoint) -> Self {
        Self::NoEndpoint(none)
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
                return response::failed(&ExchangeFailure::Client(error), via).closing();
            }
        }
        let upstream = self.choose();
        match self.answered(&upstream, &context, body).await {
            Ok(answered) => respond(&context, upstream, answered, via),
            Err(NoAnswer::NoEndpoint(none)) => {
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

    /// The final head of a response, from whichever endpoint answers.
    async fn answered(
        &self,
        upstream: &Rc<ProxyUpstream>,
        context: &Context,
        body: RequestBody,
    ) -> Result<Answered, NoAnswer> {
        let options = upstream.options();
        let head = context.head();
        let is_repeatable = head.method().is_idempotent() || options.retries.non_idempotent;
        // By HTTP/2 an endpoint says what it has not processed, which any method may repeat (RFC 9113 §8.7).
        let is_held = is_repeatable || options.may_use_http2();
        let room = if is_held { options.retries.body_bytes_max } else { 0 };
        let mut outgoing = Outgoing::new(body, room).with_trailers(&self.trailers);
        let mut tried = Tried::default();
        let mut pick = match self.pick(upstream, context, &tried) {
            Err(NoEndpoint::Unresolved) => Box::pin(self.first_pick(upstream, context)).await?,
            picked => picked?,
        };
        let mut is_fresh = false;
        let needs_http1 = request::upgrade(head).is_some();
        let mut refusals = 0;
        let began = self.ring.now();
        loop {
            let started = self.ring.now();
            let mut was_informed = false;
            let needs = Needs { is_fresh, http1: needs_http1 };
            let kept = if is_fresh { None } else { upstream.take_now(pick.endpoint(), needs_http1) };
            let linked = match kept {
                Some(link) => Ok(link),
                None => Box::pin(upstream.link(pick.endpoint(), needs)).await,
            };
            let exchanged = match linked {
                Ok(link) => {
                    self.exchange(context, options, link, pick.endpoint(), &mut outgoing, &mut was_informed)
                        .await
                }
                Err(error) => Err(error),
            };
            let now = self.ring.now();
            let latency = now.saturating_duration_since(started);
            let error = match exchanged {
                Ok((exchange, is_tunnel)) => {
                    let status = exchange.head().status();
                    pick.record(Outcome::Response(status), latency, now);
                    let wants_another = !options.retries.statuses.is_empty()
                        && options.retries.statuses.contains(&status.code())
                        && head.method().is_idempotent()
                        && self.may_repeat(upstream, &mut outgoing, was_informed, tried.len(), began);
                    if !wants_another {
                        return Ok(Answered { exchange, outgoing, pick, is_tunnel });
                    }
                    tried.add(pick.endpoint());
                    // Without another one the client gets what this one answered.
                    let Ok(next) = self.pick(upstream, context, &tried) else {
                        return Ok(Answered { exchange, outgoing, pick, is_tunnel });
                    };
                    drop(exchange);
                    pick = next;
                    is_fresh = false;
                    continue;
                }
                Err(error) => error,
            };
            // Nothing was processed, and no endpoint is at fault: it has said how much it takes.
            if matches!(error.failure, ExchangeFailure::Refused)
                && refusals < REFUSALS_MAX
                && now.saturating_duration_since(began) < options.retries.total_time
                && outgoing.rewind()
            {
                refusals += 1;
                continue;
            }
            let is_safe = is_repeatable || !error.was_written;
            if is_safe && error.is_stale() && !is_fresh && outgoing.rewind() {
                is_fresh = true;
                continue;
            }
            if let Some(outcome) = outcome_of(&error.failure) {
                pick.record(outcome, latency, now);
                log::line(format_args!(
                    "upstream {}, endpoint {}: {error} ({} {})",
                    upstream.name(),
                    pick.endpoint().options().address,
                    head.method_str(),
                    head.path().as_bytes()[..head.path().len().min(256)].escape_ascii(),
                ));
            }
            let may_help = is_safe
                && !error.was_answered
                && !matches!(error.failure, ExchangeFailure::Client(_) | ExchangeFailure::Request(_));
            if !may_help || !self.may_repeat(upstream, &mut outgoing, was_informed, tried.len(), began) {
                return Err(NoAnswer::Failed(error));
            }
            tried.add(pick.endpoint());
            // The failed one no longer counts as in flight when another is chosen.
            drop(pick);
            pick = self.pick(upstream, context, &tried)?;
            is_fresh = false;
        }
    }

    fn pick(&self, upstream: &ProxyUpstream, context: &Context, tried: &Tried) -> Result<Pick, NoEndpoint> {
        let key = PickKey::of(context);
        let key = match upstream.options().balance {
            Balance::Hash(HashKey::ClientAddress) | Balance::Rendezvous(HashKey::ClientAddress) => {
                key.client(request::client(context, &self.options.forwarded))
            }
            _ => key,
        };
        upstream.group.pick(&key, tried, self.ring.now())
    }

    /// As [`pick`](Self::pick); waits for the addresses of names that were never looked up before.
    async fn first_pick(&self, upstream: &ProxyUpstream, context: &Context) -> Result<Pick, NoEndpoint> {
        let deadline = self.ring.now() + upstream.options().timeouts.connect;
        loop {
            match self.pick(upstream, context, &Tried::default()) {
                Err(NoEndpoint::Unresolved) if self.ring.now() < deadline => {
                    self.ring.sleep(LOOK_EVERY).await;
                }
                picked => return picked,
            }
        }
    }

    /// Whether the request may be sent once more, and its body can be.
    fn may_repeat(
        &self,
        upstream: &ProxyUpstream,
        outgoing: &mut Outgoing,
        was_informed: bool,
        tries_before: usize,
        began: Instant,
    ) -> bool {
        let retries = &upstream.options().retries;
        let now = self.ring.now();
        !was_informed
            && tries_before + 1 < retries.tries as usize
            && now.saturating_duration_since(began) < retries.total_time
            && outgoing.rewind()
            && upstream.group.may_retry(now)
    }

    /// One exchange up to its final head; whether a tunnel follows.
    async fn exchange(
        &self,
        context: &Context,
        options: &crate::upstream::UpstreamOptions,
        link: Link,
        endpoint: &crate::upstream::Endpoint,
        outgoing: &mut Outgoing,
        was_informed: &mut bool,
    ) -> Result<(Exchange, bool), ExchangeError> {
        let mut exchange = self.begin(context, link, endpoint, outgoing)?;
        let is_repeatable = context.method().is_idempotent() || options.retries.non_idempotent;
        if is_repeatable && options.checks.is_some() {
            exchange.give_up_when_unhealthy(endpoint.shared());
        }
        loop {
            match poll_fn(|cx| exchange.poll_head(outgoing, options, cx)).await? {
                // The client is asked for its content when that is read.
                HeadEvent::Interim(Status::CONTINUE) => {}
                HeadEvent::Interim(status) => *was_informed |= inform(context, status, &exchange),
                HeadEvent::Final => {
                    exchange.begin_body(options)?;
                    return Ok((exchange, false));
                }
                HeadEvent::Tunnel => return Ok((exchange, true)),
            }
        }
    }

    /// Writes the request.
    fn begin(
        &self,
        context: &Context,
        link: Link,
        endpoint: &crate::upstream::Endpoint,
        outgoing: &Outgoing,
    ) -> Result<Exchange, ExchangeError> {
        let head = context.head();
        let mut lines = self.scratch.take();
        lines.clear();
        request::fields(context, &self.options, &mut lines);
        let upgrade = request::upgrade(head);
        let is_extended = head.protocol().is_some();
        if is_extended && link.is_http2() {
            return Err(ExchangeError::unsent(ExchangeFailure::Upgrade));
        }
        let never_indexed =
            if link.is_http2() { request::take_never_indexed(head, &mut lines) } else { Vec::new() };
        if is_extended {
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

/// Passes an interim response on; whether the client got it.
fn inform(context: &Context, status: Status, exchange: &Exchange) -> bool {
    let Ok(interim) = Interim::new(status) else { return false };
    let (lines, _) = response::lines(exchange.head());
    // Not to HTTP/1.0, nor to a client that does not read: the final response is not affected.
    context.inform(&interim.with_fields(crate::service::FieldBlock::Owned(lines))).is_ok()
}

/// What a failure says about the endpoint.
fn outcome_of(failure: &ExchangeFailure) -> Option<Outcome> {
    match failure {
        ExchangeFailure::Client(_)
        | ExchangeFailure::Request(_)
        | ExchangeFailure::QueueFull
        | ExchangeFailure::QueueTimeout
        | ExchangeFailure::Refused => None,
        ExchangeFailure::Name(_)
        | ExchangeFailure::Connect(_)
        | ExchangeFailure::ConnectTimeout
        | ExchangeFailure::Tls(_)
        | ExchangeFailure::Certificate(_)
        | ExchangeFailure::TlsTimeout => Some(Outcome::ConnectFailed),
        ExchangeFailure::FirstByteTimeout | ExchangeFailure::IdleTimeout => Some(Outcome::TimedOut),
        _ => Some(Outcome::Broken),
    }
}

/// The response to the client.
fn respond(
    context: &Context,
    upstream: Rc<ProxyUpstream>,
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
    forwarded(Body::Stream(Box::new(ProxyBody::new(upstream, exchange, outgoing, pick, length, first))))
}
