//! Built routes: dispatch by host, path and method, to a chain of filters and a handler.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::tree::Tree;
use crate::http::message::{FramingError, TargetForm};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::http::target::split_authority;
use crate::service::Service;
use crate::service::answer::{Answer, AnyService};
use crate::service::condition::{ConditionSubject, RouteConditions};
use crate::service::filter::Chain;
use crate::service::into_response::IntoResponse;
use crate::service::limits::HalfClose;
use crate::service::problem::Problem;
use crate::service::request::{Context, Request, RouteFacts};
use crate::service::response::Response;

/// A router that was built: a [`Service`].
pub struct Routes {
    // INVARIANT: never empty; the first serves hosts that match no other.
    pub(super) sites: Vec<HostRoutes>,
    pub(super) hosts: HashMap<Box<str>, usize, RandomState>,
    /// Ends of host names with the dot in front, the longest first.
    pub(super) below: Vec<(Box<str>, usize)>,
    pub(super) parameters: RefCell<Vec<Range<u16>>>,
}

/// The routes of one host.
pub(super) struct HostRoutes {
    pub(super) tree: Tree,
    pub(super) leaves: Vec<Leaf>,
    // INVARIANT: the first is the whole site's.
    pub(super) misses: Vec<Endpoint>,
    /// For `OPTIONS *`.
    pub(super) asterisk: Endpoint,
}

/// The endpoints of one path.
pub(super) struct Leaf {
    /// Those of routes without conditions.
    pub(super) plain: MethodTable,
    pub(super) has_plain: bool,
    /// Those of routes with the same conditions each, in order of precedence.
    pub(super) conditional: Vec<(RouteConditions, MethodTable)>,
}

/// Endpoints by method. Without any if there are no routes.
pub(super) struct MethodTable {
    pub(super) endpoints: Vec<(MethodName, Endpoint)>,
    /// For methods without an endpoint: a service of its own, or the responses that follow from `endpoints`.
    pub(super) any: Option<Endpoint>,
    pub(super) options: Option<Endpoint>,
    pub(super) not_allowed: Option<Endpoint>,
}

/// A method by name, including those without a variant of [`Method`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum MethodName {
    Known(Method),
    Token(Box<str>),
}

impl MethodName {
    pub(super) fn new(token: &str) -> Self {
        match Method::from_token(token.as_bytes()) {
            Method::Other => Self::Token(token.into()),
            known => Self::Known(known),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Known(method) => method.as_str(),
            Self::Token(token) => token,
        }
    }
}

/// A service with the filters around it.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) facts: Rc<RouteFacts>,
    pub(super) chain: Rc<Chain>,
    pub(super) service: Rc<dyn AnyService>,
}

impl Leaf {
    /// All of them.
    pub(super) fn tables(&self) -> impl Iterator<Item = &MethodTable> {
        self.conditional.iter().map(|(_, table)| table).chain([&self.plain])
    }

    /// Whether a request is for one of the routes, as far as conditions say.
    #[inline]
    fn matches(&self, subject: &impl ConditionSubject) -> bool {
        self.has_plain || self.conditional.iter().any(|(conditions, _)| conditions.hold(subject))
    }

    #[inline]
    fn endpoint(&self, method: Method, token: &str, subject: &impl ConditionSubject) -> Option<&Endpoint> {
        if self.conditional.is_empty() {
            return self.plain.endpoint(method, token).or_else(|| self.plain.own_response(method));
        }
        let conditional = self.conditional.iter().filter(|(conditions, _)| conditions.hold(subject));
        let tables = conditional.map(|(_, table)| table).chain(self.has_plain.then_some(&self.plain));
        let mut first = None;
        for table in tables {
            if let Some(found) = table.endpoint(method, token) {
                return Some(found);
            }
            first.get_or_insert(table);
        }
        first.and_then(|table| table.own_response(method))
    }
}

impl MethodTable {
    /// That of a route.
    fn endpoint(&self, method: Method, token: &str) -> Option<&Endpoint> {
        let named = |wanted: Method| {
            let is_wanted = |name: &MethodName| match name {
                MethodName::Known(known) => *known == wanted,
                MethodName::Token(known) => wanted == Method::Other && **known == *token,
            };
            self.endpoints.iter().find(|(name, _)| is_wanted(name)).map(|(_, endpoint)| endpoint)
        };
        let found = named(method).or_else(|| named(Method::Get).filter(|_| method == Method::Head));
        found.or(self.any.as_ref())
    }

    /// The router's own, where no route has the method.
    fn own_response(&self, method: Method) -> Option<&Endpoint> {
        match method {
            Method::Options => self.options.as_ref(),
            _ => self.not_allowed.as_ref(),
        }
    }
}

