//! A time limit for handlers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::http::status::Status;
use crate::ring::Ring;
use crate::service::{Around, IntoResponse, Next, Problem, Request, Response};

/// The time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutOptions {
    /// Time from the request's head to its response's, on a coarse clock: up to 32 ms later. Default 30 s, as
    /// long as proxies usually wait.
    pub after: Duration,
}

impl Default for TimeoutOptions {
    fn default() -> Self {
        Self { after: Duration::from_secs(30) }
    }
}

/// Answers 503 when the filters and the handler below have not answered in time, and drops them. Bodies
/// streamed afterwards are not counted: they have the server's own limits.
#[derive(Clone)]
pub struct Timeout {
    ring: Ring,
    after: Duration,
}

impl Timeout {
    /// With these options. `ring` is the core's.
    pub fn with_options(ring: Ring, options: TimeoutOptions) -> Self {
        Self::new(ring, options.after)
    }

    /// After this time, on a coarse clock: up to 32 ms later. `ring` is the core's.
    pub fn new(ring: Ring, after: Duration) -> Self {
        Self { ring, after }
    }
}

impl Around for Timeout {
    async fn call<'a>(&'a self, request: Request, next: Next<'a>) -> Response {
        let mut answer = next.run(request);
        let mut over = pin!(self.ring.sleep(self.after));
        poll_fn(|cx| {
            if let Poll::Ready(response) = pin!(&mut answer).poll(cx) {
                return Poll::Ready(response);
            }
            over.as_mut().poll(cx).map(|()| {
                let problem = Problem::new(Status::SERVICE_UNAVAILABLE);
                problem.detail("the answer took too long").header("Retry-After", "1").into_response()
            })
        })
        .await
    }
}
