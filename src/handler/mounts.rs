//! Several directories as one tree: each answers for the paths that begin with its prefix.

use super::files::Files;
use crate::service::{Request, Response, Service};

/// One directory for everything, and others below prefixes
/// ([`FilesOptions::prefix`](super::FilesOptions::prefix)).
///
/// The longest prefix that fits decides; it fits whole segments: `/static` is not for `/statically`.
pub struct Mounts {
    root: Files,
    /// The longest prefix first.
    below: Vec<Files>,
}

impl Mounts {
    /// `root` answers what none of `below` does.
    pub fn new(root: Files, mut below: Vec<Files>) -> Self {
        below.sort_by_key(|files| std::cmp::Reverse(files.prefix().len()));
        Self { root, below }
    }

    fn of(&self, request: &Request) -> &Files {
        let path = request.head().path();
        let fits = |files: &&Files| {
            path.strip_prefix(files.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.below.iter().find(fits).unwrap_or(&self.root)
    }
}

impl Service for Mounts {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.of(&request).call(request)
    }

    fn call_now(&self, request: Request) -> Result<Response, Request> {
        self.of(&request).call_now(request)
    }
}
