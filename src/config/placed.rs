//! Mistakes that the plan finds, such as a directory that is not there, with their places in the files.

use super::mistake::{At, Mistake};
use super::node::Reader;
use super::read::site::{Placed, PlacedRoute};
use crate::plan::{Plan, PlanError, PlanErrors, PlanMistake};
use crate::service::router::suffix;

/// Reports the errors of a plan.
pub(super) fn report(reader: &Reader<'_>, plan: &Plan, errors: &PlanErrors, placed: &[Placed]) {
    for error in errors.iter() {
        let mut candidates = placed.iter().filter(|part| is_it(plan, part, &error.place));
        let (first, second) = (candidates.next(), candidates.next());
        // Two of one name: the second one is in conflict with the first.
        let found = second.filter(|_| matches!(error.mistake, PlanMistake::Conflict { .. })).or(first);
        let with = match &error.mistake {
            PlanMistake::Conflict { with } | PlanMistake::Ambiguous { with } => Some(with),
            _ => None,
        };
        let keys = keys_of(&error.mistake);
        let at = found.map_or(At::new(0, 0..0), |part| part.first_of(keys));
        // A mistake of a value was reported at the value itself.
        let is_known = |known: &Mistake| {
            known.at == at || (known.at.file == at.file && (at.start..at.end).contains(&known.at.start))
        };
        if at.end > 0 && reader.mistakes.borrow().iter().any(is_known) {
            continue;
        }
        let mut mistake = Mistake::new(at, text_of(error, found.is_some()));
        if let Some(with) = with {
            let host = found.and_then(|part| part.host.as_deref());
            let is_other = |part: &&Placed| {
                part.host.as_deref() == host
                    && part.at != at
                    && names(part).is_some_and(|name| same(&name, with))
            };
            if let Some(other) = placed.iter().find(is_other) {
                mistake = mistake.other(other.first_of(keys), "the other one");
            }
        }
        reader.report(mistake);
    }
}

/// The text, with the place in the plan where the file has none.
fn text_of(error: &PlanError, has_place: bool) -> String {
    if has_place { error.mistake.to_string() } else { error.to_string() }
}

fn is_it(plan: &Plan, part: &Placed, place: &str) -> bool {
    let site = plan.place_of_site(part.host.as_deref());
    match names(part) {
        None => site == place,
        Some(name) => {
            let comma = if site.is_empty() { "" } else { ", " };
            let prefix = format!("{site}{comma}route ");
            place.strip_prefix(&prefix).is_some_and(|named| same(&name, named))
        }
    }
}

fn names(part: &Placed) -> Option<PlacedRoute> {
    part.route.clone()
}

/// Whether this is the name of a route, or of one of its methods, as the plan or the router writes it.
fn same(PlacedRoute { methods, pattern, conditions }: &PlacedRoute, name: &str) -> bool {
    let Some(name) = name.strip_suffix(&*suffix(conditions)) else { return false };
    let named = name.strip_suffix(&**pattern).and_then(|named| named.strip_suffix(' '));
    match (&methods[..], named) {
        (_, None) => false,
        ([], Some(named)) => matches!(named, "any" | "(any method)"),
        (methods, Some(named)) => named == methods.join(",") || methods.iter().any(|method| method == named),
    }
}

/// The keys that a mistake may be about, the most likely first.
fn keys_of(mistake: &PlanMistake) -> &'static [&'static str] {
    match mistake {
        PlanMistake::Host(_) | PlanMistake::SameHost => &["host"],
        PlanMistake::Pattern(_) | PlanMistake::Conflict { .. } => &["path", "prefix"],
        PlanMistake::Ambiguous { .. } | PlanMistake::Condition(_) => &["when", "path", "prefix"],
        PlanMistake::Method => &["methods"],
        PlanMistake::Directory(_) | PlanMistake::ExposedSecret(_) => &["files"],
        PlanMistake::Response(_) => &["respond", "redirect"],
        PlanMistake::Proxy(_) => &["proxy"],
        PlanMistake::Field(_) | PlanMistake::Page(_) | PlanMistake::Cors(_) | PlanMistake::BasicAuth(_) => {
            &["filters"]
        }
        _ => &["filters", "files"],
    }
}
