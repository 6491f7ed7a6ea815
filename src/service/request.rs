//! A request as a handler sees it.

use std::fmt;

use super::body::RequestBody;
use super::context::Context;
use super::peer::Peer;
use crate::http::message::RequestHead;
use crate::http::method::Method;

/// One request: its context with the head, and its body to be pulled.
pub struct Request {
    context: Context,
    body: RequestBody,
}

impl Request {
    pub(crate) fn new(context: Context, body: RequestBody) -> Self {
        Self { context, body }
    }

    /// What is known of the exchange: head, parameters, peer, what filters left.
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

    /// Who sent it; see [`Context::peer`].
    pub fn peer(&self) -> Peer {
        self.context.peer()
    }

    /// The body, to be pulled.
    pub fn body(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    /// The body alone, to be moved into a response; what stays has none.
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
