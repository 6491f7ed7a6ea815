//! An id for every request, for the logs of server and client.

use std::cell::Cell;
use std::fmt;
use std::ops::ControlFlow;

use crate::observe::RequestSpan;
use crate::ring::sys;
use crate::service::{Context, Filter, Request, Response};

/// Longest id accepted from a client: a UUID has 36 characters, trace identifiers up to 55.
const TAKEN_BYTES_MAX: usize = 64;

/// The id of a request; extract it with `Extension<RequestId>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(
    // INVARIANT: visible ASCII without quotes, so that fields and logs can hold it unescaped.
    Box<str>,
);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How requests get their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestIdOptions {
    /// Whether the id in a request's `X-Request-Id` is kept, if it has at most 64 visible characters: for
    /// servers behind a proxy that generates ids. Default false: on the open internet, any client could
    /// choose the ids in the log.
    pub keep_incoming: bool,
}

/// Gives every request a [`RequestId`], sent in `X-Request-Id`.
#[derive(Debug)]
pub struct RequestIds {
    takes_over: bool,
    /// Random per instance, so that ids of cores and restarts do not collide.
    prefix: u64,
    count: Cell<u64>,
}

impl RequestIds {
    /// Always generates ids: 32 hexadecimal digits, unique but not secret.
    pub fn new() -> Self {
        Self { takes_over: false, prefix: u64::from_ne_bytes(sys::random()), count: Cell::new(0) }
    }

    /// With these options.
    pub fn with_options(options: &RequestIdOptions) -> Self {
        Self { takes_over: options.keep_incoming, ..Self::new() }
    }

    /// Keeps the id of a request, if it has at most 64 visible characters: behind a proxy that generates
    /// them. On the open internet any client could choose the ids in the log.
    pub fn taking_over(self) -> Self {
        Self { takes_over: true, ..self }
    }

    fn brought(&self, context: &Context) -> Option<Box<str>> {
        let value = context.head().field("x-request-id").filter(|_| self.takes_over)?;
        let sound = |&byte: &u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let fits = !value.is_empty() && value.len() <= TAKEN_BYTES_MAX && value.iter().all(sound);
        fits.then(|| String::from_utf8_lossy(value).into())
    }

    fn give(&self, context: &Context) {
        let id = self.brought(context).unwrap_or_else(|| self.made());
        if cfg!(feature = "tracing")
            && let Some(span) = context.get::<RequestSpan>()
        {
            span.record_id(&id);
        }
        context.insert(RequestId(id));
    }

    fn made(&self) -> Box<str> {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        // An odd factor: all counts stay different, and successive ids differ in many digits.
        format!("{:016x}{:016x}", self.prefix, count.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into()
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter for RequestIds {
    fn before(&self, request: &mut Request) -> ControlFlow<Response> {
        self.give(request.context());
        ControlFlow::Continue(())
    }

    fn after(&self, context: &Context, response: &mut Response) {
        if let Some(id) = context.get::<RequestId>() {
            response.set_field("X-Request-Id", id.as_str()).expect("visible ASCII");
        }
    }

    fn refused(&self, context: &Context, response: &mut Response) {
        if context.get::<RequestId>().is_none() {
            self.give(context);
        }
        self.after(context, response);
    }
}
