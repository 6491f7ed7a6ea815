//! Sends one request to an upstream: an endpoint, a connection, the exchange, and again where that is safe.
//! The same for requests that are forwarded and for those that begin here; what differs is a [`Requester`].
//!
//! A request is sent again only if nothing of a response was passed on and the whole of its body is held; and
//! only if its method is idempotent or nothing of it was written. A kept connection that was closed meanwhile
//! does not count as a try: the request goes out again over a fresh one.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::connect::Needs;
use super::endpoint::Endpoint;
use super::error::{ExchangeError, ExchangeFailure};
use super::exchange::{Exchange, Link};
use super::group::{NoEndpoint, Outcome, Pick, Tried};
use super::h1::HeadEvent;
use super::local::LocalUpstream;
use super::options::UpstreamOptions;
use super::outgoing::Outgoing;
use crate::http::status::Status;
use crate::ring::later;
use crate::service::RequestBody;

/// How often a request is sent again that was refused unprocessed: an endpoint may lower how much it takes
/// while requests are on their way to it.
const REFUSALS_MAX: u8 = 4;

/// Time between two looks for the addresses of names that are being looked up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A request, and what its sender does with what comes back.
pub(crate) trait Requester {
    /// Whether doing it twice has the effect of doing it once.
    fn is_idempotent(&self) -> bool;

    /// Whether it needs HTTP/1.1, for an upgrade.
    fn needs_http1(&self) -> bool;

    /// Whether that upgrade may be an extended CONNECT to an endpoint that speaks HTTP/2 alone.
    fn needs_tunnel(&self) -> bool {
        false
    }

    /// An endpoint, one that was not tried if there is one.
    ///
    /// # Errors
    /// Why there is none.
    fn pick(&self, upstream: &LocalUpstream, tried: &Tried) -> Result<Pick, NoEndpoint>;

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be sent on this connection.
    fn begin(&self, link: Link, endpoint: &Endpoint, body: &Outgoing) -> Result<Exchange, ExchangeError>;

    /// Takes an interim response other than 100; whether it was passed on, so that there is no way back.
    fn inform(&self, status: Status, exchange: &Exchange) -> bool;

    /// An exchange has failed by the fault of this endpoint, or because it opens no tunnels.
    fn failed(&self, upstream: &LocalUpstream, endpoint: &Endpoint, error: &ExchangeError);
}

/// The exchange with the endpoint that answered, at the final head of its response.
pub(crate) struct Answered {
    pub(crate) exchange: Exchange,
    pub(crate) outgoing: Outgoing,
    pub(crate) pick: Pick,
    pub(crate) is_tunnel: bool,
}

/// Why there is no answer.
pub(crate) enum NoAnswer {
    /// There is none, and how the last one failed.
    NoEndpoint(NoEndpoint, Option<ExchangeError>),
    Failed(ExchangeError),
}

impl From<NoEndpoint> for NoAnswer {
    fn from(none: NoEndpoint) -> Self {
        Self::NoEndpoint(none, None)
    }
}

