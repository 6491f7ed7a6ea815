//! Tests of a configuration: requests are handled by the services of the plan, in process and without
//! sockets, and held against what is expected. Forwarded requests are answered as the test says.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Config;
use crate::filter::HttpsOptions;
use crate::handler::{Fixed, ProxyOptions, RespondOptions};
use crate::plan::{Explanation, FilterOptions, HandlerOptions, Plan, Responder};
use crate::server::harness::{Call, Reply, on_core};
use crate::service::{Request, Service as _};

/// A request, and what is expected of it.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// What it shows.
    pub name: String,
    /// File and line.
    pub place: String,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) answer: RespondOptions,
    pub(super) expected: Expected,
}

/// What is expected; what is not given may be anything.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) status: Option<u16>,
    pub(super) headers: Vec<(String, ExpectedField)>,
    pub(super) body: Option<String>,
    pub(super) site: Option<String>,
    pub(super) route: Option<String>,
    pub(super) upstream: Option<Vec<String>>,
    pub(super) path: Option<String>,
}

/// What is expected of a field.
#[derive(Clone, Debug)]
pub(super) enum ExpectedField {
    Any,
    None,
    Value(String),
}

/// What differs from an expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What was looked at: `status`, `route`, `header X-A`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// What reached an upstream.
#[derive(Clone, Debug)]
struct Forwarded {
    upstreams: Vec<String>,
    path: String,
}

type Seen = Arc<Mutex<Option<Forwarded>>>;

impl TestCase {
    /// Runs it against a configuration, with the names of variables in place of their values.
    pub fn run(&self, config: &Config) -> Vec<Difference> {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let explanation = match config.shown.explain(&self.method, &self.url, &headers) {
            Ok(explanation) => explanation,
            Err(error) => return vec![failed(error.to_string())],
        };
        let mut found = Differences::default();
        self.compare_route(&explanation, &mut found);
        if self.needs_response() {
            match self.respond(&config.shown) {
                Ok((reply, forwarded)) => self.compare_response(&reply, forwarded, &mut found),
                Err(error) => found.0.push(failed(error)),
            }
        }
        found.0
    }

    fn needs_response(&self) -> bool {
        let Expected { status, headers, body, upstream, path, .. } = &self.expected;
        status.is_some() || !headers.is_empty() || body.is_some() || upstream.is_some() || path.is_some()
    }

    fn compare_route(&self, explanation: &Explanation, found: &mut Differences) {
        if let Some(site) = &self.expected.site {
            let actual = if explanation.site == "default site" { "default" } else { &explanation.site };
            found.compare("site", site, actual);
        }
        if let Some(expected) = &self.expected.route {
            match &explanation.responder {
                Responder::Route { route, .. } => {
                    // With or without its methods, with or without its conditions.
                    let short = route.split_once(" when ").map_or(&**route, |(short, _)| short);
                    let pattern = |name: &str| name.split_once(' ').map(|(_, pattern)| pattern.to_owned());
                    let names = [Some(route.clone()), Some(short.to_owned()), pattern(route), pattern(short)];
                    if !names.iter().flatten().any(|name| name == expected) {
                        found.compare("route", expected, route);
                    }
                }
                other => found.compare("route", expected, &other.to_string()),
            }
        }
    }

    fn compare_response(&self, reply: &Reply, forwarded: Option<Forwarded>, found: &mut Differences) {
        let expected = &self.expected;
        if let Some(status) = expected.status {
            found.compare("status", &status.to_string(), &reply.status().to_string());
        }
        for (name, wanted) in &expected.headers {
            let what = format!("header {name}");
            match (wanted, reply.header(name)) {
                (ExpectedField::Value(value), Some(actual)) => found.compare(&what, value, actual),
                (ExpectedField::Value(value), None) => found.compare(&what, value, "none"),
                (ExpectedField::Any, None) => found.compare(&what, "any value", "none"),
                (ExpectedField::None, Some(actual)) => found.compare(&what, "none", actual),
                (ExpectedField::Any, Some(_)) | (ExpectedField::None, None) => {}
            }
        }
        if let Some(text) = &expected.body {
            let body = String::from_utf8_lossy(reply.bytes());
            if !body.contains(&**text) {
                found.compare("body", &format!("one with {text:?}"), &excerpt(&body));
            }
        }
        let (upstreams, path) = match forwarded {
            Some(Forwarded { upstreams, path }) => (upstreams, path),
            None => (Vec::new(), "not forwarded".to_owned()),
        };
        if let Some(wanted) = &expected.upstream {
            let mut sorted = (wanted.clone(), upstreams.clone());
            sorted.0.sort_unstable();
            sorted.1.sort_unstable();
            if sorted.0 != sorted.1 {
                let actual = if upstreams.is_empty() { path.clone() } else { upstreams.join(", ") };
                found.compare("upstream", &wanted.join(", "), &actual);
            }
        }
        if let Some(wanted) = &expected.path {
            found.compare("path", wanted, &path);
        }
    }

