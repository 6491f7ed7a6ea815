//! Mistakes in routes, reported all at once when they are built, each with its place in the source.

use std::fmt;
use std::panic::Location;

use super::pattern::PatternError;

/// Every mistake of a router.
#[derive(Debug)]
pub struct RouteErrors(
    // INVARIANT: never empty.
    pub(super) Vec<RouteError>,
);

/// One mistake.
#[derive(Debug)]
pub struct RouteError {
    /// The route: method and pattern.
    pub route: String,
    /// Where the route was defined.
    pub place: &'static Location<'static>,
    /// What is wrong.
    pub mistake: RouteMistake,
}

/// What is wrong with a route.
#[derive(Debug)]
pub enum RouteMistake {
    /// Its pattern is invalid.
    Pattern(PatternError),
    /// It answers the same requests as another.
    Conflict {
        /// That route.
        with: String,
        /// Where that route was defined.
        place: &'static Location<'static>,
    },
    /// A request could be answered by it and by another, and neither has precedence.
    Ambiguous {
        /// That route.
        with: String,
        /// Where that route was defined.
        place: &'static Location<'static>,
    },
    /// No request fulfils its conditions; the reason.
    Condition(String),
    /// Its handler cannot be used here; the reason.
    Handler(String),
    /// Hosts are matched before paths, so a nested router cannot have any.
    HostWithinPath,
    /// The method is not a token.
    Method,
}

impl RouteErrors {
    /// The mistakes, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &RouteError> {
        self.0.iter()
    }
}

impl fmt::Display for RouteErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {} ({}): ", self.route, self.place)?;
        match &self.mistake {
            RouteMistake::Pattern(error) => error.fmt(f),
            RouteMistake::Conflict { with, place } => {
                write!(
                    f,
                    "it answers the same requests as {with} ({place}); remove one or change its pattern"
                )
            }
            RouteMistake::Ambiguous { with, place } => {
                write!(
                    f,
                    "requests may fulfil its conditions and those of {with} ({place}), and neither has more; \
                     give one another condition"
                )
            }
            RouteMistake::Handler(text) | RouteMistake::Condition(text) => f.write_str(text),
            RouteMistake::HostWithinPath => {
                f.write_str("a router below a prefix cannot have hosts; give them to the outermost one")
            }
            RouteMistake::Method => f.write_str("a method is letters, such as PROPFIND"),
        }
    }
}

impl std::error::Error for RouteErrors {}
