//! With the feature `tracing`: a span for each request, and the lines for the operator as events of that
//! crate. Without it, nothing: the span has no size and its methods are empty.
//!
//! A span begins with a request's head and ends with the last byte of its response. It is entered while a
//! handler or a body is polled, so that their events belong to it.

use std::time::Duration;

use crate::http::message::RequestHead;

/// How urgent a line for the operator is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Severity {
    Warning,
    Error,
}

/// What is known of a request at its end.
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nothing reads it without a span"))]
pub(crate) struct SpanEnd {
    /// `None` where the client left before there was a response.
    pub(crate) status: Option<u16>,
    pub(crate) body_bytes: u64,
    pub(crate) duration: Duration,
    /// The pattern of its route, or empty.
    pub(crate) route: String,
}

#[cfg(feature = "tracing")]
pub(crate) use self::traced::RequestSpan;
#[cfg(feature = "tracing")]
pub(super) use self::traced::event;
#[cfg(not(feature = "tracing"))]
pub(crate) use self::untraced::RequestSpan;
#[cfg(not(feature = "tracing"))]
pub(super) use self::untraced::event;

#[cfg(feature = "tracing")]
mod traced {
    use tracing::field::Empty;
    use tracing::{Level, Span};

    use super::{RequestHead, Severity, SpanEnd};

    /// The span of a request; disabled where no subscriber wants it.
    #[derive(Clone)]
    pub(crate) struct RequestSpan(Span);

    impl RequestSpan {
        /// A request begins. The query is left out, because it may be secret.
        #[inline]
        pub(crate) fn begin(head: &RequestHead) -> Self {
            Self(tracing::info_span!(
                target: "quoit",
                parent: None,
                "request",
                method = head.method_str(),
                path = head.path(),
                request_id = Empty,
                route = Empty,
                status = Empty,
                bytes = Empty,
                duration_us = Empty,
            ))
        }

        pub(crate) fn none() -> Self {
            Self(Span::none())
        }

        /// Whether a subscriber wants it.
        #[inline]
        pub(crate) fn is_on(&self) -> bool {
            !self.0.is_disabled()
        }

        /// Runs within the span.
        #[inline]
        pub(crate) fn run<R>(&self, work: impl FnOnce() -> R) -> R {
            self.0.in_scope(work)
        }

        pub(crate) fn record_id(&self, id: &str) {
            self.0.record("request_id", id);
        }

        pub(crate) fn record_end(&self, end: &SpanEnd) {
            if let Some(status) = end.status {
                self.0.record("status", status);
            }
            if !end.route.is_empty() {
                self.0.record("route", &*end.route);
            }
            self.0.record("bytes", end.body_bytes);
            self.0.record("duration_us", u64::try_from(end.duration.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// A line for the operator as an event; whether a subscriber took it.
    pub(in crate::observe) fn event(severity: Severity, text: &str) -> bool {
        match severity {
            Severity::Error if tracing::event_enabled!(target: "quoit", Level::ERROR) => {
                tracing::error!(target: "quoit", "{text}");
            }
            Severity::Warning if tracing::event_enabled!(target: "quoit", Level::WARN) => {
                tracing::warn!(target: "quoit", "{text}");
            }
            _ => return false,
        }
        true
    }
}

#[cfg(not(feature = "tracing"))]
mod untraced {
    use super::{RequestHead, Severity, SpanEnd};

    /// Nothing.
    #[derive(Clone)]
    pub(crate) struct RequestSpan;

    impl RequestSpan {
        #[inline]
        pub(crate) fn begin(_head: &RequestHead) -> Self {
            Self
        }

        pub(crate) fn none() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn is_on(&self) -> bool {
            false
        }

        #[inline]
        pub(crate) fn run<R>(&self, work: impl FnOnce() -> R) -> R {
            work()
        }

        pub(crate) fn record_id(&self, _id: &str) {}

        pub(crate) fn record_end(&self, end: &SpanEnd) {
            let SpanEnd { status: _, body_bytes: _, duration: _, route: _ } = end;
        }
    }

    pub(in crate::observe) fn event(_severity: Severity, _text: &str) -> bool {
        false
    }
}
