//! The top of a configuration: what concerns the server, the default site, and the parts with names. Several
//! files are one configuration; what can be there once is an error in two.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::filters::{FILTERS, TlsNames};
use super::handlers::{HANDLERS, handler_keys};
use super::limits::{BODY, LIMITS, limits};
use super::server::{LISTENER, LOG, access_log, cpus, has_unix, listener_node, listeners, unix_mode};
use super::site::{Placed, ROUTE, SITE, SiteContext, site};
use super::tests::{TEST, test};
use super::tls::{TLS, unit};
use super::upstreams::{UPSTREAM, UpstreamNames, upstream};
use crate::acme::ChallengeType;
use crate::config::mistake::{At, Mistake};
use crate::config::node::{Node, Reader, Table};
use crate::config::shape::{Key, Kind, Shape, TEXTS};
use crate::config::trial::TestCase;
use crate::config::{Depth, Settings, TlsUnit};
use crate::filter::AcmeChallenges;
use crate::net::Address;
use crate::plan::{FilterOptions, Plan, Site};

pub(in crate::config) const ROOT: Shape = Shape::new(
    "the file",
    handler_keys![
        Key::new("include", TEXTS, "Files that are a part of this one; * and ? in the last part of a path."),
        Key::new(
            "listen",
            Kind::List(&Kind::Either(&[Kind::Text, Kind::Table(&LISTENER)])),
            "Addresses to listen on. Default 127.0.0.1:8080.",
        ),
        Key::new(
            "tls",
            Kind::Map("names", &Kind::Table(&TLS)),
            "TLS configurations, by the names that listeners use."
        ),
        Key::new(
            "upstreams",
            Kind::Map("names", &Kind::Table(&UPSTREAM)),
            "Groups of servers that requests are forwarded to, by the names that proxies use.",
        ),
        Key::new("workers", Kind::Count(1, 4096), "Number of workers. Default: one per CPU."),
        Key::new(
            "cpus",
            Kind::List(&Kind::Either(&[Kind::Count(0, 65_535), Kind::Text])),
            "CPUs to pin workers to, such as [0, \"2-3\"].",
        ),
        Key::new("unix_mode", Kind::Text, "Permissions of socket files, in octal, such as \"660\"."),
        Key::new("quiet", Kind::Bool, "Whether nothing is printed at start and stop. Default false."),
        Key::new(
            "access_log",
            Kind::Either(&[Kind::Path, Kind::Table(&LOG)]),
            "A line for each request, to this file or, with \"-\", to standard output.",
        ),
        Key::new(
            "admin",
            Kind::Path,
            "A Unix socket for quoit status, reload, drain and others, which only this user may use.",
        ),
        Key::new(
            "metrics",
            Kind::Text,
            "An address where GET /metrics is answered over plain HTTP, and nothing else. Default none.",
        ),
        Key::new("limits", Kind::Table(&LIMITS), "Limits on clients."),
        Key::new("filters", FILTERS, "Filters of the default site, outermost first."),
        Key::new(
            "body",
            Kind::Table(&BODY),
            "How large and how slow request bodies of the default site may be."
        ),
        Key::new("route", Kind::List(&Kind::Table(&ROUTE)), "Routes of the default site."),
        Key::new("test", Kind::List(&Kind::Table(&TEST)), "Requests with what is expected, for quoit test."),
        Key::new("site", Kind::List(&Kind::Table(&SITE)), "Sites, each for its hosts."),
    ],
);

/// What a configuration says.
pub(in crate::config) struct Parts {
    pub(in crate::config) plan: Plan,
    pub(in crate::config) settings: Settings,
    pub(in crate::config) tls: Vec<TlsUnit>,
    pub(in crate::config) placed: Vec<Placed>,
    pub(in crate::config) tests: Vec<TestCase>,
}

/// The value of a key that may be given once, in all files together.
fn single<'d>(roots: &[Table<'d>], key: &str) -> Option<Node<'d>> {
    let mut given = roots.iter().filter(|root| root.has(key));
    let first = given.next()?;
    for again in given {
        let mistake = Mistake::new(again.key_at(key), format!("`{key}` is given in two files"));
        again.reader.report(mistake.other(first.key_at(key), "here first").help("keep one of them"));
    }
    first.entry(key)
}

/// The elements of lists that add up.
fn all<'d>(roots: &[Table<'d>], key: &str) -> Vec<Node<'d>> {
    roots.iter().flat_map(|root| root.list(key)).collect()
}

/// The tables with names.
fn named<'d>(roots: &[Table<'d>], key: &str, what: &str) -> Vec<(String, At, Table<'d>)> {
    let mut known: BTreeMap<&str, At> = BTreeMap::new();
    let mut tables = Vec::new();
    for entry in roots.iter().filter_map(|root| root.table(key)).flat_map(Table::in_order) {
        let Some(table) = entry.node.table() else { continue };
        match known.get(entry.name) {
            Some(first) => {
                let title = format!("there are two {what} `{}`", entry.name);
                table.reader.report(Mistake::new(entry.key_at, title).other(*first, "here first"));
            }
            None => {
                known.insert(entry.name, entry.key_at);
                tables.push((entry.name.to_owned(), entry.key_at, table));
            }
        }
    }
    tables
}

