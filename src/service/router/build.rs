//! Builds routes from routers: joins prefixes, flattens scopes, collects mistakes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::error::{RouteError, RouteErrors, RouteMistake};
use super::pattern::{HostPattern, Pattern, PatternError};
use super::routes::{
    DefaultResponse, Endpoint, HostRoutes, Leaf, MethodName, MethodTable, OtherMethods, Routes,
};
use super::tree::Tree;
use super::{RouteDraft, Router, SourceLocation};
use crate::observe::meters::RouteMeter;
use crate::service::answer::AnyService;
use crate::service::condition::{Condition, RouteConditions, suffix};
use crate::service::filter::Chain;
use crate::service::limits::{BodyPolicy, ExtractLimits, HalfClose};
use crate::service::request::RouteFacts;
use crate::service::states::States;

pub(super) fn build(router: Router) -> Result<Routes, RouteErrors> {
    let mut builder = RoutesBuilder { errors: Vec::new(), methods: Rc::default() };
    let mut routes = Routes {
        sites: Vec::new(),
        hosts: Default::default(),
        below: Vec::new(),
        parameters: RefCell::default(),
    };
    let mut root = router;
    let hosts = std::mem::take(&mut root.hosts);
    let scope = Scope::default().within(&mut root);
    routes.sites.push(builder.site(root, scope.clone()));
    for (host, place, mut router) in hosts {
        let number = routes.sites.len();
        let taken = match HostPattern::parse(&host) {
            Ok(HostPattern::Name(name)) => routes.hosts.insert(name, number).is_some(),
            Ok(HostPattern::Below(end)) => {
                let taken = routes.below.iter().any(|(known, _)| *known == end);
                routes.below.push((end, number));
                taken
            }
            Err(error) => {
                builder.mistake(host.clone(), place, RouteMistake::Pattern(error));
                false
            }
        };
        if taken {
            builder.mistake(host.clone(), place, RouteMistake::Conflict { with: host, place });
        }
        let outer = if router.is_alone { Scope::default() } else { scope.clone() };
        let scope = outer.within(&mut router);
        routes.sites.push(builder.site(router, scope));
    }
    routes.below.sort_by_key(|(end, _)| std::cmp::Reverse(end.len()));
    if builder.errors.is_empty() { Ok(routes) } else { Err(RouteErrors(builder.errors)) }
}

/// The filters, states, limits and fallback in force at one router of the tree.
#[derive(Clone, Default)]
struct Scope {
    chain: Chain,
    states: States,
    limits: Rc<ExtractLimits>,
    body_policy: Option<BodyPolicy>,
    half_close: HalfClose,
    fallback: Option<Rc<dyn AnyService>>,
    conditions: RouteConditions,
    meter: Option<Arc<RouteMeter>>,
}

impl Scope {
    /// The scope of a router within this one.
    fn within(mut self, router: &mut Router) -> Self {
        self.chain.links.append(&mut router.links);
        router.conditions.drain(..).for_each(|condition| self.conditions.add(condition));
        self.chain.problems = router.problems.take().or(self.chain.problems);
        let mut states = std::mem::take(&mut router.states);
        states.inherit(&self.states);
        self.states = states;
        self.meter = router.meter.take().or(self.meter);
        self.limits = router.limits.take().unwrap_or(self.limits);
        self.body_policy = router.body_policy.or(self.body_policy);
        self.half_close = router.half_close.unwrap_or(self.half_close);
        self.fallback = router.fallback.as_ref().map(|route| route.service.clone()).or(self.fallback);
        self
    }
}

struct RoutesBuilder {
    errors: Vec<RouteError>,
    /// Those of all routes that have no variant of `Method`.
    methods: Rc<OtherMethods>,
}

/// A route in its place, until its leaf is complete.
struct Placed {
    method: Option<MethodName>,
    pattern: Pattern,
    place: SourceLocation,
    scope: Rc<Scope>,
    chain: Rc<Chain>,
    service: Rc<dyn AnyService>,
}

impl Placed {
    /// Why a route of this method, with these conditions and the same pattern, cannot stand beside this one.
    fn rivals(&self, method: Option<&MethodName>, conditions: &RouteConditions) -> Option<RouteMistake> {
        let own = &self.scope.conditions;
        let with = || described(self.method.as_ref(), &self.pattern.text, own.all());
        if self.method.as_ref() == method && own == conditions {
            return Some(RouteMistake::Conflict { with: with(), place: self.place });
        }
        let is_apart = own == conditions || own.rank() != conditions.rank() || own.exclude(conditions);
        let meet = match (&self.method, method) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        (meet && !is_apart).then(|| RouteMistake::Ambiguous { with: with(), place: self.place })
    }
}

