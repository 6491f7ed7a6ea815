//! Sends a request: to its origin, again where that is safe (`upstream::call`), and to where redirects lead
//! (RFC 9110 §15.4).

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::Client;
use super::error::{ClientError, ClientErrorKind, TimeoutKind};
use super::origins::Origin;
use super::parts::{Content, RequestParts, SECRET, StreamFailure, has_line, is_line_of};
use super::proxies::ForwardProxy;
use super::response::{ClientResponse, Receiving};
use crate::http::h1::{BodyLength, ConnectionOptions, OutgoingRequest};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::ring::later;
use crate::service::RequestBody;
use crate::upstream::{
    Answered, Endpoint, Exchange, ExchangeError, ExchangeFailure, Incoming, Link, LocalUpstream, NoAnswer,
    NoEndpoint, Outgoing, Pick, PickKey, Requester, Tried, call, held_bytes_max,
};

/// Fields that describe content, which a request without it does not have (RFC 9110 §15.4).
const OF_CONTENT: [&str; 6] =
    ["content-type", "content-encoding", "content-language", "content-location", "digest", "last-modified"];

/// Sends a request, within its time.
///
/// # Errors
/// There is no response.
pub(super) async fn send(client: &Client, parts: RequestParts) -> Result<ClientResponse, ClientError> {
    let ring = &client.inner.core.ring;
    let Some(time) = parts.timeout else { return Box::pin(follow(client, parts, None)).await };
    let (what, deadline) = (parts.what(), later(ring.now(), time));
    match ring.within(time, Box::pin(follow(client, parts, Some(deadline)))).await {
        Some(result) => result,
        None => Err(ClientError::late(TimeoutKind::Total, "it takes too long", false).of(|| what)),
    }
}

/// Sends a request, and where it is redirected to.
async fn follow(
    client: &Client,
    mut parts: RequestParts,
    deadline: Option<Instant>,
) -> Result<ClientResponse, ClientError> {
    let options = &client.inner.options;
    let decodes = prepare(client, &mut parts);
    let mut outgoing = None;
    let failure = match &parts.body.0 {
        Content::Stream(_, failure) => failure.clone(),
        Content::Bytes(_) => StreamFailure::default(),
    };
    let mut was_processed = false;
    let mut redirects = 0;
    loop {
        let failed = |error: ClientError, parts: &RequestParts, was_processed: bool| {
            error.processed(was_processed).of(|| parts.what())
        };
        let proxy = options.proxies.of(&parts.url);
        let origin = client.inner.origins.get(&parts.url, proxy, options, &client.inner.core).await;
        let origin = origin.map_err(|error| failed(error, &parts, was_processed))?;
        let content = std::mem::replace(&mut parts.body.0, Content::Bytes(Bytes::new()));
        let request = Outbound::new(&parts, proxy);
        let body = outgoing.take().unwrap_or_else(|| body_of(content, &origin, &request));
        let answered = call(&origin.upstream, &request, body).await;
        let mut answered =
            answered.map_err(|none| failed(error_of(none, &failure), &parts, was_processed))?;
        let head = answered.exchange.head();
        let status = head.status();
        let Some(location) = redirect_of(status, head.field("location")).filter(|_| parts.redirects_max > 0)
        else {
            return respond(client, &parts, origin, answered, deadline, decodes)
                .map_err(|error| failed(error, &parts, true));
        };
        let refused = |text: &str| {
            let error = ClientError::text(ClientErrorKind::Redirect, text);
            Err(failed(error, &parts, true))
        };
        redirects += 1;
        if redirects > parts.redirects_max {
            return refused("it is redirected too often");
        }
        let Some(next) = location.ok().and_then(|location| parts.url.join(location).ok()) else {
            return refused("it is redirected to something that is no URL that is asked");
        };
        if parts.url.is_https() && !next.is_https() && !options.redirects_to_plain {
            return refused("it is redirected from https to http (redirects_to_plain)");
        }
        let becomes_get = turns_into_get(status, &parts.method);
        was_processed |= becomes_get;
        if becomes_get {
            parts.method = if parts.method == "HEAD" { "HEAD" } else { "GET" }.to_owned();
            drop_lines(&mut parts.fields, &OF_CONTENT);
            parts.expects_continue = false;
            finish(&origin.upstream, answered);
            outgoing = Some(Outgoing::new(RequestBody::empty(), 0));
        } else {
            if !answered.outgoing.rewind() {
                return refused("it is redirected, and its content, a stream, cannot be sent again");
            }
            outgoing = Some(finish(&origin.upstream, answered));
        }
        if !next.has_origin_of(&parts.url) {
            parts.secret_fields.clear();
        }
        parts.url = next;
    }
}

