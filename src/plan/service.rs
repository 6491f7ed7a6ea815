//! The service of a plan on one core: one concrete type whatever the plan, so that one can take the place of
//! another while requests are served.

use std::rc::Rc;

use super::assemble::Parts;
use super::options::{FilterOptions, HandlerOptions};
use crate::handler::Mounts;
use crate::http::status::Status;
use crate::service::{AnyService, ChainLink, LocalFuture, Request, Response, Routes, Service};

/// What a plan was built into, on one core.
pub struct PlanService(Kind);

enum Kind {
    /// Files and nothing around them: called directly, as if there were no plan.
    Files(Mounts),
    /// One handler and nothing around it: one indirect call.
    Direct(Rc<dyn AnyService>),
    Routes(Routes),
}

impl PlanService {
    pub(super) fn files(mounts: Mounts) -> Self {
        Self(Kind::Files(mounts))
    }

    pub(super) fn direct(service: Rc<dyn AnyService>) -> Self {
        Self(Kind::Direct(service))
    }

    pub(super) fn routes(routes: Routes) -> Self {
        Self(Kind::Routes(routes))
    }
}

impl Service for PlanService {
    /// A box, so that an idle connection keeps no room for an answer. What waits has one anyway.
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        let future: LocalFuture<'_, Response> = match &self.0 {
            Kind::Files(mounts) => mounts.look(request),
            Kind::Direct(service) => service.later(request),
            Kind::Routes(routes) => routes.route(request).into_boxed(),
        };
        future
    }

    #[inline]
    fn call_now(&self, request: Request) -> Result<Response, Request> {
        match &self.0 {
            Kind::Files(mounts) => mounts.call_now(request),
            Kind::Direct(service) => service.now(request),
            // A handler behind a route may have to wait, and then the request could not be given back.
            Kind::Routes(_) => Err(request),
        }
    }

    fn judges_bodies(&self) -> bool {
        match &self.0 {
            Kind::Files(mounts) => mounts.judges_bodies(),
            Kind::Direct(service) => service.judges(),
            Kind::Routes(routes) => routes.judges_bodies(),
        }
    }
}

/// Stands where a part is not made: while a plan is checked or explained. Never called.
pub(super) struct Unbuilt;

impl Service for Unbuilt {
    async fn call(&self, _request: Request) -> Response {
        Response::new(Status::INTERNAL_SERVER_ERROR)
    }
}

/// Makes nothing, which is enough to know the routes.
impl Parts for Unbuilt {
    fn filter(&mut self, _place: &str, _options: &FilterOptions) -> Vec<ChainLink> {
        Vec::new()
    }

    fn handler(&mut self, _place: &str, _options: &HandlerOptions) -> Rc<dyn AnyService> {
        Rc::new(Self)
    }
}
