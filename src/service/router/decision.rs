//! Explains how routes dispatch a request, without calling a handler. Reads the tables that requests are
//! routed by.

use std::fmt;
use std::ptr;

use super::pattern::{HostPattern, Pattern, PatternError, Segment};
use super::routes::{Endpoint, HostRoutes, Leaf, Routes};
use super::tree::decoded;
use crate::http::message::TargetForm;
use crate::http::method::Method;
use crate::service::condition::{Condition, ConditionSubject};

/// Where a request ends up, of the host with this number: 0 is the router's own, the others are numbered in
/// the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) host: usize,
    pub(crate) target: DispatchTarget,
}

/// What produces the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DispatchTarget {
    /// A route: its method, if it is for one.
    Route { method: Option<String>, of: RouteName },
    /// The router, to OPTIONS: `Allow`, empty where every method is taken, and the first route of the path.
    Options { allow: String, of: RouteName },
    /// The router: 405 with `Allow`, and the first route of the path.
    NotAllowed { allow: String, of: RouteName },
    /// The fallback, or the router with 404.
    Miss,
}

/// Which route it is among those of its method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteName {
    pub(crate) pattern: String,
    pub(crate) conditions: Vec<Condition>,
}

impl Routes {
    /// What would respond to a request for this path, which is in its normal form.
    pub(crate) fn decide(
        &self,
        authority: &str,
        method: &str,
        path: &str,
        subject: &impl ConditionSubject,
    ) -> Decision {
        let host = self.number(authority);
        let routes = &self.sites[host];
        let known = Method::from_token(method.as_bytes());
        let form = match path {
            "*" => TargetForm::Asterisk,
            _ => TargetForm::Origin,
        };
        let endpoint = routes.endpoint(known, method, form, path, subject, &mut Vec::new());
        Decision { host, target: routes.target_of(endpoint) }
    }
}

impl HostRoutes {
    /// Which of its endpoints this is.
    fn target_of(&self, endpoint: &Endpoint) -> DispatchTarget {
        if ptr::eq(endpoint, &self.asterisk) {
            return DispatchTarget::Options { allow: String::new(), of: RouteName::default() };
        }
        let is = |other: &Option<Endpoint>| other.as_ref().is_some_and(|o| ptr::eq(o, endpoint));
        let (facts, allow) = (&endpoint.facts, endpoint.facts.allow.to_string());
        let of = RouteName { pattern: facts.pattern.to_string(), conditions: facts.conditions.to_vec() };
        for leaf in self.leaves.iter().flat_map(Leaf::tables) {
            if let Some((method, _)) = leaf.endpoints.iter().find(|(_, known)| ptr::eq(known, endpoint)) {
                return DispatchTarget::Route { method: Some(method.as_str().to_owned()), of };
            }
            if is(&leaf.any) {
                return DispatchTarget::Route { method: None, of };
            }
            if is(&leaf.options) {
                return DispatchTarget::Options { allow, of };
            }
            if is(&leaf.not_allowed) {
                return DispatchTarget::NotAllowed { allow, of };
            }
        }
        DispatchTarget::Miss
    }
}

/// Why a path does not match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMismatch {
    /// The segment with this number, from 1, is another text.
    Segment {
        /// Its number, from 1.
        number: usize,
        /// The text of the pattern.
        expected: String,
        /// The text of the path, decoded.
        found: String,
    },
    /// The segment with this number, from 1, is empty, and a parameter is not.
    Empty {
        /// Its number, from 1.
        number: usize,
    },
    /// The path continues where the pattern ends.
    TooLong,
    /// The path ends where the pattern continues.
    TooShort,
}

impl fmt::Display for PathMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment { number, expected, found } => {
                write!(f, "segment {number} of the path is `{found}`, not `{expected}`")
            }
            Self::Empty { number } => write!(f, "segment {number} of the path is empty"),
            Self::TooLong => f.write_str("the path has more segments"),
            Self::TooShort => f.write_str("the path has fewer segments"),
        }
    }
}

/// Whether a host pattern is valid.
pub(crate) fn check_host(host: &str) -> Result<(), PatternError> {
    HostPattern::parse(host).map(drop)
}

/// Why this path does not match this pattern; `None` if it does.
///
/// # Errors
/// The pattern is invalid.
pub(crate) fn mismatch(pattern: &str, path: &str) -> Result<Option<PathMismatch>, PatternError> {
    let pattern = Pattern::parse(pattern)?;
    let mut found = path.strip_prefix('/').unwrap_or(path).split('/');
    for (number, segment) in (1..).zip(&pattern.segments) {
        if *segment == Segment::Rest {
            // What is left may be nothing, but not the slash before it.
            return Ok(found.next().is_none().then_some(PathMismatch::TooShort));
        }
        let Some(text) = found.next() else { return Ok(Some(PathMismatch::TooShort)) };
        let mismatch = match segment {
            Segment::Literal(expected) if *decoded(text) != **expected => {
                let (expected, found) = (expected.to_string(), decoded(text).into_owned());
                PathMismatch::Segment { number, expected, found }
            }
            Segment::Parameter if text.is_empty() => PathMismatch::Empty { number },
            _ => continue,
        };
        return Ok(Some(mismatch));
    }
    Ok(found.next().map(|_| PathMismatch::TooLong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_the_first_difference() {
        let reason = |pattern, path| mismatch(pattern, path).unwrap().map(|reason| reason.to_string());
        for (pattern, path) in [("/", "/"), ("/a/{b}", "/a/c"), ("/{*r}", "/"), ("/a/{*r}", "/%61/b/c")] {
            assert_eq!(reason(pattern, path), None, "{pattern} {path}");
        }
        for (pattern, path, text) in [
            ("/a", "/b", "segment 1 of the path is `b`, not `a`"),
            ("/a/{b}/c", "/a/x/d", "segment 3 of the path is `d`, not `c`"),
            ("/a/{b}", "/a/", "segment 2 of the path is empty"),
            ("/a", "/a/b", "the path has more segments"),
            ("/a/b", "/a", "the path has fewer segments"),
            ("/a/{*r}", "/a", "the path has fewer segments"),
        ] {
            assert_eq!(reason(pattern, path).as_deref(), Some(text), "{pattern} {path}");
        }
        assert!(mismatch("a", "/a").is_err());
    }
}
