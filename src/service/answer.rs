//! An answer that is there at once or comes later, and services whose type nobody needs to know.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::Service;
use super::local::LocalFuture;
use super::request::{Context, Request};
use super::response::Response;

/// A response, now or later.
///
/// What is at hand costs no future; what has to wait lies in one box. It is a future itself, so it can be
/// awaited either way.
pub struct Answer<'a>(State<'a>);

enum State<'a> {
    Now(Response),
    Later(LocalFuture<'a, Response>, Option<Way<'a>>),
    Taken,
}

/// What responses pass on their way out: a chain of filters.
pub(crate) trait Leave {
    /// Takes a response out through the filters `entered`, the last one first.
    fn leave(&self, entered: Range<usize>, context: &Context, response: Response) -> Response;
}

/// The way out of one exchange.
pub(crate) struct Way<'a> {
    pub(crate) chain: &'a dyn Leave,
    pub(crate) entered: Range<usize>,
    pub(crate) context: Context,
}

impl Way<'_> {
    fn leave(self, response: Response) -> Response {
        self.chain.leave(self.entered, &self.context, response)
    }
}

impl<'a> Answer<'a> {
    /// A response that is there.
    pub fn now(response: Response) -> Self {
        Self(State::Now(response))
    }

    /// A response that comes.
    pub fn later(future: impl Future<Output = Response> + 'a) -> Self {
        Self(State::Later(Box::pin(future), None))
    }

    /// The answer as a future in a box; what waits already has one.
    pub(crate) fn into_boxed(self) -> LocalFuture<'a, Response> {
        match self.0 {
            State::Later(future, None) => future,
            other => Box::pin(Answer(other)),
        }
    }

    pub(crate) fn boxed(future: LocalFuture<'a, Response>) -> Self {
        Self(State::Later(future, None))
    }

    /// The same answer, sent this way out.
    pub(crate) fn by_way_of(self, way: Way<'a>) -> Self {
        match self.0 {
            State::Now(response) => Self::now(way.leave(response)),
            State::Later(future, None) => Self(State::Later(future, Some(way))),
            // Out of one router into another around it.
            nested => Self(State::Later(Box::pin(Answer(nested)), Some(way))),
        }
    }
}

impl Future for Answer<'_> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Response> {
        match std::mem::replace(&mut self.0, State::Taken) {
            State::Now(response) => Poll::Ready(response),
            State::Later(mut future, way) => match future.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(match way {
                    Some(way) => way.leave(response),
                    None => response,
                }),
                Poll::Pending => {
                    self.0 = State::Later(future, way);
                    Poll::Pending
                }
            },
            State::Taken => panic!("an answer was polled after it was given"),
        }
    }
}

/// A service whose type is not known.
pub(crate) trait AnyService {
    fn answer(&self, request: Request) -> Answer<'_>;

    /// As [`Service::call_now`].
    fn now(&self, request: Request) -> Result<Response, Request>;

    /// As [`Service::call`].
    fn later(&self, request: Request) -> LocalFuture<'_, Response>;
}

impl<S: Service> AnyService for S {
    fn answer(&self, request: Request) -> Answer<'_> {
        match self.call_now(request) {
            Ok(response) => Answer::now(response),
            Err(request) => Answer::later(self.call(request)),
        }
    }

    fn now(&self, request: Request) -> Result<Response, Request> {
        self.call_now(request)
    }

    fn later(&self, request: Request) -> LocalFuture<'_, Response> {
        Box::pin(self.call(request))
    }
}