/// Reads the tables of all files.
pub(in crate::config) fn read(
    reader: &Reader<'_>,
    roots: &[Table<'_>],
    depth: Depth,
    known: &[TlsUnit],
) -> Parts {
    let limits = single(roots, "limits").and_then(Node::table).map(limits).unwrap_or_default();
    let nodes: Vec<_> = all(roots, "listen").into_iter().filter_map(listener_node).collect();
    let has_plain = nodes.iter().any(|node| node.tls.is_none());
    let tables = named(roots, "tls", "TLS configurations");
    let names: Vec<String> = tables.iter().map(|(name, ..)| name.clone()).collect();
    let units =
        tables.iter().filter_map(|(name, at, table)| unit(name, *at, *table, depth, has_plain, known));
    let tls: Vec<TlsUnit> = units.collect();
    let listeners = listeners(nodes, &tls, &names, &|mistake| reader.report(mistake));

    let mut settings = Settings { limits: limits.clone(), ..Settings::default() };
    settings.workers = single(roots, "workers").and_then(Node::count).map(|count| count as usize);
    settings.cpus = single(roots, "cpus").map(cpus);
    settings.quiet = single(roots, "quiet").and_then(Node::bool).unwrap_or(false);
    settings.access_log = single(roots, "access_log").and_then(access_log);
    if let Some(node) = single(roots, "admin") {
        settings.admin = node.path();
        let directory = settings.admin.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        if depth != Depth::Structure && !directory.as_os_str().is_empty() && !directory.is_dir() {
            let title = format!("the directory {} does not exist", directory.display());
            node.report(title, "make it with mkdir, or choose another path");
        }
    }
    if let Some(node) = single(roots, "metrics") {
        settings.metrics = listener_node(node).map(|listener| listener.address);
        // The kernel chooses another port for each 0.
        let is_fixed = !matches!(&settings.metrics, Some(Address::Inet(addr)) if addr.port() == 0);
        if is_fixed && listeners.iter().any(|listener| Some(&listener.address) == settings.metrics.as_ref()) {
            node.report("this address is listened on already", "choose another one for the metrics");
        }
    }
    if let Some(node) = single(roots, "unix_mode") {
        settings.unix_mode = unix_mode(node);
        if settings.unix_mode.is_some() && !has_unix(&listeners) {
            node.report("unix_mode needs a Unix socket", "add one to listen: \"unix:/run/quoit.sock\"");
        }
    }

    let mut placed = Vec::new();
    let tables = named(roots, "upstreams", "upstreams");
    let found = tables.iter().filter_map(|(name, _, table)| {
        let options = upstream(name, *table, depth)?;
        Some((name.clone(), Arc::new(options)))
    });
    let upstreams = UpstreamNames {
        known: found.collect(),
        names: tables.iter().map(|(name, ..)| name.clone()).collect(),
    };
    let context =
        SiteContext { upstreams: &upstreams, tls: TlsNames { units: &tls, names: &names }, limits: &limits };
    let mut plan = Plan { listeners, ..Plan::default() };
    plan.default_site = default_site(roots, context, &mut placed);
    sites(roots, context, &mut plan, &mut placed);
    for unit in &tls {
        if unit.acme_options.as_ref().is_some_and(|acme| acme.challenge == ChallengeType::Http01) {
            let challenges = AcmeChallenges::new(unit.server.challenges().clone());
            let sites = std::iter::once(&mut plan.default_site).chain(plan.sites.iter_mut().map(|(_, s)| s));
            sites.for_each(|site| site.filters.insert(0, FilterOptions::AcmeChallenges(challenges.clone())));
        }
    }
    let tests = tests(roots);
    Parts { plan, settings, tls, placed, tests }
}

/// The tests of all files.
pub(in crate::config) fn tests(roots: &[Table<'_>]) -> Vec<TestCase> {
    let tables = all(roots, "test").into_iter().filter_map(Node::table);
    tables.filter_map(|table| test(table, table.reader.place(table.at))).collect()
}

fn default_site(roots: &[Table<'_>], context: SiteContext<'_>, placed: &mut Vec<Placed>) -> Site {
    for key in ["filters", "body"].into_iter().chain(HANDLERS) {
        single(roots, key);
    }
    let mut whole = Site::default();
    for root in roots {
        let part = site(*root, &[None], &ROOT, context, placed);
        whole.filters.extend(part.filters);
        whole.routes.extend(part.routes);
        whole.fallback = whole.fallback.or(part.fallback);
        whole.body_policy = whole.body_policy.or(part.body_policy);
    }
    whole
}

fn sites(roots: &[Table<'_>], context: SiteContext<'_>, plan: &mut Plan, placed: &mut Vec<Placed>) {
    let mut known: Vec<(String, At)> = Vec::new();
    for table in all(roots, "site").into_iter().filter_map(Node::table) {
        let mut hosts = Vec::new();
        for node in table.list("host") {
            let Some(host) = node.text() else { continue };
            let lower = host.to_ascii_lowercase();
            if let Some((_, first)) = known.iter().find(|(known, _)| *known == lower) {
                let mistake = Mistake::new(node.at, format!("another site has the host `{host}`"));
                table.reader.report(mistake.other(*first, "here first").help("join the two sites"));
                continue;
            }
            known.push((lower, node.at));
            hosts.push(Some(host));
        }
        let made = site(table, &hosts, &SITE, context, placed);
        plan.sites.extend(hosts.into_iter().flatten().map(|host| (host, made.clone())));
    }
}
