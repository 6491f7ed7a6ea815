//! A request as filters and handlers see it: the data of its exchange, shared by all of them (the head, path
//! parameters, the client, values that filters insert for handlers; pooled per core, a clone is a reference
//! count); and its body, which belongs to its reader.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::body::{Downstream, ExchangeId, RequestBody};
use super::condition::Condition;
use super::inform::{InformError, Interim};
use super::limits::{BodyPolicy, ExtractLimits, HalfClose};
use super::peer::Peer;
use super::states::States;
use crate::http::message::RequestHead;
use crate::http::method::Method;
use crate::net::tls::TlsInfo;
use crate::observe::meters::RouteMeter;

/// Contexts kept for reuse per core. More than requests in progress on one core would only hold memory.
const SPARE_CONTEXTS_MAX: usize = 64;

thread_local! {
    static SPARE_CONTEXTS: RefCell<Vec<Rc<ExchangeData>>> = const { RefCell::new(Vec::new()) };
}

/// Data of a route, shared by all its requests.
#[derive(Debug, Default)]
pub(crate) struct RouteFacts {
    /// As it was written, prefixes included.
    pub(crate) pattern: Box<str>,
    /// Names of the parameters, in the order of their values.
    pub(crate) names: Vec<Box<str>>,
    pub(crate) states: Rc<States>,
    pub(crate) limits: Rc<ExtractLimits>,
    /// How large and how slow bodies may be, where the route has its own policy.
    pub(crate) body_policy: Option<BodyPolicy>,
    /// What becomes of its exchanges when their client closes its sending direction.
    pub(crate) half_close: HalfClose,
    /// `GET, HEAD, OPTIONS`: the methods of the path. Empty where no path matched.
    pub(crate) allow: Box<str>,
    /// What it asks of requests beside path and method.
    pub(crate) conditions: Box<[Condition]>,
    /// Measures its requests, if metrics are on.
    pub(crate) meter: Option<Arc<RouteMeter>>,
}

#[derive(Default)]
struct ExchangeData {
    head: RequestHead,
    downstream: OnceCell<(Rc<dyn Downstream>, ExchangeId)>,
    route: RefCell<Option<Rc<RouteFacts>>>,
    /// Places of the parameters' values in the path as sent.
    parameters: RefCell<Vec<Range<u16>>>,
    extensions: RefCell<Vec<Rc<dyn Any>>>,
    since: Cell<Option<Instant>>,
    /// The route of the plan, with its meter; inside it a handler may have routes of its own.
    metered: RefCell<Option<Rc<RouteFacts>>>,
    /// How long it lasts says nothing of the route.
    is_endless: Cell<bool>,
}

/// One exchange as filters, handlers and logs see it. Cheap to clone; all clones are the same exchange.
pub struct Context(
    // INVARIANT: `Some` until the drop.
    Option<Rc<ExchangeData>>,
);

impl Context {
    /// An empty one from the core's pool.
    pub(crate) fn take() -> Self {
        Self(Some(SPARE_CONTEXTS.with_borrow_mut(Vec::pop).unwrap_or_default()))
    }

    fn exchange(&self) -> &ExchangeData {
        self.0.as_ref().expect("held until drop")
    }

    /// The head, to be filled while the exchange has one owner.
    pub(crate) fn head_mut(&mut self) -> &mut RequestHead {
        let exchange = self.0.as_mut().and_then(Rc::get_mut);
        &mut exchange.expect("the exchange has one owner before it is a request").head
    }

    pub(crate) fn set_downstream(&self, downstream: Rc<dyn Downstream>, exchange: ExchangeId) {
        let _ = self.exchange().downstream.set((downstream, exchange));
    }

    /// Sets the route that answers. `parameters` are places in the path as sent.
    pub(crate) fn set_route(&self, facts: &Rc<RouteFacts>, parameters: &[Range<u16>]) {
        *self.exchange().route.borrow_mut() = Some(facts.clone());
        if facts.meter.is_some() {
            *self.exchange().metered.borrow_mut() = Some(facts.clone());
        }
        let mut places = self.exchange().parameters.borrow_mut();
        places.clear();
        places.extend_from_slice(parameters);
    }

