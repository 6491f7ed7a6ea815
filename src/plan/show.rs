//! A plan as a tree of lines. Contains no secrets, because the options contain none.

use std::fmt::{self, Display};

use super::options::FilterOptions;
use super::site::{Route, Site};
use super::{Listener, Plan};
use crate::service::BodyPolicy;

/// A policy as the printed plan has it.
pub(super) struct Bodies<'a>(pub(super) &'a BodyPolicy);

impl Display for Bodies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.bytes_max {
            Some(bytes) => write!(f, "bodies up to {bytes} bytes")?,
            None => f.write_str("bodies of any size")?,
        }
        match self.0.stall_timeout {
            Some(time) => write!(f, ", {} bytes/s over {} s", self.0.rate_min, time.as_secs_f64()),
            None => f.write_str(", at any pace"),
        }
    }
}

fn bodies(policy: &Option<BodyPolicy>) -> impl Iterator<Item = PlanNode> {
    policy.iter().map(|policy| PlanNode::leaf(Bodies(policy)))
}

/// A line, and those below it.
struct PlanNode {
    text: String,
    below: Vec<PlanNode>,
}

impl PlanNode {
    fn leaf(text: impl Display) -> Self {
        Self { text: text.to_string(), below: Vec::new() }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for (index, node) in self.below.iter().enumerate() {
            let (branch, below) = match index + 1 == self.below.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            write!(f, "\n{indent}{branch}{}", node.text)?;
            node.write(f, &format!("{indent}{below}"))?;
        }
        Ok(())
    }
}

fn filters(filters: &[FilterOptions]) -> impl Iterator<Item = PlanNode> {
    filters.iter().map(|filter| PlanNode::leaf(format_args!("filter {filter}")))
}

fn route(route: &Route) -> PlanNode {
    let below = bodies(&route.body_policy)
        .chain(filters(&route.filters))
        .chain([PlanNode::leaf(&route.handler)])
        .collect();
    PlanNode { text: format!("route {}", route.name()), below }
}

fn site(text: String, site: &Site) -> PlanNode {
    let fallback = match &site.fallback {
        Some(handler) => format!("otherwise {handler}"),
        None => "otherwise 404".to_owned(),
    };
    let routes = site.routes.iter().map(route);
    let inside = filters(&site.filters).chain(routes).chain([PlanNode::leaf(fallback)]);
    PlanNode { text, below: bodies(&site.body_policy).chain(inside).collect() }
}

/// One line per listener, site, filter, route and handler.
impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners =
            self.listeners.iter().map(|listener| PlanNode::leaf(format_args!("listen on {listener}")));
        let named = self.sites.iter().map(|(host, named)| site(format!("site {host}"), named));
        let default = site("default site".to_owned(), &self.default_site);
        let below = listeners.chain(named).chain([default]).collect();
        f.write_str("plan")?;
        PlanNode { text: String::new(), below }.write(f, "")
    }
}

/// The URL that clients use, and the names of the certificates.
impl Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tls {
            None => self.address.fmt(f),
            Some(tls) => match &self.address {
                crate::net::Address::Inet(addr) => write!(f, "https://{addr} ({tls})"),
                unix => write!(f, "{unix} with TLS ({tls})"),
            },
        }
    }
}

/// What handles the requests of a route, on one line with its filters and policy.
pub(super) fn on_one_line(route: &Route) -> String {
    let policy = route.body_policy.iter().map(|policy| Bodies(policy).to_string());
    let filters = route.filters.iter().map(ToString::to_string);
    let parts = policy.chain(filters).chain([route.handler.to_string()]);
    parts.collect::<Vec<_>>().join(" > ")
}
