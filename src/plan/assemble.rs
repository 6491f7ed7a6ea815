//! Plans into routers: which filters stand around what, and the place of each part in messages. Building a
//! plan, checking it and explaining it go through here, so that they cannot differ.

use std::rc::Rc;

use super::Plan;
use super::options::{FilterOptions, HandlerOptions};
use super::site::{Route, Site};
use crate::service::{AnyService, ChainLink, Router};

/// Makes the parts of a router. `place` says where in the plan a part stands.
pub(super) trait Parts {
    /// The filters that these options ask for.
    fn filter(&mut self, place: &str, options: &FilterOptions) -> Vec<ChainLink>;

    /// The service that these options ask for.
    fn handler(&mut self, place: &str, options: &HandlerOptions) -> Rc<dyn AnyService>;
}

/// The router of all sites. Its hosts are numbered as [`Plan::sites`], from 1; 0 is the default site.
pub(super) fn router(plan: &Plan, parts: &mut dyn Parts) -> Router {
    let default = site_router(&place_of(plan, None), &plan.default_site, parts);
    plan.sites.iter().fold(default, |router, (host, site)| {
        router.host_alone(host, site_router(&place_of(plan, Some(host)), site, parts))
    })
}

/// The router of one site.
pub(super) fn site_router(place: &str, site: &Site, parts: &mut dyn Parts) -> Router {
    let mut router = Router::new();
    for filter in &site.filters {
        router = router.links(parts.filter(place, filter));
    }
    for route in &site.routes {
        let place = route_place(place, route);
        let mut inner = Router::new();
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
        // All routes alike, also those without filters: they are placed in the order of the plan.
        router = router.nest("", inner);
    }
    match &site.fallback {
        None => router,
        Some(handler) => router.shared_fallback(parts.handler(place, handler)),
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
