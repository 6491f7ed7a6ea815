//! Calling the service, whichever protocol asks: at once or by a future, and with panics caught.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::worker::Worker;
use crate::http::status::Status;
use crate::observe::log;
use crate::service::{Request, Response, Service};

/// Calls the service: its response, or the future of one. A plain function, so that a connection keeps room
/// for the future alone, and not for the request on its way into it as well. `after_panic` is what the
/// protocol makes of the answer of a handler that panicked.
pub(super) fn call<'s, S: Service>(
    worker: &Worker<S>,
    service: &'s S,
    request: Request,
    after_panic: fn(Response) -> Response,
) -> Result<Response, impl Future<Output = Response> + use<'s, S>> {
    // Handlers may panic before there is a future.
    let called = catch_unwind(AssertUnwindSafe(|| match service.call_now(request) {
        Ok(response) => Ok(response),
        Err(request) => Err(service.call(request)),
    }));
    called.unwrap_or_else(|panic| Ok(after_panic(panicked(worker, &*panic))))
}

/// Calls the service for a response that is at hand; or gives the request back.
pub(super) fn call_now<S: Service>(
    worker: &Worker<S>,
    service: &S,
    request: Request,
    after_panic: fn(Response) -> Response,
) -> Result<Response, Request> {
    let called = catch_unwind(AssertUnwindSafe(|| service.call_now(request)));
    called.unwrap_or_else(|panic| Ok(after_panic(panicked(worker, &*panic))))
}

/// The answer of a handler that panicked.
#[cold]
pub(super) fn panicked<S>(worker: &Worker<S>, panic: &(dyn Any + Send)) -> Response {
    worker.counters.panics.bump();
    log::line(format_args!("a handler panicked: {}", log::panic_text(panic)));
    let detail = "the handler failed; the server's log has the cause";
    Response::error(Status::INTERNAL_SERVER_ERROR, detail)
}