    /// The response, and what reached an upstream.
    fn respond(&self, plan: &Plan) -> Result<(Reply, Option<Forwarded>), String> {
        let seen = Seen::default();
        let plan = self.without_upstreams(plan, &seen);
        let call = self.call();
        call.check().map_err(|error| error.to_string())?;
        let reply = on_core(async move |core| {
            let service = plan.build(&core).map_err(|errors| errors.to_string())?;
            Ok::<_, String>(call.send(&service).await)
        })?;
        let forwarded = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((reply, forwarded))
    }

    fn call(&self) -> Call {
        let below = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        let (host, target) = match below {
            Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None => ("", &*self.url),
        };
        let target = if target.starts_with(['/', '*']) { target.to_owned() } else { format!("/{target}") };
        let mut call = Call::new(&self.method, &target);
        if !host.is_empty() {
            call = call.header("Host", host);
        }
        call = self.headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        if self.body.is_empty() { call } else { call.body(self.body.clone()) }
    }

    /// The plan with the test's answer in place of every upstream. Requests over TLS are not redirected to
    /// it.
    fn without_upstreams(&self, plan: &Plan, seen: &Seen) -> Plan {
        let mut plan = plan.clone();
        let is_tls = self.url.starts_with("https://");
        let sites =
            std::iter::once(&mut plan.default_site).chain(plan.sites.iter_mut().map(|(_, site)| site));
        for site in sites {
            let routes = site.routes.iter_mut();
            let (filters, handlers): (Vec<_>, Vec<_>) =
                routes.map(|route| (&mut route.filters, &mut route.handler)).unzip();
            for handler in handlers.into_iter().chain(&mut site.fallback) {
                if let HandlerOptions::Proxy(options) = handler {
                    *handler = stand_in(options, &self.answer, seen);
                }
            }
            let filters = filters.into_iter().chain([&mut site.filters]).flatten();
            for filter in filters.filter(|_| is_tls) {
                if let FilterOptions::Https(HttpsOptions { redirect_to_port, .. }) = filter {
                    *redirect_to_port = None;
                }
            }
        }
        plan
    }
}

/// A handler that notes what would be forwarded, and sends the test's answer.
fn stand_in(options: &ProxyOptions, answer: &RespondOptions, seen: &Seen) -> HandlerOptions {
    let (options, answer, seen) = (Arc::new(options.clone()), answer.clone(), seen.clone());
    HandlerOptions::custom("upstream of a test", move |_core| {
        let fixed = Fixed::respond(&answer)?;
        let (options, seen) = (options.clone(), seen.clone());
        Ok::<_, crate::handler::FixedError>(async move |request: Request| {
            let shares = options.upstreams.iter().filter(|(share, _)| *share > 0);
            let forwarded = Forwarded {
                upstreams: shares.map(|(_, upstream)| upstream.name.clone()).collect(),
                path: options.forwarded_target(request.head()).into_owned(),
            };
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(forwarded);
            fixed.call(request).await
        })
    })
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn compare(&mut self, what: &str, expected: &str, found: &str) {
        if expected != found {
            let (expected, found) = (expected.to_owned(), found.to_owned());
            self.0.push(Difference { what: what.to_owned(), expected, found });
        }
    }
}

fn failed(error: String) -> Difference {
    Difference { what: "request".to_owned(), expected: "an answer".to_owned(), found: error }
}

/// The begin of a body.
fn excerpt(body: &str) -> String {
    const CHARS: usize = 80;
    let begin: String = body.chars().take(CHARS).collect();
    let more = if begin.len() < body.len() { "…" } else { "" };
    format!("{begin:?}{more}")
}
