//! Which responses may be sent to one request, decided once for every version of HTTP before a byte is
//! written: what a response may be, and how far the exchange has come. The second is a state machine:
//!
//! ```text
//!            100, 102 to 199
//!               ┌──┐
//! NotBegun ──► Informed ──► Begun ──► Over
//!     └───────────────────────▲
//! ```

use super::entry::{LogEntry, complete_refusal};
use super::worker::Worker;
use crate::http::message::{RequestHead, Version};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::service::{Body, HalfClose, InformError, Interim, Response, Service, negotiate, settle};

/// Bytes of interim responses that wait to be sent, with the output that was gathered before them: a client
/// that does not read must not make the server buffer without bound. As large as the buffers that the ring
/// keeps for reuse.
const INTERIM_BYTES_MAX: usize = 46 * 1024;

/// What of a request decides which responses it may get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestKind {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// The connection may be upgraded (RFC 9110 §7.8).
    pub(crate) upgrade: bool,
}

impl RequestKind {
    /// For a response to a head that could not be read: `head` has what was readable. As GET, unless it is
    /// HEAD, whose response has no content whatever else is wrong.
    #[cold]
    pub(crate) fn of_refused(head: &RequestHead) -> RequestKind {
        let method = if head.method() == Method::Head { Method::Head } else { Method::Get };
        RequestKind { method, version: head.version(), upgrade: false }
    }
}

impl From<&RequestHead> for RequestKind {
    #[inline]
    fn from(head: &RequestHead) -> RequestKind {
        RequestKind { method: head.method(), version: head.version(), upgrade: head.upgrade().is_some() }
    }
}

/// How a response's content is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Delivery {
    /// Bytes of the content as for GET, where that is known.
    pub(crate) length: Option<u64>,
    /// The value of `Content-Length`, if it is sent (RFC 9110 §8.6).
    pub(crate) announced: Option<u64>,
    /// Whether content follows the head: not for HEAD, 204 and 304, and not where there is none.
    pub(crate) has_content: bool,
    /// The bytes of a tunnel follow the head.
    pub(crate) is_tunnel: bool,
}

/// Decides how a response is delivered. One that may not be sent is replaced by an error:
///
/// - A final response has a final status (RFC 9110 §15.2).
/// - 101 opens a tunnel, and only where the request has `Upgrade`; a success to CONNECT opens one too,
///   because the client treats it as one (§9.3.6, RFC 9113 §8.5). No other response does.
/// - 205 has no content (§15.3.6).
#[inline]
pub(crate) fn admit<S: Service>(
    worker: &Worker<S>,
    entry: &LogEntry,
    kind: RequestKind,
    response: &mut Response,
) -> Delivery {
    let is_usual = response.status() == Status::OK
        && kind.method != Method::Connect
        && !matches!(response.body(), Body::Tunnel(_))
        && response.is_ready();
    let delivery =
        if is_usual { delivery_of(kind, response) } else { admit_unusual(worker, entry, kind, response) };
    if worker.meters.is_some() {
        entry.measure_head(worker, response, delivery.is_tunnel);
    }
    delivery
}

#[inline(never)]
fn admit_unusual<S: Service>(
    worker: &Worker<S>,
    entry: &LogEntry,
    kind: RequestKind,
    response: &mut Response,
) -> Delivery {
    match judge(kind, response) {
        Ok(delivery) if response.is_ready() => return delivery,
        Ok(_) if response.is_faulty() => {
            // The fault of a filter, or of a service without any.
            settle(entry.context(), response);
            complete_refusal(worker, entry.context(), response);
        }
        Ok(_) => {}
        Err(error) => {
            *response = error;
            complete_refusal(worker, entry.context(), response);
        }
    }
    negotiate(entry.context().head(), response);
    delivery_of(kind, response)
}

