//! Errors of a plan. Found when it is checked or built, all at once, each with its place.

use std::error::Error;
use std::fmt;

use thiserror::Error;

use super::secrets::ExposedSecret;
#[cfg(feature = "auth")]
use crate::filter::BasicAuthError;
use crate::filter::{CorsError, PageError};
use crate::handler::{DirectoryError, FixedError, ProxyMistake};
use crate::http::message::FieldError;
use crate::service::RouteMistake;
use crate::service::router::PatternError;

/// All errors of a plan.
#[derive(Debug)]
pub struct PlanErrors(
    // INVARIANT: never empty.
    pub(super) Vec<PlanError>,
);

/// One error.
#[derive(Debug)]
pub struct PlanError {
    /// The place: `site example.com, route GET /x`. Empty for the filters and the fallback of the default
    /// site, if there is no other site.
    pub place: String,
    /// What is wrong.
    pub mistake: PlanMistake,
}

/// The error of a part of a plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanMistake {
    /// The host of a site is not valid.
    #[error("{0}")]
    Host(PatternError),
    /// Another site has this host.
    #[error("another site has the same host; join them")]
    SameHost,
    /// The pattern of a route is not valid.
    #[error("{0}")]
    Pattern(PatternError),
    /// A route matches the same requests as another.
    #[error("it matches the same requests as {with}; remove one or change its pattern")]
    Conflict {
        /// Method and pattern of that route.
        with: String,
    },
    /// A request could be answered by a route and by another, and neither has precedence.
    #[error("requests may fulfil its conditions and those of {with}, and neither has more; give one another")]
    Ambiguous {
        /// Method, pattern and conditions of that route.
        with: String,
    },
    /// No request fulfils the conditions of a route; the reason.
    #[error("{0}")]
    Condition(String),
    /// A method is not valid.
    #[error("a method is letters, such as PROPFIND")]
    Method,
    /// A directory that cannot be served.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A response that cannot be sent.
    #[error(transparent)]
    Response(#[from] FixedError),
    /// A proxy that cannot be made.
    #[error(transparent)]
    Proxy(#[from] ProxyMistake),
    /// A field that cannot be sent.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// An error page that cannot be used.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Options for CORS that are refused.
    #[error(transparent)]
    Cors(#[from] CorsError),
    /// The configuration of basic authentication cannot be used.
    #[cfg(feature = "auth")]
    #[error(transparent)]
    BasicAuth(#[from] BasicAuthError),
    /// A secret would be served.
    #[error(transparent)]
    ExposedSecret(Box<ExposedSecret>),
    /// A custom part panicked while the plan was built.
    #[error("a custom part panicked while it was made: {0}")]
    Panicked(String),
    /// A handler or filter written in Rust could not be created.
    #[error("custom `{name}`: {source}")]
    Custom {
        /// Its name.
        name: String,
        /// The error that it returned.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl PlanErrors {
    pub(crate) fn panicked(text: &str) -> Self {
        Self(vec![PlanError { place: String::new(), mistake: PlanMistake::Panicked(text.to_owned()) }])
    }

    /// The errors, in the order of the plan.
    pub fn iter(&self) -> impl Iterator<Item = &PlanError> {
        self.0.iter()
    }
}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { "; " } else { "" })?;
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// The cause of the first error.
impl Error for PlanErrors {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.first().and_then(Error::source)
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.place {
            "" => self.mistake.fmt(f),
            place => write!(f, "{place}: {}", self.mistake),
        }
    }
}

impl Error for PlanError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.mistake.source()
    }
}

impl From<&RouteMistake> for PlanMistake {
    fn from(mistake: &RouteMistake) -> Self {
        match mistake {
            RouteMistake::Pattern(error) => Self::Pattern(*error),
            RouteMistake::Conflict { with, .. } => Self::Conflict { with: with.clone() },
            RouteMistake::Ambiguous { with, .. } => Self::Ambiguous { with: with.clone() },
            RouteMistake::Condition(text) => Self::Condition(text.clone()),
            RouteMistake::Method => Self::Method,
            RouteMistake::Handler(text) => {
                Self::Custom { name: "handler".to_owned(), source: text.clone().into() }
            }
            RouteMistake::HostWithinPath => Self::Custom {
                name: "router".to_owned(),
                source: "a router below a prefix cannot have hosts".into(),
            },
        }
    }
}