/// Adds what the options say; whether the response is to be decompressed.
fn prepare(client: &Client, parts: &mut RequestParts) -> bool {
    let options = &client.inner.options;
    for (name, value) in &options.fields {
        if !parts.has(name) {
            let is_secret = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
            let lines = if is_secret { &mut parts.secret_fields } else { &mut parts.fields };
            // They were checked when the client was made; where it was not, they are empty.
            let _ = crate::http::message::push_field(lines, name, value.as_bytes());
        }
    }
    // Of a range of a coded form only its parts could be decoded.
    let decodes = cfg!(feature = "compress")
        && options.decompress
        && !parts.has("accept-encoding")
        && !parts.has("range");
    if decodes {
        parts.fields.extend_from_slice(b"Accept-Encoding: gzip, br, zstd\r\n");
    }
    decodes
}

/// The content, as it is sent. What is in memory can be sent again whatever its size.
fn body_of(content: Content, origin: &Origin, request: &Outbound<'_>) -> Outgoing {
    match content {
        Content::Bytes(bytes) => {
            let length = bytes.len();
            Outgoing::new(RequestBody::from_bytes(bytes), length)
        }
        Content::Stream(stream, _) => {
            Outgoing::new(stream, held_bytes_max(origin.upstream.options(), request))
        }
    }
}

/// Where a redirect leads; `None` if it is none.
fn redirect_of(status: Status, location: Option<&[u8]>) -> Option<Result<&str, std::str::Utf8Error>> {
    matches!(status.code(), 301 | 302 | 303 | 307 | 308).then_some(())?;
    location.map(std::str::from_utf8)
}

/// Whether a redirected request goes on as GET. 303 says so; after 301 and 302 POST does, as everywhere (RFC
/// 9110 §15.4.2).
fn turns_into_get(status: Status, method: &str) -> bool {
    match status.code() {
        303 => !matches!(method, "GET" | "HEAD"),
        301 | 302 => method == "POST",
        _ => false,
    }
}

fn drop_lines(lines: &mut Vec<u8>, names: &[&str]) {
    let kept = lines.split_inclusive(|&byte| byte == b'\n');
    let kept = kept.filter(|line| !names.iter().any(|name| is_line_of(line, name)));
    *lines = kept.flatten().copied().collect();
}

/// Ends an exchange whose response is not read: its connection is kept if that was received whole.
fn finish(upstream: &LocalUpstream, answered: Answered) -> Outgoing {
    let Answered { mut exchange, outgoing, pick, .. } = answered;
    let is_whole = exchange.may_be_whole() && exchange.take_data().is_ok() && exchange.is_received();
    if is_whole && exchange.is_sent() {
        upstream.keep(pick.endpoint(), exchange);
    }
    outgoing
}

fn error_of(none: NoAnswer, failure: &StreamFailure) -> ClientError {
    if let Some(why) = failure.take() {
        return ClientError::text(ClientErrorKind::Body, format!("the request's body failed: {why}"));
    }
    match none {
        NoAnswer::Failed(error) | NoAnswer::NoEndpoint(_, Some(error)) => ClientError::exchange(error),
        NoAnswer::NoEndpoint(NoEndpoint::Overloaded { .. }, None) => {
            ClientError::text(ClientErrorKind::Busy, "too many requests to it are in progress")
        }
        NoAnswer::NoEndpoint(none, None) => ClientError::text(ClientErrorKind::Connect, none.to_string()),
    }
}

