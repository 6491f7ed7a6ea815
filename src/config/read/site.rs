//! Sites and their routes.

use crate::config::mistake::{At, Mistake};
use crate::config::node::Table;
use crate::config::read::filters::{FILTERS, TlsNames, filters};
use crate::config::read::handlers::{HANDLERS, handler, handler_keys};
use crate::config::read::limits::{BODY, body_policy};
use crate::config::read::upstreams::UpstreamNames;
use crate::config::shape::{Key, Kind, Shape, TEXTS};
use crate::exchange::Limits;
use crate::plan::{HandlerOptions, Route, Site};
use crate::service::Condition;
use crate::service::router::{ConditionPart, ConditionTest};

pub(in crate::config) const SITE: Shape = Shape::new(
    "a site",
    handler_keys![
        Key::required(
            "host",
            TEXTS,
            "Its host, such as example.com, or *.example.com for every name below it; or several.",
        ),
        Key::new("filters", FILTERS, "Filters around everything of the site, outermost first."),
        Key::new("body", Kind::Table(&BODY), "How large and how slow request bodies may be."),
        Key::new(
            "route",
            Kind::List(&Kind::Table(&ROUTE)),
            "Its routes; the most specific one that matches counts."
        ),
    ],
);

pub(in crate::config) const ROUTE: Shape = Shape::new(
    "a route",
    handler_keys![
        Key::new(
            "path",
            Kind::Text,
            "The path: /users/{id} has a parameter, and /{*rest} matches all that follows.",
        ),
        Key::new("prefix", Kind::Text, "In place of path: this path and everything below it."),
        Key::new("methods", TEXTS, "Methods such as GET, which includes HEAD. Default: every method."),
        Key::new("filters", FILTERS, "Filters around this route, inside those of the site."),
        Key::new("body", Kind::Table(&BODY), "How large and how slow request bodies may be."),
        Key::new(
            "when",
            Kind::Table(&WHEN),
            "What it asks of a request beside path and method. A route that asks for more comes first.",
        ),
    ],
);

/// What one field or parameter has to be.
const CONDITION: Kind = Kind::Either(&[Kind::Bool, TEXTS, Kind::Table(&BEGINNING)]);

pub(in crate::config) const WHEN: Shape = Shape::new(
    "what a route asks of a request",
    &[
        Key::new(
            "headers",
            Kind::Map("names of fields", &CONDITION),
            "Fields by name: a value, or several of which one is enough, { prefix = \"…\" }, true for \
             any value, false for none.",
        ),
        Key::new(
            "query",
            Kind::Map("names of query parameters", &CONDITION),
            "Query parameters by name, as headers.",
        ),
    ],
);

const BEGINNING: Shape = Shape::new(
    "a beginning of values",
    &[Key::required("prefix", Kind::Text, "What the value begins with.")],
);

/// Where parts of a plan stand in the files.
#[derive(Debug)]
pub(in crate::config) struct Placed {
    pub(in crate::config) host: Option<String>,
    pub(in crate::config) route: Option<PlacedRoute>,
    /// Its table.
    pub(in crate::config) at: At,
    /// Its keys with their values.
    pub(in crate::config) keys: Vec<(&'static str, At)>,
}

/// What the name of a route is made of.
#[derive(Clone, Debug)]
pub(in crate::config) struct PlacedRoute {
    pub(in crate::config) methods: Vec<String>,
    pub(in crate::config) pattern: String,
    pub(in crate::config) conditions: Vec<Condition>,
}

impl Placed {
    /// The place of the first of these keys that is there, or of the table.
    pub(in crate::config) fn first_of(&self, keys: &[&str]) -> At {
        let found = keys.iter().find_map(|key| self.keys.iter().find(|(known, _)| known == key));
        found.map_or(self.at, |(_, at)| *at)
    }
}

/// What sites need beside their tables.
#[derive(Clone, Copy)]
pub(in crate::config) struct SiteContext<'u> {
    pub(in crate::config) tls: TlsNames<'u>,
    pub(in crate::config) limits: &'u Limits,
    pub(in crate::config) upstreams: &'u UpstreamNames,
}

fn places_of(table: Table<'_>, shape: &'static Shape) -> Vec<(&'static str, At)> {
    shape.names().filter(|key| table.has(key)).map(|key| (key, table.value_at(key))).collect()
}

/// A site. Its hosts share the same parts.
pub(in crate::config) fn site(
    table: Table<'_>,
    hosts: &[Option<String>],
    shape: &'static Shape,
    context: SiteContext<'_>,
    placed: &mut Vec<Placed>,
) -> Site {
    let keys = places_of(table, shape);
    for host in hosts {
        placed.push(Placed { host: host.clone(), route: None, at: table.at, keys: keys.clone() });
    }
    let routes = table.list("route").into_iter().filter_map(|node| node.table());
    Site {
        filters: filters(table, context.tls),
        routes: routes.flat_map(|table| route(table, hosts, context, placed)).collect(),
        fallback: handler(table, "", context.upstreams),
        body_policy: table.table("body").map(|table| body_policy(table, context.limits)),
    }
}

