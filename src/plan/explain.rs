//! Which parts of a plan handle a request, and why others do not. The route is found by the router itself,
//! built without filters and handlers, so an explanation cannot differ from what is served.

use std::fmt;

use thiserror::Error;

use super::assemble::router;
use super::error::PlanErrors;
use super::options::{FilterOptions, HandlerOptions};
use super::service::Unbuilt;
use super::show::Bodies;
use super::site::{Route, Site};
use super::{Listener, Plan};
use crate::http::path;
use crate::http::target::{encode, split_authority};
use crate::net::Address;
use crate::service::router::{ConditionSubject, DispatchTarget, PathMismatch, RouteName, mismatch};
use crate::service::{BodyPolicy, Condition};

/// How a request is handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The listener on which it arrives; `None` where the plan has none for its scheme and port.
    pub listener: Option<String>,
    /// The site: its host, or `default site`.
    pub site: String,
    /// What responds, unless a filter responds first.
    pub responder: Responder,
    /// The filters that it passes, outermost first.
    pub filters: Vec<ExplainedFilter>,
    /// How large and how slow its body may be; `None` for the server's limits.
    pub body_policy: Option<BodyPolicy>,
    /// What else applies to it, each with its origin.
    pub settings: Vec<ExplainedSetting>,
    /// Listeners, sites and routes of the site that do not handle it, each with the reason.
    pub passed_over: Vec<PassedOver>,
}

/// What responds to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Responder {
    /// The handler of a route.
    Route {
        /// Methods and pattern.
        route: String,
        /// The handler.
        handler: String,
    },
    /// The handler of the site's fallback.
    Fallback {
        /// The handler.
        handler: String,
    },
    /// The router, to OPTIONS: 204 with the methods of the path.
    Options {
        /// `Allow`; empty if every method is allowed.
        allow: String,
    },
    /// The router: 405 with the methods of the path; 501 where no route has the method.
    MethodNotAllowed {
        /// `Allow`.
        allow: String,
    },
    /// The protocol: 400, because the path has a `..` segment.
    ParentSegment,
    /// The router: 404; 501 where no route has the method.
    NotFound,
}

/// A filter that a request passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedFilter {
    /// The filter.
    pub filter: String,
    /// Why it responds itself, so that no inner part handles the request.
    pub responds: Option<&'static str>,
    /// Whether it stands in the route, and not in the site.
    pub of_route: bool,
}

/// A setting that applies to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedSetting {
    /// What it is: `retries`, `connect timeout`, `bodies`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// The server's limits.
    Limits,
    /// The site.
    Site,
    /// The route.
    Route,
    /// The handler's options, such as those of a proxy.
    Handler,
    /// The upstream of this name.
    Upstream(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Limits => f.write_str("limits"),
            Self::Site => f.write_str("site"),
            Self::Route => f.write_str("route"),
            Self::Handler => f.write_str("handler"),
            Self::Upstream(name) => write!(f, "upstream {name}"),
        }
    }
}

/// A part that does not handle a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The part: `listener …`, `site …`, `route …`.
    pub part: String,
    /// The reason.
    pub reason: Reason,
}

/// Why a part does not handle a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The listener serves HTTPS and the request is HTTP, or the other way round.
    Scheme,
    /// The listener has another port, or none.
    Port,
    /// The site is for another host.
    Host,
    /// The path does not match the route's pattern.
    Path(PathMismatch),
    /// This condition of the route does not hold.
    Condition(Condition),
    /// The route is for these methods.
    Method(Vec<String>),
    /// It matches too, but the chosen one is more specific.
    LessSpecific,
    /// The listener matches too, but another precedes it.
    Later,
}

/// Why a request cannot be explained.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The URL is not valid.
    #[error("`{0}` is neither a path nor a URL; write /path or https://example.com/path")]
    Url(String),
    /// The plan cannot be built.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
}

