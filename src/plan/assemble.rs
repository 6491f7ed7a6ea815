//! Turns plans into routers: which filters wrap which handler, and the place of each part in messages.
//! Building, checking and explaining a plan use this module, so that they cannot differ.

use std::rc::Rc;
use std::sync::Arc;

use super::Plan;
use super::diff::{fallback_place, route_place as place_in_diff, site_place};
use super::options::{FilterOptions, HandlerOptions};
use super::site::{Route, Site};
use crate::observe::meters::RouteMeter;
use crate::service::{AnyService, BodyPolicy, ChainLink, RouteLife, Router};

/// Creates the parts of a router. `place` names the part's position in the plan.
pub(super) trait PartFactory {
    /// The filters for these options.
    fn filter(&mut self, place: &str, options: &FilterOptions) -> Vec<ChainLink>;

    /// The service for these options.
    fn handler(&mut self, place: &str, options: &HandlerOptions) -> Rc<dyn AnyService>;

    /// What measures the requests of a route; `None` unless metrics are on.
    fn meter(&mut self, _site: Option<&str>, _route: String) -> Option<Arc<RouteMeter>> {
        None
    }

    /// The life of a route, by its place in differences; `None` for what is never called.
    fn life(&mut self, _place: String) -> Option<RouteLife> {
        None
    }
}

/// The router of all sites. Its hosts are numbered as [`Plan::sites`], from 1; 0 is the default site.
pub(super) fn router(plan: &Plan, parts: &mut dyn PartFactory) -> Router {
    let default = site_router(&place_of(plan, None), None, &plan.default_site, parts);
    plan.sites.iter().fold(default, |router, (host, site)| {
        router.host_alone(host, site_router(&place_of(plan, Some(host)), Some(host), site, parts))
    })
}

/// The router of one site.
pub(super) fn site_router(
    place: &str,
    host: Option<&str>,
    site: &Site,
    parts: &mut dyn PartFactory,
) -> Router {
    let in_diff = site_place(host);
    let life = site.fallback.as_ref().and_then(|_| parts.life(fallback_place(&in_diff)));
    let meter = parts.meter(host, unrouted(site).to_owned());
    let mut router = metered(alive(judged(Router::new(), site.body_policy), life), meter);
    for filter in &site.filters {
        router = router.links(parts.filter(place, filter));
    }
    for route in &site.routes {
        let place = route_place(place, route);
        let life = parts.life(place_in_diff(&in_diff, route));
        let meter = parts.meter(host, route.name());
        let mut inner = metered(alive(judged(Router::new(), route.body_policy), life), meter);
        inner = route.conditions.iter().cloned().fold(inner, Router::when);
        for filter in &route.filters {
            inner = inner.links(parts.filter(&place, filter));
        }
        let service = parts.handler(&place, &route.handler);
        inner = match &route.methods[..] {
            [] => inner.shared(None, &route.pattern, service),
            methods => methods
                .iter()
                .fold(inner, |inner, method| inner.shared(Some(method), &route.pattern, service.clone())),
        };
        // All routes alike, also those without filters: they stand in the order of the plan.
        router = router.nest("", inner);
    }
    match &site.fallback {
        None => router,
        Some(handler) => router.shared_fallback(parts.handler(place, handler)),
    }
}

/// Handlers do not see it: exchanges that wait are counted by it.
fn alive(router: Router, life: Option<RouteLife>) -> Router {
    match life {
        Some(life) => router.state(life),
        None => router,
    }
}

fn metered(router: Router, meter: Option<Arc<RouteMeter>>) -> Router {
    match meter {
        Some(meter) => router.meter(meter),
        None => router,
    }
}

/// How requests without a route are named where routes are measured.
pub(super) fn unrouted(site: &Site) -> &'static str {
    if site.fallback.is_some() { "fallback" } else { "none" }
}

fn judged(router: Router, policy: Option<BodyPolicy>) -> Router {
    match policy {
        Some(policy) => router.body_policy(policy),
        None => router,
    }
}

/// The place of a site.
pub(super) fn place_of(plan: &Plan, host: Option<&str>) -> String {
    match host {
        Some(host) => format!("site {host}"),
        None if plan.sites.is_empty() => String::new(),
        None => "default site".to_owned(),
    }
}

/// The place of a route of the site at `place`.
pub(super) fn route_place(place: &str, route: &Route) -> String {
    let comma = if place.is_empty() { "" } else { ", " };
    format!("{place}{comma}route {}", route.name())
}
