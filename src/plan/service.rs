//! The service of a plan on one core: one concrete type for every plan, so that one can replace another while
//! requests are served.

use std::rc::Rc;

use super::assemble::PartFactory;
use super::options::{FilterOptions, HandlerOptions};
use crate::handler::Mounts;
use crate::http::status::Status;
use crate::service::{AnyService, ChainLink, Context, LocalFuture, Request, Response, Routes, Service};

/// A plan as built, on one core.
pub struct PlanService(ServiceKind);

enum ServiceKind {
    /// Files without filters: called directly, without a router.
    Files(Mounts),
    /// One handler without filters: one indirect call.
    Direct(Rc<dyn AnyService>),
    Routes(Routes),
}

impl PlanService {
    pub(super) fn files(mounts: Mounts) -> Self {
        Self(ServiceKind::Files(mounts))
    }

    pub(super) fn direct(service: Rc<dyn AnyService>) -> Self {
        Self(ServiceKind::Direct(service))
    }

    pub(super) fn routes(routes: Routes) -> Self {
        Self(ServiceKind::Routes(routes))
    }
}

impl Service for PlanService {
    /// A box, so that an idle connection reserves no memory for a response. A waiting handler has one anyway.
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        let future: LocalFuture<'_, Response> = match &self.0 {
            ServiceKind::Files(mounts) => mounts.look(request),
            ServiceKind::Direct(service) => service.later(request),
            ServiceKind::Routes(routes) => routes.route(request).into_boxed(),
        };
        future
    }

    #[inline]
    fn call_now(&self, request: Request) -> Result<Response, Request> {
        match &self.0 {
            ServiceKind::Files(mounts) => mounts.call_now(request),
            ServiceKind::Direct(service) => service.now(request),
            // A handler behind a route may have to wait, and then the request could not be given back.
            ServiceKind::Routes(_) => Err(request),
        }
    }

    fn judges_bodies(&self) -> bool {
        match &self.0 {
            ServiceKind::Files(mounts) => mounts.judges_bodies(),
            ServiceKind::Direct(service) => service.judges(),
            ServiceKind::Routes(routes) => routes.judges_bodies(),
        }
    }

    fn refused(&self, context: &Context, response: &mut Response) {
        match &self.0 {
            ServiceKind::Files(mounts) => mounts.refused(context, response),
            ServiceKind::Direct(service) => service.add_to_refusal(context, response),
            ServiceKind::Routes(routes) => routes.refused(context, response),
        }
    }
}

/// Placeholder for a part while a plan is checked or explained. Never called.
pub(super) struct Unbuilt;

impl Service for Unbuilt {
    async fn call(&self, _request: Request) -> Response {
        Response::new(Status::INTERNAL_SERVER_ERROR)
    }
}

/// Creates placeholders only, which is enough to know the routes.
impl PartFactory for Unbuilt {
    fn filter(&mut self, _place: &str, _options: &FilterOptions) -> Vec<ChainLink> {
        Vec::new()
    }

    fn handler(&mut self, _place: &str, _options: &HandlerOptions) -> Rc<dyn AnyService> {
        Rc::new(Self)
    }
}