impl Routes {
    /// Answers a request.
    pub(crate) fn route(&self, mut request: Request) -> Answer<'_> {
        let head = request.head();
        let site = self.site(head.authority());
        let mut parameters = self.parameters.borrow_mut();
        let (method, token) = (head.method(), head.method_str());
        let endpoint = site.endpoint(method, token, head.form(), head.path(), head, &mut parameters);
        request.context().set_route(&endpoint.facts, &parameters);
        drop(parameters);
        if endpoint.facts.half_close != HalfClose::default() {
            request.context().set_half_close(endpoint.facts.half_close);
        }
        if !request.body().is_empty() {
            if let Some(policy) = endpoint.facts.body_policy {
                request.body().set_policy(policy);
            }
            // A service that judges bodies by itself does so unless the route has a policy.
            let judges = endpoint.facts.body_policy.is_none() && endpoint.service.judges();
            if !judges && request.body().is_too_large() {
                return endpoint.chain.run(&DefaultResponse::TooLarge, request);
            }
        }
        endpoint.chain.run(&*endpoint.service, request)
    }

    fn site(&self, authority: &str) -> &HostRoutes {
        &self.sites[self.number(authority)]
    }

    /// Which of `sites` this host has.
    pub(super) fn number(&self, authority: &str) -> usize {
        if self.hosts.is_empty() && self.below.is_empty() { 0 } else { self.host(authority) }
    }

    fn host(&self, authority: &str) -> usize {
        let (host, _port) = split_authority(authority);
        // One dot at the end is the same name (RFC 3986 §3.2.2).
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if let Some(&site) = self.hosts.get(&*host) {
            return site;
        }
        let below = self.below.iter().find(|(end, _)| host.len() > end.len() && host.ends_with(&**end));
        below.map_or(0, |&(_, site)| site)
    }
}

impl HostRoutes {
    pub(super) fn endpoint(
        &self,
        method: Method,
        token: &str,
        form: TargetForm,
        path: &str,
        subject: &impl ConditionSubject,
        parameters: &mut Vec<Range<u16>>,
    ) -> &Endpoint {
        match form {
            TargetForm::Origin | TargetForm::Absolute => {}
            TargetForm::Asterisk => return &self.asterisk,
            TargetForm::Authority => return &self.misses[0],
        }
        let leaf = self.tree.find(path, parameters, &|leaf| self.leaves[leaf].matches(subject));
        leaf.and_then(|leaf| self.leaves[leaf].endpoint(method, token, subject))
            .unwrap_or_else(|| &self.misses[self.tree.scope(path).unwrap_or(0)])
    }
}

impl Service for Routes {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.route(request)
    }

    fn judges_bodies(&self) -> bool {
        true
    }

    /// Through the filters of the router that the path belongs to, as for a path without a route.
    fn refused(&self, context: &Context, response: &mut Response) {
        let head = context.head();
        let site = self.site(head.authority());
        let path = head.path();
        let scope = if path.starts_with('/') { site.tree.scope(path) } else { None };
        site.misses[scope.unwrap_or(0)].chain.refused(context, response);
    }
}

/// A response of the router itself.
pub(super) enum DefaultResponse {
    /// 204 with the methods.
    Options(Box<str>),
    /// 405 with the methods; 501 for a method that no route has.
    NotAllowed(Box<str>, Rc<OtherMethods>),
    /// 404; 501 for CONNECT, and for a method that no route has.
    NotFound(Rc<OtherMethods>),
    /// 413.
    TooLarge,
}

impl Service for DefaultResponse {
    async fn call(&self, request: Request) -> Response {
        self.make(&request)
    }

    fn call_now(&self, request: Request) -> Result<Response, Request> {
        Ok(self.make(&request))
    }
}

/// The methods of routes beyond those that every server knows.
#[derive(Default)]
pub(super) struct OtherMethods(RefCell<Vec<Box<str>>>);

impl OtherMethods {
    pub(super) fn add(&self, token: &str) {
        self.0.borrow_mut().push(token.into());
    }

    /// Whether no route has the method of this request: then the server does not know it, and 405 would say
    /// that another resource may take it (RFC 9110 §9.1).
    fn lack(&self, request: &Request) -> bool {
        let head = request.head();
        head.method() == Method::Other && !self.0.borrow().iter().any(|known| **known == *head.method_str())
    }
}

fn unknown_method(request: &Request) -> Problem {
    let detail = format!("{} is not a method that this server knows", request.head().method_str());
    Problem::new(Status::NOT_IMPLEMENTED).detail(detail)
}

impl DefaultResponse {
    fn make(&self, request: &Request) -> Response {
        match self {
            Self::Options(allow) if allow.is_empty() => Response::new(Status::NO_CONTENT),
            Self::Options(allow) => Response::new(Status::NO_CONTENT).with_field("Allow", &**allow),
            Self::NotAllowed(allow, methods) if methods.lack(request) => {
                unknown_method(request).header("Allow", allow).into_response()
            }
            Self::NotAllowed(allow, _) => Problem::new(Status::METHOD_NOT_ALLOWED)
                .detail(format!("{} is not among {allow}", request.head().method_str()))
                .header("Allow", allow)
                .into_response(),
            Self::NotFound(_) if request.head().form() == TargetForm::Authority => {
                let detail = "this server opens no tunnels";
                Problem::new(Status::NOT_IMPLEMENTED).detail(detail).into_response()
            }
            Self::NotFound(methods) if methods.lack(request) => unknown_method(request).into_response(),
            Self::NotFound(_) => {
                Problem::new(Status::NOT_FOUND).detail("nothing is at this path").into_response()
            }
            Self::TooLarge => Problem::new(Status::CONTENT_TOO_LARGE)
                .detail(FramingError::TooLarge.to_string())
                .into_response(),
        }
    }
}