/// A route with a prefix is two: the prefix itself and what is below it.
pub(in crate::config) fn route(
    table: Table<'_>,
    hosts: &[Option<String>],
    context: SiteContext<'_>,
    placed: &mut Vec<Placed>,
) -> Vec<Route> {
    let (patterns, prefix) = patterns(table);
    let methods = methods(table);
    let conditions = conditions(table);
    let before = table.reader.mistakes.borrow().len();
    let handler = handler(table, &prefix, context.upstreams);
    if handler.is_none() && !HANDLERS.iter().any(|key| table.has(key)) {
        let mistake = Mistake::new(table.at, "this route has nothing that answers");
        table.reader.report(mistake.help(format!("add one of {}", HANDLERS.join(", "))));
    }
    // A route whose handler is wrong stays, so that its own mistakes are found too.
    let is_wrong = table.reader.mistakes.borrow().len() > before;
    let handler = handler.or(is_wrong.then_some(HandlerOptions::Welcome));
    let filters = filters(table, context.tls);
    let body_policy = table.table("body").map(|table| body_policy(table, context.limits));
    let Some(handler) = handler else { return Vec::new() };
    let mut routes = Vec::new();
    for pattern in patterns {
        for host in hosts {
            let (methods, pattern, conditions) = (methods.clone(), pattern.clone(), conditions.clone());
            let (host, route) = (host.clone(), Some(PlacedRoute { methods, pattern, conditions }));
            placed.push(Placed { host, route, at: table.at, keys: places_of(table, &ROUTE) });
        }
        routes.push(Route {
            methods: methods.clone(),
            pattern,
            conditions: conditions.clone(),
            filters: filters.clone(),
            handler: handler.clone(),
            body_policy,
        });
    }
    routes
}

/// The patterns of a route, and the prefix that its files strip.
fn patterns(table: Table<'_>) -> (Vec<String>, String) {
    let report = |at: At, title: &str, help: &str| table.reader.report(Mistake::new(at, title).help(help));
    match (table.text("path"), table.text("prefix")) {
        (Some(_), Some(_)) => {
            let (at, other) = (table.key_at("prefix"), table.key_at("path"));
            let mistake =
                Mistake::new(at, "`path` and `prefix` exclude each other").other(other, "the other");
            table.reader.report(mistake.help("path matches exactly, prefix everything below as well"));
            (Vec::new(), String::new())
        }
        (Some(path), None) => (vec![path], String::new()),
        (None, Some(prefix)) if !prefix.starts_with('/') || prefix.contains("{*") => {
            report(table.value_at("prefix"), "this is no prefix of paths", "write /like/this, decoded");
            (Vec::new(), String::new())
        }
        (None, Some(prefix)) => {
            let stripped = prefix.strip_suffix('/').unwrap_or(&prefix).to_owned();
            let rest = if prefix.contains("{rest}") { "{*rest_}" } else { "{*rest}" };
            let below = format!("{stripped}/{rest}");
            // `/` has nothing beside what is below it, and a prefix with a slash at its end means only that.
            let exact = (!prefix.ends_with('/')).then(|| prefix.clone());
            let files_prefix = if stripped.contains('{') { String::new() } else { stripped };
            (exact.into_iter().chain([below]).collect(), files_prefix)
        }
        (None, None) => {
            if !table.has("path") && !table.has("prefix") {
                report(table.at, "this route has no `path`", "add path = \"/…\", or prefix = \"/…\"");
            }
            (Vec::new(), String::new())
        }
    }
}

fn conditions(table: Table<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let Some(when) = table.table("when") else { return conditions };
    for (key, part) in [("headers", ConditionPart::Field), ("query", ConditionPart::Query)] {
        for entry in when.table(key).into_iter().flat_map(Table::in_order) {
            let node = entry.node;
            let test = match (node.bool().filter(|_| node.raw().is_none()), node.table()) {
                (Some(true), _) => ConditionTest::Present,
                (Some(false), _) => ConditionTest::Absent,
                (None, Some(table)) => match table.text("prefix") {
                    Some(prefix) => ConditionTest::Prefix(prefix),
                    None => continue,
                },
                (None, None) => match node.texts() {
                    none if none.is_empty() && !node.is_list() => continue,
                    texts => ConditionTest::OneOf(texts),
                },
            };
            conditions.push(Condition { part, name: entry.name.to_owned(), test });
        }
    }
    conditions
}

fn methods(table: Table<'_>) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    for node in table.list("methods") {
        let Some(method) = node.text() else { continue };
        let upper = method.to_ascii_uppercase();
        let is_usual = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&&*upper);
        if is_usual && upper != method {
            let mistake = Mistake::new(node.at, format!("`{method}` is no method: they are case-sensitive"));
            table.reader.report(mistake.label(format!("did you mean \"{upper}\"?")));
        }
        if methods.contains(&method) {
            node.report(format!("the method {method} is named twice"), "name each method once");
            continue;
        }
        methods.push(method);
    }
    methods
}
