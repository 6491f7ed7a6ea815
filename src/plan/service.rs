//! The service of a plan on one core: one concrete type for every plan, so that one can replace another while
//! requests are served.

use std::rc::Rc;
use std::sync::Arc;

use super::assemble::PartFactory;
use super::diff::{fallback_place, site_place};
use super::options::{FilterOptions, HandlerOptions};
use crate::handler::Mounts;
use crate::http::status::Status;
use crate::observe::meters::RouteMeter;
use crate::service::{
    AnyService, ChainLink, Context, LocalFuture, Request, Response, RouteFacts, RouteLife, Routes, Service,
};

/// A plan as built, on one core.
pub struct PlanService {
    kind: ServiceKind,
    lives: Vec<(String, RouteLife)>,
    /// Of the only handler, if its requests are measured.
    facts: Option<Rc<RouteFacts>>,
}

enum ServiceKind {
    /// Files without filters: called directly, without a router.
    Files(Mounts),
    /// One handler without filters: one indirect call.
    Direct(Rc<dyn AnyService>),
    Routes(Routes),
}

impl PlanService {
    pub(super) fn files(mounts: Mounts) -> Self {
        Self::lone(ServiceKind::Files(mounts))
    }

    pub(super) fn direct(service: Rc<dyn AnyService>) -> Self {
        Self::lone(ServiceKind::Direct(service))
    }

    /// `lives` are those that the routes have as their state.
    pub(super) fn routes(routes: Routes, lives: Vec<(String, RouteLife)>) -> Self {
        Self { kind: ServiceKind::Routes(routes), lives, facts: None }
    }

    /// The fallback of the default site is all there is.
    fn lone(kind: ServiceKind) -> Self {
        Self { kind, lives: vec![(fallback_place(&site_place(None)), RouteLife::default())], facts: None }
    }

    /// Measures what is called without a router.
    pub(super) fn measured(mut self, meter: Option<Arc<RouteMeter>>) -> Self {
        self.facts = meter.map(|meter| Rc::new(RouteFacts { meter: Some(meter), ..RouteFacts::default() }));
        self
    }

    #[inline]
    fn measure(&self, request: &Request) {
        if let Some(facts) = &self.facts {
            request.context().set_route(facts, &[]);
        }
    }
}

impl Service for PlanService {
    /// A box, so that an idle connection reserves no memory for a response. A waiting handler has one anyway.
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.measure(&request);
        let future: LocalFuture<'_, Response> = match &self.kind {
            ServiceKind::Files(mounts) => mounts.look(request),
            ServiceKind::Direct(service) => service.later(request),
            ServiceKind::Routes(routes) => routes.route(request).into_boxed(),
        };
        future
    }

    #[inline]
    fn call_now(&self, request: Request) -> Result<Response, Request> {
        self.measure(&request);
        match &self.kind {
            ServiceKind::Files(mounts) => mounts.call_now(request),
            ServiceKind::Direct(service) => service.now(request),
            // A handler behind a route may have to wait, and then the request could not be given back.
            ServiceKind::Routes(_) => Err(request),
        }
    }

    fn judges_bodies(&self) -> bool {
        match &self.kind {
            ServiceKind::Files(mounts) => mounts.judges_bodies(),
            ServiceKind::Direct(service) => service.judges(),
            ServiceKind::Routes(routes) => routes.judges_bodies(),
        }
    }

    fn refused(&self, context: &Context, response: &mut Response) {
        match &self.kind {
            ServiceKind::Files(mounts) => mounts.refused(context, response),
            ServiceKind::Direct(service) => service.add_to_refusal(context, response),
            ServiceKind::Routes(routes) => routes.refused(context, response),
        }
    }

    fn life_of(&self, context: &Context) -> Option<RouteLife> {
        match &self.kind {
            ServiceKind::Files(_) | ServiceKind::Direct(_) => {
                self.lives.first().map(|(_, life)| life.clone())
            }
            ServiceKind::Routes(_) => context.state::<RouteLife>().map(|life| RouteLife::clone(&life)),
        }
    }

    fn lives(&self) -> &[(String, RouteLife)] {
        &self.lives
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
