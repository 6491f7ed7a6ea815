//! Calling the service: requests in, and handlers that have to wait polled when they signal.

use std::convert::identity;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context as TaskContext, Poll};

use super::exchange::{Exchange, State};
use super::session::Session;
use super::signal::Hub;
use crate::http::h2::StreamKey;
use crate::http::message::Framing;
use crate::http::message::{FramingError, RequestError};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::server::access::{self, Entry};
use crate::server::call::{call_now, panicked};
use crate::service::{Body, Context, Downstream, LocalFuture, Request, RequestBody, Response, Service};

impl<'a, S: Service> Session<'a, S> {
    #[inline]
    pub(super) fn begin_exchange(&mut self, stream: StreamKey, context: Context, cx: &mut TaskContext<'_>) {
        let worker = self.worker;
        worker.counters.requests.bump();
        let method = context.head().method();
        context.set_downstream(self.wire.clone());
        let entry = Entry::begin(worker, &context);
        if !self.wire.stream.serves(context.head().authority()) {
            let detail = "this connection was made for another host; open one for this host";
            return self.refuse(stream, method, entry, Status::MISDIRECTED_REQUEST, detail);
        }
        let length = match context.head().framing() {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Tunnel => None,
        };
        let body = if length == Some(0) {
            RequestBody::empty()
        } else {
            let max = self.wire.limits.body.body_bytes_max;
            if length.is_some_and(|length| max.is_some_and(|max| length > max)) {
                let error = FramingError::TooLarge;
                return self.refuse(stream, method, entry, error.status(), &error.to_string());
            }
            let expects_continue = context.head().expects_continue();
            self.wire.inner.borrow_mut().begin_body(stream, expects_continue);
            RequestBody::new(self.wire.clone(), stream.id(), length)
        };
        let service = worker.service();
        match call_now(worker, &*service, Request::new(context, body), identity) {
            Ok(response) => self.respond(stream, method, entry, response),
            Err(request) => {
                let future = async move { service.call(request).await };
                self.wait(stream, method, entry, Box::pin(future), cx);
            }
        }
    }

    /// Polls a handler's future, and keeps it if it has to wait.
    pub(super) fn wait(
        &mut self,
        stream: StreamKey,
        method: Method,
        entry: Option<Entry>,
        future: LocalFuture<'a, Response>,
        cx: &mut TaskContext<'_>,
    ) {
        let state = State::Called(future);
        let mut exchange = Box::new(Exchange { stream, method, entry, state, signal: None });
        match self.poll_handler(&mut exchange, cx) {
            Poll::Ready(response) => {
                let entry = exchange.entry.take();
                drop(exchange);
                self.respond(stream, method, entry, response);
            }
            Poll::Pending => {
                self.called.push(stream.place());
                self.keep(exchange);
            }
        }
    }

    pub(super) fn keep(&mut self, exchange: Box<Exchange<'a>>) {
        let place = exchange.stream.place();
        if self.exchanges.len() <= place {
            self.exchanges.resize_with(place + 1, || None);
        }
        self.exchanges[place] = Some(exchange);
    }

    pub(super) fn poll_handler(
        &mut self,
        exchange: &mut Exchange<'a>,
        cx: &TaskContext<'_>,
    ) -> Poll<Response> {
        let hub = self.hub.get_or_insert_with(|| Hub::new(cx.waker().clone())).clone();
        let waker = exchange.waker(&hub).clone();
        let State::Called(future) = &mut exchange.state else { return Poll::Pending };
        let mut cx = TaskContext::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| pin!(future).poll(&mut cx))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(panicked(self.worker, &*panic)),
        }
    }

    /// Polls the handlers that signalled.
    pub(super) fn poll_handlers(&mut self, cx: &mut TaskContext<'_>) {
        if !self.hub.as_ref().is_some_and(|hub| hub.take()) {
            return;
        }
        for place in &self.sending {
            if let Some(Exchange { state: State::Sends(sends), signal: Some((signal, _)), .. }) =
                self.exchanges[*place].as_deref_mut()
                && signal.take()
            {
                sends.waits = false;
            }
        }
        let mut at = 0;
        while let Some(&place) = self.called.get(at) {
            let is_called = self.exchanges[place].as_ref().is_some_and(|exchange| exchange.is_called());
            if !is_called {
                at += 1;
                continue;
            }
            let Some(mut exchange) = self.exchanges[place].take() else { continue };
            match self.poll_handler(&mut exchange, cx) {
                Poll::Pending => {
                    self.exchanges[place] = Some(exchange);
                    at += 1;
                }
                Poll::Ready(response) => {
                    self.called.swap_remove(at);
                    let Exchange { stream, method, entry, .. } = *exchange;
                    self.respond(stream, method, entry, response);
                }
            }
        }
    }

    /// Answers a request that is not served.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        stream: StreamKey,
        method: Method,
        entry: Option<Entry>,
        status: Status,
        detail: &str,
    ) {
        self.worker.counters.refused.bump();
        self.respond(stream, method, entry, Response::error(status, detail));
    }

    /// Answers a request whose head could not be read.
    #[cold]
    pub(super) fn refuse_head(&mut self, stream: StreamKey, error: RequestError) {
        let response = Response::error(error.status(), &error.to_string());
        let bytes = match response.body() {
            Body::Bytes(bytes) => bytes.len() as u64,
            _ => 0,
        };
        self.worker.counters.refused.bump();
        self.respond(stream, Method::Get, None, response);
        let peer = || Downstream::peer(&*self.wire);
        access::refused(self.worker, peer, error.status(), bytes);
    }
}