impl fmt::Display for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { route, handler } => write!(f, "route {route}: {handler}"),
            Self::Fallback { handler } => write!(f, "fallback: {handler}"),
            Self::Options { allow } if allow.is_empty() => f.write_str("204, every method is allowed"),
            Self::Options { allow } => write!(f, "204, allowed are {allow}"),
            Self::MethodNotAllowed { allow } => write!(f, "405, allowed are {allow}"),
            Self::ParentSegment => f.write_str("400, the path has a .. segment"),
            Self::NotFound => f.write_str("404, no route matches"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("another scheme"),
            Self::Port => f.write_str("another port"),
            Self::Host => f.write_str("another host"),
            Self::Path(mismatch) => mismatch.fmt(f),
            Self::Condition(condition) => write!(f, "it asks that {condition}"),
            Self::Method(methods) => write!(f, "its methods are {}", methods.join(", ")),
            Self::LessSpecific => f.write_str("it matches, but is less specific"),
            Self::Later => f.write_str("another listener stands before it"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listener: {}", self.listener.as_deref().unwrap_or("none for this scheme and port"))?;
        writeln!(f, "site: {}", self.site)?;
        for ExplainedFilter { filter, responds, of_route } in &self.filters {
            let origin = if *of_route { ", of the route" } else { "" };
            match responds {
                None => writeln!(f, "filter: {filter}{origin}")?,
                Some(reason) => writeln!(f, "filter: {filter}{origin} (responds: {reason})")?,
            }
        }
        write!(f, "response: {}", self.responder)?;
        for ExplainedSetting { name, value, origin } in &self.settings {
            write!(f, "\n{name}: {value} ({origin})")?;
        }
        for PassedOver { part, reason } in &self.passed_over {
            write!(f, "\nnot {part}: {reason}")?;
        }
        Ok(())
    }
}

/// The parts of a request that matter here.
struct Question<'a> {
    method: &'a str,
    /// Whether it comes over TLS, and on which port; `None` for a URL that is only a path.
    arrival: Option<(bool, u16)>,
    authority: &'a str,
    /// In its normal form; `None` if it has none, so that the request is refused.
    path: Option<String>,
    query: Option<String>,
    headers: &'a [(&'a str, &'a str)],
}