/// As [`admit`]; the error in place of a response that may not be sent.
fn judge(kind: RequestKind, response: &mut Response) -> Result<Delivery, Response> {
    let status = response.status();
    let is_tunnel = matches!(response.body(), Body::Tunnel(_));
    let is_connected = kind.method == Method::Connect && status.is_success();
    if status.is_informational() || is_tunnel || is_connected {
        let may_open = is_connected || kind.upgrade && status == Status::SWITCHING_PROTOCOLS;
        if let Some(error) = refusal(is_tunnel, may_open, is_connected) {
            return Err(error);
        }
        return Ok(Delivery { length: None, announced: None, has_content: true, is_tunnel: true });
    }
    if status == Status::RESET_CONTENT {
        response.set_body(Body::Empty);
    }
    Ok(delivery_of(kind, response))
}

/// The error in place of a response that would open a tunnel and may not.
#[cold]
fn refusal(is_tunnel: bool, may_open: bool, is_connected: bool) -> Option<Response> {
    match (is_tunnel, may_open) {
        (true, true) => None,
        (false, _) if is_connected => {
            Some(Response::error(Status::NOT_IMPLEMENTED, "this server opens no tunnels"))
        }
        _ => Some(Response::error(Status::INTERNAL_SERVER_ERROR, "the handler gave no final response")),
    }
}

#[inline]
fn delivery_of(kind: RequestKind, response: &Response) -> Delivery {
    let status = response.status();
    let length = match response.body() {
        Body::Empty => Some(0),
        Body::Bytes(bytes) => Some(bytes.len() as u64),
        Body::File(_, range) => Some(range.end - range.start),
        Body::Stream(stream) => stream.length(),
        Body::Tunnel(_) => None,
    };
    let announced = match status {
        Status::NO_CONTENT => None,
        Status::NOT_MODIFIED if matches!(response.body(), Body::Empty) => None,
        // RFC 9110 §8.6: the length is that of GET's content, which a handler of HEAD need not know.
        _ if kind.method == Method::Head && matches!(response.body(), Body::Empty) => None,
        _ => length,
    };
    let is_bodiless = status.forbids_body()
        || kind.method == Method::Head
        || length == Some(0) && !matches!(response.body(), Body::Stream(_));
    Delivery { length, announced, has_content: !is_bodiless, is_tunnel: false }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum ResponseStage {
    NotBegun,
    Informed,
    Begun,
    Over,
}

/// How far the response to a request has come, and whether the client waits for 100 Continue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gate {
    stage: ResponseStage,
    /// The client holds its content back until it reads 100 Continue (RFC 9110 §10.1.1).
    expects_continue: bool,
    /// HTTP/1.0 has no interim responses (RFC 9110 §15.2).
    takes_interim: bool,
    /// What becomes of the exchange when the client closes its sending direction.
    half_close: HalfClose,
}

/// What is sent before the head of a response.
pub(crate) struct BeforeResponse {
    /// 100 Continue.
    pub(crate) asks: bool,
    /// An interim response, such as 103.
    pub(crate) interim: Option<Interim>,
}

impl Gate {
    /// Without an exchange.
    pub(crate) const SHUT: Gate = Gate {
        stage: ResponseStage::Over,
        expects_continue: false,
        takes_interim: false,
        half_close: HalfClose::End,
    };

    /// For a request whose head could not be read.
    pub(crate) const OPEN: Gate = Gate { stage: ResponseStage::NotBegun, ..Gate::SHUT };

    /// For a request whose head was read.
    #[inline]
    pub(crate) fn new(head: &RequestHead) -> Gate {
        Gate {
            stage: ResponseStage::NotBegun,
            expects_continue: head.expects_continue(),
            takes_interim: head.version() != Version::Http10,
            half_close: HalfClose::default(),
        }
    }

    /// What becomes of the exchange when the client closes its sending direction.
    pub(crate) fn half_close(&self) -> HalfClose {
        self.half_close
    }

    pub(crate) fn set_half_close(&mut self, half_close: HalfClose) {
        self.half_close = half_close;
    }