    /// Method, target, fields.
    pub fn head(&self) -> &RequestHead {
        &self.exchange().head
    }

    /// The method; short for `head().method()`.
    pub fn method(&self) -> Method {
        self.head().method()
    }

    /// Records when the exchange began.
    pub(crate) fn begin(&self, now: Instant) {
        self.exchange().since.set(Some(now));
    }

    /// When the exchange began: the turn in which its head was complete. `None` without an access log and
    /// meters.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.exchange().since.get()
    }

    /// Calls `see` with the meter of the plan's route, if there is one.
    #[inline]
    pub(crate) fn with_meter(&self, see: impl FnOnce(&RouteMeter)) {
        if let Some(meter) = self.exchange().metered.borrow().as_ref().and_then(|facts| facts.meter.as_ref())
        {
            see(meter);
        }
    }

    /// Records that it is a tunnel or a stream of events.
    pub(crate) fn set_endless(&self) {
        self.exchange().is_endless.set(true);
    }

    pub(crate) fn is_endless(&self) -> bool {
        self.exchange().is_endless.get()
    }

    /// The peer that sent the request. The first call on a connection costs a system call.
    pub fn peer(&self) -> Peer {
        self.exchange().downstream.get().map_or(Peer::Unknown, |(downstream, _)| downstream.peer())
    }

    /// Sends an interim response now, before the response that the handler is still producing.
    ///
    /// ```
    /// use quoit::service::{Context, Interim};
    ///
    /// async fn page(context: Context) -> String {
    ///     let hints = Interim::early_hints().with_field("Link", "</style.css>; rel=preload; as=style");
    ///     let _ = context.inform(&hints);
    ///     "what takes its time".to_owned()
    /// }
    /// ```
    ///
    /// # Errors
    /// Why it is not sent; the final response is not affected.
    pub fn inform(&self, interim: &Interim) -> Result<(), InformError> {
        interim.check()?;
        let Some((downstream, exchange)) = self.exchange().downstream.get() else {
            return Err(InformError::TooLate);
        };
        downstream.inform(*exchange, interim.status(), interim.fields())
    }

    /// Sets what becomes of this exchange when its client closes its sending direction, in place of the
    /// route's choice ([`Router::half_close`](super::Router::half_close)).
    pub fn set_half_close(&self, half_close: HalfClose) {
        if let Some((downstream, exchange)) = self.exchange().downstream.get() {
            downstream.set_half_close(*exchange, half_close);
        }
    }

    /// What the TLS handshake of the connection negotiated: names, version, the client's certificate. `None`
    /// on a plain connection, and after the connection was lost.
    pub fn tls(&self) -> Option<Rc<TlsInfo>> {
        self.exchange().downstream.get().and_then(|(downstream, _)| downstream.tls())
    }

    /// The pattern of the route that answers, such as `/users/{id}`; empty when none does.
    pub fn route(&self) -> String {
        self.exchange().route.borrow().as_ref().map_or_else(String::new, |facts| facts.pattern.to_string())
    }

    /// The methods of the path, as in an `Allow` field; empty where no route matched.
    pub fn allowed_methods(&self) -> String {
        self.exchange().route.borrow().as_ref().map_or_else(String::new, |facts| facts.allow.to_string())
    }

    /// A path parameter as sent, still percent-encoded.
    pub fn raw_parameter(&self, name: &str) -> Option<&str> {
        let exchange = self.exchange();
        let route = exchange.route.borrow();
        let index = route.as_ref()?.names.iter().position(|known| &**known == name)?;
        let place = exchange.parameters.borrow().get(index)?.clone();
        exchange.head.path().get(usize::from(place.start)..usize::from(place.end))
    }

    /// Calls `see` with every path parameter, in order: its name, and its value as sent.
    pub fn each_parameter<'a>(&'a self, mut see: impl FnMut(&str, &'a str)) {
        let exchange = self.exchange();
        let path = exchange.head.path();
        let route = exchange.route.borrow();
        let Some(facts) = route.as_ref() else { return };
        for (name, place) in facts.names.iter().zip(exchange.parameters.borrow().iter()) {
            see(name, path.get(usize::from(place.start)..usize::from(place.end)).unwrap_or_default());
        }
    }

    /// Calls `see` once with all path parameters: names, and values as sent.
    pub(crate) fn with_parameters<R>(&self, see: impl FnOnce(&[(&str, &str)]) -> R) -> R {
        let exchange = self.exchange();
        let path = exchange.head.path();
        let route = exchange.route.borrow();
        let names = route.as_ref().map_or(&[][..], |facts| &facts.names);
        let places = exchange.parameters.borrow();
        let mut pairs = names.iter().zip(places.iter()).map(|(name, place)| {
            let value = path.get(usize::from(place.start)..usize::from(place.end));
            (&**name, value.unwrap_or_default())
        });
        // Few routes have more than four; those pay for a list.
        let mut few = [("", ""); 4];
        let count = names.len().min(places.len());
        if count > few.len() {
            return see(&pairs.collect::<Vec<_>>());
        }
        few.iter_mut().for_each(|slot| *slot = pairs.next().unwrap_or_default());
        see(&few[..count])
    }

    /// Inserts a value for later filters and the handler. It replaces a value of the same type.
    pub fn insert<T: 'static>(&self, value: T) {
        let mut extensions = self.exchange().extensions.borrow_mut();
        let value: Rc<dyn Any> = Rc::new(value);
        match extensions.iter_mut().find(|known| known.is::<T>()) {
            Some(known) => *known = value,
            None => extensions.push(value),
        }
    }

    /// The inserted value of this type.
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        let extensions = self.exchange().extensions.borrow();
        let found = extensions.iter().find(|known| known.is::<T>())?.clone();
        found.downcast().ok()
    }

    /// A state that was given to the router.
    pub(crate) fn state<T: 'static>(&self) -> Option<Rc<T>> {
        self.exchange().route.borrow().as_ref()?.states.get()
    }

    /// Whether the route has its own policy of bodies.
    pub(crate) fn has_body_policy(&self) -> bool {
        self.exchange().route.borrow().as_ref().is_some_and(|facts| facts.body_policy.is_some())
    }

    /// The limits of this route.
    pub fn limits(&self) -> Rc<ExtractLimits> {
        self.exchange().route.borrow().as_ref().map(|facts| facts.limits.clone()).unwrap_or_default()
    }
}

