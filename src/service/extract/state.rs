//! Extractors of values that do not come from the request: states of the router, values of filters.

use std::any::type_name;
use std::ops::Deref;
use std::rc::Rc;

use super::FromRequest;
use crate::http::status::Status;
use crate::net::tls::ClientCertificate;
use crate::service::peer::Peer;
use crate::service::problem::Problem;
use crate::service::request::{Context, Request};
use crate::service::states::States;

/// A value given to the router with [`Router::state`](crate::service::Router::state). One per core, so it
/// needs no lock and may be `!Send`; to share between cores, put an `Arc` inside it.
///
/// A handler with a state that no router around it has is an error when the router is built.
#[derive(Debug)]
pub struct State<T: ?Sized>(Rc<T>);

/// A value that a filter inserted with [`Context::insert`]; 500 when none did.
#[derive(Debug)]
pub struct Extension<T: ?Sized>(Rc<T>);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: 'static> FromRequest for State<T> {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        // Checked when the router was built.
        request.context().state().map(Self).ok_or_else(|| Problem::new(Status::INTERNAL_SERVER_ERROR))
    }

    fn check(states: &States) -> Result<(), String> {
        if states.has::<T>() {
            return Ok(());
        }
        Err(format!(
            "it extracts State<{0}>, and no router around it has one: add .state({0} …)",
            type_name::<T>()
        ))
    }
}

impl<T: 'static> FromRequest for Extension<T> {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        request.context().get().map(Self).ok_or_else(|| Problem::new(Status::INTERNAL_SERVER_ERROR))
    }
}

/// The exchange: head, parameters, inserted values.
impl FromRequest for Context {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(request.context().clone())
    }
}

/// Clients without one are answered 403. Where it is required, the handshake has already refused them.
impl FromRequest for ClientCertificate {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let tls = request.context().tls();
        let certificate = tls.as_ref().and_then(|tls| tls.client_certificate());
        certificate.cloned().ok_or_else(|| {
            Problem::new(Status::FORBIDDEN).detail("this needs a client certificate; connect with one")
        })
    }
}

impl FromRequest for Peer {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(request.peer())
    }
}