    /// A reader needs the content: whether 100 Continue is to be sent now. At most once, and never after the
    /// response began.
    pub(crate) fn ask_for_content(&mut self) -> bool {
        if self.stage > ResponseStage::Informed {
            return false;
        }
        let asks = std::mem::take(&mut self.expects_continue);
        if asks {
            self.stage = ResponseStage::Informed;
        }
        asks
    }

    /// Content has arrived: the client does not wait for 100 Continue.
    pub(crate) fn content_came(&mut self) {
        self.expects_continue = false;
    }

    /// Whether the client may never send its content, because the response came before 100 Continue.
    #[inline]
    pub(crate) fn withholds_content(&self) -> bool {
        self.expects_continue
    }

    /// Admits an interim response with these field lines, behind `waiting` bytes of output.
    ///
    /// # Errors
    /// Why it must not be sent.
    pub(crate) fn inform(&mut self, status: Status, lines: &[u8], waiting: usize) -> Result<(), InformError> {
        if !matches!(status.code(), 102..=199) {
            return Err(InformError::Status(status.code()));
        }
        if self.stage > ResponseStage::Informed {
            return Err(InformError::TooLate);
        }
        if !self.takes_interim {
            return Err(InformError::Http10);
        }
        if waiting + lines.len() > INTERIM_BYTES_MAX {
            return Err(InformError::Blocked);
        }
        self.stage = ResponseStage::Informed;
        Ok(())
    }

    /// The response begins: returns what is to be sent before its head, for most responses nothing.
    #[inline]
    pub(crate) fn begin(&mut self, response: &mut Response) -> Option<BeforeResponse> {
        debug_assert!(self.stage < ResponseStage::Begun, "one response for each request");
        let before = (matches!(response.body(), Body::Stream(_)) || response.has_interim())
            .then(|| self.before(response));
        self.stage = ResponseStage::Begun;
        before
    }

    #[inline(never)]
    fn before(&mut self, response: &mut Response) -> BeforeResponse {
        // The body may read the request's, which the client may hold back; once the response has begun, 100
        // must not be sent.
        let reads = matches!(response.body(), Body::Stream(body) if body.reads_request());
        let asks = reads && self.ask_for_content();
        let interim = response.take_interim();
        let interim = interim.filter(|interim| self.inform(interim.status(), interim.fields(), 0).is_ok());
        BeforeResponse { asks, interim }
    }

    /// The exchange has ended.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.stage = ResponseStage::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Tunnel, TunnelHandler};

    const GET: RequestKind = RequestKind { method: Method::Get, version: Version::Http11, upgrade: false };
    const HEAD: RequestKind = RequestKind { method: Method::Head, ..GET };
    const CONNECT: RequestKind = RequestKind { method: Method::Connect, ..GET };
    const UPGRADE: RequestKind = RequestKind { upgrade: true, ..GET };

    fn response(code: u16, body: Body) -> Response {
        Response::new(Status::new(code).unwrap()).with_body(body)
    }

    fn tunnel() -> Body {
        Body::Tunnel(TunnelHandler::new(async |_: Tunnel| ()))
    }

    #[test]
    fn a_final_response_is_final_and_a_tunnel_was_asked_for() {
        let ok = |status| (status, true);
        let refused = |status| (status, false);
        for (kind, code, body, expected) in [
            (GET, 100, Body::Empty, refused(500)),
            (GET, 103, Body::Empty, refused(500)),
            (GET, 101, Body::Empty, refused(500)),
            (GET, 101, tunnel(), refused(500)),
            (GET, 200, tunnel(), refused(500)),
            (UPGRADE, 101, Body::Empty, refused(500)),
            (UPGRADE, 101, tunnel(), ok(101)),
            (UPGRADE, 200, tunnel(), refused(500)),
            (CONNECT, 101, tunnel(), refused(500)),
            (CONNECT, 200, Body::Empty, refused(501)),
            (CONNECT, 204, Body::Bytes("x".into()), refused(501)),
            (CONNECT, 200, tunnel(), ok(200)),
            (CONNECT, 407, Body::Empty, refused(407)),
        ] {
            let mut response = response(code, body);
            let delivery = judge(kind, &mut response).unwrap_or_else(|error| {
                response = error;
                delivery_of(kind, &response)
            });
            assert_eq!((response.status().code(), delivery.is_tunnel), expected, "{kind:?} {code}");
            assert_eq!(matches!(response.body(), Body::Tunnel(_)), delivery.is_tunnel);
        }
    }