/// The final head of a response, from whichever endpoint answers.
///
/// # Errors
/// None did.
pub(crate) async fn call(
    upstream: &LocalUpstream,
    request: &impl Requester,
    mut outgoing: Outgoing,
) -> Result<Answered, NoAnswer> {
    let (options, ring) = (upstream.options(), upstream.ring());
    let is_repeatable = is_repeatable(options, request);
    let mut tried = Tried::default();
    let mut pick = match request.pick(upstream, &tried) {
        Err(NoEndpoint::Unresolved) => Box::pin(first_pick(upstream, request)).await?,
        picked => picked?,
    };
    let mut is_fresh = false;
    let needs_http1 = request.needs_http1();
    let needs_tunnel = needs_http1 && request.needs_tunnel();
    let may_hedge = request.is_idempotent() && !needs_http1 && outgoing.length() == Some(0);
    let mut refusals = 0_u8;
    let began = ring.now();
    loop {
        let mut started = ring.now();
        let mut was_informed = false;
        let needs = Needs { is_fresh, http1: needs_http1, tunnel: needs_tunnel };
        let informed = Some(&mut was_informed);
        let exchanged = match options.retries.hedge_after.filter(|_| may_hedge) {
            None => attempt(upstream, request, pick.endpoint(), needs, &mut outgoing, informed).await,
            Some(after) => {
                let try_of = Try { pick: &mut pick, started: &mut started, tried: &mut tried };
                let hedged = hedged(upstream, request, try_of, needs, &mut outgoing, informed, after);
                Box::pin(hedged).await
            }
        };
        let now = ring.now();
        let latency = now.saturating_duration_since(started);
        let error = match exchanged {
            Ok((exchange, is_tunnel)) => {
                let status = exchange.head().status();
                pick.record(Outcome::Response(status), latency, now);
                let wants_another = !options.retries.statuses.is_empty()
                    && options.retries.statuses.contains(&status.code())
                    && request.is_idempotent()
                    && may_repeat(upstream, &mut outgoing, was_informed, tried.len(), began)
                    && upstream.group.may_retry(now);
                if !wants_another {
                    return Ok(Answered { exchange, outgoing, pick, is_tunnel });
                }
                tried.add(pick.endpoint());
                // Without another one the client gets what this one answered.
                let Ok(next) = request.pick(upstream, &tried) else {
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
        let outcome = outcome_of(&error.failure);
        if let Some(outcome) = outcome {
            pick.record(outcome, latency, now);
        }
        if outcome.is_some() || matches!(error.failure, ExchangeFailure::NoTunnel) {
            request.failed(upstream, pick.endpoint(), &error);
        }
        let may_help = is_safe
            && !error.was_answered
            && !matches!(error.failure, ExchangeFailure::Client(_) | ExchangeFailure::Request(_));
        // The budget bounds what endpoints get. One that was never reached got nothing.
        let is_in_budget = || !error.was_written || upstream.group.may_retry(now);
        if !may_help
            || !may_repeat(upstream, &mut outgoing, was_informed, tried.len(), began)
            || !is_in_budget()
        {
            return Err(NoAnswer::Failed(error));
        }
        tried.add(pick.endpoint());
        // The failed one no longer counts as in flight when another is chosen.
        drop(pick);
        pick = match request.pick(upstream, &tried) {
            Ok(pick) => pick,
            Err(none) => return Err(NoAnswer::NoEndpoint(none, Some(error))),
        };
        is_fresh = false;
    }
}

fn is_repeatable(options: &UpstreamOptions, request: &impl Requester) -> bool {
    request.is_idempotent() || options.retries.non_idempotent
}

/// Bytes of a body that are held while it is sent, so that it can be sent again.
pub(crate) fn held_bytes_max(options: &UpstreamOptions, request: &impl Requester) -> usize {
    // By HTTP/2 an endpoint says what it has not processed, which any method may repeat (RFC 9113 §8.7).
    let is_held = is_repeatable(options, request) || options.may_use_http2();
    if is_held { options.retries.body_bytes_max } else { 0 }
}

/// As [`Requester::pick`]; waits for the addresses of names that were never looked up before.
async fn first_pick(upstream: &LocalUpstream, request: &impl Requester) -> Result<Pick, NoEndpoint> {
    let ring = upstream.ring();
    let deadline = later(ring.now(), upstream.options().timeouts.connect);
    loop {
        match request.pick(upstream, &Tried::default()) {
            Err(NoEndpoint::Unresolved) if ring.now() < deadline => ring.sleep(LOOK_EVERY).await,
            picked => return picked,
        }
    }
}

/// Whether the request may be sent once more, and its body can be.
fn may_repeat(
    upstream: &LocalUpstream,
    outgoing: &mut Outgoing,
    was_informed: bool,
    tries_before: usize,
    began: Instant,
) -> bool {
    let retries = &upstream.options().retries;
    let now = upstream.ring().now();
    !was_informed
        && tries_before + 1 < retries.tries as usize
        && now.saturating_duration_since(began) < retries.total_time
        && outgoing.rewind()
}

/// A try that another one may overtake.
struct Try<'a> {
    pick: &'a mut Pick,
    started: &'a mut Instant,
    tried: &'a mut Tried,
}

/// An exchange at its final head, and whether a tunnel follows.
type Reached = (Exchange, bool);

/// As [`attempt`], of a request without content; without a final head after this time another endpoint is
/// asked too, within the budget of retries. The first final head wins, the other exchange is cancelled, and
/// `first` is about the endpoint that answered. Where both fail, the first failure is returned.
async fn hedged(
    upstream: &LocalUpstream,
    request: &impl Requester,
    first: Try<'_>,
    needs: Needs,
    outgoing: &mut Outgoing,
    informed: Option<&mut bool>,
    after: Duration,
) -> Result<Reached, ExchangeError> {
    let ring = upstream.ring();
    let endpoint = first.pick.endpoint().clone();
    let mut one = pin!(attempt(upstream, request, &endpoint, needs, outgoing, informed));
    let mut late = pin!(ring.sleep(after));
    let in_time = poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(reached) => Poll::Ready(Some(reached)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| None),
    });
    if let Some(reached) = in_time.await {
        return reached;
    }
    first.tried.add(&endpoint);
    let is_allowed = first.tried.len() < upstream.options().retries.tries as usize;
    let picked = if is_allowed { request.pick(upstream, first.tried).ok() } else { None };
    let other = picked.filter(|pick| !first.tried.contains(pick.endpoint()));
    let Some(mut other) = other.filter(|_| upstream.group.may_retry(ring.now())) else {
        first.tried.forget_last();
        return one.await;
    };
    let (started, other_endpoint) = (ring.now(), other.endpoint().clone());
    let mut empty = Outgoing::new(RequestBody::empty(), 0);
    let needs = Needs { is_fresh: false, ..needs };
    let mut two = pin!(attempt(upstream, request, &other_endpoint, needs, &mut empty, None));
    let (mut one_failed, mut two_failed) = (None, None);
    let reached = poll_fn(|cx| {
        if one_failed.is_none()
            && let Poll::Ready(reached) = one.as_mut().poll(cx)
        {
            match reached {
                Ok(reached) => return Poll::Ready(Some((reached, false))),
                Err(error) => one_failed = Some(error),
            }
        }
        if two_failed.is_none()
            && let Poll::Ready(reached) = two.as_mut().poll(cx)
        {
            match reached {
                Ok(reached) => return Poll::Ready(Some((reached, true))),
                Err(error) => two_failed = Some(error),
            }
        }
        if one_failed.is_some() && two_failed.is_some() { Poll::Ready(None) } else { Poll::Pending }
    });
    let reached = reached.await;
    let now = ring.now();
    let record = |pick: &mut Pick, error: &ExchangeError, since: Instant| {
        if let Some(outcome) = outcome_of(&error.failure) {
            pick.record(outcome, now.saturating_duration_since(since), now);
            request.failed(upstream, pick.endpoint(), error);
        }
    };
    if let Some(error) = &two_failed {
        record(&mut other, error, started);
    }
    match (reached, one_failed) {
        (Some((reached, true)), failed) => {
            match failed {
                Some(error) => record(first.pick, &error, *first.started),
                None => first.pick.outpaced(now.saturating_duration_since(*first.started), now),
            }
            *first.pick = other;
            *first.started = started;
            Ok(reached)
        }
        (Some((reached, false)), _) => {
            first.tried.forget_last();
            Ok(reached)
        }
        (None, failed) => {
            first.tried.forget_last();
            first.tried.add(&other_endpoint);
            Err(failed.unwrap_or_else(|| ExchangeError::unsent(ExchangeFailure::Closed)))
        }
    }
}

