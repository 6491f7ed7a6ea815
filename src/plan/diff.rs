//! The differences between two plans, route by route.

use std::fmt;

use super::options::{FilterOptions, HandlerOptions};
use super::show::{Bodies, on_one_line};
use super::site::{Route, Site};
use super::{Listener, Plan};
use crate::service::BodyPolicy;

/// The changes from one plan to another. Empty if and only if the plans are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanDiff {
    /// The changes, in the order of the new plan; removed parts last of their kind.
    pub changes: Vec<PlanChange>,
    /// Places that are changed, whose open exchanges may go on all the same.
    continued: Vec<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanChange {
    /// The part: `listener http://127.0.0.1:8080`, `site a.test, route GET /x`, `default site, filters`.
    pub place: String,
    /// The kind of change.
    pub kind: PlanChangeKind,
}

/// How a part of a plan changes. Texts are those of the printed plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanChangeKind {
    /// Added.
    Added(String),
    /// Removed.
    Removed(String),
    /// Replaced. The texts are equal where only a function or a TLS configuration differs.
    Changed {
        /// The old text.
        from: String,
        /// The new text.
        to: String,
    },
    /// The same parts in another order, which changes no response.
    Reordered,
}

impl PlanDiff {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The places of which nothing is in force any more: parts that are removed or replaced. Not those of
    /// which only the choice among endpoints is another.
    pub(crate) fn gone(&self) -> impl Iterator<Item = &str> {
        let gone = self.changes.iter().filter(|change| match change.kind {
            PlanChangeKind::Removed(_) => true,
            PlanChangeKind::Changed { .. } => !self.continued.contains(&change.place),
            PlanChangeKind::Added(_) | PlanChangeKind::Reordered => false,
        });
        gone.map(|change| &*change.place)
    }
}

impl fmt::Display for PlanDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no changes");
        }
        for (index, change) in self.changes.iter().enumerate() {
            f.write_str(if index > 0 { "\n" } else { "" })?;
            change.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for PlanChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.kind {
            PlanChangeKind::Added(text) => write!(f, "+ {place}: {text}"),
            PlanChangeKind::Removed(text) => write!(f, "- {place}: {text}"),
            PlanChangeKind::Changed { from, to } if from == to => {
                write!(f, "~ {place}: {to}, replaced by another of the same description")
            }
            PlanChangeKind::Changed { from, to } => write!(f, "~ {place}: {from} -> {to}"),
            PlanChangeKind::Reordered => write!(f, "~ {place}: in another order"),
        }
    }
}

/// One part of a plan with its own place.
#[derive(PartialEq)]
enum PlanPart<'a> {
    Listener(&'a Listener),
    Site,
    Filters(&'a [FilterOptions]),
    Bodies(&'a BodyPolicy),
    Route(&'a Route),
    Fallback(&'a HandlerOptions),
}

impl PlanPart<'_> {
    fn is_continued_by(&self, next: &Self) -> bool {
        let handlers = |old: &HandlerOptions, new: &HandlerOptions| match (old, new) {
            (HandlerOptions::Proxy(old), HandlerOptions::Proxy(new)) => old.is_continued_by(new),
            _ => false,
        };
        match (self, next) {
            (Self::Route(old), Self::Route(new)) => {
                let same = Route { handler: new.handler.clone(), ..(*old).clone() };
                same == **new && handlers(&old.handler, &new.handler)
            }
            (Self::Fallback(old), Self::Fallback(new)) => handlers(old, new),
            _ => false,
        }
    }
}

impl fmt::Display for PlanPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(listener) => listener.fmt(f),
            Self::Site => f.write_str("a site"),
            Self::Filters(filters) => {
                f.write_str(&filters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" > "))
            }
            Self::Route(route) => f.write_str(&on_one_line(route)),
            Self::Bodies(policy) => Bodies(policy).fmt(f),
            Self::Fallback(handler) => handler.fmt(f),
        }
    }
}

type PlanParts<'a> = Vec<(String, PlanPart<'a>)>;

/// The place of the site of this host, or of the default one.
pub(super) fn site_place(host: Option<&str>) -> String {
    host.map_or_else(|| "default site".to_owned(), |host| format!("site {host}"))
}

/// The place of a route of the site at `site`.
pub(super) fn route_place(site: &str, route: &Route) -> String {
    format!("{site}, route {}", route.name())
}

/// The place of the fallback of the site at `site`.
pub(super) fn fallback_place(site: &str) -> String {
    format!("{site}, fallback")
}

fn parts(plan: &Plan) -> PlanParts<'_> {
    let mut parts: PlanParts<'_> = Vec::new();
    for listener in &plan.listeners {
        parts.push((format!("listener {}", listener.address), PlanPart::Listener(listener)));
    }
    for (host, site) in &plan.sites {
        parts.push((site_place(Some(host)), PlanPart::Site));
        push_site(&mut parts, &site_place(Some(host)), site);
    }
    push_site(&mut parts, &site_place(None), &plan.default_site);
    parts
}

fn push_site<'a>(parts: &mut PlanParts<'a>, place: &str, site: &'a Site) {
    if let Some(policy) = &site.body_policy {
        parts.push((format!("{place}, bodies"), PlanPart::Bodies(policy)));
    }
    if !site.filters.is_empty() {
        parts.push((format!("{place}, filters"), PlanPart::Filters(&site.filters)));
    }
    for route in &site.routes {
        parts.push((route_place(place, route), PlanPart::Route(route)));
    }
    if let Some(handler) = &site.fallback {
        parts.push((fallback_place(place), PlanPart::Fallback(handler)));
    }
}

impl Plan {
    /// The changes from this plan to `other`.
    pub fn diff(&self, other: &Self) -> PlanDiff {
        let (mut before, after) = (parts(self), parts(other));
        let (mut changes, mut continued) = (Vec::new(), Vec::new());
        let mut change = |place: &str, kind| changes.push(PlanChange { place: place.to_owned(), kind });
        let order = |parts: &PlanParts<'_>| parts.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>();
        let had_same_parts = {
            let (mut old, mut new) = (order(&before), order(&after));
            let is_reordered = old != new;
            old.sort_unstable();
            new.sort_unstable();
            is_reordered && old == new
        };
        for (place, part) in &after {
            match before.iter().position(|(known, _)| known == place) {
                None => change(place, PlanChangeKind::Added(part.to_string())),
                Some(index) => {
                    let (_, old) = before.remove(index);
                    if old != *part {
                        if old.is_continued_by(part) {
                            continued.push(place.clone());
                        }
                        let (from, to) = (old.to_string(), part.to_string());
                        change(place, PlanChangeKind::Changed { from, to });
                    }
                }
            }
        }
        for (place, part) in &before {
            change(place, PlanChangeKind::Removed(part.to_string()));
        }
        if had_same_parts || (changes.is_empty() && self != other) {
            changes.push(PlanChange { place: "plan".to_owned(), kind: PlanChangeKind::Reordered });
        }
        PlanDiff { changes, continued }
    }
}