    #[test]
    fn lengths_and_content_follow_status_and_method() {
        let text = || Body::Bytes("hello".into());
        for (kind, code, body, expected) in [
            (GET, 200, text(), (Some(5), true)),
            (GET, 200, Body::Empty, (Some(0), false)),
            (HEAD, 200, text(), (Some(5), false)),
            (HEAD, 200, Body::Empty, (None, false)),
            (HEAD, 404, Body::Empty, (None, false)),
            (HEAD, 200, Body::Bytes("".into()), (Some(0), false)),
            (GET, 204, text(), (None, false)),
            (GET, 205, text(), (Some(0), false)),
            (GET, 304, text(), (Some(5), false)),
            (GET, 304, Body::Empty, (None, false)),
            (GET, 404, Body::Empty, (Some(0), false)),
        ] {
            let Delivery { announced, has_content, .. } =
                judge(kind, &mut response(code, body)).expect("may be sent");
            assert_eq!((announced, has_content), expected, "{kind:?} {code}");
        }
    }

    struct Pieces;

    impl crate::service::StreamBody for Pieces {
        fn poll_frame(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<crate::service::BodyFrame>> {
            std::task::Poll::Ready(None)
        }
    }

    fn gate(expects_continue: bool, takes_interim: bool) -> Gate {
        Gate { expects_continue, takes_interim, ..Gate::OPEN }
    }

    #[test]
    fn content_is_asked_for_once_and_before_the_response() {
        let mut waiting = gate(true, true);
        assert!(waiting.withholds_content() && waiting.ask_for_content() && !waiting.ask_for_content());
        assert!(!waiting.withholds_content());
        let mut late = gate(true, true);
        late.begin(&mut response(200, Body::Empty));
        assert!(!late.ask_for_content() && late.withholds_content());
        let mut streams = gate(true, true);
        let mut streamed = response(200, Body::Stream(Box::new(Pieces)));
        assert!(streams.begin(&mut streamed).is_some_and(|before| before.asks) && !streams.ask_for_content());
        let mut eager = gate(true, true);
        eager.content_came();
        assert!(!eager.ask_for_content());
    }

    #[test]
    fn interim_responses_come_before_the_response_and_are_interim() {
        let mut open = gate(false, true);
        assert_eq!(open.inform(Status::EARLY_HINTS, b"", 0), Ok(()));
        assert_eq!(open.inform(Status::EARLY_HINTS, b"", 0), Ok(()));
        for code in [100, 101, 200, 404] {
            assert_eq!(open.inform(Status::new(code).unwrap(), b"", 0), Err(InformError::Status(code)));
        }
        let full = INTERIM_BYTES_MAX - 1;
        assert_eq!(open.inform(Status::EARLY_HINTS, b"x", full), Ok(()));
        assert_eq!(open.inform(Status::EARLY_HINTS, b"xy", full), Err(InformError::Blocked));
        open.begin(&mut response(200, Body::Empty));
        assert_eq!(open.inform(Status::EARLY_HINTS, b"", 0), Err(InformError::TooLate));
        open.end();
        assert_eq!(open.inform(Status::EARLY_HINTS, b"", 0), Err(InformError::TooLate));
        assert_eq!(gate(false, false).inform(Status::EARLY_HINTS, b"", 0), Err(InformError::Http10));
        assert_eq!(Gate::SHUT.clone().inform(Status::EARLY_HINTS, b"", 0), Err(InformError::TooLate));
    }
}