/// One try: a connection, and the exchange on it.
async fn attempt(
    upstream: &LocalUpstream,
    request: &impl Requester,
    endpoint: &Endpoint,
    needs: Needs,
    outgoing: &mut Outgoing,
    informed: Option<&mut bool>,
) -> Result<Reached, ExchangeError> {
    let is_soon = !needs.is_fresh && !needs.tunnel;
    let kept = if is_soon { upstream.take_now(endpoint, needs.http1) } else { None };
    let link = match kept {
        Some(link) => link,
        None => Box::pin(upstream.link(endpoint, needs)).await?,
    };
    exchange(upstream, request, link, endpoint, outgoing, informed).await
}

/// One exchange up to its final head. Interim responses are passed on, and noted in `informed`, unless that
/// is `None`.
async fn exchange(
    upstream: &LocalUpstream,
    request: &impl Requester,
    link: Link,
    endpoint: &Endpoint,
    outgoing: &mut Outgoing,
    mut informed: Option<&mut bool>,
) -> Result<Reached, ExchangeError> {
    let options = upstream.options();
    let mut exchange = request.begin(link, endpoint, outgoing)?;
    if is_repeatable(options, request) && options.checks.is_some() {
        exchange.give_up_when_unhealthy(endpoint.shared());
    }
    let (ring, meter) = (upstream.ring(), upstream.group.meter());
    // Since when the endpoint has the whole request; none while it is uploaded.
    let mut sent_at = None;
    loop {
        let head = poll_fn(|cx| {
            let polled = exchange.poll_head(outgoing, options, cx);
            if meter.is_some() && sent_at.is_none() && exchange.is_sent() {
                sent_at = Some(ring.now());
            }
            polled
        });
        let head = head.await?;
        if let (Some(meter), false) = (meter, matches!(head, HeadEvent::Interim(_))) {
            let since = sent_at.unwrap_or_else(|| ring.now());
            meter.to_head.record(ring.now().saturating_duration_since(since));
        }
        match head {
            // The content is asked for when the endpoint reads it.
            HeadEvent::Interim(Status::CONTINUE) => {}
            HeadEvent::Interim(status) => {
                if let Some(was_informed) = &mut informed {
                    **was_informed |= request.inform(status, &exchange);
                }
            }
            HeadEvent::Final => {
                exchange.begin_body(options)?;
                return Ok((exchange, false));
            }
            HeadEvent::Tunnel => return Ok((exchange, true)),
        }
    }
}

/// What a failure says about the endpoint.
fn outcome_of(failure: &ExchangeFailure) -> Option<Outcome> {
    match failure {
        ExchangeFailure::Client(_)
        | ExchangeFailure::Request(_)
        | ExchangeFailure::QueueFull
        | ExchangeFailure::QueueTimeout
        | ExchangeFailure::NoTunnel
        | ExchangeFailure::Refused => None,
        ExchangeFailure::Name(_)
        | ExchangeFailure::ForwardProxy(_)
        | ExchangeFailure::Connect(_)
        | ExchangeFailure::ConnectTimeout
        | ExchangeFailure::Tls(_)
        | ExchangeFailure::NoVersion
        | ExchangeFailure::Certificate(_)
        | ExchangeFailure::TlsTimeout
        | ExchangeFailure::NoSettings => Some(Outcome::ConnectFailed),
        ExchangeFailure::FirstByteTimeout | ExchangeFailure::IdleTimeout => Some(Outcome::TimedOut),
        _ => Some(Outcome::Broken),
    }
}