impl Clone for Context {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let Some(mut shared) = self.0.take() else { return };
        let Some(exchange) = Rc::get_mut(&mut shared) else { return };
        exchange.downstream.take();
        *exchange.route.get_mut() = None;
        exchange.parameters.get_mut().clear();
        exchange.since.set(None);
        *exchange.metered.get_mut() = None;
        exchange.is_endless.set(false);
        // Inserted values may own anything, even another context: dropped before the pool is borrowed.
        exchange.extensions.get_mut().clear();
        // A thread that is ending no longer has a pool.
        let _ = SPARE_CONTEXTS.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_CONTEXTS_MAX {
                spare.push(shared);
            }
        });
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} {})", self.head().method_str(), self.head().target())
    }
}

/// One request: its context with the head, and its body to be pulled.
pub struct Request {
    context: Context,
    body: RequestBody,
}

impl Request {
    pub(crate) fn new(context: Context, body: RequestBody) -> Self {
        Self { context, body }
    }

    /// The data of the exchange: head, parameters, peer, inserted values.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Method, target, fields.
    pub fn head(&self) -> &RequestHead {
        self.context.head()
    }

    /// The method; short for `head().method()`.
    pub fn method(&self) -> Method {
        self.head().method()
    }

    /// The peer that sent it; see [`Context::peer`].
    pub fn peer(&self) -> Peer {
        self.context.peer()
    }

    /// The body, to be pulled.
    pub fn body(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    /// Takes the body, to be moved into a response; the request keeps an empty one.
    pub fn take_body(&mut self) -> RequestBody {
        std::mem::replace(&mut self.body, RequestBody::empty())
    }

    /// The body alone, to be moved into a response.
    pub fn into_body(self) -> RequestBody {
        self.body
    }

    /// Context and body apart.
    pub fn into_parts(self) -> (Context, RequestBody) {
        (self.context, self.body)
    }

    /// The same request with another body, for a filter that reads or changes it.
    pub fn with_body(self, body: RequestBody) -> Self {
        Self { body, ..self }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.head().method_str(), self.head().target())
    }
}
