//! Sites and their routes, as values. They are interpreted in `assemble`.

use super::options::{FilterOptions, HandlerOptions};
use crate::service::router::suffix;
use crate::service::{BodyPolicy, Condition};

/// What one host serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// Filters around everything of this site, its 404 included; outermost first.
    pub filters: Vec<FilterOptions>,
    /// Routes. Their order has no effect: of the patterns that match a path, the most specific is chosen, and
    /// two that match the same requests are an error.
    pub routes: Vec<Route>,
    /// Handles requests that match no route. Default: 404.
    pub fallback: Option<HandlerOptions>,
    /// How large and how slow bodies of requests may be. Default: the server's limits.
    pub body_policy: Option<BodyPolicy>,
}

impl Site {
    /// An empty site.
    pub fn new() -> Self {
        Self::default()
    }

    /// A site with one handler for all requests.
    pub fn of(handler: HandlerOptions) -> Self {
        Self { fallback: Some(handler), ..Self::default() }
    }

    /// Adds a filter inside those added before.
    pub fn filter(mut self, filter: FilterOptions) -> Self {
        self.filters.push(filter);
        self
    }

    /// Adds a route.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Judges the bodies of requests by another policy than the server's.
    pub fn body_policy(mut self, policy: BodyPolicy) -> Self {
        self.body_policy = Some(policy);
        self
    }

    /// Handles requests that match no route.
    pub fn fallback(mut self, handler: HandlerOptions) -> Self {
        self.fallback = Some(handler);
        self
    }
}

/// A route: which requests a handler gets, and which filters wrap it.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Method names such as `GET`, which includes HEAD. Empty for every method.
    pub methods: Vec<String>,
    /// The pattern of the path, as [`router`](crate::service::router) reads it: `/users/{id}`, `/{*rest}`.
    pub pattern: String,
    /// What it asks of a request beside path and method. Of the routes of one pattern whose conditions hold,
    /// one with more comes first; if none is left, less specific patterns are tried.
    pub conditions: Vec<Condition>,
    /// Filters inside those of the site; outermost first.
    pub filters: Vec<FilterOptions>,
    /// The handler.
    pub handler: HandlerOptions,
    /// How large and how slow bodies of requests may be. Default: as for the site.
    pub body_policy: Option<BodyPolicy>,
}

impl Route {
    /// A route for these methods.
    pub fn new<M: Into<String>>(
        methods: impl IntoIterator<Item = M>,
        pattern: &str,
        handler: HandlerOptions,
    ) -> Self {
        let methods = methods.into_iter().map(Into::into).collect();
        let (pattern, conditions, filters) = (pattern.to_owned(), Vec::new(), Vec::new());
        Self { methods, pattern, conditions, filters, handler, body_policy: None }
    }

    /// A route for GET and HEAD.
    pub fn get(pattern: &str, handler: HandlerOptions) -> Self {
        Self::new(["GET"], pattern, handler)
    }

    /// A route for every method.
    pub fn any(pattern: &str, handler: HandlerOptions) -> Self {
        Self::new::<&str>([], pattern, handler)
    }

    /// Restricts it to requests for which this holds too.
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Adds a filter inside those added before.
    pub fn filter(mut self, filter: FilterOptions) -> Self {
        self.filters.push(filter);
        self
    }

    /// Judges the bodies of requests by another policy than the site's.
    pub fn body_policy(mut self, policy: BodyPolicy) -> Self {
        self.body_policy = Some(policy);
        self
    }

    /// Methods, pattern and conditions, which are unique in a site.
    pub(super) fn name(&self) -> String {
        let methods = if self.methods.is_empty() { "any".to_owned() } else { self.methods.join(",") };
        format!("{methods} {}{}", self.pattern, suffix(&self.conditions))
    }
}