impl<'a> Question<'a> {
    fn new(method: &'a str, url: &'a str, headers: &'a [(&'a str, &'a str)]) -> Result<Self, ExplainError> {
        let is_tls = url.starts_with("https://");
        let below = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let (authority, target) = match below {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None if url.starts_with('/') || url == "*" => ("", url),
            None => return Err(ExplainError::Url(url.to_owned())),
        };
        let target = encoded(target.split('#').next().unwrap_or_default());
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (&*target, None),
        };
        let path = normal_form(if path.is_empty() { "/" } else { path });
        let default_port = if is_tls { 443 } else { 80 };
        let arrival = below.map(|_| (is_tls, split_authority(authority).1.unwrap_or(default_port)));
        let mut question = Self { method, arrival, authority, path, query, headers };
        if let Some(host) = question.header("host") {
            question.authority = host;
        }
        Ok(question)
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

impl ConditionSubject for Question<'_> {
    fn each_value(&self, name: &str, see: &mut dyn FnMut(&[u8])) {
        let named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.for_each(|(_, value)| see(value.trim_matches([' ', '\t']).as_bytes()));
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

impl Plan {
    /// How a request for `url`, which is `https://example.com/path` or `/path`, is handled with these
    /// headers. `Host` has precedence over the URL's host.
    ///
    /// # Errors
    /// The URL is not valid; hosts, patterns or methods have errors. Directories and files are not accessed.
    pub fn explain(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Explanation, ExplainError> {
        let question = Question::new(method, url, headers)?;
        let mistakes = self.mistakes_of_routes();
        if !mistakes.is_empty() {
            return Err(PlanErrors(mistakes).into());
        }
        let routes = router(self, &mut Unbuilt).build().expect("it has no mistakes");
        let path = question.path.as_deref();
        let decision = routes.decide(question.authority, method, path.unwrap_or("/"), &question);
        let mut passed_over = Vec::new();
        let listener = self.listener_for(&question, &mut passed_over);
        let (name, site) = match decision.host.checked_sub(1) {
            None => ("default site", &self.default_site),
            Some(index) => (&*self.sites[index].0, &self.sites[index].1),
        };
        self.pass_over_sites(&question, decision.host, &mut passed_over);
        let Some(path) = path else {
            return Ok(Explanation {
                listener: listener.map(ToString::to_string),
                site: name.to_owned(),
                responder: Responder::ParentSegment,
                filters: Vec::new(),
                body_policy: None,
                settings: Vec::new(),
                passed_over,
            });
        };
        let chosen = site.route_of(&decision.target);
        site.pass_over_routes(&question, path, &decision.target, &mut passed_over);
        let route_filters = chosen.map(|route| &route.filters[..]).unwrap_or_default();
        let filters = site.filters.iter().map(|filter| (filter, false));
        let filters = filters.chain(route_filters.iter().map(|filter| (filter, true)));
        let handler = match &decision.target {
            DispatchTarget::Route { .. } => chosen.map(|route| &route.handler),
            DispatchTarget::Miss => site.fallback.as_ref(),
            DispatchTarget::Options { .. } | DispatchTarget::NotAllowed { .. } => None,
        };
        Ok(Explanation {
            listener: listener.map(ToString::to_string),
            site: name.to_owned(),
            responder: site.responder(&decision.target, chosen),
            filters: filters.map(|(filter, of_route)| explained(filter, of_route, &question)).collect(),
            settings: handler.map(|handler| site.settings(chosen, handler)).unwrap_or_default(),
            body_policy: chosen.and_then(|route| route.body_policy).or(site.body_policy),
            passed_over,
        })
    }

    fn listener_for(&self, question: &Question<'_>, passed_over: &mut Vec<PassedOver>) -> Option<&Listener> {
        let Some((is_tls, port)) = question.arrival else { return self.listeners.first() };
        let mut chosen = None;
        for listener in &self.listeners {
            let reason = match &listener.address {
                _ if listener.tls.is_some() != is_tls => Reason::Scheme,
                Address::Inet(addr) if addr.port() != port => Reason::Port,
                Address::Unix(_) => Reason::Port,
                Address::Inet(_) if chosen.is_some() => Reason::Later,
                Address::Inet(_) => {
                    chosen = Some(listener);
                    continue;
                }
            };
            passed_over.push(PassedOver { part: format!("listener {listener}"), reason });
        }
        chosen
    }

    fn pass_over_sites(&self, question: &Question<'_>, chosen: usize, passed_over: &mut Vec<PassedOver>) {
        for (index, (host, _)) in self.sites.iter().enumerate() {
            if index + 1 != chosen {
                let matches = host_matches(host, split_authority(question.authority).0);
                let reason = if matches { Reason::LessSpecific } else { Reason::Host };
                passed_over.push(PassedOver { part: format!("site {host}"), reason });
            }
        }
    }
}

impl Site {
    /// The route whose filters a request passes. The router's own responses to OPTIONS and 405 pass those of
    /// the first route of their path.
    fn route_of(&self, target: &DispatchTarget) -> Option<&Route> {
        match target {
            DispatchTarget::Route { method, of } => self.routes.iter().find(|route| {
                let is_method = match method {
                    None => route.methods.is_empty(),
                    Some(method) => route.methods.iter().any(|known| known == method),
                };
                is_route(route, of) && is_method
            }),
            DispatchTarget::Options { of, .. } | DispatchTarget::NotAllowed { of, .. } => {
                self.routes.iter().find(|route| is_route(route, of))
            }
            DispatchTarget::Miss => None,
        }
    }

    fn responder(&self, target: &DispatchTarget, chosen: Option<&Route>) -> Responder {
        match (target, chosen, &self.fallback) {
            (DispatchTarget::Options { allow, .. }, ..) => Responder::Options { allow: allow.clone() },
            (DispatchTarget::NotAllowed { allow, .. }, ..) => {
                Responder::MethodNotAllowed { allow: allow.clone() }
            }
            (DispatchTarget::Route { .. }, Some(route), _) => {
                Responder::Route { route: route.name(), handler: route.handler.to_string() }
            }
            (_, _, Some(handler)) => Responder::Fallback { handler: handler.to_string() },
            (_, _, None) => Responder::NotFound,
        }
    }

    /// What applies to requests of this handler.
    fn settings(&self, route: Option<&Route>, handler: &HandlerOptions) -> Vec<ExplainedSetting> {
        let policy = route.and_then(|route| route.body_policy).map(|policy| (policy, Origin::Route));
        let policy = policy.or(self.body_policy.map(|policy| (policy, Origin::Site)));
        let own = match handler {
            HandlerOptions::Proxy(options) => Some(options.request_bytes_max),
            _ => None,
        };
        let (value, origin) = match (policy, own) {
            (Some((policy, origin)), _) => (Bodies(&policy).to_string(), origin),
            (None, Some(Some(bytes))) => (format!("bodies up to {bytes} bytes"), Origin::Handler),
            // A proxy holds no bodies.
            (None, Some(None)) => ("bodies of any size".to_owned(), Origin::Default),
            (None, None) => ("as the server's limits say".to_owned(), Origin::Limits),
        };
        let mut settings = vec![ExplainedSetting { name: "request bodies", value, origin }];
        let HandlerOptions::Proxy(options) = handler else { return settings };
        for (_, upstream) in &options.upstreams {
            settings.extend(upstream.explained().into_iter().map(|(name, value, is_default)| {
                let origin =
                    if is_default { Origin::Default } else { Origin::Upstream(upstream.name.clone()) };
                ExplainedSetting { name, value, origin }
            }));
        }
        settings
    }

    fn pass_over_routes(
        &self,
        question: &Question<'_>,
        path: &str,
        target: &DispatchTarget,
        passed_over: &mut Vec<PassedOver>,
    ) {
        let chosen = match target {
            DispatchTarget::Route { .. } => self.route_of(target),
            _ => None,
        };
        for route in &self.routes {
            if chosen.is_some_and(|chosen| std::ptr::eq(chosen, route)) {
                continue;
            }
            let reason = match mismatch(&route.pattern, path) {
                Ok(Some(mismatch)) => Reason::Path(mismatch),
                _ => match route.conditions.iter().find(|condition| !condition.holds(question)) {
                    Some(condition) => Reason::Condition(condition.clone()),
                    None if !takes(route, question.method) => Reason::Method(route.methods.clone()),
                    None => Reason::LessSpecific,
                },
            };
            passed_over.push(PassedOver { part: format!("route {}", route.name()), reason });
        }
    }
}

/// A target as the head of its request would have it.
fn encoded(target: &str) -> String {
    let mut encoded = Vec::new();
    encode(target.as_bytes(), &mut encoded);
    String::from_utf8(encoded).expect("what is encoded is ASCII")
}

/// The path that a request would have.
fn normal_form(sent: &str) -> Option<String> {
    if sent == "*" {
        return Some(sent.to_owned());
    }
    let mut path = Vec::new();
    path::normalize(sent.as_bytes(), &mut path).ok()?;
    String::from_utf8(path).ok()
}

/// Routes with the same conditions in another order are an error, so that there is one of the name at most.
fn is_route(route: &Route, name: &RouteName) -> bool {
    let conditions = &route.conditions;
    let has_all = || name.conditions.iter().all(|condition| conditions.contains(condition));
    route.pattern == name.pattern && conditions.iter().all(|one| name.conditions.contains(one)) && has_all()
}

fn takes(route: &Route, method: &str) -> bool {
    let has = |wanted: &str| route.methods.iter().any(|known| known == wanted);
    route.methods.is_empty() || has(method) || (method == "HEAD" && has("GET"))
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(ending) => host.len() > ending.len() && host.ends_with(ending),
        None => host == pattern,
    }
}

fn explained(filter: &FilterOptions, of_route: bool, question: &Question<'_>) -> ExplainedFilter {
    let responds = match filter {
        FilterOptions::Https(https)
            if https.redirect_to_port.is_some() && matches!(question.arrival, Some((false, _))) =>
        {
            Some("the request came without TLS")
        }
        FilterOptions::Cors(_)
            if question.method == "OPTIONS"
                && question.header("origin").is_some()
                && question.header("access-control-request-method").is_some() =>
        {
            Some("it is a preflight")
        }
        #[cfg(feature = "auth")]
        FilterOptions::BasicAuth(_) if question.header("authorization").is_none() => {
            Some("the request has no password")
        }
        _ => None,
    };
    ExplainedFilter { filter: filter.to_string(), responds, of_route }
}
