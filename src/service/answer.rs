//! A response that is ready or a future of one, and services with their type erased.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::Service;
use super::local::LocalFuture;
use super::request::{Context, Request};
use super::response::Response;

/// A response that is ready, or a future of one.
///
/// A ready response costs no future; a future costs one box. `Answer` is a future itself, so both can be
/// awaited.
pub struct Answer<'a>(AnswerState<'a>);

enum AnswerState<'a> {
    Now(Response),
    Later(LocalFuture<'a, Response>, Option<ResponsePath<'a>>),
    Taken,
}

/// A chain of filters, as responses pass it.
pub(crate) trait ResponseFilters {
    /// Passes a response through the filters `entered`, the last one first.
    fn filter_response(&self, entered: Range<usize>, context: &Context, response: Response) -> Response;
}

/// The filters that the response of one exchange passes.
pub(crate) struct ResponsePath<'a> {
    pub(crate) chain: &'a dyn ResponseFilters,
    pub(crate) entered: Range<usize>,
    pub(crate) context: Context,
}

impl ResponsePath<'_> {
    fn filter(self, response: Response) -> Response {
        self.chain.filter_response(self.entered, &self.context, response)
    }
}

impl<'a> Answer<'a> {
    /// A response that is ready.
    pub fn now(response: Response) -> Self {
        Self(AnswerState::Now(response))
    }

    /// A future of a response.
    pub fn later(future: impl Future<Output = Response> + 'a) -> Self {
        Self(AnswerState::Later(Box::pin(future), None))
    }

    /// The answer as a boxed future; a pending one is boxed already.
    pub(crate) fn into_boxed(self) -> LocalFuture<'a, Response> {
        match self.0 {
            AnswerState::Later(future, None) => future,
            other => Box::pin(Answer(other)),
        }
    }

    pub(crate) fn boxed(future: LocalFuture<'a, Response>) -> Self {
        Self(AnswerState::Later(future, None))
    }

    /// The same answer, whose response passes these filters.
    pub(crate) fn through(self, path: ResponsePath<'a>) -> Self {
        match self.0 {
            AnswerState::Now(response) => Self::now(path.filter(response)),
            AnswerState::Later(future, None) => Self(AnswerState::Later(future, Some(path))),
            // A nested router's answer already has a path: it becomes a future of its own.
            nested => Self(AnswerState::Later(Box::pin(Answer(nested)), Some(path))),
        }
    }
}

impl Future for Answer<'_> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Response> {
        match std::mem::replace(&mut self.0, AnswerState::Taken) {
            AnswerState::Now(response) => Poll::Ready(response),
            AnswerState::Later(mut future, path) => match future.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(match path {
                    Some(path) => path.filter(response),
                    None => response,
                }),
                Poll::Pending => {
                    self.0 = AnswerState::Later(future, path);
                    Poll::Pending
                }
            },
            AnswerState::Taken => panic!("an answer was polled after it was ready"),
        }
    }
}

/// A service with its type erased.
pub(crate) trait AnyService {
    fn answer(&self, request: Request) -> Answer<'_>;

    /// As [`Service::call_now`].
    fn now(&self, request: Request) -> Result<Response, Request>;

    /// As [`Service::call`].
    fn later(&self, request: Request) -> LocalFuture<'_, Response>;

    /// As [`Service::judges_bodies`].
    fn judges(&self) -> bool;

    /// As [`Service::refused`].
    fn add_to_refusal(&self, context: &Context, response: &mut Response);
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

    fn judges(&self) -> bool {
        self.judges_bodies()
    }

    fn add_to_refusal(&self, context: &Context, response: &mut Response) {
        self.refused(context, response);
    }
}