/// A site while routers are placed in it.
struct Placing {
    tree: Tree,
    leaves: Vec<Vec<Placed>>,
    misses: Vec<Endpoint>,
}

impl RoutesBuilder {
    fn mistake(&mut self, route: String, place: SourceLocation, mistake: RouteMistake) {
        self.errors.push(RouteError { route, place, mistake });
    }

    fn site(&mut self, router: Router, scope: Scope) -> HostRoutes {
        let mut placing = Placing { tree: Tree::new(), leaves: Vec::new(), misses: Vec::new() };
        let allow_any = DefaultResponse::Options("".into());
        let asterisk = endpoint(&scope, &Rc::new(scope.chain.clone()), allow_any);
        self.place(&mut placing, router, scope, &Pattern::default());
        let leaves = placing.leaves.into_iter().map(|placed| self.leaf(placed)).collect();
        HostRoutes { tree: placing.tree, leaves, misses: placing.misses, asterisk }
    }

    fn place(&mut self, site: &mut Placing, router: Router, scope: Scope, prefix: &Pattern) {
        let chain = Rc::new(scope.chain.clone());
        if let Some(fallback) = &router.fallback
            && let Err(text) = (fallback.check)(&scope.states)
        {
            self.mistake("(fallback)".to_owned(), fallback.place, RouteMistake::Handler(text));
        }
        if site.misses.is_empty() || !prefix.segments.is_empty() {
            let mut miss = endpoint(&scope, &chain, DefaultResponse::NotFound(self.methods.clone()));
            if let Some(fallback) = &scope.fallback {
                miss.service = fallback.clone();
            }
            site.tree.set_scope(prefix, site.misses.len());
            site.misses.push(miss);
        }
        let scope = Rc::new(scope);
        for route in router.routes {
            self.place_route(site, route, &scope, &chain, prefix);
        }
        for (text, place, mut inner) in router.nested {
            match Pattern::parse_prefix(&text).and_then(|below| prefix.join(&below)) {
                Ok(prefix) => {
                    let scope = Scope::clone(&scope).within(&mut inner);
                    self.place(site, inner, scope, &prefix);
                }
                Err(error) => self.mistake(text, place, RouteMistake::Pattern(error)),
            }
        }
        for (host, place, _) in router.hosts {
            self.mistake(host, place, RouteMistake::HostWithinPath);
        }
    }

    fn place_route(
        &mut self,
        site: &mut Placing,
        route: RouteDraft,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
        prefix: &Pattern,
    ) {
        let RouteDraft { method, pattern, place, check, service } = route;
        let conditions = scope.conditions.all();
        let described = |method, pattern: &str| described(method, pattern, conditions);
        let described_at = |pattern: &str| described(method.as_ref(), &format!("{}{pattern}", prefix.text));
        let pattern = match below(prefix, &pattern) {
            Ok(pattern) => pattern,
            Err(error) => return self.mistake(described_at(&pattern), place, RouteMistake::Pattern(error)),
        };
        if let Some(MethodName::Token(token)) = &method
            && !token.bytes().all(|byte| byte.is_ascii_alphabetic())
        {
            return self.mistake(described(method.as_ref(), &pattern.text), place, RouteMistake::Method);
        }
        if let Some(MethodName::Token(token)) = &method {
            self.methods.add(token);
        }
        if let Err(text) = check(&scope.states) {
            self.mistake(described(method.as_ref(), &pattern.text), place, RouteMistake::Handler(text));
        }
        let leaf = site.tree.leaf_or_insert(&pattern, site.leaves.len());
        if leaf == site.leaves.len() {
            site.leaves.push(Vec::new());
        }
        if let Some(text) = scope.conditions.mistake() {
            let mistake = RouteMistake::Condition(text);
            return self.mistake(described(method.as_ref(), &pattern.text), place, mistake);
        }
        let rival =
            site.leaves[leaf].iter().find_map(|other| other.rivals(method.as_ref(), &scope.conditions));
        if let Some(conflict) = rival {
            return self.mistake(described(method.as_ref(), &pattern.text), place, conflict);
        }
        let (scope, chain) = (scope.clone(), chain.clone());
        site.leaves[leaf].push(Placed { method, pattern, place, scope, chain, service });
    }

