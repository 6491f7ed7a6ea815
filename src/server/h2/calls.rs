//! Calls the service with requests, and polls the futures of handlers when they signal.

use std::convert::identity;
use std::task::{Context as TaskContext, Poll};

use super::exchange::{ExchangeState, StreamExchange};
use super::session::H2Session;
use super::signal::{Hub, SignalWaker};
use crate::exchange::{
    BegunExchange, Gate, LogEntry, RefusedRequest, RequestKind, call_now, cut_response, end_of, misdirected,
    open, poll_call, refuse_head, route_is_over,
};
use crate::http::h2::{ErrorCode, StreamKey};
use crate::http::message::{Framing, RequestError};
use crate::ring::Waits;
use crate::service::{
    BodyPolicy, Context, ExchangeId, LocalFuture, RequestBody, Response, RouteHold, Service,
};

impl<S: Service> H2Session<'_, S> {
    #[inline]
    pub(super) fn begin_exchange(
        &mut self,
        stream: StreamKey,
        ends: bool,
        context: Context,
        cx: &mut TaskContext<'_>,
    ) {
        let worker = self.worker;
        self.wire.stream.socket().set_waits(Waits::No);
        let id = ExchangeId::new(u64::from(stream.id()));
        let BegunExchange { kind, entry, is_misdirected } =
            open(worker, &self.wire.stream, &context, self.wire.clone(), id);
        self.wire.inner.borrow_mut().open_gate(stream, Gate::new(context.head()));
        if is_misdirected {
            let response = misdirected(worker, &entry);
            return self.respond(stream, kind, entry, response);
        }
        let body = self.begin_body(stream, ends, &context, id);
        let service = worker.service();
        match call_now(worker, &*service, &entry, context, body) {
            Ok(response) => self.respond(stream, kind, entry, response),
            Err(request) => {
                let future = async move { service.call(request).await };
                self.wait(stream, kind, entry, Box::pin(future), cx);
            }
        }
    }

    /// The body of a request whose head is complete. The data behind a CONNECT is not content, but the input
    /// of the tunnel, if one is opened.
    #[inline]
    fn begin_body(&self, stream: StreamKey, ends: bool, context: &Context, id: ExchangeId) -> RequestBody {
        if ends {
            return RequestBody::empty();
        }
        let inner = &mut *self.wire.inner.borrow_mut();
        let length = match context.head().framing() {
            Framing::Length(0) => return RequestBody::empty(),
            Framing::Length(length) => Some(length),
            Framing::Tunnel => {
                inner.begin_body(stream, None, BodyPolicy::UNLIMITED);
                return RequestBody::empty();
            }
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        };
        inner.begin_body(stream, length, self.wire.limits.body_policy());
        RequestBody::new(self.wire.clone(), id, length)
    }

    /// Polls a handler's future, and stores it if it is pending. Most handlers end at once: for them nothing
    /// is allocated beside the future.
    pub(super) fn wait(
        &mut self,
        stream: StreamKey,
        kind: RequestKind,
        entry: LogEntry,
        mut future: LocalFuture<'static, Response>,
        cx: &mut TaskContext<'_>,
    ) {
        let spare = self.spare_signal.take();
        let hub = self.hub.get_or_insert_with(|| Hub::new(cx.waker().clone()));
        let signal = spare.unwrap_or_else(|| SignalWaker::new(hub));
        let mut of_signal = TaskContext::from_waker(signal.waker());
        match poll_call(self.worker, &entry, future.as_mut(), &mut of_signal, identity) {
            Poll::Ready(response) => {
                drop(future);
                self.spare_signal = signal.into_unused();
                self.respond(stream, kind, entry, response);
            }
            Poll::Pending => {
                // No other service can have come since its first poll began.
                let hold = self.worker.hold(&self.worker.service(), entry.context());
                let state = ExchangeState::Called { future, entry };
                let exchange =
                    StreamExchange { stream, kind, state, quiet: None, signal: Some(signal), hold };
                self.called.push(stream.place());
                self.keep(Box::new(exchange));
            }
        }
    }

    pub(super) fn keep(&mut self, exchange: Box<StreamExchange>) {
        let place = exchange.stream.place();
        if self.exchanges.len() <= place {
            self.exchanges.resize_with(place + 1, || None);
        }
        self.exchanges[place] = Some(exchange);
    }

    pub(super) fn poll_handler(
        &mut self,
        exchange: &mut StreamExchange,
        cx: &TaskContext<'_>,
    ) -> Poll<Response> {
        let hub = self.hub.get_or_insert_with(|| Hub::new(cx.waker().clone()));
        let StreamExchange { state, signal, .. } = exchange;
        let ExchangeState::Called { future, entry } = state else { return Poll::Pending };
        let signal = signal.get_or_insert_with(|| SignalWaker::new(hub));
        let mut of_signal = TaskContext::from_waker(signal.waker());
        poll_call(self.worker, entry, future.as_mut(), &mut of_signal, identity)
    }

    /// Polls the handlers that signalled.
    pub(super) fn poll_handlers(&mut self, cx: &mut TaskContext<'_>) {
        if !self.hub.as_ref().is_some_and(|hub| hub.take()) {
            return;
        }
        for place in &self.sending {
            if let Some(StreamExchange { state: ExchangeState::Sends(sends), signal: Some(signal), .. }) =
                self.exchanges[*place].as_deref_mut()
                && signal.take()
            {
                sends.waits = false;
                sends.may_work = true;
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
                    self.respond_of(exchange, response);
                }
            }
        }
    }

    /// Writes the response of a handler that has ended.
    fn respond_of(&mut self, exchange: Box<StreamExchange>, response: Response) {
        let StreamExchange { stream, kind, state, hold, .. } = *exchange;
        if let ExchangeState::Called { entry, future } = state {
            drop(future);
            self.respond_held(stream, kind, entry, response, hold);
        }
    }

    /// Ends the exchanges whose route a reload has removed or changed, if their time is over.
    #[cold]
    pub(super) fn cut_exchanges(&mut self) {
        for place in 0..self.exchanges.len() {
            let is_over =
                |exchange: &&mut Box<StreamExchange>| exchange.hold.as_ref().is_some_and(RouteHold::is_over);
            if self.exchanges[place].as_mut().filter(is_over).is_none() {
                continue;
            }
            self.called.retain(|&other| other != place);
            self.sending.retain(|&other| other != place);
            let Some(exchange) = self.exchanges[place].take() else { continue };
            if matches!(exchange.state, ExchangeState::Called { .. }) {
                self.respond_of(exchange, cut_response());
            } else {
                self.reset(exchange.stream, ErrorCode::INTERNAL_ERROR);
                exchange.end(self.worker, end_of(&route_is_over()));
            }
        }
    }

    /// Answers a request whose head could not be read.
    #[cold]
    pub(super) fn refuse_unread(&mut self, stream: StreamKey, error: RequestError, context: &Context) {
        let id = ExchangeId::new(u64::from(stream.id()));
        let RefusedRequest { kind, entry, response } =
            refuse_head(self.worker, context, self.wire.clone(), id, error);
        self.wire.inner.borrow_mut().open_gate(stream, Gate::OPEN);
        self.respond(stream, kind, entry, response);
    }
}