/// The response, at the final head.
fn respond(
    client: &Client,
    parts: &RequestParts,
    origin: Rc<Origin>,
    answered: Answered,
    deadline: Option<Instant>,
    decodes: bool,
) -> Result<ClientResponse, ClientError> {
    let Answered { mut exchange, outgoing, pick, .. } = answered;
    let head = exchange.head().clone();
    let taken = if exchange.may_be_whole() { exchange.take_data() } else { Ok(Bytes::new()) };
    let first = taken.map_err(|error| {
        let failure = ExchangeFailure::Body(error);
        ClientError::exchange(ExchangeError {
            failure,
            was_written: true,
            was_answered: true,
            was_reused: false,
        })
    })?;
    let incoming = if exchange.is_received() && !exchange.has_trailers() && exchange.is_sent() {
        origin.upstream.keep(pick.endpoint(), exchange);
        None
    } else {
        Some(Incoming::new(origin.upstream.clone(), exchange, outgoing, pick))
    };
    let receiving = Receiving {
        ring: client.inner.core.ring.clone(),
        what: parts.what(),
        deadline,
        whole_bytes_max: parts.whole_bytes_max,
        bytes_max: client.inner.options.response_bytes_max,
        first,
        incoming,
    };
    let is_bodiless = parts.method == "HEAD" || head.status().forbids_body();
    ClientResponse::new(head, parts.url.clone(), receiving, decodes && !is_bodiless)
}

/// One request as `upstream::call` sends it.
struct Outbound<'a> {
    parts: &'a RequestParts,
    target: String,
    proxy: Option<&'a ForwardProxy>,
}

impl<'a> Outbound<'a> {
    fn new(parts: &'a RequestParts, proxy: Option<&'a ForwardProxy>) -> Self {
        // With https the proxy sees the tunnel alone.
        let proxy = proxy.filter(|_| !parts.url.is_https());
        let target = match proxy {
            Some(_) => parts.url.to_string(),
            None => parts.url.target().to_owned(),
        };
        Self { parts, target, proxy }
    }
}

impl Requester for Outbound<'_> {
    fn is_idempotent(&self) -> bool {
        Method::from_token(self.parts.method.as_bytes()).is_idempotent()
    }

    fn needs_http1(&self) -> bool {
        false
    }

    /// Each address once.
    fn pick(&self, upstream: &LocalUpstream, tried: &Tried) -> Result<Pick, NoEndpoint> {
        if !tried.is_empty() && tried.len() >= upstream.group.endpoints().len() {
            return Err(NoEndpoint::Unavailable);
        }
        upstream.group.pick(&PickKey::default(), tried, upstream.ring().now())
    }

    fn begin(&self, link: Link, _endpoint: &Endpoint, body: &Outgoing) -> Result<Exchange, ExchangeError> {
        let parts = self.parts;
        let (mut fields, mut secret) = (parts.fields.clone(), parts.secret_fields.clone());
        if let Some(authorization) = self.proxy.and_then(|proxy| proxy.authorization.as_ref())
            && !has_line(&secret, "proxy-authorization")
        {
            secret.extend_from_slice(format!("Proxy-Authorization: {authorization}\r\n").as_bytes());
        }
        if !link.is_http2() {
            fields.append(&mut secret);
        }
        let request = OutgoingRequest {
            method: &parts.method,
            target: &self.target,
            authority: parts.url.authority(),
            fields: &fields,
            length: body.length().map_or(BodyLength::Chunked, BodyLength::Known),
            expects_continue: parts.expects_continue,
            connection: ConnectionOptions { trailers: parts.takes_trailers, ..ConnectionOptions::default() },
        };
        Exchange::begin(link, &request, &secret)
    }

    fn inform(&self, _status: Status, _exchange: &Exchange) -> bool {
        false
    }

    /// The caller gets the error.
    fn failed(&self, _upstream: &LocalUpstream, _endpoint: &Endpoint, _error: &ExchangeError) {}
}