    fn leaf(&self, placed: Vec<Placed>) -> Leaf {
        let allow: Box<str> = allow(&placed).into();
        let (plain, conditional): (Vec<_>, Vec<_>) =
            placed.into_iter().partition(|route| route.scope.conditions.all().is_empty());
        let mut groups: Vec<(RouteConditions, Vec<Placed>)> = Vec::new();
        for route in conditional {
            match groups.iter_mut().find(|(known, _)| *known == route.scope.conditions) {
                Some((_, group)) => group.push(route),
                None => groups.push((route.scope.conditions.clone(), vec![route])),
            }
        }
        groups.sort_by_key(|(conditions, _)| std::cmp::Reverse(conditions.rank()));
        let groups = groups.into_iter().map(|(conditions, group)| (conditions, self.methods(group, &allow)));
        Leaf {
            has_plain: !plain.is_empty(),
            conditional: groups.collect(),
            plain: self.methods(plain, &allow),
        }
    }

    fn methods(&self, placed: Vec<Placed>, allow: &str) -> MethodTable {
        let mut leaf = MethodTable { endpoints: Vec::new(), any: None, options: None, not_allowed: None };
        let allow: Box<str> = allow.into();
        for (index, route) in placed.into_iter().enumerate() {
            let facts = Rc::new(RouteFacts {
                pattern: route.pattern.text.into(),
                names: route.pattern.names,
                states: Rc::new(route.scope.states.clone()),
                limits: route.scope.limits.clone(),
                body_policy: route.scope.body_policy,
                half_close: route.scope.half_close,
                allow: allow.clone(),
                conditions: route.scope.conditions.all().into(),
                meter: route.scope.meter.clone(),
            });
            let endpoint = Endpoint { facts, chain: route.chain, service: route.service };
            if index == 0 {
                leaf.options = Some(Endpoint {
                    service: Rc::new(DefaultResponse::Options(allow.clone())),
                    ..endpoint.clone()
                });
                let refusal = Rc::new(DefaultResponse::NotAllowed(allow.clone(), self.methods.clone()));
                leaf.not_allowed = Some(Endpoint { service: refusal, ..endpoint.clone() });
            }
            match route.method {
                Some(method) => leaf.endpoints.push((method, endpoint)),
                None => leaf.any = Some(endpoint),
            }
        }
        leaf
    }
}

/// A route's pattern below a prefix, whose own path is `/`.
fn below(prefix: &Pattern, text: &str) -> Result<Pattern, PatternError> {
    match Pattern::parse(text)? {
        pattern if prefix.segments.is_empty() => Ok(pattern),
        _ if text == "/" => Ok(prefix.clone()),
        pattern => prefix.join(&pattern),
    }
}

fn endpoint(scope: &Scope, chain: &Rc<Chain>, made: DefaultResponse) -> Endpoint {
    let (states, limits) = (Rc::new(scope.states.clone()), scope.limits.clone());
    let Scope { body_policy, half_close, .. } = *scope;
    let meter = scope.meter.clone();
    let facts = RouteFacts { states, limits, body_policy, half_close, meter, ..RouteFacts::default() };
    let facts = Rc::new(facts);
    Endpoint { facts, chain: chain.clone(), service: Rc::new(made) }
}

fn described(method: Option<&MethodName>, pattern: &str, conditions: &[Condition]) -> String {
    format!("{} {pattern}{}", method.map_or("(any method)", MethodName::as_str), suffix(conditions))
}

/// The methods of a path, for `Allow`; nothing where it takes any. Those of routes with conditions are among
/// them, because another request for the same resource may have them.
fn allow(placed: &[Placed]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for route in placed {
        match &route.method {
            Some(method) if methods.contains(&method.as_str()) => continue,
            Some(method) => methods.push(method.as_str()),
            None if route.scope.conditions.all().is_empty() => return String::new(),
            None => continue,
        }
        if matches!(methods.last(), Some(&"GET")) && !placed.iter().any(is_head) {
            methods.push("HEAD");
        }
    }
    if !methods.contains(&"OPTIONS") {
        methods.push("OPTIONS");
    }
    methods.join(", ")
}

fn is_head(route: &Placed) -> bool {
    route.method == Some(MethodName::Known(crate::http::method::Method::Head))
}
